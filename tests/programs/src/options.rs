//! What TCP sockets can be told, timeouts, and descriptors that come and go.

use crate::Scenario;
use crate::support::{
    LOOPBACK, LOTS, PATIENCE, SETTLE, after, descriptors, dup, errno, error, eventually, fill, ms,
    narrow_pair, pair, pair_on, past, waiting,
};
use core::time::Duration;
use netpoll::io::{Read, Write};
use netpoll::net::{Error, Keepalive, Shutdown, TcpBuilder, TcpListener, TcpStream, UnixStream};
use netpoll::spawn;
use netpoll::sys::fd::{OFlags, PollFd, PollFlags, fcntl_getfl, fcntl_setfl, ppoll};
use netpoll::sys::sockopt::{
    ipv6_v6only, socket_reuseaddr, socket_reuseport, tcp_defer_accept, tcp_fastopen, tcp_fastopen_connect,
};
use netpoll::sys::time::Timespec;
use netpoll::sys::{Call, Errno};
use netpoll::time::{Instant, sleep};

pub const SCENARIOS: &[Scenario] = &[
    ("stream_options", stream_options),
    ("builder_listens", builder_listens),
    ("builder_connects", builder_connects),
    ("builder_only_v6", only_v6),
    ("builder_shares_a_port", shares),
    ("builder_defers_accept", defers),
    ("timeout_of_each_read", each_read),
    ("timeout_of_each_write", each_write),
    ("a_timeout_that_passes_between_reads", between_reads),
    ("timeout_and_deadline", and_deadline),
    ("timeouts_end_with_their_descriptor", end_with_descriptor),
    ("split_halves", halves),
    ("descriptors_come_and_go", come_and_go),
    ("accept_deadline", accept_deadline),
];

fn stream_options(_: &[&str]) {
    let (near, _far) = pair();
    near.set_ttl(33).unwrap();
    assert_eq!(near.ttl(), Ok(33));
    assert_eq!(errno(near.set_ttl(0)), Errno::EINVAL);
    assert_eq!(near.keepalive(), Ok(None));
    let keepalive = Keepalive { idle: ms(41_200), interval: Duration::from_secs(7), probes: 3 };
    near.set_keepalive(Some(keepalive)).unwrap();
    assert_eq!(near.keepalive(), Ok(Some(Keepalive { idle: Duration::from_secs(42), ..keepalive })));
    near.set_keepalive(None).unwrap();
    assert_eq!(near.keepalive(), Ok(None));
    assert_eq!(near.linger(), Ok(None));
    near.set_linger(Some(ms(1500))).unwrap();
    assert_eq!(near.linger(), Ok(Some(Duration::from_secs(2))));
    near.set_linger(None).unwrap();
    near.set_quickack(false).unwrap();
    assert_eq!(near.quickack(), Ok(false));
    near.set_recv_buffer_size(5000).unwrap(); // hardly a host allows less
    assert_eq!(near.recv_buffer_size(), Ok(10_000));
    assert_eq!(near.take_error(), Ok(None));
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    listener.set_ttl(44).unwrap();
    assert_eq!((listener.ttl(), listener.take_error()), (Ok(44), Ok(None)));
    near.close().unwrap();
    assert_eq!(near.ttl(), Err(Error::Closed));
    assert_eq!(near.set_linger(None), Err(Error::Closed));
}

fn builder_listens(_: &[&str]) {
    let keepalive = Keepalive { idle: Duration::from_secs(9), ..Keepalive::default() };
    let builder = TcpBuilder::new().nodelay(true).keepalive(Some(keepalive)).ttl(55).backlog(5);
    let builder = builder.recv_buffer_size(6000).send_buffer_size(5000).fast_open(16);
    let listener = match builder.bind_device(c"lo").listen(LOOPBACK) {
        Err(Error::Os(Call::Setsockopt, Errno::EPERM)) => builder.listen(LOOPBACK).unwrap(),
        other => other.unwrap(),
    };
    let fd = listener.as_raw_fd();
    assert_eq!((socket_reuseaddr(fd), socket_reuseport(fd), tcp_fastopen(fd)), (Ok(true), Ok(false), Ok(16)));
    let (_near, far) = pair_on(&listener);
    assert_eq!((far.nodelay(), far.ttl(), far.keepalive()), (Ok(true), Ok(55), Ok(Some(keepalive))));
    assert_eq!((far.recv_buffer_size(), far.send_buffer_size()), (Ok(12_000), Ok(10_000)));
    let strict = TcpBuilder::new().reuse_addr(false).listen(LOOPBACK).unwrap();
    assert_eq!(socket_reuseaddr(strict.as_raw_fd()), Ok(false));
    // Nothing is left behind by what fails.
    let before = descriptors();
    assert_eq!(error(TcpBuilder::new().ttl(0).listen(LOOPBACK)), Error::Os(Call::Setsockopt, Errno::EINVAL));
    assert_eq!(errno(TcpBuilder::new().bind_device(c"no-such-device").listen(LOOPBACK)), Errno::ENODEV);
    assert_eq!(descriptors(), before);
}

