//! The numbers and structures that we pass to the kernel, against two independent descriptions of them:
//! `linux-raw-sys`, made from the kernel's headers, and `libc`. What is private in the crate is asserted
//! beside the type at compile time; this is the public part, spans included.

use std::mem::{align_of, size_of};

use linux_raw_sys::{errno, general, net, prctl, system};
use memoffset::{offset_of, span_of};
use netpoll::sys::Errno;
use netpoll::sys::epoll::{CtlOp, EpollEvent, EpollFlags};
use netpoll::sys::fd::{IoSlice, IoSliceMut, OFlags, PollFd, PollFlags, Whence};
use netpoll::sys::fs::{self, AtFlags, OpenHow, Stat};
use netpoll::sys::mm::{Advice, MapFlags, Prot};
use netpoll::sys::process::{Resource, Rlimit, Utsname};
use netpoll::sys::signal::{self, SaFlags, SigSet, Sigaction, Siginfo, SignalfdSiginfo, Sigstack};
use netpoll::sys::socket::{
    Family, Many, MsgFlags, RecvHeader, SendHeader, SocketFlags, SocketType, Storage,
};
use netpoll::sys::thread::CloneFlags;
use netpoll::sys::time::{ClockId, Timespec};
use static_assertions::assert_type_eq_all;

macro_rules! numbers {
    ($($name:ident $kernel:ident $libc:ident)*) => {
        /// Every number that the crate uses: `sc`'s name, the kernel's, libc's.
        const NUMBERS: &[(&str, usize, u32, i64)] =
            &[$((stringify!($name), sc::nr::$name, general::$kernel, libc::$libc)),*];
    };
}

numbers! {
    ACCEPT4 __NR_accept4 SYS_accept4
    ARCH_PRCTL __NR_arch_prctl SYS_arch_prctl
    BIND __NR_bind SYS_bind
    CLOCK_GETTIME __NR_clock_gettime SYS_clock_gettime
    CLOCK_NANOSLEEP __NR_clock_nanosleep SYS_clock_nanosleep
    CLONE __NR_clone SYS_clone
    CLOSE __NR_close SYS_close
    CONNECT __NR_connect SYS_connect
    DUP __NR_dup SYS_dup
    DUP3 __NR_dup3 SYS_dup3
    EPOLL_CREATE1 __NR_epoll_create1 SYS_epoll_create1
    EPOLL_CTL __NR_epoll_ctl SYS_epoll_ctl
    EPOLL_PWAIT __NR_epoll_pwait SYS_epoll_pwait
    EPOLL_PWAIT2 __NR_epoll_pwait2 SYS_epoll_pwait2
    EVENTFD2 __NR_eventfd2 SYS_eventfd2
    EXIT __NR_exit SYS_exit
    EXIT_GROUP __NR_exit_group SYS_exit_group
    FCNTL __NR_fcntl SYS_fcntl
    FSTAT __NR_fstat SYS_fstat
    FUTEX __NR_futex SYS_futex
    GETDENTS64 __NR_getdents64 SYS_getdents64
    GETGID __NR_getgid SYS_getgid
    GETPEERNAME __NR_getpeername SYS_getpeername
    GETPID __NR_getpid SYS_getpid
    GETPPID __NR_getppid SYS_getppid
    GETRANDOM __NR_getrandom SYS_getrandom
    GETSOCKNAME __NR_getsockname SYS_getsockname
    GETSOCKOPT __NR_getsockopt SYS_getsockopt
    GETTID __NR_gettid SYS_gettid
    GETUID __NR_getuid SYS_getuid
    IOCTL __NR_ioctl SYS_ioctl
    KILL __NR_kill SYS_kill
    LISTEN __NR_listen SYS_listen
    LSEEK __NR_lseek SYS_lseek
    MADVISE __NR_madvise SYS_madvise
    MINCORE __NR_mincore SYS_mincore
    MKDIRAT __NR_mkdirat SYS_mkdirat
    MMAP __NR_mmap SYS_mmap
    MPROTECT __NR_mprotect SYS_mprotect
    MREMAP __NR_mremap SYS_mremap
    MUNMAP __NR_munmap SYS_munmap
    NANOSLEEP __NR_nanosleep SYS_nanosleep
    NEWFSTATAT __NR_newfstatat SYS_newfstatat
    OPENAT __NR_openat SYS_openat
    OPENAT2 __NR_openat2 SYS_openat2
    PIPE2 __NR_pipe2 SYS_pipe2
    PPOLL __NR_ppoll SYS_ppoll
    PRCTL __NR_prctl SYS_prctl
    PREAD64 __NR_pread64 SYS_pread64
    PRLIMIT64 __NR_prlimit64 SYS_prlimit64
    PWRITE64 __NR_pwrite64 SYS_pwrite64
    READ __NR_read SYS_read
    READLINKAT __NR_readlinkat SYS_readlinkat
    READV __NR_readv SYS_readv
    RECVFROM __NR_recvfrom SYS_recvfrom
    RECVMMSG __NR_recvmmsg SYS_recvmmsg
    RECVMSG __NR_recvmsg SYS_recvmsg
    RT_SIGACTION __NR_rt_sigaction SYS_rt_sigaction
    RT_SIGPROCMASK __NR_rt_sigprocmask SYS_rt_sigprocmask
    RT_SIGRETURN __NR_rt_sigreturn SYS_rt_sigreturn
    SCHED_GETAFFINITY __NR_sched_getaffinity SYS_sched_getaffinity
    SCHED_YIELD __NR_sched_yield SYS_sched_yield
    SECCOMP __NR_seccomp SYS_seccomp
    SENDFILE __NR_sendfile SYS_sendfile
    SENDMMSG __NR_sendmmsg SYS_sendmmsg
    SENDMSG __NR_sendmsg SYS_sendmsg
    SENDTO __NR_sendto SYS_sendto
    SETSOCKOPT __NR_setsockopt SYS_setsockopt
    SET_TID_ADDRESS __NR_set_tid_address SYS_set_tid_address
    SHUTDOWN __NR_shutdown SYS_shutdown
    SIGALTSTACK __NR_sigaltstack SYS_sigaltstack
    SIGNALFD4 __NR_signalfd4 SYS_signalfd4
    SOCKET __NR_socket SYS_socket
    SOCKETPAIR __NR_socketpair SYS_socketpair
    SPLICE __NR_splice SYS_splice
    SYMLINKAT __NR_symlinkat SYS_symlinkat
    TGKILL __NR_tgkill SYS_tgkill
    UNAME __NR_uname SYS_uname
    UNLINKAT __NR_unlinkat SYS_unlinkat
    WAIT4 __NR_wait4 SYS_wait4
    WRITE __NR_write SYS_write
    WRITEV __NR_writev SYS_writev
}

