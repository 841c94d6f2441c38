//! `P`: what a thread needs to run tasks, one for each that may run at once.

use super::dump::{Counts, count};
use super::freelist::Slot;
use super::g::Gp;
use super::m::M;
use super::owner::Owner;
use super::retake::Seen;
use super::runq::RunQueue;
use super::spare::Spares;
use super::stack::Sp;
use crate::poll::Waiter;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

/// After so many dispatches, at least, a busy thread looks at the poller and the global queue (Go's
/// figure, there for the global queue; a prime, so that it falls in with no pattern).
const FAIRNESS: u32 = 61;

/// So often in a row the task in `next` is preferred. Two that ready each other would otherwise keep
/// everybody else waiting (tokio's figure for its LIFO slot).
const NEXT_IN_A_ROW: u32 = 3;

/// Its own cache lines: what the owner writes must not slow down others' owners. The first is the owner's
/// alone, more or less, the second has what thieves look at. What every program uses is within reach of a short
/// offset: hence the rest behind the ring.
#[repr(C, align(128))]
pub(crate) struct P {
    /// Dispatches; the monitor reads it, too.
    schedtick: AtomicU64,
    /// Dispatches until it looks beyond its own queue again.
    until_look: Cell<u32>,
    in_a_row: Cell<u32>,
    /// Dead tasks.
    pub gs: Spares<Gp>,
    /// Stacks of the program's size.
    pub stacks: Spares<Sp>,
    /// In the list of idle ones.
    pub link: Cell<Option<&'static P>>,
    /// The thread that has it.
    pub owner: Owner<M>,
    pub runq: RunQueue,
    pub counts: Counts,
    /// The monitor's.
    pub seen: Seen,
    /// Its number, from 0.
    pub id: Cell<u32>,
    /// Free slots of [`time::Timer`](crate::time::Timer).
    pub timers: Spares<Slot>,
}

// SAFETY: the cells belong to the thread that has the P (or holds the scheduler's lock while it is in
// the list of idle ones); the rest is atomic.
unsafe impl Sync for P {}

impl P {
    /// Makes P number `id` of zeros, which are one without tasks and without a thread: 2 KiB need not be written.
    ///
    /// # Safety
    /// `p` must be aligned and point at zeroed memory that nobody else uses.
    pub unsafe fn init(p: *mut P, id: u32) {
        // SAFETY: contract; null pointers are `None`, and every other field is a number.
        let p = unsafe { &*p };
        p.id.set(id);
        p.looked();
    }

    /// The next task of its own queue (Go: `runqget`). Owner only, as all below.
    #[inline]
    pub fn runqget(&self) -> Option<Gp> {
        if self.in_a_row.get() < NEXT_IN_A_ROW
            && let Some(next) = self.runq.take_next()
        {
            self.in_a_row.set(self.in_a_row.get() + 1);
            return Some(task(next));
        }
        self.in_a_row.set(0);
        self.runq.take().or_else(|| self.runq.take_next()).map(task)
    }

    /// Counts a dispatch. `true`: it is time to look beyond the own queue.
    #[inline]
    pub fn tick(&self) -> bool {
        count(&self.schedtick);
        self.until_look.set(self.until_look.get() - 1);
        self.until_look.get() == 0
    }

    /// The count of dispatches. For the monitor.
    pub fn ticks(&self) -> u64 {
        self.schedtick.load(Ordering::Relaxed)
    }

    /// It has looked: next time when everything now in the queue has had its turn. Sooner would put
    /// new work before old when the ring overflows, and gain nothing, since new work goes behind.
    pub fn looked(&self) {
        self.until_look.set(FAIRNESS.max(self.runq.len() as u32));
    }
}

/// The task behind a word of a run queue.
pub(crate) fn task(word: usize) -> Gp {
    // SAFETY: run queues hold words of `Gp::into_word`, and give each out once.
    unsafe { Gp::from_word(word) }
}
