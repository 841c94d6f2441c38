//! Things done once: [`Once`], and [`OnceLock`] for a value.

use super::mutex::{Parking, Word};
use crate::atomic::{AtomicU32, Ordering};

/// Done or not, and a mutex for whoever does it (Go: `sync.Once`).
pub(super) struct OnceWord {
    done: AtomicU32,
    mutex: Word,
}

impl OnceWord {
    const_fn! {
        /// Not done.
        pub fn new() -> OnceWord {
            OnceWord { done: AtomicU32::new(0), mutex: Word::new() }
        }
    }

    #[inline]
    pub fn is_done(&self) -> bool {
        // Pairs with the store in `call`: what was done is seen.
        self.done.load(Ordering::Acquire) != 0
    }

    #[inline]
    pub fn call<P: Parking>(&self, f: impl FnOnce()) {
        if !self.is_done() {
            self.call_slow::<P>(f);
        }
    }

    #[cold]
    fn call_slow<P: Parking>(&self, f: impl FnOnce()) {
        self.mutex.lock::<P>();
        if self.done.load(Ordering::Relaxed) == 0 {
            f();
            self.done.store(1, Ordering::Release);
        }
        // SAFETY: locked above.
        unsafe { self.mutex.unlock::<P>() };
    }
}

#[cfg(not(loom))]
pub use public::{Once, OnceLock};

#[cfg(not(loom))]
mod public {
    use super::super::park::Sema;
    use super::OnceWord;
    use core::cell::UnsafeCell;
    use core::fmt;
    use core::mem::MaybeUninit;

    /// Runs something once (Go: `sync.Once`).
    pub struct Once(OnceWord);

    impl Default for Once {
        fn default() -> Once {
            Once::new()
        }
    }

    impl fmt::Debug for Once {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Once").field("done", &self.is_completed()).finish_non_exhaustive()
        }
    }

    impl Once {
        /// Not run yet.
        pub const fn new() -> Once {
            Once(OnceWord::new())
        }

        /// Runs `f` if no call has before; when it returns `f` has been run, here or by another task,
        /// which is waited for. `f` must not come back to the same `Once`: it would wait for itself.
        #[inline]
        pub fn call_once(&self, f: impl FnOnce()) {
            self.0.call::<Sema>(f);
        }

        /// Whether it has been run.
        #[inline]
        pub fn is_completed(&self) -> bool {
            self.0.is_done()
        }
    }

    /// A value that is set once, after which everybody may read it (std: `OnceLock`; Go: `sync.OnceValue`).
    pub struct OnceLock<T> {
        once: OnceWord,
        value: UnsafeCell<MaybeUninit<T>>,
    }

    // SAFETY: a shared reference gives `&T` to others (`T: Sync`) and puts in a `T` that another may drop
    // (`T: Send`).
    unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

    impl<T> Default for OnceLock<T> {
        fn default() -> OnceLock<T> {
            OnceLock::new()
        }
    }

    impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_tuple("OnceLock").field(&self.get()).finish()
        }
    }

    impl<T> OnceLock<T> {
        /// Without a value.
        pub const fn new() -> OnceLock<T> {
            OnceLock { once: OnceWord::new(), value: UnsafeCell::new(MaybeUninit::uninit()) }
        }

        /// The value, if it has been set.
        #[inline]
        pub fn get(&self) -> Option<&T> {
            // SAFETY: `set` wrote the value before it was done, and nobody writes it again.
            self.once.is_done().then(|| unsafe { (*self.value.get()).assume_init_ref() })
        }

        /// Sets the value. Waits for another task that is just making it.
        ///
        /// # Errors
        /// `value`, if there is one already.
        pub fn set(&self, value: T) -> Result<(), T> {
            let mut value = Some(value);
            self.get_or_init_with(|| value.take());
            value.map_or(Ok(()), Err)
        }

        /// The value; made by `f` if there is none. As [`Once::call_once`].
        #[inline]
        pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
            self.get_or_init_with(|| Some(f()));
            // SAFETY: done, here or before.
            unsafe { (*self.value.get()).assume_init_ref() }
        }

        /// `f` gives a value when it is called.
        #[inline]
        fn get_or_init_with(&self, f: impl FnOnce() -> Option<T>) {
            self.once.call::<Sema>(|| {
                if let Some(value) = f() {
                    // SAFETY: `call` lets one in, once, and readers wait for it to be done.
                    unsafe { (*self.value.get()).write(value) };
                }
            });
        }

        /// The value for one who has the cell to himself.
        pub fn get_mut(&mut self) -> Option<&mut T> {
            // SAFETY: set, and borrowed mutably.
            self.once.is_done().then(|| unsafe { self.value.get_mut().assume_init_mut() })
        }

        /// The value, out of the cell.
        pub fn into_inner(mut self) -> Option<T> {
            let done = core::mem::replace(&mut self.once, OnceWord::new()).is_done();
            // SAFETY: set, and from now on the cell is without a value.
            done.then(|| unsafe { self.value.get_mut().assume_init_read() })
        }
    }

    impl<T> Drop for OnceLock<T> {
        fn drop(&mut self) {
            if let Some(value) = self.get_mut() {
                // SAFETY: it is not used again.
                unsafe { core::ptr::drop_in_place(value) };
            }
        }
    }
}

#[cfg(all(test, loom))]
mod model {
    //! Two tasks call at once: it is run once, and whoever returns sees what it did.
    //!
    //! Mutations seen to fail: the store or the load of `done` Relaxed (it is not seen); no second look
    //! under the lock (run twice).

    use super::super::park::Patient;
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    #[test]
    fn one_runs_it_and_both_see_it() {
        loom::model(|| {
            let shared = Arc::new((OnceWord::new(), UnsafeCell::new(0)));
            let work = |shared: &(OnceWord, UnsafeCell<u32>)| {
                // SAFETY: loom checks that nobody reads or writes at the same time.
                shared.0.call::<Patient>(|| shared.1.with_mut(|n| unsafe { *n += 1 }));
                // SAFETY: as above.
                assert_eq!(shared.1.with(|n| unsafe { *n }), 1);
            };
            let other = {
                let shared = shared.clone();
                thread::spawn(move || work(&shared))
            };
            work(&shared);
            other.join().unwrap();
        });
    }
}
