//! Tasks that may borrow from the task that spawns them (std: `thread::scope`).

use super::g::{Place, TaskId};
use super::sema::{semacquire, semrelease};
use super::task::{JoinHandle, NO_STACK, spawn_with};
use crate::rt;
use crate::sys::Errno;
use core::marker::PhantomData;
use core::panic::Location;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Where [`scope`]'s closure spawns.
pub struct Scope<'scope, 'env: 'scope> {
    /// Its tasks, and one for its closure.
    running: AtomicUsize,
    /// Released by the last of them.
    ended: AtomicU32,
    /// Invariant in both, or a task might borrow from something shorter.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Calls `f` with a scope, whose tasks may borrow everything that outlives this call. Returns what `f`
/// returns, when all tasks of the scope have ended, joined or not.
///
/// ```ignore
/// let mut halves = [0; 2];
/// let (a, b) = halves.split_at_mut(1);
/// netpoll::scope(|s| {
///     s.spawn(|| a[0] = 1);
///     s.spawn(|| b[0] = 2);
/// });
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        running: AtomicUsize::new(1),
        ended: AtomicU32::new(0),
        scope: PhantomData,
        env: PhantomData,
    };
    let result = f(&scope);
    // There is no unwinding here: this is the only way out.
    // Acquire: what the tasks did.
    if scope.running.fetch_sub(1, Ordering::AcqRel) != 1 {
        semacquire(&scope.ended);
    }
    result
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// Starts a task that may borrow for `'scope`. As [`spawn`](crate::spawn) otherwise; dropping the
    /// handle lets the task run on by itself, but not beyond the scope.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.try_spawn(0, Some(Location::caller()), f) {
            Ok(handle) => handle,
            Err(Errno::E2BIG) => {
                rt::fatal("a new task's closure or result is too big for its stack", rt::PANICKED)
            }
            Err(_) => rt::fatal(NO_STACK, rt::PANICKED),
        }
    }

    /// `stack_size`: in bytes, or 0 for the program's; `at`: where the task is spawned.
    pub(crate) fn try_spawn<F, T>(
        &'scope self,
        stack_size: usize,
        at: Place,
        f: F,
    ) -> Result<ScopedJoinHandle<'scope, T>, Errno>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.running.fetch_add(1, Ordering::Relaxed);
        // SAFETY: one of the tasks counted, at its end.
        let at_end = || unsafe { Self::task_ended(self) };
        // SAFETY: `scope` returns behind `task_ended`, at which the closure is used up and, if nobody
        // holds the handle, the result is dropped; the result of a held handle borrows for `'scope`, and
        // the handle cannot outlive that.
        match unsafe { spawn_with(stack_size, at, f, at_end) } {
            Ok(handle) => Ok(ScopedJoinHandle { handle, scope: PhantomData }),
            Err(e) => {
                self.running.fetch_sub(1, Ordering::Relaxed); // not the last: there is the scope's own
                Err(e)
            }
        }
    }

    /// # Safety
    /// `this` is a scope with a task running, the caller, which ends now.
    unsafe fn task_ended(this: *const Self) {
        // SAFETY: `scope` waits for this task. Both are reached by reference to the field alone, as the
        // scope is gone once `ended` is released, of which `semrelease` knows the address only then.
        let (running, ended) = unsafe { (&(*this).running, &(*this).ended) };
        // Release: what this task did. Acquire: what the others did, whom the last speaks for.
        if running.fetch_sub(1, Ordering::AcqRel) == 1 {
            semrelease(ended);
        }
    }
}

/// A task of a scope that can be waited for.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// See [`JoinHandle::join`].
    pub fn join(self) -> T {
        self.handle.join()
    }

    /// See [`JoinHandle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The task's number.
    pub fn id(&self) -> TaskId {
        self.handle.id()
    }
}
