//! Who has which direction of a stream; listeners and pipes in `select!`; waiting for readiness alone.

use crate::streams::{LONG, fill, narrow, nobody_waits, read1, tcp};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use netpoll::io::{PipeReader, PipeWriter, pipe};
use netpoll::net::{Error, Pollable, Source, TcpListener, TcpStream};
use netpoll::runtime::{dump_tasks, metrics};
use netpoll::sync::channel;
use netpoll::sys::Errno;
use netpoll::time::{Instant, sleep};
use netpoll::{scope, select, spawn, yield_now};

crate::scenarios! {
    a_direction_in_use_is_busy
    a_reader_waits_until_the_select_is_over
    two_streams_in_opposite_order
    one_stream_in_two_directions
    a_listener_beside_a_channel
    the_ends_of_a_pipe
    writable_when_there_is_room_again
    readable_waits_without_a_buffer
    readable_ends_with_deadline_and_close
    a_wrapper_is_pollable
    a_dump_names_the_descriptors_of_a_select
    dumps_beside_selects
}

fn a_direction_in_use_is_busy() {
    let (a, b) = tcp();
    scope(|s| {
        let reader = s.spawn(|| read1(&a));
        while metrics().waiters == 0 {
            yield_now();
        }
        let busy = select! {
            readable(a) -> r => r,
            after(LONG) => unreachable!(),
        };
        assert_eq!(busy, Err(Error::Busy));
        // The other direction is free, and so is a channel beside it, now and then.
        assert_eq!(select! { writable(a) -> r => r }, Ok(()));
        b.write_all(&[4]).unwrap();
        assert_eq!(reader.join(), 4);
    });
    // Twice in one select is in use, too; the first has it.
    let (mut first, mut second) = (0, 0);
    b.write_all(&[4]).unwrap();
    a.readable().unwrap();
    for _ in 0..100 {
        select! {
            readable(a) -> r => { r.unwrap(); first += 1 }
            readable(a) -> r => { assert_eq!(r, Err(Error::Busy)); second += 1 }
        }
    }
    assert!(first > 0 && second > 0);
    read1(&a);
}

fn a_reader_waits_until_the_select_is_over() {
    let (a, b) = tcp();
    let (tx, rx) = channel(1);
    for n in 0..500 {
        scope(|s| {
            let select = s.spawn(|| {
                select! {
                    readable(a) -> r => match r {
                        Ok(()) => false,
                        Err(e) => e == Error::Busy, // the reader was first
                    },
                    recv(rx) -> v => { v.unwrap(); true }
                }
            });
            let reader = s.spawn(|| read1(&a));
            if n % 8 == 0 {
                sleep(Duration::from_micros(100));
            }
            tx.send(()).unwrap();
            b.write_all(&[n as u8]).unwrap();
            select.join();
            assert_eq!(reader.join(), n as u8);
            let _ = rx.try_recv(); // the message, if it was not what ended the select
        });
    }
    nobody_waits();
}

/// Two tasks take bytes from two streams, each naming the other one first. Whoever finds a direction in use
/// tries again; nobody waits for the other, and all bytes are read.
fn two_streams_in_opposite_order() {
    const EACH: u32 = 2_000;
    let ((a, a2), (c, c2)) = (tcp(), tcp());
    let (taken, busy, over) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    // There is always one: another may have been faster between the select and the read.
    let deadline = |ms| Some(Instant::now() + Duration::from_millis(ms));
    let take = |result: Result<(), Error>, stream: &TcpStream| match result {
        Ok(()) => {
            stream.set_read_deadline(deadline(20)).unwrap();
            match stream.read(&mut [0]) {
                Ok(n) => _ = taken.fetch_add(n as u32, Ordering::Relaxed),
                Err(e) => assert_eq!(e, Error::TimedOut),
            }
            stream.set_read_deadline(deadline(100)).unwrap();
        }
        Err(Error::Busy) => {
            busy.fetch_add(1, Ordering::Relaxed);
            yield_now();
        }
        Err(e) => {
            assert_eq!(e, Error::TimedOut);
            stream.set_read_deadline(deadline(100)).unwrap();
        }
    };
    scope(|s| {
        s.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                select! {
                    readable(a) -> r => take(r, &a),
                    readable(c) -> r => take(r, &c),
                    after(Duration::from_millis(5)) => {}
                }
            }
        });
        s.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                select! {
                    readable(c) -> r => take(r, &c),
                    readable(a) -> r => take(r, &a),
                    after(Duration::from_millis(5)) => {}
                }
            }
        });
        for _ in 0..EACH {
            a2.write_all(&[1]).unwrap();
            c2.write_all(&[1]).unwrap();
            yield_now();
        }
        while taken.load(Ordering::Relaxed) < 2 * EACH {
            sleep(Duration::from_millis(1));
        }
        over.store(true, Ordering::Relaxed);
    });
    nobody_waits();
}

