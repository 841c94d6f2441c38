//! Handles that name nothing any more, or nothing here: every operation refuses them, and the owner of the slot notices
//! nothing.

use crate::fake::{Call, Fault, del};
use crate::sched::pthread::Mutex;
use crate::sched::{Enlisted, Task, poll, spawn, spawn_to_gate};
use crate::{FD, Poller, latched, poller};
use netpoll::poll::{Error, Mode, PollDesc, Side};
use netpoll::sys::Errno;
use netpoll::sys::epoll::EpollFlags;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{scope, yield_now};

const IN: EpollFlags = EpollFlags::IN;

/// An operation, by name. What it returns but an error does not matter here.
type Operation = (&'static str, fn(&Poller, PollDesc, NonNull<Task>) -> Result<(), Error>);

/// Everything that takes a handle.
const OPERATIONS: [Operation; 17] = [
    ("fd", |p, pd, _| p.fd(pd).map(drop)),
    ("check", |p, pd, _| p.check(pd, Mode::Read)),
    ("has_edge", |p, pd, _| p.has_edge(pd, Mode::Read).map(drop)),
    ("hangup_seen", |p, pd, _| p.hangup_seen(pd).map(drop)),
    ("reset", |p, pd, _| p.reset(pd, Mode::Read)),
    ("take_edge", |p, pd, _| p.take_edge(pd, Mode::Read).map(drop)),
    ("wait to read", |p, pd, _| p.wait(pd, Mode::Read)),
    ("wait to write", |p, pd, _| p.wait(pd, Mode::Write)),
    ("wait_canceled", |p, pd, _| p.wait_canceled(pd, Mode::Read)),
    ("watch", |p, pd, _| p.watch(pd, Mode::Write)),
    ("enlist", |p, pd, waiter| p.enlist(pd, Mode::Read, waiter).map(drop)),
    ("withdraw", |p, pd, waiter| p.withdraw(pd, Mode::Read, waiter).map(drop)),
    ("set_deadline in the past", |p, pd, _| p.set_deadline(pd, Side::Both, Some(1))),
    ("set_deadline", |p, pd, _| p.set_deadline(pd, Side::Read, Some(9_000))),
    ("set_deadline to none", |p, pd, _| p.set_deadline(pd, Side::Both, None)),
    ("unblock", |p, pd, _| p.unblock(pd)),
    ("close", |p, pd, _| p.close(pd)),
];

/// Tries everything with `pd`, which must be refused, and make no system call.
fn is_refused(p: &Poller, pd: PollDesc, why: &str) {
    let waiter = Enlisted::new(0);
    p.kernel().calls();
    for (name, operation) in OPERATIONS {
        assert_eq!(operation(p, pd, waiter.word()), Err(Error::Closing), "{name}, {why}");
    }
    assert_eq!(p.kernel().calls(), [], "{why}");
    waiter.forget_word();
}

/// Tries everything with `strange`, while `pd` has an edge, a deadline, a reader and a writer.
fn is_refused_beside(p: &Poller, pd: PollDesc, strange: PollDesc, why: &str) {
    let fd = p.fd(pd).unwrap();
    p.kernel().event(fd, IN);
    poll(p, 0);
    is_refused(p, strange, why);
    assert_eq!(p.take_edge(pd, Mode::Read), Ok(true), "its edge is still there");

    p.set_deadline(pd, Side::Read, Some(p.kernel().now() + 1_000)).unwrap();
    scope(|s| {
        let waits = [Mode::Read, Mode::Write].map(|mode| spawn(s, mode as usize, move || p.wait(pd, mode)));
        is_refused(p, strange, why);
        assert_eq!(p.waiters(), 2);
        assert!(waits.iter().all(|wait| wait.settle()));
        assert_eq!(poll(p, -1), [Mode::Read as usize], "at its deadline, and not before");
        p.kernel().event(fd, EpollFlags::OUT);
        assert_eq!(poll(p, 0), [Mode::Write as usize]);
        let [reader, writer] = waits;
        assert_eq!((reader.join(), writer.join()), (Err(Error::Timeout), Ok(())));
    });
    p.set_deadline(pd, Side::Both, None).unwrap();
    assert_eq!(p.waiters(), 0);
}

/// Two pollers, whose slots have the same numbers and generations.
#[test]
fn handle_of_another_poller() {
    let (a, b) = (poller(), poller());
    let (of_a, of_b) = (a.open(FD).unwrap(), b.open(FD).unwrap());
    assert_eq!(of_a.id(), of_b.id(), "they differ in nothing else");
    assert_ne!(of_a, of_b);
    is_refused_beside(&a, of_a, of_b, "of b");
    is_refused_beside(&b, of_b, of_a, "of a");
    let none = poller();
    is_refused(&none, of_a, "a poller that has nothing");
}

#[test]
fn handle_that_outlives_its_poller() {
    let gone = poller().open(FD).unwrap();
    for _ in 0..3 {
        // Where the first one was, with its memory, perhaps.
        let p = poller();
        let pd = p.open(FD).unwrap();
        assert_eq!(pd.id(), gone.id());
        is_refused_beside(&p, pd, gone, "of a poller that is gone");
    }
}

/// The poller may be moved, and knows its handles still.
#[test]
fn poller_that_moves() {
    let (p, mut others) = (poller(), vec![poller(), poller()]);
    let pd = p.open(FD).unwrap();
    let strange = others[0].open(FD).unwrap();
    others.push(p);
    others.swap(0, 2);
    is_refused_beside(&others[0], pd, strange, "of the one that was here");
}

#[test]
fn handle_that_was_closed() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    assert_eq!(p.close(pd), Ok(()));
    is_refused(&p, pd, "closed");
    assert_eq!(p.kernel().registered(), 1, "the break's alone");
}

