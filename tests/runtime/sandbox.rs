//! Rights given up from within.

use crate::harness::{PROFILES, passes, run, scenario};

#[test]
fn calls_that_are_allowed_are_made() {
    passes("seccomp_allows", |command| {
        command.env("NETPOLL_THREADS", "4");
    });
    passes("seccomp_limits", |_| {});
}

#[test]
fn a_filter_reaches_threads_that_run_already() {
    for profile in PROFILES {
        let mut command = scenario(profile, "seccomp_kills_from_another_thread");
        run(command.env("NETPOLL_THREADS", "2")).killed_by(libc::SIGSYS).printed("", "");
    }
}

/// Their own rules, one by one: landlock has no flag for all.
#[test]
fn rules_for_files_reach_all_threads() {
    passes("landlock_reaches_all_threads", |command| {
        command.arg("4").env("NETPOLL_THREADS", "4");
    });
}
