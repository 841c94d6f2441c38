//! System calls a request, counted by a tracer (`ptrace`, which a parent may use on its child without
//! being root). A traced server is some times slower than others, so with many connections it finds more that
//! is ready at each wait; the counts are a bit better for everybody than those of a free run.

use crate::load::Client;
use crate::os;
use crate::server::{Mode, Peer, free_port};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::mem::zeroed;
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Calls by their numbers.
pub type Calls = BTreeMap<i64, u64>;

/// For the start of a traced server.
const START_LIMIT: Duration = Duration::from_secs(10);

/// The calls that a server makes for `requests`, after all connections are open.
pub fn count(peer: &Peer, mode: Mode, connections: usize, requests: usize) -> io::Result<Calls> {
    let port = free_port()?;
    let counting = &AtomicBool::new(false);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        // Only the thread that starts the server may trace it.
        let tracer = scope.spawn(move || {
            let mut command = peer.command(mode, port);
            // SAFETY: one system call.
            unsafe {
                command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                });
            }
            let pid = command.spawn()?.id() as i32;
            tell.send(pid).expect("the client waits for it");
            trace(pid, counting)
        });
        let Ok(pid) = told.recv() else { return tracer.join().expect("it does not panic") };
        let result = load(port, mode, connections, requests, counting);
        // SAFETY: takes numbers. The tracer reaps the server after this only: it does not end by itself.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let calls = tracer.join().expect("it does not panic");
        result.and(calls)
    })
}

fn load(port: u16, mode: Mode, connections: usize, requests: usize, counting: &AtomicBool) -> io::Result<()> {
    let start = Instant::now();
    while let Err(error) = os::connect(port, 1) {
        if start.elapsed() > START_LIMIT {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let client = Client::connect(port, mode, connections)?;
    // Until the server sleeps again.
    thread::sleep(Duration::from_millis(20));
    counting.store(true, Ordering::SeqCst);
    client.exchanges(requests)
}

/// Counts the calls of a process and all its threads until they have ended.
fn trace(pid: i32, counting: &AtomicBool) -> io::Result<Calls> {
    let mut calls = Calls::new();
    let mut options = Some(libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACECLONE);
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes a number. `__WNOTHREAD`: this thread's children only.
        let thread = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) };
        if thread < 0 {
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::ECHILD) => return Ok(calls), // all have ended
                _ if error.kind() == ErrorKind::Interrupted => continue,
                _ => return Err(error),
            }
        }
        if !libc::WIFSTOPPED(status) {
            continue;
        }
        if thread == pid
            && let Some(options) = options.take()
        {
            request(libc::PTRACE_SETOPTIONS, thread, options); // at its execve
        }
        let signal = match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => {
                if let Some(call) = entry(thread).filter(|_| counting.load(Ordering::SeqCst)) {
                    *calls.entry(call).or_default() += 1;
                }
                0
            }
            libc::SIGTRAP | libc::SIGSTOP => 0, // events of the tracing itself
            signal => signal,
        };
        request(libc::PTRACE_SYSCALL, thread, signal);
    }
}

/// A thread that has been killed meanwhile is not there any more; the next wait tells.
fn request(request: libc::c_uint, thread: i32, data: libc::c_int) {
    // SAFETY: these requests take numbers.
    unsafe { libc::ptrace(request, thread, 0, data as usize) };
}

/// The number, if the thread stands at the entry of a call.
fn entry(thread: i32) -> Option<i64> {
    // SAFETY: the structure is integers, for which zeros are a value.
    let mut info: libc::ptrace_syscall_info = unsafe { zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes.
    let n = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info) };
    // SAFETY: integers, whichever member was written; `op` says whether it was this one.
    let entry = unsafe { info.u.entry };
    (n > 0 && info.op == libc::PTRACE_SYSCALL_INFO_ENTRY).then_some(entry.nr as i64)
}
