//! `net::serve`: connections that rest without a task.

use crate::Scenario;
use crate::support::{
    LOOPBACK, PATIENCE, Random, after, anonymous, close, descriptors, dup, error, eventually, join_all,
    limit, ms, raise_descriptors, waiting,
};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use netpoll::net::unix::SocketAddr as UnixAddr;
use netpoll::net::{Error, Next, Serve, TcpListener, TcpStream, UnixListener, UnixStream, serve};
use netpoll::runtime::metrics;
use netpoll::sync::Mutex;
use netpoll::sys::process::Resource;
use netpoll::sys::socket::{Family, MsgFlags, SocketFlags, SocketType, connect, sendto, socket};
use netpoll::time::{Instant, sleep};
use netpoll::{JoinHandle, spawn};

pub const SCENARIOS: &[Scenario] = &[
    ("serve_answers", answers),
    ("serve_rests_without_a_task", rests),
    ("serve_byte_by_byte", byte_by_byte),
    ("serve_loses_no_edge", no_edge),
    ("serve_idle_timeout", idle_timeout),
    ("serve_idle_time_begins_anew", begins_anew),
    ("serve_ends_behind_its_handlers", ends_behind),
    ("serve_ends_at_any_time", ends_any_time),
    ("serve_event_deadline_and_close_at_once", all_at_once),
    ("serve_ends_by_a_deadline", ends_by_deadline),
    ("serve_closed_by_another_handle", other_handle),
    ("serve_beside_another_reader", other_reader),
    ("serve_out_of_descriptors", out_of_descriptors),
    ("serve_unix", over_unix),
    ("serve_resting_bytes", resting_bytes),
    ("serve_urgent_byte_is_no_news", urgent),
];

fn echo(stream: &TcpStream) -> Next {
    let mut buf = [0; 64];
    match stream.read(&mut buf) {
        Ok(n @ 1..) if stream.write_all(&buf[..n]).is_ok() => Next::Idle,
        _ => Next::Close,
    }
}

type Server = JoinHandle<Result<(), Error>>;

/// Serves until the listener is closed.
fn server(
    options: Serve,
    handler: impl Fn(&TcpStream) -> Next + Send + Sync + 'static,
) -> (Server, Arc<TcpListener>, SocketAddr) {
    let listener = Arc::new(TcpListener::bind(LOOPBACK).unwrap());
    let addr = listener.local_addr().unwrap();
    let other = listener.clone();
    (spawn(move || options.run(&*other, handler)), listener, addr)
}

fn end((server, listener, _): (Server, Arc<TcpListener>, SocketAddr)) {
    listener.close().unwrap();
    assert_eq!(server.join(), Ok(()));
}

#[track_caller]
fn ask(client: &TcpStream, what: &[u8]) {
    try_ask(client, what).unwrap();
}

fn try_ask(client: &TcpStream, what: &[u8]) -> Result<(), Error> {
    client.write_all(what)?;
    let mut buf = [0; 64];
    client.read_exact(&mut buf[..what.len()])?;
    assert_eq!(&buf[..what.len()], what);
    Ok(())
}

/// Tries `trial` with `first` as the idle timeout, and with twice as much each time that the machine was so slow that a
/// connection which should have been in time was not: `trial` returns whether all of them were.
fn in_time(first: Duration, trial: impl Fn(Duration) -> bool) {
    assert!((0..8).any(|doublings| trial(first * (1 << doublings))), "late each time");
}

fn answers(_: &[&str]) {
    drop(crate::support::pair());
    let before = descriptors();
    let all = server(Serve::new(), echo);
    let addr = all.2;
    let clients = (0..50).map(|_| {
        spawn(move || {
            let client = TcpStream::connect(addr).unwrap();
            (0..20).for_each(|_| ask(&client, b"again"));
            client
        })
    });
    let clients = join_all(clients);
    end(all);
    clients.iter().for_each(|client| assert_eq!(client.read(&mut [0]), Ok(0)));
    drop(clients);
    assert_eq!(descriptors(), before);
    eventually("the count of the last", || metrics().waiters == 0); // behind its effect
}

fn rests(_: &[&str]) {
    const COUNT: u64 = 300;
    let all = server(Serve::new(), echo);
    let clients: Vec<_> = (0..COUNT).map(|_| TcpStream::connect(all.2).unwrap()).collect();
    let resting = || metrics().tasks == 3 && metrics().waiters == COUNT + 1; // this, the server's two
    eventually("the rest", resting);
    clients.iter().for_each(|client| ask(client, b"x"));
    eventually("the rest again", resting);
    drop(clients);
    eventually("the end of all", || metrics().waiters == 1);
    end(all);
}

