//! [`Mutex`] and [`RwLock`]: the words of `mutex.rs` and `rwlock.rs` behind `lock_api`'s guards.

use super::mutex::Word;
use super::park::Sema;
use super::rwlock::RwWord;

/// The lock of a [`Mutex`].
pub struct RawMutex(Word);

// SAFETY: `Word` lets one in at a time (model in mutex.rs).
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(clippy::declare_interior_mutable_const)] // lock_api's way to spell `new`
    const INIT: RawMutex = RawMutex(Word::new());
    /// Locks belong to nobody: one task may unlock what another has locked.
    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock(&self) {
        self.0.lock::<Sema>();
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.try_lock()
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.0.unlock::<Sema>() };
    }
}

/// The lock of an [`RwLock`].
pub struct RawRwLock(RwWord);

// SAFETY: `RwWord` lets a writer in alone (model in rwlock.rs).
unsafe impl lock_api::RawRwLock for RawRwLock {
    #[allow(clippy::declare_interior_mutable_const)] // lock_api's way to spell `new`
    const INIT: RawRwLock = RawRwLock(RwWord::new());
    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock_shared(&self) {
        self.0.lock_shared::<Sema>();
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        self.0.try_lock_shared()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.0.unlock_shared::<Sema>() };
    }

    #[inline]
    fn lock_exclusive(&self) {
        self.0.lock::<Sema>();
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.0.try_lock::<Sema>()
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.0.unlock::<Sema>() };
    }
}

/// Mutual exclusion between tasks (Go: `sync.Mutex`). A task that has to wait parks. The guard may be
/// held while the task parks, and may move to another task. Unlocking wakes the first that waits, but a
/// task that comes along may be faster; one that has lost for a millisecond is served next.
///
/// It knows no owner and no poison: locking twice in a task waits for ever, and a panic ends the program.
///
/// ```ignore
/// static HITS: netpoll::sync::Mutex<u64> = netpoll::sync::Mutex::new(0);
/// *HITS.lock() += 1;
/// ```
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// What [`Mutex`]'s `lock` returns.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// Many readers or one writer (Go: `sync.RWMutex`). A writer that waits keeps new readers out, and when
/// it leaves the readers that waited go first, so neither side starves. Hence a task that reads must not
/// read again before it is done: between the two a writer may have come, for which it would wait,
/// which waits for it.
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;
/// What [`RwLock`]'s `read` returns.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;
/// What [`RwLock`]'s `write` returns.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;

static_assertions::const_assert!(size_of::<RawMutex>() == 8);
static_assertions::assert_impl_all!(Mutex<u8>: Send, Sync);
static_assertions::assert_impl_all!(RwLock<u8>: Send, Sync);
static_assertions::assert_not_impl_any!(RwLock<core::cell::Cell<u8>>: Sync);
