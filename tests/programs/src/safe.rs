//! Safe code that does what it should not: it ends in a message, an error or a wait, and never in undefined behaviour.
#![forbid(unsafe_code)]

use crate::Scenario;
use crate::support::{LOOPBACK, join_all, ms};
use alloc::vec::Vec;
use core::mem::forget;
use netpoll::net::{TcpListener, TcpStream, UdpSocket};
use netpoll::rt::{Line, RawLock};
use netpoll::time::sleep;
use netpoll::{blocking, eprintln, spawn, syscall, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("lock_held_by_a_task_that_yields", |_| with_lock(yield_now)),
    ("lock_held_by_a_task_that_sleeps", |_| with_lock(|| sleep(ms(1)))),
    ("lock_held_by_a_task_that_reads", |_| with_lock(read)),
    ("lock_held_by_a_task_that_joins", |_| with_lock(|| spawn(|| sleep(ms(1))).join())),
    ("lock_held_by_a_task_that_blocks", |_| with_lock(|| blocking(|| ()))),
    ("lock_held_by_a_task_in_a_call", |_| with_lock(|| syscall(|| ()))),
    ("lock_held_by_a_task_that_ends", |_| with_lock(|| ())),
    ("lock_taken_and_released_by_all", taken_by_all),
    ("line_given_up", line_given_up),
    ("line_forgotten", line_forgotten),
    ("handles_by_the_billion", handles),
];

type Lock = lock_api::Mutex<RawLock, u64>;

/// Task 2 takes a lock that task 1 wants, and does `wait` with it.
fn with_lock(wait: fn()) {
    static LOCK: Lock = Lock::new(0);
    spawn(move || {
        forget(LOCK.lock());
        wait();
    })
    .join();
}

fn read() {
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let _ = socket.recv_from(&mut [0]);
}

/// The proper use, with tasks that are preempted in between.
fn taken_by_all(_: &[&str]) {
    static LOCK: Lock = Lock::new(0);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            spawn(|| {
                for turn in 0..20_000 {
                    match LOCK.try_lock() {
                        Some(mut n) => *n += 1,
                        None => *LOCK.lock() += 1,
                    }
                    if turn % 1000 == 0 {
                        yield_now();
                    }
                }
            })
        })
        .collect();
    join_all(tasks);
    assert_eq!(*LOCK.lock(), 160_000);
}

/// A line so long that it has the output to itself.
fn begun() -> Line {
    let mut line = Line::stderr();
    for _ in 0..100 {
        let _ = line.str("0123456789");
    }
    line
}

fn line_given_up(_: &[&str]) {
    drop(begun());
    spawn(|| eprintln!("the next")).join();
    let mut line = begun();
    line.end();
    let _ = line.str("not printed");
    drop(line);
    spawn(|| eprintln!("the last")).join();
}

/// The output stays with the task for ever; other tasks wait, and a report does not.
fn line_forgotten(_: &[&str]) {
    forget(begun());
    drop(spawn(|| eprintln!("never printed")));
    sleep(ms(20));
    panic!("on purpose");
}

/// More handles than can be counted. By hand: it takes a while.
fn handles(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    loop {
        forget(stream.try_clone());
    }
}
