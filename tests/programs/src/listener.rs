//! Accepting.

use crate::Scenario;
use crate::support::{
    LOOPBACK, PATIENCE, SETTLE, after, close, descriptors, errno, error, join_all, limit, ms, pair, pair_on,
    raise_descriptors, waiting,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use netpoll::net::{Error, TcpListener, TcpStream};
use netpoll::spawn;
use netpoll::sync::Barrier;
use netpoll::sys::Call;
use netpoll::sys::process::Resource;
use netpoll::sys::sockopt::set_socket_linger;
use netpoll::sys::time::{ClockId, clock_gettime};
use netpoll::sys::{Errno, fd};
use netpoll::time::{Instant, sleep};

pub const SCENARIOS: &[Scenario] = &[
    ("bind_errors", bind_errors),
    ("a_thousand_at_once", thousand),
    ("slots_and_descriptors_are_used_again", reuse),
    ("many_acceptors", many_acceptors),
    ("out_of_descriptors", out_of_descriptors),
    ("closed_while_out_of_descriptors", closed_while_out),
    ("aborted_in_the_queue", aborted),
    ("ipv6", ipv6),
];

fn bind_errors(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let addr = listener.local_addr().unwrap();
    let before = descriptors();
    assert_eq!(error(TcpListener::bind(addr)), Error::Os(Call::Bind, Errno::EADDRINUSE));
    assert_eq!(error(TcpListener::bind("127.0.0.1")), Error::InvalidAddress);
    assert_eq!(error(TcpListener::bind(&[] as &[SocketAddr])), Error::InvalidAddress);
    assert_eq!(errno(TcpListener::bind("192.0.2.1:0")), Errno::EADDRNOTAVAIL);
    // The next address is tried when one fails.
    let free: SocketAddr = LOOPBACK.parse().unwrap();
    let second = TcpListener::bind(&[addr, free][..]).unwrap();
    assert_ne!(second.local_addr().unwrap(), addr);
    drop(second);
    assert_eq!(descriptors(), before);
}

/// Fewer where there are not two descriptors for each.
fn thousand(_: &[&str]) {
    drop(pair()); // makes the poller
    let before = descriptors();
    let count = (raise_descriptors() - before - 10).min(2000) / 2;
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = spawn(move || {
        let mut tasks = Vec::new();
        for stream in listener.incoming().take(count) {
            let stream = stream.unwrap();
            tasks.push(spawn(move || {
                let mut buf = [0; 64];
                while let n @ 1.. = stream.read(&mut buf).unwrap() {
                    stream.write_all(&buf[..n]).unwrap();
                }
            }));
        }
        join_all(tasks).len()
    });
    let all_open = Arc::new(Barrier::new(count));
    let clients: Vec<_> = (0..count as u32)
        .map(|me| {
            let all_open = all_open.clone();
            spawn(move || {
                let stream = TcpStream::connect(addr).unwrap();
                all_open.wait();
                for round in 0..3 {
                    let message = (me * 7 + round).to_ne_bytes();
                    stream.write_all(&message).unwrap();
                    let mut answer = [0; 4];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, message);
                }
            })
        })
        .collect();
    join_all(clients);
    assert_eq!(server.join(), count);
    assert_eq!(descriptors(), before);
}

fn reuse(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let before = descriptors();
    // With no room for a leak of a hundredth.
    let old = limit(Resource::Nofile, 100);
    for round in 0..10_000u32 {
        let (near, far) = pair_on(&listener);
        // No TIME_WAIT: the ports of the loopback would run out.
        set_socket_linger(near.as_raw_fd(), Some(0)).unwrap();
        if round % 2 == 0 {
            near.write_all(&round.to_ne_bytes()).unwrap();
            let mut buf = [0; 4];
            far.read_exact(&mut buf).unwrap();
            assert_eq!(u32::from_ne_bytes(buf), round, "somebody else's data");
        }
        if round % 64 == 0 {
            // A deadline that is armed, and a task that waits, when the slot goes.
            far.set_deadline(Some(after(2 * PATIENCE))).unwrap();
            let other = far.try_clone().unwrap();
            let reader = spawn(move || other.read(&mut [0; 4]));
            netpoll::yield_now();
            far.close().unwrap();
            assert_eq!(reader.join(), Err(Error::Closed));
        }
        if round % 3 == 0 {
            near.close().unwrap();
        }
    }
    limit(Resource::Nofile, old);
    assert_eq!(descriptors(), before);
}

