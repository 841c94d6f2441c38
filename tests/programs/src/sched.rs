//! Who runs when, and how a program ends.

use crate::Scenario;
use crate::support::{PATIENCE, SETTLE, after, eventually, join_all, ms, pair};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use netpoll::time::{Instant, sleep};
use netpoll::{JoinHandle, println, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("two_that_yield_alternate", alternate),
    ("everybody_gets_on", progress),
    ("a_pair_starves_no_third", pair_and_third),
    ("a_pair_starves_no_timer_and_no_socket", pair_and_poller),
    ("exit_from_a_task", exit_from_a_task),
    ("deadlock", deadlock),
    ("sleepers_are_no_deadlock", sleepers),
];

/// Only with one thread: two threads have nothing to alternate for.
fn alternate(_: &[&str]) {
    static LOG: [AtomicU32; 2000] = [const { AtomicU32::new(0) }; 2000];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let tasks = [1, 2].map(|me| {
        spawn(move || {
            for _ in 0..1000 {
                LOG[NEXT.fetch_add(1, Ordering::SeqCst)].store(me, Ordering::SeqCst);
                yield_now();
            }
        })
    });
    join_all(tasks);
    let log: Vec<u32> = LOG.iter().map(|entry| entry.load(Ordering::SeqCst)).collect();
    assert!(log.windows(2).all(|two| two[0] != two[1]));
}

fn progress(_: &[&str]) {
    static STOP: AtomicBool = AtomicBool::new(false);
    static ROUNDS: [AtomicU32; 100] = [const { AtomicU32::new(0) }; 100];
    let tasks: Vec<_> = ROUNDS
        .iter()
        .map(|rounds| {
            spawn(|| {
                while !STOP.load(Ordering::Relaxed) {
                    rounds.fetch_add(1, Ordering::Relaxed);
                    yield_now();
                }
            })
        })
        .collect();
    eventually("everybody's turns", || ROUNDS.iter().all(|rounds| rounds.load(Ordering::Relaxed) > 10));
    STOP.store(true, Ordering::Relaxed);
    join_all(tasks);
}

/// Two tasks that wake each other, over and over: each new one is readied by the one that then waits for
/// it, and readies that one when it ends.
fn ping_pong(rounds: u32) {
    for _ in 0..rounds {
        spawn(|| ()).join();
    }
}

fn pair_and_third(_: &[&str]) {
    static STOP: AtomicBool = AtomicBool::new(false);
    static ROUNDS: AtomicU32 = AtomicU32::new(0);
    let third = spawn(|| {
        while !STOP.load(Ordering::Relaxed) {
            ROUNDS.fetch_add(1, Ordering::Relaxed);
            yield_now();
        }
    });
    ping_pong(100);
    // In 40,000 dispatches at least one in 61 is for the others; on a thread of its own, which may be off its
    // CPU for so short a time, in some more.
    let before = ROUNDS.load(Ordering::Relaxed);
    let fair = (0..500).any(|_| {
        ping_pong(20_000);
        ROUNDS.load(Ordering::Relaxed) - before > 300
    });
    STOP.store(true, Ordering::Relaxed);
    third.join();
    assert!(fair, "{}", ROUNDS.load(Ordering::Relaxed) - before);
}

fn pair_and_poller(_: &[&str]) {
    static WOKEN: AtomicU32 = AtomicU32::new(0);
    let (near, far) = pair();
    let sleeper = spawn(|| {
        sleep(ms(20));
        WOKEN.fetch_add(1, Ordering::SeqCst);
    });
    let reader = spawn(move || {
        far.read_exact(&mut [0; 4]).unwrap();
        WOKEN.fetch_add(1, Ordering::SeqCst);
    });
    yield_now();
    near.write_all(b"ping").unwrap();
    let start = Instant::now();
    while WOKEN.load(Ordering::SeqCst) != 2 {
        assert!(start.elapsed() < PATIENCE, "{} of 2 woken", WOKEN.load(Ordering::SeqCst));
        ping_pong(100);
    }
    sleeper.join();
    reader.join();
}

/// `main_returns STATUS`: with one task that yields for ever, one that sleeps and one that reads.
pub fn main_returns(words: &[&str]) -> i32 {
    drop(spawn(|| {
        loop {
            yield_now();
        }
    }));
    drop(spawn(|| sleep(ms(3_600_000))));
    let (near, far) = pair();
    drop(spawn(move || near.read(&mut [0]).map(drop)));
    sleep(SETTLE);
    drop(spawn(move || far.write_all(b"too late"))); // runnable, and never run or cut off
    words[0].parse().unwrap()
}

fn exit_from_a_task(words: &[&str]) {
    let status = words[0].parse().unwrap();
    netpoll::print!("begun");
    let task = spawn(move || netpoll::rt::exit(status));
    task.join();
}

/// One task holds the output while it waits for another, which waits for the output.
fn deadlock(_: &[&str]) {
    struct Waits(core::cell::Cell<Option<JoinHandle<()>>>);
    impl fmt::Display for Waits {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&"x".repeat(1000))?; // longer than what is printed in one piece
            self.0.take().into_iter().for_each(JoinHandle::join);
            Ok(())
        }
    }
    let printer = spawn(|| {
        sleep(SETTLE);
        println!("never seen");
    });
    spawn(move || println!("{}", Waits(core::cell::Cell::new(Some(printer))))).join();
}

fn sleepers(_: &[&str]) {
    static DONE: AtomicU32 = AtomicU32::new(0);
    let until = after(ms(30));
    let shared = Arc::new(until);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let until = Box::new(shared.clone());
            spawn(move || {
                sleep(until.duration_since(Instant::now()));
                DONE.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    join_all(tasks);
    assert_eq!(DONE.load(Ordering::SeqCst), 10);
}
