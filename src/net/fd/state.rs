//! The state behind the handles of a descriptor: who reads and who writes, what is known to be exhausted, and
//! the waits.

use crate::net::Error;
use crate::net::fdmutex::{FdMutex, Semaphore};
use crate::net::timeout::Timeouts;
use crate::poll::{self, Mode, Slot};
use crate::sched::poller::{Polled, netpoll};
use crate::sched::sema::{semacquire, semrelease};
use crate::sched::waiter::WaitWord;
use crate::sys::fd::{PollFd, PollFlags, ppoll};
use crate::sys::time::Timespec;
use crate::sys::{self, Call, Errno, RawFd};
use core::cell::Cell;
use core::mem::size_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// What a short transfer means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TCP stream: a read that returned less than asked for found the queue empty, a write that took
    /// less found it full, and what changes that is an edge. (The exceptions, urgent data and the end
    /// of the stream, are seen by [`Slot::hangup_seen`].)
    Stream,
    /// A pipe of bytes: as above for reads. A write of no more than `PIPE_BUF` bytes takes all or
    /// nothing, and one of more counts by pages: it tells nothing.
    Pipe,
    /// Nothing: go on to EAGAIN.
    Other,
    /// As [`Kind::Other`], on an open file that is not to be made non-blocking: ask before each operation
    /// (see `PollFd::shared`).
    Asks,
    /// A file that cannot be polled: only [`Fd::off_p`] moves anything.
    File,
}

impl Kind {
    /// Whether a short transfer in this direction has exhausted it.
    #[inline]
    pub(super) fn tells(self, mode: Mode) -> bool {
        match self {
            Kind::Stream => true,
            Kind::Pipe => mode == Mode::Read,
            Kind::Other | Kind::Asks | Kind::File => false,
        }
    }
}

/// A direction has been exhausted; and how many looks may rely on that before one asks the kernel again,
/// so that this (about 0.2 us) hardly counts.
pub(super) const EXHAUSTED: u8 = 16;

/// The state behind the handles. Slots are reused and never unmapped.
pub(in crate::net) struct State {
    pub(super) mutex: FdMutex,
    /// Released when the descriptor has been destroyed.
    pub(super) destroyed: AtomicU32,
    /// [`Fd`]s that point here.
    pub(super) handles: AtomicU32,
    /// Set before the slot is used, read until it is destroyed. `None`: a file that cannot be polled.
    pub(super) slot: Cell<Option<&'static Slot>>,
    pub(super) fd: Cell<RawFd>,
    pub(super) kind: Cell<Kind>,
    /// Not 0: known to be empty, or full, so wait for an edge before the next try. Counts down from
    /// [`EXHAUSTED`] to 1 with each [`Locked::look`]. Each belongs to whoever holds the lock of its
    /// direction.
    pub(super) exhausted: [AtomicU8; 2],
    pub(in crate::net) timeouts: Timeouts,
    /// Next free slot.
    pub(super) link: Cell<Option<NonNull<State>>>,
}

/// Parks by the scheduler's semaphores.
pub(super) struct Parking;

impl Semaphore for Parking {
    fn acquire(word: &AtomicU32) {
        semacquire(word);
    }
    fn release(word: &AtomicU32) {
        semrelease(word);
    }
}

/// Holds a direction's lock.
pub(crate) struct Locked<'a>(pub(super) &'a State, pub(super) Mode);

