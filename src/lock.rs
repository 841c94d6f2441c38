//! The runtime's own lock: for short critical sections on shared tables, never held while a task
//! parks. One word; an uncontended lock and unlock is one atomic exchange each and no system call.
//!
//! Lock order, outermost first: slot of a descriptor ([`crate::poll::Slot`]) < heap of timers < timer; slot <
//! poll cache.
//! ARCHITECTURE.md has the others.

#[cfg(all(feature = "alloc", not(loom)))]
pub(crate) use futex::RawFutex;
#[cfg(all(feature = "rt", not(loom)))]
pub use futex::RawLock;
#[cfg(not(loom))]
pub(crate) use futex::{Mutex, Spin};
#[cfg(loom)]
pub(crate) use model::{Mutex, Spin};

use crate::atomic::{AtomicU32, Ordering};

/// Locks by one bit of a word: for a few instructions, with other bits that are the holder's to change. Costs
/// one locked instruction, since the unlock is a store, where a [`Mutex`] takes two. Returns the other bits.
#[inline]
pub(crate) fn lock_bit(word: &AtomicU32, bit: u32) -> u32 {
    hold();
    let seen = word.load(Ordering::Relaxed);
    if seen & bit == 0
        && word.compare_exchange(seen, seen | bit, Ordering::Acquire, Ordering::Relaxed).is_ok()
    {
        return seen;
    }
    lock_bit_contended(word, bit)
}

/// Unlocks what [`lock_bit`] locked; `word` becomes `others`, with the bit clear.
#[inline]
pub(crate) fn unlock_bit(word: &AtomicU32, others: u32) {
    word.store(others, Ordering::Release);
    let_go();
}

#[cold]
fn lock_bit_contended(word: &AtomicU32, bit: u32) -> u32 {
    let mut turns = 0;
    loop {
        let seen = word.load(Ordering::Relaxed);
        if seen & bit == 0
            && word.compare_exchange(seen, seen | bit, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return seen;
        }
        turns += 1;
        wait_a_turn(turns);
    }
}

#[cfg(not(loom))]
use futex::{hold, let_go, wait_a_turn};
#[cfg(loom)]
use model::{hold, let_go, wait_a_turn};

#[cfg(not(loom))]
mod futex {
    use crate::preempt;
    pub(super) use crate::preempt::{off as hold, on as let_go};
    use crate::sys::futex::{Scope, futex_wait, futex_wake};
    use crate::sys::time::{Timespec, nanosleep};
    use core::sync::atomic::{AtomicU32, Ordering};

    const FREE: u32 = 0;
    const HELD: u32 = 1;
    /// Held, and at least one thread may be asleep on the word.
    const CONTENDED: u32 = 2;

    /// Turns of the pause instruction before a thread that waits for a bit sleeps: some 10 us.
    const TURNS: u32 = 256;

    /// How long it sleeps then, in ns: the holder's thread was taken off its CPU, for milliseconds perhaps.
    const NAP: i64 = 50_000;

    pub(super) fn wait_a_turn(turns: u32) {
        if turns.is_multiple_of(TURNS) {
            let _ = nanosleep(&Timespec::from_nanos(NAP), None); // a signal ends it early, which is no harm
        } else {
            core::hint::spin_loop();
        }
    }

    /// A three-state futex lock (Drepper, "Futexes Are Tricky", mutex2) that blocks threads, not tasks.
    struct Word(AtomicU32);

    /// What the runtime locks by, for critical sections that park nowhere but in a commit, which unlocks.
    pub(crate) struct RawFutex(Word);

    pub(crate) type Mutex<T> = lock_api::Mutex<RawFutex, T>;

    // SAFETY: `lock` returns only to the one thread that moved the word away from FREE.
    unsafe impl lock_api::RawMutex for RawFutex {
        #[allow(clippy::declare_interior_mutable_const)] // lock_api's way to spell `new`
        const INIT: RawFutex = RawFutex(Word(AtomicU32::new(FREE)));
        type GuardMarker = lock_api::GuardNoSend;

        // Neither is inlined: they are in many places, and none of those is hot.
        #[inline(never)]
        fn lock(&self) {
            // A holder that does not run would keep whole threads waiting.
            preempt::off();
            self.0.lock();
        }

        #[inline]
        fn try_lock(&self) -> bool {
            preempt::off();
            let taken = self.0.take();
            if !taken {
                preempt::on();
            }
            taken
        }

        #[inline(never)]
        unsafe fn unlock(&self) {
            self.0.unlock();
            preempt::on();
        }
    }

    /// A lock that blocks threads, not tasks, and whose holder is not preempted: for a `#[global_allocator]` of your own,
    /// or what else tasks share for a few instructions at a time. For all other uses there is
    /// [`sync::Mutex`](crate::sync::Mutex).
    ///
    /// A task that holds one must not wait: parking ([`yield_now`](crate::yield_now), a read, a `sync::Mutex`), entering
    /// [`blocking`](crate::blocking) or [`syscall`](crate::syscall()), and ending end the program with a message and
    /// status 101. A guard that was forgotten (`mem::forget`) counts as held.
    ///
    /// ```no_run
    /// use lock_api::Mutex;
    /// use netpoll::rt::RawLock;
    ///
    /// static HITS: Mutex<RawLock, u64> = Mutex::new(0);
    /// *HITS.lock() += 1;
    /// ```
    #[cfg(feature = "rt")]
    pub struct RawLock(Word);

