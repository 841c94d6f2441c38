//! The network poller: Go's `netpoll` as a value, for any scheduler.
//!
//! A [`PollDesc`] stands for one descriptor registered with epoll, once, edge triggered. For each
//! direction the poller holds a one-bit semaphore: *ready* (an edge came and nobody has used it yet), or the
//! task that waits for the edge. [`Netpoll::netpoll`] asks the kernel for edges and hands back the
//! tasks they wake; closing and deadlines wake them without an edge.
//!
//! No use of the poller in safe code, right or wrong, is undefined behaviour. A [`PollDesc`] is compared with the
//! registration that it names; what the poller believes of its kernel and of its waiters is in the contracts of two
//! `unsafe` traits, [`Kernel`] and [`Waiter`], which [`Linux`] and references (`&T`) keep. So an embedder that has these
//! needs no `unsafe` itself.
//!
//! The poller knows no scheduler and no operating system. It reaches the one through [`Scheduler`]
//! (park the current task, make a task runnable) and the other through [`Kernel`] (epoll, a clock,
//! memory), so the same source runs under the runtime, under an embedder's loop, against a fake
//! kernel with a virtual clock, and under the loom model checker.
//!
//! # How one wait goes
//! ```text
//! owner of the direction                      poll thread
//!   reset(pd)      checks, semaphore := nil
//!   read(fd)  -> EAGAIN
//!   wait(pd)       nil -> wait, checks again
//!                  park: wait -> task           epoll_pwait returns the edge
//!                                               task -> ready, task to the list
//!   runs again     ready -> nil
//!   read(fd)  -> data
//! ```
//!
//! A task that waits for several things at once does not park here: it puts a word into each semaphore
//! ([`Netpoll::enlist`]), parks by itself, and takes back what nobody has taken ([`Netpoll::withdraw`]).
//!
//! # Orderings
//! Pairs of "store mine, then load yours" keep wake-ups from being lost. Both sides of each are
//! `SeqCst`; acquire and release alone would lose one now and then (golang/go#45211).
//! * waiter: semaphore := wait (in `enlist`: the word), then load the info word / closer, deadline: store
//!   info, then swap the semaphore.
//! * breaker: publish work, then set the wake flag / poller: clear the flag, then look for work. Both
//!   by a swap, so that the work itself needs no more than a lock or a release store.
//! * sleeper: count itself, then load the wake flag / eater of a break event: load the count after
//!   the flag was set ([`Netpoll::break_`]).
//!
//! Lock order: slot < heap of timers < timer, and slot < poll cache. No lock is held while a task is readied or parked.

mod breaks;
mod cache;
mod close;
mod deadline;
mod desc;
mod kernel;
#[cfg(all(test, loom))]
pub(crate) mod model;
mod netpoll;
mod slot;
mod stats;
mod wait;

pub use deadline::Side;
pub use desc::PollDesc;
#[cfg(all(feature = "rt", not(loom)))]
pub(crate) use kernel::above_stdio;
pub use kernel::{Clock, Kernel, Linux, SystemCall, timeout_ms};
#[cfg(any(feature = "rt", loom))]
pub(crate) use netpoll::Registered;
pub use netpoll::{EVENTS, Netpoll};
pub use slot::Mode;
#[cfg(all(feature = "rt", not(loom)))]
pub(crate) use slot::Slot;
pub use stats::Stats;

use crate::sys::{Call, Errno};
use core::fmt;

/// What waits, one machine word: a task's address, an index, a boxed waker; or, for a scheduler that uses
/// [`Netpoll::enlist`], something from which it finds out whether there is still a task to wake.
///
/// References to what threads may share are waiters, and need no `unsafe`: `&'static Task`, say. Not so to what they may
/// not:
///
/// ```
/// # use netpoll::poll::Waiter;
/// # fn is_waiter<W: Waiter>() {}
/// is_waiter::<&core::sync::atomic::AtomicU64>();
/// ```
///
/// ```compile_fail
/// # use netpoll::poll::Waiter;
/// # fn is_waiter<W: Waiter>() {}
/// is_waiter::<&core::cell::Cell<u64>>();
/// ```
///
/// A waiter is `Copy`, so nothing but its own type keeps safe code from putting it in twice, or from calling
/// [`Scheduler::ready`] with it. Hence a scheduler that has to rely on more than a reference says, as that a task is
/// still there, or readied once, needs a type of waiters that safe code cannot make, which a pointer is not.
///
/// # Safety
/// * `from_word(into_word(w))` must be `w` again, also on another thread than the one that parked: a waiter is `Send`,
///   whether that is declared or not.
/// * The word must be none of 0, 1 and 2, which the semaphores use for nil, ready and wait. Two waiters with the same
///   word are the same one.
pub unsafe trait Waiter: Copy {
    /// It as a word greater than 2.
    fn into_word(self) -> usize;

