//! `--sandbox`: rights that the server gives up once it has its directory and its socket.

use linux_raw_sys::general as kernel;
use netpoll::rt::{landlock, seccomp};
use netpoll::sys::fd::close;
use netpoll::sys::sandbox::{
    AccessFs, AccessNet, RulesetAttr, landlock_add_path_beneath, landlock_create_ruleset, landlock_version,
};
use netpoll::sys::{Errno, RawFd};

/// All system calls of the server and its runtime from then on. What `tests/httpd/sandbox.rs` sees it do must be
/// in here, and so must what it does only when something is wrong.
const ALLOWED: &[u32] = &[
    // Requests.
    kernel::__NR_epoll_pwait,
    kernel::__NR_epoll_pwait2,
    kernel::__NR_recvfrom,
    kernel::__NR_sendto,
    kernel::__NR_read,
    kernel::__NR_write,
    kernel::__NR_writev,
    kernel::__NR_sendfile,
    kernel::__NR_openat2,
    kernel::__NR_openat,
    kernel::__NR_fstat,
    kernel::__NR_pread64,
    kernel::__NR_getdents64,
    kernel::__NR_close,
    // Connections.
    kernel::__NR_accept4,
    kernel::__NR_setsockopt,
    kernel::__NR_getsockopt,
    kernel::__NR_getsockname,
    kernel::__NR_shutdown,
    kernel::__NR_epoll_ctl,
    kernel::__NR_ppoll,
    // The poller, made with the first descriptor.
    kernel::__NR_epoll_create1,
    kernel::__NR_eventfd2,
    // Time, without a vDSO; `restart_syscall` is how the kernel goes on with a wait behind a stop.
    kernel::__NR_clock_gettime,
    kernel::__NR_nanosleep,
    kernel::__NR_clock_nanosleep,
    kernel::__NR_restart_syscall,
    // Threads and their stacks.
    kernel::__NR_futex,
    kernel::__NR_sched_yield,
    kernel::__NR_mmap,
    kernel::__NR_munmap,
    kernel::__NR_mprotect,
    kernel::__NR_madvise,
    kernel::__NR_mincore,
    kernel::__NR_clone,
    kernel::__NR_exit,
    kernel::__NR_gettid,
    kernel::__NR_getpid,
    kernel::__NR_arch_prctl,
    kernel::__NR_prctl,
    kernel::__NR_set_tid_address,
    kernel::__NR_sched_getaffinity,
    // Signals: preemption, SIGQUIT's dump, masks.
    kernel::__NR_tgkill,
    kernel::__NR_rt_sigaction,
    kernel::__NR_rt_sigprocmask,
    kernel::__NR_rt_sigreturn,
    kernel::__NR_sigaltstack,
    kernel::__NR_exit_group,
];

/// From now on no file can be opened but those below `root`, for reading, and no TCP socket bound or connected,
/// where the kernel has landlock(7); and no call be made but those in `ALLOWED`.
///
/// # Errors
/// Those of seccomp(2) and landlock(7). A kernel without landlock is none.
pub fn enter(root: RawFd) -> Result<(), Errno> {
    match landlock_version() {
        Ok(version) => restrict(version, root)?,
        Err(Errno::ENOSYS | Errno::EOPNOTSUPP) => {}
        Err(errno) => return Err(errno),
    }
    seccomp(ALLOWED)
}

fn restrict(version: i32, root: RawFd) -> Result<(), Errno> {
    let since = |first, access| if version >= first { access } else { AccessFs::empty() };
    let attr = RulesetAttr {
        fs: AccessFs::V1
            | since(2, AccessFs::REFER)
            | since(3, AccessFs::TRUNCATE)
            | since(5, AccessFs::IOCTL_DEV),
        net: if version >= 4 { AccessNet::all() } else { AccessNet::empty() },
    };
    let rules = landlock_create_ruleset(&attr)?;
    let done = landlock_add_path_beneath(rules, AccessFs::READ_FILE | AccessFs::READ_DIR, root)
        .and_then(|()| landlock(rules));
    // SAFETY: opened above, and used no more.
    let _ = unsafe { close(rules) };
    done
}