/// What a handler leaves unread is there at once, without an edge.
fn byte_by_byte(_: &[&str]) {
    let all = server(Serve::new(), |stream| {
        let mut byte = [0];
        stream.set_nodelay(true).unwrap();
        match stream.read(&mut byte) {
            Ok(1) if stream.write_all(&byte).is_ok() => Next::Idle,
            _ => Next::Close,
        }
    });
    let client = TcpStream::connect(all.2).unwrap();
    (0..100).for_each(|_| ask(&client, b"more than a handler reads"));
    client.shutdown(netpoll::net::Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]), Ok(0));
    end(all);
}

/// An edge that brings nothing to read calls no handler, which would wait with its stack, for as long as nothing comes.
fn urgent(_: &[&str]) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let all = server(Serve::new(), move |stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        echo(stream)
    });
    let client = TcpStream::connect(all.2).unwrap();
    ask(&client, b"x");
    let resting = || metrics().tasks == 3 && metrics().waiters == 2;
    eventually("the rest", resting);
    let before = (calls.load(Ordering::Relaxed), metrics().spawns);
    sendto(client.as_raw_fd(), b"!", MsgFlags::OOB, None).unwrap();
    eventually("the edge", || metrics().spawns > before.1);
    eventually("the rest again", resting);
    assert_eq!(calls.load(Ordering::Relaxed), before.0);
    ask(&client, b"y");
    end(all);
}

/// Bytes come at the very moment at which a connection goes to rest.
fn no_edge(_: &[&str]) {
    let all = server(Serve::new().idle_timeout(PATIENCE), echo);
    let addr = all.2;
    let clients = (0..8).map(|seed| {
        spawn(move || {
            let (client, random) = (TcpStream::connect(addr).unwrap(), Random::new(seed + 1));
            for _ in 0..1000 {
                client.write_all(b"ab").unwrap();
                (0..random.below(4)).for_each(|_| netpoll::yield_now());
                client.write_all(b"cd").unwrap();
                let mut buf = [0; 4];
                client.read_exact(&mut buf).unwrap();
                assert_eq!(&buf, b"abcd");
            }
        })
    });
    join_all(clients);
    end(all);
}

fn idle_timeout(_: &[&str]) {
    in_time(ms(60), |limit| {
        let all = server(Serve::new().idle_timeout(limit), echo);
        let start = Instant::now();
        let [silent, once, often] = [(); 3].map(|()| TcpStream::connect(all.2).unwrap());
        let mut kept = try_ask(&once, b"once").is_ok();
        let mut longest = start.elapsed();
        for _ in 0..8 {
            let before = Instant::now();
            sleep(limit / 3);
            kept &= try_ask(&often, b"often").is_ok();
            longest = longest.max(before.elapsed());
        }
        assert!(kept || longest >= limit, "closed behind {longest:?} at most, before {limit:?}");
        assert!(start.elapsed() >= limit);
        let ended = |end: Result<usize, Error>| end == Ok(0) || !kept;
        assert!(ended(silent.read(&mut [0])) && ended(once.read(&mut [0])));
        eventually("the last", || metrics().waiters == 1);
        assert!(ended(often.read(&mut [0])));
        end(all);
        kept
    });
}

/// The time that a handler takes does not count, and its own deadline ends with it.
fn begins_anew(_: &[&str]) {
    in_time(ms(100), |limit| {
        let all = server(Serve::new().idle_timeout(limit), move |stream| {
            stream.set_read_timeout(Some(ms(1))).unwrap();
            let next = echo(stream);
            assert_eq!(error(stream.read(&mut [0; 64])), Error::TimedOut);
            sleep(limit * 6 / 5);
            next
        });
        let start = Instant::now();
        let client = TcpStream::connect(all.2).unwrap();
        let mut kept = try_ask(&client, b"first").is_ok();
        let before = start.elapsed();
        let start = Instant::now();
        sleep(limit * 3 / 2); // of which the handler takes four fifths
        kept &= try_ask(&client, b"second").is_ok();
        // Whatever the handler took, it slept for that long.
        let between = start.elapsed() - limit * 6 / 5;
        assert!(
            kept || before.max(between) >= limit,
            "closed behind {before:?} or {between:?}, before {limit:?}"
        );
        assert!(client.read(&mut [0]) == Ok(0) || !kept);
        end(all);
        kept
    });
}

fn ends_behind(_: &[&str]) {
    let all = server(Serve::new(), |stream| {
        let next = echo(stream);
        sleep(ms(40));
        stream.write_all(b"late").unwrap();
        next
    });
    // Accepted in this order: what is in the listener's queue when that is closed would be reset.
    let [silent, busy] = [(); 2].map(|()| TcpStream::connect(all.2).unwrap());
    ask(&busy, b"long");
    end(all);
    busy.set_read_deadline(Some(after(PATIENCE))).unwrap();
    busy.read_exact(&mut [0; 4]).unwrap(); // it had been sent when the server ended
    assert_eq!(busy.read(&mut [0]), Ok(0));
    assert_eq!(silent.read(&mut [0]), Ok(0));
}

