//! The standard descriptors, when they are not there.

use crate::harness::{PROFILES, in_child, run, scenario};

/// What the program prints must not end up in whatever it opens first.
#[test]
fn without_standard_descriptors_nothing_is_printed_into_a_connection() {
    for profile in PROFILES {
        let mut command = scenario(profile, "descriptors_that_are_not_ours");
        // SAFETY: system calls only.
        unsafe { in_child(&mut command, || (0..3).all(|fd| libc::close(fd) == 0)) };
        run(&mut command).exited(0);
    }
}
