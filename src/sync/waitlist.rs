//! Lists of parked tasks, first in first out, and who may ready a task that is in several.
//!
//! A list belongs to a lock, and so do the links of the waiters in it. A waiter lies in the frame of its
//! task, which stays there as long as the waiter is in the list: who takes it out also readies the task, or,
//! if somebody else has claimed that (another channel of a `select!`, a deadline), leaves it alone;
//! the task itself takes its remaining waiters out before it leaves the frame, under each list's lock.

use super::park::{Gp, Wake, goready};
use crate::atomic::{AtomicU32, Ordering};
use core::cell::Cell;
use core::ptr;

/// Who may ready a task: the first to claim it.
pub(super) struct ClaimWord {
    state: AtomicU32,
}

const WAITING: u32 = u32::MAX;
const TIMED_OUT: u32 = u32::MAX - 1;
const NO_TIMER: u32 = u32::MAX - 2;
/// As `WAITING`, but the task is not off its stack yet.
const ENTERING: u32 = u32::MAX - 3;

/// What became of a claim by somebody who may come before the task is parked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Claimed {
    /// The task is the claimer's to ready.
    Parked,
    /// It was on its way into the park, and goes on by itself. Its frame may be gone.
    Entering,
    /// Somebody else was first.
    Lost,
}

impl ClaimWord {
    pub fn new() -> ClaimWord {
        ClaimWord { state: AtomicU32::new(ENTERING) }
    }

