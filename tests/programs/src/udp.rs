//! UDP, on the loopback.

use crate::Scenario;
use crate::support::{LOOPBACK, LOTS, after, descriptors, errno, error, eventually, ms, past, waiting};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use netpoll::net::udp::{BATCH, RecvDatagram, SendDatagram};
use netpoll::net::{Error, UdpSocket};
use netpoll::spawn;
use netpoll::sys::Errno;
use netpoll::time::{Instant, sleep};

pub const SCENARIOS: &[Scenario] = &[
    ("udp_echo", echo),
    ("udp_connected", connected),
    ("udp_no_bytes_are_no_end", no_bytes),
    ("udp_cut_off", cut_off),
    ("udp_refused_is_not_dead", refused),
    ("udp_read_timeout_beats_data", read_timeout),
    ("udp_write_timeout_beats_room", write_timeout),
    ("udp_read_timeout_fluctuation", fluctuation),
    ("udp_close_wakes_a_reader", close_wakes),
    ("udp_batches", batches),
    ("udp_batch_waits", batch_waits),
    ("udp_options", options),
    ("udp_multicast", multicast),
    ("udp_ipv6", ipv6),
];

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Two that are each other's peers.
fn peers() -> (UdpSocket, UdpSocket) {
    let ((a, a_addr), (b, b_addr)) = (socket(), socket());
    a.connect(b_addr).unwrap();
    b.connect(a_addr).unwrap();
    (a, b)
}

fn echo(_: &[&str]) {
    let (server, addr) = socket();
    let task = spawn(move || {
        let mut buf = [0; 64];
        for _ in 0..1500 {
            let (n, from) = server.recv_from(&mut buf).unwrap();
            assert_eq!(server.send_to(&buf[..n], from), Ok(n));
        }
    });
    let clients: Vec<_> = (0..3u32)
        .map(|me| {
            spawn(move || {
                let (client, _) = socket();
                for i in 0..500 {
                    let message = (me * 1000 + i).to_ne_bytes();
                    assert_eq!(client.send_to(&message, addr), Ok(4));
                    let mut answer = [0; 8];
                    let (n, from) = client.recv_from(&mut answer).unwrap();
                    assert_eq!((&answer[..n], from), (&message[..], addr));
                }
            })
        })
        .collect();
    crate::support::join_all(clients);
    task.join();
}

fn connected(_: &[&str]) {
    let (a, b) = peers();
    assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
    let mut buf = [0; 64];
    assert_eq!(a.send(b"to the peer"), Ok(11));
    assert_eq!(b.peek(&mut buf), Ok(11));
    assert_eq!(b.peek_from(&mut buf).unwrap(), (11, a.local_addr().unwrap()));
    assert_eq!(b.recv(&mut buf), Ok(11));
    // Others are not heard.
    let (stranger, addr) = socket();
    stranger.send_to(b"psst", b.local_addr().unwrap()).unwrap();
    a.send(b"still me").unwrap();
    assert_eq!(b.recv(&mut buf), Ok(8));
    assert_eq!(errno(stranger.send(b"to whom?")), Errno::EDESTADDRREQ);
    assert_eq!(errno(stranger.peer_addr()), Errno::ENOTCONN);
    assert_eq!(error(UdpSocket::bind("nowhere")), Error::InvalidAddress);
    assert_eq!(errno(UdpSocket::bind(addr)), Errno::EADDRINUSE);
    assert_eq!(error(stranger.send_to(b"x", &[] as &[SocketAddr])), Error::InvalidAddress);
    let handle = b.try_clone().unwrap();
    drop(b);
    a.send(b"handle").unwrap();
    assert_eq!(handle.recv(&mut buf), Ok(6));
}

