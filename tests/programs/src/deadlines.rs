//! Deadlines: Go's `timeout_test.go`, as far as TCP goes.

use crate::Scenario;
use crate::support::{
    LOOPBACK, LOTS, PATIENCE, Random, SETTLE, after, dup, error, fill, join_all, ms, narrow_pair, pair, past,
    waiting,
};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use netpoll::net::{Error, TcpListener, TcpStream};
use netpoll::time::{Instant, sleep};
use netpoll::{spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("accept_timeout", accept_timeout),
    ("accept_timeout_must_return", accept_must_return),
    ("accept_timeout_must_not_return", accept_must_not_return),
    ("read_timeout_beats_data", read_timeout),
    ("read_timeout_must_not_return", read_must_not_return),
    ("write_timeout_beats_room", write_timeout),
    ("write_timeout_must_not_return", write_must_not_return),
    ("read_timeout_fluctuation", |_| fluctuation(false)),
    ("write_timeout_fluctuation", |_| fluctuation(true)),
    ("various_deadlines", various),
    ("prolonged_timeout", prolonged),
    ("deadline_race", race),
    ("random_deadlines", random),
    ("one_sides_deadline_is_not_the_others", sides),
    ("a_deadline_wakes_whoever_waits", wakes),
    ("data_after_a_timeout", data_after),
    ("concurrent_earlier_deadlines", earlier),
];

fn accept_timeout(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.set_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_eq!(error(listener.accept()), Error::TimedOut);
    }
    listener.set_deadline(None).unwrap();
    assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    let start = Instant::now();
    listener.set_deadline(Some(start + ms(10))).unwrap();
    assert_eq!(error(listener.accept()), Error::TimedOut);
    assert!(start.elapsed() >= ms(10));
}

fn accept_must_return(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    listener.set_deadline(Some(past())).unwrap();
    listener.set_deadline(None).unwrap();
    let other = listener.try_clone().unwrap();
    let acceptor = waiting(move || error(other.accept()));
    listener.set_deadline(Some(after(ms(10)))).unwrap();
    assert_eq!(acceptor.join(), Error::TimedOut);
}

/// Runs `wait` as a task that must not come back within a while, then closes and sees it come back.
fn must_wait(wait: impl FnOnce() -> Error + Send + 'static, close: impl FnOnce()) {
    static BACK: AtomicBool = AtomicBool::new(false);
    BACK.store(false, Ordering::SeqCst);
    let task = waiting(move || {
        let e = wait();
        BACK.store(true, Ordering::SeqCst);
        e
    });
    sleep(ms(100));
    assert!(!BACK.load(Ordering::SeqCst), "it came back");
    close();
    assert_eq!(task.join(), Error::Closed);
}

fn accept_must_not_return(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    listener.set_deadline(Some(past())).unwrap();
    listener.set_deadline(None).unwrap();
    let other = listener.try_clone().unwrap();
    must_wait(move || error(other.accept()), move || listener.close().unwrap());
}

fn read_timeout(_: &[&str]) {
    let (near, far) = pair();
    far.write_all(b"ready").unwrap();
    let mut buf = [0; 8];
    assert_eq!(near.peek(&mut buf).unwrap(), 5);
    near.set_read_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_eq!(near.read(&mut buf), Err(Error::TimedOut));
        assert_eq!(near.peek(&mut buf), Err(Error::TimedOut));
        assert_eq!(near.read_exact(&mut buf[..1]), Err(Error::TimedOut));
    }
    sleep(ms(2));
    assert_eq!(near.read(&mut buf), Err(Error::TimedOut), "it stays in force");
    near.write_all(b"not for writes").unwrap();
    near.set_read_deadline(None).unwrap();
    assert_eq!(near.read(&mut buf).unwrap(), 5);
    // One that comes while the data is on its way takes nothing either.
    near.set_read_deadline(Some(after(ms(2)))).unwrap();
    assert_eq!(near.read(&mut buf), Err(Error::TimedOut));
    far.write_all(b"more").unwrap();
    near.set_read_deadline(Some(after(PATIENCE))).unwrap();
    assert_eq!(near.read(&mut buf).unwrap(), 4);
}

fn read_must_not_return(_: &[&str]) {
    let (near, _far) = pair();
    near.set_deadline(Some(past())).unwrap();
    near.set_write_deadline(Some(past())).unwrap();
    near.set_read_deadline(None).unwrap();
    let other = dup(&near);
    must_wait(move || error(other.read(&mut [0])), move || near.close().unwrap());
}

