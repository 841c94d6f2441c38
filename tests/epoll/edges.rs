//! Which changes are reported, how often, and as what (LTP: epoll_wait05 to 07, 10 to 12).

use crate::{Epoll, IN, IN_ET, OUT, PATIENT, WAITS, bump, drain, empty, eventfd, fill, pipe};
use netpoll::sys::epoll::EpollFlags;
use netpoll::sys::fd::{read, write};
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::scope;

const OUT_ET: EpollFlags = OUT.union(EpollFlags::ET);

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn half_a_read_makes_no_new_edge() {
    let (reader, writer) = pipe();
    let epoll = Epoll::of(&reader, IN_ET);
    write(writer.as_raw_fd(), b"four").unwrap();
    assert_eq!(epoll.now(), Some(IN));
    assert_eq!(epoll.now(), None);
    read(reader.as_raw_fd(), &mut [0; 2]).unwrap();
    assert_eq!(epoll.now(), None, "there is more, which is no change");
    write(writer.as_raw_fd(), b"more").unwrap();
    assert_eq!(epoll.now(), Some(IN), "a change, though it could be read all the time");
    empty(&reader);
    assert_eq!(epoll.now(), None);
    write(writer.as_raw_fd(), b"x").unwrap();
    assert_eq!(epoll.now(), Some(IN));
}

#[test]
fn room_is_an_edge_once_there_was_none() {
    let (reader, writer) = pipe();
    let epoll = Epoll::of(&writer, OUT_ET);
    assert_eq!(epoll.now(), Some(OUT));
    assert_eq!(epoll.now(), None);
    fill(&writer);
    assert_eq!(epoll.now(), None);
    empty(&reader);
    assert_eq!(epoll.now(), Some(OUT));
    assert_eq!(epoll.now(), None);
}

/// What netpoll's break is made of.
#[test]
fn every_write_to_a_counter_that_nobody_reads_is_an_edge() {
    let fd = eventfd(0);
    let epoll = Epoll::of(&fd, IN_ET);
    for _ in 0..100 {
        bump(&fd);
        bump(&fd); // before it was asked for: the same edge
        assert_eq!(epoll.now(), Some(IN));
        assert_eq!(epoll.now(), None);
    }
    assert_eq!(drain(&fd), Ok(200));
}

/// What netpoll's lazily armed OUT relies on.
#[test]
fn modify_reports_what_holds_already() {
    let (reader, writer) = pipe();
    let epoll = Epoll::of(&writer, EpollFlags::ET);
    assert_eq!(epoll.now(), None);
    epoll.modify(&writer, OUT_ET);
    assert_eq!(epoll.now(), Some(OUT));
    assert_eq!(epoll.now(), None);
    epoll.modify(&writer, OUT_ET);
    assert_eq!(epoll.now(), Some(OUT), "as often as it is modified");
    fill(&writer);
    epoll.modify(&writer, OUT_ET);
    assert_eq!(epoll.now(), None);
    drop(reader);
    assert_eq!(epoll.now(), Some(EpollFlags::ERR), "as unasked as ever");
}

#[test]
fn one_shot_is_one_until_it_is_modified() {
    for edge in [EpollFlags::empty(), EpollFlags::ET] {
        let (reader, writer) = pipe();
        let once = IN | EpollFlags::ONESHOT | edge;
        let epoll = Epoll::of(&reader, once);
        for _ in 0..3 {
            write(writer.as_raw_fd(), b"x").unwrap();
            assert_eq!(epoll.now(), Some(IN));
            write(writer.as_raw_fd(), b"y").unwrap();
            assert_eq!(epoll.now(), None);
            empty(&reader);
            epoll.modify(&reader, once);
            assert_eq!(epoll.now(), None);
        }
        write(writer.as_raw_fd(), b"x").unwrap();
        assert_eq!(epoll.now(), Some(IN));
        // Not even an end is told meanwhile.
        drop(writer);
        assert_eq!(epoll.now(), None);
        epoll.modify(&reader, once);
        assert_eq!(epoll.now(), Some(IN | EpollFlags::HUP));
    }
}