/// golang/go's TestUDPZeroBytePayload and TestUDPZeroByteBuffer.
fn no_bytes(_: &[&str]) {
    let (a, b) = peers();
    let reader = waiting(move || {
        let first = [b.recv(&mut [0; 8]), b.recv(&mut [])];
        (first, b.recv_from(&mut []).map(|(n, _)| n), b.recv(&mut [0; 8]))
    });
    assert_eq!(a.send(b""), Ok(0));
    for _ in 0..2 {
        assert_eq!(a.send(b"lost in an empty buffer"), Ok(23));
    }
    assert_eq!(a.send(b"end"), Ok(3));
    assert_eq!(reader.join(), ([Ok(0), Ok(0)], Ok(0), Ok(3)));
}

fn cut_off(_: &[&str]) {
    let (a, b) = peers();
    a.send(b"longer than that").unwrap();
    a.send(b"next").unwrap();
    let mut buf = [0; 6];
    assert_eq!((b.recv(&mut buf), &buf), (Ok(6), b"longer"));
    assert_eq!(b.recv(&mut buf), Ok(4));
    assert_eq!(errno(a.send(&LOTS)), Errno::EMSGSIZE);
}

/// libuv's udp_send_unreachable: the error of one datagram is told once, to whoever calls next.
fn refused(_: &[&str]) {
    let (a, addr) = socket();
    let (gone, gone_addr) = socket();
    drop(gone);
    a.connect(gone_addr).unwrap();
    for _ in 0..3 {
        a.send(b"anybody?").unwrap();
        // A reader that waits hears of it, and so does a sender.
        assert_eq!(errno(a.recv(&mut [0; 8])), Errno::ECONNREFUSED);
    }
    a.send(b"anybody?").unwrap();
    eventually("the refusal", || a.take_error().unwrap() == Some(Errno::ECONNREFUSED));
    let other = a.try_clone().unwrap();
    let reader = waiting(move || other.recv(&mut [0; 8]));
    a.send(b"anybody?").unwrap();
    assert_eq!(errno(reader.join()), Errno::ECONNREFUSED);
    // Somebody moves in.
    let new = UdpSocket::bind(gone_addr).unwrap();
    let reader = waiting(move || a.recv(&mut [0; 8]));
    new.send_to(b"me", addr).unwrap();
    assert_eq!(reader.join(), Ok(2));
}

/// golang/go's TestReadFromTimeout.
fn read_timeout(_: &[&str]) {
    let (a, b) = peers();
    a.send(b"ready").unwrap();
    b.set_read_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_eq!(b.recv(&mut [0; 8]), Err(Error::TimedOut));
        assert_eq!(error(b.recv_from(&mut [0; 8])), Error::TimedOut);
        assert_eq!(b.recv(&mut []), Err(Error::TimedOut));
    }
    b.set_read_deadline(None).unwrap();
    assert_eq!(b.recv(&mut [0; 8]), Ok(5));
    let start = Instant::now();
    b.set_read_deadline(Some(start + ms(10))).unwrap();
    assert_eq!(b.recv(&mut [0; 8]), Err(Error::TimedOut));
    assert!(start.elapsed() >= ms(10));
    let other = b.try_clone().unwrap();
    b.set_read_deadline(None).unwrap();
    let reader = waiting(move || other.recv(&mut [0; 8]));
    b.set_read_deadline(Some(past())).unwrap();
    assert_eq!(reader.join(), Err(Error::TimedOut));
}

/// golang/go's TestWriteToTimeout.
fn write_timeout(_: &[&str]) {
    let (a, b) = peers();
    a.set_write_deadline(Some(past())).unwrap();
    for _ in 0..3 {
        assert_eq!(a.send(b"x"), Err(Error::TimedOut));
        assert_eq!(a.send_to(b"x", b.local_addr().unwrap()), Err(Error::TimedOut));
    }
    a.set_write_deadline(None).unwrap();
    assert_eq!(a.send(b"x"), Ok(1));
    assert_eq!(b.recv(&mut [0]), Ok(1));
}

/// golang/go's TestReadFromTimeoutFluctuation, for a tenth of a second; how late they are depends on the machine's load.
fn fluctuation(_: &[&str]) {
    let (a, _) = socket();
    let mut wait = ms(1);
    while wait < ms(60) {
        let start = Instant::now();
        a.set_read_deadline(Some(start + wait)).unwrap();
        assert_eq!(error(a.recv_from(&mut [0; 8])), Error::TimedOut);
        assert!(start.elapsed() >= wait, "early");
        wait *= 2;
    }
}

