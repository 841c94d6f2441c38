//! The memory map: mmap(2) and its family. Lengths and addresses are in bytes; addresses must lie on
//! page boundaries, lengths are rounded up to pages by the kernel.

use core::ptr;

use linux_raw_sys::general as raw;
use sc::nr;

use super::{Errno, RawFd, int, result, unit};
use crate::arch;

bitflags::bitflags! {
    /// What a mapping may be used for; empty means not at all (`PROT_NONE`).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[doc(alias = "PROT_NONE")]
    pub struct Prot: u32 {
        /// Pages may be read.
        const READ = raw::PROT_READ;
        /// Pages may be written.
        const WRITE = raw::PROT_WRITE;
        /// Pages may be executed.
        const EXEC = raw::PROT_EXEC;
    }
}

bitflags::bitflags! {
    /// Flags of [`mmap`]; one of `SHARED` and `PRIVATE` is required.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct MapFlags: u32 {
        /// Writes are seen by all who map the file.
        const SHARED = raw::MAP_SHARED;
        /// Writes stay in this process.
        const PRIVATE = raw::MAP_PRIVATE;
        /// Exactly at `addr`, in place of what is mapped there.
        const FIXED = raw::MAP_FIXED;
        /// Exactly at `addr`, or `EEXIST`. Linux 4.17.
        const FIXED_NOREPLACE = raw::MAP_FIXED_NOREPLACE;
        /// Zeroed memory, no file: `fd` is -1.
        const ANONYMOUS = raw::MAP_ANONYMOUS;
        /// Reserve no swap for it.
        const NORESERVE = raw::MAP_NORESERVE;
        /// Meant for a stack: since Linux 6.7 no transparent huge pages.
        const STACK = raw::MAP_STACK;
        /// Fault all pages in now.
        const POPULATE = raw::MAP_POPULATE;
        /// Keep the pages in memory.
        const LOCKED = raw::MAP_LOCKED;
        /// Out of the pool of huge pages.
        const HUGETLB = raw::MAP_HUGETLB;
    }
}

bitflags::bitflags! {
    /// Flags of [`mremap`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct MremapFlags: u32 {
        /// The mapping may move.
        const MAYMOVE = raw::MREMAP_MAYMOVE;
        /// It moves to `new_addr`, in place of what is mapped there.
        const FIXED = raw::MREMAP_FIXED;
        /// The old range stays mapped, empty. Linux 5.7.
        const DONTUNMAP = raw::MREMAP_DONTUNMAP;
    }
}

/// What [`madvise`] tells the kernel about a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Advice {
    /// No special treatment.
    Normal = raw::MADV_NORMAL,
    /// Expect random access.
    Random = raw::MADV_RANDOM,
    /// Expect sequential access.
    Sequential = raw::MADV_SEQUENTIAL,
    /// Read it in soon.
    WillNeed = raw::MADV_WILLNEED,
    /// Drop the pages now: private anonymous memory reads as zero afterwards.
    DontNeed = raw::MADV_DONTNEED,
    /// Drop the pages when memory is short, unless written to before. Linux 4.5.
    Free = raw::MADV_FREE,
    /// Use transparent huge pages.
    Hugepage = raw::MADV_HUGEPAGE,
    /// Use no transparent huge pages.
    NoHugepage = raw::MADV_NOHUGEPAGE,
    /// Leave the range out of core dumps.
    DontDump = raw::MADV_DONTDUMP,
    /// First to go when memory is short. Linux 5.4.
    Cold = raw::MADV_COLD,
    /// Swap it out now. Linux 5.4.
    PageOut = raw::MADV_PAGEOUT,
    /// Fault all pages in for reading. Linux 5.14.
    PopulateRead = raw::MADV_POPULATE_READ,
    /// Fault all pages in for writing. Linux 5.14.
    PopulateWrite = raw::MADV_POPULATE_WRITE,
    /// Drop the pages; any access to the range is a SIGSEGV, and the mapping is not split. Linux 6.13.
    GuardInstall = raw::MADV_GUARD_INSTALL,
    /// Undo `GuardInstall`: the range reads as zero. Linux 6.13.
    GuardRemove = raw::MADV_GUARD_REMOVE,
}

