//! System calls that are mostly quick: `syscall`, and what the monitor does when they are not.

use crate::Scenario;
use crate::support::{PATIENCE, Random, SETTLE, close, join_all, ms};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use netpoll::sync::{Mutex, channel};
use netpoll::sys::fd::{OFlags, pipe2, read, write};
use netpoll::sys::process::getpid;
use netpoll::sys::time::{Timespec, nanosleep};
use netpoll::time::{Instant, sleep};
use netpoll::{blocking, runtime, spawn, syscall, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("calls_that_block_on_all_threads_keep_nobody_waiting", keep_nobody_waiting),
    ("behind_the_first_others_wait_for_microseconds", microseconds),
    ("calls_race_with_retakes", race),
    ("parking_within_a_call", parking),
    ("calls_within_calls", nested),
    ("a_task_always_in_calls_is_no_hog", no_hog),
    ("a_second_task_gets_its_turn", second_task),
];

fn pause(micros: i64) {
    // EINTR: the monitor may have meant the computation before.
    let _ = nanosleep(&Timespec::from_nanos(micros * 1000), None);
}

/// More readers of pipes than threads, all in read(2) at once; only then is there something to read.
fn keep_nobody_waiting(words: &[&str]) {
    static IN_CALL: AtomicU32 = AtomicU32::new(0);
    let threads: u32 = words[0].parse().unwrap();
    for round in 1..=20 {
        let n = threads + 2;
        IN_CALL.store(0, Ordering::SeqCst);
        let pipes: Vec<_> = (0..n).map(|_| pipe2(OFlags::CLOEXEC).unwrap()).collect();
        let readers: Vec<_> = pipes
            .iter()
            .map(|&[from, _]| {
                spawn(move || {
                    syscall(|| {
                        IN_CALL.fetch_add(1, Ordering::SeqCst);
                        let mut byte = [0];
                        assert_eq!(read(from, &mut byte), Ok(1));
                        byte[0]
                    })
                })
            })
            .collect();
        let start = Instant::now();
        while IN_CALL.load(Ordering::SeqCst) != n {
            yield_now();
            assert!(
                start.elapsed() < PATIENCE,
                "{} of {n} came to their call",
                IN_CALL.load(Ordering::SeqCst)
            );
        }
        for (i, &[_, to]) in pipes.iter().enumerate() {
            write(to, &[round ^ i as u8]).unwrap();
        }
        for (i, byte) in join_all(readers).into_iter().enumerate() {
            assert_eq!(byte, round ^ i as u8);
        }
        for fd in pipes.into_iter().flatten() {
            close(fd).unwrap();
        }
    }
    assert!(runtime::metrics().retakes != 0);
}

/// The calls end only when somebody else has run on what their thread left: a quarter of them within a time that no pace
/// but the quick one allows. Where the machine has more to do than this, it may take some rounds until they do.
fn microseconds(_: &[&str]) {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    static DONE: AtomicBool = AtomicBool::new(false);
    drop(spawn(|| {
        while !DONE.load(Ordering::SeqCst) {
            TURNS.fetch_add(1, Ordering::SeqCst);
            yield_now();
        }
    }));
    let call = || {
        // Twice: the first may have been made while another thread had the call before.
        let wanted = TURNS.load(Ordering::SeqCst) + 2;
        let start = Instant::now();
        syscall(|| {
            while TURNS.load(Ordering::SeqCst) < wanted {
                assert!(start.elapsed() < PATIENCE, "nobody ran");
                pause(1);
            }
        });
        start.elapsed()
    };
    let start = Instant::now();
    loop {
        let mut took: Vec<Duration> = (0..100).map(|_| call()).collect();
        took.sort_unstable();
        if took[25] < ms(3) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{took:?}");
    }
    DONE.store(true, Ordering::SeqCst);
}