fn one_stream_in_two_directions() {
    let (a, b) = narrow();
    let either = || {
        select! {
            writable(a) -> r => { r.unwrap(); 0 }
            readable(a) -> r => { r.unwrap(); 1 }
            after(Duration::from_millis(20)) => 2,
        }
    };
    // Room to write, until there is none; then only reading is left.
    assert_eq!(either(), 0);
    let sent = fill(&a);
    assert_eq!(either(), 2);
    scope(|s| {
        let select = s.spawn(|| {
            select! {
                writable(a) -> r => { r.unwrap(); 0 }
                readable(a) -> r => { r.unwrap(); 1 }
            }
        });
        sleep(Duration::from_millis(1));
        b.write_all(&[1]).unwrap();
        assert_eq!(select.join(), 1);
    });
    read1(&a);
    scope(|s| {
        let select = s.spawn(|| {
            select! {
                writable(a) -> r => { r.unwrap(); 0 }
                readable(a) -> r => { r.unwrap(); 1 }
            }
        });
        let mut buf = [0; 16384];
        let mut left = sent;
        while left > 0 {
            left -= b.read(&mut buf).unwrap();
        }
        assert_eq!(select.join(), 0);
    });
}

fn a_listener_beside_a_channel() {
    const CLIENTS: usize = 200;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = channel::<()>(0);
    let server = spawn(move || {
        let mut n = 0;
        loop {
            select! {
                readable(listener) -> r => {
                    r.unwrap();
                    listener.accept().unwrap().0.write_all(&[1]).unwrap();
                    n += 1;
                }
                recv(stopped) -> _ => return n,
            }
        }
    });
    scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..CLIENTS / 4 {
                    assert_eq!(read1(&TcpStream::connect(addr).unwrap()), 1);
                }
            });
        }
    });
    drop(stop);
    assert_eq!(server.join(), CLIENTS);
}

fn the_ends_of_a_pipe() {
    fn drained(reader: &PipeReader) -> bool {
        select! { readable(reader) -> r => { r.unwrap(); false } default => true }
    }
    fn full(writer: &PipeWriter) -> bool {
        select! { writable(writer) -> r => { r.unwrap(); false } default => true }
    }
    let (reader, writer) = pipe().unwrap();
    assert!(drained(&reader));
    let mut buf = [0; 4096];
    while !full(&writer) {
        assert_eq!(writer.write(&buf), Ok(4096));
    }
    scope(|s| {
        let select = s.spawn(|| select! { writable(writer) -> r => r, after(LONG) => unreachable!() });
        sleep(Duration::from_millis(1));
        while !drained(&reader) {
            reader.read(&mut buf).unwrap();
        }
        assert_eq!(select.join(), Ok(()));
    });
    drop(reader);
    writer.writable().unwrap(); // to find out:
    assert!(matches!(writer.write(&[1]), Err(Error::Os(_, Errno::EPIPE))));
    let (reader, writer) = pipe().unwrap();
    scope(|s| {
        let select = s.spawn(|| select! { readable(reader) -> r => r, after(LONG) => unreachable!() });
        sleep(Duration::from_millis(1));
        drop(writer);
        assert_eq!(select.join(), Ok(()));
    });
    assert_eq!(reader.read(&mut buf), Ok(0));
}

fn writable_when_there_is_room_again() {
    let (a, b) = tcp();
    let mut filled = 0;
    while select! { writable(a) -> r => { r.unwrap(); true } default => false } {
        filled += a.write(&[0; 65536]).unwrap();
    }
    let total = scope(|s| {
        let writer = s.spawn(|| {
            let mut n = filled;
            while n < 8 << 20 {
                if select! { writable(a) -> r => { r.unwrap(); false } default => true } {
                    a.writable().unwrap();
                }
                n += a.write(&[0; 65536]).unwrap();
            }
            a.shutdown(netpoll::net::Shutdown::Write).unwrap();
            n
        });
        let (mut buf, mut n) = ([0; 16384], 0);
        loop {
            b.readable().unwrap();
            match b.read(&mut buf).unwrap() {
                0 => break,
                more => n += more,
            }
        }
        assert_eq!(writer.join(), n);
        n
    });
    assert!(total >= 8 << 20);
    b.readable().unwrap(); // the end stays readable
}

