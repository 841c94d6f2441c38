//! The words of a readers-writer lock (Go: `sync.RWMutex`).
//!
//! A writer that has come keeps new readers out, so it waits for those inside only; when it leaves, all
//! readers that came meanwhile go in before the next writer. Neither side starves.
//!
//! `readers` counts those inside or waiting, less [`WRITER`] while a writer is inside or waiting. The
//! writer's subtraction tells it how many it has to wait for; each of these, on leaving, sees the
//! subtraction and counts itself off in `departing`, and the last sends for the writer. Since a reader may
//! leave before the writer has added them up, `departing` goes below zero meanwhile.

use super::mutex::{Parking, Word};
use crate::atomic::{AtomicI32, AtomicU32, Ordering};

/// More than there can be readers.
const WRITER: i32 = 1 << 30;

/// Readers at the same time. So many can only be there if guards were leaked (`mem::forget`).
const MOST_READERS: i32 = WRITER / 2;

/// A readers-writer lock without data.
pub(super) struct RwWord {
    /// Among writers.
    writer: Word,
    readers: AtomicI32,
    departing: AtomicI32,
    writer_sema: AtomicU32,
    reader_sema: AtomicU32,
}

impl RwWord {
    const_fn! {
        /// Unlocked.
        pub fn new() -> RwWord {
            RwWord {
                writer: Word::new(),
                readers: AtomicI32::new(0),
                departing: AtomicI32::new(0),
                writer_sema: AtomicU32::new(0),
                reader_sema: AtomicU32::new(0),
            }
        }
    }

    #[inline]
    pub fn lock_shared<P: Parking>(&self) {
        // Acquire: what the last writer did.
        let others = self.readers.fetch_add(1, Ordering::Acquire);
        // As one comparison: below 0 it is more than any number of readers.
        if others as u32 >= MOST_READERS as u32 {
            self.lock_shared_slow::<P>(others);
        }
    }

    #[cold]
    fn lock_shared_slow<P: Parking>(&self, others: i32) {
        assert!(others < 0, "RwLock::read: more readers than can be counted");
        P::acquire(&self.reader_sema, false); // the writer counts this reader and sends for it
    }

    #[inline]
    pub fn try_lock_shared(&self) -> bool {
        let mut n = self.readers.load(Ordering::Relaxed);
        while (0..MOST_READERS).contains(&n) {
            match self.readers.compare_exchange(n, n + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => n = now,
            }
        }
        false
    }

    /// # Safety
    /// The caller holds the lock, shared.
    #[inline]
    pub unsafe fn unlock_shared<P: Parking>(&self) {
        if self.readers.fetch_sub(1, Ordering::Release) < 0 {
            self.depart::<P>();
        }
    }

    #[cold]
    fn depart<P: Parking>(&self) {
        // Release and acquire: the last reader sends for the writer on behalf of all.
        if self.departing.fetch_sub(1, Ordering::AcqRel) == 1 {
            P::release(&self.writer_sema);
        }
    }

    #[inline]
    pub fn lock<P: Parking>(&self) {
        self.writer.lock::<P>();
        // Acquire: what the readers that have left did before.
        let inside = self.readers.fetch_sub(WRITER, Ordering::Acquire);
        // Acquire: as above, for those that have left since.
        if inside != 0 && self.departing.fetch_add(inside, Ordering::AcqRel) + inside != 0 {
            P::acquire(&self.writer_sema, false);
        }
    }

    #[inline]
    pub fn try_lock<P: Parking>(&self) -> bool {
        if !self.writer.try_lock() {
            return false;
        }
        let locked = self.readers.compare_exchange(0, -WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if !locked {
            // SAFETY: locked above.
            unsafe { self.writer.unlock::<P>() };
        }
        locked
    }

    /// # Safety
    /// The caller holds the lock, exclusively.
    #[inline]
    pub unsafe fn unlock<P: Parking>(&self) {
        let waiting = self.readers.fetch_add(WRITER, Ordering::Release) + WRITER;
        for _ in 0..waiting {
            P::release(&self.reader_sema);
        }
        // SAFETY: locked by `lock`. After the readers were let in, or a writer that waits would come
        // before them.
        unsafe { self.writer.unlock::<P>() };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::park::Sema;
    use super::*;

    /// As many as `MOST_READERS` leaked guards leave behind.
    fn full() -> RwWord {
        RwWord { readers: AtomicI32::new(MOST_READERS), ..RwWord::new() }
    }

    #[test]
    fn one_reader_too_many_is_refused() {
        let word = full();
        assert!(!word.try_lock_shared() && !word.try_lock::<Sema>());
        word.readers.store(MOST_READERS - 1, Ordering::Relaxed);
        assert!(word.try_lock_shared() && !word.try_lock_shared());
    }

    #[test]
    #[should_panic = "more readers than can be counted"]
    fn one_reader_too_many_panics() {
        full().lock_shared::<Sema>();
    }
}

#[cfg(all(test, loom))]
mod model {
    //! Two readers and a writer, a reader and two writers: nobody is inside with a writer, what one
    //! wrote the next sees, and all of them get in.
    //!
    //! Mutations seen to fail: any of the orderings of `readers` Relaxed (what one wrote the next does not
    //! see); a writer that does not wait for those inside, every departing reader sending for it (both
    //! inside); none sending for it, one release too few by `unlock` (a task sleeps for ever).

    use super::super::park::Patient;
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    struct Shared {
        lock: RwWord,
        value: UnsafeCell<u32>,
    }

    fn read(shared: &Shared) {
        shared.lock.lock_shared::<Patient>();
        // SAFETY: loom checks that nobody writes at the same time.
        shared.value.with(|n| unsafe { assert!(*n <= 2) });
        // SAFETY: locked above.
        unsafe { shared.lock.unlock_shared::<Patient>() };
    }

    fn write(shared: &Shared) {
        shared.lock.lock::<Patient>();
        // SAFETY: as above.
        shared.value.with_mut(|n| unsafe { *n += 1 });
        // SAFETY: locked above.
        unsafe { shared.lock.unlock::<Patient>() };
    }

    fn check(parties: [fn(&Shared); 3], writers: u32) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let shared = Arc::new(Shared { lock: RwWord::new(), value: UnsafeCell::new(0) });
            let others: Vec<_> = parties[1..]
                .iter()
                .map(|&party| {
                    let shared = shared.clone();
                    thread::spawn(move || party(&shared))
                })
                .collect();
            parties[0](&shared);
            others.into_iter().for_each(|t| t.join().unwrap());
            // SAFETY: all others are gone.
            assert_eq!(shared.value.with(|n| unsafe { *n }), writers);
        });
    }

    #[test]
    fn two_readers_and_a_writer() {
        check([read, read, write], 1);
    }

    #[test]
    fn a_reader_and_two_writers() {
        check([write, read, write], 2);
    }
}
