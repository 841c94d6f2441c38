//! Streams: what is written is read, once, in order, and nobody sleeps past it.

use crate::Scenario;
use crate::support::{
    LOTS, PATIENCE, SETTLE, after, close, descriptors, dup, errno, error, eventually, fill, join_all, ms,
    narrow_pair, open, pair, parked, past, pattern, receive_pattern, send_pattern, waiting,
};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use netpoll::io::{Read, ReadReady, Write, WriteReady};
use netpoll::net::{Error, Shutdown, TcpStream};
use netpoll::sys::Call;
use netpoll::sys::Errno;
use netpoll::sys::fd::{IoSlice, IoSliceMut, pread64};
use netpoll::sys::fs::fstat;
use netpoll::sys::socket::{MsgFlags, sendto};
use netpoll::sys::sockopt::{set_socket_linger, set_socket_sndbuf};
use netpoll::time::sleep;
use netpoll::{spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("echo", echo),
    ("both_ways_at_once", both_ways),
    ("data_and_end_in_one_segment", data_and_end),
    ("data_and_reset", data_and_reset),
    ("an_urgent_byte_hides_nothing", urgent),
    ("peek_leaves_the_data", peek),
    ("a_full_buffer_is_not_the_end", exact),
    ("a_slow_reader", slow_reader),
    ("writes_of_every_size", write_sizes),
    ("two_readers_share_a_stream", two_readers),
    ("two_writers_share_a_stream", two_writers),
    ("nothing_takes_no_time", zero_length),
    ("peer_gone", peer_gone),
    ("read_exact", read_exact),
    ("vectored", vectored),
    ("more_buffers_than_the_kernel_takes", many_buffers),
    ("half_close", half_close),
    ("shutdown_wakes_this_end_too", shutdown_wakes),
    ("send_file", send_file),
    ("traits", traits),
    ("ready_without_waiting", ready),
];

fn echo(_: &[&str]) {
    let (near, far) = pair();
    near.set_nodelay(true).unwrap();
    assert!(near.nodelay().unwrap() && !far.nodelay().unwrap());
    assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
    let server = spawn(move || {
        let (mut buf, mut sum) = ([0; 100], 0);
        loop {
            match far.read(&mut buf).unwrap() {
                0 => return sum,
                n => far.write_all(&buf[..n]).unwrap(),
            }
            sum += 1;
        }
    });
    for i in 0..2000usize {
        let len = 1 + i % 100; // the longest just fills the server's buffer
        let message: Vec<u8> = (0..len).map(|j| pattern(i + j)).collect();
        near.write_all(&message).unwrap();
        let mut answer = vec![0; len];
        near.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message);
    }
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
    assert!(server.join() >= 2000);
}

fn both_ways(_: &[&str]) {
    const LEN: usize = 1 << 20;
    let (near, far) = pair();
    let tasks = [near, far].into_iter().flat_map(|stream| {
        let other = dup(&stream);
        let writer = spawn(move || {
            send_pattern(&stream, LEN, 10_007);
            stream.shutdown(Shutdown::Write).unwrap();
            LEN
        });
        [writer, spawn(move || receive_pattern(&other, usize::MAX, 7001))]
    });
    assert_eq!(join_all(tasks.collect::<Vec<_>>()), [LEN; 4]);
}

/// Reads to the end with a large buffer.
fn all(stream: &TcpStream) -> Result<Vec<u8>, Error> {
    let (mut bytes, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buf)? {
            0 => return Ok(bytes),
            n => bytes.extend(&buf[..n]),
        }
    }
}

