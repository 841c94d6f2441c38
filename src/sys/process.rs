//! The process as a whole: its number, its limits, its end, and what the machine says of itself.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use linux_raw_sys::{general as raw, system};
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_align, assert_eq_size, const_assert_eq};

use super::{Errno, as_int, int, opt_ptr, ptr, result, unit};
use crate::arch;

/// getpid(2): the number of this process.
#[inline]
pub fn getpid() -> i32 {
    // SAFETY: the call takes no argument and cannot fail.
    unsafe { arch::syscall0(nr::GETPID) as i32 }
}

/// getppid(2): the number of the parent; 0 if it lives in another PID namespace.
#[inline]
pub fn getppid() -> i32 {
    // SAFETY: the call takes no argument and cannot fail.
    unsafe { arch::syscall0(nr::GETPPID) as i32 }
}

/// getuid(2): the real user.
#[inline]
pub fn getuid() -> u32 {
    // SAFETY: the call takes no argument and cannot fail.
    unsafe { arch::syscall0(nr::GETUID) as u32 }
}

/// getgid(2): the real group.
#[inline]
pub fn getgid() -> u32 {
    // SAFETY: the call takes no argument and cannot fail.
    unsafe { arch::syscall0(nr::GETGID) as u32 }
}

/// exit_group(2): ends all threads of the process. The parent sees the low 8 bits of `status`.
#[inline]
#[doc(alias = "exit")]
pub fn exit_group(status: i32) -> ! {
    // SAFETY: the call takes no pointer and never returns.
    unsafe { arch::syscall1_noreturn(nr::EXIT_GROUP, int(status)) }
}

/// What [`prlimit64`] reads and sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[doc(alias = "RLIMIT_NOFILE")]
pub enum Resource {
    /// CPU time, in seconds.
    Cpu = raw::RLIMIT_CPU,
    /// Size of a file that is written, in bytes.
    Fsize = raw::RLIMIT_FSIZE,
    /// Data segment, in bytes.
    Data = raw::RLIMIT_DATA,
    /// Stack of the first thread, in bytes.
    Stack = raw::RLIMIT_STACK,
    /// Size of a core dump, in bytes.
    Core = raw::RLIMIT_CORE,
    /// Threads of the user.
    Nproc = raw::RLIMIT_NPROC,
    /// Highest descriptor plus one.
    Nofile = raw::RLIMIT_NOFILE,
    /// Locked memory, in bytes.
    Memlock = raw::RLIMIT_MEMLOCK,
    /// Address space, in bytes.
    As = raw::RLIMIT_AS,
    /// Queued signals.
    Sigpending = raw::RLIMIT_SIGPENDING,
}

/// `struct rlimit64`: a limit that holds, and how far it may be raised.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "rlimit64")]
pub struct Rlimit {
    /// The limit that holds (`rlim_cur`).
    pub cur: u64,
    /// The limit of the limit (`rlim_max`).
    pub max: u64,
}

impl Rlimit {
    /// No limit.
    #[doc(alias = "RLIM64_INFINITY")]
    pub const INFINITY: u64 = u64::MAX;
}

assert_eq_size!(Rlimit, raw::rlimit64);
assert_eq_align!(Rlimit, raw::rlimit64);
const_assert_eq!(offset_of!(Rlimit, cur), offset_of!(raw::rlimit64, rlim_cur));
const_assert_eq!(offset_of!(Rlimit, max), offset_of!(raw::rlimit64, rlim_max));

/// prlimit64(2): sets a limit of process `pid` (0: this one) if `new` is given, and returns what it
/// was.
///
/// # Errors
/// `EPERM` (raising `max`, or not one's own process), `EINVAL` (`cur` above `max`), `ESRCH`.
#[inline]
#[doc(alias = "getrlimit")]
#[doc(alias = "setrlimit")]
pub fn prlimit64(pid: i32, resource: Resource, new: Option<&Rlimit>) -> Result<Rlimit, Errno> {
    let mut old = MaybeUninit::<Rlimit>::uninit();
    // SAFETY: the kernel reads one `struct rlimit64`, or none, and writes another.
    unit(unsafe {
        arch::syscall4(nr::PRLIMIT64, int(pid), resource as usize, opt_ptr(new), ptr(old.as_mut_ptr()))
    })?;
    // SAFETY: the call succeeded, so it has been written.
    Ok(unsafe { old.assume_init() })
}

bitflags::bitflags! {
    /// Flags of [`getrandom`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct GetrandomFlags: u32 {
        /// `EAGAIN` rather than wait for the first entropy after boot.
        const NONBLOCK = raw::GRND_NONBLOCK;
        /// From the source behind /dev/random.
        const RANDOM = raw::GRND_RANDOM;
        /// Do not wait for the first entropy, take what there is. Linux 5.6.
        const INSECURE = raw::GRND_INSECURE;
    }
}

