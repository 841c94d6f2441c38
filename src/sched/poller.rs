//! The poller's view of this scheduler, and the runtime's one poller.

use super::g::{GQueue, Gp, WaitReason};
use super::m::{M, acquirem, getm, releasem};
use super::proc::{gopark, goready, goready_last, injectglist, wakep};
use super::state::{Poller, SCHED, monitor, set_poller, threads, unpolled};
use super::waiter::WaitWord;
use crate::poll::{Clock, Linux, Netpoll, Registered, Scheduler};
use crate::rt::clock::nanotime;
use crate::sys::Errno;
use crate::sys::thread::prctl_set_timerslack;
use crate::sys::time::{Timespec, nanosleep};
use crate::timer::{Fire, NEVER, Timer};
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};

/// This scheduler, for [`Netpoll`].
pub(crate) struct Runtime;

/// Read without a system call, where the kernel has a vDSO.
pub(crate) struct Vdso;

impl Clock for Vdso {
    fn nanotime() -> i64 {
        nanotime()
    }
}

/// A poller of this scheduler.
pub(crate) type Poll = Netpoll<Linux<Vdso>, Runtime>;

/// A descriptor that is registered with [`netpoll`].
pub(crate) type Polled = Registered<'static, Linux<Vdso>, Runtime>;

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

    /// The heap of the running P.
    fn shard(&self) -> usize {
        let shard = acquirem().p.get().map_or(0, |p| p.id.get());
        releasem();
        shard as usize
    }
}

/// Longest sleep while the poller cannot be had, in ns: how late a deadline may be noticed then.
const NO_POLLER_PAUSE: i64 = 10_000_000;

/// The runtime's poller. Makes no system call before something is opened or a timer is set.
/// (All zeros, so that it is no part of a program's file.)
static NETPOLL: Poll = Netpoll::new(Linux::with_clock(), Runtime);

/// The poller, to open something or set a timer. What was opened may use [`netpoll`].
pub(crate) fn netpoll_init() -> &'static Poll {
    if let Some(threads) = threads() {
        (threads.share_timers)(NETPOLL.timers());
    }
    set_poller(&POLLER);
    if let Some(monitor) = monitor() {
        (monitor.start)();
    }
    &NETPOLL
}

/// The poller, for what [`netpoll_init`] was called for.
#[inline(always)]
pub(crate) fn netpoll() -> &'static Poll {
    &NETPOLL
}

static POLLER: Poller = Poller {
    poll,
    useful: || NETPOLL.any_waiters() || NETPOLL.timers().any(),
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

/// Whether another thread is in a poll. What it has fetched may be of the past when it hands it on; what a poll that
/// begins later fetches is as the kernel finds it then.
pub(crate) fn poll_under_way() -> bool {
    // Read first, looked then; who polls says so first, and then the kernel looks at the socket. One of the two sees
    // the other.
    fence(Ordering::SeqCst);
    SCHED.role.taken() || SCHED.polling_now.load(Ordering::SeqCst)
}

#[cold]
fn pause() {
    let left = NETPOLL.timers().next().saturating_sub(nanotime());
    if left > 0 {
        let time = Timespec::from_nanos(left.min(NO_POLLER_PAUSE));
        let _ = nanosleep(&time, None); // a signal ends it early, which is no harm
    }
}

/// Sets the timer of `g`, which is parked or about to be, for `when` (absolute ns); `fire` is called then.
///
/// # Errors
/// `ENOMEM`: the heap of timers cannot grow.
///
/// # Safety
/// `fire` goes with what `g` waits by, and the timer is not set.
pub(crate) unsafe fn set_timer(g: Gp, when: i64, fire: Fire) -> Result<(), Errno> {
    let netpoll = netpoll_init();
    // `NEVER` would be no timer: the end of time, though 292 years away, is one.
    let when = when.min(NEVER - 1);
    // SAFETY: not set, and only its own task sets it; a `G` is never freed, and the pointer is one to all of it.
    let earlier = unsafe {
        g.timer.bind(fire);
        netpoll.timers().set(netpoll.kernel(), netpoll.scheduler().shard(), g.timer(), when)
    }?;
    if earlier {
        netpoll.wake_for_timer(when);
    }
    Ok(())
}

/// Behind a timer that came to be the earliest of its heap, set for `when` by a task that does not park now.
/// Threads that sleep when nothing was to come are not in the poller. One with a P looks there itself, since
/// the monitor makes it; without, somebody else must.
pub(crate) fn wake_for_timer(when: i64) {
    NETPOLL.wake_for_timer(when);
    let m = acquirem();
    if (m.p.get().is_none() || monitor().is_none()) && unpolled() {
        wakep();
    }
    releasem();
}

/// Parks the running task until `when` (absolute ns).
pub(crate) fn sleep_until(when: i64) {
    unsafe fn fire(timer: NonNull<Timer>, _: u32, context: *mut ()) {
        // SAFETY: the timer of a task, which sleeps until it is readied here; `context` is that of the poll
        // that fires it.
        unsafe { Poll::wake_on_fire(context, Gp::of_timer(timer)) };
    }
    while nanotime() < when {
        gopark(WaitReason::Sleep, |g| {
            // SAFETY: the task sleeps, so its timer is not set.
            if unsafe { set_timer(g, when, fire) }.is_err() {
                goready_last(g); // no memory for the heap: try again, behind all others
            }
            true
        });
    }
}
