//! What the cases of the oracles act on, and what they come to.

use std::cell::Cell;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use netpoll::sys::{Errno, RawFd};

/// A value, or an error's number, negative: the kernel's own convention.
pub type Outcome = i64;

/// What the cases act on; all descriptors are open and the pipe holds 3 bytes.
pub struct World {
    pub epoll: RawFd,
    pub event: RawFd,
    pub pipe: [RawFd; 2],
    /// Registered with `epoll`, readable.
    pub watched: RawFd,
    pub socket: RawFd,
    pub pair: [RawFd; 2],
    pub dir: RawFd,
    pub file: RawFd,
    /// Descriptors that cases opened.
    opened: Cell<Vec<RawFd>>,
    path: PathBuf,
}

impl World {
    pub fn new(who: &str) -> World {
        let path = std::env::temp_dir().join(format!("netpoll-oracles-{}-{who}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("file"), b"0123456789").unwrap();
        std::os::unix::fs::symlink("file", path.join("link")).unwrap();
        let open = |p: &std::path::Path| {
            let p = CString::new(p.as_os_str().as_bytes()).unwrap();
            // SAFETY: the path is a C string.
            made(unsafe { libc::open(p.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })
        };
        let (mut pipe, mut pair) = ([-1; 2], [-1; 2]);
        // SAFETY: the arrays hold two descriptors each, the bytes and the event are readable.
        unsafe {
            made(libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK));
            made(libc::socketpair(
                libc::AF_UNIX,
                libc::SOCK_STREAM | libc::SOCK_NONBLOCK,
                0,
                pair.as_mut_ptr(),
            ));
            assert_eq!(libc::write(pipe[1], b"abc".as_ptr().cast(), 3), 3);
            let epoll = made(libc::epoll_create1(libc::EPOLL_CLOEXEC));
            let watched = made(libc::eventfd(1, libc::EFD_NONBLOCK));
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 99 };
            made(libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, watched, &mut event));
            World {
                epoll,
                event: made(libc::eventfd(0, libc::EFD_NONBLOCK)),
                pipe,
                watched,
                socket: made(libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)),
                pair,
                dir: open(&path),
                file: open(&path.join("file")),
                opened: Cell::new(Vec::new()),
                path,
            }
        }
    }

    /// Notes a new descriptor, whose number does not matter.
    pub fn new_fd(&self, outcome: Outcome) -> Outcome {
        if outcome < 0 {
            return outcome;
        }
        let mut opened = self.opened.take();
        opened.push(outcome as RawFd);
        self.opened.set(opened);
        0
    }

    /// Notes two new descriptors, if there are any (-1: none).
    pub fn new_fds(&self, fds: [RawFd; 2]) {
        for fd in fds {
            self.new_fd(fd.into());
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let fixed = [self.epoll, self.event, self.watched, self.socket, self.dir, self.file];
        for fd in self.opened.take().into_iter().chain(fixed).chain(self.pipe).chain(self.pair) {
            // SAFETY: a descriptor of this world's own.
            unsafe { libc::close(fd) };
        }
        std::fs::remove_dir_all(&self.path).unwrap();
    }
}

fn made(fd: i32) -> RawFd {
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    fd
}

/// Outcomes of our wrappers.
pub trait Ours {
    fn outcome(self) -> Outcome;
}

impl Ours for usize {
    fn outcome(self) -> Outcome {
        self as Outcome
    }
}

impl Ours for i32 {
    fn outcome(self) -> Outcome {
        self.into()
    }
}

impl Ours for bool {
    fn outcome(self) -> Outcome {
        self.into()
    }
}

impl Ours for () {
    fn outcome(self) -> Outcome {
        0
    }
}

impl<T: Ours> Ours for Result<T, Errno> {
    fn outcome(self) -> Outcome {
        self.map_or_else(|e| -Outcome::from(e.raw()), Ours::outcome)
    }
}

/// The outcome of a libc call: -1 means that errno holds the error.
pub fn c(ret: impl Into<i64>) -> Outcome {
    match ret.into() {
        -1 => -Outcome::from(std::io::Error::last_os_error().raw_os_error().unwrap()),
        value => value,
    }
}

pub fn c_size(ret: isize) -> Outcome {
    c(ret as i64)
}
