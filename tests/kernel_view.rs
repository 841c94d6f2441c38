//! Every wrapper's call as the kernel sees it: the number and every argument, width and sign included,
//! and what the pointers point at. A wrapper without a case fails the test.

#[path = "support/tracer.rs"]
mod tracer;

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr::without_provenance_mut;
use std::slice;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use linux_raw_sys::general::*;
// Where a name is ours, too, the header's is meant; ours are `signal::` and `fs::`.
use linux_raw_sys::general::{AT_FDCWD, SIGKILL, SIGPIPE, SIGUSR1};
use linux_raw_sys::landlock::*;
use linux_raw_sys::net::*;
use linux_raw_sys::prctl::*;
use linux_raw_sys::ptrace::*;
use netpoll::arch;
use netpoll::sys::epoll::*;
use netpoll::sys::eventfd::*;
use netpoll::sys::fd::*;
use netpoll::sys::fs::*;
use netpoll::sys::futex::*;
use netpoll::sys::mm::*;
use netpoll::sys::process::*;
use netpoll::sys::sandbox::*;
use netpoll::sys::signal::*;
use netpoll::sys::socket::*;
use netpoll::sys::sockopt::*;
use netpoll::sys::thread::*;
use netpoll::sys::time::*;
use netpoll::sys::{Errno, RawFd, fd, fs, process, sandbox, signal, sockopt};
use tracer::Arg::{self, Is, Parts, Points, Somewhere};
use tracer::Case;

/// Where the test's memory lies, and how much: both need more than 32 bits.
const AT: u64 = 0x0000_1a2b_3c00_0000;
const LEN: usize = 0x1_2345_6789;
const PAGE: u64 = 4096;

/// Reserves the memory; nothing of it is ever touched but the pages that hold zeros.
fn reserve() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory where there was none.
    let p = unsafe { libc::mmap(AT as *mut _, LEN, prot, flags, -1, 0) };
    assert_eq!(p as u64, AT, "{}", std::io::Error::last_os_error());
}

/// `len` uninitialised values at `AT`.
fn room<T>(len: usize) -> &'static mut [MaybeUninit<T>] {
    // SAFETY: `reserve` mapped the memory, no value of it outlives the expression that asked for it, and
    // the calls are not carried out.
    unsafe { slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(AT as usize), len) }
}

/// All the memory as bytes.
fn all() -> &'static mut [u8] {
    // SAFETY: as in `room`; fresh memory reads as zeros.
    unsafe { slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(AT as usize), LEN) }
}

/// `bufs` of a message to receive, at `AT`.
fn slices() -> &'static mut [IoSliceMut<'static>] {
    // SAFETY: as in `room`; the zeros there are slices without address and length, which nobody reads.
    unsafe { slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(AT as usize), 3) }
}

/// `control` of a message to receive, on the page after `AT`.
fn control() -> &'static mut [u8] {
    // SAFETY: as in `all`, and apart from `slices`.
    unsafe { slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut((AT + PAGE) as usize), 24) }
}

/// `bufs` of a message to send.
static IOV: [IoSlice<'static>; 2] = [IoSlice::new(b"hello"), IoSlice::new(b"")];

/// A filter of system calls.
static FILTER: [SockFilter; 2] = [SockFilter::load(Load::Nr), SockFilter::ALLOW];

fn word() -> &'static AtomicU32 {
    // SAFETY: as in `all`, and aligned.
    unsafe { &*std::ptr::with_exposed_provenance(AT as usize) }
}

/// A C `int`, sign-extended.
fn int(n: i32) -> Arg {
    Is(n as i64 as u64)
}

/// A C `int` moved to the register's low half, as `MOVL` of Go's `epollwait` does: the rest is zero.
fn movl(n: i32) -> Arg {
    Is((n as u32).into())
}

/// A constant of the kernel's headers.
fn k(n: u32) -> Arg {
    Is(n.into())
}

fn text(s: &CStr) -> Arg {
    Points(s.to_bytes_with_nul().to_vec())
}

/// The words of a structure.
fn words<const N: usize>(w: [u64; N]) -> Arg {
    Points(w.iter().flat_map(|w| w.to_ne_bytes()).collect())
}

fn half_words<const N: usize>(w: [u32; N]) -> Arg {
    Points(w.iter().flat_map(|w| w.to_ne_bytes()).collect())
}

/// `struct msghdr` as it goes in, without the gaps and the address of the name, if there is one.
fn header(name_len: u32, iov: u64, iov_len: u64, control: u64, control_len: u64) -> Arg {
    let name_len = (8, name_len.to_ne_bytes().to_vec());
    let flags = (48, vec![0; 4]);
    let no_name = (name_len.1 == [0; 4]).then(|| (0, vec![0; 8]));
    let words = [(16, iov), (24, iov_len), (32, control), (40, control_len)];
    let words = words.map(|(at, word)| (at, word.to_ne_bytes().to_vec()));
    Parts([name_len, flags].into_iter().chain(words).chain(no_name).collect())
}

/// `struct sockaddr_in` of [`v4`].
fn v4_bytes() -> Arg {
    Points(vec![2, 0, 0x1f, 0x90, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0])
}

fn v4() -> SockAddr {
    SocketAddr::from(([192, 0, 2, 7], 8080)).into()
}

