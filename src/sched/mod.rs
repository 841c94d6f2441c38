//! The scheduler: tasks (`G`), threads (`M`), and what a thread needs to run tasks (`P`), after Go's.
//!
//! A task is a closure on a stack of its own. It runs until it parks ([`proc::gopark`]), yields, returns
//! or is preempted; its thread then switches to its scheduler stack (`g0`), finishes what the task asked
//! for there, where the task's stack is no longer in use, and takes the next task: from the run queue of
//! its P, from that of all, from another P's. A thread that finds none gives its P up; one such thread
//! blocks in [`Netpoll::netpoll`](crate::poll::Netpoll::netpoll), the others sleep.
//!
//! | file | what |
//! |---|---|
//! | `g.rs`, `m.rs`, `p.rs` | the control blocks of tasks, threads, and what a thread runs tasks with |
//! | `runq.rs`, `search.rs` | a P's run queue; who looks for work |
//! | `proc.rs` | park and ready, new and dead tasks, the queues |
//! | `schedule.rs` | the loop of a thread: what runs next, and who sleeps, polls or looks for work |
//! | `state.rs` | what all threads share: idle Ps and threads, the queue of all |
//! | `threads.rs` | what several threads need: starting them, handing over, stealing |
//! | `sysmon.rs` | the monitor: preemption, and a poll when nobody else polls |
//! | `blocking.rs` | calls that block their thread |
//! | `masks.rs` | which signals the threads block |
//! | `task.rs`, `join.rs`, `scope.rs` | spawn and join |
//! | `stack.rs`, `overflow.rs` | stacks, and what happens at their end |
//! | `sema.rs` | semaphores that park |
//! | `poller.rs` | the poller's view of this scheduler, and the one poller |
//! | `dump.rs` | counts, and a list of all tasks |
//!
//! Several threads, the monitor and the poller are each reached through a table of functions
//! ([`state::set_poller`] and its like), so that a program that uses none of them has none in its file.

mod blocking;
mod dump;
pub(crate) mod g;
mod join;
mod m;
pub(crate) mod masks;
mod overflow;
mod p;
pub(crate) mod poller;
pub(crate) mod proc;
mod runq;
pub(crate) mod schedule;
mod scope;
mod search;
pub(crate) mod sema;
mod stack;
mod state;
mod sysmon;
mod task;
mod threads;

pub use blocking::blocking;
pub use dump::{Metrics, dump_tasks, metrics};
pub use g::TaskId;
pub use proc::yield_now;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use task::{Builder, JoinHandle, spawn};
