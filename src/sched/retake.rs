//! What the monitor does about threads that stay in a system call: their Ps go to other threads. And how
//! often it looks.

use super::dump::count;
use super::p::P;
use super::state::{SCHED, allp, threads};
use super::sysmon::SLICE;
use core::mem;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A call that lasts so long, in ns, is one that blocks (Go's figure); and the time between two looks
/// while calls do.
pub(super) const QUICK: i64 = 20_000;

/// Looks at that pace behind the last call that blocked (Go's figure).
const QUICK_LOOKS: u32 = 50;

/// Shortest and longest sleep between two looks otherwise, in ns.
pub(super) const SHORT: i64 = 800_000;
pub(super) const LONG: i64 = 10_000_000;

/// What the monitor saw of a P. Its own, and nobody else's.
pub(crate) struct Seen {
    tick: AtomicU64,
    /// When it saw that tick first, in ns.
    since: AtomicI64,
    call: AtomicU64,
    /// When it saw a thread in that call first.
    call_since: AtomicI64,
}

impl Seen {
    /// Whether a task has been dispatched since the last look.
    pub fn look(&self, p: &P, now: i64) -> bool {
        let tick = p.ticks();
        let moved = self.tick.swap(tick, Ordering::Relaxed) != tick;
        if moved {
            self.since.store(now, Ordering::Relaxed);
        }
        moved
    }

    /// When the task that runs was seen first.
    pub fn since(&self) -> i64 {
        self.since.load(Ordering::Relaxed)
    }

    /// When this call was seen first, which may be now.
    fn call_since(&self, call: u64, now: i64) -> i64 {
        if self.call.swap(call, Ordering::Relaxed) != call {
            self.call_since.store(now, Ordering::Relaxed);
        }
        self.call_since.load(Ordering::Relaxed)
    }
}

/// What a look at the calls came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Calls {
    /// There is none that anybody waits for.
    Fine,
    /// One was seen for the first time, and others wait for its P.
    InQuestion,
    /// A P was taken that others waited for.
    Blocked,
}

/// Takes Ps from threads that stay in a call, and hands them on (Go: `retake`). One that nobody needs, for
/// no task waits and there are idle ones for those to come, stays with its thread for [`SLICE`], which
/// spares that the search for another.
pub(super) fn retake(now: i64) -> Calls {
    let Some(threads) = threads() else { return Calls::Fine };
    let mut calls = Calls::Fine;
    for p in allp() {
        let Some(call) = p.owner.in_call() else { continue };
        let lasts = now - p.seen.call_since(call.number, now);
        let needed = any_waits(p) || SCHED.search.all_busy();
        let blocks = lasts >= QUICK && needed;
        // One by one the calls of a task may be short, and yet its turn long over: it is not preempted in
        // a call, and this look may never find it elsewhere.
        let hogs = now - p.seen.since() >= SLICE && any_waits(p);
        if blocks || hogs || lasts >= SLICE {
            if p.owner.retake(call) {
                count(&p.counts.retakes); // nobody else's now
                (threads.handoff)(p);
                if blocks {
                    calls = Calls::Blocked;
                }
            }
        } else if needed && calls == Calls::Fine {
            calls = Calls::InQuestion;
        }
    }
    calls
}

/// Whether a task waits for this P, or for any.
fn any_waits(p: &P) -> bool {
    !p.runq.is_empty() || SCHED.runq_size.load(Ordering::Relaxed) != 0
}

/// When the monitor looks at a busy program next. Each look costs some microseconds, so the quick pace is
/// for programs whose calls do block: the others get one look more every 10 ms at the most.
pub(super) struct Pace {
    delay: i64,
    quick: u32,
    /// The last look was an early one, at a call in question.
    early: bool,
}

impl Pace {
    pub const fn new() -> Pace {
        Pace { delay: SHORT, quick: 0, early: false }
    }

    /// The program is idle: returns how long to sleep.
    pub fn idle(&mut self) -> i64 {
        *self = Pace { delay: LONG, quick: 0, early: false };
        LONG
    }

    /// How long to sleep behind a look. `soon`: somebody waits for a P, or for a poll.
    pub fn busy(&mut self, calls: Calls, soon: bool) -> i64 {
        if calls == Calls::Blocked {
            self.delay = QUICK;
            self.quick = QUICK_LOOKS;
        }
        if self.quick > 0 {
            self.quick -= 1;
            return QUICK;
        }
        let delay = (self.delay * 2).min(if soon { SHORT } else { LONG });
        // Not twice in a row: it is another call, or it would be none in question.
        if calls == Calls::InQuestion && delay > SHORT && !mem::replace(&mut self.early, true) {
            return QUICK;
        }
        self.early = false;
        self.delay = delay;
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::Calls::*;
    use super::*;
    use std::vec::Vec;

    fn delays(pace: &mut Pace, looks: usize, calls: Calls) -> Vec<i64> {
        (0..looks).map(|_| pace.busy(calls, false)).collect()
    }

    #[test]
    fn a_program_without_calls_is_looked_at_ever_less() {
        let mut pace = Pace::new();
        assert_eq!(delays(&mut pace, 5, Fine), [2 * SHORT, 4 * SHORT, 8 * SHORT, LONG, LONG]);
        assert_eq!(pace.busy(Fine, true), SHORT);
        assert_eq!(pace.busy(Fine, false), 2 * SHORT);
    }

    #[test]
    fn quick_calls_cost_one_look_more() {
        let mut pace = Pace::new();
        pace.idle();
        assert_eq!(delays(&mut pace, 4, InQuestion), [QUICK, LONG, QUICK, LONG]);
        assert_eq!([0; 3].map(|_| pace.busy(InQuestion, true)), [SHORT; 3]);
    }

    #[test]
    fn behind_a_call_that_blocked_it_looks_often_for_a_while() {
        let mut pace = Pace::new();
        pace.idle();
        assert_eq!(pace.busy(Blocked, false), QUICK);
        assert!(delays(&mut pace, QUICK_LOOKS as usize - 1, Fine).iter().all(|&delay| delay == QUICK));
        assert_eq!(delays(&mut pace, 2, Fine), [2 * QUICK, 4 * QUICK]);
        assert_eq!(pace.busy(Blocked, true), QUICK);
        assert_eq!(pace.idle(), LONG);
        assert_eq!(pace.busy(Fine, false), LONG);
    }
}