#[test]
fn handle_whose_slot_has_a_new_owner() {
    let p = poller();
    let mut old = Vec::new();
    for _ in 0..5 {
        let pd = p.open(FD).unwrap();
        assert_eq!(pd.id() as u32, 0, "the slot is used again");
        for &old in &old {
            is_refused_beside(&p, pd, old, "of a former owner");
        }
        p.close(pd).unwrap();
        old.push(pd);
    }
}

/// Numbers that are none of an owner's: of slots that never were, and generations to come.
#[test]
fn handle_of_a_made_up_number() {
    let p = poller();
    is_refused(&p, p.desc(1 << 32), "nothing is open");
    let pd = p.open(FD).unwrap();
    assert_eq!(p.desc(pd.id()), pd);
    for id in [0, 1, 1 << 32 | 1, 1 << 32 | 31, 1 << 32 | 32, 2 << 32, u64::MAX, u32::MAX.into(), 1 << 63] {
        is_refused_beside(&p, pd, p.desc(id), "made up");
    }
}

/// Closed twice, the slot would be in the free list twice, and the next two owners have it both.
#[test]
fn slot_closed_twice_has_one_owner() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.unblock(pd).unwrap();
    assert_eq!(p.unblock(pd), Err(Error::Closing));
    p.close(pd).unwrap();
    assert_eq!(p.close(pd), Err(Error::Closing));
    let (a, b) = (p.open(FD).unwrap(), p.open(FD + 1).unwrap());
    assert_eq!((a.id() as u32, b.id() as u32), (0, 1));
    assert_eq!((p.fd(a), p.fd(b)), (Ok(FD), Ok(FD + 1)));
}

