//! A task that prints, and `main` that joins it: the smallest program on the runtime.
#![no_std]
#![no_main]

use netpoll::rt::Env;

netpoll::entry!(main, netpoll::Builder::new().threads(1).preemption(false));

fn main(_: Env) -> i32 {
    netpoll::spawn(|| netpoll::println!("hello")).join();
    0
}
