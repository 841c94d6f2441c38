//! Calls that block their thread, and what the program tells of its tasks.

use crate::Scenario;
use crate::support::{LOOPBACK, PATIENCE, SETTLE, after, join_all, limit, ms};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use netpoll::io::pipe;
use netpoll::net::{Error, TcpListener};
use netpoll::sync::Semaphore;
use netpoll::sys::process::{Resource, getpid};
use netpoll::sys::signal::{SIGQUIT, kill};
use netpoll::sys::time::{Timespec, nanosleep};
use netpoll::time::{Instant, sleep};
use netpoll::{blocking, runtime, spawn, syscall, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("others_run_when_a_thread_is_to_be_had_again", threads_refused),
    ("blocking_calls_run_side_by_side", side_by_side),
    ("others_run_beside_a_blocking_call", others_run),
    ("a_blocking_call_may_use_the_runtime", uses_the_runtime),
    ("the_only_task_may_park_in_a_call", parks_alone),
    ("dump", |_| tell(runtime::dump_tasks)),
    ("quit", |_| tell(quit)),
];

/// Sleeps with the thread, without a call of the runtime.
fn pause(nanos: i64) {
    let _ = nanosleep(&Timespec::from_nanos(nanos), None);
}

/// No call ends before all ten are in theirs, four times.
fn side_by_side(_: &[&str]) {
    const TASKS: u32 = 10;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    join_all((0..TASKS).map(|_| {
        spawn(|| {
            for round in 1..=4 {
                blocking(|| {
                    CALLS.fetch_add(1, Ordering::SeqCst);
                    let start = Instant::now();
                    while CALLS.load(Ordering::SeqCst) < round * TASKS {
                        assert!(start.elapsed() < PATIENCE, "{} calls", CALLS.load(Ordering::SeqCst));
                        pause(1_000_000);
                    }
                });
            }
        })
    }));
}

/// With one thread for tasks, too: the call ends only when somebody else has run.
fn others_run(_: &[&str]) {
    static RAN: AtomicBool = AtomicBool::new(false);
    let other = spawn(|| {
        sleep(ms(1));
        RAN.store(true, Ordering::SeqCst);
    });
    let start = Instant::now();
    blocking(|| {
        while !RAN.load(Ordering::SeqCst) {
            assert!(start.elapsed() < PATIENCE, "nobody ran");
            pause(100_000);
        }
    });
    other.join();
}

/// At the time of the call there is no memory for one.
fn threads_refused(_: &[&str]) {
    static RAN: AtomicBool = AtomicBool::new(false);
    crate::heap::reserve();
    let other = spawn(|| {
        sleep(ms(1));
        RAN.store(true, Ordering::SeqCst);
    });
    let (start, old) = (Instant::now(), limit(Resource::As, 4096));
    blocking(|| {
        pause(200_000_000);
        limit(Resource::As, old);
        while !RAN.load(Ordering::SeqCst) {
            assert!(start.elapsed() < PATIENCE, "nobody ran");
            pause(100_000);
        }
    });
    other.join();
}

fn uses_the_runtime(_: &[&str]) {
    static SUM: AtomicU32 = AtomicU32::new(0);
    join_all((0..20u32).map(|i| {
        spawn(move || {
            let n = blocking(|| {
                sleep(ms(1)); // parks, and comes back on some thread with a P
                blocking(|| spawn(move || i).join())
            });
            SUM.fetch_add(n, Ordering::SeqCst);
        })
    }));
    assert_eq!(SUM.load(Ordering::SeqCst), 190);
}

/// All other threads sleep, and none is in the poller.
fn parks_alone(_: &[&str]) {
    let parks = || {
        pause(50_000_000);
        sleep(ms(1));
        let (reader, _writer) = pipe().unwrap();
        reader.set_read_deadline(Some(after(ms(1)))).unwrap();
        assert_eq!(reader.read(&mut [0]), Err(Error::TimedOut));
    };
    blocking(parks);
    syscall(parks); // which has lost its P by then
}

/// The signal may be another thread's to handle: there is time for that.
fn quit() {
    kill(getpid(), Some(SIGQUIT)).unwrap();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        core::hint::spin_loop();
    }
}

/// Tasks of several kinds, each at its place, and then the telling.
fn tell(how: impl FnOnce()) {
    const LONG: Duration = Duration::from_secs(3600);
    static NEVER: Semaphore = Semaphore::new(0);
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let stays = || {
        CALLS.fetch_add(1, Ordering::SeqCst);
        pause(LONG.as_nanos() as i64);
    };
    let before = runtime::metrics().parks;
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    drop(spawn(move || listener.accept().map(drop)));
    drop(spawn(|| sleep(LONG)));
    drop(spawn(|| NEVER.acquire(1)));
    drop(spawn(move || blocking(stays)));
    drop(spawn(move || syscall(stays)));
    // On one thread and a loaded machine it takes a while until three have parked, and two are in their calls. This task
    // yields meanwhile: a sleep would be a park, too.
    let start = Instant::now();
    let there = || {
        let counts = runtime::metrics();
        (counts.tasks, counts.waiters) == (6, 1)
            && counts.parks >= before + 3
            && CALLS.load(Ordering::SeqCst) == 2
    };
    while !there() {
        assert!(start.elapsed() < PATIENCE, "not every task comes to its place");
        yield_now();
    }
    sleep(SETTLE);
    how();
}
