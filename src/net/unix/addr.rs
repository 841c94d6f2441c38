//! Names of Unix sockets.

use crate::net::Error;
use crate::net::addr::Address;
use crate::sys::sockaddr::{SockAddr, UnixName};
use crate::sys::{Call, Errno};
use core::fmt;

/// What a Unix socket is called: a path in the file system, an abstract name, or nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SocketAddr(SockAddr);

impl SocketAddr {
    /// The longest path or abstract name, in bytes.
    pub const MAX: usize = SockAddr::UNIX_MAX;

    /// The socket at `path`.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] if it is empty, longer than [`SocketAddr::MAX`], or has a zero byte in it.
    pub fn from_pathname(path: impl AsRef<[u8]>) -> Result<SocketAddr, Error> {
        SockAddr::unix(path.as_ref()).map(SocketAddr).map_err(|_| Error::InvalidAddress)
    }

    /// The socket with a name outside the file system, which is gone with the socket. Any bytes will do.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] if it is longer than [`SocketAddr::MAX`].
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> Result<SocketAddr, Error> {
        SockAddr::unix_abstract(name.as_ref()).map(SocketAddr).map_err(|_| Error::InvalidAddress)
    }

    /// No name: what is bound to it gets an abstract name of the kernel's choice.
    pub fn unnamed() -> SocketAddr {
        SocketAddr(SockAddr::unix_unnamed())
    }

    /// Whether it is no name.
    pub fn is_unnamed(&self) -> bool {
        self.name() == UnixName::Unnamed
    }

    /// The path, if it is one.
    pub fn as_pathname(&self) -> Option<&[u8]> {
        match self.name() {
            UnixName::Path(path) => Some(path),
            _ => None,
        }
    }

    /// The abstract name, if it is one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        match self.name() {
            UnixName::Abstract(name) => Some(name),
            _ => None,
        }
    }

    fn name(&self) -> UnixName<'_> {
        self.0.to_unix().unwrap_or(UnixName::Unnamed)
    }

    /// For the calls.
    pub(super) fn as_sock(&self) -> &SockAddr {
        &self.0
    }
}

impl Address for SocketAddr {
    fn from_sock(name: SockAddr, call: Call) -> Result<SocketAddr, Error> {
        // A sender or peer that has no name may be told as no address at all.
        if name.as_bytes().is_empty() {
            return Ok(SocketAddr::unnamed());
        }
        if name.to_unix().is_some() {
            Ok(SocketAddr(name))
        } else {
            Err(Error::Os(call, Errno::EAFNOSUPPORT))
        }
    }
}

/// The path, `@` and the abstract name, or `unnamed`.
impl fmt::Debug for SocketAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
