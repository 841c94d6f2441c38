//! Sleeping and the clock.

use crate::Scenario;
use crate::support::{PATIENCE, Random, after, eventually, join_all, limit, ms};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use core::time::Duration;
use netpoll::runtime::metrics;
use netpoll::sys::process::Resource;
use netpoll::sys::time::{Timespec, nanosleep};
use netpoll::time::{Instant, Timer, sleep};
use netpoll::{blocking, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("sleeps_are_never_early", never_early),
    ("sleepers_wake_in_order", in_order),
    ("no_time_is_no_sleep", no_time),
    ("the_longest_sleep", longest),
    ("the_longest_sleep_of_all_tasks", longest_of_all),
    ("sleep_without_descriptors", no_descriptors),
    ("sleep_without_memory", no_memory),
    ("sleep_without_memory_in_a_call", no_memory_in_a_call),
    ("instants", instants),
];

fn never_early(_: &[&str]) {
    let random = Random::new(1);
    let mut tasks = Vec::new();
    for _ in 0..100 {
        let time = Duration::from_nanos(random.below(40_000_000));
        tasks.push(spawn(move || {
            let start = Instant::now();
            sleep(time);
            let slept = start.elapsed();
            assert!(slept >= time, "{slept:?} instead of {time:?}");
        }));
    }
    join_all(tasks);
}

fn in_order(_: &[&str]) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static ORDER: [AtomicI32; 20] = [const { AtomicI32::new(-1) }; 20];
    // All are to be asleep when the first of them wakes. Where the machine was too slow for that, they try again.
    let all_slept = |start: Instant| {
        NEXT.store(0, Ordering::SeqCst);
        let tasks: Vec<_> = (0..20)
            .map(|i| {
                let place = i * 7 % 20;
                spawn(move || {
                    let began = Instant::now();
                    sleep(start + ms(5) * place as u32 - began);
                    ORDER[NEXT.fetch_add(1, Ordering::SeqCst)].store(place, Ordering::SeqCst);
                    began
                })
            })
            .collect();
        join_all(tasks).into_iter().all(|began| began < start)
    };
    assert!(
        (0..8).any(|doublings| all_slept(after(ms(100) * (1 << doublings)))),
        "they come too late each time"
    );
    let order: Vec<i32> = ORDER.iter().map(|place| place.load(Ordering::SeqCst)).collect();
    assert_eq!(order, (0..20).collect::<Vec<_>>());
}

fn no_time(_: &[&str]) {
    let before = metrics().parks;
    for _ in 0..1000 {
        sleep(Duration::ZERO);
    }
    assert_eq!(metrics().parks, before, "it waited");
    sleep(Duration::from_nanos(1));
}

fn longest(_: &[&str]) {
    for time in [Duration::MAX, Duration::from_nanos(i64::MAX as u64), Duration::from_secs(1 << 33)] {
        drop(spawn(move || {
            sleep(time);
            panic!("{time:?} are over");
        }));
    }
    sleep(ms(20));
}

/// For ever: the test ends it.
fn longest_of_all(_: &[&str]) {
    netpoll::println!("asleep");
    sleep(Duration::MAX);
    panic!("they are over");
}

fn no_descriptors(_: &[&str]) {
    let old = limit(Resource::Nofile, 3);
    let start = Instant::now();
    let other = spawn(move || {
        sleep(ms(40));
        start.elapsed()
    });
    sleep(ms(15));
    assert!(start.elapsed() >= ms(15));
    assert!(other.join() >= ms(40));
    limit(Resource::Nofile, old);
    sleep(ms(2)); // and with the poller, which can be made now
    assert!(netpoll::net::TcpListener::bind(crate::support::LOOPBACK).is_ok());
}

/// With no memory for its timer a task still sleeps, and lets others run meanwhile.
fn no_memory(_: &[&str]) {
    crate::heap::reserve();
    static ASLEEP: AtomicBool = AtomicBool::new(false);
    static DONE: AtomicBool = AtomicBool::new(false);
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let other = spawn(move || {
        while !DONE.load(Ordering::SeqCst) {
            RAN.fetch_add(ASLEEP.load(Ordering::SeqCst).into(), Ordering::SeqCst);
            yield_now();
        }
    });
    let old = limit(Resource::As, 4096);
    // On a loaded machine the other task may have no turn in so short a time.
    let ran = (0..PATIENCE.as_millis() / 60).any(|_| {
        let start = Instant::now();
        ASLEEP.store(true, Ordering::SeqCst);
        sleep(ms(60));
        ASLEEP.store(false, Ordering::SeqCst);
        assert!(start.elapsed() >= ms(60));
        RAN.load(Ordering::SeqCst) > 1
    });
    limit(Resource::As, old);
    DONE.store(true, Ordering::SeqCst);
    other.join();
    assert!(ran, "the sleeper kept the thread for itself");
}

/// On a thread without a P, while all others sleep or are in calls.
fn no_memory_in_a_call(_: &[&str]) {
    crate::heap::reserve();
    static IN_CALL: AtomicBool = AtomicBool::new(false);
    static NO_MEMORY: AtomicBool = AtomicBool::new(false);
    static AWAKE: AtomicBool = AtomicBool::new(false);
    let wait_for = |flag: &AtomicBool| {
        let start = Instant::now();
        while !flag.load(Ordering::SeqCst) {
            assert!(start.elapsed() < PATIENCE, "it does not wake");
            let _ = nanosleep(&Timespec::from_nanos(1_000_000), None);
        }
    };
    let other = spawn(move || {
        blocking(|| {
            IN_CALL.store(true, Ordering::SeqCst);
            wait_for(&NO_MEMORY);
            let start = Instant::now();
            sleep(ms(1));
            assert!(start.elapsed() >= ms(1));
            AWAKE.store(true, Ordering::SeqCst);
        });
    });
    eventually("the other's call", || IN_CALL.load(Ordering::SeqCst));
    let mut timers = Vec::with_capacity(256);
    blocking(|| {
        // All that the first heap has room for.
        timers.extend((0..256).map(|_| Timer::after(10 * PATIENCE)));
        let old = limit(Resource::As, 4096);
        NO_MEMORY.store(true, Ordering::SeqCst);
        wait_for(&AWAKE);
        limit(Resource::As, old);
    });
    other.join();
}

fn instants(_: &[&str]) {
    let a = Instant::now();
    let mut b = a + ms(1500);
    assert_eq!(b - a, ms(1500));
    assert_eq!(a - b, Duration::ZERO);
    assert!(b > a && b.duration_since(a) == ms(1500));
    b -= ms(500);
    b += ms(1);
    assert_eq!(b, a + ms(1001));
    assert_eq!(a.checked_add(Duration::MAX), None);
    assert_eq!(a.checked_sub(Duration::MAX), None);
    assert_eq!(a.checked_add(ms(1)).unwrap() - ms(1), a);
    assert!(a + Duration::MAX > a && a - Duration::MAX < a);
    let mut last = a;
    for _ in 0..10_000 {
        let now = Instant::now();
        assert!(now >= last);
        last = now;
    }
    assert!(a.elapsed() > Duration::ZERO);
}
