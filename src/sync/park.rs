//! What this module asks of the scheduler: to park, with or without a deadline, and to ready.

use super::waitlist::ClaimWord;
use crate::sched::poller::{Poll, netpoll, set_timer};
use crate::sched::proc::gopark;
use crate::sched::sema::{Place, semacquire_at, semrelease};
use crate::timer::{NEVER, Timer};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

pub(super) use crate::rt::clock::nanotime;
pub(super) use crate::sched::g::{Gp, WaitReason};
pub(super) use crate::sched::proc::{getg, goready};
pub(super) use crate::sched::waiter::{OneOf, WaitWord};
pub(super) use crate::sched::yield_now;

/// Parks the running task, which is in some list already, and is readied by whoever takes it out.
/// `release` unlocks that list, from the scheduler's stack: once it has, this frame may be running again.
#[inline]
pub(super) fn park(reason: WaitReason, release: impl FnOnce()) {
    gopark(reason, |_| {
        release();
        true
    });
}

/// Semaphores of the scheduler's table.
pub(super) struct Sema;

impl super::mutex::Parking for Sema {
    #[inline]
    fn acquire(word: &AtomicU32, front: bool) {
        semacquire_at(word, if front { Place::Front } else { Place::Back });
    }
    #[inline]
    fn release(word: &AtomicU32) {
        semrelease(word);
    }
    fn now() -> i64 {
        nanotime()
    }
}

/// How a wait with a deadline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Somebody claimed it, by this number.
    Claimed(u32),
    /// The deadline passed.
    TimedOut,
    /// There is no memory for a timer: look again, and wait again.
    NoTimer,
}

/// A wait that several parties may end, one of them a timer. Lives in the frame of the task that waits.
pub(super) struct Claim {
    pub word: ClaimWord,
}

impl Claim {
    pub fn new() -> Claim {
        Claim { word: ClaimWord::new() }
    }

    unsafe fn fire(timer: NonNull<Timer>, seq: u32, context: *mut ()) {
        // SAFETY: the timer of a task that has armed it below, for the claim it waits by. That is in a frame
        // that the task leaves only behind `stop`, which lets no `confirm` go on or begin.
        let (g, won) = unsafe {
            let g = Gp::of_timer(timer);
            let claim = || (*g.waits_by.get().cast::<ClaimWord>()).expire();
            (g, timer.as_ref().confirm(seq, claim) == Some(true))
        };
        if won {
            // SAFETY: `context` is that of the poll that fires this timer. The claim is won: nobody
            // else readies the task.
            unsafe { Poll::wake_on_fire(context, g) };
        }
    }

    /// Parks the running task until somebody claims it or `when` (absolute ns; [`NEVER`]: no timer)
    /// has passed. `release` is as for [`park`].
    pub fn park(&self, reason: WaitReason, when: i64, release: impl FnOnce()) -> Wake {
        let word = NonNull::from(&self.word);
        gopark(reason, move |g| {
            let armed = when == NEVER || {
                g.waits_by.set(word.as_ptr().cast_const().cast());
                // SAFETY: `fire` expects just this. The task waits for one thing at a time, and stopped its
                // timer behind the last.
                unsafe { set_timer(g, when, Self::fire) }.is_ok()
            };
            // SAFETY: the frame is there: nobody readies the task before it has entered.
            let word = unsafe { word.as_ref() };
            if !armed {
                word.give_up(); // whoever claimed it before leaves the task to itself
            }
            let parked = armed && word.enter();
            // From here on the task may be running, and out of its frame as soon as `release` has
            // unlocked what it asks for first.
            release();
            parked
        });
        let wake = self.word.wake();
        if when != NEVER && matches!(wake, Wake::Claimed(_)) {
            netpoll().timers().stop(&getg().timer);
        }
        wake
    }
}

/// After [`Wake::NoTimer`]: the heap of timers could not grow. Lets others run, who may free some.
#[cold]
pub(super) fn wait_for_memory() {
    yield_now();
}
