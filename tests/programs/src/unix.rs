//! Unix sockets.

use crate::Scenario;
use crate::support::{
    LOTS, PATIENCE, after, descriptors, errno, error, join_all, ms, past, receive_pattern, send_pattern,
    waiting,
};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use netpoll::net::unix::SocketAddr;
use netpoll::net::{
    Error, Shutdown, UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream,
};
use netpoll::sys::fs::{AT_FDCWD, AtFlags, unlinkat};
use netpoll::sys::process::{getgid, getpid, getuid};
use netpoll::sys::socket::{Family, SocketFlags, SocketType, bind, listen, socket};
use netpoll::sys::time::{ClockId, clock_gettime};
use netpoll::sys::{Call, Errno};
use netpoll::time::{Instant, sleep};
use netpoll::{spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("unix_connection", connection),
    ("unix_addresses", addresses),
    ("unix_path_in_use", path_in_use),
    ("unix_bytes_in_order", bytes_in_order),
    ("unix_end_of_stream", end_of_stream),
    ("unix_half_close", half_close),
    ("unix_full_backlog", full_backlog),
    ("unix_close_wakes_acceptor", close_wakes_acceptor),
    ("unix_peer_cred", peer_cred),
    ("seqpacket", seqpacket),
    ("seqpacket_half_close", seqpacket_half_close),
    ("datagrams", datagrams),
    ("datagrams_of_no_bytes", no_bytes),
    ("datagrams_to_a_full_peer", full_peer),
    ("datagrams_to_a_full_stranger", full_stranger),
];

/// An abstract name that no other run has.
pub fn name(what: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("netpoll-test-{}-{what}", getpid())).unwrap()
}

/// A path, removed in the end.
pub struct Path(String);

impl Path {
    pub fn new(what: &str) -> Path {
        Path(format!("/tmp/netpoll-test-{}-{what}\0", getpid()))
    }

    pub fn get(&self) -> &str {
        self.0.trim_end_matches('\0')
    }

    pub fn c_str(&self) -> &core::ffi::CStr {
        core::ffi::CStr::from_bytes_with_nul(self.0.as_bytes()).unwrap()
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = unlinkat(AT_FDCWD, self.c_str(), AtFlags::empty());
    }
}

fn connection(_: &[&str]) {
    let path = Path::new("connection");
    for addr in [SocketAddr::from_pathname(path.get()).unwrap(), name("connection")] {
        let listener = UnixListener::bind_addr(&addr).unwrap();
        assert_eq!(listener.local_addr().unwrap(), addr);
        let server = spawn(move || {
            let (stream, peer) = listener.accept().unwrap();
            assert!(peer.is_unnamed() && stream.peer_addr().unwrap().is_unnamed());
            let mut buf = [0; 64];
            while let n @ 1.. = stream.read(&mut buf).unwrap() {
                stream.write_all(&buf[..n]).unwrap();
            }
        });
        let stream = match addr.as_pathname() {
            Some(path) => UnixStream::connect(path).unwrap(),
            None => UnixStream::connect_addr(&addr).unwrap(),
        };
        assert_eq!(stream.peer_addr().unwrap(), addr);
        assert!(stream.local_addr().unwrap().is_unnamed());
        for i in 0..500u32 {
            stream.write_all(&i.to_ne_bytes()).unwrap();
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(u32::from_ne_bytes(answer), i);
        }
        assert_eq!(stream.take_error(), Ok(None));
        drop(stream);
        server.join();
    }
}

fn addresses(_: &[&str]) {
    let max = [b'x'; SocketAddr::MAX];
    assert_eq!(SocketAddr::from_pathname(max).unwrap().as_pathname(), Some(&max[..]));
    assert_eq!(SocketAddr::from_abstract_name(max).unwrap().as_abstract_name(), Some(&max[..]));
    let odd = SocketAddr::from_abstract_name(b"a\0b").unwrap();
    assert_eq!(
        (odd.as_abstract_name(), odd.as_pathname(), odd.is_unnamed()),
        (Some(&b"a\0b"[..]), None, false)
    );
    assert_eq!(format!("{odd:?}"), "@a\\x00b");
    assert_eq!(format!("{:?}", SocketAddr::unnamed()), "unnamed");
    for bad in [&b""[..], b"a\0b", &[b'x'; SocketAddr::MAX + 1]] {
        assert_eq!(error(SocketAddr::from_pathname(bad)), Error::InvalidAddress);
        assert_eq!(error(UnixListener::bind(bad)), Error::InvalidAddress);
        assert_eq!(error(UnixStream::connect(bad)), Error::InvalidAddress);
    }
    assert_eq!(error(SocketAddr::from_abstract_name([0; SocketAddr::MAX + 1])), Error::InvalidAddress);
    // The kernel's choice for what has no name.
    let listener = UnixListener::bind_addr(&SocketAddr::unnamed()).unwrap();
    let chosen = listener.local_addr().unwrap();
    assert_eq!(chosen.as_abstract_name().unwrap().len(), 5);
    UnixStream::connect_addr(&chosen).unwrap();
}

