//! What somebody could do who has taken the server over: a call of his own, made from within by ptrace(2). Without the
//! sandbox it succeeds, so that it is the sandbox which refuses it otherwise.

use std::ffi::{CString, c_void};
use std::fs;
use std::mem::{MaybeUninit, forget};
use std::os::unix::ffi::OsStrExt;
use std::ptr::{null_mut, without_provenance_mut};
use std::thread::sleep;
use std::time::Duration;

use crate::server::{Server, folder};

#[derive(Debug, PartialEq)]
enum Outcome {
    /// The call's result.
    Result(i64),
    /// It was the process's end.
    Killed(i32),
}

/// ptrace(2) with numbers; -1 is an error.
fn ptrace(request: libc::c_uint, pid: i32, at: usize, data: usize) {
    let pointer = without_provenance_mut::<c_void>;
    // SAFETY: only requests that take numbers, or addresses in the other process.
    let done = unsafe { libc::ptrace(request, pid, pointer(at), pointer(data)) };
    assert_ne!(done, -1, "{request}: {}", std::io::Error::last_os_error());
}

/// Waits until the server stops, or has ended.
fn wait(pid: i32) -> Option<Outcome> {
    let mut status = 0;
    // SAFETY: the kernel writes the status.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, libc::__WALL) }, pid);
    (!libc::WIFSTOPPED(status)).then(|| Outcome::Killed(libc::WTERMSIG(status)))
}

fn registers(pid: i32) -> libc::user_regs_struct {
    let mut regs = MaybeUninit::uninit();
    // SAFETY: the kernel writes all of it.
    unsafe {
        assert_ne!(libc::ptrace(libc::PTRACE_GETREGS, pid, null_mut::<c_void>(), regs.as_mut_ptr()), -1);
        regs.assume_init()
    }
}

/// Stops the server behind a system call, as a rule in that of its poller.
fn stop(pid: i32) -> libc::user_regs_struct {
    for _ in 0..10_000 {
        ptrace(libc::PTRACE_ATTACH, pid, 0, 0);
        assert_eq!(wait(pid), None);
        let regs = registers(pid);
        let before = without_provenance_mut::<c_void>(regs.rip as usize - 2);
        // SAFETY: reads in the other process.
        let code = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, pid, before, null_mut::<c_void>()) };
        if code.to_le_bytes().starts_with(&[0x0f, 0x05]) {
            return regs;
        }
        ptrace(libc::PTRACE_DETACH, pid, 0, 0);
        sleep(Duration::from_millis(1));
    }
    panic!("it never makes a call");
}

/// Has the server make a call. `None` in `args` is where `text` was put.
fn call(server: &Server, nr: i64, args: [Option<u64>; 3], text: &CString) -> Outcome {
    let pid = server.child.id() as i32;
    let mut regs = stop(pid);
    // Below what the interrupted code may use.
    let place = (regs.rsp - 8192) & !7;
    for (at, word) in (place..).step_by(8).zip(text.as_bytes_with_nul().chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        ptrace(libc::PTRACE_POKEDATA, pid, at as usize, usize::from_ne_bytes(bytes));
    }
    let [a, b, c] = args.map(|arg| arg.unwrap_or(place));
    (regs.rax, regs.rdi, regs.rsi, regs.rdx) = (nr as u64, a, b, c);
    (regs.r10, regs.rip) = (0, regs.rip - 2); // `syscall` once more
    regs.orig_rax = u64::MAX; // no call that the kernel would begin again
    // SAFETY: the kernel reads all of it.
    assert_ne!(unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, null_mut::<c_void>(), &raw const regs) }, -1);
    for _ in 0..10 {
        ptrace(libc::PTRACE_SINGLESTEP, pid, 0, 0);
        if let Some(end) = wait(pid) {
            return end;
        }
        let after = registers(pid);
        if after.rip != regs.rip {
            assert_eq!(after.rip, regs.rip + 2, "it made no call");
            return Outcome::Result(after.rax as i64);
        } // a signal was first
    }
    panic!("it does not go on");
}

/// What comes of `nr`, with the sandbox or without it. The server, which is lost, is killed.
fn outcome(sandbox: bool, nr: i64, args: [Option<u64>; 3], text: &CString) -> Outcome {
    let root = folder(&format!("taken-over-{nr}-{sandbox}"));
    fs::write(root.join("file"), "content").unwrap();
    let flags: &[&str] = if sandbox { &["--sandbox"] } else { &[] };
    let server = Server::start_with(&root, flags, |command| {
        // Without preemption: the stop is to be that of the attachment, and not a signal's.
        command.env("NETPOLL_THREADS", "1").env("NETPOLL_PREEMPTION", "0");
    });
    assert_eq!(server.get("/file").text(), "content"); // it is in its loop
    let outcome = call(&server, nr, args, text);
    if let Outcome::Killed(_) = outcome {
        forget(server); // nobody's number any more
    }
    outcome
}

#[test]
fn a_socket_ends_the_process_only_in_the_sandbox() {
    let args = [Some(libc::AF_INET as u64), Some(libc::SOCK_STREAM as u64), Some(0)];
    let made = |sandbox| outcome(sandbox, libc::SYS_socket, args, &CString::default());
    assert!(matches!(made(false), Outcome::Result(3..)));
    assert_eq!(made(true), Outcome::Killed(libc::SIGSYS));
}

#[test]
fn a_file_outside_the_root_is_refused_only_in_the_sandbox() {
    let secret = folder("taken-over").join("secret");
    fs::write(&secret, "secret").unwrap();
    let path = CString::new(secret.as_os_str().as_bytes()).unwrap();
    let opened = |sandbox| outcome(sandbox, libc::SYS_openat, [Some(-100i64 as u64), None, Some(0)], &path);
    assert!(matches!(opened(false), Outcome::Result(3..)));
    // SAFETY: this operation takes no structure.
    if unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1) } < 1 {
        println!("skipped: this kernel has no landlock");
        return;
    }
    assert_eq!(opened(true), Outcome::Result(-i64::from(libc::EACCES)));
}
