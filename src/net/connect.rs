//! Making sockets and connecting them.

use super::Error;
use super::fd::{Fd, Kind};
use crate::poll::{Mode, Side};
use crate::rt::clock::nanotime;
use crate::sched::poller::sleep_until;
use crate::sys::sockaddr::SockAddr;
use crate::sys::socket::{self, Family, SocketFlags, SocketType};
use crate::sys::{self, Call, Errno, RawFd, sockopt};
use crate::time::Instant;

/// First and longest pause, in ns, before a Unix socket tries again to get into a full queue.
pub(super) const PAUSE_FIRST: i64 = 50_000;
pub(super) const PAUSE_LONGEST: i64 = 20_000_000;

pub(super) const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

/// A new socket with which `prepare` has succeeded; if not it is closed.
pub(super) fn socket_with(
    family: Family,
    ty: SocketType,
    prepare: impl FnOnce(RawFd) -> Result<(), Error>,
) -> Result<RawFd, Error> {
    let fd = socket::socket(family, ty, FLAGS, 0).map_err(|e| Error::Os(Call::Socket, e))?;
    prepare(fd).map(|()| fd).inspect_err(|_| {
        // SAFETY: new, and nobody else knows it.
        let _ = unsafe { sys::fd::close(fd) };
    })
}

/// A connection from a new socket to `addr`, until `deadline`. `prepare` sets the socket up before.
pub(super) fn connect(
    addr: &SockAddr,
    ty: SocketType,
    kind: Kind,
    deadline: Option<Instant>,
    prepare: impl FnOnce(RawFd) -> Result<(), Error>,
) -> Result<Fd, Error> {
    let (fd, connected) = open(addr, ty, kind, deadline, prepare)?;
    if !connected {
        finish(&fd, deadline)?;
    }
    Ok(fd)
}

/// The first half of [`connect`]: begins. `true` if the connection is there already; if not [`finish`]
/// waits for it.
pub(super) fn open(
    addr: &SockAddr,
    ty: SocketType,
    kind: Kind,
    deadline: Option<Instant>,
    prepare: impl FnOnce(RawFd) -> Result<(), Error>,
) -> Result<(Fd, bool), Error> {
    let mut connected = false;
    let socket = socket_with(addr.family(), ty, |socket| {
        prepare(socket)?;
        connected = start(socket, addr, deadline)?;
        Ok(())
    })?;
    Ok((Fd::new(socket, kind)?, connected))
}

/// Waits until `fd` is connected.
pub(super) fn finish(fd: &Fd, deadline: Option<Instant>) -> Result<(), Error> {
    if deadline.is_some() {
        fd.set_deadline(Side::Write, deadline)?;
    }
    loop {
        fd.wait_edge(Mode::Write)?;
        if let Some(errno) = fd.call(Call::Getsockopt, sockopt::socket_error)? {
            return Err(Error::Os(Call::Connect, errno));
        }
        // An edge of the unconnected socket (OUT and HUP) can come first: only a peer is a
        // connection (golang/go#14548).
        match fd.call(Call::Getpeername, socket::getpeername) {
            Err(Error::Os(_, Errno::ENOTCONN)) => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    if deadline.is_some() {
        fd.set_deadline(Side::Write, None)?;
    }
    Ok(())
}

/// Starts the connection; `true`: and it is there already.
fn start(socket: RawFd, addr: &SockAddr, deadline: Option<Instant>) -> Result<bool, Error> {
    let mut pause = PAUSE_FIRST;
    loop {
        if deadline.is_some_and(|deadline| deadline.as_nanos() <= nanotime()) {
            return Err(Error::TimedOut);
        }
        match socket::connect(socket, addr) {
            Ok(()) => return Ok(true),
            // After EINTR it goes on in the background, as after EINPROGRESS (connect(2)).
            Err(Errno::EINPROGRESS | Errno::EINTR) => return Ok(false),
            // The listener's queue is full, and nothing tells when it no longer is: see unix(7).
            Err(Errno::EAGAIN) if addr.family() == Family::UNIX => {
                sleep_until(nanotime() + pause);
                pause = (pause * 2).min(PAUSE_LONGEST);
            }
            Err(e) => return Err(Error::Os(Call::Connect, e)),
        }
    }
}
