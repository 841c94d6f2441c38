//! Memory for the models' channels: std's.

use crate::sys::Errno;
use core::alloc::Layout;
use core::ptr::NonNull;

pub(super) const LARGEST: usize = 4096;

pub(super) fn alloc(layout: Layout) -> Result<NonNull<u8>, Errno> {
    // SAFETY: a channel is never of size 0.
    NonNull::new(unsafe { std::alloc::alloc(layout) }).ok_or(Errno::ENOMEM)
}

/// # Safety
/// As of the real one.
pub(super) unsafe fn free(block: NonNull<u8>, layout: Layout) {
    // SAFETY: from `alloc` (contract).
    unsafe { std::alloc::dealloc(block.as_ptr(), layout) };
}
