//! Programs in which nobody can go on.

use crate::Scenario;
use crate::support::{SETTLE, join_all, ms};
use alloc::sync::Arc;
use core::hint::black_box;
use netpoll::io::pipe;
use netpoll::sync::{Semaphore, channel};
use netpoll::sys::time::{Timespec, nanosleep};
use netpoll::time::sleep;
use netpoll::{spawn, syscall};

pub const SCENARIOS: &[Scenario] = &[
    ("deadlock_of_tasks_that_computed", computed),
    ("deadlock_behind_the_last_timer", behind_a_timer),
    ("deadlock_behind_the_last_waiter", behind_a_waiter),
    ("deadlock_behind_calls", behind_calls),
    ("deadlock_of_main_alone", |_| NEVER.acquire(1)),
];

static NEVER: Semaphore = Semaphore::new(0);

/// On several threads, and one after the other to its end.
fn computed(_: &[&str]) {
    join_all((0..20u64).map(|n| {
        spawn(move || {
            black_box((0..n * 10_000).fold(0, |sum, i| black_box(sum ^ i)));
            NEVER.acquire(1);
        })
    }));
}

/// A thread sleeps in the poller until the last timer has fired.
fn behind_a_timer(_: &[&str]) {
    join_all((0..5).map(|n| {
        spawn(move || {
            sleep(ms(n));
            NEVER.acquire(1);
        })
    }));
}

/// The last to go has lost its P in a call.
fn behind_calls(_: &[&str]) {
    join_all((0..5).map(|n| {
        spawn(move || {
            syscall(|| nanosleep(&Timespec::from_nanos(n * 5_000_000), None).is_ok());
            NEVER.acquire(1);
        })
    }));
}

/// A thread sleeps in the poller, and what it waits for goes away.
fn behind_a_waiter(_: &[&str]) {
    let (reader, _writer) = pipe().unwrap();
    let reader = Arc::new(reader);
    let (tx, rx) = channel::<()>(0);
    let waits = {
        let (reader, tx) = (reader.clone(), tx.clone());
        spawn(move || {
            assert!(reader.read(&mut [0]).is_err());
            tx.send(()).unwrap(); // nobody receives
        })
    };
    sleep(SETTLE);
    reader.close().unwrap();
    waits.join();
    drop((tx, rx));
}
