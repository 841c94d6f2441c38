//! A descriptor and nothing else.

use crate::net::Error;
use crate::sys::fd::fcntl_dupfd_cloexec;
use crate::sys::{self, Call, RawFd};

/// An open descriptor that is closed when this is dropped, as std's.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnedFd(RawFd);

impl OwnedFd {
    /// Takes over `fd`.
    ///
    /// # Safety
    /// It is open, and nobody else's: it will be closed here.
    pub const unsafe fn from_raw_fd(fd: RawFd) -> OwnedFd {
        OwnedFd(fd)
    }

    /// The number.
    pub const fn as_raw_fd(&self) -> RawFd {
        self.0
    }

    /// Gives the number away, open.
    pub const fn into_raw_fd(self) -> RawFd {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }

    /// A second number for the same open file, closed on `execve`, and never 0, 1 or 2.
    ///
    /// # Errors
    /// [`Error::Os`] of `fcntl` (`EMFILE`).
    pub fn try_clone(&self) -> Result<OwnedFd, Error> {
        OwnedFd::duplicate(self.0)
    }

    /// A number of one's own for the open file behind `fd`, as [`OwnedFd::try_clone`] makes it.
    ///
    /// # Errors
    /// [`Error::Os`] of `fcntl` (`EBADF`, `EMFILE`).
    pub fn duplicate(fd: RawFd) -> Result<OwnedFd, Error> {
        fcntl_dupfd_cloexec(fd, 3).map(OwnedFd).map_err(|e| Error::Os(Call::Fcntl, e))
    }
}

impl Drop for OwnedFd {
    fn drop(&mut self) {
        // An error is one of earlier writes; the number is gone anyway (close(2)).
        // SAFETY: this owns the number (`from_raw_fd`).
        let _ = unsafe { sys::fd::close(self.0) };
    }
}
