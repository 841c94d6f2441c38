//! The loop of ptrace(2): resumes threads from stop to stop and keeps what they stopped for.

use std::collections::HashMap;
use std::io;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::time::Instant;

use crate::decode::{self, Memory};
use crate::run::Shared;
use crate::{Call, End, Outcome};

/// No call has this number: a closure begins and ends with one.
pub(crate) const MARKER: i64 = 0x4e50;

/// Results from here to -1 are errors.
const FIRST_ERROR: i64 = -4095;

const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD // a call's stop is no SIGTRAP of the program's
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC // no SIGTRAP behind execve
    | libc::PTRACE_O_EXITKILL;

/// What the tracer knows of a thread.
#[derive(Default)]
struct Thread {
    /// Its first stop has been seen, which is a SIGSTOP that nobody sent.
    begun: bool,
    /// Index of the call that it is in, and when that was entered.
    within: Option<(usize, Instant)>,
}

/// Traces child `root`, which has asked for it and is about to stop, to its end. The caller is the thread that
/// has made the child: to others ptrace does not answer. If `marked`, calls count between two [`MARKER`]s.
pub(crate) fn trace(root: i32, marked: bool, shared: &Shared) -> io::Result<End> {
    wait(root)?;
    request(libc::PTRACE_SETOPTIONS, root, OPTIONS as usize)?;
    let start = Instant::now();
    let mut threads = HashMap::from([(root, Thread { begun: true, within: None })]);
    let mut counts = !marked;
    resume(root, 0)?;
    loop {
        let (tid, status) = wait(-1)?;
        if !libc::WIFSTOPPED(status) {
            threads.remove(&tid);
            if tid != root {
                continue;
            }
            return Ok(match libc::WIFSIGNALED(status) {
                true => End::Killed(libc::WTERMSIG(status)),
                false => End::Exited(libc::WEXITSTATUS(status)),
            });
        }
        let thread = threads.entry(tid).or_default();
        let mut deliver = 0;
        match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => match info(tid) {
                Some(Stop::Entry(call)) if call.nr as i64 == MARKER => counts = !counts,
                Some(Stop::Entry(mut call)) if counts => {
                    let now = Instant::now();
                    (call.at, call.shown) = (now - start, decode::entry(&call, Memory(tid)));
                    thread.within = Some((shared.push(call), now));
                }
                Some(Stop::Exit(value)) => {
                    if let Some((index, entered)) = thread.within.take() {
                        shared.change(index, |call| {
                            call.took = entered.elapsed();
                            call.outcome = match value {
                                FIRST_ERROR..0 => Outcome::Error(-value as i32),
                                _ => Outcome::Value(value),
                            };
                            decode::exit(call, Memory(tid));
                        });
                    }
                }
                _ => {}
            },
            _ if status >> 16 != 0 => {} // a new thread, or another program
            libc::SIGSTOP if !thread.begun => {}
            // A stop of all threads says EINVAL here: it has been delivered.
            signal if has_siginfo(tid) => deliver = signal,
            _ => {}
        }
        thread.begun = true;
        resume(tid, deliver)?;
    }
}

enum Stop {
    Entry(Call),
    Exit(i64),
}

/// Why a thread has stopped at a system call; `None` if it is gone.
fn info(tid: i32) -> Option<Stop> {
    // SAFETY: the structure is integers, for which zeros are a value.
    let mut info: libc::ptrace_syscall_info = unsafe { zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes.
    let n = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size, &raw mut info) };
    if n <= 0 {
        return None;
    }
    match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: `op` says that this member is the one that was written.
            let entry = unsafe { info.u.entry };
            Some(Stop::Entry(Call {
                nr: entry.nr,
                args: entry.args,
                ip: info.instruction_pointer,
                thread: tid,
                at: Default::default(),
                took: Default::default(),
                outcome: Outcome::Pending,
                shown: Vec::new(),
            }))
        }
        // SAFETY: as above.
        libc::PTRACE_SYSCALL_INFO_EXIT => Some(Stop::Exit(unsafe { info.u.exit }.sval)),
        _ => None,
    }
}

fn has_siginfo(tid: i32) -> bool {
    // SAFETY: integers; the kernel writes one `siginfo_t`.
    unsafe {
        let mut info: libc::siginfo_t = zeroed();
        libc::ptrace(libc::PTRACE_GETSIGINFO, tid, 0, &raw mut info) == 0
    }
}

fn resume(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, signal as usize)
}

fn request(request: libc::c_uint, tid: i32, data: usize) -> io::Result<()> {
    // SAFETY: the requests used here take numbers, and touch no memory of this process.
    let result = unsafe { libc::ptrace(request, tid, null_mut::<u8>(), data) };
    match io::Error::last_os_error() {
        // It has been killed, as a later wait will tell.
        error if result < 0 && error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => Ok(()),
    }
}

/// Waits for `who` (-1: any) of this thread's own children and traced threads: those of other threads of a test
/// process are left to them.
fn wait(who: i32) -> io::Result<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: the kernel writes one `int`.
        let tid = unsafe { libc::waitpid(who, &mut status, libc::__WALL | libc::__WNOTHREAD) };
        if tid >= 0 {
            return Ok((tid, status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
