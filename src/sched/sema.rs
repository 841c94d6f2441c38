//! Counting semaphores of one word that park (Go: `semacquire`, `semrelease`). Who waits is kept in a
//! small table by address, so that an idle semaphore costs four bytes.
//!
//! A releaser adds 1, then looks whether anybody waits; a waiter counts itself, then looks at the word
//! again before it parks. Both sides `SeqCst`, or each could miss the other.

use super::g::{Gp, WaitReason};
use super::proc::{getg, gopark, goready};
use crate::lock::Mutex;
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

/// Rows of the table; a prime, so that neighbours in an array of semaphores spread.
const ROWS: usize = 61;

struct Row {
    /// Tasks in the queue, or about to be.
    waiting: AtomicU32,
    queue: Mutex<Queue>,
}

struct Queue {
    head: *const Waiter,
    tail: *const Waiter,
}

// SAFETY: the waiters are in frames of parked tasks, and are reached under the row's lock only.
unsafe impl Send for Queue {}

/// A task that waits (Go: `sudog`), in its own frame.
struct Waiter {
    g: Gp,
    word: *const AtomicU32,
    next: Cell<*const Waiter>,
    /// Its unit was taken for it: it need not compete.
    granted: Cell<bool>,
}

static TABLE: [Row; ROWS] = [const {
    Row { waiting: AtomicU32::new(0), queue: Mutex::new(Queue { head: ptr::null(), tail: ptr::null() }) }
}; ROWS];

fn row(word: &AtomicU32) -> &'static Row {
    &TABLE[(ptr::from_ref(word).addr() >> 3) % ROWS]
}

/// Takes a unit if there is one.
pub(crate) fn semtake(word: &AtomicU32) -> bool {
    word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

/// Where a waiter queues.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind all others.
    Back,
    /// Before all others: it has waited already, and lost what it was woken for to a newcomer.
    Front,
}

/// Takes a unit; parks until there is one.
pub(crate) fn semacquire(word: &AtomicU32) {
    semacquire_at(word, Place::Back);
}

/// As [`semacquire`], waiting at `place` (Go: `semacquire1` with or without `lifo`).
pub(crate) fn semacquire_at(word: &AtomicU32, place: Place) {
    if semtake(word) {
        return;
    }
    let row = row(word);
    let waiter = Waiter { g: getg(), word, next: Cell::new(ptr::null()), granted: Cell::new(false) };
    loop {
        let mut queue = row.queue.lock();
        row.waiting.fetch_add(1, Ordering::SeqCst);
        if semtake(word) {
            row.waiting.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        queue.push(&waiter, place);
        gopark(WaitReason::Semacquire, |_| {
            drop(queue); // off the stack: a releaser may have it now
            true
        });
        if waiter.granted.get() || semtake(word) {
            return;
        }
    }
}

/// Gives a unit back, and readies one task that waits for it.
pub(crate) fn semrelease(word: &AtomicU32) {
    if let Some(g) = semrelease_one(word) {
        goready(g);
    }
}

/// Gives a unit back; returns a task that waited for it, for the caller to ready.
pub(crate) fn semrelease_one(word: &AtomicU32) -> Option<Gp> {
    word.fetch_add(1, Ordering::SeqCst);
    semwake(word)
}

/// Behind a unit that was added (`SeqCst`) to `word`: a task that waited for it, for the caller to ready.
pub(crate) fn semwake(word: &AtomicU32) -> Option<Gp> {
    let row = row(word);
    if row.waiting.load(Ordering::SeqCst) == 0 {
        return None;
    }
    let mut queue = row.queue.lock();
    let waiter = queue.take(word)?;
    row.waiting.fetch_sub(1, Ordering::SeqCst);
    // SAFETY: its task is parked until it is readied below, so its frame is there.
    let g = unsafe {
        (*waiter).granted.set(semtake(word));
        (*waiter).g
    };
    Some(g)
}

impl Queue {
    fn push(&mut self, waiter: &Waiter, place: Place) {
        if place == Place::Front && !self.head.is_null() {
            waiter.next.set(self.head);
            self.head = waiter;
            return;
        }
        waiter.next.set(ptr::null());
        if self.head.is_null() {
            self.head = waiter;
        } else {
            // SAFETY: not null, so the frame of a parked task.
            unsafe { (*self.tail).next.set(waiter) };
        }
        self.tail = waiter;
    }

    /// Takes out the first that waits for `word`.
    fn take(&mut self, word: &AtomicU32) -> Option<*const Waiter> {
        let mut before: *const Waiter = ptr::null();
        let mut at = self.head;
        // SAFETY: the list holds frames of parked tasks, under the lock.
        while let Some(waiter) = unsafe { at.as_ref() } {
            let next = waiter.next.get();
            if ptr::eq(waiter.word, word) {
                // SAFETY: as above.
                match unsafe { before.as_ref() } {
                    None => self.head = next,
                    Some(before) => before.next.set(next),
                }
                if next.is_null() {
                    self.tail = before;
                }
                return Some(at);
            }
            before = at;
            at = next;
        }
        None
    }
}
