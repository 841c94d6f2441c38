//! Which calls registration makes, exactly, and what it leaves behind when they fail.

use crate::fake::{Call, Fault, del};
use crate::sched::{poll, spawn};
use crate::{FD, Poller, latched, poller};
use netpoll::poll::{Error, Mode, Netpoll, Side};
use netpoll::sys::Errno;
use netpoll::sys::epoll::{CtlOp, EpollFlags};
use std::thread::scope;

const REGISTER: EpollFlags =
    EpollFlags::IN.union(EpollFlags::PRI).union(EpollFlags::RDHUP).union(EpollFlags::ET);
const EPFD: i32 = 3;
const BREAK_FD: i32 = 4;

#[test]
fn nothing_is_made_before_it_is_needed() {
    let p = poller();
    assert!(!p.is_poll_descriptor(-1));
    p.wake_for_timer(1);
    assert!(p.kernel().calls().is_empty());
    drop(p);
}

#[test]
fn one_add_one_mod_one_del() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    assert_eq!(p.fd(pd).unwrap(), FD);
    let data = p.kernel().data(FD);
    assert_eq!(data >> 32, 1, "the generation is never 0, which is the break's");
    let [create, eventfd, brk, map, add] = p.kernel().calls()[..] else { panic!() };
    assert_eq!((create, eventfd), (Call::EpollCreate, Call::Eventfd));
    assert_eq!(brk, Call::Ctl(CtlOp::Add, BREAK_FD, EpollFlags::IN | EpollFlags::ET, 0));
    assert_eq!(map, Call::Map(4096));
    assert_eq!(add, Call::Ctl(CtlOp::Add, FD, REGISTER, data));

    for round in 0..3 {
        p.kernel().event(FD, EpollFlags::IN);
        poll(&p, 0);
        scope(|s| assert_eq!(spawn(s, 1, || p.wait(pd, Mode::Read)).join(), Ok(())));
        assert_eq!(p.kernel().calls(), [Call::Wait(0)], "round {round}: reading arms nothing");
    }
    p.kernel().level(FD, EpollFlags::OUT);
    scope(|s| {
        let writer = spawn(s, 1, || p.wait(pd, Mode::Write));
        assert_eq!(p.kernel().calls(), [Call::Ctl(CtlOp::Mod, FD, REGISTER | EpollFlags::OUT, data)]);
        assert_eq!(poll(&p, 0), [1]);
        assert_eq!(writer.join(), Ok(()));
        let again = spawn(s, 2, || p.wait(pd, Mode::Write));
        p.kernel().event(FD, EpollFlags::OUT);
        assert_eq!(poll(&p, 0), [2]);
        assert_eq!(again.join(), Ok(()));
    });
    assert_eq!(p.kernel().calls(), [Call::Wait(0), Call::Wait(0)], "armed once");
    p.unblock(pd).unwrap();
    p.close(pd).unwrap();
    assert_eq!(p.kernel().calls(), [del(FD)]);
}

#[test]
fn new_owner_arms_out_for_itself() {
    let p = poller();
    for _ in 0..2 {
        let pd = p.open(FD).unwrap();
        p.kernel().level(FD, EpollFlags::OUT);
        p.kernel().calls();
        scope(|s| {
            let writer = spawn(s, 1, || p.wait(pd, Mode::Write));
            assert!(matches!(p.kernel().calls()[..], [Call::Ctl(CtlOp::Mod, ..)]));
            assert_eq!(poll(&p, 0), [1]);
            assert_eq!(writer.join(), Ok(()));
        });
        p.unblock(pd).unwrap();
        p.close(pd).unwrap();
    }
}

#[test]
fn out_that_cannot_be_armed_is_an_error_and_tried_again() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    p.kernel().level(FD, EpollFlags::OUT);
    for canceled in [false, true] {
        p.kernel().fail(Fault::Mod, Errno::ENOMEM);
        scope(|s| {
            let wait = || if canceled { p.wait_canceled(pd, Mode::Write) } else { p.wait(pd, Mode::Write) };
            assert_eq!(spawn(s, 1, wait).join(), Err(Error::Os(netpoll::sys::Call::EpollCtl, Errno::ENOMEM)));
        });
    }
    scope(|s| {
        let writer = spawn(s, 1, || p.wait(pd, Mode::Write));
        assert_eq!(poll(&p, 0), [1]);
        assert_eq!(writer.join(), Ok(()));
    });
}

#[test]
fn failed_init_leaves_nothing_and_can_be_repeated() {
    for (fault, call) in [
        (Fault::EpollCreate, netpoll::sys::Call::EpollCreate1),
        (Fault::Eventfd, netpoll::sys::Call::Eventfd2),
        (Fault::Add, netpoll::sys::Call::EpollCtl),
    ] {
        type Operation = fn(&Poller) -> Result<(), Error>;
        let operations: [Operation; 4] =
            [Netpoll::init, |p| p.open(FD).map(drop), |p| p.netpoll(0).map(drop), Netpoll::break_];
        for operation in operations {
            let p = poller();
            p.kernel().fail(fault, Errno::EMFILE);
            assert_eq!(operation(&p), Err(Error::Os(call, Errno::EMFILE)));
            assert_eq!((p.kernel().open_fds(), p.kernel().mapped_bytes()), (0, 0), "{fault:?}");
            assert_eq!(operation(&p), Ok(()));
            assert_eq!(p.kernel().open_fds(), 2);
        }
    }
}

