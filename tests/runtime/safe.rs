//! Safe code that misuses what it has: `programs/src/safe.rs`, which forbids `unsafe`.

use crate::harness::{PROFILES, Profile, finish_within, run, scenario};
use std::time::Duration;

/// A task that would leave its thread with a lock, which counts for that thread alone.
#[test]
fn a_task_that_waits_with_a_lock_ends_the_program() {
    for name in [
        "lock_held_by_a_task_that_yields",
        "lock_held_by_a_task_that_sleeps",
        "lock_held_by_a_task_that_reads",
        "lock_held_by_a_task_that_joins",
        "lock_held_by_a_task_that_blocks",
        "lock_held_by_a_task_in_a_call",
        "lock_held_by_a_task_that_ends",
    ] {
        for profile in PROFILES {
            let message = "netpoll: task 2 would wait or end while it holds a netpoll::rt::RawLock\n";
            run(&mut scenario(profile, name)).exited(101).printed("", message);
        }
    }
}

scenarios! { lock_taken_and_released_by_all }

#[test]
fn a_line_that_is_given_up_gives_the_output_back() {
    for profile in PROFILES {
        let outcome = run(&mut scenario(profile, "line_given_up"));
        let long = "0123456789".repeat(100);
        outcome.exited(0).printed("ok line_given_up\n", &format!("{long}\nthe next\n{long}\nthe last\n"));
    }
}

#[test]
fn a_line_that_is_forgotten_keeps_the_output_and_a_panic_is_reported() {
    for profile in PROFILES {
        let outcome = run(&mut scenario(profile, "line_forgotten"));
        outcome.exited(101);
        assert!(outcome.stderr.ends_with("\non purpose\n"), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains("never printed"), "{}", outcome.stderr);
    }
}

/// The same by a count that is nearly full: `handles_are_counted_up_to_a_limit` in `src/net/fd.rs`.
#[test]
#[ignore = "counts to two billion"]
fn handles_that_are_forgotten_by_the_billion_end_the_program() {
    let child = scenario(Profile::Release, "handles_by_the_billion").spawn().unwrap();
    let outcome = finish_within(child, Duration::from_secs(600)).unwrap();
    outcome.exited(101).printed("", "netpoll: too many handles of a descriptor\n");
}
