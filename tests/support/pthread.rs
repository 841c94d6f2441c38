//! A mutex and a condition variable that ThreadSanitizer sees. std's are futexes, whose slow paths come compiled
//! without it: what they order would look like a race. The sanitizer knows pthread's.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::time::Duration;

/// As std's, but for poison: a failed test says nothing about what it had locked.
pub struct Mutex<T> {
    raw: Box<UnsafeCell<libc::pthread_mutex_t>>, // which must not move
    value: UnsafeCell<T>,
}

// SAFETY: the value is the lock's holder's.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: as above; nobody holds what moves.
unsafe impl<T: Send> Send for Mutex<T> {}

pub struct Guard<'a, T>(&'a Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Mutex<T> {
        let raw = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        Mutex { raw, value: UnsafeCell::new(value) }
    }

    pub fn lock(&self) -> Guard<'_, T> {
        // SAFETY: initialised, and where it was then.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.raw.get()) }, 0);
        Guard(self)
    }
}

impl<T> Drop for Mutex<T> {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference to it any more.
        unsafe { libc::pthread_mutex_destroy(self.raw.get()) };
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
        // SAFETY: locked by this thread.
        unsafe { libc::pthread_mutex_unlock(self.0.raw.get()) };
    }
}

pub struct Condvar(Box<UnsafeCell<libc::pthread_cond_t>>);

// SAFETY: that is what it is for.
unsafe impl Sync for Condvar {}
// SAFETY: nobody waits on what moves.
unsafe impl Send for Condvar {}

impl Condvar {
    pub fn new() -> Condvar {
        let raw = Box::new(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER));
        let mut attr = MaybeUninit::uninit();
        // SAFETY: each is initialised before it is used; the condition is nobody else's yet.
        let results = unsafe {
            [
                libc::pthread_condattr_init(attr.as_mut_ptr()),
                libc::pthread_condattr_setclock(attr.as_mut_ptr(), libc::CLOCK_MONOTONIC),
                libc::pthread_cond_init(raw.get(), attr.as_ptr()),
            ]
        };
        assert_eq!(results, [0; 3]);
        Condvar(raw)
    }

    pub fn notify_all(&self) {
        // SAFETY: initialised, and where it was then.
        unsafe { libc::pthread_cond_broadcast(self.0.get()) };
    }

    /// Waits while `holds`, but not for longer than `limit`; the other result is whether it still does.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: Guard<'a, T>,
        limit: Duration,
        mut holds: impl FnMut(&mut T) -> bool,
    ) -> (Guard<'a, T>, bool) {
        let mut end = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the kernel writes there.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut end) };
        end.tv_sec += limit.as_secs() as libc::time_t;
        while holds(&mut guard) {
            // SAFETY: both are initialised, and the mutex is locked by this thread, before and behind.
            let late =
                unsafe { libc::pthread_cond_timedwait(self.0.get(), guard.0.raw.get(), ptr::from_ref(&end)) };
            if late == libc::ETIMEDOUT {
                let held = holds(&mut guard);
                return (guard, held);
            }
        }
        (guard, false)
    }
}

impl Drop for Condvar {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference to it any more.
        unsafe { libc::pthread_cond_destroy(self.0.get()) };
    }
}
