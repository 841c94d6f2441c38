//! TCP.

use super::addr::{ToSocketAddrs, each_addr};
use super::fd::{Fd, Kind};
use super::pollable::pollable;
use super::{Error, Shutdown};
use crate::poll::{Mode, Side};
use crate::rt::clock::nanotime;
use crate::sched::poller::sleep_until;
use crate::sys::Call;
use crate::sys::fd::{IoSlice, IoSliceMut};
use crate::sys::sockaddr::SockAddr;
use crate::sys::socket::{self, Family, MsgFlags, SocketFlags, SocketType};
use crate::sys::{self, Errno, RawFd, sockopt};
use crate::time::Instant;
use core::fmt;
use core::net::SocketAddr;

/// Connections the kernel may queue for `accept`: as many as it allows (`net.core.somaxconn`, 4096).
const BACKLOG: i32 = 4096;

/// First and longest pause, in ns, of `accept` when the process or the system is out of descriptors or memory
/// (the first is net/http's; the longest keeps a close from being noticed late).
const BACKOFF_FIRST: i64 = 5_000_000;
const BACKOFF_LONGEST: i64 = 160_000_000;

/// Buffers that the kernel takes in one call (`UIO_MAXIOV`); with more it fails with `EINVAL`.
const IOV_MAX: usize = 1024;

fn tcp_socket(addr: &SocketAddr) -> Result<RawFd, Error> {
    let family = match addr {
        SocketAddr::V4(_) => Family::INET,
        SocketAddr::V6(_) => Family::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket::socket(family, SocketType::STREAM, flags, 0).map_err(|e| Error::Os(Call::Socket, e))
}

fn inet(call: Call, addr: &SockAddr) -> Result<SocketAddr, Error> {
    addr.to_inet().ok_or(Error::Os(call, Errno::EAFNOSUPPORT))
}

/// A socket that accepts connections.
pub struct TcpListener {
    fd: Fd,
}

impl TcpListener {
    /// Listens on the first of the addresses that can be bound, with `SO_REUSEADDR` as in std, so that a
    /// restarted server gets its port back at once. Port 0 is one of the kernel's choice.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`]; [`Error::Os`] of `socket`, `setsockopt`, `bind` (`EADDRINUSE`, `EACCES`,
    /// `EADDRNOTAVAIL`), `listen`, or of the registration.
    pub fn bind(addr: impl ToSocketAddrs) -> Result<TcpListener, Error> {
        each_addr(addr, |addr| {
            let fd = tcp_socket(&addr)?;
            let bound = sockopt::set_socket_reuseaddr(fd, true)
                .map_err(|e| Error::Os(Call::Setsockopt, e))
                .and_then(|()| socket::bind(fd, &addr.into()).map_err(|e| Error::Os(Call::Bind, e)))
                .and_then(|()| socket::listen(fd, BACKLOG).map_err(|e| Error::Os(Call::Listen, e)));
            if let Err(e) = bound {
                let _ = sys::fd::close(fd);
                return Err(e);
            }
            Ok(TcpListener { fd: Fd::new(fd, Kind::Other)? })
        })
    }

    /// The next connection and its peer. Parks until there is one.
    ///
    /// A connection that was aborted in the queue is passed over. Out of descriptors (`EMFILE`, `ENFILE`)
    /// or memory (`ENOBUFS`, `ENOMEM`), it pauses, up to 160 ms at a time, and tries again: the kernel
    /// keeps the queue meanwhile, and a server neither spins nor dies.
    ///
    /// # Errors
    /// [`Error::TimedOut`] (see [`TcpListener::set_deadline`]), [`Error::Closed`], [`Error::Os`] of
    /// `accept4` or of the registration.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr), Error> {
        let mut pause = BACKOFF_FIRST;
        loop {
            match self.try_accept() {
                Err(Error::Os(_, Errno::ECONNABORTED)) => {}
                Err(Error::Os(_, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)) => {
                    sleep_until(nanotime() + pause);
                    pause = (pause * 2).min(BACKOFF_LONGEST);
                    self.fd.check(Mode::Read)?;
                }
                done => return done,
            }
        }
    }

    fn try_accept(&self) -> Result<(TcpStream, SocketAddr), Error> {
        let mut peer = SockAddr::unix_unnamed();
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = self.fd.transfer(Mode::Read, Call::Accept4, 0, |fd| {
            socket::accept4(fd, Some(&mut peer), flags).map(|new| new as usize)
        })?;
        let fd = Fd::new(fd as RawFd, Kind::Stream)?;
        Ok((TcpStream { fd }, inet(Call::Accept4, &peer)?))
    }

    /// The connections, one after the other, without end (std: `incoming`).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        inet(Call::Getsockname, &self.fd.call(Call::Getsockname, socket::getsockname)?)
    }

    /// From when on `accept` fails with [`Error::TimedOut`], a waiting one included; `None`: never. It
    /// stays in force, and beats a connection that is ready.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] if there is no memory for the timer.
    pub fn set_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.fd.set_deadline(Side::Read, deadline)
    }

    /// Stops listening: every parked `accept` returns [`Error::Closed`]. Returns when the port is free
    /// again.
    ///
    /// # Errors
    /// [`Error::Closed`] if it was closed before.
    pub fn close(&self) -> Result<(), Error> {
        self.fd.close()
    }

    /// Another handle to the same listener.
    ///
    /// # Errors
    /// None so far; the signature is std's.
    pub fn try_clone(&self) -> Result<TcpListener, Error> {
        Ok(TcpListener { fd: self.fd.clone() })
    }

    /// The descriptor's number, for socket options. Its meaning ends with [`TcpListener::close`].
    pub fn as_raw_fd(&self) -> RawFd {
        self.fd.raw()
    }
}