/// Calls of every length around the monitor's patience, beside work in queues, for a while.
fn race(words: &[&str]) {
    let threads: u64 = words[0].parse().unwrap();
    let sum = Arc::new(Mutex::new(0u64));
    let (tx, rx) = channel(2);
    let start = Instant::now();
    let tasks = (0..2 * threads + 2).map(|i| {
        let (sum, tx) = (sum.clone(), tx.clone());
        spawn(move || {
            let (random, mut rounds) = (Random::new(i * 7919 + 1), 0u64);
            while start.elapsed() < ms(400) || runtime::metrics().retakes == 0 && start.elapsed() < PATIENCE {
                match random.below(8) {
                    0 => syscall(|| pause(random.below(60) as i64)),
                    1 => {
                        let until = Instant::now() + Duration::from_micros(random.below(45));
                        syscall(|| while Instant::now() < until {});
                    }
                    2 => yield_now(),
                    3 => tx.send(1u64).unwrap(),
                    4 => assert!(spawn(|| syscall(getpid)).join() > 0),
                    _ => assert!(syscall(getpid) > 0),
                }
                *sum.lock() += 1;
                rounds += 1;
            }
            rounds
        })
    });
    let tasks: Vec<_> = tasks.collect();
    drop(tx);
    let sent = spawn(move || core::iter::from_fn(|| rx.recv()).sum::<u64>());
    let rounds: u64 = join_all(tasks).into_iter().sum();
    assert!(sent.join() <= rounds);
    assert_eq!(*sum.lock(), rounds);
    assert!(runtime::metrics().retakes != 0);
}

/// What is called may use the runtime: the task leaves its thread in the middle of the call.
fn parking(_: &[&str]) {
    static SUM: AtomicU32 = AtomicU32::new(0);
    // The thread goes on with the P that it left in the call, and nobody has to take it back.
    (0..1000).for_each(|_| syscall(yield_now));
    let retakes = runtime::metrics().retakes;
    assert!(retakes < 200, "{retakes}");
    join_all((0..40u32).map(|i| {
        spawn(move || {
            let n = syscall(|| {
                pause(i64::from(i % 3) * 30); // sometimes the P is gone by now
                match i % 4 {
                    0 => sleep(Duration::from_micros(200)),
                    1 => yield_now(),
                    2 => drop(spawn(|| 0)),
                    _ => {}
                }
                pause(i64::from(i % 2) * 30);
                let n = spawn(move || syscall(|| i)).join();
                pause(30);
                n
            });
            SUM.fetch_add(n, Ordering::SeqCst);
            yield_now();
        })
    }));
    assert_eq!(SUM.load(Ordering::SeqCst), 780);
}

fn nested(_: &[&str]) {
    join_all((0..20).map(|i| {
        spawn(move || {
            for _ in 0..20 {
                let pauses = || {
                    pause(30 * (i % 2));
                    1
                };
                let calls = [
                    syscall(|| syscall(pauses) + syscall(pauses)),
                    syscall(|| blocking(pauses) + syscall(pauses)),
                    blocking(|| syscall(pauses) + blocking(pauses)),
                    syscall(|| syscall(|| blocking(|| syscall(pauses))) + 1),
                ];
                assert_eq!(calls, [2; 4]);
            }
        })
    }));
}

/// No call lasts, and yet whenever the monitor looks the task is in one: without a rule for that, it takes
/// seconds until a look finds it elsewhere, as a rule. With it, half of the times are short, if not in the first round
/// on a machine that has more to do than this.
fn no_hog(words: &[&str]) {
    static RAN: AtomicBool = AtomicBool::new(false);
    let threads: usize = words[0].parse().unwrap();
    let always_in_calls = || {
        let start = Instant::now();
        while !RAN.load(Ordering::SeqCst) {
            assert!(start.elapsed() < PATIENCE, "nobody else ran");
            let until = Instant::now() + Duration::from_micros(15);
            syscall(|| while Instant::now() < until {});
        }
    };
    let wait = || {
        RAN.store(false, Ordering::SeqCst);
        let tasks: Vec<_> = (0..threads).map(|_| spawn(always_in_calls)).collect();
        sleep(SETTLE);
        let start = Instant::now();
        drop(spawn(|| RAN.store(true, Ordering::SeqCst)));
        always_in_calls();
        let took = start.elapsed();
        join_all(tasks);
        took
    };
    let start = Instant::now();
    loop {
        let mut waits: Vec<Duration> = (0..9).map(|_| wait()).collect();
        waits.sort_unstable();
        if waits[4] < ms(200) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{waits:?}");
    }
}

/// No descriptor, no timer: two tasks are reason enough for the monitor.
fn second_task(_: &[&str]) {
    static RAN: AtomicBool = AtomicBool::new(false);
    let start = Instant::now();
    drop(spawn(|| RAN.store(true, Ordering::SeqCst)));
    while !RAN.load(Ordering::SeqCst) {
        assert!(start.elapsed() < PATIENCE, "main is not interrupted");
    }
}
