//! Threads that meet in one instance (LTP: epoll_wait16; kselftest: 59 to 61).

use crate::{
    Epoll, IN, IN_ET, MS, PATIENCE, PATIENT, WAITS, bump, drain, eventfd, thread_id, until_it_sleeps,
};
use netpoll::sys::epoll::EpollFlags;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst};
use std::thread::{scope, sleep, yield_now};
use std::time::{Duration, Instant};

/// Each thread has an instance of its own, all sleep, and one event comes: it is one thread's.
#[test]
fn an_exclusive_event_wakes_one_of_many() {
    const THREADS: usize = 6;
    for flags in [IN | EpollFlags::EXCLUSIVE, IN_ET | EpollFlags::EXCLUSIVE] {
        for _ in 0..20 {
            let (fd, stop) = (eventfd(0), eventfd(0));
            let all: Vec<_> = (0..THREADS).map(|_| Epoll::of(&fd, flags)).collect();
            all.iter().for_each(|epoll| epoll.add(&stop, IN));
            let ids = [const { AtomicI32::new(0) }; THREADS];
            let woken = AtomicUsize::new(0);
            scope(|s| {
                for (epoll, id) in all.iter().zip(&ids) {
                    let (woken, event) = (&woken, fd.as_raw_fd() as u64);
                    s.spawn(move || {
                        id.store(thread_id(), SeqCst);
                        let events = epoll.next();
                        assert!(!events.is_empty(), "nothing came");
                        woken.fetch_add(usize::from(events.iter().any(|e| e.1 == event)), SeqCst);
                    });
                }
                for id in &ids {
                    let start = Instant::now();
                    while id.load(SeqCst) == 0 {
                        assert!(start.elapsed() < PATIENCE);
                        yield_now();
                    }
                    until_it_sleeps(id.load(SeqCst));
                }
                bump(&fd);
                let start = Instant::now();
                while woken.load(SeqCst) == 0 && start.elapsed() < PATIENCE {
                    yield_now();
                }
                bump(&stop); // lets the others go, who do not have the event
            });
            // The manual promises "one or more".
            let woken = woken.load(SeqCst);
            assert!((1..THREADS).contains(&woken), "{woken} of {THREADS}");
        }
    }
}

#[test]
fn exclusive_is_for_add_alone() {
    use netpoll::sys::Errno;
    use netpoll::sys::epoll::CtlOp::{Add, Mod};
    let (fd, exclusive) = (eventfd(0), IN | EpollFlags::EXCLUSIVE);
    let epoll = Epoll::of(&fd, exclusive);
    assert_eq!(epoll.ctl(Mod, &fd, IN), Err(Errno::EINVAL), "what is exclusive is not changed");
    epoll.delete(&fd);
    epoll.add(&fd, IN);
    assert_eq!(epoll.ctl(Mod, &fd, exclusive), Err(Errno::EINVAL));
    epoll.delete(&fd);
    assert_eq!(epoll.ctl(Add, &fd, exclusive | EpollFlags::ONESHOT), Err(Errno::EINVAL));
    assert_eq!(Epoll::new().ctl(Add, &epoll, exclusive), Err(Errno::EINVAL), "nor is it for an instance");
}

/// What is ready is modified again and again while another waits: no wait passes it by.
#[test]
fn modify_against_wait_loses_nothing() {
    const ROUNDS: usize = 100_000;
    let fd = eventfd(1);
    let epoll = Epoll::of(&fd, IN_ET);
    let done = AtomicBool::new(false);
    scope(|s| {
        s.spawn(|| {
            loop {
                assert_eq!(epoll.next().len(), 1);
                if done.load(SeqCst) {
                    break;
                }
            }
        });
        (0..ROUNDS).for_each(|_| epoll.modify(&fd, IN_ET));
        done.store(true, SeqCst);
        epoll.modify(&fd, IN_ET);
    });
}

/// As many threads take one event at a time of as many counters; each takes what it was told of.
#[test]
fn ten_edges_for_ten_threads() {
    const COUNT: usize = 10;
    const ROUNDS: usize = 300;
    let (epoll, stop) = (Epoll::new(), eventfd(0));
    let fds: Vec<OwnedFd> = (0..COUNT).map(|_| eventfd(0)).collect();
    fds.iter().for_each(|fd| epoll.add(fd, IN_ET));
    epoll.add(&stop, IN);
    let seen = AtomicUsize::new(0);
    scope(|s| {
        for _ in 0..COUNT {
            s.spawn(|| {
                loop {
                    let word = one(&epoll);
                    if word == stop.as_raw_fd() as u64 {
                        break;
                    }
                    let fd = fds.iter().find(|fd| fd.as_raw_fd() as u64 == word).unwrap();
                    assert_eq!(drain(fd), Ok(1), "told once");
                    seen.fetch_add(1, SeqCst);
                }
            });
        }
        for round in 1..=ROUNDS {
            fds.iter().for_each(bump);
            let start = Instant::now();
            while seen.load(SeqCst) < COUNT * round && start.elapsed() < PATIENCE {
                yield_now();
            }
            if seen.load(SeqCst) != COUNT * round {
                bump(&stop);
                panic!("round {round}: {} of {}", seen.load(SeqCst), COUNT * round);
            }
        }
        bump(&stop);
    });
}

/// The word of one event.
fn one(epoll: &Epoll) -> u64 {
    let events = crate::PWAIT2(epoll, 1, PATIENT).unwrap();
    events.first().expect("nothing came").1
}

/// Two threads wait, one of them for a moment only, at whose end an edge comes: one of the two has it.
#[test]
fn an_edge_at_the_end_of_a_wait_is_not_lost() {
    const ROUNDS: u64 = 300;
    for wait in WAITS {
        let (fd, turn) = (eventfd(0), Barrier::new(3));
        let epoll = Epoll::of(&fd, IN_ET);
        let (had, mut lost) = (AtomicUsize::new(0), None);
        scope(|s| {
            for limit in [MS, PATIENT] {
                let (epoll, turn, had) = (&epoll, &turn, &had);
                s.spawn(move || {
                    for _ in 0..ROUNDS {
                        turn.wait();
                        had.fetch_add(wait(epoll, 1, limit).unwrap().len(), SeqCst);
                        turn.wait();
                    }
                });
            }
            for round in 0..ROUNDS {
                had.store(0, SeqCst); // nobody else has begun
                turn.wait();
                sleep(Duration::from_micros(600 + round * 37 % 500)); // around the millisecond
                bump(&fd);
                let begun = Instant::now();
                while had.load(SeqCst) == 0 && lost.is_none() {
                    if begun.elapsed() > PATIENCE / 2 {
                        lost = Some(round);
                    }
                    yield_now();
                }
                bump(&fd); // if it was the short one's, the long one still waits
                turn.wait();
                wait(&epoll, 1, 0).unwrap(); // or else it is nobody's
            }
        });
        assert_eq!(lost, None, "the edge of this round");
    }
}
