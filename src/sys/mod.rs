//! Typed system calls: `Result<T, Errno>`, one file a topic, each function named as its call.
//!
//! Every function here is one `syscall` instruction and no more: nothing is retried, so `EINTR`
//! reaches the caller, and nothing is cached. Pointers and lengths come from slices and references;
//! flags are types of their own, so that swapped arguments do not compile.
//!
//! # Descriptors
//! They are plain numbers here. A call on the wrong one reads or writes the wrong file, which is a bug, but breaks no
//! memory: the runtime believes nothing that comes out of its own descriptors. So such calls are safe functions, and
//! ownership (RFC 3128, "I/O safety") begins in the layers above: [`net`](crate::net) and [`io`](crate::io) take and give
//! `OwnedFd`s. What *ends* the meaning of a number takes it from its owner, and is `unsafe`: [`fd::close`], [`fd::dup3`].
//! So is a filter of system calls ([`sandbox::seccomp_set_mode_filter`]), which can lie about all others.
//!
//! Calls that change the memory map, run code or hand the kernel an address of the caller's choice are `unsafe`, too:
//! [`sockopt::getsockopt`] with any option is, while the functions for one option each are not.
//!
//! How arguments are widened to the 64-bit registers: a C `int` (descriptors above all) keeps its
//! sign, everything else is zero-extended. Constants and layouts are those of `linux-raw-sys`, or are
//! asserted against it beside the type.

mod call;
pub mod epoll;
mod errno;
pub mod eventfd;
pub mod fd;
pub mod fs;
pub mod futex;
pub mod mm;
pub mod process;
pub mod sandbox;
pub mod signal;
pub mod sockaddr;
pub mod socket;
pub mod sockopt;
pub mod thread;
pub mod time;

pub use call::Call;
pub use errno::{Errno, result};

/// A file descriptor number, as the kernel counts them.
pub type RawFd = i32;

/// Widens a C `int` for a register, sign included: the kernel reads 32 bits of most descriptors,
/// but compares a few (`AT_FDCWD`) and all timeouts after extending them itself.
#[inline(always)]
const fn int(value: i32) -> usize {
    value as isize as usize
}

/// The address of memory that the kernel will read or write. Exposed, since the kernel's accesses
/// are derived from the number and not from the pointer.
#[inline(always)]
fn ptr<T>(p: *const T) -> usize {
    p.expose_provenance()
}

/// As [`ptr`], null for `None`.
#[inline(always)]
fn opt_ptr<T>(p: Option<&T>) -> usize {
    p.map_or(0, |p| ptr(p))
}

/// As [`opt_ptr`], for memory that the kernel writes.
#[inline(always)]
fn opt_mut_ptr<T>(p: Option<&mut T>) -> usize {
    p.map_or(0, |p| ptr(core::ptr::from_mut(p)))
}

/// The result of a call that only succeeds or fails.
#[inline(always)]
fn unit(ret: usize) -> Result<(), Errno> {
    result(ret).map(|_| ())
}

/// The result of a call that returns a C `int`: a descriptor, a process number, a set of flags.
#[inline(always)]
fn as_int(ret: usize) -> Result<i32, Errno> {
    result(ret).map(|ret| ret as i32)
}

/// Word `wanted` of `words`, each of which ends with `end`. One string and a scan instead of a table of
/// slices: a third of the size, and nothing to relocate in a static-PIE program.
pub(crate) fn word(words: &'static str, end: u8, wanted: usize) -> Option<&'static str> {
    let (mut index, mut start) = (0, 0);
    for (at, &byte) in words.as_bytes().iter().enumerate() {
        if byte == end {
            if index == wanted {
                return words.get(start..at);
            }
            (index, start) = (index + 1, at + 1);
        }
    }
    None
}

/// Views the first `n` bytes of `buf`.
///
/// # Safety
/// The kernel has said that it wrote `n` bytes from the beginning.
#[inline(always)]
unsafe fn written(buf: &mut [core::mem::MaybeUninit<u8>], n: usize) -> &mut [u8] {
    // SAFETY: `u8` and `MaybeUninit<u8>` have one layout; the caller answers for the contents. A tracer that makes up
    // results must not lead anybody out of the slice.
    unsafe { core::slice::from_raw_parts_mut(buf.as_mut_ptr().cast(), n.min(buf.len())) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::written;
    use core::mem::MaybeUninit;

    /// By a tracer, or a filter of system calls, that makes up results.
    #[test]
    fn a_count_that_is_too_large_leads_nowhere() {
        let mut buf = [MaybeUninit::new(7u8); 4];
        for (n, seen) in [(0, 0), (3, 3), (4, 4), (5, 4), (usize::MAX, 4)] {
            // SAFETY: all of the buffer holds something.
            assert_eq!(unsafe { written(&mut buf, n) }, &[7; 4][..seen]);
        }
    }
}
