//! What all threads share: the idle threads and Ps, the queue of all, and how the scheduler reaches the
//! parts that a program may do without.

use super::g::{GQueue, Gp};
use super::m::M;
use super::p::P;
use super::role::Role;
use super::search::Search;
use super::spare::List;
use super::stack::Class;
use crate::lock::Mutex;
use crate::timer::Timers;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// Exit status of a deadlock (Go's), and of a program that could not be started.
pub(super) const DEADLOCK_STATUS: i32 = 2;

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
    /// A task that was interrupted.
    pub take_computing: fn(&mut Idle) -> Option<Gp>,
}

/// What only several threads need: see [`set_threads`].
pub(super) struct Threads {
    /// A P seems to be idle and nobody to look for work: runs it on a thread that does.
    pub wake: fn(),
    /// The thread that has this P is about to block.
    pub handoff: fn(&'static P),
    /// Takes work from another P.
    pub steal: fn(&M, &P) -> Option<Gp>,
    /// Has the poller use a heap of timers for each P.
    pub share_timers: fn(&Timers),
    /// A dead task's block that others gave back, and more of them for the P.
    pub take_spares: fn(Option<&P>) -> Option<Gp>,
    /// Gives that block, and half of those that the P keeps, to the others.
    pub share_spares: fn(Option<&P>, Gp),
    /// Gives the P a stack that an idle one keeps.
    pub gather_stack: fn(&Idle, &P),
}

/// What all threads share.
pub(super) struct Sched {
    pub idle: Mutex<Idle>,
    /// Copies of what is in `idle`, to look at without the lock.
    pub runq_size: AtomicUsize,
    /// Tasks at the front of the global queue that were woken by a poll without a P: they go before
    /// all others.
    pub urgent: AtomicUsize,
    pub search: Search,
    /// Who blocks in the poller.
    pub role: Role,
    /// A thread polls without blocking (Go: `pollingNet`).
    pub polling_now: AtomicBool,
    /// Counts polls, for the monitor (Go: `lastpoll`, which is a time). May miss some.
    pub polls: AtomicU32,
    pub ps: AtomicPtr<P>,
    pub nprocs: AtomicU32,
    /// Of the program's size.
    pub stacks: Class,
    /// Dead tasks that Ps had too many of, in programs of several threads (Go: `sched.gFree`).
    pub gfree: Mutex<List<Gp>>,
    pub page: AtomicUsize,
    /// How many of those in the queue of all were interrupted.
    pub computing: AtomicUsize,
}

/// Threads and Ps without work, and the queue of all.
pub(super) struct Idle {
    pub ms: Option<&'static M>,
    pub nmidle: u32,
    /// Threads beside the first.
    pub nm: u32,
    pub ps: Option<&'static P>,
    pub runq: GQueue,
    /// Runnable tasks that would have to begin, and for which there is no stack.
    pub stackless: List<Gp>,
    /// Tasks that were interrupted, for they compute: the last of the queue of all.
    pub computing: GQueue,
}

/// The parts that a program may do without. Not in [`SCHED`]: where nothing is ever stored in one of these, the
/// compiler knows that it is null.
static THREADS: AtomicPtr<Threads> = AtomicPtr::new(ptr::null_mut());
static POLLER: AtomicPtr<Poller> = AtomicPtr::new(ptr::null_mut());
static MONITOR: AtomicPtr<Monitor> = AtomicPtr::new(ptr::null_mut());

/// All zeros at first, as is every large static here: a program's file then holds nothing of it.
pub(super) static SCHED: Sched = Sched {
    idle: Mutex::new(Idle {
        ms: None,
        nmidle: 0,
        nm: 0,
        ps: None,
        runq: GQueue::new(),
        computing: GQueue::new(),
        stackless: List::new(),
    }),
    runq_size: AtomicUsize::new(0),
    urgent: AtomicUsize::new(0),
    computing: AtomicUsize::new(0),
    search: Search::new(),
    role: Role::new(),
    polling_now: AtomicBool::new(false),
    polls: AtomicU32::new(0),
    ps: AtomicPtr::new(ptr::null_mut()),
    nprocs: AtomicU32::new(0),
    stacks: Class::new(),
    gfree: Mutex::new(List::new()),
    page: AtomicUsize::new(0),
};

impl Idle {
    pub fn put_p(&mut self, p: &'static P) {
        p.owner.release();
        p.link.set(self.ps);
        self.ps = Some(p);
        SCHED.search.p_idle();
    }

    pub fn take_p(&mut self) -> Option<&'static P> {
        let p = self.ps?;
        self.ps = p.link.get();
        SCHED.search.p_taken();
        Some(p)
    }

