//! The timers against a sorted set, through their public face.

use super::{Heap, NEVER, Timer, Timers};
use crate::poll::{Kernel, Linux};
use crate::sys::Errno;
use std::boxed::Box;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::vec::Vec;

/// The timer under test knows its number by its place: the first field of a `Node`.
#[repr(C)]
struct Node {
    timer: Timer,
    id: usize,
}

/// Those that fired and whose callback was not stale.
struct Fired(Vec<usize>);

unsafe fn record(timer: NonNull<Timer>, seq: u32, context: *mut ()) {
    // SAFETY: every timer here is the first field of a `Node`, and `context` is the `Fired` of `run`.
    let (id, fired) = unsafe { (timer.cast::<Node>().as_ref().id, &mut *context.cast::<Fired>()) };
    // SAFETY: as above.
    unsafe { timer.as_ref() }.confirm(seq, || fired.0.push(id)).expect("nobody sets it meanwhile");
}

/// They are never freed, as timers must not be.
fn nodes(n: usize) -> &'static [Node] {
    (0..n).map(|id| Node { timer: Timer::new(record), id }).collect::<Vec<_>>().leak()
}

/// With so many heaps.
fn timers(heaps: usize) -> Timers {
    let timers = Timers::new();
    if heaps > 1 {
        timers.use_heaps((0..heaps).map(|_| Heap::new()).collect::<Vec<_>>().leak());
    }
    timers
}

fn set_in(timers: &Timers, shard: usize, node: &'static Node, when: i64) -> bool {
    // SAFETY: nodes are never freed, and each test has its own.
    unsafe { timers.set(&Linux::new(), shard, NonNull::from(node).cast(), when) }.unwrap()
}

fn set(timers: &Timers, node: &'static Node, when: i64) -> bool {
    set_in(timers, 0, node, when)
}

fn run(timers: &Timers, now: i64) -> Vec<usize> {
    let mut fired = Fired(Vec::new());
    // SAFETY: `record` expects a `Fired`.
    unsafe { timers.expire(now, (&raw mut fired).cast()) };
    fired.0
}

#[test]
fn fires_in_order_and_never_early() {
    let (timers, nodes) = (timers(1), nodes(3));
    assert_eq!(timers.next(), NEVER);
    assert!(set(&timers, &nodes[0], 30));
    assert!(set(&timers, &nodes[1], 10), "came forward");
    assert!(!set(&timers, &nodes[2], 20));
    assert_eq!(timers.next(), 10);
    assert_eq!(run(&timers, 9), []);
    assert_eq!(run(&timers, 20), [1, 2]);
    assert_eq!(run(&timers, 30), [0]);
    assert_eq!(timers.next(), NEVER);
}

#[test]
fn all_heaps_are_one_in_order() {
    let (timers, nodes) = (timers(3), nodes(9));
    for (i, node) in nodes.iter().enumerate() {
        set_in(&timers, i, node, (i as i64 * 5) % 9 + 1);
    }
    assert_eq!(timers.next(), 1);
    assert_eq!(run(&timers, 9), [0, 2, 4, 6, 8, 1, 3, 5, 7]);
    assert!(!timers.any());
}

#[test]
fn moved_on_keeps_its_key_and_fires_once() {
    let (timers, nodes) = (timers(1), nodes(1));
    set(&timers, &nodes[0], 10);
    let seq = nodes[0].timer.seq();
    assert!(!set(&timers, &nodes[0], 50));
    assert_ne!(nodes[0].timer.seq(), seq);
    assert_eq!(timers.next(), 10, "lazily: the sleeper wakes early once and finds nothing due");
    assert_eq!(run(&timers, 20), []);
    assert_eq!(timers.next(), 50);
    assert_eq!(run(&timers, 50), [0]);
    assert_eq!(run(&timers, 1000), []);
}

#[test]
fn moved_earlier_from_another_thread_goes_into_that_ones_heap() {
    let (timers, nodes) = (timers(2), nodes(1));
    set_in(&timers, 0, &nodes[0], 100);
    assert!(set_in(&timers, 1, &nodes[0], 50));
    assert_eq!(timers.next(), 50);
    assert!(!set_in(&timers, 0, &nodes[0], 70), "the entry at 50 serves");
    assert_eq!(run(&timers, 69), []);
    assert_eq!(run(&timers, 70), [0]);
    assert_eq!(run(&timers, 1000), [], "the first entry is stale");
}

