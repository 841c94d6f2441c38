//! `syncprog bench`: what the common operations cost, in ns, the best of several rounds. For eyes, not for
//! a gate; with `NETPOLL_THREADS=1` tasks take turns on one thread.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use netpoll::io::pipe;
use netpoll::sync::{Condvar, Mutex, Once, RwLock, Semaphore, WaitGroup, channel};
use netpoll::time::Instant;
use netpoll::{println, scope, select, spawn, yield_now};

const N: u64 = 400_000;

/// Prints the best time of an operation that `work` does `N` times.
fn measure(name: &str, work: impl Fn()) {
    let best = (0..5)
        .map(|_| {
            let begin = Instant::now();
            work();
            begin.elapsed().as_nanos() as u64
        })
        .min()
        .unwrap_or(0);
    println!("{name} {}.{} ns", best / N, best * 10 / N % 10);
}

pub fn run() {
    measure("two atomic exchanges, to compare", || {
        let word = AtomicU32::new(0);
        for _ in 0..N {
            let word = core::hint::black_box(&word);
            word.swap(1, Ordering::Acquire);
            word.swap(0, Ordering::Release);
        }
    });
    measure("mutex, alone: lock + unlock", || {
        let mutex = Mutex::new(0u64);
        (0..N).for_each(|_| *core::hint::black_box(&mutex).lock() += 1);
    });
    measure("mutex, 4 tasks: lock + unlock", || four(|mutex| *mutex.lock() += 1));
    measure("mutex, 4 tasks that yield while they hold it", || {
        four(|mutex| {
            let _guard = mutex.lock();
            yield_now();
        });
    });
    measure("rwlock: read + unlock", || {
        let lock = RwLock::new(0u64);
        (0..N).for_each(|_| drop(core::hint::black_box(&lock).read()));
    });
    measure("once, done", || {
        let once = Once::new();
        (0..N).for_each(|_| core::hint::black_box(&once).call_once(|| ()));
    });
    measure("semaphore: acquire + release", || {
        let semaphore = Semaphore::new(1);
        for _ in 0..N {
            semaphore.acquire(1);
            semaphore.release(1);
        }
    });
    measure("wait group: add + done", || {
        let group = WaitGroup::new();
        for _ in 0..N {
            group.add(1);
            group.done();
        }
    });
    measure("condvar: notify_one, nobody waits", || {
        let condvar = Condvar::new();
        (0..N).for_each(|_| core::hint::black_box(&condvar).notify_one());
    });
    measure("channel of 64, one task: send + receive", || {
        let (tx, rx) = channel(64);
        for n in 0..N {
            tx.send(n).unwrap();
            rx.recv();
        }
    });
    measure("channel of 64, two tasks: a message", || {
        let (tx, rx) = channel(64);
        let sender = spawn(move || (0..N).for_each(|n| tx.send(n).unwrap()));
        assert_eq!(rx.iter().count() as u64, N);
        sender.join();
    });
    measure("channels of 0: round trip", || {
        let (tx, ping) = channel(0);
        let (pong, rx) = channel(0);
        let echo = spawn(move || ping.iter().for_each(|n| pong.send(n).unwrap()));
        for n in 0..N {
            tx.send(n).unwrap();
            rx.recv();
        }
        drop(tx);
        echo.join();
    });
    measure("receive with a deadline: round trip", || {
        let (tx, ping) = channel(0);
        let (pong, rx) = channel(0);
        let echo = spawn(move || ping.iter().for_each(|n| pong.send(n).unwrap()));
        let deadline = Instant::now() + Duration::from_secs(60);
        for n in 0..N {
            tx.send(n).unwrap();
            rx.recv_deadline(deadline).unwrap();
        }
        drop(tx);
        echo.join();
    });
    measure("select of two ready arms", || {
        let ((a, ra), (b, rb)) = (channel(1), channel(1));
        a.send(0).unwrap();
        b.send(0).unwrap();
        for n in 0..N {
            select! {
                recv(ra) -> _ => a.send(n).unwrap(),
                recv(rb) -> _ => b.send(n).unwrap(),
            }
        }
    });
    measure("select of a ready arm beside a quiet pipe", || {
        let (reader, _writer) = pipe().unwrap();
        let (tx, rx) = channel(1);
        tx.send(1u64).unwrap();
        (0..N).for_each(|_| {
            select! {
                recv(rx) -> v => tx.send(v.unwrap()).unwrap(),
                readable(reader) -> _ => unreachable!(),
            }
        });
    });
    measure("select of two arms that parks: round trip", || {
        let (tx, ping) = channel(0);
        let (pong, rx) = channel(0);
        let (_keep, quiet) = channel::<u64>(0);
        let echo = spawn(move || ping.iter().for_each(|n| pong.send(n).unwrap()));
        for n in 0..N {
            tx.send(n).unwrap();
            select! {
                recv(rx) -> _ => {}
                recv(quiet) -> _ => {}
            }
        }
        drop(tx);
        echo.join();
    });
    measure("make and drop a channel", || (0..N).for_each(|_| drop(channel::<u64>(0))));
    measure("scope with one task", || {
        for n in 0..N {
            assert_eq!(scope(|s| s.spawn(|| n).join()), n);
        }
    });
}

fn four(op: impl Fn(&Mutex<u64>) + Copy + Send + Sync) {
    let mutex = Mutex::new(0);
    scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..N / 4).for_each(|_| op(core::hint::black_box(&mutex))));
        }
    });
}
