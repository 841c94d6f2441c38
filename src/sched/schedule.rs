//! The loop of a thread: what it runs next, and what it does when there is nothing.
//!
//! # No wake-up is lost (go-style spinning threads)
//! Whoever makes work puts it in a queue first, then looks whether a P is idle and nobody is looking
//! for work ([`wakep`]); a thread that stops looking makes its P idle and says so first, then looks
//! into every queue once more ([`give_up_p`]). Both sides `SeqCst`: one of the two sees the other. (Go
//! lets threads that did not look on their way out go without the second look, and needs another flag,
//! `needspinning`, for what they miss.) At most half of the busy threads look at the same time, and one
//! that finds something starts the next, so that threads wake up one by one for as long as there is
//! work, and no herd does.
//!
//! # One thread waits in the poller
//! A thread without work becomes *the* poller, if there is none, and blocks there without a P. The
//! others sleep. What the poll brings is run by that same thread.

use super::blocking::back_from_call;
use super::g::{Gp, Status};
use super::m::{After, M};
use super::p::{P, task as task_of};
use super::proc::{globrunqget, runqput_tail, wakep};
use super::stack;
use super::state::{
    DEADLOCK_STATUS, Idle, SCHED, START_STATUS, all_compute, allp, any_poller, monitor, poller, polls,
    queued, take_idle_p, threads, wake_poller,
};
use super::{fault, life, sysmon, task};
use crate::arch::{prefetch, switch};
use crate::poll::Waiter;
use crate::rt;
use core::ptr;
use core::sync::atomic::Ordering;

/// Sleeps until there is a P to run (Go: `stopm`).
fn stopm(m: &'static M) {
    {
        let mut idle = SCHED.idle.lock();
        m.link.set(idle.ms);
        idle.ms = Some(m);
        idle.nmidle += 1;
        checkdead(&idle);
    }
    if let Some(p) = m.sleep() {
        acquirep(m, p);
    }
}

/// Everybody waits for somebody else (Go: `checkdead`). With the lock held, by a thread about to sleep.
fn checkdead(idle: &Idle) {
    let polling = SCHED.role.taken();
    if 1 + idle.nm - idle.nmidle > polling as u32 || SCHED.runq_size.load(Ordering::Relaxed) != 0 {
        return;
    }
    // Tasks that were woken may be in the hands of a poll: the monitor's, for threads are awake. It
    // comes here when it is done.
    if SCHED.polling_now.load(Ordering::SeqCst) {
        return;
    }
    match any_poller() {
        Some(poller) if (poller.useful)() => {}
        // It waits for what cannot come; it looks again and comes here.
        Some(poller) if polling => (poller.wake)(),
        _ => {
            let deadlock = idle.stackless.is_empty();
            let why = if deadlock { "all tasks are asleep: deadlock" } else { task::NO_STACK };
            rt::fatal(why, DEADLOCK_STATUS)
        }
    }
}

/// Whoever looked for work has found some: somebody else should go on looking (Go: `resetspinning`).
fn resetspinning(m: &M) {
    m.spinning.set(false);
    SCHED.search.end();
    wakep();
}

pub(super) fn begin_spinning(m: &M) {
    m.spinning.set(true);
    SCHED.search.begin();
}

/// The next task to run (Go: `findRunnable`). Blocks while there is none.
fn find_runnable(m: &'static M) -> Gp {
    loop {
        if let Some(p) = m.p.get() {
            if p.tick() {
                look_around(p);
            }
            if SCHED.urgent.load(Ordering::Relaxed) != 0
                && let Some(g) = take_urgent()
            {
                return g;
            }
            if let Some(g) = p.runqget().or_else(|| poll_first(p)).or_else(|| globrunqget(p)) {
                return g;
            }
            let stolen = threads().and_then(|threads| (threads.steal)(m, p));
            if let Some(g) = stolen.or_else(|| give_up_p(m, p)) {
                return g;
            }
        }
        if m.p.get().is_some() || back_from_call(m) {
            continue;
        }
        // Also if its task has parked in a call: nobody may be there who waits for what that waits for.
        if let Some(g) = poll_without_p(m) {
            return g;
        }
        if m.p.get().is_none() {
            stopm(m);
        }
    }
}

