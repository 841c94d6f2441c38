//! How tasks and programs die: overflow, fault, panic.

use crate::harness::{Outcome, PROFILES, run, scenario};

const STACK: usize = 64 << 10;

#[track_caller]
fn each(name: &str, check: impl Fn(&Outcome)) {
    for profile in PROFILES {
        let outcome = run(&mut scenario(profile, name));
        assert_eq!(outcome.stdout, "", "{outcome:?}");
        check(&outcome);
    }
}

fn overflows(name: &str, task: u32, stack: usize) {
    each(name, |outcome| {
        outcome.killed_by(libc::SIGSEGV);
        assert_eq!(outcome.stderr, format!("task {task} overflowed its stack of {stack} bytes\n"));
    });
}

#[test]
fn overflow_in_main_is_named() {
    overflows("overflow_in_main", 1, STACK);
}

#[test]
fn overflow_in_a_task_is_named() {
    overflows("overflow_in_a_task", 2, STACK);
}

#[test]
fn overflow_on_a_used_stack_is_named() {
    overflows("overflow_on_a_used_stack", 4, STACK);
}

#[test]
fn overflow_of_a_small_stack_is_told_with_its_size() {
    overflows("overflow_of_a_small_stack", 2, 16 << 10);
}

#[test]
fn a_null_pointer_is_no_overflow() {
    for name in ["null_in_main", "null_in_a_task"] {
        each(name, |outcome| {
            outcome.killed_by(libc::SIGSEGV);
            assert_eq!(outcome.stderr, "");
        });
    }
}

/// `task N panicked at FILE:LINE:COLUMN:` and a line with the message.
#[track_caller]
fn panicked(report: &str, task: u32, message: &str) {
    let (head, rest) = report.split_once('\n').unwrap_or_else(|| panic!("{report:?}"));
    let place = head.strip_prefix(&format!("task {task} panicked at src/stacks.rs:"));
    let place = place.unwrap_or_else(|| panic!("{report:?}"));
    assert!(place.chars().all(|c| c.is_ascii_digit() || c == ':'), "{report:?}");
    assert_eq!(rest, message, "{report:?}");
}

#[test]
fn a_panic_names_its_task_and_place() {
    for (name, task, message) in [
        ("panic_in_main", 1, "on purpose, 1\n"),
        ("panic_in_a_task", 2, "on purpose, 2\n"),
        ("panic_in_a_drop", 1, "bad drop\n"),
        ("panic_in_the_drop_of_a_result", 2, "bad drop\n"),
    ] {
        each(name, |outcome| {
            outcome.exited(101);
            panicked(&outcome.stderr, task, message);
        });
    }
}

/// The message of a panic panics itself: both places are named, and there is an end to it.
#[test]
fn a_panic_within_a_panic_ends() {
    for name in ["panic_while_formatting", "panic_with_a_message_that_panics"] {
        each(name, |outcome| {
            outcome.exited(101);
            let places: Vec<_> = outcome.stderr.matches("task 1 panicked at src/stacks.rs:").collect();
            assert_eq!(places.len(), 2, "{}", outcome.stderr);
            assert!(outcome.stderr.ends_with('\n'));
        });
    }
}
