//! A descriptor of the network: registered with the poller, shared by handles, used by one reader and
//! one writer at a time, and closed when the last of them has left (Go: `poll.FD`).

mod idle;
mod slots;
mod state;

use super::Error;
use crate::blocking;
use crate::poll::{Mode, Side, Slot, above_stdio};
use crate::rt;
use crate::sched::poller::{netpoll, netpoll_init};
use crate::sched::sema::semacquire;
use crate::sys::fd::OFlags;
use crate::sys::{self, Call, Errno, RawFd};
use crate::time::Instant;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use state::Parking;
pub(super) use state::State;
pub(crate) use state::{Kind, Locked};

/// Handles of one descriptor. So many cannot be in use: nearly all of them were leaked (`mem::forget`). The rest of the
/// count is room for the threads that get here at the same time; it must not wrap, or a drop would close the descriptor
/// under the other handles.
const MOST_HANDLES: u32 = u32::MAX / 2;

/// A handle. The descriptor is closed by [`Fd::close`] or with the last handle.
pub(crate) struct Fd(NonNull<State>);

// SAFETY: the state's cells are written before it is shared and while nobody shares it; the rest is
// atomic.
unsafe impl Send for Fd {}
// SAFETY: as above.
unsafe impl Sync for Fd {}

impl Fd {
    /// Takes over `fd`, which must be non-blocking, perhaps under another number. Closes it if it cannot be
    /// registered.
    pub fn new(fd: RawFd, kind: Kind) -> Result<Fd, Error> {
        let fd = above_stdio(fd).map_err(|e| Error::Os(Call::Fcntl, e))?;
        Fd::register(fd, kind).inspect_err(|_| {
            // SAFETY: taken over from the caller, and the poller does not have it.
            let _ = unsafe { sys::fd::close(fd) };
        })
    }

    /// As [`Fd::new`] for a number above 2, which stays the caller's if it cannot be registered.
    #[inline]
    pub fn register(fd: RawFd, kind: Kind) -> Result<Fd, Error> {
        let state = slots::get()?;
        match netpoll_init().register(fd) {
            Ok(slot) => Ok(Fd::in_state(state, Some(slot), fd, kind)),
            Err(e) => {
                slots::put(state);
                Err(e.into())
            }
        }
    }

    /// Takes over a number above 2 of a file that cannot be polled.
    pub fn file(fd: RawFd) -> Result<Fd, Error> {
        Ok(Fd::in_state(slots::get()?, None, fd, Kind::File))
    }

    #[inline]
    fn in_state(state: NonNull<State>, slot: Option<&'static Slot>, fd: RawFd, kind: Kind) -> Fd {
        // SAFETY: a state of ours, which nobody shares yet.
        unsafe { state.write(State::new(slot, fd, kind)) };
        Fd(state)
    }

    /// As [`Fd::new`], for a descriptor from elsewhere, which need not be non-blocking yet.
    pub fn adopt(fd: RawFd, kind: Kind) -> Result<Fd, Error> {
        if let Err(e) = set_nonblocking(fd) {
            // SAFETY: taken over from the caller.
            let _ = unsafe { sys::fd::close(fd) };
            return Err(Error::Os(Call::Fcntl, e));
        }
        Fd::new(fd, kind)
    }

    #[inline]
    pub(super) fn state(&self) -> &State {
        // SAFETY: the slot is initialised, and not reused while there is a handle.
        unsafe { self.0.as_ref() }
    }

    /// The number, for what needs no lock. After `close` it means nothing.
    pub fn raw(&self) -> RawFd {
        self.state().fd.get()
    }

    /// What it was made with.
    pub fn kind(&self) -> Kind {
        self.state().kind.get()
    }

    /// See [`State::transfer`].
    #[inline(always)]
    pub fn transfer(
        &self,
        mode: Mode,
        call: Call,
        want: usize,
        op: impl FnMut(RawFd) -> Result<usize, Errno>,
    ) -> Result<usize, Error> {
        self.state().transfer(mode, call, want, op)
    }

    /// One operation on a file, which blocks its thread while other tasks go on (see [`blocking`]). Nothing
    /// ends it early, and a close waits for it.
    pub fn off_p(
        &self,
        mode: Mode,
        call: Call,
        mut op: impl FnMut(RawFd) -> Result<usize, Errno>,
    ) -> Result<usize, Error> {
        let _locked = self.lock(mode)?;
        blocking(|| {
            loop {
                match op(self.raw()) {
                    Err(Errno::EINTR) => {}
                    done => return done.map_err(|e| Error::Os(call, e)),
                }
            }
        })
    }

    /// Waits for an edge in direction `mode`: for a connect, which the kernel ends with one.
    pub fn wait_edge(&self, mode: Mode) -> Result<(), Error> {
        let _locked = self.lock(mode)?;
        Ok(self.state().pd().wait(mode)?)
    }

    /// Waits until a transfer in direction `mode` may succeed, or would fail.
    pub fn ready(&self, mode: Mode) -> Result<(), Error> {
        let locked = self.lock(mode)?;
        self.state().forget_limit(mode)?;
        while !locked.look(false)? {
            locked.wait()?;
        }
        Ok(())
    }

    /// Whether a transfer in direction `mode` may succeed, or would fail, right now; [`Error::Busy`] while
    /// another is under way.
    pub fn is_ready(&self, mode: Mode) -> Result<bool, Error> {
        self.try_lock(mode)?.look(true)
    }

