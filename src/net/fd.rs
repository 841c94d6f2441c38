//! A descriptor of the network: registered with the poller, shared by handles, used by one reader and
//! one writer at a time, and closed when the last of them has left (Go: `poll.FD`).

mod idle;

use super::Error;
use super::fdmutex::{FdMutex, Semaphore};
use super::timeout::Timeouts;
use crate::blocking;
use crate::lock::Mutex;
use crate::poll::{Kernel, Mode, PollDesc, Side, above_stdio};
use crate::sched::poller::{netpoll, netpoll_init};
use crate::sched::sema::{semacquire, semrelease};
use crate::sched::waiter::WaitWord;
use crate::sys::fd::{OFlags, PollFd, PollFlags, ppoll};
use crate::sys::time::Timespec;
use crate::sys::{self, Call, Errno, RawFd};
use crate::time::Instant;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use core::time::Duration;

/// What a short transfer means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A TCP stream: a read that returned less than asked for found the queue empty, a write that took
    /// less found it full, and what changes that is an edge. (The exceptions, urgent data and the end
    /// of the stream, are seen by [`PollDesc::hangup_seen`].)
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
    fn tells(self, mode: Mode) -> bool {
        match self {
            Kind::Stream => true,
            Kind::Pipe => mode == Mode::Read,
            Kind::Other | Kind::Asks | Kind::File => false,
        }
    }
}

/// A direction has been exhausted; and how many looks may rely on that before one asks the kernel again,
/// so that this (about 0.2 us) hardly counts.
const EXHAUSTED: u8 = 16;

/// The state behind the handles. Slots are reused and never unmapped.
pub(super) struct State {
    mutex: FdMutex,
    /// Released when the descriptor has been destroyed.
    destroyed: AtomicU32,
    /// [`Fd`]s that point here.
    handles: AtomicU32,
    /// Set before the slot is used, read until it is destroyed. `None`: a file that cannot be polled.
    pd: Cell<Option<&'static PollDesc>>,
    fd: Cell<RawFd>,
    kind: Cell<Kind>,
    /// Not 0: known to be empty, or full, so wait for an edge before the next try. Counts down from
    /// [`EXHAUSTED`] to 1 with each [`Locked::look`]. Each belongs to whoever holds the lock of its
    /// direction.
    exhausted: [AtomicU8; 2],
    pub(super) timeouts: Timeouts,
    /// Next free slot.
    link: Cell<Option<NonNull<State>>>,
}

/// A handle. The descriptor is closed by [`Fd::close`] or with the last handle.
pub(crate) struct Fd(NonNull<State>);

// SAFETY: the state's cells are written before it is shared and while nobody shares it; the rest is
// atomic.
unsafe impl Send for Fd {}
// SAFETY: as above.
unsafe impl Sync for Fd {}

/// Parks by the scheduler's semaphores.
struct Parking;

impl Semaphore for Parking {
    fn acquire(word: &AtomicU32) {
        semacquire(word);
    }
    fn release(word: &AtomicU32) {
        semrelease(word);
    }
}

