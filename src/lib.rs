//! Go's network poller and goroutine scheduler for freestanding Linux programs: no std, no libc.
//!
//! A program is plain blocking code. Each task has a stack of its own; a call that would block parks its
//! task, and the thread runs another one until `epoll_pwait` says that the first can go on. Tasks run on
//! as many threads as there are CPUs, and one that computes for too long is interrupted for the others.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! use netpoll::net::{TcpListener, TcpStream};
//!
//! netpoll::entry!(main); // `_start`, the panic handler, `memcpy` and its like
//!
//! fn main(_: netpoll::rt::Env) -> i32 {
//!     let listener = TcpListener::bind("127.0.0.1:9000").unwrap();
//!     while let Ok((stream, _)) = listener.accept() {
//!         drop(netpoll::spawn(move || echo(&stream))); // a task; `drop` detaches it
//!     }
//!     0
//! }
//!
//! fn echo(stream: &TcpStream) {
//!     let mut buf = [0; 4096];
//!     while let Ok(n @ 1..) = stream.read(&mut buf) {
//!         if stream.write_all(&buf[..n]).is_err() {
//!             break;
//!         }
//!     }
//! }
//! ```
//!
//! Such a program needs link arguments, `panic = "abort"` and a `[[bin]]` without libtest in its *own*
//! package: the README has all three to copy.
//!
//! | who | uses |
//! |---|---|
//! | a freestanding program | [`entry!`], [`spawn`], [`net`], [`io`], [`time`], [`println!`], [`rt::Env`] |
//! | its tasks among themselves | [`scope`], [`sync`], [`select!`], [`syscall()`], [`blocking`], [`yield_now`] |
//! | whom others may end or notify | [`signal`] |
//! | whoever looks into it | [`runtime`] |
//! | one without tasks | [`start!`], [`sys`] |
//! | a scheduler of its own | [`poll::Netpoll`] behind [`poll::Scheduler`], perhaps [`arch::Context`]; `default-features = false` |
//! | a test of system calls | [`arch`] for the raw ones, [`sys`] for the typed ones and the structs |
//!
//! # Features
//! `rt` (default): the runtime. Without it this crate is [`arch`], [`sys`], [`timer`] and [`poll`], which
//! link beside std and libc and disturb neither. `alloc`: a global allocator, `rt::Heap`. `httpd` (default): what
//! the program of that name needs besides. `valgrind`: that knows of the stacks, if the program runs under it.
//!
//! # Safe code
//! No safe function, trait or macro of this crate leads to undefined behaviour, whatever a program forgets, leaks, sends
//! or counts up. It may wait for ever, or end with a message. ARCHITECTURE.md says what holds that up.
//!
//! # What it rests on
//! Linux on x86_64, Rust 1.88. The runtime allocates by `mmap` only, and a program has no thread-local
//! storage, no libc and no unwinding: a panic ends the process. Of signals the runtime takes SIGSEGV and
//! SIGBUS (faults, and the end of a stack), SIGPIPE (ignored), and, with preemption, SIGURG and SIGQUIT; [`signal`]
//! tells which a program may have.
#![cfg_attr(not(any(test, loom)), no_std)]

#[path = "../arch/mod.rs"]
pub mod arch;
mod atomic;
#[cfg(all(feature = "rt", not(loom)))]
pub mod io;
mod lock;
mod mapping;
#[cfg(all(loom, test))]
mod model;
#[cfg(all(feature = "rt", not(loom)))]
pub mod net;
pub mod poll;
#[cfg(not(loom))]
mod preempt;
#[cfg(all(feature = "rt", doctest))]
mod refused;
#[cfg(all(feature = "rt", not(loom)))]
pub mod rt;
#[cfg(all(feature = "rt", not(loom)))]
pub mod runtime;
#[cfg(all(feature = "rt", not(loom)))]
mod sched;
#[cfg(all(feature = "rt", not(loom)))]
pub mod signal;
#[cfg(all(feature = "rt", not(loom)))]
pub mod sync;
pub mod sys;
#[cfg(all(feature = "rt", not(loom)))]
pub mod time;
pub mod timer;

#[cfg(all(feature = "rt", not(loom)))]
pub use sched::{
    Builder, JoinHandle, Scope, ScopedJoinHandle, TaskId, blocking, scope, spawn, syscall, yield_now,
};
