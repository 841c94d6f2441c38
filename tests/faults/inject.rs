//! Has system calls of a program fail. A seccomp filter stops the threads at the calls in question, and at
//! those only; their tracer, the thread that runs the program, lets them go on, or answers in the kernel's
//! place. Root is not needed, nor any tool.

use std::io::Read;
use std::mem::{size_of, zeroed};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null_mut;
use std::thread;
use std::time::{Duration, Instant};

/// Between one with 1 and one with 0 the program's calls may fail (`tests/programs/src/faults.rs`).
const MARKER: i64 = 0x4e50;

/// A program that takes this long hangs, on the slowest machine.
const LIMIT: Duration = Duration::from_secs(150);

/// What is done to a call.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// It fails, and does nothing.
    Refuse(i32),
    /// It does what it does, and fails nevertheless.
    Spoil(i32),
    /// It comes later.
    Delay(Duration),
}

/// Which calls: of this number, with arguments that `only` takes, from the `first` on (the first is 1),
/// `count` of them.
#[derive(Clone, Copy)]
pub struct Fault {
    pub call: i64,
    pub only: fn(&[u64; 6]) -> bool,
    pub first: u32,
    pub count: u32,
    pub act: Act,
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// How many calls there were that the fault might have hit.
    pub seen: u32,
    /// waitpid's status; `None`: it hung, and was killed.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Has `command` stop where the tracer wants it to.
fn stop_at(command: &mut Command, call: i64) {
    let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // seccomp_data's nr
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, call as u32),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, MARKER as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_TRACE),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    // SAFETY: system calls only, on what the closure owns.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            let failed = libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) != 0
                || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0;
            if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
        });
    }
}

/// Runs `command` to its end, or for as long as is allowed.
pub fn run(command: &mut Command, fault: Fault) -> Run {
    stop_at(command, fault.call);
    #[allow(clippy::zombie_processes)] // it is waited for, below
    let mut child = command.spawn().unwrap();
    let process = child.id() as i32;
    let mut tracer = Tracer { fault, seen: 0, open: false };
    let (start, mut status, mut begun) = (Instant::now(), None, false);
    loop {
        let mut stopped = 0;
        // Of this thread's children only: other tests trace others.
        let flags = libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG;
        // SAFETY: the kernel writes one `int`.
        let thread = unsafe { libc::waitpid(-1, &mut stopped, flags) };
        if thread == 0 && start.elapsed() < LIMIT {
            thread::sleep(Duration::from_micros(30));
            continue;
        }
        if thread <= 0 {
            break;
        }
        if !libc::WIFSTOPPED(stopped) {
            if thread == process {
                status = Some(stopped);
                break;
            }
            continue; // one thread of it
        }
        if !begun {
            begun = true; // at its `execve`
            let options = libc::PTRACE_O_TRACESYSGOOD
                | libc::PTRACE_O_EXITKILL
                | libc::PTRACE_O_TRACECLONE
                | libc::PTRACE_O_TRACESECCOMP;
            request(libc::PTRACE_SETOPTIONS, thread, options as u64);
            request(libc::PTRACE_CONT, thread, 0);
            continue;
        }
        tracer.stopped(thread, stopped);
    }
    if status.is_none() {
        let _ = child.kill();
        // Its threads are zombies of this tracer's until they have been waited for.
        // SAFETY: no status is asked for.
        while unsafe { libc::waitpid(-1, null_mut(), libc::__WALL | libc::__WNOTHREAD) } > 0 {}
    }
    let text = |from: Option<&mut dyn Read>| {
        let mut bytes = Vec::new();
        from.map(|from| from.read_to_end(&mut bytes).unwrap());
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let stdout = text(child.stdout.as_mut().map(|out| out as &mut dyn Read));
    let stderr = text(child.stderr.as_mut().map(|out| out as &mut dyn Read));
    Run { seen: tracer.seen, status, stdout, stderr }
}

struct Tracer {
    fault: Fault,
    seen: u32,
    /// Between the markers.
    open: bool,
}

impl Tracer {
    fn stopped(&mut self, thread: i32, status: i32) {
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            libc::PTRACE_EVENT_SECCOMP => return self.call(thread),
            0 if signal == libc::SIGTRAP | 0x80 => {
                // Behind a call that was carried out to fail.
                if let Act::Spoil(errno) = self.fault.act {
                    set(thread, |regs| regs.rax = -i64::from(errno) as u64);
                }
            }
            0 if signal != libc::SIGSTOP => return request(libc::PTRACE_CONT, thread, signal as u64),
            _ => {} // a new thread, here or there
        }
        request(libc::PTRACE_CONT, thread, 0);
    }

    fn call(&mut self, thread: i32) {
        let regs = get(thread);
        let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        if regs.orig_rax == MARKER as u64 {
            self.open = args[0] != 0;
        } else if self.open && (self.fault.only)(&args) {
            self.seen += 1;
            let Fault { first, count, act, .. } = self.fault;
            if (first..first.saturating_add(count)).contains(&self.seen) {
                match act {
                    Act::Refuse(errno) => set(thread, |regs| {
                        regs.orig_rax = u64::MAX;
                        regs.rax = -i64::from(errno) as u64;
                    }),
                    Act::Spoil(_) => return request(libc::PTRACE_SYSCALL, thread, 0),
                    Act::Delay(time) => thread::sleep(time),
                }
            }
        }
        request(libc::PTRACE_CONT, thread, 0);
    }
}

fn get(thread: i32) -> libc::user_regs_struct {
    // SAFETY: integers, for which zeros are a value, and the kernel writes as much.
    unsafe {
        let mut regs: libc::user_regs_struct = zeroed();
        libc::ptrace(libc::PTRACE_GETREGS, thread, null_mut::<u8>(), &raw mut regs);
        regs
    }
}

fn set(thread: i32, change: impl FnOnce(&mut libc::user_regs_struct)) {
    let mut regs = get(thread);
    change(&mut regs);
    const { assert!(size_of::<libc::user_regs_struct>() == 27 * 8) };
    // SAFETY: the kernel reads that structure.
    unsafe { libc::ptrace(libc::PTRACE_SETREGS, thread, null_mut::<u8>(), &raw const regs) };
}

/// Fails only if the thread has just been killed, with all others.
fn request(request: libc::c_uint, thread: i32, data: u64) {
    // SAFETY: the requests used here take numbers.
    unsafe { libc::ptrace(request, thread, null_mut::<u8>(), data) };
}
