//! Tasks on threads: park and ready, the queues, and the loop of a thread.
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

use super::dump::count;
use super::g::{GList, GQueue, Gp, Status, WaitReason};
use super::join::Handle;
use super::m::{After, M, acquirem, getm, releasem};
use super::p::{GFREE, P, task};
use super::runq::SLOTS;
use super::stack::StackPool;
use super::{overflow, sysmon, task};
use crate::arch::switch;
use crate::lock::Mutex;
use crate::poll::Waiter;
use crate::sys::Errno;
use crate::{preempt, rt};
use core::mem::ManuallyDrop;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};

/// Tasks moved from the global queue to a P's at once, at most (Go's figure: half a ring).
const GLOBAL_BATCH: usize = 128;

/// Exit status of a deadlock (Go's), and of a program that could not be started.
const DEADLOCK_STATUS: i32 = 2;
pub(super) const START_STATUS: i32 = 1;

/// The poller, as the scheduler needs it: see [`set_poller`].
pub(crate) struct Poller {
    /// Waits for `delay` ns (as `Netpoll::netpoll`) and makes the woken runnable by `injectglist`.
    pub poll: fn(delay: i64) -> bool,
    /// Whether a poll can wake anybody.
    pub useful: fn() -> bool,
    /// Ends a poll that blocks.
    pub wake: fn(),
}

/// The thread that looks after the others: see [`set_monitor`].
pub(super) struct Monitor {
    /// Starts it, if it has not been started.
    pub start: fn(),
    /// Ends its sleep.
    pub wake: fn(),
}

/// What only several threads need: see [`set_threads`].
pub(super) struct Threads {
    /// A P seems to be idle and nobody to look for work: runs it on a thread that does.
    pub wake: fn(),
    /// The thread that has this P is about to block.
    pub handoff: fn(&'static P),
    /// Takes work from another P.
    pub steal: fn(&M, &P) -> Option<Gp>,
}

/// What all threads share.
pub(super) struct Sched {
    pub idle: Mutex<Idle>,
    /// Copies of what is in `idle`, to look at without the lock.
    pub runq_size: AtomicUsize,
    /// Tasks at the front of the global queue that were woken by a poll without a P: they go before
    /// all others.
    urgent: AtomicUsize,
    pub npidle: AtomicU32,
    /// Threads that look for work.
    pub nmspinning: AtomicU32,
    /// A thread blocks in the poller.
    pub polling: AtomicBool,
    /// A thread polls without blocking (Go: `pollingNet`).
    polling_now: AtomicBool,
    /// Counts polls, for the monitor (Go: `lastpoll`, which is a time). May miss some.
    polls: AtomicU32,
    poller: AtomicPtr<Poller>,
    threads: AtomicPtr<Threads>,
    monitor: AtomicPtr<Monitor>,
    ps: AtomicPtr<P>,
    nprocs: AtomicU32,
    stacks: Mutex<StackPool>,
    gfree: Mutex<GList>,
    page: AtomicUsize,
}

/// Threads and Ps without work, and the queue of all.
pub(super) struct Idle {
    pub ms: Option<&'static M>,
    pub nmidle: u32,
    /// Threads beside the first.
    pub nm: u32,
    ps: Option<&'static P>,
    runq: GQueue,
}

/// All zeros at first, as is every large static here: a program's file then holds nothing of it.
pub(super) static SCHED: Sched = Sched {
    idle: Mutex::new(Idle { ms: None, nmidle: 0, nm: 0, ps: None, runq: GQueue::new() }),
    runq_size: AtomicUsize::new(0),
    urgent: AtomicUsize::new(0),
    npidle: AtomicU32::new(0),
    nmspinning: AtomicU32::new(0),
    polling: AtomicBool::new(false),
    polling_now: AtomicBool::new(false),
    polls: AtomicU32::new(0),
    poller: AtomicPtr::new(ptr::null_mut()),
    threads: AtomicPtr::new(ptr::null_mut()),
    monitor: AtomicPtr::new(ptr::null_mut()),
    ps: AtomicPtr::new(ptr::null_mut()),
    nprocs: AtomicU32::new(0),
    stacks: Mutex::new(StackPool::new()),
    gfree: Mutex::new(GList::new()),
    page: AtomicUsize::new(0),
};

impl Idle {
    pub fn put_p(&mut self, p: &'static P) {
        p.m.store(ptr::null_mut(), Ordering::Relaxed);
        p.link.set(self.ps);
        self.ps = Some(p);
        SCHED.npidle.fetch_add(1, Ordering::SeqCst);
    }

    fn take_p(&mut self) -> Option<&'static P> {
        let p = self.ps?;
        self.ps = p.link.get();
        SCHED.npidle.fetch_sub(1, Ordering::SeqCst);
        Some(p)
    }

