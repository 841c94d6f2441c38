//! Unix sockets: connections and datagrams within the machine, which can also carry descriptors.
//!
//! [`UnixStream`] carries bytes, [`UnixSeqpacket`] messages over a connection, [`UnixDatagram`] messages
//! without. A socket is named by a path in the file system, by an abstract name, or not at all
//! ([`SocketAddr`]). A path stays in the file system when its socket is closed: who binds removes it
//! (`sys::fs::unlinkat`), or the next `bind` fails with `EADDRINUSE`.

mod addr;
mod datagram;
mod rights;
mod seqpacket;
mod stream;

pub use crate::sys::sockopt::Ucred;
pub use addr::SocketAddr;
pub use datagram::UnixDatagram;
pub use rights::Received;
pub use seqpacket::{UnixSeqpacket, UnixSeqpacketListener};
pub use stream::{UnixListener, UnixStream};

use super::Error;
use super::connect::{FLAGS, socket_with};
use super::fd::{Fd, Kind};
use crate::sys::sockaddr::SockAddr;
use crate::sys::socket::{self, Family, SocketType};
use crate::sys::{self, Call};

/// Connections that may wait to be accepted: as many as the kernel allows (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A socket at `addr`, which listens unless it is one of datagrams.
fn bind(ty: SocketType, addr: &SockAddr) -> Result<Fd, Error> {
    let fd = socket_with(Family::UNIX, ty, |fd| {
        socket::bind(fd, addr).map_err(|e| Error::Os(Call::Bind, e))?;
        if ty != SocketType::DGRAM {
            socket::listen(fd, BACKLOG).map_err(|e| Error::Os(Call::Listen, e))?;
        }
        Ok(())
    })?;
    Fd::new(fd, Kind::Other)
}

/// Two sockets connected to each other.
fn pair(ty: SocketType) -> Result<(Fd, Fd), Error> {
    let [a, b] =
        socket::socketpair(Family::UNIX, ty, FLAGS, 0).map_err(|e| Error::Os(Call::Socketpair, e))?;
    let a = Fd::new(a, Kind::Other).inspect_err(|_| {
        // SAFETY: new, and nobody else knows it. `Fd::new` has closed the other.
        let _ = unsafe { sys::fd::close(b) };
    })?;
    Ok((a, Fd::new(b, Kind::Other)?))
}

/// The credentials of a connection's peer.
macro_rules! peer_cred {
    ($ty:ident) => {
        impl $ty {
            /// Who is at the other end: the process, user and group that connected, listened, or made the pair.
            ///
            /// # Errors
            /// [`Error::Closed`], [`Error::Os`] of `getsockopt`.
            pub fn peer_cred(&self) -> Result<$crate::net::unix::Ucred, Error> {
                self.fd.call($crate::sys::Call::Getsockopt, $crate::sys::sockopt::socket_peercred)
            }
        }
    };
}

use peer_cred;
