//! Sleeping and the clock.

use crate::Scenario;
use crate::support::{Random, after, join_all, limit, ms};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use core::time::Duration;
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
            slept - time
        }));
    }
    let mut late = join_all(tasks);
    late.sort_unstable();
    assert!(late[50] < ms(20), "half of them are late by {:?} or more", late[50]);
}

fn in_order(_: &[&str]) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static ORDER: [AtomicI32; 20] = [const { AtomicI32::new(-1) }; 20];
    let start = after(ms(100)); // all asleep by then
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let place = i * 7 % 20;
            spawn(move || {
                sleep(start + ms(5) * place as u32 - Instant::now());
                ORDER[NEXT.fetch_add(1, Ordering::SeqCst)].store(place, Ordering::SeqCst);
            })
        })
        .collect();
    join_all(tasks);
    let order: Vec<i32> = ORDER.iter().map(|place| place.load(Ordering::SeqCst)).collect();
    assert_eq!(order, (0..20).collect::<Vec<_>>());
}

fn no_time(_: &[&str]) {
    let start = Instant::now();
    for _ in 0..1000 {
        sleep(Duration::ZERO);
    }
    assert!(start.elapsed() < ms(500));
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
    assert!((ms(15)..ms(1000)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!((ms(40)..ms(1000)).contains(&other.join()));
    limit(Resource::Nofile, old);
    sleep(ms(2)); // and with the poller, which can be made now
    assert!(netpoll::net::TcpListener::bind(crate::support::LOOPBACK).is_ok());
}

/// With no memory for its timer a task still sleeps, and lets others run meanwhile.
fn no_memory(_: &[&str]) {
    crate::heap::reserve();
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let start = Instant::now();
    let other = spawn(move || {
        while start.elapsed() < ms(20) {
            RAN.fetch_add(1, Ordering::SeqCst);
            yield_now();
        }
        start.elapsed()
    });
    let old = limit(Resource::As, 4096);
    sleep(ms(60));
    limit(Resource::As, old);
    assert!(start.elapsed() >= ms(60));
    assert!(RAN.load(Ordering::SeqCst) > 1, "the sleeper kept the thread for itself");
    assert!(other.join() < ms(60));
}

/// On a thread without a P, while all others sleep or are in calls.
fn no_memory_in_a_call(_: &[&str]) {
    crate::heap::reserve();
    let pause = |time| nanosleep(&Timespec::from_nanos(time), None).unwrap();
    let start = Instant::now();
    let other = spawn(move || {
        blocking(|| {
            pause(100_000_000);
            sleep(ms(1));
            start.elapsed()
        })
    });
    sleep(ms(20)); // it is in its call
    let mut timers = Vec::with_capacity(256);
    blocking(|| {
        timers.extend((0..256).map(|_| Timer::after(ms(60_000)))); // all that the first heap has room for
        let old = limit(Resource::As, 4096);
        pause(1_000_000_000);
        limit(Resource::As, old);
    });
    assert!((ms(101)..ms(1000)).contains(&other.join()));
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