    fn put_g(&mut self, g: Gp) {
        self.runq.push_back(g);
        SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) + 1, Ordering::SeqCst);
    }

    fn put_first(&mut self, woken: GQueue) {
        let n = woken.iter().count();
        self.runq.prepend(woken);
        SCHED.urgent.store(SCHED.urgent.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) + n, Ordering::SeqCst);
    }

    fn take_g(&mut self) -> Option<Gp> {
        let g = self.runq.pop_front()?;
        SCHED.urgent.store(SCHED.urgent.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
        SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) - 1, Ordering::SeqCst);
        Some(g)
    }
}

/// All Ps.
pub(super) fn allp() -> &'static [P] {
    // SAFETY: `run_main` wrote so many, before the first task, and they live for ever.
    unsafe {
        core::slice::from_raw_parts(
            SCHED.ps.load(Ordering::Relaxed),
            SCHED.nprocs.load(Ordering::Relaxed) as usize,
        )
    }
}

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

/// Bytes of a page, as the kernel told.
pub(super) fn page() -> usize {
    SCHED.page.load(Ordering::Relaxed)
}

/// Leaves the task's stack; `after` is called on the scheduler's. Returns when the task runs again,
/// perhaps on another thread. Preemption must be off; it is on again behind it.
#[inline]
pub(super) fn mcall(m: &M, g: Gp, after: After) {
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

/// The end of a task, which found its handle so.
pub(super) fn goexit(mut handle: Handle) -> ! {
    unsafe fn after(data: *mut (), g: Gp) -> bool {
        // SAFETY: `handle` below, copied before the stack is given away.
        let handle = unsafe { data.cast::<Handle>().read() };
        task::finish(g, handle);
        true
    }
    let m = acquirem();
    mcall(m, running_on(m), After { call: after, data: (&raw mut handle).cast() });
    rt::fatal("a dead task was run", START_STATUS)
}

/// Puts a new task in the queue, to run next.
pub(super) fn start(g: Gp, from: Status) {
    g.casgstatus(from, Status::Runnable);
    let m = acquirem();
    if let Some(p) = m.p.get() {
        count(&p.counts.spawns);
    }
    runqput(m, g);
    wakep();
    releasem();
}

/// A dead task with its stack, or a new one (Go: `gfget`), for a closure and result of `need` bytes.
pub(super) fn gfget(need: usize) -> Result<(Gp, Status), Errno> {
    let p = acquirem().p.get();
    let g = p.and_then(|p| p.gfget().or_else(|| gfget_shared(p)));
    releasem();
    if let Some(g) = g {
        if need > g.stack.size / 4 {
            gfput(g);
            return Err(Errno::E2BIG);
        }
        return Ok((g, Status::Dead));
    }
    let mut stacks = SCHED.stacks.lock();
    if need > stacks.closure_limit() {
        return Err(Errno::E2BIG);
    }
    Ok((stacks.make()?, Status::Idle))
}

/// Takes dead tasks that other Ps had too many of.
#[cold]
fn gfget_shared(p: &P) -> Option<Gp> {
    let mut shared = SCHED.gfree.lock();
    for _ in 0..GFREE / 2 {
        if !shared.pop().is_some_and(|g| p.gfput(g)) {
            break;
        }
    }
    drop(shared);
    p.gfget()
}

/// Gives a dead task's stack to the next (Go: `gfput`).
pub(super) fn gfput(g: Gp) {
    let kept = acquirem().p.get().is_some_and(|p| p.gfput(g) || gfput_shared(p, g));
    releasem();
    if !kept {
        SCHED.gfree.lock().push(g);
    }
}

#[cold]
fn gfput_shared(p: &P, g: Gp) -> bool {
    let mut shared = SCHED.gfree.lock();
    for _ in 0..GFREE / 2 {
        if let Some(g) = p.gfget() {
            shared.push(g);
        }
    }
    drop(shared);
    p.gfput(g)
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

fn runqput_tail(p: &P, word: usize) {
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
    let Some(half) = p.runq.take_half() else { return false };
    let mut idle = SCHED.idle.lock();
    half.into_iter().chain([word]).for_each(|word| idle.put_g(task(word)));
    true
}

/// Puts `g` at the end of the queue of all threads (Go: `globrunqput`).
pub(super) fn globrunqput(g: Gp) {
    SCHED.idle.lock().put_g(g);
}

/// Takes the first from the queue of all threads, and a share of the others into `p`'s own, as far as
/// there is room (Go: `globrunqget`).
fn globrunqget(p: &P) -> Option<Gp> {
    let size = SCHED.runq_size.load(Ordering::SeqCst);
    if size == 0 {
        return None;
    }
    let mut idle = SCHED.idle.lock();
    let share = size
        .checked_div(allp().len())
        .map_or(1, |share| share + 1)
        .min(GLOBAL_BATCH)
        .min(SLOTS - p.runq.len());
    let first = idle.take_g()?;
    for _ in 1..share {
        let Some(g) = idle.take_g() else { break };
        let put = p.runq.put(g.into_word());
        debug_assert!(put, "there was room, and only the owner fills it");
    }
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
    fence(Ordering::SeqCst); // the work is published before the counts are read
    if SCHED.npidle.load(Ordering::SeqCst) != 0 && SCHED.nmspinning.load(Ordering::SeqCst) == 0 {
        (threads.wake)();
    }
}

/// Tells the scheduler, before the first task, how to use several threads. A program of one thread has
/// none of that in it.
pub(super) fn set_threads(threads: &'static Threads) {
    SCHED.threads.store(ptr::from_ref(threads).cast_mut(), Ordering::Relaxed);
}

/// `None`: there is one thread.
#[inline]
pub(super) fn threads() -> Option<&'static Threads> {
    // SAFETY: null or what `set_threads` stored.
    unsafe { SCHED.threads.load(Ordering::Relaxed).as_ref() }
}

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
    let polling = SCHED.polling.load(Ordering::SeqCst);
    if 1 + idle.nm - idle.nmidle > polling as u32 || SCHED.runq_size.load(Ordering::Relaxed) != 0 {
        return;
    }
    // Tasks that were woken may be in the hands of a poll: the monitor's, for threads are awake. It
    // comes here when it is done.
    if SCHED.polling_now.load(Ordering::SeqCst) {
        return;
    }
    // SAFETY: null or what `set_poller` stored.
    let poller = unsafe { SCHED.poller.load(Ordering::Acquire).as_ref() };
    match poller {
        Some(poller) if (poller.useful)() => {}
        // It waits for what cannot come; it looks again and comes here.
        Some(poller) if polling => (poller.wake)(),
        _ => rt::fatal("all tasks are asleep: deadlock", DEADLOCK_STATUS),
    }
}

