//! Unix sockets that carry messages over a connection.

use super::rights::passes_fds;
use super::{SocketAddr, peer_cred};
use crate::net::Error;
use crate::net::connect::connect;
use crate::net::fd::{Fd, Kind};
use crate::net::methods::methods;
use crate::net::pollable::pollable;
use crate::sys::socket::SocketType;
use crate::time::Instant;

/// A Unix socket that accepts connections of messages.
pub struct UnixSeqpacketListener {
    fd: Fd,
}

methods! {
    UnixSeqpacketListener: listener(UnixSeqpacket, SocketAddr, Kind::Other), handle, raw_fd(|_| Kind::Other),
    local_addr(SocketAddr), socket
}

impl UnixSeqpacketListener {
    /// Listens at `path`, where nothing may be yet.
    ///
    /// # Errors
    /// As [`UnixListener::bind`](super::UnixListener::bind).
    pub fn bind(path: impl AsRef<[u8]>) -> Result<UnixSeqpacketListener, Error> {
        UnixSeqpacketListener::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at an address of any kind.
    ///
    /// # Errors
    /// As [`UnixSeqpacketListener::bind`].
    pub fn bind_addr(addr: &SocketAddr) -> Result<UnixSeqpacketListener, Error> {
        Ok(UnixSeqpacketListener { fd: super::bind(SocketType::SEQPACKET, addr.as_sock())? })
    }
}

/// A connection between two Unix sockets that keeps the bounds of messages: each `send` is one `recv`, in
/// order. `recv` returns 0 at the end, and for an empty message; so a protocol had better have none.
pub struct UnixSeqpacket {
    fd: Fd,
}

methods! { UnixSeqpacket: handle, raw_fd(|_| Kind::Other), datagrams, deadlines, connected, socket }
methods! { UnixSeqpacket: local_addr(SocketAddr), peer_addr(SocketAddr) }
peer_cred! { UnixSeqpacket }
passes_fds! { UnixSeqpacket }

impl UnixSeqpacket {
    /// Connects to the listener at `path`.
    ///
    /// # Errors
    /// As [`UnixStream::connect`](super::UnixStream::connect).
    pub fn connect(path: impl AsRef<[u8]>) -> Result<UnixSeqpacket, Error> {
        UnixSeqpacket::connect_until(&SocketAddr::from_pathname(path)?, None)
    }

    /// Connects to an address of any kind.
    ///
    /// # Errors
    /// As [`UnixSeqpacket::connect`].
    pub fn connect_addr(addr: &SocketAddr) -> Result<UnixSeqpacket, Error> {
        UnixSeqpacket::connect_until(addr, None)
    }

    /// As [`UnixSeqpacket::connect_addr`], until `deadline`.
    ///
    /// # Errors
    /// As there, and [`Error::TimedOut`].
    pub fn connect_deadline(addr: &SocketAddr, deadline: Instant) -> Result<UnixSeqpacket, Error> {
        UnixSeqpacket::connect_until(addr, Some(deadline))
    }

    fn connect_until(addr: &SocketAddr, deadline: Option<Instant>) -> Result<UnixSeqpacket, Error> {
        let fd = connect(addr.as_sock(), SocketType::SEQPACKET, Kind::Other, deadline, |_| Ok(()))?;
        Ok(UnixSeqpacket { fd })
    }

    /// Two sockets connected to each other, without names.
    ///
    /// # Errors
    /// [`Error::Os`] of `socketpair`, or of the registration.
    pub fn pair() -> Result<(UnixSeqpacket, UnixSeqpacket), Error> {
        let (a, b) = super::pair(SocketType::SEQPACKET)?;
        Ok((UnixSeqpacket { fd: a }, UnixSeqpacket { fd: b }))
    }
}

pollable! {
    UnixSeqpacketListener: readable;
    UnixSeqpacket: readable writable;
}
