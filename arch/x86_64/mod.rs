//! x86_64: `syscall`, number in rax, arguments in rdi, rsi, rdx, r10, r8, r9, result in rax;
//! the kernel overwrites rcx (the return address) and r11 (the flags) and nothing else.

mod context;
pub mod mem;
#[cfg(all(feature = "rt", not(loom)))]
mod preempt;
mod start;
mod syscall;
mod thread;
#[cfg(all(feature = "rt", not(loom)))]
mod valgrind;

pub use context::*;
#[cfg(all(feature = "rt", not(loom)))]
pub(crate) use preempt::{
    inject_call, interrupted_ip, interrupted_mask, interrupted_sp, preempt_frame, preempt_init,
};
pub use syscall::*;
pub use thread::*;
#[cfg(all(feature = "rt", not(loom)))]
pub(crate) use valgrind::{VALGRIND, memory_begins, memory_ends, stack_deregister, stack_register};
