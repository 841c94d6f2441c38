//! Signals: sending, blocking and handling them, and reading them from a descriptor.

use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::null_mut;

use linux_raw_sys::general as raw;
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_align, assert_eq_size, const_assert_eq};

use super::{Errno, RawFd, as_int, int, opt_ptr, ptr, unit};
use crate::arch;

/// A signal's number.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident)*) => {
        $(
            #[allow(missing_docs)] // each is its own name; see signal(7)
            pub const $name: Signal = Signal(raw::$name as u8);
        )*

        /// `SIGTERM`, or `Signal(40)` if it has no name.
        impl fmt::Debug for Signal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $($name => f.write_str(stringify!($name)),)*
                    Signal(n) => f.debug_tuple("Signal").field(&n).finish(),
                }
            }
        }
    };
}

signals! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE
    SIGALRM SIGTERM SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ
    SIGVTALRM SIGPROF SIGWINCH SIGIO SIGPWR SIGSYS
}

impl Signal {
    /// The highest number (`_NSIG` of the kernel).
    pub const MAX: i32 = raw::_NSIG as i32;

    /// Signal `n`; `None` outside `1..=64`. From 32 on these are the real-time signals.
    #[inline]
    pub const fn new(n: i32) -> Option<Signal> {
        if n >= 1 && n <= Signal::MAX { Some(Signal(n as u8)) } else { None }
    }

    /// The number.
    #[inline]
    pub const fn raw(self) -> i32 {
        self.0 as i32
    }
}

/// A set of signals, as the kernel counts them: bit n - 1 is signal n.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[doc(alias = "sigset_t")]
pub struct SigSet(u64);

assert_eq_size!(SigSet, raw::kernel_sigset_t);
assert_eq_align!(SigSet, raw::kernel_sigset_t);

impl SigSet {
    /// No signal.
    pub const EMPTY: SigSet = SigSet(0);
    /// Every signal. The kernel leaves SIGKILL and SIGSTOP out by itself.
    pub const ALL: SigSet = SigSet(!0);

    /// The set with `signal` in it.
    #[inline]
    pub const fn with(self, signal: Signal) -> SigSet {
        SigSet(self.0 | 1 << (signal.0 - 1))
    }

    /// The set with `signal` out of it.
    #[inline]
    pub const fn without(self, signal: Signal) -> SigSet {
        SigSet(self.0 & !(1 << (signal.0 - 1)))
    }

    /// Whether `signal` is in it.
    #[inline]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & 1 << (signal.0 - 1) != 0
    }

    /// The bits.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set with these bits.
    #[inline]
    pub const fn from_bits(bits: u64) -> SigSet {
        SigSet(bits)
    }

    /// What is in both sets.
    #[inline]
    pub const fn intersection(self, other: SigSet) -> SigSet {
        SigSet(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[inline]
    pub const fn difference(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }

    /// What is in one of the sets, or both.
    #[inline]
    pub const fn union(self, other: SigSet) -> SigSet {
        SigSet(self.0 | other.0)
    }

    /// Whether no signal is in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The signals in it, by number.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=Signal::MAX).filter_map(Signal::new).filter(move |signal| self.contains(*signal))
    }
}

bitflags::bitflags! {
    /// Flags of a [`Sigaction`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[repr(transparent)]
    #[doc(alias = "SA_RESTART")]
    pub struct SaFlags: u64 {
        /// No SIGCHLD for children that stop.
        const NOCLDSTOP = raw::SA_NOCLDSTOP as u64;
        /// Children that end leave no status behind.
        const NOCLDWAIT = raw::SA_NOCLDWAIT as u64;
        /// The handler takes three arguments.
        const SIGINFO = raw::SA_SIGINFO as u64;
        /// The handler runs on the alternate stack, if there is one.
        const ONSTACK = raw::SA_ONSTACK as u64;
        /// Calls go on after the handler where they can, instead of failing with `EINTR`.
        const RESTART = raw::SA_RESTART as u64;
        /// The signal is not blocked while its handler runs.
        const NODEFER = raw::SA_NODEFER as u64;
        /// The handler runs once.
        const RESETHAND = raw::SA_RESETHAND as u64;
        /// The restorer is set; x86_64 requires it.
        const RESTORER = raw::SA_RESTORER as u64;
    }
}

