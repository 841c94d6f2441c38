//! UDP.

mod batch;

pub use batch::{BATCH, RecvDatagram, SendDatagram};

use super::Error;
use super::addr::{ToSocketAddrs, each_addr};
use super::connect::socket_with;
use super::fd::{Fd, Kind};
use super::methods::{methods, options};
use super::option;
use crate::net::pollable::pollable;
use crate::sys::sockaddr::SockAddr;
use crate::sys::socket::{self, SocketType};
use crate::sys::{Call, sockopt};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that sends and receives datagrams, to and from anybody, or a peer alone
/// ([`UdpSocket::connect`]).
///
/// A datagram without bytes is one, not an end. That an earlier datagram was refused
/// (`ECONNREFUSED`, where there is a peer) fails one call, and does not keep the next from succeeding.
pub struct UdpSocket {
    fd: Fd,
}

methods! {
    UdpSocket: handle, raw_fd(|_| Kind::Other), datagrams, datagrams_from(SocketAddr), deadlines, socket,
    local_addr(SocketAddr), peer_addr(SocketAddr)
}

options! { UdpSocket
    /// Whether datagrams may go to broadcast addresses (`SO_BROADCAST`); off by default.
    broadcast, set_broadcast: bool = sockopt::socket_broadcast, sockopt::set_socket_broadcast;
    /// The time to live of packets; of IPv6, the hop limit.
    ttl, set_ttl: u32 = option::ttl, option::set_ttl;
    /// Whether one's own multicast packets come back, of IPv4.
    multicast_loop_v4, set_multicast_loop_v4: bool
        = sockopt::ip_multicast_loop, sockopt::set_ip_multicast_loop;
    /// The time to live of multicast packets of IPv4; 1 by default.
    multicast_ttl_v4, set_multicast_ttl_v4: u32 = sockopt::ip_multicast_ttl, sockopt::set_ip_multicast_ttl;
    /// Whether one's own multicast packets come back, of IPv6.
    multicast_loop_v6, set_multicast_loop_v6: bool
        = sockopt::ipv6_multicast_loop, sockopt::set_ipv6_multicast_loop;
    /// The hop limit of multicast packets of IPv6; 1 by default.
    multicast_hops_v6, set_multicast_hops_v6: u32
        = sockopt::ipv6_multicast_hops, sockopt::set_ipv6_multicast_hops;
}

impl UdpSocket {
    /// A socket at the first of the addresses that can be bound. Port 0 is one of the kernel's choice.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`]; [`Error::Os`] of `socket`, `bind` (`EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`), or
    /// of the registration.
    pub fn bind(addr: impl ToSocketAddrs) -> Result<UdpSocket, Error> {
        each_addr(addr, |addr| {
            let addr = SockAddr::from(addr);
            let fd = socket_with(addr.family(), SocketType::DGRAM, |fd| {
                socket::bind(fd, &addr).map_err(|e| Error::Os(Call::Bind, e))
            })?;
            Ok(UdpSocket { fd: Fd::new(fd, Kind::Other)? })
        })
    }

    /// Makes the first of the addresses that will do the peer: `send` goes there, and only from there is
    /// received. Nothing is sent by that.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::Closed`], [`Error::Os`] of `connect` (`ENETUNREACH`).
    pub fn connect(&self, addr: impl ToSocketAddrs) -> Result<(), Error> {
        each_addr(addr, |addr| self.fd.call(Call::Connect, |fd| socket::connect(fd, &addr.into())))
    }

    /// Sends a datagram to the first of the addresses, and returns its length. Parks while the send buffer
    /// is full.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::TimedOut`], [`Error::Closed`]; [`Error::Os`] of `sendto` (`EMSGSIZE`,
    /// `ENETUNREACH`, `EACCES`; `ECONNREFUSED` of an earlier one).
    pub fn send_to(&self, buf: &[u8], addr: impl ToSocketAddrs) -> Result<usize, Error> {
        let addr = addr.to_socket_addrs()?.next().ok_or(Error::InvalidAddress)?;
        self.fd.send_to(buf, &addr.into())
    }

    /// Receives what is sent to `group`, over the device with the address `interface` (all zeros: any).
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] of `setsockopt` (`EADDRINUSE` if joined already, `ENODEV`).
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> Result<(), Error> {
        self.fd.call(Call::Setsockopt, |fd| sockopt::set_ip_add_membership(fd, *group, *interface))
    }

    /// Undoes [`UdpSocket::join_multicast_v4`].
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] of `setsockopt` (`EADDRNOTAVAIL` if not joined).
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> Result<(), Error> {
        self.fd.call(Call::Setsockopt, |fd| sockopt::set_ip_drop_membership(fd, *group, *interface))
    }

    /// Receives what is sent to `group`, over device number `interface` (0: any).
    ///
    /// # Errors
    /// As [`UdpSocket::join_multicast_v4`].
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> Result<(), Error> {
        self.fd.call(Call::Setsockopt, |fd| sockopt::set_ipv6_add_membership(fd, *group, interface))
    }

    /// Undoes [`UdpSocket::join_multicast_v6`].
    ///
    /// # Errors
    /// As [`UdpSocket::leave_multicast_v4`].
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> Result<(), Error> {
        self.fd.call(Call::Setsockopt, |fd| sockopt::set_ipv6_drop_membership(fd, *group, interface))
    }
}

pollable! {
    UdpSocket: readable writable;
}