fn readable_waits_without_a_buffer() {
    const ROUNDS: u32 = 5_000;
    let (a, b) = tcp();
    let (ack, acks) = channel(0);
    scope(|s| {
        s.spawn(|| {
            for n in 0..ROUNDS {
                b.write_all(&[n as u8, 1]).unwrap();
                acks.recv().unwrap();
            }
        });
        for n in 0..ROUNDS {
            a.readable().unwrap();
            // Not drained by the first of the two bytes, which asks for no more.
            let mut byte = [0];
            assert_eq!(a.read(&mut byte), Ok(1));
            assert_eq!(byte[0], n as u8);
            a.readable().unwrap();
            assert_eq!(read1(&a), 1);
            ack.send(()).unwrap();
        }
    });
    // Several that wait take turns; each finds the byte that nobody takes.
    scope(|s| {
        let tasks = [(); 4].map(|()| s.spawn(|| a.readable()));
        sleep(Duration::from_millis(1));
        b.write_all(&[1]).unwrap();
        tasks.into_iter().for_each(|task| assert_eq!(task.join(), Ok(())));
    });
}

fn readable_ends_with_deadline_and_close() {
    let (a, b) = tcp();
    let until = Instant::now() + Duration::from_millis(3);
    a.set_read_deadline(Some(until)).unwrap();
    assert_eq!(a.readable(), Err(Error::TimedOut));
    assert!(Instant::now() >= until);
    b.write_all(&[1]).unwrap();
    assert_eq!(a.readable(), Err(Error::TimedOut), "it beats data");
    assert_eq!(a.writable(), Ok(()));
    a.set_read_deadline(None).unwrap();
    assert_eq!(a.readable(), Ok(()));
    read1(&a);
    scope(|s| {
        let task = s.spawn(|| a.readable());
        sleep(Duration::from_millis(1));
        a.close().unwrap();
        assert_eq!(task.join(), Err(Error::Closed));
    });
    assert_eq!(a.readable(), Err(Error::Closed));
    assert_eq!(a.writable(), Err(Error::Closed));
    drop(a);
    assert_eq!(b.readable(), Ok(()), "the peer's end");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_deadline(Some(Instant::now() + Duration::from_millis(2))).unwrap();
    assert_eq!(listener.readable(), Err(Error::TimedOut));
    listener.set_deadline(None).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(listener.readable(), Ok(()));
    drop((client, listener.accept().unwrap()));
}

fn a_wrapper_is_pollable() {
    struct Connection {
        tcp: TcpStream,
    }
    impl Pollable for Connection {
        fn source(&self) -> Source<'_> {
            self.tcp.source()
        }
    }
    let (a, b) = tcp();
    let connection = Connection { tcp: a };
    b.write_all(&[1]).unwrap();
    assert_eq!(select! { readable(connection) -> r => r, after(LONG) => unreachable!() }, Ok(()));
    assert_eq!(select! { writable(&connection) -> r => r, after(LONG) => unreachable!() }, Ok(()));
}

/// Prints the number of the descriptor, and then the dump that must name it.
fn a_dump_names_the_descriptors_of_a_select() {
    let (a, b) = tcp();
    let (tx, rx) = channel::<u8>(0);
    scope(|s| {
        s.spawn(|| {
            select! {
                readable(a) -> r => r.unwrap(),
                recv(rx) -> _ => unreachable!(),
            }
        });
        while metrics().waiters == 0 {
            yield_now();
        }
        netpoll::println!("{}", a.as_raw_fd());
        dump_tasks();
        b.write_all(&[1]).unwrap();
    });
    drop(tx);
}

/// A dump looks at words whose tasks come and go meanwhile.
fn dumps_beside_selects() {
    let (a, b) = tcp();
    let over = AtomicBool::new(false);
    scope(|s| {
        s.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                select! {
                    readable(a) -> r => { r.unwrap(); a.read(&mut [0; 99]).unwrap(); }
                    after(Duration::from_micros(5)) => {}
                }
            }
        });
        s.spawn(|| {
            for _ in 0..50 {
                dump_tasks();
                sleep(Duration::from_micros(20));
            }
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            b.write_all(&[1]).unwrap();
            sleep(Duration::from_micros(10));
        }
    });
}
