//! An allocator for programs that want `alloc`: [`Heap`].

use crate::lock::RawFutex;
use crate::mapping;
use crate::sys::mm::{MremapFlags, mremap};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use talc::{OomHandler, Span, Talc, Talck};

/// From this size on, in bytes, a block is a mapping of its own (glibc's figure).
const LARGE: usize = 128 << 10;

/// No page is smaller, and a mapping is aligned to a page.
const PAGE: usize = 4096;

/// Bytes mapped for small blocks at first; twice as many each time, up to [`LAST`].
const FIRST: usize = 64 << 10;
const LAST: usize = 4 << 20;

/// A global allocator for a program of the runtime, of memory from `mmap`; with the feature `alloc`.
///
/// ```ignore
/// extern crate alloc;
///
/// #[global_allocator]
/// static HEAP: netpoll::rt::Heap = netpoll::rt::Heap::new();
/// ```
///
/// Blocks of 128 KiB and more are mappings of their own: freed, they go back to the kernel, and resized they
/// are not copied. All others lie in larger mappings, which stay. One lock serves all threads; its holder is
/// not preempted, so a task that is interrupted never keeps others from the heap.
pub struct Heap(Talck<RawFutex, Grow>);

impl Default for Heap {
    fn default() -> Self {
        Heap::new()
    }
}

impl Heap {
    /// An empty one; memory is mapped when it is asked for.
    pub const fn new() -> Heap {
        Heap(Talc::new(Grow { next: FIRST }).lock())
    }
}

/// Bytes of a mapping that talc may want for its own tables, with room to spare.
const TABLES: usize = 4096;

/// Where more memory for small blocks comes from.
struct Grow {
    /// Bytes to map next.
    next: usize,
}

impl OomHandler for Grow {
    fn handle_oom(talc: &mut Talc<Self>, layout: Layout) -> Result<(), ()> {
        let need = layout.size().checked_add(layout.align()).ok_or(())? + TABLES;
        let len = need.max(talc.oom_handler.next).next_multiple_of(PAGE);
        let memory = map(len).ok_or(())?;
        talc.oom_handler.next = (talc.oom_handler.next * 2).min(LAST);
        // SAFETY: a new mapping, which nobody else uses and which stays.
        unsafe { talc.claim(Span::from_base_size(memory, len)) }.map(drop)
    }
}

fn map(len: usize) -> Option<*mut u8> {
    mapping::map(len).ok().map(NonNull::as_ptr)
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE
}

// SAFETY: mappings of their own, and talc's blocks, each told by the layout that comes with every call.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return map(layout.size()).unwrap_or(ptr::null_mut());
        }
        // SAFETY: the caller's contract.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() && !is_large(layout) {
            // SAFETY: a new block of so many bytes. (A new mapping is zeroed.)
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: a mapping of its own (`alloc`), which the caller gives up; no block is null (contract).
            return unsafe { mapping::unmap(NonNull::new_unchecked(block), layout.size()) };
        }
        // SAFETY: the caller's contract.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: not zero, and no overflow with this alignment (contract).
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller's contract: the block is of `layout`, and what is copied lies in both.
        unsafe {
            match (is_large(layout), is_large(new)) {
                (false, false) => self.0.realloc(block, layout, size),
                (true, true) => {
                    let moved = mremap(block, layout.size(), size, MremapFlags::MAYMOVE, ptr::null_mut());
                    moved.unwrap_or(ptr::null_mut())
                }
                _ => {
                    let moved = self.alloc(new);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(block, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}