/// Holds a direction's lock.
pub(crate) struct Locked<'a>(&'a State, Mode);

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
        let Some(pd) = state.pd.get() else { return Ok(true) };
        let exhausted = &state.exhausted[mode as usize];
        let edge = netpoll().take_edge(pd, mode)?;
        let looks = exhausted.load(Ordering::Relaxed);
        let trusted = looks > 1 && !edge && !exact;
        let ready = !trusted && would_not_block(state.fd.get(), mode);
        let known = if ready { 0 } else { EXHAUSTED };
        exhausted.store(if trusted { looks - 1 } else { known }, Ordering::Relaxed);
        if !ready {
            netpoll().watch(pd, mode)?; // here, where a system call is no harm
        }
        Ok(ready)
    }

    /// What [`State::begin`] seldom has to do, or what costs more than a call.
    #[inline(never)]
    fn prepare(self) -> Result<Self, Error> {
        let Locked(state, mode) = self;
        if let Some(hooks) = state.timeouts.hooks() {
            (hooks.begin)(state, mode)?;
        } else if state.exhausted(mode) {
            state.wait(mode)?;
        } else {
            netpoll().reset(state.pd(), mode)?;
        }
        Ok(self)
    }

    /// Parks until there is an edge, and uses it up.
    fn wait(&self) -> Result<(), Error> {
        let Locked(state, mode) = *self;
        state.wait(mode)?;
        state.exhausted[mode as usize].store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Leaves `word` where the next edge finds it. `false`: look again, for there is one, or an error.
    pub fn enlist(&self, word: WaitWord) -> bool {
        netpoll().enlist(self.0.pd(), self.1, word) == Ok(true)
    }

    /// Takes `word` back. `false`: somebody else has taken it.
    pub fn withdraw(&self, word: WaitWord) -> bool {
        netpoll().withdraw(self.0.pd(), self.1, word)
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
    /// The last user has left: gives the number back to the kernel, and only then lets the closer go.
    #[cold]
    fn destroy(&self) {
        if let Some(pd) = self.pd.take() {
            netpoll().close(pd);
        }
        // An error is one of earlier writes to a file; sockets have none. The number is gone anyway, EINTR
        // included (close(2)).
        let _ = sys::fd::close(self.fd.get());
        semrelease(&self.destroyed);
    }

    #[inline]
    pub(super) fn pd(&self) -> &'static PollDesc {
        debug_assert!(self.pd.get().is_some(), "a file");
        // SAFETY: set by `Fd::new` before the first handle, taken by `destroy` behind the last user. What
        // `Fd::file` made is not polled (contract of those that call this).
        unsafe { self.pd.get().unwrap_unchecked() }
    }

    /// Begins a transfer: as the one reader or writer, and behind an edge if the last one has exhausted
    /// the descriptor.
    #[inline]
    fn begin(&self, mode: Mode) -> Result<Locked<'_>, Error> {
        self.mutex.lock::<Parking>(mode)?;
        let locked = Locked(self, mode);
        if self.timeouts.on() || self.exhausted(mode) || !netpoll().is_reset(self.pd(), mode) {
            return locked.prepare();
        }
        Ok(locked)
    }

    /// A limit of an earlier call is none of the next one's. The caller holds the direction's lock.
    fn forget_limit(&self, mode: Mode) -> Result<(), Error> {
        self.timeouts.hooks().map_or(Ok(()), |hooks| (hooks.forget)(self, mode))
    }

    /// Whether the last transfer has exhausted the descriptor. The caller holds the direction's lock.
    #[inline]
    pub(super) fn exhausted(&self, mode: Mode) -> bool {
        self.exhausted[mode as usize].load(Ordering::Relaxed) != 0
    }

    /// Waits for an edge. The caller holds the direction's lock.
    #[inline(never)] // a park costs more than a call
    fn wait(&self, mode: Mode) -> Result<(), Error> {
        self.exhausted[mode as usize].store(EXHAUSTED, Ordering::Relaxed);
        if let Some(hooks) = self.timeouts.hooks() {
            return (hooks.wait)(self, mode);
        }
        Ok(netpoll().wait(self.pd(), mode)?)
    }
}

impl Fd {
    /// Takes over `fd`, which must be non-blocking, perhaps under another number. Closes it if it cannot be
    /// registered.
    pub fn new(fd: RawFd, kind: Kind) -> Result<Fd, Error> {
        let fd = above_stdio(fd).map_err(|e| Error::Os(Call::Fcntl, e))?;
        Fd::register(fd, kind).inspect_err(|_| {
            let _ = sys::fd::close(fd);
        })
    }

