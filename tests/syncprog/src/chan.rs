//! Channels.

use crate::streams::LONG;
use crate::{Dropped, Random};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use netpoll::sync::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError, channel, try_channel};
use netpoll::time::{Instant, sleep};
use netpoll::{scope, spawn, yield_now};

crate::scenarios! {
    values_come_in_order
    a_full_buffer_blocks_and_try_says_so
    without_a_buffer_a_send_waits_for_its_receive
    a_million_messages_from_many_to_many
    messages_without_a_buffer_from_many_to_many
    a_send_to_nobody_gives_the_value_back
    the_last_sender_ends_the_receivers_behind_the_buffer
    close_wakes_parked_senders_with_their_values
    close_wakes_parked_receivers
    what_is_left_is_dropped_once
    deadlines_are_kept_and_not_early
    a_deadline_that_races_loses_nothing_and_doubles_nothing
    values_of_all_sizes_arrive_whole
    channels_use_their_memory_again
    a_buffer_beyond_memory_is_an_error
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(5)
}

fn values_come_in_order() {
    for capacity in [0, 1, 7, 1000] {
        let (tx, rx) = channel(capacity);
        let sender = spawn(move || (0..10_000).for_each(|n| tx.send(n).unwrap()));
        assert!(rx.iter().eq(0..10_000));
        sender.join();
        assert_eq!(rx.recv(), None);
    }
}

fn a_full_buffer_blocks_and_try_says_so() {
    let (tx, rx) = channel(2);
    assert_eq!((tx.capacity(), rx.try_recv()), (2, Err(TryRecvError::Empty)));
    tx.try_send(1).unwrap();
    tx.send(2).unwrap();
    assert_eq!((tx.len(), tx.try_send(3)), (2, Err(TrySendError::Full(3))));
    let sender = spawn(move || tx.send(3));
    yield_now();
    assert_eq!(rx.len(), 2);
    assert_eq!([rx.recv(), rx.recv(), rx.recv()], [Some(1), Some(2), Some(3)]);
    sender.join().unwrap();
    assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
}

fn without_a_buffer_a_send_waits_for_its_receive() {
    static SENT: AtomicU64 = AtomicU64::new(0);
    let (tx, rx) = channel(0);
    assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)));
    let sender = spawn(move || {
        for n in 1..=100 {
            tx.send(n).unwrap();
            SENT.store(n, Ordering::SeqCst);
        }
    });
    for n in 1..=100 {
        for _ in 0..10 {
            yield_now();
        }
        assert!(SENT.load(Ordering::SeqCst) < n, "sent before it was received");
        assert_eq!(rx.recv(), Some(n));
    }
    sender.join();
}

fn many_to_many(capacity: usize, each: u64) {
    let (tx, rx) = channel(capacity);
    for k in 0..4 {
        let tx = tx.clone();
        drop(spawn(move || (0..each).for_each(|n| tx.send(4 * n + k).unwrap())));
    }
    drop(tx);
    let receivers = [(); 4].map(|()| {
        let rx = rx.clone();
        spawn(move || {
            // Each sender's values come in its own order.
            let mut last = [None; 4];
            rx.iter().fold((0u64, 0u64), |(count, sum), n| {
                assert!(last[(n % 4) as usize].replace(n) < Some(n));
                (count + 1, sum + n)
            })
        })
    });
    let (count, sum) = receivers.map(|r| r.join()).iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!((count, sum), (4 * each, 4 * each * (4 * each - 1) / 2));
}

fn a_million_messages_from_many_to_many() {
    many_to_many(16, 250_000);
}

fn messages_without_a_buffer_from_many_to_many() {
    many_to_many(0, 50_000);
}

fn a_send_to_nobody_gives_the_value_back() {
    for capacity in [0, 3] {
        let (tx, rx) = channel(capacity);
        drop(rx.clone());
        assert!(!tx.is_closed(), "one receiver is left");
        drop(rx);
        assert_eq!(tx.send("back").unwrap_err().0, "back");
        assert_eq!(tx.try_send("back"), Err(TrySendError::Closed("back")));
        assert_eq!(tx.send_deadline("back", soon()), Err(SendTimeoutError::Closed("back")));
    }
}

fn the_last_sender_ends_the_receivers_behind_the_buffer() {
    let (tx, rx) = channel(4);
    let more = tx.clone();
    (1..=2).for_each(|n| tx.send(n).unwrap());
    drop(tx);
    more.send(3).unwrap();
    drop(more);
    assert!(rx.is_closed());
    assert!(rx.iter().eq(1..=3));
    assert_eq!((rx.recv(), rx.recv_deadline(soon())), (None, Err(RecvTimeoutError::Closed)));
}

fn close_wakes_parked_senders_with_their_values() {
    for by_drop in [false, true] {
        for buffered in [0, 1] {
            let (tx, rx) = channel(buffered);
            (0..buffered).for_each(|_| tx.send(100).unwrap());
            let senders = [1, 2, 3, 4].map(|n| {
                let tx = tx.clone();
                spawn(move || match n % 2 {
                    0 => tx.send(n).unwrap_err().0,
                    _ => match tx.send_deadline(n, Instant::now() + LONG) {
                        Err(SendTimeoutError::Closed(n)) => n,
                        other => panic!("{other:?}"),
                    },
                })
            });
            sleep(Duration::from_millis(2)); // all of them are parked
            if by_drop {
                drop(rx);
            } else {
                assert!(tx.close() && !rx.close());
                assert_eq!(rx.iter().count(), buffered, "what was in the buffer, and no more");
            }
            assert_eq!(senders.map(|s| s.join()), [1, 2, 3, 4]);
        }
    }
}

