//! `TcpBuilder`: what a TCP socket is to be before it listens or connects.

use super::addr::{ToSocketAddrs, each_addr};
use super::connect::{connect, socket_with};
use super::dns::Resolver;
use super::fd::{Fd, Kind};
use super::option::{self, Keepalive};
use super::{Error, TcpListener, TcpStream};
use crate::sys::sockaddr::SockAddr;
use crate::sys::socket::{self, SocketType};
use crate::sys::{Call, Errno, RawFd, sockopt};
use crate::time::Instant;
use core::ffi::CStr;
use core::net::SocketAddr;
use core::time::Duration;

/// Connections the kernel may queue for `accept`: as many as it allows (`net.core.somaxconn`, 4096).
pub(super) const BACKLOG: u32 = 4096;

/// A listener at `addr`; `prepare` sets options before it is bound.
pub(super) fn listen(
    addr: &SocketAddr,
    backlog: u32,
    prepare: impl FnOnce(RawFd) -> Result<(), Errno>,
) -> Result<TcpListener, Error> {
    let addr = SockAddr::from(*addr);
    let fd = socket_with(addr.family(), SocketType::STREAM, |fd| {
        prepare(fd)
            .map_err(|e| Error::Os(Call::Setsockopt, e))
            .and_then(|()| socket::bind(fd, &addr).map_err(|e| Error::Os(Call::Bind, e)))
            .and_then(|()| socket::listen(fd, backlog as i32).map_err(|e| Error::Os(Call::Listen, e)))
    })?;
    Ok(TcpListener { fd: Fd::new(fd, Kind::Other)? })
}

/// Makes TCP listeners and connections with options that must be set before they listen or connect.
/// Accepted connections inherit what is set here, as far as it concerns them.
///
/// ```ignore
/// let listener = TcpBuilder::new().reuse_port(true).nodelay(true).listen("[::]:80")?;
/// let stream = TcpBuilder::new().bind(source).connect("192.0.2.1:80")?;
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing before `listen` or `connect`"]
pub struct TcpBuilder<'a> {
    reuse_addr: Option<bool>,
    reuse_port: bool,
    backlog: u32,
    nodelay: bool,
    keepalive: Option<Keepalive>,
    linger: Option<Duration>,
    send_buffer: Option<u32>,
    recv_buffer: Option<u32>,
    ttl: Option<u32>,
    only_v6: Option<bool>,
    fast_open: Option<u32>,
    defer_accept: Option<Duration>,
    device: Option<&'a CStr>,
    source: Option<SocketAddr>,
    deadline: Option<Instant>,
}

impl Default for TcpBuilder<'_> {
    fn default() -> Self {
        TcpBuilder::new()
    }
}

