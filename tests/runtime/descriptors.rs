//! The standard descriptors, when they are not there.

use crate::harness::{PROFILES, in_child, run, scenario};

/// What the program prints must not end up in whatever it opens first.
#[test]
fn without_stdout_nothing_is_printed_into_a_connection() {
    for profile in PROFILES {
        let mut command = scenario(profile, "descriptors_that_are_not_ours");
        // SAFETY: one system call.
        unsafe { in_child(&mut command, || libc::close(1) == 0) };
        run(&mut command).exited(0).printed("", "");
    }
}
