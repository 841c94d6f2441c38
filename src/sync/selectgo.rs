//! Choosing among the arms of a `select!` (Go: `selectgo`).
//!
//! All channels are locked at once, in the order of their addresses, and the arms are tried in a random
//! order. If none can go on the task queues in all of the channels; the first who claims it moves the
//! value, or the timer ends the wait. Then the task takes itself out of the others.

use super::chan::{AnyChan, Attempt, Place, State};
use super::park::{Claim, WaitReason, Wake, getg, wait_for_memory};
use super::waitlist::{Popped, Waiter};
use crate::rt::clock::nanotime;
use crate::timer::NEVER;
use core::mem::{self, MaybeUninit};
use core::sync::atomic::{AtomicU32, Ordering};

/// What came of an arm.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    NotChosen,
    /// The value was moved, or the time has come.
    Moved,
    Closed,
}

/// An arm, its type forgotten.
pub struct Arm<'a> {
    /// `None`: a time.
    pub(super) chan: Option<AnyChan>,
    /// Tries to move the value. Called with what is here, and the state under its lock.
    pub(super) attempt: unsafe fn(AnyChan, &mut State, *mut ()) -> Attempt,
    pub(super) sends: bool,
    pub(super) value: *mut (),
    /// In absolute ns; [`NEVER`] but for times.
    pub(super) when: i64,
    pub(super) outcome: &'a mut Outcome,
}

/// Chooses one arm and does its part, or none if no arm can go on and there is a `default`.
pub fn run<const N: usize>(mut arms: [Arm<'_>; N], default: bool) {
    let (mut locks, mut tries) = ([const { None }; N], [0; N]);
    let mut waiters = [const { MaybeUninit::uninit() }; N];
    let mut select = Select { arms: &mut arms, locks: &mut locks, tries: &mut tries, waiters: &mut waiters };
    select.run(default);
}

struct Select<'s, 'a> {
    arms: &'s mut [Arm<'a>],
    /// The channels to lock, each once, in order; then `None`.
    locks: &'s mut [Option<AnyChan>],
    /// The order in which the arms are tried.
    tries: &'s mut [usize],
    /// For the arms with channels.
    waiters: &'s mut [MaybeUninit<Waiter<Place>>],
}

impl Select<'_, '_> {
    fn run(&mut self, default: bool) {
        self.sort_locks();
        self.shuffle_tries();
        let times = (0..self.arms.len()).filter(|&i| self.arms[i].chan.is_none());
        let timer = times.min_by_key(|&i| self.arms[i].when);
        let when = timer.map_or(NEVER, |i| self.arms[i].when);
        loop {
            self.lock();
            if let Some(partner) = self.attempt() {
                self.unlock();
                if let Some(partner) = partner {
                    partner.ready();
                }
                return;
            }
            let due = timer.filter(|_| when <= nanotime());
            if default || due.is_some() {
                self.unlock();
                if let Some(timer) = due {
                    *self.arms[timer].outcome = Outcome::Moved;
                }
                return;
            }
            match (self.wait(when), timer) {
                (Wake::NoTimer, _) => wait_for_memory(),
                (Wake::TimedOut, Some(timer)) => return *self.arms[timer].outcome = Outcome::Moved,
                _ => return,
            }
        }
    }

    fn sort_locks(&mut self) {
        let mut n = 0;
        for chan in self.arms.iter().filter_map(|arm| arm.chan) {
            // Insertion: there are few.
            let at = self.locks[..n].iter().position(|l| l.is_none_or(|l| l.addr() >= chan.addr()));
            let at = at.unwrap_or(n);
            if n == at || self.locks[at].is_none_or(|l| l.addr() != chan.addr()) {
                self.locks[at..=n].rotate_right(1);
                self.locks[at] = Some(chan);
                n += 1;
            }
        }
    }

    /// Every order with the same chance.
    fn shuffle_tries(&mut self) {
        for i in 0..self.tries.len() {
            let j = random(i + 1);
            self.tries[i] = self.tries[j];
            self.tries[j] = i;
        }
    }

    fn lock(&self) {
        self.locks.iter().flatten().for_each(|chan| mem::forget(chan.core().state.lock()));
    }

    fn unlock(&self) {
        // SAFETY: locked by `lock`.
        self.locks.iter().flatten().for_each(|chan| unsafe { chan.core().state.force_unlock() });
    }

    /// The first arm that can go on does; whom to ready then.
    fn attempt(&mut self) -> Option<Option<Popped<Place>>> {
        for &i in &*self.tries {
            let arm = &mut self.arms[i];
            let Some(chan) = arm.chan else { continue };
            // SAFETY: under the lock, and no other borrow is live.
            let state = unsafe { &mut *chan.core().state.data_ptr() };
            // SAFETY: all of it from the arm.
            match unsafe { (arm.attempt)(chan, state, arm.value) } {
                Attempt::Moved(partner) => {
                    *arm.outcome = Outcome::Moved;
                    return Some(partner);
                }
                Attempt::Closed => {
                    *arm.outcome = Outcome::Closed;
                    return Some(None);
                }
                Attempt::Blocked => {}
            }
        }
        None
    }

    /// Queues in all channels, unlocks them, and waits. Sets the outcome of an arm that was served.
    fn wait(&mut self, when: i64) -> Wake {
        let (claim, g) = (Claim::new(), getg());
        for (i, arm) in self.arms.iter().enumerate() {
            let Some(chan) = arm.chan else { continue };
            let waiter = Waiter::one_of(g, &claim.word, i as u32, Place::new(arm.value));
            let waiter = self.waiters[i].write(waiter);
            // SAFETY: under the lock; the waiter stays until it was taken out by who claimed it, or
            // below.
            unsafe { (*chan.core().state.data_ptr()).list(arm.sends).push(waiter) };
        }
        // Once the timer is armed, or the first channel unlocked, this task may be woken. It comes out of
        // its frame only behind the lock of each channel but the one that served it: if that is not the
        // last, behind the last. So `locks` is there as long as a channel is locked.
        let locks: *const [Option<AnyChan>] = &*self.locks;
        // SAFETY: as above.
        let mut chans = unsafe { &*locks }.iter().flatten().copied();
        let mut next = chans.next();
        let wake = claim.park(WaitReason::Select, when, move || {
            while let Some(chan) = next {
                next = chans.next(); // before this one is unlocked
                // SAFETY: locked by `lock`.
                unsafe { chan.core().state.force_unlock() };
            }
        });
        for (i, arm) in self.arms.iter_mut().enumerate() {
            let Some(chan) = arm.chan else { continue };
            // SAFETY: written above.
            let waiter = unsafe { self.waiters[i].assume_init_ref() };
            if wake == Wake::Claimed(i as u32) {
                let moved = waiter.data.moved.get();
                *arm.outcome = if moved { Outcome::Moved } else { Outcome::Closed };
            } else {
                chan.core().state.lock().list(arm.sends).remove(waiter);
            }
        }
        wake
    }
}

/// A number below `n` (Go: `cheaprandn`). Lost updates between threads do no harm.
fn random(n: usize) -> usize {
    static SEED: AtomicU32 = AtomicU32::new(0x9e37_79b9);
    // Marsaglia's xorshift; of its bits the high ones.
    let mut x = SEED.load(Ordering::Relaxed);
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    SEED.store(x, Ordering::Relaxed);
    ((u64::from(x) * n as u64) >> 32) as usize
}
