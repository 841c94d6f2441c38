//! [`Semaphore`]: a number of permits.

use super::park::{Claim, WaitReason, Wake, getg, park};
use super::waitlist::{WaitList, Waiter, Woken};
use crate::lock::Mutex;

/// A number of permits, taken and given back by the handful (Go: `x/sync/semaphore.Weighted`).
///
/// First come, first served: a request that cannot be met holds up those behind it, also smaller
/// ones, and so is met in the end.
pub struct Semaphore(Mutex<State>);

struct State {
    permits: usize,
    /// Who waits, each for so many.
    queue: WaitList<usize>,
}

impl State {
    /// Takes permits for those at the head of the queue.
    fn serve(&mut self) -> Woken<usize> {
        let mut woken = Woken::new();
        let mut permits = self.permits;
        while let Some(waiter) = self.queue.pop_if(|&need| need <= permits) {
            permits -= waiter.data();
            woken.push(waiter);
        }
        self.permits = permits;
        woken
    }

    fn take(&mut self, n: usize) -> bool {
        let free = self.queue.is_empty() && n <= self.permits;
        if free {
            self.permits -= n;
        }
        free
    }
}

impl Semaphore {
    const_fn! {
        /// With `permits` free.
        pub fn new(permits: usize) -> Semaphore {
            Semaphore(Mutex::new(State { permits, queue: WaitList::new() }))
        }
    }

    /// Takes `n` permits at once; parks until it is this task's turn and there are so many.
    pub fn acquire(&self, n: usize) {
        let waiter = Waiter::new(getg(), n);
        let mut state = self.0.lock();
        if state.take(n) {
            return;
        }
        // SAFETY: this frame stays until the task is readied, by who took the waiter out.
        unsafe { state.queue.push(&waiter) };
        park(WaitReason::Semacquire, move || drop(state));
    }

    /// As [`Semaphore::acquire`], until `when` (absolute ns). `false`: it passed, and nothing was taken.
    fn acquire_until(&self, n: usize, when: i64) -> bool {
        loop {
            let claim = Claim::new();
            let waiter = Waiter::one_of(getg(), &claim.word, 0, n);
            let mut state = self.0.lock();
            if state.take(n) {
                return true;
            }
            // SAFETY: this frame stays until the waiter was taken out by who claimed it, or below.
            unsafe { state.queue.push(&waiter) };
            let wake = claim.park(WaitReason::Semacquire, when, move || drop(state));
            if let Wake::Claimed(_) = wake {
                return true;
            }
            let mut state = self.0.lock();
            state.queue.remove(&waiter);
            let woken = state.serve(); // we may have been in their way
            drop(state);
            woken.ready();
            if wake == Wake::TimedOut {
                return false;
            }
            super::park::wait_for_memory();
        }
    }

    /// Takes `n` permits if they are free and nobody waits.
    #[must_use]
    pub fn try_acquire(&self, n: usize) -> bool {
        self.0.lock().take(n)
    }

    /// Gives `n` permits back, or adds new ones, and lets those go on whose turn it is.
    ///
    /// # Panics
    /// If there are more than `usize::MAX` then.
    pub fn release(&self, n: usize) {
        let mut state = self.0.lock();
        let Some(permits) = state.permits.checked_add(n) else {
            drop(state);
            panic!("Semaphore::release: the count overflows");
        };
        state.permits = permits;
        let woken = state.serve();
        drop(state);
        woken.ready();
    }

    /// Permits that are free at this moment.
    pub fn available(&self) -> usize {
        self.0.lock().permits
    }
}

#[cfg(not(loom))]
mod public {
    use super::Semaphore;
    use crate::time::Instant;
    use core::fmt;

    impl fmt::Debug for Semaphore {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Semaphore").field("available", &self.available()).finish_non_exhaustive()
        }
    }

    impl Semaphore {
        /// As [`Semaphore::acquire`], but gives up at `deadline`. `false`: nothing was taken.
        #[must_use]
        pub fn acquire_deadline(&self, n: usize, deadline: Instant) -> bool {
            self.acquire_until(n, deadline.as_nanos())
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    //! A release races with the deadline of the first in the queue, behind which a second waits: the
    //! permit goes to exactly one of them, and is not lost with the one that gives up.
    //!
    //! Mutations seen to fail: nobody served by one that gives up (who is behind sleeps for ever); in
    //! `waitlist.rs`, a claim by a load and a store, or without a look at who has claimed already.

    use super::super::park::{deadline_passes, task};
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn a_permit_is_not_lost_with_a_waiter_that_gives_up() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let shared = Arc::new(Semaphore::new(0));
            let hurried = {
                let shared = shared.clone();
                task(1, move || shared.acquire_until(1, 1))
            };
            let timer = task(2, || deadline_passes(1));
            shared.release(1);
            let got = hurried.join().unwrap();
            timer.join().unwrap();
            assert_eq!(shared.available(), usize::from(!got));
        });
    }

    #[test]
    fn those_behind_one_that_gives_up_are_served() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(|| {
            let shared = Arc::new(Semaphore::new(1));
            let hurried = {
                let shared = shared.clone();
                task(1, move || shared.acquire_until(2, 1))
            };
            let behind = {
                let shared = shared.clone();
                task(2, move || shared.acquire(1))
            };
            deadline_passes(1);
            assert!(!hurried.join().unwrap());
            behind.join().unwrap();
            assert_eq!(shared.available(), 0);
        });
    }
}