fn data_and_end(_: &[&str]) {
    for round in 0..200 {
        let (near, far) = pair();
        let send = move || {
            near.write_all(b"last words").unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            near // stays open: it is the FIN that must be seen
        };
        let (_near, reader);
        match round % 4 {
            // Everything is there before the reader looks, and before the poller has.
            0 => {
                _near = send();
                reader = spawn(move || all(&far));
            }
            // The poller has seen it, the reader has not.
            1 => {
                _near = send();
                sleep(ms(1));
                reader = spawn(move || all(&far));
            }
            // The reader waits.
            2 => {
                reader = spawn(move || all(&far));
                yield_now();
                _near = send();
            }
            // Data wakes the reader, and the end comes before it runs.
            _ => {
                reader = waiting(move || all(&far));
                _near = send();
            }
        }
        assert_eq!(reader.join().unwrap(), b"last words");
    }
}

fn data_and_reset(_: &[&str]) {
    for round in 0..50 {
        let (near, far) = pair();
        near.write_all(b"last words").unwrap();
        if round % 2 == 0 {
            sleep(ms(1));
        }
        set_socket_linger(near.as_raw_fd(), Some(0)).unwrap();
        near.close().unwrap();
        if round % 3 == 0 {
            sleep(ms(1));
        }
        let (mut buf, mut got) = ([0; 4096], 0);
        let end = loop {
            match far.read(&mut buf) {
                Ok(0) => panic!("a reset is not an end"),
                Ok(n) => got += n,
                Err(e) => break e,
            }
        };
        // Linux keeps what came before the reset.
        assert_eq!((end, got), (Error::Os(Call::Recvfrom, Errno::ECONNRESET), 10));
    }
}

fn urgent(_: &[&str]) {
    for round in 0..50 {
        let (near, far) = pair();
        let pause = |n: u32| {
            if round & n != 0 {
                sleep(SETTLE / 2);
            }
        };
        let reader = spawn(move || all(&far));
        pause(1);
        near.write_all(b"before ").unwrap();
        pause(2);
        sendto(near.as_raw_fd(), b"!", MsgFlags::OOB, None).unwrap();
        pause(4);
        near.write_all(b"after").unwrap();
        pause(8);
        near.write_all(b" all").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap(), b"before after all", "round {round}");
    }
}

fn peek(_: &[&str]) {
    let (near, far) = pair();
    let reader = spawn(move || {
        let mut buf = [0; 64];
        for _ in 0..3 {
            // The first waits for the data, the others find them.
            let n = far.peek(&mut buf).unwrap();
            assert_eq!(&buf[..n], b"look");
        }
        assert_eq!(far.peek(&mut buf[..2]).unwrap(), 2);
        let n = far.read(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"look");
        // A short read says "drained"; the next peek waits, and leaves the data for the next read.
        assert_eq!(far.peek(&mut buf).unwrap(), 5);
        assert_eq!(far.read(&mut buf[..1]).unwrap(), 1);
        assert_eq!(far.peek(&mut buf).unwrap(), 4);
        assert_eq!(far.read(&mut buf).unwrap(), 4);
        assert_eq!(far.peek(&mut buf).unwrap(), 0);
        assert_eq!(far.peek(&mut []).unwrap(), 0);
        assert_eq!(far.read(&mut buf).unwrap(), 0);
    });
    sleep(SETTLE);
    near.write_all(b"look").unwrap();
    sleep(SETTLE);
    near.write_all(b"again").unwrap();
    sleep(SETTLE);
    near.shutdown(Shutdown::Write).unwrap();
    reader.join();
}

fn exact(_: &[&str]) {
    for len in [1, 2, 100, 4096] {
        let (near, far) = pair();
        let reader = spawn(move || receive_pattern(&far, usize::MAX, len));
        for round in 0..20 {
            let block: Vec<u8> = (0..len).map(|i| pattern(round * len + i)).collect();
            near.write_all(&block).unwrap();
            if round % 2 == 0 {
                yield_now();
            }
        }
        sleep(ms(1));
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join(), 20 * len);
    }
}

