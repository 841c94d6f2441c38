//! `Condvar`, `WaitGroup`, `Semaphore`, `Barrier`.

use crate::Random;
use crate::streams::LONG;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use netpoll::sync::{Barrier, Condvar, Mutex, Semaphore, WaitGroup};
use netpoll::time::{Instant, sleep};
use netpoll::{scope, spawn, yield_now};

crate::scenarios! {
    no_notification_is_lost
    notify_all_wakes_all_and_notify_one_the_first
    a_wait_times_out_and_not_early
    notifications_that_race_with_deadlines_are_not_lost
    a_wait_group_waits_for_all
    a_wait_group_is_used_again_at_once
    done_without_add_is_a_panic
    permits_are_never_exceeded
    a_big_request_is_not_overtaken
    who_gives_up_lets_those_behind_go_on
    permits_are_not_lost_in_races_with_deadlines
    a_barrier_lets_all_go_together_and_one_lead
}

fn no_notification_is_lost() {
    const EACH: u64 = 50_000;
    static QUEUE: Mutex<([u64; 4], usize)> = Mutex::new(([0; 4], 0));
    static NOT_EMPTY: Condvar = Condvar::new();
    static NOT_FULL: Condvar = Condvar::new();
    let producers = [(); 3].map(|()| {
        spawn(|| {
            for n in 1..=EACH {
                let mut queue = QUEUE.lock();
                NOT_FULL.wait_while(&mut queue, |queue| queue.1 == queue.0.len());
                let at = queue.1;
                queue.0[at] = n;
                queue.1 += 1;
                drop(queue);
                NOT_EMPTY.notify_one();
            }
        })
    });
    let consumers = [(); 3].map(|()| {
        spawn(|| {
            (0..EACH).fold(0, |sum, _| {
                let mut queue = QUEUE.lock();
                NOT_EMPTY.wait_while(&mut queue, |queue| queue.1 == 0);
                queue.1 -= 1;
                let n = queue.0[queue.1];
                NOT_FULL.notify_one();
                sum + n
            })
        })
    });
    let _: [(); _] = producers.map(|p| p.join());
    assert_eq!(consumers.map(|c| c.join()).iter().sum::<u64>(), 3 * EACH * (EACH + 1) / 2);
}

fn notify_all_wakes_all_and_notify_one_the_first() {
    static STATE: Mutex<(usize, [usize; 4], usize)> = Mutex::new((0, [0; 4], 0));
    static CHANGED: Condvar = Condvar::new();
    CHANGED.notify_one(); // for nobody, and kept for nobody
    CHANGED.notify_all();
    let tasks = [1, 2, 3, 4].map(|n| {
        let task = spawn(move || {
            let mut state = STATE.lock();
            state.0 += 1;
            CHANGED.wait(&mut state);
            let at = state.2;
            state.1[at] = n;
            state.2 += 1;
        });
        while STATE.lock().0 < n {
            yield_now();
        }
        task
    });
    for n in 1..=2 {
        CHANGED.notify_one();
        while STATE.lock().2 < n {
            yield_now();
        }
        (0..100).for_each(|_| yield_now());
        assert_eq!(STATE.lock().2, n, "one at a time");
    }
    CHANGED.notify_all();
    let _: [(); _] = tasks.map(|task| task.join());
    assert_eq!(STATE.lock().1[..2], [1, 2], "in the order in which they came");
}

fn a_wait_times_out_and_not_early() {
    let (mutex, changed) = (Mutex::new(false), Condvar::new());
    for ms in [0, 1, 5] {
        let begin = Instant::now();
        let mut guard = mutex.lock();
        assert!(changed.wait_timeout(&mut guard, Duration::from_millis(ms)).timed_out());
        assert!(mutex.is_locked() && begin.elapsed() >= Duration::from_millis(ms));
        drop(guard);
    }
    scope(|s| {
        s.spawn(|| {
            sleep(Duration::from_millis(1));
            *mutex.lock() = true;
            changed.notify_one();
        });
        let deadline = Instant::now() + LONG;
        let mut guard = mutex.lock();
        assert!(!changed.wait_while_deadline(&mut guard, deadline, |set| !*set).timed_out());
        assert!(*guard);
    });
}

/// A notification goes to one that still waits: so a token given with each is taken, whoever times out.
fn notifications_that_race_with_deadlines_are_not_lost() {
    const TOKENS: u64 = 3000;
    static TOKENS_LEFT: Mutex<u64> = Mutex::new(0);
    static GIVEN: Condvar = Condvar::new();
    let takers = [0u64, 1, 2].map(|k| {
        spawn(move || {
            let mut random = Random(k + 1);
            for _ in 0..TOKENS / 3 {
                let mut tokens = TOKENS_LEFT.lock();
                while *tokens == 0 {
                    if k == 0 {
                        GIVEN.wait(&mut tokens); // depends on each notification
                    } else {
                        let timeout = Duration::from_nanos(random.below(30_000));
                        // Who times out looks again, and waits again.
                        let _ = GIVEN.wait_timeout(&mut tokens, timeout);
                    }
                }
                *tokens -= 1;
            }
        })
    });
    let mut random = Random(99);
    for _ in 0..TOKENS {
        *TOKENS_LEFT.lock() += 1;
        GIVEN.notify_one();
        if random.below(4) == 0 {
            sleep(Duration::from_nanos(random.below(20_000)));
        }
    }
    let _: [(); _] = takers.map(|t| t.join());
    assert_eq!(*TOKENS_LEFT.lock(), 0);
}

