//! What of this module runs under the model checker: the same files over a [`park`] of loom's threads.

#[macro_use]
mod const_fn;

#[path = "memory_model.rs"]
mod memory;
#[path = "park_model.rs"]
mod park;

mod chan;
mod mutex;
mod once;
mod rwlock;
mod semaphore;
mod waitgroup;
mod waitlist;
