//! Epoll instances in each other (LTP: epoll_ctl04, 05, 07, epoll_wait09; kselftest: 17 to 58).

use crate::{Epoll, IN, IN_ET, PATIENT, WAITS, bump, drain, eventfd};
use netpoll::sys::Errno;
use netpoll::sys::epoll::CtlOp::Add;
use netpoll::sys::epoll::EpollFlags;
use netpoll::sys::fd::{PollFd, PollFlags, ppoll};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::scope;

/// Each watches the one before it; the first watches `source`.
fn chain(source: &OwnedFd, count: usize) -> Vec<Epoll> {
    let mut all = vec![Epoll::of(source, IN)];
    while all.len() < count {
        all.push(Epoll::of(&all[all.len() - 1], IN));
    }
    all
}

/// As deep as the kernel allows (`EP_MAX_NESTS` and the one that waits).
const DEPTH: usize = 5;

#[test]
fn five_deep_and_no_deeper() {
    let source = eventfd(0);
    let all = chain(&source, DEPTH);
    let last = all.last().unwrap();
    let deeper = Epoll::new().ctl(Add, last, IN);
    assert!(matches!(deeper, Err(Errno::EINVAL | Errno::ELOOP)), "{deeper:?}");
    for wait in WAITS {
        assert_eq!(wait(last, 8, 0).unwrap(), []);
        bump(&source);
        // Through all of them, for one as for the next, as long as it is not taken.
        for _ in 0..2 {
            for pair in all.windows(2) {
                assert_eq!(wait(&pair[1], 8, PATIENT).unwrap(), [(IN, pair[0].as_raw_fd() as u64)]);
            }
        }
        assert_eq!(wait(&all[0], 8, PATIENT).unwrap(), [(IN, source.as_raw_fd() as u64)]);
        drain(&source).unwrap();
        assert_eq!(wait(last, 8, 0).unwrap(), []);
    }
}

#[test]
fn loops_are_refused() {
    for len in 2..=DEPTH {
        let all: Vec<_> = (0..len).map(|_| Epoll::new()).collect();
        for i in 1..len {
            all[i].add(&all[i - 1], IN);
        }
        // It would close here. (Longer chains than this were refused above.)
        let closing = all[0].ctl(Add, &all[len - 1], IN);
        assert_eq!(closing, Err(Errno::ELOOP), "of {len}");
    }
}

fn poll_in(fd: &impl AsRawFd) -> bool {
    let mut fds = [PollFd::new(fd.as_raw_fd(), PollFlags::IN)];
    ppoll(&mut fds, Some(netpoll::sys::time::Timespec::from_nanos(0))).unwrap() == 1
}

/// kselftest's one thread on e0 over e1 over a counter that is not read, with and without ET on each level.
#[test]
fn an_outer_edge_is_reported_once() {
    for wait in WAITS {
        for (outer, inner) in [(IN, IN), (IN, IN_ET), (IN_ET, IN), (IN_ET, IN_ET)] {
            let source = eventfd(0);
            let e1 = Epoll::of(&source, inner);
            let e0 = Epoll::of(&e1, outer);
            bump(&source);
            assert!(poll_in(&e0) && poll_in(&e1));
            let event = [(IN, e1.as_raw_fd() as u64)];
            assert_eq!(wait(&e0, 8, PATIENT).unwrap(), event);
            // The inner one still has it, whatever its mode, for nobody has asked it.
            let again = if outer == IN { &event[..] } else { &[] };
            assert_eq!(wait(&e0, 8, 0).unwrap(), again);
            assert_eq!(poll_in(&e0), outer == IN);
            // poll(2) of the source knows no edges.
            assert!(poll_in(&source));
            assert_eq!(wait(&e1, 8, PATIENT).unwrap(), [(IN, source.as_raw_fd() as u64)]);
            let again = if inner == IN { 1 } else { 0 };
            assert_eq!(wait(&e1, 8, 0).unwrap().len(), again);
            if inner != IN {
                assert_eq!(wait(&e0, 8, 0).unwrap(), [], "taken from the inner one");
            }
        }
    }
}

/// kselftest's diamond: e0 over e1 and e2, over a counter each.
#[test]
fn a_diamond_reports_both_sides() {
    for wait in WAITS {
        for outer in [IN, IN_ET] {
            let sources = [eventfd(0), eventfd(0)];
            let inner = [0, 1].map(|i| Epoll::of(&sources[i], IN));
            let e0 = Epoll::new();
            inner.iter().for_each(|epoll| e0.add(epoll, outer));
            sources.iter().for_each(bump);
            assert_eq!(wait(&e0, 8, PATIENT).unwrap().len(), 2);
            let again = wait(&e0, 8, 0).unwrap().len();
            assert_eq!(again, if outer == IN { 2 } else { 0 });
        }
    }
}

/// Two threads wait, each at its end: how many were given an event of the source. Those that were not are let
/// go by a counter of their own once somebody was.
fn woken(ends: [&Epoll; 2], source: &OwnedFd) -> usize {
    let (count, stop) = (AtomicUsize::new(0), eventfd(0));
    ends[0].add(&stop, IN);
    if !std::ptr::eq(ends[0], ends[1]) {
        ends[1].add(&stop, IN);
    }
    scope(|s| {
        let waiters = ends.map(|end| {
            let (count, stop) = (&count, stop.as_raw_fd() as u64);
            s.spawn(move || {
                let events = end.next();
                assert!(!events.is_empty(), "nothing came");
                count.fetch_add(usize::from(events.iter().any(|event| event.1 != stop)), SeqCst);
            })
        });
        bump(source);
        let start = std::time::Instant::now();
        while count.load(SeqCst) == 0 {
            assert!(start.elapsed() < crate::PATIENCE, "nobody was woken");
            std::thread::yield_now();
        }
        // Long enough for another to be woken, most of the time; and if it is not, it sees both.
        std::thread::sleep(std::time::Duration::from_millis(2));
        bump(&stop);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
    for end in ends {
        let _ = end.ctl(netpoll::sys::epoll::CtlOp::Del, &stop, EpollFlags::empty());
    }
    count.load(SeqCst)
}

/// kselftest's two threads on one instance (9 to 16), on the outer one of two (21 to 32), and on one each (33
/// to 48).
#[test]
fn two_threads_and_one_event() {
    for _ in 0..20 {
        let source = eventfd(0);
        let e = Epoll::of(&source, IN);
        assert_eq!(woken([&e, &e], &source), 2, "the level is everybody's");

        let source = eventfd(0);
        let e = Epoll::of(&source, IN_ET);
        assert_eq!(woken([&e, &e], &source), 1, "an edge is one thread's");

        for (outer, inner) in [(IN, IN), (IN, IN_ET), (IN_ET, IN), (IN_ET, IN_ET)] {
            let source = eventfd(0);
            let e1 = Epoll::of(&source, inner);
            let e0 = Epoll::of(&e1, outer);
            assert_eq!(woken([&e0, &e0], &source), if outer == IN { 2 } else { 1 });

            let source = eventfd(0);
            let e1 = Epoll::of(&source, inner);
            let e0 = Epoll::of(&e1, outer);
            let both = woken([&e1, &e0], &source);
            // Who asks the inner one first may leave nothing to the outer one's thread.
            assert!(both == 2 || both == 1 && (outer, inner) != (IN, IN), "{both} of {outer:?}, {inner:?}");
        }

        let source = eventfd(0);
        let ends = [Epoll::of(&source, IN_ET), Epoll::of(&source, IN_ET)];
        assert_eq!(woken([&ends[0], &ends[1]], &source), 2, "an edge for each instance");
    }
}
