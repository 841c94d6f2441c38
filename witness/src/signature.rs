//! What the arguments of a call are. Calls that are not here are shown by their registers.

use crate::names::*;

/// One argument.
#[derive(Clone, Copy)]
pub(crate) enum Arg {
    /// A C `int`, descriptors above all.
    Int,
    /// An unsigned number.
    Size,
    /// An address that is not followed, or bits without names.
    Hex,
    /// Permissions.
    Octal,
    /// One of these values.
    One(&'static [Name]),
    /// Bits.
    Flags(&'static [Name]),
    /// One value below this bit, and flags from it on.
    Both(u64, &'static [Name], &'static [Name]),
    /// A socket option, whose names depend on the level before it.
    SocketOption,
    /// A string that ends with a zero byte.
    Text,
    /// As many bytes as argument number `.0` says.
    Bytes(usize),
    /// Bytes that the call has written, as many as it returns.
    Filled,
    /// Bytes that the call has written, as many as the `int` at argument `.0` says then.
    FilledTo(usize),
    /// Slices, as many as argument number `.0` says.
    Slices(usize),
    /// A socket address of argument number `.0` bytes.
    Address(usize),
    /// A socket address that the call has written, and its length to where argument `.0` points.
    AddressFilled(usize),
    /// `struct epoll_event`.
    Event,
    /// Events that the call has written, as many as it returns.
    Events,
    /// `struct pollfd`, as many as argument number `.0` says, with what the call has written.
    Polls(usize),
    /// `struct __kernel_timespec`.
    Time,
    /// A set of signals.
    Signals,
    /// An `int` that is read.
    IntAt,
    /// Two `int`s that the call has written.
    Pair,
    /// `struct open_how`.
    How,
    /// `struct msghdr`.
    Message,
}

use Arg::*;

/// The arguments of call `nr`.
pub(crate) fn of(nr: u64) -> Option<&'static [Arg]> {
    const OPENED: Arg = Both(4, OPEN, OPEN);
    const TYPE: Arg = Both(16, SOCKET, SOCKET_FLAGS);
    const DIR: Arg = One(&[("AT_FDCWD", libc::AT_FDCWD as u32 as u64), ("AT_FDCWD", libc::AT_FDCWD as u64)]);
    Some(match nr as i64 {
        libc::SYS_accept4 => &[Int, AddressFilled(2), IntAt, Flags(SOCKET_FLAGS)],
        libc::SYS_arch_prctl => &[One(ARCH), Hex],
        libc::SYS_bind | libc::SYS_connect => &[Int, Address(2), Size],
        libc::SYS_brk => &[Hex],
        libc::SYS_clock_gettime => &[One(CLOCK), Time],
        libc::SYS_clock_nanosleep => &[One(CLOCK), Flags(TIMER), Time, Hex],
        libc::SYS_clone => &[Flags(CLONE), Hex, Hex, Hex, Hex],
        libc::SYS_close | libc::SYS_dup => &[Int],
        libc::SYS_dup3 => &[Int, Int, Flags(OPEN)],
        libc::SYS_epoll_create1 => &[Flags(EPOLL_CREATE)],
        libc::SYS_epoll_ctl => &[Int, One(EPOLL_OP), Int, Event],
        libc::SYS_epoll_pwait => &[Int, Events, Int, Int, Signals, Size],
        libc::SYS_epoll_pwait2 => &[Int, Events, Int, Time, Signals, Size],
        libc::SYS_epoll_wait => &[Int, Events, Int, Int],
        libc::SYS_eventfd2 => &[Size, Flags(EVENTFD)],
        libc::SYS_exit | libc::SYS_exit_group => &[Int],
        libc::SYS_fcntl => &[Int, One(FCNTL), Hex],
        libc::SYS_fstat => &[Int, Hex],
        libc::SYS_futex => &[Hex, Both(128, FUTEX, FUTEX_FLAGS), Size, Hex, Hex, Hex],
        libc::SYS_getdents64 => &[Int, Hex, Size],
        libc::SYS_getpid | libc::SYS_getppid | libc::SYS_gettid | libc::SYS_getuid | libc::SYS_getgid => &[],
        libc::SYS_getrandom => &[Hex, Size, Flags(RANDOM)],
        libc::SYS_getsockname | libc::SYS_getpeername => &[Int, AddressFilled(2), IntAt],
        libc::SYS_getsockopt => &[Int, One(LEVEL), SocketOption, FilledTo(4), IntAt],
        libc::SYS_ioctl => &[Int, One(IOCTL), Hex],
        libc::SYS_kill => &[Int, One(SIGNAL)],
        libc::SYS_landlock_create_ruleset => &[Hex, Size, Hex],
        libc::SYS_landlock_add_rule => &[Int, Size, Hex, Hex],
        libc::SYS_landlock_restrict_self => &[Int, Hex],
        libc::SYS_listen => &[Int, Int],
        libc::SYS_lseek => &[Int, Int, One(SEEK)],
        libc::SYS_madvise => &[Hex, Size, One(ADVICE)],
        libc::SYS_mincore => &[Hex, Size, Hex],
        libc::SYS_mkdirat => &[DIR, Text, Octal],
        libc::SYS_mmap => &[Hex, Size, Flags(PROT), Flags(MAP), Int, Hex],
        libc::SYS_mprotect => &[Hex, Size, Flags(PROT)],
        libc::SYS_mremap => &[Hex, Size, Size, Flags(MREMAP), Hex],
        libc::SYS_munmap => &[Hex, Size],
        libc::SYS_nanosleep => &[Time, Hex],
        libc::SYS_newfstatat => &[DIR, Text, Hex, Flags(AT)],
        libc::SYS_openat => &[DIR, Text, OPENED, Octal],
        libc::SYS_openat2 => &[DIR, Text, How, Size],
        libc::SYS_pipe2 => &[Pair, Flags(OPEN)],
        libc::SYS_ppoll => &[Polls(1), Size, Time, Signals, Size],
        libc::SYS_prctl => &[One(PRCTL), Hex, Hex, Hex, Hex],
        libc::SYS_pread64 => &[Int, Filled, Size, Size],
        libc::SYS_prlimit64 => &[Int, One(LIMIT), Hex, Hex],
        libc::SYS_pwrite64 => &[Int, Bytes(2), Size, Size],
        libc::SYS_read => &[Int, Filled, Size],
        libc::SYS_readlinkat => &[DIR, Text, Filled, Size],
        libc::SYS_readv => &[Int, Hex, Size],
        libc::SYS_recvfrom => &[Int, Filled, Size, Flags(MESSAGE), AddressFilled(5), IntAt],
        libc::SYS_recvmsg => &[Int, Hex, Flags(MESSAGE)],
        libc::SYS_recvmmsg => &[Int, Hex, Size, Flags(MESSAGE), Time],
        libc::SYS_rt_sigaction => &[One(SIGNAL), Hex, Hex, Size],
        libc::SYS_rt_sigprocmask => &[One(HOW), Signals, Hex, Size],
        libc::SYS_rt_sigreturn | libc::SYS_sched_yield => &[],
        libc::SYS_sched_getaffinity => &[Int, Size, Hex],
        libc::SYS_seccomp => &[One(SECCOMP), Flags(SECCOMP_FLAGS), Hex],
        libc::SYS_sendfile => &[Int, Int, Hex, Size],
        libc::SYS_sendmsg => &[Int, Message, Flags(MESSAGE)],
        libc::SYS_sendmmsg => &[Int, Hex, Size, Flags(MESSAGE)],
        libc::SYS_sendto => &[Int, Bytes(2), Size, Flags(MESSAGE), Address(5), Size],
        libc::SYS_set_tid_address => &[Hex],
        libc::SYS_setsockopt => &[Int, One(LEVEL), SocketOption, Bytes(4), Size],
        libc::SYS_shutdown => &[Int, One(SHUTDOWN)],
        libc::SYS_sigaltstack => &[Hex, Hex],
        libc::SYS_signalfd4 => &[Int, Signals, Size, Flags(SIGNALFD)],
        libc::SYS_socket => &[One(FAMILY), TYPE, Int],
        libc::SYS_socketpair => &[One(FAMILY), TYPE, Int, Pair],
        libc::SYS_splice => &[Int, Hex, Int, Hex, Size, Flags(SPLICE)],
        libc::SYS_symlinkat => &[Text, DIR, Text],
        libc::SYS_tgkill => &[Int, Int, One(SIGNAL)],
        libc::SYS_uname => &[Hex],
        libc::SYS_unlinkat => &[DIR, Text, Flags(AT)],
        libc::SYS_wait4 => &[Int, Hex, Hex, Hex],
        libc::SYS_write => &[Int, Bytes(2), Size],
        libc::SYS_writev => &[Int, Slices(2), Size],
        _ => return None,
    })
}

/// Whether the result is no number.
pub(crate) fn returns_address(nr: u64) -> bool {
    [libc::SYS_mmap, libc::SYS_mremap, libc::SYS_brk].contains(&(nr as i64))
}
