//! Asks for stacks larger than any address space.
#![no_std]
#![no_main]

netpoll::entry!(main, netpoll::Builder::new().stack_size(usize::MAX));

fn main(_: netpoll::rt::Env) -> i32 {
    let sum = netpoll::spawn(|| 20).join() + 1;
    netpoll::println!("{sum}");
    0
}