const TS: Timespec = Timespec { secs: 0x1_0000_0005, nanos: 7 };
const TS_WORDS: [u64; 2] = [0x1_0000_0005, 7];
const NO_FD: u64 = -1i64 as u64;

fn case<T: 'static>(name: &'static str, nr: u32, args: Vec<Arg>, call: fn() -> T) -> Case {
    Case { name, nr: nr.into(), args, call: Box::new(move || drop(call())) }
}

/// The wrappers that are unsafe for what the call would do, and not for a pointer.
fn close(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: the calls are not carried out.
    unsafe { fd::close(fd) }
}

fn dup3(fd: RawFd, new: RawFd, flags: OFlags) -> Result<RawFd, Errno> {
    // SAFETY: as above.
    unsafe { fd::dup3(fd, new, flags) }
}

fn seccomp_set_mode_filter(flags: SeccompFlags, program: &[SockFilter]) -> Result<i32, Errno> {
    // SAFETY: as above.
    unsafe { sandbox::seccomp_set_mode_filter(flags, program) }
}

fn getsockopt(fd: RawFd, level: u32, name: u32, value: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: as above.
    unsafe { sockopt::getsockopt(fd, level, name, value) }
}

fn setsockopt(fd: RawFd, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: as above.
    unsafe { sockopt::setsockopt(fd, level, name, value) }
}

/// The calls of one file each, in the order of the files. One line, one wrapper.
#[rustfmt::skip]
fn descriptors() -> Vec<Case> {
    let a = || Is(AT);
    let len = || Is(LEN as u64);
    vec![
        case("epoll_create1", __NR_epoll_create1, vec![k(EPOLL_CLOEXEC)], || epoll_create1(EpollCreateFlags::CLOEXEC)),
        case("epoll_ctl", __NR_epoll_ctl, vec![int(-7), k(EPOLL_CTL_ADD), int(-9), Points(vec![1, 0x20, 0, 0x80, 8, 7, 6, 5, 4, 3, 2, 1])],
            || epoll_ctl(-7, CtlOp::Add, -9, Some(&EpollEvent::new(EpollFlags::IN | EpollFlags::RDHUP | EpollFlags::ET, 0x0102_0304_0506_0708)))),
        case("epoll_ctl", __NR_epoll_ctl, vec![int(7), k(EPOLL_CTL_MOD), int(9), Points(vec![4, 0, 0, 0x40, 0xff])],
            || epoll_ctl(7, CtlOp::Mod, 9, Some(&EpollEvent::new(EpollFlags::OUT | EpollFlags::ONESHOT, u64::MAX)))),
        case("epoll_ctl", __NR_epoll_ctl, vec![int(7), k(EPOLL_CTL_DEL), int(9), Is(0)], || epoll_ctl(7, CtlOp::Del, 9, None)),
        case("epoll_pwait", 281, vec![movl(-7), a(), movl(128), movl(-1), Is(0)], || epoll_pwait(-7, room(128), -1)),
        case("epoll_pwait", 281, vec![movl(7), a(), movl(i32::MAX), movl(i32::MAX), Is(0)], || epoll_pwait(7, room((LEN - 9) / 2), i32::MAX)),
        case("epoll_pwait2", 441, vec![movl(-7), a(), movl(128), words(TS_WORDS), Is(0)], || epoll_pwait2(-7, room(128), Some(&TS))),
        case("epoll_pwait2", 441, vec![movl(-7), a(), movl(128), Is(0), Is(0)], || epoll_pwait2(-7, room(128), None)),
        case("epollwait", 281, vec![movl(-7), a(), movl(-3), movl(-1), Is(0)],
            // SAFETY: the calls are not carried out.
            || unsafe { arch::epollwait(-7, room::<EpollEvent>(1).as_mut_ptr(), -3, -1) }),
        case("eventfd2", __NR_eventfd2, vec![k(u32::MAX), k(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)],
            || eventfd2(u32::MAX, EventfdFlags::all())),

        case("close", __NR_close, vec![int(-7)], || close(-7)),
        case("dup", __NR_dup, vec![int(-7)], || dup(-7)),
        case("dup3", __NR_dup3, vec![int(-7), int(-9), k(O_CLOEXEC)], || dup3(-7, -9, OFlags::CLOEXEC)),
        case("pipe2", __NR_pipe2, vec![Somewhere, k(O_CLOEXEC | O_NONBLOCK | O_DIRECT)],
            || pipe2(OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::DIRECT)),
        case("fcntl_getfl", __NR_fcntl, vec![int(-7), k(F_GETFL)], || fcntl_getfl(-7)),
        case("fcntl_setfl", __NR_fcntl, vec![int(-7), k(F_SETFL), k(O_NONBLOCK)], || fcntl_setfl(-7, OFlags::NONBLOCK)),
        case("fcntl_getfd", __NR_fcntl, vec![int(-7), k(F_GETFD)], || fcntl_getfd(-7)),
        case("fcntl_setfd", __NR_fcntl, vec![int(-7), k(F_SETFD), k(FD_CLOEXEC)], || fcntl_setfd(-7, FdFlags::CLOEXEC)),
        case("fcntl_dupfd_cloexec", __NR_fcntl, vec![int(-7), k(F_DUPFD_CLOEXEC), int(-9)], || fcntl_dupfd_cloexec(-7, -9)),
        case("ioctl_fionread", __NR_ioctl, vec![int(-7), k(linux_raw_sys::ioctl::FIONREAD), Somewhere], || ioctl_fionread(-7)),
        case("ioctl_siocgifindex", __NR_ioctl, vec![int(-7), k(linux_raw_sys::ioctl::SIOCGIFINDEX), Points([&b"eth0"[..], &[0; 36]].concat())],
            || ioctl_siocgifindex(-7, *b"eth0\0\0\0\0\0\0\0\0\0\0\0\0")),
        case("ppoll", __NR_ppoll, vec![half_words([-7i32 as u32, POLLIN | POLLRDHUP]), Is(1), words(TS_WORDS), Is(0), Is(0)],
            || ppoll(&mut [PollFd::new(-7, PollFlags::IN | PollFlags::RDHUP)], Some(TS))),
        case("ppoll", __NR_ppoll, vec![Somewhere, Is(2), Is(0), Is(0), Is(0)], || ppoll(&mut [PollFd::new(7, PollFlags::OUT); 2], None)),
        case("read", __NR_read, vec![int(-7), a(), len()], || read(-7, all())),
        case("read_uninit", __NR_read, vec![int(-7), a(), len()], || read_uninit(-7, room(LEN)).map(|read| read.len())),
        case("write", __NR_write, vec![int(-7), a(), len()], || write(-7, all())),
        case("readv", __NR_readv, vec![int(-7), words([AT, LEN as u64]), Is(1)], || readv(-7, &mut [IoSliceMut::new(all())])),
        case("writev", __NR_writev, vec![int(-7), words([AT, LEN as u64, AT, 5]), Is(2)],
            || writev(-7, &[IoSlice::new(all()), IoSlice::new(&all()[..5])])),
        case("pread64", __NR_pread64, vec![int(-7), a(), len(), Is(u64::MAX - 1)], || pread64(-7, all(), u64::MAX - 1)),
        case("pwrite64", __NR_pwrite64, vec![int(-7), a(), len(), Is(1 << 40)], || pwrite64(-7, all(), 1 << 40)),
        case("lseek", __NR_lseek, vec![int(-7), Is(-(1i64 << 40) as u64), k(SEEK_END)], || lseek(-7, -(1 << 40), Whence::End)),
        case("sendfile", __NR_sendfile, vec![int(-7), int(-9), words([1 << 40]), len()], || sendfile(-7, -9, Some(&mut (1 << 40)), LEN)),
        case("sendfile", __NR_sendfile, vec![int(7), int(9), Is(0), len()], || sendfile(7, 9, None, LEN)),
        case("splice", __NR_splice, vec![int(-7), words([1 << 40]), int(-9), words([1 << 41]), len(), k(SPLICE_F_MOVE | SPLICE_F_MORE)],
            || splice(-7, Some(&mut (1 << 40)), -9, Some(&mut (1 << 41)), LEN, SpliceFlags::MOVE | SpliceFlags::MORE)),
        case("splice", __NR_splice, vec![int(7), Is(0), int(9), Is(0), Is(1), Is(0)], || splice(7, None, 9, None, 1, SpliceFlags::empty())),
    ]
}

