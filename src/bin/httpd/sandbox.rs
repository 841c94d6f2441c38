//! `--sandbox`: rights that the server gives up once it has its directory and its socket.

use linux_raw_sys::general as nr;
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
    nr::__NR_epoll_pwait,
    nr::__NR_epoll_pwait2,
    nr::__NR_read,
    nr::__NR_write,
    nr::__NR_writev,
    nr::__NR_sendfile,
    nr::__NR_sendto,
    nr::__NR_openat2,
    nr::__NR_openat,
    nr::__NR_fstat,
    nr::__NR_pread64,
    nr::__NR_getdents64,
    nr::__NR_close,
    // Connections.
    nr::__NR_accept4,
    nr::__NR_setsockopt,
    nr::__NR_getsockopt,
    nr::__NR_getsockname,
    nr::__NR_shutdown,
    nr::__NR_epoll_ctl,
    nr::__NR_ppoll,
    // The poller, made with the first descriptor.
    nr::__NR_epoll_create1,
    nr::__NR_eventfd2,
    // Time, without a vDSO; `restart_syscall` is how the kernel goes on with a wait behind a stop.
    nr::__NR_clock_gettime,
    nr::__NR_nanosleep,
    nr::__NR_clock_nanosleep,
    nr::__NR_restart_syscall,
    // Threads and their stacks.
    nr::__NR_futex,
    nr::__NR_sched_yield,
    nr::__NR_mmap,
    nr::__NR_munmap,
    nr::__NR_mprotect,
    nr::__NR_madvise,
    nr::__NR_mincore,
    nr::__NR_clone,
    nr::__NR_exit,
    nr::__NR_gettid,
    nr::__NR_getpid,
    nr::__NR_arch_prctl,
    nr::__NR_prctl,
    nr::__NR_set_tid_address,
    nr::__NR_sched_getaffinity,
    // Signals: preemption, SIGQUIT's dump, masks.
    nr::__NR_tgkill,
    nr::__NR_rt_sigaction,
    nr::__NR_rt_sigprocmask,
    nr::__NR_rt_sigreturn,
    nr::__NR_sigaltstack,
    nr::__NR_exit_group,
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
    let _ = close(rules);
    done
}
