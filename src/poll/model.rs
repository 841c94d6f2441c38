//! The lock-free protocols of the poller under loom: the shipped source in every interleaving of two or
//! three threads with at most three preemptions, and with every value that the memory orderings allow a
//! load to return. A task that nobody wakes, or a poll that sleeps past its break, is a deadlock, which
//! loom reports; the other properties are asserted.
//!
//! A model is worth what it catches. Above each stand changes to the source that were made by hand and
//! seen to fail it.

use super::netpoll::Registered;
use super::{EVENTS, Error, Kernel, Mode, Netpoll, PollDesc, Scheduler, Side, WakeList};
use crate::sys::epoll::{CtlOp, EpollEvent, EpollFlags};
use crate::sys::{Errno, RawFd};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, JoinHandle, Thread};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::btree_map::{BTreeMap, Entry};
use std::vec::Vec;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Events wait here in no order with anything else: a real kernel orders more, and hides mistakes.
#[derive(Default)]
pub(crate) struct Os {
    pub now: core::sync::atomic::AtomicI64,
    pub events: std::sync::Mutex<Vec<EpollEvent>>,
    /// Under which data words numbers are registered.
    data: std::sync::Mutex<BTreeMap<RawFd, u64>>,
    /// The break's edge. A poll that blocks waits for nothing else, unless its delay is `until`.
    edge: Mutex<bool>,
    changed: Condvar,
    until: Option<i64>,
    slept_until: core::sync::atomic::AtomicBool,
}

// SAFETY: `map` allocates zeros for its caller alone, and a wait has written the one record that it counts.
unsafe impl Kernel for Os {
    fn epoll_create(&self) -> Result<RawFd, Errno> {
        Ok(3)
    }

    fn eventfd(&self) -> Result<RawFd, Errno> {
        Ok(4)
    }

    fn epoll_ctl(&self, _: RawFd, op: CtlOp, fd: RawFd, _: EpollFlags, data: u64) -> Result<(), Errno> {
        match (self.data.lock().unwrap().entry(fd), op) {
            (Entry::Occupied(entry), CtlOp::Del) => drop(entry.remove()),
            (entry, CtlOp::Add | CtlOp::Mod) => drop(entry.insert_entry(data)),
            _ => return Err(Errno::ENOENT),
        }
        Ok(())
    }

    fn epoll_wait(
        &self,
        _: RawFd,
        events: &mut [MaybeUninit<EpollEvent>],
        delay: i64,
    ) -> Result<usize, Errno> {
        assert_eq!(events.len(), EVENTS);
        if let Some(event) = self.events.lock().unwrap().pop() {
            events[0].write(event);
            return Ok(1);
        }
        let mut edge = self.edge.lock().unwrap();
        while !*edge {
            if delay == 0 {
                return Ok(0);
            }
            if self.until == Some(delay) {
                self.slept_until.store(true, Ordering::Relaxed);
                return Ok(0);
            }
            edge = self.changed.wait(edge).unwrap();
        }
        *edge = false;
        events[0].write(EpollEvent::new(EpollFlags::IN, 0));
        Ok(1)
    }

    fn eventfd_write(&self, _: RawFd) -> Result<(), Errno> {
        *self.edge.lock().unwrap() = true;
        self.changed.notify_one();
        Ok(())
    }

    unsafe fn close(&self, _: RawFd) {}

    fn nanotime(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    fn map(&self, len: usize) -> Result<NonNull<u8>, Errno> {
        // SAFETY: no table is empty.
        NonNull::new(unsafe { alloc_zeroed(layout(len)) }).ok_or(Errno::ENOMEM)
    }

    unsafe fn unmap(&self, memory: NonNull<u8>, len: usize) {
        // SAFETY: from `map`, with this length, and given up (contract).
        unsafe { dealloc(memory.as_ptr(), layout(len)) };
    }
}

/// What can be done with slot `index`, as the runtime does it.
pub(crate) fn registered<S: Scheduler>(p: &Netpoll<Os, S>, index: u32) -> Registered<'_, Os, S> {
    // SAFETY: this poller's; what the models do to it is what they are about.
    unsafe { p.registered(p.cache.get(index).unwrap()) }
}