/// Tasks that were interrupted compute: they come behind what a poll wakes, and not beside it in the ring, where
/// each would be in others' way for its whole turn.
#[inline]
fn poll_first(p: &P) -> Option<Gp> {
    if !all_compute() || poll_now() != Some(true) {
        return None;
    }
    wakep();
    p.runqget()
}

/// Now and then: the poller's tasks and a share of the global queue's go behind its own.
#[cold]
fn look_around(p: &P) {
    if poll_now() == Some(true) {
        wakep();
    }
    if let Some(g) = globrunqget(p) {
        runqput_tail(p, g.into_word());
    }
    p.looked();
}

/// Polls without blocking, unless somebody polls already or nobody waits; whether tasks were woken.
fn poll_now() -> Option<bool> {
    let poller = poller()?;
    if SCHED.role.taken() || SCHED.polling_now.swap(true, Ordering::SeqCst) {
        return None;
    }
    SCHED.polls.store(polls().wrapping_add(1), Ordering::Relaxed);
    let any = (poller.poll)(0);
    SCHED.polling_now.store(false, Ordering::SeqCst);
    Some(any)
}

/// Without work: makes the P idle, unless there is work after all. Returns with `m.p` set if the search
/// should begin again.
fn give_up_p(m: &'static M, p: &'static P) -> Option<Gp> {
    {
        let mut idle = SCHED.idle.lock();
        if let Some(g) = idle.take_g().or_else(|| life::retry(&mut idle, p)) {
            return Some(g);
        }
        m.p.set(None);
        idle.put_p(p);
    }
    if m.spinning.replace(false) {
        SCHED.search.end();
    }
    SCHED.search.second_look();
    if queued()
        && let Some(p) = take_idle_p()
    {
        acquirep(m, p);
        begin_spinning(m);
    }
    None
}

/// For the monitor: polls if nobody else does, and gets the woken run.
pub(super) fn poll_for_others() {
    if poll_now().is_some() {
        // Threads may have gone to sleep meanwhile: before they could see what this poll woke, or
        // without looking whether that was the last that could wake anybody.
        let idle = SCHED.idle.lock();
        let work = SCHED.runq_size.load(Ordering::Relaxed) != 0;
        if !work {
            checkdead(&idle);
        }
        drop(idle);
        if work && SCHED.search.idle() != 0 {
            wake_one();
        }
    }
}

/// For the monitor: has an idle P run.
pub(super) fn wake_one() {
    match threads() {
        Some(threads) => (threads.wake)(),
        None => wake_only(),
    }
}

/// Wakes the only thread of a program of one, whether it sleeps, is in the poller, or on the way there. If it is on
/// the way to sleep the monitor sees that at its next look ([`stranded`](super::state::stranded)).
fn wake_only() {
    let mut idle = SCHED.idle.lock();
    if idle.ms.is_none() {
        drop(idle);
        return wake_poller();
    }
    let Some(p) = idle.take_p() else { return };
    let Some(m) = idle.ms else { return };
    idle.ms = m.link.get();
    idle.nmidle -= 1;
    drop(idle);
    m.wake(p);
}

/// The first of what was woken without a P.
#[cold]
fn take_urgent() -> Option<Gp> {
    let mut idle = SCHED.idle.lock();
    if SCHED.urgent.load(Ordering::Relaxed) == 0 { None } else { idle.take_g() }
}

/// Takes an idle P for `m`, if there is one.
pub(super) fn acquire_idle_p(m: &'static M) -> bool {
    take_idle_p().inspect(|p| acquirep(m, p)).is_some()
}

/// Takes `p`, which nobody else has, into use: whichever way a thread gets one, it must end here, or
/// the monitor does not watch what runs on it.
pub(super) fn acquirep(m: &'static M, p: &'static P) {
    if sysmon::asleep()
        && let Some(monitor) = monitor()
    {
        (monitor.wake)();
    }
    p.owner.acquire(m);
    m.p.set(Some(p));
}