/// golang/go's TestCloseUnblocksReadUDP, its issue 72770: with an empty buffer, too.
fn close_wakes(_: &[&str]) {
    let before = {
        socket();
        descriptors()
    };
    for len in [0, 8] {
        let (a, _) = socket();
        let other = a.try_clone().unwrap();
        let reader = waiting(move || error(other.recv_from(&mut [0; 8][..len])));
        let other = a.try_clone().unwrap();
        let second = waiting(move || error(other.recv(&mut [0; 8][..len])));
        a.close().unwrap();
        assert_eq!((reader.join(), second.join()), (Error::Closed, Error::Closed));
        assert_eq!(a.close(), Err(Error::Closed));
        assert_eq!(a.send(b"x"), Err(Error::Closed));
        assert_eq!(error(a.local_addr()), Error::Closed);
        assert_eq!(a.set_read_deadline(None), Err(Error::Closed));
    }
    assert_eq!(descriptors(), before);
}

fn batches(_: &[&str]) {
    const COUNT: usize = 2 * BATCH + 7;
    /// What the kernel counts for a small datagram, and some more.
    const COSTS: u32 = 1 << 10;
    let ((a, a_addr), (b, b_addr)) = (socket(), socket());
    // A host may allow less than this, or less than it gives by itself.
    let by_itself = b.recv_buffer_size().unwrap();
    b.set_recv_buffer_size(by_itself.max(1 << 20)).unwrap();
    let at_once = (b.recv_buffer_size().unwrap() / COSTS) as usize;
    let messages: Vec<Vec<u8>> = (0..COUNT).map(|i| (0..i % 9).map(|j| (i + j) as u8).collect()).collect();
    let out: Vec<_> = messages.iter().map(|m| SendDatagram::new(m, Some(b_addr))).collect();
    let (mut sent, mut seen) = (0, 0);
    while seen < COUNT {
        // As many as there is room for, which as a rule are all of them.
        while sent < COUNT.min(seen + at_once) {
            let n = a.send_batch(&out[sent..COUNT.min(seen + at_once)]).unwrap();
            assert!((1..=BATCH).contains(&n));
            sent += n;
        }
        let mut bufs = [[0; 6]; 100];
        let mut datagrams: Vec<_> = bufs.iter_mut().map(|buf| RecvDatagram::new(buf)).collect();
        assert_eq!(datagrams[0].from(), None);
        let n = b.recv_batch(&mut datagrams).unwrap();
        assert!((1..=BATCH).contains(&n));
        for datagram in &datagrams[..n] {
            let message = &messages[seen];
            assert_eq!(datagram.bytes(), &message[..message.len().min(6)]);
            assert_eq!(datagram.from(), Some(a_addr));
            assert_eq!(datagram.is_truncated(), message.len() > 6);
            seen += 1;
        }
    }
    assert_eq!(a.send_batch(&[]), Ok(0));
    assert_eq!(b.recv_batch(&mut []), Ok(0));
    // To the peer.
    a.connect(b_addr).unwrap();
    assert_eq!(a.send_batch(&[SendDatagram::new(b"one", None), SendDatagram::new(b"two", None)]), Ok(2));
    assert_eq!((b.recv(&mut [0; 8]), b.recv(&mut [0; 8])), (Ok(3), Ok(3)));
}

fn batch_waits(_: &[&str]) {
    let (a, b) = peers();
    let reader = waiting(move || {
        let mut buf = [0; 8];
        let n = b.recv_batch(&mut [RecvDatagram::new(&mut buf)]).unwrap();
        (n, b)
    });
    a.send(b"late").unwrap();
    let (n, b) = reader.join();
    assert_eq!(n, 1);
    b.set_read_deadline(Some(after(ms(5)))).unwrap();
    assert_eq!(b.recv_batch(&mut [RecvDatagram::new(&mut [0; 8])]), Err(Error::TimedOut));
    let batch = [SendDatagram::new(b"fits", None), SendDatagram::new(&LOTS, None)];
    assert_eq!(a.send_batch(&batch), Ok(1));
    assert_eq!(errno(a.send_batch(&batch[1..])), Errno::EMSGSIZE);
}

