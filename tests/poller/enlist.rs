//! Waiters that do not park on the descriptor: what takes an enlisted word out, and what it leaves.

use crate::fake::Fault;
use crate::sched::{Enlisted, poll, spawn};
use crate::{FD, Poller, latched, poller};
use netpoll::poll::{Error, Mode, PollDesc, Side};
use netpoll::sys::epoll::EpollFlags;
use netpoll::sys::{Call, Errno};
use std::thread::scope;

const IN: EpollFlags = EpollFlags::IN;

/// A waiter that is in.
fn enlist(p: &Poller, pd: PollDesc, mode: Mode, id: usize) -> Enlisted {
    let waiter = Enlisted::new(id);
    assert_eq!(p.enlist(pd, mode, waiter.word()), Ok(true));
    waiter
}

/// A waiter that stays out.
fn refused(p: &Poller, pd: PollDesc, mode: Mode) -> Result<bool, Error> {
    let waiter = Enlisted::new(0);
    let result = p.enlist(pd, mode, waiter.word());
    waiter.forget_word();
    result
}

#[test]
fn an_edge_takes_the_word_and_stays_latched() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    let waiter = enlist(&p, pd, Mode::Read, 7); // nil -> word
    assert_eq!(p.waiters(), 1);
    p.kernel().event(FD, IN);
    let (woken, delta) = p.netpoll(0).unwrap(); // word -> ready
    assert_eq!((p.waiters(), delta), (1, -1), "until it is runnable");
    assert_eq!(woken.ready_all(&p), [7]);
    p.adjust_waiters(delta);
    assert!(waiter.is_readied());
    assert!(!p.withdraw(pd, Mode::Read, waiter.word()).unwrap());
    assert_eq!(p.waiters(), 0);
    assert!(latched(&p, pd), "whoever was woken by it has not used it up");
    assert!(!latched(&p, pd));
}

#[test]
fn a_word_is_taken_back_and_edges_come_later() {
    for mode in [Mode::Read, Mode::Write] {
        let p = poller();
        let pd = p.open(FD).unwrap();
        let waiter = enlist(&p, pd, mode, 1);
        assert!(p.withdraw(pd, mode, waiter.word()).unwrap()); // word -> nil
        assert_eq!(p.waiters(), 0);
        assert!(!p.withdraw(pd, mode, waiter.word()).unwrap(), "once");
        assert_eq!(p.waiters(), 0);
        waiter.forget_word();
        p.kernel().event(FD, IN | EpollFlags::OUT);
        assert!(poll(&p, 0).is_empty(), "nobody is in");
        scope(|s| assert_eq!(spawn(s, 1, || p.wait(pd, mode)).join(), Ok(())));
    }
}

#[test]
fn an_edge_before_keeps_the_word_out() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().event(FD, IN);
    poll(&p, 0);
    assert_eq!(refused(&p, pd, Mode::Read), Ok(false)); // ready stays
    assert_eq!(p.waiters(), 0);
    assert_eq!(p.take_edge(pd, Mode::Read), Ok(true)); // ready -> nil
    let waiter = enlist(&p, pd, Mode::Read, 1);
    assert!(p.withdraw(pd, Mode::Read, waiter.word()).unwrap());
    waiter.forget_word();
}

#[test]
fn a_close_takes_the_words_of_both_directions() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    let waiters = [Mode::Read, Mode::Write].map(|mode| (mode, enlist(&p, pd, mode, 1)));
    assert_eq!(p.waiters(), 2);
    p.unblock(pd).unwrap(); // word -> nil
    assert_eq!(p.waiters(), 0);
    for (mode, waiter) in waiters {
        assert!(waiter.is_readied());
        assert!(!p.withdraw(pd, mode, waiter.word()).unwrap());
        assert_eq!(refused(&p, pd, mode), Err(Error::Closing));
        assert_eq!(p.take_edge(pd, mode), Err(Error::Closing));
    }
    assert_eq!(p.waiters(), 0);
    p.close(pd).unwrap();
}

#[test]
fn a_deadline_takes_the_word() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    let waiter = enlist(&p, pd, Mode::Read, 3);
    p.set_deadline(pd, Side::Read, Some(5_000)).unwrap();
    p.kernel().advance(5_000);
    assert_eq!(poll(&p, 0), [3]); // word -> nil, from the timer
    assert!(!p.withdraw(pd, Mode::Read, waiter.word()).unwrap());
    assert_eq!(refused(&p, pd, Mode::Read), Err(Error::Timeout));
    p.set_deadline(pd, Side::Read, None).unwrap();
    assert!(!latched(&p, pd), "it is no edge");
    let waiter = enlist(&p, pd, Mode::Write, 4);
    p.set_deadline(pd, Side::Write, Some(1)).unwrap(); // the same, at once
    assert!(waiter.is_readied());
    assert!(!p.withdraw(pd, Mode::Write, waiter.word()).unwrap());
    assert_eq!(refused(&p, pd, Mode::Write), Err(Error::Timeout));
    assert_eq!(p.waiters(), 0);
}