    /// The waiter whose word it is.
    ///
    /// # Safety
    /// `word` must have come from [`Waiter::into_word`], and is turned back exactly once for each park
    /// (or [`Netpoll::enlist`]).
    unsafe fn from_word(word: usize) -> Self;
}

/// Of what is aligned to 4 bytes or more.
// SAFETY: an address of something aligned to 4 or more is above 2. A reference survives the trip as long as its lifetime
// lasts, which is part of the poller's type and cannot be another one there (`Netpoll::waiter`); and it may be used in
// any thread, since `T` is `Sync`.
unsafe impl<T: Sync> Waiter for &T {
    fn into_word(self) -> usize {
        const { assert!(align_of::<T>() >= 4) };
        core::ptr::from_ref(self).expose_provenance()
    }

    unsafe fn from_word(word: usize) -> Self {
        // SAFETY: the word came from a reference of this type (contract).
        unsafe { &*core::ptr::with_exposed_provenance(word) }
    }
}

/// Of what is aligned to 4 bytes or more. A pointer says nothing of what is there: see above.
// SAFETY: an address of something aligned to 4 or more is above 2, and a pointer survives the trip.
unsafe impl<T> Waiter for core::ptr::NonNull<T> {
    fn into_word(self) -> usize {
        const { assert!(align_of::<T>() >= 4) };
        self.as_ptr().expose_provenance()
    }

    unsafe fn from_word(word: usize) -> Self {
        // SAFETY: the word came from a non-null pointer (contract).
        unsafe { Self::new_unchecked(core::ptr::with_exposed_provenance_mut(word)) }
    }
}

/// Collects the woken, in the order of their events. A waiter that turns out to have nobody to wake may be
/// left out.
pub trait WakeList<W>: Default {
    /// Appends `waiter`. It must not call the poller, which may hold the lock of a slot.
    fn push(&mut self, waiter: W);
}

/// What the poller needs of a scheduler.
///
/// It is not believed: a park that returns without having been readied, that calls nothing, or a `ready` that does
/// nothing makes waits fail by [`Error::Busy`], or last for ever.
pub trait Scheduler {
    /// A task of this scheduler, or what stands for one.
    type Waiter: Waiter;
    /// What [`Netpoll::netpoll`] returns the woken in.
    type List: WakeList<Self::Waiter>;

    /// Parks the calling task until somebody readies it (Go: `gopark`).
    ///
    /// The task must first be off its stack, or otherwise be safe to resume from another thread; then
    /// `commit` is called with it, exactly once. If it returns `false`, there is nothing to wait for
    /// and the task goes on at once; if `true`, the task may be readied from that moment on, even
    /// before `commit` has returned.
    fn park(&self, commit: impl FnOnce(Self::Waiter) -> bool);

    /// Makes a parked task runnable (Go: `goready`), if it still waits for this. Called without locks, from
    /// any thread.
    fn ready(&self, waiter: Self::Waiter);

    /// Which of the poller's heaps a timer goes into that the calling thread sets. A bare poller has one.
    fn shard(&self) -> usize {
        0
    }
}

/// Why a wait ended without an edge, or an operation of the poller failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The descriptor is being closed, or has been (Go: `pollErrClosing`); or it is registered with another poller, and
    /// this one has none by that handle.
    Closing,
    /// The deadline of this direction has passed (Go: `pollErrTimeout`).
    Timeout,
    /// The descriptor reports nothing but an error, so that waiting to read it is hopeless
    /// (Go: `pollErrNotPollable`).
    NotPollable,
    /// Another task waits in this direction already (Go aborts: "double wait").
    Busy,
    /// A system call failed: its name, and how.
    Os(Call, Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Closing => f.write_str("use of closed descriptor"),
            Error::Timeout => f.write_str("deadline passed"),
            Error::NotPollable => f.write_str("not pollable"),
            Error::Busy => f.write_str("another task waits in this direction"),
            Error::Os(call, errno) => write!(f, "{}: {errno:?}", call.name()),
        }
    }
}

impl core::error::Error for Error {}
