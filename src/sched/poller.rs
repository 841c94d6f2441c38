//! The poller's view of this scheduler, and the runtime's one poller.

use super::g::{GQueue, Gp, WaitReason};
use super::proc::{goready, gopark};
use crate::poll::{Linux, Netpoll, Scheduler};
use crate::rt::clock::nanotime;
use crate::timer::Timer;
use core::ptr::NonNull;

/// This scheduler, for [`Netpoll`].
pub(crate) struct Runtime;

impl Scheduler for Runtime {
    type Waiter = Gp;
    type List = GQueue;

    #[inline]
    fn park(&self, commit: impl FnOnce(Gp) -> bool) {
        gopark(WaitReason::IoWait, commit);
    }

    fn ready(&self, g: Gp) {
        goready(g);
    }
}

/// The runtime's poller. Makes no system call before something is opened or a timer is set.
pub(crate) static NETPOLL: Netpoll<Linux, Runtime> = Netpoll::new(Linux::with_clock(nanotime), Runtime);

/// A sleeping task's timer, in its frame.
#[repr(C)]
struct Sleeper {
    timer: Timer,
    g: Gp,
}

/// Parks the running task until `when` (absolute ns).
pub(crate) fn sleep_until(when: i64) {
    unsafe fn fire(timer: NonNull<Timer>, _: u32, context: *mut ()) {
        // SAFETY: the timer is the first field of a `Sleeper`, whose task is parked until it is readied
        // below; `context` is that of the poll that fires it.
        unsafe {
            let g = timer.cast::<Sleeper>().as_ref().g;
            Netpoll::<Linux, Runtime>::wake_on_fire(context, g);
        }
    }
    while nanotime() < when {
        let sleeper = Sleeper { timer: Timer::new(fire), g: super::proc::getg() };
        let timer = NonNull::from(&sleeper).cast();
        gopark(WaitReason::Sleep, |_| {
            // SAFETY: the frame stays until the timer has fired: nobody else readies this task.
            match unsafe { NETPOLL.timers().set(NETPOLL.kernel(), timer, when, 0) } {
                Ok(earlier) => {
                    if earlier {
                        NETPOLL.wake_for_timer();
                    }
                    true
                }
                Err(_) => false, // no memory for the heap: go on, and try again
            }
        });
    }
}
