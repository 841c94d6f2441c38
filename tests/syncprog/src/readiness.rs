//! Streams as arms of `select!`: which arm wins, and what the others leave.

use crate::Random;
use crate::streams::{LONG, nobody_waits, read1, tcp};
use core::time::Duration;
use netpoll::io::pipe;
use netpoll::net::Error;
use netpoll::sync::channel;
use netpoll::time::{Instant, sleep};
use netpoll::{scope, select, spawn, yield_now};

crate::scenarios! {
    each_arm_wins_when_its_time_comes
    ready_arms_beat_a_time_and_default_comes_last
    a_default_makes_it_a_look
    streams_and_channels_have_equal_chances
    an_edge_that_comes_while_another_arm_wins_is_not_lost
    what_is_called_readable_can_be_read
    an_edge_of_the_past_is_not_readiness
    messages_and_bytes_race
    a_close_ends_a_select
    a_deadline_ends_a_select
    a_deadline_moved_on_does_not
    selects_race_with_close_and_deadline
}

fn each_arm_wins_when_its_time_comes() {
    let (a, b) = tcp();
    let (tx, rx) = channel(0);
    for round in 0..60 {
        let winner = scope(|s| {
            let select = s.spawn(|| match round / 3 % 2 {
                0 => select! {
                    readable(a) -> r => { r.unwrap(); 0 }
                    recv(rx) -> v => { assert_eq!(v, Some(round)); 1 }
                    after(if round % 3 == 2 { Duration::from_millis(2) } else { LONG }) => 2,
                },
                _ => select! {
                    after(if round % 3 == 2 { Duration::from_millis(2) } else { LONG }) => 2,
                    recv(rx) -> v => { assert_eq!(v, Some(round)); 1 }
                    readable(&a) -> r => { r.unwrap(); 0 }
                },
            });
            if round % 2 == 0 {
                sleep(Duration::from_millis(1)); // it has parked
            }
            match round % 3 {
                0 => b.write_all(&[1]).unwrap(),
                1 => tx.send(round).unwrap(),
                _ => {}
            }
            select.join()
        });
        assert_eq!(winner, round % 3);
        if winner == 0 {
            read1(&a);
        }
    }
    nobody_waits();
}

fn ready_arms_beat_a_time_and_default_comes_last() {
    let (a, b) = tcp();
    let (_tx, rx) = channel::<u8>(1);
    b.write_all(&[1]).unwrap();
    a.readable().unwrap();
    for _ in 0..100 {
        select! {
            after(Duration::ZERO) => unreachable!(),
            readable(a) -> r => r.unwrap(),
            recv(rx) -> _ => unreachable!(),
        }
        select! {
            readable(a) -> r => r.unwrap(),
            default => unreachable!(),
        }
    }
    read1(&a);
    let begin = Instant::now();
    select! {
        readable(a) -> _ => unreachable!(),
        after(Duration::from_millis(3)) => assert!(begin.elapsed() >= Duration::from_millis(3)),
    }
}

fn a_default_makes_it_a_look() {
    let (a, b) = tcp();
    let mut looks = 0;
    let writer = spawn(move || {
        sleep(Duration::from_millis(5));
        b.write_all(&[7]).unwrap();
        b
    });
    loop {
        select! {
            readable(a) -> r => {
                r.unwrap();
                break;
            }
            default => looks += 1,
        }
        yield_now();
    }
    assert!(looks > 0);
    assert_eq!(read1(&a), 7);
    drop(writer.join());
    // It is exact, though nobody has had a reason to poll; and so is a time that has come.
    let (reader, writer) = pipe().unwrap();
    for _ in 0..100 {
        assert!(select! { readable(reader) -> _ => false, default => true });
        assert!(select! { readable(reader) -> _ => false, after(Duration::ZERO) => true });
        writer.write_all(&[1]).unwrap();
        assert!(select! { readable(reader) -> _ => true, after(Duration::ZERO) => false });
        assert!(select! { readable(reader) -> _ => true, default => false });
        reader.read(&mut [0; 8]).unwrap();
    }
    nobody_waits();
}

