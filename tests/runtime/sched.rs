//! Tasks: spawning, joining, sleeping, and who runs when.

use crate::harness::{PROFILES, finish_within, passes, program, run, scenario};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

scenarios! {
    join_gives_what_the_task_returned
    a_closure_is_dropped_once
    a_result_is_dropped_once
    many_one_after_the_other
    a_chain_of_joins
    joins_in_any_order
    a_handle_tells_whether_its_task_has_returned
    numbers_are_unique
    too_big_is_an_error
    everybody_gets_on
    a_pair_starves_no_third
    a_pair_starves_no_timer_and_no_socket
    sleepers_are_no_deadlock
    ten_thousand_parked_take_a_page_each
    deep_is_not_overflow
    ordinary_buffers_fit
    stacks_are_left_at_the_end
    a_size_of_its_own
    mixed_sizes_are_used_again
    as_many_as_fit
    high_water
    sleeps_are_never_early
    no_time_is_no_sleep
    the_longest_sleep
    sleep_without_descriptors
    sleep_without_memory
    sleep_without_memory_in_a_call
    instants
}

#[test]
fn dead_stacks_are_given_back() {
    // Each thread keeps some.
    passes("dead_stacks_are_given_back", |command| {
        command.env("NETPOLL_THREADS", "2");
    });
}

#[test]
fn sleepers_wake_in_order() {
    // What two threads do in the same moment has no order.
    passes("sleepers_wake_in_order", |command| {
        command.env("NETPOLL_THREADS", "1");
    });
}

#[test]
fn no_memory_is_an_error() {
    // Of two threads each keeps some of what ended with it, which the other's tasks do not get.
    passes("no_memory_is_an_error", |command| {
        command.env("NETPOLL_THREADS", "1");
    });
}

/// With one thread, which is the one that the kernel refuses.
#[test]
fn tasks_wait_for_a_stack() {
    passes("tasks_wait_for_a_stack", |command| {
        command.env("NETPOLL_THREADS", "1");
    });
}

/// Whatever is left over where the next slab of stacks does not fit, with one thread and with two.
#[test]
fn a_deadline_behind_the_last_task() {
    for rest in (0..72).step_by(4) {
        for threads in ["1", "2"] {
            let mut program = scenario(PROFILES[0], "a_deadline_behind_the_last_task");
            let outcome = run(program.arg(rest.to_string()).env("NETPOLL_THREADS", threads));
            outcome.exited(0);
        }
    }
}

#[test]
fn a_program_in_which_nobody_gets_a_stack_ends() {
    for profile in PROFILES {
        let outcome = run(scenario(profile, "no_stack_for_anybody").env("NETPOLL_THREADS", "1"));
        outcome.exited(2).printed("", "netpoll: no memory for a new task's stack\n");
    }
}

#[test]
fn two_that_yield_alternate() {
    // Two threads would have nothing to alternate for.
    passes("two_that_yield_alternate", |command| {
        command.env("NETPOLL_THREADS", "1");
    });
}

#[test]
fn the_longest_sleep_of_all_tasks_is_no_deadlock() {
    for profile in PROFILES {
        let mut child = scenario(profile, "the_longest_sleep_of_all_tasks").spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "asleep\n");
        let asleep = finish_within(child, Duration::from_millis(300)).expect_err("it woke up");
        asleep.printed("", "");
    }
}

#[test]
fn mains_result_is_the_exit_status_whatever_others_do() {
    for profile in PROFILES {
        for (returned, status) in [(0, 0), (7, 7), (255, 255), (256, 0), (-1, 255)] {
            let returned = returned.to_string();
            run(scenario(profile, "main_returns").arg(returned)).exited(status).printed("", "");
        }
    }
}

#[test]
fn exit_from_a_task_ends_the_program_and_its_begun_line() {
    for profile in PROFILES {
        run(scenario(profile, "exit_from_a_task").arg("9")).exited(9).printed("begun", "");
    }
}

#[test]
fn a_deadlock_is_reported() {
    for profile in PROFILES {
        let outcome = run(&mut scenario(profile, "deadlock"));
        outcome.exited(2);
        assert_eq!(outcome.stderr, "netpoll: all tasks are asleep: deadlock\n");
        assert!(!outcome.stdout.contains("never seen"));
    }
}

#[test]
fn stacks_beyond_the_address_space_are_refused_or_cut() {
    for profile in PROFILES {
        let outcome = run(&mut program(profile, "vast_stacks"));
        if outcome.status.success() {
            outcome.printed("21\n", "");
        } else {
            outcome.exited(1).printed("", "netpoll: no memory for a new task's stack\n");
        }
    }
}

/// This very test, run once more as a program on std, calls into the runtime, which is not there.
#[test]
fn on_std_the_runtime_says_that_it_is_not_running() {
    const CHILD: &str = "NETPOLL_TEST_SPAWN_ON_STD";
    if std::env::var_os(CHILD).is_some() {
        netpoll::spawn(|| ()).join();
    }
    let name = "sched::on_std_the_runtime_says_that_it_is_not_running";
    let outcome = run(Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped()));
    let message = "netpoll: the runtime is not running: make the program with netpoll::entry!\n";
    outcome.exited(1).printed("", message);
}
