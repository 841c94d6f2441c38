//! M7 of the timers, under loom: a time that comes forward, entries that are put right, and whoever asks how
//! long he may sleep (I13, golang/go#47329).
//!
//! Mutations seen to fail are listed at each.

use super::{Entries, Fire, Heap, NEVER, Timer, Timers};
use crate::poll::Kernel;
use crate::sys::epoll::{CtlOp, EpollEvent, EpollFlags};
use crate::sys::{Errno, RawFd};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::boxed::Box;

struct Memory;

// SAFETY: `map` allocates zeros for its caller alone, and no poll waits by this kernel.
unsafe impl Kernel for Memory {
    fn map(&self, len: usize) -> Result<NonNull<u8>, Errno> {
        // SAFETY: no table is empty.
        NonNull::new(unsafe { alloc_zeroed(layout(len)) }).ok_or(Errno::ENOMEM)
    }
    unsafe fn unmap(&self, memory: NonNull<u8>, len: usize) {
        // SAFETY: from `map`, with this length, and given up (contract).
        unsafe { dealloc(memory.as_ptr(), layout(len)) };
    }
    fn epoll_create(&self) -> Result<RawFd, Errno> {
        unreachable!()
    }
    fn eventfd(&self) -> Result<RawFd, Errno> {
        unreachable!()
    }
    fn epoll_ctl(&self, _: RawFd, _: CtlOp, _: RawFd, _: EpollFlags, _: u64) -> Result<(), Errno> {
        unreachable!()
    }
    fn epoll_wait(&self, _: RawFd, _: &mut [MaybeUninit<EpollEvent>], _: i64) -> Result<usize, Errno> {
        unreachable!()
    }
    fn eventfd_write(&self, _: RawFd) -> Result<(), Errno> {
        unreachable!()
    }
    unsafe fn close(&self, _: RawFd) {}
    fn nanotime(&self) -> i64 {
        unreachable!()
    }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, 4096).unwrap()
}

/// Two heaps, a timer, and how often its callback was confirmed.
struct World {
    timers: Timers,
    heaps: NonNull<[Heap]>,
    timer: Timer,
    fired: AtomicUsize,
}

// SAFETY: what is behind the pointer is `Sync`.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

const FIRE: Fire = |timer, seq, context| {
    // SAFETY: the timer of a world, which lasts for the model; `context` is its count.
    let (timer, fired) = unsafe { (timer.as_ref(), &*context.cast::<AtomicUsize>()) };
    timer.confirm(seq, || fired.fetch_add(1, Ordering::Relaxed));
};

impl World {
    fn new() -> Arc<World> {
        let heaps: &'static [Heap] = Box::leak(Box::new([Heap::new(), Heap::new()]));
        let timers = Timers::new();
        timers.use_heaps(heaps);
        Arc::new(World { timers, heaps: heaps.into(), timer: Timer::new(FIRE), fired: AtomicUsize::new(0) })
    }

    fn set(&self, shard: usize, when: i64) -> bool {
        // SAFETY: the timer lasts as long as the timers do (`drop` below frees the heaps first).
        unsafe { self.timers.set(&Memory, shard, NonNull::from(&self.timer), when) }.unwrap()
    }

    fn expire(&self, now: i64) {
        // SAFETY: what `FIRE` expects.
        unsafe { self.timers.expire(now, (&raw const self.fired).cast_mut().cast()) };
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: leaked by `new`, and nobody uses it any more.
        let mut heaps = unsafe { Box::from_raw(self.heaps.as_ptr()) };
        heaps
            .iter_mut()
            .for_each(|heap| std::mem::replace(&mut *heap.entries.lock(), Entries::new()).free(&Memory));
    }
}

/// [`World::expire`] on a thread of its own.
fn expire_beside(w: &Arc<World>, now: i64) -> thread::JoinHandle<()> {
    let w = w.clone();
    thread::spawn(move || w.expire(now))
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A timer that was moved on is set earlier by one thread, in its own heap, while another thread puts the old
/// entry right. Whoever has set it sees a time to wake up at that is not later; it fires once, at its time.
///
/// Fails with: an entry that was moved on getting its key without the timer's being told (`pop_due`); the fast
/// path of `set` not looking at the key.
#[test]
fn earlier_while_an_entry_is_moved_on() {
    check(|| {
        let w = World::new();
        w.set(0, 10);
        w.set(0, 100); // the entry stays at 10
        let adjuster = expire_beside(&w, 10);
        w.set(1, 50);
        assert!(w.timers.next() <= 50, "{}", w.timers.next());
        adjuster.join().unwrap();
        assert!(w.timers.next() <= 50, "{}", w.timers.next());
        w.expire(49);
        assert_eq!(w.fired.load(Ordering::Relaxed), 0, "early");
        w.expire(50);
        assert_eq!(w.fired.load(Ordering::Relaxed), 1);
        w.expire(1000);
        assert_eq!(w.fired.load(Ordering::Relaxed), 1, "twice");
        assert_eq!(w.timers.next(), NEVER);
    });
}

/// It is stopped while it expires: either the stop came first, or it has fired, and there is no third case.
///
/// Fails with: `confirm` without the comparison of numbers; `reset` not changing the number.
#[test]
fn stopped_while_it_expires() {
    check(|| {
        let w = World::new();
        w.set(0, 10);
        let poller = expire_beside(&w, 10);
        let stopped = w.timers.stop(&w.timer);
        let fired = w.fired.load(Ordering::Relaxed);
        assert_eq!(fired, usize::from(!stopped));
        poller.join().unwrap();
        assert_eq!(w.fired.load(Ordering::Relaxed), fired, "fired behind the stop");
        assert!(!w.timers.any());
    });
}

/// It is set again while it expires: whatever came of the first time, the second is not lost.
///
/// Fails with: `pop_due` taking the entry of what fires out without telling the timer.
#[test]
fn set_again_while_it_expires() {
    check(|| {
        let w = World::new();
        w.set(0, 10);
        let poller = expire_beside(&w, 10);
        w.set(1, 20);
        assert!(w.timers.next() <= 20);
        poller.join().unwrap();
        let before = w.fired.load(Ordering::Relaxed);
        assert!(w.timers.any());
        w.expire(20);
        assert_eq!(w.fired.load(Ordering::Relaxed), before + 1);
    });
}

/// It is stopped and set again while somebody clears what was stopped out of the heap: it keeps an entry, or
/// gets a new one.
///
/// Fails with: `drop_useless` not telling the timer.
#[test]
fn set_again_while_what_was_stopped_is_dropped() {
    check(|| {
        let w = World::new();
        w.set(0, 10);
        w.timers.stop(&w.timer);
        let cleaner = thread::spawn({
            let w = w.clone();
            move || w.timers.any()
        });
        w.set(1, 20);
        assert!(w.timers.next() <= 20);
        cleaner.join().unwrap();
        assert!(w.timers.next() <= 20);
        w.expire(20);
        assert_eq!(w.fired.load(Ordering::Relaxed), 1);
    });
}

/// A reader never sees a time later than the earliest there is at that moment, whatever is done to others.
///
/// Fails with: `first` of a heap stored `NEVER` while entries are put right.
#[test]
fn a_reader_beside_all_of_it() {
    check(|| {
        let w = World::new();
        w.set(0, 10);
        w.set(0, 60);
        let adjuster = expire_beside(&w, 20);
        assert!(w.timers.next() <= 60);
        assert!(w.timers.next() <= 60);
        adjuster.join().unwrap();
        assert_eq!(w.timers.next(), 60);
    });
}