impl<'a> TcpBuilder<'a> {
    /// With the kernel's choice in everything, but `reuse_addr` for listeners, as `TcpListener::bind`.
    pub const fn new() -> TcpBuilder<'a> {
        TcpBuilder {
            reuse_addr: None,
            reuse_port: false,
            backlog: BACKLOG,
            nodelay: false,
            keepalive: None,
            linger: None,
            send_buffer: None,
            recv_buffer: None,
            ttl: None,
            only_v6: None,
            fast_open: None,
            defer_accept: None,
            device: None,
            source: None,
            deadline: None,
        }
    }

    /// Whether an address may be bound that old connections still hold (`SO_REUSEADDR`).
    pub const fn reuse_addr(self, reuse: bool) -> Self {
        TcpBuilder { reuse_addr: Some(reuse), ..self }
    }

    /// Whether several listeners may share the address; the kernel deals connections out (`SO_REUSEPORT`).
    pub const fn reuse_port(self, reuse: bool) -> Self {
        TcpBuilder { reuse_port: reuse, ..self }
    }

    /// How many connections may wait to be accepted; no more than `net.core.somaxconn`, the default.
    pub const fn backlog(self, connections: u32) -> Self {
        TcpBuilder { backlog: connections, ..self }
    }

    /// Whether small writes go out at once (`TCP_NODELAY`).
    pub const fn nodelay(self, nodelay: bool) -> Self {
        TcpBuilder { nodelay, ..self }
    }

    /// How idle connections are probed.
    pub const fn keepalive(self, keepalive: Option<Keepalive>) -> Self {
        TcpBuilder { keepalive, ..self }
    }

    /// For how long closing waits for unsent data: see [`TcpStream::set_linger`].
    pub const fn linger(self, linger: Option<Duration>) -> Self {
        TcpBuilder { linger, ..self }
    }

    /// The send buffer in bytes, which the kernel doubles.
    pub const fn send_buffer_size(self, bytes: u32) -> Self {
        TcpBuilder { send_buffer: Some(bytes), ..self }
    }

    /// The receive buffer in bytes, which the kernel doubles. Set before connecting it bounds the window.
    pub const fn recv_buffer_size(self, bytes: u32) -> Self {
        TcpBuilder { recv_buffer: Some(bytes), ..self }
    }

    /// The time to live of packets, 1 to 255; of IPv6, the hop limit.
    pub const fn ttl(self, ttl: u32) -> Self {
        TcpBuilder { ttl: Some(ttl), ..self }
    }

    /// Whether a listener at `[::]` leaves IPv4 alone. Nothing to IPv4 addresses.
    pub const fn only_v6(self, only: bool) -> Self {
        TcpBuilder { only_v6: Some(only), ..self }
    }

    /// Data in the first packet (RFC 7413): a listener lets so many such connections wait; one that
    /// connects returns at once, where it knows the peer's cookie, and its first write is sent along.
    pub const fn fast_open(self, queue: u32) -> Self {
        TcpBuilder { fast_open: Some(queue), ..self }
    }

    /// For how long a listener waits for data before it reports a connection, in whole seconds
    /// (`TCP_DEFER_ACCEPT`).
    pub const fn defer_accept(self, time: Duration) -> Self {
        TcpBuilder { defer_accept: Some(time), ..self }
    }

    /// Only over this network device (`SO_BINDTODEVICE`).
    pub const fn bind_device(self, name: &'a CStr) -> Self {
        TcpBuilder { device: Some(name), ..self }
    }

    /// Connects from this address. Port 0 is chosen with the peer in view, so that there are more to choose
    /// from (`IP_BIND_ADDRESS_NO_PORT`).
    pub const fn bind(self, source: SocketAddr) -> Self {
        TcpBuilder { source: Some(source), ..self }
    }

    /// Until when `connect` may take, the lookup of a name included.
    pub const fn deadline(self, deadline: Instant) -> Self {
        TcpBuilder { deadline: Some(deadline), ..self }
    }

    /// Listens on the first of the addresses that can be bound.
    ///
    /// # Errors
    /// As [`TcpListener::bind`]; [`Error::Os`] of `setsockopt` (`EINVAL` for a value out of range, `EPERM`,
    /// `ENODEV`).
    pub fn listen(&self, addr: impl ToSocketAddrs) -> Result<TcpListener, Error> {
        each_addr(addr, |addr| {
            listen(&addr, self.backlog.min(i32::MAX as u32), |fd| {
                sockopt::set_socket_reuseaddr(fd, self.reuse_addr.unwrap_or(true))?;
                if let Some(queue) = self.fast_open {
                    sockopt::set_tcp_fastopen(fd, queue)?;
                }
                if let Some(time) = self.defer_accept {
                    sockopt::set_tcp_defer_accept(fd, option::seconds(time))?;
                }
                self.prepare(fd, &addr)
            })
        })
    }

    /// Connects to the first of the addresses that answers; a name is looked up, as by
    /// [`TcpStream::connect`]. Parks until then.
    ///
    /// # Errors
    /// As [`TcpStream::connect`], [`Error::TimedOut`]; [`Error::Os`] of `setsockopt` and `bind`.
    pub fn connect(&self, addr: impl ToSocketAddrs) -> Result<TcpStream, Error> {
        let prepare = |fd, addr: &SocketAddr| {
            self.prepare_connect(fd, addr).map_err(|e| Error::Os(Call::Setsockopt, e))?;
            self.source.map_or(Ok(()), |source| {
                socket::bind(fd, &source.into()).map_err(|e| Error::Os(Call::Bind, e))
            })
        };
        if addr.name().is_some() {
            let resolver = Resolver::new();
            return self.deadline.map_or(resolver, |at| resolver.deadline(at)).connect_with(addr, prepare);
        }
        each_addr(addr, |addr| {
            let prepare = |fd| prepare(fd, &addr);
            let fd = connect(&addr.into(), SocketType::STREAM, Kind::Stream, self.deadline, prepare)?;
            Ok(TcpStream { fd })
        })
    }

    fn prepare_connect(&self, fd: RawFd, addr: &SocketAddr) -> Result<(), Errno> {
        if let Some(reuse) = self.reuse_addr {
            sockopt::set_socket_reuseaddr(fd, reuse)?;
        }
        if self.fast_open.is_some() {
            sockopt::set_tcp_fastopen_connect(fd, true)?;
        }
        if self.source.is_some_and(|source| source.port() == 0) {
            sockopt::set_ip_bind_address_no_port(fd, true)?;
        }
        self.prepare(fd, addr)
    }

    /// What listeners and connections have alike.
    fn prepare(&self, fd: RawFd, addr: &SocketAddr) -> Result<(), Errno> {
        fn set<T>(
            fd: RawFd,
            value: Option<T>,
            set: impl FnOnce(RawFd, T) -> Result<(), Errno>,
        ) -> Result<(), Errno> {
            value.map_or(Ok(()), |value| set(fd, value))
        }
        set(fd, self.reuse_port.then_some(true), sockopt::set_socket_reuseport)?;
        set(fd, self.nodelay.then_some(true), sockopt::set_tcp_nodelay)?;
        set(fd, self.keepalive.map(Some), option::set_keepalive)?;
        set(fd, self.linger.map(Some), option::set_linger)?;
        set(fd, self.send_buffer, sockopt::set_socket_sndbuf)?;
        set(fd, self.recv_buffer, sockopt::set_socket_rcvbuf)?;
        set(fd, self.ttl, option::set_ttl)?;
        set(fd, self.only_v6.filter(|_| addr.is_ipv6()), sockopt::set_ipv6_v6only)?;
        set(fd, self.device, sockopt::set_socket_bindtodevice)
    }
}
