//! Sees system calls as the kernel sees them: a forked child makes the calls of a table, its tracer
//! reads number and arguments at each entry and keeps the kernel from carrying the call out. So every
//! call can be made with any arguments, `munmap` and `kill` too.

use std::mem::{offset_of, size_of};
use std::ptr::null_mut;

/// No call has this number; it says which case comes next.
const MARKER: usize = 0x4e50;

/// What a register must hold at the entry.
#[derive(Debug)]
pub enum Arg {
    /// These 64 bits.
    Is(u64),
    /// The address of these bytes.
    Points(Vec<u8>),
    /// The address of a structure with these bytes at these offsets; the gaps hold anything.
    Parts(Vec<(u64, Vec<u8>)>),
    /// An address in user space: a variable of the wrapper's own.
    Somewhere,
}

impl Arg {
    fn holds(&self, value: u64, child: i32) -> bool {
        match self {
            Arg::Is(expected) => value == *expected,
            Arg::Points(bytes) => peek(child, value, bytes.len()).as_ref() == Some(bytes),
            Arg::Parts(parts) => parts
                .iter()
                .all(|(at, bytes)| peek(child, value.wrapping_add(*at), bytes.len()).as_ref() == Some(bytes)),
            Arg::Somewhere => (0x1000..1 << 47).contains(&value),
        }
    }
}

/// A call and what the kernel must see of it.
pub struct Case {
    pub name: &'static str,
    pub nr: u64,
    pub args: Vec<Arg>,
    pub call: Box<dyn Fn()>,
}

/// What came of a run: what was wrong, and how the child ended (waitpid's status).
pub struct Report {
    pub wrong: Vec<String>,
    pub status: i32,
}

/// Makes the calls of `cases` in a traced child, one after the other. `exit_group` alone is carried
/// out, so it can only come last.
pub fn run(cases: &[Case]) -> Report {
    // SAFETY: the child makes system calls only; it neither allocates nor takes a lock.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork: {}", std::io::Error::last_os_error());
    if child == 0 {
        be_traced(cases);
    }
    let report = trace(child, cases);
    assert!(
        libc::WIFEXITED(report.status) || libc::WIFSIGNALED(report.status),
        "the child is still there: {:#x}",
        report.status
    );
    report
}

fn be_traced(cases: &[Case]) -> ! {
    // SAFETY: these calls touch no memory of ours.
    unsafe {
        libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>());
        libc::raise(libc::SIGSTOP);
    }
    for (i, case) in cases.iter().enumerate() {
        // SAFETY: there is no such call.
        unsafe { sc::syscall1(MARKER, i) };
        (case.call)();
    }
    // SAFETY: ends the child without running anything of the test process's exit handlers.
    unsafe { libc::_exit(0) }
}

fn trace(child: i32, cases: &[Case]) -> Report {
    let mut wrong = Vec::new();
    let mut status = wait(child);
    assert!(libc::WIFSTOPPED(status), "the child did not stop: {status:#x}");
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    request(libc::PTRACE_SETOPTIONS, child, 0, options as u64);

    let mut made = vec![0; cases.len()];
    let mut current: Option<usize> = None;
    // Two stops for the marker and two for the call of each case; more only if a wrapper calls twice.
    for _ in 0..cases.len() * 8 + 8 {
        request(libc::PTRACE_SYSCALL, child, 0, 0);
        status = wait(child);
        if !libc::WIFSTOPPED(status) {
            break;
        }
        if libc::WSTOPSIG(status) != libc::SIGTRAP | 0x80 {
            let name = current.map_or("the start", |i| cases[i].name);
            wrong.push(format!("{name}: stopped by signal {}", libc::WSTOPSIG(status)));
            kill(child);
            status = wait(child);
            break;
        }
        let Some((nr, args)) = entry(child) else { continue };
        if nr == MARKER as u64 {
            current = Some(args[0] as usize);
            continue;
        }
        let Some(i) = current else { continue };
        let last = nr == libc::SYS_exit_group as u64;
        if last && cases[i].nr != nr {
            continue; // the end of the child, after all cases
        }
        made[i] += 1;
        compare(&cases[i], nr, &args, child, &mut wrong);
        if !last {
            let at = offset_of!(libc::user_regs_struct, orig_rax) as u64;
            request(libc::PTRACE_POKEUSER, child, at, u64::MAX);
        }
    }
    if libc::WIFSTOPPED(status) {
        kill(child);
        status = wait(child);
    }
    for (case, made) in cases.iter().zip(made) {
        if made != 1 {
            wrong.push(format!("{}: {made} system calls instead of 1", case.name));
        }
    }
    Report { wrong, status }
}

fn compare(case: &Case, nr: u64, args: &[u64; 6], child: i32, wrong: &mut Vec<String>) {
    if nr != case.nr {
        wrong.push(format!("{}: number {nr} instead of {}", case.name, case.nr));
    }
    for (i, (arg, &value)) in case.args.iter().zip(args).enumerate() {
        if !arg.holds(value, child) {
            let there = match arg {
                Arg::Points(bytes) => format!(" -> {:x?}", peek(child, value, bytes.len())),
                Arg::Parts(_) => format!(" -> {:x?}", peek(child, value, 64)),
                _ => String::new(),
            };
            wrong.push(format!("{}: argument {} is {value:#x}{there}, not {arg:x?}", case.name, i + 1));
        }
    }
}

/// Number and arguments, if the child stands at the entry of a call.
fn entry(child: i32) -> Option<(u64, [u64; 6])> {
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    // SAFETY: the structure is integers, for which zeros are a value.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes.
    let n = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, child, size, &raw mut info) };
    assert!(n > 0, "PTRACE_GET_SYSCALL_INFO: {}", std::io::Error::last_os_error());
    assert_eq!(info.arch, AUDIT_ARCH_X86_64, "a call of another ABI");
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: `op` says that this member is the one that was written.
    let entry = unsafe { info.u.entry };
    Some((entry.nr, entry.args))
}

/// `len` bytes of the child's memory, or `None` if they are not all there.
fn peek(child: i32, at: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0u8; len];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
    let remote = libc::iovec { iov_base: at as *mut _, iov_len: len };
    // SAFETY: the kernel writes at most `len` bytes to the local buffer.
    let n = unsafe { libc::process_vm_readv(child, &local, 1, &remote, 1, 0) };
    (n == len as isize).then_some(bytes)
}

fn request(request: libc::c_uint, child: i32, addr: u64, data: u64) {
    // SAFETY: the requests used here take numbers, and touch no memory of this process.
    let r = unsafe { libc::ptrace(request, child, addr, data) };
    assert!(r >= 0, "ptrace {request:#x}: {}", std::io::Error::last_os_error());
}

fn wait(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the kernel writes one `int`.
    let r = unsafe { libc::waitpid(child, &mut status, libc::__WALL) };
    assert_eq!(r, child, "waitpid: {}", std::io::Error::last_os_error());
    status
}

fn kill(child: i32) {
    // SAFETY: the child is ours and has not been waited for, so the number is still its own.
    unsafe { libc::kill(child, libc::SIGKILL) };
}
