//! `PollCache`: where slots live. Blocks are mapped as they are needed, twice as large each
//! time, and stay until the poller goes; slots are reused last-in first-out.
//!
//! The epoll data word names a slot by number, never by address, and numbers are looked up without a
//! lock: a block's address is published before any of its slots is handed out, and never changes.

use super::kernel::Kernel;
use super::slot::Slot;
use crate::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::lock::Mutex;
use crate::sys::Errno;
use crate::timer::Fire;
use core::ptr;

/// Slots of the first block: one page. Under loom two, so that models cross a block's end.
const FIRST: u32 = if cfg!(loom) { 2 } else { 32 };
const FIRST_LOG: u32 = FIRST.trailing_zeros();

/// Blocks: the last one would reach 2^32 slots. Under loom, where an atomic is costly to make, three.
const BLOCKS: usize = if cfg!(loom) { 3 } else { 27 };

/// End of the free list, in which a slot is its number and 1.
const NONE: u32 = 0;

pub(super) struct PollCache {
    blocks: [AtomicPtr<Slot>; BLOCKS],
    slots: Mutex<Slots>,
    /// Slots handed out at least once; stored under the lock, after the slot was written.
    made: AtomicU32,
}

struct Slots {
    /// Go's `pollCache.first`.
    first: u32,
}

/// Block and offset of slot `index`: block `k` holds the `FIRST << k` slots after those of all smaller blocks.
fn place(index: u32) -> (usize, usize) {
    let shifted = index as u64 + FIRST as u64;
    let block = u64::BITS - 1 - shifted.leading_zeros() - FIRST_LOG;
    (block as usize, (shifted - ((FIRST as u64) << block)) as usize)
}

/// Size of block `k`.
fn bytes(k: usize) -> usize {
    size_of::<Slot>() * ((FIRST as usize) << k)
}

impl PollCache {
    #[cfg(not(loom))]
    pub(super) const fn new() -> PollCache {
        PollCache {
            blocks: [const { AtomicPtr::new(ptr::null_mut()) }; BLOCKS],
            slots: Mutex::new(Slots { first: NONE }),
            made: AtomicU32::new(0),
        }
    }

    #[cfg(loom)]
    pub(super) fn new() -> PollCache {
        PollCache {
            blocks: core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            slots: Mutex::new(Slots { first: NONE }),
            made: AtomicU32::new(0),
        }
    }

    /// The slot that `index` names, if it was ever handed out. Any number may be asked for: those in events and
    /// handles are not trusted.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        // Acquire: the block's address, and what is in the slot.
        if index >= self.made.load(Ordering::Acquire) {
            return None;
        }
        let (block, offset) = place(index);
        // SAFETY: `alloc` found this block in the table, published its address and wrote the slot, before it counted
        // the slot as made; and the block is unmapped only by `free_all`, which has the poller to itself.
        unsafe { Some(&*self.blocks.get_unchecked(block).load(Ordering::Relaxed).add(offset)) }
    }

    /// A free slot, or a new one. `fire`: what the deadlines' timers of a new slot do.
    pub(super) fn alloc(&self, kernel: &impl Kernel, fire: [Fire; 2]) -> Result<&Slot, Errno> {
        let mut slots = self.slots.lock();
        if slots.first != NONE {
            let Some(slot) = self.get(slots.first - 1) else { return Err(Errno::ENOMEM) }; // it exists
            slots.first = slot.link.load(Ordering::Relaxed);
            return Ok(slot);
        }
        let index = self.made.load(Ordering::Relaxed);
        let (block, offset) = place(index);
        let Some(place) = self.blocks.get(block) else { return Err(Errno::ENOMEM) };
        let mut base = place.load(Ordering::Relaxed);
        if base.is_null() {
            base = kernel.map(bytes(block))?.cast().as_ptr();
        }
        // SAFETY: within the block, page-aligned, and not yet reachable by anybody else: its number has
        // not been handed out and the block, if it is new, is not published.
        unsafe { base.add(offset).write(Slot::new(index, fire)) };
        place.store(base, Ordering::Release);
        // SeqCst: a thread that goes over all slots after it has marked the poller as failed sees this one, or
        // the slot's owner sees the mark.
        self.made.store(index + 1, Ordering::SeqCst);
        // SAFETY: just written; lives as long as the cache.
        Ok(unsafe { &*base.add(offset) })
    }

    /// Gives a slot back (Go: `pollCache.free`), whose generation its caller has ended.
    pub(super) fn free(&self, slot: &Slot) {
        let mut slots = self.slots.lock();
        slot.link.store(slots.first, Ordering::Relaxed);
        slots.first = slot.index + 1;
    }

    /// Calls `f` with every slot ever handed out.
    pub(super) fn for_each(&self, mut f: impl FnMut(&Slot)) {
        let made = self.made.load(Ordering::SeqCst);
        (0..made).filter_map(|index| self.get(index)).for_each(&mut f);
    }

    /// Unmaps everything; every `&Slot` must be gone.
    pub(super) fn free_all(&mut self, kernel: &impl Kernel) {
        #[cfg(loom)]
        self.for_each(|slot| {
            // SAFETY: written by `alloc`, dropped once; loom's atomics own memory.
            unsafe { ptr::drop_in_place(ptr::from_ref(slot).cast_mut()) }
        });
        for (k, block) in self.blocks.iter().enumerate() {
            let base = block.swap(ptr::null_mut(), Ordering::Relaxed);
            if let Some(base) = ptr::NonNull::new(base) {
                // SAFETY: mapped by `alloc` with this length; the borrows have ended (`&mut self`).
                unsafe { kernel.unmap(base.cast(), bytes(k)) };
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{BLOCKS, FIRST, place};

    #[test]
    fn places_are_dense_and_within_their_block() {
        let mut expected = (0, 0);
        for index in 0..100_000 {
            assert_eq!(place(index), expected);
            expected.1 += 1;
            if expected.1 == (FIRST as usize) << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert_eq!(place(u32::MAX - FIRST).0, BLOCKS - 1);
    }
}
