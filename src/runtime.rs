//! A look into the running program.
//!
//! SIGQUIT prints what [`dump_tasks`] prints and ends the program with status 2, once it has opened a
//! descriptor or set a timer.

pub use crate::sched::{Metrics, dump_tasks, metrics};
