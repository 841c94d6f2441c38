//! Where channels live. There is no allocator here, so this is a small one, for these alone.
//!
//! A channel is one block: its state, and behind it the ring of its values. Blocks of up to a page come in
//! sizes that are powers of two, cut from mapped chunks and kept in a free list for each size; chunks are
//! never unmapped, so what was used at peak stays. A larger channel is a mapping of its own, unmapped with it.

use crate::lock::Mutex;
use crate::mapping::{map, unmap};
use crate::sys::Errno;
use core::alloc::Layout;
use core::ptr::{self, NonNull};

/// Largest block from a chunk, and largest alignment: the smallest page there is.
pub(super) const LARGEST: usize = 4096;
/// Smallest block: a cache line.
const SMALLEST: usize = 64;
const CLASSES: usize = (LARGEST / SMALLEST).ilog2() as usize + 1;
/// Bytes mapped at a time.
const CHUNK: usize = 64 << 10;

struct Pool {
    /// Free blocks of each size, linked through their first word.
    free: [*mut u8; CLASSES],
    /// The unused part of the last chunk.
    next: *mut u8,
    left: usize,
}

// SAFETY: what is in the pool is nobody else's, and memory belongs to no thread.
unsafe impl Send for Pool {}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { free: [ptr::null_mut(); CLASSES], next: ptr::null_mut(), left: 0 });

/// The size of the blocks that `layout` is served with, and its place in the table; `None`: a mapping.
fn class(layout: Layout) -> Option<(usize, usize)> {
    let size = layout.size().max(layout.align()).max(SMALLEST).checked_next_power_of_two()?;
    (size <= LARGEST).then(|| (size, (size / SMALLEST).ilog2() as usize))
}

/// Memory of `layout`, aligned to [`LARGEST`] at most. What it holds is anything.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn alloc(layout: Layout) -> Result<NonNull<u8>, Errno> {
    let Some((size, class)) = class(layout) else { return map(layout.size()) };
    let mut pool = POOL.lock();
    if let Some(block) = NonNull::new(pool.free[class]) {
        // SAFETY: a free block, whose first word `free` has set to the next.
        pool.free[class] = unsafe { block.cast::<*mut u8>().read() };
        return Ok(block);
    }
    // Blocks lie at multiples of their size, so what would be cut across is left, but as free blocks.
    while pool.left & (size - 1) != 0 {
        let rest = 1 << pool.left.trailing_zeros();
        let block = pool.cut(rest);
        pool.put(block, (rest / SMALLEST).ilog2() as usize);
    }
    if pool.left == 0 {
        pool.next = map(CHUNK)?.as_ptr();
        pool.left = CHUNK;
    }
    Ok(pool.cut(size))
}

/// Takes back what [`alloc`] gave for `layout`.
///
/// # Safety
/// Nobody uses it any more.
pub(super) unsafe fn free(block: NonNull<u8>, layout: Layout) {
    match class(layout) {
        Some((_, class)) => POOL.lock().put(block, class),
        // SAFETY: a mapping of this length (`alloc`), and nobody's.
        None => unsafe { unmap(block, layout.size()) },
    }
}

impl Pool {
    /// The next `size` bytes of the chunk, which has them.
    fn cut(&mut self, size: usize) -> NonNull<u8> {
        let block = self.next;
        self.next = block.wrapping_add(size);
        self.left -= size;
        // SAFETY: within a mapping, which does not begin at 0.
        unsafe { NonNull::new_unchecked(block) }
    }

    fn put(&mut self, block: NonNull<u8>, class: usize) {
        // SAFETY: writable, aligned, at least a cache line, and the pool's.
        unsafe { block.cast::<*mut u8>().write(self.free[class]) };
        self.free[class] = block.as_ptr();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn blocks_are_aligned_disjoint_and_used_again() {
        let layouts: Vec<Layout> = [1, 64, 65, 128, 1000, 4096, 100, 4097, 1 << 20, 64, 2049]
            .iter()
            .map(|&size| Layout::from_size_align(size, 64.min(size.next_power_of_two())).unwrap())
            .collect();
        let mut blocks: Vec<(usize, usize)> = Vec::new();
        for _ in 0..100 {
            for layout in &layouts {
                let at = alloc(*layout).unwrap();
                // SAFETY: that many bytes are ours.
                unsafe { at.write_bytes(0xa5, layout.size()) };
                assert_eq!(at.addr().get() % layout.align(), 0);
                blocks.push((at.addr().get(), layout.size()));
            }
        }
        let mut sorted = blocks.clone();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "overlap");
        let last = blocks[blocks.len() - 2];
        // SAFETY: from `alloc` above, and not used any more.
        unsafe { free(NonNull::new(last.0 as *mut u8).unwrap(), layouts[9]) };
        assert_eq!(alloc(layouts[9]).unwrap().addr().get(), last.0, "used again");
    }

    #[test]
    fn a_block_as_aligned_as_a_page_comes_even_from_an_odd_chunk() {
        let page = Layout::from_size_align(64, 4096).unwrap();
        for _ in 0..40 {
            alloc(Layout::from_size_align(64, 8).unwrap()).unwrap();
            assert_eq!(alloc(page).unwrap().addr().get() % 4096, 0);
        }
    }
}