#[rustfmt::skip]
#[allow(clippy::undocumented_unsafe_blocks)] // one comment, at the head of the table, holds for all lines
fn memory_and_time() -> Vec<Case> {
    const P: *mut u8 = without_provenance_mut(AT as usize);
    const MONO: SleepUntil = SleepUntil::Absolute;
    let a = || Is(AT);
    let len = || Is(LEN as u64);
    let private = FUTEX_PRIVATE_FLAG;
    vec![
        // SAFETY, for all in this table: the calls are not carried out.
        case("mmap", __NR_mmap, vec![a(), len(), k(PROT_READ | PROT_WRITE), k(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), Is(NO_FD), Is(1 << 40)],
            || unsafe { mmap(P, LEN, Prot::READ | Prot::WRITE, MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::FIXED, -1, 1 << 40) }),
        case("munmap", __NR_munmap, vec![a(), Is(u64::MAX)], || unsafe { munmap(P, usize::MAX) }),
        case("mprotect", __NR_mprotect, vec![a(), len(), Is(0)], || unsafe { mprotect(P, LEN, Prot::empty()) }),
        case("madvise", __NR_madvise, vec![a(), len(), Is(102)], || unsafe { madvise(P, LEN, Advice::GuardInstall) }),
        case("madvise", __NR_madvise, vec![a(), len(), Is(103)], || unsafe { madvise(P, LEN, Advice::GuardRemove) }),
        case("mincore", __NR_mincore, vec![a(), len(), a()],
            || unsafe { mincore(P, LEN, core::slice::from_raw_parts_mut(P, 1)) }),
        case("mremap", __NR_mremap, vec![a(), len(), Is(LEN as u64 * 2), k(MREMAP_MAYMOVE | MREMAP_FIXED), Is(AT + 4096)],
            || unsafe { mremap(P, LEN, LEN * 2, MremapFlags::MAYMOVE | MremapFlags::FIXED, P.wrapping_add(4096)) }),
        case("futex_wait", __NR_futex, vec![a(), k(FUTEX_WAIT | private), k(u32::MAX), words(TS_WORDS)],
            || futex_wait(word(), u32::MAX, Some(&TS), Scope::Private)),
        case("futex_wait", __NR_futex, vec![a(), k(FUTEX_WAIT), Is(1), Is(0)], || futex_wait(word(), 1, None, Scope::Shared)),
        case("futex_wait_until", __NR_futex, vec![a(), k(FUTEX_WAIT_BITSET | private), k(u32::MAX), words(TS_WORDS), Is(0), k(u32::MAX)],
            || futex_wait_until(word(), u32::MAX, Some(&TS), Scope::Private)),
        case("futex_wake", __NR_futex, vec![a(), k(FUTEX_WAKE | private), Is(3)], || futex_wake(word(), 3, Scope::Private)),
        case("futex_wake", __NR_futex, vec![a(), k(FUTEX_WAKE), Is(i32::MAX as u64)], || futex_wake(word(), u32::MAX, Scope::Shared)),
        case("clock_gettime", __NR_clock_gettime, vec![k(CLOCK_BOOTTIME), Somewhere], || clock_gettime(ClockId::Boottime)),
        case("clock_nanosleep", __NR_clock_nanosleep, vec![k(CLOCK_MONOTONIC), k(TIMER_ABSTIME), words(TS_WORDS), Is(0)],
            || clock_nanosleep(ClockId::Monotonic, MONO, &TS, None)),
        case("clock_nanosleep", __NR_clock_nanosleep, vec![k(CLOCK_REALTIME), Is(0), words(TS_WORDS), words([3, 4])],
            || clock_nanosleep(ClockId::Realtime, SleepUntil::Relative, &TS, Some(&mut Timespec { secs: 3, nanos: 4 }))),
        case("nanosleep", __NR_nanosleep, vec![words([2, 9]), Is(0)], || nanosleep(&Duration::new(2, 9).into(), None)),

        case("getpid", __NR_getpid, vec![], getpid),
        case("getppid", __NR_getppid, vec![], getppid),
        case("getuid", __NR_getuid, vec![], getuid),
        case("getgid", __NR_getgid, vec![], getgid),
        case("prlimit64", __NR_prlimit64, vec![int(-7), k(RLIMIT_NOFILE), words([5, u64::MAX]), Somewhere],
            || prlimit64(-7, Resource::Nofile, Some(&Rlimit { cur: 5, max: Rlimit::INFINITY }))),
        case("prlimit64", __NR_prlimit64, vec![Is(0), k(RLIMIT_STACK), Is(0), Somewhere], || prlimit64(0, Resource::Stack, None)),
        case("getrandom", __NR_getrandom, vec![a(), len(), k(GRND_NONBLOCK)], || getrandom(all(), GetrandomFlags::NONBLOCK)),
        case("uname", __NR_uname, vec![Somewhere], uname),
        case("wait4", __NR_wait4, vec![int(-7), Somewhere, k(WNOHANG), Is(0)], || wait4(-7, WaitFlags::NOHANG)),

        case("gettid", __NR_gettid, vec![], gettid),
        case("set_tid_address", __NR_set_tid_address, vec![a()], || unsafe { set_tid_address(P.cast()) }),
        case("sched_yield", __NR_sched_yield, vec![], sched_yield),
        case("sched_getaffinity", __NR_sched_getaffinity, vec![int(-7), Is(1024), Somewhere], || sched_getaffinity(-7).is_ok()),
        case("arch_prctl_set_fs", __NR_arch_prctl, vec![k(ARCH_SET_FS), a()], || unsafe { arch_prctl_set_fs(P) }),
        case("prctl_set_timerslack", __NR_prctl, vec![k(PR_SET_TIMERSLACK), Is(1 << 40)], || prctl_set_timerslack(1 << 40)),
        case("prctl_set_name", __NR_prctl, vec![k(PR_SET_NAME), text(c"worker")], || prctl_set_name(c"worker")),
        case("prctl_set_no_new_privs", __NR_prctl, vec![k(PR_SET_NO_NEW_PRIVS), Is(1), Is(0), Is(0), Is(0)], prctl_set_no_new_privs),

        case("seccomp_set_mode_filter", __NR_seccomp, vec![k(SECCOMP_SET_MODE_FILTER), k(SECCOMP_FILTER_FLAG_TSYNC), Parts(vec![(0, vec![2, 0]), (8, (FILTER.as_ptr() as u64).to_ne_bytes().to_vec())])],
            || seccomp_set_mode_filter(SeccompFlags::TSYNC, &FILTER)),
        case("landlock_version", __NR_landlock_create_ruleset, vec![Is(0), Is(0), k(LANDLOCK_CREATE_RULESET_VERSION)], landlock_version),
        case("landlock_create_ruleset", __NR_landlock_create_ruleset, vec![words([0x3fff, 3]), Is(16), Is(0)],
            || landlock_create_ruleset(&RulesetAttr { fs: AccessFs::V1 | AccessFs::REFER, net: AccessNet::all() })),
        case("landlock_add_path_beneath", __NR_landlock_add_rule, vec![int(-7), Is(1), half_words([12, 0, -8i32 as u32]), Is(0)],
            || landlock_add_path_beneath(-7, AccessFs::READ_FILE | AccessFs::READ_DIR, -8)),
        case("landlock_restrict_self", __NR_landlock_restrict_self, vec![int(-7), Is(0)], || landlock_restrict_self(-7)),

        case("rt_sigaction", __NR_rt_sigaction, vec![k(SIGUSR1), words(on_sigusr1()), Somewhere, Is(8)],
            || unsafe { rt_sigaction(signal::SIGUSR1, Some(&Sigaction::handler(handler, restorer, SaFlags::ONSTACK, SigSet::EMPTY.with(signal::SIGTERM)))) }),
        case("rt_sigaction", __NR_rt_sigaction, vec![k(SIGPIPE), words([1, 0, 0, 0]), Somewhere, Is(8)],
            || unsafe { rt_sigaction(signal::SIGPIPE, Some(&Sigaction::IGNORE)) }),
        case("rt_sigaction", __NR_rt_sigaction, vec![Is(64), Is(0), Somewhere, Is(8)],
            || unsafe { rt_sigaction(Signal::new(64).unwrap(), None) }),
        case("rt_sigprocmask", __NR_rt_sigprocmask, vec![k(SIG_SETMASK), words([u64::MAX]), Somewhere, Is(8)],
            || rt_sigprocmask(MaskHow::Set, Some(&SigSet::ALL))),
        case("rt_sigprocmask", __NR_rt_sigprocmask, vec![k(SIG_BLOCK), Is(0), Somewhere, Is(8)], || rt_sigprocmask(MaskHow::Block, None)),
        case("sigaltstack", __NR_sigaltstack, vec![words([AT, SS_AUTODISARM.into(), LEN as u64]), Somewhere],
            || unsafe { sigaltstack(Some(&Sigstack { sp: P, flags: SsFlags::AUTODISARM, size: LEN })) }),
        case("sigaltstack", __NR_sigaltstack, vec![Is(0), Somewhere], || unsafe { sigaltstack(None) }),
        case("kill", __NR_kill, vec![int(-7), k(SIGKILL)], || kill(-7, Some(signal::SIGKILL))),
        case("tgkill", __NR_tgkill, vec![int(-7), int(-9), Is(0)], || tgkill(-7, -9, None)),
        case("signalfd4", __NR_signalfd4, vec![Is(NO_FD), words([1]), Is(8), k(O_CLOEXEC | O_NONBLOCK)],
            || signalfd4(-1, &SigSet::EMPTY.with(signal::SIGHUP), SignalfdFlags::all())),
    ]
}

