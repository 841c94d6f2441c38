//! `FdMutex`: who may use a descriptor, and when it may be closed, in one word (Go: `fdMutex`).
//!
//! ```text
//!  bit 0 closed | 1 read lock | 2 write lock | 3.. users (20) | 23.. readers waiting | 43.. writers waiting
//! ```
//!
//! Reads exclude each other, and so do writes; a reader and a writer go together. Every operation
//! counts as a user while it lasts. Closing marks the word, sends everybody who waits away, and the
//! last user to leave, who may be the closer, destroys the descriptor: so no operation ever runs on a
//! number that has been closed, and may by now be somebody else's.

use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::poll::Mode;

const CLOSED: u64 = 1 << 0;
const READ_LOCK: u64 = 1 << 1;
const WRITE_LOCK: u64 = 1 << 2;
const USER: u64 = 1 << 3;
const USERS: u64 = ((1 << 20) - 1) << 3;
const READ_WAIT: u64 = 1 << 23;
const READ_WAITS: u64 = ((1 << 20) - 1) << 23;
const WRITE_WAIT: u64 = 1 << 43;
const WRITE_WAITS: u64 = ((1 << 20) - 1) << 43;

/// How a task waits for a semaphore word.
pub(crate) trait Semaphore {
    /// Takes a unit; parks until there is one.
    fn acquire(word: &AtomicU32);
    /// Gives a unit to one that waits, or keeps it.
    fn release(word: &AtomicU32);
}

/// Why a descriptor may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is closed.
    Closed,
    /// Somebody else is in this direction ([`FdMutex::try_lock`]).
    InUse,
    /// A field of the word is full: 1,048,575 operations at once (Go panics).
    Full,
}

/// No fairer than Go's: those who wait are woken in the order in which they came, but nothing is handed to them. A
/// newcomer may be faster, above all the task that has just left, and who loses goes to the end of the line. So two
/// readers of one connection share it as it happens, and one that never leaves for long may have nearly all of it.
/// To hand the lock on would cost a switch of tasks for each transfer where several write to one stream.
pub(crate) struct FdMutex {
    state: AtomicU64,
    readers: AtomicU32,
    writers: AtomicU32,
}

/// The fields of one direction.
struct Fields {
    lock: u64,
    wait: u64,
    waits: u64,
}

/// By shifts, which are smaller than a choice of constants.
const fn fields(mode: Mode) -> Fields {
    const LOCKS_APART: u32 = WRITE_LOCK.trailing_zeros() - READ_LOCK.trailing_zeros();
    const WAITS_APART: u32 = WRITE_WAIT.trailing_zeros() - READ_WAIT.trailing_zeros();
    const _: () = assert!(READ_WAITS << WAITS_APART == WRITE_WAITS);
    let (lock, wait) = (mode as u32 * LOCKS_APART, mode as u32 * WAITS_APART);
    Fields { lock: READ_LOCK << lock, wait: READ_WAIT << wait, waits: READ_WAITS << wait }
}

impl FdMutex {
    pub fn new() -> FdMutex {
        FdMutex { state: AtomicU64::new(0), readers: AtomicU32::new(0), writers: AtomicU32::new(0) }
    }

    fn semaphore(&self, mode: Mode) -> &AtomicU32 {
        match mode {
            Mode::Read => &self.readers,
            Mode::Write => &self.writers,
        }
    }

    /// Replaces the word by what `step` makes of it; returns the old one.
    #[inline]
    fn update(&self, step: impl Fn(u64) -> Result<u64, Refused>) -> Result<u64, Refused> {
        let mut old = self.state.load(Ordering::SeqCst);
        loop {
            match self.state.compare_exchange(old, step(old)?, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(old),
                Err(now) => old = now,
            }
        }
    }

    /// Becomes a user, beside all others.
    pub fn incref(&self) -> Result<(), Refused> {
        self.update(|old| if old & CLOSED != 0 { Err(Refused::Closed) } else { add_user(old) }).map(drop)
    }

    /// Leaves. `true`: closed, and this was the last user, who must destroy the descriptor.
    #[must_use]
    pub fn decref(&self) -> bool {
        let old = self.state.fetch_sub(USER, Ordering::SeqCst);
        debug_assert!(old & USERS != 0);
        last(old - USER)
    }

    /// Becomes the one reader or writer; parks while there is another.
    #[inline]
    pub fn lock<S: Semaphore>(&self, mode: Mode) -> Result<(), Refused> {
        let f = fields(mode);
        let old = self.state.load(Ordering::Relaxed);
        // Open, free, and with room for one user more: nearly always.
        if old & (CLOSED | f.lock) == 0 && old & USERS != USERS {
            let new = old + f.lock + USER;
            if self.state.compare_exchange(old, new, Ordering::SeqCst, Ordering::Relaxed).is_ok() {
                return Ok(());
            }
        }
        self.lock_slow::<S>(mode)
    }

