//! What the poller asks of an operating system, and Linux.

use crate::mapping;
use crate::sys::epoll::{CtlOp, EpollCreateFlags, EpollEvent, EpollFlags};
use crate::sys::eventfd::EventfdFlags;
use crate::sys::time::{ClockId, Timespec};
use crate::sys::{self, Errno, RawFd};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

/// The kernel as the poller sees it. [`Linux`] is the real one; tests bring one with a virtual clock,
/// scripted events and injected errors.
///
/// # Safety
/// The poller believes two of the answers, and reads and writes memory by them:
/// * [`Kernel::map`] returns `len` bytes that are zero, readable and writable, aligned to a page. They are the
///   caller's alone until they are given to [`Kernel::unmap`], also if the kernel is moved meanwhile.
/// * [`Kernel::epoll_wait`] has written as many records as it says, from the front of `events`, and says no more than
///   these have room for.
///
/// The others may be wrong, also what is in the records and what the clock shows: then tasks are woken too early, or
/// not at all.
pub unsafe trait Kernel {
    /// `epoll_create1(EPOLL_CLOEXEC)`.
    ///
    /// # Errors
    /// As the system call.
    fn epoll_create(&self) -> Result<RawFd, Errno>;

    /// `eventfd2(0, EFD_CLOEXEC | EFD_NONBLOCK)`.
    ///
    /// # Errors
    /// As the system call.
    fn eventfd(&self) -> Result<RawFd, Errno>;

    /// `epoll_ctl(2)`; `events` and `data` count for `Add` and `Mod`.
    ///
    /// # Errors
    /// As the system call: `EEXIST`, `ENOENT`, `ENOSPC` (`max_user_watches`), `EPERM` (not pollable), …
    fn epoll_ctl(
        &self,
        epfd: RawFd,
        op: CtlOp,
        fd: RawFd,
        events: EpollFlags,
        data: u64,
    ) -> Result<(), Errno>;

    /// Waits for events: `delay` ns, without limit if negative, not at all if 0. Returns how many
    /// records were written from the front of `events`: see the contract above.
    ///
    /// # Errors
    /// As `epoll_pwait(2)`, `EINTR` included.
    fn epoll_wait(
        &self,
        epfd: RawFd,
        events: &mut [MaybeUninit<EpollEvent>],
        delay: i64,
    ) -> Result<usize, Errno>;

    /// Adds 1 to an eventfd's counter.
    ///
    /// # Errors
    /// As `write(2)`.
    fn eventfd_write(&self, fd: RawFd) -> Result<(), Errno>;

    /// Closes a descriptor made here.
    ///
    /// # Safety
    /// It came from [`Kernel::epoll_create`] or [`Kernel::eventfd`], and nothing uses it any more.
    unsafe fn close(&self, fd: RawFd);

    /// The monotonic clock, in ns (Go: `nanotime`).
    fn nanotime(&self) -> i64;

    /// `len` bytes of zeroed memory, aligned to a page: see the contract above. `len` is not 0.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn map(&self, len: usize) -> Result<NonNull<u8>, Errno>;

    /// Gives back what [`Kernel::map`] returned.
    ///
    /// # Safety
    /// `memory` came from `map(len)`, and nothing uses it any more.
    unsafe fn unmap(&self, memory: NonNull<u8>, len: usize);
}

/// How `CLOCK_MONOTONIC` is read. What it returns may make deadlines pass at the wrong time, and no more than that.
pub trait Clock {
    /// In ns.
    fn nanotime() -> i64;
}

/// By system call.
pub struct SystemCall;

impl Clock for SystemCall {
    fn nanotime() -> i64 {
        sys::time::clock_gettime(ClockId::Monotonic).map_or(0, Timespec::as_nanos)
    }
}

/// The running kernel.
pub struct Linux<C = SystemCall> {
    /// `epoll_pwait2` is not there (it came with Linux 5.11), as has turned out.
    no_pwait2: AtomicBool,
    clock: PhantomData<C>,
}

impl Default for Linux {
    fn default() -> Self {
        Linux::new()
    }
}

impl Linux {
    /// Waits in ns by `epoll_pwait2`, in ms where the kernel turns out not to know it; reads the clock
    /// by system call.
    pub const fn new() -> Linux {
        Linux::with_clock()
    }

    /// As [`Linux::new`], as if `epoll_pwait2` did not exist: the switch for testing the fallback.
    pub const fn without_pwait2() -> Linux {
        Linux { no_pwait2: AtomicBool::new(true), clock: PhantomData }
    }
}

