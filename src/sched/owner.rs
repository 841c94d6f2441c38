//! Who has a P: the word by which a P is taken back from a thread that stays in a system call.
//!
//! ```text
//!             acquire               enter
//!   nobody ------------> a thread ---------> the same, in a call
//!    ^  ^----- release -----' ^------ exit -------'  |
//!    '-------------------- retake -------------------'
//! ```
//!
//! Only the thread that has the P takes the upper steps, each a store, but for `exit`: that races with
//! `retake`, which is anybody's. Both are exchanges of the same value, so that one of them is first, and the
//! other finds out. Who enters publishes the P with the tag (`Release`), and who retakes it has it from
//! there (`Acquire`).

use crate::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::ptr;

/// The owner of a P; `T` is the thread's block.
pub(crate) struct Owner<T> {
    /// Null, the thread, or the thread with [`IN_CALL`].
    word: AtomicPtr<T>,
    /// Calls entered: by this the monitor tells one long call from many short ones.
    calls: AtomicU64,
}

/// The bit that no address of a block has.
const IN_CALL: usize = 1;

/// A call, as somebody else sees it.
#[derive(Clone, Copy)]
pub(crate) struct Call<T> {
    word: *mut T,
    /// Counts up; that of the next call differs.
    pub number: u64,
}

impl<T> Owner<T> {
    const ROOM_FOR_TAG: () = assert!(align_of::<T>() > IN_CALL);

    #[cfg(loom)]
    pub fn new() -> Owner<T> {
        Owner { word: AtomicPtr::new(ptr::null_mut()), calls: AtomicU64::new(0) }
    }

    /// `thread` has it now; the caller, who knows that nobody else has, gives it.
    pub fn acquire(&self, thread: &'static T) {
        self.word.store(ptr::from_ref(thread).cast_mut(), Ordering::Release);
    }

    /// Nobody has it.
    pub fn release(&self) {
        self.word.store(ptr::null_mut(), Ordering::Relaxed);
    }

    /// Its thread begins a system call. Until [`Owner::exit`] has succeeded, it must not touch the P.
    #[inline]
    pub fn enter(&self, thread: &'static T) {
        let () = Self::ROOM_FOR_TAG;
        self.calls.store(self.calls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.word.store(tagged(thread), Ordering::Release);
    }

    /// The call is over. `false`: the P was taken, and may be anybody's.
    #[inline]
    pub fn exit(&self, thread: &'static T) -> bool {
        // Relaxed: the tag is still there, so nobody but this thread has touched the P.
        let thread_word = ptr::from_ref(thread).cast_mut();
        self.word.compare_exchange(tagged(thread), thread_word, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The call that its thread is in.
    pub fn in_call(&self) -> Option<Call<T>> {
        let word = self.word.load(Ordering::Acquire);
        (word.addr() & IN_CALL != 0).then(|| Call { word, number: self.calls.load(Ordering::Relaxed) })
    }

    /// Takes the P from the thread that is in `call`, or in another by now, which is as good. `false`: it is
    /// back.
    pub fn retake(&self, call: Call<T>) -> bool {
        self.word.compare_exchange(call.word, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The thread that has it and is in no call, or null.
    pub fn running(&self) -> *mut T {
        let word = self.word.load(Ordering::Acquire);
        if word.addr() & IN_CALL == 0 { word } else { ptr::null_mut() }
    }

    /// Whether a thread has it, in a call or not.
    pub fn is_some(&self) -> bool {
        !self.word.load(Ordering::Relaxed).is_null()
    }
}

fn tagged<T>(thread: &T) -> *mut T {
    ptr::from_ref(thread).cast_mut().map_addr(|addr| addr | IN_CALL)
}

#[cfg(all(test, loom))]
mod model {
    //! M7: a thread goes through calls while the monitor takes its P back and uses it on another thread.
    //! The P is never had by two (what stands for its content is a cell that loom watches), nor lost.
    //!
    //! Mutations seen to fail: `exit` as a load and a store; `retake` as a load and a store; `enter`'s store
    //! Relaxed; `retake`'s exchange Relaxed; an `exit` that fails and goes on with the P; a `retake` that
    //! fails and hands it on.

    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    static THREADS: [u64; 2] = [0; 2];

    struct World {
        owner: Owner<u64>,
        p: UnsafeCell<u32>,
        /// The P is in the list of idle ones.
        idle: Mutex<bool>,
    }

    impl World {
        fn use_p(&self) {
            // SAFETY: loom reports it if another thread has the P.
            self.p.with_mut(|n| unsafe { *n += 1 });
        }

        fn give_up(&self) {
            let mut idle = self.idle.lock().unwrap();
            assert!(!*idle, "had by two");
            self.owner.release();
            *idle = true;
        }

        fn acquire_idle(&self, thread: &'static u64) -> bool {
            let found = std::mem::take(&mut *self.idle.lock().unwrap());
            if found {
                self.owner.acquire(thread);
            }
            found
        }

        /// Some calls on a thread that has the P, which becomes idle behind them if the thread has it still.
        fn calls(&self, thread: &'static u64, calls: u32) {
            for _ in 0..calls {
                self.use_p();
                self.owner.enter(thread);
                if !self.owner.exit(thread) && !self.acquire_idle(thread) {
                    return;
                }
            }
            self.use_p();
            self.give_up();
        }
    }

    fn check(calls: u32, looks: u32) {
        loom::model(move || {
            let world =
                Arc::new(World { owner: Owner::new(), p: UnsafeCell::new(0), idle: Mutex::new(false) });
            world.owner.acquire(&THREADS[0]);
            let monitor = {
                let world = world.clone();
                thread::spawn(move || {
                    for _ in 0..looks {
                        if world.owner.in_call().is_some_and(|call| world.owner.retake(call)) {
                            world.owner.acquire(&THREADS[1]);
                            world.calls(&THREADS[1], 1);
                        }
                    }
                })
            };
            world.calls(&THREADS[0], calls);
            monitor.join().unwrap();
            assert!(*world.idle.lock().unwrap(), "lost");
            assert!(!world.owner.is_some());
        });
    }

    #[test]
    fn a_call_that_ends_and_one_that_takes_the_p() {
        check(1, 1);
    }

    #[test]
    fn two_calls_and_two_looks() {
        check(2, 2);
    }
}