/// Events, deadlines, connections that go to rest and new ones, all against the end.
fn ends_any_time(_: &[&str]) {
    drop(crate::support::pair());
    let (before, random) = (descriptors(), Random::new(7));
    for _ in 0..60 {
        let options = Serve::new().idle_timeout(Duration::from_micros(200 + random.below(2000)));
        let all = server(options, echo);
        let addr = all.2;
        let clients: Vec<_> = (0..6)
            .map(|_| {
                spawn(move || {
                    let Ok(client) = TcpStream::connect(addr) else { return };
                    while client.write_all(b"to and fro").is_ok()
                        && matches!(client.read(&mut [0; 64]), Ok(1..))
                    {}
                })
            })
            .collect();
        sleep(Duration::from_micros(random.below(4000)));
        end(all);
        join_all(clients);
        eventually("the count of the last", || metrics().waiters == 0); // behind its effect
    }
    assert_eq!(descriptors(), before);
}

/// Connections that rest are written to, run into a deadline and are closed, all at the same moment, and the
/// server ends in between; in any order, and not always all of it.
fn all_at_once(_: &[&str]) {
    const CLIENTS: usize = 6;
    drop(crate::support::pair());
    let (before, random) = (descriptors(), Random::new(11));
    // Passes so much time, mostly none, on a thread or off it.
    let pause = |n: u64| {
        move || {
            (0..n / 2).for_each(|_| if n & 1 == 0 { core::hint::spin_loop() } else { netpoll::yield_now() })
        }
    };
    for _ in 0..300 {
        let kept: Arc<Mutex<Vec<TcpStream>>> = Arc::new(Mutex::new(Vec::new()));
        let keeps = kept.clone();
        let all = server(Serve::new().idle_timeout(PATIENCE), move |stream| {
            let mut kept = keeps.lock();
            if kept.len() < CLIENTS {
                kept.push(stream.try_clone().unwrap());
            }
            drop(kept);
            echo(stream)
        });
        let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(all.2).unwrap()).collect();
        clients.iter().for_each(|client| ask(client, b"x"));
        eventually("the rest", || metrics().tasks == 3);
        let handles: Vec<_> = kept.lock().iter().map(dup).collect();
        let mut tasks = Vec::new();
        for (client, handle) in clients.iter().zip(&handles) {
            let what = random.below(8);
            if what & 1 == 0 {
                let (client, pause) = (dup(client), pause(random.below(40)));
                tasks.push(spawn(move || {
                    pause();
                    let _ = client.write_all(b"an event"); // or it is closed by now
                }));
            }
            if what & 2 == 0 {
                let (handle, pause, time) = (dup(handle), pause(random.below(40)), random.below(100));
                tasks.push(spawn(move || {
                    pause();
                    let _ = handle.set_read_deadline(Some(after(Duration::from_micros(time))));
                }));
            }
            if what & 4 == 0 {
                let (handle, pause) = (dup(handle), pause(random.below(40)));
                tasks.push(spawn(move || {
                    pause();
                    assert_eq!(handle.close(), Ok(()));
                }));
            }
        }
        if random.below(2) == 0 {
            join_all(tasks);
            end(all);
        } else {
            pause(random.below(80))();
            end(all);
            join_all(tasks);
        }
        drop((handles, kept)); // of those that nobody has closed
        for client in &clients {
            client.set_read_deadline(Some(after(PATIENCE))).unwrap();
            loop {
                match client.read(&mut [0; 64]) {
                    Ok(1..) => {}
                    Ok(0) | Err(Error::Os(..)) => break,
                    Err(e) => panic!("{e}"),
                }
            }
        }
        eventually("the count of the last", || metrics().waiters == 0); // behind its effect
    }
    assert_eq!(descriptors(), before);
}

fn ends_by_deadline(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    listener.set_deadline(Some(after(ms(20)))).unwrap();
    assert_eq!(serve(&listener, echo), Err(Error::TimedOut));
    assert_eq!(client.read(&mut [0]), Ok(0));
}

/// A close by somebody else ends a connection that rests, and waits until it is closed.
fn other_handle(_: &[&str]) {
    let kept: Arc<Mutex<Vec<TcpStream>>> = Arc::new(Mutex::new(Vec::new()));
    let keeps = kept.clone();
    let all = server(Serve::new(), move |stream| {
        keeps.lock().push(stream.try_clone().unwrap());
        echo(stream)
    });
    let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(all.2).unwrap()).collect();
    clients.iter().for_each(|client| ask(client, b"x"));
    eventually("the rest", || metrics().tasks == 3);
    let mut handles = core::mem::take(&mut *kept.lock());
    let left = handles.pop().unwrap();
    for handle in &handles {
        handle.close().unwrap();
    }
    clients[..9].iter().for_each(|client| assert_eq!(client.read(&mut [0]), Ok(0)));
    ask(&clients[9], b"alive");
    end(all);
    // The server has let go of it; the handle here has not.
    assert_eq!(left.close(), Ok(()));
}