/// An event of the descriptor in slot `index`.
pub(crate) fn input<S: Scheduler>(p: &Netpoll<Os, S>, index: u32) -> EpollEvent {
    EpollEvent::new(EpollFlags::IN, p.cache.get(index).unwrap().data())
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, 4096).unwrap()
}

/// One park of one thread.
struct Park {
    thread: Thread,
    readied: AtomicBool,
}

struct Threads;

impl Scheduler for Threads {
    type Waiter = NonNull<Park>;
    type List = Woken;

    fn park(&self, commit: impl FnOnce(NonNull<Park>) -> bool) {
        let park = Arc::new(Park { thread: thread::current(), readied: AtomicBool::new(false) });
        let word = NonNull::new(Arc::into_raw(park.clone()).cast_mut()).unwrap();
        if commit(word) {
            while !park.readied.load(Ordering::Acquire) {
                thread::park();
            }
        } else {
            // SAFETY: the reference from above, which nobody got.
            drop(unsafe { Arc::from_raw(word.as_ptr()) });
        }
    }

    fn ready(&self, waiter: NonNull<Park>) {
        // SAFETY: a committed word comes back once, with the reference that `park` put into it. (A
        // second time would be caught here as a use of freed memory, if not by the assertion.)
        let park = unsafe { Arc::from_raw(waiter.as_ptr()) };
        assert!(!park.readied.swap(true, Ordering::Release), "two wakes for one park");
        park.thread.unpark();
    }
}

#[derive(Default)]
struct Woken(Vec<NonNull<Park>>);

impl WakeList<NonNull<Park>> for Woken {
    fn push(&mut self, waiter: NonNull<Park>) {
        self.0.push(waiter);
    }
}

type Poller = Netpoll<Os, Threads>;

fn poller(os: Os) -> Arc<Poller> {
    let poller = Arc::new(Netpoll::new(os, Threads));
    poller.init().unwrap();
    poller
}

/// Polls without blocking, having pushed an event first, and readies the woken.
fn poll(p: &Poller, event: Option<EpollEvent>) {
    p.kernel.events.lock().unwrap().extend(event);
    let (woken, delta) = p.netpoll(0).unwrap();
    woken.0.into_iter().for_each(|task| p.sched.ready(task));
    p.adjust_waiters(delta);
}

fn spawn(p: &Arc<Poller>, f: impl FnOnce(&Poller) + 'static) -> JoinHandle<()> {
    let p = p.clone();
    thread::spawn(move || f(&p))
}

/// The descriptor of the models: the first slot.
fn pd(p: &Poller) -> Registered<'_, Os, Threads> {
    registered(p, 0)
}

/// M1, I1: an edge is never lost on a waiter, wherever it meets it.
///
/// Fails with: the commit's exchange an unconditional store; `unblock` not retrying its exchange.
#[test]
fn waiter_and_event() {
    check(|| {
        let p = poller(Os::default());
        p.register(10).unwrap();
        let event = input(&p, 0);
        let poller = spawn(&p, move |p| poll(p, Some(event)));
        assert_eq!(pd(&p).wait(Mode::Read), Ok(()));
        poller.join().unwrap();
        assert_eq!(p.waiters(), 0);
    });
}

/// M1, I2: whoever waits when the close begins, or begins to wait after it, is told.
///
/// Fails with: no second check in `block`; that check's load, or `publish`'s exchange and `unblock`'s
/// load, or `block`'s exchange, no longer `SeqCst`; CLOSING published behind the two unblocks.
#[test]
fn waiter_and_close() {
    check(|| {
        let p = poller(Os::default());
        p.register(10).unwrap();
        let closer = spawn(&p, |p| pd(p).unblock().unwrap());
        assert_eq!(pd(&p).wait(Mode::Read), Err(Error::Closing));
        closer.join().unwrap();
        assert_eq!(p.waiters(), 0);
    });
}