/// A handler: the signal's number, what is known of it, and the interrupted context (`ucontext_t`).
pub type Handler = unsafe extern "C" fn(i32, *mut Siginfo, *mut c_void);

/// What a handler returns to: rt_sigreturn(2), which takes the frame off the stack.
pub type Restorer = unsafe extern "C" fn() -> !;

/// What a signal does: `struct sigaction` of the kernel, which is not the C library's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[doc(alias = "kernel_sigaction")]
pub struct Sigaction {
    handler: *mut c_void,
    flags: SaFlags,
    restorer: Option<Restorer>,
    mask: SigSet,
}

assert_eq_size!(Sigaction, raw::kernel_sigaction);
assert_eq_align!(Sigaction, raw::kernel_sigaction);
const_assert_eq!(offset_of!(Sigaction, handler), offset_of!(raw::kernel_sigaction, sa_handler_kernel));
const_assert_eq!(offset_of!(Sigaction, flags), offset_of!(raw::kernel_sigaction, sa_flags));
const_assert_eq!(offset_of!(Sigaction, restorer), offset_of!(raw::kernel_sigaction, sa_restorer));
const_assert_eq!(offset_of!(Sigaction, mask), offset_of!(raw::kernel_sigaction, sa_mask));

impl Sigaction {
    /// What the kernel does without a handler.
    #[doc(alias = "SIG_DFL")]
    pub const DEFAULT: Sigaction = Sigaction::plain(null_mut());
    /// Nothing at all.
    #[doc(alias = "SIG_IGN")]
    pub const IGNORE: Sigaction = Sigaction::plain(core::ptr::without_provenance_mut(1));

    const fn plain(handler: *mut c_void) -> Sigaction {
        Sigaction { handler, flags: SaFlags::empty(), restorer: None, mask: SigSet::EMPTY }
    }

    /// Runs `handler`, with `mask` and the signal itself blocked meanwhile. `SIGINFO` and `RESTORER` are
    /// added to `flags`.
    pub const fn handler(handler: Handler, restorer: Restorer, flags: SaFlags, mask: SigSet) -> Sigaction {
        let flags = flags.union(SaFlags::SIGINFO).union(SaFlags::RESTORER);
        Sigaction { handler: handler as *mut c_void, flags, restorer: Some(restorer), mask }
    }

    /// Whether the signal is ignored.
    #[inline]
    pub fn is_ignore(&self) -> bool {
        self.handler.addr() == 1
    }

    /// Whether there is no handler and the kernel does the usual.
    #[inline]
    pub fn is_default(&self) -> bool {
        self.handler.is_null()
    }

    /// The flags.
    #[inline]
    pub const fn flags(&self) -> SaFlags {
        self.flags
    }

    /// What is blocked while the handler runs, besides the signal itself.
    #[inline]
    pub const fn mask(&self) -> SigSet {
        self.mask
    }
}

/// `siginfo_t`: what is known of a signal.
#[repr(C, align(8))]
#[doc(alias = "siginfo_t")]
pub struct Siginfo {
    signo: i32,
    errno: i32,
    code: i32,
    fields: [u8; 112],
}

assert_eq_size!(Siginfo, raw::siginfo_t);
assert_eq_align!(Siginfo, raw::siginfo_t);

impl Siginfo {
    /// Where the union of the fields begins: aligned for the pointers in it.
    const FIELDS: usize = 16;
    const ADDR: usize = Self::FIELDS - offset_of!(Siginfo, fields);

    /// The signal's number.
    #[inline]
    pub const fn signo(&self) -> i32 {
        self.signo
    }

    /// Why it was sent, `SI_*` or a number of the signal's own (`SEGV_MAPERR`).
    #[inline]
    pub const fn code(&self) -> i32 {
        self.code
    }

