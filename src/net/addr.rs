//! What can be connected and bound to.

use super::Error;
use crate::sys::sockaddr::SockAddr;
use crate::sys::{Call, Errno};
use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Something that names socket addresses, as in std. Text must be a literal `ADDRESS:PORT` so far;
/// names are not looked up.
pub trait ToSocketAddrs {
    /// The addresses, to be tried in order.
    type Iter: Iterator<Item = SocketAddr>;

    /// Converts.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`].
    fn to_socket_addrs(&self) -> Result<Self::Iter, Error>;
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
    str, self => super::parse::socket_addr(self.as_bytes()).ok_or(Error::InvalidAddress)?;
    CStr, self => super::parse::socket_addr(self.to_bytes()).ok_or(Error::InvalidAddress)?;
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = core::iter::Copied<core::slice::Iter<'a, SocketAddr>>;
    fn to_socket_addrs(&self) -> Result<Self::Iter, Error> {
        Ok(self.iter().copied())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;
    fn to_socket_addrs(&self) -> Result<T::Iter, Error> {
        (**self).to_socket_addrs()
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

/// Tries `op` on every address until one succeeds; the last error otherwise.
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
