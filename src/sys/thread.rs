//! The calling thread: its number, its processors, its name. Threads are made by
//! [`crate::arch`], since they need a stack before they can run Rust.

use core::ffi::CStr;

use linux_raw_sys::{general as raw, prctl};
use sc::nr;

use super::{Errno, int, ptr, result, unit};
use crate::arch;

bitflags::bitflags! {
    /// What a new thread or process shares with its maker, clone(2).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct CloneFlags: u32 {
        /// The memory.
        const VM = raw::CLONE_VM;
        /// The root and the working directory.
        const FS = raw::CLONE_FS;
        /// The table of descriptors.
        const FILES = raw::CLONE_FILES;
        /// What signals do; needs `VM`.
        const SIGHAND = raw::CLONE_SIGHAND;
        /// The process: a thread of it; needs `SIGHAND`.
        const THREAD = raw::CLONE_THREAD;
        /// The undo list of System V semaphores.
        const SYSVSEM = raw::CLONE_SYSVSEM;
        /// Set the thread pointer.
        const SETTLS = raw::CLONE_SETTLS;
        /// Write the number where the maker sees it.
        const PARENT_SETTID = raw::CLONE_PARENT_SETTID;
        /// At the end write 0 to the thread's word and wake its (shared) futex.
        const CHILD_CLEARTID = raw::CLONE_CHILD_CLEARTID;
        /// Write the number into the new thread's memory.
        const CHILD_SETTID = raw::CLONE_CHILD_SETTID;
        /// The maker waits until the memory is given back.
        const VFORK = raw::CLONE_VFORK;
    }
}

impl CloneFlags {
    /// What makes a thread in the usual sense, in memory and number.
    pub const AS_THREAD: CloneFlags = CloneFlags::VM
        .union(CloneFlags::FS)
        .union(CloneFlags::FILES)
        .union(CloneFlags::SIGHAND)
        .union(CloneFlags::THREAD)
        .union(CloneFlags::SYSVSEM);
}

/// gettid(2): the number of the calling thread.
#[inline]
pub fn gettid() -> i32 {
    // SAFETY: the call takes no argument and cannot fail.
    unsafe { arch::syscall0(nr::GETTID) as i32 }
}

/// set_tid_address(2): names the word that is zeroed, and whose shared futex is woken, when the calling
/// thread ends. Returns the thread's number.
///
/// # Safety
/// The word must stay valid for a write until the thread has ended, or another (or null) is named.
#[inline]
pub unsafe fn set_tid_address(word: *mut i32) -> i32 {
    // SAFETY: the caller's contract; the call cannot fail.
    unsafe { arch::syscall1(nr::SET_TID_ADDRESS, ptr(word)) as i32 }
}

/// sched_yield(2): lets other threads of this CPU go first.
#[inline]
pub fn sched_yield() {
    // SAFETY: the call takes no argument; on Linux it cannot fail, so there is no result to look at.
    unsafe { arch::syscall0(nr::SCHED_YIELD) };
}

/// A set of CPUs, large enough for every kernel of today (8192).
#[derive(Clone, Copy, PartialEq, Eq)]
#[doc(alias = "cpu_set_t")]
pub struct CpuSet([u64; CpuSet::WORDS]);

impl CpuSet {
    const WORDS: usize = 128;

    /// How many CPUs are in it.
    #[inline]
    #[doc(alias = "CPU_COUNT")]
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether CPU `n` is in it.
    #[inline]
    #[doc(alias = "CPU_ISSET")]
    pub fn contains(&self, n: usize) -> bool {
        self.0.get(n / 64).is_some_and(|word| word >> (n % 64) & 1 != 0)
    }
}

/// sched_getaffinity(2): the CPUs that thread `tid` (0: this one) may run on.
///
/// # Errors
/// `ESRCH`; `EINVAL` (a machine with more CPUs than a set holds).
#[inline]
pub fn sched_getaffinity(tid: i32) -> Result<CpuSet, Errno> {
    let mut set = CpuSet([0; CpuSet::WORDS]);
    let size = size_of::<CpuSet>();
    // SAFETY: the kernel writes at most `size` bytes, and returns how many, where C libraries return 0.
    result(unsafe { arch::syscall3(nr::SCHED_GETAFFINITY, int(tid), size, ptr(set.0.as_mut_ptr())) })?;
    Ok(set)
}

/// arch_prctl(2), `ARCH_SET_FS`: sets the calling thread's thread pointer.
///
/// # Errors
/// `EPERM` (an address outside user space).
///
/// # Safety
/// Everything on this thread that goes by the thread pointer finds `address` from now on: a C library
/// does not survive that.
#[cfg(target_arch = "x86_64")]
#[inline]
#[doc(alias = "arch_prctl")]
pub unsafe fn arch_prctl_set_fs(address: *mut u8) -> Result<(), Errno> {
    // SAFETY: the caller's contract.
    unit(unsafe { arch::syscall2(nr::ARCH_PRCTL, raw::ARCH_SET_FS as usize, ptr(address)) })
}

/// prctl(2), `PR_SET_TIMERSLACK`: by how many nanoseconds the calling thread may wake late, so that
/// wakes come together; 0 restores the default (usually 50 µs).
///
/// # Errors
/// None that the caller can bring about.
#[inline]
#[doc(alias = "PR_SET_TIMERSLACK")]
pub fn prctl_set_timerslack(nanos: u64) -> Result<(), Errno> {
    // SAFETY: this operation takes no pointer.
    unit(unsafe { arch::syscall2(nr::PRCTL, prctl::PR_SET_TIMERSLACK as usize, nanos as usize) })
}

/// prctl(2), `PR_SET_NAME`: names the calling thread; the kernel keeps 15 bytes.
///
/// # Errors
/// None that the caller can bring about.
#[inline]
#[doc(alias = "PR_SET_NAME")]
pub fn prctl_set_name(name: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads up to the zero byte, at most 16 bytes.
    unit(unsafe { arch::syscall2(nr::PRCTL, prctl::PR_SET_NAME as usize, ptr(name.as_ptr())) })
}

/// prctl(2), `PR_SET_NO_NEW_PRIVS`: no `execve` of this thread and its children will ever gain
/// privileges.
///
/// # Errors
/// None that the caller can bring about.
#[inline]
#[doc(alias = "PR_SET_NO_NEW_PRIVS")]
pub fn prctl_set_no_new_privs() -> Result<(), Errno> {
    // SAFETY: this operation takes no pointer; it insists on zeros in what it does not use.
    unit(unsafe { arch::syscall5(nr::PRCTL, prctl::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0) })
}
