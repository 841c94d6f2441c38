//! The poller's view of this scheduler, and the runtime's one poller.

use super::g::{GQueue, Gp, WaitReason};
use super::m::{M, getm};
use super::proc::{gopark, goready, goready_last, injectglist};
use super::state::{Poller, monitor, set_poller};
use super::waiter::WaitWord;
use crate::poll::{Linux, Netpoll, Scheduler};
use crate::rt::clock::nanotime;
use crate::sys::thread::prctl_set_timerslack;
use crate::sys::time::{Timespec, nanosleep};
use crate::timer::{NEVER, Timer};
use core::ptr::NonNull;

/// This scheduler, for [`Netpoll`].
pub(crate) struct Runtime;

impl Scheduler for Runtime {
    type Waiter = WaitWord;
    type List = GQueue;

    #[inline]
    fn park(&self, commit: impl FnOnce(WaitWord) -> bool) {
        gopark(WaitReason::IoWait, |g| commit(g.into()));
    }

    fn ready(&self, waiter: WaitWord) {
        if let Some(g) = waiter.claim() {
            goready(g);
        }
    }
}

/// Longest sleep while the poller cannot be had, in ns: how late a deadline may be noticed then.
const NO_POLLER_PAUSE: i64 = 10_000_000;

/// The runtime's poller. Makes no system call before something is opened or a timer is set.
static NETPOLL: Netpoll<Linux, Runtime> = Netpoll::new(Linux::with_clock(nanotime), Runtime);

/// The poller, to open something or set a timer. What was opened may use [`netpoll`].
pub(crate) fn netpoll_init() -> &'static Netpoll<Linux, Runtime> {
    set_poller(&POLLER);
    if let Some(monitor) = monitor() {
        (monitor.start)();
    }
    &NETPOLL
}

/// The poller, for what [`netpoll_init`] was called for.
#[inline(always)]
pub(crate) fn netpoll() -> &'static Netpoll<Linux, Runtime> {
    &NETPOLL
}

static POLLER: Poller = Poller {
    poll,
    useful: || NETPOLL.any_waiters() || NETPOLL.timers().next() != NEVER,
    wake: || {
        let _ = NETPOLL.break_(); // whoever blocks in it has made it
    },
};

/// Has the kernel end the calling thread's sleeps on time. It may otherwise be 50 us late, so that sleeps
/// of several threads end at once.
#[cold]
fn be_punctual(m: &M) {
    m.punctual.set(true);
    let _ = prctl_set_timerslack(1); // ns, the least there is; a kernel that refuses it is late
}

/// See [`Poller::poll`].
fn poll(delay: i64) -> bool {
    let m = getm(); // a poll belongs to the scheduler, which is not preempted
    if delay != 0 && !m.punctual.get() {
        be_punctual(m);
    }
    match NETPOLL.netpoll(delay) {
        Ok((woken, delta)) => {
            let any = woken.iter().next().is_some();
            injectglist(woken);
            // Only now: they are runnable.
            NETPOLL.adjust_waiters(delta);
            any
        }
        // There is no poller (no descriptor left for it), or it has failed and told its waiters. Timers
        // must still fire: `netpoll` looks at them first.
        Err(_) => {
            if delay != 0 {
                pause();
            }
            false
        }
    }
}

#[cold]
fn pause() {
    let left = NETPOLL.timers().next().saturating_sub(nanotime());
    if left > 0 {
        let time = Timespec::from_nanos(left.min(NO_POLLER_PAUSE));
        let _ = nanosleep(&time, None); // a signal ends it early, which is no harm
    }
}

/// A sleeping task's timer, in its frame.
#[repr(C)]
struct Sleeper {
    timer: Timer,
    g: Gp,
}

/// Parks the running task until `when` (absolute ns).
pub(crate) fn sleep_until(when: i64) {
    // `NEVER` would be no timer: the end of time, though 292 years away, is one.
    let when = when.min(NEVER - 1);
    unsafe fn fire(timer: NonNull<Timer>, _: u32, context: *mut ()) {
        // SAFETY: the timer is the first field of a `Sleeper`, whose task is parked until it is readied
        // below; `context` is that of the poll that fires it.
        unsafe {
            let g = timer.cast::<Sleeper>().as_ref().g;
            Netpoll::<Linux, Runtime>::wake_on_fire(context, g);
        }
    }
    let netpoll = netpoll_init();
    while nanotime() < when {
        let sleeper = Sleeper { timer: Timer::new(fire), g: super::proc::getg() };
        let timer = NonNull::from(&sleeper).cast();
        gopark(WaitReason::Sleep, |g| {
            // SAFETY: the frame stays until the timer has fired: nobody else readies this task.
            match unsafe { netpoll.timers().set(netpoll.kernel(), timer, when, 0) } {
                Ok(true) => netpoll.wake_for_timer(),
                Ok(false) => {}
                Err(_) => goready_last(g), // no memory for the heap: try again, behind all others
            }
            true
        });
    }
}