/// Tells the scheduler how to poll. Before that there is nothing to poll for, and a program that never
/// waits for a descriptor or a time has no poller in it at all.
pub(super) fn set_poller(poller: &'static Poller) {
    SCHED.poller.store(ptr::from_ref(poller).cast_mut(), Ordering::Release);
}

/// Tells the scheduler of the monitor. Without, there is none in the program.
pub(super) fn set_monitor(monitor: &'static Monitor) {
    SCHED.monitor.store(ptr::from_ref(monitor).cast_mut(), Ordering::Relaxed);
}

pub(super) fn monitor() -> Option<&'static Monitor> {
    // SAFETY: null or what `set_monitor` stored, before the first task.
    unsafe { SCHED.monitor.load(Ordering::Relaxed).as_ref() }
}

/// The poller, if it could wake anybody.
#[inline]
pub(super) fn poller() -> Option<&'static Poller> {
    // SAFETY: null or what `set_poller` stored.
    let poller = unsafe { SCHED.poller.load(Ordering::Acquire).as_ref() };
    poller.filter(|poller| (poller.useful)())
}

/// Whoever looked for work has found some: somebody else should go on looking (Go: `resetspinning`).
fn resetspinning(m: &M) {
    m.spinning.set(false);
    SCHED.nmspinning.fetch_sub(1, Ordering::SeqCst);
    wakep();
}

pub(super) fn begin_spinning(m: &M) {
    m.spinning.set(true);
    SCHED.nmspinning.fetch_add(1, Ordering::SeqCst);
}

/// The next task to run (Go: `findRunnable`). Blocks while there is none.
fn find_runnable(m: &'static M) -> Gp {
    loop {
        let Some(p) = m.p.get() else {
            stopm(m);
            continue;
        };
        if p.tick() {
            look_around(p);
        }
        if SCHED.urgent.load(Ordering::Relaxed) != 0
            && let Some(g) = take_urgent()
        {
            return g;
        }
        if let Some(g) = p.runqget().or_else(|| globrunqget(p)) {
            return g;
        }
        let stolen = threads().and_then(|threads| (threads.steal)(m, p));
        if let Some(g) = stolen.or_else(|| give_up_p(m, p)) {
            return g;
        }
        if m.p.get().is_some() {
            continue;
        }
        if let Some(g) = poll_without_p(m) {
            return g;
        }
        if m.p.get().is_none() {
            stopm(m);
        }
    }
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
    if SCHED.polling.load(Ordering::Relaxed) || SCHED.polling_now.swap(true, Ordering::SeqCst) {
        return None;
    }
    SCHED.polls.store(polls().wrapping_add(1), Ordering::Relaxed);
    let any = (poller.poll)(0);
    SCHED.polling_now.store(false, Ordering::SeqCst);
    Some(any)
}

/// For the monitor: changes with every poll.
pub(super) fn polls() -> u32 {
    SCHED.polls.load(Ordering::Relaxed)
}

