//! Deadlines, and the sleep that ends at the next one. The clock is the fake kernel's: it stands at
//! 1,000 ns and moves when a wait sleeps or a test says so.

use crate::fake::Fault;
use crate::sched::{poll, spawn, spawn_to_gate};
use crate::{FD, Poller, poller};
use netpoll::poll::{Error, Mode, PollDesc, Side};
use netpoll::sys::Errno;
use netpoll::sys::epoll::EpollFlags;
use std::thread::scope;

fn wait(p: &Poller, pd: PollDesc, mode: Mode) -> Result<(), Error> {
    scope(|s| spawn(s, 0, || p.wait(pd, mode)).join())
}

#[test]
fn priority_is_closing_then_timeout_then_not_pollable() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().level(FD, EpollFlags::ERR);
    p.kernel().event(FD, EpollFlags::ERR);
    poll(&p, 0); // arms OUT
    poll(&p, 0); // the error is all there is
    let both = || (p.reset(pd, Mode::Read), p.reset(pd, Mode::Write));
    assert_eq!(both(), (Err(Error::NotPollable), Ok(())), "a writer's own call knows better");
    p.set_deadline(pd, Side::Read, Some(1)).unwrap();
    assert_eq!(both(), (Err(Error::Timeout), Ok(())));
    p.set_deadline(pd, Side::Write, Some(1)).unwrap();
    assert_eq!(both(), (Err(Error::Timeout), Err(Error::Timeout)));
    p.unblock(pd).unwrap();
    assert_eq!(both(), (Err(Error::Closing), Err(Error::Closing)));
    assert_eq!(wait(&p, pd, Mode::Read), Err(Error::Closing));
}

#[test]
fn expired_deadline_beats_ready_data_until_it_is_cleared() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().event(FD, EpollFlags::IN);
    poll(&p, 0);
    p.set_deadline(pd, Side::Read, Some(p.kernel().now())).unwrap();
    for _ in 0..3 {
        assert_eq!(p.reset(pd, Mode::Read), Err(Error::Timeout));
        assert_eq!(wait(&p, pd, Mode::Read), Err(Error::Timeout));
    }
    p.set_deadline(pd, Side::Read, None).unwrap();
    assert_eq!(wait(&p, pd, Mode::Read), Ok(()));
}

#[test]
fn sleep_ends_exactly_at_the_next_deadline() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(7_777)).unwrap();
    scope(|s| {
        let task = spawn(s, 1, || p.wait(pd, Mode::Read));
        p.kernel().calls();
        assert_eq!(poll(&p, -1), [1]);
        assert_eq!(p.kernel().waits(), [6_777]);
        assert_eq!(task.join(), Err(Error::Timeout));
    });
    assert_eq!(p.waiters(), 0);
}

#[test]
fn deadline_never_fires_early() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Both, Some(2_000)).unwrap();
    p.kernel().advance(999);
    assert!(poll(&p, 0).is_empty());
    assert_eq!((p.reset(pd, Mode::Read), p.reset(pd, Mode::Write)), (Ok(()), Ok(())));
    p.kernel().advance(1);
    assert!(poll(&p, 0).is_empty());
    assert_eq!(p.reset(pd, Mode::Read), Err(Error::Timeout));
    assert_eq!(p.reset(pd, Mode::Write), Err(Error::Timeout));
}

#[test]
fn shorter_delay_of_the_caller_wins() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(1_000_000)).unwrap();
    p.kernel().calls();
    assert!(poll(&p, 500).is_empty());
    assert!(poll(&p, i64::MAX).is_empty());
    assert_eq!(p.kernel().waits(), [500, 998_500]);
}

/// I5: the waiter was woken by its deadline, but finds it moved on when it runs.
#[test]
fn deadline_moved_on_before_the_task_runs_resumes_the_wait() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(2_000)).unwrap();
    scope(|s| {
        let task = spawn(s, 1, || p.wait(pd, Mode::Read));
        p.kernel().advance(1_000);
        let (woken, delta) = p.netpoll(0).unwrap();
        p.set_deadline(pd, Side::Read, Some(9_000)).unwrap();
        assert_eq!(woken.ready_all(&p), [1]);
        p.adjust_waiters(delta);
        assert!(task.settle(), "neither a timeout nor an edge: it waits on");
        assert_eq!(p.waiters(), 1);
        p.kernel().event(FD, EpollFlags::IN);
        assert_eq!(poll(&p, 0), [1]);
        assert_eq!(task.join(), Ok(()));
    });
}