/// The connections of a [`TcpListener`].
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = Result<TcpStream, Error>;
    fn next(&mut self) -> Option<Result<TcpStream, Error>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

/// A connection.
pub struct TcpStream {
    fd: Fd,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers. Parks until then.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`]; [`Error::Os`] of `socket`, `connect` (`ECONNREFUSED`, `ETIMEDOUT`, …), or
    /// of the registration.
    pub fn connect(addr: impl ToSocketAddrs) -> Result<TcpStream, Error> {
        each_addr(addr, |addr| TcpStream::connect_until(addr, None))
    }

    /// As [`TcpStream::connect`] to one address, until `deadline`.
    ///
    /// # Errors
    /// As there, and [`Error::TimedOut`].
    pub fn connect_deadline(addr: &SocketAddr, deadline: Instant) -> Result<TcpStream, Error> {
        TcpStream::connect_until(*addr, Some(deadline))
    }

    fn connect_until(addr: SocketAddr, deadline: Option<Instant>) -> Result<TcpStream, Error> {
        let socket = tcp_socket(&addr)?;
        let started = socket::connect(socket, &addr.into());
        if let Err(e) = started
            // After EINTR it goes on in the background, as after EINPROGRESS (connect(2)).
            && e != Errno::EINPROGRESS
            && e != Errno::EINTR
        {
            let _ = sys::fd::close(socket);
            return Err(Error::Os(Call::Connect, e));
        }
        let stream = TcpStream { fd: Fd::new(socket, Kind::Stream)? };
        if started.is_ok() {
            return Ok(stream);
        }
        if deadline.is_some() {
            stream.set_write_deadline(deadline)?;
        }
        loop {
            stream.fd.wait_edge(Mode::Write)?;
            if let Some(errno) = stream.fd.call(Call::Getsockopt, sockopt::socket_error)? {
                return Err(Error::Os(Call::Connect, errno));
            }
            // An edge of the unconnected socket (OUT and HUP) can come first: only a peer is a
            // connection (golang/go#14548).
            match stream.fd.call(Call::Getpeername, socket::getpeername) {
                Err(Error::Os(_, Errno::ENOTCONN)) => {}
                Err(e) => return Err(e),
                Ok(_) => break,
            }
        }
        if deadline.is_some() {
            stream.set_write_deadline(None)?;
        }
        Ok(stream)
    }

    /// Reads what is there, at least one byte; 0 at the peer's end, or for an empty buffer (which asks
    /// nothing of the kernel). Parks while there is nothing.
    ///
    /// # Errors
    /// [`Error::TimedOut`] once the read deadline has passed, even with data ready; [`Error::Closed`];
    /// [`Error::Os`] of `read` (`ECONNRESET`, …).
    #[inline(always)] // for the last line's sake
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        let len = buf.len();
        let n = self.fd.transfer(Mode::Read, Call::Read, len, |fd| sys::fd::read(fd, buf))?;
        // SAFETY: `sys::fd::read` returns no more than the length it was given.
        unsafe { core::hint::assert_unchecked(n <= len) }; // saves the caller's bounds check
        Ok(n)
    }

    /// As [`TcpStream::read`], into several buffers (at most 1024 of them count).
    ///
    /// # Errors
    /// As [`TcpStream::read`].
    pub fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        // Also for the length: less than that came means that there is no more.
        let count = bufs.len().min(IOV_MAX);
        let bufs = bufs.get_mut(..count).unwrap_or_default();
        let len = bufs.iter().map(|b| b.len()).sum();
        if len == 0 {
            return Ok(0);
        }
        self.fd.transfer(Mode::Read, Call::Readv, len, |fd| sys::fd::readv(fd, bufs))
    }

    /// Reads until the buffer is full.
    ///
    /// # Errors
    /// As [`TcpStream::read`], and [`Error::UnexpectedEof`]; what was read before is in the buffer.
    pub fn read_exact(&self, mut buf: &mut [u8]) -> Result<(), Error> {
        while !buf.is_empty() {
            match self.read(buf)? {
                0 => return Err(Error::UnexpectedEof),
                n => buf = buf.get_mut(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// As [`TcpStream::read`], but leaves the data there for the next read.
    ///
    /// # Errors
    /// As [`TcpStream::read`], of `recvfrom`.
    pub fn peek(&self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        // `want` is 0: a peek exhausts nothing.
        self.fd.transfer(Mode::Read, Call::Recvfrom, 0, |fd| socket::recvfrom(fd, buf, MsgFlags::PEEK, None))
    }

    /// Writes as much as the kernel takes, at least one byte, and returns how much. Parks while it takes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::TimedOut`] once the write deadline has passed, [`Error::Closed`], [`Error::Os`] of `write`
    /// (`EPIPE`, `ECONNRESET`, …; there is no SIGPIPE).
    #[inline]
    pub fn write(&self, buf: &[u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.fd.transfer(Mode::Write, Call::Write, buf.len(), |fd| sys::fd::write(fd, buf))
    }

    /// As [`TcpStream::write`], from several buffers (at most 1024 of them count).
    ///
    /// # Errors
    /// As [`TcpStream::write`].
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> Result<usize, Error> {
        let bufs = bufs.get(..IOV_MAX).unwrap_or(bufs);
        let len = bufs.iter().map(|b| b.len()).sum();
        if len == 0 {
            return Ok(0);
        }
        self.fd.transfer(Mode::Write, Call::Writev, len, |fd| sys::fd::writev(fd, bufs))
    }

    /// Writes everything.
    ///
    /// # Errors
    /// As [`TcpStream::write`]; how much went before is unknown.
    #[inline]
    pub fn write_all(&self, mut buf: &[u8]) -> Result<(), Error> {
        while !buf.is_empty() {
            match self.write(buf)? {
                0 => return Err(Error::WriteZero),
                n => buf = buf.get(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Sends up to `count` bytes of the file `file` from `*offset` on, which moves along, without
    /// copying them through this program (`sendfile(2)`). Returns how many were sent: fewer than `count`
    /// only at the end of the file.
    ///
    /// # Errors
    /// As [`TcpStream::write`], of `sendfile`; `*offset` tells how far it got.
    pub fn send_file(&self, file: RawFd, offset: &mut u64, count: usize) -> Result<usize, Error> {
        let mut sent = 0;
        while sent < count {
            // A short result may come from the file's end as well as from a full socket: `want` is 0.
            let n = self.fd.transfer(Mode::Write, Call::Sendfile, 0, |fd| {
                sys::fd::sendfile(fd, file, Some(offset), count - sent)
            })?;
            if n == 0 {
                break;
            }
            sent += n;
        }
        Ok(sent)
    }

    /// Ends one direction or both, for all handles. The peer reads the end after what was written.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] of `shutdown` (`ENOTCONN` when the peer has reset).
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        self.fd.call(Call::Shutdown, |fd| socket::shutdown(fd, how))
    }

    /// Sends small writes at once instead of waiting to join them (`TCP_NODELAY`); off by default.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] of `setsockopt`.
    pub fn set_nodelay(&self, nodelay: bool) -> Result<(), Error> {
        self.fd.call(Call::Setsockopt, |fd| sockopt::set_tcp_nodelay(fd, nodelay))
    }

    /// Whether [`TcpStream::set_nodelay`] is on.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] of `getsockopt`.
    pub fn nodelay(&self) -> Result<bool, Error> {
        self.fd.call(Call::Getsockopt, sockopt::tcp_nodelay)
    }

    /// The socket's pending error, which this clears (`SO_ERROR`).
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] of `getsockopt`.
    pub fn take_error(&self) -> Result<Option<Errno>, Error> {
        self.fd.call(Call::Getsockopt, sockopt::socket_error)
    }

    /// This end's address.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn local_addr(&self) -> Result<SocketAddr, Error> {
        inet(Call::Getsockname, &self.fd.call(Call::Getsockname, socket::getsockname)?)
    }

    /// The other end's address.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] (`ENOTCONN` when the peer has reset).
    pub fn peer_addr(&self) -> Result<SocketAddr, Error> {
        inet(Call::Getpeername, &self.fd.call(Call::Getpeername, socket::getpeername)?)
    }

    /// From when on reads fail with [`Error::TimedOut`], a waiting one included; `None`: never. It stays
    /// in force until changed, and beats data that is ready (Go: `SetReadDeadline`). Any task may set it
    /// at any time: a time in the past ends a read that another task waits in.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] if there is no memory for the timer.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.fd.set_deadline(Side::Read, deadline)
    }

    /// As [`TcpStream::set_read_deadline`], for writes.
    ///
    /// # Errors
    /// As there.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.fd.set_deadline(Side::Write, deadline)
    }

    /// As [`TcpStream::set_read_deadline`], for both directions.
    ///
    /// # Errors
    /// As there.
    pub fn set_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.fd.set_deadline(Side::Both, deadline)
    }

    /// Another handle to the same connection: the same position in the stream, the same deadlines, closed
    /// with the last handle. Costs no descriptor.
    ///
    /// # Errors
    /// None so far; the signature is std's.
    pub fn try_clone(&self) -> Result<TcpStream, Error> {
        Ok(TcpStream { fd: self.fd.clone() })
    }

    /// Closes the connection for all handles: every call parked on it returns [`Error::Closed`], as will
    /// all to come. Returns when the descriptor is really closed. Dropping the last handle closes too.
    ///
    /// # Errors
    /// [`Error::Closed`] if it was closed before.
    pub fn close(&self) -> Result<(), Error> {
        self.fd.close()
    }

    /// The descriptor's number, for socket options. Its meaning ends with [`TcpStream::close`].
    pub fn as_raw_fd(&self) -> RawFd {
        self.fd.raw()
    }
}

macro_rules! debug_as_number {
    ($($ty:ident)*) => {$(
        impl fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($ty)).field("fd", &self.fd.raw()).finish()
            }
        }
    )*};
}

debug_as_number! { TcpListener TcpStream }

pollable! {
    TcpListener: readable;
    TcpStream: readable writable;
}