#[test]
fn failed_open_leaves_nothing() {
    let p = poller();
    p.init().unwrap();
    p.kernel().fail(Fault::Map, Errno::ENOMEM);
    assert_eq!(p.open(FD).map(drop), Err(Error::Os(netpoll::sys::Call::Mmap, Errno::ENOMEM)));
    assert_eq!(p.kernel().mapped_bytes(), 0);
    for errno in [Errno::EPERM, Errno::ENOSPC, Errno::ENOMEM, Errno::EBADF] {
        p.kernel().fail(Fault::Add, errno);
        assert_eq!(p.open(FD).map(drop), Err(Error::Os(netpoll::sys::Call::EpollCtl, errno)));
        assert_eq!(p.kernel().registered(), 1, "the break's alone");
    }
    let first = p.open(FD).unwrap();
    assert_eq!(p.open(FD).map(drop), Err(Error::Os(netpoll::sys::Call::EpollCtl, Errno::EEXIST)));
    assert_eq!(p.kernel().data(FD) as u32, 0, "the slot of the failed went back each time");
    assert_eq!(p.reset(first, Mode::Read), Ok(()), "and the first owner is unharmed");
    assert_eq!(p.kernel().mapped_bytes(), 4096);
}

#[test]
fn close_ends_the_registration_even_if_del_fails() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    let old = p.kernel().data(FD);
    p.kernel().fail(Fault::Del, Errno::EBADF); // the number was closed under us
    p.unblock(pd).unwrap();
    p.close(pd).unwrap();
    let pd = p.open(FD + 1).unwrap();
    p.kernel().raw_event(EpollFlags::IN, old);
    poll(&p, 0);
    assert!(!latched(&p, pd));
}

#[test]
fn close_wakes_both_directions_and_happens_once() {
    let p = poller();
    let pd = p.open(FD).unwrap();
    scope(|s| {
        let p = &p;
        let reader = spawn(s, 1, || p.wait(pd, Mode::Read));
        let writer = spawn(s, 2, || p.wait(pd, Mode::Write));
        p.unblock(pd).unwrap();
        assert_eq!((reader.join(), writer.join()), (Err(Error::Closing), Err(Error::Closing)));
        for mode in [Mode::Read, Mode::Write] {
            assert_eq!(p.reset(pd, mode), Err(Error::Closing));
            assert_eq!(spawn(s, 3, move || p.wait(pd, mode)).join(), Err(Error::Closing));
        }
    });
    assert_eq!(p.unblock(pd), Err(Error::Closing));
    assert_eq!(p.set_deadline(pd, Side::Both, None), Err(Error::Closing));
    assert_eq!(p.waiters(), 0);
    p.close(pd).unwrap();
}

#[test]
fn own_descriptors_are_known() {
    let p = poller();
    let own = |p: &Poller| (0..10).filter(|&fd| p.is_poll_descriptor(fd)).collect::<Vec<_>>();
    assert!(own(&p).is_empty());
    p.init().unwrap();
    assert_eq!(own(&p), [EPFD, BREAK_FD]);
    assert!(!p.is_poll_descriptor(-1));
}

#[test]
fn a_hundred_thousand_opens_and_closes_take_one_slot() {
    let p = poller();
    for _ in 0..100_000 {
        let pd = p.open(FD).unwrap();
        p.unblock(pd).unwrap();
        p.close(pd).unwrap();
    }
    assert_eq!(p.kernel().mapped_bytes(), 4096);
    assert_eq!(p.kernel().registered(), 1);
}

/// Blocks double, descriptors stay where they are, and all of them keep working.
#[test]
fn table_grows_and_reuses() {
    const N: i32 = 3_000;
    let p = poller();
    let pds: Vec<_> = (0..N).map(|i| p.open(FD + i).unwrap()).collect();
    assert_eq!(p.kernel().mapped_bytes(), 128 * (32 + 64 + 128 + 256 + 512 + 1024 + 2048));
    for (i, &pd) in pds.iter().enumerate() {
        assert_eq!((p.fd(pd).unwrap(), p.kernel().data(FD + i as i32) as u32), (FD + i as i32, i as u32));
        p.kernel().event(FD + i as i32, EpollFlags::IN);
    }
    while p.kernel().pending() > 0 {
        poll(&p, 0);
    }
    assert!(pds.iter().all(|&pd| latched(&p, pd)));
    for &pd in &pds {
        p.unblock(pd).unwrap();
        p.close(pd).unwrap();
    }
    let before = p.kernel().mapped_bytes();
    for i in 0..N {
        p.open(FD + i).unwrap();
    }
    assert_eq!(p.kernel().mapped_bytes(), before);
}

/// The block that is missing when memory runs out is asked for again later.
#[test]
fn table_that_cannot_grow_works_on() {
    let p = poller();
    let pds: Vec<_> = (0..32).map(|i| p.open(FD + i).unwrap()).collect();
    p.kernel().fail(Fault::Map, Errno::ENOMEM);
    assert_eq!(p.open(200).map(drop), Err(Error::Os(netpoll::sys::Call::Mmap, Errno::ENOMEM)));
    p.unblock(pds[7]).unwrap();
    p.close(pds[7]).unwrap();
    p.open(200).unwrap();
    assert_eq!(p.kernel().data(200) as u32, 7);
    p.open(201).unwrap();
    assert_eq!(p.kernel().data(201) as u32, 32);
}
