//! Calls that block their thread, and what the program tells of its tasks.

use crate::Scenario;
use crate::support::{LOOPBACK, SETTLE, after, eventually, join_all, limit, ms};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use netpoll::io::pipe;
use netpoll::net::{Error, TcpListener};
use netpoll::sync::Semaphore;
use netpoll::sys::process::{Resource, getpid};
use netpoll::sys::signal::{SIGQUIT, kill};
use netpoll::sys::time::{Timespec, nanosleep};
use netpoll::time::{Instant, sleep};
use netpoll::{blocking, runtime, spawn, syscall};

pub const SCENARIOS: &[Scenario] = &[
    ("others_run_when_a_thread_is_to_be_had_again", threads_refused),
    ("blocking_calls_run_side_by_side", side_by_side),
    ("others_run_beside_a_blocking_call", others_run),
    ("a_blocking_call_may_use_the_runtime", uses_the_runtime),
    ("the_only_task_may_park_in_a_call", parks_alone),
    ("dump", |_| tell(runtime::dump_tasks)),
    ("quit", |_| tell(quit)),
];

fn block_thread(millis: i64) {
    blocking(|| nanosleep(&Timespec::from_nanos(millis * 1_000_000), None).unwrap());
}

/// One after the other they would take two seconds.
fn side_by_side(_: &[&str]) {
    let start = Instant::now();
    join_all((0..10).map(|_| spawn(|| (0..4).for_each(|_| block_thread(50)))));
    let took = start.elapsed();
    assert!(ms(200) <= took && took < ms(1500), "{took:?}");
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
            assert!(start.elapsed() < ms(10_000), "nobody ran");
            let _ = nanosleep(&Timespec::from_nanos(100_000), None);
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
        nanosleep(&Timespec::from_nanos(200_000_000), None).unwrap();
        limit(Resource::As, old);
        while !RAN.load(Ordering::SeqCst) {
            assert!(start.elapsed() < ms(10_000), "nobody ran");
            let _ = nanosleep(&Timespec::from_nanos(100_000), None);
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
        nanosleep(&Timespec::from_nanos(50_000_000), None).unwrap();
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
    while start.elapsed() < ms(10_000) {
        core::hint::spin_loop();
    }
}

/// Tasks of several kinds, each at its place, and then the telling.
fn tell(how: impl FnOnce()) {
    static NEVER: Semaphore = Semaphore::new(0);
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    drop(spawn(move || listener.accept().map(drop)));
    drop(spawn(|| sleep(ms(100_000))));
    drop(spawn(|| NEVER.acquire(1)));
    drop(spawn(|| block_thread(100_000)));
    drop(spawn(|| syscall(|| nanosleep(&Timespec::from_nanos(100_000_000_000), None))));
    // On one thread and a busy machine it takes a while until all have had their first turn, and a stack.
    eventually("every task's place", || {
        let counts = runtime::metrics();
        (counts.tasks, counts.spawns, counts.waiters) == (6, 6, 1) && counts.stacks >= 6
    });
    sleep(SETTLE);
    how();
}
