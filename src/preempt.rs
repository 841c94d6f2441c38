//! Where a task may not be preempted: while it is inside the runtime, or holds a lock. Two counts in the thread's block,
//! at which the preemption signal's handler looks: one of the runtime's own, which is 0 again whenever a task leaves the
//! thread; and one of the locks that the program holds, with which a task may not leave at all.
//!
//! In programs without the runtime (tests on std, embedders) there is nobody to preempt, and no block
//! to count in.

use core::sync::atomic::{AtomicBool, Ordering};

/// The runtime runs: every thread that gets here has a block.
static RUNTIME: AtomicBool = AtomicBool::new(false);

/// Once, before the first task.
#[cfg(feature = "rt")]
pub(crate) fn start() {
    RUNTIME.store(true, Ordering::Relaxed);
}

/// Whether the runtime runs.
#[cfg(feature = "rt")]
#[inline(always)]
pub(crate) fn runtime() -> bool {
    RUNTIME.load(Ordering::Relaxed)
}

/// Some task has locked a [`RawLock`](crate::lock::RawLock). A program that names none is linked without what looks at
/// the second count.
#[cfg(feature = "rt")]
static HELD: AtomicBool = AtomicBool::new(false);

/// Whether a task may hold such a lock.
#[cfg(feature = "rt")]
#[inline(always)]
pub(crate) fn any_held() -> bool {
    HELD.load(Ordering::Relaxed)
}

/// The running task has locked a [`RawLock`](crate::lock::RawLock).
#[cfg(feature = "rt")]
#[inline]
pub(crate) fn hold() {
    if RUNTIME.load(Ordering::Relaxed) {
        // Relaxed: what this task does next on this thread sees it, and nothing else needs to.
        if !any_held() {
            HELD.store(true, Ordering::Relaxed);
        }
        // SAFETY: all threads of the runtime have an M at their thread pointer, with this count at 16.
        unsafe { crate::arch::thread_held_inc() };
    }
}

/// It has unlocked one.
#[cfg(feature = "rt")]
#[inline]
pub(crate) fn release() {
    if RUNTIME.load(Ordering::Relaxed) {
        // SAFETY: as above; `hold` came before, on this thread, which a task with a lock does not leave.
        unsafe { crate::arch::thread_held_dec() };
    }
}

/// Keeps the running task where it is until [`on`]; they nest.
#[inline]
pub(crate) fn off() {
    if RUNTIME.load(Ordering::Relaxed) {
        // SAFETY: all threads of the runtime have an M at their thread pointer, with the count at 8.
        unsafe { crate::arch::thread_count_inc() };
    }
}

/// See [`off`].
#[inline]
pub(crate) fn on() {
    if RUNTIME.load(Ordering::Relaxed) {
        // SAFETY: as above; `off` came before.
        unsafe { crate::arch::thread_count_dec() };
    }
}