#[test]
fn half_a_close_is_told_apart_from_a_whole_one() {
    for wait in WAITS {
        let (near, far) = tcp();
        let epoll = Epoll::of(&near, EpollFlags::RDHUP);
        assert_eq!(wait(&epoll, 8, 0).unwrap(), []);
        far.shutdown(Shutdown::Write).unwrap();
        let word = near.as_raw_fd() as u64;
        assert_eq!(wait(&epoll, 8, PATIENT).unwrap(), [(EpollFlags::RDHUP, word)]);
        epoll.modify(&near, IN | EpollFlags::RDHUP);
        assert_eq!(wait(&epoll, 8, PATIENT).unwrap(), [(IN | EpollFlags::RDHUP, word)]);
        // This end, too: now nothing goes either way.
        near.shutdown(Shutdown::Write).unwrap();
        let all = EpollFlags::RDHUP | IN | EpollFlags::HUP;
        assert_eq!(wait(&epoll, 8, PATIENT).unwrap(), [(all, word)]);
    }
}

#[test]
fn a_writer_that_goes_ends_a_wait_with_hup() {
    for wait in WAITS {
        let (reader, writer) = pipe();
        let epoll = Epoll::of(&reader, IN);
        scope(|s| {
            let waiter = s.spawn(|| wait(&epoll, 8, PATIENT).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(2)); // it waits, most likely
            drop(writer);
            assert_eq!(waiter.join().unwrap(), [(EpollFlags::HUP, reader.as_raw_fd() as u64)]);
        });
    }
}

#[test]
fn a_reader_that_goes_ends_a_wait_with_err() {
    for wait in WAITS {
        let (reader, writer) = pipe();
        fill(&writer);
        let epoll = Epoll::of(&writer, OUT);
        scope(|s| {
            let waiter = s.spawn(|| wait(&epoll, 8, PATIENT).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(2));
            drop(reader);
            assert_eq!(waiter.join().unwrap(), [(EpollFlags::ERR, writer.as_raw_fd() as u64)]);
        });
    }
}

#[test]
fn urgent_data_is_pri() {
    for flags in [EpollFlags::PRI, EpollFlags::PRI | EpollFlags::ET] {
        let (near, mut far) = tcp();
        let epoll = Epoll::of(&near, flags);
        far.write_all(b"not yet").unwrap();
        assert_eq!(epoll.now(), None);
        // SAFETY: sends one byte of a constant.
        let sent = unsafe { libc::send(far.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        assert_eq!(epoll.next(), [(EpollFlags::PRI, near.as_raw_fd() as u64)]);
    }
}

/// In a mount namespace of the thread's own, from which nothing gets out.
fn mounts_are_ours() -> bool {
    // SAFETY: the strings are C strings, or null where the kernel does not look.
    unsafe {
        let (flags, null) = (libc::MS_REC | libc::MS_PRIVATE, std::ptr::null());
        libc::unshare(libc::CLONE_FS | libc::CLONE_NEWNS) == 0
            && libc::mount(null, c"/".as_ptr(), null, flags, null.cast()) == 0
    }
}

#[test]
fn a_new_mount_is_pri() {
    let thread = std::thread::spawn(|| {
        if !mounts_are_ours() {
            return println!("skipped: no mount namespace for this user");
        }
        let mounts = std::fs::File::open("/proc/thread-self/mounts").unwrap();
        let epoll = Epoll::of(&mounts, EpollFlags::PRI);
        epoll.take(8); // what has come before
        assert_eq!(epoll.now(), None);
        // SAFETY: the strings are C strings.
        let mounted = unsafe {
            let kind = c"tmpfs".as_ptr();
            libc::mount(kind, c"/proc".as_ptr(), kind, 0, std::ptr::null())
        };
        if mounted != 0 {
            return println!("skipped: {}", std::io::Error::last_os_error());
        }
        let word = mounts.as_raw_fd() as u64;
        assert_eq!(epoll.next(), [(EpollFlags::PRI | EpollFlags::ERR, word)]);
    });
    thread.join().unwrap();
}