    /// The address at fault, where the kernel raised the signal for a bad access or instruction; `None`
    /// for all other signals, those that someone sent among them.
    #[doc(alias = "si_addr")]
    pub fn fault_address(&self) -> Option<usize> {
        let fault = matches!(Signal(self.signo as u8), SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGTRAP);
        // Codes from 1 on are the signal's own; 0 and below are senders, 128 is the kernel without an
        // address (a non-canonical one, for example).
        if !fault || self.code <= 0 || self.code == raw::SI_KERNEL as i32 {
            return None;
        }
        self.fields[Self::ADDR..].first_chunk().map(|bytes| usize::from_ne_bytes(*bytes))
    }

    /// The process that sent the signal with kill(2), tgkill(2) or sigqueue(3), or the child that ended;
    /// `None` where the kernel raised it.
    #[doc(alias = "si_pid")]
    pub fn sender(&self) -> Option<i32> {
        if self.code > 0 && Signal(self.signo as u8) != SIGCHLD {
            return None;
        }
        self.fields[Self::ADDR..].first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
    }
}

bitflags::bitflags! {
    /// Flags of a [`Sigstack`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[repr(transparent)]
    #[doc(alias = "SS_DISABLE")]
    pub struct SsFlags: u32 {
        /// Reported: the thread runs on it now.
        const ONSTACK = raw::SS_ONSTACK;
        /// There is no alternate stack.
        const DISABLE = raw::SS_DISABLE;
        /// Disabled while a handler runs on it. Linux 4.7.
        const AUTODISARM = raw::SS_AUTODISARM;
    }
}

/// `stack_t`: a thread's alternate stack for handlers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[doc(alias = "stack_t")]
pub struct Sigstack {
    /// Its lowest address.
    pub sp: *mut u8,
    /// How it is used.
    pub flags: SsFlags,
    /// Its size in bytes. The kernel wants at least `AT_MINSIGSTKSZ` of the auxiliary vector.
    pub size: usize,
}

assert_eq_size!(Sigstack, raw::sigaltstack);
assert_eq_align!(Sigstack, raw::sigaltstack);
const_assert_eq!(offset_of!(Sigstack, sp), offset_of!(raw::sigaltstack, ss_sp));
const_assert_eq!(offset_of!(Sigstack, flags), offset_of!(raw::sigaltstack, ss_flags));
const_assert_eq!(offset_of!(Sigstack, size), offset_of!(raw::sigaltstack, ss_size));

/// How [`rt_sigprocmask`] changes the mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum MaskHow {
    /// Block these signals, too.
    #[doc(alias = "SIG_BLOCK")]
    Block = raw::SIG_BLOCK,
    /// Block these signals no longer.
    #[doc(alias = "SIG_UNBLOCK")]
    Unblock = raw::SIG_UNBLOCK,
    /// Block exactly these signals.
    #[doc(alias = "SIG_SETMASK")]
    Set = raw::SIG_SETMASK,
}

/// The size of the kernel's signal set, which its calls want to be told.
const SET_SIZE: usize = size_of::<SigSet>();

/// rt_sigaction(2): sets what `signal` does, if `new` is given, and returns what it did.
///
/// # Errors
/// `EINVAL` (SIGKILL, SIGSTOP).
///
/// # Safety
/// A handler runs between any two instructions of any thread: it may only do what is sound there, on
/// the stack it gets. The restorer must end in rt_sigreturn(2) with the stack pointer as it got it. In a program of this
/// crate's runtime, [`signal`](crate::signal#handlers-of-your-own) says what else it takes.
#[inline]
#[doc(alias = "sigaction")]
pub unsafe fn rt_sigaction(signal: Signal, new: Option<&Sigaction>) -> Result<Sigaction, Errno> {
    let mut old = MaybeUninit::<Sigaction>::uninit();
    // SAFETY: the kernel reads one structure, or none, and writes another; the handler is the caller's
    // contract.
    unit(unsafe {
        arch::syscall4(nr::RT_SIGACTION, int(signal.raw()), opt_ptr(new), ptr(old.as_mut_ptr()), SET_SIZE)
    })?;
    // SAFETY: the call succeeded, so it has been written; a restorer is null or a function.
    Ok(unsafe { old.assume_init() })
}

