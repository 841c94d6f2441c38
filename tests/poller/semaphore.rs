//! The twelve transitions of a semaphore (nil, ready, wait, task), by what they do to a waiter. What
//! decides is whether a wait parks, returns, or goes on.

use crate::sched::{poll, spawn, spawn_to_gate};
use crate::{FD, poller};
use netpoll::poll::{Error, Mode, Side};
use netpoll::sys::epoll::EpollFlags;
use std::thread::scope;

const IN: EpollFlags = EpollFlags::IN;

#[test]
fn edge_wakes_a_parked_task_and_is_used_up() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    scope(|s| {
        // 1 nil -> wait, 3 wait -> task, 6 task -> ready, 11 ready -> nil
        let task = spawn(s, 7, || p.wait(pd, Mode::Read));
        assert!(task.settle());
        p.kernel().event(FD, IN);
        assert_eq!(poll(&p, 0), [7]);
        assert_eq!(task.join(), Ok(()));
        let again = spawn(s, 8, || p.wait(pd, Mode::Read));
        assert!(again.settle(), "the edge was used up by the first wait");
        p.unblock(pd).unwrap();
        assert_eq!(again.join(), Err(Error::Closing));
    });
    p.close(pd).unwrap();
}

#[test]
fn edge_before_the_wait_is_latched_and_used_once() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().event(FD, IN);
    assert!(poll(&p, 0).is_empty()); // 4 nil -> ready
    scope(|s| {
        assert_eq!(spawn(s, 1, || p.wait(pd, Mode::Read)).join(), Ok(())); // 2 ready -> nil
        let second = spawn(s, 2, || p.wait(pd, Mode::Read));
        assert!(second.settle());
        p.kernel().event(FD, IN);
        assert_eq!(poll(&p, 0), [2]);
        assert_eq!(second.join(), Ok(()));
    });
}

#[test]
fn edge_between_intent_and_commit_cancels_the_park() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    scope(|s| {
        let task = spawn_to_gate(s, 1, || p.wait(pd, Mode::Read));
        p.kernel().event(FD, IN);
        let (_, delta) = p.netpoll(0).unwrap(); // 5 wait -> ready
        assert_eq!(delta, 0, "nobody was parked, so nobody is handed back");
        task.open_gate();
        assert_eq!(task.join(), Ok(()));
        assert_eq!(p.waiters(), 0);
    });
}

#[test]
fn edges_coalesce() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    for _ in 0..3 {
        p.kernel().event(FD, IN);
        assert!(poll(&p, 0).is_empty()); // 7 ready -> ready
    }
    scope(|s| {
        assert_eq!(spawn(s, 1, || p.wait(pd, Mode::Read)).join(), Ok(()));
        let second = spawn(s, 2, || p.wait(pd, Mode::Read));
        assert!(second.settle(), "three edges are one");
        p.unblock(pd).unwrap();
        assert_eq!(second.join(), Err(Error::Closing));
    });
}

#[test]
fn close_between_intent_and_commit_cancels_the_park() {
    for mode in [Mode::Read, Mode::Write] {
        let p = poller();
        let pd = p.open(FD).unwrap();
        scope(|s| {
            let task = spawn_to_gate(s, 1, || p.wait(pd, mode));
            p.unblock(pd).unwrap(); // 8 wait -> nil
            task.open_gate();
            assert_eq!(task.join(), Err(Error::Closing));
        });
        assert_eq!(p.waiters(), 0);
    }
}

#[test]
fn deadline_between_intent_and_commit_cancels_the_park() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(5_000)).unwrap();
    scope(|s| {
        let task = spawn_to_gate(s, 1, || p.wait(pd, Mode::Read));
        p.kernel().advance(5_000);
        assert!(poll(&p, 0).is_empty()); // 8, from the timer
        task.open_gate();
        assert_eq!(task.join(), Err(Error::Timeout));
    });
    assert_eq!(p.waiters(), 0);
}

#[test]
fn deadline_set_into_the_past_wakes_a_parked_task() {
    for (mode, side) in [(Mode::Read, Side::Read), (Mode::Write, Side::Write), (Mode::Write, Side::Both)] {
        let p = poller();
        let pd = p.open(FD).unwrap();
        scope(|s| {
            let task = spawn(s, 1, || p.wait(pd, mode));
            assert!(task.settle());
            p.set_deadline(pd, side, Some(1)).unwrap(); // 9 task -> nil
            assert_eq!(task.join(), Err(Error::Timeout));
        });
        assert_eq!(p.waiters(), 0);
    }
}

#[test]
fn deadline_does_not_erase_a_latched_edge() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().event(FD, IN);
    poll(&p, 0);
    p.set_deadline(pd, Side::Both, Some(1)).unwrap(); // 10 ready stays
    scope(|s| {
        assert_eq!(spawn(s, 1, || p.wait(pd, Mode::Read)).join(), Err(Error::Timeout));
        p.set_deadline(pd, Side::Both, None).unwrap();
        assert_eq!(spawn(s, 2, || p.wait(pd, Mode::Read)).join(), Ok(()), "the edge is still there");
    });
}

#[test]
fn reset_forgets_an_edge() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().event(FD, IN);
    poll(&p, 0);
    p.reset(pd, Mode::Write).unwrap();
    p.reset(pd, Mode::Read).unwrap(); // 12 ready -> nil
    scope(|s| {
        let task = spawn(s, 1, || p.wait(pd, Mode::Read));
        assert!(task.settle());
        p.kernel().event(FD, IN);
        assert_eq!(poll(&p, 0), [1]);
        assert_eq!(task.join(), Ok(()));
    });
}