/// `struct sigaction` of the kernel for [`handler`].
fn on_sigusr1() -> [u64; 4] {
    let flags = u64::from(SA_SIGINFO | SA_RESTORER | SA_ONSTACK);
    [handler as *const () as u64, flags, restorer as *const () as u64, 1 << (15 - 1)] // SIGTERM blocked
}

unsafe extern "C" fn handler(_: i32, _: *mut Siginfo, _: *mut std::ffi::c_void) {}

unsafe extern "C" fn restorer() -> ! {
    process::exit_group(1)
}

#[rustfmt::skip]
fn files() -> Vec<Case> {
    let (dot, link) = (c"./a", c"b");
    vec![
        case("openat", __NR_openat, vec![int(AT_FDCWD), text(dot), k(O_RDWR | O_CREAT | O_CLOEXEC), Is(0o640)],
            || openat(fs::AT_FDCWD, c"./a", OFlags::RDWR | OFlags::CREAT | OFlags::CLOEXEC, 0o640)),
        case("openat2", __NR_openat2, vec![int(-7), text(dot), words([O_DIRECTORY.into(), 0, (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS).into()]), Is(24)],
            || openat2(-7, c"./a", &OpenHow::new(OFlags::DIRECTORY, 0, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS))),
        case("fstat", __NR_fstat, vec![int(-7), Somewhere], || fstat(-7)),
        case("newfstatat", __NR_newfstatat, vec![int(-7), text(dot), Somewhere, k(AT_SYMLINK_NOFOLLOW)],
            || newfstatat(-7, c"./a", AtFlags::SYMLINK_NOFOLLOW)),
        case("getdents64", __NR_getdents64, vec![int(-7), Is(AT), Is(LEN as u64)], || getdents64(-7, all()).is_ok()),
        case("readlinkat", __NR_readlinkat, vec![int(-7), text(dot), Is(AT), Is(LEN as u64)], || readlinkat(-7, c"./a", room(LEN)).is_ok()),
        case("mkdirat", __NR_mkdirat, vec![int(-7), text(dot), Is(0o750)], || mkdirat(-7, c"./a", 0o750)),
        case("unlinkat", __NR_unlinkat, vec![int(-7), text(dot), k(AT_REMOVEDIR)], || unlinkat(-7, c"./a", AtFlags::REMOVEDIR)),
        case("symlinkat", __NR_symlinkat, vec![text(link), int(-7), text(dot)], || symlinkat(c"b", -7, c"./a")),
    ]
}