fn options(_: &[&str]) {
    let (a, _) = socket();
    assert!(!a.broadcast().unwrap());
    a.set_broadcast(true).unwrap();
    assert!(a.broadcast().unwrap());
    a.set_ttl(7).unwrap();
    assert_eq!(a.ttl(), Ok(7));
    assert_eq!(errno(a.set_ttl(256)), Errno::EINVAL);
    assert_eq!(a.multicast_ttl_v4(), Ok(1));
    a.set_multicast_ttl_v4(3).unwrap();
    assert_eq!(a.multicast_ttl_v4(), Ok(3));
    assert_eq!(a.multicast_loop_v4(), Ok(true));
    a.set_multicast_loop_v4(false).unwrap();
    assert_eq!(a.multicast_loop_v4(), Ok(false));
    a.set_send_buffer_size(5000).unwrap(); // hardly a host allows less
    a.set_recv_buffer_size(6000).unwrap();
    assert_eq!((a.send_buffer_size(), a.recv_buffer_size()), (Ok(10_000), Ok(12_000)));
    assert_eq!(a.take_error(), Ok(None));
    // Without the option the kernel refuses.
    let (b, _) = socket();
    assert_eq!(errno(b.send_to(b"x", "255.255.255.255:9")), Errno::EACCES);
}

fn multicast(_: &[&str]) {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let (a, addr) = socket();
    assert_eq!(errno(a.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)), Errno::EADDRNOTAVAIL);
    a.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    assert_eq!(errno(a.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)), Errno::EADDRINUSE);
    assert_eq!(errno(a.join_multicast_v4(&Ipv4Addr::LOCALHOST, &Ipv4Addr::LOCALHOST)), Errno::EINVAL);
    // A member hears what a socket bound to the loopback sends there, where there is a route for it.
    let any = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    any.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    let to = (group, any.local_addr().unwrap().port());
    match a.send_to(b"to the group", to) {
        Ok(n) => assert_eq!(any.recv_from(&mut [0; 64]), Ok((n, addr))),
        Err(e) => assert_eq!(e.errno(), Some(Errno::ENETUNREACH)),
    }
    a.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
}

fn ipv6(_: &[&str]) {
    let a = match UdpSocket::bind("[::1]:0") {
        Err(Error::Os(_, Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL)) => return, // a machine without
        other => other.unwrap(),
    };
    let addr = a.local_addr().unwrap();
    assert_eq!(a.send_to(b"six", addr), Ok(3));
    assert_eq!(a.recv_from(&mut [0; 8]), Ok((3, addr)));
    a.set_ttl(9).unwrap();
    assert_eq!(a.ttl(), Ok(9));
    assert_eq!((a.multicast_loop_v6(), a.multicast_hops_v6()), (Ok(true), Ok(1)));
    a.set_multicast_loop_v6(false).unwrap();
    a.set_multicast_hops_v6(4).unwrap();
    assert_eq!((a.multicast_loop_v6(), a.multicast_hops_v6()), (Ok(false), Ok(4)));
    let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x123);
    const LOOPBACK_DEVICE: u32 = 1;
    a.join_multicast_v6(&group, LOOPBACK_DEVICE).unwrap();
    assert_eq!(errno(a.join_multicast_v6(&group, LOOPBACK_DEVICE)), Errno::EADDRINUSE);
    a.leave_multicast_v6(&group, LOOPBACK_DEVICE).unwrap();
    assert_eq!(errno(a.leave_multicast_v6(&group, LOOPBACK_DEVICE)), Errno::EADDRNOTAVAIL);
    sleep(ms(1));
}
