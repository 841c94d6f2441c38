//! ppoll(2): waiting for a few descriptors without an epoll instance.

use linux_raw_sys::general as raw;
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_align, assert_eq_size, const_assert_eq};

use super::super::time::Timespec;
use super::super::{Errno, RawFd, opt_mut_ptr, ptr, result};
use crate::arch;

bitflags::bitflags! {
    /// What [`ppoll`] asks for and reports.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[repr(transparent)]
    pub struct PollFlags: u16 {
        /// Reading would not block.
        const IN = raw::POLLIN as u16;
        /// Out-of-band data or another exceptional condition.
        const PRI = raw::POLLPRI as u16;
        /// Writing would not block.
        const OUT = raw::POLLOUT as u16;
        /// An error is pending. Reported without being asked for.
        const ERR = raw::POLLERR as u16;
        /// Both directions are shut down. Reported without being asked for.
        const HUP = raw::POLLHUP as u16;
        /// Not an open descriptor. Reported without being asked for.
        const NVAL = raw::POLLNVAL as u16;
        /// The peer closed, or shut down its writing half.
        const RDHUP = raw::POLLRDHUP as u16;
    }
}

/// `struct pollfd`: a descriptor, what to wait for, what came.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "pollfd")]
pub struct PollFd {
    /// The descriptor; a negative one is skipped.
    pub fd: RawFd,
    /// What to wait for.
    pub events: PollFlags,
    /// What came; the kernel writes it.
    pub revents: PollFlags,
}

assert_eq_size!(PollFd, raw::pollfd);
assert_eq_align!(PollFd, raw::pollfd);
const_assert_eq!(offset_of!(PollFd, fd), offset_of!(raw::pollfd, fd));
const_assert_eq!(offset_of!(PollFd, events), offset_of!(raw::pollfd, events));
const_assert_eq!(offset_of!(PollFd, revents), offset_of!(raw::pollfd, revents));

impl PollFd {
    /// Waits on `fd` for `events`.
    #[inline]
    pub const fn new(fd: RawFd, events: PollFlags) -> PollFd {
        PollFd { fd, events, revents: PollFlags::empty() }
    }
}

/// ppoll(2) without a signal mask: waits for at most `timeout` (`None`: no limit) and returns how many
/// of `fds` have something to report. The timeout is taken by value, since the kernel writes the
/// rest of it back.
///
/// # Errors
/// `EINTR`, `EINVAL` (more descriptors than `RLIMIT_NOFILE`, timeout out of range), `ENOMEM`.
#[inline]
#[doc(alias = "poll")]
pub fn ppoll(fds: &mut [PollFd], mut timeout: Option<Timespec>) -> Result<usize, Errno> {
    let timeout = opt_mut_ptr(timeout.as_mut());
    // SAFETY: the kernel reads and writes `len` records of `struct pollfd`, and the timespec; with a
    // null mask the fifth argument, its size, is not read.
    result(unsafe { arch::syscall5(nr::PPOLL, ptr(fds.as_mut_ptr()), fds.len(), timeout, 0, 0) })
}