impl<C: Clock> Linux<C> {
    /// As [`Linux::new`], with another reader of the clock (the vDSO's).
    pub const fn with_clock() -> Linux<C> {
        Linux { no_pwait2: AtomicBool::new(false), clock: PhantomData }
    }
}

/// Moves a descriptor that was just made away from the numbers of stdin, stdout and stderr, which it gets
/// in a program that was started without them: whatever is printed would go into it. Closes it if that
/// fails.
pub(crate) fn above_stdio(fd: RawFd) -> Result<RawFd, Errno> {
    if fd > 2 {
        return Ok(fd);
    }
    let moved = sys::fd::fcntl_dupfd_cloexec(fd, 3);
    // SAFETY: handed over by the caller. It is new, so an error could report nothing.
    let _ = unsafe { sys::fd::close(fd) };
    moved
}

/// Go's table from ns to the milliseconds of `epoll_pwait`: negative waits without limit, less than a
/// millisecond is rounded up so that a short sleep does not spin, the rest is truncated (the caller
/// looks at its clock and waits again), and about 11.5 days is the most.
pub const fn timeout_ms(delay: i64) -> i32 {
    match delay {
        ..0 => -1,
        0 => 0,
        1..1_000_000 => 1,
        1_000_000..1_000_000_000_000_000 => (delay / 1_000_000) as i32,
        _ => 1_000_000_000,
    }
}

// SAFETY: a new mapping of `mmap` is what `map` promises, and the caller's alone; `epoll_pwait` and `epoll_pwait2` are given the
// length of `events`, and return how many records they wrote (the kernel's ABI).
unsafe impl<C: Clock> Kernel for Linux<C> {
    fn epoll_create(&self) -> Result<RawFd, Errno> {
        loop {
            let fd = sys::epoll::epoll_create1(EpollCreateFlags::CLOEXEC)?;
            // One with the number of stdin, stdout or stderr stays there, for it cannot be written to. So nothing that
            // is opened from now on has such a number even for the moment until `above_stdio`.
            if fd > 2 {
                return Ok(fd);
            }
        }
    }

    fn eventfd(&self) -> Result<RawFd, Errno> {
        sys::eventfd::eventfd2(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).and_then(above_stdio)
    }

    fn epoll_ctl(
        &self,
        epfd: RawFd,
        op: CtlOp,
        fd: RawFd,
        events: EpollFlags,
        data: u64,
    ) -> Result<(), Errno> {
        sys::epoll::epoll_ctl(epfd, op, fd, Some(&EpollEvent::new(events, data)))
    }

    #[inline]
    fn epoll_wait(
        &self,
        epfd: RawFd,
        events: &mut [MaybeUninit<EpollEvent>],
        delay: i64,
    ) -> Result<usize, Errno> {
        if delay <= 0 {
            // Without a time to convert the older call does the same with less to copy.
            return sys::epoll::epoll_pwait(epfd, events, timeout_ms(delay));
        }
        if !self.no_pwait2.load(Ordering::Relaxed) {
            match sys::epoll::epoll_pwait2(epfd, events, Some(&Timespec::from_nanos(delay))) {
                // EPERM is the answer of seccomp filters older than the call; the call itself has none.
                Err(Errno::ENOSYS | Errno::EPERM) => self.no_pwait2.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
        sys::epoll::epoll_pwait(epfd, events, timeout_ms(delay))
    }

    fn eventfd_write(&self, fd: RawFd) -> Result<(), Errno> {
        sys::fd::write(fd, &1u64.to_ne_bytes()).map(drop)
    }

    unsafe fn close(&self, fd: RawFd) {
        // SAFETY: the caller's contract. Such a descriptor has nothing to flush, so an error would report nothing.
        let _ = unsafe { sys::fd::close(fd) };
    }

    fn nanotime(&self) -> i64 {
        C::nanotime()
    }

    fn map(&self, len: usize) -> Result<NonNull<u8>, Errno> {
        mapping::map(len)
    }

    unsafe fn unmap(&self, memory: NonNull<u8>, len: usize) {
        // SAFETY: a mapping of ours that nothing uses any more (contract).
        unsafe { mapping::unmap(memory, len) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::timeout_ms;

    #[test]
    fn timeout_table_is_gos() {
        for (ns, ms) in [
            (i64::MIN, -1),
            (-1, -1),
            (0, 0),
            (1, 1),
            (999_999, 1),
            (1_000_000, 1),
            (1_999_999, 1),
            (2_000_000, 2),
            (999_999_999_999_999, 999_999_999),
            (1_000_000_000_000_000, 1_000_000_000),
            (i64::MAX, 1_000_000_000),
        ] {
            assert_eq!(timeout_ms(ns), ms, "{ns} ns");
        }
    }
}