fn slow_reader(_: &[&str]) {
    const LEN: usize = 3 << 20;
    let (near, far) = pair();
    set_socket_sndbuf(near.as_raw_fd(), 8 << 10).unwrap();
    let writer = spawn(move || {
        // One call, far larger than all buffers.
        let block: Vec<u8> = (0..LEN).map(pattern).collect();
        near.write_all(&block).unwrap();
    });
    sleep(ms(10));
    let mut got = 0;
    let mut buf = [0; 9973];
    loop {
        let n = far.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        assert!(buf[..n].iter().enumerate().all(|(i, &byte)| byte == pattern(got + i)));
        if got % 128 == 0 {
            sleep(ms(1));
        }
        got += n;
    }
    writer.join();
    assert_eq!(got, LEN);
}

/// Writes that just fit, just do not, and never would, against a reader that lags behind.
fn write_sizes(_: &[&str]) {
    const LEN: usize = 600_000;
    for step in [1000, 4096, 16 << 10] {
        let (near, far) = pair();
        set_socket_sndbuf(near.as_raw_fd(), 4 << 10).unwrap();
        let writer = spawn(move || send_pattern(&near, LEN, step));
        sleep(SETTLE);
        assert_eq!(receive_pattern(&far, usize::MAX, 3000), LEN);
        writer.join();
    }
}

/// Each byte goes to one of them. Nobody is promised a share.
fn two_readers(_: &[&str]) {
    const LEN: u32 = 2000;
    let (near, far) = pair();
    let far = Arc::new(far);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let far = far.clone();
            spawn(move || {
                let (mut buf, mut seen) = ([0; 3], Vec::<u8>::new());
                loop {
                    match far.read(&mut buf).unwrap() {
                        0 => return seen,
                        n => seen.extend(&buf[..n]),
                    }
                    yield_now();
                }
            })
        })
        .collect();
    let mut sent = Vec::new();
    for i in 0..LEN {
        near.write_all(&[pattern(i as usize)]).unwrap();
        sent.push(pattern(i as usize));
        if i % 7 == 0 {
            yield_now();
        }
    }
    near.shutdown(Shutdown::Write).unwrap();
    let mut seen = join_all(readers).concat();
    seen.sort_unstable();
    sent.sort_unstable();
    assert!(seen == sent, "{} of {} bytes", seen.len(), sent.len());
}

/// A `write` that the kernel takes whole is not torn by another.
fn two_writers(_: &[&str]) {
    let (near, far) = pair();
    let near = Arc::new(near);
    let writers: Vec<_> = (0..3u8)
        .map(|me| {
            let near = near.clone();
            spawn(move || {
                for _ in 0..500 {
                    assert_eq!(near.write(&[me; 50]).unwrap(), 50);
                    yield_now();
                }
            })
        })
        .collect();
    drop(near);
    let mut counts = [0; 3];
    let mut record = [0; 50];
    for _ in 0..1500 {
        far.read_exact(&mut record).unwrap();
        assert!(record.iter().all(|&byte| byte == record[0]));
        counts[record[0] as usize] += 1;
    }
    assert_eq!(counts, [500; 3]);
    join_all(writers);
    assert_eq!(far.read(&mut record).unwrap(), 0, "the last handle is gone");
}

fn zero_length(_: &[&str]) {
    let (near, far) = pair();
    assert_eq!(near.read(&mut []).unwrap(), 0);
    assert_eq!(near.write(&[]).unwrap(), 0);
    assert_eq!(near.peek(&mut []).unwrap(), 0);
    assert_eq!(near.read_vectored(&mut []).unwrap(), 0);
    assert_eq!(near.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
    assert_eq!(near.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[])]).unwrap(), 0);
    near.write_all(&[]).unwrap();
    near.read_exact(&mut []).unwrap();
    near.write_all(b"x").unwrap();
    assert_eq!(far.read(&mut [0; 2]).unwrap(), 1);
}

