//! epoll(7): one descriptor that reports the readiness of many.

use core::mem::MaybeUninit;

use linux_raw_sys::general as raw;
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_align, assert_eq_size, const_assert_eq};

use super::time::Timespec;
use super::{Errno, RawFd, as_int, int, opt_ptr, unit};
use crate::arch;

bitflags::bitflags! {
    /// What [`epoll_ctl`] asks for and what a wait reports.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct EpollFlags: u32 {
        /// Reading would not block.
        const IN = raw::EPOLLIN;
        /// Out-of-band data or another exceptional condition.
        const PRI = raw::EPOLLPRI;
        /// Writing would not block.
        const OUT = raw::EPOLLOUT;
        /// An error is pending. Reported without being asked for.
        const ERR = raw::EPOLLERR;
        /// Both directions are shut down. Reported without being asked for.
        const HUP = raw::EPOLLHUP;
        /// The same as `IN` on Linux.
        const RDNORM = raw::EPOLLRDNORM;
        /// Priority band data may be read.
        const RDBAND = raw::EPOLLRDBAND;
        /// The same as `OUT` on Linux.
        const WRNORM = raw::EPOLLWRNORM;
        /// Priority data may be written.
        const WRBAND = raw::EPOLLWRBAND;
        /// The peer closed, or shut down its writing half.
        const RDHUP = raw::EPOLLRDHUP;
        /// Wake one of the epoll instances that watch the file, not all. `Add` only.
        const EXCLUSIVE = raw::EPOLLEXCLUSIVE;
        /// Keep the system awake while the event is pending (`CAP_BLOCK_SUSPEND`).
        const WAKEUP = raw::EPOLLWAKEUP;
        /// Report once, then stay silent until the next `Mod`.
        const ONESHOT = raw::EPOLLONESHOT;
        /// Report changes of state, not the state.
        const ET = raw::EPOLLET;
    }
}

bitflags::bitflags! {
    /// Flags of [`epoll_create1`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct EpollCreateFlags: u32 {
        /// Close on `execve`.
        const CLOEXEC = raw::EPOLL_CLOEXEC;
    }
}

/// `struct epoll_event`: a set of events and the word that was registered with the descriptor.
/// Packed on x86_64 and nowhere else, so that 32-bit programs of that machine see one layout.
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "epoll_event")]
pub struct EpollEvent {
    /// The bits of [`EpollFlags`].
    pub events: u32,
    /// The word that comes back with every event.
    pub data: u64,
}

assert_eq_size!(EpollEvent, raw::epoll_event);
assert_eq_align!(EpollEvent, raw::epoll_event);
const_assert_eq!(offset_of!(EpollEvent, events), offset_of!(raw::epoll_event, events));
const_assert_eq!(offset_of!(EpollEvent, data), offset_of!(raw::epoll_event, data));
#[cfg(target_arch = "x86_64")]
const_assert_eq!(size_of::<EpollEvent>(), 12);

impl EpollEvent {
    /// The event that reports `flags` with `data`.
    #[inline]
    pub const fn new(flags: EpollFlags, data: u64) -> EpollEvent {
        EpollEvent { events: flags.bits(), data }
    }

    /// The events, unknown bits included.
    #[inline]
    pub const fn flags(&self) -> EpollFlags {
        EpollFlags::from_bits_retain(self.events)
    }

    /// The word registered with the descriptor.
    #[inline]
    pub const fn data(&self) -> u64 {
        self.data
    }
}

/// What [`epoll_ctl`] does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum CtlOp {
    /// Watch a descriptor.
    #[doc(alias = "EPOLL_CTL_ADD")]
    Add = raw::EPOLL_CTL_ADD,
    /// Change what is watched; also arms a `ONESHOT` entry again and reports what is ready now.
    #[doc(alias = "EPOLL_CTL_MOD")]
    Mod = raw::EPOLL_CTL_MOD,
    /// Stop watching.
    #[doc(alias = "EPOLL_CTL_DEL")]
    Del = raw::EPOLL_CTL_DEL,
}

/// epoll_create1(2): opens an epoll instance.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`; `EINVAL` for unknown flags.
#[inline]
pub fn epoll_create1(flags: EpollCreateFlags) -> Result<RawFd, Errno> {
    // SAFETY: the call takes no pointer.
    as_int(unsafe { arch::syscall1(nr::EPOLL_CREATE1, flags.bits() as usize) })
}

/// epoll_ctl(2): adds, changes or removes the entry of `fd` in `epfd`. `Del` needs no event.
///
/// # Errors
/// `EEXIST` (`Add` twice), `ENOENT` (`Mod` or `Del` of an unknown `fd`), `EPERM` (the file cannot be
/// polled: regular files, directories), `ENOSPC` (`max_user_watches`), `ENOMEM`, `EBADF`, `EINVAL`,
/// `ELOOP`, `EFAULT` (`Add` or `Mod` without an event).
#[inline]
pub fn epoll_ctl(epfd: RawFd, op: CtlOp, fd: RawFd, event: Option<&EpollEvent>) -> Result<(), Errno> {
    // SAFETY: the event is null or readable, and the kernel copies it.
    unit(unsafe { arch::syscall4(nr::EPOLL_CTL, int(epfd), op as usize, int(fd), opt_ptr(event)) })
}

/// epoll_pwait(2) without a signal mask: waits for at most `timeout_ms` milliseconds (0: not at all,
/// negative: without limit) and returns how many records at the front of `events` were written.
///
/// # Errors
/// `EINTR`, `EBADF`; `EINVAL` if `epfd` is no epoll instance or `events` is empty.
#[inline]
pub fn epoll_pwait(
    epfd: RawFd,
    events: &mut [MaybeUninit<EpollEvent>],
    timeout_ms: i32,
) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `max_events` records, all inside `events`.
    let ret = unsafe { arch::epollwait(epfd, events.as_mut_ptr(), max_events(events), timeout_ms) };
    count(ret)
}

/// epoll_pwait2(2) without a signal mask: as [`epoll_pwait`] with a limit in nanoseconds (`None`: no
/// limit). Linux 5.11.
///
/// # Errors
/// As [`epoll_pwait`]; `ENOSYS` before Linux 5.11; `EINVAL` for a timeout out of range.
#[inline]
pub fn epoll_pwait2(
    epfd: RawFd,
    events: &mut [MaybeUninit<EpollEvent>],
    timeout: Option<&Timespec>,
) -> Result<usize, Errno> {
    let timeout = timeout.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: as in `epoll_pwait`; the timeout is null or readable.
    let ret = unsafe { arch::epoll_pwait2(epfd, events.as_mut_ptr(), max_events(events), timeout) };
    count(ret)
}

/// The kernel's `int maxevents`; longer buffers are used in part.
#[inline(always)]
fn max_events(events: &[MaybeUninit<EpollEvent>]) -> i32 {
    i32::try_from(events.len()).unwrap_or(i32::MAX)
}

/// The 32-bit result of a wait.
#[inline(always)]
fn count(ret: i32) -> Result<usize, Errno> {
    if ret < 0 { Err(Errno::from_raw(-ret)) } else { Ok(ret as usize) }
}
