//! The monotonic clock, from the vDSO where there is one: 20 to 40 ns instead of a system call.

use super::vdso;
use crate::sys::time::{ClockId, Timespec, clock_gettime};
use core::mem;
use core::sync::atomic::{AtomicUsize, Ordering};

/// `clock_gettime` as the vDSO has it; sets the time and returns 0.
type ClockGettime = unsafe extern "C" fn(i32, *mut Timespec) -> i32;

/// The vDSO's function, or [`UNKNOWN`] or [`NONE`].
static CLOCK: AtomicUsize = AtomicUsize::new(UNKNOWN);
/// Not looked for yet.
const UNKNOWN: usize = 0;
/// There is none: use the system call.
const NONE: usize = 1;

/// `AT_SYSINFO_EHDR`: where the vDSO is mapped, or 0.
static IMAGE: AtomicUsize = AtomicUsize::new(0);

/// Tells where the vDSO is (`AT_SYSINFO_EHDR` of the auxiliary vector). Looked at when first needed.
pub(super) fn init(image: usize) {
    IMAGE.store(image, Ordering::Relaxed);
}

/// `CLOCK_MONOTONIC`, in ns.
#[inline]
pub(crate) fn nanotime() -> i64 {
    let clock = CLOCK.load(Ordering::Relaxed);
    if clock <= NONE {
        return nanotime_slow(clock);
    }
    // SAFETY: the address of `__vdso_clock_gettime` (`nanotime_slow`), which has this type.
    let clock = unsafe { mem::transmute::<usize, ClockGettime>(clock) };
    let mut now = Timespec { secs: 0, nanos: 0 };
    // SAFETY: `now` is writable. It cannot fail for a clock every kernel has.
    unsafe { clock(ClockId::Monotonic as i32, &mut now) };
    now.secs * 1_000_000_000 + now.nanos
}

#[cold]
fn nanotime_slow(clock: usize) -> i64 {
    if clock == UNKNOWN {
        // SAFETY: `IMAGE` is 0 or where the kernel mapped the vDSO, for the life of the process.
        let found = unsafe { vdso::find(IMAGE.load(Ordering::Relaxed), c"__vdso_clock_gettime") };
        CLOCK.store(found.unwrap_or(NONE), Ordering::Relaxed);
        if found.is_some() {
            return nanotime();
        }
    }
    clock_gettime(ClockId::Monotonic).map_or(0, Timespec::as_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vdso_and_system_call_read_the_same_clock() {
        // SAFETY: getauxval reads the process's own vector.
        let image = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        init(image as usize);
        for _ in 0..1000 {
            let before = clock_gettime(ClockId::Monotonic).unwrap().as_nanos();
            let now = nanotime();
            let after = clock_gettime(ClockId::Monotonic).unwrap().as_nanos();
            assert!((before..=after).contains(&now), "{before} {now} {after}");
        }
        assert_eq!(CLOCK.load(Ordering::Relaxed) > NONE, image != 0);
    }

    #[test]
    fn without_a_vdso_the_system_call_serves() {
        let (a, b) = (nanotime_slow(NONE), nanotime_slow(NONE));
        assert!(0 < a && a <= b);
    }
}
