//! What is made of an event: who wakes, what is remembered, and what is dropped as stale.

use crate::fake::Call;
use crate::sched::{poll, spawn};
use crate::{FD, latched, poller};
use netpoll::poll::{EVENTS, Error, Mode};
use netpoll::sys::epoll::{CtlOp, EpollFlags};
use std::thread::scope;

type F = EpollFlags;

/// Which directions an event wakes, and whether it forbids the short-read rule from then on.
#[test]
fn event_masks() {
    for (mask, read, write, sticky) in [
        (F::IN, true, false, false),
        (F::OUT, false, true, false),
        (F::IN | F::OUT, true, true, false),
        (F::RDHUP, true, false, true),
        (F::IN | F::RDHUP, true, false, true),
        (F::PRI, true, false, true),
        (F::IN | F::PRI, true, false, true),
        (F::HUP, true, true, true),
        (F::IN | F::RDHUP | F::HUP, true, true, true),
        (F::ERR, true, true, true),
        (F::OUT | F::ERR, true, true, true),
        (F::IN | F::OUT | F::RDHUP | F::HUP | F::ERR, true, true, true),
    ] {
        let p = poller();
        let pd = p.open(FD).unwrap();
        scope(|s| {
            let reader = spawn(s, 1, || p.wait(pd, Mode::Read));
            let writer = spawn(s, 2, || p.wait(pd, Mode::Write)); // arms OUT
            p.kernel().event(FD, mask);
            let woken: Vec<_> = [(1, read), (2, write)].iter().filter(|w| w.1).map(|w| w.0).collect();
            assert_eq!(poll(&p, 0), woken, "{mask:?}");
            assert_eq!(p.hangup_seen(pd).unwrap(), sticky, "{mask:?}");
            p.unblock(pd).unwrap();
            let sees = |woken| if woken { Ok(()) } else { Err(Error::Closing) };
            assert_eq!((reader.join(), writer.join()), (sees(read), sees(write)), "{mask:?}");
        });
    }
}

#[test]
fn mask_without_bits_wakes_nobody() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    scope(|s| {
        let reader = spawn(s, 1, || p.wait(pd, Mode::Read));
        let writer = spawn(s, 2, || p.wait(pd, Mode::Write));
        p.kernel().raw_event(F::empty(), p.kernel().data(FD));
        assert!(poll(&p, 0).is_empty());
        assert!(reader.settle() && writer.settle());
        p.unblock(pd).unwrap();
        assert_eq!((reader.join(), writer.join()), (Err(Error::Closing), Err(Error::Closing)));
    });
}

/// The FIN comes with the data, in one event, and never again: a short read after it is no drain.
#[test]
fn hangup_sticks_through_reset_and_later_events() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().event(FD, F::IN);
    poll(&p, 0);
    assert!(!p.hangup_seen(pd).unwrap());
    p.kernel().event(FD, F::IN | F::RDHUP);
    poll(&p, 0);
    assert!(p.hangup_seen(pd).unwrap());
    p.reset(pd, Mode::Read).unwrap();
    p.kernel().event(FD, F::IN);
    poll(&p, 0);
    assert!(p.hangup_seen(pd).unwrap(), "for good");
    p.unblock(pd).unwrap();
    p.close(pd).unwrap();
    let pd = p.open(FD).unwrap();
    assert!(!p.hangup_seen(pd).unwrap(), "but not across owners");
}

#[test]
fn woken_come_in_the_order_of_their_events() {
    let p = poller();
    let pds: Vec<_> = (0..8).map(|i| p.open(FD + i).unwrap()).collect();
    let order = [3, 1, 4, 0, 5, 7, 2, 6];
    scope(|s| {
        let p = &p;
        let tasks: Vec<_> =
            pds.iter().enumerate().map(|(i, &pd)| spawn(s, i, move || p.wait(pd, Mode::Read))).collect();
        order.iter().for_each(|&i| p.kernel().event(FD + i, F::IN));
        assert_eq!(poll(p, -1), order.map(|i| i as usize));
        tasks.into_iter().for_each(|task| assert_eq!(task.join(), Ok(())));
    });
}

#[test]
fn more_events_than_a_batch_come_in_the_next() {
    let p = poller();
    let n = EVENTS + 5;
    let pds: Vec<_> = (0..n).map(|i| p.open(FD + i as i32).unwrap()).collect();
    (0..n).for_each(|i| p.kernel().event(FD + i as i32, F::IN));
    poll(&p, -1);
    assert_eq!(p.kernel().pending(), 5);
    assert!(latched(&p, pds[EVENTS - 1]));
    poll(&p, -1);
    assert!(pds[EVENTS..].iter().all(|&pd| latched(&p, pd)));
}

