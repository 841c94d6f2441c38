//! Closing.

use crate::Scenario;
use crate::support::{
    LOOPBACK, LOTS, PATIENCE, SETTLE, after, descriptors, dup, error, eventually, join_all, ms, narrow_pair,
    pair, waiting,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use netpoll::net::{Error, Shutdown, TcpListener, TcpStream};
use netpoll::sys::fd::{IoSlice, IoSliceMut};
use netpoll::time::{Instant, sleep};
use netpoll::{spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("close_wakes_reader_writer_and_acceptor", wakes_all),
    ("close_wakes_those_in_line", wakes_those_in_line),
    ("listen_again_at_once", listen_again),
    ("after_close", after_close),
    ("the_last_handle_closes", last_handle),
    ("fifty_acceptors_end", fifty_acceptors),
    ("close_against_everything", against_everything),
    ("the_peers_close_wakes_a_reader", peers_close),
];

fn wakes_all(_: &[&str]) {
    for _ in 0..20 {
        let (near, _far) = narrow_pair();
        let (reader, writer) = (dup(&near), dup(&near));
        let reader = waiting(move || error(reader.read(&mut [0])));
        let writer = waiting(move || error(writer.write_all(&LOTS)));
        let before = descriptors();
        near.close().unwrap();
        assert_eq!(descriptors(), before - 1, "not closed yet");
        assert_eq!((reader.join(), writer.join()), (Error::Closed, Error::Closed));
    }
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let other = listener.try_clone().unwrap();
    let acceptor = waiting(move || error(other.accept()));
    listener.close().unwrap();
    assert_eq!(acceptor.join(), Error::Closed);
}

/// Behind the reader that waits for data there are others, who wait for it.
fn wakes_those_in_line(_: &[&str]) {
    let (near, _far) = pair();
    let near = Arc::new(near);
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let near = near.clone();
            waiting(move || error(near.read(&mut [0])))
        })
        .collect();
    near.close().unwrap();
    assert!(join_all(readers).iter().all(|&e| e == Error::Closed));
}

/// golang/go's TestClosingListener: when `close` returns the port is free, whoever was in `accept`.
fn listen_again(_: &[&str]) {
    let mut listener = TcpListener::bind(LOOPBACK).unwrap();
    let addr = listener.local_addr().unwrap();
    for _ in 0..1000 {
        let other = listener.try_clone().unwrap();
        let acceptor = spawn(move || error(other.accept()));
        yield_now();
        listener.close().unwrap();
        listener = TcpListener::bind(addr).unwrap();
        assert_eq!(acceptor.join(), Error::Closed);
    }
}

fn after_close(_: &[&str]) {
    let (near, far) = pair();
    let other = dup(&near);
    far.write_all(b"unread").unwrap();
    assert_eq!(near.close(), Ok(()));
    let mut buf = [0; 4];
    for stream in [&near, &other] {
        assert_eq!(stream.close(), Err(Error::Closed));
        assert_eq!(stream.read(&mut buf), Err(Error::Closed));
        assert_eq!(stream.peek(&mut buf), Err(Error::Closed));
        assert_eq!(stream.read_exact(&mut buf), Err(Error::Closed));
        assert_eq!(stream.read_vectored(&mut [IoSliceMut::new(&mut buf)]), Err(Error::Closed));
        assert_eq!(stream.write(b"x"), Err(Error::Closed));
        assert_eq!(stream.write_all(b"x"), Err(Error::Closed));
        assert_eq!(stream.write_vectored(&[IoSlice::new(b"x")]), Err(Error::Closed));
        assert_eq!(stream.send_file(0, &mut 0, 1), Err(Error::Closed));
        assert_eq!(stream.shutdown(Shutdown::Both), Err(Error::Closed));
        assert_eq!(stream.set_nodelay(true), Err(Error::Closed));
        assert_eq!(stream.nodelay(), Err(Error::Closed));
        assert_eq!(stream.take_error(), Err(Error::Closed));
        assert_eq!(stream.local_addr(), Err(Error::Closed));
        assert_eq!(stream.peer_addr(), Err(Error::Closed));
        assert_eq!(stream.set_read_deadline(None), Err(Error::Closed));
        assert_eq!(stream.set_write_deadline(Some(after(ms(1)))), Err(Error::Closed));
        assert_eq!(stream.set_deadline(Some(after(ms(1)))), Err(Error::Closed));
    }
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    listener.close().unwrap();
    assert_eq!(listener.close(), Err(Error::Closed));
    assert_eq!(error(listener.accept()), Error::Closed);
    assert_eq!(error(listener.incoming().next().unwrap()), Error::Closed);
    assert_eq!(error(listener.local_addr()), Error::Closed);
    assert_eq!(listener.set_deadline(None), Err(Error::Closed));
}

