//! The monitor: a thread without a P that looks after the others (Go: `sysmon`). It preempts tasks
//! that have run for too long, takes Ps from threads that stay in a system call (`retake.rs`), and polls
//! when nobody else does.
//!
//! It begins with the second task, or with the first descriptor or timer: before that there is nobody
//! whose turn could come too late. While the program is idle it sleeps without a limit, and while the
//! program is busy and all goes well it wakes up every 10 ms.

use super::dump::{count, on_quit};
use super::g::{Gp, Status};
use super::m::{After, M, acquirem, getm};
use super::masks::{self, HANDLERS_BLOCK};
use super::proc::{mcall, running_on, wakep};
use super::retake::{Pace, SHORT, retake};
use super::schedule;
use super::stack::Class;
use super::state::{self, Idle, Monitor, SCHED};
use crate::arch;
use crate::rt::clock::nanotime;
use crate::sys::futex::{Scope, futex_wait, futex_wake};
use crate::sys::process::getpid;
use crate::sys::signal::{SIGQUIT, SIGURG, SaFlags, SigSet, Sigaction, Siginfo, rt_sigaction, tgkill};
use crate::sys::thread::prctl_set_timerslack;
use crate::sys::time::{Timespec, nanosleep};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

/// How long a task may run while others wait (Go: `forcePreemptNS`).
pub(super) const SLICE: i64 = 10_000_000;

/// How long when a task that did I/O waits for its turn; and how long nobody may poll. Below 1 ms, so that what comes
/// over the network beside tasks that compute is answered within that as a rule.
const IO_SLICE: i64 = SHORT;

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
pub(super) static MONITOR: Monitor = Monitor { start, wake, take_computing: Idle::take_computing };

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
    M::set_first_tid(pid);
    let (mut pace, mut delay, mut idle_looks) = (Pace::new(), SHORT, 0);
    let (mut polls, mut last_poll, mut last_signals) = (state::polls(), nanotime(), 0);
    let _ = prctl_set_timerslack(1); // a quick look that comes 50 us late is none
    loop {
        let _ = nanosleep(&Timespec::from_nanos(delay), None);
        let now = nanotime();
        NOW.store(now, Ordering::Relaxed);
        let (mut moved, mut busy, mut calls) = (false, 0, 0);
        for p in state::allp() {
            moved |= p.seen.look(p, now);
            busy += p.owner.is_some() as usize;
            calls += p.owner.in_call().is_some() as usize;
        }
        let stranded = state::stranded();
        if stranded {
            schedule::wake_one();
        }
        if busy == 0 && !moved && !stranded {
            idle_looks += 1;
            if idle_looks > IDLE_LOOKS {
                // Only while nothing runs: the next task will have to fault it in again.
                Class::all(&SCHED.stacks).for_each(Class::trim);
                sleep_while_idle();
                idle_looks = 0;
            }
            delay = pace.idle();
            continue;
        }
        idle_looks = 0;
        if polls != state::polls() {
            polls = state::polls();
            last_poll = now;
        }
        // A busy thread polls between so many tasks, which is soon unless each of them takes long; one that
        // is in a call may be the last that was not asleep.
        let hidden = calls > 0 || busy == state::allp().len();
        let late = hidden && now - last_poll >= IO_SLICE && state::unpolled();
        if late {
            schedule::poll_for_others();
            // This one is known, and no reason to think at the next look that somebody polls.
            (polls, last_poll) = (state::polls(), now);
        }
        // As long as they wait, not only at the look that woke them: the task in their way may have
        // been seen for the first time just now.
        let io = state::urgent();
        if now - last_signals >= SHORT {
            last_signals = now;
            preempt_long(pid, now, if io { IO_SLICE } else { SLICE });
        }
        delay = pace.busy(retake(now), late || io);
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

/// Signals the threads whose task has run for `slice` or longer (Go: `preemptone`). Not those in a call: it
/// might be interrupted.
fn preempt_long(pid: i32, now: i64, slice: i64) {
    for p in state::allp() {
        // SAFETY: null or an M, which lives for ever.
        let Some(m) = (unsafe { p.owner.running().as_ref() }) else { continue };
        // What waits behind it in its own queue mostly is quick: it is not known to compute.
        let slice = if p.runq.is_empty() { slice } else { IO_SLICE };
        if now - p.seen.since() >= slice {
            // ESRCH: the thread is not there yet or any more; nothing to preempt then.
            let _ = tgkill(pid, m.tid.load(Ordering::Relaxed), Some(SIGURG));
        }
    }
}

/// SIGURG on the thread of a task that should give way. Only looks, and at most sends the task on a
/// detour: everything else happens on the task's own stack, after the signal.
unsafe extern "C" fn on_preempt(_: i32, _: *mut Siginfo, ucontext: *mut c_void) {
    let m = getm();
    let Some(stack) = m.curg.get().and_then(|g| g.stack()) else { return };
    if m.locked() || m.p.get().is_none() {
        return; // inside the runtime, or in a blocking call; the monitor will ask again
    }
    // SAFETY: the kernel's (SA_SIGINFO).
    let (sp, mask) = unsafe { (arch::interrupted_sp(ucontext), *arch::interrupted_mask(ucontext)) };
    if !masks::is_usual(SigSet::from_bits(mask)) {
        return; // in a handler of the program's own
    }
    let bottom = stack.lo.addr().get() + state::page();
    if sp < bottom + arch::preempt_frame() + ROOM || sp > stack.top.addr() {
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
        SCHED.idle.lock().put_computing(g);
        wakep();
        true
    }
    let m = acquirem();
    mcall(m, running_on(m), After { call: after, data: ptr::null_mut() });
}
