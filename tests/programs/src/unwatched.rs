//! `unwatched`: a program without a monitor, so that nobody takes a P back from a call. Prints whether
//! another task ran beside one.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicBool, Ordering};
use netpoll::rt::Env;
use netpoll::sys::time::{Timespec, nanosleep};
use netpoll::{Builder, println, runtime, spawn, syscall};

netpoll::entry!(main, Builder::new().preemption(false));

fn main(_: Env) -> i32 {
    static RAN: AtomicBool = AtomicBool::new(false);
    let other = spawn(|| RAN.store(true, Ordering::SeqCst));
    let ran = syscall(|| {
        nanosleep(&Timespec::from_nanos(100_000_000), None).unwrap();
        RAN.load(Ordering::SeqCst)
    });
    other.join();
    assert_eq!(runtime::metrics().retakes, 0);
    println!("{ran}");
    0
}
