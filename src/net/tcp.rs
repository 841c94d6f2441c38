//! TCP.

use super::addr::{ToSocketAddrs, each_addr};
use super::connect::connect;
use super::fd::{Fd, Kind};
use super::methods::{methods, options};
use super::option::{self, Keepalive};
use super::pollable::pollable;
use super::{Error, builder};
use crate::sys::socket::SocketType;
use crate::sys::{RawFd, sockopt};
use crate::time::Instant;
use core::net::SocketAddr;
use core::time::Duration;

/// What short transfers mean on a TCP socket from elsewhere: nothing, if a protocol such as TLS sits on it
/// inside the kernel.
fn kind(fd: RawFd) -> Kind {
    if sockopt::tcp_has_ulp(fd) == Ok(false) { Kind::Stream } else { Kind::Other }
}

/// A socket that accepts connections.
pub struct TcpListener {
    pub(super) fd: Fd,
}

methods! { TcpListener: listener(TcpStream, SocketAddr, Kind::Stream), handle, raw_fd(|_| Kind::Other) }
methods! { TcpListener: local_addr(SocketAddr), socket }

impl TcpListener {
    /// Listens on the first of the addresses that can be bound, with `SO_REUSEADDR` as in std, so that a
    /// restarted server gets its port back at once. Port 0 is one of the kernel's choice.
    /// [`TcpBuilder`](super::TcpBuilder) has more to choose.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`]; [`Error::Os`] of `socket`, `setsockopt`, `bind` (`EADDRINUSE`, `EACCES`,
    /// `EADDRNOTAVAIL`), `listen`, or of the registration.
    pub fn bind(addr: impl ToSocketAddrs) -> Result<TcpListener, Error> {
        each_addr(addr, |addr| {
            builder::listen(&addr, builder::BACKLOG, |fd| sockopt::set_socket_reuseaddr(fd, true))
        })
    }
}

/// A connection.
pub struct TcpStream {
    pub(super) fd: Fd,
}

methods! { TcpStream: handle, raw_fd(kind), stream, connected, socket }
methods! { TcpStream: local_addr(SocketAddr), peer_addr(SocketAddr) }

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

    /// As [`TcpStream::connect_deadline`], with a time from now.
    ///
    /// # Errors
    /// As there.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> Result<TcpStream, Error> {
        TcpStream::connect_deadline(addr, Instant::now() + timeout)
    }

    fn connect_until(addr: SocketAddr, deadline: Option<Instant>) -> Result<TcpStream, Error> {
        let fd = connect(&addr.into(), SocketType::STREAM, Kind::Stream, deadline, |_| Ok(()))?;
        Ok(TcpStream { fd })
    }
}

options! { TcpListener
    /// The time to live of packets, of IPv6 the hop limit, also of connections to come.
    ttl, set_ttl: u32 = option::ttl, option::set_ttl;
}

options! { TcpStream
    /// Whether small writes go out at once instead of waiting to join others (`TCP_NODELAY`); off by default.
    nodelay, set_nodelay: bool = sockopt::tcp_nodelay, sockopt::set_tcp_nodelay;
    /// Whether received data is acknowledged at once (`TCP_QUICKACK`). The kernel falls back by itself.
    quickack, set_quickack: bool = sockopt::tcp_quickack, sockopt::set_tcp_quickack;
    /// The time to live of packets; of IPv6, the hop limit.
    ttl, set_ttl: u32 = option::ttl, option::set_ttl;
    /// How an idle connection is probed; `None`: not at all, the default.
    keepalive, set_keepalive: Option<Keepalive> = option::keepalive, option::set_keepalive;
    /// For how long closing waits for unsent data, in whole seconds; zero makes it a reset; `None`: not at all,
    /// while the kernel goes on sending.
    linger, set_linger: Option<Duration> = option::linger, option::set_linger;
}

pollable! {
    TcpListener: readable;
    TcpStream: readable writable;
}
