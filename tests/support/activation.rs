//! Starts a program as a service manager does that has opened its sockets.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `program` with `args`, which finds `sockets` from descriptor 3 on, and `fds` of them in its environment.
/// That it is for this very process only a process can say that becomes it: a shell.
pub fn activated(program: &Command, sockets: Vec<OwnedFd>, fds: &str, names: Option<&str>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "export LISTEN_PID=$$; exec \"$0\" \"$@\""]).arg(program.get_program());
    command.args(program.get_args()).env_clear().env("LISTEN_FDS", fds);
    if let Some(names) = names {
        command.env("LISTEN_FDNAMES", names);
    }
    let place = move || {
        // First out of the way, then to their places, where they stay open in the program.
        let mut away = [0; 16];
        for (away, socket) in away.iter_mut().zip(&sockets) {
            // SAFETY: the calls take numbers.
            *away = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100) };
        }
        for (fd, away) in (3..).zip(&away[..sockets.len()]) {
            // SAFETY: as above.
            if unsafe { libc::dup2(*away, fd) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        // What the tests were started with besides does not reach the program.
        for fd in (3..1024).skip(sockets.len()) {
            // SAFETY: as above; most of them are not open, which is an error.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        Ok(())
    };
    // SAFETY: system calls only, in the child.
    unsafe { command.pre_exec(place) };
    command
}