#[test]
fn deadline_moved_on_in_front_of_the_park_resumes_the_wait() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    scope(|s| {
        let task = spawn_to_gate(s, 1, || p.wait(pd, Mode::Read));
        p.set_deadline(pd, Side::Read, Some(1)).unwrap();
        p.set_deadline(pd, Side::Read, Some(4_000)).unwrap();
        task.open_gate();
        assert!(task.settle());
        assert_eq!(poll(&p, -1), [1]);
        assert_eq!(task.join(), Err(Error::Timeout));
    });
}

/// I4, as far as one thread goes: whatever the order of changes, only the last one fires.
#[test]
fn only_the_last_of_many_deadlines_fires() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    for at in [5_000, 3_000, 8_000, 2_000, 9_000] {
        p.set_deadline(pd, Side::Read, Some(at)).unwrap();
    }
    for _ in 0..8 {
        if p.reset(pd, Mode::Read).is_err() {
            break;
        }
        assert!(poll(&p, -1).is_empty());
    }
    assert_eq!(p.reset(pd, Mode::Read), Err(Error::Timeout));
    assert_eq!(p.kernel().now(), 9_000);
}

/// Pushing an armed deadline back costs no heap work: the sleep ends once at the old time.
#[test]
fn deadline_pushed_back_wakes_the_poll_once_at_the_old_key() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(2_000)).unwrap();
    p.set_deadline(pd, Side::Read, Some(50_000)).unwrap();
    p.kernel().calls();
    assert!(poll(&p, -1).is_empty());
    assert_eq!(p.reset(pd, Mode::Read), Ok(()));
    assert!(poll(&p, -1).is_empty());
    assert_eq!(p.kernel().waits(), [1_000, 48_000]);
    assert_eq!(p.reset(pd, Mode::Read), Err(Error::Timeout));
}

/// Clearing is lazy: the poll may still end at that time, for nothing, but only once.
#[test]
fn cleared_deadline_wakes_the_poll_once_at_most() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    for side in [Side::Read, Side::Write, Side::Both] {
        p.set_deadline(pd, side, Some(p.kernel().now() + 1_000)).unwrap();
        p.set_deadline(pd, side, None).unwrap();
        p.kernel().calls();
        assert!(poll(&p, 100_000).is_empty());
        assert!(poll(&p, 100_000).is_empty());
        assert_eq!(p.kernel().waits(), [1_000, 100_000], "{side:?}");
        assert_eq!((p.reset(pd, Mode::Read), p.reset(pd, Mode::Write)), (Ok(()), Ok(())));
    }
}

/// Whether deadlines were set together or one by one, equal ones share a timer, and parting them
/// again leaves each with its own. What tells them apart: when sleeps end, and who times out.
#[test]
fn equal_deadlines_join_and_part() {
    const R: Side = Side::Read;
    const W: Side = Side::Write;
    type Steps = &'static [(Side, Option<i64>)];
    let cases: [(Steps, Option<i64>, Option<i64>); 14] = [
        (&[(Side::Both, Some(5_000))], Some(5_000), Some(5_000)),
        (&[(R, Some(5_000)), (W, Some(5_000))], Some(5_000), Some(5_000)),
        (&[(W, Some(5_000)), (R, Some(5_000))], Some(5_000), Some(5_000)),
        (&[(Side::Both, Some(5_000)), (R, Some(9_000))], Some(9_000), Some(5_000)),
        (&[(Side::Both, Some(5_000)), (W, Some(9_000))], Some(5_000), Some(9_000)),
        (&[(Side::Both, Some(5_000)), (R, Some(2_000))], Some(2_000), Some(5_000)),
        (&[(Side::Both, Some(5_000)), (W, Some(2_000))], Some(5_000), Some(2_000)),
        (&[(Side::Both, Some(5_000)), (R, None)], None, Some(5_000)),
        (&[(Side::Both, Some(5_000)), (W, None)], Some(5_000), None),
        (&[(Side::Both, Some(5_000)), (W, Some(1))], Some(5_000), Some(1_000)),
        (&[(R, Some(2_000)), (W, Some(5_000)), (R, Some(5_000))], Some(5_000), Some(5_000)),
        (&[(R, Some(2_000)), (W, Some(5_000)), (W, Some(2_000))], Some(2_000), Some(2_000)),
        (&[(R, Some(2_000)), (W, Some(5_000)), (Side::Both, Some(7_000))], Some(7_000), Some(7_000)),
        (&[(R, Some(2_000)), (W, Some(5_000)), (Side::Both, None)], None, None),
    ];
    for (steps, read, write) in cases {
        let p = poller();
        let pd = p.open(FD).unwrap();
        for &(side, at) in steps {
            p.set_deadline(pd, side, at).unwrap();
        }
        let mut seen = (None, None);
        for _ in 0..10 {
            let now = p.kernel().now();
            if p.reset(pd, Mode::Read).is_err() {
                seen.0.get_or_insert(now);
            }
            if p.reset(pd, Mode::Write).is_err() {
                seen.1.get_or_insert(now);
            }
            assert!(poll(&p, 1_000).is_empty());
        }
        assert_eq!(seen, (read, write), "{steps:?}");
    }
}