    #[cold]
    fn lock_slow<S: Semaphore>(&self, mode: Mode) -> Result<(), Refused> {
        let f = fields(mode);
        loop {
            let old = self.update(|old| {
                if old & CLOSED != 0 {
                    Err(Refused::Closed)
                } else if old & f.lock == 0 {
                    add_user(old | f.lock)
                } else if old & f.waits == f.waits {
                    Err(Refused::Full)
                } else {
                    Ok(old + f.wait)
                }
            })?;
            if old & f.lock == 0 {
                return Ok(());
            }
            // Whoever wakes us has taken us off the count of the waiting; we compete again.
            S::acquire(self.semaphore(mode));
        }
    }

    /// As [`FdMutex::lock`], without waiting.
    pub fn try_lock(&self, mode: Mode) -> Result<(), Refused> {
        let f = fields(mode);
        let step = |old: u64| {
            if old & CLOSED != 0 {
                Err(Refused::Closed)
            } else if old & f.lock != 0 {
                Err(Refused::InUse)
            } else {
                add_user(old | f.lock)
            }
        };
        self.update(step).map(drop)
    }

    /// Leaves, and lets the next in. As [`FdMutex::decref`].
    #[inline]
    #[must_use]
    pub fn unlock<S: Semaphore>(&self, mode: Mode) -> bool {
        let f = fields(mode);
        let old = self.state.fetch_sub(f.lock + USER, Ordering::SeqCst);
        debug_assert!(old & f.lock != 0 && old & USERS != 0);
        old & (f.waits | CLOSED) != 0 && self.unlock_slow::<S>(mode, old - f.lock - USER)
    }

    /// Takes one that waits off the count, unless a closer has taken all, and wakes it. (Who comes in between,
    /// behind the unlock, does the same when it leaves: one wake too many, and no harm.) `left`: the word behind
    /// the unlock.
    #[cold]
    fn unlock_slow<S: Semaphore>(&self, mode: Mode, left: u64) -> bool {
        let f = fields(mode);
        let one_less = |old| if old & f.waits == 0 { Err(Refused::Closed) } else { Ok(old - f.wait) };
        if self.update(one_less).is_ok() {
            S::release(self.semaphore(mode));
        }
        last(left)
    }

    /// Closes, and becomes a user: whoever waits is sent away, users stay until they leave.
    pub fn close<S: Semaphore>(&self) -> Result<(), Refused> {
        let old = self.update(|old| {
            if old & CLOSED != 0 {
                return Err(Refused::Closed);
            }
            Ok(add_user(old | CLOSED)? & !(READ_WAITS | WRITE_WAITS))
        })?;
        for mode in [Mode::Read, Mode::Write] {
            let f = fields(mode);
            for _ in 0..(old & f.waits) / f.wait {
                S::release(self.semaphore(mode));
            }
        }
        Ok(())
    }
}

fn add_user(word: u64) -> Result<u64, Refused> {
    if word & USERS == USERS { Err(Refused::Full) } else { Ok(word + USER) }
}

