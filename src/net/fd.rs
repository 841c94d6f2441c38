//! A descriptor of the network: registered with the poller, shared by handles, used by one reader and
//! one writer at a time, and closed when the last of them has left (Go: `poll.FD`).

use super::Error;
use super::fdmutex::{FdMutex, Semaphore};
use crate::lock::Mutex;
use crate::poll::{Kernel, Mode, PollDesc, Side, above_stdio};
use crate::sched::poller::{netpoll, netpoll_init};
use crate::sched::sema::{semacquire, semrelease};
use crate::sched::waiter::WaitWord;
use crate::sys::fd::{PollFd, PollFlags, ppoll};
use crate::sys::time::Timespec;
use crate::sys::{self, Call, Errno, RawFd};
use crate::time::Instant;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

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
}

impl Kind {
    /// Whether a short transfer in this direction has exhausted it.
    #[inline]
    fn tells(self, mode: Mode) -> bool {
        match self {
            Kind::Stream => true,
            Kind::Pipe => mode == Mode::Read,
            Kind::Other => false,
        }
    }
}

/// A direction has been exhausted; and how many looks may rely on that before one asks the kernel again,
/// so that this (about 0.2 us) hardly counts.
const EXHAUSTED: u8 = 16;

/// The state behind the handles. Slots are reused and never unmapped.
struct State {
    mutex: FdMutex,
    /// Released when the descriptor has been destroyed.
    destroyed: AtomicU32,
    /// [`Fd`]s that point here.
    handles: AtomicU32,
    /// Set before the slot is used, read until it is destroyed.
    pd: Cell<Option<&'static PollDesc>>,
    fd: Cell<RawFd>,
    kind: Cell<Kind>,
    /// Not 0: known to be empty, or full, so wait for an edge before the next try. Counts down from
    /// [`EXHAUSTED`] to 1 with each [`Locked::look`]. Each belongs to whoever holds the lock of its
    /// direction.
    drained: AtomicU8,
    filled: AtomicU8,
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
    /// what the last transfer has moved already.)
    ///
    /// If not, it is exhausted: the next edge, already latched perhaps, is one of something new. But edges
    /// are fetched by polls, which nobody may make while no task is parked on a descriptor. So who looks
    /// again and again without ever parking is answered by the kernel every [`EXHAUSTED`]th time, or always
    /// if `exact`.
    pub fn look(&self, exact: bool) -> Result<bool, Error> {
        let Locked(state, mode) = *self;
        let (pd, exhausted) = (state.pd(), state.exhausted(mode));
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

    /// Parks until there is an edge, and uses it up.
    fn wait(&self) -> Result<(), Error> {
        let Locked(state, mode) = *self;
        netpoll().wait(state.pd(), mode)?;
        state.exhausted(mode).store(0, Ordering::Relaxed);
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
    fn pd(&self) -> &'static PollDesc {
        // SAFETY: set by `Fd::new` before the first handle, taken by `destroy` behind the last user.
        unsafe { self.pd.get().unwrap_unchecked() }
    }

    #[inline]
    fn exhausted(&self, mode: Mode) -> &AtomicU8 {
        match mode {
            Mode::Read => &self.drained,
            Mode::Write => &self.filled,
        }
    }
}

impl Fd {
    /// Takes over `fd`, which must be non-blocking, perhaps under another number. Closes it if it cannot be registered.
    pub fn new(fd: RawFd, kind: Kind) -> Result<Fd, Error> {
        let fd = above_stdio(fd).map_err(|e| Error::Os(Call::Fcntl, e))?;
        let opened = slots::get().and_then(|state| match netpoll_init().open(fd) {
            Ok(pd) => Ok((state, pd)),
            Err(e) => {
                slots::put(state);
                Err(e.into())
            }
        });
        let (slot, pd) = opened.inspect_err(|_| {
            let _ = sys::fd::close(fd);
        })?;
        // SAFETY: a slot of ours, initialised, which nobody shares yet.
        let state = unsafe { slot.as_ref() };
        state.mutex.reset();
        state.destroyed.store(0, Ordering::Relaxed);
        state.handles.store(1, Ordering::Relaxed);
        state.pd.set(Some(pd));
        state.fd.set(fd);
        state.kind.set(kind);
        state.drained.store(0, Ordering::Relaxed);
        state.filled.store(0, Ordering::Relaxed);
        Ok(Fd(slot))
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
        state.mutex.lock::<Parking>(mode)?;
        let _locked = Locked(state, mode);
        let (pd, exhausted) = (state.pd(), state.exhausted(mode));
        if exhausted.load(Ordering::Relaxed) != 0 {
            netpoll().wait(pd, mode)?;
        } else {
            netpoll().reset(pd, mode)?;
        }
        loop {
            match op(state.fd.get()) {
                Ok(n) => {
                    let short = n < want && n != 0 && state.kind.get().tells(mode);
                    let known = if short && !pd.hangup_seen() { EXHAUSTED } else { 0 };
                    exhausted.store(known, Ordering::Relaxed);
                    return Ok(n);
                }
                Err(Errno::EAGAIN) => {
                    exhausted.store(EXHAUSTED, Ordering::Relaxed);
                    netpoll().wait(pd, mode)?;
                }
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    exhausted.store(0, Ordering::Relaxed);
                    return Err(Error::Os(call, errno));
                }
            }
        }
    }

