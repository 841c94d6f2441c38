//! Socket addresses: the kernel's `struct sockaddr_*` on one side, `core::net` and byte paths on the other.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use linux_raw_sys::net as raw;
use memoffset::offset_of;
use static_assertions::{assert_eq_size, const_assert_eq};

use super::Errno;

/// An address family, `AF_*`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Family(pub u16);

impl Family {
    /// No family: as an address it takes a datagram socket's peer away.
    pub const UNSPEC: Family = Family(raw::AF_UNSPEC as u16);
    /// Sockets of this machine, named by paths.
    pub const UNIX: Family = Family(raw::AF_UNIX as u16);
    /// IPv4.
    pub const INET: Family = Family(raw::AF_INET as u16);
    /// IPv6.
    pub const INET6: Family = Family(raw::AF_INET6 as u16);
}

/// Room for any address, aligned for the kernel's structures.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
#[doc(alias = "sockaddr_storage")]
pub struct Storage(pub(super) [u8; Storage::SIZE]);

impl Storage {
    /// The size of `struct sockaddr_storage`.
    pub const SIZE: usize = raw::_K_SS_MAXSIZE as usize;

    /// Room for an address that is not known yet.
    pub const fn new() -> Storage {
        Storage([0; Storage::SIZE])
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage::new()
    }
}

assert_eq_size!(Storage, raw::sockaddr);

// Where the fields stand. The structures are taken apart byte by byte, so that no address the kernel
// returns, of whatever family and length, is ever read as the wrong type.
const FAMILY: usize = 0;
const PORT: usize = 2;
const V4_ADDR: usize = 4;
const V4_LEN: usize = size_of::<raw::sockaddr_in>();
const V6_FLOWINFO: usize = 4;
const V6_ADDR: usize = 8;
const V6_SCOPE: usize = 24;
const V6_LEN: usize = size_of::<raw::sockaddr_in6>();
const UNIX_PATH: usize = 2;
const UNIX_LEN: usize = size_of::<raw::sockaddr_un>();

const_assert_eq!(FAMILY, offset_of!(raw::sockaddr_in, sin_family));
const_assert_eq!(FAMILY, offset_of!(raw::sockaddr_in6, sin6_family));
const_assert_eq!(FAMILY, offset_of!(raw::sockaddr_un, sun_family));
const_assert_eq!(PORT, offset_of!(raw::sockaddr_in, sin_port));
const_assert_eq!(PORT, offset_of!(raw::sockaddr_in6, sin6_port));
const_assert_eq!(V4_ADDR, offset_of!(raw::sockaddr_in, sin_addr));
const_assert_eq!(V6_FLOWINFO, offset_of!(raw::sockaddr_in6, sin6_flowinfo));
const_assert_eq!(V6_ADDR, offset_of!(raw::sockaddr_in6, sin6_addr));
const_assert_eq!(V6_SCOPE, offset_of!(raw::sockaddr_in6, sin6_scope_id));
const_assert_eq!(UNIX_PATH, offset_of!(raw::sockaddr_un, sun_path));

/// An address of any family with its length.
#[derive(Clone, Copy)]
#[doc(alias = "sockaddr")]
pub struct SockAddr {
    pub(super) storage: Storage,
    pub(super) len: u32,
}

