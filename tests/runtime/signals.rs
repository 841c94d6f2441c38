//! Signals: received, ignored, and with their usual effect.

use crate::harness::{PROFILES, finish, in_child, passes, run, scenario};
use std::io::{BufRead, BufReader};

scenarios! {
    signal_is_received
    signal_wakes_a_task
    signal_is_an_arm_of_select
    signal_deadline_and_close
    signal_refused
    signal_last_one_restores
    signal_ignored
    signal_handler_that_blocks_too_little
}

#[test]
fn signal_blocked_by_the_parent() {
    passes("signal_blocked_by_the_parent", |command| {
        // SAFETY: system calls only.
        unsafe {
            in_child(command, || {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&mut all) == 0
                    && libc::sigprocmask(libc::SIG_SETMASK, &all, std::ptr::null_mut()) == 0
            });
        }
    });
}

#[test]
fn signal_children_ignored_by_the_parent() {
    passes("signal_children_ignored_by_the_parent", |command| {
        // SAFETY: one system call.
        unsafe { in_child(command, || libc::signal(libc::SIGCHLD, libc::SIG_IGN) != libc::SIG_ERR) };
    });
}

#[test]
fn signal_waiting_at_the_end_has_its_usual_effect() {
    for profile in PROFILES {
        let outcome = run(&mut scenario(profile, "signal_waiting_at_the_end"));
        outcome.killed_by(libc::SIGTERM).printed("alive\n", "");
    }
}

#[test]
fn signal_reset_has_its_usual_effect() {
    for profile in PROFILES {
        for signal in [libc::SIGTERM, libc::SIGPIPE, libc::SIGRTMIN()] {
            let outcome = run(scenario(profile, "signal_reset").arg(signal.to_string()));
            outcome.killed_by(signal).printed("alive\n", "");
        }
    }
}

#[test]
fn signal_quit_is_received_or_ends_the_program() {
    for profile in PROFILES {
        for name in ["signal_quit_is_received", "signal_quit_ignored_and_reset"] {
            let outcome = run(&mut scenario(profile, name));
            outcome.exited(2);
            assert!(
                outcome.stdout == "alive\n" && outcome.stderr.starts_with("netpoll: SIGQUIT\n"),
                "{outcome:?}"
            );
        }
    }
}

/// Everybody waits for somebody, but one for a signal.
#[test]
fn signal_to_come_is_no_deadlock() {
    for profile in PROFILES {
        for signal in [libc::SIGTERM, libc::SIGINT] {
            let mut child = scenario(profile, "signal_one_waits_others_too").spawn().unwrap();
            let mut stdout = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            std::thread::sleep(std::time::Duration::from_millis(50)); // it would be told by then
            // SAFETY: the call takes numbers; the child is not waited for yet.
            assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
            let outcome = finish(child).unwrap();
            outcome.exited(0).printed("", "");
            let told: Vec<String> = stdout.lines().map(Result::unwrap).collect();
            let expected = format!("{signal} from {}", std::process::id());
            assert_eq!(told, [&expected, "ok signal_one_waits_others_too"]);
        }
    }
}

#[test]
fn signals_that_nobody_waits_for_hide_no_deadlock() {
    for profile in PROFILES {
        let outcome = run(&mut scenario(profile, "signal_nobody_waits"));
        outcome.exited(2).printed("", "netpoll: all tasks are asleep: deadlock\n");
    }
}