#[test]
fn stop_tells_whether_it_was_set() {
    let (timers, nodes) = (timers(1), nodes(1));
    assert!(!timers.stop(&nodes[0].timer));
    set(&timers, &nodes[0], 10);
    assert!(timers.any());
    assert!(timers.stop(&nodes[0].timer));
    assert!(!timers.stop(&nodes[0].timer));
    assert_eq!(timers.next(), 10, "lazily");
    assert!(!timers.any(), "but not for good");
    assert_eq!(timers.next(), NEVER);
    assert_eq!(run(&timers, 100), []);
}

#[test]
fn stopped_and_set_again_uses_the_old_entry() {
    let (timers, nodes) = (timers(1), nodes(1));
    set(&timers, &nodes[0], 10);
    timers.stop(&nodes[0].timer);
    assert!(!set(&timers, &nodes[0], 30));
    assert_eq!(run(&timers, 29), []);
    assert_eq!(run(&timers, 30), [0]);
}

/// A program that goes idle is woken for one of the timers it has stopped, not for each.
#[test]
fn one_wake_for_nothing_clears_all_that_was_stopped() {
    let (timers, nodes) = (timers(1), nodes(100));
    nodes.iter().for_each(|node| _ = set(&timers, node, 10 + node.id as i64));
    nodes[..99].iter().for_each(|node| assert!(timers.stop(&node.timer)));
    assert_eq!(timers.next(), 10);
    assert_eq!(run(&timers, 10), []);
    assert_eq!(timers.next(), 109);
}

#[test]
fn confirm_refuses_what_was_set_or_stopped_since() {
    let (timers, nodes) = (timers(1), nodes(1));
    let timer = &nodes[0].timer;
    set(&timers, &nodes[0], 10);
    let seq = timer.seq();
    assert_eq!(timer.confirm(seq.wrapping_add(1), || ()), None);
    timers.stop(timer);
    assert_eq!(timer.confirm(seq, || ()), None);
    set(&timers, &nodes[0], 10);
    assert_eq!(timer.confirm(timer.seq(), || 7), Some(7));
    assert!(!timers.stop(timer), "it has been counted as done");
}

#[test]
fn agrees_with_a_sorted_set_under_random_changes() {
    use proptest::prelude::*;
    const NODES: usize = 40;
    let step = prop_oneof![
        5 => (0..NODES, 0i64..2000).prop_map(|(id, when)| (0, id, when)),
        2 => (0..NODES).prop_map(|id| (1, id, 0)),
        1 => (0i64..150).prop_map(|by| (2, 0, by)),
        1 => Just((3, 0, 0)),
    ];
    proptest!(|(heaps in 1usize..4, steps in prop::collection::vec(step, 1..400))| {
        let (timers, nodes) = (timers(heaps), nodes(NODES));
        let mut model: BTreeSet<(i64, usize)> = BTreeSet::new();
        let mut whens = [None; NODES];
        let mut now = 0;
        for (shard, (what, id, value)) in steps.into_iter().enumerate() {
            match what {
                0 => {
                    if let Some(old) = whens[id].replace(value) {
                        model.remove(&(old, id));
                    }
                    model.insert((value, id));
                    set_in(&timers, shard, &nodes[id], value);
                }
                1 => {
                    let old = whens[id].take();
                    prop_assert_eq!(timers.stop(&nodes[id].timer), old.is_some());
                    old.map(|old| model.remove(&(old, id)));
                }
                2 => {
                    now += value;
                    let fired: BTreeSet<usize> = run(&timers, now).into_iter().collect();
                    let due: BTreeSet<usize> =
                        model.iter().take_while(|e| e.0 <= now).map(|e| e.1).collect();
                    prop_assert_eq!(&fired, &due);
                    model.retain(|e| e.0 > now);
                    due.iter().for_each(|&id| whens[id] = None);
                }
                _ => prop_assert_eq!(timers.any(), !model.is_empty()),
            }
            let first = model.first().map_or(NEVER, |e| e.0);
            prop_assert!(timers.next() <= first, "never later than the truth");
        }
    });
}

