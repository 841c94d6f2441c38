//! Many descriptors and many polls: the poller's side of what `tests/epoll` asserts of the kernel.

use crate::sched::{poll, spawn};
use crate::{LATE, close, each_kernel, pipe, polling, stop, unix};
use netpoll::poll::{EVENTS, Mode};
use netpoll::sys::epoll::{CtlOp, EpollCreateFlags, EpollEvent, EpollFlags, epoll_create1, epoll_ctl};
use netpoll::sys::eventfd::{EventfdFlags, eventfd2};
use netpoll::sys::fd::{read, write};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::scope;
use std::time::Instant;

fn eventfd() -> OwnedFd {
    // SAFETY: just made.
    unsafe { OwnedFd::from_raw_fd(eventfd2(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()) }
}

fn bump(fd: &OwnedFd) {
    assert_eq!(write(fd.as_raw_fd(), &1u64.to_ne_bytes()), Ok(8));
}

/// A poll takes no more than it has room for; the rest has its turn next, and what is quiet has none.
#[test]
fn more_is_ready_than_a_poll_takes() {
    const COUNT: usize = 2 * EVENTS + EVENTS / 2;
    each_kernel(|p| {
        let fds: Vec<_> = (0..COUNT + 10).map(|_| eventfd()).collect();
        let pds: Vec<_> = fds.iter().map(|fd| p.open(fd.as_raw_fd()).unwrap()).collect();
        fds[..COUNT].iter().for_each(bump);
        for left in [COUNT, COUNT - EVENTS, COUNT - 2 * EVENTS, 0] {
            let before = p.stats().events;
            assert!(poll(p, 0).is_empty(), "nobody waits");
            assert_eq!(p.stats().events - before, left.min(EVENTS) as u64);
        }
        for (i, pd) in pds.into_iter().enumerate() {
            assert_eq!(p.take_edge(pd, Mode::Read), Ok(i < COUNT), "{i}");
            close(p, pd);
        }
    });
}

/// Three threads poll for ten tasks, each with a descriptor of its own: every one is woken each time.
#[test]
fn ten_tasks_and_three_polls() {
    const TASKS: usize = 10;
    const ROUNDS: usize = 100;
    each_kernel(|p| {
        let fds: Vec<_> = (0..TASKS).map(|_| eventfd()).collect();
        let pds: Vec<_> = fds.iter().map(|fd| p.open(fd.as_raw_fd()).unwrap()).collect();
        let (done, polls, seen) = (AtomicBool::new(false), AtomicUsize::new(3), AtomicUsize::new(0));
        scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    while !done.load(SeqCst) {
                        poll(p, -1);
                    }
                    polls.fetch_sub(1, SeqCst);
                });
            }
            let tasks: Vec<_> = (0..TASKS)
                .map(|i| {
                    let (pd, fd, seen) = (pds[i], fds[i].as_raw_fd(), &seen);
                    spawn(s, i, move || {
                        for _ in 0..ROUNDS {
                            p.reset(pd, Mode::Read).unwrap();
                            while read(fd, &mut [0; 8]).is_err() {
                                p.wait(pd, Mode::Read).unwrap();
                            }
                            seen.fetch_add(1, SeqCst);
                        }
                    })
                })
                .collect();
            for round in 1..=ROUNDS {
                fds.iter().for_each(bump);
                let start = Instant::now();
                while seen.load(SeqCst) < TASKS * round {
                    assert!(start.elapsed() < LATE, "round {round}: {} so far", seen.load(SeqCst));
                    std::thread::yield_now();
                }
            }
            tasks.into_iter().for_each(|task| task.finish());
            done.store(true, SeqCst);
            while polls.load(SeqCst) != 0 {
                p.break_().unwrap();
                std::thread::yield_now();
            }
        });
        assert_eq!(p.waiters(), 0);
        pds.into_iter().for_each(|pd| close(p, pd));
    });
}

/// The one MOD of a descriptor's life, while another thread polls: what holds already is reported.
#[test]
fn a_first_wait_to_write_races_a_poll() {
    each_kernel(|p| {
        p.init().unwrap();
        let done = AtomicBool::new(false);
        scope(|s| {
            let poller = polling(s, p, &done);
            for _ in 0..300 {
                let (a, b) = unix();
                let pds = [&a, &b].map(|end| p.open(end.as_raw_fd()).unwrap());
                let writer = spawn(s, 1, move || p.wait(pds[0], Mode::Write));
                let reader = spawn(s, 2, move || p.wait(pds[1], Mode::Read));
                assert_eq!(writer.finish(), Ok(()));
                (&a).write_all(b"x").unwrap();
                assert_eq!(reader.finish(), Ok(()));
                pds.into_iter().for_each(|pd| close(p, pd));
            }
            stop(p, &done, [poller]);
        });
    });
}

/// An epoll instance is a descriptor like others.
#[test]
fn an_instance_in_the_poller() {
    each_kernel(|p| {
        // SAFETY: just made.
        let inner = unsafe { File::from_raw_fd(epoll_create1(EpollCreateFlags::CLOEXEC).unwrap()) };
        let (reader, mut writer) = pipe();
        let event = EpollEvent::new(EpollFlags::IN, 0);
        epoll_ctl(inner.as_raw_fd(), CtlOp::Add, reader.as_raw_fd(), Some(&event)).unwrap();
        let pd = p.open(inner.as_raw_fd()).unwrap();
        scope(|s| {
            let task = spawn(s, 7, || p.wait(pd, Mode::Read));
            assert!(poll(p, 0).is_empty());
            writer.write_all(b"x").unwrap();
            assert_eq!(poll(p, -1), [7]);
            assert_eq!(task.join(), Ok(()));
        });
        close(p, pd);
    });
}