fn builder_connects(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let addr = listener.local_addr().unwrap();
    let source = "127.0.0.9:0".parse().unwrap();
    let builder = TcpBuilder::new().bind(source).nodelay(true).linger(Some(Duration::ZERO)).fast_open(1);
    let near = builder.deadline(after(PATIENCE)).connect(addr).unwrap();
    assert_eq!(tcp_fastopen_connect(near.as_raw_fd()), Ok(true));
    near.write_all(b"first").unwrap(); // may be what connects
    let (far, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip(), source.ip());
    assert_eq!((near.nodelay(), near.linger()), (Ok(true), Ok(Some(Duration::ZERO))));
    far.read_exact(&mut [0; 5]).unwrap();
    drop(near); // with linger 0: a reset
    assert_eq!(errno(far.read(&mut [0])), Errno::ECONNRESET);
    let taken = TcpBuilder::new().bind(addr).connect(addr);
    assert_eq!(error(taken), Error::Os(Call::Bind, Errno::EADDRINUSE));
    listener.close().unwrap();
    assert_eq!(error(TcpBuilder::new().connect(addr)), Error::Os(Call::Connect, Errno::ECONNREFUSED));
}

fn only_v6(_: &[&str]) {
    let listen = |only| TcpBuilder::new().only_v6(only).listen("[::]:0");
    let listener = match listen(false) {
        Err(Error::Os(_, Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL)) => return, // a machine without
        other => other.unwrap(),
    };
    let port = listener.local_addr().unwrap().port();
    assert_eq!(ipv6_v6only(listener.as_raw_fd()), Ok(false));
    let _four = TcpStream::connect((core::net::Ipv4Addr::LOCALHOST, port)).unwrap();
    let (_far, peer) = listener.accept().unwrap();
    assert!(peer.is_ipv6(), "a mapped address");
    let listener = listen(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(errno(TcpStream::connect((core::net::Ipv4Addr::LOCALHOST, port))), Errno::ECONNREFUSED);
    assert_eq!(TcpBuilder::new().only_v6(true).ttl(8).listen(LOOPBACK).unwrap().ttl(), Ok(8)); // IPv4: no matter
    let six = TcpBuilder::new().ttl(12).connect((core::net::Ipv6Addr::LOCALHOST, port)).unwrap();
    assert_eq!(six.ttl(), Ok(12));
}

fn shares(_: &[&str]) {
    let first = TcpBuilder::new().reuse_port(true).listen(LOOPBACK).unwrap();
    let addr = first.local_addr().unwrap();
    let second = TcpBuilder::new().reuse_port(true).listen(addr).unwrap();
    assert_eq!(second.local_addr().unwrap(), addr);
    assert_eq!(errno(TcpListener::bind(addr)), Errno::EADDRINUSE);
    let servers = [first, second].map(|listener| {
        let other = listener.try_clone().unwrap();
        (listener, spawn(move || other.incoming().take_while(|stream| stream.is_ok()).count()))
    });
    for _ in 0..40 {
        let _ = TcpStream::connect(addr).unwrap().read(&mut [0]);
    }
    let counts = servers.map(|(listener, server)| {
        listener.close().unwrap();
        server.join()
    });
    assert_eq!(counts[0] + counts[1], 40);
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

fn defers(_: &[&str]) {
    let listener = TcpBuilder::new().defer_accept(Duration::from_secs(20)).listen(LOOPBACK).unwrap();
    assert!(tcp_defer_accept(listener.as_raw_fd()).unwrap() >= 20);
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(error(listener.accept_deadline(after(ms(50)))), Error::TimedOut, "nothing to read yet");
    near.write_all(b"now").unwrap();
    let (far, _) = listener.accept().unwrap();
    far.read_exact(&mut [0; 3]).unwrap();
}

/// A limit passes, on another thread, while its task finds something with each read.
fn between_reads(_: &[&str]) {
    let (near, far) = UnixStream::pair().unwrap();
    for _ in 0..300 {
        near.write_all(&[0; 16_000]).unwrap();
        far.set_read_timeout(Some(ms(1))).unwrap(); // from now on
        let start = Instant::now();
        let mut left = 16_000;
        while left > 1 && start.elapsed() < ms(2) {
            assert_eq!(far.read(&mut [0]), Ok(1));
            left -= 1;
        }
        far.read_exact(&mut LOTS.to_vec()[..left]).unwrap();
    }
}

/// std's `set_read_timeout`: a limit for each call, and ready data is never refused.
fn each_read(_: &[&str]) {
    let (near, far) = pair();
    assert_eq!(far.read_timeout(), Ok(None));
    assert_eq!(error(far.set_read_timeout(Some(Duration::ZERO))), Error::Os(Call::Setsockopt, Errno::EINVAL));
    far.set_read_timeout(Some(Duration::from_micros(19_100))).unwrap();
    assert_eq!(far.read_timeout(), Ok(Some(ms(20))));
    let mut buf = [0; 8];
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(far.read(&mut buf), Err(Error::TimedOut));
        assert!(start.elapsed() >= ms(20));
    }
    for _ in 0..3 {
        near.write_all(b"ready").unwrap();
        // Longer than the limit, which the last call has left armed: it is over, and no matter.
        sleep(ms(30));
        assert_eq!(far.read(&mut buf), Ok(5));
        assert_eq!(far.peek(&mut buf), Err(Error::TimedOut));
    }
    // The same where the last read took all it asked for, so that the next need not wait for an edge.
    let mut rounds = 0;
    while rounds < 3 {
        let other = dup(&far);
        let reader = waiting(move || other.read(&mut [0; 5]));
        near.write_all(b"exact").unwrap();
        match reader.join() {
            Ok(n) => assert_eq!(n, 5),
            // The machine took longer than the limit to come to the write.
            Err(e) => {
                assert_eq!((e, far.read(&mut buf[..5])), (Error::TimedOut, Ok(5)));
                continue;
            }
        }
        sleep(ms(30));
        near.write_all(b"again").unwrap();
        assert_eq!(far.read(&mut buf[..5]), Ok(5));
        rounds += 1;
    }
    let near = each_call_has_its_own(near, &far);
    // It is for reads only, and ends with `None`.
    assert_eq!(far.write(b"x"), Ok(1));
    far.set_read_timeout(None).unwrap();
    assert_eq!(far.read_timeout(), Ok(None));
    let other = dup(&far);
    let reader = waiting(move || other.read(&mut [0; 8]));
    sleep(ms(80));
    near.write_all(b"late").unwrap();
    assert_eq!(reader.join(), Ok(4));
    // A close ends a call with a limit as any other.
    far.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    let other = dup(&far);
    let reader = waiting(move || other.read(&mut [0; 8]));
    far.close().unwrap();
    assert_eq!(reader.join(), Err(Error::Closed));
    assert_eq!(far.set_read_timeout(None), Err(Error::Closed));
    assert_eq!(far.read_timeout(), Err(Error::Closed));
}

/// Many calls together take longer than the limit, and none of them does. Where a byte did come that late, because the
/// machine is loaded, the limit is doubled.
fn each_call_has_its_own(near: TcpStream, far: &TcpStream) -> TcpStream {
    const PAUSE: Duration = ms(3);
    let mut near = near;
    for doublings in 0..8 {
        let limit = ms(60) * (1 << doublings);
        let bytes = 2 * limit.as_millis() as usize / PAUSE.as_millis() as usize;
        far.set_read_timeout(Some(limit)).unwrap();
        let writer = spawn(move || {
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            for _ in 0..bytes {
                sleep(PAUSE);
                near.write_all(b"x").unwrap();
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            (near, longest)
        });
        let (mut got, mut late) = (0, false);
        while got < bytes {
            match far.read(&mut [0; 1]) {
                Ok(n) => got += n,
                Err(e) => {
                    assert_eq!(e, Error::TimedOut);
                    late = true;
                }
            }
        }
        let longest;
        (near, longest) = writer.join();
        if !late {
            return near;
        }
        assert!(longest >= limit, "the longest pause was {longest:?}, and a call with {limit:?} timed out");
    }
    panic!("a byte is late each time");
}

fn each_write(_: &[&str]) {
    let (near, far) = narrow_pair();
    near.set_write_timeout(Some(ms(20))).unwrap();
    assert_eq!((near.write_timeout(), near.read_timeout()), (Ok(Some(ms(20))), Ok(None)));
    let mut left = fill(&near);
    let mut timeouts = 0;
    while timeouts < 2 {
        let start = Instant::now();
        match near.write(&LOTS) {
            Ok(n) => left += n, // a probe of the full window has made some room
            Err(e) => {
                assert_eq!(e, Error::TimedOut);
                assert!(start.elapsed() >= ms(20));
                timeouts += 1;
            }
        }
        assert!(left < LOTS.len());
    }
    let mut buf = [0; 8192];
    while left > 0 {
        left -= far.read(&mut buf).unwrap();
    }
    // Asks the kernel itself, because the stream is to know nothing of the room but its edge.
    eventually("room", || {
        let mut fds = [PollFd::new(near.as_raw_fd(), PollFlags::OUT)];
        ppoll(&mut fds, Some(Timespec::from_nanos(0))).unwrap() == 1
    });
    sleep(ms(30));
    assert_eq!(near.write(b"room"), Ok(4));
}

/// Whichever was set last is in force.
fn and_deadline(_: &[&str]) {
    let (near, far) = pair();
    far.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    far.set_read_deadline(Some(past())).unwrap();
    assert_eq!(far.read_timeout(), Ok(None));
    near.write_all(b"data").unwrap();
    let mut buf = [0; 8];
    assert_eq!((far.read(&mut buf), far.read(&mut buf)), (Err(Error::TimedOut), Err(Error::TimedOut)));
    far.set_read_timeout(Some(ms(15))).unwrap();
    assert_eq!(far.read(&mut buf), Ok(4));
    assert_eq!(far.read(&mut buf), Err(Error::TimedOut));
    // A deadline that another task sets ends a call with a limit, and outlives it.
    far.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    let other = dup(&far);
    let reader = waiting(move || (other.read(&mut [0; 8]), other.read(&mut [0; 8])));
    far.set_write_timeout(Some(2 * PATIENCE)).unwrap();
    far.set_deadline(Some(past())).unwrap();
    assert_eq!(reader.join(), (Err(Error::TimedOut), Err(Error::TimedOut)));
    assert_eq!(far.write_timeout(), Ok(None));
    // A call that waits gets a new limit, too.
    far.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    let other = dup(&far);
    let reader = waiting(move || other.read(&mut [0; 8]));
    let start = Instant::now();
    far.set_read_timeout(Some(ms(20))).unwrap();
    assert_eq!(reader.join(), Err(Error::TimedOut));
    assert!(start.elapsed() >= ms(20));
    // Each direction by itself.
    far.set_read_timeout(Some(ms(15))).unwrap();
    assert_eq!(far.write(b"x"), Err(Error::TimedOut), "the deadline of both is still the writer's");
    far.set_write_deadline(None).unwrap();
    assert_eq!(far.read_timeout(), Ok(Some(ms(15))));
    assert_eq!((far.write(b"x"), far.read(&mut buf)), (Ok(1), Err(Error::TimedOut)));
    // Without a limit there is no deadline either.
    far.set_read_deadline(Some(after(ms(10)))).unwrap();
    far.set_read_timeout(None).unwrap();
    let other = dup(&far);
    let reader = waiting(move || other.read(&mut [0; 8]));
    sleep(ms(20));
    near.write_all(b"late").unwrap();
    assert_eq!(reader.join(), Ok(4));
    // Against a storm of deadlines from elsewhere nothing hangs and nothing is lost.
    let other = dup(&far);
    let storm = spawn(move || {
        for i in 0..400 {
            match i % 4 {
                0 => other.set_read_deadline(Some(past())).unwrap(),
                1 => other.set_read_timeout(Some(ms(1))).unwrap(),
                2 => other.set_read_deadline(None).unwrap(),
                _ => other.set_read_timeout(None).unwrap(),
            }
            sleep(Duration::from_micros(50));
        }
    });
    let writer = spawn(move || {
        for _ in 0..300 {
            near.write_all(b"y").unwrap();
            sleep(Duration::from_micros(70));
        }
        near
    });
    let mut got = 0;
    while got < 300 {
        match far.read(&mut buf) {
            Ok(n) => got += n,
            Err(e) => assert_eq!(e, Error::TimedOut),
        }
    }
    storm.join();
    writer.join();
}

fn end_with_descriptor(_: &[&str]) {
    for _ in 0..20 {
        let (near, far) = pair();
        far.set_read_timeout(Some(ms(1))).unwrap();
        far.set_write_timeout(Some(ms(1))).unwrap();
        assert_eq!(far.read(&mut [0]), Err(Error::TimedOut));
        drop((near, far));
        let (near, far) = pair();
        assert_eq!((near.read_timeout(), far.write_timeout()), (Ok(None), Ok(None)));
        near.set_read_timeout(Some(ms(1))).unwrap();
        assert_eq!(near.write_timeout(), Ok(None), "of the slot's earlier owner");
        let reader = waiting(move || far.read(&mut [0]));
        sleep(ms(3));
        near.write_all(b"x").unwrap();
        assert_eq!(reader.join(), Ok(1));
    }
}

fn halves(_: &[&str]) {
    fn copy(mut from: impl Read<Error = Error>, mut to: impl Write<Error = Error>) {
        let mut buf = [0; 64];
        while let n @ 1.. = from.read(&mut buf).unwrap() {
            to.write_all(&buf[..n]).unwrap();
        }
    }
    let (near, far) = pair();
    let server = spawn(move || {
        let (reader, writer) = far.split();
        copy(&reader, &writer);
        writer.shutdown().unwrap();
    });
    let (reader, writer) = near.split();
    drop(near);
    let writing = spawn(move || {
        (0..100).for_each(|_| writer.write_all(b"0123456789").unwrap());
        writer.shutdown().unwrap();
        writer
    });
    reader.read_exact(&mut [0; 1000]).unwrap();
    assert_eq!(reader.read(&mut [0]), Ok(0));
    let writer = writing.join();
    reader.set_read_timeout(Some(ms(5))).unwrap();
    writer.close().unwrap();
    assert_eq!(reader.read(&mut [0]), Err(Error::Closed), "they are handles to one stream");
    server.join();
}

fn come_and_go(_: &[&str]) {
    drop(pair());
    let before = descriptors();
    let (near, far) = pair();
    far.set_read_deadline(Some(after(ms(30)))).unwrap();
    let second = dup(&far);
    assert_eq!(error(far.into_raw_fd()), Error::Busy);
    let raw = second.into_raw_fd().unwrap();
    assert!(fcntl_getfl(raw).unwrap().contains(OFlags::NONBLOCK));
    fcntl_setfl(raw, OFlags::empty()).unwrap();
    // SAFETY: just taken out.
    let far = unsafe { TcpStream::from_raw_fd(raw) }.unwrap();
    assert_eq!(far.as_raw_fd(), raw);
    // The old deadline is gone, and it waits as a stream made here would.
    let reader = waiting(move || (far.read(&mut [0; 8]), far));
    sleep(ms(50));
    near.write_all(b"still").unwrap();
    let (read, far) = reader.join();
    assert_eq!(read, Ok(5));
    near.write_all(b"unread").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    drop((near, far));
    let closed = TcpListener::bind(LOOPBACK).unwrap();
    closed.close().unwrap();
    assert_eq!(error(closed.into_raw_fd()), Error::Closed);
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    // SAFETY: taken out in the same breath.
    let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd().unwrap()) }.unwrap();
    let (near, far) = pair_on(&listener);
    near.write_all(b"x").unwrap();
    assert_eq!(far.read(&mut [0]), Ok(1));
    drop((near, far, listener));
    // SAFETY: nobody has this number, so there is nothing to be closed.
    assert_eq!(error(unsafe { UnixStream::from_raw_fd(1_000_000) }), Error::Os(Call::Fcntl, Errno::EBADF));
    assert_eq!(descriptors(), before);
}

fn accept_deadline(_: &[&str]) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let start = Instant::now();
    assert_eq!(error(listener.accept_deadline(start + ms(10))), Error::TimedOut);
    assert!(start.elapsed() >= ms(10));
    assert_eq!(error(listener.accept_deadline(past())), Error::TimedOut);
    let other = listener.try_clone().unwrap();
    let acceptor = waiting(move || other.accept().map(|(stream, _)| stream));
    sleep(SETTLE); // nothing of the deadline is left
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    acceptor.join().unwrap().write_all(b"x").unwrap();
    assert_eq!(near.read(&mut [0]), Ok(1));
}