/// M1, I3 and I7: event and close at once. Each park has one wake, and nobody is left in the count.
///
/// Fails with: `unblock` returning the word without having exchanged it; the commit not counting.
#[test]
fn waiter_and_event_and_close() {
    check(|| {
        let p = poller(Os::default());
        p.register(10).unwrap();
        let event = input(&p, 0);
        let poller = spawn(&p, move |p| poll(p, Some(event)));
        let closer = spawn(&p, |p| pd(p).unblock().unwrap());
        let result = pd(&p).wait(Mode::Read);
        assert!(matches!(result, Ok(()) | Err(Error::Closing)), "{result:?}");
        closer.join().unwrap();
        assert_eq!(pd(&p).reset(Mode::Read), Err(Error::Closing));
        poller.join().unwrap();
        assert_eq!(p.waiters(), 0);
    });
}

/// M2: the deadline passes on a waiter, wherever it meets it.
///
/// Fails with: `deadline_passed` waking before it publishes.
#[test]
fn waiter_and_timer() {
    check(|| {
        let p = poller(Os::default());
        p.register(10).unwrap();
        pd(&p).set_deadline(Side::Read, Some(100)).unwrap();
        p.kernel.now.store(100, Ordering::Relaxed);
        let poller = spawn(&p, |p| poll(p, None)); // fires
        assert_eq!(pd(&p).wait(Mode::Read), Err(Error::Timeout));
        poller.join().unwrap();
        assert_eq!(p.waiters(), 0);
    });
}

/// M2, I4: a timer that is on its way when its deadline is moved on does nothing any more.
///
/// Fails with: no comparison of sequence numbers in `deadline_passed`; no counting up in `rearm`.
#[test]
fn stale_timer_and_rearm() {
    check(|| {
        let p = poller(Os::default());
        p.register(10).unwrap();
        pd(&p).set_deadline(Side::Read, Some(100)).unwrap();
        p.kernel.now.store(100, Ordering::Relaxed);
        let poller = spawn(&p, |p| poll(p, None)); // fires
        pd(&p).set_deadline(Side::Read, Some(1000)).unwrap();
        assert_eq!(pd(&p).reset(Mode::Read), Ok(()), "no timeout after the change");
        poller.join().unwrap();
        assert_eq!(pd(&p).reset(Mode::Read), Ok(()), "nor later");
        assert_eq!(p.timers.next(), 1000);
    });
}

/// M2, I5: the deadline passes and is moved on while a task waits. It times out or it waits on; it never
/// takes the one for an edge, nor is it forgotten.
///
/// Fails with: `wait` not going round again after a wake that was neither edge nor error.
#[test]
fn waiter_and_timer_and_rearm() {
    check(|| {
        let p = poller(Os::default());
        p.register(10).unwrap();
        pd(&p).set_deadline(Side::Read, Some(100)).unwrap();
        p.kernel.now.store(100, Ordering::Relaxed);
        let poller = spawn(&p, |p| poll(p, None)); // fires
        let setter = spawn(&p, |p| {
            pd(p).set_deadline(Side::Read, Some(1000)).unwrap();
            pd(p).set_deadline(Side::Read, Some(1)).unwrap(); // the end of the wait, in the past
        });
        assert_eq!(pd(&p).wait(Mode::Read), Err(Error::Timeout));
        poller.join().unwrap();
        setter.join().unwrap();
        assert_eq!(pd(&p).reset(Mode::Read), Err(Error::Timeout));
        assert_eq!(p.waiters(), 0);
    });
}

