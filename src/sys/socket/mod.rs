//! Sockets: creating, naming and connecting them, and moving bytes. Options are in
//! [`sockopt`](super::sockopt), addresses in [`sockaddr`](super::sockaddr).

mod cmsg;
mod msg;

pub use cmsg::*;
pub use msg::*;

use linux_raw_sys::{general, ioctl, net as raw};
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_size, const_assert_eq};

pub use super::sockaddr::{Family, SockAddr, Storage, UnixName};
use super::{Errno, RawFd, as_int, int, ptr, result, unit};
use crate::arch;

/// How a socket carries data, `SOCK_*`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketType(pub u32);

impl SocketType {
    /// A stream of bytes.
    pub const STREAM: SocketType = SocketType(raw::SOCK_STREAM);
    /// Datagrams.
    pub const DGRAM: SocketType = SocketType(raw::SOCK_DGRAM);
    /// Datagrams in order, over a connection.
    pub const SEQPACKET: SocketType = SocketType(raw::SOCK_SEQPACKET);
    /// Packets of a protocol below (`CAP_NET_RAW`).
    pub const RAW: SocketType = SocketType(raw::SOCK_RAW);
}

bitflags::bitflags! {
    /// Flags that a new socket may be given.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[doc(alias = "SOCK_NONBLOCK")]
    pub struct SocketFlags: u32 {
        /// Close on `execve`. The kernel defines the constant as `O_CLOEXEC`.
        const CLOEXEC = general::O_CLOEXEC;
        /// `EAGAIN` instead of waiting. The kernel defines the constant as `O_NONBLOCK`.
        const NONBLOCK = general::O_NONBLOCK;
    }
}

bitflags::bitflags! {
    /// Flags of sending and receiving calls, and what [`recvmsg`] reports.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[repr(transparent)]
    #[doc(alias = "MSG_NOSIGNAL")]
    pub struct MsgFlags: u32 {
        /// Out-of-band data.
        const OOB = raw::MSG_OOB;
        /// Look, but leave the data in the queue.
        const PEEK = raw::MSG_PEEK;
        /// Straight to a host on the link.
        const DONTROUTE = raw::MSG_DONTROUTE;
        /// Reported: control data was cut off.
        const CTRUNC = raw::MSG_CTRUNC;
        /// Reported: the datagram was cut off. Asked for: return its true length.
        const TRUNC = raw::MSG_TRUNC;
        /// `EAGAIN` instead of waiting, this once.
        const DONTWAIT = raw::MSG_DONTWAIT;
        /// The end of a record.
        const EOR = raw::MSG_EOR;
        /// Wait for all that was asked for.
        const WAITALL = raw::MSG_WAITALL;
        /// The link layer got a good answer from the peer.
        const CONFIRM = raw::MSG_CONFIRM;
        /// From the queue of errors.
        const ERRQUEUE = raw::MSG_ERRQUEUE;
        /// `EPIPE` without SIGPIPE.
        const NOSIGNAL = raw::MSG_NOSIGNAL;
        /// More will follow: hold back a part of a packet.
        const MORE = raw::MSG_MORE;
        /// Received descriptors get `CLOEXEC`.
        const CMSG_CLOEXEC = raw::MSG_CMSG_CLOEXEC;
    }
}

/// Which half [`shutdown`] closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[doc(alias = "SHUT_RD")]
pub enum Shutdown {
    /// Nothing more is received.
    Read = raw::SHUT_RD,
    /// Nothing more is sent: the peer sees the end.
    Write = raw::SHUT_WR,
    /// Both.
    Both = raw::SHUT_RDWR,
}

/// socket(2): a socket without a name. `protocol` is 0 for the only or usual one.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `EAFNOSUPPORT`, `EPROTONOSUPPORT`, `EACCES`, `EINVAL`.
#[inline]
pub fn socket(family: Family, ty: SocketType, flags: SocketFlags, protocol: i32) -> Result<RawFd, Errno> {
    let ty = (ty.0 | flags.bits()) as usize;
    // SAFETY: the call takes no pointer.
    as_int(unsafe { arch::syscall3(nr::SOCKET, family.0 as usize, ty, int(protocol)) })
}