fn a_wait_group_waits_for_all() {
    static GROUP: WaitGroup = WaitGroup::new();
    static DONE: AtomicUsize = AtomicUsize::new(0);
    GROUP.wait();
    GROUP.add(1000);
    for _ in 0..1000 {
        drop(spawn(|| {
            yield_now();
            DONE.fetch_add(1, Ordering::Relaxed);
            GROUP.done();
        }));
    }
    let waiters = [(); 4].map(|()| {
        spawn(|| {
            GROUP.wait();
            DONE.load(Ordering::Relaxed)
        })
    });
    GROUP.wait();
    assert_eq!(DONE.load(Ordering::Relaxed), 1000);
    assert_eq!(waiters.map(|w| w.join()), [1000; 4]);
}

fn a_wait_group_is_used_again_at_once() {
    static GROUP: WaitGroup = WaitGroup::new();
    static WAITED: AtomicUsize = AtomicUsize::new(0);
    for round in 0..2000 {
        GROUP.add(2);
        let waiter = spawn(|| {
            GROUP.wait();
            WAITED.fetch_add(1, Ordering::Relaxed);
        });
        drop(spawn(|| GROUP.done()));
        if round % 2 == 0 {
            yield_now();
        }
        GROUP.done();
        GROUP.wait();
        // The next round begins while the waiter may not have run yet; it ends with that, at the latest.
        GROUP.add(1);
        GROUP.done();
        waiter.join();
    }
    assert_eq!(WAITED.load(Ordering::Relaxed), 2000);
}

/// Judged by `tests/sync.rs`.
fn done_without_add_is_a_panic() {
    let group = WaitGroup::new();
    group.add(1);
    group.done();
    group.done();
}

fn permits_are_never_exceeded() {
    let (semaphore, inside) = (Semaphore::new(5), AtomicUsize::new(0));
    scope(|s| {
        for k in 0..8 {
            let (semaphore, inside) = (&semaphore, &inside);
            s.spawn(move || {
                for n in 0..2000 {
                    let want = (n + k) % 5 + 1;
                    if n % 3 != 0 || !semaphore.try_acquire(want) {
                        semaphore.acquire(want);
                    }
                    assert!(inside.fetch_add(want, Ordering::Relaxed) + want <= 5);
                    if n % 4 == 0 {
                        yield_now();
                    }
                    inside.fetch_sub(want, Ordering::Relaxed);
                    semaphore.release(want);
                }
            });
        }
    });
    assert_eq!(semaphore.available(), 5);
}

fn a_big_request_is_not_overtaken() {
    let (semaphore, order) = (Semaphore::new(1), Mutex::new(([0; 3], 0)));
    let note = |n| {
        let mut order = order.lock();
        let at = order.1;
        order.0[at] = n;
        order.1 += 1;
    };
    scope(|s| {
        s.spawn(|| {
            semaphore.acquire(3);
            note(3);
            semaphore.release(1);
        });
        // There is one, but it is refused as soon as somebody waits.
        let start = Instant::now();
        while semaphore.try_acquire(1) {
            semaphore.release(1);
            assert!(start.elapsed() < Duration::from_secs(60), "it is overtaken");
            yield_now();
        }
        s.spawn(|| {
            semaphore.acquire(1);
            note(1);
            semaphore.release(3);
        });
        sleep(Duration::from_millis(1));
        assert_eq!(semaphore.available(), 1);
        semaphore.release(2);
    });
    assert_eq!(order.into_inner().0, [3, 1, 0]);
    assert_eq!(semaphore.available(), 3);
}

fn who_gives_up_lets_those_behind_go_on() {
    let semaphore = Semaphore::new(1);
    scope(|s| {
        let big = s.spawn(|| {
            let deadline = Instant::now() + Duration::from_millis(5);
            (semaphore.acquire_deadline(2, deadline), Instant::now() >= deadline)
        });
        sleep(Duration::from_millis(1));
        let small = s.spawn(|| semaphore.acquire(1));
        assert_eq!(big.join(), (false, true));
        small.join();
    });
    assert_eq!(semaphore.available(), 0);
}

fn permits_are_not_lost_in_races_with_deadlines() {
    let semaphore = Semaphore::new(2);
    scope(|s| {
        for k in 0..4 {
            let semaphore = &semaphore;
            s.spawn(move || {
                let mut random = Random(k + 1);
                for _ in 0..2000 {
                    let want = random.below(2) as usize + 1;
                    let deadline = Instant::now() + Duration::from_nanos(random.below(30_000));
                    if semaphore.acquire_deadline(want, deadline) {
                        if random.below(4) == 0 {
                            sleep(Duration::from_nanos(random.below(20_000)));
                        }
                        semaphore.release(want);
                    }
                }
            });
        }
    });
    assert_eq!(semaphore.available(), 2);
}

fn a_barrier_lets_all_go_together_and_one_lead() {
    let (barrier, arrived, leaders) = (Barrier::new(5), AtomicUsize::new(0), AtomicUsize::new(0));
    scope(|s| {
        for _ in 0..5 {
            s.spawn(|| {
                for round in 1..=500 {
                    arrived.fetch_add(1, Ordering::Relaxed);
                    let leads = barrier.wait();
                    assert!(arrived.load(Ordering::Relaxed) >= 5 * round);
                    leaders.fetch_add(leads.into(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((arrived.into_inner(), leaders.into_inner()), (2500, 500));
    assert!(Barrier::new(0).wait() && Barrier::new(1).wait());
}