#[rustfmt::skip]
fn sockets() -> Vec<Case> {
    const FLAGS: SocketFlags = SocketFlags::all();
    const NOSIGNAL: MsgFlags = MsgFlags::NOSIGNAL;
    let stream = || k(SOCK_STREAM | O_CLOEXEC | O_NONBLOCK);
    let room_len = || half_words([128]);
    let len = || Is(LEN as u64);
    vec![
        case("socket", __NR_socket, vec![k(AF_INET6), stream(), int(-3)], || socket(Family::INET6, SocketType::STREAM, FLAGS, -3)),
        case("socketpair", __NR_socketpair, vec![k(AF_UNIX), stream(), Is(0), Somewhere],
            || socketpair(Family::UNIX, SocketType::STREAM, FLAGS, 0)),
        case("bind", __NR_bind, vec![int(-7), v4_bytes(), Is(16)], || bind(-7, &v4())),
        case("bind", __NR_bind, vec![int(-7), Points(b"\x01\0/s\0".to_vec()), Is(5)], || bind(-7, &SockAddr::unix(b"/s").unwrap())),
        case("bind", __NR_bind, vec![int(-7), Points(b"\x01\0\0s".to_vec()), Is(4)], || bind(-7, &SockAddr::unix_abstract(b"s").unwrap())),
        case("listen", __NR_listen, vec![int(-7), int(-1)], || listen(-7, -1)),
        case("accept4", __NR_accept4, vec![int(-7), Somewhere, room_len(), k(O_CLOEXEC | O_NONBLOCK)],
            || accept4(-7, Some(&mut SockAddr::empty()), FLAGS)),
        case("accept4", __NR_accept4, vec![int(-7), Is(0), Is(0), Is(0)], || accept4(-7, None, SocketFlags::empty())),
        case("connect", __NR_connect, vec![int(-7), v4_bytes(), Is(16)], || connect(-7, &v4())),
        case("getsockname", __NR_getsockname, vec![int(-7), Somewhere, room_len()], || getsockname(-7).is_ok()),
        case("getpeername", __NR_getpeername, vec![int(-7), Somewhere, room_len()], || getpeername(-7).is_ok()),
        case("shutdown", __NR_shutdown, vec![int(-7), k(SHUT_WR)], || shutdown(-7, Shutdown::Write)),
        case("sendto", __NR_sendto, vec![int(-7), Is(AT), len(), k(MSG_NOSIGNAL), v4_bytes(), Is(16)],
            || sendto(-7, all(), NOSIGNAL, Some(&v4()))),
        case("sendto", __NR_sendto, vec![int(-7), Is(AT), len(), k(MSG_NOSIGNAL), Is(0), Is(0)], || sendto(-7, all(), NOSIGNAL, None)),
        case("recvfrom", __NR_recvfrom, vec![int(-7), Is(AT), len(), k(MSG_PEEK), Somewhere, room_len()],
            || recvfrom(-7, all(), MsgFlags::PEEK, Some(&mut SockAddr::empty()))),
        case("recvfrom", __NR_recvfrom, vec![int(-7), Is(AT), len(), k(MSG_PEEK), Is(0), Is(0)],
            || recvfrom(-7, all(), MsgFlags::PEEK, None)),
        case("sendmsg", __NR_sendmsg, vec![int(-7), header(0, IOV.as_ptr() as u64, 2, AT, 24), k(MSG_NOSIGNAL)],
            || sendmsg(-7, &SendHeader::new(None, &IOV, &all()[..24]), NOSIGNAL)),
        case("sendmsg", __NR_sendmsg, vec![int(-7), header(16, IOV.as_ptr() as u64, 2, 0, 0), Is(0)],
            || sendmsg(-7, &SendHeader::new(Some(&v4()), &IOV, &[]), MsgFlags::empty())),
        case("recvmsg", __NR_recvmsg, vec![int(-7), header(0, AT, 3, 0, 0), k(MSG_CMSG_CLOEXEC)],
            || recvmsg(-7, &mut RecvHeader::new(None, slices(), &mut []), MsgFlags::CMSG_CLOEXEC)),
        case("recvmsg", __NR_recvmsg, vec![int(-7), header(128, AT, 3, AT + PAGE, 24), Is(0)],
            || recvmsg(-7, &mut RecvHeader::new(Some(&mut Storage::new()), slices(), control()), MsgFlags::empty())),
        case("sendmmsg", __NR_sendmmsg, vec![int(-7), header(0, IOV.as_ptr() as u64, 2, 0, 0), Is(1), k(MSG_NOSIGNAL)],
            || sendmmsg(-7, &mut [Many::new(SendHeader::new(None, &IOV, &[]))], NOSIGNAL)),
        case("recvmmsg", __NR_recvmmsg, vec![int(-7), header(0, AT, 3, 0, 0), Is(1), k(MSG_DONTWAIT), words(TS_WORDS)],
            || recvmmsg(-7, &mut [Many::new(RecvHeader::new(None, slices(), &mut []))], MsgFlags::DONTWAIT, Some(&mut TS.clone()))),
        case("recvmmsg", __NR_recvmmsg, vec![int(-7), header(0, AT, 3, 0, 0), Is(1), Is(0), Is(0)],
            || recvmmsg(-7, &mut [Many::new(RecvHeader::new(None, slices(), &mut []))], MsgFlags::empty(), None)),
    ]
}

