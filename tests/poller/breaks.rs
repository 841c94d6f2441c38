//! Break: one wake-up for many calls, never lost, whoever meets its edge.

use crate::fake::{Call, Fault};
use crate::poller;
use crate::sched::poll;
use netpoll::poll::Error;
use netpoll::sys::Errno;
use netpoll::sys::epoll::EpollFlags;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::scope;

const WRITE: Call = Call::EventfdWrite(4);

fn writes(calls: &[Call]) -> usize {
    calls.iter().filter(|&&call| call == WRITE).count()
}

#[test]
fn breaks_coalesce_until_a_poll_answers() {
    let p = poller();
    for _ in 0..3 {
        p.kernel().calls();
        (0..5).for_each(|_| p.break_().unwrap());
        assert_eq!(writes(&p.kernel().calls()), 1);
        poll(&p, -1); // would fail the test by sleeping for ever if the break were lost
    }
}

#[test]
fn break_before_the_wait_is_not_lost() {
    let p = poller();
    p.break_().unwrap();
    p.kernel().calls();
    assert!(poll(&p, -1).is_empty());
    assert_eq!(p.kernel().calls(), [Call::Wait(0)]);
    p.kernel().calls();
    poll(&p, 5_000);
    assert_eq!(p.kernel().calls(), [Call::Wait(5_000)], "and answered once");
}

#[test]
fn break_interrupts_a_sleeper() {
    let p = poller();
    p.kernel().hold();
    for delay in [-1, 1_000_000] {
        scope(|s| {
            let sleeper = s.spawn(|| poll(&p, delay));
            p.kernel().until_blocked(1);
            p.break_().unwrap();
            assert!(sleeper.join().unwrap().is_empty());
        });
    }
}

/// A poll that does not block takes the edge while another thread sleeps: it gives the edge back.
#[test]
fn break_eaten_by_a_non_blocking_poll_reaches_the_sleeper() {
    let p = poller();
    p.kernel().hold();
    scope(|s| {
        // In whichever order the two threads come, the sleeper must return in the end.
        for _ in 0..200 {
            let sleeper = s.spawn(|| poll(&p, -1));
            p.kernel().until_blocked(1);
            p.break_().unwrap();
            for _ in 0..20 {
                poll(&p, 0);
            }
            assert!(sleeper.join().unwrap().is_empty());
        }
    });
}

/// Nobody sleeps when a non-blocking poll takes the edge: the next sleeper finds the flag instead.
#[test]
fn break_eaten_by_a_non_blocking_poll_stops_the_next_sleeper() {
    let p = poller();
    p.break_().unwrap();
    poll(&p, 0);
    p.kernel().calls();
    poll(&p, -1);
    assert_eq!(p.kernel().calls(), [Call::Wait(0)]);
}

#[test]
fn break_is_not_read() {
    // The kernel trait has no read: all there is to see is one write a break, and nothing else.
    let p = poller();
    p.init().unwrap();
    p.kernel().calls();
    p.break_().unwrap();
    poll(&p, -1);
    assert_eq!(p.kernel().calls(), [WRITE, Call::Wait(0)]);
}

#[test]
fn break_without_descriptors_or_waiters() {
    let p = poller();
    p.break_().unwrap();
    assert!(poll(&p, -1).is_empty());
    assert!(!p.any_waiters());
}

#[test]
fn interrupted_write_is_repeated() {
    let p = poller();
    p.kernel().fail(Fault::EventfdWrite, Errno::EINTR);
    p.kernel().fail(Fault::EventfdWrite, Errno::EINTR);
    p.break_().unwrap();
    assert_eq!(writes(&p.kernel().calls()), 3);
    assert_eq!(p.kernel().pending(), 1);
}

#[test]
fn full_counter_is_no_error() {
    let p = poller();
    p.kernel().fail(Fault::EventfdWrite, Errno::EAGAIN);
    assert_eq!(p.break_(), Ok(()));
    assert_eq!(writes(&p.kernel().calls()), 1);
}

/// Somebody closed the eventfd: the caller learns that the sleeper does not.
#[test]
fn break_that_cannot_be_delivered_is_an_error() {
    let p = poller();
    p.kernel().fail(Fault::EventfdWrite, Errno::EBADF);
    assert_eq!(p.break_(), Err(Error::Os(netpoll::sys::Call::Write, Errno::EBADF)));
}

#[test]
fn break_between_events_loses_neither() {
    let p = poller();
    let pds = [p.open(100).unwrap(), p.open(101).unwrap()];
    p.kernel().event(100, EpollFlags::IN);
    p.break_().unwrap();
    p.kernel().event(101, EpollFlags::IN);
    poll(&p, -1);
    assert!(pds.iter().all(|&pd| crate::latched(&p, pd)));
}

/// Sleepers that come and go while others break and poll: every break is answered.
#[test]
fn no_break_is_lost_among_threads() {
    const ROUNDS: usize = 20_000;
    let p = poller();
    p.kernel().hold();
    let (work, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    scope(|s| {
        let (p, work, done) = (&p, &work, &done);
        let busy = s.spawn(move || {
            while !done.load(SeqCst) {
                poll(p, 0);
                std::thread::yield_now();
            }
        });
        let sleeper = s.spawn(move || {
            let mut seen = 0;
            while seen < ROUNDS {
                poll(p, -1); // fails the test if it sleeps past a break
                seen += work.swap(0, SeqCst);
            }
        });
        for _ in 0..ROUNDS {
            work.fetch_add(1, SeqCst);
            p.break_().unwrap();
        }
        sleeper.join().unwrap();
        done.store(true, SeqCst);
        busy.join().unwrap();
    });
}
