//! Everything in assembly, one folder an architecture, and the contract they all fulfil.
//!
//! | item | promise |
//! |---|---|
//! | `syscall0` … `syscall6` | one system call, raw result; no register changes but the result and what the kernel clobbers |
//! | `syscall1_noreturn` | a call that never comes back (`exit_group`) |
//! | [`epollwait`] | Go's `runtime·epollwait`: `epoll_pwait` with a null signal mask, 32-bit result |
//! | [`epoll_pwait2`] | the same with a `timespec` |
//! | `Context`, `switch` | leave one stack for another; only what the compiler cannot be told of is saved |
//! | `prefetch` | a stack that is switched to soon comes into the cache; may do nothing |
//! | `clone_thread` | a thread on a stack of its own, in Rust code only once it stands on it |
//! | `exit_thread_unmap` | the calling thread frees its own stack and ends |
//! | `thread_pointer` | the word the thread pointer register points at: its own address |
//! | `rt_sigreturn` | what a signal handler returns to |
//! | `stack_register`, `memory_begins` and their like | for valgrind, with the feature of that name: where stacks are, and when |
//! | `mem` | `memcpy` and its family, in assembly so that the compiler cannot turn them into calls of themselves |
//! | `__netpoll_start!` | `_start`: aligned stack, self-relocation, the kernel's stack block handed on |
//! | `__netpoll_mem!` | the C symbols of `mem`, defined in the binary that asks for them |
//!
//! A second architecture is one more folder with the same names and one more line below. No other
//! part of the crate holds assembly, and only `sys` asks which architecture it is on, for struct layouts.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("netpoll has no arch folder for this architecture yet: see arch/mod.rs");