/// One timer for both: one sleep, one expiry, both waiters.
#[test]
fn shared_deadline_wakes_both_directions_at_once() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Both, Some(5_000)).unwrap();
    scope(|s| {
        let reader = spawn(s, 1, || p.wait(pd, Mode::Read));
        let writer = spawn(s, 2, || p.wait(pd, Mode::Write));
        assert_eq!(poll(&p, -1), [1, 2]);
        assert_eq!((reader.join(), writer.join()), (Err(Error::Timeout), Err(Error::Timeout)));
    });
}

#[test]
fn close_stops_the_timers() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(2_000)).unwrap();
    p.set_deadline(pd, Side::Write, Some(3_000)).unwrap();
    p.unblock(pd).unwrap();
    assert_eq!(p.set_deadline(pd, Side::Both, Some(4_000)), Err(Error::Closing));
    assert_eq!(p.set_deadline(pd, Side::Both, None), Err(Error::Closing));
    p.kernel().calls();
    poll(&p, 100_000);
    poll(&p, 100_000);
    assert_eq!(p.kernel().waits(), [1_000, 100_000], "at most one wake for nothing");
    p.close(pd).unwrap();
}

#[test]
fn new_owner_of_a_slot_inherits_no_deadline() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(1)).unwrap();
    p.set_deadline(pd, Side::Write, Some(5_000)).unwrap();
    p.unblock(pd).unwrap();
    p.close(pd).unwrap();
    let pd = p.open(FD + 1).unwrap();
    poll(&p, 10_000);
    assert_eq!((p.reset(pd, Mode::Read), p.reset(pd, Mode::Write)), (Ok(()), Ok(())));
}

#[test]
fn timed_out_come_before_those_with_events() {
    let p = poller();
    let pds: Vec<_> = (0..3).map(|i| p.open(FD + i).unwrap()).collect();
    p.set_deadline(pds[2], Side::Read, Some(2_000)).unwrap();
    scope(|s| {
        let p = &p;
        let tasks: Vec<_> =
            pds.iter().enumerate().map(|(i, &pd)| spawn(s, i, move || p.wait(pd, Mode::Read))).collect();
        p.kernel().event(FD, EpollFlags::IN);
        p.kernel().event(FD + 1, EpollFlags::IN);
        p.kernel().advance(5_000);
        p.kernel().calls();
        assert_eq!(poll(p, -1), [2, 0, 1]);
        assert_eq!(p.kernel().waits(), [0], "somebody is woken already, so no sleep");
        let ended: Vec<_> = tasks.into_iter().map(|task| task.join()).collect();
        assert_eq!(ended, [Ok(()), Ok(()), Err(Error::Timeout)]);
    });
}

#[test]
fn earlier_deadline_interrupts_a_sleep_and_a_later_one_does_not() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().hold();
    p.set_deadline(pd, Side::Write, Some(1_000_000)).unwrap();
    p.kernel().calls();
    scope(|s| {
        let reader = spawn(s, 1, || p.wait(pd, Mode::Read));
        let sleeper = s.spawn(|| {
            // The break ends the first; the second sleeps until the deadline that was set meanwhile.
            (poll(&p, -1), poll(&p, -1))
        });
        p.kernel().until_blocked(1);
        p.set_deadline(pd, Side::Write, Some(2_000_000)).unwrap();
        assert!(p.kernel().calls().iter().all(|call| !matches!(call, crate::fake::Call::EventfdWrite(_))));
        p.set_deadline(pd, Side::Read, Some(4_000)).unwrap();
        p.kernel().advance(3_000);
        assert_eq!(reader.finish(), Err(Error::Timeout));
        assert_eq!(sleeper.join().unwrap(), (vec![], vec![1]));
    });
}

