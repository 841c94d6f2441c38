//! Unix sockets that carry datagrams.

use super::SocketAddr;
use super::rights::passes_fds;
use crate::net::connect::{PAUSE_FIRST, PAUSE_LONGEST, socket_with};
use crate::net::fd::{Fd, Kind};
use crate::net::methods::methods;
use crate::net::pollable::pollable;
use crate::net::{Error, Shutdown};
use crate::poll::Mode;
use crate::rt::clock::nanotime;
use crate::sched::poller::sleep_until;
use crate::sys::socket::{self, Family, MsgFlags, SocketType};
use crate::sys::{Call, Errno};

/// In the place of a length: nothing was sent.
const FULL: usize = usize::MAX;

/// A Unix socket that sends and receives datagrams: whole, in order, and none is lost. Sending waits while
/// the receiver's queue is full (`net.unix.max_dgram_qlen`, 10 by default on older kernels).
pub struct UnixDatagram {
    fd: Fd,
}

methods! {
    UnixDatagram: handle, raw_fd(|_| Kind::Other), datagrams, datagrams_from(SocketAddr), deadlines, socket,
    local_addr(SocketAddr), peer_addr(SocketAddr)
}
passes_fds! { UnixDatagram }

impl UnixDatagram {
    /// A socket that receives at `path`, where nothing may be yet.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`]; [`Error::Os`] of `socket`, `bind` (`EADDRINUSE`, `EACCES`, `ENOENT`), or of the
    /// registration.
    pub fn bind(path: impl AsRef<[u8]>) -> Result<UnixDatagram, Error> {
        UnixDatagram::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// A socket that receives at an address of any kind.
    ///
    /// # Errors
    /// As [`UnixDatagram::bind`].
    pub fn bind_addr(addr: &SocketAddr) -> Result<UnixDatagram, Error> {
        Ok(UnixDatagram { fd: super::bind(SocketType::DGRAM, addr.as_sock())? })
    }

    /// A socket without a name, to which nobody can send.
    ///
    /// # Errors
    /// [`Error::Os`] of `socket`, or of the registration.
    pub fn unbound() -> Result<UnixDatagram, Error> {
        let fd = socket_with(Family::UNIX, SocketType::DGRAM, |_| Ok(()))?;
        Ok(UnixDatagram { fd: Fd::new(fd, Kind::Other)? })
    }

    /// Two sockets connected to each other, without names.
    ///
    /// # Errors
    /// [`Error::Os`] of `socketpair`, or of the registration.
    pub fn pair() -> Result<(UnixDatagram, UnixDatagram), Error> {
        let (a, b) = super::pair(SocketType::DGRAM)?;
        Ok((UnixDatagram { fd: a }, UnixDatagram { fd: b }))
    }

    /// Makes the socket at `path` the peer: `send` goes there, and only from there is received.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::Closed`], [`Error::Os`] of `connect` (`ECONNREFUSED`, `ENOENT`).
    pub fn connect(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`UnixDatagram::connect`], to an address of any kind.
    ///
    /// # Errors
    /// As there.
    pub fn connect_addr(&self, addr: &SocketAddr) -> Result<(), Error> {
        self.fd.call(Call::Connect, |fd| socket::connect(fd, addr.as_sock()))
    }

    /// Sends a datagram to the socket at `path`, and returns its length.
    ///
    /// # Errors
    /// As [`UnixDatagram::send_to_addr`], [`Error::InvalidAddress`].
    pub fn send_to(&self, buf: &[u8], path: impl AsRef<[u8]>) -> Result<usize, Error> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// Sends a datagram to an address of any kind, and returns its length. Parks while the queue there, or
    /// the buffer here, is full. (The queue of a socket that is not the peer is watched by trying again, up
    /// to 20 ms later each time.)
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Closed`], [`Error::Os`] of `sendto` (`ECONNREFUSED`, `ENOENT`, `EMSGSIZE`).
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> Result<usize, Error> {
        let start = nanotime();
        let mut pause = PAUSE_FIRST;
        loop {
            // Room in a queue that is not the peer's makes no edge here, while each try that fails makes
            // one, as it gives its memory back: whoever waited for edges would spin.
            let sent = self.fd.transfer(Mode::Write, Call::Sendto, 0, |fd| {
                match socket::sendto(fd, buf, MsgFlags::NOSIGNAL, Some(addr.as_sock())) {
                    Err(Errno::EAGAIN) => Ok(FULL),
                    done => done,
                }
            })?;
            if sent != FULL {
                return Ok(sent);
            }
            let limit = self.write_timeout()?;
            if limit.is_some_and(|limit| (nanotime() - start) as u128 >= limit.as_nanos()) {
                return Err(Error::TimedOut);
            }
            sleep_until(nanotime() + pause);
            pause = (pause * 2).min(PAUSE_LONGEST);
        }
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] of `shutdown` (`ENOTCONN`).
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        self.fd.call(Call::Shutdown, |fd| socket::shutdown(fd, how))
    }
}

pollable! {
    UnixDatagram: readable writable;
}
