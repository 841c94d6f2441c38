//! Registration (LTP: epoll_ctl01 to 03, 06).

use crate::{Epoll, IN, OUT, PATIENT, WAITS, bump, eventfd, fill, owned, pipe};
use netpoll::sys::Errno;
use netpoll::sys::epoll::CtlOp::{Add, Del, Mod};
use netpoll::sys::epoll::{EpollEvent, EpollFlags, epoll_ctl};
use netpoll::sys::fs::{AT_FDCWD, openat};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

#[test]
fn add_modify_and_delete_are_seen_by_the_next_wait() {
    for wait in WAITS {
        let (epoll, (reader, writer)) = (Epoll::new(), pipe());
        assert_eq!(wait(&epoll, 8, 0).unwrap(), []);
        epoll.add(&writer, OUT);
        assert_eq!(wait(&epoll, 8, PATIENT).unwrap(), [(OUT, writer.as_raw_fd() as u64)]);
        epoll.modify(&writer, EpollFlags::empty());
        assert_eq!(wait(&epoll, 8, 0).unwrap(), []);
        // The word is replaced, too.
        let event = EpollEvent::new(OUT, u64::MAX);
        epoll_ctl(epoll.as_raw_fd(), Mod, writer.as_raw_fd(), Some(&event)).unwrap();
        assert_eq!(wait(&epoll, 8, PATIENT).unwrap(), [(OUT, u64::MAX)]);
        epoll.delete(&writer);
        assert_eq!(wait(&epoll, 8, 0).unwrap(), []);
        epoll.add(&reader, IN);
        assert_eq!(wait(&epoll, 8, 0).unwrap(), [], "nothing to read");
    }
}

#[test]
fn what_is_refused() {
    let (epoll, (reader, writer)) = (Epoll::new(), pipe());
    epoll.add(&reader, IN);
    let folder = owned(openat(AT_FDCWD, c"/", netpoll::sys::fs::OFlags::DIRECTORY, 0).unwrap());
    let (this, known, other) = (epoll.as_raw_fd(), reader.as_raw_fd(), writer.as_raw_fd());
    let event = EpollEvent::new(IN, 0);
    let no_epoll = eventfd(0);
    for (name, epfd, op, fd, event, errno) in [
        ("epfd is not open", -1, Add, other, Some(&event), Errno::EBADF),
        ("a folder", this, Add, folder.as_raw_fd(), Some(&event), Errno::EPERM),
        ("fd is not open", this, Add, -1, Some(&event), Errno::EBADF),
        ("fd is not open, beyond the table", this, Add, 1 << 30, Some(&event), Errno::EBADF),
        ("epfd is no epoll", no_epoll.as_raw_fd(), Add, other, Some(&event), Errno::EINVAL),
        ("itself", this, Add, this, Some(&event), Errno::EINVAL),
        ("add without an event", this, Add, other, None, Errno::EFAULT),
        ("modify without an event", this, Mod, known, None, Errno::EFAULT),
        ("delete what is not there", this, Del, other, None, Errno::ENOENT),
        ("modify what is not there", this, Mod, other, Some(&event), Errno::ENOENT),
        ("add twice", this, Add, known, Some(&event), Errno::EEXIST),
    ] {
        assert_eq!(epoll_ctl(epfd, op, fd, event), Err(errno), "{name}");
    }
    // None of it has changed what is there.
    bump(&writer);
    assert_eq!(epoll.now(), Some(IN));
}

/// `CtlOp` has no fourth value: the number that LTP passes cannot be.
#[test]
fn there_are_three_operations() {
    assert_eq!([Add as u32, Del as u32, Mod as u32], [1, 2, 3]);
}

#[test]
fn modify_takes_every_set_of_events() {
    let bits = [
        EpollFlags::IN,
        EpollFlags::OUT,
        EpollFlags::PRI,
        EpollFlags::ERR,
        EpollFlags::HUP,
        EpollFlags::RDHUP,
        EpollFlags::ET,
        EpollFlags::ONESHOT,
    ];
    let ((_reader, writer), fd) = (pipe(), eventfd(1));
    let epoll = Epoll::of(&fd, IN);
    fill(&writer);
    epoll.add(&writer, OUT);
    for set in 0..256u32 {
        let chosen = (0..8).filter(|i| set & 1 << i != 0).map(|i| bits[i]);
        let flags = chosen.fold(EpollFlags::empty(), |all, one| all | one);
        epoll.modify(&fd, flags);
        // The eventfd may be read and written; of that, what was asked for.
        let expected = flags & (IN | OUT);
        assert_eq!(epoll.now(), (!expected.is_empty()).then_some(expected), "{flags:?}");
    }
}

fn made(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    owned(fd)
}

fn opened(path: &CStr, flags: i32) -> OwnedFd {
    // SAFETY: the path is a C string.
    made(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) })
}

/// Descriptors by their kinds, and whether they can be registered.
fn kinds() -> Vec<(&'static str, OwnedFd, Result<(), Errno>)> {
    let (yes, no) = (Ok(()), Err(Errno::EPERM));
    let (reader, writer) = pipe();
    // SAFETY: the calls take numbers, a name, or a set that is there.
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        let pidfd = libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) as i32;
        let sockets = [
            ("a TCP socket", libc::AF_INET, libc::SOCK_STREAM),
            ("a UDP socket", libc::AF_INET, libc::SOCK_DGRAM),
            ("a Unix socket", libc::AF_UNIX, libc::SOCK_STREAM),
        ];
        let mut kinds = vec![
            ("a pipe to read", reader, yes),
            ("a pipe to write", writer, yes),
            ("an eventfd", eventfd(0), yes),
            ("an epoll", Epoll::new().0, yes),
            ("a signalfd", made(libc::signalfd(-1, &signals, libc::SFD_CLOEXEC)), yes),
            ("a timerfd", made(libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC)), yes),
            ("an inotify", made(libc::inotify_init1(libc::IN_CLOEXEC)), yes),
            ("a process", made(pidfd), yes),
            ("a terminal", opened(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY), yes),
            ("random bytes", opened(c"/dev/random", libc::O_RDONLY), yes),
            ("the mounts", opened(c"/proc/self/mounts", libc::O_RDONLY), yes),
            ("a regular file", opened(c"/proc/self/exe", libc::O_RDONLY), no),
            ("a folder", opened(c"/", libc::O_RDONLY), no),
            ("zeros", opened(c"/dev/zero", libc::O_RDONLY), no),
            ("the null device", opened(c"/dev/null", libc::O_RDWR), no),
            ("a file of /proc", opened(c"/proc/self/maps", libc::O_RDONLY), no),
            ("memory", made(libc::memfd_create(c"epoll".as_ptr(), libc::MFD_CLOEXEC)), no),
            ("a path", opened(c"/", libc::O_PATH), Err(Errno::EBADF)),
        ];
        for (name, family, kind) in sockets {
            kinds.push((name, made(libc::socket(family, kind | libc::SOCK_CLOEXEC, 0)), yes));
        }
        kinds
    }
}

#[test]
fn which_kinds_can_be_registered() {
    let epoll = Epoll::new();
    for (name, fd, expected) in kinds() {
        assert_eq!(epoll.ctl(Add, &fd, IN), expected, "{name}");
    }
}