    /// Waits for an edge in direction `mode`: for a connect, which the kernel ends with one.
    pub fn wait_edge(&self, mode: Mode) -> Result<(), Error> {
        self.lock(mode)?.wait()
    }

    /// Waits until a transfer in direction `mode` may succeed, or would fail.
    pub fn ready(&self, mode: Mode) -> Result<(), Error> {
        let locked = self.lock(mode)?;
        while !locked.look(false)? {
            locked.wait()?;
        }
        Ok(())
    }

    /// Waits for the direction's lock.
    fn lock(&self, mode: Mode) -> Result<Locked<'_>, Error> {
        let state = self.state();
        state.mutex.lock::<Parking>(mode)?;
        Ok(Locked(state, mode))
    }

    /// As [`Fd::lock`], but fails with [`Error::Busy`] where that would wait.
    pub fn try_lock(&self, mode: Mode) -> Result<Locked<'_>, Error> {
        let state = self.state();
        state.mutex.try_lock(mode)?;
        Ok(Locked(state, mode))
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
            let at = deadline.map(|d| d.as_nanos());
            Ok(netpoll().set_deadline(self.state().pd(), side, at)?)
        })
    }

    /// Ends every operation with [`Error::Closed`], those under way and those to come, and returns when
    /// the number has really been closed: somebody else may have got it by then.
    pub fn close(&self) -> Result<(), Error> {
        let state = self.state();
        state.mutex.close::<Parking>()?;
        // Fails only if it has begun before, and `mutex` lets one closer in.
        let _ = netpoll().unblock(state.pd());
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

    /// A slot that nobody shares.
    pub(super) fn get() -> Result<NonNull<State>, Error> {
        let mut slots = SLOTS.lock();
        if let Some(slot) = slots.free {
            // SAFETY: what is in the list is initialised and nobody's.
            slots.free = unsafe { slot.as_ref() }.link.get();
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
        // SAFETY: within a block of ours, aligned (a page, then whole states), used by nobody yet.
        unsafe {
            slot.write(State {
                mutex: FdMutex::new(),
                destroyed: AtomicU32::new(0),
                handles: AtomicU32::new(0),
                pd: Cell::new(None),
                fd: Cell::new(-1),
                kind: Cell::new(Kind::Other),
                drained: AtomicU8::new(0),
                filled: AtomicU8::new(0),
                link: Cell::new(None),
            });
            Ok(NonNull::new_unchecked(slot))
        }
    }

    pub(super) fn put(slot: NonNull<State>) {
        let mut slots = SLOTS.lock();
        // SAFETY: initialised, and its last user gives it back.
        unsafe { slot.as_ref() }.link.set(slots.free);
        slots.free = Some(slot);
    }
}

// A connection without a stack should stay within 256 bytes: this, and its `PollDesc`.
static_assertions::const_assert!(size_of::<State>() <= 64);
