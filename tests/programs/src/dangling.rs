//! For `tests/valgrind.rs` to find: reads where an ended task's stack was.
#![no_std]
#![no_main]

use core::hint::black_box;

netpoll::entry!(main);

fn main(_: netpoll::rt::Env) -> i32 {
    let address = netpoll::spawn(|| black_box(&raw const *black_box(&7u8.clone())).addr()).join();
    // SAFETY: none, which is the point; stacks stay mapped, and any byte will do.
    let byte = unsafe { core::ptr::with_exposed_provenance::<u8>(address).read_volatile() };
    i32::from(byte == 0xa5)
}