    /// As [`Fd::new`] for a number above 2, which stays the caller's if it cannot be registered.
    #[inline]
    pub fn register(fd: RawFd, kind: Kind) -> Result<Fd, Error> {
        let slot = slots::get()?;
        match netpoll_init().open(fd) {
            Ok(pd) => Ok(Fd::in_slot(slot, Some(pd), fd, kind)),
            Err(e) => {
                slots::put(slot);
                Err(e.into())
            }
        }
    }

    /// Takes over a number above 2 of a file that cannot be polled.
    pub fn file(fd: RawFd) -> Result<Fd, Error> {
        Ok(Fd::in_slot(slots::get()?, None, fd, Kind::File))
    }

    #[inline]
    fn in_slot(slot: NonNull<State>, pd: Option<&'static PollDesc>, fd: RawFd, kind: Kind) -> Fd {
        // SAFETY: a slot of ours, which nobody shares yet.
        unsafe {
            slot.write(State {
                mutex: FdMutex::new(),
                destroyed: AtomicU32::new(0),
                handles: AtomicU32::new(1),
                pd: Cell::new(pd),
                fd: Cell::new(fd),
                kind: Cell::new(kind),
                exhausted: [AtomicU8::new(0), AtomicU8::new(0)],
                timeouts: Timeouts::new(),
                link: Cell::new(None),
            });
        }
        Fd(slot)
    }

    /// As [`Fd::new`], for a descriptor from elsewhere, which need not be non-blocking yet.
    pub fn adopt(fd: RawFd, kind: Kind) -> Result<Fd, Error> {
        if let Err(e) = set_nonblocking(fd) {
            let _ = sys::fd::close(fd);
            return Err(Error::Os(Call::Fcntl, e));
        }
        Fd::new(fd, kind)
    }

    #[inline]
    fn state(&self) -> &State {
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

    /// One transfer in direction `mode`: `op` is tried until it is not EAGAIN, with waits in between,
    /// under the direction's lock. `want`: how many bytes a transfer that exhausts nothing would have
    /// moved; 0 if its result tells nothing.
    ///
    /// The point of it all: after a transfer that exhausted a stream the next one waits at once, instead
    /// of asking the kernel for an EAGAIN first. No edge is lost by that, because `reset` or `wait` has
    /// used up the old one *before* the transfer.
    #[inline]
    pub fn transfer(
        &self,
        mode: Mode,
        call: Call,
        want: usize,
        mut op: impl FnMut(RawFd) -> Result<usize, Errno>,
    ) -> Result<usize, Error> {
        let state = self.state();
        let _locked = state.begin(mode)?;
        let exhausted = &state.exhausted[mode as usize];
        loop {
            match op(state.fd.get()) {
                Ok(n) => {
                    let short = n < want && n != 0 && state.kind.get().tells(mode);
                    let known = if short && !state.pd().hangup_seen() { EXHAUSTED } else { 0 };
                    exhausted.store(known, Ordering::Relaxed);
                    return Ok(n);
                }
                Err(Errno::EAGAIN) => state.wait(mode)?,
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    exhausted.store(0, Ordering::Relaxed);
                    return Err(Error::Os(call, errno));
                }
            }
        }
    }

    /// One operation on a file, which blocks its thread while other tasks go on (see [`blocking`]). Nothing
    /// ends it early, and a close waits for it.
    pub fn off_p(
        &self,
        mode: Mode,
        call: Call,
        mut op: impl FnMut(RawFd) -> Result<usize, Errno>,
    ) -> Result<usize, Error> {
        let state = self.state();
        state.mutex.lock::<Parking>(mode)?;
        let _locked = Locked(state, mode);
        blocking(|| {
            loop {
                match op(state.fd.get()) {
                    Err(Errno::EINTR) => {}
                    done => return done.map_err(|e| Error::Os(call, e)),
                }
            }
        })
    }

    /// Waits for an edge in direction `mode`: for a connect, which the kernel ends with one.
    pub fn wait_edge(&self, mode: Mode) -> Result<(), Error> {
        let state = self.state();
        state.mutex.lock::<Parking>(mode)?;
        let _locked = Locked(state, mode);
        Ok(netpoll().wait(state.pd(), mode)?)
    }

