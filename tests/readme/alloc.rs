//! A freestanding program with `alloc`, whose precompiled code names symbols that `core` does not.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

netpoll::entry!(main);

/// Hands out one block and takes nothing back.
struct Bump;

const SIZE: usize = 64 << 10;
static mut HEAP: [u8; SIZE] = [0; SIZE];
static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: pieces of `HEAP`, aligned, that never overlap, or null.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = USED.fetch_add(layout.size() + layout.align(), Ordering::Relaxed);
        if start + layout.size() + layout.align() > SIZE {
            return ptr::null_mut();
        }
        let piece = (&raw mut HEAP).cast::<u8>().wrapping_add(start);
        piece.wrapping_add(piece.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static BUMP: Bump = Bump;

fn main(env: netpoll::rt::Env) -> i32 {
    let args: Vec<String> = env.args().skip(1).map(|arg| format!("<{arg:?}>")).collect();
    let joined = netpoll::spawn(move || Box::new(args.join(","))).join();
    netpoll::println!("{joined}");
    0
}
