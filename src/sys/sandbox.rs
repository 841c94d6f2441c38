//! Giving up rights: filters of system calls, seccomp(2), and of files, landlock(7).

use core::mem::size_of;

use linux_raw_sys::{general as raw, landlock, ptrace};
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_size, const_assert_eq};

use super::{Errno, RawFd, as_int, int, ptr, unit};
use crate::arch;

/// `struct sock_filter`: an instruction of classic BPF.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "sock_filter")]
pub struct SockFilter {
    code: u16,
    yes: u8,
    no: u8,
    k: u32,
}

assert_eq_size!(SockFilter, ptrace::sock_filter);
const_assert_eq!(offset_of!(SockFilter, code), offset_of!(ptrace::sock_filter, code));
const_assert_eq!(offset_of!(SockFilter, yes), offset_of!(ptrace::sock_filter, jt));
const_assert_eq!(offset_of!(SockFilter, no), offset_of!(ptrace::sock_filter, jf));
const_assert_eq!(offset_of!(SockFilter, k), offset_of!(ptrace::sock_filter, k));

/// What the kernel's filters look at, in `struct seccomp_data`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Load {
    /// The call's number.
    Nr = offset_of!(ptrace::seccomp_data, nr) as u32,
    /// The architecture by whose table that is a call.
    Arch = offset_of!(ptrace::seccomp_data, arch) as u32,
}

impl SockFilter {
    // `linux/bpf_common.h`.
    const LD_W_ABS: u16 = 0x20;
    const JMP_JEQ_K: u16 = 0x15;
    const RET_K: u16 = 0x06;

    /// Ends the filter: the call is carried out.
    pub const ALLOW: SockFilter = SockFilter::new(SockFilter::RET_K, 0, 0, ptrace::SECCOMP_RET_ALLOW);
    /// Ends the filter: the process is killed by SIGSYS. Linux 4.14.
    pub const KILL_PROCESS: SockFilter =
        SockFilter::new(SockFilter::RET_K, 0, 0, ptrace::SECCOMP_RET_KILL_PROCESS);

    const fn new(code: u16, yes: u8, no: u8, k: u32) -> SockFilter {
        SockFilter { code, yes, no, k }
    }

    /// Loads a word.
    pub const fn load(what: Load) -> SockFilter {
        SockFilter::new(SockFilter::LD_W_ABS, 0, 0, what as u32)
    }

    /// Skips `yes` instructions if the word is `k`, otherwise `no`.
    pub const fn skip_if(k: u32, yes: u8, no: u8) -> SockFilter {
        SockFilter::new(SockFilter::JMP_JEQ_K, yes, no, k)
    }
}

/// What [`Load::Arch`] loads for calls by the `syscall` instruction.
#[doc(alias = "AUDIT_ARCH_X86_64")]
pub const AUDIT_ARCH: u32 = ptrace::AUDIT_ARCH_X86_64;

bitflags::bitflags! {
    /// Flags of [`seccomp_set_mode_filter`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct SeccompFlags: u32 {
        /// For all threads of the process, and no new privileges for them either.
        #[doc(alias = "SECCOMP_FILTER_FLAG_TSYNC")]
        const TSYNC = ptrace::SECCOMP_FILTER_FLAG_TSYNC;
    }
}

/// `struct sock_fprog`.
#[repr(C)]
struct SockFprog {
    len: u16,
    filter: *const SockFilter,
}

assert_eq_size!(SockFprog, ptrace::sock_fprog);
const_assert_eq!(offset_of!(SockFprog, filter), offset_of!(ptrace::sock_fprog, filter));

/// seccomp(2), `SECCOMP_SET_MODE_FILTER`: from now on `program` decides about each system call of this thread
/// and its children, beside the filters that are there. With `TSYNC` the result may be the number of a thread
/// that has filters of its own, and nothing is done; otherwise it is 0.
///
/// # Errors
/// `EINVAL` (no filter: an unknown instruction, a jump out of it, more than 4096), `EACCES` (without
/// `prctl_set_no_new_privs` or the right to do it), `ENOMEM`.
///
/// # Safety
/// The filter allows a call, makes it fail with an error that its manual page has, or ends the thread or process. One that
/// makes up a success (`SECCOMP_RET_ERRNO` with 0) has code believe that memory was mapped, or a structure written.
#[inline]
#[doc(alias = "seccomp")]
pub unsafe fn seccomp_set_mode_filter(flags: SeccompFlags, program: &[SockFilter]) -> Result<i32, Errno> {
    let program =
        SockFprog { len: u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?, filter: program.as_ptr() };
    // SAFETY: the kernel reads the structure and the program, and keeps neither.
    as_int(unsafe {
        arch::syscall3(
            nr::SECCOMP,
            ptrace::SECCOMP_SET_MODE_FILTER as usize,
            flags.bits() as usize,
            ptr(&raw const program),
        )
    })
}