fn streams_and_channels_have_equal_chances() {
    const ROUNDS: usize = 8_000;
    let (a, b) = tcp();
    let (c, d) = tcp();
    let (tx, rx) = channel(1);
    b.write_all(&[1]).unwrap();
    d.write_all(&[1]).unwrap();
    tx.send(1).unwrap();
    a.readable().unwrap();
    c.readable().unwrap();
    let mut counts = [0; 4];
    for _ in 0..ROUNDS {
        select! {
            readable(a) -> r => { r.unwrap(); counts[0] += 1 }
            recv(rx) -> v => { counts[1] += 1; tx.send(v.unwrap()).unwrap() }
            readable(c) -> r => { r.unwrap(); counts[2] += 1 }
            writable(a) -> r => { r.unwrap(); counts[3] += 1 }
        }
    }
    // A quarter each; ten standard deviations of the binomial are 387.
    assert!(counts.iter().all(|&n| ROUNDS / 4 - 387 < n && n < ROUNDS / 4 + 387), "{counts:?}");
}

fn an_edge_that_comes_while_another_arm_wins_is_not_lost() {
    let (a, b) = tcp();
    let (tx, rx) = channel(0);
    let mut both = [0; 2];
    for round in 0..2_000 {
        scope(|s| {
            let select = s.spawn(|| {
                select! {
                    readable(a) -> r => { r.unwrap(); 0 }
                    recv(rx) -> v => { v.unwrap(); 1 }
                }
            });
            if round % 4 == 0 {
                sleep(Duration::from_micros(50));
            }
            // At the same time, and the other one for sure before the read.
            let writer = s.spawn(|| b.write_all(&[9]).unwrap());
            if tx.try_send(()).is_err() {
                yield_now();
                let _ = tx.try_send(());
            }
            both[select.join()] += 1;
            writer.join();
        });
        assert_eq!(read1(&a), 9);
    }
    assert_eq!(both[0] + both[1], 2_000);
    nobody_waits();
}

/// A byte is sent only when the last one has been acknowledged, or else a message. If the arm were chosen
/// without a byte, the read would wait for the next one, and the message for ever.
fn what_is_called_readable_can_be_read() {
    const EACH: u64 = 10_000;
    let (a, b) = tcp();
    let (tx, rx) = channel(0);
    let (done, acks) = channel(0);
    let peer = spawn(move || {
        let mut random = Random(0x1234_5678_9abc_def1);
        for n in 0..EACH {
            if random.below(2) == 0 {
                b.write_all(&[n as u8]).unwrap();
            } else {
                tx.send(n as u8).unwrap();
            }
            assert_eq!(acks.recv(), Some(n as u8));
        }
        b
    });
    for n in 0..EACH {
        let got = select! {
            readable(a) -> r => { r.unwrap(); read1(&a) }
            recv(rx) -> v => v.unwrap(),
        };
        assert_eq!(got, n as u8);
        done.send(got).unwrap();
    }
    drop(peer.join());
    nobody_waits();
}

/// The edge comes, and what it told of is read behind the poller's back.
fn an_edge_of_the_past_is_not_readiness() {
    let (a, b) = tcp();
    let (_tx, rx) = channel::<u8>(0);
    for round in 0..20 {
        b.write_all(&[1]).unwrap();
        assert_eq!(read1(&a), 1); // short, so it is drained
        b.write_all(&[2]).unwrap();
        sleep(Duration::from_millis(2)); // in which somebody polls
        assert_eq!(netpoll::sys::fd::read(a.as_raw_fd(), &mut [0; 8]), Ok(1));
        if round % 2 == 0 {
            select! {
                readable(a) -> _ => unreachable!(),
                recv(rx) -> _ => unreachable!(),
                after(Duration::from_millis(2)) => {}
            }
        } else {
            a.set_read_deadline(Some(Instant::now() + Duration::from_millis(2))).unwrap();
            assert_eq!(a.readable(), Err(Error::TimedOut));
            a.set_read_deadline(None).unwrap();
        }
    }
}

/// Neither side waits for the other: every byte and every message arrives, in order.
fn messages_and_bytes_race() {
    const EACH: usize = 10_000;
    let (a, b) = tcp();
    let (tx, rx) = channel(4);
    scope(|s| {
        s.spawn(|| {
            for n in 0..EACH {
                b.write_all(&[n as u8]).unwrap();
                if n % 7 == 0 {
                    yield_now();
                }
            }
        });
        s.spawn(move || (0..EACH).for_each(|n| tx.send(n).unwrap()));
        let (mut bytes, mut messages, mut times) = (0, 0, 0);
        let mut buf = [0; 64];
        while bytes < EACH || messages < EACH {
            select! {
                readable(a) -> r => {
                    r.unwrap();
                    let n = a.read(&mut buf).unwrap();
                    buf[..n].iter().for_each(|&byte| {
                        assert_eq!(byte, bytes as u8);
                        bytes += 1;
                    });
                }
                recv(rx) -> v => match v {
                    Some(n) => {
                        assert_eq!(n, messages);
                        messages += 1;
                    }
                    None => {
                        assert_eq!(messages, EACH); // closed: the other arm must still get its turns
                    }
                },
                after(Duration::from_micros(30)) => times += 1,
            }
            assert!(times < 10_000_000);
        }
    });
    nobody_waits();
}

