//! Connecting to a host with several addresses (Happy Eyeballs, RFC 8305, section 5): the next address is
//! tried when the last has failed, or has not answered for a while; whichever answers first is the
//! connection, and the others are closed.

use super::connect::{finish, open};
use super::dns::{Addrs, MAX_ADDRS};
use super::fd::{Fd, Kind};
use super::{Error, TcpStream};
use crate::sync::{Condvar, Mutex};
use crate::sys::socket::SocketType;
use crate::sys::{Errno, RawFd};
use crate::time::Instant;
use core::net::SocketAddr;
use core::time::Duration;

/// How long an address has before the next is tried beside it: the RFC's recommendation (Go: 300 ms).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How the tries stand: what the tasks that wait for them tell the one that began them.
struct State {
    /// Which of them is the connection.
    won: Option<usize>,
    running: usize,
    failed: usize,
    /// Why the first of them failed that did, but for [`no_way`].
    first: Option<Error>,
}

/// Whether this machine has no way to such an address, which most have not for IPv6: it says less than
/// whatever happened to the others.
fn no_way(e: Error) -> bool {
    matches!(e.errno(), Some(Errno::ENETUNREACH | Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL))
}

/// A connection to one of `addrs`, until `deadline`; `prepare` sets each socket up. One task for each
/// address that does not answer at once. When this returns they have ended, and all sockets but the
/// connection's are closed.
///
/// # Errors
/// What went wrong first that tells something, if all fail; [`Error::InvalidAddress`] if there is nothing
/// to try.
pub(super) fn connect(
    addrs: &Addrs,
    deadline: Option<Instant>,
    prepare: impl Fn(RawFd, &SocketAddr) -> Result<(), Error>,
) -> Result<TcpStream, Error> {
    let begin = |addr: &SocketAddr| {
        open(&(*addr).into(), SocketType::STREAM, Kind::Stream, deadline, |fd| prepare(fd, addr))
    };
    if let [only] = **addrs {
        let (fd, connected) = begin(&only)?;
        if !connected {
            finish(&fd, deadline)?;
        }
        return Ok(TcpStream { fd });
    }
    let state = Mutex::new(State { won: None, running: 0, failed: 0, first: None });
    let changed = Condvar::new();
    let wait = &|fd: Fd, index| {
        let result = finish(&fd, deadline);
        let mut state = state.lock();
        state.running -= 1;
        match result {
            Ok(()) => state.won = state.won.or(Some(index)),
            Err(e) => state.fail(e),
        }
        changed.notify_one();
    };
    // A second handle to each socket, to close it by.
    let mut begun = [const { None }; MAX_ADDRS];
    crate::scope(|s| {
        for (index, (addr, place)) in addrs.iter().zip(&mut begun).enumerate() {
            let opened = begin(addr);
            let mut state = state.lock();
            match opened {
                Ok((fd, true)) => {
                    *place = Some(fd);
                    state.won = state.won.or(Some(index));
                }
                Ok((fd, false)) => {
                    *place = Some(fd.clone());
                    state.running += 1;
                    s.spawn(move || wait(fd, index));
                    let failed = state.failed;
                    let until = Instant::now() + ATTEMPT_DELAY;
                    let nothing_new = |state: &mut State| state.won.is_none() && state.failed == failed;
                    changed.wait_while_deadline(&mut state, until, nothing_new);
                }
                Err(e) => state.fail(e),
            }
            if state.won.is_some() {
                break;
            }
        }
        let mut state = state.lock();
        changed.wait_while(&mut state, |state| state.won.is_none() && state.running > 0);
        let won = state.won;
        drop(state);
        for (index, fd) in begun.iter().enumerate() {
            if let Some(fd) = fd
                && Some(index) != won
            {
                let _ = fd.close(); // sends its task away
            }
        }
    });
    let state = state.lock();
    let fd = state.won.and_then(|index| begun.get_mut(index)?.take());
    fd.map(|fd| TcpStream { fd }).ok_or(state.first.unwrap_or(Error::InvalidAddress))
}

impl State {
    fn fail(&mut self, e: Error) {
        self.failed += 1;
        if self.first.is_none_or(no_way) {
            self.first = Some(e);
        }
    }
}