#[test]
fn reset_of_one_direction_keeps_the_other() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().event(FD, IN | EpollFlags::HUP);
    poll(&p, 0);
    p.reset(pd, Mode::Read).unwrap();
    scope(|s| assert_eq!(spawn(s, 1, || p.wait(pd, Mode::Write)).join(), Ok(())));
}

#[test]
fn edge_after_reset_stays() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.reset(pd, Mode::Read).unwrap();
    p.kernel().event(FD, IN);
    poll(&p, 0);
    scope(|s| assert_eq!(spawn(s, 1, || p.wait(pd, Mode::Read)).join(), Ok(())));
}

#[test]
fn directions_are_independent() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    scope(|s| {
        let reader = spawn(s, 1, || p.wait(pd, Mode::Read));
        let writer = spawn(s, 2, || p.wait(pd, Mode::Write));
        assert_eq!(p.waiters(), 2);
        p.kernel().event(FD, EpollFlags::OUT);
        assert_eq!(poll(&p, 0), [2]);
        assert_eq!(writer.join(), Ok(()));
        assert!(reader.settle());
        p.kernel().event(FD, IN);
        assert_eq!(poll(&p, 0), [1]);
        assert_eq!(reader.join(), Ok(()));
    });
    assert_eq!(p.waiters(), 0);
}

#[test]
fn second_waiter_in_one_direction_is_busy() {
    for mode in [Mode::Read, Mode::Write] {
        let p = poller();
        let pd = p.open(FD).unwrap();
        scope(|s| {
            let first = spawn(s, 1, || p.wait(pd, mode));
            assert_eq!(spawn(s, 2, || p.wait(pd, mode)).join(), Err(Error::Busy));
            assert_eq!(spawn(s, 3, || p.wait_canceled(pd, mode)).join(), Err(Error::Busy));
            assert!(first.settle());
            p.kernel().event(FD, IN | EpollFlags::OUT);
            assert_eq!(poll(&p, 0), [1]);
            assert_eq!(first.join(), Ok(()));
        });
        assert_eq!(p.waiters(), 0);
    }
}

/// The first of two waiters has been woken by its deadline but has not run yet, when the second parks:
/// running on, the first must not take the second's word out of the semaphore.
#[test]
fn woken_waiter_does_not_erase_its_successor() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    scope(|s| {
        let first = spawn_to_gate(s, 1, || p.wait(pd, Mode::Read));
        p.set_deadline(pd, Side::Read, Some(1)).unwrap();
        p.set_deadline(pd, Side::Read, None).unwrap();
        let second = spawn(s, 2, || p.wait(pd, Mode::Read));
        assert!(second.settle());
        first.open_gate();
        assert_eq!(first.join(), Err(Error::Busy));
        p.kernel().event(FD, IN);
        assert_eq!(poll(&p, 0), [2]);
        assert_eq!(second.join(), Ok(()));
    });
    assert_eq!(p.waiters(), 0);
}

#[test]
fn wait_canceled_is_deaf_to_deadline_and_close() {
    for mode in [Mode::Read, Mode::Write] {
        let p = poller();
        let pd = p.open(FD).unwrap();
        scope(|s| {
            let task = spawn(s, 1, || p.wait_canceled(pd, mode));
            p.set_deadline(pd, Side::Both, Some(1)).unwrap();
            assert!(task.settle(), "deaf to the deadline");
            p.unblock(pd).unwrap();
            assert!(task.settle(), "deaf to the close");
            p.kernel().event(FD, IN | EpollFlags::OUT);
            assert_eq!(poll(&p, 0), [1]);
            assert_eq!(task.join(), Ok(()));
        });
        assert_eq!(p.waiters(), 0);
        p.close(pd).unwrap();
    }
}

/// OUT is armed even though the close has begun, or the writer would sleep for ever.
#[test]
fn wait_canceled_that_begins_after_the_close_gets_its_edge() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().level(FD, EpollFlags::OUT);
    p.unblock(pd).unwrap();
    scope(|s| {
        let task = spawn(s, 1, || p.wait_canceled(pd, Mode::Write));
        assert_eq!(poll(&p, 0), [1]);
        assert_eq!(task.join(), Ok(()));
    });
    p.close(pd).unwrap();
}

/// I7: one for each parked task, none at rest; counted down only after the woken are runnable.
#[test]
fn waiters_are_counted_until_they_are_runnable() {
    let p = poller();
    assert!(!p.any_waiters());
    let pds: Vec<_> = (0..8).map(|i| p.open(FD + i).unwrap()).collect();
    scope(|s| {
        let p = &p;
        let tasks: Vec<_> =
            pds.iter().enumerate().map(|(i, &pd)| spawn(s, i, move || p.wait(pd, Mode::Read))).collect();
        assert_eq!(p.waiters(), 8);
        for i in 0..8 {
            p.kernel().event(FD + i, IN);
        }
        let (woken, delta) = p.netpoll(0).unwrap();
        assert_eq!(delta, -8);
        assert_eq!(p.waiters(), 8, "not runnable yet, so still waiting");
        woken.ready_all(p);
        p.adjust_waiters(delta);
        tasks.into_iter().for_each(|task| assert_eq!(task.join(), Ok(())));
    });
    assert!(!p.any_waiters());
}