impl Locked<'_> {
    /// Whether a transfer may succeed, or would fail, right now. Asks the kernel, unless the direction is
    /// known to be exhausted and there was no edge since. (That there was one is not enough: it may be of
    /// what the last transfer has moved already.) A file always is.
    ///
    /// If not, it is exhausted: the next edge, already latched perhaps, is one of something new. But edges
    /// are fetched by polls, which nobody may make while no task is parked on a descriptor. So who looks
    /// again and again without ever parking is answered by the kernel every [`EXHAUSTED`]th time, or always
    /// if `exact`.
    pub fn look(&self, exact: bool) -> Result<bool, Error> {
        let Locked(state, mode) = *self;
        let Some(pd) = state.polled() else { return Ok(true) };
        let exhausted = &state.exhausted[mode as usize];
        let edge = match pd.take_edge(mode) {
            // A limit that an earlier call has armed, perhaps, and that has passed since it was looked for.
            Err(poll::Error::Timeout) => {
                state.forget_limit(mode)?;
                pd.take_edge(mode)?
            }
            edge => edge?,
        };
        let looks = exhausted.load(Ordering::Relaxed);
        let trusted = looks > 1 && !edge && !exact;
        let ready = !trusted && would_not_block(state.fd.get(), mode);
        let known = if ready { 0 } else { EXHAUSTED };
        exhausted.store(if trusted { looks - 1 } else { known }, Ordering::Relaxed);
        if !ready {
            pd.watch(mode)?; // here, where a system call is no harm
        }
        Ok(ready)
    }

    /// Parks until there is an edge, and uses it up.
    pub(super) fn wait(&self) -> Result<(), Error> {
        let Locked(state, mode) = *self;
        state.wait(mode)?;
        state.exhausted[mode as usize].store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Leaves `word` where the next edge finds it. `false`: look again, for there is one, or an error.
    pub fn enlist(&self, word: WaitWord) -> bool {
        self.0.pd().enlist(self.1, word) == Ok(true)
    }

    /// Takes `word` back. `false`: somebody else has taken it.
    pub fn withdraw(&self, word: WaitWord) -> bool {
        self.0.pd().withdraw(self.1, word)
    }
}

/// poll(2), without waiting.
fn would_not_block(fd: RawFd, mode: Mode) -> bool {
    let events = match mode {
        Mode::Read => PollFlags::IN | PollFlags::RDHUP,
        Mode::Write => PollFlags::OUT,
    };
    let mut fds = [PollFd::new(fd, events)];
    loop {
        match ppoll(&mut fds, Some(Timespec::from_nanos(0))) {
            Ok(ready) => return ready != 0,
            Err(Errno::EINTR) => {}
            Err(_) => return true, // then the transfer itself will tell
        }
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.0.mutex.unlock::<Parking>(self.1) {
            self.0.destroy();
        }
    }
}

impl State {
    #[inline]
    pub(super) fn new(slot: Option<&'static Slot>, fd: RawFd, kind: Kind) -> State {
        State {
            mutex: FdMutex::new(),
            destroyed: AtomicU32::new(0),
            handles: AtomicU32::new(1),
            slot: Cell::new(slot),
            fd: Cell::new(fd),
            kind: Cell::new(kind),
            exhausted: [AtomicU8::new(0), AtomicU8::new(0)],
            timeouts: Timeouts::new(),
            link: Cell::new(None),
        }
    }

    /// The last user has left: gives the number back to the kernel, and only then lets the closer go.
    #[cold]
    pub(super) fn destroy(&self) {
        if let Some(slot) = self.slot.take() {
            // SAFETY: a slot of this poller. The closer has called `unblock`, and no user is left; taken, so once.
            unsafe { netpoll().registered(slot).close() };
        }
        // An error is one of earlier writes to a file; sockets have none. The number is gone anyway, EINTR
        // included (close(2)).
        // SAFETY: the handles own the number, and the last use of it has ended (`FdMutex`).
        let _ = unsafe { sys::fd::close(self.fd.get()) };
        semrelease(&self.destroyed);
    }

