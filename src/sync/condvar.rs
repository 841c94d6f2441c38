//! [`Condvar`]: waiting for a change of what a mutex guards.

use super::locks::MutexGuard;
use super::park::{Claim, WaitReason, Wake, getg, park};
use super::waitlist::{WaitList, Waiter};
use crate::lock;
use crate::time::Instant;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use lock_api::RawMutex as _;

/// Waits for a change of what a [`Mutex`](super::Mutex) guards (Go: `sync.Cond`). The waiting are woken
/// in the order in which they came.
///
/// ```ignore
/// let mut queue = QUEUE.lock();
/// NOT_EMPTY.wait_while(&mut queue, |queue| queue.is_empty());
/// ```
pub struct Condvar {
    /// Somebody may be in the list. Written under its lock.
    waiting: AtomicBool,
    list: lock::Mutex<WaitList<()>>,
}

/// How a wait with a limit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time had passed before anybody notified this task.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

impl Condvar {
    /// With nobody waiting.
    pub const fn new() -> Condvar {
        Condvar { waiting: AtomicBool::new(false), list: lock::Mutex::new(WaitList::new()) }
    }

    /// Unlocks the guard's mutex, waits to be notified, and locks it again. No notification that comes
    /// after the unlocking is missed. Others may have changed what they like meanwhile: look again, or
    /// use [`Condvar::wait_while`].
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        // SAFETY: unlocked once and locked again below, while the guard is borrowed.
        let mutex = unsafe { MutexGuard::mutex(guard).raw() };
        let waiter = Waiter::new(getg(), ());
        let mut list = self.list.lock();
        // SAFETY: this frame stays until the task is readied, by who took the waiter out.
        unsafe { list.push(&waiter) };
        self.waiting.store(true, Ordering::Relaxed);
        park(WaitReason::Cond, move || {
            // Before the list is: behind that, this task may be running and the mutex gone.
            // SAFETY: locked (there is a guard).
            unsafe { mutex.unlock() };
            drop(list);
        });
        mutex.lock();
    }

    /// Waits as long as `condition` says so.
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) {
        while condition(guard) {
            self.wait(guard);
        }
    }

    /// As [`Condvar::wait`], until `deadline` at most.
    pub fn wait_deadline<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        // SAFETY: as in `wait`.
        let mutex = unsafe { MutexGuard::mutex(guard).raw() };
        let claim = Claim::new();
        let waiter = Waiter::one_of(getg(), &claim.word, 0, ());
        let mut list = self.list.lock();
        // SAFETY: this frame stays until the waiter was taken out by who claimed it, or below.
        unsafe { list.push(&waiter) };
        self.waiting.store(true, Ordering::Relaxed);
        let wake = claim.park(WaitReason::Cond, deadline.as_nanos(), move || {
            // SAFETY: as in `wait`.
            unsafe { mutex.unlock() };
            drop(list);
        });
        if !matches!(wake, Wake::Claimed(_)) {
            let mut list = self.list.lock();
            list.remove(&waiter);
            self.waiting.store(!list.is_empty(), Ordering::Relaxed);
        }
        if wake == Wake::NoTimer {
            super::park::wait_for_memory(); // and let the caller look again
        }
        mutex.lock();
        WaitTimeoutResult(wake == Wake::TimedOut)
    }

    /// As [`Condvar::wait`], for `timeout` at most.
    pub fn wait_timeout<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        self.wait_deadline(guard, Instant::now() + timeout)
    }

    /// Waits as long as `condition` says so, until `deadline` at most. It has timed out if the condition
    /// still held then.
    pub fn wait_while_deadline<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> WaitTimeoutResult {
        while condition(guard) {
            if self.wait_deadline(guard, deadline).timed_out() {
                return WaitTimeoutResult(condition(guard));
            }
        }
        WaitTimeoutResult(false)
    }

    /// Wakes the task that has waited longest, if one waits. The mutex need not be held, but what was
    /// waited for must have been changed under it.
    #[inline]
    pub fn notify_one(&self) {
        // Relaxed: a waiter sets it before it unlocks the mutex, which the notifier has locked since.
        if self.waiting.load(Ordering::Relaxed) {
            let mut list = self.list.lock();
            let first = list.pop();
            self.waiting.store(!list.is_empty(), Ordering::Relaxed);
            drop(list);
            if let Some(first) = first {
                first.ready();
            }
        }
    }

    /// Wakes all tasks that wait. As [`Condvar::notify_one`].
    #[inline]
    pub fn notify_all(&self) {
        if self.waiting.load(Ordering::Relaxed) {
            let mut list = self.list.lock();
            let woken = list.take_all();
            self.waiting.store(false, Ordering::Relaxed);
            drop(list);
            woken.ready();
        }
    }
}
