//! What of this module runs under the model checker: the same files over a [`park`] of loom's threads.

#[macro_use]
mod const_fn;

#[path = "memory_model.rs"]
mod memory;
#[path = "park_model.rs"]
mod park;

/// As `sched` has them, for `waiter.rs`.
mod g {
    pub(crate) use super::park::{GQueue, Gp};
}
/// Chance is no thread: the order of trying is always the same.
mod random {
    pub(super) fn below(_: usize) -> usize {
        0
    }
}
#[path = "../sched/waiter.rs"]
mod waiter;

mod chan;
mod claimant;
mod mutex;
mod once;
mod rwlock;
mod select_model;
mod selectgo;
mod semaphore;
mod waitgroup;
mod waitlist;
