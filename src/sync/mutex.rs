//! The word of a mutex (Go: `sync.Mutex`).
//!
//! ```text
//!  bit 0 locked | 1 woken: somebody was sent for and has not come yet | 2 starving | 3.. tasks waiting
//! ```
//!
//! Two modes. Normally an unlock wakes the first of the waiting, which competes with whoever comes along:
//! a task that locks and unlocks in a loop does so without a switch each time. A waiter that loses goes
//! back to the front, and once it has waited for [`STARVED`] the word is *starving*: an unlock then hands
//! the mutex to the first waiter, still locked for everybody else, until the queue is empty or served in time.

use crate::atomic::{AtomicU32, Ordering};

const LOCKED: u32 = 1;
const WOKEN: u32 = 2;
const STARVING: u32 = 4;
const WAITER: u32 = 8;

/// How long a waiter puts up with losing, in ns (Go's figure).
pub(super) const STARVED: i64 = 1_000_000;

/// How a task waits for a word, and the clock. A trait, so that the model checker can bring its own.
pub(super) trait Parking {
    /// Takes a unit of `word`; parks until there is one, behind the others, or before them if `front`.
    fn acquire(word: &AtomicU32, front: bool);
    /// Gives a unit to one that waits, or keeps it.
    fn release(word: &AtomicU32);
    /// In ns.
    fn now() -> i64;
}

/// A mutex without data.
pub(super) struct Word {
    state: AtomicU32,
    /// Where the waiting wait.
    sema: AtomicU32,
}

impl Word {
    const_fn! {
        /// Unlocked.
        pub fn new() -> Word {
            Word { state: AtomicU32::new(0), sema: AtomicU32::new(0) }
        }
    }

    #[inline]
    pub fn lock<P: Parking>(&self) {
        if let Err(old) = self.state.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed) {
            self.lock_slow::<P>(old);
        }
    }

    /// Never waits, and does not push in before those who starve.
    #[inline]
    pub fn try_lock(&self) -> bool {
        let old = self.state.load(Ordering::Relaxed);
        old & (LOCKED | STARVING) == 0
            && self.state.compare_exchange(old, old | LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn lock_slow<P: Parking>(&self, mut old: u32) {
        let mut waited_since = None;
        let (mut starving, mut woken) = (false, false);
        loop {
            let free = old & (LOCKED | STARVING) == 0;
            let mut new = if free { old | LOCKED } else { old + WAITER };
            if starving && old & LOCKED != 0 {
                new |= STARVING;
            }
            if woken {
                new &= !WOKEN; // we have come, and compete or go to sleep
            }
            if let Err(now) = self.state.compare_exchange(old, new, Ordering::Acquire, Ordering::Relaxed) {
                old = now;
                continue;
            }
            if free {
                return;
            }
            let since = *waited_since.get_or_insert_with(P::now);
            P::acquire(&self.sema, woken);
            starving = starving || P::now() - since > STARVED;
            old = self.state.load(Ordering::Relaxed);
            if old & STARVING != 0 {
                // Handed over. No bit says locked, but STARVING keeps all others out.
                let last = old / WAITER == 1;
                let calm = if !starving || last { STARVING } else { 0 };
                // Acquire: what the last holder did, as it was it who wrote this word before its release.
                self.state.fetch_sub(WAITER + calm - LOCKED, Ordering::Acquire);
                return;
            }
            woken = true;
        }
    }

    /// # Safety
    /// The caller holds the lock.
    #[inline]
    pub unsafe fn unlock<P: Parking>(&self) {
        let left = self.state.fetch_sub(LOCKED, Ordering::Release) - LOCKED;
        // Nobody waits, or somebody was sent for already.
        if left != 0 && left & (WOKEN | STARVING) != WOKEN {
            self.unlock_slow::<P>(left);
        }
    }

    #[cold]
    fn unlock_slow<P: Parking>(&self, mut old: u32) {
        if old & STARVING != 0 {
            P::release(&self.sema); // still counted: it takes itself off, with the lock
            return;
        }
        // One is enough, if there is one: whoever has the lock or is on its way does the rest.
        while old >= WAITER && old & (LOCKED | WOKEN | STARVING) == 0 {
            let new = old - WAITER + WOKEN;
            match self.state.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return P::release(&self.sema),
                Err(now) => old = now,
            }
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    //! Three tasks lock in turn, one of them twice: never two inside, what one wrote the next reads, and all of them get in;
    //! with patience, and with a clock by which everybody starves at once.
    //!
    //! Mutations seen to fail: `unlock`, `lock` and the exchange of `lock_slow` Relaxed (what one wrote the
    //! next does not see); WOKEN left behind by who has come, STARVING kept by the last (the word does not
    //! come back to 0); no release by an unlock that finds STARVING (a task sleeps for ever); `free` without a look at STARVING (two inside).
    //! WOKEN is about thrift only: without it all is well, with more wakes.

    use super::super::park::{Patient, Starved};
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    fn check<P: Parking + 'static>() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let shared = Arc::new((Word::new(), UnsafeCell::new(0)));
            let work = |shared: &(Word, UnsafeCell<u32>)| {
                shared.0.lock::<P>();
                // SAFETY: under the lock; loom checks it.
                shared.1.with_mut(|n| unsafe { *n += 1 });
                // SAFETY: locked above.
                unsafe { shared.0.unlock::<P>() };
            };
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || work(&shared))
                })
                .collect();
            work(&shared);
            work(&shared); // again: a newcomer while the others are served
            others.into_iter().for_each(|t| t.join().unwrap());
            // SAFETY: all others are gone.
            assert_eq!(shared.1.with(|n| unsafe { *n }), 4);
            assert_eq!(shared.0.state.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn three_tasks_take_turns() {
        check::<Patient>();
    }

    #[test]
    fn three_starving_tasks_take_turns() {
        check::<Starved>();
    }
}
