//! Spawning and joining; and calls that might block.

use core::hint::black_box;
use netpoll::sync::WaitGroup;
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