/// What a Unix socket is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UnixName<'a> {
    /// Not at all: a socket that was never bound.
    Unnamed,
    /// A path in the file system.
    Path(&'a [u8]),
    /// A name outside the file system, any bytes.
    Abstract(&'a [u8]),
}

impl SockAddr {
    /// The longest path or abstract name, in bytes.
    pub const UNIX_MAX: usize = UNIX_LEN - UNIX_PATH - 1;

    /// Room for an address that the kernel will write.
    #[inline]
    pub const fn empty() -> SockAddr {
        SockAddr { storage: Storage::new(), len: 0 }
    }

    /// The Unix socket at `path`.
    ///
    /// # Errors
    /// `ENAMETOOLONG` above [`SockAddr::UNIX_MAX`] bytes; `EINVAL` for an empty path or one with a zero
    /// byte in it, where the kernel would see another name.
    pub fn unix(path: &[u8]) -> Result<SockAddr, Errno> {
        if path.is_empty() || path.contains(&0) {
            return Err(Errno::EINVAL);
        }
        // One more for the zero byte, which the storage already has.
        SockAddr::unix_bytes(UNIX_PATH, path, 1)
    }

    /// The Unix socket with the abstract name `name`. See unix(7).
    ///
    /// # Errors
    /// `ENAMETOOLONG` above [`SockAddr::UNIX_MAX`] bytes.
    pub fn unix_abstract(name: &[u8]) -> Result<SockAddr, Errno> {
        // Past the zero byte that tells the name from a path.
        SockAddr::unix_bytes(UNIX_PATH + 1, name, 0)
    }

    /// No name: `bind` gives such a socket an abstract name of the kernel's choice.
    pub fn unix_unnamed() -> SockAddr {
        let mut addr = SockAddr::empty();
        addr.put(FAMILY, Family::UNIX.0.to_ne_bytes());
        addr.len = UNIX_PATH as u32;
        addr
    }

    fn unix_bytes(at: usize, bytes: &[u8], rest: usize) -> Result<SockAddr, Errno> {
        if bytes.len() > SockAddr::UNIX_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut addr = SockAddr::unix_unnamed();
        addr.storage.0[at..at + bytes.len()].copy_from_slice(bytes);
        addr.len = (at + bytes.len() + rest) as u32;
        Ok(addr)
    }

    /// The family; `UNSPEC` for an address that has none.
    #[inline]
    pub fn family(&self) -> Family {
        if self.len() < PORT { Family::UNSPEC } else { Family(u16::from_ne_bytes(self.get(FAMILY))) }
    }

    /// The structure's bytes, as many as it has.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.storage.0.get(..self.len()).unwrap_or_default()
    }

    /// The address as IPv4 or IPv6; `None` for every other family.
    pub fn to_inet(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(self.get(PORT));
        match self.family() {
            Family::INET if self.len() >= V4_LEN => {
                let ip = Ipv4Addr::from(self.get::<4>(V4_ADDR));
                Some(SocketAddr::V4(SocketAddrV4::new(ip, port)))
            }
            Family::INET6 if self.len() >= V6_LEN => {
                let ip = Ipv6Addr::from(self.get::<16>(V6_ADDR));
                let flowinfo = u32::from_ne_bytes(self.get(V6_FLOWINFO));
                let scope = u32::from_ne_bytes(self.get(V6_SCOPE));
                Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flowinfo, scope)))
            }
            _ => None,
        }
    }

    /// The name of a Unix socket; `None` for every other family.
    pub fn to_unix(&self) -> Option<UnixName<'_>> {
        if self.family() != Family::UNIX {
            return None;
        }
        Some(match &self.as_bytes()[UNIX_PATH..] {
            [] => UnixName::Unnamed,
            [0, name @ ..] => UnixName::Abstract(name),
            // The kernel counts the zero byte, but a path of 108 bytes has none.
            path => UnixName::Path(path.split(|&b| b == 0).next().unwrap_or_default()),
        })
    }

    /// The length, at most what the storage holds: the kernel reports the true length of an address
    /// that it had to cut off.
    #[inline]
    fn len(&self) -> usize {
        (self.len as usize).min(Storage::SIZE)
    }

    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        self.storage.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        if let Some(place) = self.storage.0.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            *place = bytes;
        }
    }
}

