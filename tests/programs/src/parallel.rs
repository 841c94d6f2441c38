//! Several threads: who runs at the same time, and who must not be kept waiting.

use crate::Scenario;
use crate::support::{LOOPBACK, PATIENCE, eventually, join_all, ms};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::{black_box, spin_loop};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use netpoll::net::TcpListener;
use netpoll::sync::channel;
use netpoll::time::{Instant, sleep};
use netpoll::{println, runtime, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("all_threads_run_at_once", |words| at_once(threads(words), false, false)),
    ("all_threads_run_at_once_under_load", |words| at_once(threads(words), true, false)),
    ("all_threads_run_at_once_with_a_poller", |words| at_once(threads(words), false, true)),
    ("all_threads_run_at_once_with_both", |words| at_once(threads(words), true, true)),
    ("a_timer_beside_a_ping_pong", |_| timer_fairness(|| ())),
    ("a_timer_beside_a_ping_pong_with_calls", |_| timer_fairness(system_call)),
    ("pairs_do_not_hog", pairs),
    ("echo_beside_loops", |words| echo_beside(threads(words) * EACH, endless)),
    ("echo_beside_long_turns", |words| echo_beside(threads(words) * EACH, long_turns)),
    ("no_false_deadlock", no_false_deadlock),
    ("idle", idle),
];

/// So many tasks compute for each thread, while an echo is waited for. The test knows it, too.
const EACH: usize = 64;

/// How many threads run tasks, as the test tells.
fn threads(words: &[&str]) -> usize {
    words[0].parse().unwrap()
}

/// As many tasks as threads, each of which waits, spinning, for all others: they get on only if all of
/// them run at once (Go: TestGoroutineParallelism2).
fn at_once(threads: usize, load: bool, poller: bool) {
    const ROUNDS: usize = 10;
    let listener = poller.then(|| Arc::new(TcpListener::bind(LOOPBACK).unwrap()));
    let accepting = listener.clone().map(|listener| spawn(move || listener.accept().map(drop)));
    for _ in 0..5 {
        if load {
            // Threads that have just become idle, and are on their way to sleep.
            join_all((0..threads).map(|_| spawn(|| (0..100_000u32).fold(0, |sum, i| black_box(sum ^ i)))));
        }
        let arrived = Arc::new(AtomicUsize::new(0));
        join_all((0..threads).map(|_| {
            let arrived = arrived.clone();
            spawn(move || {
                for round in 1..=ROUNDS {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    while arrived.load(Ordering::SeqCst) < round * threads {
                        spin_loop();
                    }
                }
            })
        }));
    }
    if let Some(listener) = listener {
        listener.close().unwrap();
    }
    accepting.into_iter().for_each(|task| assert!(task.join().is_err()));
}

/// Two tasks that ready each other until a sleeper has woken five times (Go: TestTimerFairness).
fn timer_fairness(between: fn()) {
    static DONE: AtomicBool = AtomicBool::new(false);
    let (ping, pinged) = channel(0);
    let (pong, ponged) = channel(0);
    let one = spawn(move || {
        while ping.send(()).is_ok() && ponged.recv().is_some() {
            between();
        }
    });
    let other = spawn(move || {
        while pinged.recv().is_some() && !DONE.load(Ordering::Relaxed) && pong.send(()).is_ok() {
            between();
        }
    });
    for _ in 0..5 {
        let start = Instant::now();
        sleep(ms(20));
        assert!(start.elapsed() >= ms(20));
    }
    DONE.store(true, Ordering::Relaxed);
    one.join();
    other.join();
}

fn system_call() {
    black_box(netpoll::sys::thread::gettid());
}

/// Two pairs that ready each other, a task that yields, and the wakes of each (Go: TestPingPongHog). On
/// one thread; of the other's work a pair may do a thousand times as much in each turn.
fn pairs(_: &[&str]) {
    static DONE: AtomicBool = AtomicBool::new(false);
    static TURNS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];
    let mut tasks = Vec::new();
    for (turns, work) in [(&TURNS[0], 100_000u32), (&TURNS[1], 100)] {
        let (ping, pinged) = channel(0);
        let (pong, ponged) = channel(0);
        let turn = move || {
            black_box((0..work).fold(0, |sum, i| black_box(sum ^ i)));
            turns.fetch_add(1, Ordering::Relaxed);
        };
        tasks.push(spawn(move || {
            while ping.send(()).is_ok() && ponged.recv().is_some() {
                turn();
            }
        }));
        tasks.push(spawn(move || {
            while pinged.recv().is_some() && !DONE.load(Ordering::Relaxed) && pong.send(()).is_ok() {
                turn();
            }
        }));
    }
    tasks.push(spawn(|| {
        while !DONE.load(Ordering::Relaxed) {
            TURNS[2].fetch_add(1, Ordering::Relaxed);
            yield_now();
        }
    }));
    // The turns of a while differ by chance, and those of a long time do not.
    let start = Instant::now();
    loop {
        sleep(ms(300));
        let turns = TURNS.each_ref().map(|turns| turns.load(Ordering::Relaxed));
        let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
        if *least > 0 && most / least <= 20 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{turns:?}");
    }
    DONE.store(true, Ordering::Relaxed);
    join_all(tasks);
}

fn endless() {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Computes for 5 ms at a time.
fn long_turns() {
    loop {
        let start = Instant::now();
        while start.elapsed() < ms(5) {
            spin_loop();
        }
        yield_now();
    }
}

/// Answers one client beside `tasks` of that kind; prints the port. An answer is how often a thread has taken a task up.
fn echo_beside(tasks: usize, kind: fn()) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let port = listener.local_addr().unwrap().port();
    // So that the threads that the tasks will run on have slept before.
    join_all((0..tasks).map(|_| spawn(|| sleep(ms(1)))));
    sleep(ms(5));
    (0..tasks).for_each(|_| drop(spawn(kind)));
    println!("{port}");
    let (stream, _) = listener.accept().unwrap();
    let mut buf = [0; 64];
    while let Ok(1..) = stream.read(&mut buf) {
        stream.write_all(&runtime::metrics().switches.to_ne_bytes()).unwrap();
    }
}

/// Again and again everybody waits: for a timer that is about to fire, while the last that computes
/// comes to its end.
fn no_false_deadlock(words: &[&str]) {
    let threads = threads(words);
    for round in 0..300u64 {
        let sleeper = spawn(move || sleep(Duration::from_micros(1000 + round)));
        let busy: Vec<_> = (0..threads)
            .map(|i| {
                spawn(move || {
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_micros(900 + round + 50 * i as u64 % 200) {
                        spin_loop();
                    }
                })
            })
            .collect();
        sleeper.join();
        join_all(busy);
    }
}

/// Everybody waits for something that does not come.
fn idle(_: &[&str]) {
    let ends: Vec<_> = (0..50).map(|_| netpoll::io::pipe().unwrap()).collect();
    let waiting: Arc<AtomicUsize> = Arc::default();
    for (reader, writer) in ends {
        let waiting = waiting.clone();
        drop(spawn(move || {
            waiting.fetch_add(1, Ordering::SeqCst);
            let _writer = writer;
            reader.read(&mut [0])
        }));
        drop(spawn(|| sleep(ms(3_600_000))));
    }
    eventually("all of them", || waiting.load(Ordering::SeqCst) == 50);
    println!("idle");
    sleep(ms(3_600_000));
}