/// rt_sigprocmask(2): changes which signals the calling thread blocks, if `set` is given, and returns
/// which it blocked.
///
/// # Errors
/// None that the caller can bring about.
#[inline]
#[doc(alias = "sigprocmask")]
#[doc(alias = "pthread_sigmask")]
pub fn rt_sigprocmask(how: MaskHow, set: Option<&SigSet>) -> Result<SigSet, Errno> {
    let mut old = SigSet::EMPTY;
    // SAFETY: the kernel reads one set, or none, and writes another.
    unit(unsafe {
        arch::syscall4(nr::RT_SIGPROCMASK, how as usize, opt_ptr(set), ptr(&raw mut old), SET_SIZE)
    })?;
    Ok(old)
}

/// sigaltstack(2): sets the calling thread's alternate stack, if `new` is given, and returns what it was.
///
/// # Errors
/// `EPERM` (the thread runs on it now), `ENOMEM` (too small), `EINVAL` (unknown flags).
///
/// # Safety
/// The memory must be used for nothing else until another stack, or `DISABLE`, is set.
#[inline]
pub unsafe fn sigaltstack(new: Option<&Sigstack>) -> Result<Sigstack, Errno> {
    let mut old = Sigstack { sp: null_mut(), flags: SsFlags::empty(), size: 0 };
    // SAFETY: the kernel reads one structure, or none, and writes another; the memory is the caller's
    // contract.
    unit(unsafe { arch::syscall2(nr::SIGALTSTACK, opt_ptr(new), ptr(&raw mut old)) })?;
    Ok(old)
}

/// kill(2): sends a signal to process `pid` (0: this group; -1: all; below: group `-pid`), or only looks
/// whether that may be done (`None`).
///
/// # Errors
/// `ESRCH`, `EPERM`.
#[inline]
pub fn kill(pid: i32, signal: Option<Signal>) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer; handlers answer for themselves.
    unit(unsafe { arch::syscall2(nr::KILL, int(pid), int(signal.map_or(0, Signal::raw))) })
}

/// tgkill(2): as [`kill`], to thread `tid` of process `tgid`.
///
/// # Errors
/// `ESRCH`, `EPERM`, `EINVAL` (a number below 1), `EAGAIN` (real-time signals: the queue is full).
#[inline]
#[doc(alias = "pthread_kill")]
pub fn tgkill(tgid: i32, tid: i32, signal: Option<Signal>) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer; handlers answer for themselves.
    unit(unsafe { arch::syscall3(nr::TGKILL, int(tgid), int(tid), int(signal.map_or(0, Signal::raw))) })
}

bitflags::bitflags! {
    /// Flags of [`signalfd4`].
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[doc(alias = "SFD_CLOEXEC")]
    pub struct SignalfdFlags: u32 {
        /// Close on `execve`. The kernel defines the constant as `O_CLOEXEC`.
        const CLOEXEC = raw::O_CLOEXEC;
        /// `EAGAIN` instead of waiting. The kernel defines the constant as `O_NONBLOCK`.
        const NONBLOCK = raw::O_NONBLOCK;
    }
}

/// signalfd4(2): a descriptor that is readable while one of `mask`, which must be blocked, is pending;
/// each read of [`SignalfdSiginfo::SIZE`] bytes takes one. With `fd` an earlier one gets a new mask,
/// with -1 a new one is opened.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`, `EBADF`, `EINVAL` (`fd` is no such descriptor, unknown flags).
#[inline]
#[doc(alias = "signalfd")]
pub fn signalfd4(fd: RawFd, mask: &SigSet, flags: SignalfdFlags) -> Result<RawFd, Errno> {
    // SAFETY: the kernel reads one set.
    as_int(unsafe { arch::syscall4(nr::SIGNALFD4, int(fd), ptr(mask), SET_SIZE, flags.bits() as usize) })
}

