//! Names of calls, errors and flags.

use syscalls::{Errno, Sysno};

/// A constant and its name.
pub(crate) type Name = (&'static str, u64);

/// The call's name, or `call_N`.
pub(crate) fn call(nr: u64) -> String {
    match Sysno::new(nr as usize) {
        Some(call) => call.name().to_owned(),
        None => format!("call_{}", nr as i64),
    }
}

/// The number of the call with this name.
pub(crate) fn number(name: &str) -> Option<u64> {
    name.parse::<Sysno>().ok().map(|call| call as u64)
}

/// The error's name, or its number.
pub(crate) fn error(error: i32) -> String {
    match error {
        // What the kernel tells itself, and a tracer: a signal has interrupted the call.
        512..=514 | 516 => "ERESTART (a signal)".to_owned(),
        _ => Errno::new(error).name().map_or_else(|| format!("errno {error}"), str::to_owned),
    }
}

/// `A|B|0x40`: the names of what is set, and what is left. `0` for nothing.
pub(crate) fn flags(value: u64, names: &[Name]) -> String {
    let mut left = value;
    let mut parts = Vec::new();
    for &(name, flag) in names {
        if flag != 0 && left & flag == flag {
            left &= !flag;
            parts.push(name.to_owned());
        }
    }
    if left != 0 || parts.is_empty() {
        let zero = names.iter().find(|name| value == 0 && name.1 == 0);
        parts.push(zero.map_or_else(|| hex(left), |name| name.0.to_owned()));
    }
    parts.join("|")
}

/// The name of one value, or the value.
pub(crate) fn one(value: u64, names: &[Name]) -> String {
    let name = names.iter().find(|name| name.1 == value);
    name.map_or_else(|| (value as i64).to_string(), |name| name.0.to_owned())
}

pub(crate) fn hex(value: u64) -> String {
    if value < 10 { value.to_string() } else { format!("{value:#x}") }
}

/// Constants of libc as a table, without the prefix that they share.
macro_rules! names {
    ($($table:ident = $($name:ident)*;)*) => {
        $(pub(crate) const $table: &[Name] = &[$((stringify!($name), libc::$name as u32 as u64)),*];)*
    };
}

names! {
    OPEN = O_RDONLY O_WRONLY O_RDWR O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_TMPFILE O_DIRECTORY
        O_NOFOLLOW O_CLOEXEC O_PATH;
    AT = AT_SYMLINK_NOFOLLOW AT_REMOVEDIR AT_EMPTY_PATH;
    PROT = PROT_NONE PROT_READ PROT_WRITE PROT_EXEC;
    MAP = MAP_SHARED MAP_PRIVATE MAP_FIXED MAP_ANONYMOUS MAP_NORESERVE MAP_POPULATE MAP_STACK
        MAP_FIXED_NOREPLACE;
    MREMAP = MREMAP_MAYMOVE MREMAP_FIXED;
    FAMILY = AF_UNIX AF_INET AF_INET6 AF_NETLINK;
    SOCKET = SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_SEQPACKET;
    SOCKET_FLAGS = SOCK_NONBLOCK SOCK_CLOEXEC;
    LEVEL = SOL_SOCKET IPPROTO_IP IPPROTO_TCP IPPROTO_UDP IPPROTO_IPV6;
    SHUTDOWN = SHUT_RD SHUT_WR SHUT_RDWR;
    MESSAGE = MSG_PEEK MSG_DONTWAIT MSG_NOSIGNAL MSG_MORE MSG_WAITALL MSG_TRUNC MSG_CTRUNC MSG_CMSG_CLOEXEC
        MSG_ERRQUEUE MSG_WAITFORONE;
    EPOLL_CREATE = EPOLL_CLOEXEC;
    EPOLL_OP = EPOLL_CTL_ADD EPOLL_CTL_MOD EPOLL_CTL_DEL;
    EPOLL = EPOLLIN EPOLLPRI EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDHUP EPOLLET EPOLLONESHOT EPOLLEXCLUSIVE;
    POLL = POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDHUP;
    EVENTFD = EFD_NONBLOCK EFD_CLOEXEC EFD_SEMAPHORE;
    SIGNALFD = SFD_NONBLOCK SFD_CLOEXEC;
    CLOCK = CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE
        CLOCK_BOOTTIME;
    TIMER = TIMER_ABSTIME;
    CLONE = CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_THREAD CLONE_SYSVSEM CLONE_SETTLS
        CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_CHILD_SETTID CLONE_VFORK;
    HOW = SIG_BLOCK SIG_UNBLOCK SIG_SETMASK;
    SIGNAL = SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE
        SIGALRM SIGTERM SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGWINCH SIGIO SIGPWR SIGSYS;
    SPLICE = SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE;
    SEEK = SEEK_SET SEEK_CUR SEEK_END;
    RANDOM = GRND_NONBLOCK GRND_RANDOM;
    FCNTL = F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ;
    LIMIT = RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_NPROC RLIMIT_NOFILE
        RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_SIGPENDING;
    PRCTL = PR_SET_NAME PR_SET_NO_NEW_PRIVS PR_SET_SECCOMP PR_SET_TIMERSLACK PR_SET_PDEATHSIG;
    SOCKET_OPTION = SO_REUSEADDR SO_TYPE SO_ERROR SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_LINGER
        SO_REUSEPORT SO_PASSCRED SO_PEERCRED SO_BINDTODEVICE SO_ACCEPTCONN SO_PROTOCOL SO_DOMAIN SO_BUSY_POLL
        SO_INCOMING_CPU;
    TCP_OPTION = TCP_NODELAY TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_DEFER_ACCEPT TCP_QUICKACK
        TCP_USER_TIMEOUT TCP_FASTOPEN TCP_NOTSENT_LOWAT TCP_ULP TCP_FASTOPEN_CONNECT;
    IPV6_OPTION = IPV6_V6ONLY IPV6_UNICAST_HOPS IPV6_MULTICAST_HOPS IPV6_MULTICAST_LOOP IPV6_ADD_MEMBERSHIP
        IPV6_DROP_MEMBERSHIP;
    IP_OPTION = IP_TTL IP_MULTICAST_TTL IP_MULTICAST_LOOP IP_ADD_MEMBERSHIP IP_DROP_MEMBERSHIP
        IP_BIND_ADDRESS_NO_PORT;
}

// What libc does not have.

/// `asm/mman.h`.
pub(crate) const ADVICE: &[Name] = &[
    ("MADV_NORMAL", 0),
    ("MADV_RANDOM", 1),
    ("MADV_SEQUENTIAL", 2),
    ("MADV_WILLNEED", 3),
    ("MADV_DONTNEED", 4),
    ("MADV_FREE", 8),
    ("MADV_HUGEPAGE", 14),
    ("MADV_NOHUGEPAGE", 15),
    ("MADV_DONTDUMP", 16),
    ("MADV_GUARD_INSTALL", 102),
    ("MADV_GUARD_REMOVE", 103),
];
/// `asm/prctl.h`.
pub(crate) const ARCH: &[Name] = &[("ARCH_SET_GS", 0x1001), ("ARCH_SET_FS", 0x1002), ("ARCH_GET_FS", 0x1003)];
/// `linux/futex.h`.
pub(crate) const FUTEX: &[Name] = &[
    ("FUTEX_WAIT", 0),
    ("FUTEX_WAKE", 1),
    ("FUTEX_REQUEUE", 3),
    ("FUTEX_CMP_REQUEUE", 4),
    ("FUTEX_WAIT_BITSET", 9),
    ("FUTEX_WAKE_BITSET", 10),
];
/// Beside the operation.
pub(crate) const FUTEX_FLAGS: &[Name] = &[("FUTEX_PRIVATE_FLAG", 128), ("FUTEX_CLOCK_REALTIME", 256)];
/// `asm/ioctls.h`.
pub(crate) const IOCTL: &[Name] = &[
    ("TCGETS", 0x5401),
    ("FIONREAD", 0x541b),
    ("FIONBIO", 0x5421),
    ("SIOCGIFFLAGS", 0x8913),
    ("SIOCSIFFLAGS", 0x8914),
    ("SIOCGIFINDEX", 0x8933),
];
/// `linux/openat2.h`.
pub(crate) const RESOLVE: &[Name] = &[
    ("RESOLVE_NO_XDEV", 1),
    ("RESOLVE_NO_MAGICLINKS", 2),
    ("RESOLVE_NO_SYMLINKS", 4),
    ("RESOLVE_BENEATH", 8),
    ("RESOLVE_IN_ROOT", 16),
    ("RESOLVE_CACHED", 32),
];
/// `linux/seccomp.h`.
pub(crate) const SECCOMP: &[Name] = &[("SECCOMP_SET_MODE_STRICT", 0), ("SECCOMP_SET_MODE_FILTER", 1)];
/// As `SECCOMP`.
pub(crate) const SECCOMP_FLAGS: &[Name] =
    &[("SECCOMP_FILTER_FLAG_TSYNC", 1), ("SECCOMP_FILTER_FLAG_TSYNC_ESRCH", 16)];
