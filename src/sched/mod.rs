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
//! | `owner.rs`, `role.rs` | who has a P; who blocks in the poller |
//! | `proc.rs` | park and ready, begin and end, the queues |
//! | `schedule.rs` | the loop of a thread: what runs next, and who sleeps, polls or looks for work |
//! | `state.rs` | what all threads share: idle Ps and threads, the queue of all |
//! | `threads.rs` | what several threads need: starting them, handing over, stealing |
//! | `sysmon.rs` | the monitor: preemption, and a poll when nobody else polls |
//! | `blocking.rs` | calls that block their thread, or may |
//! | `retake.rs` | what the monitor does about those that do, and how often it looks |
//! | `masks.rs` | which signals the threads block |
//! | `task.rs`, `join.rs`, `scope.rs` | spawn and join |
//! | `life.rs`, `spare.rs` | what a task is given and leaves; spare blocks and stacks |
//! | `stack.rs`, `fault.rs` | stacks; what is reported at their end and of other faults |
//! | `depth.rs` | how much of them was used |
//! | `sema.rs` | semaphores that park |
//! | `freelist.rs` | slots that are used again and again |
//! | `poller.rs`, `waiter.rs` | the poller's view of this scheduler and the one poller; the words it holds |
//! | `dump.rs` | counts, and a list of all tasks |
//!
//! Several threads, the monitor and the poller are each reached through a table of functions
//! ([`state::set_poller`] and its like), so that a program that uses none of them has none in its file.

mod blocking;
mod depth;
mod dump;
mod fault;
pub(crate) mod freelist;
pub(crate) mod g;
mod join;
mod life;
mod m;
pub(crate) mod masks;
mod owner;
pub(crate) mod p;
pub(crate) mod poller;
pub(crate) mod proc;
mod retake;
mod role;
mod runq;
pub(crate) mod schedule;
mod scope;
mod search;
pub(crate) mod sema;
pub(crate) mod spare;
mod stack;
mod state;
mod sysmon;
mod task;
mod threads;
pub(crate) mod waiter;

pub use blocking::{blocking, syscall};
pub use dump::{Metrics, dump_tasks, metrics};
pub use g::TaskId;
pub use proc::yield_now;
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use task::{Builder, JoinHandle, spawn};
