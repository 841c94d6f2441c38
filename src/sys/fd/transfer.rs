//! sendfile(2) and splice(2): moving data without taking it through the program's memory.

use linux_raw_sys::general as raw;
use sc::nr;

use super::super::{Errno, RawFd, int, opt_mut_ptr, result};
use crate::arch;

bitflags::bitflags! {
    /// Flags of [`splice`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct SpliceFlags: u32 {
        /// Move pages rather than copy them; a hint.
        const MOVE = raw::SPLICE_F_MOVE;
        /// Do not wait for the pipe; the other end goes by its own `NONBLOCK`.
        const NONBLOCK = raw::SPLICE_F_NONBLOCK;
        /// More will follow: do not push out a part of a packet.
        const MORE = raw::SPLICE_F_MORE;
    }
}

/// sendfile(2): copies at most `count` bytes from `input`, which must be a file that can be mapped,
/// to `output`, and returns how many. With an offset, reading starts there, the offset is moved and
/// the file's position is not.
///
/// # Errors
/// `EAGAIN` (`output` is full), `EINTR`, `EPIPE`, `EINVAL` (`input` cannot be mapped, `output` is
/// `APPEND`), `EBADF`, `EIO`, `ENOMEM`, `EOVERFLOW`, `ESPIPE`.
#[inline]
pub fn sendfile(output: RawFd, input: RawFd, offset: Option<&mut u64>, count: usize) -> Result<usize, Errno> {
    // SAFETY: the kernel reads and writes one 64-bit offset, or none.
    result(unsafe { arch::syscall4(nr::SENDFILE, int(output), int(input), opt_mut_ptr(offset), count) })
}

/// splice(2): moves at most `len` bytes from `input` to `output`, one of which is a pipe, and returns
/// how many; 0 is the end of the input. An offset belongs to the end that is no pipe.
///
/// # Errors
/// `EAGAIN`, `EINTR`, `EINVAL` (neither is a pipe, or a file that cannot be spliced), `EPIPE`,
/// `ESPIPE` (an offset for a pipe), `EBADF`, `ENOMEM`.
#[inline]
pub fn splice(
    input: RawFd,
    input_offset: Option<&mut u64>,
    output: RawFd,
    output_offset: Option<&mut u64>,
    len: usize,
    flags: SpliceFlags,
) -> Result<usize, Errno> {
    // SAFETY: the kernel reads and writes one 64-bit offset each, or none.
    result(unsafe {
        arch::syscall6(
            nr::SPLICE,
            int(input),
            opt_mut_ptr(input_offset),
            int(output),
            opt_mut_ptr(output_offset),
            len,
            flags.bits() as usize,
        )
    })
}
