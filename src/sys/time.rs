//! Clocks and sleeping: clock_gettime(2), clock_nanosleep(2).

use core::mem::MaybeUninit;
use core::time::Duration;

use linux_raw_sys::general as raw;
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_align, assert_eq_size, const_assert_eq};

use super::{Errno, opt_mut_ptr, ptr, unit};
use crate::arch;

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// `struct __kernel_timespec`: a span or a point of time.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[doc(alias = "__kernel_timespec")]
pub struct Timespec {
    /// Whole seconds.
    pub secs: i64,
    /// Nanoseconds on top, `0..1_000_000_000`.
    pub nanos: i64,
}

assert_eq_size!(Timespec, raw::__kernel_timespec);
assert_eq_align!(Timespec, raw::__kernel_timespec);
const_assert_eq!(offset_of!(Timespec, secs), offset_of!(raw::__kernel_timespec, tv_sec));
const_assert_eq!(offset_of!(Timespec, nanos), offset_of!(raw::__kernel_timespec, tv_nsec));

impl Timespec {
    /// From nanoseconds; a negative span has negative seconds and nanoseconds on top.
    #[inline]
    pub const fn from_nanos(nanos: i64) -> Timespec {
        Timespec { secs: nanos.div_euclid(NANOS_PER_SEC), nanos: nanos.rem_euclid(NANOS_PER_SEC) }
    }

    /// In nanoseconds, saturating: an `i64` holds 292 years either way.
    #[inline]
    pub const fn as_nanos(self) -> i64 {
        // Toward zero, so that i64::MIN nanoseconds do not overflow before the second term is added.
        let (secs, nanos) = if self.secs < 0 && self.nanos > 0 {
            (self.secs.saturating_add(1), self.nanos.saturating_sub(NANOS_PER_SEC))
        } else {
            (self.secs, self.nanos)
        };
        secs.saturating_mul(NANOS_PER_SEC).saturating_add(nanos)
    }

    /// From a span; more seconds than an `i64` holds become the longest span.
    #[inline]
    pub const fn from_duration(d: Duration) -> Timespec {
        if d.as_secs() > i64::MAX as u64 {
            Timespec { secs: i64::MAX, nanos: NANOS_PER_SEC - 1 }
        } else {
            Timespec { secs: d.as_secs() as i64, nanos: d.subsec_nanos() as i64 }
        }
    }

    /// As a span; anything negative is zero.
    #[inline]
    pub const fn as_duration(self) -> Duration {
        if self.secs < 0 || self.nanos < 0 {
            Duration::ZERO
        } else {
            Duration::from_secs(self.secs as u64).saturating_add(Duration::from_nanos(self.nanos as u64))
        }
    }
}

impl From<Duration> for Timespec {
    #[inline]
    fn from(d: Duration) -> Timespec {
        Timespec::from_duration(d)
    }
}

impl From<Timespec> for Duration {
    #[inline]
    fn from(t: Timespec) -> Duration {
        t.as_duration()
    }
}

/// The clocks of clock_gettime(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[doc(alias = "clockid_t")]
pub enum ClockId {
    /// Since 1970; can be set and jumps.
    Realtime = raw::CLOCK_REALTIME,
    /// Since some point in the past; never goes back, stands still while the machine is suspended.
    Monotonic = raw::CLOCK_MONOTONIC,
    /// CPU time of the process.
    ProcessCputime = raw::CLOCK_PROCESS_CPUTIME_ID,
    /// CPU time of the calling thread.
    ThreadCputime = raw::CLOCK_THREAD_CPUTIME_ID,
    /// `Monotonic` without the corrections of NTP.
    MonotonicRaw = raw::CLOCK_MONOTONIC_RAW,
    /// `Realtime` as of the last timer tick: cheaper, coarser.
    RealtimeCoarse = raw::CLOCK_REALTIME_COARSE,
    /// `Monotonic` as of the last timer tick: cheaper, coarser.
    MonotonicCoarse = raw::CLOCK_MONOTONIC_COARSE,
    /// `Monotonic` that goes on while the machine is suspended.
    Boottime = raw::CLOCK_BOOTTIME,
}

/// Whether [`clock_nanosleep`] is given a span or a point of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum SleepUntil {
    /// Sleep for the time given.
    Relative = 0,
    /// Sleep until the clock reads the time given.
    #[doc(alias = "TIMER_ABSTIME")]
    Absolute = raw::TIMER_ABSTIME,
}

/// clock_gettime(2) by system call; the vDSO is much cheaper.
///
/// # Errors
/// `EINVAL` for a clock this kernel does not have.
#[inline]
pub fn clock_gettime(clock: ClockId) -> Result<Timespec, Errno> {
    let mut now = MaybeUninit::<Timespec>::uninit();
    // SAFETY: the kernel writes one `struct __kernel_timespec`, which `Timespec` is.
    unit(unsafe { arch::syscall2(nr::CLOCK_GETTIME, clock as usize, ptr(now.as_mut_ptr())) })?;
    // SAFETY: the call succeeded, so it has been written.
    Ok(unsafe { now.assume_init() })
}

/// clock_nanosleep(2): sleeps by `clock`. After `EINTR` of a relative sleep, `remaining` holds the
/// rest. Unlike the C function, errors come back as for every other call.
///
/// # Errors
/// `EINTR`; `EINVAL` for a time out of range or a clock that cannot be slept on; `EOPNOTSUPP`.
#[inline]
pub fn clock_nanosleep(
    clock: ClockId,
    until: SleepUntil,
    time: &Timespec,
    remaining: Option<&mut Timespec>,
) -> Result<(), Errno> {
    // SAFETY: the kernel reads one timespec and may write the other.
    unit(unsafe {
        arch::syscall4(nr::CLOCK_NANOSLEEP, clock as usize, until as usize, ptr(time), opt_mut_ptr(remaining))
    })
}

/// nanosleep(2): sleeps for `time` of the monotonic clock. After `EINTR`, `remaining` holds the rest.
///
/// # Errors
/// `EINTR`; `EINVAL` for a time out of range.
#[inline]
pub fn nanosleep(time: &Timespec, remaining: Option<&mut Timespec>) -> Result<(), Errno> {
    // SAFETY: as in `clock_nanosleep`.
    unit(unsafe { arch::syscall2(nr::NANOSLEEP, ptr(time), opt_mut_ptr(remaining)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_survive_the_round_trip_at_the_edges() {
        for n in [0, 1, -1, 999_999_999, 1_000_000_000, -1_000_000_000, -1_500_000_000, i64::MAX, i64::MIN] {
            let t = Timespec::from_nanos(n);
            assert!((0..NANOS_PER_SEC).contains(&t.nanos), "{t:?}");
            assert_eq!(t.as_nanos(), n, "{t:?}");
        }
    }

    #[test]
    fn conversions_saturate() {
        assert_eq!(Timespec { secs: i64::MAX, nanos: 0 }.as_nanos(), i64::MAX);
        assert_eq!(Timespec { secs: i64::MIN, nanos: 1 }.as_nanos(), i64::MIN);
        assert_eq!(Timespec::from(Duration::MAX), Timespec { secs: i64::MAX, nanos: 999_999_999 });
        assert_eq!(Duration::from(Timespec { secs: -1, nanos: 5 }), Duration::ZERO);
        assert_eq!(Duration::from(Timespec { secs: 2, nanos: 7 }), Duration::new(2, 7));
    }
}
