//! System calls a request, counted by a tracer (`ptrace`, which a parent may use on its child without
//! being root).
//!
//! A traced server is slow: in a closed loop the next request would be there before it looks for it, and the waits that make
//! the difference would not happen. So there are bursts, of one request on each connection, and the next is sent when
//! the server waits. With many connections nearly all of a burst is found by one wait.

use crate::load::Client;
use crate::os;
use crate::server::{Mode, Peer, free_port};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::mem::zeroed;
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Calls by their numbers.
pub type Calls = BTreeMap<i64, u64>;

/// For the start of a traced server, and for each of its ways to a wait.
const LIMIT: Duration = Duration::from_secs(10);

/// What the tracer and the client tell each other.
#[derive(Default)]
struct Shared {
    /// Calls count from now on.
    counting: AtomicBool,
    /// Threads that stand at the entry of a wait for events, or in it.
    waiting: AtomicUsize,
}

impl Shared {
    /// For the client: until the server waits. What the client saw last came of a call that followed the
    /// end of a wait.
    fn until_it_waits(&self) -> io::Result<()> {
        let start = Instant::now();
        while self.waiting.load(Ordering::SeqCst) == 0 {
            if start.elapsed() > LIMIT {
                return Err(ErrorKind::TimedOut.into());
            }
            thread::yield_now();
        }
        Ok(())
    }
}

/// The calls that a server makes for so many bursts, after all connections are open.
pub fn count(peer: &Peer, mode: Mode, connections: usize, bursts: usize) -> io::Result<Calls> {
    let port = free_port()?;
    let shared = &Shared::default();
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
            trace(pid, shared)
        });
        let Ok(pid) = told.recv() else { return tracer.join().expect("it does not panic") };
        let result = load(port, mode, connections, bursts, shared);
        // SAFETY: takes numbers. The tracer reaps the server after this only: it does not end by itself.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        let calls = tracer.join().expect("it does not panic");
        result.and(calls)
    })
}

fn load(port: u16, mode: Mode, connections: usize, bursts: usize, shared: &Shared) -> io::Result<()> {
    let start = Instant::now();
    while let Err(error) = os::connect(port, 1) {
        if start.elapsed() > LIMIT {
            return Err(error);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut client = Client::connect(port, mode, connections)?;
    shared.until_it_waits()?;
    shared.counting.store(true, Ordering::SeqCst);
    for _ in 0..bursts {
        client.burst()?;
        shared.until_it_waits()?;
    }
    shared.counting.store(false, Ordering::SeqCst);
    Ok(())
}

/// Counts the calls of a process and all its threads until they have ended.
fn trace(pid: i32, shared: &Shared) -> io::Result<Calls> {
    let mut calls = Calls::new();
    let mut waiting = BTreeSet::new();
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
                let call = entry(thread);
                match call {
                    Some(Call { waits: true, .. }) => _ = waiting.insert(thread),
                    _ => _ = waiting.remove(&thread),
                }
                // Counted before the client can know of the wait.
                if let Some(call) = call.filter(|_| shared.counting.load(Ordering::SeqCst)) {
                    *calls.entry(call.number).or_default() += 1;
                }
                shared.waiting.store(waiting.len(), Ordering::SeqCst);
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

/// A call at its entry.
#[derive(Clone, Copy)]
struct Call {
    number: i64,
    /// For events, and not only looking whether there are any.
    waits: bool,
}

/// The call, if the thread stands at the entry of one.
fn entry(thread: i32) -> Option<Call> {
    // SAFETY: the structure is integers, for which zeros are a value.
    let mut info: libc::ptrace_syscall_info = unsafe { zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes.
    let n = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info) };
    if n <= 0 || info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: it is an entry, as `op` says.
    let entry = unsafe { info.u.entry };
    let number = entry.nr as i64;
    let timeout = match number {
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => entry.args[3] as i32 as i64,
        libc::SYS_epoll_pwait2 => -1, // a pointer, and nobody passes zeros by it
        _ => 0,
    };
    Some(Call { number, waits: timeout != 0 })
}