/// M3, I6: a poll holds an event of a descriptor that is closed, and reopened for another file. Nothing
/// the event says sticks to the new owner, who is woken at most once for nothing and gets its own edge.
///
/// Fails with: `note` comparing the generation before its loop only; `next_generation` keeping it.
#[test]
fn stale_event_and_reuse() {
    check(|| {
        let p = poller(Os::default());
        p.register(10).unwrap();
        let stale = EpollEvent::new(EpollFlags::IN | EpollFlags::RDHUP, pd(&p).slot.data());
        let poller = spawn(&p, move |p| poll(p, Some(stale)));
        pd(&p).unblock().unwrap();
        // SAFETY: unblocked, and nobody uses it.
        unsafe { pd(&p).close() };
        let new = p.register(11).unwrap();
        assert_eq!(new.index, 0, "the same slot");
        let event = input(&p, 0);
        let next = spawn(&p, move |p| poll(p, Some(event)));
        assert_eq!(pd(&p).wait(Mode::Read), Ok(()));
        poller.join().unwrap();
        next.join().unwrap();
        assert!(!new.hangup_seen());
        assert_eq!(p.waiters(), 0);
    });
}

/// While a thread uses a handle, another one closes the registration and opens the next. The slot is not the next one's
/// before the thread has left it: the edge that comes is the next owner's, and nothing else of it has changed.
///
/// Fails with: `enter` comparing the generation before its exchange only; `close` freeing the slot while it has users;
/// `leave` never returning `true`; `arm_out` not looking for `CLOSED`.
fn old_handle_and_next_owner(act: fn(&Poller, PollDesc)) {
    check(move || {
        let p = poller(Os::default());
        let old = p.open(10).unwrap();
        poll(&p, Some(input(&p, 0))); // an edge that `act` may forget
        let user = spawn(&p, move |p| act(p, old));
        p.close(old).unwrap();
        let new = p.open(10).unwrap(); // the number may be another file now
        let index = new.id() as u32;
        poll(&p, Some(input(&p, index)));
        assert_eq!(p.take_edge(new, Mode::Read), Ok(true));
        user.join().unwrap();
        assert_eq!(p.check(new, Mode::Read), Ok(()));
        assert_eq!(p.has_edge(new, Mode::Read), Ok(false));
        assert_eq!((p.waiters(), p.timers.any()), (0, false));
        assert_eq!(p.kernel.data.lock().unwrap()[&10], new.id());
        let third = p.open(12).unwrap();
        assert!(third.id() as u32 == 1 - index, "both slots are used again");
    });
}

#[test]
fn old_handle_waits_and_next_owner() {
    old_handle_and_next_owner(|p, old| while p.wait(old, Mode::Read).is_ok() {});
}

#[test]
fn old_handle_forgets_an_edge_and_next_owner() {
    old_handle_and_next_owner(|p, old| _ = p.reset(old, Mode::Read));
}

#[test]
fn old_handle_sets_a_deadline_and_next_owner() {
    old_handle_and_next_owner(|p, old| _ = p.set_deadline(old, Side::Read, Some(-1)));
}

#[test]
fn old_handle_arms_out_and_next_owner() {
    old_handle_and_next_owner(|p, old| _ = p.watch(old, Mode::Write));
}

#[test]
fn old_handle_begins_to_close_and_next_owner() {
    old_handle_and_next_owner(|p, old| _ = p.unblock(old));
}

/// Two threads close, and a task waits that nothing but a close can send away. One of them has closed it, and the slot
/// is free once.
///
/// Fails with: `begin_close` looking for the mark before the lock; `close` not waking (the task sleeps for ever);
/// `check_failed` not looking for the mark.
#[test]
fn two_closes_and_a_deaf_waiter() {
    check(|| {
        let p = poller(Os::default());
        let pd = p.open(10).unwrap();
        let closed = Arc::new(AtomicUsize::new(0));
        let closers = [0, 1].map(|_| {
            let closed = closed.clone();
            spawn(&p, move |p| match p.close(pd) {
                Ok(()) => drop(closed.fetch_add(1, Ordering::Relaxed)),
                Err(e) => assert_eq!(e, Error::Closing),
            })
        });
        assert_eq!(p.wait_canceled(pd, Mode::Read), Err(Error::Closing));
        closers.into_iter().for_each(|closer| closer.join().unwrap());
        assert_eq!(closed.load(Ordering::Relaxed), 1);
        assert_eq!(p.waiters(), 0);
        let (a, b) = (p.open(11).unwrap(), p.open(12).unwrap());
        assert_eq!((a.id() as u32, b.id() as u32), (0, 1), "one owner a slot");
    });
}

