//! [`WaitGroup`]: waiting for a number of things to be done.

use super::park::{WaitReason, getg, park};
use super::waitlist::{WaitList, Waiter};
use crate::atomic::{AtomicUsize, Ordering};
use crate::lock::Mutex;
use core::fmt;

/// Waits for a number of things to be done (Go: `sync.WaitGroup`).
///
/// A group may be used again, also while tasks of the last round have not gone on yet: a wait returns
/// when the count has been zero, whatever it is by then.
///
/// ```ignore
/// static DONE: netpoll::sync::WaitGroup = netpoll::sync::WaitGroup::new();
/// DONE.add(2);
/// for _ in 0..2 {
///     drop(netpoll::spawn(|| DONE.done()));
/// }
/// DONE.wait();
/// ```
pub struct WaitGroup {
    /// Twice the count, and [`WAITERS`]. The count falls to 0 under the lock if that is set, and it is
    /// set under the lock with a count above 0: so who is in the list waits for this very fall.
    word: AtomicUsize,
    list: Mutex<WaitList<()>>,
}

/// Somebody is in the list.
const WAITERS: usize = 1;
const ONE: usize = 2;

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.word.load(Ordering::Relaxed) / ONE;
        f.debug_struct("WaitGroup").field("count", &count).finish_non_exhaustive()
    }
}

impl WaitGroup {
    const_fn! {
        /// With nothing to wait for.
        pub fn new() -> WaitGroup {
            WaitGroup { word: AtomicUsize::new(0), list: Mutex::new(WaitList::new()) }
        }
    }

    /// There are `n` more things to wait for. Comes before the wait that should see them: before a
    /// task that does them is spawned, usually.
    ///
    /// # Panics
    /// If the count overflows (2^63).
    #[inline]
    pub fn add(&self, n: usize) {
        // Relaxed: whoever must see it is ordered behind it by other means, such as the spawn.
        let old = self.word.fetch_add(n.wrapping_mul(ONE), Ordering::Relaxed);
        if n > usize::MAX / ONE - old / ONE {
            overflow();
        }
    }

    /// One of them is done. The last lets all go on that wait.
    ///
    /// # Panics
    /// If there was none left.
    #[inline]
    pub fn done(&self) {
        let mut old = self.word.load(Ordering::Relaxed);
        // With waiters, a fall to 0 goes through the lock.
        while old >= ONE && old != ONE + WAITERS {
            // Release: what was done before, for those who wait.
            match self.word.compare_exchange(old, old - ONE, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
        self.done_slow();
    }

    #[cold]
    fn done_slow(&self) {
        let mut list = self.list.lock();
        let mut old = self.word.load(Ordering::Relaxed);
        loop {
            if old < ONE {
                drop(list);
                negative();
            }
            let last = old == ONE + WAITERS;
            let new = if last { 0 } else { old - ONE };
            // Acquire: what the others did, whom the lock does not order.
            match self.word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if last => break,
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
        let woken = list.take_all();
        // Behind this a waiter that comes now may find 0 and free the group.
        drop(list);
        woken.ready();
    }

    /// Waits until the count is zero. Parks. Everything done before the [`WaitGroup::done`]s is seen.
    #[inline]
    pub fn wait(&self) {
        if self.word.load(Ordering::Acquire) >= ONE {
            self.wait_slow();
        }
    }

    #[cold]
    fn wait_slow(&self) {
        let waiter = Waiter::new(getg(), ());
        let mut list = self.list.lock();
        let mut old = self.word.load(Ordering::Acquire);
        loop {
            if old < ONE {
                return;
            }
            match self.word.compare_exchange(old, old | WAITERS, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        // SAFETY: this frame stays until the task is readied, by who took the waiter out.
        unsafe { list.push(&waiter) };
        park(WaitReason::WaitGroup, move || drop(list));
    }
}

#[cold]
fn overflow() -> ! {
    panic!("WaitGroup::add: the count overflows")
}

#[cold]
fn negative() -> ! {
    panic!("WaitGroup::done: more is done than was added")
}

#[cfg(all(test, loom))]
mod model {
    //! One waits for two; two wait for one; and a group that is used again at once: the waiting are let
    //! go, not before all is done, and see what was done.
    //!
    //! Mutations seen to fail: any of the orderings in `done`, `done_slow` and `wait` Relaxed, that of
    //! `done_slow` Release alone (what was done is not seen); a last `done` that passes the lock by, no second
    //! look in `wait_slow` (a task sleeps for ever); WAITERS not taken off with the last.

    use super::super::park::task;
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    #[test]
    fn one_waits_for_two() {
        check(|| {
            let shared = Arc::new((WaitGroup::new(), UnsafeCell::new(0), UnsafeCell::new(0)));
            shared.0.add(2);
            let a = shared.clone();
            let a = task(1, move || {
                // SAFETY: loom checks that nobody reads before it is done.
                a.1.with_mut(|n| unsafe { *n = 1 });
                a.0.done();
            });
            let b = shared.clone();
            let b = task(2, move || {
                // SAFETY: as above.
                b.2.with_mut(|n| unsafe { *n = 1 });
                b.0.done();
            });
            shared.0.wait();
            // SAFETY: as above.
            assert_eq!(shared.1.with(|n| unsafe { *n }) + shared.2.with(|n| unsafe { *n }), 2);
            a.join().unwrap();
            b.join().unwrap();
        });
    }

    #[test]
    fn two_wait_for_one() {
        check(|| {
            let shared = Arc::new((WaitGroup::new(), UnsafeCell::new(0)));
            shared.0.add(1);
            let others: Vec<_> = (1..3)
                .map(|n| {
                    let shared = shared.clone();
                    task(n, move || {
                        shared.0.wait();
                        // SAFETY: loom checks that it is done.
                        assert_eq!(shared.1.with(|n| unsafe { *n }), 1);
                    })
                })
                .collect();
            // SAFETY: as above.
            shared.1.with_mut(|n| unsafe { *n = 1 });
            shared.0.done();
            others.into_iter().for_each(|t| t.join().unwrap());
        });
    }

    #[test]
    fn nobody_is_lost_when_the_group_is_used_again_at_once() {
        check(|| {
            let group = Arc::new(WaitGroup::new());
            group.add(1);
            let others: Vec<_> = (1..3)
                .map(|n| {
                    let group = group.clone();
                    task(n, move || group.wait())
                })
                .collect();
            group.done();
            group.add(1);
            group.done();
            others.into_iter().for_each(|t| t.join().unwrap());
            assert_eq!(group.word.load(Ordering::Relaxed), 0);
        });
    }
}