/// Steadily earlier times leave stale entries behind, which are dropped instead of kept for ever.
#[test]
fn stale_entries_make_no_heap_grow() {
    struct OnePage(core::cell::Cell<usize>);
    // SAFETY: `map` is `Linux`'s, and no poll waits by this kernel.
    unsafe impl Kernel for OnePage {
        fn map(&self, len: usize) -> Result<NonNull<u8>, Errno> {
            self.0.set(len);
            if len > 4096 { Err(Errno::ENOMEM) } else { Linux::new().map(len) }
        }
        unsafe fn unmap(&self, memory: NonNull<u8>, len: usize) {
            // SAFETY: the same contract.
            unsafe { Linux::new().unmap(memory, len) }
        }
        fn epoll_create(&self) -> Result<i32, Errno> {
            unreachable!()
        }
        fn eventfd(&self) -> Result<i32, Errno> {
            unreachable!()
        }
        fn epoll_ctl(
            &self,
            _: i32,
            _: crate::sys::epoll::CtlOp,
            _: i32,
            _: crate::sys::epoll::EpollFlags,
            _: u64,
        ) -> Result<(), Errno> {
            unreachable!()
        }
        fn epoll_wait(
            &self,
            _: i32,
            _: &mut [core::mem::MaybeUninit<crate::sys::epoll::EpollEvent>],
            _: i64,
        ) -> Result<usize, Errno> {
            unreachable!()
        }
        fn eventfd_write(&self, _: i32) -> Result<(), Errno> {
            unreachable!()
        }
        unsafe fn close(&self, _: i32) {}
        fn nanotime(&self) -> i64 {
            0
        }
    }
    let (kernel, mut timers, nodes) = (OnePage(Default::default()), timers(1), nodes(100));
    for when in (0..100_000).rev() {
        let node = NonNull::from(&nodes[when as usize % 100]).cast();
        // SAFETY: as in `set_in`.
        unsafe { timers.set(&kernel, 0, node, when) }.unwrap();
    }
    assert_eq!(kernel.0.get(), 4096);
    assert_eq!(run(&timers, 100_000).len(), 100);
    timers.free(&kernel);
}

#[test]
fn grows_past_a_page_and_gives_everything_back() {
    let (mut timers, nodes) = (timers(1), nodes(5000));
    for (i, node) in nodes.iter().enumerate() {
        set(&timers, node, (i as i64 * 7919) % 5000);
    }
    let order: Vec<i64> = run(&timers, 5000).iter().map(|&id| (id as i64 * 7919) % 5000).collect();
    assert_eq!(order.len(), 5000);
    assert!(order.is_sorted());
    timers.free(&Linux::new());
}

#[test]
fn end_of_time_is_a_time() {
    let (timers, nodes) = (timers(1), nodes(2));
    assert_eq!(run(&timers, i64::MAX), []);
    set(&timers, &nodes[0], NEVER - 1);
    set(&timers, &nodes[1], 5);
    assert_eq!(run(&timers, NEVER - 2), [1]);
    assert_eq!(run(&timers, NEVER - 1), [0]);
    assert_eq!(timers.next(), NEVER);
}

/// Threads set, move and stop the same timers while others let them expire: at the end each has fired as
/// often as its last setting says, and no heap knows of more.
#[test]
fn threads_agree() {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    #[repr(C)]
    struct Shared {
        timer: Timer,
        fired: AtomicU32,
    }
    unsafe fn count(timer: NonNull<Timer>, seq: u32, _: *mut ()) {
        // SAFETY: the first field of a `Shared`.
        let shared = unsafe { timer.cast::<Shared>().as_ref() };
        shared.timer.confirm(seq, || shared.fired.fetch_add(1, Ordering::Relaxed));
    }
    let timers: &Timers = Box::leak(Box::new(timers(2)));
    let nodes: &[Shared] = (0..8)
        .map(|_| Shared { timer: Timer::new(count), fired: AtomicU32::new(0) })
        .collect::<Vec<_>>()
        .leak();
    let (over, time) = (AtomicBool::new(false), core::sync::atomic::AtomicI64::new(0));
    let set = |shard, node: &'static Shared, when| {
        // SAFETY: never freed, and in these timers only; the pointer is one to the whole `Shared`.
        unsafe { timers.set(&Linux::new(), shard, NonNull::from(node).cast(), when) }.unwrap()
    };
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let now = time.fetch_add(1, Ordering::Relaxed);
                    // SAFETY: `count` expects nothing.
                    unsafe { timers.expire(now, core::ptr::null_mut()) };
                }
            });
        }
        let setters: Vec<_> = (0..2)
            .map(|shard| {
                s.spawn(move || {
                    for i in 0..100_000i64 {
                        let node = &nodes[(i * 5 % 8) as usize];
                        if i % 7 == 0 {
                            timers.stop(&node.timer);
                        } else {
                            set(shard, node, i * 31 % 1000 + i);
                        }
                    }
                })
            })
            .collect();
        setters.into_iter().for_each(|setter| setter.join().unwrap());
        over.store(true, Ordering::Relaxed);
    });
    for node in nodes {
        timers.stop(&node.timer);
        node.fired.store(0, Ordering::Relaxed);
    }
    assert!(!timers.any());
    nodes.iter().for_each(|node| _ = set(0, node, 5));
    // SAFETY: as above.
    unsafe { timers.expire(5, core::ptr::null_mut()) };
    assert!(nodes.iter().all(|node| node.fired.load(Ordering::Relaxed) == 1));
    assert_eq!(timers.next(), NEVER);
}