#[test]
fn numbers_are_those_of_the_kernel() {
    for &(name, ours, kernel, libc) in NUMBERS {
        assert_eq!((ours, ours as i64), (kernel as usize, libc), "{name}");
    }
}

#[test]
fn every_number_in_use_is_checked() {
    let mut sources = Vec::new();
    for dir in ["src", "arch"] {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        read_all(&dir, &mut sources);
    }
    let mut used: Vec<&str> = sources.iter().flat_map(|text| text.split("nr::").skip(1)).collect();
    for name in &mut used {
        let end = name.find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
        *name = &name[..end.unwrap_or(name.len())];
    }
    used.retain(|name| !name.is_empty());
    assert!(used.len() >= NUMBERS.len(), "only {} uses found", used.len());
    used.retain(|name| !NUMBERS.iter().any(|n| n.0 == *name));
    assert!(used.is_empty(), "not checked: {used:?}");
}

fn read_all(dir: &std::path::Path, sources: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, sources);
        } else if path.extension().is_some_and(|e| e == "rs") {
            sources.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// Size and alignment, and the span of every field, against the kernel's and libc's structure.
macro_rules! same_layout {
    ($ours:ty, $kernel:ty, $libc:ty $(, $field:ident $kernel_field:ident $libc_field:ident)*) => {
        let ours = (size_of::<$ours>(), align_of::<$ours>());
        assert_eq!(ours, (size_of::<$kernel>(), align_of::<$kernel>()), stringify!($ours));
        assert_eq!(ours, (size_of::<$libc>(), align_of::<$libc>()), stringify!($ours));
        $(
            let span = span_of!($ours, $field);
            assert_eq!(span, span_of!($kernel, $kernel_field), stringify!($ours.$field));
            assert_eq!(span, span_of!($libc, $libc_field), stringify!($ours.$field));
        )*
    };
}

#[test]
fn structures_are_laid_out_as_the_kernel_has_them() {
    same_layout!(EpollEvent, general::epoll_event, libc::epoll_event, events events events, data data u64);
    same_layout!(Timespec, general::__kernel_timespec, libc::timespec, secs tv_sec tv_sec, nanos tv_nsec tv_nsec);
    same_layout!(PollFd, general::pollfd, libc::pollfd, fd fd fd, events events events, revents revents revents);
    same_layout!(Rlimit, general::rlimit64, libc::rlimit64, cur rlim_cur rlim_cur, max rlim_max rlim_max);
    same_layout!(Sigstack, general::sigaltstack, libc::stack_t, sp ss_sp ss_sp, flags ss_flags ss_flags, size ss_size ss_size);
    same_layout!(OpenHow, general::open_how, libc::open_how);
    same_layout!(Stat, general::stat, libc::stat);
    same_layout!(Utsname, system::new_utsname, libc::utsname);
    same_layout!(IoSlice<'_>, general::iovec, libc::iovec);
    same_layout!(IoSliceMut<'_>, general::iovec, libc::iovec);
    same_layout!(Siginfo, general::siginfo_t, libc::siginfo_t);
    same_layout!(SendHeader<'_>, net::msghdr, libc::msghdr);
    same_layout!(RecvHeader<'_>, net::msghdr, libc::msghdr);
    same_layout!(Many<RecvHeader<'static>>, net::mmsghdr, libc::mmsghdr, header msg_hdr msg_hdr);
    same_layout!(Storage, net::sockaddr, libc::sockaddr_storage);
    // No C library has the kernel's own: its `struct sigaction` has room for 1024 signals.
    same_layout!(Sigaction, general::kernel_sigaction, general::sigaction);
    same_layout!(SigSet, general::kernel_sigset_t, general::sigset_t);
    same_layout!(SignalfdSiginfo, libc::signalfd_siginfo, libc::signalfd_siginfo, signo ssi_signo ssi_signo,
        errno ssi_errno ssi_errno, code ssi_code ssi_code, pid ssi_pid ssi_pid, uid ssi_uid ssi_uid,
        fd ssi_fd ssi_fd, tid ssi_tid ssi_tid, band ssi_band ssi_band, overrun ssi_overrun ssi_overrun,
        trapno ssi_trapno ssi_trapno, status ssi_status ssi_status, int ssi_int ssi_int, ptr ssi_ptr ssi_ptr);
}

#[test]
fn epoll_event_is_packed_to_twelve_bytes() {
    assert_eq!((size_of::<EpollEvent>(), align_of::<EpollEvent>()), (12, 1));
    assert_eq!((offset_of!(EpollEvent, events), offset_of!(EpollEvent, data)), (0, 4));
    let event = EpollEvent { events: 0x0403_0201, data: 0x0c0b_0a09_0807_0605 }; // names every field
    // SAFETY: 12 bytes without gaps.
    let bytes: [u8; 12] = unsafe { std::mem::transmute(event) };
    assert_eq!(bytes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
}

#[test]
fn field_types_are_those_of_the_kernel() {
    assert_type_eq_all!(i64, libc::time_t, general::__kernel_time64_t);
    let EpollEvent { events, data } = EpollEvent::new(EpollFlags::empty(), 0);
    let general::epoll_event { events: e, data: d } = general::epoll_event { events, data };
    assert_eq!((e, d), (0, 0)); // compiles only if the types agree and no field is missing
    let Timespec { secs, nanos } = Timespec::default();
    let general::__kernel_timespec { tv_sec, tv_nsec } =
        general::__kernel_timespec { tv_sec: secs, tv_nsec: nanos };
    assert_eq!((tv_sec, tv_nsec), (0, 0));
}

/// Kernel's names of error numbers, with libc's value for each.
macro_rules! errnos {
    ($($name:ident)*) => { &[$((stringify!($name), Errno::$name, errno::$name, libc::$name)),*] };
}

#[rustfmt::skip]
const ERRNOS: &[(&str, Errno, u32, i32)] = errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK
    EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE
    EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM
    ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC
    EBADSLT EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO
    EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX
    ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN
    ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN
    ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED
    EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
};

#[test]
fn errors_have_their_numbers_and_names() {
    for &(name, ours, kernel, libc) in ERRNOS {
        assert_eq!((ours.raw(), ours.raw()), (kernel as i32, libc), "{name}");
        assert_eq!(ours.name(), Some(name));
        assert_eq!((format!("{ours}"), format!("{ours:?}")), (name.into(), name.into()));
    }
    assert_eq!((Errno::EWOULDBLOCK, Errno::EDEADLOCK), (Errno::EAGAIN, Errno::EDEADLK));
    let named = (1..=4095).filter(|&n| Errno::from_raw(n).name().is_some()).count();
    assert_eq!(named, ERRNOS.len(), "a number has a name that is not in the table");
}

#[test]
fn nameless_errors_print_their_number() {
    assert_eq!(format!("{}", Errno::from_raw(4000)), "errno 4000");
    assert_eq!(format!("{:?}", Errno::from_raw(41)), "errno 41"); // never given out
    let outside = [0, -1, 4096, i32::MIN, i32::MAX].map(Errno::from_raw);
    assert_eq!(outside, [Errno::EINVAL; 5]);
}

#[test]
fn results_split_at_the_last_error() {
    use netpoll::sys::result;
    assert_eq!(result(-1isize as usize), Err(Errno::EPERM));
    assert_eq!(result(-4095isize as usize), Err(Errno::from_raw(4095)));
    assert_eq!(result(-4096isize as usize), Ok(-4096isize as usize)); // a pointer near the top
    assert_eq!(result(isize::MAX as usize), Ok(isize::MAX as usize));
    assert_eq!(result(0), Ok(0));
}

/// Constants against libc, for those that do not come from `linux-raw-sys` as they stand.
#[rustfmt::skip]
#[test]
fn constants_agree_with_libc() {
    let pairs: &[(&str, i64, i64)] = &[
        ("SOCK_CLOEXEC", SocketFlags::CLOEXEC.bits().into(), libc::SOCK_CLOEXEC.into()),
        ("SOCK_NONBLOCK", SocketFlags::NONBLOCK.bits().into(), libc::SOCK_NONBLOCK.into()),
        ("SFD_CLOEXEC", signal::SignalfdFlags::CLOEXEC.bits().into(), libc::SFD_CLOEXEC.into()),
        ("SFD_NONBLOCK", signal::SignalfdFlags::NONBLOCK.bits().into(), libc::SFD_NONBLOCK.into()),
        ("AF_UNIX", Family::UNIX.0.into(), libc::AF_UNIX.into()),
        ("AF_INET", Family::INET.0.into(), libc::AF_INET.into()),
        ("AF_INET6", Family::INET6.0.into(), libc::AF_INET6.into()),
        ("SOCK_STREAM", SocketType::STREAM.0.into(), libc::SOCK_STREAM.into()),
        ("SOCK_DGRAM", SocketType::DGRAM.0.into(), libc::SOCK_DGRAM.into()),
        ("SOCK_SEQPACKET", SocketType::SEQPACKET.0.into(), libc::SOCK_SEQPACKET.into()),
        ("MSG_NOSIGNAL", MsgFlags::NOSIGNAL.bits().into(), libc::MSG_NOSIGNAL.into()),
        ("MSG_CMSG_CLOEXEC", MsgFlags::CMSG_CLOEXEC.bits().into(), libc::MSG_CMSG_CLOEXEC.into()),
        ("EPOLLET", EpollFlags::ET.bits().into(), (libc::EPOLLET as u32).into()),
        ("EPOLLRDHUP", EpollFlags::RDHUP.bits().into(), libc::EPOLLRDHUP.into()),
        ("EPOLL_CTL_ADD", CtlOp::Add as i64, libc::EPOLL_CTL_ADD.into()),
        ("EPOLL_CTL_MOD", CtlOp::Mod as i64, libc::EPOLL_CTL_MOD.into()),
        ("EPOLL_CTL_DEL", CtlOp::Del as i64, libc::EPOLL_CTL_DEL.into()),
        ("POLLRDHUP", PollFlags::RDHUP.bits().into(), libc::POLLRDHUP.into()),
        ("O_NONBLOCK", OFlags::NONBLOCK.bits().into(), libc::O_NONBLOCK.into()),
        ("O_CLOEXEC", OFlags::CLOEXEC.bits().into(), libc::O_CLOEXEC.into()),
        ("O_TMPFILE", OFlags::TMPFILE.bits().into(), libc::O_TMPFILE.into()),
        ("SEEK_HOLE", Whence::Hole as i64, libc::SEEK_HOLE.into()),
        ("AT_FDCWD", fs::AT_FDCWD.into(), libc::AT_FDCWD.into()),
        ("AT_REMOVEDIR", AtFlags::REMOVEDIR.bits().into(), libc::AT_REMOVEDIR.into()),
        ("PROT_EXEC", Prot::EXEC.bits().into(), libc::PROT_EXEC.into()),
        ("MAP_NORESERVE", MapFlags::NORESERVE.bits().into(), libc::MAP_NORESERVE.into()),
        ("MADV_FREE", Advice::Free as i64, libc::MADV_FREE.into()),
        ("MADV_GUARD_INSTALL", Advice::GuardInstall as i64, 102),
        ("MADV_GUARD_REMOVE", Advice::GuardRemove as i64, 103),
        ("RLIMIT_NOFILE", Resource::Nofile as i64, libc::RLIMIT_NOFILE.into()),
        ("CLOCK_BOOTTIME", ClockId::Boottime as i64, libc::CLOCK_BOOTTIME.into()),
        ("SA_RESTART", SaFlags::RESTART.bits() as i64, libc::SA_RESTART.into()),
        ("SIGSYS", signal::SIGSYS.raw().into(), libc::SIGSYS.into()),
        ("CLONE_THREAD", CloneFlags::THREAD.bits().into(), libc::CLONE_THREAD.into()),
        ("PR_SET_NO_NEW_PRIVS", prctl::PR_SET_NO_NEW_PRIVS.into(), libc::PR_SET_NO_NEW_PRIVS.into()),
        ("FIONREAD", linux_raw_sys::ioctl::FIONREAD.into(), libc::FIONREAD as i64),
    ];
    for &(name, ours, libc) in pairs {
        assert_eq!(ours, libc, "{name}");
    }
}
