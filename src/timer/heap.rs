//! The 4-ary heap itself: keys beside the pointers, so that sifting reads one array and no timer.

use super::{NEVER, Timer};
use crate::poll::Kernel;
use crate::sys::Errno;
use core::ptr::{self, NonNull};

/// Children of a node. Four halve the depth of a binary heap, and the keys of four siblings fill one
/// cache line.
const ARITY: usize = 4;

/// Entries of the first mapping: one page. Under loom a few, so that models reach its end.
const FIRST: usize = if cfg!(loom) { 4 } else { 256 };

/// Bytes of that.
#[cfg(feature = "rt")]
pub(crate) const FIRST_BYTES: usize = FIRST * size_of::<Entry>();

#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Absolute ns, at most the timer's time if this is its entry.
    pub key: i64,
    pub timer: NonNull<Timer>,
}

pub(super) struct Entries {
    /// Null: there is none.
    memory: *mut Entry,
    len: usize,
    capacity: usize,
}

// SAFETY: the memory is owned; the timers are `Sync`.
unsafe impl Send for Entries {}

impl Entries {
    pub const fn new() -> Entries {
        Entries { memory: ptr::null_mut(), len: 0, capacity: 0 }
    }

    /// As above, with room for the first in `memory`.
    ///
    /// # Safety
    /// [`FIRST_BYTES`] bytes, aligned to a page, for this alone, which may unmap them.
    #[cfg(feature = "rt")]
    pub unsafe fn within(memory: NonNull<u8>) -> Entries {
        Entries { memory: memory.cast().as_ptr(), len: 0, capacity: FIRST }
    }

    /// The entry at `pos`, which must be below `len`, as the arithmetic below has it.
    fn get(&self, pos: usize) -> Entry {
        debug_assert!(pos < self.len);
        // SAFETY: the first `len` entries of the mapping are written (`push`).
        unsafe { self.memory.add(pos).read() }
    }

    /// Puts an entry at `pos`, below `len`.
    fn put(&mut self, pos: usize, entry: Entry) {
        debug_assert!(pos < self.len);
        // SAFETY: within the mapping, which `self` owns.
        unsafe { self.memory.add(pos).write(entry) };
    }

    /// The entry with the smallest key.
    pub fn top(&self) -> Option<Entry> {
        (self.len != 0).then(|| self.get(0))
    }

    /// The smallest key, or [`NEVER`].
    pub fn first(&self) -> i64 {
        self.top().map_or(NEVER, |top| top.key)
    }

    /// Makes room for one more entry: drops those that are `useless`, and maps twice the memory if that
    /// leaves less than a quarter free.
    ///
    /// # Errors
    /// `ENOMEM`, if there is no room either way.
    pub fn make_room(
        &mut self,
        kernel: &impl Kernel,
        useless: impl FnMut(Entry) -> bool,
    ) -> Result<(), Errno> {
        if self.len < self.capacity {
            return Ok(());
        }
        self.drop_all(useless);
        if self.len < self.capacity - self.capacity / 4 {
            return Ok(());
        }
        self.grow(kernel).or_else(|errno| if self.len < self.capacity { Ok(()) } else { Err(errno) })
    }

    #[cold]
    fn drop_all(&mut self, mut useless: impl FnMut(Entry) -> bool) {
        let all = core::mem::take(&mut self.len);
        for pos in 0..all {
            // SAFETY: below the old length, and not yet overwritten: `len` is at most `pos`.
            let entry = unsafe { self.memory.add(pos).read() };
            if !useless(entry) {
                self.push(entry); // into the heap of those before it
            }
        }
    }

    /// Puts an entry in; there must be room.
    pub fn push(&mut self, entry: Entry) {
        debug_assert!(self.len < self.capacity);
        self.len += 1;
        let mut pos = self.len - 1;
        while pos > 0 {
            let parent = (pos - 1) / ARITY;
            let above = self.get(parent);
            if above.key <= entry.key {
                break;
            }
            self.put(pos, above);
            pos = parent;
        }
        self.put(pos, entry);
    }

    /// Takes the top out; there must be one.
    pub fn pop(&mut self) {
        let last = self.get(self.len - 1);
        self.len -= 1;
        if self.len != 0 {
            self.sift_down(last);
        }
    }

    /// Gives the top a later key.
    pub fn move_top(&mut self, key: i64) {
        let top = self.get(0);
        self.sift_down(Entry { key, ..top });
    }

    /// Finds the place of `moving` from the top down, where there is a hole.
    fn sift_down(&mut self, moving: Entry) {
        let mut pos = 0;
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

    #[cold]
    fn grow(&mut self, kernel: &impl Kernel) -> Result<(), Errno> {
        let capacity = if self.capacity == 0 { FIRST } else { self.capacity * 2 };
        let new = kernel.map(capacity * size_of::<Entry>())?.cast::<Entry>().as_ptr();
        if self.len != 0 {
            // SAFETY: `len` entries are readable in the old mapping, and the new one is larger and fresh.
            unsafe { new.copy_from_nonoverlapping(self.memory, self.len) };
        }
        self.unmap(kernel);
        self.memory = new;
        self.capacity = capacity;
        Ok(())
    }

    fn unmap(&mut self, kernel: &impl Kernel) {
        if let Some(memory) = NonNull::new(self.memory) {
            // SAFETY: mapped by `grow` with this length, and nothing points into it.
            unsafe { kernel.unmap(memory.cast(), self.capacity * size_of::<Entry>()) };
        }
    }

    pub fn free(&mut self, kernel: &impl Kernel) {
        self.unmap(kernel);
        *self = Entries::new();
    }
}
