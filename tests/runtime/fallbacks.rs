//! Older kernels, played by a filter that refuses the newer calls.

use crate::harness::{PROFILES, passes, program, run, scenario};
use crate::refuse::{Refuse, refuse};
use witness::Witness;

const MADV_GUARD_INSTALL: u32 = 102;

const NO_LIGHT_GUARDS: Refuse = Refuse {
    call: libc::SYS_madvise,
    argument: Some((2, MADV_GUARD_INSTALL)),
    errno: libc::EINVAL, // as before Linux 6.13
};

/// As before Linux 5.11, and as filters say that are older than the call.
const NO_PWAIT2: [Refuse; 2] = [
    Refuse { call: libc::SYS_epoll_pwait2, argument: None, errno: libc::ENOSYS },
    Refuse { call: libc::SYS_epoll_pwait2, argument: None, errno: libc::EPERM },
];

#[test]
fn without_light_guards_overflow_is_still_named() {
    for profile in PROFILES {
        let mut command = scenario(profile, "light_guards");
        refuse(command.arg("no"), NO_LIGHT_GUARDS);
        run(&mut command).exited(0).printed("ok light_guards\n", "");

        let mut command = scenario(profile, "overflow_on_a_used_stack");
        refuse(&mut command, NO_LIGHT_GUARDS);
        let outcome = run(&mut command);
        outcome.killed_by(libc::SIGSEGV);
        assert!(outcome.stderr.contains(" overflowed its stack of 256 KiB; "), "{outcome:?}");
    }
}

#[test]
fn without_light_guards_ten_thousand_still_fit() {
    passes("ten_thousand_parked_take_a_page_each", |command| refuse(command, NO_LIGHT_GUARDS));
}

#[test]
fn without_light_guards_the_limit_of_mappings_is_an_error() {
    passes("as_many_as_fit", |command| refuse(command, NO_LIGHT_GUARDS));
}

#[test]
fn without_epoll_pwait2_nothing_is_early() {
    for name in ["sleeps_are_never_early", "read_timeout_fluctuation", "random_deadlines"] {
        for no_pwait2 in NO_PWAIT2 {
            passes(name, |command| refuse(command, no_pwait2));
        }
    }
}

/// Names of threads, timer slack, the number of CPUs: what the runtime asks for and can do without.
#[test]
fn without_what_is_only_nice_to_have_threads_run() {
    for call in [libc::SYS_prctl, libc::SYS_sched_getaffinity, libc::SYS_mincore] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            passes("seccomp_limits", |command| refuse(command, Refuse { call, argument: None, errno }));
            passes("sleeps_are_never_early", |command| {
                refuse(command, Refuse { call, argument: None, errno })
            });
        }
    }
}

/// There need be no `/proc`, nor any other file; and none of the calls of newer kernels is tried that an older
/// sandbox would kill for, but those that are done without.
#[test]
fn no_file_is_opened_and_no_newer_call_made() {
    for profile in PROFILES {
        let mut command = program(profile, "scenario");
        command.arg("sleeps_are_never_early").env("NETPOLL_THREADS", "4");
        let trace = Witness::command(command).run().unwrap();
        for name in ["open", "openat", "openat2", "readlink", "readlinkat", "stat", "newfstatat", "statx"] {
            trace.assert_never(name);
        }
        for name in ["clone3", "rseq", "futex_waitv", "io_uring_setup", "membarrier", "set_robust_list"] {
            trace.assert_never(name);
        }
        // Threads there are, if not by the newer call. How many depends on the load.
        assert!(trace.counts().contains_key("clone"), "{}", trace.table());
    }
}