    /// Waits until a transfer in direction `mode` may succeed, or would fail.
    pub fn ready(&self, mode: Mode) -> Result<(), Error> {
        let state = self.state();
        state.mutex.lock::<Parking>(mode)?;
        let locked = Locked(state, mode);
        state.forget_limit(mode)?;
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
        self.with(|_| Ok(netpoll().check(self.state().pd(), mode)?))
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
            let pd = state.pd.get().ok_or(Error::NotPollable)?;
            if state.timeouts.on() {
                state.timeouts.set_deadline(pd, side, at)?;
            } else {
                netpoll().set_deadline(pd, side, at)?;
            }
            Ok(())
        })
    }

    /// Limits the time that each transfer in direction `mode` waits.
    pub fn set_timeout(&self, mode: Mode, limit: Option<Duration>) -> Result<(), Error> {
        self.with(|_| {
            let state = self.state();
            let pd = state.pd.get().ok_or(Error::NotPollable)?;
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
        if let Some(pd) = state.pd.take() {
            let _ = netpoll().unblock(pd);
            netpoll().close(pd);
        }
        Ok(state.fd.get()) // and the drop finds it closed
    }

    /// Ends every operation with [`Error::Closed`], those under way and those to come, and returns when
    /// the number has really been closed: somebody else may have got it by then.
    pub fn close(&self) -> Result<(), Error> {
        let state = self.state();
        state.mutex.close::<Parking>()?;
        if let Some(pd) = state.pd.get() {
            // Fails only if it has begun before, and `mutex` lets one closer in.
            let _ = netpoll().unblock(pd);
        }
        if state.mutex.decref() {
            state.destroy();
        }
        semacquire(&state.destroyed);
        Ok(())
    }
}

impl Clone for Fd {
    fn clone(&self) -> Fd {
        self.state().handles.fetch_add(1, Ordering::Relaxed);
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

/// Where states live.
mod slots {
    use super::*;
    use core::mem::size_of;

    /// Bytes mapped at a time.
    const BLOCK: usize = 16 << 10;

    struct Slots {
        free: Option<NonNull<State>>,
        next: *mut State,
        left: usize,
    }

    // SAFETY: free slots belong to the list, and memory to no thread.
    unsafe impl Send for Slots {}

    static SLOTS: Mutex<Slots> = Mutex::new(Slots { free: None, next: ptr::null_mut(), left: 0 });

    /// A slot that nobody shares, to be written.
    pub(super) fn get() -> Result<NonNull<State>, Error> {
        let mut slots = SLOTS.lock();
        if let Some(slot) = slots.free {
            // SAFETY: `put` wrote the link, and what is in the list is nobody's.
            slots.free = unsafe { (&raw const (*slot.as_ptr()).link).read() }.get();
            return Ok(slot);
        }
        if slots.left == 0 {
            let block = netpoll().kernel().map(BLOCK).map_err(|e| Error::Os(Call::Mmap, e))?;
            slots.next = block.as_ptr().cast();
            slots.left = BLOCK / size_of::<State>();
        }
        let slot = slots.next;
        slots.next = slot.wrapping_add(1);
        slots.left -= 1;
        // SAFETY: within a block of ours.
        Ok(unsafe { NonNull::new_unchecked(slot) })
    }

    /// Gives back a slot that was not written after all, or that nobody uses any more.
    pub(super) fn put(slot: NonNull<State>) {
        let mut slots = SLOTS.lock();
        // SAFETY: its last user gives it back. Only the link: the rest may never have been written.
        unsafe { (&raw mut (*slot.as_ptr()).link).write(Cell::new(slots.free)) };
        slots.free = Some(slot);
    }
}

// A connection without a stack should stay within 256 bytes: this, and its `PollDesc`.
static_assertions::const_assert!(size_of::<State>() <= 64);
