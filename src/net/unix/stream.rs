//! Unix sockets that carry bytes.

use super::rights::passes_fds;
use super::{SocketAddr, peer_cred};
use crate::net::Error;
use crate::net::connect::connect;
use crate::net::fd::{Fd, Kind};
use crate::net::methods::methods;
use crate::net::pollable::pollable;
use crate::sys::socket::SocketType;
use crate::time::Instant;

/// A Unix socket that accepts connections.
pub struct UnixListener {
    fd: Fd,
}

methods! { UnixListener: listener(UnixStream, SocketAddr, Kind::Other), handle, raw_fd(|_| Kind::Other) }
methods! { UnixListener: local_addr(SocketAddr), socket }

impl UnixListener {
    /// Listens at `path`, where nothing may be yet.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`]; [`Error::Os`] of `socket`, `bind` (`EADDRINUSE`, `EACCES`, `ENOENT`),
    /// `listen`, or of the registration.
    pub fn bind(path: impl AsRef<[u8]>) -> Result<UnixListener, Error> {
        UnixListener::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at an address of any kind.
    ///
    /// # Errors
    /// As [`UnixListener::bind`].
    pub fn bind_addr(addr: &SocketAddr) -> Result<UnixListener, Error> {
        Ok(UnixListener { fd: super::bind(SocketType::STREAM, addr.as_sock())? })
    }
}

/// A connection between two Unix sockets.
///
/// Received descriptors that nobody asks for ([`UnixStream::recv_fds`]) are closed by the kernel.
pub struct UnixStream {
    fd: Fd,
}

methods! { UnixStream: handle, raw_fd(|_| Kind::Other), stream, connected, socket }
methods! { UnixStream: local_addr(SocketAddr), peer_addr(SocketAddr) }
peer_cred! { UnixStream }
passes_fds! { UnixStream }

impl UnixStream {
    /// Connects to the listener at `path`. Where its queue is full this tries again, up to 20 ms later each
    /// time: the kernel does not tell when there is room.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`]; [`Error::Os`] of `socket`, `connect` (`ECONNREFUSED`, `ENOENT`, `EACCES`), or
    /// of the registration.
    pub fn connect(path: impl AsRef<[u8]>) -> Result<UnixStream, Error> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to an address of any kind.
    ///
    /// # Errors
    /// As [`UnixStream::connect`].
    pub fn connect_addr(addr: &SocketAddr) -> Result<UnixStream, Error> {
        UnixStream::connect_until(addr, None)
    }

    /// As [`UnixStream::connect_addr`], until `deadline`.
    ///
    /// # Errors
    /// As there, and [`Error::TimedOut`].
    pub fn connect_deadline(addr: &SocketAddr, deadline: Instant) -> Result<UnixStream, Error> {
        UnixStream::connect_until(addr, Some(deadline))
    }

    fn connect_until(addr: &SocketAddr, deadline: Option<Instant>) -> Result<UnixStream, Error> {
        let fd = connect(addr.as_sock(), SocketType::STREAM, Kind::Other, deadline, |_| Ok(()))?;
        Ok(UnixStream { fd })
    }

    /// Two streams connected to each other, without names.
    ///
    /// # Errors
    /// [`Error::Os`] of `socketpair`, or of the registration.
    pub fn pair() -> Result<(UnixStream, UnixStream), Error> {
        let (a, b) = super::pair(SocketType::STREAM)?;
        Ok((UnixStream { fd: a }, UnixStream { fd: b }))
    }
}

pollable! {
    UnixListener: readable;
    UnixStream: readable writable;
}