fn peer_gone(_: &[&str]) {
    let (near, far) = pair();
    drop(far);
    let mut written = 0;
    let end = loop {
        match near.write(b"anybody there?") {
            Ok(n) => written += n,
            Err(e) => break e,
        }
        assert!(written < 1 << 20);
        sleep(ms(1));
    };
    // The first write is answered by a reset, which the next one is told of.
    assert!([Errno::EPIPE, Errno::ECONNRESET].contains(&end.errno().unwrap()), "{end}");
    assert_eq!(errno(near.write(b"still nobody?")), Errno::EPIPE);

    // A writer that waits hears of it too.
    let (near, far) = narrow_pair();
    let writer = waiting(move || near.write_all(&LOTS));
    set_socket_linger(far.as_raw_fd(), Some(0)).unwrap();
    drop(far);
    assert!([Errno::EPIPE, Errno::ECONNRESET].contains(&errno(writer.join())));
}

fn read_exact(_: &[&str]) {
    let (near, far) = pair();
    near.write_all(b"four").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut buf = [0; 6];
    assert_eq!(far.read_exact(&mut buf), Err(Error::UnexpectedEof));
    assert_eq!(&buf, b"four\0\0");
    assert_eq!(far.read_exact(&mut buf), Err(Error::UnexpectedEof));
}

fn vectored(_: &[&str]) {
    let (near, far) = pair();
    let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"three")];
    assert_eq!(near.write_vectored(&parts).unwrap(), 8);
    let (mut a, mut b) = ([0; 2], [0; 10]);
    let n = far.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap();
    assert_eq!((n, &a, &b[..6]), (8, b"on", b"ethree".as_slice()));
    let reader = waiting(move || {
        let (mut a, mut b) = ([0; 2], [0; 10]);
        far.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap()
    });
    near.write_vectored(&parts[..1]).unwrap();
    assert_eq!(reader.join(), 3);
}

/// A call moves 1024 buffers at most: that it moved no more does not mean that there is no more.
fn many_buffers(_: &[&str]) {
    const COUNT: usize = 3000;
    let (near, far) = pair();
    for _ in 0..2 {
        let byte = [7u8];
        let parts: Vec<_> = (0..COUNT).map(|_| IoSlice::new(&byte)).collect();
        let mut sent = 0;
        while sent < COUNT {
            near.set_write_deadline(Some(after(PATIENCE))).unwrap();
            sent += near.write_vectored(&parts[sent..]).unwrap();
        }
        let mut bytes = vec![0u8; COUNT];
        let mut parts: Vec<_> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        let mut got = 0;
        while got < COUNT {
            far.set_read_deadline(Some(after(PATIENCE))).unwrap();
            got += far.read_vectored(&mut parts[got..]).unwrap();
        }
        assert!(bytes.iter().all(|&b| b == 7));
    }
}

fn half_close(_: &[&str]) {
    let (near, far) = pair();
    near.write_all(b"question").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(errno(near.write(b"more")), Errno::EPIPE);
    assert_eq!(all(&far).unwrap(), b"question");
    // The other direction is open as long as one likes.
    sleep(ms(2));
    far.write_all(b"answer").unwrap();
    drop(far);
    assert_eq!(all(&near).unwrap(), b"answer");
    near.shutdown(Shutdown::Write).unwrap_or(()); // once more does no harm
}

fn shutdown_wakes(_: &[&str]) {
    let (near, _far) = pair();
    let reader = dup(&near);
    let reader = waiting(move || reader.read(&mut [0; 8]));
    near.shutdown(Shutdown::Read).unwrap();
    assert_eq!(reader.join(), Ok(0));

    let (near, _far) = narrow_pair();
    let writer = dup(&near);
    let writer = waiting(move || writer.write_all(&LOTS));
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(errno(writer.join()), Errno::EPIPE);
}