/// An option that is one `int`: reading and setting, in one line.
macro_rules! option {
    ($level:ident $name:ident, $get:ident, $set:ident = $value:expr) => {
        [
            case(
                stringify!($get),
                __NR_getsockopt,
                vec![int(-7), k($level), k($name), Somewhere, half_words([4])],
                || $get(-7).is_ok(),
            ),
            case(
                stringify!($set),
                __NR_setsockopt,
                vec![int(-7), k($level), k($name), half_words([$value as u32]), Is(4)],
                || $set(-7, $value),
            ),
        ]
    };
}

#[rustfmt::skip]
fn int_options() -> Vec<Case> {
    [
        option!(SOL_SOCKET SO_REUSEADDR, socket_reuseaddr, set_socket_reuseaddr = true),
        option!(SOL_SOCKET SO_REUSEPORT, socket_reuseport, set_socket_reuseport = true),
        option!(SOL_SOCKET SO_BROADCAST, socket_broadcast, set_socket_broadcast = false),
        option!(SOL_SOCKET SO_KEEPALIVE, socket_keepalive, set_socket_keepalive = true),
        option!(SOL_SOCKET SO_SNDBUF, socket_sndbuf, set_socket_sndbuf = 0x12345),
        option!(SOL_SOCKET SO_RCVBUF, socket_rcvbuf, set_socket_rcvbuf = 0x12345),
        option!(SOL_SOCKET SO_PASSCRED, socket_passcred, set_socket_passcred = true),
        option!(SOL_SOCKET SO_BUSY_POLL, socket_busy_poll, set_socket_busy_poll = 50),
        option!(SOL_SOCKET SO_PREFER_BUSY_POLL, socket_prefer_busy_poll, set_socket_prefer_busy_poll = true),
        option!(SOL_SOCKET SO_INCOMING_CPU, socket_incoming_cpu, set_socket_incoming_cpu = 1),
        option!(SOL_TCP TCP_NODELAY, tcp_nodelay, set_tcp_nodelay = true),
        option!(SOL_TCP TCP_CORK, tcp_cork, set_tcp_cork = true),
        option!(SOL_TCP TCP_KEEPIDLE, tcp_keepidle, set_tcp_keepidle = 11),
        option!(SOL_TCP TCP_KEEPINTVL, tcp_keepintvl, set_tcp_keepintvl = 12),
        option!(SOL_TCP TCP_KEEPCNT, tcp_keepcnt, set_tcp_keepcnt = 13),
        option!(SOL_TCP TCP_USER_TIMEOUT, tcp_user_timeout, set_tcp_user_timeout = 14),
        option!(SOL_TCP TCP_DEFER_ACCEPT, tcp_defer_accept, set_tcp_defer_accept = 15),
        option!(SOL_TCP TCP_FASTOPEN, tcp_fastopen, set_tcp_fastopen = 16),
        option!(SOL_TCP TCP_FASTOPEN_CONNECT, tcp_fastopen_connect, set_tcp_fastopen_connect = true),
        option!(SOL_TCP TCP_QUICKACK, tcp_quickack, set_tcp_quickack = false),
        option!(SOL_TCP TCP_NOTSENT_LOWAT, tcp_notsent_lowat, set_tcp_notsent_lowat = 0x7fff_ffff),
        option!(SOL_IP IP_TTL, ip_ttl, set_ip_ttl = 64),
        option!(SOL_IP IP_MULTICAST_TTL, ip_multicast_ttl, set_ip_multicast_ttl = 2),
        option!(SOL_IP IP_MULTICAST_LOOP, ip_multicast_loop, set_ip_multicast_loop = true),
        option!(SOL_IP IP_BIND_ADDRESS_NO_PORT, ip_bind_address_no_port, set_ip_bind_address_no_port = true),
        option!(SOL_IPV6 IPV6_V6ONLY, ipv6_v6only, set_ipv6_v6only = true),
        option!(SOL_IPV6 IPV6_UNICAST_HOPS, ipv6_unicast_hops, set_ipv6_unicast_hops = 9),
        option!(SOL_IPV6 IPV6_MULTICAST_HOPS, ipv6_multicast_hops, set_ipv6_multicast_hops = 8),
        option!(SOL_IPV6 IPV6_MULTICAST_LOOP, ipv6_multicast_loop, set_ipv6_multicast_loop = true),
    ].into_iter().flatten().collect()
}