fn close_wakes_parked_receivers() {
    for by_drop in [false, true] {
        let (tx, rx) = channel::<u8>(0);
        let receivers = [0, 1, 2, 3].map(|n| {
            let rx = rx.clone();
            spawn(move || match n % 2 {
                0 => rx.recv().is_none(),
                _ => rx.recv_deadline(Instant::now() + LONG) == Err(RecvTimeoutError::Closed),
            })
        });
        sleep(Duration::from_millis(2));
        if by_drop {
            drop(tx);
        } else {
            assert!(rx.close());
        }
        assert_eq!(receivers.map(|r| r.join()), [true; 4]);
    }
}

fn what_is_left_is_dropped_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    // The last one is a mapping of its own.
    for (capacity, receiver_first) in [(8, true), (8, false), (4096, true), (4096, false)] {
        DROPS.store(0, Ordering::Relaxed);
        let (tx, rx) = channel(capacity);
        (0..8).for_each(|_| assert!(tx.send(Dropped(&DROPS)).is_ok()));
        drop(rx.recv());
        assert_eq!(DROPS.load(Ordering::Relaxed), 1);
        if receiver_first {
            drop(rx);
            assert_eq!(DROPS.load(Ordering::Relaxed), 8, "at once, though a sender is left");
            drop(tx);
        } else {
            drop(tx);
            assert_eq!(DROPS.load(Ordering::Relaxed), 1);
            drop(rx);
        }
        assert_eq!(DROPS.load(Ordering::Relaxed), 8);
    }
}

fn deadlines_are_kept_and_not_early() {
    let (tx, rx) = channel(0);
    for ms in [0, 1, 3, 10] {
        let deadline = Instant::now() + Duration::from_millis(ms);
        assert_eq!(rx.recv_deadline(deadline), Err(RecvTimeoutError::TimedOut));
        assert!(Instant::now() >= deadline);
        let deadline = Instant::now() + Duration::from_millis(ms);
        assert_eq!(tx.send_deadline(7, deadline), Err(SendTimeoutError::TimedOut(7)));
        assert!(Instant::now() >= deadline);
    }
    // A deadline that has passed takes what is there, all the same.
    let past = Instant::now();
    let sender = spawn(move || tx.send(8));
    while rx.recv_deadline(past) != Ok(8) {
        yield_now();
    }
    sender.join().unwrap();
}

fn a_deadline_that_races_loses_nothing_and_doubles_nothing() {
    const ROUNDS: u64 = 3000;
    let (tx, rx) = channel(0);
    let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let (given, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    scope(|s| {
        for k in 0..2 {
            let (tx, sent, given) = (tx.clone(), &sent, &given);
            s.spawn(move || {
                let mut random = Random(k + 1);
                for n in 0..ROUNDS {
                    let deadline = Instant::now() + Duration::from_nanos(random.below(60_000));
                    if tx.send_deadline(2 * n + k, deadline).is_ok() {
                        sent.fetch_add(2 * n + k, Ordering::Relaxed);
                        given.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            let (rx, received, taken) = (&rx, &received, &taken);
            s.spawn(move || {
                let mut random = Random(k + 77);
                loop {
                    let deadline = Instant::now() + Duration::from_nanos(random.below(60_000));
                    match rx.recv_deadline(deadline) {
                        Ok(n) => {
                            received.fetch_add(n, Ordering::Relaxed);
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(RecvTimeoutError::TimedOut) => {}
                        Err(RecvTimeoutError::Closed) => break,
                    }
                }
            });
        }
        drop(tx);
    });
    assert_eq!(given.into_inner(), taken.into_inner());
    assert_eq!(sent.into_inner(), received.into_inner());
}

fn values_of_all_sizes_arrive_whole() {
    #[repr(align(256))]
    struct Aligned(u8);

    for capacity in [0, 3] {
        let (tx, rx) = channel(capacity);
        let sender = spawn(move || (0..10).for_each(|n| tx.send([n; 300]).unwrap()));
        assert!(rx.iter().eq((0..10).map(|n| [n; 300])));
        sender.join();

        let (tx, rx) = channel(capacity);
        let sender = spawn(move || (0..10).for_each(|n| assert!(tx.send(Aligned(n)).is_ok())));
        assert!(rx.iter().map(|value| value.0).eq(0..10));
        sender.join();

        let (tx, rx) = channel(capacity);
        let sender = spawn(move || (0..1000).for_each(|_| tx.send(()).unwrap()));
        assert_eq!(rx.iter().count(), 1000);
        sender.join();
    }
}

fn channels_use_their_memory_again() {
    for n in 0..100_000 {
        let (tx, rx) = channel(if n % 100 == 0 { 4096 } else { n % 50 + 1 });
        tx.send(n).unwrap();
        assert_eq!(rx.recv(), Some(n));
    }
}

fn a_buffer_beyond_memory_is_an_error() {
    assert!(try_channel::<u64>(usize::MAX).is_err());
    assert!(try_channel::<u64>(1 << 59).is_err());
}
