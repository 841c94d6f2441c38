//! How tasks and programs die: overflow, fault, panic.

use crate::harness::{Outcome, PROFILES, finish, run, scenario};
use std::ffi::c_long;
use std::fs;
use std::io::Error;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// KiB of a stack, unless a program or a task asks for another size.
const STACK: usize = 256;

/// What is written where tasks are spawned.
const SOURCE: &str = include_str!("../programs/src/stacks.rs");

#[track_caller]
fn each(name: &str, check: impl Fn(&Outcome)) {
    for profile in PROFILES {
        check(&run(&mut scenario(profile, name)));
    }
}

/// Checks that `report` begins with `netpoll: task N (spawned at FILE:LINE:COLUMN)`, and that the source has `spawn` at
/// that place, or is about the main task. Returns the rest.
#[track_caller]
fn after_name<'a>(report: &'a str, task: u32, spawn: Option<&str>) -> &'a str {
    let cut = |text: &'a str, start: &str| {
        text.strip_prefix(start).unwrap_or_else(|| panic!("no {start:?} at the beginning of {text:?}"))
    };
    let Some(spawn) = spawn else { return cut(report, "netpoll: task 1 (main)") };
    let (place, rest) =
        cut(report, &format!("netpoll: task {task} (spawned at tests/programs/src/stacks.rs:"))
            .split_once(')')
            .unwrap_or_else(|| panic!("{report:?}"));
    let (line, column) = place.split_once(':').unwrap();
    let line = SOURCE.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap();
    assert!(line[column.parse::<usize>().unwrap() - 1..].starts_with(spawn), "{report:?}: {line:?}");
    rest
}

/// The scenario overflows its stack of `kib` KiB in task `task`, which is spawned by `spawn`.
#[track_caller]
fn overflows(name: &str, task: u32, spawn: Option<&str>, kib: usize, remedy: &str) {
    each(name, |outcome| {
        outcome.killed_by(libc::SIGSEGV);
        assert_eq!(outcome.stdout, "");
        let rest = after_name(&outcome.stderr, task, spawn);
        let more = format!("netpoll::Builder::new().stack_size({} << 10){remedy}", 2 * kib);
        let expected = format!(" overflowed its stack of {kib} KiB; give it more: {more}\n");
        assert_eq!(rest, expected);
    });
}

const FOR_ALL_OR_ONE: &str = ", in entry!(main, ..) for all tasks or .spawn(f) for this one";

#[test]
fn overflow_in_main_is_named() {
    overflows("overflow_in_main", 1, None, STACK, ", in entry!(main, ..)");
}

#[test]
fn overflow_in_a_task_is_named() {
    overflows("overflow_in_a_task", 2, Some("spawn(|| deep(u64::MAX))"), STACK, FOR_ALL_OR_ONE);
    overflows("overflow_by_one_array", 2, Some("spawn(|| u32::from("), STACK, FOR_ALL_OR_ONE);
}

#[test]
fn overflow_on_a_used_stack_is_named() {
    overflows("overflow_on_a_used_stack", 4, Some("spawn(|| deep(u64::MAX))"), STACK, FOR_ALL_OR_ONE);
}

#[test]
fn overflow_in_a_scope_is_named() {
    overflows("overflow_in_a_scope", 2, Some("spawn(|| deep(u64::MAX))"), STACK, FOR_ALL_OR_ONE);
}

#[test]
fn overflow_in_a_handler_names_the_server() {
    overflows("overflow_in_a_handler", 3, Some("serve(&listener"), STACK, FOR_ALL_OR_ONE);
}

#[test]
fn overflow_of_a_small_stack_is_told_with_its_size() {
    let spawn = "spawn(|| deep(u64::MAX)).unwrap()";
    overflows("overflow_of_a_small_stack", 2, Some(spawn), 16, " where it is spawned");
}

/// The scenario dies by `signal`, which is reported as no overflow, with the address that it prints, or else
/// `address`.
#[track_caller]
fn faults(name: &str, spawn: Option<&str>, signal: i32, address: Option<&str>) {
    each(name, |outcome| {
        outcome.killed_by(signal);
        let rest = after_name(&outcome.stderr, 2, spawn);
        let signal = if signal == libc::SIGBUS { "SIGBUS" } else { "SIGSEGV" };
        let address = match address {
            Some(address) => format!(" at address 0x{address}"),
            None => String::new(),
        };
        instruction(rest, &format!("{signal}{address}"));
    });
}

/// A line that ends with the address of an instruction in a program's code.
#[track_caller]
fn instruction(report: &str, start: &str) {
    let start = format!(" did not overflow its stack: {start}, instruction at 0x");
    let rest = report.strip_prefix(&start).unwrap_or_else(|| panic!("no {start:?}: {report:?}"));
    let address = u64::from_str_radix(rest.strip_suffix('\n').unwrap(), 16).unwrap();
    assert!((0x20_0000..0x100_0000).contains(&address), "{report:?}");
}

