//! The monotonic clock, and sleeping by it.

mod timer;

pub use timer::{Ticker, Timer};

use crate::rt::clock::nanotime;
use crate::sched::poller::sleep_until;
use core::ops::{Add, AddAssign, Sub, SubAssign};
use core::time::Duration;

/// A moment of `CLOCK_MONOTONIC`, in ns since boot. Reading it is a call into the vDSO, no system call.
///
/// Arithmetic saturates: a sum beyond 292 years is the end of time, a deadline that never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

impl Instant {
    /// Now.
    pub fn now() -> Instant {
        Instant(nanotime())
    }

    /// The time since `earlier`; zero if that is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// The time since this moment; zero if it is to come.
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// As `+`, or `None` past the end of time.
    pub fn checked_add(&self, d: Duration) -> Option<Instant> {
        self.0.checked_add(i64::try_from(d.as_nanos()).ok()?).map(Instant)
    }

    /// As `-`, or `None` before the beginning.
    pub fn checked_sub(&self, d: Duration) -> Option<Instant> {
        self.0.checked_sub(i64::try_from(d.as_nanos()).ok()?).map(Instant)
    }

    /// In ns of the clock.
    pub(crate) fn as_nanos(&self) -> i64 {
        self.0
    }
}

/// In ns, at most `i64::MAX`.
fn nanos(d: Duration) -> i64 {
    i64::try_from(d.as_nanos()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, d: Duration) -> Instant {
        Instant(self.0.saturating_add(nanos(d)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, d: Duration) -> Instant {
        Instant(self.0.saturating_sub(nanos(d)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, d: Duration) {
        *self = *self - d;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}

/// Parks the calling task for at least `d` (Go: `time.Sleep`). Never early; late by what the tasks that
/// run meanwhile take, and what the kernel needs to wake a thread. A sleep of zero returns at
/// once.
pub fn sleep(d: Duration) {
    sleep_until((Instant::now() + d).0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let now = Instant::now();
        assert_eq!(now + Duration::MAX, Instant(i64::MAX));
        assert_eq!(now - Duration::MAX, Instant(now.0.saturating_sub(i64::MAX)));
        assert_eq!(now - (now + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!((now + Duration::from_secs(1)) - now, Duration::from_secs(1));
        assert_eq!(now.checked_add(Duration::MAX), None);
        assert_eq!(now.checked_add(Duration::from_nanos(7)), Some(Instant(now.0 + 7)));
    }
}