/// mmap(2): maps `len` bytes of `fd` from `offset`, or of zeroed memory (`ANONYMOUS`, `fd` -1), at
/// the kernel's choice of address (`addr` is then a hint, null for none) or at `addr` (`FIXED`).
///
/// # Errors
/// `ENOMEM` (also above `vm.max_map_count` mappings), `EINVAL` (length 0, address or offset off a
/// page boundary), `EEXIST`, `EACCES`, `EAGAIN`, `EBADF`, `ENODEV`, `EPERM`.
///
/// # Safety
/// With `FIXED`, nothing may use what was mapped at `addr..addr + len`. Memory that maps a file
/// changes when the file does.
#[inline]
pub unsafe fn mmap(
    addr: *mut u8,
    len: usize,
    prot: Prot,
    flags: MapFlags,
    fd: RawFd,
    offset: u64,
) -> Result<*mut u8, Errno> {
    let (prot, flags) = (prot.bits() as usize, flags.bits() as usize);
    // SAFETY: new memory belongs to nobody yet; the case of `FIXED` is the caller's contract.
    let ret = unsafe {
        arch::syscall6(nr::MMAP, addr.expose_provenance(), len, prot, flags, int(fd), offset as usize)
    };
    result(ret).map(ptr::with_exposed_provenance_mut)
}

/// munmap(2): removes every mapping in `addr..addr + len`.
///
/// # Errors
/// `EINVAL` (length 0, address off a page boundary), `ENOMEM` (a mapping would have to be split
/// above `vm.max_map_count`).
///
/// # Safety
/// Nothing may use the range any more.
#[inline]
pub unsafe fn munmap(addr: *mut u8, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unit(unsafe { arch::syscall2(nr::MUNMAP, addr.expose_provenance(), len) })
}

/// mprotect(2): changes what `addr..addr + len` may be used for.
///
/// # Errors
/// `ENOMEM` (a hole in the range, or a split above `vm.max_map_count`), `EINVAL`, `EACCES`.
///
/// # Safety
/// No access that the new protection forbids may follow, except to fault on purpose.
#[inline]
pub unsafe fn mprotect(addr: *mut u8, len: usize, prot: Prot) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unit(unsafe { arch::syscall3(nr::MPROTECT, addr.expose_provenance(), len, prot.bits() as usize) })
}

/// madvise(2): tells the kernel what `addr..addr + len` is about to be used for.
///
/// # Errors
/// `EINVAL` (advice unknown to this kernel, address off a page boundary), `ENOMEM` (a hole in the
/// range), `EAGAIN`, `EBUSY`, `EIO`, `EFAULT`, `EHWPOISON` with some kinds of advice.
///
/// # Safety
/// Advice that drops pages (`DontNeed`, `Free`, `GuardInstall`) takes their contents: nothing may
/// rely on them any more.
#[inline]
pub unsafe fn madvise(addr: *mut u8, len: usize, advice: Advice) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unit(unsafe { arch::syscall3(nr::MADVISE, addr.expose_provenance(), len, advice as usize) })
}

/// mincore(2): which of the pages in `addr..addr + len` are in memory: bit 0 of their bytes in `vec`. The
/// other bits mean nothing. A page that nobody has touched is not.
///
/// # Errors
/// `ENOMEM` (a hole in the range), `EINVAL` (address off a page boundary), `EAGAIN` (the kernel is short
/// of memory), `EFAULT`.
///
/// # Safety
/// `vec` must have a byte for each page of the range, begun ones included.
#[inline]
pub unsafe fn mincore(addr: *const u8, len: usize, vec: &mut [u8]) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unit(unsafe {
        arch::syscall3(nr::MINCORE, addr.expose_provenance(), len, vec.as_mut_ptr().expose_provenance())
    })
}

/// mremap(2): grows, shrinks or moves a mapping and returns where it is now. `new_addr` is read with
/// `FIXED` and `DONTUNMAP` only.
///
/// # Errors
/// `ENOMEM` (no room in place and not `MAYMOVE`, or no memory), `EINVAL`, `EFAULT`, `EAGAIN`.
///
/// # Safety
/// If the mapping shrinks or moves, nothing may use what is no longer there; with `FIXED` the same
/// holds for `new_addr..new_addr + new_len`.
#[inline]
pub unsafe fn mremap(
    addr: *mut u8,
    len: usize,
    new_len: usize,
    flags: MremapFlags,
    new_addr: *mut u8,
) -> Result<*mut u8, Errno> {
    let flags = flags.bits() as usize;
    // SAFETY: the caller's contract.
    let ret = unsafe {
        arch::syscall5(
            nr::MREMAP,
            addr.expose_provenance(),
            len,
            new_len,
            flags,
            new_addr.expose_provenance(),
        )
    };
    result(ret).map(ptr::with_exposed_provenance_mut)
}
