//! How much of their stacks tasks have used, as the kernel knows it: by the pages that are there.

use super::stack::Class;
use super::state::{SCHED, page};
use crate::sys::mm::mincore;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Pages asked for at once: what one page of the kernel's tables describes.
const BATCH: usize = 512;

/// The most seen so far: looks that come later find less where memory was given back.
static HIGH_WATER: AtomicUsize = AtomicUsize::new(0);

/// The most bytes that any stack there is, or was when its memory was given back, has had touched.
pub(super) fn high_water() -> usize {
    for class in Class::all(&SCHED.stacks) {
        for slab in class.slabs() {
            note(slab.lo, slab.made() * class.size(), class.size());
        }
    }
    HIGH_WATER.load(Ordering::Relaxed)
}

/// Looks at the `len` bytes of slots of `size` bytes from `lo` on.
pub(super) fn note(lo: *mut u8, len: usize, size: usize) {
    let mut there = [0; BATCH];
    let mut deepest = 0;
    for at in (0..len).step_by(BATCH * page()) {
        let bytes = (len - at).min(BATCH * page());
        // SAFETY: a byte for each of at most so many pages.
        if unsafe { mincore(lo.wrapping_add(at), bytes, &mut there) }.is_err() {
            continue; // EAGAIN: the kernel is short of memory
        }
        for offset in (0..bytes).step_by(page()).filter(|offset| there[offset / page()] & 1 != 0) {
            let in_slot = (at + offset) & (size - 1); // a size is a power of two
            if in_slot != 0 {
                deepest = deepest.max(size - in_slot); // the first is the guard, which Linux 6.13 may call there
            }
        }
    }
    HIGH_WATER.fetch_max(deepest, Ordering::Relaxed);
}
