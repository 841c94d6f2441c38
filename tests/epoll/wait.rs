//! Waits (LTP: epoll_wait01 to 04, 13 to 15, epoll_pwait02, 03, 05, 06; kselftest: 62, 63).

use crate::{Epoll, IN, MS, OUT, PATIENT, WAITS, Wait, bump, drain, eventfd, fill, pipe};
use netpoll::sys::Errno;
use netpoll::sys::epoll::{EpollFlags, epoll_pwait, epoll_pwait2};
use netpoll::sys::fd::write;
use netpoll::sys::time::{ClockId, Timespec, clock_gettime};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::mpsc;
use std::thread::scope;

#[test]
fn what_holds_is_reported_with_its_word() {
    for wait in WAITS {
        let (reader, writer) = pipe();
        let epoll = Epoll::of(&reader, IN);
        epoll.add(&writer, OUT);
        let (read_word, write_word) = (reader.as_raw_fd() as u64, writer.as_raw_fd() as u64);
        assert_eq!(wait(&epoll, 8, PATIENT).unwrap(), [(OUT, write_word)]);
        write(writer.as_raw_fd(), b"x").unwrap();
        let mut both = wait(&epoll, 8, PATIENT).unwrap();
        both.sort_by_key(|event| event.1 == write_word);
        assert_eq!(both, [(IN, read_word), (OUT, write_word)]);
        fill(&writer);
        assert_eq!(wait(&epoll, 8, PATIENT).unwrap(), [(IN, read_word)]);
    }
}

/// In memory that was all ones, the records are packed and there are no more than said.
#[test]
fn nothing_is_written_behind_the_last_record() {
    let fd = eventfd(1);
    let epoll = Epoll::of(&fd, IN);
    let mut events = [const { MaybeUninit::uninit() }; 3];
    // SAFETY: any bytes are an event.
    unsafe { events.as_mut_ptr().write_bytes(0xff, 3) };
    assert_eq!(epoll_pwait(epoll.as_raw_fd(), &mut events, 0), Ok(1));
    // SAFETY: written, above.
    let events = events.map(|event| unsafe { event.assume_init() });
    assert_eq!((events[0].flags(), events[0].data()), (IN, fd.as_raw_fd() as u64));
    assert!(events[1..].iter().all(|event| (event.flags().bits(), event.data()) == (!0, !0)));
}

#[test]
fn what_a_wait_refuses() {
    let (epoll, fd) = (Epoll::new(), eventfd(1));
    let mut some = [const { MaybeUninit::uninit() }; 2];
    let now = Timespec::from_nanos(0);
    for (epfd, errno) in [(-1, Errno::EBADF), (1 << 30, Errno::EBADF), (fd.as_raw_fd(), Errno::EINVAL)] {
        assert_eq!(epoll_pwait(epfd, &mut some, 0), Err(errno));
        assert!(
            matches!(epoll_pwait2(epfd, &mut some, Some(&now)), Err(e) if e == errno || e == Errno::ENOSYS)
        );
    }
    let none = [Errno::EINVAL, Errno::ENOSYS];
    assert_eq!(epoll_pwait(epoll.as_raw_fd(), &mut [], 0), Err(Errno::EINVAL));
    assert!(none.contains(&epoll_pwait2(epoll.as_raw_fd(), &mut [], Some(&now)).unwrap_err()));
}

#[test]
fn times_that_are_none() {
    let fd = eventfd(1);
    let epoll = Epoll::of(&fd, IN);
    for (secs, nanos) in
        [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, 0), (0, i64::MAX), (-1, 999_999_999)]
    {
        let mut events = [MaybeUninit::uninit()];
        // Even with something to report.
        let done = epoll_pwait2(epoll.as_raw_fd(), &mut events, Some(&Timespec { secs, nanos }));
        assert!(matches!(done, Err(Errno::EINVAL | Errno::ENOSYS)), "{secs} s, {nanos} ns: {done:?}");
    }
    // The longest is one, and so is the last nanosecond of a second.
    for (secs, nanos) in [(i64::MAX, 0), (i64::MAX, 999_999_999), (0, 999_999_999)] {
        let mut events = [MaybeUninit::uninit()];
        let done = epoll_pwait2(epoll.as_raw_fd(), &mut events, Some(&Timespec { secs, nanos }));
        assert!(matches!(done, Ok(1) | Err(Errno::ENOSYS)), "{secs} s, {nanos} ns: {done:?}");
    }
}

fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic).unwrap();
    time.secs * 1_000 * MS + time.nanos
}

