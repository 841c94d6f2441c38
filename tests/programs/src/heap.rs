//! An allocator for the scenarios: takes from one large mapping and never gives back, except what was
//! taken last.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use netpoll::sys::mm::{MapFlags, Prot, mmap};

/// Address space; memory only where it is touched.
const SIZE: usize = 4 << 30;

struct Bump {
    /// The next free address; 0 before the mapping is made.
    next: AtomicUsize,
}

#[global_allocator]
static HEAP: Bump = Bump { next: AtomicUsize::new(0) };

/// Makes the mapping, if need be: before the address space is limited, say.
pub fn reserve() {
    if HEAP.next.load(Ordering::Acquire) == 0 {
        let prot = Prot::READ | Prot::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(ptr::null_mut(), SIZE, prot, flags, -1, 0) }.expect("the heap");
        // Of two threads that come first at once, one leaves its mapping unused.
        let _ = HEAP.next.compare_exchange(0, start.addr(), Ordering::AcqRel, Ordering::Acquire);
    }
}

// SAFETY: no two callers get the same bytes, since `next` only moves by exchanges that claim them.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        reserve();
        let mut next = self.next.load(Ordering::Relaxed);
        loop {
            let start = next.next_multiple_of(layout.align());
            let end = start + layout.size();
            match self.next.compare_exchange(next, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return ptr::with_exposed_provenance_mut(start),
                Err(now) => next = now,
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (start, end) = (block.addr(), block.addr() + layout.size());
        let _ = self.next.compare_exchange(end, start, Ordering::Relaxed, Ordering::Relaxed);
    }
}
