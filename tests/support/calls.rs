//! Counts the system calls of a program, by tracing it.

use std::collections::BTreeMap;
use std::mem::zeroed;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Calls by their numbers. Both kinds of waits count as `epoll_pwait`: which one it is depends on whether a timer
/// is armed.
pub type Calls = BTreeMap<i64, usize>;

/// What the tracer and the client tell each other.
#[derive(Default)]
pub struct Shared {
    /// The server stands at the entry of a wait, or in it.
    waits: AtomicBool,
    /// Calls count from now on.
    counting: AtomicBool,
}

impl Shared {
    /// For the client: until the server waits. What the client saw last came of a call that had cleared
    /// the flag.
    pub fn until_it_waits(&self) {
        let start = Instant::now();
        while !self.waits.load(Ordering::SeqCst) {
            assert!(start.elapsed() < Duration::from_secs(120), "the server does not wait");
            thread::yield_now();
        }
    }

    /// For the client: calls count from now on.
    pub fn count(&self) {
        self.counting.store(true, Ordering::SeqCst);
    }
}

/// The calls of the server `command` while `client` talks to it, from [`Shared::count`] on until it waits when the
/// client has returned. What the client returns lives as long as the server.
pub fn count<T: Send>(mut command: Command, client: impl FnOnce(ChildStdout, &Shared) -> T + Send) -> Calls {
    // One thread runs all tasks, and it is the one that is traced.
    command.env_clear().env("NETPOLL_THREADS", "1").stdin(Stdio::null()).stdout(Stdio::piped());
    // SAFETY: one system call.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut server = command.spawn().unwrap();
    let (pid, stdout) = (server.id() as i32, server.stdout.take().unwrap());
    let shared = &Shared::default();
    thread::scope(|scope| {
        scope.spawn(move || {
            // Also if the client fails: the tracer waits for the server's end.
            let _end = End(pid);
            let kept = client(stdout, shared);
            shared.until_it_waits();
            kept // dropped behind `_end`
        });
        // Only the thread that started the server may trace it.
        let calls = trace(pid, shared);
        server.wait().expect_err("the tracer has seen its end, and reaped it");
        calls
    })
}

/// Ends the server.
struct End(i32);

impl Drop for End {
    fn drop(&mut self) {
        // SAFETY: the server is not reaped before it has ended, so the number is its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
    }
}

/// Counts the calls of a process until it ends.
fn trace(pid: i32, shared: &Shared) -> Calls {
    let mut calls = Calls::new();
    wait(pid); // the SIGTRAP of its execve
    request(libc::PTRACE_SETOPTIONS, pid, libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL);
    loop {
        request(libc::PTRACE_SYSCALL, pid, 0);
        let status = wait(pid);
        if !libc::WIFSTOPPED(status) {
            assert_eq!(libc::WTERMSIG(status), libc::SIGKILL);
            return calls;
        }
        let call = (libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80).then(|| entry(pid)).flatten();
        if let Some(call) = call {
            let call = if call == libc::SYS_epoll_pwait2 { libc::SYS_epoll_pwait } else { call };
            if shared.counting.load(Ordering::SeqCst) {
                *calls.entry(call).or_default() += 1;
            }
            shared.waits.store(call == libc::SYS_epoll_pwait, Ordering::SeqCst);
        }
    }
}

fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the kernel writes one `int`.
    let r = unsafe { libc::waitpid(pid, &mut status, libc::__WALL) };
    assert_eq!(r, pid);
    status
}

fn request(request: libc::c_uint, pid: i32, data: libc::c_int) {
    // SAFETY: these requests take numbers.
    let r = unsafe { libc::ptrace(request, pid, 0, data as usize) };
    // ESRCH: it has been killed, as the next wait will tell.
    let error = std::io::Error::last_os_error();
    assert!(r >= 0 || error.raw_os_error() == Some(libc::ESRCH), "ptrace {request:#x}: {error}");
}

/// The number, if the child stands at the entry of a call.
fn entry(pid: i32) -> Option<i64> {
    // SAFETY: the structure is integers, for which zeros are a value.
    let mut info: libc::ptrace_syscall_info = unsafe { zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes.
    let n = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut info) };
    // SAFETY: integers, whichever member was written; `op` says whether it was this one.
    let entry = unsafe { info.u.entry };
    (n > 0 && info.op == libc::PTRACE_SYSCALL_INFO_ENTRY).then_some(entry.nr as i64)
}