    pub fn put_g(&mut self, g: Gp) {
        self.runq.push_back(g);
        SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) + 1, Ordering::SeqCst);
    }

    pub fn put_first(&mut self, woken: GQueue) {
        let n = woken.iter().count();
        self.runq.prepend(woken);
        SCHED.urgent.store(SCHED.urgent.load(Ordering::Relaxed) + n, Ordering::Relaxed);
        SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) + n, Ordering::SeqCst);
    }

    pub fn put_computing(&mut self, g: Gp) {
        self.computing.push_back(g);
        SCHED.computing.store(SCHED.computing.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) + 1, Ordering::SeqCst);
    }

    pub fn take_computing(&mut self) -> Option<Gp> {
        let g = self.computing.pop_front()?;
        SCHED.computing.store(SCHED.computing.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) - 1, Ordering::SeqCst);
        Some(g)
    }

    /// The first; one that computes only if there are no others.
    #[inline(always)] // without a monitor it is the other
    pub fn take_g(&mut self) -> Option<Gp> {
        self.take_quick().or_else(|| (monitor()?.take_computing)(self))
    }

    /// The first that does not compute, as far as is known.
    #[inline(never)]
    pub fn take_quick(&mut self) -> Option<Gp> {
        let g = self.runq.pop_front()?;
        self.took(1);
        Some(g)
    }

    /// Counts `n` off that were taken out of `runq`.
    #[inline(never)]
    pub fn took(&self, n: usize) {
        SCHED.urgent.store(SCHED.urgent.load(Ordering::Relaxed).saturating_sub(n), Ordering::Relaxed);
        SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) - n, Ordering::SeqCst);
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

/// Whether the queue of all has only tasks that compute, and some of these.
#[inline]
pub(super) fn all_compute() -> bool {
    let computing = || SCHED.computing.load(Ordering::Relaxed);
    monitor().is_some() && computing() != 0 && computing() == SCHED.runq_size.load(Ordering::Relaxed)
}

/// Bytes of a page, as the kernel told.
pub(super) fn page() -> usize {
    SCHED.page.load(Ordering::Relaxed)
}

/// Tells the scheduler, before the first task, how to use several threads. A program of one thread has
/// none of that in it.
pub(super) fn set_threads(threads: &'static Threads) {
    THREADS.store(ptr::from_ref(threads).cast_mut(), Ordering::Relaxed);
}

/// `None`: there is one thread.
#[inline]
pub(super) fn threads() -> Option<&'static Threads> {
    // SAFETY: null or what `set_threads` stored.
    unsafe { THREADS.load(Ordering::Relaxed).as_ref() }
}

/// Tells the scheduler how to poll. Before that there is nothing to poll for, and a program that never
/// waits for a descriptor or a time has no poller in it at all.
pub(super) fn set_poller(poller: &'static Poller) {
    POLLER.store(ptr::from_ref(poller).cast_mut(), Ordering::Release);
}

/// Tells the scheduler of the monitor. Without, there is none in the program.
pub(super) fn set_monitor(monitor: &'static Monitor) {
    MONITOR.store(ptr::from_ref(monitor).cast_mut(), Ordering::Relaxed);
}

pub(super) fn monitor() -> Option<&'static Monitor> {
    // SAFETY: null or what `set_monitor` stored, before the first task.
    unsafe { MONITOR.load(Ordering::Relaxed).as_ref() }
}

/// The poller, whether it could wake anybody or not.
#[inline]
pub(super) fn any_poller() -> Option<&'static Poller> {
    // SAFETY: null or what `set_poller` stored.
    unsafe { POLLER.load(Ordering::Acquire).as_ref() }
}

/// The poller, if it could wake anybody.
#[inline]
pub(super) fn poller() -> Option<&'static Poller> {
    any_poller().filter(|poller| (poller.useful)())
}

/// Whether a poll could wake somebody, and no thread waits in one.
pub(super) fn unpolled() -> bool {
    poller().is_some() && !SCHED.role.taken()
}

/// Whether a task waits in any queue.
pub(super) fn queued() -> bool {
    SCHED.runq_size.load(Ordering::SeqCst) != 0 || allp().iter().any(|p| !p.runq.is_empty())
}

/// Whether there is something to do for a P: work, or nobody to wait in the poller.
pub(super) fn to_do() -> bool {
    unpolled() || queued()
}

/// For the monitor: whether that is left beside an idle P. So it is if there was no thread to be had, or the only one
/// was on its way to sleep when it should have been woken.
pub(super) fn stranded() -> bool {
    SCHED.search.idle() != 0 && to_do()
}

/// For the monitor: changes with every poll.
pub(super) fn polls() -> u32 {
    SCHED.polls.load(Ordering::Relaxed)
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
    SCHED.search.idle() == SCHED.nprocs.load(Ordering::Relaxed)
}

/// For the monitor: whether tasks that were woken without a P still wait.
pub(super) fn urgent() -> bool {
    SCHED.urgent.load(Ordering::Relaxed) != 0
}

/// Ends a poll that blocks, or the next one: its thread takes a P and looks for work.
#[cold]
pub(super) fn wake_poller() {
    if let Some(poller) = any_poller() {
        (poller.wake)();
    }
}
