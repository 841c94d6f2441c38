//! Choosing among the arms of a `select!` (Go: `selectgo`).
//!
//! First every descriptor is looked at, which may ask the kernel. Then all channels are locked at once, in
//! the order of their addresses, and the arms are tried in a random order. If none can go on the task
//! leaves a word with the poller for each descriptor, queues in all of the channels, and parks. The first who
//! claims it ends that: a channel's partner moves the value; the timer; or an event, a deadline or a close of
//! a descriptor, which means no more than "look again". Then the task takes itself out of the others.

use super::chan::{AnyChan, Attempt, Place, State};
use super::claimant::Claimant;
use super::park::{Claim, WaitReason, WaitWord, Wake, getg, nanotime, wait_for_memory, yield_now};
use super::random;
use super::waitlist::{ClaimWord, Popped, Waiter};
use crate::timer::NEVER;
use core::mem::{self, MaybeUninit};

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
    pub(super) kind: Kind<'a>,
    pub(super) outcome: &'a mut Outcome,
}

/// What an arm waits for.
pub(super) enum Kind<'a> {
    Chan {
        chan: AnyChan,
        /// Tries to move the value. Called with what is here, and the state under its lock.
        attempt: unsafe fn(AnyChan, &mut State, *mut ()) -> Attempt,
        sends: bool,
        value: *mut (),
    },
    /// In absolute ns.
    Time(i64),
    Descriptor {
        /// Behind a table of functions, so that a `select!` without descriptors has none of it in its
        /// file.
        direction: &'a mut dyn Direction,
        /// What the last look found.
        ready: bool,
    },
}

/// A direction of a descriptor, for the time of one `select!`. Nothing of it parks.
pub(super) trait Direction {
    /// Whether an operation may succeed or would fail now; the arm remembers which. An edge that no poll
    /// has fetched yet may be missed unless `exact`, but not for ever.
    fn look(&mut self, exact: bool) -> bool;
    /// See [`crate::poll::Netpoll::enlist`], behind a look that found nothing. `false`: look again.
    fn enlist(&mut self, word: WaitWord) -> bool;
    /// See [`crate::poll::Netpoll::withdraw`].
    fn withdraw(&mut self, word: WaitWord) -> bool;
    /// Lets others have the direction.
    fn leave(&mut self);
}

impl Kind<'_> {
    fn chan(&self) -> Option<AnyChan> {
        match *self {
            Kind::Chan { chan, .. } => Some(chan),
            _ => None,
        }
    }

    fn time(&self) -> Option<i64> {
        match *self {
            Kind::Time(when) => Some(when),
            _ => None,
        }
    }
}

/// Chooses one arm and does its part, or none if no arm can go on and there is a `default`.
pub fn run<const N: usize>(mut arms: [Arm<'_>; N], default: bool) {
    let (mut locks, mut tries) = ([const { None }; N], [0; N]);
    let mut waiters = [const { MaybeUninit::uninit() }; N];
    let mut claimants = [const { MaybeUninit::uninit() }; N];
    Select {
        arms: &mut arms,
        locks: &mut locks,
        tries: &mut tries,
        waiters: &mut waiters,
        claimants: &mut claimants,
    }
    .run(default);
    for arm in &mut arms {
        if let Kind::Descriptor { direction, .. } = &mut arm.kind {
            direction.leave();
        }
    }
}

struct Select<'s, 'a> {
    arms: &'s mut [Arm<'a>],
    /// The channels to lock, each once, in order; then `None`.
    locks: &'s mut [Option<AnyChan>],
    /// The order in which the arms are tried.
    tries: &'s mut [usize],
    /// For the arms with channels.
    waiters: &'s mut [MaybeUninit<Waiter<Place>>],
    /// For those with descriptors.
    claimants: &'s mut [MaybeUninit<Claimant>],
}

impl Select<'_, '_> {
    fn run(&mut self, default: bool) {
        self.sort_locks();
        self.shuffle_tries();
        let times = self.arms.iter().enumerate().filter_map(|(i, arm)| Some((arm.kind.time()?, i)));
        let timer = times.min();
        let when = timer.map_or(NEVER, |(when, _)| when);
        loop {
            // Before the looks, which are exact if nothing comes behind them.
            let due = timer.filter(|_| when <= nanotime());
            self.look(default || due.is_some());
            self.lock();
            if let Some(partner) = self.attempt() {
                self.unlock();
                if let Some(partner) = partner {
                    partner.ready();
                }
                return;
            }
            if default || due.is_some() {
                self.unlock();
                if let Some((_, timer)) = due {
                    *self.arms[timer].outcome = Outcome::Moved;
                }
                return;
            }
            match (self.wait(when), timer) {
                (Wake::NoTimer, _) => wait_for_memory(),
                (Wake::TimedOut, Some((_, timer))) => return *self.arms[timer].outcome = Outcome::Moved,
                // By a descriptor, which sets no outcome: go round.
                (Wake::Claimed(i), _) if self.arms[i as usize].kind.chan().is_none() => {}
                _ => return,
            }
        }
    }

