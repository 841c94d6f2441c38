//! The time of day, for `Date`, without a system call for each request.

use core::sync::atomic::{AtomicI64, Ordering};
use core::time::Duration;

use netpoll::sys::time::{ClockId, Timespec, clock_gettime};
use netpoll::time::Instant;

use super::date;

/// How old the difference between the two clocks may be. So late is a change of the time of day noticed.
const FRESH: i64 = Duration::from_secs(1).as_nanos() as i64;

/// Nanoseconds since 1970 when the clock was started, by today's time of day.
static EPOCH: AtomicI64 = AtomicI64::new(0);
/// When `EPOCH` was looked at, in nanoseconds since the start.
static CHECKED: AtomicI64 = AtomicI64::new(0);

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Seconds since 1970.
    pub unix: i64,
    /// Nanoseconds since the start of the program, which no setting of the time of day changes.
    pub elapsed: i64,
}

/// `CLOCK_REALTIME` by way of the monotonic clock, which the vDSO reads: the difference of the two is
/// kept, and looked at again once a second. One for all tasks.
#[derive(Clone, Copy)]
pub struct WallClock {
    started: Instant,
}

impl WallClock {
    /// Called once.
    pub fn start() -> WallClock {
        let clock = WallClock { started: Instant::now() };
        check(0);
        clock
    }

    /// The moment at which the monotonic clock showed `now`, not long ago.
    pub fn at(&self, now: Instant) -> Moment {
        let elapsed = (now - self.started).as_nanos() as i64;
        // Relaxed, both: whoever sees an old value looks again, or is right to within a second.
        if elapsed - CHECKED.load(Ordering::Relaxed) >= FRESH {
            check(elapsed);
        }
        let unix = Timespec::from_nanos(EPOCH.load(Ordering::Relaxed) + elapsed).secs;
        Moment { unix, elapsed }
    }
}

#[cold]
fn check(elapsed: i64) {
    // Every kernel has this clock.
    let now = clock_gettime(ClockId::Realtime).map_or(0, Timespec::as_nanos);
    EPOCH.store(now - elapsed, Ordering::Relaxed);
    CHECKED.store(elapsed, Ordering::Relaxed);
}

/// A second as text, formatted when it changes.
pub struct DateText {
    unix: i64,
    text: [u8; date::LEN],
}

impl DateText {
    pub fn new() -> DateText {
        DateText { unix: 0, text: date::format(0) }
    }

    pub fn at(&mut self, unix: i64) -> &[u8; date::LEN] {
        if self.unix != unix {
            *self = DateText { unix, text: date::format(unix) };
        }
        &self.text
    }
}