fn path_in_use(_: &[&str]) {
    let path = Path::new("in-use");
    let before = {
        drop(UnixStream::pair().unwrap()); // makes the poller
        descriptors()
    };
    assert_eq!(error(UnixStream::connect(path.get())), Error::Os(Call::Connect, Errno::ENOENT));
    let listener = UnixListener::bind(path.get()).unwrap();
    assert_eq!(error(UnixListener::bind(path.get())), Error::Os(Call::Bind, Errno::EADDRINUSE));
    listener.close().unwrap();
    // The path stays behind, and nobody listens there.
    assert_eq!(error(UnixStream::connect(path.get())), Error::Os(Call::Connect, Errno::ECONNREFUSED));
    assert_eq!(errno(UnixListener::bind(path.get())), Errno::EADDRINUSE);
    unlinkat(AT_FDCWD, path.c_str(), AtFlags::empty()).unwrap();
    drop(UnixListener::bind(path.get()).unwrap());
    assert_eq!(descriptors(), before);
}

/// A Unix socket's read may come back short with more behind it, so short reads tell nothing.
fn bytes_in_order(_: &[&str]) {
    const LEN: usize = 3 << 20;
    for step in [1000, 4096, 10_007] {
        let (near, far) = UnixStream::pair().unwrap();
        let writer = spawn(move || {
            send_pattern(&near, LEN, step);
            near.shutdown(Shutdown::Write).unwrap();
            near
        });
        assert_eq!(receive_pattern(&far, usize::MAX, 7001), LEN);
        writer.join();
    }
}

/// golang/go's TestUnixConnReadEOF, and a close that has something unread behind it.
fn end_of_stream(_: &[&str]) {
    let (near, far) = UnixStream::pair().unwrap();
    let reader = waiting(move || (far.read(&mut [0; 8]), far.recv_fds(&mut [0; 8], &mut []).unwrap().bytes));
    drop(near);
    assert_eq!(reader.join(), (Ok(0), 0));

    let (near, far) = UnixStream::pair().unwrap();
    far.write_all(b"unread").unwrap();
    near.write_all(b"last words").unwrap();
    drop(near);
    let mut buf = [0; 64];
    assert_eq!(far.read(&mut buf), Ok(10));
    assert_eq!(errno(far.read(&mut buf)), Errno::ECONNRESET);
    assert_eq!(errno(far.write(b"x")), Errno::EPIPE);
    assert_eq!(far.read(&mut buf), Ok(0));
}

fn half_close(_: &[&str]) {
    let (near, far) = UnixStream::pair().unwrap();
    let reader = waiting(move || {
        let mut buf = [0; 64];
        assert_eq!((far.read(&mut buf), far.read(&mut buf)), (Ok(8), Ok(0)));
        far.write_all(b"answer").unwrap();
    });
    near.write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(errno(near.write(b"more")), Errno::EPIPE);
    reader.join();
    let mut buf = [0; 64];
    assert_eq!((near.read(&mut buf), near.read(&mut buf)), (Ok(6), Ok(0)));

    let (near, far) = UnixStream::pair().unwrap();
    near.shutdown(Shutdown::Read).unwrap();
    assert_eq!(near.read(&mut buf), Ok(0));
    assert_eq!(errno(far.write(b"x")), Errno::EPIPE);
}

/// `connect` says EAGAIN where the queue is full, and no event tells when it no longer is.
fn full_backlog(_: &[&str]) {
    let addr = name("backlog");
    let raw = socket(Family::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, 0).unwrap();
    let unix = netpoll::sys::socket::SockAddr::unix_abstract(addr.as_abstract_name().unwrap()).unwrap();
    bind(raw, &unix).unwrap();
    listen(raw, 0).unwrap();
    // SAFETY: just opened here.
    let listener = unsafe { UnixListener::from_raw_fd(raw) }.unwrap();
    let first = UnixStream::connect_addr(&addr).unwrap();
    let start = Instant::now();
    assert_eq!(error(UnixStream::connect_deadline(&addr, start + ms(30))), Error::TimedOut);
    assert!(start.elapsed() >= ms(30));
    // A time in the past is over before there is a try.
    assert_eq!(error(UnixStream::connect_deadline(&addr, past())), Error::TimedOut);
    let clients: Vec<_> = (0..5)
        .map(|_| waiting(move || UnixStream::connect_addr(&name("backlog")).unwrap().read(&mut [0])))
        .collect();
    for _ in 0..6 {
        listener.accept().unwrap().0.write_all(b"x").unwrap();
    }
    assert!(join_all(clients).iter().all(|&n| n == Ok(1)));
    assert_eq!(first.read(&mut [0]), Ok(1));
}