#[test]
fn the_poller_s_failure_takes_the_word() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    let waiter = enlist(&p, pd, Mode::Read, 1);
    p.kernel().fail(Fault::Wait, Errno::EINVAL);
    let failure = Error::Os(Call::EpollPwait, Errno::EINVAL);
    assert_eq!(p.netpoll(0).map(drop), Err(failure));
    assert!(waiter.is_readied());
    assert!(!p.withdraw(pd, Mode::Read, waiter.word()).unwrap());
    assert_eq!(refused(&p, pd, Mode::Read), Err(failure));
    assert_eq!(p.waiters(), 0);
}

#[test]
fn one_waiter_a_direction_parked_or_enlisted() {
    for (mode, other) in [(Mode::Read, Mode::Write), (Mode::Write, Mode::Read)] {
        let p = poller();
        let pd = p.open(FD).unwrap();
        let first = enlist(&p, pd, mode, 1);
        assert_eq!(refused(&p, pd, mode), Err(Error::Busy));
        scope(|s| {
            assert_eq!(spawn(s, 2, || p.wait(pd, mode)).join(), Err(Error::Busy));
            let parked = spawn(s, 3, || p.wait(pd, other));
            assert!(parked.settle(), "the directions are independent");
            assert_eq!(refused(&p, pd, other), Err(Error::Busy));
            assert_eq!(p.waiters(), 2);
            p.kernel().event(FD, IN | EpollFlags::OUT);
            let mut woken = poll(&p, 0);
            woken.sort();
            assert_eq!(woken, [1, 3]);
            assert_eq!(parked.join(), Ok(()));
        });
        assert!(first.is_readied());
        assert_eq!(p.waiters(), 0);
    }
}

#[test]
fn writing_is_watched_from_the_first_time_on() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().level(FD, EpollFlags::OUT);
    p.kernel().fail(Fault::Mod, Errno::ENOMEM);
    assert_eq!(refused(&p, pd, Mode::Write), Err(Error::Os(Call::EpollCtl, Errno::ENOMEM)));
    assert_eq!(p.waiters(), 0);
    p.watch(pd, Mode::Read).unwrap();
    assert!(poll(&p, 0).is_empty());
    let waiter = enlist(&p, pd, Mode::Write, 5);
    assert_eq!(poll(&p, 0), [5], "what holds already is an edge");
    assert!(waiter.is_readied());
    p.kernel().calls(); // those so far
    p.watch(pd, Mode::Write).unwrap();
    assert_eq!(p.take_edge(pd, Mode::Write), Ok(true));
    let waiter = enlist(&p, pd, Mode::Write, 5);
    assert!(p.withdraw(pd, Mode::Write, waiter.word()).unwrap());
    waiter.forget_word();
    assert_eq!(p.kernel().calls(), [], "once");
}

#[test]
fn take_edge_tells_what_reset_forgets() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    assert_eq!(p.take_edge(pd, Mode::Read), Ok(false));
    p.kernel().event(FD, IN);
    poll(&p, 0);
    assert_eq!(p.take_edge(pd, Mode::Write), Ok(false));
    assert_eq!(p.take_edge(pd, Mode::Read), Ok(true)); // ready -> nil
    assert_eq!(p.take_edge(pd, Mode::Read), Ok(false));
    let waiter = enlist(&p, pd, Mode::Read, 1);
    assert_eq!(p.take_edge(pd, Mode::Read), Ok(false));
    assert!(p.withdraw(pd, Mode::Read, waiter.word()).unwrap(), "it is still in");
    waiter.forget_word();
    p.set_deadline(pd, Side::Both, Some(1)).unwrap();
    assert_eq!(p.take_edge(pd, Mode::Read), Err(Error::Timeout));
}

#[test]
fn dumps_see_the_word() {
    use netpoll::poll::Waiter;
    let p = poller();
    let pd = p.open(FD).unwrap();
    let waiter = enlist(&p, pd, Mode::Write, 1);
    let mut seen = Vec::new();
    p.for_each_waiter(|word, fd, mode| seen.push((word, fd, mode)));
    assert_eq!(seen, [(waiter.word().into_word(), FD, Mode::Write)]);
    assert!(p.withdraw(pd, Mode::Write, waiter.word()).unwrap());
    waiter.forget_word();
}
