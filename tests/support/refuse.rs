//! Older kernels and narrow sandboxes, played by a filter that refuses calls.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// One test of a classic BPF program: number of the call, one argument's low half if it matters, errno.
#[derive(Clone, Copy)]
pub struct Refuse {
    pub call: i64,
    pub argument: Option<(u32, u32)>,
    pub errno: i32,
}

/// Makes `command` run as if the kernel did not know a call. (seccomp(2), `SECCOMP_RET_ERRNO`.)
pub fn refuse(command: &mut Command, refuse: Refuse) {
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