    /// The slot in the poller. Not of a file.
    #[inline]
    pub(super) fn slot(&self) -> &'static Slot {
        debug_assert!(self.slot.get().is_some(), "a file");
        // SAFETY: set by `Fd::new` before the first handle, taken by `destroy` after the last user. What
        // `Fd::file` made is not polled (contract of those that call this).
        unsafe { self.slot.get().unwrap_unchecked() }
    }

    /// What the poller does with the descriptor. Not of a file.
    #[inline]
    pub(in crate::net) fn pd(&self) -> Polled {
        // SAFETY: a slot of this poller. It is registered for this state until `destroy`, which comes after the last
        // user; the caller is one.
        unsafe { netpoll().registered(self.slot()) }
    }

    /// As [`State::pd`]; `None` for a file.
    #[inline]
    pub(super) fn polled(&self) -> Option<Polled> {
        self.slot.get().map(|_| self.pd())
    }

    /// One transfer in direction `mode`: `op` is tried until it is not EAGAIN, with waits in between,
    /// under the direction's lock. `want`: how many bytes a transfer that exhausts nothing would have
    /// moved; 0 if its result tells nothing.
    ///
    /// The point of it all: after a transfer that exhausted a stream the next one waits at once, instead
    /// of asking the kernel for an EAGAIN first. No edge is lost by that, because `reset` or `wait` has
    /// used up the old one *before* the transfer.
    ///
    /// Of the state, not of the handle: a handle lies in its task's frame, far from what runs now, and a caller that
    /// has looked at it once keeps what it found.
    #[inline]
    pub(in crate::net) fn transfer(
        &self,
        mode: Mode,
        call: Call,
        want: usize,
        mut op: impl FnMut(RawFd) -> Result<usize, Errno>,
    ) -> Result<usize, Error> {
        let _locked = self.begin(mode)?;
        let exhausted = &self.exhausted[mode as usize];
        loop {
            match op(self.fd.get()) {
                Ok(n) => {
                    let short = n < want && n != 0 && self.kind.get().tells(mode);
                    let known = if short && !self.slot().hangup_seen() { EXHAUSTED } else { 0 };
                    exhausted.store(known, Ordering::Relaxed);
                    return Ok(n);
                }
                Err(Errno::EAGAIN) => self.wait(mode)?,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    exhausted.store(0, Ordering::Relaxed);
                    return Err(Error::Os(call, errno));
                }
            }
        }
    }

    /// Begins a transfer: as the one reader or writer, and behind an edge if the last one has exhausted
    /// the descriptor.
    #[inline(always)]
    pub(super) fn begin(&self, mode: Mode) -> Result<Locked<'_>, Error> {
        self.mutex.lock::<Parking>(mode)?;
        let locked = Locked(self, mode);
        if self.exhausted(mode) || self.timeouts.on() || !self.pd().is_reset(mode) {
            self.prepare(mode)?;
        }
        Ok(locked)
    }

    /// What [`State::begin`] seldom has to do, or what costs more than a call.
    #[inline(never)]
    fn prepare(&self, mode: Mode) -> Result<(), Error> {
        if let Some(hooks) = self.timeouts.hooks() {
            (hooks.begin)(self, mode)
        } else if self.exhausted(mode) {
            self.wait_untimed(mode)
        } else {
            Ok(self.pd().reset(mode)?)
        }
    }

    /// A limit of an earlier call is none of the next one's. The caller holds the direction's lock.
    pub(super) fn forget_limit(&self, mode: Mode) -> Result<(), Error> {
        self.timeouts.hooks().map_or(Ok(()), |hooks| (hooks.forget)(self, mode))
    }

    /// Whether the last transfer has exhausted the descriptor. The caller holds the direction's lock.
    #[inline]
    pub(in crate::net) fn exhausted(&self, mode: Mode) -> bool {
        self.exhausted[mode as usize].load(Ordering::Relaxed) != 0
    }

    /// Waits for an edge. The caller holds the direction's lock. If none comes, who tries again asks the kernel
    /// first, as in Go: the EAGAIN that led here is believed no longer than that.
    #[inline(never)] // a park costs more than a call
    pub(in crate::net) fn wait(&self, mode: Mode) -> Result<(), Error> {
        let exhausted = &self.exhausted[mode as usize];
        exhausted.store(EXHAUSTED, Ordering::Relaxed);
        match self.timeouts.hooks() {
            Some(hooks) => (hooks.wait)(self, mode).inspect_err(|_| exhausted.store(0, Ordering::Relaxed)),
            None => self.wait_untimed(mode),
        }
    }

    #[inline]
    fn wait_untimed(&self, mode: Mode) -> Result<(), Error> {
        let forget = |_: &poll::Error| self.exhausted[mode as usize].store(0, Ordering::Relaxed);
        Ok(self.pd().wait(mode).inspect_err(forget)?)
    }
}

// A connection without a stack should stay within 256 bytes: this, and its `Slot`.
static_assertions::const_assert!(size_of::<State>() <= 64);
