//! What the scheduler is doing: counts, and a list of all tasks.

use super::depth::high_water;
use super::g::{Gp, Status, WaitReason};
use super::poller::netpoll;
use super::stack::{Class, Slab};
use super::state::{self, SCHED};
use super::waiter::WaitWord;
use crate::poll::{Mode, Stats};
use crate::rt::Line;
use crate::rt::clock::nanotime;
use crate::sys::signal::Siginfo;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering};

/// Exit status after SIGQUIT (Go's).
const QUIT_STATUS: i32 = 2;

/// All tasks there ever were. Takes no lock.
fn all() -> impl Iterator<Item = Gp> {
    SCHED.stacks.slabs().flat_map(Slab::tasks)
}

/// Counts of one P, its owner's to write.
pub(crate) struct Counts {
    pub spawns: AtomicU64,
    pub parks: AtomicU64,
    pub steals: AtomicU64,
    pub preemptions: AtomicU64,
    pub retakes: AtomicU64,
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
    /// Stacks there are, in use or kept for the next task. One that is spawned has none before its first
    /// turn.
    pub stacks: u64,
    /// The most bytes that a task's stack has had touched, in whole pages: what is in memory, or was when
    /// the monitor gave a stack's memory back. Pages that were swapped out are not seen.
    pub stack_high_water: u64,
    /// Times a thread took a task up.
    pub switches: u64,
    /// Times a task left its thread to wait, those included that found nothing to wait for.
    pub parks: u64,
    /// Times a thread took half of another's queue.
    pub steals: u64,
    /// Tasks interrupted because they ran too long.
    pub preemptions: u64,
    /// Times other tasks got what a thread in a [`syscall`](crate::syscall()) had to run them with.
    pub retakes: u64,
    /// Threads that run tasks, asleep or not.
    pub threads: u64,
    /// Waits for descriptors: a parked task is one, or, in a `select!`, one for each arm;
    /// and so is a connection that rests in [`serve`](crate::net::serve()).
    pub waiters: u64,
    /// The poller's counts.
    pub poller: Stats,
}

/// Reads the counts. Costs a walk over all tasks, and, for the stacks' high-water mark, a mincore(2) for
/// each 2 MiB of stacks there are: 0.9 us a stack of 256 KiB. Nobody waits for it; counts that belong
/// together may differ by what happens meanwhile.
pub fn metrics() -> Metrics {
    let sum = |count: fn(&Counts) -> &AtomicU64| {
        state::allp().iter().map(|p| count(&p.counts).load(Ordering::Relaxed)).sum()
    };
    Metrics {
        tasks: all().filter(|g| g.status() != Status::Dead as u8).count() as u64,
        spawns: sum(|c| &c.spawns),
        stacks: Class::all(&SCHED.stacks).flat_map(Class::slabs).map(|slab| slab.made() as u64).sum(),
        stack_high_water: high_water() as u64,
        switches: state::allp().iter().map(|p| p.ticks()).sum(),
        parks: sum(|c| &c.parks),
        steals: sum(|c| &c.steals),
        preemptions: sum(|c| &c.preemptions),
        retakes: sum(|c| &c.retakes),
        threads: state::thread_count().into(),
        waiters: netpoll().waiters().into(),
        poller: netpoll().stats(),
    }
}

/// Prints every task to stderr, a line each: its number, where it was spawned, what it is doing or waiting for, for
/// how long, and on which descriptor. Stops nobody; a task that moves on meanwhile may appear twice or not at all.
pub fn dump_tasks() {
    let now = nanotime();
    netpoll().for_each_waiter(|word, fd, mode| {
        let record = WaitWord::record(word);
        let g = match record {
            // Gone, perhaps; but its address still tells on whose stack it lies, or lay.
            Some(at) => {
                all().find(|g| g.stack().is_some_and(|s| (s.lo.addr().get()..s.top.addr()).contains(&at)))
            }
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
        let line = name_task(&mut line, g).str(": ").str(what).number(fd as u64);
        let line = line.str(if record.is_some() { " in select" } else { "" });
        for_ms(line, g, now).end();
    });
    for g in all() {
        if let Some(what) = doing(g) {
            let mut line = Line::urgent();
            for_ms(name_task(&mut line, g).str(": ").str(what), g, now).end();
        }
    }
}

/// `task 7 (spawned at src/main.rs:12:9)`, or `task 1 (main)`.
pub(super) fn name_task(line: &mut Line, g: Gp) -> &mut Line {
    let line = line.str("task ").number(g.id());
    let Some(at) = g.spawned() else { return line.str(" (main)") };
    let line = line.str(" (spawned at ").str(at.file());
    line.str(":").number(at.line().into()).str(":").number(at.column().into()).str(")")
}

/// What a task is doing, unless it has ended or waits for a descriptor.
fn doing(g: Gp) -> Option<&'static str> {
    if g.status() == Status::Running as u8 {
        return Some(in_call(g).unwrap_or("running"));
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

/// The call that blocks its thread.
fn in_call(g: Gp) -> Option<&'static str> {
    let reason = g.wait_reason();
    if g.status() != Status::Running as u8 {
        return None;
    }
    if reason == WaitReason::Blocking as u8 {
        return Some("in a blocking call");
    }
    (reason == WaitReason::Syscall as u8).then_some("in a system call")
}

fn for_ms(line: &mut Line, g: Gp, now: i64) -> &mut Line {
    let since = g.since();
    let waits = g.status() == Status::Waiting as u8 || in_call(g).is_some();
    if since == 0 || !waits {
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