/// M4, I8: two threads set timers, each perhaps earlier than what a poll may be sleeping for. It ends up in a
/// sleep that ends with the earliest.
///
/// Fails with: `epoll_sleep` reading the next time before it counts itself; any access to the count or
/// to the first time not `SeqCst`; `Timers::set` never saying "earlier".
#[test]
fn two_timers_and_a_sleeper() {
    check(|| {
        let p = poller(Os { until: Some(50), ..Os::default() });
        let setters = [100, 50].map(|at| {
            let index = p.register(at as RawFd).unwrap().index;
            spawn(&p, move |p| {
                registered(p, index).set_deadline(Side::Read, Some(at)).unwrap();
            })
        });
        while p.timers.next() != 50 || !p.kernel.slept_until.load(Ordering::Relaxed) {
            p.netpoll(-1).unwrap();
        }
        setters.into_iter().for_each(|setter| setter.join().unwrap());
    });
}

/// I13: a time that an earlier sleep was to end at is not taken for that of the one that begins.
///
/// Fails with: `poll_until` not set back behind the sleep; `wake_for_timer` leaving out times it should not.
#[test]
fn a_timer_and_a_sleeper_that_slept_before() {
    check(|| {
        let p = poller(Os { until: Some(40), ..Os::default() });
        p.register(10).unwrap();
        let other = p.register(11).unwrap().index;
        pd(&p).set_deadline(Side::Both, Some(50)).unwrap();
        let event = input(&p, 0);
        p.kernel.events.lock().unwrap().push(event);
        p.netpoll(-1).unwrap(); // would have slept until 50
        pd(&p).set_deadline(Side::Both, Some(200)).unwrap();
        p.kernel.now.store(60, Ordering::Relaxed);
        p.netpoll(0).unwrap(); // moves the entry on
        let setter = spawn(&p, move |p| {
            registered(p, other).set_deadline(Side::Read, Some(100)).unwrap();
        });
        while !p.kernel.slept_until.load(Ordering::Relaxed) {
            p.netpoll(-1).unwrap();
        }
        setter.join().unwrap();
    });
}

/// M4, I8: two threads publish work, by no more than a release store, and break. The poll that sleeps
/// returns to see the work of both, also of the one whose break was merged with the other's.
///
/// Fails with: `break_` a compare-exchange; `clear_break` a store; `break_`'s swap relaxed.
#[test]
fn two_breaks_and_a_sleeper() {
    check(|| {
        let p = poller(Os::default());
        let work = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let breakers = [0, 1].map(|i| {
            let work = work.clone();
            spawn(&p, move |p| {
                work[i].store(1, Ordering::Release);
                p.break_().unwrap();
            })
        });
        while work.iter().any(|work| work.load(Ordering::Acquire) == 0) {
            p.netpoll(-1).unwrap();
        }
        breakers.into_iter().for_each(|breaker| breaker.join().unwrap());
    });
}

/// A poll that does not block takes the break's edge from under the one that does, or before that goes to
/// sleep: it gives the edge back, or leaves the flag.
///
/// Fails with: `eat_break` clearing the flag always, or never writing again; the sleeper not looking at
/// the flag, or before it counts itself; any access to count or flag not `SeqCst`.
#[test]
fn break_eaten_by_another_poll() {
    check(|| {
        let p = poller(Os::default());
        let work = Arc::new(AtomicUsize::new(0));
        let breaker = spawn(&p, {
            let work = work.clone();
            move |p| {
                work.store(1, Ordering::Release);
                p.break_().unwrap();
            }
        });
        let eater = spawn(&p, |p| poll(p, None));
        while work.load(Ordering::Acquire) == 0 {
            p.netpoll(-1).unwrap();
        }
        breaker.join().unwrap();
        eater.join().unwrap();
    });
}
