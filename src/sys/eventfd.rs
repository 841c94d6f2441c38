//! eventfd(2): a counter behind a descriptor, which makes one thread's wait readable to another.

use linux_raw_sys::general as raw;
use sc::nr;

use super::{Errno, RawFd, as_int};
use crate::arch;

bitflags::bitflags! {
    /// Flags of [`eventfd2`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct EventfdFlags: u32 {
        /// Close on `execve`.
        const CLOEXEC = raw::EFD_CLOEXEC;
        /// `EAGAIN` instead of waiting.
        const NONBLOCK = raw::EFD_NONBLOCK;
        /// A read takes 1 from the counter, not all of it.
        const SEMAPHORE = raw::EFD_SEMAPHORE;
    }
}

/// eventfd2(2): opens a counter that starts at `initval`. A write of 8 bytes adds to it, a read of
/// 8 bytes takes it, and it is readable while it is not 0.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`, `ENODEV`; `EINVAL` for unknown flags.
#[inline]
#[doc(alias = "eventfd")]
pub fn eventfd2(initval: u32, flags: EventfdFlags) -> Result<RawFd, Errno> {
    // SAFETY: the call takes no pointer.
    as_int(unsafe { arch::syscall2(nr::EVENTFD2, initval as usize, flags.bits() as usize) })
}
