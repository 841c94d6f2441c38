//! `entry!`: a program on the runtime.

use super::print::Message;
use super::{Env, PANICKED, clock, exit};
use crate::sched::{Builder, proc, schedule};
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::auxvec::{AT_PAGESZ, AT_SYSINFO_EHDR};

/// The page size to assume of a kernel that does not tell (all of them do).
const PAGE: usize = 4096;

/// Makes a freestanding program of `main`, a `fn(netpoll::rt::Env) -> i32`, which runs as the first
/// task. When it returns the program ends with its result as the exit status, whatever other tasks are
/// doing.
///
/// Defines `_start`, the panic handler and the C symbols that compiled code calls; a panic in any task
/// prints it with the task's number and ends the program with status 101. An overflow of a stack and any other
/// SIGSEGV or SIGBUS are reported with the task, and end the program by that signal. SIGPIPE is ignored. A second
/// argument sets the program up: `entry!(main, netpoll::Builder::new().stack_size(1 << 20))`.
///
/// ```ignore
/// #![no_std]
/// #![no_main]
///
/// netpoll::entry!(main);
///
/// fn main(_: netpoll::rt::Env) -> i32 {
///     netpoll::spawn(|| netpoll::println!("hello")).join();
///     0
/// }
/// ```
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        $crate::entry!($main, $crate::Builder::new());
    };
    ($main:path, $builder:expr) => {
        const _: () = {
            // These names are unlikely, because an item is not hygienic: `$main` could be called the same.
            // The program's own code stays outside of `begin`, in which `unsafe` would need no word.
            #[inline(always)] // so that the builder is a constant where it is used
            fn __netpoll_program() -> (fn($crate::rt::Env) -> i32, $crate::Builder) {
                ($main, $builder)
            }

            unsafe extern "C" fn __netpoll_begin(block: *const usize) -> ! {
                let (main, builder) = __netpoll_program();
                // SAFETY: `_start` hands on the kernel's block, once.
                unsafe { $crate::rt::__entry(block, builder, main) }
            }

            #[panic_handler]
            fn __netpoll_panic(info: &::core::panic::PanicInfo<'_>) -> ! {
                $crate::rt::__task_panic(info)
            }

            $crate::__netpoll_start!(__netpoll_begin);
            $crate::__netpoll_mem!();
        };
    };
}

/// Starts the runtime with `main` as its first task.
///
/// # Safety
/// `block` must be the kernel's block, as [`Env::new`] wants it; called once, on the first thread.
#[doc(hidden)]
#[inline(always)] // into the macro's function, where the builder is a constant
pub unsafe fn __entry(block: *const usize, builder: Builder, main: fn(Env) -> i32) -> ! {
    // SAFETY: the caller's contract.
    let env = unsafe { Env::new(block) };
    clock::init(env.aux(AT_SYSINFO_EHDR as usize).unwrap_or(0));
    let page = env.aux(AT_PAGESZ as usize).unwrap_or(PAGE);
    builder.set_up_monitor(&env);
    schedule::run_main(page, builder.stack_bytes(), builder.set_up_threads(&env), move || main(env))
}

/// Prints the panic with its task's number and ends the process with status 101. A message that panics
/// itself while it is formatted is left out; the places of both panics are named.
#[doc(hidden)]
pub fn __task_panic(info: &PanicInfo<'_>) -> ! {
    /// The task that panicked last, counted from 2; 1 is the scheduler.
    static PANICKING: AtomicU64 = AtomicU64::new(0);

    let mut message = Message::urgent();
    let me = match proc::running() {
        Some(g) => {
            let id = g.id();
            message.push("task ").push_number(id);
            id + 1
        }
        None => {
            message.push("scheduler");
            1
        }
    };
    message.push(" panicked at ");
    if let Some(location) = info.location() {
        let _ = write!(message, "{location}");
    }
    // Written before the user's code may panic again.
    message.push(":\n").flush();
    if PANICKING.swap(me, Ordering::Relaxed) != me {
        let _ = write!(message, "{}", info.message());
        message.push("\n").flush();
    }
    exit(PANICKED)
}
