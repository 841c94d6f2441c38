//! How many system calls a request costs, counted by a tracer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::mem::zeroed;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How the client leaves.
#[derive(Clone, Copy, PartialEq)]
enum Leave {
    /// Not at all: the server waits for the next request.
    Stay,
    /// By a last message and the end of the stream in one segment.
    WithData,
}

type Calls = BTreeMap<i64, usize>;

/// What the tracer and the client tell each other.
#[derive(Default)]
struct Shared {
    /// The server stands at the entry of a wait, or in it.
    waits: AtomicBool,
    /// Calls count from now on.
    counting: AtomicBool,
}

impl Shared {
    /// For the client: until the server waits. What the client saw last came of a call that had cleared
    /// the flag.
    fn until_it_waits(&self) {
        let start = Instant::now();
        while !self.waits.load(Ordering::SeqCst) {
            assert!(start.elapsed() < Duration::from_secs(20), "the server does not wait");
            thread::yield_now();
        }
    }
}

/// The calls that an echo server makes for `rounds` of ping-pong, from one wait to the next that lasts.
fn count(rounds: usize, leave: Leave) -> Calls {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    // One thread runs all tasks, and it is the one that is traced.
    command
        .arg("127.0.0.1:0")
        .env_clear()
        .env("NETPOLL_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
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
            let stream = ping_pong(stdout, rounds, leave, shared);
            shared.until_it_waits();
            stream
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

fn ping_pong(stdout: ChildStdout, rounds: usize, leave: Leave, shared: &Shared) -> TcpStream {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let port: u16 = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let message = b"0123456789";
    let mut answer = [0; 10];
    for round in 0..rounds + 1 {
        stream.write_all(message).unwrap();
        stream.read_exact(&mut answer).unwrap();
        if round == 0 {
            shared.until_it_waits();
            shared.counting.store(true, Ordering::SeqCst);
        }
    }
    if leave == Leave::WithData {
        // Held back until the shutdown, and sent with it.
        // SAFETY: the kernel reads the message.
        let n = unsafe { libc::send(stream.as_raw_fd(), message.as_ptr().cast(), 10, libc::MSG_MORE) };
        assert_eq!(n, 10);
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(stream.read(&mut answer).unwrap(), 0);
    }
    stream
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
            // Both are waits; which one it is depends on whether a timer is armed.
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

#[test]
fn a_request_costs_a_wait_a_read_and_a_write() {
    let mut calls = count(300, Leave::Stay);
    // A thread that the tracer holds for a millisecond looks like one that computes: the monitor, which
    // is not traced, then polls in its place.
    let waits = calls.remove(&libc::SYS_epoll_pwait).unwrap();
    assert!((250..=300).contains(&waits), "{waits} waits");
    assert_eq!(calls, BTreeMap::from([(libc::SYS_read, 300), (libc::SYS_write, 300)]));
}

/// The segment that brings the last data brings the end too: it is read at once, not waited for.
#[test]
fn an_end_that_comes_with_data_costs_one_read_more() {
    let expected = [
        (libc::SYS_read, 2),
        (libc::SYS_write, 1),
        (libc::SYS_close, 1),
        (libc::SYS_epoll_ctl, 1), // DEL
    ];
    let mut calls = count(0, Leave::WithData);
    assert!(calls.remove(&libc::SYS_epoll_pwait).unwrap_or(0) <= 1); // none: as above
    assert_eq!(calls, BTreeMap::from(expected));
}
