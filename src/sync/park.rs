//! What this module asks of the scheduler: to park, with or without a deadline, and to ready.

use super::waitlist::ClaimWord;
use crate::poll::{Linux, Netpoll};
use crate::sched::poller::{Runtime, netpoll, netpoll_init};
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
#[repr(C)]
pub(super) struct Claim {
    timer: Timer,
    g: Gp,
    pub word: ClaimWord,
}

impl Claim {
    /// Of the running task.
    pub fn new() -> Claim {
        Claim { timer: Timer::new(Self::fire), g: getg(), word: ClaimWord::new() }
    }

    unsafe fn fire(timer: NonNull<Timer>, _: u32, context: *mut ()) {
        // SAFETY: the timer is the first field of a `Claim`, whose task leaves that frame only when the
        // timer was stopped or `expire` has returned (`park`).
        let claim = unsafe { timer.cast::<Claim>().as_ref() };
        let g = claim.g;
        if claim.word.expire() {
            // SAFETY: `context` is that of the poll that fires this timer. The claim is won: nobody
            // else readies the task.
            unsafe { Netpoll::<Linux, Runtime>::wake_on_fire(context, g) };
        }
    }

    /// Parks the running task until somebody claims it or `when` (absolute ns; [`NEVER`]: no timer)
    /// has passed. `release` is as for [`park`].
    pub fn park(&self, reason: WaitReason, when: i64, release: impl FnOnce()) -> Wake {
        let this = NonNull::from(self);
        gopark(reason, move |_| {
            // SAFETY: the frame is there: nobody readies the task before it has entered.
            let parked = unsafe { (when == NEVER || Self::arm(this, when)) && this.as_ref().word.enter() };
            // From here on the task may be running, and out of its frame as soon as `release` has
            // unlocked what it asks for first.
            release();
            parked
        });
        let wake = self.word.wake();
        if when != NEVER && matches!(wake, Wake::Claimed(_)) && !netpoll().timers().stop(&self.timer) {
            // The callback is on its way on another thread, a few instructions from its last look at
            // this frame.
            while !self.word.expired_late() {
                yield_now();
            }
        }
        wake
    }

    /// `false`: there is no timer, and the task has been claimed for that reason.
    ///
    /// # Safety
    /// `this` must stay until the timer was stopped or has fired.
    unsafe fn arm(this: NonNull<Claim>, when: i64) -> bool {
        let netpoll = netpoll_init();
        // SAFETY: the caller's contract; the timer is the first field, and the pointer is one to all.
        match unsafe { netpoll.timers().set(netpoll.kernel(), this.cast(), when, 0) } {
            Ok(earlier) => {
                if earlier {
                    netpoll.wake_for_timer();
                }
                true
            }
            Err(_) => {
                // SAFETY: as above. Whoever claimed it before leaves the task to itself.
                unsafe { this.as_ref() }.word.give_up();
                false
            }
        }
    }
}

/// After [`Wake::NoTimer`]: the heap of timers could not grow. Lets others run, who may free some.
#[cold]
pub(super) fn wait_for_memory() {
    yield_now();
}