/// The heap cannot grow: the side that failed has no deadline, the other is as it was, and a sleeper
/// hears of what did succeed.
#[test]
fn no_memory_for_the_timer_heap() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().fail(Fault::Map, Errno::ENOMEM);
    assert_eq!(
        p.set_deadline(pd, Side::Read, Some(5_000)),
        Err(Error::Os(netpoll::sys::Call::Mmap, Errno::ENOMEM))
    );
    poll(&p, 10_000);
    assert_eq!(p.reset(pd, Mode::Read), Ok(()));
    p.set_deadline(pd, Side::Read, Some(20_000)).unwrap();
    poll(&p, -1);
    assert_eq!(p.reset(pd, Mode::Read), Err(Error::Timeout));
}

/// The heap is full but for one entry when both timers of a descriptor are wanted.
#[test]
fn failed_half_of_a_deadline_leaves_the_other_half() {
    const PAGE: i32 = 256; // entries of the heap's first mapping
    let p = poller();
    let fill: Vec<_> = (0..PAGE - 1).map(|i| p.open(FD + 1 + i).unwrap()).collect();
    let pd = p.open(FD).unwrap();
    for pd in fill {
        p.set_deadline(pd, Side::Read, Some(1_000_000)).unwrap();
    }
    // The write deadline takes the last place. An equal read deadline then wants the other timer.
    p.set_deadline(pd, Side::Write, Some(5_000)).unwrap();
    p.kernel().fail(Fault::Map, Errno::ENOMEM);
    assert_eq!(
        p.set_deadline(pd, Side::Read, Some(5_000)),
        Err(Error::Os(netpoll::sys::Call::Mmap, Errno::ENOMEM))
    );
    p.kernel().calls();
    poll(&p, -1);
    assert_eq!(p.kernel().waits(), [4_000]);
    assert_eq!(p.reset(pd, Mode::Read), Ok(()), "no read deadline");
    assert_eq!(p.reset(pd, Mode::Write), Err(Error::Timeout), "the write deadline stood");
}

/// The heap is full when a deadline is to come earlier, for which it needs a new entry.
#[test]
fn earlier_deadline_without_memory_leaves_none() {
    const PAGE: i32 = 256;
    let p = poller();
    let fill: Vec<_> = (0..PAGE - 1).map(|i| p.open(FD + 1 + i).unwrap()).collect();
    let pd = p.open(FD).unwrap();
    for pd in fill {
        p.set_deadline(pd, Side::Read, Some(1_000_000)).unwrap();
    }
    p.set_deadline(pd, Side::Both, Some(900_000)).unwrap(); // one timer, the last place
    p.kernel().fail(Fault::Map, Errno::ENOMEM);
    assert_eq!(
        p.set_deadline(pd, Side::Read, Some(4_000)),
        Err(Error::Os(netpoll::sys::Call::Mmap, Errno::ENOMEM))
    );
    p.kernel().advance(899_000);
    poll(&p, 0);
    assert_eq!(p.reset(pd, Mode::Read), Ok(()), "no read deadline");
    assert_eq!(p.reset(pd, Mode::Write), Err(Error::Timeout), "the writer's got the place");
}

#[test]
fn far_future_deadline_is_no_overflow() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.set_deadline(pd, Side::Read, Some(i64::MAX - 1)).unwrap();
    p.set_deadline(pd, Side::Write, Some(i64::MAX)).unwrap();
    p.kernel().calls();
    assert!(poll(&p, 1_000).is_empty());
    assert_eq!(p.kernel().waits(), [1_000]);
    assert_eq!((p.reset(pd, Mode::Read), p.reset(pd, Mode::Write)), (Ok(()), Ok(())));
}

/// The clock costs a call where there is no vDSO: none without timers, one in a poll that sleeps not.
#[test]
fn clock_is_read_only_as_often_as_needed() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().clock_reads();
    poll(&p, 0);
    poll(&p, 1_000);
    assert_eq!(p.kernel().clock_reads(), 0, "no timer");
    p.set_deadline(pd, Side::Read, Some(1_000_000)).unwrap();
    p.kernel().clock_reads();
    poll(&p, 0);
    assert_eq!(p.kernel().clock_reads(), 1, "no sleep, so no time has passed");
    poll(&p, 1_000);
    assert_eq!(p.kernel().clock_reads(), 2, "before and after the sleep");
}
