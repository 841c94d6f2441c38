//! The scheduler: tasks (`G`), threads (`M`), and what a thread needs to run tasks (`P`), after Go's.
//!
//! A task is a closure on a stack of its own. It runs until it parks ([`proc::gopark`]), yields or
//! returns; its thread then switches to its scheduler stack (`g0`), finishes what the task asked for
//! there, where the task's stack is no longer in use, and takes the next task from the run queue. With
//! nothing to run it blocks in [`Netpoll::netpoll`](crate::poll::Netpoll::netpoll).
//!
//! | file | what |
//! |---|---|
//! | `g.rs` | the control block, its status, the intrusive lists |
//! | `proc.rs` | park and ready, the run queues, the loop |
//! | `threads.rs` | what several threads need: starting them, stealing |
//! | `task.rs`, `join.rs`, `scope.rs` | spawn and join |
//! | `stack.rs`, `overflow.rs` | stacks, and what happens at their end |
//! | `sema.rs` | semaphores that park |
//! | `poller.rs` | the poller's view of this scheduler, and the one poller |
//!
//! This version runs all tasks on one thread. The types are those of many.

mod blocking;
mod dump;
pub(crate) mod g;
mod join;
mod m;
mod overflow;
mod p;
pub(crate) mod poller;
pub(crate) mod proc;
mod runq;
mod scope;
pub(crate) mod sema;
mod stack;
mod sysmon;
mod task;
mod threads;

pub use blocking::blocking;
pub use dump::{Metrics, dump_tasks, metrics};
pub use g::TaskId;
pub use proc::yield_now;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use task::{Builder, JoinHandle, spawn};
