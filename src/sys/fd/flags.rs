//! fcntl(2) and ioctl(2): what a descriptor and its open file carry.

use linux_raw_sys::{general as raw, ioctl};
use sc::nr;

use super::super::{Errno, RawFd, as_int, int, ptr, unit};
use crate::arch;

bitflags::bitflags! {
    /// Flags of an open file: how `openat` opens it, and its state later.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[doc(alias = "O_RDONLY")]
    pub struct OFlags: u32 {
        /// Writing only; empty flags mean reading only.
        const WRONLY = raw::O_WRONLY;
        /// Reading and writing.
        const RDWR = raw::O_RDWR;
        /// Create the file if it is missing.
        const CREAT = raw::O_CREAT;
        /// With `CREAT`: fail if it is there.
        const EXCL = raw::O_EXCL;
        /// A terminal does not become the controlling one.
        const NOCTTY = raw::O_NOCTTY;
        /// Empty the file.
        const TRUNC = raw::O_TRUNC;
        /// Every write goes to the end.
        const APPEND = raw::O_APPEND;
        /// `EAGAIN` instead of waiting.
        const NONBLOCK = raw::O_NONBLOCK;
        /// Writes return when the data is on the device.
        const DSYNC = raw::O_DSYNC;
        /// As `DSYNC`, for data and everything about it.
        const SYNC = raw::O_SYNC;
        /// Past the page cache; for a pipe: packets.
        const DIRECT = raw::O_DIRECT;
        /// Only a directory will do.
        const DIRECTORY = raw::O_DIRECTORY;
        /// Not if the last part of the path is a symbolic link.
        const NOFOLLOW = raw::O_NOFOLLOW;
        /// Leave the time of the last access alone.
        const NOATIME = raw::O_NOATIME;
        /// Close on `execve`.
        const CLOEXEC = raw::O_CLOEXEC;
        /// A place in the tree only, neither readable nor writable.
        const PATH = raw::O_PATH;
        /// A nameless file in the directory.
        const TMPFILE = raw::O_TMPFILE;
    }
}

bitflags::bitflags! {
    /// Flags of a descriptor, as opposed to its open file.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct FdFlags: u32 {
        /// Close on `execve`.
        #[doc(alias = "FD_CLOEXEC")]
        const CLOEXEC = raw::FD_CLOEXEC;
    }
}

/// fcntl(2), `F_GETFL`: access mode and state flags of the open file.
///
/// # Errors
/// `EBADF`.
#[inline]
#[doc(alias = "F_GETFL")]
pub fn fcntl_getfl(fd: RawFd) -> Result<OFlags, Errno> {
    // SAFETY: the call takes no pointer.
    let flags = as_int(unsafe { arch::syscall2(nr::FCNTL, int(fd), raw::F_GETFL as usize) })?;
    Ok(OFlags::from_bits_retain(flags as u32))
}

/// fcntl(2), `F_SETFL`: sets `APPEND`, `DIRECT`, `NOATIME` and `NONBLOCK` as in `flags`; other bits
/// are ignored. Everyone who shares the open file sees the change.
///
/// # Errors
/// `EBADF`, `EPERM`, `EINVAL`.
#[inline]
#[doc(alias = "F_SETFL")]
pub fn fcntl_setfl(fd: RawFd, flags: OFlags) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer.
    unit(unsafe { arch::syscall3(nr::FCNTL, int(fd), raw::F_SETFL as usize, flags.bits() as usize) })
}

/// fcntl(2), `F_GETFD`: flags of the descriptor.
///
/// # Errors
/// `EBADF`.
#[inline]
#[doc(alias = "F_GETFD")]
pub fn fcntl_getfd(fd: RawFd) -> Result<FdFlags, Errno> {
    // SAFETY: the call takes no pointer.
    let flags = as_int(unsafe { arch::syscall2(nr::FCNTL, int(fd), raw::F_GETFD as usize) })?;
    Ok(FdFlags::from_bits_retain(flags as u32))
}

/// fcntl(2), `F_SETFD`: sets the flags of the descriptor.
///
/// # Errors
/// `EBADF`.
#[inline]
#[doc(alias = "F_SETFD")]
pub fn fcntl_setfd(fd: RawFd, flags: FdFlags) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer.
    unit(unsafe { arch::syscall3(nr::FCNTL, int(fd), raw::F_SETFD as usize, flags.bits() as usize) })
}

/// fcntl(2), `F_DUPFD_CLOEXEC`: a second number for the open file, the lowest free one from `min`
/// on, closed on `execve`.
///
/// # Errors
/// `EBADF`, `EMFILE`, `EINVAL` (`min` above the limit).
#[inline]
#[doc(alias = "F_DUPFD_CLOEXEC")]
pub fn fcntl_dupfd_cloexec(fd: RawFd, min: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: the call takes no pointer.
    as_int(unsafe { arch::syscall3(nr::FCNTL, int(fd), raw::F_DUPFD_CLOEXEC as usize, int(min)) })
}

/// ioctl(2), `FIONREAD`: how many bytes could be read now (a datagram socket: the next datagram).
///
/// # Errors
/// `EBADF`, `ENOTTY` (not that kind of file), `EINVAL` (a listening socket).
#[inline]
#[doc(alias = "FIONREAD")]
pub fn ioctl_fionread(fd: RawFd) -> Result<u32, Errno> {
    let mut bytes = 0i32;
    // SAFETY: this request writes one `int`.
    unit(unsafe { arch::syscall3(nr::IOCTL, int(fd), ioctl::FIONREAD as usize, ptr(&raw mut bytes)) })?;
    Ok(bytes as u32)
}