fn a_close_ends_a_select() {
    for round in 0..200 {
        let (a, _b) = tcp();
        let (_tx, rx) = channel::<u8>(0);
        scope(|s| {
            let select = s.spawn(|| {
                select! {
                    readable(a) -> r => r,
                    recv(rx) -> _ => unreachable!(),
                    after(LONG) => unreachable!(),
                }
            });
            if round % 2 == 0 {
                sleep(Duration::from_micros(100));
            }
            a.close().unwrap(); // returns when the select has left
            assert_eq!(select.join(), Err(Error::Closed));
        });
        let again = select! {
            writable(a) -> r => r,
            after(LONG) => unreachable!(),
        };
        assert_eq!(again, Err(Error::Closed));
    }
    nobody_waits();
}

fn a_deadline_ends_a_select() {
    let (a, b) = tcp();
    let (_tx, rx) = channel::<u8>(0);
    for _ in 0..20 {
        let until = Instant::now() + Duration::from_millis(2);
        a.set_read_deadline(Some(until)).unwrap();
        let result = select! {
            readable(a) -> r => r,
            recv(rx) -> _ => unreachable!(),
            after(LONG) => unreachable!(),
        };
        assert_eq!(result, Err(Error::TimedOut));
        assert!(Instant::now() >= until);
    }
    // In force, it beats data, and a write has none.
    b.write_all(&[1]).unwrap();
    assert_eq!(select! { readable(a) -> r => r }, Err(Error::TimedOut));
    assert_eq!(select! { writable(a) -> r => r }, Ok(()));
    a.set_read_deadline(None).unwrap();
    assert_eq!(select! { readable(a) -> r => r }, Ok(()));
    read1(&a);
}

fn a_deadline_moved_on_does_not() {
    let (a, b) = tcp();
    let (_tx, rx) = channel::<u8>(0);
    scope(|s| {
        let select = s.spawn(|| {
            let result = select! {
                recv(rx) -> _ => unreachable!(),
                readable(a) -> r => r,
            };
            assert_eq!(result, Ok(()));
            read1(&a)
        });
        for n in 0..200 {
            a.set_read_deadline(Some(Instant::now() + LONG)).unwrap();
            if n % 10 == 0 {
                sleep(Duration::from_millis(1));
            }
        }
        a.set_read_deadline(None).unwrap();
        b.write_all(&[3]).unwrap();
        assert_eq!(select.join(), 3);
    });
}

/// All that can end a select at once, over and over: whatever it says, the byte is there.
fn selects_race_with_close_and_deadline() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut counts = [0; 5];
    for _ in 0..1_000 {
        let (a, b) = tcp();
        let (tx, rx) = channel(0);
        let (timed_out, slow) = (random.below(2) == 0, random.below(4) == 0);
        let winner = scope(|s| {
            let select = s.spawn(|| {
                select! {
                    readable(a) -> r => match r {
                        Ok(()) => 0,
                        Err(Error::TimedOut) => 1,
                        Err(Error::Closed) => 2,
                        Err(e) => panic!("{e}"),
                    },
                    recv(rx) -> v => if v.is_some() { 3 } else { unreachable!() },
                    after(LONG) => unreachable!(),
                }
            });
            if slow {
                sleep(Duration::from_micros(50));
            }
            s.spawn(|| b.write_all(&[5]).unwrap());
            let other = s.spawn(|| {
                if timed_out {
                    a.set_read_deadline(Some(Instant::now())).unwrap();
                } else {
                    a.close().unwrap();
                }
            });
            let _ = tx.try_send(1);
            let winner = select.join();
            other.join();
            winner
        });
        counts[winner] += 1;
        if timed_out {
            assert_ne!(winner, 2);
            a.set_read_deadline(None).unwrap();
            assert_eq!(read1(&a), 5);
        } else {
            assert_ne!(winner, 1);
            assert_eq!(a.read(&mut [0]), Err(Error::Closed));
        }
    }
    nobody_waits();
}
