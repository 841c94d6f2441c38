//! What the poller holds for this scheduler: a word that is a parked task, or stands for one thing of
//! several that a task waits for.

use super::g::{GQueue, Gp};
use crate::poll::{Waiter, WakeList};
use core::ptr::NonNull;

/// The address of a task or, with the lowest bit set, of a [`OneOf`]. Both are aligned, so the bit is free.
#[derive(Clone, Copy)]
pub(crate) struct WaitWord(usize);

const ONE_OF: usize = 1;

/// The head of a record that a task, in its frame, leaves with the poller ([`WaitWord::one_of`]).
///
/// A function, so that a program that never waits for several things has nothing of it in its file.
#[repr(align(8))]
pub(crate) struct OneOf {
    /// Called once, with the record, by whoever took the word out of the poller: the task it has to ready,
    /// if there is one. The task leaves the frame only when it is readied, or the record says that this
    /// call has come to its end.
    pub claim: unsafe fn(NonNull<OneOf>) -> Option<Gp>,
}

impl WaitWord {
    /// # Safety
    /// `record` begins with this head, and its task stays in the frame until it has taken the word back
    /// from the poller, or `claim` has ended.
    pub unsafe fn one_of(record: NonNull<OneOf>) -> WaitWord {
        WaitWord(record.as_ptr().expose_provenance() | ONE_OF)
    }

    /// Whom to ready, now that the word is out of the poller. Once.
    #[inline]
    pub fn claim(self) -> Option<Gp> {
        if self.0 & ONE_OF != 0 {
            return self.claim_one_of();
        }
        // SAFETY: the other kind of word, from a `Gp`.
        Some(unsafe { Gp::from_word(self.0) })
    }

    #[inline]
    fn claim_one_of(self) -> Option<Gp> {
        let record = core::ptr::with_exposed_provenance_mut::<OneOf>(self.0 & !ONE_OF);
        // SAFETY: the word of a record whose task waits for this call (contract of `one_of`).
        unsafe {
            let record = NonNull::new_unchecked(record);
            (record.as_ref().claim)(record)
        }
    }

    /// For dumps: the address of a record, if a word of the poller's is one. The record may be gone.
    pub fn record(word: usize) -> Option<usize> {
        (word & ONE_OF != 0).then_some(word & !ONE_OF)
    }
}

impl From<Gp> for WaitWord {
    #[inline]
    fn from(g: Gp) -> WaitWord {
        WaitWord(g.into_word())
    }
}

// SAFETY: aligned addresses, with the bit or without, are above 2.
unsafe impl Waiter for WaitWord {
    #[inline]
    fn into_word(self) -> usize {
        self.0
    }

    #[inline]
    unsafe fn from_word(word: usize) -> WaitWord {
        WaitWord(word)
    }
}

/// The woken come back in the order of their events, without those that somebody else has woken.
impl WakeList<WaitWord> for GQueue {
    #[inline]
    fn push(&mut self, waiter: WaitWord) {
        if let Some(g) = waiter.claim() {
            self.push_back(g);
        }
    }
}