bitflags::bitflags! {
    /// What is done to files, landlock(7).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct AccessFs: u64 {
        /// Open a file for reading.
        #[doc(alias = "LANDLOCK_ACCESS_FS_READ_FILE")]
        const READ_FILE = landlock::LANDLOCK_ACCESS_FS_READ_FILE as u64;
        /// Open a directory.
        #[doc(alias = "LANDLOCK_ACCESS_FS_READ_DIR")]
        const READ_DIR = landlock::LANDLOCK_ACCESS_FS_READ_DIR as u64;
        /// All of version 1: the execution of files, writing, making and removing.
        const V1 = (landlock::LANDLOCK_ACCESS_FS_MAKE_SYM as u64 * 2) - 1;
        /// Rename or link to another directory. Version 2.
        #[doc(alias = "LANDLOCK_ACCESS_FS_REFER")]
        const REFER = landlock::LANDLOCK_ACCESS_FS_REFER as u64;
        /// Cut a file off. Version 3.
        #[doc(alias = "LANDLOCK_ACCESS_FS_TRUNCATE")]
        const TRUNCATE = landlock::LANDLOCK_ACCESS_FS_TRUNCATE as u64;
        /// `ioctl` of a device. Version 5.
        #[doc(alias = "LANDLOCK_ACCESS_FS_IOCTL_DEV")]
        const IOCTL_DEV = landlock::LANDLOCK_ACCESS_FS_IOCTL_DEV as u64;
    }
}

bitflags::bitflags! {
    /// What is done to TCP sockets, landlock(7). Version 4.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct AccessNet: u64 {
        /// Bind one to a port.
        #[doc(alias = "LANDLOCK_ACCESS_NET_BIND_TCP")]
        const BIND_TCP = landlock::LANDLOCK_ACCESS_NET_BIND_TCP as u64;
        /// Connect one.
        #[doc(alias = "LANDLOCK_ACCESS_NET_CONNECT_TCP")]
        const CONNECT_TCP = landlock::LANDLOCK_ACCESS_NET_CONNECT_TCP as u64;
    }
}

/// `struct landlock_ruleset_attr`, to which newer kernels have added: what is forbidden unless a rule allows it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "landlock_ruleset_attr")]
pub struct RulesetAttr {
    /// Of files.
    pub fs: AccessFs,
    /// Of sockets. A kernel that does not know this field takes it as long as it is empty.
    pub net: AccessNet,
}

const_assert_eq!(offset_of!(RulesetAttr, fs), offset_of!(landlock::landlock_ruleset_attr, handled_access_fs));
const_assert_eq!(
    offset_of!(RulesetAttr, net),
    offset_of!(landlock::landlock_ruleset_attr, handled_access_net)
);

/// landlock_create_ruleset(2), `LANDLOCK_CREATE_RULESET_VERSION`: how much of it the kernel knows, from 1 on.
///
/// # Errors
/// `ENOSYS` (Linux before 5.13), `EOPNOTSUPP` (switched off).
#[inline]
#[doc(alias = "landlock_create_ruleset")]
pub fn landlock_version() -> Result<i32, Errno> {
    let version = landlock::LANDLOCK_CREATE_RULESET_VERSION as usize;
    // SAFETY: this operation takes no structure.
    as_int(unsafe { arch::syscall3(raw::__NR_landlock_create_ruleset as usize, 0, 0, version) })
}

/// landlock_create_ruleset(2): a descriptor of new rules.
///
/// # Errors
/// As [`landlock_version`], and `EINVAL` (an access that this kernel does not know), `E2BIG` (a field that it
/// does not know), `ENOMSG` (no access).
#[inline]
pub fn landlock_create_ruleset(attr: &RulesetAttr) -> Result<RawFd, Errno> {
    // SAFETY: the kernel reads one structure of the size that it is told.
    as_int(unsafe {
        arch::syscall3(raw::__NR_landlock_create_ruleset as usize, ptr(attr), size_of::<RulesetAttr>(), 0)
    })
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: RawFd,
}

assert_eq_size!(PathBeneath, landlock::landlock_path_beneath_attr);

/// landlock_add_rule(2), `LANDLOCK_RULE_PATH_BENEATH`: allows `access` to the file or directory `parent` (`O_PATH`
/// is enough), and to all that is below it.
///
/// # Errors
/// `EINVAL` (an access that the rules do not speak of, or one to directories on a file), `EBADF`, `EBADFD`.
#[inline]
#[doc(alias = "landlock_add_rule")]
pub fn landlock_add_path_beneath(ruleset: RawFd, access: AccessFs, parent: RawFd) -> Result<(), Errno> {
    let rule = PathBeneath { allowed: access.bits(), parent };
    let kind = landlock::landlock_rule_type::LANDLOCK_RULE_PATH_BENEATH as usize;
    // SAFETY: the kernel reads one structure.
    unit(unsafe {
        arch::syscall4(raw::__NR_landlock_add_rule as usize, int(ruleset), kind, ptr(&raw const rule), 0)
    })
}

/// landlock_restrict_self(2): the rules hold for this thread, and for threads and processes that it makes from
/// now on. Not for other threads.
///
/// # Errors
/// `EPERM` (without `prctl_set_no_new_privs` or the right to do it), `EBADF`, `EBADFD`, `E2BIG` (the 17th).
#[inline]
pub fn landlock_restrict_self(ruleset: RawFd) -> Result<(), Errno> {
    // SAFETY: numbers only.
    unit(unsafe { arch::syscall2(raw::__NR_landlock_restrict_self as usize, int(ruleset), 0) })
}