#[test]
fn a_null_pointer_is_no_overflow() {
    faults("null_in_main", None, libc::SIGSEGV, Some("10"));
    faults("null_in_a_task", Some("spawn(null)"), libc::SIGSEGV, Some("10"));
    faults("null_on_a_stack_of_its_own_size", Some("spawn(null)"), libc::SIGSEGV, Some("10"));
}

/// The processor does not even look there, and the kernel does not know of the address.
#[test]
fn an_address_that_is_none_is_no_overflow() {
    faults("no_address_in_a_task", Some("spawn(|| read("), libc::SIGSEGV, None);
}

#[test]
fn a_wild_address_is_no_overflow() {
    for profile in PROFILES {
        for (name, signal, text) in [
            ("above_the_stack_in_a_task", libc::SIGSEGV, "SIGSEGV"),
            ("a_file_that_is_too_short", libc::SIGBUS, "SIGBUS"),
        ] {
            let outcome = run(&mut scenario(profile, name));
            outcome.killed_by(signal);
            let rest = after_name(&outcome.stderr, 2, Some("spawn(|| read("));
            instruction(rest, &format!("{text} at address 0x{}", outcome.stdout.trim_end()));
        }
    }
}

/// A signal that a process sends ends the program, as it would without a handler, and is no fault of a task.
#[test]
fn sigsegv_from_a_process_is_no_fault() {
    each("sends_itself_sigsegv", |outcome| {
        outcome.killed_by(libc::SIGSEGV).printed("", "");
    });
}

/// The only thread waits on its own stack, and is made to go on at address 8.
#[test]
fn a_fault_on_the_stack_of_no_task_is_the_schedulers() {
    for profile in PROFILES {
        let child = scenario(profile, "sleeps_for_ever").env("NETPOLL_THREADS", "1").spawn().unwrap();
        wait_until_it_polls(child.id());
        go_on_at(child.id() as i32, 8);
        let outcome = finish(child).unwrap();
        outcome.killed_by(libc::SIGSEGV);
        let report = "netpoll: the scheduler: SIGSEGV at address 0x8, instruction at 0x8\n";
        outcome.printed("", report);
    }
}

/// Returns when the first thread of a process is in a wait for events.
fn wait_until_it_polls(pid: u32) {
    const CALLS: [c_long; 2] = [libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];
    let start = Instant::now();
    loop {
        let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        if number.is_some_and(|number| CALLS.contains(&number)) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it is in {call}");
        sleep(Duration::from_millis(1));
    }
}

/// Has a process that waits in a system call go on at `address`.
fn go_on_at(pid: i32, address: u64) {
    const CALL: c_long = -1;
    // SAFETY: the calls are about a child of this test; the registers are written before they are read.
    unsafe {
        let mut registers: libc::user_regs_struct = zeroed();
        assert_eq!(
            libc::ptrace(libc::PTRACE_ATTACH, pid, null_mut::<u8>(), null_mut::<u8>()),
            0,
            "{}",
            Error::last_os_error()
        );
        assert_eq!(libc::waitpid(pid, null_mut(), libc::__WALL), pid);
        assert_eq!(libc::ptrace(libc::PTRACE_GETREGS, pid, null_mut::<u8>(), &raw mut registers), 0);
        registers.rip = address;
        registers.orig_rax = CALL as u64; // no call is to be started again
        assert_eq!(libc::ptrace(libc::PTRACE_SETREGS, pid, null_mut::<u8>(), &raw const registers), 0);
        assert_eq!(libc::ptrace(libc::PTRACE_DETACH, pid, null_mut::<u8>(), null_mut::<u8>()), 0);
    }
}

/// `task N panicked at FILE:LINE:COLUMN:` and a line with the message.
#[track_caller]
fn panicked(report: &str, task: u32, message: &str) {
    let (head, rest) = report.split_once('\n').unwrap_or_else(|| panic!("{report:?}"));
    let place = head.strip_prefix(&format!("task {task} panicked at tests/programs/src/stacks.rs:"));
    let place = place.unwrap_or_else(|| panic!("{report:?}"));
    assert!(place.chars().all(|c| c.is_ascii_digit() || c == ':'), "{report:?}");
    assert_eq!(rest, message, "{report:?}");
}

#[test]
fn a_panic_names_its_task_and_place() {
    for (name, task, message) in [
        ("panic_in_main", 1, "on purpose, 1\n"),
        ("panic_in_a_task", 2, "on purpose, 2\n"),
        ("panic_in_a_drop", 1, "bad drop\n"),
        ("panic_in_the_drop_of_a_result", 2, "bad drop\n"),
    ] {
        each(name, |outcome| {
            outcome.exited(101);
            panicked(&outcome.stderr, task, message);
        });
    }
}

/// The message of a panic panics itself: both places are named, and there is an end to it.
#[test]
fn a_panic_within_a_panic_ends() {
    for name in ["panic_while_formatting", "panic_with_a_message_that_panics"] {
        each(name, |outcome| {
            outcome.exited(101);
            let places: Vec<_> =
                outcome.stderr.matches("task 1 panicked at tests/programs/src/stacks.rs:").collect();
            assert_eq!(places.len(), 2, "{}", outcome.stderr);
            assert!(outcome.stderr.ends_with('\n'));
        });
    }
}
