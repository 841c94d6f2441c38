//! Where a task may not be preempted: while it is inside the runtime, or holds one of its locks. A
//! count in the thread's block, which the preemption signal's handler looks at.
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
