//! Connecting.

use crate::Scenario;
use crate::support::{
    LOOPBACK, PATIENCE, Random, after, close, descriptors, dup, error, eventually, join_all, ms, pair_on,
    past, unused_addr, waiting,
};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use netpoll::net::{Error, TcpListener, TcpStream};
use netpoll::spawn;
use netpoll::sys::Call;
use netpoll::sys::socket::{self, Family, SocketFlags, SocketType};
use netpoll::sys::{Errno, RawFd};
use netpoll::time::{Instant, sleep};

pub const SCENARIOS: &[Scenario] = &[
    ("refused", refused),
    ("several_addresses", several),
    ("no_answer", no_answer),
    ("deadline_in_the_past", deadline_in_the_past),
    ("a_deadline_ends_with_the_connect", deadline_ends),
    ("a_deadline_races_the_connect", deadline_races),
    ("connected_to_itself", itself),
    ("no_false_success", no_false_success),
];

fn refused(_: &[&str]) {
    let addr = unused_addr();
    let before = descriptors();
    for _ in 0..100 {
        assert_eq!(error(TcpStream::connect(addr)), Error::Os(Call::Connect, Errno::ECONNREFUSED));
    }
    assert_eq!(error(TcpStream::connect("localhost")), Error::InvalidAddress);
    assert_eq!(descriptors(), before);
}

fn several(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let addr = listener.local_addr().unwrap();
    let stream = TcpStream::connect(&[unused_addr(), unused_addr(), addr][..]).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr);
}

/// A listener that answers nobody, its queue being full; with what fills it.
fn deaf() -> (SocketAddr, Vec<RawFd>) {
    let new = || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        socket::socket(Family::INET, SocketType::STREAM, flags, 0).unwrap()
    };
    let listener = new();
    let any: SocketAddr = LOOPBACK.parse().unwrap();
    socket::bind(listener, &any.into()).unwrap();
    socket::listen(listener, 0).unwrap();
    let name = socket::getsockname(listener).unwrap();
    let mut fds = Vec::from([listener]);
    for _ in 0..4 {
        let client = new();
        assert_eq!(socket::connect(client, &name), Err(Errno::EINPROGRESS));
        fds.push(client);
    }
    sleep(ms(5));
    (name.to_inet().unwrap(), fds)
}

fn no_answer(_: &[&str]) {
    let (addr, fds) = deaf();
    let before = descriptors();
    let tries: Vec<_> = [1, 7, 20, 50]
        .into_iter()
        .map(|time| {
            spawn(move || {
                let start = Instant::now();
                assert_eq!(error(TcpStream::connect_deadline(&addr, start + ms(time))), Error::TimedOut);
                let took = start.elapsed();
                assert!(took >= ms(time), "{took:?} instead of {time} ms");
            })
        })
        .collect();
    join_all(tries);
    assert_eq!(error(TcpStream::connect_timeout(&addr, ms(5))), Error::TimedOut);
    assert_eq!(descriptors(), before);
    fds.into_iter().for_each(|fd| close(fd).unwrap());
}

fn deadline_in_the_past(_: &[&str]) {
    let (addr, fds) = deaf();
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    for addr in [addr, listener.local_addr().unwrap()] {
        for when in [past(), Instant::now(), Instant::now() - Duration::MAX] {
            assert_eq!(error(TcpStream::connect_deadline(&addr, when)), Error::TimedOut);
        }
    }
    // The end of time is no overflow into the past.
    let far_away = Instant::now() + Duration::MAX;
    drop(TcpStream::connect_deadline(&listener.local_addr().unwrap(), far_away).unwrap());
    fds.into_iter().for_each(|fd| close(fd).unwrap());
}

