//! Rights that are given up, for all threads.

use crate::support::close;
use core::ffi::CStr;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use alloc::vec::Vec;
use linux_raw_sys::general as nr;
use netpoll::rt::{landlock, seccomp};
use netpoll::spawn;
use netpoll::sys::Errno;
use netpoll::sys::fs::{AT_FDCWD, OFlags, openat};
use netpoll::sys::process::getppid;
use netpoll::sys::sandbox::{
    AccessFs, AccessNet, RulesetAttr, landlock_add_path_beneath, landlock_create_ruleset, landlock_version,
};
use netpoll::sys::thread::gettid;

use crate::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    ("seccomp_allows", seccomp_allows),
    ("seccomp_kills_from_another_thread", seccomp_kills_from_another_thread),
    ("seccomp_limits", |_| assert_eq!(seccomp(&[0; 256]), Err(Errno::E2BIG))),
    ("landlock_reaches_all_threads", landlock_reaches_all_threads),
];

/// The calls of a program that computes and prints.
#[rustfmt::skip]
const ALLOWED: &[u32] = &[
    nr::__NR_write, nr::__NR_exit_group, nr::__NR_futex, nr::__NR_gettid, nr::__NR_getpid, nr::__NR_tgkill,
    nr::__NR_rt_sigreturn, nr::__NR_rt_sigprocmask, nr::__NR_rt_sigaction, nr::__NR_sigaltstack, nr::__NR_nanosleep,
    nr::__NR_clock_nanosleep, nr::__NR_restart_syscall, nr::__NR_epoll_pwait, nr::__NR_epoll_pwait2, nr::__NR_mmap,
    nr::__NR_madvise, nr::__NR_mprotect, nr::__NR_clone, nr::__NR_prctl, nr::__NR_epoll_create1, nr::__NR_eventfd2,
    nr::__NR_epoll_ctl, nr::__NR_sched_yield, nr::__NR_munmap, nr::__NR_ppoll,
];

fn seccomp_allows(_: &[&str]) {
    seccomp(ALLOWED).unwrap();
    let tasks: Vec<_> = (0..10).map(|_| spawn(gettid)).collect();
    assert!(tasks.into_iter().all(|task| task.join() > 0));
}

/// A task that runs elsewhere since before the filter makes a call that is not in it.
fn seccomp_kills_from_another_thread(_: &[&str]) {
    static THERE: AtomicI32 = AtomicI32::new(0);
    static GO: AtomicI32 = AtomicI32::new(0);
    drop(spawn(|| {
        while GO.load(Ordering::Acquire) == 0 {
            getppid(); // which is no harm so far
            THERE.store(gettid(), Ordering::Relaxed);
        }
        getppid();
    }));
    while [0, gettid()].contains(&THERE.load(Ordering::Relaxed)) {
        spin_loop();
    }
    seccomp(ALLOWED).unwrap();
    GO.store(1, Ordering::Release);
    loop {
        spin_loop();
    }
}

fn open(path: &CStr) -> Result<(), Errno> {
    openat(AT_FDCWD, path, OFlags::DIRECTORY | OFlags::CLOEXEC, 0).and_then(close)
}

/// The word: how many threads there are.
fn landlock_reaches_all_threads(words: &[&str]) {
    static ARRIVED: AtomicUsize = AtomicUsize::new(0);
    let n: usize = words[0].parse().unwrap();
    if landlock_version().is_err() {
        return;
    }
    // All at once, so each on a thread of its own: once before, when all may open, and once behind.
    let on_each = |what: fn()| {
        ARRIVED.store(0, Ordering::SeqCst);
        let task = move || {
            ARRIVED.fetch_add(1, Ordering::SeqCst);
            while ARRIVED.load(Ordering::SeqCst) < n {
                spin_loop();
            }
            what();
        };
        let tasks: Vec<_> = (0..n).map(|_| spawn(task)).collect();
        tasks.into_iter().for_each(|task| task.join());
    };
    on_each(|| assert_eq!(open(c"/etc"), Ok(())));

    let attr = RulesetAttr { fs: AccessFs::V1, net: AccessNet::empty() };
    let rules = landlock_create_ruleset(&attr).unwrap();
    let dev = openat(AT_FDCWD, c"/dev", OFlags::PATH | OFlags::CLOEXEC, 0).unwrap();
    landlock_add_path_beneath(rules, AccessFs::READ_DIR, dev).unwrap();
    assert!(landlock(dev).is_err());
    landlock(rules).unwrap();
    on_each(|| assert_eq!((open(c"/etc"), open(c"/dev")), (Err(Errno::EACCES), Ok(()))));
}