    /// For the commit of the park: from now on the claimer readies the task, which leaves its frame then.
    /// `false`: it has been claimed, and goes on.
    pub fn enter(&self) -> bool {
        self.state.compare_exchange(ENTERING, WAITING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// For the party called `number`, which comes at any time.
    pub fn claim_early(&self, number: u32) -> Claimed {
        let mut from = WAITING;
        loop {
            match self.state.compare_exchange(from, number, Ordering::AcqRel, Ordering::Acquire) {
                Ok(WAITING) => return Claimed::Parked,
                Ok(_) => return Claimed::Entering,
                Err(now @ (WAITING | ENTERING)) => from = now,
                Err(_) => return Claimed::Lost,
            }
        }
    }

    /// For the party called `number`, which comes when the task has parked; `true`: the task is its to
    /// ready.
    #[inline]
    pub fn claim(&self, number: u32) -> bool {
        self.state.compare_exchange(WAITING, number, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// For the timer's callback; `true`: the task is its to ready.
    pub fn expire(&self) -> bool {
        self.claim_early(TIMED_OUT) == Claimed::Parked
    }

    /// For the task itself, when there is no timer.
    pub fn give_up(&self) {
        self.state.store(NO_TIMER, Ordering::Release);
    }

    /// How the wait ended, for the task when it has been readied.
    #[inline]
    pub fn wake(&self) -> Wake {
        match self.state.load(Ordering::Acquire) {
            TIMED_OUT => Wake::TimedOut,
            NO_TIMER => Wake::NoTimer,
            number => Wake::Claimed(number),
        }
    }
}

/// A task in a list, with what the others need to know of its wait.
pub(super) struct Waiter<T> {
    g: Gp,
    prev: Cell<*const Waiter<T>>,
    next: Cell<*const Waiter<T>>,
    queued: Cell<bool>,
    /// Null: whoever takes it out of its one list readies it.
    claim: *const ClaimWord,
    number: u32,
    pub data: T,
}

impl<T> Waiter<T> {
    /// For a task that waits for one thing, and without a deadline.
    #[inline]
    pub fn new(g: Gp, data: T) -> Waiter<T> {
        Waiter {
            g,
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            queued: Cell::new(false),
            claim: ptr::null(),
            number: 0,
            data,
        }
    }

    /// One of several things a task waits for, `number` in `claim`, which must outlive the waiter.
    #[inline]
    pub fn one_of(g: Gp, claim: &ClaimWord, number: u32, data: T) -> Waiter<T> {
        Waiter { claim, number, ..Waiter::new(g, data) }
    }

    #[inline]
    fn claim(&self) -> bool {
        // SAFETY: null, or what the task waits by, in the same frame.
        unsafe { self.claim.as_ref() }.is_none_or(|claim| claim.claim(self.number))
    }
}

/// The list.
pub(super) struct WaitList<T> {
    head: *const Waiter<T>,
    tail: *const Waiter<T>,
}

// SAFETY: the waiters are reached under the list's lock only, and what they hold is for that.
unsafe impl<T> Send for WaitList<T> {}

impl<T> WaitList<T> {
    pub const fn new() -> WaitList<T> {
        WaitList { head: ptr::null(), tail: ptr::null() }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// # Safety
    /// `waiter` is in no list, and stays where it is until it is in none again: until somebody has
    /// readied its task, or [`WaitList::remove`].
    #[inline]
    pub unsafe fn push(&mut self, waiter: &Waiter<T>) {
        waiter.prev.set(self.tail);
        waiter.next.set(ptr::null());
        waiter.queued.set(true);
        // SAFETY: null, or in the list and so alive.
        match unsafe { self.tail.as_ref() } {
            Some(tail) => tail.next.set(waiter),
            None => self.head = waiter,
        }
        self.tail = waiter;
    }

    /// Takes `waiter` out if it is in. For its task, under the list's lock.
    #[inline]
    pub fn remove(&mut self, waiter: &Waiter<T>) {
        if !waiter.queued.replace(false) {
            return;
        }
        let (prev, next) = (waiter.prev.get(), waiter.next.get());
        // SAFETY: null, or in the list and so alive; the same below.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.next.set(next),
            None => self.head = next,
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            Some(next) => next.prev.set(prev),
            None => self.tail = prev,
        }
    }

    /// Takes out and claims the first of which `fits` is true. Stops at one that can be claimed and
    /// does not fit.
    #[inline]
    pub fn pop_if(&mut self, fits: impl Fn(&T) -> bool) -> Option<Popped<T>> {
        loop {
            // SAFETY: what is in the list is alive.
            let waiter = unsafe { self.head.as_ref() }?;
            if !fits(&waiter.data) {
                return None;
            }
            self.remove(waiter);
            if waiter.claim() {
                return Some(Popped(waiter));
            }
        }
    }

    /// Takes out and claims the first.
    #[inline]
    pub fn pop(&mut self) -> Option<Popped<T>> {
        self.pop_if(|_| true)
    }

    /// Takes out and claims all.
    pub fn take_all(&mut self) -> Woken<T> {
        let mut woken = Woken::new();
        while let Some(popped) = self.pop() {
            woken.push(popped);
        }
        woken
    }
}

/// A claimed waiter. Its task sleeps until it is readied, which must be done, once.
#[must_use]
pub(super) struct Popped<T>(*const Waiter<T>);

impl<T> Popped<T> {
    /// What the task told of its wait.
    #[inline]
    pub fn data(&self) -> &T {
        // SAFETY: the task sleeps in the frame of its waiter until `ready`, which takes `self`.
        unsafe { &(*self.0).data }
    }

    /// Lets the task go on. No lock should be held that it will want at once.
    #[inline]
    pub fn ready(self) {
        // SAFETY: as above.
        let g = unsafe { (*self.0).g };
        goready(g);
    }
}

/// Claimed waiters, in order.
#[must_use]
pub(super) struct Woken<T> {
    head: *const Waiter<T>,
    tail: *const Waiter<T>,
}

impl<T> Woken<T> {
    pub fn new() -> Woken<T> {
        Woken { head: ptr::null(), tail: ptr::null() }
    }

    pub fn push(&mut self, Popped(waiter): Popped<T>) {
        // SAFETY: claimed, so its task sleeps until it is readied, which is up to this list; so is that
        // of the tail.
        unsafe {
            (*waiter).next.set(ptr::null());
            match self.tail.as_ref() {
                Some(tail) => tail.next.set(waiter),
                None => self.head = waiter,
            }
        }
        self.tail = waiter;
    }

    /// Lets them all go on.
    pub fn ready(self) {
        let mut at = self.head;
        // SAFETY: null or claimed by us, and its link is read before its task can leave the frame.
        while let Some(waiter) = unsafe { at.as_ref() } {
            at = waiter.next.get();
            goready(waiter.g);
        }
    }
}