/// Without work: makes the P idle, unless there is work after all. Returns with `m.p` set if the search
/// should begin again.
fn give_up_p(m: &'static M, p: &'static P) -> Option<Gp> {
    {
        let mut idle = SCHED.idle.lock();
        if let Some(g) = idle.take_g() {
            return Some(g);
        }
        m.p.set(None);
        idle.put_p(p);
    }
    if m.spinning.replace(false) {
        SCHED.nmspinning.fetch_sub(1, Ordering::SeqCst);
    }
    // Said first, looked then: work that came before had nobody woken.
    fence(Ordering::SeqCst);
    let work = SCHED.runq_size.load(Ordering::SeqCst) != 0 || allp().iter().any(|p| !p.runq.is_empty());
    if work && let Some(p) = take_idle_p() {
        acquirep(m, p);
        begin_spinning(m);
    }
    None
}

pub(super) fn take_idle_p() -> Option<&'static P> {
    SCHED.idle.lock().take_p()
}

/// Threads that run tasks, asleep or not.
pub(super) fn thread_count() -> u32 {
    SCHED.idle.lock().nm + 1
}

/// For the monitor: whether no thread has a P.
pub(super) fn all_idle() -> bool {
    SCHED.npidle.load(Ordering::SeqCst) == SCHED.nprocs.load(Ordering::Relaxed)
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
        if work && SCHED.npidle.load(Ordering::SeqCst) != 0 {
            match threads() {
                Some(threads) => (threads.wake)(),
                None => wake_only(),
            }
        }
    }
}

/// For the monitor: whether tasks that were woken without a P still wait.
pub(super) fn urgent() -> bool {
    SCHED.urgent.load(Ordering::Relaxed) != 0
}

/// Wakes the only thread of a program of one, whether it sleeps, is in the poller, or on the way to
/// either.
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

/// Ends a poll that blocks, or the next one: its thread takes a P and looks for work.
#[cold]
pub(super) fn wake_poller() {
    // SAFETY: null or what `set_poller` stored.
    if let Some(poller) = unsafe { SCHED.poller.load(Ordering::Acquire).as_ref() } {
        (poller.wake)();
    }
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
    p.m.store(ptr::from_ref(m).cast_mut(), Ordering::Relaxed);
    m.p.set(Some(p));
}

/// Becomes the poller, if there is none and there is something to wait for.
fn poll_without_p(m: &'static M) -> Option<Gp> {
    let poller = poller()?;
    if SCHED.polling.swap(true, Ordering::SeqCst) {
        return None;
    }
    (poller.poll)(-1); // the woken are in the global queue
    SCHED.polling.store(false, Ordering::SeqCst);
    let p = take_idle_p()?;
    acquirep(m, p);
    p.looked(); // and need not again for a while
    let g = globrunqget(p)?;
    if !p.runq.is_empty() || SCHED.runq_size.load(Ordering::Relaxed) != 0 {
        wakep();
    }
    Some(g)
}

/// The loop of a thread, on `g0`.
pub(super) fn schedule(m: &'static M) -> ! {
    loop {
        let g = find_runnable(m);
        if m.spinning.get() {
            resetspinning(m);
        }
        g.casgstatus(Status::Runnable, Status::Running);
        m.curg.set(Some(g));
        loop {
            // What the task had locked when it left is unlocked, or was handed on with it.
            m.unlock_all();
            // SAFETY: a runnable task's stack was left by `mcall` or made by `spawn`, and is ours now.
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
    SCHED.stacks.lock().configure(page, stack_size);
    let Ok(ps) = StackPool::map(threads * size_of::<P>()) else {
        rt::fatal("no memory for the scheduler", START_STATUS)
    };
    let ps = ps.cast::<P>();
    for i in 0..threads {
        // SAFETY: within the mapping, which is page-aligned, zeros, and nobody else's.
        unsafe { P::init(ps.add(i)) };
    }
    SCHED.ps.store(ps, Ordering::Relaxed);
    SCHED.nprocs.store(threads as u32, Ordering::Relaxed);
    let Ok(m) = M::first() else { rt::fatal("arch_prctl(ARCH_SET_FS) is refused", START_STATUS) };
    overflow::install();
    let (first, others) = allp().split_first().unzip();
    {
        let mut idle = SCHED.idle.lock();
        others.unwrap_or_default().iter().rev().for_each(|p| idle.put_p(p));
    }
    if let Some(p) = first {
        acquirep(m, p);
    }
    // SAFETY: `main` owns what it uses; the process ends before this frame does.
    let main = unsafe { task::spawn_unchecked(move || -> () { rt::exit(main()) }) };
    match main {
        Ok(handle) => drop(handle),
        Err(_) => rt::fatal("no memory for the main task's stack", START_STATUS),
    }
    schedule(m)
}
