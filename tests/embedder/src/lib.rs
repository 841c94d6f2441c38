//! An event loop whose tasks are state machines: without stacks, without an allocator, without std.
//!
//! A task is a node that its owner has somewhere. To wait, it is put into a descriptor's semaphore
//! (`Netpoll::enlist`) and is the poller's from then on, until [`wait`] hands it back.
#![no_std]

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use netpoll::poll::{Error, Linux, Mode, Netpoll, PollDesc, Scheduler, Waiter, WakeList};

/// What waits. The owner's while it is in no semaphore and in no list.
#[repr(C)]
pub struct Task {
    next: *mut Task,
}

impl Task {
    pub const fn new() -> Task {
        Task { next: ptr::null_mut() }
    }
}

impl Default for Task {
    fn default() -> Task {
        Task::new()
    }
}

/// A task that is the poller's, or in a list: only [`arm`] and [`ready`] make one, whose callers promise what is relied
/// on here.
#[derive(Clone, Copy)]
pub struct Armed(NonNull<Task>);

// SAFETY: a pointer is, and the threads that hand it on use it one after the other.
unsafe impl Waiter for Armed {
    fn into_word(self) -> usize {
        self.0.into_word()
    }

    unsafe fn from_word(word: usize) -> Armed {
        // SAFETY: the same contract.
        Armed(unsafe { NonNull::from_word(word) })
    }
}

/// Tasks that can go on, in order, linked through themselves.
pub struct Chain {
    first: *mut Task,
    last: *mut Task,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { first: ptr::null_mut(), last: ptr::null_mut() }
    }
}

impl Chain {
    /// The first, which has the others behind it; null if there is none. They are the caller's.
    pub fn first(self) -> *mut Task {
        self.first
    }
}

impl WakeList<Armed> for Chain {
    fn push(&mut self, Armed(task): Armed) {
        let task = task.as_ptr();
        // SAFETY: what is woken is in no other list, and its owner does not touch it.
        unsafe { (*task).next = ptr::null_mut() };
        if self.first.is_null() {
            self.first = task;
        } else {
            // SAFETY: as above.
            unsafe { (*self.last).next = task };
        }
        self.last = task;
    }
}

impl Iterator for Chain {
    type Item = NonNull<Task>;

    fn next(&mut self) -> Option<NonNull<Task>> {
        let task = NonNull::new(self.first)?;
        // SAFETY: it is in this list, and no longer from here on.
        self.first = unsafe { task.as_ref() }.next;
        Some(task)
    }
}

/// Those that something other than an event has woken, a close or another thread: newest first.
pub struct Loop {
    woken: AtomicPtr<Task>,
}

impl Scheduler for Loop {
    type Waiter = Armed;
    type List = Chain;

    fn park(&self, _: impl FnOnce(Armed) -> bool) {
        unreachable!("a task without a stack cannot be parked: it is enlisted");
    }

    fn ready(&self, Armed(task): Armed) {
        let task = task.as_ptr();
        let mut first = self.woken.load(Ordering::Relaxed);
        loop {
            // SAFETY: as in `Chain::push`.
            unsafe { (*task).next = first };
            // Release: the thread that takes the list sees the links.
            match self.woken.compare_exchange_weak(first, task, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }
}

/// The process's poller.
pub static POLLER: Netpoll<Linux, Loop> =
    Netpoll::new(Linux::new(), Loop { woken: AtomicPtr::new(ptr::null_mut()) });

/// Has `task` wait for direction `mode`. `false`: it need not, something has come since the last time.
///
/// # Errors
/// Those of `Netpoll::enlist`.
///
/// # Safety
/// `task` is in no semaphore and in no list, and stays where it is until [`wait`] returns it.
pub unsafe fn arm(pd: PollDesc, mode: Mode, task: NonNull<Task>) -> Result<bool, Error> {
    loop {
        if POLLER.enlist(pd, mode, Armed(task))? {
            return Ok(true);
        }
        if POLLER.take_edge(pd, mode)? {
            return Ok(false);
        }
    }
}

/// Hands `task` to the loop, from any thread.
///
/// # Errors
/// Those of `Netpoll::break_`.
///
/// # Safety
/// As [`arm`].
pub unsafe fn ready(task: NonNull<Task>) -> Result<(), Error> {
    POLLER.scheduler().ready(Armed(task));
    POLLER.break_()
}

/// Waits until a task can go on, for at most `nanos` (-1: no limit). One thread at a time calls this.
///
/// # Errors
/// Those of `Netpoll::netpoll`.
pub fn wait(nanos: i64) -> Result<Chain, Error> {
    let mut chain = woken();
    // `ready` breaks the sleep off, also one that has not begun.
    let delay = if chain.first.is_null() { nanos } else { 0 };
    let (events, delta) = POLLER.netpoll(delay)?;
    POLLER.adjust_waiters(delta);
    events.chain(woken()).for_each(|task| chain.push(Armed(task)));
    Ok(chain)
}

/// Those of [`Loop::woken`], oldest first.
fn woken() -> Chain {
    let mut first = POLLER.scheduler().woken.swap(ptr::null_mut(), Ordering::Acquire);
    let mut reversed = ptr::null_mut();
    let last = first;
    while let Some(task) = NonNull::new(first) {
        // SAFETY: the list was taken as a whole: it is ours.
        first = core::mem::replace(unsafe { &mut (*task.as_ptr()).next }, reversed);
        reversed = task.as_ptr();
    }
    Chain { first: reversed, last }
}
