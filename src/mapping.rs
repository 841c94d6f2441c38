//! Anonymous memory from the kernel: there is no allocator below this.

use crate::sys::Errno;
use crate::sys::mm::{Advice, MapFlags, Prot, madvise, mmap, munmap};
use core::ptr::{self, NonNull};

/// Maps `len` bytes of zeros, aligned to a page. They take memory once they are touched.
///
/// # Errors
/// `ENOMEM`.
pub(crate) fn map(len: usize) -> Result<NonNull<u8>, Errno> {
    let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
    let memory = unsafe { mmap(ptr::null_mut(), len, Prot::READ | Prot::WRITE, flags, -1, 0) }?;
    NonNull::new(memory).ok_or(Errno::ENOMEM)
}

/// Gives back what [`map`] returned.
///
/// The kernel joins mappings that lie beside each other, and to take one out of the middle it needs one more: at
/// `vm.max_map_count` it refuses. Then the addresses are lost, but their memory is given back all the same.
///
/// # Safety
/// `memory` came from `map(len)`, and nothing uses it any more.
pub(crate) unsafe fn unmap(memory: NonNull<u8>, len: usize) {
    // SAFETY: whole pages of ours (contract), which nobody reads again.
    unsafe {
        if munmap(memory.as_ptr(), len).is_err() {
            let _ = madvise(memory.as_ptr(), len, Advice::DontNeed); // splits nothing
        }
    }
}