#[rustfmt::skip]
fn other_options() -> Vec<Case> {
    let get = |level, name, len| vec![int(-7), k(level), k(name), Somewhere, half_words([len])];
    let set = |level, name, bytes: &[u8]| vec![int(-7), k(level), k(name), Points(bytes.to_vec()), Is(bytes.len() as u64)];
    let group6 = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets();
    let mreq6 = [&group6[..], &[5, 0, 0, 0]].concat();
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 9);
    const VIA: Ipv4Addr = Ipv4Addr::LOCALHOST;
    vec![
        case("getsockopt", __NR_getsockopt, vec![int(-7), k(u32::MAX), k(u32::MAX), Is(AT), half_words([9])],
            || getsockopt(-7, u32::MAX, u32::MAX, &mut all()[..9])),
        case("setsockopt", __NR_setsockopt, vec![int(-7), k(u32::MAX), k(u32::MAX), Is(AT), Is(9)],
            || setsockopt(-7, u32::MAX, u32::MAX, &all()[..9])),
        case("socket_error", __NR_getsockopt, get(SOL_SOCKET, SO_ERROR, 4), || socket_error(-7)),
        case("socket_type", __NR_getsockopt, get(SOL_SOCKET, SO_TYPE, 4), || socket_type(-7)),
        case("socket_domain", __NR_getsockopt, get(SOL_SOCKET, SO_DOMAIN, 4), || socket_domain(-7)),
        case("socket_protocol", __NR_getsockopt, get(SOL_SOCKET, SO_PROTOCOL, 4), || socket_protocol(-7)),
        case("socket_acceptconn", __NR_getsockopt, get(SOL_SOCKET, SO_ACCEPTCONN, 4), || socket_acceptconn(-7)),
        case("socket_linger", __NR_getsockopt, get(SOL_SOCKET, SO_LINGER, 8), || socket_linger(-7)),
        case("set_socket_linger", __NR_setsockopt, set(SOL_SOCKET, SO_LINGER, &[1, 0, 0, 0, 7, 0, 0, 0]),
            || set_socket_linger(-7, Some(7))),
        case("set_socket_linger", __NR_setsockopt, set(SOL_SOCKET, SO_LINGER, &[0; 8]), || set_socket_linger(-7, None)),
        case("set_socket_bindtodevice", __NR_setsockopt, set(SOL_SOCKET, SO_BINDTODEVICE, b"lo\0"), || set_socket_bindtodevice(-7, c"lo")),
        case("socket_peercred", __NR_getsockopt, get(SOL_SOCKET, SO_PEERCRED, 12), || socket_peercred(-7)),
        case("tcp_has_ulp", __NR_getsockopt, get(SOL_TCP, TCP_ULP, 16), || tcp_has_ulp(-7)),
        case("set_ip_add_membership", __NR_setsockopt, set(SOL_IP, IP_ADD_MEMBERSHIP, &[224, 0, 0, 9, 127, 0, 0, 1]),
            || set_ip_add_membership(-7, GROUP, VIA)),
        case("set_ip_drop_membership", __NR_setsockopt, set(SOL_IP, IP_DROP_MEMBERSHIP, &[224, 0, 0, 9, 127, 0, 0, 1]),
            || set_ip_drop_membership(-7, GROUP, VIA)),
        case("set_ipv6_add_membership", __NR_setsockopt, set(SOL_IPV6, IPV6_ADD_MEMBERSHIP, &mreq6),
            || set_ipv6_add_membership(-7, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 5)),
        case("set_ipv6_drop_membership", __NR_setsockopt, set(SOL_IPV6, IPV6_DROP_MEMBERSHIP, &mreq6),
            || set_ipv6_drop_membership(-7, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 5)),
    ]
}