/// A descriptor that reports an error and nothing else, OUT being watched too, is not worth waiting for.
/// As long as OUT is not watched the same mask proves nothing, so OUT is armed, which reports afresh.
#[test]
fn lone_error_is_hopeless_only_once_out_is_armed() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    let data = p.kernel().data(FD);
    p.kernel().level(FD, F::ERR);
    p.kernel().event(FD, F::ERR);
    p.kernel().calls();
    poll(&p, 0);
    let mask = F::IN | F::PRI | F::RDHUP | F::ET | F::OUT;
    assert_eq!(p.kernel().calls()[1..], [Call::Ctl(CtlOp::Mod, FD, mask, data)]);
    assert_eq!(p.reset(pd, Mode::Read), Ok(()));
    poll(&p, 0);
    assert_eq!(p.reset(pd, Mode::Read), Err(Error::NotPollable));
    assert_eq!(p.reset(pd, Mode::Write), Ok(()));
    p.kernel().event(FD, F::IN);
    poll(&p, 0);
    assert_eq!(p.reset(pd, Mode::Read), Ok(()), "another event takes it back");
}

/// A writable socket with a pending error reports ERR alone as long as OUT is not watched.
#[test]
fn pending_error_of_a_writable_socket_is_not_hopeless() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().level(FD, F::ERR | F::OUT);
    p.kernel().event(FD, F::ERR);
    poll(&p, 0);
    poll(&p, 0);
    assert_eq!(p.reset(pd, Mode::Read), Ok(()));
}

#[test]
fn error_that_cannot_be_diagnosed_still_wakes() {
    use crate::fake::Fault;
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().fail(Fault::Mod, netpoll::sys::Errno::ENOENT);
    scope(|s| {
        let reader = spawn(s, 1, || p.wait(pd, Mode::Read));
        p.kernel().event(FD, F::ERR);
        assert_eq!(poll(&p, 0), [1]);
        assert_eq!(reader.join(), Ok(()));
    });
    assert_eq!(p.reset(pd, Mode::Read), Ok(()));
}

#[test]
fn stale_event_is_dropped_by_its_generation() {
    let p = poller();
    let old = p.open(FD).unwrap();
    let stale = p.kernel().data(FD);
    p.unblock(old).unwrap();
    p.close(old).unwrap();
    p.kernel().raw_event(F::IN | F::OUT, stale);
    poll(&p, 0); // on the free slot
    let new = p.open(FD).unwrap();
    let fresh = p.kernel().data(FD);
    assert_eq!(stale as u32, fresh as u32, "the slot is reused");
    assert_ne!(stale, fresh);
    scope(|s| {
        let reader = spawn(s, 1, || p.wait(new, Mode::Read));
        p.kernel().raw_event(F::IN | F::OUT | F::HUP, stale);
        assert!(poll(&p, 0).is_empty());
        assert!(reader.settle());
        assert!(!p.hangup_seen(new).unwrap());
        p.kernel().raw_event(F::IN, fresh);
        assert_eq!(poll(&p, 0), [1]);
        assert_eq!(reader.join(), Ok(()));
    });
}

/// golang/go#59545: the error of a closed descriptor must not make its successor "not pollable".
#[test]
fn go_59545_stale_error_bit() {
    let p = poller();
    let old = p.open(FD).unwrap();
    p.kernel().level(FD, F::ERR);
    p.kernel().event(FD, F::ERR);
    poll(&p, 0);
    poll(&p, 0);
    assert_eq!(p.reset(old, Mode::Read), Err(Error::NotPollable));
    let stale = p.kernel().data(FD);
    p.unblock(old).unwrap();
    p.close(old).unwrap();
    p.kernel().raw_event(F::ERR, stale);
    poll(&p, 0);
    let new = p.open(FD + 1).unwrap();
    assert_eq!(p.reset(new, Mode::Read), Ok(()), "the bit does not survive the close");
    p.kernel().calls();
    p.kernel().raw_event(F::ERR, stale);
    poll(&p, 0);
    assert_eq!(p.reset(new, Mode::Read), Ok(()), "and does not come in by a late event");
    assert_eq!(p.kernel().calls(), [Call::Wait(0)], "nor is anything armed for it");
}

/// Go loses error bits after 65,536 reuses of a slot.
#[test]
fn error_bit_works_after_many_reuses() {
    let p = poller();
    for _ in 0..70_000 {
        let pd = p.open(FD).unwrap();
        p.unblock(pd).unwrap();
        p.close(pd).unwrap();
    }
    p.kernel().level(FD, F::ERR);
    let pd = p.open(FD).unwrap();
    poll(&p, 0);
    poll(&p, 0);
    assert_eq!(p.reset(pd, Mode::Read), Err(Error::NotPollable));
    assert_eq!((p.kernel().data(FD) >> 32) as u32, 70_001, "one generation a reuse, none skipped");
}

#[test]
fn event_of_a_slot_that_never_was_is_ignored() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().raw_event(F::IN, 1 << 32 | 5_000_000);
    poll(&p, 0);
    assert!(!latched(&p, pd));
}
