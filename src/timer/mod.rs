//! The timer heap, a data structure: a 4-ary min-heap of intrusive timers behind one lock. It reads
//! no clock and wakes nobody; who owns one asks [`Timers::next`], sleeps, and calls [`Timers::expire`].
//!
//! * A timer is in at most one heap, and stays at its address while it is there.
//! * Moving an armed timer to a *later* time is a store ([`Timers::set`]): the heap keeps the old,
//!   earlier key and puts the timer right when that key comes up. So a deadline pushed back on every
//!   request costs no heap work. An earlier time sifts up at once.
//! * Callbacks run with the heap unlocked; the sequence number they are given is the one the timer was
//!   armed with, so the owner can tell a callback that lost the race against a change.
//! * Nothing fires early: a timer expires only when `now >= when`.

mod heap;

use crate::atomic::{AtomicI64, Ordering};
use crate::lock::Mutex;
use crate::poll::Kernel;
use crate::sys::Errno;
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use heap::Heap;

/// What a timer does when it expires: `fire(timer, seq, context)`, with the sequence number it was
/// armed with and the word that was given to [`Timers::expire`].
pub type Fire = unsafe fn(timer: NonNull<Timer>, seq: u32, context: *mut ());

/// An intrusive timer. All of it belongs to the lock of the heap it is armed in.
pub struct Timer(UnsafeCell<State>);

struct State {
    /// Absolute ns. May be later than the key in the heap, never earlier.
    when: i64,
    fire: Fire,
    seq: u32,
    /// Place in the heap, or `IDLE`.
    pos: u32,
}

const IDLE: u32 = u32::MAX;

// SAFETY: the state is reached only under the lock of the heap (`Timers::set`, `stop`, `expire`).
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    /// An unarmed timer.
    pub const fn new(fire: Fire) -> Timer {
        Timer(UnsafeCell::new(State { when: 0, fire, seq: 0, pos: IDLE }))
    }
}

/// No timer is armed: what [`Timers::next`] says of an empty heap.
pub const NEVER: i64 = i64::MAX;

/// A heap of timers.
pub struct Timers {
    heap: Mutex<Heap>,
    /// The smallest key, readable without the lock: [`NEVER`] when empty. It may lag behind a change
    /// another thread makes right now; that thread is the one that wakes the sleeper.
    first: AtomicI64,
}

impl Default for Timers {
    fn default() -> Self {
        Timers::new()
    }
}

impl Timers {
    #[cfg(not(loom))]
    /// An empty heap; memory is mapped with the first timer.
    pub const fn new() -> Timers {
        Timers { heap: Mutex::new(Heap::new()), first: AtomicI64::new(NEVER) }
    }

    #[cfg(loom)]
    /// As above; loom's cells cannot be made in a constant, and the value one is made with must be
    /// stored again: a later `SeqCst` load might still return it in spite of `SeqCst` stores in between.
    pub fn new() -> Timers {
        let timers = Timers { heap: Mutex::new(Heap::new()), first: AtomicI64::new(NEVER) };
        timers.first.store(NEVER, Ordering::SeqCst);
        timers
    }

    /// The earliest time (absolute ns) at which something may have to fire, or [`NEVER`]. May be
    /// earlier than the true one (a timer that was pushed back), never later.
    #[inline]
    pub fn next(&self) -> i64 {
        self.first.load(Ordering::SeqCst)
    }

    /// Arms `timer` for `when` (absolute ns), or moves it there if it is armed. Returns whether the
    /// earliest time came forward, in which case a sleeper must be woken.
    ///
    /// # Errors
    /// `ENOMEM` when the heap cannot grow; the timer is then as it was.
    ///
    /// # Safety
    /// `timer` must not be armed in another heap, and must stay at its address until it is stopped or
    /// has fired. The pointer is what the callback will be given: it may reach what surrounds the timer
    /// only if this one may.
    pub unsafe fn set(
        &self,
        kernel: &impl Kernel,
        timer: NonNull<Timer>,
        when: i64,
        seq: u32,
    ) -> Result<bool, Errno> {
        let mut heap = self.heap.lock();
        // SAFETY: the heap's lock is held, and by contract no other heap knows the timer.
        let state = unsafe { timer.as_ref() }.0.get();
        // SAFETY: as above; `state` is used as a pointer since the heap writes `pos` in between.
        let pos = unsafe { (*state).pos };
        if pos == IDLE {
            heap.push(kernel, when, timer)?;
        } else if when < heap.key(pos) {
            heap.decrease(pos, when);
        } // else: the key stays, too early, and `expire` moves the timer on
        // SAFETY: as above.
        unsafe {
            (*state).when = when;
            (*state).seq = seq;
        }
        let first = heap.first();
        let earlier = first < self.first.load(Ordering::Relaxed);
        self.first.store(first, Ordering::SeqCst);
        Ok(earlier)
    }

    /// Disarms `timer`; whether it was armed. A callback that has been taken from the heap already is
    /// not stopped: tell it by its sequence number.
    pub fn stop(&self, timer: &Timer) -> bool {
        let mut heap = self.heap.lock();
        // SAFETY: the heap's lock is held.
        let pos = unsafe { (*timer.0.get()).pos };
        if pos == IDLE {
            return false;
        }
        heap.remove(pos);
        self.first.store(heap.first(), Ordering::SeqCst);
        true
    }

    /// Fires everything due at `now` (ns), earliest first, with the heap unlocked. Returns
    /// [`Timers::next`] as it then is.
    ///
    /// # Safety
    /// `context` must be what the callbacks of the timers in this heap expect.
    pub unsafe fn expire(&self, now: i64, context: *mut ()) -> i64 {
        while let Some((timer, fire, seq)) = self.pop_due(now) {
            // SAFETY: the timer was armed until this moment and its owner keeps the memory valid for
            // a callback in flight (descriptors are type-stable; a sleeping task waits for the call).
            unsafe { fire(timer, seq, context) };
        }
        self.next()
    }

    fn pop_due(&self, now: i64) -> Option<(NonNull<Timer>, Fire, u32)> {
        let mut heap = self.heap.lock();
        let mut due = None;
        while let Some(timer) = heap.top_due(now) {
            // SAFETY: the heap's lock is held; what is in the heap is alive (contract of `set`).
            let State { when, fire, seq, .. } = unsafe { timer.as_ref().0.get().read() };
            if when <= now {
                due = Some((timer, fire, seq));
                heap.remove(0);
                break;
            }
            heap.increase(0, when); // it had been pushed back
        }
        self.first.store(heap.first(), Ordering::SeqCst);
        due
    }

    /// Gives the heap's memory back; what was armed is forgotten.
    pub(crate) fn free(&mut self, kernel: &impl Kernel) {
        self.heap.lock().free(kernel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