fn send_file(_: &[&str]) {
    drop(pair()); // makes the poller
    let before = descriptors();
    let file = open(c"/proc/self/exe");
    let size = fstat(file).unwrap().size() as usize;
    assert!(size > 10_000);
    let content = |offset: usize, len: usize| {
        let mut bytes = vec![0; len];
        let mut at = 0;
        while at < len {
            let n = pread64(file, &mut bytes[at..], (offset + at) as u64).unwrap();
            assert_ne!(n, 0);
            at += n;
        }
        bytes
    };
    for (offset, count) in [(0, size), (1000, 5000), (size - 10, 100), (size, 10), (size + 5, 10), (7, 0)] {
        let (near, far) = pair();
        let expected = count.min(size.saturating_sub(offset));
        let sender = spawn(move || {
            let mut at = offset as u64;
            assert_eq!(near.send_file(file, &mut at, count), Ok(expected));
            assert_eq!(at, (offset + expected) as u64);
        });
        assert!(all(&far).unwrap() == content(offset, expected), "{count} bytes from {offset}");
        sender.join();
    }

    // Against a full socket it waits, and obeys the deadline and the close as a write does.
    let (near, far) = narrow_pair();
    fill(&near);
    near.set_write_deadline(Some(past())).unwrap();
    assert_eq!(error(near.send_file(file, &mut 0, 100)), Error::TimedOut);
    near.set_write_deadline(None).unwrap();
    let closer = dup(&near);
    let sender = waiting(move || near.send_file(file, &mut 0, 1 << 20));
    closer.close().unwrap();
    assert_eq!(sender.join(), Err(Error::Closed));
    drop((closer, far));
    close(file).unwrap();
    assert_eq!(descriptors(), before);
}

fn traits(_: &[&str]) {
    fn exchange<S: Read + Write>(mut stream: S) -> usize {
        stream.write_all(b"by trait").map_err(drop).unwrap();
        stream.flush().map_err(drop).unwrap();
        stream.read(&mut [0; 64]).map_err(drop).unwrap()
    }
    static DONE: AtomicU32 = AtomicU32::new(0);
    let (near, far) = pair();
    let other = spawn(move || {
        DONE.fetch_add(1, Ordering::SeqCst);
        exchange(far)
    });
    assert_eq!(exchange(&near), 8);
    assert_eq!(other.join(), 8);
    assert_eq!(DONE.load(Ordering::SeqCst), 1);
}

/// `ReadReady` and `WriteReady`, for the stream and its halves: what they say comes true, and they wait for
/// nothing.
fn ready(_: &[&str]) {
    let (near, far) = narrow_pair();
    let ((mut reader, mut writer), mut far) = (near.split(), &far);
    assert_eq!((reader.read_ready(), far.read_ready()), (Ok(false), Ok(false)));
    assert_eq!((writer.write_ready(), far.write_ready()), (Ok(true), Ok(true)));
    far.write_all(b"abc").unwrap();
    reader.readable().unwrap();
    assert_eq!((reader.read_ready(), reader.read(&mut [0; 2])), (Ok(true), Ok(2)));
    assert_eq!((reader.read_ready(), reader.read(&mut [0; 2])), (Ok(true), Ok(1)));
    assert_eq!(reader.read_ready(), Ok(false));
    // Full, until the other end reads.
    while writer.write_ready() == Ok(true) {
        writer.write(&[0; 64 << 10]).unwrap();
    }
    let mut buf = [0; 16 << 10];
    eventually("room", || {
        if far.read_ready().unwrap() {
            far.read(&mut buf).unwrap();
        }
        writer.write_ready().unwrap()
    });
    writer.writable().unwrap();
    // The end is something to read.
    far.shutdown(Shutdown::Write).unwrap();
    reader.readable().unwrap();
    assert_eq!((reader.read_ready(), reader.read(&mut buf)), (Ok(true), Ok(0)));
    // Another task is in that direction.
    let (near, _far) = pair();
    let other = dup(&near);
    let reader = parked(move || other.read(&mut [0; 1]));
    assert_eq!((&near).read_ready(), Err(Error::Busy));
    near.close().unwrap();
    assert_eq!(reader.join(), Err(Error::Closed));
    assert_eq!((&near).read_ready(), Err(Error::Closed));
}