/// Whether a wait ends by itself, after no less than it should. If it does not, an event ends it.
fn times_out(wait: Wait, ns: i64, least: i64) {
    let fd = eventfd(0);
    let epoll = Epoll::of(&fd, IN);
    let (done, ended) = mpsc::channel();
    scope(|s| {
        s.spawn(|| {
            let ended = ended; // this thread's
            if ended.recv_timeout(crate::PATIENCE).is_err() {
                bump(&fd);
            }
        });
        let start = now();
        assert_eq!(wait(&epoll, 8, ns).unwrap(), [], "{ns} ns are no end of time");
        let took = now() - start;
        assert!(took >= least, "{ns} took {took} ns");
        done.send(()).unwrap();
    });
}

#[test]
fn waits_are_never_early() {
    for wait in WAITS {
        for ns in [0, MS, 2 * MS, 10 * MS, 25 * MS] {
            times_out(wait, ns, ns);
        }
    }
}

/// Times whose bits might be mistaken for others, for none, or for the one without limit.
#[test]
fn odd_times_end() {
    for ns in [1, 999, 1_000, 4_294_967, 65_535, 65_536, MS - 1, MS + 1, 2_147_483, 16_777_215, 16_777_217] {
        for wait in WAITS {
            times_out(wait, ns, ns);
        }
    }
}

#[test]
fn a_wait_of_no_time_returns_at_once() {
    for wait in WAITS {
        let fd = eventfd(0);
        let epoll = Epoll::of(&fd, IN);
        for _ in 0..1000 {
            assert_eq!(wait(&epoll, 8, 0).unwrap(), []);
        }
        bump(&fd);
        assert_eq!(wait(&epoll, 8, 0).unwrap().len(), 1);
    }
}

/// A time makes no difference to what holds already.
#[test]
fn what_holds_already_needs_no_wait() {
    for wait in WAITS {
        let fd = eventfd(1);
        let epoll = Epoll::of(&fd, IN);
        for ns in [-1, 0, 1, MS, PATIENT, i64::from(i32::MAX) * MS] {
            assert_eq!(wait(&epoll, 8, ns).unwrap().len(), 1, "{ns}");
        }
    }
}

/// `count` counters on one instance.
fn many(count: usize, flags: EpollFlags) -> (Epoll, Vec<OwnedFd>) {
    let (epoll, fds) = (Epoll::new(), (0..count).map(|_| eventfd(0)).collect::<Vec<_>>());
    fds.iter().for_each(|fd| epoll.add(fd, flags));
    (epoll, fds)
}

#[test]
fn no_more_than_there_is_room_for_and_the_rest_later() {
    for wait in WAITS {
        for most in [1, 3, 10, 32] {
            let (epoll, fds) = many(24, IN);
            // Every third is quiet.
            let active: Vec<_> = fds
                .iter()
                .enumerate()
                .filter(|(i, _)| i % 3 != 0)
                .map(|(_, fd)| fd.as_raw_fd() as u64)
                .collect();
            fds.iter().enumerate().filter(|(i, _)| i % 3 != 0).for_each(|(_, fd)| bump(fd));
            let mut seen = Vec::new();
            while seen.len() < active.len() {
                let events = wait(&epoll, most, PATIENT).unwrap();
                assert!((1..=most).contains(&events.len()), "{}", events.len());
                for (flags, word) in events {
                    assert_eq!(flags, IN);
                    // SAFETY: the number is one of `fds`, and borrowed for this call.
                    let fd = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(word as i32) });
                    assert_eq!(drain(&*fd), Ok(1));
                    seen.push(word);
                }
            }
            seen.sort_unstable();
            let mut expected = active;
            expected.sort_unstable();
            assert_eq!(seen, expected);
            assert_eq!(wait(&epoll, most, 0).unwrap(), []);
        }
    }
}

/// What has been reported goes to the end of the line, though it still holds.
#[test]
fn with_little_room_all_have_their_turn() {
    const COUNT: usize = 12;
    for wait in WAITS {
        for most in [1, 4, 6] {
            let (epoll, fds) = many(COUNT, IN);
            fds.iter().for_each(bump);
            let mut first = Vec::new();
            for round in 0..4 {
                let mut seen = Vec::new();
                for _ in 0..COUNT / most {
                    let events = wait(&epoll, most, PATIENT).unwrap();
                    assert_eq!(events.len(), most);
                    seen.extend(events.into_iter().map(|event| event.1));
                }
                if round == 0 {
                    first.clone_from(&seen);
                }
                assert_eq!(seen, first, "always in the same order");
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), COUNT, "each once");
            }
        }
    }
}

#[test]
fn one_event_is_told_to_every_instance() {
    for flags in [IN, IN | EpollFlags::ET] {
        let fd = eventfd(0);
        let all: Vec<_> = (0..10).map(|_| Epoll::of(&fd, flags)).collect();
        scope(|s| {
            let waiters: Vec<_> = all.iter().map(|epoll| s.spawn(|| epoll.next().len())).collect();
            bump(&fd);
            waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), 1));
        });
    }
}
