//! The monitor: a thread without a P that looks after the others (Go: `sysmon`). It preempts tasks
//! that have run for too long, and polls when nobody else does.
//!
//! It begins with the first descriptor or timer: before that there is nobody whose turn could come too
//! late. While the program is idle it sleeps without a limit, and while the program is busy and all
//! goes well it wakes up every 10 ms.

use super::dump::{count, on_quit};
use super::g::{Gp, Status};
use super::m::{After, M, acquirem, getm};
use super::masks::HANDLERS_BLOCK;
use super::p::P;
use super::proc::{globrunqput, mcall, running_on, wakep};
use super::schedule;
use super::state::{self, Monitor, SCHED};
use crate::arch;
use crate::rt::clock::nanotime;
use crate::sys::futex::{Scope, futex_wait, futex_wake};
use crate::sys::mm::{Advice, madvise};
use crate::sys::process::getpid;
use crate::sys::signal::{SIGQUIT, SIGURG, SaFlags, Sigaction, Siginfo, rt_sigaction, tgkill};
use crate::sys::time::{Timespec, nanosleep};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

/// How long a task may run while others wait (Go: `forcePreemptNS`).
const SLICE: i64 = 10_000_000;

/// How long when a task that did I/O waits for its turn; and how long nobody may poll.
const IO_SLICE: i64 = 1_000_000;

/// Shortest and longest sleep between two looks, in ns.
const SHORT: i64 = 1_000_000;
const LONG: i64 = 10_000_000;

/// Looks in a row at an idle program before the monitor sleeps for good: 100 ms. A program that is
/// woken more often than that is not made to wake the monitor each time.
const IDLE_LOOKS: u32 = 10;

/// Stack that must be left for a preemption, besides what `arch` needs: the frames of the runtime down
/// to the switch.
const ROOM: usize = 1024;

/// Nothing to do until somebody runs a task again.
static ASLEEP: AtomicU32 = AtomicU32::new(0);
static STARTED: AtomicBool = AtomicBool::new(false);

/// The monitor's last reading of the clock, in ns; 0 before the first.
static NOW: AtomicI64 = AtomicI64::new(0);

/// About now, 10 ms late at most, for the price of a load; 0 while there is no monitor, or it has just
/// been woken.
#[inline]
pub(super) fn coarse_now() -> i64 {
    NOW.load(Ordering::Relaxed)
}

/// For programs that have a monitor.
pub(super) static MONITOR: Monitor = Monitor { start, wake };

/// Starts the monitor, once. If there is no thread to be had, tasks are not preempted, and the next call
/// tries again.
fn start() {
    if STARTED.load(Ordering::Relaxed) || STARTED.swap(true, Ordering::Relaxed) {
        return;
    }
    NOW.store(nanotime(), Ordering::Relaxed);
    arch::preempt_init(preempted);
    // Restarting: a preempted task must not see EINTR from a call that blocks its thread.
    let flags = SaFlags::SIGINFO | SaFlags::ONSTACK | SaFlags::RESTART;
    let handler = Sigaction::handler(on_preempt, arch::rt_sigreturn, flags, HANDLERS_BLOCK);
    // SAFETY: the handler is async-signal-safe; SIGURG is ignored by default, and nobody else's in a
    // freestanding program.
    let handled = unsafe { rt_sigaction(SIGURG, Some(&handler)) };
    let quit = Sigaction::handler(on_quit, arch::rt_sigreturn, flags, HANDLERS_BLOCK);
    // SAFETY: as above, and SIGQUIT would end the program anyway.
    let _ = unsafe { rt_sigaction(SIGQUIT, Some(&quit)) };
    if handled.is_err() || M::spawn_monitor(monitor).is_err() {
        STARTED.store(false, Ordering::Relaxed);
    }
}

/// A P is taken into use: the monitor must watch it.
#[inline]
pub(super) fn asleep() -> bool {
    ASLEEP.load(Ordering::SeqCst) != 0
}

#[cold]
fn wake() {
    if ASLEEP.swap(0, Ordering::SeqCst) != 0 {
        NOW.store(0, Ordering::Relaxed); // it has stood still: unknown until the next look
        // The word is static: the call cannot fail.
        let _ = futex_wake(&ASLEEP, 1, Scope::Private);
    }
}

