//! Chance, for a fair choice.

use core::sync::atomic::{AtomicU32, Ordering};

/// A number below `n` (Go: `cheaprandn`). Lost updates between threads do no harm.
pub(super) fn below(n: usize) -> usize {
    static SEED: AtomicU32 = AtomicU32::new(0x9e37_79b9);
    // Marsaglia's xorshift; of its bits the high ones.
    let mut x = SEED.load(Ordering::Relaxed);
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    SEED.store(x, Ordering::Relaxed);
    ((u64::from(x) * n as u64) >> 32) as usize
}
