//! What the scheduler is doing: counts, and a list of all tasks.

use super::g::{G, Gp, Status, WaitReason};
use super::poller::netpoll;
use super::state;
use super::waiter::WaitWord;
use crate::poll::{Mode, Stats};
use crate::rt::Line;
use crate::rt::clock::nanotime;
use crate::sys::signal::Siginfo;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Exit status after SIGQUIT (Go's).
const QUIT_STATUS: i32 = 2;

/// All tasks there ever were, the newest first: control blocks are reused and never freed. Written by
/// [`StackPool::make`](super::stack::StackPool::make).
pub(super) static ALLG: AtomicPtr<G> = AtomicPtr::new(ptr::null_mut());

fn all() -> impl Iterator<Item = Gp> {
    // SAFETY: what is in the list is initialised and never freed.
    let gp = |g: *mut G| NonNull::new(g).map(|g| unsafe { Gp::new(g) });
    core::iter::successors(gp(ALLG.load(Ordering::Acquire)), move |g| gp(g.alllink.load(Ordering::Relaxed)))
}

/// Counts of one P, its owner's to write.
pub(crate) struct Counts {
    pub spawns: AtomicU64,
    pub parks: AtomicU64,
    pub steals: AtomicU64,
    pub preemptions: AtomicU64,
}

/// One more. By the owner only, so that no locked instruction is needed.
#[inline]
pub(crate) fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// A reading of the scheduler's counts, all since the program began but for `tasks`, `threads` and
/// `waiters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Tasks that have not ended.
    pub tasks: u64,
    /// Tasks started.
    pub spawns: u64,
    /// Stacks there are, in use or kept for the next task.
    pub stacks: u64,
    /// Times a thread took a task up.
    pub switches: u64,
    /// Times a task left its thread to wait, those included that found nothing to wait for.
    pub parks: u64,
    /// Times a thread took half of another's queue.
    pub steals: u64,
    /// Tasks interrupted because they ran too long.
    pub preemptions: u64,
    /// Threads that run tasks, asleep or not.
    pub threads: u64,
    /// Waits for descriptors: a parked task is one, or, in a `select!`, one for each arm.
    pub waiters: u64,
    /// The poller's counts.
    pub poller: Stats,
}

/// Reads the counts. Costs a walk over all tasks, and nobody waits for it; counts that belong together
/// may differ by what happens meanwhile.
pub fn metrics() -> Metrics {
    let sum = |count: fn(&Counts) -> &AtomicU64| {
        state::allp().iter().map(|p| count(&p.counts).load(Ordering::Relaxed)).sum()
    };
    Metrics {
        tasks: all().filter(|g| g.status() != Status::Dead as u8).count() as u64,
        spawns: sum(|c| &c.spawns),
        stacks: all().count() as u64,
        switches: state::allp().iter().map(|p| p.ticks()).sum(),
        parks: sum(|c| &c.parks),
        steals: sum(|c| &c.steals),
        preemptions: sum(|c| &c.preemptions),
        threads: state::thread_count().into(),
        waiters: netpoll().waiters().into(),
        poller: netpoll().stats(),
    }
}

/// Prints every task to stderr, a line each: its number, what it is doing or waiting for, for how long,
/// and on which descriptor. Stops nobody; a task that moves on meanwhile may appear twice or not at all.
pub fn dump_tasks() {
    let now = nanotime();
    netpoll().for_each_waiter(|word, fd, mode| {
        let record = WaitWord::record(word);
        let g = match record {
            // Gone, perhaps; but its address still tells on whose stack it lies, or lay.
            Some(at) => all().find(|g| at.wrapping_sub(g.stack.lo.addr().get()) < g.stack.size),
            // SAFETY: the runtime's poller holds words of its tasks, and a `G` is never freed. The word
            // stays where it is: this is only a look.
            None => Some(unsafe { <Gp as crate::poll::Waiter>::from_word(word) }),
        };
        let Some(g) = g else { return };
        let what = match mode {
            Mode::Read => "waiting to read fd ",
            Mode::Write => "waiting to write fd ",
        };
        let mut line = Line::urgent();
        let line = line.str("task ").number(g.id()).str(": ").str(what).number(fd as u64);
        let line = line.str(if record.is_some() { " in select" } else { "" });
        for_ms(line, g, now).end();
    });
    for g in all() {
        if let Some(what) = doing(g) {
            let mut line = Line::urgent();
            for_ms(line.str("task ").number(g.id()).str(": ").str(what), g, now).end();
        }
    }
}

/// What a task is doing, unless it has ended or waits for a descriptor.
fn doing(g: Gp) -> Option<&'static str> {
    let running = g.status() == Status::Running as u8;
    if running && g.wait_reason() == WaitReason::Blocking as u8 {
        return Some("in a blocking call");
    }
    if running {
        return Some("running");
    }
    if g.status() == Status::Runnable as u8 {
        return Some("runnable");
    }
    if g.status() != Status::Waiting as u8 {
        return None;
    }
    const REASONS: [(WaitReason, &str); 9] = [
        (WaitReason::Sleep, "sleeping"),
        (WaitReason::Join, "waiting for a task to end"),
        (WaitReason::Semacquire, "waiting for a lock or semaphore"),
        (WaitReason::ChanSend, "sending to a channel"),
        (WaitReason::ChanReceive, "receiving from a channel"),
        (WaitReason::Select, "in select"),
        (WaitReason::Cond, "waiting for a condition"),
        (WaitReason::WaitGroup, "waiting for a group"),
        (WaitReason::Barrier, "waiting at a barrier"),
    ];
    REASONS.iter().find(|(reason, _)| *reason as u8 == g.wait_reason()).map(|(_, text)| *text)
}

fn for_ms(line: &mut Line, g: Gp, now: i64) -> &mut Line {
    let since = g.since();
    if since == 0 || g.status() != Status::Waiting as u8 {
        return line;
    }
    line.str(", for ").number(now.saturating_sub(since).max(0) as u64 / 1_000_000).str(" ms")
}

/// SIGQUIT: prints all tasks and ends the program, as Go does. Everything it reads is atomic or
/// constant, and it takes no lock.
pub(super) unsafe extern "C" fn on_quit(_: i32, _: *mut Siginfo, _: *mut c_void) {
    Line::urgent().str("netpoll: SIGQUIT").end();
    dump_tasks();
    crate::sys::process::exit_group(QUIT_STATUS)
}
