//! A look into the running program.
//!
//! SIGQUIT prints what [`dump_tasks`] prints and ends the program with status 2, once it has a second
//! task, a descriptor or a timer, and unless it was made without preemption.

pub use crate::sched::{Metrics, dump_tasks, metrics};