/// socketpair(2): two sockets connected to each other.
///
/// # Errors
/// As [`socket`]; `EOPNOTSUPP` (the family has no pairs).
#[inline]
pub fn socketpair(
    family: Family,
    ty: SocketType,
    flags: SocketFlags,
    protocol: i32,
) -> Result<[RawFd; 2], Errno> {
    let ty = (ty.0 | flags.bits()) as usize;
    let mut fds = [-1; 2];
    // SAFETY: the kernel writes two `int`s.
    unit(unsafe {
        arch::syscall4(nr::SOCKETPAIR, family.0 as usize, ty, int(protocol), ptr(fds.as_mut_ptr()))
    })?;
    Ok(fds)
}

/// bind(2): gives the socket its name.
///
/// # Errors
/// `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES` (port below 1024, or the path's directory), `EINVAL` (bound
/// already), `EAFNOSUPPORT`, `EBADF`, `ENOTSOCK`, and for paths those of `openat`.
#[inline]
pub fn bind(fd: RawFd, addr: &SockAddr) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` bytes, all inside the storage.
    unit(unsafe { arch::syscall3(nr::BIND, int(fd), ptr(&addr.storage), addr.as_bytes().len()) })
}

/// listen(2): lets peers connect; at most `backlog` wait to be accepted (no more than
/// `net.core.somaxconn`).
///
/// # Errors
/// `EADDRINUSE`, `EBADF`, `ENOTSOCK`, `EOPNOTSUPP`, `EINVAL` (connected).
#[inline]
pub fn listen(fd: RawFd, backlog: i32) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer.
    unit(unsafe { arch::syscall2(nr::LISTEN, int(fd), int(backlog)) })
}

/// accept4(2): takes the next connection from the queue. The peer's address costs a copy, so it is
/// written only where one is given.
///
/// # Errors
/// `EAGAIN`, `EINTR`, `ECONNABORTED` (gone before it was accepted), `EMFILE`, `ENFILE`, `ENOBUFS`,
/// `ENOMEM`, `EPERM` (firewall), `EINVAL` (not listening), `EBADF`, `ENOTSOCK`, `EOPNOTSUPP`, and on TCP the
/// network's own errors, which concern that one connection.
#[inline]
#[doc(alias = "accept")]
pub fn accept4(fd: RawFd, peer: Option<&mut SockAddr>, flags: SocketFlags) -> Result<RawFd, Errno> {
    let (addr, len) = out_param(peer);
    // SAFETY: the kernel writes at most `*len` bytes, the size of the storage; or both are null.
    as_int(unsafe { arch::syscall4(nr::ACCEPT4, int(fd), addr, len, flags.bits() as usize) })
}

/// connect(2): names the peer; for a stream this starts the connection.
///
/// # Errors
/// `EINPROGRESS` (non-blocking: under way), `EALREADY`, `EISCONN`, `ECONNREFUSED`, `ETIMEDOUT`,
/// `ENETUNREACH`, `EHOSTUNREACH`, `EADDRNOTAVAIL` (no free port), `EADDRINUSE`, `EAGAIN` (Unix: the queue is
/// full), `EINTR`, `EACCES`, `EPERM`, `EPROTOTYPE`, `EAFNOSUPPORT`, `ENOENT`, `EBADF`, `ENOTSOCK`.
#[inline]
pub fn connect(fd: RawFd, addr: &SockAddr) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` bytes, all inside the storage.
    unit(unsafe { arch::syscall3(nr::CONNECT, int(fd), ptr(&addr.storage), addr.as_bytes().len()) })
}

/// getsockname(2): the socket's own name.
///
/// # Errors
/// `EBADF`, `ENOTSOCK`, `ENOBUFS`.
#[inline]
pub fn getsockname(fd: RawFd) -> Result<SockAddr, Errno> {
    let mut name = SockAddr::empty();
    let (addr, len) = out_param(Some(&mut name));
    // SAFETY: the kernel writes at most `*len` bytes, the size of the storage.
    unit(unsafe { arch::syscall3(nr::GETSOCKNAME, int(fd), addr, len) })?;
    Ok(name)
}

/// getpeername(2): the peer's name.
///
/// # Errors
/// `ENOTCONN`, `EBADF`, `ENOTSOCK`, `ENOBUFS`.
#[inline]
pub fn getpeername(fd: RawFd) -> Result<SockAddr, Errno> {
    let mut name = SockAddr::empty();
    let (addr, len) = out_param(Some(&mut name));
    // SAFETY: the kernel writes at most `*len` bytes, the size of the storage.
    unit(unsafe { arch::syscall3(nr::GETPEERNAME, int(fd), addr, len) })?;
    Ok(name)
}

