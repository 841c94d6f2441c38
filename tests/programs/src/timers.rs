//! `Timer` and `Ticker`.

use crate::Scenario;
use crate::support::{PATIENCE, Random, join_all, ms, waiting};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use netpoll::sys::time::{Timespec, nanosleep};
use netpoll::time::{Instant, Ticker, Timer, sleep};
use netpoll::{blocking, spawn};

pub const SCENARIOS: &[Scenario] = &[
    ("timers_fire_once_and_never_early", fire),
    ("a_stopped_timer_does_not_fire", stopped),
    ("a_timer_moved_into_the_past_fires_at_once", modified_earlier),
    ("timers_set_and_moved_at_random", |_| join_all((1..=4).map(|seed| spawn(move || adjust(seed)))).clear()),
    ("moved_by_others_while_waited_for", moved_by_others),
    ("timers_are_reused", reused),
    ("a_timer_set_within_a_call_fires_meanwhile", set_within_a_call),
    ("tickers_tick", tickers),
];

/// A time that does not come while a test runs.
const NEVER: Duration = Duration::from_secs(3600);

fn fire(_: &[&str]) {
    for n in [0, 1, 20] {
        let start = Instant::now();
        let timer = Timer::after(ms(n));
        timer.wait();
        assert!(start.elapsed() >= ms(n), "{:?}", start.elapsed());
        sleep(ms(2));
        assert!(!timer.try_wait() && !timer.stop(), "it has fired");
        assert!(!timer.reset(ms(n)), "nothing was to come");
        timer.wait();
    }
    let timer = Timer::after(ms(1));
    sleep(ms(10));
    timer.wait(); // fired before it was waited for
}

fn stopped(_: &[&str]) {
    // Unless the machine takes longer than that to come to the stop.
    let timer = (0..1000).map(|_| Timer::after(ms(5))).find(Timer::stop).expect("one that has not fired");
    assert!(!timer.stop());
    sleep(ms(20));
    assert!(!timer.try_wait());
    assert!(!timer.reset(NEVER) && timer.reset(ms(5)));
    sleep(ms(20));
    assert!(!timer.stop(), "it has fired");
    assert!(!timer.try_wait(), "a firing from before the stop");
}

/// Go: TestTimerModifiedEarlier (golang/go#47329).
fn modified_earlier(_: &[&str]) {
    for _ in 0..1000 {
        let timer = Timer::after(NEVER);
        for _ in 0..10 {
            timer.stop();
            timer.reset(Duration::ZERO);
        }
        timer.wait();
    }
}

/// Go: TestAdjustTimers (golang/go#47762): each timer goes through its steps, in an order by chance.
fn adjust(seed: u64) {
    let random = Random::new(seed);
    let mut timers: Vec<(Timer, u32)> = (0..100).map(|_| (Timer::after(Duration::ZERO), 0)).collect();
    while !timers.is_empty() {
        let at = random.below(timers.len() as u64) as usize;
        let (timer, step) = &mut timers[at];
        *step += 1;
        match *step {
            1 => timer.wait(),
            2 | 4 | 6 => assert!(!timer.reset(NEVER * (1 + (*step * 2) % 5)), "active in step {step}"),
            3 | 5 | 7 => assert!(timer.stop(), "not active in step {step}"),
            8 => assert!(!timer.reset(ms(random.below(3)))),
            9 => timer.wait(),
            _ => drop(timers.swap_remove(at)),
        }
    }
}

/// One waits, and others move, stop and set again.
fn moved_by_others(_: &[&str]) {
    for round in 0..200 {
        let timer = Arc::new(Timer::after(NEVER));
        let waits = {
            let timer = timer.clone();
            spawn(move || timer.wait())
        };
        let movers: Vec<_> = (0..3u64)
            .map(|n| {
                let timer = timer.clone();
                spawn(move || {
                    let random = Random::new(round + n + 1);
                    for _ in 0..5 {
                        timer.reset(NEVER * (1 + random.below(5) as u32));
                        if random.below(3) == 0 {
                            timer.stop();
                        }
                    }
                })
            })
            .collect();
        join_all(movers);
        timer.reset(Duration::from_micros(round));
        waits.join();
    }
}

/// A timer that is dropped armed leaves nothing behind that the next in its place could feel.
fn reused(_: &[&str]) {
    for _ in 0..2000 {
        drop(Timer::after(Duration::from_micros(1)));
        let timer = Timer::after(NEVER);
        assert!(!timer.try_wait());
        assert!(timer.stop());
    }
}

/// All other threads sleep when it is set, and none is in the poller. The call ends only when it has fired.
fn set_within_a_call(_: &[&str]) {
    static FIRED: AtomicBool = AtomicBool::new(false);
    let timer = Arc::new(Timer::after(NEVER));
    timer.stop();
    let other = timer.clone();
    let waits = waiting(move || {
        other.wait();
        FIRED.store(true, Ordering::SeqCst);
    });
    blocking(|| {
        let pause = |time| _ = nanosleep(&Timespec::from_nanos(time), None);
        pause(20_000_000);
        let set = Instant::now();
        timer.reset(ms(1));
        while !FIRED.load(Ordering::SeqCst) {
            assert!(set.elapsed() < PATIENCE, "it does not fire");
            pause(1_000_000);
        }
    });
    waits.join();
}

fn tickers(_: &[&str]) {
    let start = Instant::now();
    let mut ticker = Ticker::new(ms(5));
    for n in 1..=10 {
        let due = ticker.tick();
        assert!(due <= Instant::now());
        assert!(due >= start + ms(5) * n);
    }
    sleep(ms(52));
    let (late, then) = (ticker.tick(), ticker.tick());
    assert!(then - late >= ms(10) && (then - late).as_nanos() % ms(5).as_nanos() == 0, "{:?}", then - late);
    let start = Instant::now();
    ticker.reset(ms(1));
    assert!(ticker.tick() >= start + ms(1));
}
