//! What a `select!` leaves with the poller for each descriptor it waits for.
//!
//! The record lies in the frame of the task. Whoever takes its word out of the poller (an event, a deadline,
//! a close) claims the task with it, and may come too late: then another arm has won, and the task, whose
//! word is not there any more when it wants it back, waits until that visitor is [`done`](Claimant::done)
//! with the frame. An edge is not lost with a claim, for it stays in the descriptor's semaphore.

use super::park::{Gp, OneOf, WaitWord};
use super::waitlist::{ClaimWord, Claimed};
use crate::atomic::{AtomicU32, Ordering};
use core::ptr::NonNull;

#[repr(C)]
pub(super) struct Claimant {
    head: OneOf,
    g: Gp,
    claim: *const ClaimWord,
    number: u32,
    /// Whoever took the word out will not touch this frame again.
    done: AtomicU32,
}

impl Claimant {
    /// Claims task `g`, by `claim`, for the party called `number`.
    pub fn new(g: Gp, claim: &ClaimWord, number: u32) -> Claimant {
        Claimant { head: OneOf { claim: Self::claim }, g, claim, number, done: AtomicU32::new(0) }
    }

    /// For the poller.
    ///
    /// # Safety
    /// This record and its claim word stay until the word was taken back from the poller, or until
    /// [`Claimant::done`].
    pub unsafe fn word(&self) -> WaitWord {
        // SAFETY: the head comes first; the caller's contract.
        unsafe { WaitWord::one_of(NonNull::from(self).cast()) }
    }

    unsafe fn claim(head: NonNull<OneOf>) -> Option<Gp> {
        // SAFETY: the head of a `Claimant` that stays until `done` is set (contract of `word`).
        unsafe {
            let this = head.cast::<Claimant>().as_ref();
            let g = this.g;
            let claimed = (*this.claim).claim_early(this.number);
            // The last touch. A task that this has readied would wait otherwise, too.
            this.done.store(1, Ordering::Release);
            (claimed == Claimed::Parked).then_some(g)
        }
    }

    /// For the task itself, when its word is no longer with the poller.
    pub fn done(&self) -> bool {
        self.done.load(Ordering::Acquire) != 0
    }
}
