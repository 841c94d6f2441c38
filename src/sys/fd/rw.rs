//! read(2), write(2) and their relatives. The kernel moves at most 0x7fff_f000 bytes a call.

use core::mem::MaybeUninit;

use linux_raw_sys::general as raw;
use sc::nr;

use super::super::{Errno, RawFd, int, ptr, result, written};
use super::{IoSlice, IoSliceMut};
use crate::arch;

/// Where [`lseek`] counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[doc(alias = "SEEK_SET")]
pub enum Whence {
    /// The start of the file.
    Set = raw::SEEK_SET,
    /// The current position.
    Cur = raw::SEEK_CUR,
    /// The end of the file.
    End = raw::SEEK_END,
    /// The next byte that is no hole, from the start of the file.
    Data = raw::SEEK_DATA,
    /// The next hole, from the start of the file.
    Hole = raw::SEEK_HOLE,
}

/// read(2): reads at most `buf.len()` bytes and returns how many; 0 is the end of the file.
///
/// # Errors
/// `EAGAIN` (non-blocking and nothing there), `EINTR`, `EBADF`, `EIO`, `EISDIR`, `EINVAL`, and those
/// of the file's kind, `ECONNRESET` above all.
#[inline]
pub fn read(fd: RawFd, buf: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `len` bytes, all inside the slice.
    let n = result(unsafe { arch::syscall3(nr::READ, int(fd), ptr(buf.as_mut_ptr()), buf.len()) })?;
    Ok(n.min(buf.len())) // a tracer that makes up results must not lead anybody out of the slice
}

/// As [`read`], into memory that need not hold anything yet; returns the bytes that were read.
///
/// # Errors
/// As [`read`].
#[inline]
#[doc(alias = "read")]
pub fn read_uninit(fd: RawFd, buf: &mut [MaybeUninit<u8>]) -> Result<&mut [u8], Errno> {
    // SAFETY: the kernel writes at most `len` bytes, all inside the slice.
    let n = result(unsafe { arch::syscall3(nr::READ, int(fd), ptr(buf.as_mut_ptr()), buf.len()) })?;
    // SAFETY: the kernel wrote `n` bytes, and was given room for `len`.
    Ok(unsafe { written(buf, n) })
}

/// write(2): writes at most `buf.len()` bytes and returns how many. Raises SIGPIPE with `EPIPE`.
///
/// # Errors
/// `EAGAIN` (non-blocking and no room), `EINTR`, `EPIPE`, `EBADF`, `ENOSPC`, `EIO`, `EINVAL`,
/// `EFBIG`, `EDQUOT`, and those of the file's kind.
#[inline]
pub fn write(fd: RawFd, buf: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads at most `len` bytes, all inside the slice.
    result(unsafe { arch::syscall3(nr::WRITE, int(fd), ptr(buf.as_ptr()), buf.len()) })
}

/// readv(2): as [`read`], filling the slices in turn. At most 1024 of them.
///
/// # Errors
/// As [`read`]; `EINVAL` for too many slices.
#[inline]
pub fn readv(fd: RawFd, bufs: &mut [IoSliceMut<'_>]) -> Result<usize, Errno> {
    // SAFETY: `IoSliceMut` is `struct iovec`, and each names memory borrowed for writing.
    result(unsafe { arch::syscall3(nr::READV, int(fd), ptr(bufs.as_mut_ptr()), bufs.len()) })
}

/// writev(2): as [`write()`], taking the slices in turn. At most 1024 of them.
///
/// # Errors
/// As [`write()`]; `EINVAL` for too many slices.
#[inline]
pub fn writev(fd: RawFd, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    // SAFETY: `IoSlice` is `struct iovec`, and each names memory borrowed for reading.
    result(unsafe { arch::syscall3(nr::WRITEV, int(fd), ptr(bufs.as_ptr()), bufs.len()) })
}

/// pread64(2): as [`read`], from `offset` on and without moving the file's position.
///
/// # Errors
/// As [`read`]; `ESPIPE` (no position), `EINVAL` (an offset above `i64::MAX`).
#[inline]
#[doc(alias = "pread")]
pub fn pread64(fd: RawFd, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    // SAFETY: as in `read`.
    result(unsafe { arch::syscall4(nr::PREAD64, int(fd), ptr(buf.as_mut_ptr()), buf.len(), offset as usize) })
}

/// pwrite64(2): as [`write()`], at `offset` and without moving the file's position.
///
/// # Errors
/// As [`write()`]; `ESPIPE` (no position), `EINVAL` (an offset above `i64::MAX`).
#[inline]
#[doc(alias = "pwrite")]
pub fn pwrite64(fd: RawFd, buf: &[u8], offset: u64) -> Result<usize, Errno> {
    // SAFETY: as in `write`.
    result(unsafe { arch::syscall4(nr::PWRITE64, int(fd), ptr(buf.as_ptr()), buf.len(), offset as usize) })
}

/// lseek(2): moves the file's position and returns it, from the start of the file.
///
/// # Errors
/// `ESPIPE` (no position), `EINVAL` (before the start), `ENXIO` (`Data`, `Hole` past the end),
/// `EOVERFLOW`, `EBADF`.
#[inline]
pub fn lseek(fd: RawFd, offset: i64, whence: Whence) -> Result<u64, Errno> {
    // SAFETY: the call takes no pointer.
    result(unsafe { arch::syscall3(nr::LSEEK, int(fd), offset as usize, whence as usize) })
        .map(|at| at as u64)
}
