//! Works on the heap with several tasks: `heap_user TASKS ROUNDS`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::hint::black_box;

#[global_allocator]
static HEAP: netpoll::rt::Heap = netpoll::rt::Heap::new();

netpoll::entry!(main);

fn main(env: netpoll::rt::Env) -> i32 {
    let number = |n| env.args().nth(n).and_then(|word| word.to_str().ok()?.parse::<usize>().ok());
    let (tasks, rounds) = (number(1).unwrap_or(4), number(2).unwrap_or(1000));
    drop(netpoll::spawn(|| netpoll::time::sleep(core::time::Duration::from_secs(60)))); // starts the monitor
    let tasks: Vec<_> =
        (0..tasks).map(|task| netpoll::spawn(move || work(task as u64 + 1, rounds))).collect();
    let resized: usize = tasks.into_iter().map(|task| task.join()).sum();
    alignments();
    given_back();
    netpoll::println!("{}", resized > rounds);
    0
}

/// Blocks of up to 400 KB, each full of a byte of its own, are made, resized, looked at and freed in no order.
/// Never gives way by itself.
fn work(seed: u64, rounds: usize) -> usize {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % below
    };
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut resized = 0;
    for round in 0..rounds {
        match next(4) {
            0 | 1 => {
                let len = 1 << next(19);
                blocks.push(alloc::vec![round as u8; len + next(len)]);
            }
            2 if !blocks.is_empty() => {
                let at = next(blocks.len());
                let block = &mut blocks[at];
                let (byte, len) = (block[0], 1 + next(400_000));
                block.resize(len, byte);
                block.shrink_to_fit();
                resized += 1;
            }
            _ if !blocks.is_empty() => {
                let block = blocks.swap_remove(next(blocks.len()));
                assert!(block.iter().all(|byte| *byte == block[0]), "somebody wrote into it");
            }
            _ => {}
        }
        if blocks.len() > 32 {
            blocks.truncate(16);
        }
        let zeros = alloc::vec![0u64; 1 + next(40_000)];
        assert!(zeros.iter().all(|word| *word == 0));
    }
    resized * 8
}

fn alignments() {
    for align in [1, 16, 4096, 65_536] {
        for size in [1, 5000, 200_000] {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: not of size 0; freed with the same layout.
            unsafe {
                let block = HEAP.alloc(layout);
                assert!(!block.is_null() && block.addr().is_multiple_of(align), "{size} {align}");
                block.write_bytes(1, size);
                let grown = HEAP.realloc(block, layout, size * 3);
                assert!(!grown.is_null() && grown.addr().is_multiple_of(align), "{size} {align}");
                assert_eq!((grown.read(), grown.add(size - 1).read()), (1, 1));
                HEAP.dealloc(grown, Layout::from_size_align(size * 3, align).unwrap());
            }
        }
    }
    // More than there is is an error.
    // SAFETY: as above; nothing is freed if nothing was had.
    unsafe {
        assert!(HEAP.alloc(Layout::from_size_align(1 << 60, 1).unwrap()).is_null());
    }
}

/// A large block that is freed is no memory any more.
fn given_back() {
    let before = resident();
    let large = black_box(alloc::vec![1u8; 64 << 20]);
    assert!(resident() >= before + (60 << 8));
    drop(large);
    assert!(resident() < before + (8 << 8));
}

/// Pages in memory.
fn resident() -> usize {
    use netpoll::sys::fd::{OFlags, close, read};
    use netpoll::sys::fs::{AT_FDCWD, openat};
    let file = openat(AT_FDCWD, c"/proc/self/statm", OFlags::CLOEXEC, 0).unwrap();
    let mut text = [0; 128];
    let n = read(file, &mut text).unwrap();
    // SAFETY: opened above, and used no more.
    unsafe { close(file) }.unwrap();
    let text = core::str::from_utf8(&text[..n]).unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}
