//! Stacks: slots of large mappings, committed page by page as they are touched, with a guard page at
//! the low end of each.
//!
//! ```text
//!  lo                                                                     lo + size
//!  | guard page |  free ...  <- grows down |  closure, result  |  G  |  colour  |
//! ```
//!
//! The guard is `MADV_GUARD_INSTALL` where the kernel has it (Linux 6.13): it costs no mapping of its
//! own, so that a million stacks are one mapping. Below that it is `mprotect`, which splits the mapping
//! and ends near 32,000 stacks at the usual `vm.max_map_count`, with `ENOMEM`.
//!
//! A slot is never unmapped: its task's control block must outlive every stale reference to it. The
//! tops of the stacks are spread over cache sets ("colour"), since otherwise every parked task's few
//! live lines would compete for the same ones.

use super::dump::ALLG;
use super::g::{G, Gp, Stack};
use crate::sys::mm::{Advice, MapFlags, Prot, madvise, mmap, mprotect};
use crate::sys::{Errno, RawFd};
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

/// Bytes of a stack unless the program chooses otherwise, guard page included. Only touched pages are
/// memory: a task that parks in shallow frames costs one.
pub(crate) const DEFAULT_STACK: usize = 64 << 10;

/// The least that can be asked for: the guard, and room for formatting a panic.
pub(crate) const MIN_STACK: usize = 16 << 10;

/// The most: a slab of such stacks is more than any address space, and still a number of bytes.
const MAX_STACK: usize = 1 << 40;

/// Slots of the first slab; each further one is twice as large, up to [`MAX_SLOTS`].
const FIRST_SLOTS: usize = 32;
const MAX_SLOTS: usize = 1024;

/// Colours, and the step between them: together a quarter of a page, so that a task that parks in
/// shallow frames still fits its first page.
const COLOURS: usize = 16;
const COLOUR_STEP: usize = 64;

const NO_FILE: RawFd = -1;

/// Where new stacks come from. Used ones are pooled by the scheduler and do not come back here.
pub(crate) struct StackPool {
    /// Unused part of the newest slab.
    next: *mut u8,
    slots_left: usize,
    slab_slots: usize,
    stack_size: usize,
    page: usize,
    made: usize,
    /// `MADV_GUARD_INSTALL` is not there.
    heavy_guards: bool,
}

// SAFETY: the slab is owned, and a mapping belongs to no thread.
unsafe impl Send for StackPool {}

impl StackPool {
    /// A pool to [`configure`](StackPool::configure).
    pub const fn new() -> StackPool {
        StackPool {
            next: ptr::null_mut(),
            slots_left: 0,
            slab_slots: 0,
            stack_size: 0,
            page: 0,
            made: 0,
            heavy_guards: false,
        }
    }

    /// Before the first stack: the page size of this machine (from the auxiliary vector) and the bytes
    /// of a stack, rounded up to pages.
    pub fn configure(&mut self, page: usize, stack_size: usize) {
        self.page = page;
        self.slab_slots = FIRST_SLOTS;
        let bytes = stack_size.clamp(MIN_STACK, MAX_STACK);
        self.stack_size = (bytes + page - 1) & !(page - 1); // a page is a power of two
    }

    /// Bytes a task may use for its closure and result together: a quarter of the stack.
    pub fn closure_limit(&self) -> usize {
        self.stack_size / 4
    }

    /// A new stack with a control block at its top.
    ///
    /// # Errors
    /// `ENOMEM`: no address space, no memory for the first page's tables, or, without light guards, too
    /// many mappings.
    pub fn make(&mut self) -> Result<Gp, Errno> {
        if self.slots_left == 0 {
            self.map_slab()?;
        }
        let lo = self.next;
        self.install_guard(lo)?;
        self.next = lo.wrapping_add(self.stack_size);
        self.slots_left -= 1;
        let colour = self.made % COLOURS * COLOUR_STEP;
        self.made += 1;
        // SAFETY: within the slot, which is ours alone, mapped, and far larger than both.
        let g = unsafe { lo.add(self.stack_size - colour - size_of::<G>()) }.cast::<G>();
        // SAFETY: a slab's address is not null.
        let stack = Stack { lo: unsafe { NonNull::new_unchecked(lo) }, size: self.stack_size };
        // SAFETY: aligned to 64, as stack sizes, colours and `size_of::<G>()` are multiples of it;
        // writable; never unmapped.
        unsafe {
            g.write(G::new(stack));
            (*g).alllink.store(ALLG.load(Ordering::Relaxed), Ordering::Relaxed);
            ALLG.store(g, Ordering::Release); // under the pool's lock: nobody else writes it
            Ok(Gp::new(NonNull::new_unchecked(g)))
        }
    }

    /// Maps `len` bytes of memory for a stack, or for what lives as long.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn map(len: usize) -> Result<*mut u8, Errno> {
        let prot = Prot::READ | Prot::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::NORESERVE | MapFlags::STACK;
        // SAFETY: a new mapping at an address of the kernel's choice.
        unsafe { mmap(ptr::null_mut(), len, prot, flags, NO_FILE, 0) }
    }

    fn map_slab(&mut self) -> Result<(), Errno> {
        let mut slots = self.slab_slots;
        let slab = loop {
            match StackPool::map(slots * self.stack_size) {
                // Where memory is not overcommitted a smaller slab may still fit.
                Err(Errno::ENOMEM) if slots > 1 => slots /= 2,
                done => break done?,
            }
        };
        // A huge page would commit 2 MiB for the first byte of a stack. Kernels without huge pages
        // answer EINVAL, which is as good.
        // SAFETY: a mapping of ours, and the advice changes no content.
        let _ = unsafe { madvise(slab, slots * self.stack_size, Advice::NoHugepage) };
        self.next = slab;
        self.slots_left = slots;
        self.slab_slots = (self.slab_slots * 2).min(MAX_SLOTS);
        Ok(())
    }

    fn install_guard(&mut self, lo: *mut u8) -> Result<(), Errno> {
        if !self.heavy_guards {
            // SAFETY: the first page of a slot that nobody uses yet.
            match unsafe { madvise(lo, self.page, Advice::GuardInstall) } {
                Err(Errno::EINVAL) => self.heavy_guards = true, // before Linux 6.13
                done => return done,
            }
        }
        // SAFETY: as above.
        unsafe { mprotect(lo, self.page, Prot::empty()) }
    }
}