/// shutdown(2): closes one half of a connection, or both, for everyone who shares the socket.
///
/// # Errors
/// `ENOTCONN`, `EBADF`, `ENOTSOCK`.
#[inline]
pub fn shutdown(fd: RawFd, how: Shutdown) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer.
    unit(unsafe { arch::syscall2(nr::SHUTDOWN, int(fd), how as usize) })
}

/// sendto(2): sends `buf` to `addr`, or to the peer, and returns how many bytes were taken.
///
/// # Errors
/// `EAGAIN`, `EINTR`, `EPIPE` (with SIGPIPE unless `NOSIGNAL`), `ECONNRESET`, `EMSGSIZE`, `ENOTCONN`,
/// `EDESTADDRREQ`, `EISCONN`, `ENOBUFS`, `ENOMEM`, `EACCES`, `EOPNOTSUPP`, `EBADF`, `ENOTSOCK`, `EINVAL`.
#[inline]
#[doc(alias = "send")]
pub fn sendto(fd: RawFd, buf: &[u8], flags: MsgFlags, addr: Option<&SockAddr>) -> Result<usize, Errno> {
    let (addr, addr_len) = addr.map_or((0, 0), |a| (ptr(&a.storage), a.as_bytes().len()));
    let flags = flags.bits() as usize;
    // SAFETY: the kernel reads `len` bytes of the slice, and of the address what it has.
    result(unsafe {
        arch::syscall6(nr::SENDTO, int(fd), ptr(buf.as_ptr()), buf.len(), flags, addr, addr_len)
    })
}

/// recvfrom(2): receives into `buf` and returns how many bytes came (with `TRUNC`: how long the
/// datagram was, which may be more than `buf` holds); 0 on a stream is its end. The sender's address
/// is written where one is given.
///
/// # Errors
/// `EAGAIN`, `EINTR`, `ECONNRESET`, `ECONNREFUSED` (an earlier datagram was), `ENOTCONN`, `ENOMEM`,
/// `EBADF`, `ENOTSOCK`, `EINVAL`.
#[inline]
#[doc(alias = "recv")]
pub fn recvfrom(
    fd: RawFd,
    buf: &mut [u8],
    flags: MsgFlags,
    from: Option<&mut SockAddr>,
) -> Result<usize, Errno> {
    let (addr, len) = out_param(from);
    let flags = flags.bits() as usize;
    // SAFETY: the kernel writes at most `len` bytes of the slice and `*len` bytes of the storage.
    result(unsafe {
        arch::syscall6(nr::RECVFROM, int(fd), ptr(buf.as_mut_ptr()), buf.len(), flags, addr, len)
    })
}

/// Bytes of a network device's name, the zero byte at its end included.
#[doc(alias = "IFNAMSIZ")]
pub const IF_NAME: usize = raw::IFNAMSIZ as usize;

/// `struct ifreq`, as far as it is used: the device's name, then its number.
#[repr(C)]
struct IfReq {
    name: [u8; IF_NAME],
    index: i32,
    rest: [u8; 20],
}

// 40 bytes to the kernel; in linux-raw-sys it is as large as the largest address.
assert_eq_size!(IfReq, [u8; 40]);
const_assert_eq!(offset_of!(IfReq, index), offset_of!(raw::ifreq, ifr_ifru));

/// ioctl(2), `SIOCGIFINDEX`: the number of the network device with this name (padded with zero bytes). `fd` is
/// any socket. See netdevice(7).
///
/// # Errors
/// `ENODEV`, `EBADF`, `ENOTTY` (no socket).
#[inline]
#[doc(alias = "SIOCGIFINDEX")]
#[doc(alias = "if_nametoindex")]
pub fn ioctl_siocgifindex(fd: RawFd, name: [u8; IF_NAME]) -> Result<u32, Errno> {
    let mut request = IfReq { name, index: 0, rest: [0; 20] };
    // SAFETY: this request reads and writes one `struct ifreq`.
    unit(unsafe { arch::syscall3(nr::IOCTL, int(fd), ioctl::SIOCGIFINDEX as usize, ptr(&raw mut request)) })?;
    Ok(request.index as u32)
}

/// The addresses of an address's storage and of its length, which says how large the storage is; the
/// kernel replaces it by the length of what it wrote.
#[inline]
fn out_param(addr: Option<&mut SockAddr>) -> (usize, usize) {
    addr.map_or((0, 0), |addr| {
        addr.len = Storage::SIZE as u32;
        (ptr(&raw mut addr.storage), ptr(&raw mut addr.len))
    })
}
