//! The counter behind a descriptor (LTP: eventfd01 to 05, eventfd2_01 to 03).

use crate::{Epoll, IN, OUT, bump, drain, eventfd, owned};
use netpoll::sys::eventfd::{EventfdFlags, eventfd2};
use netpoll::sys::fd::{FdFlags, OFlags, PollFd, PollFlags, fcntl_getfd, fcntl_getfl, ppoll, read, write};
use netpoll::sys::time::Timespec;
use netpoll::sys::{Errno, RawFd};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The most that it holds.
const MOST: u64 = u64::MAX - 1;

fn add(fd: RawFd, count: u64) -> Result<usize, Errno> {
    write(fd, &count.to_ne_bytes())
}

#[test]
fn a_read_takes_all_that_was_put_in() {
    for first in [0, 10, u32::MAX] {
        let fd = eventfd(first);
        assert_eq!(add(fd.as_raw_fd(), 5), Ok(8));
        assert_eq!(add(fd.as_raw_fd(), 0), Ok(8), "nothing is something to write");
        assert_eq!(drain(&fd), Ok(u64::from(first) + 5));
        assert_eq!(drain(&fd), Err(Errno::EAGAIN));
    }
}

#[test]
fn full_is_full() {
    let fd = eventfd(0);
    assert_eq!(add(fd.as_raw_fd(), MOST), Ok(8));
    assert_eq!(add(fd.as_raw_fd(), 1), Err(Errno::EAGAIN));
    assert_eq!(drain(&fd), Ok(MOST));
    assert_eq!(add(fd.as_raw_fd(), 1), Ok(8));
    assert_eq!(add(fd.as_raw_fd(), MOST), Err(Errno::EAGAIN), "all of it, or nothing");
    assert_eq!(drain(&fd), Ok(1));
}

#[test]
fn eight_bytes_and_not_all_ones() {
    let fd = eventfd(1);
    for len in [0, 1, 4, 7] {
        let done = [read(fd.as_raw_fd(), &mut [0; 8][..len]), write(fd.as_raw_fd(), &[0; 8][..len])];
        assert_eq!(done, [Err(Errno::EINVAL); 2], "{len} bytes");
    }
    assert_eq!(add(fd.as_raw_fd(), u64::MAX), Err(Errno::EINVAL));
    // More room is as good as eight. (To write more is an error in newer kernels.)
    assert_eq!(read(fd.as_raw_fd(), &mut [0; 16]), Ok(8));
}

#[test]
fn a_semaphore_gives_one_at_a_time() {
    let flags = EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK;
    let fd = owned(eventfd2(3, flags).unwrap());
    let taken: Vec<_> = (0..4).map(|_| drain(&fd)).collect();
    assert_eq!(taken, [Ok(1), Ok(1), Ok(1), Err(Errno::EAGAIN)]);
}

#[test]
fn flags_as_asked() {
    for flags in [EventfdFlags::empty(), EventfdFlags::CLOEXEC, EventfdFlags::NONBLOCK, EventfdFlags::all()] {
        let fd = owned(eventfd2(0, flags).unwrap());
        let cloexec = fcntl_getfd(fd.as_raw_fd()).unwrap().contains(FdFlags::CLOEXEC);
        assert_eq!(cloexec, flags.contains(EventfdFlags::CLOEXEC));
        let nonblock = fcntl_getfl(fd.as_raw_fd()).unwrap().contains(OFlags::NONBLOCK);
        assert_eq!(nonblock, flags.contains(EventfdFlags::NONBLOCK));
    }
    let unknown = EventfdFlags::from_bits_retain(1 << 30);
    assert_eq!(eventfd2(0, unknown), Err(Errno::EINVAL));
}

/// What poll(2) and epoll(7) say of it, which is the same.
fn readiness(fd: &impl AsRawFd) -> (PollFlags, bool, bool) {
    let mut fds = [PollFd::new(fd.as_raw_fd(), PollFlags::IN | PollFlags::OUT)];
    ppoll(&mut fds, Some(Timespec::from_nanos(0))).unwrap();
    let events = Epoll::of(fd, IN | OUT).now();
    let has = |flag| events.is_some_and(|events| events.contains(flag));
    (fds[0].revents, has(IN), has(OUT))
}

#[test]
fn readable_above_zero_and_writable_below_the_most() {
    let fd = eventfd(0);
    assert_eq!(readiness(&fd), (PollFlags::OUT, false, true));
    bump(&fd);
    assert_eq!(readiness(&fd), (PollFlags::IN | PollFlags::OUT, true, true));
    add(fd.as_raw_fd(), MOST - 1).unwrap();
    assert_eq!(readiness(&fd), (PollFlags::IN, true, false));
    drain(&fd).unwrap();
    assert_eq!(readiness(&fd), (PollFlags::OUT, false, true));
}

#[test]
fn a_child_has_the_same_counter() {
    let fd = owned(eventfd2(7, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
    let mut child = Command::new("true");
    let raw = fd.as_raw_fd();
    // SAFETY: system calls only, on a descriptor that the child has by now.
    unsafe {
        child.pre_exec(move || {
            let seven = drain(&raw) == Ok(7);
            let told = add(raw, 40) == Ok(8);
            if seven && told { Ok(()) } else { Err(std::io::Error::other("another counter")) }
        });
    }
    assert!(child.status().unwrap().success());
    assert_eq!(drain(&fd), Ok(40));
}
