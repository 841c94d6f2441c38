//! `select!`.

use crate::Dropped;
use crate::streams::LONG;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use netpoll::sync::{Receiver, channel};
use netpoll::time::{Instant, sleep};
use netpoll::{scope, select, spawn, yield_now};

crate::scenarios! {
    the_arm_that_can_go_on_is_taken
    default_is_taken_when_nothing_else_can
    after_comes_not_early_and_only_if_nothing_else_does
    a_parked_select_is_served
    ready_arms_have_equal_chances
    a_slow_arm_is_not_starved_by_a_busy_one
    exactly_one_arm_happens
    selects_meet_each_other
    a_value_not_sent_is_dropped
    closed_channels_can_go_on
    one_channel_in_two_arms
    bodies_are_in_the_callers_function
    a_select_leaves_nothing_behind
}

fn the_arm_that_can_go_on_is_taken() {
    let (tx, rx) = channel(1);
    let (full, _keep) = channel(1);
    full.send(0).unwrap();
    for n in 0..100 {
        let sent = select! {
            send(tx, n) -> result => result.is_ok(),
            send(full, n) -> _ => false,
        };
        assert!(sent);
        let got = select! {
            send(full, n) -> _ => None,
            recv(rx) -> value => value,
        };
        assert_eq!(got, Some(n));
    }
}

fn default_is_taken_when_nothing_else_can() {
    let (tx, rx) = channel(0);
    let mut defaults = 0;
    select! {
        recv(rx) -> value => assert_eq!(value, Some(1)),
        send(tx, 1) -> _ => unreachable!(),
        default => defaults += 1,
    }
    let sender = spawn(move || tx.send(1));
    loop {
        select! {
            default => yield_now(),
            recv(rx) -> value => {
                assert_eq!(value, Some(1));
                break;
            }
        }
    }
    sender.join().unwrap();
    assert_eq!(defaults, 1);
}

fn after_comes_not_early_and_only_if_nothing_else_does() {
    let (tx, rx) = channel(1);
    for ms in [0, 1, 4] {
        let begin = Instant::now();
        let winner = select! {
            recv(rx) -> _ => 0,
            after(LONG) => 1,
            after(Duration::from_millis(ms)) => 2,
        };
        assert_eq!(winner, 2);
        assert!(begin.elapsed() >= Duration::from_millis(ms));
    }
    let until = Instant::now() + Duration::from_millis(2);
    select! { after(until) => assert!(Instant::now() >= until) }
    tx.send(5).unwrap();
    let got = select! {
        after(until) => None, // long past, but there is a value
        recv(rx) -> value => value,
    };
    assert_eq!(got, Some(5));
}

fn a_parked_select_is_served() {
    let (tx, rx) = channel(0);
    let (reply, replies) = channel(0);
    let (_never, quiet) = channel::<u8>(0);
    let server = spawn(move || {
        loop {
            let n: u64 = select! {
                recv(rx) -> value => match value {
                    Some(n) => n,
                    None => return,
                },
                recv(quiet) -> _ => unreachable!(),
                after(LONG) => unreachable!(),
            };
            select! {
                recv(quiet) -> _ => unreachable!(),
                send(reply, n + 1) -> result => result.unwrap(),
            }
        }
    });
    for n in 0..5000 {
        tx.send(n).unwrap();
        assert_eq!(replies.recv(), Some(n + 1));
    }
    drop(tx);
    server.join();
}

fn ready_arms_have_equal_chances() {
    const ROUNDS: usize = 30_000;
    let channels = [(); 3].map(|()| channel(1));
    for (tx, _) in &channels {
        tx.send(1).unwrap();
    }
    let mut counts = [0; 3];
    let [(a, ra), (b, rb), (c, rc)] = &channels;
    for _ in 0..ROUNDS {
        select! {
            recv(ra) -> v => { counts[0] += 1; a.send(v.unwrap()).unwrap() }
            recv(rb) -> v => { counts[1] += 1; b.send(v.unwrap()).unwrap() }
            recv(rc) -> v => { counts[2] += 1; c.send(v.unwrap()).unwrap() }
        }
    }
    // A third each; ten standard deviations of the binomial are 816.
    assert!(counts.iter().all(|&n| ROUNDS / 3 - 816 < n && n < ROUNDS / 3 + 816), "{counts:?}");
}

fn a_slow_arm_is_not_starved_by_a_busy_one() {
    let (busy, rx_busy) = channel(64);
    let (slow, rx_slow) = channel(1);
    let hog = spawn(move || while busy.send(()).is_ok() {});
    slow.send(()).unwrap();
    let mut rounds = 0;
    loop {
        rounds += 1;
        select! {
            recv(rx_busy) -> _ => {}
            recv(rx_slow) -> _ => break,
        }
    }
    assert!(rounds < 100, "{rounds}"); // 2^-100
    drop(rx_busy);
    hog.join();
}

