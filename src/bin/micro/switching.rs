//! From one task to another.

use netpoll::net::UnixStream;
use netpoll::sync::{Mutex, channel};
use netpoll::{scope, yield_now};

pub fn yields(n: usize) {
    scope(|s| {
        for _ in 0..2 {
            drop(s.spawn(|| (0..n / 2).for_each(|_| yield_now())));
        }
    });
}

pub fn channels(n: usize) {
    let (there, from_there) = channel(0);
    let (back, from_back) = channel(0);
    scope(|s| {
        drop(s.spawn(move || {
            for value in from_there.iter() {
                assert!(back.send(value).is_ok());
            }
        }));
        drop(s.spawn(move || {
            for i in 0..n {
                assert!(there.send(i).is_ok());
                assert_eq!(from_back.recv(), Some(i));
            }
        }));
    });
}

fn four_tasks(n: usize, within: impl Fn() + Copy + Send + Sync) {
    let count = Mutex::new(0);
    scope(|s| {
        for _ in 0..4 {
            drop(s.spawn(|| {
                for _ in 0..n / 4 {
                    let mut count = count.lock();
                    *count += 1;
                    within();
                }
            }));
        }
    });
    assert_eq!(*count.lock(), n / 4 * 4);
}

pub fn mutex(n: usize) {
    four_tasks(n, || ());
}

pub fn contended_mutex(n: usize) {
    four_tasks(n, yield_now);
}

pub fn pipes(n: usize) {
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    scope(|s| {
        drop(s.spawn(move || {
            let mut buf = [0; 4096];
            while let Ok(len @ 1..) = far.read(&mut buf) {
                far.write_all(&buf[..len]).expect("the other end is there");
            }
        }));
        drop(s.spawn(move || {
            let mut buf = [0; 4096];
            for _ in 0..n {
                near.write_all(&buf[..64]).expect("the other end is there");
                assert_eq!(near.read(&mut buf), Ok(64));
            }
        }));
    });
}
