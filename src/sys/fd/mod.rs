//! Calls on any descriptor: reading and writing, flags, duplicates, pipes, readiness, copying inside
//! the kernel.

mod flags;
mod iovec;
mod poll;
mod rw;
mod transfer;

pub use flags::*;
pub use iovec::{IoSlice, IoSliceMut};
pub use poll::*;
pub use rw::*;
pub use transfer::*;

use sc::nr;

use super::{Errno, RawFd, as_int, int, unit};
use crate::arch;

/// close(2): gives the number back. The descriptor is gone after *every* return, `EINTR` and `EIO`
/// included: closing again would close whatever has got the number since.
///
/// # Errors
/// `EBADF`, `EINTR`, and what the last write-back failed with (`EIO`, `ENOSPC`, `EDQUOT`).
///
/// # Safety
/// The number is the caller's to close: no handle, no other code and not the runtime (its poller, standard streams it
/// has been told of) goes on using it. See [`sys`](super#descriptors).
#[inline]
pub unsafe fn close(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer.
    unit(unsafe { arch::syscall1(nr::CLOSE, int(fd)) })
}

/// dup(2): a second number for the same open file, the lowest free one; without `CLOEXEC`.
///
/// # Errors
/// `EBADF`, `EMFILE`.
#[inline]
pub fn dup(fd: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: the call takes no pointer.
    as_int(unsafe { arch::syscall1(nr::DUP, int(fd)) })
}

/// dup3(2): makes `new` a second number for `fd`; what `new` was before is closed silently. Of
/// `flags` only `CLOEXEC` is allowed.
///
/// # Errors
/// `EBADF` (also `new` above the limit), `EINVAL` (`fd == new`, unknown flags), `EBUSY`, `EINTR`.
///
/// # Safety
/// Of `new`, as of what is given to [`close`]: what it was is closed. A number that nobody has got from the kernel is no
/// better, because another thread may get it at any moment.
#[inline]
#[doc(alias = "dup2")]
pub unsafe fn dup3(fd: RawFd, new: RawFd, flags: OFlags) -> Result<RawFd, Errno> {
    // SAFETY: the call takes no pointer.
    as_int(unsafe { arch::syscall3(nr::DUP3, int(fd), int(new), flags.bits() as usize) })
}

/// pipe2(2): a pipe as `[reading end, writing end]`. Of `flags`, `CLOEXEC`, `NONBLOCK` and `DIRECT`
/// (each write is a packet) are allowed.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `EINVAL` (unknown flags).
#[inline]
#[doc(alias = "pipe")]
pub fn pipe2(flags: OFlags) -> Result<[RawFd; 2], Errno> {
    let mut fds = [-1; 2];
    // SAFETY: the kernel writes two `int`s.
    unit(unsafe { arch::syscall2(nr::PIPE2, super::ptr(fds.as_mut_ptr()), flags.bits() as usize) })?;
    Ok(fds)
}
