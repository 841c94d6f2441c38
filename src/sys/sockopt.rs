//! getsockopt(2) and setsockopt(2), one pair of functions an option; the names say level and option
//! (`tcp_nodelay` is `TCP_NODELAY` at `SOL_TCP`).
//!
//! Unless stated otherwise a function fails with `EBADF`, `ENOTSOCK`, `ENOPROTOOPT` (not for this kind of
//! socket, or not in this kernel), `EOPNOTSUPP`, `EINVAL` (value out of range).

use core::ffi::CStr;
use core::net::{Ipv4Addr, Ipv6Addr};

use linux_raw_sys::net as raw;
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_size, const_assert_eq};

use super::sockaddr::Family;
use super::socket::SocketType;
use super::{Errno, RawFd, int, ptr, unit};
use crate::arch;

/// getsockopt(2) as it is: writes the option's value to the front of `value` and returns its length.
///
/// # Safety
/// The option's value has no address in it for the kernel to write to, as that of `TCP_ZEROCOPY_RECEIVE` has.
#[inline]
pub unsafe fn getsockopt(fd: RawFd, level: u32, name: u32, value: &mut [u8]) -> Result<usize, Errno> {
    let mut len = u32::try_from(value.len()).unwrap_or(i32::MAX as u32);
    // SAFETY: the kernel writes at most `len` bytes, all inside the slice, and nothing else (contract).
    unit(unsafe {
        arch::syscall5(
            nr::GETSOCKOPT,
            int(fd),
            level as usize,
            name as usize,
            ptr(value.as_mut_ptr()),
            ptr(&raw mut len),
        )
    })?;
    Ok(len as usize)
}

/// setsockopt(2) as it is: sets an option to the bytes of `value`.
///
/// # Safety
/// The option's value has no address in it of memory that the kernel reads, or writes later, as those of
/// `SO_ATTACH_FILTER` and `XDP_UMEM_REG` have.
#[inline]
pub unsafe fn setsockopt(fd: RawFd, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads at most `len` bytes, all inside the slice, and nothing else (contract).
    unit(unsafe {
        arch::syscall5(
            nr::SETSOCKOPT,
            int(fd),
            level as usize,
            name as usize,
            ptr(value.as_ptr()),
            value.len(),
        )
    })
}

/// [`getsockopt`] for the options of this file.
#[inline]
fn get(fd: RawFd, level: u32, name: u32, value: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: none of their values has an address in it.
    unsafe { getsockopt(fd, level, name, value) }
}

/// [`setsockopt`] for the options of this file.
#[inline]
fn set(fd: RawFd, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: as in `get`.
    unsafe { setsockopt(fd, level, name, value) }
}

/// The value of an option that is one C `int`.
#[inline]
fn get_int(fd: RawFd, level: u32, name: u32) -> Result<i32, Errno> {
    let mut value = [0; 4];
    get(fd, level, name, &mut value)?;
    Ok(i32::from_ne_bytes(value))
}

/// Sets an option that is one C `int`.
#[inline]
fn set_int(fd: RawFd, level: u32, name: u32, value: i32) -> Result<(), Errno> {
    set(fd, level, name, &value.to_ne_bytes())
}

/// What a C `int` stands for.
trait OptionValue: Sized {
    fn from_int(value: i32) -> Self;
    /// `None`: no such value can be meant.
    fn to_int(self) -> Option<i32>;
}

impl OptionValue for bool {
    fn from_int(value: i32) -> bool {
        value != 0
    }
    fn to_int(self) -> Option<i32> {
        Some(self.into())
    }
}

impl OptionValue for u32 {
    fn from_int(value: i32) -> u32 {
        value as u32
    }
    fn to_int(self) -> Option<i32> {
        i32::try_from(self).ok()
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* pub fn $get:ident, pub fn $set:ident: $ty:ty = $level:ident, $name:ident;)*) => {$(
        $(#[$doc])*
        #[doc = ""]
        #[doc = concat!("`", stringify!($name), "` at level `", stringify!($level), "`.")]
        #[inline]
        pub fn $get(fd: RawFd) -> Result<$ty, Errno> {
            get_int(fd, raw::$level, raw::$name).map(OptionValue::from_int)
        }

        #[doc = concat!("Sets what [`", stringify!($get), "`] reads.")]
        #[inline]
        pub fn $set(fd: RawFd, value: $ty) -> Result<(), Errno> {
            set_int(fd, raw::$level, raw::$name, value.to_int().ok_or(Errno::EINVAL)?)
        }
    )*};
}