    /// Becomes the one reader or writer.
    pub fn lock(&self, mode: Mode) -> Result<Locked<'_>, Error> {
        let state = self.state();
        state.mutex.lock::<Parking>(mode)?;
        Ok(Locked(state, mode))
    }

    /// Becomes the one reader or writer, but fails with [`Error::Busy`] where that would wait.
    pub fn try_lock(&self, mode: Mode) -> Result<Locked<'_>, Error> {
        let state = self.state();
        state.mutex.try_lock(mode)?;
        let locked = Locked(state, mode);
        state.forget_limit(mode)?;
        Ok(locked)
    }

    /// Fails as a transfer would that may not begin: closed, or past its deadline.
    pub fn check(&self, mode: Mode) -> Result<(), Error> {
        self.with(|_| Ok(self.state().pd().check(mode)?))
    }

    /// Uses the number beside all readers and writers.
    pub fn with<T>(&self, op: impl FnOnce(RawFd) -> Result<T, Error>) -> Result<T, Error> {
        let state = self.state();
        state.mutex.incref()?;
        let result = op(state.fd.get());
        if state.mutex.decref() {
            state.destroy();
        }
        result
    }

    /// As [`Fd::with`], for a system call of that name.
    pub fn call<T>(&self, name: Call, op: impl FnOnce(RawFd) -> Result<T, Errno>) -> Result<T, Error> {
        self.with(|fd| op(fd).map_err(|e| Error::Os(name, e)))
    }

    /// See [`crate::poll::Netpoll::set_deadline`].
    pub fn set_deadline(&self, side: Side, deadline: Option<Instant>) -> Result<(), Error> {
        self.with(|_| {
            let (state, at) = (self.state(), deadline.map(|d| d.as_nanos()));
            let pd = state.polled().ok_or(Error::NotPollable)?;
            if state.timeouts.on() {
                state.timeouts.set_deadline(pd, side, at)?;
            } else {
                pd.set_deadline(side, at)?;
            }
            Ok(())
        })
    }

    /// Limits the time that each transfer in direction `mode` waits.
    pub fn set_timeout(&self, mode: Mode, limit: Option<Duration>) -> Result<(), Error> {
        self.with(|_| {
            let state = self.state();
            let pd = state.polled().ok_or(Error::NotPollable)?;
            state.timeouts.set(pd, mode, limit).unwrap_or(Err(Error::Os(Call::Setsockopt, Errno::EINVAL)))
        })
    }

    pub fn timeout(&self, mode: Mode) -> Result<Option<Duration>, Error> {
        self.with(|_| Ok(self.state().timeouts.get(mode)))
    }

    /// Gives the number back to whoever can tell that nobody else has a handle, still open and non-blocking.
    ///
    /// # Errors
    /// [`Error::Busy`] if there are others, [`Error::Closed`].
    pub fn into_raw(self) -> Result<RawFd, Error> {
        let state = self.state();
        if state.handles.load(Ordering::Acquire) != 1 {
            return Err(Error::Busy);
        }
        // As `close` does, but there is nobody to wait for.
        state.mutex.close::<Parking>()?;
        if let Some(slot) = state.slot.take() {
            // SAFETY: a slot of this poller, and there is no other user. Taken, so it is closed once.
            unsafe {
                let pd = netpoll().registered(slot);
                let _ = pd.unblock();
                pd.close();
            }
        }
        Ok(state.fd.get()) // and the drop finds it closed
    }

    /// Ends every operation with [`Error::Closed`], those under way and those to come, and returns when
    /// the number has really been closed: somebody else may have got it by then.
    pub fn close(&self) -> Result<(), Error> {
        let state = self.state();
        state.mutex.close::<Parking>()?;
        if let Some(pd) = state.polled() {
            // Fails only if it has begun before, and `mutex` lets one closer in.
            let _ = pd.unblock();
        }
        if state.mutex.decref() {
            state.destroy();
        }
        semacquire(&state.destroyed);
        Ok(())
    }
}

/// Counts one handle more; `false` if there were too many.
#[inline]
fn count_up(handles: &AtomicU32) -> bool {
    // Relaxed: the new handle comes out of one that is there.
    handles.fetch_add(1, Ordering::Relaxed) <= MOST_HANDLES
}

impl Clone for Fd {
    fn clone(&self) -> Fd {
        if !count_up(&self.state().handles) {
            rt::fatal("too many handles of a descriptor", rt::PANICKED);
        }
        Fd(self.0)
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        if self.state().handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.close(); // or it has been closed before
            slots::put(self.0);
        }
    }
}

/// Makes the open file non-blocking, for all who share it.
pub(crate) fn set_nonblocking(fd: RawFd) -> Result<(), Errno> {
    let flags = sys::fd::fcntl_getfl(fd)?;
    if flags.contains(OFlags::NONBLOCK) {
        return Ok(());
    }
    sys::fd::fcntl_setfl(fd, flags | OFlags::NONBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_counted_up_to_a_limit() {
        let handles = AtomicU32::new(1);
        assert!(count_up(&handles) && handles.load(Ordering::Relaxed) == 2);
        let handles = AtomicU32::new(MOST_HANDLES);
        assert!(count_up(&handles));
        // On other threads, while the first one ends the program.
        assert!((0..1000).all(|_| !count_up(&handles)));
    }
}
