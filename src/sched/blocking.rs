//! Calls that block their thread, or may.

use super::g::{Gp, Status, WaitReason};
use super::m::{After, M, acquirem, releasem};
use super::proc::{globrunqput, mcall, running_on, wakep};
use super::{schedule, state, sysmon};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// Runs `f`, which may block its thread: a system call that waits for a disk, a long computation in
/// foreign code. Other tasks go on meanwhile, on other threads (Go: `entersyscallblock`,
/// `exitsyscall`). The calling task stays where it is until `f` has returned; it is not preempted.
///
/// Costs a hand-over, and a thread that wakes up if there is work: worth it from about 20 us on; what
/// mostly takes less is better within [`syscall`]. `f` may use the runtime; from where it has waited for
/// something by that, it counts as any other code. In a program made with
/// [`Builder::threads(1)`](crate::Builder::threads) there is no other thread, and everybody waits for `f`.
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    let Some(threads) = state::threads() else { return f() };
    let m = acquirem();
    m.assert_no_lock();
    back_from_call(m); // `f` of a `syscall` goes on to block for sure
    let p = m.p.take();
    if let Some(p) = p {
        running_on(m).set_wait_reason(WaitReason::Blocking, sysmon::coarse_now());
        p.owner.release();
        (threads.handoff)(p);
    } // else it is in such a call already
    releasem();
    let result = f();
    if p.is_some() {
        exitsyscall();
    }
    result
}

/// Runs `f`, one or a few system calls that are mostly quick but may block, as those on files (Go:
/// `entersyscall`, `exitsyscall`). If it takes long, other tasks of this thread go on meanwhile on
/// another, as with [`blocking`]; if not, it has cost one locked instruction.
///
/// "Long" is for the monitor to say. In a program whose calls have been quick it looks every 10 ms at
/// the least, and where it has found one that took long, every 20 us for a while. So the first such call
/// keeps others waiting for up to 10 ms, and those that soon follow it for 20 to 50 us, if a CPU is free.
/// Without the monitor ([`Builder::preemption(false)`](crate::Builder::preemption)) or without other
/// threads ([`Builder::threads(1)`](crate::Builder::threads)) this is a call of `f`, and everybody waits.
///
/// `f` may use the runtime; from where it has waited for something by that, it counts as any other code.
/// A signal that was meant for what the task computed before may still arrive in `f`: calls that are not
/// restarted (signal(7)), as sleeps, may answer `EINTR`.
pub fn syscall<T>(f: impl FnOnce() -> T) -> T {
    let entered = entersyscall();
    let result = f();
    if entered {
        exitsyscall();
    }
    result
}

/// Some task has been in a [`syscall`]. A program that names none is linked without what follows of it.
static USED: AtomicBool = AtomicBool::new(false);

/// Leaves the P where the monitor may take it. `false`: there is nobody to take it, or no P, as in a call
/// within a call.
fn entersyscall() -> bool {
    if state::threads().is_none() || state::monitor().is_none() {
        return false;
    }
    let m = acquirem();
    m.assert_no_lock();
    let p = m.p.take();
    if let Some(p) = p {
        if !USED.load(Ordering::Relaxed) {
            USED.store(true, Ordering::Relaxed);
        }
        running_on(m).set_wait_reason(WaitReason::Syscall, sysmon::coarse_now());
        m.oldp.set(Some(p));
        p.owner.enter(m);
    }
    releasem();
    p.is_some()
}

/// Goes on as a task with a P.
fn exitsyscall() {
    let m = acquirem();
    running_on(m).set_wait_reason(WaitReason::None, 0);
    // If `f` parked, the task has come back on a thread with a P.
    if m.p.get().is_none() && !back_from_call(m) {
        return exitsyscall_slow(m);
    }
    releasem();
}

/// Takes back the P that this thread left in a call. `false`: it is in no call, or the P is gone.
///
/// A thread whose task parks within a call comes here too, before it looks for other work: so a P that
/// is left in a call has a task in that call.
#[inline]
pub(super) fn back_from_call(m: &'static M) -> bool {
    if !USED.load(Ordering::Relaxed) {
        return false;
    }
    let p = m.oldp.take().filter(|p| p.owner.exit(m));
    if p.is_some() {
        m.p.set(p);
    }
    p.is_some()
}

/// Goes on with an idle P, or behind all others.
#[cold]
fn exitsyscall_slow(m: &'static M) {
    unsafe fn after(_: *mut (), g: Gp) -> bool {
        g.casgstatus(Status::Running, Status::Runnable);
        globrunqput(g);
        wakep();
        true
    }
    if schedule::acquire_idle_p(m) {
        return releasem();
    }
    mcall(m, running_on(m), After { call: after, data: ptr::null_mut() });
}
