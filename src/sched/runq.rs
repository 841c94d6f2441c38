//! The run queue of one P: a ring that its owner puts into and everybody takes from, without a lock
//! (Go: `runqput`, `runqget`, `runqgrab`).
//!
//! * Only the owner moves `tail`, behind writing the slot (Release): who sees the new tail sees the
//!   slot.
//! * Everybody moves `head`, by compare-and-swap, behind reading the slots it passes: whoever fails has
//!   read slots that were somebody else's, and forgets them. Slots behind `head` may be overwritten
//!   only once `head` has moved, which the owner sees by its Acquire load before it puts.
//! * `next` is the task to run before the ring. Only the owner fills it; thieves may empty it.

use crate::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::cell::Cell;

/// Slots (Go's figure). Under loom four, so that models reach the end of the ring.
pub(crate) const SLOTS: usize = if cfg!(loom) { 4 } else { 256 };

/// See [`RunQueue::group`].
const GROUP: u32 = 8;

/// Nobody: no task has this word.
const NOBODY: usize = 0;

#[repr(C)] // the ring last: see `P`
pub(crate) struct RunQueue {
    head: AtomicU32,
    tail: AtomicU32,
    next: AtomicUsize,
    /// There is no other thread that could steal: the owner needs no exchange to take. Set once, before
    /// the first task.
    alone: Cell<bool>,
    slots: [AtomicUsize; SLOTS],
}

// SAFETY: all but `alone` is atomic, and that is written before the queue is shared.
unsafe impl Sync for RunQueue {}

/// Half of a full ring: for the queue of all.
pub(crate) type Half = [usize; SLOTS / 2];

impl RunQueue {
    /// An empty one. Outside of tests they are made of zeroed memory, by [`P::init`](super::p::P::init).
    #[cfg(test)]
    pub fn new() -> RunQueue {
        RunQueue {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            next: AtomicUsize::new(NOBODY),
            alone: Cell::new(false),
            slots: core::array::from_fn(|_| AtomicUsize::new(NOBODY)),
        }
    }

    /// Says that this is the only run queue there is.
    #[cfg(not(loom))]
    pub fn set_alone(&self) {
        self.alone.set(true);
    }

    fn slot(&self, at: u32) -> &AtomicUsize {
        // SAFETY: the remainder is below the length.
        unsafe { self.slots.get_unchecked(at as usize % SLOTS) }
    }

    /// Whether there is nothing to take. Read by others, too: a moment later it may be otherwise.
    pub fn is_empty(&self) -> bool {
        // The owner kicks `next` into the ring before it fills `next` again. So if the tail has not
        // moved between the two other reads, they belong together (Go: `runqempty`).
        loop {
            let head = self.head.load(Ordering::SeqCst);
            let tail = self.tail.load(Ordering::SeqCst);
            let next = self.next.load(Ordering::SeqCst);
            if tail == self.tail.load(Ordering::SeqCst) {
                return head == tail && next == NOBODY;
            }
        }
    }

    /// Tasks in the ring, `next` not counted. Exact for the owner, but for thieves.
    pub fn len(&self) -> usize {
        let head = self.head.load(Ordering::Acquire);
        self.tail.load(Ordering::Relaxed).wrapping_sub(head) as usize
    }

    /// Makes `task` the next to run; returns the one that was, for [`RunQueue::put`]. Owner only.
    #[inline]
    pub fn put_next(&self, task: usize) -> Option<usize> {
        // Thieves only empty it: empty, it stays so.
        if self.next.load(Ordering::Relaxed) == NOBODY {
            self.next.store(task, Ordering::Release);
            return None;
        }
        let kicked = self.next.swap(task, Ordering::AcqRel);
        (kicked != NOBODY).then_some(kicked)
    }

