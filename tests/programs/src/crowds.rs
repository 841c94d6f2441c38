//! Very many tasks, and whether each of them runs exactly once.

use crate::Scenario;
use crate::support::{Random, after, eventually, join_all, ms};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use netpoll::sync::{Semaphore, WaitGroup};
use netpoll::time::{Instant, sleep};
use netpoll::{JoinHandle, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("a_million_one_window_after_the_other", million),
    ("a_hundred_thousand_at_once", alive),
    ("a_million_before_any_is_joined", million_alive),
    ("ten_thousand_sleepers", sleepers),
    ("bursts_beyond_the_ring", bursts),
    ("a_tree_of_joins", |_| (0..5).for_each(|_| assert_eq!(tree(14), 1 << 14))),
    ("semaphore_relay", relay),
];

fn million(_: &[&str]) {
    let mut sum = 0;
    let mut window: Vec<JoinHandle<u64>> = Vec::with_capacity(1000);
    for start in (0..1_000_000u64).step_by(1000) {
        window.extend((start..start + 1000).map(|i| spawn(move || i)));
        sum += window.drain(..).map(JoinHandle::join).sum::<u64>();
    }
    assert_eq!(sum, 999_999 * 1_000_000 / 2);
}

fn alive(_: &[&str]) {
    const TASKS: usize = 100_000;
    static ALIVE: AtomicU32 = AtomicU32::new(0);
    static GATE: Semaphore = Semaphore::new(0);
    let tasks: Vec<_> = (0..TASKS)
        .map(|i| {
            spawn(move || {
                ALIVE.fetch_add(1, Ordering::SeqCst);
                GATE.acquire(1);
                i
            })
        })
        .collect();
    eventually("all of them", || ALIVE.load(Ordering::SeqCst) as usize == TASKS);
    GATE.release(TASKS);
    assert!(join_all(tasks).into_iter().eq(0..TASKS));
}

/// All spawned by one task: most of them wait for their first turn then, and for a stack.
fn million_alive(_: &[&str]) {
    const TASKS: u64 = 1_000_000;
    static SUM: AtomicU64 = AtomicU64::new(0);
    static RAN: WaitGroup = WaitGroup::new();
    RAN.add(TASKS as usize);
    for i in 0..TASKS {
        drop(spawn(move || {
            SUM.fetch_add(i, Ordering::Relaxed);
            RAN.done();
        }));
    }
    RAN.wait();
    assert_eq!(SUM.load(Ordering::Relaxed), (TASKS - 1) * TASKS / 2);
    let stacks = netpoll::runtime::metrics().stacks;
    assert!(stacks < 10_000, "{stacks} stacks");
}

/// Each sleeps until a time of its own, and wakes, never early.
fn sleepers(_: &[&str]) {
    const TASKS: usize = 10_000;
    let random = Random::new(3);
    let start = after(ms(200)); // when all have been spawned, on a quiet machine
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let when = start + Duration::from_micros(random.below(500_000));
            spawn(move || {
                sleep(when.duration_since(Instant::now()));
                let now = Instant::now();
                assert!(now >= when, "{:?} early", when - now);
            })
        })
        .collect();
    join_all(tasks);
}

/// More than a ring holds, all put there by one thread while others steal.
fn bursts(_: &[&str]) {
    const TASKS: usize = 5000;
    let runs: Arc<Vec<AtomicU8>> = Arc::new((0..TASKS).map(|_| AtomicU8::new(0)).collect());
    for round in 1..=20u8 {
        let tasks: Vec<_> = (0..TASKS)
            .map(|i| {
                let runs = runs.clone();
                spawn(move || {
                    if i % 7 == 0 {
                        yield_now();
                    }
                    runs[i].fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        join_all(tasks);
        assert!(runs.iter().all(|n| n.load(Ordering::Relaxed) == round));
    }
}

/// Counts its leaves.
fn tree(depth: u32) -> u64 {
    if depth == 0 {
        return 1;
    }
    let left = spawn(move || tree(depth - 1));
    let right = tree(depth - 1);
    left.join() + right
}

/// Tasks pass a few units among themselves: none is lost, none comes from nowhere.
fn relay(_: &[&str]) {
    const TASKS: u64 = 50;
    const ROUNDS: u64 = 2000;
    static UNITS: Semaphore = Semaphore::new(3);
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    static SUM: AtomicU64 = AtomicU64::new(0);
    join_all((0..TASKS).map(|_| {
        spawn(|| {
            for i in 0..ROUNDS {
                UNITS.acquire(1);
                assert!(INSIDE.fetch_add(1, Ordering::SeqCst) < 3);
                if i % 5 == 0 {
                    yield_now();
                }
                INSIDE.fetch_sub(1, Ordering::SeqCst);
                UNITS.release(1);
                SUM.fetch_add(1, Ordering::Relaxed);
            }
        })
    }));
    assert_eq!(SUM.load(Ordering::SeqCst), TASKS * ROUNDS);
    assert_eq!(UNITS.available(), 3);
}
