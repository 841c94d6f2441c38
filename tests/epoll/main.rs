//! epoll(7) and eventfd(2) through `netpoll::sys`, on the running kernel: what the kernel's own tests and
//! those of LTP assert, and the poller relies on. tests/README.md lists their cases and names the tests here.
//!
//! Nothing is asserted of how long a thing takes, but that it is not early; what does not come within
//! [`PATIENCE`] never comes.

mod create;
mod ctl;
mod edges;
mod eventfd;
mod nested;
mod signals;
mod threads;
mod wait;

use netpoll::sys::epoll::{
    CtlOp, EpollCreateFlags, EpollEvent, EpollFlags, epoll_create1, epoll_ctl, epoll_pwait, epoll_pwait2,
};
use netpoll::sys::eventfd::{EventfdFlags, eventfd2};
use netpoll::sys::fd::{OFlags, pipe2, read, write};
use netpoll::sys::time::Timespec;
use netpoll::sys::{Errno, RawFd};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// [`PATIENCE`] for a wait: that it ends by itself is a failure.
const PATIENT: i64 = PATIENCE.as_nanos() as i64;

const MS: i64 = 1_000_000;

const IN: EpollFlags = EpollFlags::IN;
const OUT: EpollFlags = EpollFlags::OUT;
const IN_ET: EpollFlags = IN.union(EpollFlags::ET);

/// What is reported: events, and the word they were registered with.
type Events = Vec<(EpollFlags, u64)>;

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: each caller has just opened it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// An epoll instance. What is added is registered with its number as the word.
struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> Epoll {
        Epoll(owned(epoll_create1(EpollCreateFlags::CLOEXEC).unwrap()))
    }

    /// One that watches `fd`.
    fn of(fd: &impl AsRawFd, flags: EpollFlags) -> Epoll {
        let epoll = Epoll::new();
        epoll.add(fd, flags);
        epoll
    }

    fn ctl(&self, op: CtlOp, fd: &impl AsRawFd, flags: EpollFlags) -> Result<(), Errno> {
        let fd = fd.as_raw_fd();
        epoll_ctl(self.0.as_raw_fd(), op, fd, Some(&EpollEvent::new(flags, fd as u64)))
    }

    #[track_caller]
    fn add(&self, fd: &impl AsRawFd, flags: EpollFlags) {
        self.ctl(CtlOp::Add, fd, flags).unwrap();
    }

    #[track_caller]
    fn modify(&self, fd: &impl AsRawFd, flags: EpollFlags) {
        self.ctl(CtlOp::Mod, fd, flags).unwrap();
    }

    #[track_caller]
    fn delete(&self, fd: &impl AsRawFd) {
        epoll_ctl(self.0.as_raw_fd(), CtlOp::Del, fd.as_raw_fd(), None).unwrap();
    }

    /// At most `most` of what holds now.
    #[track_caller]
    fn take(&self, most: usize) -> Events {
        PWAIT(self, most, 0).unwrap()
    }

    /// What holds now, which is of one descriptor at most.
    #[track_caller]
    fn now(&self) -> Option<EpollFlags> {
        let events = self.take(8);
        assert!(events.len() <= 1, "{events:?}");
        events.first().map(|event| event.0)
    }

    /// Waits for something to hold.
    #[track_caller]
    fn next(&self) -> Events {
        PWAIT(self, 8, PATIENT).unwrap()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A wait: where, for how many events, and how many ns (negative: without limit).
type Wait = fn(&Epoll, usize, i64) -> Result<Events, Errno>;

/// By `epoll_pwait`, for whole milliseconds.
const PWAIT: Wait = |epoll, most, ns| {
    let ms = if ns < 0 { -1 } else { (ns as u64).div_ceil(MS as u64) as i32 };
    collect(most, |events| epoll_pwait(epoll.as_raw_fd(), events, ms))
};

/// By `epoll_pwait2`, or by the other where the kernel has only that.
const PWAIT2: Wait = |epoll, most, ns| {
    let time = (ns >= 0).then(|| Timespec::from_nanos(ns));
    match collect(most, |events| epoll_pwait2(epoll.as_raw_fd(), events, time.as_ref())) {
        Err(Errno::ENOSYS) => PWAIT(epoll, most, ns),
        done => done,
    }
};

const WAITS: [Wait; 2] = [PWAIT, PWAIT2];

fn collect(
    most: usize,
    wait: impl FnOnce(&mut [MaybeUninit<EpollEvent>]) -> Result<usize, Errno>,
) -> Result<Events, Errno> {
    let mut events = vec![MaybeUninit::uninit(); most];
    let n = wait(&mut events)?;
    assert!(n <= most);
    // SAFETY: the kernel wrote the first `n`.
    let events = events[..n].iter().map(|event| unsafe { event.assume_init_ref() });
    Ok(events.map(|event| (event.flags(), event.data())).collect())
}

/// A counter that does not block.
fn eventfd(count: u32) -> OwnedFd {
    owned(eventfd2(count, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap())
}

/// Adds 1 to a counter.
#[track_caller]
fn bump(fd: &impl AsRawFd) {
    assert_eq!(write(fd.as_raw_fd(), &1u64.to_ne_bytes()), Ok(8));
}

/// Takes what a counter holds.
fn drain(fd: &impl AsRawFd) -> Result<u64, Errno> {
    let mut count = [0; 8];
    read(fd.as_raw_fd(), &mut count).map(|n| {
        assert_eq!(n, 8);
        u64::from_ne_bytes(count)
    })
}

/// The reading end first. Neither blocks.
fn pipe() -> (OwnedFd, OwnedFd) {
    let [reader, writer] = pipe2(OFlags::CLOEXEC | OFlags::NONBLOCK).unwrap();
    (owned(reader), owned(writer))
}

/// Writes until the pipe is full.
fn fill(writer: &impl AsRawFd) {
    while write(writer.as_raw_fd(), &[7; 4096]).is_ok() {}
}

/// Reads until the pipe is empty.
fn empty(reader: &impl AsRawFd) {
    while read(reader.as_raw_fd(), &mut [0; 4096]).is_ok() {}
}

/// The kernel's number of the calling thread.
fn thread_id() -> i32 {
    // SAFETY: the call takes no argument.
    unsafe { libc::gettid() }
}

/// Waits until the thread sleeps. It must have told its number right before the call that it is to sleep in.
fn until_it_sleeps(thread: i32) {
    let start = Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
        // The state is behind the name, which is in parentheses.
        if stat[stat.rfind(')').unwrap()..].starts_with(") S") {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{stat}");
        std::thread::yield_now();
    }
}
