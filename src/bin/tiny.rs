//! The smallest program: our `_start` and one system call, without the runtime.
#![no_std]
#![no_main]

use netpoll::rt::Env;

netpoll::start!(main);

fn main(_: Env) -> i32 {
    let line = b"tiny: no libc, no runtime\n";
    // SAFETY: write(2) reads `line.len()` bytes at `line`.
    let written = unsafe { netpoll::arch::syscall3(sc::nr::WRITE, 1, line.as_ptr() as usize, line.len()) };
    (written != line.len()) as i32
}