/// `struct signalfd_siginfo`: what a read of a signal descriptor brings.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
#[doc(alias = "signalfd_siginfo")]
pub struct SignalfdSiginfo {
    /// The signal's number.
    pub signo: u32,
    /// Unused by Linux.
    pub errno: i32,
    /// Why it was sent.
    pub code: i32,
    /// Who sent it: the process.
    pub pid: u32,
    /// Who sent it: the user.
    pub uid: u32,
    /// SIGIO: the descriptor.
    pub fd: i32,
    /// A timer of timer_create(2): the kernel's number of it.
    pub tid: u32,
    /// SIGIO: the events.
    pub band: u32,
    /// A timer: how often it went off beyond the first time.
    pub overrun: u32,
    /// Unused on x86_64.
    pub trapno: u32,
    /// SIGCHLD: the child's status, or the signal that ended or stopped it.
    pub status: i32,
    /// What sigqueue(3) sent along, as a number.
    pub int: i32,
    /// What sigqueue(3) sent along, as an address.
    pub ptr: u64,
    /// The rest: processor times of a child, addresses of faults.
    rest: [u64; 9],
}

const_assert_eq!(size_of::<SignalfdSiginfo>(), SignalfdSiginfo::SIZE);

impl SignalfdSiginfo {
    /// The size of one record in bytes.
    pub const SIZE: usize = 128;

    /// The record that a read brought.
    #[inline]
    pub fn from_bytes(bytes: &[u8; SignalfdSiginfo::SIZE]) -> SignalfdSiginfo {
        // SAFETY: the structure is integers without gaps, so any bytes are one; the read is unaligned.
        unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(signo: Signal, code: i32, first: u64) -> Siginfo {
        let mut fields = [0; 112];
        fields[Siginfo::ADDR..Siginfo::ADDR + 8].copy_from_slice(&first.to_ne_bytes());
        Siginfo { signo: signo.raw(), errno: 0, code, fields }
    }

    #[test]
    fn only_faults_have_an_address() {
        assert_eq!(info(SIGSEGV, raw::SEGV_MAPERR as i32, 0x1000).fault_address(), Some(0x1000));
        assert_eq!(info(SIGSEGV, raw::SI_TKILL, 0x1000).fault_address(), None);
        assert_eq!(info(SIGSEGV, raw::SI_KERNEL as i32, 0).fault_address(), None);
        assert_eq!(info(SIGTERM, 1, 0x1000).fault_address(), None);
    }

    #[test]
    fn only_sent_signals_have_a_sender() {
        assert_eq!(info(SIGTERM, raw::SI_USER as i32, 77).sender(), Some(77));
        assert_eq!(info(SIGCHLD, raw::CLD_EXITED as i32, 78).sender(), Some(78));
        assert_eq!(info(SIGSEGV, raw::SEGV_MAPERR as i32, 77).sender(), None);
    }

    #[test]
    fn sets_count_from_signal_one() {
        let set = SigSet::EMPTY.with(SIGHUP).with(Signal::new(64).unwrap());
        assert_eq!(set.bits(), 1 << 63 | 1);
        assert!(set.contains(SIGHUP) && !set.contains(SIGINT));
        assert_eq!(set.without(SIGHUP).bits(), 1 << 63);
        assert_eq!(set.iter().map(Signal::raw).collect::<Vec<_>>(), [1, 64]);
        let other = SigSet::EMPTY.with(SIGHUP).with(SIGINT);
        assert_eq!(set.intersection(other), SigSet::EMPTY.with(SIGHUP));
        assert_eq!(other.difference(set), SigSet::EMPTY.with(SIGINT));
        assert_eq!(SigSet::from_bits(0b11).union(set), set.with(SIGINT));
        assert!(other.difference(other).is_empty() && !other.is_empty());
        assert_eq!((Signal::new(0), Signal::new(65)), (None, None));
    }
}
