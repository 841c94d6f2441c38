//! Programs in which nobody can go on, and programs in which nobody has to.

use crate::harness::{PROFILES, Profile};
use crate::{THREADS, one_at_a_time, run, with_threads};
use std::fs;
use std::io::{BufRead, BufReader};
use std::thread;
use std::time::Duration;

/// Runs the scenario some times: whether somebody is still on the way to sleep differs.
fn deadlocks(name: &str) {
    let _one = one_at_a_time();
    for profile in PROFILES {
        for threads in THREADS {
            for _ in 0..8 {
                let outcome = run(with_threads(profile, name, threads));
                outcome.exited(2).printed("", "netpoll: all tasks are asleep: deadlock\n");
            }
        }
    }
}

#[test]
fn a_deadlock_of_tasks_on_several_threads_is_told() {
    deadlocks("deadlock_of_tasks_that_computed");
}

#[test]
fn a_deadlock_behind_the_last_timer_is_told() {
    deadlocks("deadlock_behind_the_last_timer");
}

#[test]
fn a_deadlock_behind_the_last_waiter_is_told() {
    deadlocks("deadlock_behind_the_last_waiter");
}

#[test]
fn a_deadlock_behind_calls_is_told() {
    deadlocks("deadlock_behind_calls");
}

#[test]
fn a_deadlock_of_main_alone_is_told() {
    deadlocks("deadlock_of_main_alone");
}

/// Clock ticks (of 10 ms) that the process has used, user and system.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // proc_pid_stat(5): fields 14 and 15, of which the first two are before the parenthesis.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn an_idle_program_uses_no_cpu() {
    let _one = one_at_a_time();
    let mut children: Vec<_> =
        THREADS.map(|threads| with_threads(Profile::Release, "idle", threads).spawn().unwrap()).into();
    for child in &mut children {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "idle\n");
    }
    thread::sleep(Duration::from_secs(1));
    // On a loaded machine it may take a while until all their threads have come to rest.
    let mut used = Vec::new();
    let rest = (0..20).any(|_| {
        let before: Vec<u64> = children.iter().map(|child| ticks(child.id())).collect();
        thread::sleep(Duration::from_secs(2));
        used = children.iter().zip(before).map(|(child, before)| ticks(child.id()) - before).collect();
        used.iter().all(|&ticks| ticks <= 1)
    });
    for mut child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(rest, "with {THREADS:?} threads, ticks in 2 s: {used:?}");
}