/// The monitor's thread.
unsafe extern "C" fn monitor(_: *mut u8) -> ! {
    let pid = getpid();
    let (mut delay, mut idle_looks) = (SHORT, 0);
    let (mut polls, mut last_poll) = (state::polls(), nanotime());
    loop {
        let _ = nanosleep(&Timespec::from_nanos(delay), None);
        let now = nanotime();
        NOW.store(now, Ordering::Relaxed);
        let (mut moved, mut busy) = (false, 0);
        for p in state::allp() {
            moved |= p.seen.look(p, now);
            busy += !p.m.load(Ordering::Relaxed).is_null() as usize;
        }
        if busy == 0 && !moved {
            idle_looks += 1;
            if idle_looks > IDLE_LOOKS {
                trim();
                sleep_while_idle();
                idle_looks = 0;
            }
            delay = LONG;
            continue;
        }
        idle_looks = 0;
        if polls != state::polls() {
            polls = state::polls();
            last_poll = now;
        }
        // A busy thread polls between so many tasks, which is soon unless each of them takes long.
        let late = busy == state::allp().len() && now - last_poll >= IO_SLICE && state::poller().is_some();
        if late {
            schedule::poll_for_others();
        }
        // As long as they wait, not only at the look that woke them: the task in their way may have
        // been seen for the first time just now.
        let io = state::urgent();
        preempt_long(pid, now, if io { IO_SLICE } else { SLICE });
        delay = if late || io { SHORT } else { (delay * 2).min(LONG) };
    }
}

/// Gives back the memory that the stacks of dead tasks hold, but for the page of the control block. Only
/// of those that no P keeps, and only while nothing runs: the next task would have to fault it in again.
fn trim() {
    let page = state::page();
    loop {
        // One at a time: somebody may need the list.
        let Some(g) = SCHED.gfree.lock().warm.pop() else { return };
        let lo = g.stack.lo.as_ptr().wrapping_add(page);
        let hi = g.as_ptr().addr() & !(page - 1);
        // SAFETY: the stack of a task that is dead, in nobody's list; what is read there is written before.
        // It cannot fail: the range is part of a mapping of ours, and not locked.
        let _ = unsafe { madvise(lo, hi - lo.addr(), Advice::DontNeed) };
        SCHED.gfree.lock().cold.push(g);
    }
}

fn sleep_while_idle() {
    ASLEEP.store(1, Ordering::SeqCst);
    // Said first, looked then: whoever took a P before did not see that we sleep.
    if state::all_idle() {
        // EAGAIN and EINTR both mean: look again, which is what comes next.
        let _ = futex_wait(&ASLEEP, 1, None, Scope::Private);
    }
    ASLEEP.store(0, Ordering::SeqCst);
}

/// Signals the threads whose task has run for `slice` or longer (Go: `retake`).
fn preempt_long(pid: i32, now: i64, slice: i64) {
    for p in state::allp() {
        // SAFETY: null or an M, which lives for ever.
        let Some(m) = (unsafe { p.m.load(Ordering::Relaxed).as_ref() }) else { continue };
        if now - p.seen.since() >= slice {
            // ESRCH: the thread is not there yet or any more; nothing to preempt then.
            let _ = tgkill(pid, m.tid.load(Ordering::Relaxed), Some(SIGURG));
        }
    }
}

/// What the monitor saw of a P. Its own, and nobody else's.
pub(crate) struct Seen {
    tick: AtomicU64,
    /// When it saw that tick first, in ns.
    since: AtomicI64,
}

impl Seen {
    /// Whether a task has been dispatched since the last look.
    fn look(&self, p: &P, now: i64) -> bool {
        let tick = p.ticks();
        let moved = self.tick.swap(tick, Ordering::Relaxed) != tick;
        if moved {
            self.since.store(now, Ordering::Relaxed);
        }
        moved
    }

    fn since(&self) -> i64 {
        self.since.load(Ordering::Relaxed)
    }
}

/// SIGURG on the thread of a task that should give way. Only looks, and at most sends the task on a
/// detour: everything else happens on the task's own stack, after the signal.
unsafe extern "C" fn on_preempt(_: i32, _: *mut Siginfo, ucontext: *mut c_void) {
    let m = getm();
    let Some(g) = m.curg.get() else { return };
    if m.locked() || m.p.get().is_none() {
        return; // inside the runtime, or in a blocking call; the monitor will ask again
    }
    // SAFETY: the kernel's (SA_SIGINFO).
    let sp = unsafe { arch::interrupted_sp(ucontext) };
    let bottom = g.stack.lo.addr().get() + state::page();
    let top = g.as_ptr().addr();
    if sp < bottom + arch::preempt_frame() + ROOM || sp > top {
        return; // on the scheduler's stack, or too near the end of its own
    }
    // SAFETY: a task outside the runtime (the count is 0 and it stands on its own stack), with room.
    unsafe { arch::inject_call(ucontext) };
}

/// What a preempted task calls.
extern "C" fn preempted() {
    unsafe fn after(_: *mut (), g: Gp) -> bool {
        g.casgstatus(Status::Running, Status::Runnable);
        if let Some(p) = getm().p.get() {
            count(&p.counts.preemptions);
        }
        globrunqput(g);
        wakep();
        true
    }
    let m = acquirem();
    mcall(m, running_on(m), After { call: after, data: ptr::null_mut() });
}
