//! Works on the heap with several tasks: `heap_user TASKS ROUNDS`.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::hint::black_box;
use core::ptr::null_mut;

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
    given_back_with_no_mapping_left();
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

/// Nor if the kernel refuses to unmap it: that makes two mappings of one, which is one more than a process may have.
fn given_back_with_no_mapping_left() {
    use netpoll::sys::mm::{MapFlags, Prot, mmap, mprotect, munmap};
    const PAGE: usize = 4096;
    const LEN: usize = 16 << 20;
    /// Twice as many mappings as any system allows by default.
    const PAGES: usize = 4 << 20;
    let layout = Layout::from_size_align(LEN, 1).unwrap();
    // SAFETY: not of size 0; freed with the same layout.
    let mut blocks = [(); 3].map(|()| unsafe { HEAP.alloc(layout) });
    blocks.sort_unstable();
    let middle = blocks[1];
    // SAFETY: the block is ours.
    unsafe { middle.write_bytes(1, LEN) };
    let before = resident();
    let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::NORESERVE;
    // SAFETY: a mapping of ours, of which nothing is used; the blocks are freed once, with their layout.
    unsafe {
        let pages = mmap(null_mut(), PAGES * PAGE, Prot::empty(), flags, -1, 0).unwrap();
        let cut = |page: usize| mprotect(pages.add(page * PAGE), PAGE, Prot::READ).is_ok();
        let cuts = (1..PAGES).step_by(2).take_while(|&page| cut(page)).count();
        assert!(cuts > 0);
        HEAP.dealloc(middle, layout);
        assert!(resident() + (12 << 8) < before, "{} of {before} pages", resident());
        munmap(pages, PAGES * PAGE).unwrap();
        HEAP.dealloc(blocks[0], layout);
        HEAP.dealloc(blocks[2], layout);
    }
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
