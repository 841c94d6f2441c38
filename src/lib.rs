//! Go's network poller and goroutine scheduler for freestanding Linux programs: no std, no libc.
#![cfg_attr(not(any(test, loom)), no_std)]

#[path = "../arch/mod.rs"]
pub mod arch;
mod atomic;
mod lock;
pub mod poll;
#[cfg(feature = "rt")]
pub mod rt;
pub mod sys;
pub mod timer;