fn last(word: u64) -> bool {
    word & (CLOSED | USERS) == CLOSED
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// For tests in which nobody may have to wait.
    struct Never;
    impl Semaphore for Never {
        fn acquire(_: &AtomicU32) {
            unreachable!("had to wait");
        }
        fn release(_: &AtomicU32) {}
    }

    #[test]
    fn balanced_use_never_looks_like_the_last_while_open() {
        let m = FdMutex::new();
        m.incref().unwrap();
        assert!(!m.decref());
        for mode in [Mode::Read, Mode::Write] {
            m.lock::<Never>(mode).unwrap();
            assert!(!m.unlock::<Never>(mode));
        }
        m.lock::<Never>(Mode::Read).unwrap();
        m.lock::<Never>(Mode::Write).unwrap();
        assert!(!m.unlock::<Never>(Mode::Read));
        assert!(!m.unlock::<Never>(Mode::Write));
    }

    #[test]
    fn after_close_everything_is_refused_and_the_last_destroys() {
        let m = FdMutex::new();
        m.lock::<Never>(Mode::Read).unwrap();
        m.close::<Never>().unwrap();
        assert_eq!(m.incref(), Err(Refused::Closed));
        assert_eq!(m.lock::<Never>(Mode::Read), Err(Refused::Closed));
        assert_eq!(m.lock::<Never>(Mode::Write), Err(Refused::Closed));
        assert_eq!(m.close::<Never>(), Err(Refused::Closed));
        assert!(!m.decref(), "the reader is still there");
        assert!(m.unlock::<Never>(Mode::Read));
    }

    #[test]
    fn try_lock_is_refused_while_another_is_in() {
        for mode in [Mode::Read, Mode::Write] {
            let m = FdMutex::new();
            m.lock::<Never>(mode).unwrap();
            assert_eq!(m.try_lock(mode), Err(Refused::InUse));
            assert!(!m.unlock::<Never>(mode));
            m.try_lock(mode).unwrap();
            assert_eq!(m.try_lock(mode), Err(Refused::InUse));
            m.close::<Never>().unwrap();
            assert_eq!(m.try_lock(mode), Err(Refused::Closed));
            assert!(!m.decref(), "who got in is a user");
            assert!(m.unlock::<Never>(mode));
        }
    }

    /// Parks by spinning: the threads are few.
    struct Spin;
    impl Semaphore for Spin {
        fn acquire(word: &AtomicU32) {
            while word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err() {
                std::thread::yield_now();
            }
        }
        fn release(word: &AtomicU32) {
            word.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Go's TestMutexStress.
    #[test]
    fn random_operations_of_eight_threads() {
        const OPERATIONS: usize = 50_000;
        let (m, inside) = (FdMutex::new(), [AtomicU32::new(0), AtomicU32::new(0)]);
        std::thread::scope(|s| {
            for seed in 1..=8u64 {
                let (m, inside) = (&m, &inside);
                s.spawn(move || {
                    let mut x = seed * 0x9e37_79b9;
                    for _ in 0..OPERATIONS {
                        x ^= x << 13;
                        x ^= x >> 7;
                        x ^= x << 17;
                        let mode = match x % 3 {
                            0 => {
                                m.incref().unwrap();
                                assert!(!m.decref(), "the last while it is open");
                                continue;
                            }
                            1 => Mode::Read,
                            _ => Mode::Write,
                        };
                        m.lock::<Spin>(mode).unwrap();
                        assert_eq!(inside[mode as usize].fetch_add(1, Ordering::SeqCst), 0, "two at once");
                        assert_eq!(inside[mode as usize].fetch_sub(1, Ordering::SeqCst), 1);
                        assert!(!m.unlock::<Spin>(mode), "the last while it is open");
                    }
                });
            }
        });
        assert_eq!(m.state.load(Ordering::SeqCst), 0, "nobody is left");
        m.close::<Spin>().unwrap();
        assert!(m.decref());
        for refused in
            [m.incref(), m.lock::<Spin>(Mode::Read), m.lock::<Spin>(Mode::Write), m.close::<Spin>()]
        {
            assert_eq!(refused, Err(Refused::Closed));
        }
    }

    #[test]
    fn overflow_is_a_value_and_leaves_the_word_usable() {
        let m = FdMutex::new();
        for _ in 0..(1 << 20) - 1 {
            m.incref().unwrap();
        }
        assert_eq!(m.incref(), Err(Refused::Full));
        assert_eq!(m.lock::<Never>(Mode::Read), Err(Refused::Full));
        assert_eq!(m.try_lock(Mode::Read), Err(Refused::Full));
        assert_eq!(m.close::<Never>(), Err(Refused::Full));
        assert!(!m.decref());
        m.lock::<Never>(Mode::Write).unwrap();
    }

    #[test]
    fn waiters_beyond_the_field_are_refused() {
        let m = FdMutex::new();
        m.lock::<Never>(Mode::Read).unwrap();
        m.state.fetch_or(READ_WAITS, Ordering::SeqCst);
        assert_eq!(m.lock::<Never>(Mode::Read), Err(Refused::Full));
        m.lock::<Never>(Mode::Write).unwrap();
    }
}

#[cfg(all(test, loom))]
mod model {
    //! M8: two readers and a closer. Destroyed exactly once, by whoever is last, with nobody inside; no
    //! two readers at once; nobody left waiting.
    //!
    //! Mutations seen to fail: `close` without releasing those who wait (a reader hangs); `unlock`
    //! without taking one off the waiting (a wake too many is lost at the next close); `last` without
    //! looking at CLOSED (destroyed while open).

    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    struct Spin;
    impl Semaphore for Spin {
        fn acquire(word: &AtomicU32) {
            loop {
                let n = word.load(Ordering::SeqCst);
                if n > 0 && word.compare_exchange(n, n - 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                    return;
                }
                thread::yield_now();
            }
        }
        fn release(word: &AtomicU32) {
            word.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Shared {
        mutex: FdMutex,
        inside: AtomicU32,
        destroyed: AtomicU32,
    }

    impl Shared {
        fn destroy(&self) {
            assert_eq!(self.inside.load(Ordering::SeqCst), 0, "destroyed under a reader");
            assert_eq!(self.destroyed.fetch_add(1, Ordering::SeqCst), 0, "destroyed twice");
        }

        fn read(&self) {
            if self.mutex.lock::<Spin>(Mode::Read).is_ok() {
                assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "two readers");
                assert_eq!(self.destroyed.load(Ordering::SeqCst), 0, "read after destroy");
                self.inside.fetch_sub(1, Ordering::SeqCst);
                if self.mutex.unlock::<Spin>(Mode::Read) {
                    self.destroy();
                }
            }
        }
    }

    #[test]
    fn two_readers_and_a_closer() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let shared = Arc::new(Shared {
                mutex: FdMutex::new(),
                inside: AtomicU32::new(0),
                destroyed: AtomicU32::new(0),
            });
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || shared.read())
                })
                .collect();
            shared.mutex.close::<Spin>().unwrap();
            if shared.mutex.decref() {
                shared.destroy();
            }
            readers.into_iter().for_each(|r| r.join().unwrap());
            assert_eq!(shared.destroyed.load(Ordering::SeqCst), 1, "leaked");
        });
    }
}
