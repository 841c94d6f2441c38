//! Calls that block their thread, and what the program tells of its tasks.

use crate::harness::{PROFILES, Profile};
use crate::{THREADS, each, one_at_a_time, run, with_threads};

each! { [Profile::Release, Profile::Debug], THREADS;
    blocking_calls_run_side_by_side
    others_run_beside_a_blocking_call
    others_run_when_a_thread_is_to_be_had_again
    a_blocking_call_may_use_the_runtime
    the_only_task_may_park_in_a_call
}

/// Every task by its number, where it was spawned, and what it does.
fn tells(name: &str, status: i32, first: Option<&str>) {
    let _one = one_at_a_time();
    for profile in PROFILES {
        for threads in THREADS {
            let outcome = run(with_threads(profile, name, threads));
            outcome.exited(status);
            let mut lines = outcome.stderr.lines();
            if first.is_some() {
                assert_eq!(lines.next(), first);
            }
            let mut lines: Vec<&str> = lines.collect();
            lines.sort_unstable();
            let expected = [
                "task 1 (main): run", // running, or preempted just now
                "task 2 (spawned at tests/programs/src/outside.rs:#:#): waiting to read fd ",
                "task 3 (spawned at tests/programs/src/outside.rs:#:#): sleeping",
                "task 4 (spawned at tests/programs/src/outside.rs:#:#): ",
                "task 5 (spawned at tests/programs/src/outside.rs:#:#): in a blocking call",
                "task 6 (spawned at tests/programs/src/outside.rs:#:#): in a system call",
            ];
            assert_eq!(lines.len(), expected.len(), "{outcome:?}");
            let begin = |(line, start): (&&str, &str)| without_places(line).starts_with(start);
            assert!(lines.iter().zip(expected).all(begin), "{outcome:?}");
            assert!(lines[1].contains(", for ") && lines[1].ends_with(" ms"), "{outcome:?}");
        }
    }
}

/// The line with `:#` for the numbers of source lines and columns.
fn without_places(line: &str) -> String {
    let mut parts = line.split(':');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        let number = if rest.len() < part.len() { "#" } else { "" };
        text + ":" + number + rest
    })
}

#[test]
fn a_dump_names_every_task() {
    tells("dump", 0, None);
}

#[test]
fn sigquit_dumps_and_ends_the_program() {
    tells("quit", 2, Some("netpoll: SIGQUIT"));
}
