//! The 4-ary heap itself: keys beside the pointers, so that sifting reads one array; every move of
//! an entry is written back into its timer.

use super::{IDLE, NEVER, Timer};
use crate::poll::Kernel;
use crate::sys::Errno;
use core::ptr::NonNull;

/// Children of a node. Four halve the depth of a binary heap, and the keys of four siblings fill one
/// cache line.
const ARITY: usize = 4;

/// Entries of the first mapping: one page.
const FIRST: usize = 256;

#[derive(Clone, Copy)]
struct Entry {
    /// Absolute ns, at most the timer's `when`.
    key: i64,
    timer: NonNull<Timer>,
}

pub(super) struct Heap {
    entries: NonNull<Entry>,
    len: usize,
    capacity: usize,
}

// SAFETY: the entries are owned; the timers they point at are reached only under the heap's lock.
unsafe impl Send for Heap {}

impl Heap {
    pub(super) const fn new() -> Heap {
        Heap { entries: NonNull::dangling(), len: 0, capacity: 0 }
    }

    /// The entry at `pos`, which must be below `len`: positions come from the timers themselves, and
    /// from the arithmetic below.
    fn get(&self, pos: usize) -> Entry {
        debug_assert!(pos < self.len);
        // SAFETY: the first `len` entries of the mapping are written (`push`).
        unsafe { self.entries.add(pos).read() }
    }

    /// Puts an entry at `pos`, below `len`, and tells its timer.
    fn put(&mut self, pos: usize, entry: Entry) {
        debug_assert!(pos < self.len);
        // SAFETY: within the mapping, which `self` owns.
        unsafe { self.entries.add(pos).write(entry) };
        set_pos(entry.timer, pos as u32);
    }

    /// The smallest key, or `NEVER`.
    pub(super) fn first(&self) -> i64 {
        if self.len == 0 { NEVER } else { self.get(0).key }
    }

    /// The timer with the smallest key, if that is at most `now`.
    pub(super) fn top_due(&self, now: i64) -> Option<NonNull<Timer>> {
        (self.len != 0).then(|| self.get(0)).filter(|top| top.key <= now).map(|top| top.timer)
    }

    pub(super) fn key(&self, pos: u32) -> i64 {
        self.get(pos as usize).key
    }

    pub(super) fn push(
        &mut self,
        kernel: &impl Kernel,
        key: i64,
        timer: NonNull<Timer>,
    ) -> Result<(), Errno> {
        if self.len == self.capacity {
            self.grow(kernel)?;
        }
        self.len += 1;
        self.sift_up(self.len - 1, Entry { key, timer });
        Ok(())
    }

    pub(super) fn decrease(&mut self, pos: u32, key: i64) {
        let entry = self.get(pos as usize);
        self.sift_up(pos as usize, Entry { key, ..entry });
    }

    pub(super) fn increase(&mut self, pos: u32, key: i64) {
        let entry = self.get(pos as usize);
        self.sift_down(pos as usize, Entry { key, ..entry });
    }

    pub(super) fn remove(&mut self, pos: u32) {
        let pos = pos as usize;
        set_pos(self.get(pos).timer, IDLE);
        let last = self.get(self.len - 1);
        self.len -= 1;
        if pos < self.len {
            // The entry that fills the hole may belong above or below it.
            if pos > 0 && last.key < self.get((pos - 1) / ARITY).key {
                self.sift_up(pos, last);
            } else {
                self.sift_down(pos, last);
            }
        }
    }

    /// Finds the place of `moving` at or above the hole `pos`.
    fn sift_up(&mut self, mut pos: usize, moving: Entry) {
        while pos > 0 {
            let parent = (pos - 1) / ARITY;
            let above = self.get(parent);
            if above.key <= moving.key {
                break;
            }
            self.put(pos, above);
            pos = parent;
        }
        self.put(pos, moving);
    }

    /// Finds the place of `moving` at or below the hole `pos`.
    fn sift_down(&mut self, mut pos: usize, moving: Entry) {
        loop {
            let first = pos * ARITY + 1;
            let last = (first + ARITY).min(self.len);
            let Some(child) = (first..last).min_by_key(|&c| self.get(c).key) else { break };
            let below = self.get(child);
            if below.key >= moving.key {
                break;
            }
            self.put(pos, below);
            pos = child;
        }
        self.put(pos, moving);
    }

    fn grow(&mut self, kernel: &impl Kernel) -> Result<(), Errno> {
        let capacity = if self.capacity == 0 { FIRST } else { self.capacity * 2 };
        let new = kernel.map(capacity * size_of::<Entry>())?.cast::<Entry>();
        // SAFETY: `len` entries are readable in the old mapping, and the new one is larger and fresh.
        unsafe { new.as_ptr().copy_from_nonoverlapping(self.entries.as_ptr(), self.len) };
        self.unmap(kernel);
        self.entries = new;
        self.capacity = capacity;
        Ok(())
    }

    fn unmap(&mut self, kernel: &impl Kernel) {
        if self.capacity != 0 {
            // SAFETY: mapped by `grow` with this length, and nothing points into it.
            unsafe { kernel.unmap(self.entries.cast(), self.capacity * size_of::<Entry>()) };
        }
    }

    pub(super) fn free(&mut self, kernel: &impl Kernel) {
        self.unmap(kernel);
        *self = Heap::new();
    }
}

fn set_pos(timer: NonNull<Timer>, pos: u32) {
    // SAFETY: called with the heap's lock held, on a timer in (or just leaving) the heap, alive by the
    // contract of `Timers::set`.
    unsafe { (*timer.as_ref().0.get()).pos = pos };
}
