//! What can be connected and bound to.

use super::{Addrs, Error, parse};
use crate::sys::sockaddr::SockAddr;
use crate::sys::{Call, Errno};
use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Something that names socket addresses, as in std: addresses, an `ADDRESS:PORT`, a `HOST:PORT`, or host
/// and port as a pair.
///
/// The name of a host is looked up where it names a *peer*: by `connect` and `send_to`. One's own address,
/// in `bind` and `listen`, must be literal: a name may stand for several, and a listener has one (Go
/// advises against it, too). So a server has no resolver in its file. Where a name is meant,
/// [`lookup_host`](super::lookup_host) has its addresses.
pub trait ToSocketAddrs {
    /// The addresses, to be tried in order.
    type Iter: Iterator<Item = SocketAddr>;

    /// Converts what is literal.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], also for a name.
    fn to_socket_addrs(&self) -> Result<Self::Iter, Error>;

    /// The host and the port, if this is something to be looked up.
    #[inline]
    fn name(&self) -> Option<(&[u8], u16)> {
        None
    }
}

macro_rules! single {
    ($($ty:ty, $self:ident => $addr:expr;)*) => {$(
        impl ToSocketAddrs for $ty {
            type Iter = core::iter::Once<SocketAddr>;
            fn to_socket_addrs(&$self) -> Result<Self::Iter, Error> {
                Ok(core::iter::once($addr))
            }
        }
    )*};
}

single! {
    SocketAddr, self => *self;
    SocketAddrV4, self => SocketAddr::V4(*self);
    SocketAddrV6, self => SocketAddr::V6(*self);
    (IpAddr, u16), self => SocketAddr::new(self.0, self.1);
    (Ipv4Addr, u16), self => SocketAddr::new(self.0.into(), self.1);
    (Ipv6Addr, u16), self => SocketAddr::new(self.0.into(), self.1);
}

macro_rules! text {
    ($($ty:ty, $self:ident => $literal:expr, $name:expr;)*) => {$(
        impl ToSocketAddrs for $ty {
            type Iter = core::iter::Once<SocketAddr>;
            fn to_socket_addrs(&$self) -> Result<Self::Iter, Error> {
                $literal.map(core::iter::once).ok_or(Error::InvalidAddress)
            }
            fn name(&$self) -> Option<(&[u8], u16)> {
                if $literal.is_some() { None } else { $name }
            }
        }
    )*};
}

text! {
    str, self => parse::socket_addr(self.as_bytes()), parse::host_port(self.as_bytes());
    CStr, self => parse::socket_addr(self.to_bytes()), parse::host_port(self.to_bytes());
    (&str, u16), self => parse::ip(self.0.as_bytes(), self.1), Some((self.0.as_bytes(), self.1));
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = core::iter::Copied<core::slice::Iter<'a, SocketAddr>>;
    fn to_socket_addrs(&self) -> Result<Self::Iter, Error> {
        Ok(self.iter().copied())
    }
}

impl ToSocketAddrs for Addrs {
    type Iter = <Addrs as IntoIterator>::IntoIter;
    fn to_socket_addrs(&self) -> Result<Self::Iter, Error> {
        Ok((*self).into_iter())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;
    fn to_socket_addrs(&self) -> Result<T::Iter, Error> {
        (**self).to_socket_addrs()
    }
    #[inline]
    fn name(&self) -> Option<(&[u8], u16)> {
        (**self).name()
    }
}

/// What the kernel calls a socket, as the type for its kind.
pub(crate) trait Address: Sized {
    /// `call` told the name.
    fn from_sock(name: SockAddr, call: Call) -> Result<Self, Error>;
}

impl Address for SocketAddr {
    fn from_sock(name: SockAddr, call: Call) -> Result<SocketAddr, Error> {
        name.to_inet().ok_or(Error::Os(call, Errno::EAFNOSUPPORT))
    }
}

/// As [`each_addr`], for a peer, who may have a name.
pub(super) fn each_peer<T>(
    peer: impl ToSocketAddrs,
    op: impl FnMut(SocketAddr) -> Result<T, Error>,
) -> Result<T, Error> {
    match peer.name() {
        Some(_) => each_addr(&super::lookup_host(peer)?[..], op),
        None => each_addr(peer, op),
    }
}

/// Tries `op` on every address until one succeeds; the last error otherwise. Names are not looked up.
pub(super) fn each_addr<T>(
    addr: impl ToSocketAddrs,
    mut op: impl FnMut(SocketAddr) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut last = Error::InvalidAddress;
    for addr in addr.to_socket_addrs()? {
        match op(addr) {
            Ok(value) => return Ok(value),
            Err(e) => last = e,
        }
    }
    Err(last)
}
