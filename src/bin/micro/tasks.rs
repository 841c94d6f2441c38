//! Spawning and joining; and calls that might block.

use core::hint::black_box;
use core::time::Duration;
use netpoll::sync::{WaitGroup, channel};
use netpoll::time::Instant;
use netpoll::{JoinHandle, blocking, spawn, syscall};

const WINDOW: usize = 1000;

pub fn windows(n: usize) {
    let mut window: [Option<JoinHandle<()>>; WINDOW] = [const { None }; WINDOW];
    for _ in 0..n / WINDOW {
        window.fill_with(|| Some(spawn(|| ())));
        window.iter_mut().for_each(|task| task.take().into_iter().for_each(JoinHandle::join));
    }
}

pub fn one_by_one(n: usize) {
    for _ in 0..n {
        spawn(|| ()).join();
    }
}

pub fn all(n: usize) {
    static RUNNING: WaitGroup = WaitGroup::new();
    RUNNING.add(n);
    for _ in 0..n {
        drop(spawn(|| RUNNING.done()));
    }
    RUNNING.wait();
}

/// Tasks that `alive` and `parked` run at least, so that a few are measured as precisely as many.
const TURNS: usize = 200_000;

/// Does `round`, of `n` turns, until there were enough of them. Returns what one round took; the first, which
/// finds nothing warm, does not count.
fn mean(n: usize, mut round: impl FnMut()) -> Duration {
    round();
    let rounds = TURNS.div_ceil(n.max(1)).max(2);
    let start = Instant::now();
    (0..rounds).for_each(|_| round());
    start.elapsed() / rounds as u32
}

pub fn alive(n: usize) -> Duration {
    mean(n, || all(n))
}

/// Returns what a message to each task took. The channel wakes those first that have waited longest.
pub fn parked(n: usize) -> Duration {
    let (tx, rx) = channel::<()>(0);
    for _ in 0..n {
        let rx = rx.clone();
        drop(spawn(move || while rx.recv().is_some() {}));
    }
    let round = || (0..n).for_each(|_| assert!(tx.send(()).is_ok()));
    mean(n, round)
}

pub fn quick_calls(n: usize) {
    for i in 0..n {
        syscall(|| black_box(i));
    }
}

pub fn long_calls(n: usize) {
    for i in 0..n {
        blocking(|| black_box(i));
    }
}
