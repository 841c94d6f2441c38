//! Tasks: park and ready, begin and end, and the queues they run from.

use super::dump::count;
use super::g::{GQueue, Gp, Status, WaitReason};
use super::join::Handle;
use super::m::{After, M, acquirem, getm, releasem};
use super::p::{P, task};
use super::runq::SLOTS;
use super::state::{SCHED, START_STATUS, allp, threads};
use super::{sysmon, task};
use crate::arch::switch;
use crate::poll::Waiter;
use crate::{preempt, rt};
use core::mem::ManuallyDrop;
use core::ptr;
use core::sync::atomic::Ordering;

/// Tasks moved from the global queue to a P's at once, at most (Go's figure: half a ring).
const GLOBAL_BATCH: usize = 128;

/// The running task.
#[inline]
pub(crate) fn getg() -> Gp {
    // Preempted between its two reads it would be another thread's: hence the count.
    let g = running_on(acquirem());
    releasem();
    g
}

#[inline(always)]
pub(super) fn running_on(m: &M) -> Gp {
    // SAFETY: the scheduler's own code, which runs without a task, never asks; all other code runs in
    // one.
    unsafe { m.curg.get().unwrap_unchecked() }
}

/// The running task, if one is running: for reports of panics and overflows.
#[inline(never)]
pub(crate) fn running() -> Option<Gp> {
    if !preempt::runtime() {
        return None;
    }
    let g = acquirem().curg.get();
    releasem();
    g
}

/// Leaves the task's stack; `after` is called on the scheduler's. Returns when the task runs again,
/// perhaps on another thread. Preemption must be off; it is on again behind it.
#[inline]
pub(super) fn mcall(m: &M, g: Gp, after: After) {
    m.assert_no_lock();
    m.after.set(Some(after));
    // SAFETY: `g0` was left by `schedule`, which runs this task; `g.context` is switched to only by
    // `schedule`, once the task is runnable again. `m` is not used behind the switch.
    unsafe { switch(g.context.get(), m.g0.get()) }
}

/// Parks the running task (Go: `gopark`). When it is off its stack, `commit` is called with it; `false`
/// sends it on at once. As soon as `commit` has made the task known to somebody, that somebody may
/// ready it, so behind that point `commit` must not touch what it borrowed from the task.
#[inline]
pub(crate) fn gopark<F: FnOnce(Gp) -> bool>(reason: WaitReason, commit: F) {
    unsafe fn after<F: FnOnce(Gp) -> bool>(data: *mut (), g: Gp) -> bool {
        // SAFETY: `data` is the closure below, in the frame of a task that is not running; it is moved
        // out, once, before the task can run again.
        let commit = unsafe { data.cast::<F>().read() };
        g.casgstatus(Status::Running, Status::Waiting);
        if !commit(g) {
            g.casgstatus(Status::Waiting, Status::Running);
            return false;
        }
        true
    }
    let mut commit = ManuallyDrop::new(commit);
    park(reason, After { call: after::<F>, data: (&raw mut commit).cast() });
}

/// What all uses of [`gopark`] share.
#[inline]
fn park(reason: WaitReason, after: After) {
    let m = acquirem();
    let g = running_on(m);
    g.set_wait_reason(reason, sysmon::coarse_now());
    if let Some(p) = m.p.get() {
        count(&p.counts.parks);
    }
    mcall(m, g, after);
}

/// Makes a parked task runnable, to run next on this thread (Go: `goready`).
pub(crate) fn goready(g: Gp) {
    g.casgstatus(Status::Waiting, Status::Runnable);
    let m = acquirem();
    runqput(m, g);
    wakep();
    releasem();
}

/// Makes a parked task runnable, behind all others.
#[cold]
pub(super) fn goready_last(g: Gp) {
    g.casgstatus(Status::Waiting, Status::Runnable);
    globrunqput(g);
    wakep(); // this thread may have no P
}

/// Lets other tasks run: the calling one goes behind all that are runnable (Go: `Gosched`).
pub fn yield_now() {
    unsafe fn after(_: *mut (), g: Gp) -> bool {
        g.casgstatus(Status::Running, Status::Runnable);
        match getm().p.get() {
            Some(p) => runqput_tail(p, g.into_word()),
            None => globrunqput(g),
        }
        wakep();
        true
    }
    let m = acquirem();
    mcall(m, running_on(m), After { call: after, data: ptr::null_mut() });
}

