//! Moving bytes over a descriptor: what the kinds of streams and sockets do alike.

use super::Error;
use super::fd::{Fd, Kind, State};
use crate::poll::Mode;
use crate::rt::clock::nanotime;
use crate::sched::poller::sleep_until;
use crate::sched::syscall;
use crate::sys::fd::{IoSlice, IoSliceMut};
use crate::sys::sockaddr::SockAddr;
use crate::sys::socket::{self, MsgFlags, SocketFlags};
use crate::sys::{self, Call, Errno, RawFd};

/// Buffers that the kernel takes in one call (`UIO_MAXIOV`); with more it fails with `EINVAL`.
const IOV_MAX: usize = 1024;

/// Waits where the process or the system is out of descriptors or memory: each time twice as long, but not so
/// long that a close is noticed late.
pub(super) struct Pause(i64);

impl Pause {
    /// In ns (net/http's).
    const FIRST: i64 = 5_000_000;
    const LONGEST: i64 = 160_000_000;

    pub fn new() -> Pause {
        Pause(Pause::FIRST)
    }

    #[cold]
    pub fn wait(&mut self) {
        sleep_until(nanotime() + self.0);
        self.0 = (self.0 * 2).min(Pause::LONGEST);
    }
}

/// Reads until `buf` is full.
#[inline]
pub(crate) fn fill(
    mut buf: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Error>,
) -> Result<(), Error> {
    while !buf.is_empty() {
        match read(buf)? {
            0 => return Err(Error::UnexpectedEof),
            n => buf = buf.get_mut(n..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Writes until nothing of `buf` is left.
#[inline]
pub(crate) fn drain(
    mut buf: &[u8],
    mut write: impl FnMut(&[u8]) -> Result<usize, Error>,
) -> Result<(), Error> {
    while !buf.is_empty() {
        match write(buf)? {
            n if n == buf.len() => break, // as nearly always
            0 => return Err(Error::WriteZero),
            n => buf = buf.get(n..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// By which system calls bytes move.
pub(crate) trait Bytes {
    const READ: Call;
    const WRITE: Call;
    fn read(fd: RawFd, buf: &mut [u8]) -> Result<usize, Errno>;
    fn write(fd: RawFd, buf: &[u8]) -> Result<usize, Errno>;
}

/// Those of any open file.
pub(crate) struct File;

impl Bytes for File {
    const READ: Call = Call::Read;
    const WRITE: Call = Call::Write;

    #[inline]
    fn read(fd: RawFd, buf: &mut [u8]) -> Result<usize, Errno> {
        sys::fd::read(fd, buf)
    }

    #[inline]
    fn write(fd: RawFd, buf: &[u8]) -> Result<usize, Errno> {
        sys::fd::write(fd, buf)
    }
}

/// A socket's own. The kernel has less to do for them than for `read` and `write`, which know of files first: some
/// 35 ns of a call's 900.
pub(crate) struct Socket;

impl Bytes for Socket {
    const READ: Call = Call::Recvfrom;
    const WRITE: Call = Call::Sendto;

    #[inline]
    fn read(fd: RawFd, buf: &mut [u8]) -> Result<usize, Errno> {
        socket::recvfrom(fd, buf, MsgFlags::empty(), None)
    }

    #[inline]
    fn write(fd: RawFd, buf: &[u8]) -> Result<usize, Errno> {
        socket::sendto(fd, buf, MsgFlags::NOSIGNAL, None)
    }
}

impl Fd {
    /// Reads at most `buf.len()` bytes: 0 at the end, or for an empty buffer.
    #[inline(always)]
    pub fn read<B: Bytes>(&self, buf: &mut [u8]) -> Result<usize, Error> {
        let len = buf.len();
        if len == 0 {
            return Ok(0);
        }
        // No more than asked for, whatever a tracer makes up.
        self.transfer(Mode::Read, B::READ, len, |fd| B::read(fd, buf).map(|n| n.min(len)))
    }

    pub fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        // Also for the length: less than that came means that there is no more.
        let count = bufs.len().min(IOV_MAX);
        let bufs = bufs.get_mut(..count).unwrap_or_default();
        let len = bufs.iter().map(|b| b.len()).sum();
        if len == 0 {
            return Ok(0);
        }
        self.transfer(Mode::Read, Call::Readv, len, |fd| sys::fd::readv(fd, bufs))
    }

    pub fn read_exact<B: Bytes>(&self, buf: &mut [u8]) -> Result<(), Error> {
        fill(buf, |buf| self.read::<B>(buf))
    }

    /// Receives without taking. An empty buffer waits for data, too.
    pub fn peek(&self, buf: &mut [u8]) -> Result<usize, Error> {
        // `want` is 0: a peek exhausts nothing.
        self.transfer(Mode::Read, Call::Recvfrom, 0, |fd| socket::recvfrom(fd, buf, MsgFlags::PEEK, None))
    }

    /// Writes at least one byte, unless `buf` is empty.
    #[inline]
    pub fn write<B: Bytes>(&self, buf: &[u8]) -> Result<usize, Error> {
        self.state().write::<B>(buf)
    }

    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        let bufs = bufs.get(..IOV_MAX).unwrap_or(bufs);
        let len = bufs.iter().map(|b| b.len()).sum();
        if len == 0 {
            return Ok(0);
        }
        self.transfer(Mode::Write, Call::Writev, len, |fd| sys::fd::writev(fd, bufs))
    }

    #[inline(always)]
    pub fn write_all<B: Bytes>(&self, buf: &[u8]) -> Result<(), Error> {
        self.state().write_all::<B>(buf)
    }

    /// Sends from a file until `count` bytes or its end.
    pub fn send_file(&self, file: RawFd, offset: &mut u64, count: usize) -> Result<usize, Error> {
        let mut sent = 0;
        while sent < count {
            // A short result may come from the file's end as well as from a full socket: `want` is 0.
            let n = self.transfer(Mode::Write, Call::Sendfile, 0, |fd| {
                syscall(|| sys::fd::sendfile(fd, file, Some(offset), count - sent))
            })?;
            if n == 0 {
                break;
            }
            sent += n;
        }
        Ok(sent)
    }

    /// Sends a message to the peer. An empty one is one, too.
    pub fn send(&self, buf: &[u8]) -> Result<usize, Error> {
        self.transfer(Mode::Write, Call::Sendto, 0, |fd| socket::sendto(fd, buf, MsgFlags::NOSIGNAL, None))
    }

    /// Sends a message to `addr`.
    pub fn send_to(&self, buf: &[u8], addr: &SockAddr) -> Result<usize, Error> {
        self.transfer(Mode::Write, Call::Sendto, 0, |fd| {
            socket::sendto(fd, buf, MsgFlags::NOSIGNAL, Some(addr))
        })
    }

    /// Receives a message. A buffer without room takes one, too.
    pub fn recv(&self, buf: &mut [u8]) -> Result<usize, Error> {
        self.transfer(Mode::Read, Call::Recvfrom, 0, |fd| socket::recvfrom(fd, buf, MsgFlags::empty(), None))
    }

    pub fn recv_from(&self, buf: &mut [u8], flags: MsgFlags) -> Result<(usize, SockAddr), Error> {
        let mut from = SockAddr::empty();
        let n = self.transfer(Mode::Read, Call::Recvfrom, 0, |fd| {
            socket::recvfrom(fd, buf, flags, Some(&mut from))
        })?;
        Ok((n, from))
    }

    /// Accepts a connection of `kind`: see `TcpListener::accept`.
    pub fn accept(&self, kind: Kind) -> Result<(Fd, SockAddr), Error> {
        let (mut peer, mut pause) = (SockAddr::empty(), Pause::new());
        let fd = loop {
            let accepted = self.transfer(Mode::Read, Call::Accept4, 0, |fd| {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                socket::accept4(fd, Some(&mut peer), flags).map(|new| new as usize)
            });
            match accepted {
                Err(Error::Os(_, Errno::ECONNABORTED)) => continue,
                Err(Error::Os(_, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)) => {}
                done => break done?,
            }
            // Deadline and close are seen by the next try.
            pause.wait();
        };
        // One that cannot be registered is lost: for the caller to know, even if it is for want of memory.
        Ok((Fd::new(fd as RawFd, kind)?, peer))
    }
}

impl State {
    #[inline]
    fn write<B: Bytes>(&self, buf: &[u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.transfer(Mode::Write, B::WRITE, buf.len(), |fd| B::write(fd, buf))
    }

    #[inline]
    fn write_all<B: Bytes>(&self, buf: &[u8]) -> Result<(), Error> {
        drain(buf, |buf| self.write::<B>(buf))
    }
}