    // SAFETY: as above.
    #[cfg(feature = "rt")]
    unsafe impl lock_api::RawMutex for RawLock {
        #[allow(clippy::declare_interior_mutable_const)] // as above
        const INIT: RawLock = RawLock(Word(AtomicU32::new(FREE)));
        type GuardMarker = lock_api::GuardNoSend;

        #[inline]
        fn lock(&self) {
            preempt::hold();
            self.0.lock();
        }

        #[inline]
        fn try_lock(&self) -> bool {
            preempt::hold();
            let taken = self.0.take();
            if !taken {
                preempt::release();
            }
            taken
        }

        #[inline]
        unsafe fn unlock(&self) {
            self.0.unlock();
            preempt::release();
        }
    }

    /// A lock of one bit: see [`lock_bit`](super::lock_bit).
    pub(crate) struct RawSpin(AtomicU32);

    /// For sections of some instructions on a hot path, without a system call in them; for others, [`Mutex`].
    pub(crate) type Spin<T> = lock_api::Mutex<RawSpin, T>;

    // SAFETY: `lock_bit` returns only to the one thread that set the bit.
    unsafe impl lock_api::RawMutex for RawSpin {
        #[allow(clippy::declare_interior_mutable_const)] // lock_api's way to spell `new`
        const INIT: RawSpin = RawSpin(AtomicU32::new(FREE));
        type GuardMarker = lock_api::GuardNoSend;

        #[inline]
        fn lock(&self) {
            super::lock_bit(&self.0, HELD);
        }

        #[inline]
        fn try_lock(&self) -> bool {
            hold();
            let taken = self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok();
            if !taken {
                let_go();
            }
            taken
        }

        #[inline]
        unsafe fn unlock(&self) {
            super::unlock_bit(&self.0, FREE);
        }
    }

    impl Word {
        #[inline(always)]
        fn take(&self) -> bool {
            self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
        }

        #[inline(always)]
        fn lock(&self) {
            if !self.take() {
                self.lock_contended();
            }
        }

        #[inline(always)]
        fn unlock(&self) {
            if self.0.swap(FREE, Ordering::Release) == CONTENDED {
                // One sleeper is enough: it takes the lock as CONTENDED and passes the wake on.
                // The word is in our memory, so the call cannot fail.
                let _ = futex_wake(&self.0, 1, Scope::Private);
            }
        }

        #[cold]
        fn lock_contended(&self) {
            // Critical sections are tens of instructions: the holder is most likely done before a
            // sleep would have begun.
            for _ in 0..100 {
                if self.0.load(Ordering::Relaxed) == FREE && self.take() {
                    return;
                }
                core::hint::spin_loop();
            }
            while self.0.swap(CONTENDED, Ordering::Acquire) != FREE {
                // EAGAIN (the word changed) and EINTR both mean: look again.
                let _ = futex_wait(&self.0, CONTENDED, None, Scope::Private);
            }
        }
    }
}

#[cfg(loom)]
mod model {
    use core::cell::UnsafeCell;
    use core::ops::{Deref, DerefMut};
    use loom::sync::MutexGuard;

    pub(super) fn hold() {}

    pub(super) fn let_go() {}

    pub(super) fn wait_a_turn(_: u32) {
        loom::thread::yield_now();
    }

    pub(crate) type Spin<T> = Mutex<T>;

    /// loom's mutex behind the same interface. Its guard is kept here, so that [`Mutex::force_unlock`] has
    /// it.
    pub(crate) struct Mutex<T> {
        lock: loom::sync::Mutex<()>,
        held: UnsafeCell<Option<MutexGuard<'static, ()>>>,
        value: UnsafeCell<T>,
    }

    pub(crate) struct Guard<'a, T>(&'a Mutex<T>);

    // SAFETY: all but the lock belongs to who holds that.
    unsafe impl<T: Send> Sync for Mutex<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send> Send for Mutex<T> {}

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex {
                lock: loom::sync::Mutex::new(()),
                held: UnsafeCell::new(None),
                value: UnsafeCell::new(value),
            }
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            let held = self.lock.lock().unwrap();
            // SAFETY: ours now; the guard is dropped before the mutex, by `force_unlock`.
            unsafe {
                *self.held.get() =
                    Some(core::mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(held));
            }
            Guard(self)
        }

        pub(crate) fn data_ptr(&self) -> *mut T {
            self.value.get()
        }

        /// # Safety
        /// Locked, by a guard that was forgotten.
        pub(crate) unsafe fn force_unlock(&self) {
            // SAFETY: the holder's (contract). Taken out first: dropping it lets others in.
            drop(unsafe { (*self.held.get()).take() });
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            // SAFETY: the lock is held.
            unsafe { &*self.0.value.get() }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: the lock is held.
            unsafe { &mut *self.0.value.get() }
        }
    }

    impl<T> Drop for Guard<'_, T> {
        fn drop(&mut self) {
            // SAFETY: locked by `lock`.
            unsafe { self.0.force_unlock() };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Mutex;

    #[test]
    fn excludes_and_wakes() {
        static LOCK: Mutex<u64> = Mutex::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..50_000 {
                        let mut n = LOCK.lock();
                        let seen = *n;
                        if seen.is_multiple_of(1024) {
                            std::thread::yield_now(); // others must go to sleep on the word
                        }
                        *n = seen + 1;
                    }
                });
            }
        });
        assert_eq!(*LOCK.lock(), 200_000);
    }
}