/// Ports and addresses in network order; flow information and scope as they are, as `std` does.
impl From<SocketAddr> for SockAddr {
    fn from(addr: SocketAddr) -> SockAddr {
        let mut out = SockAddr::empty();
        out.put(PORT, addr.port().to_be_bytes());
        match addr {
            SocketAddr::V4(v4) => {
                out.put(FAMILY, Family::INET.0.to_ne_bytes());
                out.put(V4_ADDR, v4.ip().octets());
                out.len = V4_LEN as u32;
            }
            SocketAddr::V6(v6) => {
                out.put(FAMILY, Family::INET6.0.to_ne_bytes());
                out.put(V6_FLOWINFO, v6.flowinfo().to_ne_bytes());
                out.put(V6_ADDR, v6.ip().octets());
                out.put(V6_SCOPE, v6.scope_id().to_ne_bytes());
                out.len = V6_LEN as u32;
            }
        }
        out
    }
}

/// `EAFNOSUPPORT` for every family but IPv4 and IPv6.
impl TryFrom<&SockAddr> for SocketAddr {
    type Error = Errno;

    fn try_from(addr: &SockAddr) -> Result<SocketAddr, Errno> {
        addr.to_inet().ok_or(Errno::EAFNOSUPPORT)
    }
}

impl PartialEq for SockAddr {
    fn eq(&self, other: &SockAddr) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SockAddr {}

impl fmt::Debug for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to_inet(), self.to_unix()) {
            (Some(inet), _) => fmt::Debug::fmt(&inet, f),
            (_, Some(UnixName::Unnamed)) => f.write_str("unnamed"),
            (_, Some(UnixName::Path(path))) => write!(f, "{}", path.escape_ascii()),
            (_, Some(UnixName::Abstract(name))) => write!(f, "@{}", name.escape_ascii()),
            _ => write!(f, "family {}", self.family().0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inet_addresses_survive_the_round_trip() {
        let v6 = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 1, 2, 3, 4, 5, 6, 7), 0x1234, 0xabcde, 42);
        for addr in [SocketAddr::V6(v6), "192.0.2.7:8080".parse().unwrap(), "0.0.0.0:0".parse().unwrap()] {
            assert_eq!(SocketAddr::try_from(&SockAddr::from(addr)), Ok(addr));
        }
    }

    #[test]
    fn ports_are_big_endian() {
        let addr = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0x1f90)));
        assert_eq!(&addr.as_bytes()[2..8], [0x1f, 0x90, 127, 0, 0, 1]);
        assert_eq!(addr.as_bytes().len(), 16);
    }

    #[test]
    fn unix_names_keep_their_kind_and_length() {
        let path = SockAddr::unix(b"/tmp/s").unwrap();
        assert_eq!((path.to_unix(), path.as_bytes().len()), (Some(UnixName::Path(b"/tmp/s")), 2 + 6 + 1));
        let name = SockAddr::unix_abstract(b"a\0b").unwrap();
        assert_eq!((name.to_unix(), name.as_bytes().len()), (Some(UnixName::Abstract(b"a\0b")), 2 + 1 + 3));
        assert_eq!(SockAddr::unix_unnamed().to_unix(), Some(UnixName::Unnamed));
        assert_eq!(path.to_inet(), None);
    }

    #[test]
    fn unix_names_that_do_not_fit_are_refused() {
        assert!(SockAddr::unix(&[b'x'; SockAddr::UNIX_MAX]).is_ok());
        assert_eq!(SockAddr::unix(&[b'x'; SockAddr::UNIX_MAX + 1]), Err(Errno::ENAMETOOLONG));
        assert_eq!(SockAddr::unix_abstract(&[0; SockAddr::UNIX_MAX + 1]), Err(Errno::ENAMETOOLONG));
        assert_eq!(SockAddr::unix(b"a\0b"), Err(Errno::EINVAL));
        assert_eq!(SockAddr::unix(b""), Err(Errno::EINVAL));
    }

    #[test]
    fn lengths_from_the_kernel_are_not_trusted() {
        let mut addr = SockAddr::unix_unnamed();
        addr.len = 4000;
        assert_eq!(addr.as_bytes().len(), Storage::SIZE);
        addr.len = 1;
        assert_eq!((addr.family(), addr.to_inet(), addr.to_unix()), (Family::UNSPEC, None, None));
        let mut short = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 1)));
        short.len = 8;
        assert_eq!(short.to_inet(), None);
    }
}