#[test]
fn threads_that_close_at_once() {
    const THREADS: usize = 4;
    let p = poller();
    for _ in 0..500 {
        let pd = p.open(FD).unwrap();
        let here = AtomicUsize::new(0);
        let close = || {
            here.fetch_add(1, SeqCst);
            while here.load(SeqCst) < THREADS {
                yield_now();
            }
            p.close(pd)
        };
        let results = scope(|s| {
            let threads = [(); THREADS].map(|()| s.spawn(close));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(results.iter().all(|&result| result == Ok(()) || result == Err(Error::Closing)));
        assert_eq!(p.kernel().calls().iter().filter(|&&call| call == del(FD)).count(), 1);
    }
    let ids = [0, 1].map(|i| p.open(FD + i).unwrap().id() as u32);
    assert_eq!(ids, [0, 1], "each slot is free once");
}

/// Nobody has called `unblock` before: the close sends everybody away, and the deaf, too.
#[test]
fn close_alone_ends_every_wait() {
    for deaf in [false, true] {
        let p = poller();
        let pd = p.open(FD).unwrap();
        let wait = |mode| if deaf { p.wait_canceled(pd, mode) } else { p.wait(pd, mode) };
        scope(|s| {
            let reader = spawn(s, 1, || wait(Mode::Read));
            let writer = spawn(s, 2, || wait(Mode::Write));
            let before = spawn(s, 3, || wait(Mode::Write));
            assert_eq!(before.join(), Err(Error::Busy));
            p.close(pd).unwrap();
            assert_eq!((reader.join(), writer.join()), (Err(Error::Closing), Err(Error::Closing)));
        });
        assert_eq!(p.waiters(), 0);
    }
    let p = poller();
    let pd = p.open(FD).unwrap();
    let waiter = Enlisted::new(7);
    p.enlist(pd, Mode::Read, waiter.word()).unwrap();
    p.close(pd).unwrap();
    assert!(waiter.is_readied());
    assert_eq!(p.withdraw(pd, Mode::Read, waiter.word()), Err(Error::Closing), "the close has taken it out");
    assert_eq!(p.waiters(), 0);
}

/// A task has begun to wait, and not parked yet, when its registration is closed and another one opened. The slot is its
/// own until it has left.
#[test]
fn slot_is_kept_from_the_next_owner_while_it_has_a_user() {
    let world = poller();
    let p = &world;
    let old = p.open(FD).unwrap();
    scope(|s| {
        let task = spawn_to_gate(s, 1, || p.wait(old, Mode::Read));
        p.close(old).unwrap();
        let new = p.open(FD).unwrap(); // the number is free already
        assert_eq!(new.id() as u32, 1, "another slot");
        is_refused_beside(p, new, old, "closed, and in use");
        let next = spawn(s, 2, move || p.wait(new, Mode::Read));
        task.open_gate();
        assert_eq!(task.join(), Err(Error::Closing));
        p.kernel().event(FD, IN);
        assert_eq!(poll(p, 0), [2]);
        assert_eq!(next.join(), Ok(()));
    });
    assert_eq!(p.open(FD + 1).unwrap().id() as u32, 0, "it was freed by the last user");
}

/// The timers of an old owner, whose close did not reach the kernel either.
#[test]
fn what_is_under_way_at_the_close_is_stale() {
    let p = poller();
    let old = p.open(FD).unwrap();
    p.set_deadline(old, Side::Both, Some(2_000)).unwrap();
    p.kernel().fail(Fault::Del, Errno::EBADF);
    p.close(old).unwrap();
    let new = p.open(FD + 1).unwrap();
    p.kernel().advance(5_000);
    poll(&p, 0);
    assert_eq!((p.check(new, Mode::Read), p.check(new, Mode::Write)), (Ok(()), Ok(())));
    assert!(!p.timers().any());
}

/// Whatever data words the instance has: of slots that are mapped and were never handed out, too.
#[test]
fn events_with_made_up_data() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    for data in [1u64 << 32 | 1, 31, 1 << 32 | 31, 1 << 32 | 32, u64::MAX, 2 << 32, 0xffff_ffff] {
        p.kernel().raw_event(IN | EpollFlags::HUP | EpollFlags::ERR, data);
        assert!(poll(&p, 0).is_empty());
    }
    assert_eq!(p.hangup_seen(pd), Ok(false));
    assert!(!latched(&p, pd));
    let calls = p.kernel().calls();
    assert!(calls.iter().all(|call| !matches!(call, Call::Ctl(netpoll::sys::epoll::CtlOp::Mod, ..))));
}

/// Threads that use handles of registrations which others close and open all the time, right and wrong. Each registration
/// has its own events and nobody else's; at the end everything is free, once.
#[test]
fn stale_handles_under_fire() {
    const SLOTS: i32 = 3;
    const ROUNDS: usize = 3_000;
    let p = poller();
    let handles = Mutex::new(Vec::new());
    let current = [(); SLOTS as usize].map(|()| Mutex::new(None));
    let left = AtomicUsize::new(2);
    scope(|s| {
        let owners = [0, 1].map(|thread| {
            let (p, handles, current, left) = (&p, &handles, &current, &left);
            s.spawn(move || {
                let mut random = thread as u64 * 77 + 1;
                for _ in 0..ROUNDS {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let i = (random >> 33) as usize % SLOTS as usize;
                    let mut place = current[i].lock();
                    if let Some(pd) = place.take() {
                        assert_eq!(p.fd(pd), Ok(FD + i as i32), "nobody else has closed it");
                        assert_eq!(p.check(pd, Mode::Read), Ok(()));
                        assert_eq!(p.has_edge(pd, Mode::Read), Ok(true), "its edge is still there");
                        p.close(pd).unwrap();
                        handles.lock().push(pd);
                    } else {
                        let pd = p.open(FD + i as i32).unwrap();
                        p.kernel().event(FD + i as i32, IN);
                        while p.has_edge(pd, Mode::Read) == Ok(false) {
                            poll(p, 0);
                        }
                        *place = Some(pd);
                    }
                }
                left.fetch_sub(1, SeqCst);
            })
        });
        let strangers = [0, 1].map(|thread| {
            let (p, handles, left) = (&p, &handles, &left);
            s.spawn(move || {
                let waiter = Enlisted::new(0);
                let mut turn = thread;
                while left.load(SeqCst) != 0 {
                    let Some(&pd) = handles.lock().last() else { continue };
                    let (name, operation) = OPERATIONS[turn % OPERATIONS.len()];
                    assert_eq!(operation(p, pd, waiter.word()), Err(Error::Closing), "{name}");
                    turn += 1;
                }
                waiter.forget_word();
            })
        });
        owners.into_iter().chain(strangers).for_each(|thread| thread.join().unwrap());
    });
    for place in &current {
        place.lock().take().into_iter().for_each(|pd| p.close(pd).unwrap());
    }
    let mut slots: Vec<_> = (0..2 * SLOTS).map(|i| p.open(FD + i).unwrap().id() as u32).collect();
    slots.sort();
    slots.dedup();
    assert_eq!(slots.len(), 2 * SLOTS as usize, "one owner a slot");
    assert_eq!((p.waiters(), p.timers().any()), (0, false));
}
