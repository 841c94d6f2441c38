//! Older kernels, played by a filter that refuses the newer calls.

use crate::harness::{PROFILES, passes, run, scenario};
use std::os::unix::process::CommandExt;
use std::process::Command;

const MADV_GUARD_INSTALL: u32 = 102;

/// One test of a classic BPF program: number of the call, one argument's low half if it matters, errno.
#[derive(Clone, Copy)]
struct Refuse {
    call: i64,
    argument: Option<(u32, u32)>,
    errno: i32,
}

/// Makes `command` run as if the kernel did not know a call. (seccomp(2), `SECCOMP_RET_ERRNO`.)
fn refuse(command: &mut Command, refuse: Refuse) {
    let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |at| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let unless = |k, skip| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, skip, k);
    let answer = |k| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    // struct seccomp_data: nr at 0, the arguments, 8 bytes each, from 16 on.
    let mut filter = vec![load(0)];
    match refuse.argument {
        None => filter.push(unless(refuse.call as u32, 1)),
        Some((index, value)) => {
            filter.extend([unless(refuse.call as u32, 3), load(16 + 8 * index), unless(value, 1)])
        }
    }
    filter.push(answer(libc::SECCOMP_RET_ERRNO | refuse.errno as u32));
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    // SAFETY: system calls only; the filter lives in the closure.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
            {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

const NO_LIGHT_GUARDS: Refuse = Refuse {
    call: libc::SYS_madvise,
    argument: Some((2, MADV_GUARD_INSTALL)),
    errno: libc::EINVAL, // as before Linux 6.13
};

const NO_PWAIT2: Refuse = Refuse { call: libc::SYS_epoll_pwait2, argument: None, errno: libc::ENOSYS };

#[test]
fn without_light_guards_overflow_is_still_named() {
    for profile in PROFILES {
        let mut command = scenario(profile, "light_guards");
        refuse(command.arg("no"), NO_LIGHT_GUARDS);
        run(&mut command).exited(0).printed("ok light_guards\n", "");

        let mut command = scenario(profile, "overflow_on_a_used_stack");
        refuse(&mut command, NO_LIGHT_GUARDS);
        let outcome = run(&mut command);
        outcome.killed_by(libc::SIGSEGV).printed("", "task 4 overflowed its stack of 65536 bytes\n");
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
        passes(name, |command| refuse(command, NO_PWAIT2));
    }
}
