//! Sockets that whoever started the program has opened for it (`sd_listen_fds(3)`, "socket activation"):
//! `LISTEN_FDS` of them from descriptor 3 on, for the process `LISTEN_PID`, named in `LISTEN_FDNAMES`.

use super::{
    Error, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixSeqpacket,
    UnixSeqpacketListener, UnixStream,
};
use crate::io::OwnedFd;
use crate::rt::Env;
use crate::sys::fd::{FdFlags, fcntl_getfd, fcntl_setfd};
use crate::sys::process::getpid;
use crate::sys::socket::{Family, SocketType};
use crate::sys::sockopt::{socket_acceptconn, socket_domain, socket_protocol, socket_type};
use crate::sys::{Call, Errno, RawFd};
use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::net::{IPPROTO_TCP, IPPROTO_UDP};

/// The first of them (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// The name of one that was given none, as systemd has it.
const UNKNOWN: &[u8] = b"unknown";

/// The sockets that this program was started with, by its environment. None if that has no `LISTEN_FDS`, or
/// a `LISTEN_PID` that is not this process; and none the second time, since the first call has given them
/// away. Those that nobody takes out of the iterator stay open.
///
/// ```ignore
/// for socket in netpoll::net::inherited(&env)? {
///     if let Socket::TcpListener(listener) = socket?.socket { /* serve it */ }
/// }
/// ```
///
/// All of them are closed on `execve` from here on; each is made non-blocking when it is taken.
///
/// # Errors
/// [`Error::Os`] of `fcntl`: `EINVAL` if `LISTEN_FDS` is no number; `EBADF` if there are not so many, or one
/// is this program's own, which shows by its being closed on `execve` already.
pub fn inherited(env: &Env) -> Result<Inherited, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let mut sockets = Inherited { next: FIRST, end: FIRST, names: env.var(c"LISTEN_FDNAMES") };
    let pid = env.var(c"LISTEN_PID").and_then(number);
    let Some(count) = env.var(c"LISTEN_FDS") else { return Ok(sockets) };
    if pid != Some(getpid()) || TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(sockets);
    }
    let failed = |errno| Error::Os(Call::Fcntl, errno);
    let count = number(count).and_then(|count| FIRST.checked_add(count));
    let end = count.ok_or(failed(Errno::EINVAL))?;
    for fd in FIRST..end {
        if fcntl_getfd(fd).map_err(failed)?.contains(FdFlags::CLOEXEC) {
            return Err(failed(Errno::EBADF));
        }
    }
    for fd in FIRST..end {
        fcntl_setfd(fd, FdFlags::CLOEXEC).map_err(failed)?;
    }
    sockets.end = end;
    Ok(sockets)
}

/// A decimal number, not below 0.
fn number(text: &CStr) -> Option<i32> {
    text.to_str().ok()?.parse().ok().filter(|n| *n >= 0)
}

/// The iterator of [`inherited`].
#[derive(Debug)]
pub struct Inherited {
    next: RawFd,
    end: RawFd,
    names: Option<&'static CStr>,
}

/// A socket that the program was started with, and what it is called.
#[derive(Debug)]
pub struct InheritedSocket {
    /// Its name (`FileDescriptorName=` of a systemd unit), `unknown` if it was given none.
    pub name: &'static [u8],
    /// The socket.
    pub socket: Socket,
}

/// A socket, by what can be done with it.
#[derive(Debug)]
#[allow(missing_docs)] // each is the type of its name
#[non_exhaustive]
pub enum Socket {
    TcpListener(TcpListener),
    TcpStream(TcpStream),
    UdpSocket(UdpSocket),
    UnixListener(UnixListener),
    UnixStream(UnixStream),
    UnixSeqpacketListener(UnixSeqpacketListener),
    UnixSeqpacket(UnixSeqpacket),
    UnixDatagram(UnixDatagram),
    /// None of these, or no socket at all: a FIFO, say, for [`PollFd`](crate::io::PollFd).
    Other(OwnedFd),
}

impl Socket {
    /// Takes over `fd` as what it is.
    ///
    /// # Errors
    /// As `from_raw_fd` of the types.
    ///
    /// # Safety
    /// `fd` is open, and nobody else's.
    unsafe fn new(fd: RawFd) -> Result<Socket, Error> {
        let inet = matches!(socket_domain(fd), Ok(Family::INET | Family::INET6));
        let unix = socket_domain(fd) == Ok(Family::UNIX);
        let protocol = socket_protocol(fd).unwrap_or(0) as u32;
        let (tcp, udp) = (inet && protocol == IPPROTO_TCP as u32, inet && protocol == IPPROTO_UDP as u32);
        let listens = socket_acceptconn(fd) == Ok(true);
        let ty = socket_type(fd).unwrap_or(SocketType::RAW);
        // SAFETY: the caller's contract, and the kernel has told what it is.
        unsafe {
            Ok(match (ty, listens) {
                (SocketType::STREAM, true) if tcp => Socket::TcpListener(TcpListener::from_raw_fd(fd)?),
                (SocketType::STREAM, false) if tcp => Socket::TcpStream(TcpStream::from_raw_fd(fd)?),
                (SocketType::DGRAM, _) if udp => Socket::UdpSocket(UdpSocket::from_raw_fd(fd)?),
                (SocketType::STREAM, true) if unix => Socket::UnixListener(UnixListener::from_raw_fd(fd)?),
                (SocketType::STREAM, false) if unix => Socket::UnixStream(UnixStream::from_raw_fd(fd)?),
                (SocketType::SEQPACKET, true) if unix => {
                    Socket::UnixSeqpacketListener(UnixSeqpacketListener::from_raw_fd(fd)?)
                }
                (SocketType::SEQPACKET, false) if unix => {
                    Socket::UnixSeqpacket(UnixSeqpacket::from_raw_fd(fd)?)
                }
                (SocketType::DGRAM, _) if unix => Socket::UnixDatagram(UnixDatagram::from_raw_fd(fd)?),
                _ => Socket::Other(OwnedFd::from_raw_fd(fd)),
            })
        }
    }
}

impl Iterator for Inherited {
    type Item = Result<InheritedSocket, Error>;

    /// The next socket; an error of its registration with the poller, after which it is closed.
    fn next(&mut self) -> Option<Result<InheritedSocket, Error>> {
        if self.next == self.end {
            return None;
        }
        let (fd, at) = (self.next, (self.next - FIRST) as usize);
        self.next += 1;
        let names = self.names.map_or(&b""[..], CStr::to_bytes);
        let name = names.split(|c| *c == b':').nth(at).filter(|name| !name.is_empty()).unwrap_or(UNKNOWN);
        // SAFETY: given to this program, open when `inherited` looked, and taken once.
        let socket = unsafe { Socket::new(fd) };
        Some(socket.map(|socket| InheritedSocket { name, socket }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.end - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Inherited {}