fn last_handle(_: &[&str]) {
    let before = {
        pair();
        descriptors()
    };
    let (near, far) = pair();
    let (second, third) = (dup(&near), dup(&near));
    drop(near);
    second.write_all(b"a").unwrap();
    drop(second);
    third.write_all(b"b").unwrap();
    far.read_exact(&mut [0; 2]).unwrap();
    drop(third);
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
    drop(far);
    assert_eq!(descriptors(), before);
    // One that a task has keeps it open, too.
    let (near, far) = pair();
    let task = spawn(move || near.read(&mut [0; 8]));
    sleep(SETTLE);
    far.write_all(b"here").unwrap();
    assert_eq!(task.join(), Ok(4));
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

fn fifty_acceptors(_: &[&str]) {
    static ENDED: AtomicU32 = AtomicU32::new(0);
    let listener = Arc::new(TcpListener::bind(LOOPBACK).unwrap());
    let acceptors: Vec<_> = (0..50)
        .map(|_| {
            let listener = listener.clone();
            spawn(move || {
                assert_eq!(error(listener.accept()), Error::Closed);
                ENDED.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    sleep(SETTLE);
    assert_eq!(ENDED.load(Ordering::SeqCst), 0);
    listener.close().unwrap();
    eventually("the end of all", || ENDED.load(Ordering::SeqCst) == 50);
    join_all(acceptors);
}

/// Readers, writers, deadlines and two closers on one connection, at every point of their ways.
fn against_everything(_: &[&str]) {
    fn ends(round: u32, mut op: impl FnMut() -> Result<(), Error>) {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            match op() {
                Ok(()) | Err(Error::TimedOut) => {}
                Err(Error::Closed) => return,
                Err(e) => panic!("{e} in round {round}"),
            }
            yield_now();
        }
        panic!("never closed");
    }
    let before = {
        pair();
        descriptors()
    };
    for round in 0..200 {
        let (near, far) = pair();
        let near: Arc<TcpStream> = Arc::new(near);
        let mut tasks = Vec::new();
        for kind in 0..6 {
            let near = near.clone();
            tasks.push(spawn(move || {
                ends(round, || match kind {
                    0 | 1 => near.read(&mut [0; 16]).map(drop),
                    2 => near.write(&[0; 3000]).map(drop),
                    3 => near.set_deadline(Some(after(core::time::Duration::from_micros(5)))),
                    4 => near.set_deadline(None),
                    _ => near.peer_addr().map(drop),
                })
            }));
        }
        for _ in 0..round % 17 {
            let _ = far.write(b"noise");
            yield_now();
        }
        let closers = [near.clone(), near].map(|near| spawn(move || near.close()));
        let mut results = join_all(closers);
        results.sort_by_key(Result::is_err);
        assert_eq!(results, [Ok(()), Err(Error::Closed)]);
        join_all(tasks);
    }
    assert_eq!(descriptors(), before);
}

/// golang/go 17695.
fn peers_close(_: &[&str]) {
    let (near, far) = pair();
    let reader = waiting(move || near.read(&mut [0; 8]));
    drop(far);
    assert_eq!(reader.join(), Ok(0));
}
