//! Timers and sleeps.

use core::time::Duration;
use netpoll::println;
use netpoll::sync::Mutex;
use netpoll::time::{self, Instant, Timer};

/// Timers that `timersn` keeps armed.
const OTHERS: usize = 10_000;

/// Sleeps measured at most.
const SLEEPS: usize = 10_000;

const MINUTE: Duration = Duration::from_secs(60);

fn ms(n: usize) -> Duration {
    Duration::from_millis(n as u64)
}

pub fn timers(n: usize) {
    for i in 0..n {
        Timer::after(Duration::from_secs(1) + ms(i % 1000)).stop();
    }
}

/// Each step calls one off and sets another. Returns what the steps took.
pub fn timers_among_others(n: usize) -> Duration {
    static OTHER: Mutex<[Option<Timer>; OTHERS]> = Mutex::new([const { None }; OTHERS]);
    let mut others = OTHER.lock();
    for (i, other) in others.iter_mut().enumerate() {
        *other = Some(Timer::after(MINUTE + ms(i)));
    }
    let start = Instant::now();
    for i in 0..n {
        let k = i * 7919 % OTHERS;
        others[k] = None;
        others[k] = Some(Timer::after(MINUTE + ms(k)));
    }
    start.elapsed()
}

/// Timers that `armed` keeps at most.
const MOST: usize = 100_000;

/// Timers that `armed` sets and calls off at least.
const TIMERS: usize = 200_000;

/// Sets `n` timers to times in no order, then calls them off, again and again. Returns what half of a round took: one step
/// for each timer.
pub fn armed(n: usize) -> Duration {
    static ARMED: Mutex<[Option<Timer>; MOST]> = Mutex::new([const { None }; MOST]);
    let mut armed = ARMED.lock();
    let armed = &mut armed[..n.clamp(1, MOST)];
    let mut round = || {
        for (i, timer) in armed.iter_mut().enumerate() {
            *timer = Some(Timer::after(MINUTE + ms(i * 7919 % MOST)));
        }
        armed.fill_with(|| None);
    };
    round(); // the memory's first use
    let rounds = TIMERS.div_ceil(n.max(1)).max(2);
    let start = Instant::now();
    (0..rounds).for_each(|_| round());
    start.elapsed() / (2 * rounds) as u32
}

/// Prints how long `count` sleeps of `micros` took, one after the other.
pub fn sleep(micros: usize, count: usize) {
    static TOOK: Mutex<[u64; SLEEPS]> = Mutex::new([0; SLEEPS]);
    let mut took = TOOK.lock();
    let count = count.clamp(1, SLEEPS);
    let took = &mut took[..count];
    for took in took.iter_mut() {
        let start = Instant::now();
        time::sleep(Duration::from_micros(micros as u64));
        *took = start.elapsed().as_nanos() as u64;
    }
    took.sort_unstable();
    let [p50, p99, max] = [count / 2, count * 99 / 100, count - 1].map(|i| Micros(took[i]));
    println!("sleep{micros} {count} p50_us {p50} p99_us {p99} max_us {max}");
}

/// ns, printed as microseconds with one digit behind the point.
struct Micros(u64);

impl core::fmt::Display for Micros {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 / 100 % 10)
    }
}
