//! Calls that block their thread.

use super::g::{Gp, Status, WaitReason};
use super::m::{After, M, acquirem, releasem};
use super::proc::{globrunqput, mcall, running_on, wakep};
use super::{schedule, state};
use core::ptr;

/// Runs `f`, which may block its thread: a system call that waits for a disk, a long computation in
/// foreign code. Other tasks go on meanwhile, on other threads (Go: `entersyscallblock`,
/// `exitsyscall`). The calling task stays where it is until `f` has returned; it is not preempted.
///
/// Costs a hand-over, and a thread that wakes up if there is work: worth it from about 20 us on. `f` may
/// use the runtime. In a program made with [`Builder::threads(1)`](crate::Builder::threads) there is no
/// other thread, and everybody waits for `f`.
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    let Some(threads) = state::threads() else { return f() };
    let m = acquirem();
    let p = m.p.take();
    if let Some(p) = p {
        running_on(m).set_wait_reason(WaitReason::Blocking, 0);
        (threads.handoff)(p);
    } // else it is in such a call already
    releasem();
    let result = f();
    if p.is_some() {
        exit_blocking();
    }
    result
}

/// Goes on as a task with a P (Go: `exitsyscall`).
fn exit_blocking() {
    unsafe fn after(_: *mut (), g: Gp) -> bool {
        g.casgstatus(Status::Running, Status::Runnable);
        globrunqput(g);
        wakep();
        true
    }
    let m: &'static M = acquirem();
    let g = running_on(m);
    g.set_wait_reason(WaitReason::None, 0);
    // If `f` parked, the task has come back on a thread with a P.
    if m.p.get().is_some() || schedule::acquire_idle_p(m) {
        return releasem();
    }
    mcall(m, g, After { call: after, data: ptr::null_mut() });
}