    /// Puts `task` at the end. `false`: the ring is full; see [`RunQueue::take_half`]. Owner only.
    #[inline]
    #[must_use]
    pub fn put(&self, task: usize) -> bool {
        let head = self.head.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Relaxed);
        let room = tail.wrapping_sub(head) < SLOTS as u32;
        if room {
            self.slot(tail).store(task, Ordering::Relaxed);
            self.tail.store(tail.wrapping_add(1), Ordering::Release);
        }
        room
    }

    /// Takes the first half of a full ring. `false`: somebody stole, and there is room. Owner only.
    #[must_use]
    pub fn take_half(&self, half: &mut Half) -> bool {
        let head = self.head.load(Ordering::Acquire);
        if self.tail.load(Ordering::Relaxed).wrapping_sub(head) < SLOTS as u32 {
            return false;
        }
        for (i, place) in half.iter_mut().enumerate() {
            *place = self.slot(head.wrapping_add(i as u32)).load(Ordering::Relaxed);
        }
        let after = head.wrapping_add(SLOTS as u32 / 2);
        self.head.compare_exchange(head, after, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Puts as the scheduler does: what goes to the queue of all, if the ring is full.
    #[cfg(test)]
    fn put_or_overflow(&self, task: usize) -> Option<impl Iterator<Item = usize>> {
        while !self.put(task) {
            let mut half = [NOBODY; SLOTS / 2];
            if self.take_half(&mut half) {
                return Some(half.into_iter().chain([task]));
            }
        }
        None
    }

    /// Takes the next. Owner only, but thieves may be faster.
    #[inline]
    pub fn take_next(&self) -> Option<usize> {
        let next = self.next.load(Ordering::Relaxed);
        if next == NOBODY {
            return None;
        }
        if self.alone.get() {
            self.next.store(NOBODY, Ordering::Relaxed);
            return Some(next);
        }
        // A thief may have emptied it; nobody else can have filled it.
        self.next.compare_exchange(next, NOBODY, Ordering::AcqRel, Ordering::Relaxed).ok()
    }

    /// Whenever the ring has come to the first of [`GROUP`] slots: the tasks in these. They stay there, and somebody may
    /// take them at once. Owner only.
    #[inline]
    pub fn group(&self) -> Option<impl Iterator<Item = usize>> {
        let head = self.head.load(Ordering::Relaxed);
        head.is_multiple_of(GROUP).then(|| {
            let len = self.tail.load(Ordering::Relaxed).wrapping_sub(head);
            (0..len.min(GROUP)).map(move |i| self.slot(head.wrapping_add(i)).load(Ordering::Relaxed))
        })
    }

    /// Takes the first. Owner only.
    #[inline]
    pub fn take(&self) -> Option<usize> {
        loop {
            let head = self.head.load(Ordering::Acquire);
            if head == self.tail.load(Ordering::Relaxed) {
                return None;
            }
            let task = self.slot(head).load(Ordering::Relaxed);
            let after = head.wrapping_add(1);
            if self.alone.get() {
                self.head.store(after, Ordering::Relaxed);
            } else if self.head.compare_exchange(head, after, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            return Some(task);
        }
    }

    /// Moves half of `victim`'s ring (rounded up) into this one, and returns one of them to run. Called
    /// by this one's owner when it is empty.
    pub fn steal(&self, victim: &RunQueue) -> Option<usize> {
        let tail = self.tail.load(Ordering::Relaxed);
        loop {
            let head = victim.head.load(Ordering::Acquire);
            let end = victim.tail.load(Ordering::Acquire);
            let n = end.wrapping_sub(head);
            let n = n - n / 2;
            if n == 0 {
                return None;
            }
            if n > SLOTS as u32 / 2 {
                continue; // the two loads do not belong together
            }
            for i in 0..n {
                let task = victim.slot(head.wrapping_add(i)).load(Ordering::Relaxed);
                self.slot(tail.wrapping_add(i)).store(task, Ordering::Relaxed);
            }
            let after = head.wrapping_add(n);
            if victim.head.compare_exchange(head, after, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                // The last of them is run at once, so it is not published.
                let run = self.slot(tail.wrapping_add(n - 1)).load(Ordering::Relaxed);
                self.tail.store(tail.wrapping_add(n - 1), Ordering::Release);
                return Some(run);
            }
        }
    }

    /// Takes what `victim` would run next, if that has been waiting: `patience` is called first, so that
    /// a task that is about to run where it is stays there.
    pub fn steal_next(victim: &RunQueue, patience: impl FnOnce()) -> Option<usize> {
        let next = victim.next.load(Ordering::Relaxed);
        if next == NOBODY {
            return None;
        }
        patience();
        victim.next.compare_exchange(next, NOBODY, Ordering::AcqRel, Ordering::Relaxed).ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn first_in_first_out_and_next_before_all() {
        let q = RunQueue::new();
        assert!(q.is_empty());
        assert_eq!(q.put_next(9), None);
        assert!(!q.is_empty());
        assert_eq!(q.put_next(8), Some(9));
        assert!(q.put(9) && q.put(7));
        assert_eq!(q.take_next(), Some(8));
        assert_eq!((q.take(), q.take(), q.take(), q.take_next()), (Some(9), Some(7), None, None));
        assert!(q.is_empty());
    }

    #[test]
    fn a_full_ring_gives_half_away_in_order() {
        let q = RunQueue::new();
        for task in 1..=SLOTS {
            assert!(q.put(task));
        }
        let half = q.put_or_overflow(1000).expect("full");
        assert!(half.eq((1..=SLOTS / 2).chain([1000])));
        let rest: Vec<usize> = std::iter::from_fn(|| q.take()).collect();
        assert!(rest.into_iter().eq(SLOTS / 2 + 1..=SLOTS));
    }

    #[test]
    fn stealing_takes_half_rounded_up() {
        for len in 0..=SLOTS {
            let (victim, thief) = (RunQueue::new(), RunQueue::new());
            (1..=len).for_each(|task| assert!(victim.put(task)));
            let run = thief.steal(&victim);
            let stolen: Vec<usize> = std::iter::from_fn(|| thief.take()).chain(run).collect();
            assert_eq!(stolen, (1..=len.div_ceil(2)).collect::<Vec<_>>());
            let left: Vec<usize> = std::iter::from_fn(|| victim.take()).collect();
            assert_eq!(left, (len.div_ceil(2) + 1..=len).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_lost_or_doubled_under_theft() {
        use std::sync::atomic::AtomicBool;
        const TASKS: usize = 200_000;
        let (victim, done) = (RunQueue::new(), AtomicBool::new(false));
        let seen = std::thread::scope(|s| {
            let thieves = [(); 2].map(|()| {
                s.spawn(|| {
                    let (mine, mut got) = (RunQueue::new(), Vec::new());
                    while !done.load(Ordering::SeqCst) || !victim.is_empty() {
                        got.extend(mine.steal(&victim));
                        got.extend(std::iter::from_fn(|| mine.take()));
                        got.extend(RunQueue::steal_next(&victim, || {}));
                    }
                    got
                })
            });
            let mut got = Vec::new();
            for task in 1..=TASKS {
                let kicked = if task % 3 == 0 { victim.put_next(task) } else { Some(task) };
                if let Some(half) = kicked.and_then(|task| victim.put_or_overflow(task)) {
                    got.extend(half);
                }
                if task % 7 == 0 {
                    got.extend(victim.take_next());
                    got.extend(victim.take());
                }
            }
            done.store(true, Ordering::SeqCst);
            // Joined, and not only waited for: ThreadSanitizer would not see that.
            got.extend(thieves.into_iter().flat_map(|thief| thief.join().unwrap()));
            got
        });
        assert_eq!(seen.len(), TASKS);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), TASKS);
    }
}

#[cfg(all(test, loom))]
mod model {
    //! The owner puts and takes while a thief steals, on a ring of four: every task comes out once.
    //!
    //! Mutations seen to fail: the tail stored Relaxed in `put` (an empty slot is stolen); the head
    //! moved by a store in `take` (a task runs twice), or `next` emptied by one; `steal` without the check of its two loads.

    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    fn check(tasks: usize, before: usize) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let victim = Arc::new(RunQueue::new());
            (1..=before).for_each(|task| assert!(victim.put(task)));
            let thief = {
                let victim = victim.clone();
                thread::spawn(move || {
                    let mine = RunQueue::new();
                    let mut got: Vec<usize> = mine.steal(&victim).into_iter().collect();
                    got.extend(std::iter::from_fn(|| mine.take()));
                    got.extend(RunQueue::steal_next(&victim, || {}));
                    got
                })
            };
            let mut got = Vec::new();
            for task in before + 1..=tasks {
                if let Some(half) = victim.put_next(task).and_then(|kicked| victim.put_or_overflow(kicked)) {
                    got.extend(half);
                }
            }
            got.extend(victim.take());
            got.extend(victim.take_next());
            got.extend(thief.join().unwrap());
            got.extend(std::iter::from_fn(|| victim.take()));
            got.sort_unstable();
            assert_eq!(got, (1..=tasks).collect::<Vec<_>>());
        });
    }

    #[test]
    fn put_and_take_against_a_thief() {
        check(3, 1);
    }

    #[test]
    fn overflow_against_a_thief() {
        check(6, 4);
    }
}