/// Becomes the poller, if there is none and there is something to wait for.
fn poll_without_p(m: &'static M) -> Option<Gp> {
    let poller = poller()?;
    if !SCHED.role.begin() {
        return None;
    }
    (poller.poll)(-1); // the woken are in the global queue
    SCHED.polls.store(polls().wrapping_add(1), Ordering::Relaxed);
    SCHED.role.end();
    let p = take_idle_p()?;
    acquirep(m, p);
    p.looked(); // and need not again for a while
    let g = globrunqget(p)?;
    if !p.runq.is_empty() || SCHED.runq_size.load(Ordering::Relaxed) != 0 {
        wakep();
    }
    Some(g)
}

/// Has the stacks of the next tasks fetched. One that has rested while hundreds of others ran is in no cache, and its
/// page in no TLB, and a turn that begins so costs more than all instructions of a switch. Several at a time, for the
/// processor walks the page tables for all of them at once (1,024 connections: a tenth of the CPU a request).
#[inline]
fn look_ahead(p: &P) {
    let Some(group) = p.runq.group() else { return };
    for word in group {
        // SAFETY: in a `G`, which is never freed.
        unsafe { prefetch(task_of(word).context.get()) };
    }
}

/// The loop of a thread, on `g0`.
pub(super) fn schedule(m: &'static M) -> ! {
    loop {
        let g = find_runnable(m);
        debug_assert!(m.p.get().is_some_and(|p| ptr::eq(p.owner.running(), m)), "a P of another thread");
        if m.spinning.get() {
            resetspinning(m);
        }
        if let (Some(begin), Some(p)) = (g.begin(), m.p.get())
            && !life::attach_stack(p, g, begin)
        {
            SCHED.idle.lock().stackless.push(g); // until somebody has no work: `give_up_p`
            continue;
        }
        if let Some(p) = m.p.get() {
            look_ahead(p);
        }
        g.casgstatus(Status::Runnable, Status::Running);
        m.curg.set(Some(g));
        loop {
            // What the task had locked when it left is unlocked, or was handed on with it.
            m.unlock_all();
            // SAFETY: a runnable task's stack was left by `mcall` or is new, and is ours now.
            unsafe { switch(m.g0.get(), g.context.get()) };
            // SAFETY: a task leaves by `mcall`, which sets it; its caller gave a function for these data,
            // and the task is off its stack.
            let parked = unsafe {
                let After { call, data } = m.after.get().unwrap_unchecked();
                call(data, g)
            };
            if parked {
                break;
            }
        }
        m.curg.set(None);
    }
}

/// Makes the calling thread the program's first M, runs `main` as task 1 on it, and ends the process
/// with what `main` returns. `page`: the machine's page size; `threads`: how many may run tasks at
/// once, at least 1.
pub(crate) fn run_main(page: usize, stack_size: usize, threads: usize, main: impl FnOnce() -> i32) -> ! {
    SCHED.page.store(page, Ordering::Relaxed);
    SCHED.stacks.configure(stack_size);
    let Some(ps) = stack::map(threads * size_of::<P>()) else {
        rt::fatal("no memory for the scheduler", START_STATUS)
    };
    let ps = ps.cast::<P>().as_ptr();
    for i in 0..threads {
        // SAFETY: within the mapping, which is page-aligned, zeros, and nobody else's.
        unsafe { P::init(ps.add(i), i as u32) };
    }
    if threads == 1 {
        // SAFETY: just made, and not in use.
        unsafe { &*ps }.runq.set_alone();
    }
    SCHED.ps.store(ps, Ordering::Relaxed);
    SCHED.nprocs.store(threads as u32, Ordering::Relaxed);
    let Ok(m) = M::first() else { rt::fatal("arch_prctl(ARCH_SET_FS) is refused", START_STATUS) };
    fault::install();
    let (first, others) = allp().split_first().unzip();
    {
        let mut idle = SCHED.idle.lock();
        others.unwrap_or_default().iter().rev().for_each(|p| idle.put_p(p));
    }
    if let Some(p) = first {
        acquirep(m, p);
    }
    // SAFETY: `main` owns what it uses; the process ends before this frame does.
    let main = unsafe { task::spawn_unchecked(0, None, move || -> () { rt::exit(main()) }) };
    match main {
        Ok(handle) => drop(handle),
        Err(_) => rt::fatal(task::NO_STACK, START_STATUS),
    }
    schedule(m)
}
