//! The protocol between a task's end and its handle: who takes the result, who frees the block, and with
//! it the stack, if the result lies there. (If it does not, the stack is free as soon as the thread has
//! left it.)
//!
//! ```text
//!            task returned          its thread has left the stack
//!  RUNNING ----------------> DONE --------------------------------> LEFT
//!     |                        |                                      |
//!     | handle waits           | handle took the result               | handle took the result:
//!     v                        v                                      v it frees the block
//!  <joiner>                  TAKEN: the task's side frees the block
//!     |
//!     | task returned, thread has left: the joiner is readied, and frees the block
//!
//!  RUNNING -- handle dropped --> DETACHED: the task's side drops the result and frees the block
//! ```

use crate::atomic::{AtomicUsize, Ordering};

const RUNNING: usize = 0;
const DONE: usize = 1;
const LEFT: usize = 2;
const TAKEN: usize = 3;
const DETACHED: usize = 4;

/// The word between a task and its handle.
pub(crate) struct JoinWord(AtomicUsize);

/// What a task finds at its end.
#[derive(Clone, Copy)]
pub(crate) enum Handle {
    /// It is held, and nobody waits.
    Held,
    /// The task with this word is parked on it.
    Waits(usize),
    /// It was dropped: the result is the task's to drop.
    Dropped,
}

impl JoinWord {
    #[cfg(loom)]
    pub fn new() -> JoinWord {
        JoinWord(AtomicUsize::new(RUNNING))
    }

    /// For a reused control block, which nobody else knows.
    pub fn reset(&self) {
        self.0.store(RUNNING, Ordering::Relaxed);
    }

    /// The result is in its place.
    pub fn returned(&self) -> Handle {
        // Release: the result. Acquire: what the joiner did before it parked.
        match self.0.swap(DONE, Ordering::AcqRel) {
            RUNNING => Handle::Held,
            DETACHED => Handle::Dropped,
            word => Handle::Waits(word),
        }
    }

    /// The task's thread has left the stack and the handle was `Held`. `true`: free the block.
    pub fn left(&self) -> bool {
        self.0.compare_exchange(DONE, LEFT, Ordering::AcqRel, Ordering::Acquire).is_err()
    }

    /// Registers a parked joiner by its word (greater than 4). `false`: the result is there already.
    pub fn park(&self, word: usize) -> bool {
        self.0.compare_exchange(RUNNING, word, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The result is there.
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Acquire) != RUNNING
    }

    /// The handle, without having parked, has taken the result. `true`: free the block.
    pub fn taken(&self) -> bool {
        self.0.compare_exchange(DONE, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_err()
    }

    /// The handle is dropped. `false`: the result is there, take it first.
    pub fn detach(&self) -> bool {
        self.0.compare_exchange(RUNNING, DETACHED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(all(test, loom))]
mod model {
    //! Each end of a task against each thing a handle does: the result is taken or dropped once, the
    //! block is freed once, and never while the task stands on it.
    //!
    //! Mutations seen to fail: `returned` with a load and a store instead of the swap (a joiner is
    //! lost); `left` as a store of LEFT (freed by nobody after TAKEN); `taken` always `true` (freed
    //! under the task); `returned` Relaxed (the result is read before it is written).

    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    struct Task {
        join: JoinWord,
        result: UnsafeCell<u32>,
        on_stack: AtomicUsize,
        freed: AtomicUsize,
        taken: AtomicUsize,
        woken: AtomicUsize,
    }

    impl Task {
        fn take(&self) {
            // SAFETY: loom checks that nobody writes at the same time.
            assert_eq!(self.result.with(|r| unsafe { *r }), 7);
            assert_eq!(self.taken.fetch_add(1, Ordering::Relaxed), 0, "taken twice");
        }

        fn free(&self) {
            assert_eq!(self.on_stack.load(Ordering::Relaxed), 0, "freed under the task");
            assert_eq!(self.freed.fetch_add(1, Ordering::Relaxed), 0, "freed twice");
        }

        fn run(&self) {
            // SAFETY: as in `take`.
            self.result.with_mut(|r| unsafe { *r = 7 });
            let handle = self.join.returned();
            if let Handle::Dropped = handle {
                self.take();
            }
            self.on_stack.store(0, Ordering::Relaxed);
            match handle {
                Handle::Dropped => self.free(),
                Handle::Held if self.join.left() => self.free(),
                Handle::Held => {}
                Handle::Waits(word) => self.woken.store(word, Ordering::Release),
            }
        }
    }

    fn check(handle: impl Fn(&Task) + Sync + Send + Copy + 'static) {
        loom::model(move || {
            let task = Arc::new(Task {
                join: JoinWord::new(),
                result: UnsafeCell::new(0),
                on_stack: AtomicUsize::new(1),
                freed: AtomicUsize::new(0),
                taken: AtomicUsize::new(0),
                woken: AtomicUsize::new(0),
            });
            let runs = {
                let task = task.clone();
                thread::spawn(move || task.run())
            };
            handle(&task);
            runs.join().unwrap();
            assert_eq!(task.taken.load(Ordering::Relaxed), 1, "result lost");
            assert_eq!(task.freed.load(Ordering::Relaxed), 1, "stack leaked");
        });
    }

    #[test]
    fn join_takes_the_result_once() {
        check(|task| {
            if task.join.park(99) {
                while task.woken.load(Ordering::Acquire) == 0 {
                    thread::yield_now();
                }
                task.take();
                task.free();
            } else {
                task.take();
                if task.join.taken() {
                    task.free();
                }
            }
        });
    }

    #[test]
    fn a_dropped_handle_leaves_the_rest_to_the_task() {
        check(|task| {
            if !task.join.detach() {
                task.take();
                if task.join.taken() {
                    task.free();
                }
            }
        });
    }
}