/// golang/go's TestCancelAfterDial: the connection is good for longer than the deadline of its making.
fn deadline_ends(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let addr = listener.local_addr().unwrap();
    // A loaded machine may take longer than the first of them.
    let mut limits = (0..12).map(|doublings| ms(50) * (1 << doublings));
    let made = limits.find_map(|limit| Some((TcpStream::connect_deadline(&addr, after(limit)).ok()?, limit)));
    let (near, limit) = made.expect("a connection");
    // One that came too late is there, too.
    let far = loop {
        let (far, peer) = listener.accept().unwrap();
        if peer == near.local_addr().unwrap() {
            break far;
        }
    };
    sleep(limit + ms(10));
    near.write_all(b"late").unwrap();
    far.read_exact(&mut [0; 4]).unwrap();
    let reader = dup(&near);
    let reader = waiting(move || reader.read(&mut [0; 4]));
    far.write_all(b"back").unwrap();
    assert_eq!(reader.join(), Ok(4));
}

/// golang/go's TestDialContextCancelRace (16523): at the end of its time a connect has failed, or has made a
/// connection that the deadline does not spoil.
fn deadline_races(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let (addr, closer) = (listener.local_addr().unwrap(), listener.try_clone().unwrap());
    drop(pair_on(&listener));
    let before = descriptors();
    let server = spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let mut buf = [0; 4];
            if stream.read_exact(&mut buf).is_ok() {
                stream.write_all(&buf).unwrap();
            }
        }
    });
    let random = Random::new(3);
    for _ in 0..500 {
        let limit = Duration::from_micros(random.below(80));
        match TcpStream::connect_deadline(&addr, after(limit)) {
            Ok(stream) => {
                sleep(limit);
                let reader = dup(&stream);
                let reader = spawn(move || reader.read(&mut [0; 4]));
                netpoll::yield_now();
                stream.write_all(b"fine").unwrap();
                assert_eq!(reader.join(), Ok(4));
            }
            Err(e) => assert_eq!(e, Error::TimedOut),
        }
    }
    closer.close().unwrap();
    server.join();
    eventually("the end of all", || descriptors() <= before);
}

/// TCP lets both ends be the same socket, when the kernel happens to choose the port that is called.
/// Tried until that happens, or for a while.
fn itself(_: &[&str]) {
    for _ in 0..2000 {
        let addr = unused_addr();
        match TcpStream::connect(addr) {
            Ok(stream) => {
                assert_eq!(stream.local_addr(), stream.peer_addr());
                stream.write_all(b"me").unwrap();
                return stream.read_exact(&mut [0; 2]).unwrap();
            }
            Err(e) => assert_eq!(e, Error::Os(Call::Connect, Errno::ECONNREFUSED)),
        }
    }
}

/// golang/go's TestTCPSpuriousConnSetupCompletion (14548): against a listener that comes and goes, a
/// connect that says it succeeded has a peer's address to tell.
fn no_false_success(_: &[&str]) {
    let mut connected = 0;
    for _ in 0..200 {
        let listener = TcpListener::bind(LOOPBACK).unwrap();
        let addr = listener.local_addr().unwrap();
        let clients: Vec<_> =
            (0..5).map(|_| spawn(move || TcpStream::connect_deadline(&addr, after(PATIENCE / 2)))).collect();
        netpoll::yield_now();
        drop(listener);
        for client in clients {
            match client.join().map(|stream| stream.peer_addr()) {
                // ENOTCONN by now: the closing listener has reset it.
                Ok(Ok(_)) => connected += 1,
                Ok(Err(e)) => assert_eq!(e.errno(), Some(Errno::ENOTCONN)),
                Err(Error::Os(Call::Connect, Errno::ECONNREFUSED | Errno::ECONNRESET)) => {}
                Err(Error::Os(Call::Connect, Errno::ECONNABORTED | Errno::EPIPE)) => {}
                Err(e) => panic!("{e}"),
            }
        }
    }
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    assert!(TcpStream::connect(listener.local_addr().unwrap()).is_ok(), "after {connected}");
}