/// A reader by another handle and the server's task share what comes; nothing is lost, and both see the end.
fn other_reader(_: &[&str]) {
    const TURNS: usize = 200;
    let kept: Arc<Mutex<Option<TcpStream>>> = Arc::new(Mutex::new(None));
    let (keeps, first) = (kept.clone(), AtomicBool::new(true));
    let all = server(Serve::new(), move |stream| {
        if first.swap(false, Ordering::SeqCst) {
            *keeps.lock() = Some(stream.try_clone().unwrap());
        }
        echo(stream)
    });
    let client = TcpStream::connect(all.2).unwrap();
    ask(&client, b"first");
    eventually("the rest", || metrics().tasks == 3);
    let other = kept.lock().take().unwrap();
    let reader = waiting(move || {
        let mut sum = 0;
        while let n @ 1.. = other.read(&mut [0; 64]).unwrap() {
            sum += n;
        }
        sum
    });
    for _ in 0..TURNS {
        client.write_all(b"theirs").unwrap();
        netpoll::yield_now();
    }
    client.shutdown(netpoll::net::Shutdown::Write).unwrap();
    let theirs = reader.join();
    let echoed = receive_all(&client);
    assert_eq!(theirs + echoed, TURNS * 6);
    end(all);
}

fn receive_all(stream: &TcpStream) -> usize {
    let (mut buf, mut sum) = ([0; 64], 0);
    loop {
        match stream.read(&mut buf).unwrap() {
            0 => return sum,
            n => sum += n,
        }
    }
}

fn out_of_descriptors(_: &[&str]) {
    let all = server(Serve::new(), echo);
    let client = TcpStream::connect(all.2).unwrap();
    ask(&client, b"x");
    let old = limit(Resource::Nofile, descriptors() as u64 + 1);
    let late = TcpStream::connect(all.2).unwrap(); // takes the last
    ask(&client, b"unharmed");
    sleep(ms(20));
    limit(Resource::Nofile, old);
    ask(&late, b"late");
    end(all);
}

fn over_unix(_: &[&str]) {
    let listener =
        Arc::new(UnixListener::bind_addr(&UnixAddr::from_abstract_name(b"netpoll-serve").unwrap()).unwrap());
    let other = listener.clone();
    let server = spawn(move || {
        serve(&*other, |stream: &UnixStream| {
            let mut buf = [0; 64];
            match stream.read(&mut buf) {
                Ok(n @ 1..) if stream.write_all(&buf[..n]).is_ok() => Next::Idle,
                _ => Next::Close,
            }
        })
    });
    let client = UnixStream::connect_addr(&listener.local_addr().unwrap()).unwrap();
    for _ in 0..100 {
        client.write_all(b"unix").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
    }
    listener.close().unwrap();
    assert_eq!(server.join(), Ok(()));
}

/// At most 256 bytes a connection, deadline included. The clients' sockets are the kernel's alone.
fn resting_bytes(_: &[&str]) {
    // Fewer where there are not two descriptors for each.
    let count = ((raise_descriptors() - 100) / 2).min(6000);
    let all = server(Serve::new().idle_timeout(Duration::from_secs(3600)), echo);
    let join = |count: usize| {
        let addr = all.2.into();
        let clients: Vec<_> = (0..count)
            .map(|_| {
                let new = socket(Family::INET, SocketType::STREAM, SocketFlags::CLOEXEC, 0);
                let new = new.unwrap();
                connect(new, &addr).unwrap();
                new
            })
            .collect();
        clients
    };
    let mut clients = Vec::with_capacity(count);
    clients.extend(join(count / 4));
    eventually("the rest", || metrics().waiters as usize == clients.len() + 1);
    let (before, threads) = (anonymous(), metrics().threads);
    clients.extend(join(count - clients.len()));
    eventually("the rest", || metrics().waiters as usize == clients.len() + 1);
    let grown = anonymous() - before;
    // The vector of the second part, 4 bytes each, comes on top, and what threads touch that begin meanwhile.
    let threads = 1 + metrics().threads - threads;
    let most = (count - count / 4) * (256 + 4) + threads as usize * (64 << 10);
    assert!(grown <= most, "{grown} bytes of {most}");
    end(all);
    assert!(clients.into_iter().all(|client| close(client).is_ok()));
}