fn close_wakes_acceptor(_: &[&str]) {
    let listener = UnixListener::bind_addr(&name("acceptor")).unwrap();
    let other = listener.try_clone().unwrap();
    let acceptor = waiting(move || error(other.accept()));
    listener.close().unwrap();
    assert_eq!(acceptor.join(), Error::Closed);
    // An abstract name is free when `close` has returned.
    let listener = UnixListener::bind_addr(&name("acceptor")).unwrap();
    listener.set_deadline(Some(past())).unwrap();
    assert_eq!(error(listener.accept()), Error::TimedOut);
    let start = Instant::now();
    assert_eq!(error(listener.accept_deadline(start + ms(10))), Error::TimedOut);
    assert!(start.elapsed() >= ms(10));
    let client = UnixStream::connect_addr(&name("acceptor")).unwrap();
    listener.accept_deadline(after(PATIENCE)).unwrap().0.write_all(b"x").unwrap();
    assert_eq!(client.read(&mut [0]), Ok(1));
}

fn peer_cred(_: &[&str]) {
    let (near, _far) = UnixStream::pair().unwrap();
    let cred = near.peer_cred().unwrap();
    assert_eq!((cred.pid, cred.uid, cred.gid), (getpid(), getuid(), getgid()));
    let (near, _far) = UnixSeqpacket::pair().unwrap();
    assert_eq!(near.peer_cred().unwrap(), cred);
    near.close().unwrap();
    assert_eq!(near.peer_cred(), Err(Error::Closed));
}

fn seqpacket(_: &[&str]) {
    let listener = UnixSeqpacketListener::bind_addr(&name("seqpacket")).unwrap();
    let near = UnixSeqpacket::connect_addr(&name("seqpacket")).unwrap();
    let (far, peer) = listener.accept().unwrap();
    assert!(peer.is_unnamed());
    let mut buf = [0; 8];
    // The bounds stay, whatever is ready at once; what does not fit is lost.
    for message in [&b"one"[..], b"three", b"far too long", b"x"] {
        assert_eq!(near.send(message), Ok(message.len()));
    }
    assert_eq!(far.peek(&mut buf), Ok(3));
    for len in [3, 5, 8, 1] {
        assert_eq!(far.recv(&mut buf), Ok(len));
    }
    let reader = waiting(move || far.recv(&mut [0; 8]).map(|n| (n, far)));
    near.send(b"late").unwrap();
    let (n, far) = reader.join().unwrap();
    assert_eq!(n, 4);
    // A writer that finds it full is woken by a reader.
    near.set_write_deadline(Some(after(ms(20)))).unwrap();
    let mut sent = 0;
    while near.send(&LOTS[..4096]).is_ok() {
        sent += 1;
    }
    near.set_write_deadline(None).unwrap();
    let writer = waiting(move || near.send(b"end").map(|_| near));
    let mut block = [0; 4096];
    for _ in 0..sent {
        assert_eq!(far.recv(&mut block), Ok(4096));
    }
    assert_eq!(far.recv(&mut block), Ok(3));
    drop(writer.join().unwrap());
    assert_eq!(far.recv(&mut block), Ok(0), "the end");
}

/// golang/go's TestCloseWrite, over unixpacket.
fn seqpacket_half_close(_: &[&str]) {
    let (near, far) = UnixSeqpacket::pair().unwrap();
    let reader = waiting(move || (far.recv(&mut [0; 8]), far.send(b"still")));
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(reader.join(), (Ok(0), Ok(5)));
    assert_eq!(errno(near.send(b"x")), Errno::EPIPE);
    assert_eq!(near.recv(&mut [0; 8]), Ok(5));
}