options! {
    /// Whether `bind` may take an address that old connections still hold. socket(7)
    pub fn socket_reuseaddr, pub fn set_socket_reuseaddr: bool = SOL_SOCKET, SO_REUSEADDR;
    /// Whether several sockets may bind one address and share what comes. socket(7)
    pub fn socket_reuseport, pub fn set_socket_reuseport: bool = SOL_SOCKET, SO_REUSEPORT;
    /// Whether datagrams may go to broadcast addresses. socket(7)
    pub fn socket_broadcast, pub fn set_socket_broadcast: bool = SOL_SOCKET, SO_BROADCAST;
    /// Whether an idle connection is probed. socket(7)
    pub fn socket_keepalive, pub fn set_socket_keepalive: bool = SOL_SOCKET, SO_KEEPALIVE;
    /// The send buffer in bytes; the kernel doubles what is set. socket(7)
    pub fn socket_sndbuf, pub fn set_socket_sndbuf: u32 = SOL_SOCKET, SO_SNDBUF;
    /// The receive buffer in bytes; the kernel doubles what is set. socket(7)
    pub fn socket_rcvbuf, pub fn set_socket_rcvbuf: u32 = SOL_SOCKET, SO_RCVBUF;
    /// Whether messages bring the sender's credentials. unix(7)
    pub fn socket_passcred, pub fn set_socket_passcred: bool = SOL_SOCKET, SO_PASSCRED;
    /// Microseconds to poll the network device before sleeping. socket(7)
    pub fn socket_busy_poll, pub fn set_socket_busy_poll: u32 = SOL_SOCKET, SO_BUSY_POLL;
    /// Whether busy polling is preferred to interrupts. Linux 5.11.
    pub fn socket_prefer_busy_poll, pub fn set_socket_prefer_busy_poll: bool = SOL_SOCKET, SO_PREFER_BUSY_POLL;
    /// The CPU that received last; as set, the one this socket takes connections of. socket(7)
    pub fn socket_incoming_cpu, pub fn set_socket_incoming_cpu: u32 = SOL_SOCKET, SO_INCOMING_CPU;
    /// Whether small segments go out at once. tcp(7)
    pub fn tcp_nodelay, pub fn set_tcp_nodelay: bool = SOL_TCP, TCP_NODELAY;
    /// Whether partial segments are held back. tcp(7)
    pub fn tcp_cork, pub fn set_tcp_cork: bool = SOL_TCP, TCP_CORK;
    /// Seconds of silence before the first keep-alive probe. tcp(7)
    pub fn tcp_keepidle, pub fn set_tcp_keepidle: u32 = SOL_TCP, TCP_KEEPIDLE;
    /// Seconds between keep-alive probes. tcp(7)
    pub fn tcp_keepintvl, pub fn set_tcp_keepintvl: u32 = SOL_TCP, TCP_KEEPINTVL;
    /// Unanswered probes before the connection is given up. tcp(7)
    pub fn tcp_keepcnt, pub fn set_tcp_keepcnt: u32 = SOL_TCP, TCP_KEEPCNT;
    /// Milliseconds that sent data may stay unacknowledged; 0: the system's default. tcp(7)
    pub fn tcp_user_timeout, pub fn set_tcp_user_timeout: u32 = SOL_TCP, TCP_USER_TIMEOUT;
    /// Seconds that a listener waits for data before it reports a connection. tcp(7)
    pub fn tcp_defer_accept, pub fn set_tcp_defer_accept: u32 = SOL_TCP, TCP_DEFER_ACCEPT;
    /// A listener's queue for connections that bring data with the SYN. tcp(7)
    pub fn tcp_fastopen, pub fn set_tcp_fastopen: u32 = SOL_TCP, TCP_FASTOPEN;
    /// Whether `connect` leaves the handshake to the first write, which goes along. tcp(7), Linux 4.11.
    pub fn tcp_fastopen_connect, pub fn set_tcp_fastopen_connect: bool = SOL_TCP, TCP_FASTOPEN_CONNECT;
    /// Whether acknowledgements go out at once; the kernel falls back by itself. tcp(7)
    pub fn tcp_quickack, pub fn set_tcp_quickack: bool = SOL_TCP, TCP_QUICKACK;
    /// Bytes that may lie unsent before the socket counts as full. tcp(7)
    pub fn tcp_notsent_lowat, pub fn set_tcp_notsent_lowat: u32 = SOL_TCP, TCP_NOTSENT_LOWAT;
    /// The time to live of packets; setting takes 1 to 255. ip(7)
    pub fn ip_ttl, pub fn set_ip_ttl: u32 = SOL_IP, IP_TTL;
    /// The time to live of multicast packets. ip(7)
    pub fn ip_multicast_ttl, pub fn set_ip_multicast_ttl: u32 = SOL_IP, IP_MULTICAST_TTL;
    /// Whether one's own multicast packets come back. ip(7)
    pub fn ip_multicast_loop, pub fn set_ip_multicast_loop: bool = SOL_IP, IP_MULTICAST_LOOP;
    /// Whether `bind` to port 0 leaves the port to `connect`. ip(7)
    pub fn ip_bind_address_no_port, pub fn set_ip_bind_address_no_port: bool = SOL_IP, IP_BIND_ADDRESS_NO_PORT;
    /// Whether the socket is for IPv6 alone and not for mapped IPv4 addresses, too. ipv6(7)
    pub fn ipv6_v6only, pub fn set_ipv6_v6only: bool = SOL_IPV6, IPV6_V6ONLY;
    /// The hop limit of packets. ipv6(7)
    pub fn ipv6_unicast_hops, pub fn set_ipv6_unicast_hops: u32 = SOL_IPV6, IPV6_UNICAST_HOPS;
    /// The hop limit of multicast packets. ipv6(7)
    pub fn ipv6_multicast_hops, pub fn set_ipv6_multicast_hops: u32 = SOL_IPV6, IPV6_MULTICAST_HOPS;
    /// Whether one's own multicast packets come back. ipv6(7)
    pub fn ipv6_multicast_loop, pub fn set_ipv6_multicast_loop: bool = SOL_IPV6, IPV6_MULTICAST_LOOP;
}

