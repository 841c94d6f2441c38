//! Go's network poller and goroutine scheduler for freestanding Linux programs: no std, no libc.
#![cfg_attr(not(any(test, loom)), no_std)]

#[path = "../arch/mod.rs"]
pub mod arch;
mod atomic;
#[cfg(all(feature = "rt", not(loom)))]
pub mod io;
mod lock;
#[cfg(all(loom, test))]
mod model;
#[cfg(all(feature = "rt", not(loom)))]
pub mod net;
pub mod poll;
#[cfg(all(feature = "rt", not(loom)))]
pub mod rt;
#[cfg(all(feature = "rt", not(loom)))]
mod sched;
#[cfg(all(feature = "rt", not(loom)))]
pub mod sync;
pub mod sys;
#[cfg(all(feature = "rt", not(loom)))]
pub mod time;
pub mod timer;

#[cfg(all(feature = "rt", not(loom)))]
pub use sched::{Builder, JoinHandle, Scope, ScopedJoinHandle, TaskId, scope, spawn, yield_now};