fn datagrams(_: &[&str]) {
    let path = Path::new("datagrams");
    let server = UnixDatagram::bind(path.get()).unwrap();
    let client = UnixDatagram::bind_addr(&name("client")).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    let echo = spawn(move || {
        let mut buf = [0; 64];
        loop {
            let (n, from) = server.recv_from(&mut buf).unwrap();
            if from.is_unnamed() {
                return (n, server);
            }
            assert_eq!(server.send_to_addr(&buf[..n], &from), Ok(n));
        }
    });
    let server_addr = SocketAddr::from_pathname(path.get()).unwrap();
    let mut buf = [0; 64];
    assert_eq!(client.send_to(b"hello", path.get()), Ok(5));
    let (n, from) = client.peek_from(&mut buf).unwrap();
    assert_eq!((n, &from), (5, &server_addr));
    assert_eq!(client.recv_from(&mut buf[..3]).unwrap(), (3, server_addr)); // cut off
    assert_eq!(errno(client.send(b"to whom?")), Errno::ENOTCONN);
    client.connect(path.get()).unwrap();
    assert_eq!(client.peer_addr().unwrap(), server_addr);
    assert_eq!(client.send(b"again"), Ok(5));
    assert_eq!(client.recv(&mut buf), Ok(5));
    stranger.connect_addr(&server_addr).unwrap();
    assert_eq!(stranger.send(b"bye"), Ok(3));
    let (n, server) = echo.join();
    assert_eq!(n, 3);
    drop(server);
    assert_eq!(errno(client.send(b"gone")), Errno::ECONNREFUSED);

    let (a, b) = UnixDatagram::pair().unwrap();
    let reader = waiting(move || b.recv(&mut [0; 8]).map(|n| (n, b)));
    assert_eq!(a.send(b"pair"), Ok(4));
    let (n, b) = reader.join().unwrap();
    assert_eq!(n, 4);
    b.set_read_deadline(Some(past())).unwrap();
    a.send(b"x").unwrap();
    assert_eq!(b.recv(&mut [0]), Err(Error::TimedOut));
    b.set_read_deadline(None).unwrap();
    assert_eq!(b.recv(&mut [0]), Ok(1));
    let other = b.try_clone().unwrap();
    let reader = waiting(move || other.recv(&mut []));
    b.close().unwrap();
    assert_eq!(reader.join(), Err(Error::Closed));
}

/// golang/go's TestUnixgramZeroBytePayload and TestUnixgramZeroByteBuffer.
fn no_bytes(_: &[&str]) {
    let (a, b) = UnixDatagram::pair().unwrap();
    let reader = waiting(move || (b.recv(&mut [0; 8]), b.recv(&mut []), b.recv(&mut [0; 8])));
    assert_eq!(a.send(b""), Ok(0));
    assert_eq!(a.send(b"lost in an empty buffer"), Ok(23));
    assert_eq!(a.send(b"end"), Ok(3));
    assert_eq!(reader.join(), (Ok(0), Ok(0), Ok(3)));
}

fn full_peer(_: &[&str]) {
    let (a, b) = UnixDatagram::pair().unwrap();
    a.set_write_deadline(Some(after(ms(20)))).unwrap();
    let mut sent = 0;
    while a.send(b"x").is_ok() {
        sent += 1;
        assert!(sent < 1 << 20);
    }
    assert_eq!(a.send(b"x"), Err(Error::TimedOut));
    a.set_write_deadline(None).unwrap();
    let writer = waiting(move || a.send(b"last").map(|_| a));
    for _ in 0..sent {
        assert_eq!(b.recv(&mut [0; 8]), Ok(1));
    }
    assert_eq!(b.recv(&mut [0; 8]), Ok(4));
    writer.join().unwrap();
}

/// Where the receiver is not the sender's peer, room in its queue makes no event for the sender; but every
/// try that fails makes one, which whoever waits for events spins on.
fn full_stranger(_: &[&str]) {
    let addr = name("stranger");
    let receiver = UnixDatagram::bind_addr(&addr).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_write_deadline(Some(after(ms(50)))).unwrap();
    let mut sent = 0;
    while sender.send_to_addr(b"x", &addr).is_ok() {
        sent += 1;
        assert!(sent < 1 << 20);
    }
    assert_eq!(sender.send_to_addr(b"x", &addr), Err(Error::TimedOut));
    sender.set_write_timeout(Some(ms(30))).unwrap();
    let start = Instant::now();
    assert_eq!(sender.send_to_addr(b"x", &addr), Err(Error::TimedOut));
    assert!(start.elapsed() >= ms(30));
    sender.set_write_timeout(None).unwrap();
    // One that has nothing in the queue itself gets no event when somebody else's datagram leaves it.
    let other = UnixDatagram::unbound().unwrap();
    let writer = waiting(move || other.send_to_addr(b"last", &addr));
    let cpu_time = || clock_gettime(ClockId::ProcessCputime).unwrap().as_duration();
    let (before, start) = (cpu_time(), Instant::now());
    sleep(ms(100));
    let (used, took) = (cpu_time() - before, start.elapsed());
    assert!(used < took / 2, "it spins: {used:?} of {took:?}");
    for _ in 0..sent {
        assert_eq!(receiver.recv(&mut [0; 8]), Ok(1));
    }
    assert_eq!(receiver.recv(&mut [0; 8]), Ok(4));
    assert_eq!(writer.join(), Ok(4));
    // And a close ends such a wait.
    sender.set_write_deadline(Some(after(ms(20)))).unwrap();
    while sender.send_to_addr(b"x", &addr).is_ok() {}
    sender.set_write_deadline(None).unwrap();
    let other = sender.try_clone().unwrap();
    let writer = waiting(move || other.send_to_addr(b"x", &addr));
    yield_now();
    sender.close().unwrap();
    assert_eq!(writer.join(), Err(Error::Closed));
}