/// `SO_ERROR`: takes the pending error, as after a non-blocking `connect`. socket(7)
#[inline]
#[doc(alias = "SO_ERROR")]
pub fn socket_error(fd: RawFd) -> Result<Option<Errno>, Errno> {
    let n = get_int(fd, raw::SOL_SOCKET, raw::SO_ERROR)?;
    Ok((n != 0).then(|| Errno::from_raw(n)))
}

/// `SO_TYPE`: how the socket carries data. socket(7)
#[inline]
#[doc(alias = "SO_TYPE")]
pub fn socket_type(fd: RawFd) -> Result<SocketType, Errno> {
    get_int(fd, raw::SOL_SOCKET, raw::SO_TYPE).map(|n| SocketType(n as u32))
}

/// `SO_DOMAIN`: the address family. socket(7)
#[inline]
#[doc(alias = "SO_DOMAIN")]
pub fn socket_domain(fd: RawFd) -> Result<Family, Errno> {
    get_int(fd, raw::SOL_SOCKET, raw::SO_DOMAIN).map(|n| Family(n as u16))
}

/// `SO_PROTOCOL`: the protocol's number. socket(7)
#[inline]
#[doc(alias = "SO_PROTOCOL")]
pub fn socket_protocol(fd: RawFd) -> Result<i32, Errno> {
    get_int(fd, raw::SOL_SOCKET, raw::SO_PROTOCOL)
}

/// `SO_ACCEPTCONN`: whether the socket listens. socket(7)
#[inline]
#[doc(alias = "SO_ACCEPTCONN")]
pub fn socket_acceptconn(fd: RawFd) -> Result<bool, Errno> {
    get_int(fd, raw::SOL_SOCKET, raw::SO_ACCEPTCONN).map(|n| n != 0)
}

/// `SO_LINGER`: for how many seconds `close` waits for unsent data; `None`: not at all, while the kernel
/// goes on sending; 0 resets the connection. socket(7)
#[inline]
#[doc(alias = "SO_LINGER")]
pub fn socket_linger(fd: RawFd) -> Result<Option<u32>, Errno> {
    let mut value = [0; 8];
    get(fd, raw::SOL_SOCKET, raw::SO_LINGER, &mut value)?;
    let [a, b, c, d, seconds @ ..] = value;
    Ok(([a, b, c, d] != [0; 4]).then(|| u32::from_ne_bytes(seconds)))
}

/// Sets what [`socket_linger`] reads.
#[inline]
#[doc(alias = "SO_LINGER")]
pub fn set_socket_linger(fd: RawFd, seconds: Option<u32>) -> Result<(), Errno> {
    let mut value = [0; 8];
    value[..4].copy_from_slice(&u32::from(seconds.is_some()).to_ne_bytes());
    value[4..].copy_from_slice(&seconds.unwrap_or(0).to_ne_bytes());
    set(fd, raw::SOL_SOCKET, raw::SO_LINGER, &value)
}

const_assert_eq!(offset_of!(raw::linger, l_onoff), 0);
const_assert_eq!(offset_of!(raw::linger, l_linger), 4);
assert_eq_size!(raw::linger, [u8; 8]);

/// `SO_BINDTODEVICE`: ties the socket to the network device `name`; an empty name unties it. socket(7)
///
/// # Errors
/// Also `ENODEV`, `EPERM`.
#[inline]
#[doc(alias = "SO_BINDTODEVICE")]
pub fn set_socket_bindtodevice(fd: RawFd, name: &CStr) -> Result<(), Errno> {
    set(fd, raw::SOL_SOCKET, raw::SO_BINDTODEVICE, name.to_bytes_with_nul())
}

