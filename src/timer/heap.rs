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

    fn entries(&mut self) -> &mut [Entry] {
        // SAFETY: the first `len` entries of the mapping are written (`push`), and `self` is borrowed.
        unsafe { core::slice::from_raw_parts_mut(self.entries.as_ptr(), self.len) }
    }

    /// The smallest key, or `NEVER`.
    pub(super) fn first(&mut self) -> i64 {
        self.entries().first().map_or(NEVER, |e| e.key)
    }

    /// The timer with the smallest key, if that is not after `now`.
    pub(super) fn top_due(&mut self, now: i64) -> Option<NonNull<Timer>> {
        self.entries().first().filter(|e| e.key <= now).map(|e| e.timer)
    }

    pub(super) fn key(&mut self, pos: u32) -> i64 {
        self.entries()[pos as usize].key
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
        let pos = self.len;
        self.len += 1;
        // SAFETY: `pos < capacity`, within the mapping.
        unsafe { self.entries.as_ptr().add(pos).write(Entry { key, timer }) };
        self.sift_up(pos);
        Ok(())
    }

    pub(super) fn decrease(&mut self, pos: u32, key: i64) {
        self.entries()[pos as usize].key = key;
        self.sift_up(pos as usize);
    }

    pub(super) fn increase(&mut self, pos: u32, key: i64) {
        self.entries()[pos as usize].key = key;
        self.sift_down(pos as usize);
    }

    pub(super) fn remove(&mut self, pos: u32) {
        let pos = pos as usize;
        let last = self.len - 1;
        self.entries().swap(pos, last);
        let gone = self.entries()[last].timer;
        set_pos(gone, IDLE);
        self.len = last;
        if pos < last {
            // The entry that fills the hole may belong above or below it.
            self.sift_up(pos);
            self.sift_down(pos);
        }
    }

    fn sift_up(&mut self, mut pos: usize) {
        let entries = self.entries();
        let moving = entries[pos];
        while pos > 0 {
            let parent = (pos - 1) / ARITY;
            if entries[parent].key <= moving.key {
                break;
            }
            entries[pos] = entries[parent];
            set_pos(entries[pos].timer, pos as u32);
            pos = parent;
        }
        entries[pos] = moving;
        set_pos(moving.timer, pos as u32);
    }

    fn sift_down(&mut self, mut pos: usize) {
        let entries = self.entries();
        let moving = entries[pos];
        loop {
            let first = pos * ARITY + 1;
            let last = (first + ARITY).min(entries.len());
            let Some(child) = (first..last).min_by_key(|&c| entries[c].key) else { break };
            if entries[child].key >= moving.key {
                break;
            }
            entries[pos] = entries[child];
            set_pos(entries[pos].timer, pos as u32);
            pos = child;
        }
        entries[pos] = moving;
        set_pos(moving.timer, pos as u32);
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
