//! `start!`: a program on our own `_start`, without the runtime.

use core::panic::PanicInfo;

use sc::nr;

use super::Env;
use crate::arch::{syscall1_noreturn, syscall3};

/// The exit status of a program that panicked, as in std.
const PANICKED: usize = 101;

/// Makes a freestanding program of `main`, a `fn(netpoll::rt::Env) -> i32`, without the runtime: it
/// runs on the first stack, and its result is the exit status.
///
/// Defines `_start`, the panic handler (one line on stderr, exit status 101) and the C symbols that
/// compiled code calls (`memcpy` and its like). What is not used is not linked.
///
/// ```ignore
/// #![no_std]
/// #![no_main]
///
/// netpoll::start!(main);
///
/// fn main(env: netpoll::rt::Env) -> i32 {
///     env.args().len() as i32
/// }
/// ```
#[macro_export]
macro_rules! start {
    ($main:path) => {
        const _: () = {
            // These names are unlikely, because an item is not hygienic: `$main` could be called the same.
            // The program's own code stays outside of `begin`, in which `unsafe` would need no word.
            #[inline(always)]
            fn __netpoll_program() -> fn($crate::rt::Env) -> i32 {
                $main
            }

            unsafe extern "C" fn __netpoll_begin(block: *const usize) -> ! {
                // SAFETY: `_start` hands on the kernel's block, once.
                unsafe { $crate::rt::__start(block, __netpoll_program()) }
            }

            #[panic_handler]
            fn __netpoll_panic(info: &::core::panic::PanicInfo<'_>) -> ! {
                $crate::rt::__panic(info)
            }

            $crate::__netpoll_start!(__netpoll_begin);
            $crate::__netpoll_mem!();
        };
    };
}

/// Runs `main` and ends the process with its result.
///
/// # Safety
/// `block` must be the kernel's block, as [`Env::new`] wants it.
#[doc(hidden)]
#[inline(always)]
pub unsafe fn __start(block: *const usize, main: fn(Env) -> i32) -> ! {
    // SAFETY: the caller's contract.
    let env = unsafe { Env::new(block) };
    exit(main(env) as usize)
}

/// Writes `panicked at FILE:LINE` to stderr and ends the process. The message itself is left out: it
/// takes `core::fmt`, which is larger than a whole program of this kind.
#[doc(hidden)]
pub fn __panic(info: &PanicInfo<'_>) -> ! {
    write_stderr(b"panicked at ");
    if let Some(location) = info.location() {
        write_stderr(location.file().as_bytes());
        write_stderr(b":");
        write_decimal(location.line());
    }
    write_stderr(b"\n");
    exit(PANICKED)
}

fn write_decimal(n: u32) {
    if n >= 10 {
        write_decimal(n / 10);
    }
    write_stderr(&[b'0' + (n % 10) as u8]);
}

fn write_stderr(bytes: &[u8]) {
    // SAFETY: write(2) reads `bytes.len()` bytes there. A failure can be told to nobody.
    unsafe { syscall3(nr::WRITE, 2, bytes.as_ptr() as usize, bytes.len()) };
}

fn exit(status: usize) -> ! {
    // SAFETY: ends the process; the kernel takes the low 8 bits.
    unsafe { syscall1_noreturn(nr::EXIT_GROUP, status) }
}