/// Who is at the other end of a Unix socket, as of `connect` or `socketpair`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "ucred")]
pub struct Ucred {
    /// The process; 0 if it is not visible from here.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// `SO_PEERCRED`: the credentials of the peer. unix(7)
#[inline]
#[doc(alias = "SO_PEERCRED")]
pub fn socket_peercred(fd: RawFd) -> Result<Ucred, Errno> {
    let mut value = [0; 12];
    get(fd, raw::SOL_SOCKET, raw::SO_PEERCRED, &mut value)?;
    let [a, b, c, d, e, f, g, h, gid @ ..] = value;
    Ok(Ucred {
        pid: i32::from_ne_bytes([a, b, c, d]),
        uid: u32::from_ne_bytes([e, f, g, h]),
        gid: u32::from_ne_bytes(gid),
    })
}

const_assert_eq!(offset_of!(raw::ucred, pid), 0);
const_assert_eq!(offset_of!(raw::ucred, uid), 4);
const_assert_eq!(offset_of!(raw::ucred, gid), 8);
assert_eq_size!(raw::ucred, [u8; 12]);

/// `TCP_ULP`: whether a protocol such as TLS sits on the connection inside the kernel, where a read that
/// comes back short does not mean that the queue is empty.
#[inline]
#[doc(alias = "TCP_ULP")]
pub fn tcp_has_ulp(fd: RawFd) -> Result<bool, Errno> {
    /// `TCP_ULP_NAME_MAX` of the kernel.
    const NAME_MAX: usize = 16;
    let mut name = [0; NAME_MAX];
    get(fd, raw::SOL_TCP, raw::TCP_ULP, &mut name).map(|len| len != 0 && name[0] != 0)
}

/// `IP_ADD_MEMBERSHIP`: joins a multicast group on the device with the address `interface` (all zeros:
/// any). ip(7)
#[inline]
#[doc(alias = "IP_ADD_MEMBERSHIP")]
pub fn set_ip_add_membership(fd: RawFd, group: Ipv4Addr, interface: Ipv4Addr) -> Result<(), Errno> {
    set(fd, raw::SOL_IP, raw::IP_ADD_MEMBERSHIP, &ip_mreq(group, interface))
}

/// `IP_DROP_MEMBERSHIP`: leaves a multicast group. ip(7)
#[inline]
#[doc(alias = "IP_DROP_MEMBERSHIP")]
pub fn set_ip_drop_membership(fd: RawFd, group: Ipv4Addr, interface: Ipv4Addr) -> Result<(), Errno> {
    set(fd, raw::SOL_IP, raw::IP_DROP_MEMBERSHIP, &ip_mreq(group, interface))
}

/// `IPV6_ADD_MEMBERSHIP`: joins a multicast group on the device number `interface` (0: any). ipv6(7)
#[inline]
#[doc(alias = "IPV6_ADD_MEMBERSHIP")]
#[doc(alias = "IPV6_JOIN_GROUP")]
pub fn set_ipv6_add_membership(fd: RawFd, group: Ipv6Addr, interface: u32) -> Result<(), Errno> {
    set(fd, raw::SOL_IPV6, raw::IPV6_ADD_MEMBERSHIP, &ipv6_mreq(group, interface))
}

/// `IPV6_DROP_MEMBERSHIP`: leaves a multicast group. ipv6(7)
#[inline]
#[doc(alias = "IPV6_DROP_MEMBERSHIP")]
#[doc(alias = "IPV6_LEAVE_GROUP")]
pub fn set_ipv6_drop_membership(fd: RawFd, group: Ipv6Addr, interface: u32) -> Result<(), Errno> {
    set(fd, raw::SOL_IPV6, raw::IPV6_DROP_MEMBERSHIP, &ipv6_mreq(group, interface))
}

/// `struct ip_mreq`, in network order.
fn ip_mreq(group: Ipv4Addr, interface: Ipv4Addr) -> [u8; 8] {
    let mut out = [0; 8];
    out[..4].copy_from_slice(&group.octets());
    out[4..].copy_from_slice(&interface.octets());
    out
}

/// `struct ipv6_mreq`.
fn ipv6_mreq(group: Ipv6Addr, interface: u32) -> [u8; 20] {
    let mut out = [0; 20];
    out[..16].copy_from_slice(&group.octets());
    out[16..].copy_from_slice(&interface.to_ne_bytes());
    out
}

const_assert_eq!(offset_of!(raw::ip_mreq, imr_multiaddr), 0);
const_assert_eq!(offset_of!(raw::ip_mreq, imr_interface), 4);
assert_eq_size!(raw::ip_mreq, [u8; 8]);
const_assert_eq!(offset_of!(raw::ipv6_mreq, ipv6mr_multiaddr), 0);
const_assert_eq!(offset_of!(raw::ipv6_mreq, ipv6mr_ifindex), 16);
assert_eq_size!(raw::ipv6_mreq, [u8; 20]);
