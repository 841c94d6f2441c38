//! futex(2): sleeping until a word in memory changes.

use core::sync::atomic::AtomicU32;

use linux_raw_sys::general as raw;
use sc::nr;

use super::time::Timespec;
use super::{Errno, opt_ptr, result, unit};
use crate::arch;

/// Who may wait on a word. Both sides must name the same scope, or a wake finds nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Threads of this process: cheaper, since the address alone is the key.
    #[doc(alias = "FUTEX_PRIVATE_FLAG")]
    Private,
    /// Anyone who maps the memory, and the kernel's own wake when a thread ends
    /// (`CLONE_CHILD_CLEARTID`).
    Shared,
}

impl Scope {
    #[inline(always)]
    const fn op(self, op: u32) -> usize {
        match self {
            Scope::Private => (op | raw::FUTEX_PRIVATE_FLAG) as usize,
            Scope::Shared => op as usize,
        }
    }
}

/// `FUTEX_WAIT`: sleeps while `word` holds `expected`, for at most `timeout` (relative, monotonic
/// clock; `None`: no limit), until a wake. The comparison and the falling asleep are one step with
/// regard to wakes, so none is lost; a return without a wake is possible, so callers look again.
///
/// # Errors
/// `EAGAIN` (the word held another value), `ETIMEDOUT`, `EINTR`; `EINVAL` for a timeout out of range.
#[inline]
#[doc(alias = "futex")]
#[doc(alias = "FUTEX_WAIT")]
pub fn futex_wait(
    word: &AtomicU32,
    expected: u32,
    timeout: Option<&Timespec>,
    scope: Scope,
) -> Result<(), Errno> {
    let op = scope.op(raw::FUTEX_WAIT);
    // SAFETY: the word is readable as long as the call lasts; the timeout is null or readable.
    unit(unsafe {
        arch::syscall4(nr::FUTEX, super::ptr(word.as_ptr()), op, expected as usize, opt_ptr(timeout))
    })
}

/// `FUTEX_WAIT_BITSET` on all bits: as [`futex_wait`], until the monotonic clock reads `deadline`.
///
/// # Errors
/// As [`futex_wait`].
#[inline]
#[doc(alias = "FUTEX_WAIT_BITSET")]
pub fn futex_wait_until(
    word: &AtomicU32,
    expected: u32,
    deadline: Option<&Timespec>,
    scope: Scope,
) -> Result<(), Errno> {
    let op = scope.op(raw::FUTEX_WAIT_BITSET);
    let all = raw::FUTEX_BITSET_MATCH_ANY as usize;
    // SAFETY: as in `futex_wait`; the second address is unused by this operation.
    unit(unsafe {
        arch::syscall6(nr::FUTEX, super::ptr(word.as_ptr()), op, expected as usize, opt_ptr(deadline), 0, all)
    })
}

/// `FUTEX_WAKE`: wakes at most `n` of those who wait on `word` and returns how many there were. The
/// kernel counts in `int`: more than `i32::MAX` is passed as `i32::MAX`, all there can be.
///
/// # Errors
/// None that a word in memory can bring about.
#[inline]
#[doc(alias = "futex")]
#[doc(alias = "FUTEX_WAKE")]
pub fn futex_wake(word: &AtomicU32, n: u32, scope: Scope) -> Result<usize, Errno> {
    let (op, n) = (scope.op(raw::FUTEX_WAKE), n.min(i32::MAX as u32));
    // SAFETY: a wake neither reads nor writes the word.
    result(unsafe { arch::syscall3(nr::FUTEX, super::ptr(word.as_ptr()), op, n as usize) })
}
