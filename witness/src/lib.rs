//! Every system call that a program or a closure makes, as the kernel sees it.
//!
//! The program runs as a traced child (ptrace(2)), with all threads and processes that it starts. What comes
//! back is a [`Trace`]: for each call its number, six registers, the instruction's address, the thread, the
//! result and the time it took, and what the arguments mean: flags by name, strings, socket addresses and
//! other structures read from the child's memory. A test asserts on it; what fails is printed as a diff.
//!
//! ```
//! let trace = witness::closure(|| {
//!     // SAFETY: numbers only.
//!     unsafe { libc::close(-7) };
//! })?;
//! trace.assert_sequence([witness::call("close").int(0, -7).fails(libc::EBADF)]);
//! # std::io::Result::Ok(())
//! ```
//!
//! A server is traced while a client talks to it: [`Witness::spawn`], [`Running::mark`], [`Trace::since`].
//! From a run that did all that a program does comes the [`Filter`] that allows no more: [`Trace::filter`].
//!
//! Linux 5.3 on x86_64. A traced call is some 10 microseconds slower, so times are for comparison only. A
//! process is traced by one other: no debugger beside it. vDSO functions are no system calls, and not seen.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod check;
mod decode;
mod filter;
mod names;
mod run;
mod signature;
mod tracer;

pub use check::{Expected, call};
pub use filter::Filter;
pub use run::{Running, Witness, closure};

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a system call came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It returned this.
    Value(i64),
    /// It failed with this error number, positive.
    Error(i32),
    /// It has not returned: the thread ended in it, or it lasts still.
    Pending,
}

/// One system call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its number.
    pub nr: u64,
    /// The registers `rdi`, `rsi`, `rdx`, `r10`, `r8`, `r9` at the entry. A call reads no more of them than it
    /// has arguments; the others hold anything.
    pub args: [u64; 6],
    /// The address behind the `syscall` instruction.
    pub ip: u64,
    /// The thread that made it, by its number in the tracer's PID namespace.
    pub thread: i32,
    /// When it was entered, counted from the start of the trace.
    pub at: Duration,
    /// From entry to exit, with what the tracer took; zero for a call that never returned.
    pub took: Duration,
    /// What came of it.
    pub outcome: Outcome,
    /// The arguments as text, as many as the call is known to have (six, for one that is not known).
    pub shown: Vec<String>,
}

impl Call {
    /// The name, as in the manual, or `call_N` for a number without one.
    pub fn name(&self) -> String {
        names::call(self.nr)
    }

    /// The result, if the call has returned without an error.
    pub fn value(&self) -> Option<i64> {
        match self.outcome {
            Outcome::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// As strace(1) prints it: `close(-7) = -1 EBADF`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}) = ", self.name(), self.shown.join(", "))?;
        match self.outcome {
            Outcome::Value(value) if signature::returns_address(self.nr) => write!(f, "{value:#x}"),
            Outcome::Value(value) => write!(f, "{value}"),
            Outcome::Error(error) => write!(f, "-1 {}", names::error(error)),
            Outcome::Pending => f.write_str("?"),
        }
    }
}

/// How the traced process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// What a run has made of calls, in the order in which they were entered.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The calls of all threads.
    pub calls: Vec<Call>,
    /// How the process ended.
    pub end: End,
}

impl Trace {
    /// The calls from number `mark` on: see [`Running::mark`].
    pub fn since(&self, mark: usize) -> Trace {
        Trace { calls: self.calls.get(mark..).unwrap_or_default().to_vec(), end: self.end }
    }

    /// The calls that `which` says yes to.
    pub fn only(&self, which: impl Fn(&Call) -> bool) -> Trace {
        Trace { calls: self.calls.iter().filter(|call| which(call)).cloned().collect(), end: self.end }
    }

    /// How often each call was made, by name.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.calls {
            *counts.entry(call.name()).or_default() += 1;
        }
        counts
    }

    /// What allows the calls in this trace and no others, the most frequent first.
    pub fn filter(&self) -> Filter {
        let mut counts = BTreeMap::<u64, usize>::new();
        for call in &self.calls {
            *counts.entry(call.nr).or_default() += 1;
        }
        let mut numbers: Vec<_> = counts.into_iter().collect();
        numbers.sort_by_key(|&(nr, count)| (std::cmp::Reverse(count), nr));
        Filter::allow(numbers.into_iter().map(|(nr, _)| nr as u32))
    }

    /// A line for each call that was made: how often, with how many errors, how long in all.
    pub fn table(&self) -> String {
        #[derive(Default)]
        struct Row {
            calls: usize,
            errors: usize,
            took: Duration,
        }
        let mut rows = BTreeMap::<u64, Row>::new();
        for call in &self.calls {
            let row = rows.entry(call.nr).or_default();
            row.calls += 1;
            row.errors += usize::from(matches!(call.outcome, Outcome::Error(_)));
            row.took += call.took;
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_by_key(|(nr, row)| (std::cmp::Reverse(row.calls), *nr));
        let mut table = format!("{:>9} {:>7} {:>12}  {:>4} call\n", "calls", "errors", "ms", "nr");
        for (nr, Row { calls, errors, took }) in &rows {
            let ms = took.as_secs_f64() * 1e3;
            table += &format!("{calls:>9} {errors:>7} {ms:>12.3}  {nr:>4} {}\n", names::call(*nr));
        }
        table
    }
}