fn write_timeout(_: &[&str]) {
    let (near, far) = pair();
    near.set_write_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_eq!(near.write(b"room enough"), Err(Error::TimedOut));
        assert_eq!(near.write_all(b"room enough"), Err(Error::TimedOut));
    }
    far.write_all(b"reads go on").unwrap();
    near.read_exact(&mut [0; 11]).unwrap();
    near.set_write_deadline(None).unwrap();
    near.write_all(b"now").unwrap();
    let mut buf = [0; 8];
    assert_eq!(far.read(&mut buf).unwrap(), 3, "nothing of the others was sent");
}

fn write_must_not_return(_: &[&str]) {
    let (near, _far) = narrow_pair();
    fill(&near);
    near.set_deadline(Some(past())).unwrap();
    near.set_read_deadline(Some(past())).unwrap();
    near.set_write_deadline(None).unwrap();
    let other = dup(&near);
    must_wait(move || error(other.write_all(&LOTS)), move || near.close().unwrap());
}

/// Every deadline ends its call, and none is early. How late they are depends on the machine's load.
fn fluctuation(write: bool) {
    let (near, _far) = narrow_pair();
    if write {
        fill(&near);
    }
    let mut time = ms(1);
    while time <= ms(128) {
        let start = Instant::now();
        let got = if write {
            near.set_write_deadline(Some(start + time)).unwrap();
            near.write_all(&LOTS)
        } else {
            near.set_read_deadline(Some(start + time)).unwrap();
            near.read(&mut [0]).map(drop)
        };
        let took = start.elapsed();
        assert_eq!(got, Err(Error::TimedOut));
        assert!(took >= time, "{took:?} instead of {time:?}");
        time *= 2;
    }
}

fn various(_: &[&str]) {
    const NANOS: [u64; 16] = [
        1,
        2,
        5,
        50,
        100,
        200,
        500,
        750,
        1000,
        5_000,
        25_000,
        250_000,
        500_000,
        1_000_000,
        5_000_000,
        100_000_000,
    ];
    for nanos in NANOS.into_iter().chain([0, 250_000_000]) {
        let time = Duration::from_nanos(nanos);
        let rounds = if nanos < 2_000_000 { 3 } else { 1 };
        for _ in 0..rounds {
            let (near, far) = pair();
            let pump = spawn(move || {
                // Sends what the other end never stops reading.
                while far.write(&[0; 4096]).is_ok() {
                    yield_now();
                }
            });
            let start = Instant::now();
            near.set_deadline(Some(start + time)).unwrap();
            let mut buf = [0; 8192];
            let end = loop {
                match near.read(&mut buf) {
                    Ok(n) => assert_ne!(n, 0),
                    Err(e) => break e,
                }
            };
            assert_eq!(end, Error::TimedOut);
            assert!(start.elapsed() >= time);
            drop(near);
            pump.join();
        }
    }
}

fn prolonged(_: &[&str]) {
    let (near, far) = pair();
    let hour = Duration::from_secs(3600);
    let server = spawn(move || {
        let reader = dup(&far);
        let reader = spawn(move || {
            let mut buf = [0; 64];
            loop {
                reader.set_read_deadline(Some(after(hour))).unwrap();
                if reader.read(&mut buf).unwrap() == 0 {
                    return;
                }
                reader.set_write_deadline(Some(after(hour))).unwrap();
                reader.write_all(b"pong").unwrap();
            }
        });
        while !IS_DONE.load(Ordering::SeqCst) {
            far.set_deadline(Some(after(hour))).unwrap();
            yield_now();
        }
        reader.join();
    });
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    for _ in 0..1000 {
        near.write_all(b"ping").unwrap();
        near.read_exact(&mut [0; 4]).unwrap();
    }
    IS_DONE.store(true, Ordering::SeqCst);
    drop(near);
    server.join();
}

fn race(_: &[&str]) {
    static STOP: AtomicBool = AtomicBool::new(false);
    let (near, far) = pair();
    let (setter, peer) = (dup(&near), dup(&far));
    let setter = spawn(move || {
        while !STOP.load(Ordering::SeqCst) {
            setter.set_deadline(Some(after(Duration::from_micros(2)))).unwrap();
            yield_now();
        }
    });
    // The other end reads and writes without a deadline, so that both ways of ending a wait are met.
    let drain = spawn(move || {
        let mut buf = [0; 1024];
        while let Ok(1..) = far.read(&mut buf) {}
    });
    let feed = spawn(move || {
        while peer.write(b"x").is_ok() {
            sleep(Duration::from_micros(50));
        }
    });
    let reader = dup(&near);
    let reader = spawn(move || {
        for _ in 0..1000 {
            match reader.read(&mut [0; 16]) {
                Ok(n) => assert_ne!(n, 0),
                Err(e) => assert_eq!(e, Error::TimedOut),
            }
            yield_now();
        }
    });
    for _ in 0..1000 {
        match near.write(&[0; 100]) {
            Ok(n) => assert_ne!(n, 0),
            Err(e) => assert_eq!(e, Error::TimedOut),
        }
        yield_now();
    }
    reader.join();
    STOP.store(true, Ordering::SeqCst);
    setter.join();
    near.close().unwrap();
    drain.join();
    feed.join();
}

