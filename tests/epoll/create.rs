//! Making epoll instances (LTP: epoll_create03, epoll_create1_01, 02).

use crate::{Epoll, owned};
use netpoll::sys::Errno;
use netpoll::sys::epoll::{EpollCreateFlags, epoll_create1};
use netpoll::sys::fd::{FdFlags, fcntl_getfd};
use std::os::fd::AsRawFd;
use std::process::Command;

#[test]
fn close_on_exec_as_asked() {
    for flags in [EpollCreateFlags::CLOEXEC, EpollCreateFlags::empty()] {
        let epoll = owned(epoll_create1(flags).unwrap());
        let cloexec = fcntl_getfd(epoll.as_raw_fd()).unwrap().contains(FdFlags::CLOEXEC);
        assert_eq!(cloexec, !flags.is_empty());
    }
}

#[test]
fn unknown_flags_are_refused() {
    for bits in [!0, EpollCreateFlags::CLOEXEC.bits() + 1, 1] {
        let flags = EpollCreateFlags::from_bits_retain(bits);
        assert_eq!(epoll_create1(flags), Err(Errno::EINVAL), "{bits:#x}");
    }
}

/// Set in the process whose limit is lowered.
const INSIDE: &str = "NETPOLL_TESTS_FEW_DESCRIPTORS";

const FEW: usize = 64;

/// In a process of its own, for the limit is the process's.
#[test]
fn no_instance_beyond_the_limit() {
    if std::env::var_os(INSIDE).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["create::no_instance_beyond_the_limit", "--exact", "--test-threads=1"])
            .env(INSIDE, "1");
        let output = command.output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{output:?}");
        return;
    }
    let limit = libc::rlimit { rlim_cur: FEW as u64, rlim_max: FEW as u64 };
    // SAFETY: the kernel reads the structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let create = || epoll_create1(EpollCreateFlags::CLOEXEC).map(owned);
    let mut all = Vec::new();
    let end = loop {
        match create() {
            Ok(epoll) => all.push(epoll),
            Err(e) => break e,
        }
        assert!(all.len() < FEW);
    };
    assert_eq!(end, Errno::EMFILE);
    all.pop();
    drop(Epoll(create().unwrap()));
}
