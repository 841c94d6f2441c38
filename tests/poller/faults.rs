//! Errors of `epoll_pwait`: the ones that mean "again", and the one that ends the poller.

use crate::fake::{Call, Fault};
use crate::sched::{poll, spawn, spawn_to_gate};
use crate::{FD, poller};
use netpoll::poll::{Error, Mode, Side};
use netpoll::sys::Errno;
use netpoll::sys::epoll::EpollFlags;
use std::thread::scope;

const GONE: Error = Error::Os(netpoll::sys::Call::EpollPwait, Errno::EBADF);

#[test]
fn eintr_ends_a_limited_wait_and_repeats_the_others() {
    let p = poller();
    p.open(FD).unwrap();
    for (delay, waits) in [(5_000, vec![5_000]), (0, vec![0, 0]), (-1, vec![-1, -1])] {
        p.kernel().calls();
        p.kernel().fail(Fault::Wait, Errno::EINTR);
        if delay < 0 {
            p.kernel().event(FD, EpollFlags::IN);
        }
        let before = p.kernel().now();
        assert!(poll(&p, delay).is_empty());
        assert_eq!(p.kernel().waits(), waits);
        assert_eq!(p.kernel().now(), before, "no time passed");
    }
}

#[test]
fn eintr_in_a_sleep_for_a_deadline_is_no_timeout() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(3_000)).unwrap();
    p.kernel().fail(Fault::Wait, Errno::EINTR);
    assert!(poll(&p, -1).is_empty());
    assert_eq!(p.reset(pd, Mode::Read), Ok(()));
    poll(&p, -1);
    assert_eq!(p.reset(pd, Mode::Read), Err(Error::Timeout));
}

/// Somebody closed the poller's descriptor. Every waiter, parked, deaf or on its way, learns it; so does
/// everybody who comes later; and nothing is leaked (the fake kernel checks that when it is dropped).
#[test]
fn lost_poller_fails_every_operation() {
    let p = poller();
    let pds: Vec<_> = (0..3).map(|i| p.open(FD + i).unwrap()).collect();
    p.kernel().hold();
    scope(|s| {
        let (p, pds) = (&p, &pds);
        let reader = spawn(s, 1, || p.wait(pds[0], Mode::Read));
        let writer = spawn(s, 2, || p.wait(pds[0], Mode::Write));
        let deaf = spawn(s, 3, || p.wait_canceled(pds[1], Mode::Read));
        let entering = spawn_to_gate(s, 4, || p.wait(pds[2], Mode::Read));
        let sleeper = s.spawn(|| p.netpoll(-1).map(drop));
        p.kernel().until_blocked(1);
        p.kernel().close_epoll();
        assert_eq!(sleeper.join().unwrap(), Err(GONE));
        entering.open_gate();
        for task in [reader, writer, deaf, entering] {
            assert_eq!(task.join(), Err(GONE));
        }
        assert_eq!(p.waiters(), 0);
        for mode in [Mode::Read, Mode::Write] {
            assert_eq!(p.reset(pds[0], mode), Err(GONE));
            assert_eq!(spawn(s, 5, move || p.wait(pds[0], mode)).join(), Err(GONE));
            assert_eq!(spawn(s, 6, move || p.wait_canceled(pds[0], mode)).join(), Err(GONE));
        }
    });
    assert_eq!(p.open(FD + 9).map(drop), Err(GONE));
    p.kernel().calls();
    assert_eq!(p.netpoll(0).map(drop), Err(GONE));
    assert_eq!(p.netpoll(-1).map(drop), Err(GONE));
    assert_eq!(p.kernel().waits(), [], "the number may be somebody else's by now");
    for pd in pds {
        p.unblock(pd).unwrap();
        p.close(pd).unwrap();
    }
}

#[test]
fn closing_and_timeout_come_before_the_failure() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(1)).unwrap();
    p.kernel().fail(Fault::Wait, Errno::EINVAL);
    assert_eq!(p.netpoll(0).map(drop), Err(Error::Os(netpoll::sys::Call::EpollPwait, Errno::EINVAL)));
    assert_eq!(p.reset(pd, Mode::Read), Err(Error::Timeout));
    assert_eq!(p.reset(pd, Mode::Write), Err(Error::Os(netpoll::sys::Call::EpollPwait, Errno::EINVAL)));
    p.unblock(pd).unwrap();
    assert_eq!(p.reset(pd, Mode::Write), Err(Error::Closing));
}

/// A poll that has somebody to hand back does so first, and deadlines go on working without epoll.
#[test]
fn deadlines_pass_in_a_lost_poller() {
    let p = poller();
    let (a, b) = (p.open(FD).unwrap(), p.open(FD + 1).unwrap());
    p.set_deadline(a, Side::Read, Some(2_000)).unwrap();
    p.set_deadline(b, Side::Write, Some(5_000)).unwrap();
    scope(|s| {
        let reader = spawn(s, 1, || p.wait(a, Mode::Read));
        p.kernel().advance(1_000);
        p.kernel().close_epoll();
        assert_eq!(poll(&p, -1), [1], "not lost with the poller");
        assert_eq!(reader.join(), Err(Error::Timeout));
    });
    p.kernel().advance(3_000);
    assert_eq!(p.netpoll(0).map(drop), Err(GONE));
    assert_eq!(p.reset(b, Mode::Write), Err(Error::Timeout));
}

/// A descriptor number that is no longer ours is not closed by us.
#[test]
fn lost_descriptor_is_not_closed_again() {
    let p = poller();
    p.init().unwrap();
    p.kernel().close_epoll();
    assert_eq!(p.netpoll(0).map(drop), Err(GONE));
    p.kernel().calls();
    drop(p); // the fake kernel refuses to close what is not open
}

/// The reuse of a slot after the failure must not hide it.
#[test]
fn failure_outlives_the_reuse_of_a_slot() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.unblock(pd).unwrap();
    p.close(pd).unwrap();
    p.kernel().close_epoll();
    assert_eq!(p.netpoll(0).map(drop), Err(GONE));
    p.kernel().calls();
    assert_eq!(p.open(FD).map(drop), Err(GONE));
    assert!(p.kernel().calls().iter().all(|call| !matches!(call, Call::Ctl(..))));
}