/// A thousand deadlines on fifty connections, moved about while readers wait: the last one set counts.
fn random(_: &[&str]) {
    let tasks: Vec<_> = (0..50u64)
        .map(|seed| {
            spawn(move || {
                let random = Random::new(seed + 1);
                let (near, _far) = pair();
                let mut last = after(ms(60) + Duration::from_micros(random.below(10_000)));
                near.set_read_deadline(Some(last)).unwrap();
                let reader = dup(&near);
                let reader = spawn(move || (error(reader.read(&mut [0])), Instant::now()));
                let mut in_time = true;
                for _ in 0..20 {
                    let before = last;
                    last = after(ms(60) + Duration::from_micros(random.below(30_000)));
                    near.set_read_deadline(Some(last)).unwrap();
                    // On a machine that stands still for so long the one before may have come to pass.
                    in_time &= Instant::now() < before;
                    sleep(Duration::from_micros(random.below(2000)));
                }
                let (e, when) = reader.join();
                assert_eq!(e, Error::TimedOut);
                assert!(when >= last || !in_time, "early by {:?}", last - when);
            })
        })
        .collect();
    join_all(tasks);
}

fn sides(_: &[&str]) {
    let (near, far) = pair();
    let both = after(ms(20));
    near.set_deadline(Some(both)).unwrap(); // one timer for both
    near.set_write_deadline(None).unwrap(); // and now for one
    assert_eq!(near.read(&mut [0]), Err(Error::TimedOut));
    assert!(Instant::now() >= both);
    near.write_all(b"x").unwrap();
    near.set_read_deadline(None).unwrap();
    near.set_write_deadline(Some(after(ms(1)))).unwrap();
    sleep(ms(3));
    assert_eq!(near.write(b"x"), Err(Error::TimedOut));
    far.write_all(b"y").unwrap();
    assert_eq!(near.read(&mut [0; 2]).unwrap(), 1);
}

fn wakes(_: &[&str]) {
    // golang/go's TestReadTimeoutUnblocksRead, in both directions.
    let (near, _far) = narrow_pair();
    fill(&near);
    for _ in 0..20 {
        let (reader, writer) = (dup(&near), dup(&near));
        let reader = waiting(move || reader.read(&mut [0]));
        let writer = waiting(move || writer.write_all(&LOTS));
        near.set_deadline(Some(past())).unwrap();
        assert_eq!(reader.join(), Err(Error::TimedOut));
        assert_eq!(writer.join(), Err(Error::TimedOut));
        near.set_deadline(None).unwrap();
    }
}

/// A timeout loses nothing of what comes after it, wherever the reader stood.
fn data_after(_: &[&str]) {
    let (near, far) = pair();
    let mut buf = [0; 64];
    for round in 0..200u32 {
        near.set_read_deadline(Some(after(Duration::from_micros(u64::from(round) * 7)))).unwrap();
        let _ = near.read(&mut buf);
        near.set_read_deadline(Some(past())).unwrap();
        far.write_all(b"abc").unwrap();
        if round % 2 == 0 {
            sleep(Duration::from_micros(200)); // the edge comes while the deadline is past
        }
        assert_eq!(near.read(&mut buf), Err(Error::TimedOut));
        near.set_read_deadline(Some(after(PATIENCE))).unwrap();
        near.read_exact(&mut buf[..3]).unwrap();
        assert_eq!(&buf[..3], b"abc");
    }
}

/// golang/go 35367: deadlines that are moved forward, earlier and earlier, by many at once.
fn earlier(_: &[&str]) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            spawn(|| {
                let (near, _far) = pair();
                let reader = dup(&near);
                let start = Instant::now();
                let reader = spawn(move || error(reader.read(&mut [0])));
                // Only the last of them can come while the test runs.
                for i in 0..100 {
                    near.set_read_deadline(Some(start + Duration::from_secs(7200 - 36 * i))).unwrap();
                    yield_now();
                }
                near.set_read_deadline(Some(after(SETTLE))).unwrap();
                assert_eq!(reader.join(), Error::TimedOut);
            })
        })
        .collect();
    join_all(tasks);
}
