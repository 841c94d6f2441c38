//! Three oracles: each case is made through our wrapper, through `sc`'s system calls and through libc,
//! and all three must come to the outcome that the case names. A call that this kernel does not have is
//! a skip, printed as one.
//!
//! The cases of a table run in order; every implementation gets a world of its own, so that none sees
//! what another left behind.

#![allow(unused_unsafe)] // the columns of a table are unsafe as a whole

#[path = "support/oracles/descriptors.rs"]
mod descriptors;
#[path = "support/oracles/epoll.rs"]
mod epoll;
#[path = "support/oracles/files.rs"]
mod files;
#[path = "support/oracles/process.rs"]
mod process;
#[path = "support/oracles/sandbox.rs"]
mod sandbox;
#[path = "support/oracles/sockets.rs"]
mod sockets;
#[path = "support/oracles/world.rs"]
mod world;

use netpoll::sys::time::Timespec;
use netpoll::sys::{Errno, RawFd};
use world::{Outcome, World};

/// One fact: what a call comes to, and three ways to make it.
struct Case {
    name: &'static str,
    expected: Outcome,
    /// In the order of [`WHO`].
    calls: [fn(&World) -> Outcome; 3],
}

const WHO: [&str; 3] = ["netpoll", "sc", "libc"];

/// One system call of `sc`; `i32` is sign-extended.
macro_rules! sys {
    ($name:ident $(, $arg:expr)*) => { $crate::world::Ours::outcome(netpoll::sys::result(sc::syscall!($name $(, $arg)*))) };
}
use sys;

/// Cases as `"name" => expected; |world|`, then a line each for ours, `sc`'s and libc's call.
macro_rules! table {
    ($($name:literal => $expected:expr; |$w:pat_param| $ours:expr; $sc:expr; $libc:expr;)*) => {
        vec![$(Case {
            name: $name,
            expected: $expected,
            // SAFETY: every pointer in the table is null, or a buffer that outlives its call and is as large
            // as the call is told; calls on the memory map have arguments that the kernel refuses.
            calls: [|$w| unsafe { $ours }, |$w| unsafe { $sc }, |$w| unsafe { $libc }],
        }),*]
    };
}
use table;

const fn err(e: Errno) -> Outcome {
    -(e.raw() as Outcome)
}

/// A descriptor that is never open.
const BAD: RawFd = 1_000_000;
const NOT_OPEN: Outcome = err(Errno::EBADF);
const INVALID: Outcome = err(Errno::EINVAL);

const NOW: Timespec = Timespec { secs: 0, nanos: 0 };
static C_NOW: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
/// Out of range by one.
const LATE: Timespec = Timespec { secs: 0, nanos: 1_000_000_000 };
static C_LATE: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };

/// Makes every case three times over; all differences are reported at once.
fn agree(table: &str, cases: &[Case]) {
    let worlds = WHO.map(|who| World::new(&format!("{table}-{who}")));
    let mut wrong = Vec::new();
    for case in cases {
        for ((who, world), call) in WHO.iter().zip(&worlds).zip(case.calls) {
            let outcome = call(world);
            if outcome == err(Errno::ENOSYS) && case.expected != outcome {
                println!("skipped: {} ({who}): this kernel does not have the call", case.name);
            } else if outcome != case.expected {
                wrong.push(format!("{} ({who}): {outcome} instead of {}", case.name, case.expected));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn epoll_and_eventfd() {
    agree("epoll", &epoll::cases());
}

#[test]
fn descriptors_and_pipes() {
    agree("descriptors", &descriptors::cases());
}

#[test]
fn files_and_directories() {
    agree("files", &files::cases());
}

#[test]
fn memory_processes_and_signals() {
    agree("process", &process::cases());
}

#[test]
fn filters_and_rules() {
    agree("sandbox", &sandbox::cases());
}

#[test]
fn sockets_and_options() {
    agree("sockets", &sockets::cases());
}

#[test]
#[should_panic(expected = "x (sc): 1 instead of 0")]
fn a_difference_is_reported() {
    agree("differing", &[Case { name: "x", expected: 0, calls: [|_| 0, |_| 1, |_| 0] }]);
}
