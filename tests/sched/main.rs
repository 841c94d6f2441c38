//! The scheduler with one thread, two, and more than there are CPUs: who runs when, what preemption
//! leaves alone, what ends a program. The scenarios are programs (`tests/programs`) that assert from
//! within, run with `NETPOLL_THREADS` set.
//!
//! One scenario runs at a time: several would be as many loads on the others, which are slow enough with eight threads.

#[path = "../runtime/harness.rs"]
#[allow(dead_code, unused_macros)] // that other target uses more of it
#[macro_use]
mod harness;
mod crowds;
mod life;
mod outside;
mod parallel;
mod preempted;
mod signals;
mod syscalls;
mod timers;

use harness::{Outcome, Profile, finish_within, scenario};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What `NETPOLL_THREADS` is tried with.
const THREADS: [&str; 3] = ["1", "2", "8"];

/// A scenario that takes this long hangs, on the slowest machine. The longest takes three seconds on an idle one.
const LIMIT: Duration = Duration::from_secs(150);

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner) // a failed test says nothing about the others
}

/// A scenario with so many threads, which are also its first word.
fn with_threads(profile: Profile, name: &str, threads: &str) -> Command {
    let mut command = scenario(profile, name);
    command.arg(threads).env("NETPOLL_THREADS", threads);
    command
}

#[track_caller]
fn run(mut command: Command) -> Outcome {
    let child = command.spawn().unwrap();
    finish_within(child, LIMIT).unwrap_or_else(|outcome| panic!("{command:?} hangs: {outcome:?}"))
}

/// The scenario asserts from within, and ends well.
#[track_caller]
fn passes(name: &str, profiles: &[Profile], threads: &[&str]) {
    let _one = one_at_a_time();
    for &profile in profiles {
        for threads in threads {
            let outcome = run(with_threads(profile, name, threads));
            assert_eq!(outcome.status.code(), Some(0), "{name}, {threads} threads, {profile:?}: {outcome:?}");
            assert_eq!((&*outcome.stdout, &*outcome.stderr), (&*format!("ok {name}\n"), ""));
        }
    }
}

/// A test for each of these scenarios, in these profiles, with these numbers of threads.
macro_rules! each {
    ($profiles:expr, $threads:expr; $($name:ident)*) => {$(
        #[test]
        fn $name() {
            $crate::passes(stringify!($name), &$profiles, &$threads);
        }
    )*};
}
use each;
