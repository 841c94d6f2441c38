//! A server to be tormented by `tests/soak.rs`: `soak` prints the ports of its two listeners, one with a task for each
//! connection and one by `net::serve`, and its counts whenever SIGUSR1 comes. It has no descriptors to spare, and
//! a connection on which nothing happens for [`PATIENCE`] is closed.
//!
//! A request is one byte for what is to be done, one for how much, and so many bytes. `e` echoes them; `c` has a crowd
//! of tasks send as many bytes over a channel; `t` waits for timers; each answers with as many bytes as came.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use netpoll::net::{Error, Next, Serve, TcpListener, TcpStream};
use netpoll::rt::Env;
use netpoll::runtime::metrics;
use netpoll::sync::channel;
use netpoll::sys::process::{Resource, Rlimit, prlimit64};
use netpoll::sys::signal::{SIGTERM, SIGUSR1, SIGUSR2};
use netpoll::time::{Instant, Timer, sleep};
use netpoll::{println, scope, select, signal, spawn};

netpoll::entry!(main);

const PATIENCE: Duration = Duration::from_millis(250);

/// Descriptors it may have: fewer than the clients want.
const DESCRIPTORS: u64 = 64;

/// Tasks of a crowd.
const CROWD: usize = 8;

fn main(_: Env) -> i32 {
    let signals = signal::notify(&[SIGUSR1, SIGUSR2, SIGTERM]).unwrap();
    let limit = prlimit64(0, Resource::Nofile, None).unwrap();
    prlimit64(0, Resource::Nofile, Some(&Rlimit { cur: DESCRIPTORS, ..limit })).unwrap();
    let [tasks, rests] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    println!("ports {} {}", tasks.local_addr().unwrap().port(), rests.local_addr().unwrap().port());
    drop(spawn(move || {
        loop {
            let (stream, _) = tasks.accept().unwrap(); // waits where there are no descriptors
            drop(spawn(move || {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                while answer(&stream).is_ok_and(|more| more) {}
            }));
        }
    }));
    drop(spawn(move || {
        Serve::new().idle_timeout(PATIENCE).run(&rests, |stream: &TcpStream| {
            let limits =
                stream.set_read_timeout(Some(PATIENCE)).and(stream.set_write_timeout(Some(PATIENCE)));
            match limits.and_then(|()| answer(stream)) {
                Ok(true) => Next::Idle,
                _ => Next::Close,
            }
        })
    }));
    largest_crowd();
    let mut others = 0;
    loop {
        match signals.recv().unwrap().signal {
            SIGTERM => return 0,
            SIGUSR1 => {
                let now = metrics();
                let requests = REQUESTS.load(Ordering::Relaxed);
                println!("{} {} {} {requests} {others}", now.tasks, now.stacks, now.waiters);
            }
            _ => others += 1,
        }
    }
}

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Answers one request. `false`: there was none.
fn answer(stream: &TcpStream) -> Result<bool, Error> {
    let (mut head, mut bytes) = ([0; 2], [0; 255]);
    if stream.read(&mut head[..1])? == 0 {
        return Ok(false);
    }
    stream.read_exact(&mut head[1..])?;
    let bytes = &mut bytes[..head[1].into()];
    stream.read_exact(bytes)?;
    match head[0] {
        b'c' => crowd(bytes),
        b't' => timers(bytes.len()),
        _ => {}
    }
    stream.write_all(bytes)?;
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    Ok(true)
}

/// Tasks send the bytes over a channel, in no order: as many come out, and as much.
fn crowd(bytes: &mut [u8]) {
    let sum = |bytes: &[u8]| bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>();
    let (expected, (sender, receiver)) = (sum(bytes), channel(3));
    scope(|s| {
        for part in bytes.chunks(bytes.len().div_ceil(CROWD).max(1)) {
            let sender = sender.clone();
            drop(s.spawn(move || {
                for &byte in part {
                    sender.send(byte).unwrap();
                    if byte % 16 == 0 {
                        sleep(Duration::from_micros(100));
                    }
                }
            }));
        }
        drop(sender);
        let mut got = 0;
        while let Some(byte) = receiver.recv() {
            got += u32::from(byte);
        }
        assert_eq!(got, expected);
    });
}

/// Timers that fire, that are stopped, and that lose to a channel.
fn timers(n: usize) {
    let (sender, receiver) = channel(1);
    for i in 0..n % 8 {
        let soon = Duration::from_micros(50 * i as u64);
        let timer = Timer::after(soon);
        if i % 2 == 0 {
            timer.wait();
        }
        if i % 3 == 0 {
            sender.send(i).unwrap();
        }
        let got = select! {
            after(soon) => None,
            recv(receiver) -> value => value,
        };
        assert_eq!(got, (i % 3 == 0).then_some(i));
    }
}

/// More tasks, channels and timers at once than the clients can ask for, the tasks deeper than what those cause. So
/// from now on there is a block, a stack and a slot for each, and in memory what the Ps keep.
fn largest_crowd() {
    const LARGEST: usize = DESCRIPTORS as usize * CROWD * 2;
    const CONNECTIONS: usize = DESCRIPTORS as usize * 2;
    let _channels = [(); CONNECTIONS].map(|()| (channel::<u8>(3), channel::<usize>(1)));
    let _timers = [(); CONNECTIONS].map(|()| Timer::after(PATIENCE));
    let (sender, receiver) = channel::<()>(0);
    scope(|s| {
        for _ in 0..LARGEST {
            let receiver = receiver.clone();
            drop(s.spawn(move || {
                black_box([1u8; 12 << 10]);
                assert!(receiver.recv_deadline(Instant::now() + 100 * PATIENCE).is_err());
            }));
        }
        while metrics().stacks < LARGEST as u64 {
            sleep(Duration::from_millis(1));
        }
        drop(sender);
    });
}