/// The end of a task, which found its handle so; its result, if it is still there, is on its stack, or in
/// its block.
pub(super) fn goexit<const ON_STACK: bool>(mut handle: Handle) -> ! {
    unsafe fn after<const ON_STACK: bool>(data: *mut (), g: Gp) -> bool {
        // SAFETY: `handle` below, copied before the stack is given away.
        let handle = unsafe { data.cast::<Handle>().read() };
        task::finish(g, handle, ON_STACK);
        true
    }
    let m = acquirem();
    mcall(m, running_on(m), After { call: after::<ON_STACK>, data: (&raw mut handle).cast() });
    rt::fatal("a dead task was run", START_STATUS)
}

/// Puts a new task in the queue, to run next.
pub(super) fn start(g: Gp) {
    g.casgstatus(Status::Dead, Status::Runnable);
    let m = acquirem();
    if let Some(p) = m.p.get() {
        count(&p.counts.spawns);
    }
    runqput(m, g);
    wakep();
    releasem();
}

/// Puts `g` in the queue to run next; the one that was to run next goes to the end (Go: `runqput`).
fn runqput(m: &M, g: Gp) {
    match m.p.get() {
        Some(p) => {
            if let Some(kicked) = p.runq.put_next(g.into_word()) {
                runqput_tail(p, kicked);
            }
        }
        None => globrunqput(g),
    }
}

pub(super) fn runqput_tail(p: &P, word: usize) {
    while !p.runq.put(word) {
        if runqput_slow(p, word) {
            return;
        }
    }
}

/// The ring is full: half of it, and the task behind it, go to the queue of all (Go: `runqputslow`).
/// `false`: there is room after all.
#[cold]
fn runqput_slow(p: &P, word: usize) -> bool {
    let mut half = [0; SLOTS / 2];
    if !p.runq.take_half(&mut half) {
        return false;
    }
    let mut idle = SCHED.idle.lock();
    half.iter().for_each(|&word| idle.put_g(task(word)));
    idle.put_g(task(word));
    true
}

/// Puts `g` at the end of the queue of all threads (Go: `globrunqput`).
pub(super) fn globrunqput(g: Gp) {
    SCHED.idle.lock().put_g(g);
}

/// Takes the first from the queue of all threads, and a share of the others into `p`'s own, as far as
/// there is room (Go: `globrunqget`).
pub(super) fn globrunqget(p: &P) -> Option<Gp> {
    let size = SCHED.runq_size.load(Ordering::SeqCst);
    if size == 0 {
        return None;
    }
    let mut idle = SCHED.idle.lock();
    let share = (size / allp().len().max(1) + 1).min(GLOBAL_BATCH).min(SLOTS - p.runq.len());
    let first = idle.take_g()?;
    let mut taken = 0;
    while taken + 1 < share
        && let Some(g) = idle.runq.pop_front()
    {
        let put = p.runq.put(g.into_word());
        debug_assert!(put, "there was room, and only the owner fills it");
        taken += 1;
    }
    idle.took(taken);
    Some(first)
}

/// Makes what a poll woke runnable, in its order (Go: `injectglist`).
pub(super) fn injectglist(mut woken: GQueue) {
    woken.iter().for_each(|g| g.casgstatus(Status::Waiting, Status::Runnable));
    match getm().p.get() {
        Some(p) => {
            while let Some(g) = woken.pop_front() {
                runqput_tail(p, g.into_word());
            }
        }
        // Before the tasks there, which had their turn: most of them compute, and were preempted.
        None => SCHED.idle.lock().put_first(woken),
    }
}

/// There is new work: starts a thread that looks for it, unless one is looking already or no P is idle
/// (Go: `wakep`).
#[inline]
pub(super) fn wakep() {
    let Some(threads) = threads() else { return };
    if SCHED.nprocs.load(Ordering::Relaxed) == 1 && getm().p.get().is_some() {
        return; // the only P is in use
    }
    if SCHED.search.wanted() {
        (threads.wake)();
    }
}
