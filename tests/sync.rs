//! `netpoll::sync` and `netpoll::scope` as their users meet them: the scenarios of `tests/syncprog`, each
//! a run of its own, with one worker, with as many as there are likely to be CPUs, and with more.

#[path = "support/package.rs"]
mod package;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// A scenario that takes this long hangs, on the slowest machine. The slowest takes a few seconds on an idle one.
const LIMIT: Duration = Duration::from_secs(150);

const THREADS: [&str; 3] = ["1", "2", "8"];

/// Both profiles: with the scheduler's assertions, and with the compiler's liberties.
const PROFILES: [&str; 2] = ["dev", "release"];

fn program(profile: usize) -> &'static Path {
    static PROGRAMS: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
    PROGRAMS[profile].get_or_init(|| package::build(PROFILES[profile], &["-p", "syncprog"]).join("syncprog"))
}

#[track_caller]
fn run(profile: usize, name: &str, threads: &str) -> Output {
    let mut child = Command::new(program(profile))
        .arg(name)
        .env_clear()
        .env("NETPOLL_THREADS", threads)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    // A scenario prints a line at most, which fits the pipe.
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("{name} with {threads} threads hangs: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(1));
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn holds(name: &str) {
    for (profile, profile_name) in PROFILES.iter().enumerate() {
        for threads in THREADS {
            let output = run(profile, name, threads);
            assert_eq!(
                (output.status.code(), output.status.signal()),
                (Some(0), None),
                "{name}, {profile_name}, {threads} threads: {output:?}"
            );
        }
    }
}

/// What the program can do and nobody asks for would pass unseen.
#[test]
fn every_scenario_is_run() {
    let output = run(1, "list", "1");
    let names = String::from_utf8(output.stdout).unwrap();
    let asked: Vec<&str> =
        include_str!("sync.rs").split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    assert!(names.lines().count() > 50, "{names}");
    let missing: Vec<&str> = names.lines().filter(|name| !asked.contains(name)).collect();
    assert!(missing.is_empty(), "not run: {missing:?}");
}

macro_rules! scenarios {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            holds(stringify!($name));
        }
    )*};
}

mod chan {
    use super::holds;
    scenarios! {
        values_come_in_order
        a_full_buffer_blocks_and_try_says_so
        without_a_buffer_a_send_waits_for_its_receive
        a_million_messages_from_many_to_many
        messages_without_a_buffer_from_many_to_many
        a_send_to_nobody_gives_the_value_back
        the_last_sender_ends_the_receivers_behind_the_buffer
        close_wakes_parked_senders_with_their_values
        close_wakes_parked_receivers
        what_is_left_is_dropped_once
        deadlines_are_kept_and_not_early
        a_deadline_that_races_loses_nothing_and_doubles_nothing
        values_of_all_sizes_arrive_whole
        channels_use_their_memory_again
        a_buffer_beyond_memory_is_an_error
    }
}

mod select {
    use super::holds;
    scenarios! {
        the_arm_that_can_go_on_is_taken
        default_is_taken_when_nothing_else_can
        after_comes_not_early_and_only_if_nothing_else_does
        a_parked_select_is_served
        ready_arms_have_equal_chances
        a_slow_arm_is_not_starved_by_a_busy_one
        exactly_one_arm_happens
        selects_meet_each_other
        a_value_not_sent_is_dropped
        closed_channels_can_go_on
        one_channel_in_two_arms
        bodies_are_in_the_callers_function
        a_select_leaves_nothing_behind
    }
}

mod readiness {
    use super::holds;
    scenarios! {
        each_arm_wins_when_its_time_comes
        ready_arms_beat_a_time_and_default_comes_last
        a_default_makes_it_a_look
        streams_and_channels_have_equal_chances
        an_edge_that_comes_while_another_arm_wins_is_not_lost
        what_is_called_readable_can_be_read
        an_edge_of_the_past_is_not_readiness
        messages_and_bytes_race
        a_close_ends_a_select
        a_deadline_ends_a_select
        a_deadline_moved_on_does_not
        selects_race_with_close_and_deadline
    }
}

mod turns {
    use super::holds;
    scenarios! {
        a_direction_in_use_is_busy
        a_reader_waits_until_the_select_is_over
        two_streams_in_opposite_order
        one_stream_in_two_directions
        a_listener_beside_a_channel
        the_ends_of_a_pipe
        writable_when_there_is_room_again
        readable_waits_without_a_buffer
        readable_ends_with_deadline_and_close
        a_wrapper_is_pollable
    }
}

mod locks {
    use super::holds;
    scenarios! {
        a_mutex_excludes_eight_tasks
        a_mutex_is_held_across_parks
        a_mutex_locked_without_a_pause_still_reaches_others
        a_guard_may_be_dropped_by_another_task
        try_lock_says_no
        readers_share_and_writers_do_not
        writers_are_not_starved_by_readers
        readers_are_not_starved_by_writers
        once_runs_once_and_all_wait_for_it
        a_once_lock_keeps_its_first_value
        a_once_lock_drops_its_value
    }
}

mod wait {
    use super::holds;
    scenarios! {
        no_notification_is_lost
        notify_all_wakes_all_and_notify_one_the_first
        a_wait_times_out_and_not_early
        notifications_that_race_with_deadlines_are_not_lost
        a_wait_group_waits_for_all
        a_wait_group_is_used_again_at_once
        permits_are_never_exceeded
        a_big_request_is_not_overtaken
        who_gives_up_lets_those_behind_go_on
        permits_are_not_lost_in_races_with_deadlines
        a_barrier_lets_all_go_together_and_one_lead
    }
}

mod scope {
    use super::holds;
    scenarios! {
        tasks_borrow_halves_of_a_slice
        the_scope_waits_for_tasks_nobody_joined
        results_of_dropped_handles_are_dropped_inside
        a_forgotten_handle_does_not_hold_the_scope_up
        scopes_nest
        a_size_of_its_own_and_an_error
    }
}

#[test]
fn a_dump_names_the_descriptors_of_a_select() {
    for threads in THREADS {
        let output = run(1, "a_dump_names_the_descriptors_of_a_select", threads);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let fd: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let dump = String::from_utf8(output.stderr).unwrap();
        let line = dump.lines().find(|line| line.contains(&format!("waiting to read fd {fd} in select")));
        // The same task's other line tells of the rest.
        let task = line.unwrap_or_else(|| panic!("{fd}: {dump}")).split(": ").next().unwrap();
        assert!(dump.contains(&format!("{task}: in select")), "{dump}");
    }
}

#[test]
fn dumps_beside_selects() {
    for threads in THREADS {
        // What it prints does not fit a pipe that nobody reads yet.
        let status = Command::new(program(1))
            .arg("dumps_beside_selects")
            .env_clear()
            .env("NETPOLL_THREADS", threads)
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{threads} threads");
    }
}

#[test]
fn misuse_of_a_wait_group_is_a_panic_that_says_so() {
    let output = run(1, "done_without_add_is_a_panic", "1");
    assert_eq!(output.status.code(), Some(101));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("WaitGroup::done: more is done than was added"), "{stderr}");
}