    /// At the descriptors. Without locks: they may make system calls.
    fn look(&mut self, exact: bool) {
        for arm in &mut *self.arms {
            if let Kind::Descriptor { direction, ready } = &mut arm.kind {
                *ready = direction.look(exact);
            }
        }
    }

    fn sort_locks(&mut self) {
        let mut n = 0;
        for chan in self.arms.iter().filter_map(|arm| arm.kind.chan()) {
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
            let j = random::below(i + 1);
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
            let attempt = match arm.kind {
                Kind::Chan { chan, attempt, value, .. } => {
                    // SAFETY: under the lock, and no other borrow is live.
                    let state = unsafe { &mut *chan.core().state.data_ptr() };
                    // SAFETY: all of it from the arm.
                    unsafe { attempt(chan, state, value) }
                }
                Kind::Descriptor { ready: true, .. } => Attempt::Moved(None),
                Kind::Descriptor { .. } | Kind::Time(_) => Attempt::Blocked,
            };
            match attempt {
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

    /// Lets others claim this task, unlocks the channels, and waits for that. Sets the outcome of a channel's
    /// arm that was served.
    fn wait(&mut self, when: i64) -> Wake {
        let claim = Claim::new();
        let enlisted = self.enlist(&claim.word);
        let wake = match enlisted {
            Ok(()) => self.park(&claim, when),
            Err(i) => {
                self.unlock();
                Wake::Claimed(i as u32)
            }
        };
        self.withdraw(enlisted.err().unwrap_or(self.arms.len()));
        wake
    }

    /// Leaves a word with the poller for each descriptor. If one must be looked at again, that is the error,
    /// and only those before it have done so.
    fn enlist(&mut self, claim: &ClaimWord) -> Result<(), usize> {
        let g = getg();
        for (i, arm) in self.arms.iter_mut().enumerate() {
            let Kind::Descriptor { direction, .. } = &mut arm.kind else { continue };
            let claimant = self.claimants[i].write(Claimant::new(g, claim, i as u32));
            // SAFETY: `withdraw` follows, in the frame of `claim`.
            if !direction.enlist(unsafe { claimant.word() }) {
                return Err(i);
            }
        }
        Ok(())
    }

    /// Takes the words of the first `n` arms back, and waits until nobody has one in his hands.
    fn withdraw(&mut self, n: usize) {
        for (i, arm) in self.arms[..n].iter_mut().enumerate() {
            let Kind::Descriptor { direction, .. } = &mut arm.kind else { continue };
            // SAFETY: written by `enlist`, whose words these are.
            let claimant = unsafe { self.claimants[i].assume_init_ref() };
            // SAFETY: as above; it is not given to anybody.
            if !direction.withdraw(unsafe { claimant.word() }) {
                while !claimant.done() {
                    yield_now(); // it is a few instructions, of another thread or of a preempted task
                }
            }
        }
    }

    /// Queues in all channels, unlocks them, and parks.
    fn park(&mut self, claim: &Claim, when: i64) -> Wake {
        let g = getg();
        for (i, arm) in self.arms.iter().enumerate() {
            let Kind::Chan { chan, sends, value, .. } = arm.kind else { continue };
            let waiter = Waiter::one_of(g, &claim.word, i as u32, Place::new(value));
            let waiter = self.waiters[i].write(waiter);
            // SAFETY: under the lock; the waiter stays until it was taken out by who claimed it, or
            // below.
            unsafe { (*chan.core().state.data_ptr()).list(sends).push(waiter) };
        }
        // Once it has entered the park, this task may be woken. It comes out of its frame only behind the
        // lock of each channel but the one that served it: if that is not the last, behind the last. So
        // `locks` is there as long as a channel is locked.
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
            let Kind::Chan { chan, sends, .. } = arm.kind else { continue };
            // SAFETY: written above.
            let waiter = unsafe { self.waiters[i].assume_init_ref() };
            if wake == Wake::Claimed(i as u32) {
                let moved = waiter.data.moved.get();
                *arm.outcome = if moved { Outcome::Moved } else { Outcome::Closed };
            } else {
                chan.core().state.lock().list(sends).remove(waiter);
            }
        }
        wake
    }
}