/// getrandom(2): fills `buf` with random bytes and returns how many; up to 256 always come whole.
///
/// # Errors
/// `EAGAIN`, `EINTR` (before the first entropy after boot), `EINVAL` (unknown flags).
#[inline]
pub fn getrandom(buf: &mut [u8], flags: GetrandomFlags) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `len` bytes, all inside the slice.
    result(unsafe { arch::syscall3(nr::GETRANDOM, ptr(buf.as_mut_ptr()), buf.len(), flags.bits() as usize) })
}

/// `struct new_utsname`: the names of the system.
#[repr(transparent)]
#[derive(Clone, Copy)]
#[doc(alias = "new_utsname")]
pub struct Utsname(system::new_utsname);

impl Utsname {
    /// The name of the system: `Linux`.
    pub fn sysname(&self) -> &CStr {
        text(&self.0.sysname)
    }

    /// The name of the machine in its network.
    pub fn nodename(&self) -> &CStr {
        text(&self.0.nodename)
    }

    /// The kernel's release, such as `6.12.1`.
    pub fn release(&self) -> &CStr {
        text(&self.0.release)
    }

    /// The kernel's build.
    pub fn version(&self) -> &CStr {
        text(&self.0.version)
    }

    /// The architecture, such as `x86_64`.
    pub fn machine(&self) -> &CStr {
        text(&self.0.machine)
    }
}

/// A field of the structure as a string; the kernel ends each with a zero byte.
fn text(field: &[core::ffi::c_char; 65]) -> &CStr {
    // SAFETY: `c_char` and `u8` have one layout.
    let bytes = unsafe { &*core::ptr::from_ref(field).cast::<[u8; 65]>() };
    CStr::from_bytes_until_nul(bytes).unwrap_or_default()
}

/// uname(2): the names of the system.
///
/// # Errors
/// None that the caller can bring about.
#[inline]
pub fn uname() -> Result<Utsname, Errno> {
    let mut names = MaybeUninit::<Utsname>::uninit();
    // SAFETY: the kernel writes one `struct new_utsname`.
    unit(unsafe { arch::syscall1(nr::UNAME, ptr(names.as_mut_ptr())) })?;
    // SAFETY: the call succeeded, so it has been written.
    Ok(unsafe { names.assume_init() })
}

bitflags::bitflags! {
    /// Flags of [`wait4`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct WaitFlags: u32 {
        /// Do not wait: the child's number comes back as 0 if none has ended.
        #[doc(alias = "WNOHANG")]
        const NOHANG = raw::WNOHANG;
        /// Report children that were stopped, too.
        #[doc(alias = "WUNTRACED")]
        const UNTRACED = raw::WUNTRACED;
    }
}

/// How a child ended, in wait(2)'s encoding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WaitStatus(i32);

impl WaitStatus {
    /// The status as the kernel wrote it.
    #[inline]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The exit status, if the child ended by itself.
    #[inline]
    #[doc(alias = "WEXITSTATUS")]
    pub const fn exit_status(self) -> Option<i32> {
        if self.0 & 0x7f == 0 { Some((self.0 >> 8) & 0xff) } else { None }
    }

    /// The signal that killed the child, if one did.
    #[inline]
    #[doc(alias = "WTERMSIG")]
    pub const fn term_signal(self) -> Option<i32> {
        match self.0 & 0x7f {
            0 | 0x7f => None,
            signal => Some(signal),
        }
    }
}

/// wait4(2): waits for child `pid` (-1: any; other values as in the man page) and returns its number
/// and status.
///
/// # Errors
/// `ECHILD`, `EINTR`, `EINVAL` (unknown flags), `ESRCH` (`pid` is `i32::MIN`).
#[inline]
#[doc(alias = "waitpid")]
pub fn wait4(pid: i32, flags: WaitFlags) -> Result<(i32, WaitStatus), Errno> {
    let mut status = 0;
    // SAFETY: the kernel writes one `int`; the resource usage is not asked for.
    let child = as_int(unsafe {
        arch::syscall4(nr::WAIT4, int(pid), ptr(&raw mut status), flags.bits() as usize, 0)
    })?;
    Ok((child, WaitStatus(status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_status_tells_exit_from_signal() {
        assert_eq!(WaitStatus(0x0300).exit_status(), Some(3));
        assert_eq!(WaitStatus(0x0300).term_signal(), None);
        assert_eq!(WaitStatus(0x008b).term_signal(), Some(11)); // SIGSEGV with a core dump
        assert_eq!(WaitStatus(0x008b).exit_status(), None);
        assert_eq!(WaitStatus(0x137f).term_signal(), None); // stopped, not ended
        assert_eq!(WaitStatus(0x137f).exit_status(), None);
    }
}
