//! What of this module runs under the model checker: the same files over a [`park`] of loom's threads.

#[path = "park_model.rs"]
mod park;

mod mutex;
mod once;
mod rwlock;
mod semaphore;
mod waitgroup;
mod waitlist;
