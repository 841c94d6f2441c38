//! What surrounds a freestanding program: how it starts, what the kernel told it, how it prints and
//! ends.

pub(crate) mod clock;
mod entry;
mod env;
#[cfg(feature = "alloc")]
mod heap;
mod print;
mod sandbox;
mod start;
mod vdso;

pub use crate::lock::RawLock;
pub use entry::{__entry, __task_panic};
pub use env::{Args, Auxv, Env, Vars};
#[cfg(feature = "alloc")]
pub use heap::Heap;
pub use print::{__print, __print_str, Line, flush_stdout};
pub use sandbox::{landlock, seccomp};
pub use start::{__panic, __start};

/// Exit status of a program that panicked, as in std.
pub(crate) const PANICKED: i32 = 101;

/// Ends the process with `status` (its low 8 bits), whatever other tasks are doing, after a line that
/// `print!` has begun was written out.
pub fn exit(status: i32) -> ! {
    print::flush_at_exit();
    crate::sys::process::exit_group(status)
}

/// Ends the process because the runtime cannot go on.
#[cold]
pub(crate) fn fatal(why: &str, status: i32) -> ! {
    Line::urgent().str("netpoll: ").str(why).end();
    exit(status)
}