fn many_acceptors(_: &[&str]) {
    let listener = Arc::new(TcpListener::bind(LOOPBACK).unwrap());
    let addr = listener.local_addr().unwrap();
    let acceptors: Vec<_> = (0..10)
        .map(|_| {
            let listener = listener.clone();
            spawn(move || {
                let mut count = 0;
                while let Ok((stream, _)) = listener.accept() {
                    count += 1;
                    stream.write_all(b"x").unwrap();
                    netpoll::yield_now();
                }
                count
            })
        })
        .collect();
    let clients: Vec<_> = (0..100)
        .map(|_| spawn(move || TcpStream::connect(addr).unwrap().read_exact(&mut [0]).unwrap()))
        .collect();
    join_all(clients);
    listener.close().unwrap();
    assert_eq!(join_all(acceptors).iter().sum::<i32>(), 100);
}

fn cpu_time() -> core::time::Duration {
    clock_gettime(ClockId::ProcessCputime).unwrap().as_duration()
}

/// Takes every descriptor that is left, and gives back `but`.
fn exhaust(but: usize) -> (u64, Vec<i32>) {
    let old = limit(Resource::Nofile, descriptors() as u64 + 20);
    let mut taken = Vec::new();
    while let Ok(fd) = fd::dup(0) {
        taken.push(fd);
    }
    (0..but).for_each(|_| close(taken.pop().unwrap()).unwrap());
    (old, taken)
}

fn out_of_descriptors(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let addr = listener.local_addr().unwrap();
    let (old, taken) = exhaust(1);
    let client = TcpStream::connect(addr).unwrap();
    assert_eq!(error(TcpStream::connect(addr)), Error::Os(Call::Socket, Errno::EMFILE));
    let server = waiting(move || listener.accept().map(|(stream, _)| (stream, listener)));
    let (before, start) = (cpu_time(), Instant::now());
    sleep(ms(200));
    assert!(cpu_time() - before < start.elapsed() / 4, "it spins");
    taken.iter().for_each(|&fd| close(fd).unwrap());
    let (stream, listener) = server.join().unwrap();
    stream.write_all(b"late").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    limit(Resource::Nofile, old);
    drop(pair_on(&listener)); // and goes on as before
}

fn closed_while_out(_: &[&str]) {
    for by_deadline in [false, true] {
        let listener = TcpListener::bind(LOOPBACK).unwrap();
        let (old, taken) = exhaust(1);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let other = listener.try_clone().unwrap();
        let server = waiting(move || error(other.accept()));
        sleep(ms(20));
        if by_deadline {
            listener.set_deadline(Some(after(ms(1)))).unwrap();
            assert_eq!(server.join(), Error::TimedOut);
        } else {
            listener.close().unwrap();
            assert_eq!(server.join(), Error::Closed);
        }
        taken.iter().for_each(|&fd| close(fd).unwrap());
        limit(Resource::Nofile, old);
    }
}

/// golang/go's TestAcceptIgnoreAbortedConnRequest. Linux hands such a connection out and lets the first
/// read fail; either way `accept` itself does not.
fn aborted(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let addr = listener.local_addr().unwrap();
    for _ in 0..20 {
        let gone = TcpStream::connect(addr).unwrap();
        set_socket_linger(gone.as_raw_fd(), Some(0)).unwrap();
        gone.close().unwrap();
    }
    let client = TcpStream::connect(addr).unwrap();
    client.write_all(b"here").unwrap();
    let alive = loop {
        let (stream, _) = listener.accept().unwrap();
        let mut buf = [0; 4];
        match stream.read_exact(&mut buf) {
            Ok(()) => break buf,
            Err(e) => assert_eq!(e.errno(), Some(Errno::ECONNRESET)),
        }
    };
    assert_eq!(&alive, b"here");
    listener.set_deadline(Some(after(SETTLE))).unwrap();
    assert_eq!(error(listener.accept()), Error::TimedOut);
}

fn ipv6(_: &[&str]) {
    let listener = match TcpListener::bind("[::1]:0") {
        Err(Error::Os(_, Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL)) => return, // a machine without
        other => other.unwrap(),
    };
    assert!(listener.local_addr().unwrap().is_ipv6());
    let (near, far) = pair_on(&listener);
    near.write_all(b"six").unwrap();
    far.read_exact(&mut [0; 3]).unwrap();
    assert_eq!(far.peer_addr().unwrap(), near.local_addr().unwrap());
    drop(pair()); // beside the other family
}