fn exactly_one_arm_happens() {
    const EACH: u64 = 20_000;
    let (a, ra) = channel(0);
    let (b, rb) = channel(3);
    let total = AtomicU64::new(0);
    scope(|s| {
        for _ in 0..3 {
            let (ra, rb, total) = (ra.clone(), rb.clone(), &total);
            s.spawn(move || {
                let (mut open_a, mut open_b) = (true, true);
                while open_a || open_b {
                    let got = if !open_a {
                        rb.recv().or_else(|| {
                            open_b = false;
                            None
                        })
                    } else if !open_b {
                        ra.recv().or_else(|| {
                            open_a = false;
                            None
                        })
                    } else {
                        select! {
                            recv(ra) -> v => v.or_else(|| { open_a = false; None }),
                            recv(rb) -> v => v.or_else(|| { open_b = false; None }),
                            after(Duration::from_micros(20)) => None,
                        }
                    };
                    total.fetch_add(got.unwrap_or(0), Ordering::Relaxed);
                }
            });
        }
        for tx in [a, b] {
            for _ in 0..2 {
                let tx = tx.clone();
                s.spawn(move || (1..=EACH).for_each(|n| tx.send(n).unwrap()));
            }
        }
    });
    assert_eq!(total.into_inner(), 4 * EACH * (EACH + 1) / 2);
}

fn selects_meet_each_other() {
    const ROUNDS: u64 = 20_000;
    let (a, ra) = channel(0);
    let (b, rb) = channel(0);
    let sums = scope(|s| {
        let sends = s.spawn(|| {
            (1..=ROUNDS).fold([0, 0], |[x, y], n| {
                select! {
                    send(a, n) -> r => { r.unwrap(); [x + n, y] }
                    send(b, n) -> r => { r.unwrap(); [x, y + n] }
                }
            })
        });
        let mut got = [0, 0];
        for _ in 1..=ROUNDS {
            select! {
                recv(rb) -> v => got[1] += v.unwrap(),
                recv(ra) -> v => got[0] += v.unwrap(),
            }
        }
        assert_eq!(sends.join(), got);
        got
    });
    assert_eq!(sums[0] + sums[1], ROUNDS * (ROUNDS + 1) / 2);
    assert!(sums[0] > 0 && sums[1] > 0);
}

fn a_value_not_sent_is_dropped() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let (tx, rx) = channel(0);
    select! {
        send(tx, Dropped(&DROPS)) -> _ => unreachable!(),
        default => {}
    }
    assert_eq!(DROPS.load(Ordering::Relaxed), 1);
    select! {
        send(tx, Dropped(&DROPS)) -> _ => unreachable!(),
        after(Duration::from_millis(1)) => {}
    }
    assert_eq!(DROPS.load(Ordering::Relaxed), 2);
    drop(rx);
    select! {
        send(tx, Dropped(&DROPS)) -> result => {
            let back = result.unwrap_err().0;
            assert_eq!(DROPS.load(Ordering::Relaxed), 2);
            drop(back);
        }
    }
    assert_eq!(DROPS.load(Ordering::Relaxed), 3);
}

fn closed_channels_can_go_on() {
    let (tx, rx) = channel::<u8>(0);
    let (_keep, quiet) = channel::<u8>(0);
    let other = rx.clone();
    let waits = spawn(move || {
        select! {
            recv(other) -> v => v.is_none(),
            recv(quiet) -> _ => false,
        }
    });
    sleep(Duration::from_millis(1));
    rx.close();
    assert!(waits.join(), "woken by the close");
    let closed = select! {
        recv(rx) -> v => v.is_none(),
        after(LONG) => false,
    };
    assert!(closed);
    assert!(select! { send(tx, 1) -> r => r.is_err() });
}

fn one_channel_in_two_arms() {
    let (tx, rx) = channel(0);
    let sender = spawn(move || (0..1000).for_each(|n| tx.send(n).unwrap()));
    for n in 0..1000 {
        select! {
            recv(rx) -> v => assert_eq!(v, Some(n)),
            recv(rx) -> v => assert_eq!(v, Some(n)),
        }
    }
    sender.join();
}

fn bodies_are_in_the_callers_function() {
    fn first_even(rx: &Receiver<u32>) -> Option<u32> {
        loop {
            select! {
                recv(rx) -> v => {
                    let v = v?;
                    if v % 2 == 1 {
                        continue;
                    }
                    return Some(v);
                }
            }
        }
    }
    let (tx, rx) = channel(8);
    [1, 3, 4, 5].into_iter().for_each(|n| tx.send(n).unwrap());
    drop(tx);
    assert_eq!(first_even(&rx), Some(4));
    assert_eq!(first_even(&rx), None);
}

fn a_select_leaves_nothing_behind() {
    let (tx, rx) = channel(0);
    let (_keep, quiet) = channel::<u8>(0);
    for _ in 0..1000 {
        select! {
            recv(rx) -> _ => unreachable!(),
            recv(quiet) -> _ => unreachable!(),
            after(Duration::from_micros(1)) => {}
        }
    }
    assert!(tx.try_send(1).is_err(), "nobody waits any more");
}