/// All cases; the last one ends the child, with a status whose sign must survive.
fn table() -> Vec<Case> {
    let mut cases = descriptors();
    cases.extend(memory_and_time());
    cases.extend(files());
    cases.extend(sockets());
    cases.extend(int_options());
    cases.extend(other_options());
    cases.push(case("exit_group", __NR_exit_group, vec![int(-214)], || process::exit_group(-214)));
    cases
}

#[test]
fn every_wrapper_passes_what_it_was_given() {
    reserve();
    let report = tracer::run(&table());
    assert!(report.wrong.is_empty(), "\n{}", report.wrong.join("\n"));
    assert!(libc::WIFEXITED(report.status), "{:#x}", report.status);
    assert_eq!(libc::WEXITSTATUS(report.status), -214 & 0xff);
}

#[test]
fn the_tracer_notices_wrong_arguments() {
    let wrong = |nr, args: Vec<Arg>, call: fn()| {
        tracer::run(&[Case { name: "x", nr, args, call: Box::new(call) }]).wrong.len()
    };
    let close7 = || assert!(close(-7).is_err());
    let nr = u64::from(__NR_close);
    assert_eq!(wrong(nr, vec![int(-7)], close7), 0);
    assert_eq!(wrong(nr + 1, vec![int(-7)], close7), 1, "another number");
    assert_eq!(wrong(nr, vec![int(-8)], close7), 1, "another value");
    assert_eq!(wrong(nr, vec![k(-7i32 as u32)], close7), 1, "zero-extended");
    assert_eq!(wrong(nr, vec![Somewhere], close7), 1, "not an address");
    assert_eq!(wrong(nr, vec![Points(vec![0])], close7), 1, "not readable");
    assert_eq!(wrong(nr, vec![int(-7)], || ()), 1, "no call");
    assert_eq!(wrong(nr, vec![int(-7)], || assert_eq!(close(-7), close(-7))), 1, "two calls");
}

/// Free functions of `src/sys` that make no call of their own.
const NO_CALLS: [&str; 2] = ["cmsg_rights", "result"];

#[test]
fn every_wrapper_has_a_case() {
    let mut sources = Vec::new();
    collect(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sys")), &mut sources);
    let wrappers: Vec<&str> = sources.iter().flat_map(|text| functions(text)).collect();
    // Should the search break, it would find too few, not too many.
    assert!(wrappers.len() > 130, "only {} functions found", wrappers.len());

    let cases = table();
    let has_case = |name: &&str| cases.iter().any(|case| case.name == *name);
    let missing: Vec<_> = wrappers.iter().filter(|w| !NO_CALLS.contains(w) && !has_case(w)).collect();
    assert!(missing.is_empty(), "without a case: {missing:?}");
    let stale: Vec<_> = NO_CALLS.iter().filter(|name| !wrappers.contains(name) || has_case(name)).collect();
    assert!(stale.is_empty(), "not to be excepted: {stale:?}");
}

fn collect(dir: &std::path::Path, sources: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else {
            sources.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The names of public free functions: those that start a line, and the two that a line of the option
/// table has.
fn functions(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        let table = line.starts_with("    pub fn ") && line.contains(", pub fn ");
        let parts = if table { line.trim_start().split(", ").take(2).collect() } else { vec![line] };
        for part in parts {
            let rest = part.strip_prefix("pub fn ").or_else(|| part.strip_prefix("pub unsafe fn "));
            found.extend(rest.and_then(|r| r.split(|c: char| !c.is_alphanumeric() && c != '_').next()));
        }
    }
    found
}
