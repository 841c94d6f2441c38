//! A toy scheduler: every task is a thread that sleeps on a condition variable. It shares nothing with
//! the runtime's scheduler, which is the point. A test can stop a task on its way into the park,
//! between the poller's "I intend to wait" and the commit.

#[path = "../support/pthread.rs"]
pub mod pthread;

use netpoll::poll::{Kernel, Netpoll, Scheduler, WakeList};
use pthread::{Condvar, Mutex};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Running,
    /// Stopped in front of the commit.
    AtGate,
    /// Made runnable before it slept.
    Readied,
    Parked,
    Done,
}

/// Aligned, so that its address can be a waiter's word.
#[repr(align(8))]
pub struct Task {
    id: usize,
    state: Mutex<(State, bool)>,
    changed: Condvar,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Task>>> = const { RefCell::new(None) };
}

impl Task {
    fn new(id: usize, gate: bool) -> Arc<Task> {
        Arc::new(Task { id, state: Mutex::new((State::Running, gate)), changed: Condvar::new() })
    }

    fn set(&self, state: State) {
        self.transition(|_| state);
    }

    fn transition(&self, next: impl FnOnce(State) -> State) {
        let mut guard = self.state.lock();
        guard.0 = next(guard.0);
        self.changed.notify_all();
    }

    /// Sleeps as long as the state and the gate are as `held` says.
    fn sleep_while(&self, held: impl Fn(State, bool) -> bool) -> State {
        let (guard, late) =
            self.changed.wait_while(self.state.lock(), PATIENCE, |&mut (s, gate)| held(s, gate));
        assert!(!late, "task {} stays {:?} for ever", self.id, guard.0);
        guard.0
    }
}

/// The scheduler.
pub struct Threads;

impl Scheduler for Threads {
    type Waiter = NonNull<Task>;
    type List = Woken;

    fn park(&self, commit: impl FnOnce(NonNull<Task>) -> bool) {
        let task = CURRENT.with_borrow(|task| task.clone()).expect("only tasks park");
        if task.state.lock().1 {
            task.set(State::AtGate);
            task.sleep_while(|_, gate| gate);
        }
        // The reference goes with the word, and comes back with it.
        let word = NonNull::new(Arc::into_raw(task.clone()).cast_mut()).unwrap();
        if commit(word) {
            task.transition(|state| match state {
                State::Running => State::Parked,
                _ => State::Running, // readied already
            });
            task.sleep_while(|state, _| state == State::Parked);
        } else {
            // SAFETY: the word from above, which nobody got.
            drop(unsafe { Arc::from_raw(word.as_ptr()) });
        }
    }

    fn ready(&self, waiter: NonNull<Task>) {
        // SAFETY: a committed word comes back once, with the reference that `park` put into it.
        let task = unsafe { Arc::from_raw(waiter.as_ptr()) };
        task.transition(|state| match state {
            State::Parked => State::Running,
            State::Running => State::Readied,
            other => panic!("task {} readied while {other:?}", task.id),
        });
    }
}

/// Something that a task which is not parked leaves with the poller.
pub struct Enlisted {
    task: Arc<Task>,
    word: NonNull<Task>,
}

impl Enlisted {
    pub fn new(id: usize) -> Enlisted {
        let task = Task::new(id, false);
        // As in `park`, a reference goes with the word.
        let word = NonNull::new(Arc::into_raw(task.clone()).cast_mut()).unwrap();
        Enlisted { task, word }
    }

    pub fn word(&self) -> NonNull<Task> {
        self.word
    }

    pub fn is_readied(&self) -> bool {
        self.task.state.lock().0 == State::Readied
    }

    /// The poller has not got the word, or no longer.
    pub fn forget_word(self) {
        assert!(!self.is_readied());
        // SAFETY: the reference from `new`, which nobody has.
        drop(unsafe { Arc::from_raw(self.word.as_ptr()) });
    }
}

/// The woken of one poll.
#[derive(Default)]
pub struct Woken(Vec<NonNull<Task>>);

impl WakeList<NonNull<Task>> for Woken {
    fn push(&mut self, waiter: NonNull<Task>) {
        self.0.push(waiter);
    }
}

/// A task that a test started.
pub struct Handle<'s, T> {
    task: Arc<Task>,
    thread: ScopedJoinHandle<'s, T>,
}

/// Starts a task, and returns when it has parked or ended.
pub fn spawn<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    id: usize,
    f: impl FnOnce() -> T + Send + 's,
) -> Handle<'s, T> {
    start(scope, Task::new(id, false), f)
}

/// Starts a task, and returns when it has stopped in front of the commit of its first park, or ended.
pub fn spawn_to_gate<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    id: usize,
    f: impl FnOnce() -> T + Send + 's,
) -> Handle<'s, T> {
    start(scope, Task::new(id, true), f)
}

fn start<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    task: Arc<Task>,
    f: impl FnOnce() -> T + Send + 's,
) -> Handle<'s, T> {
    /// However the task ends, nobody waits for it any longer.
    struct Ending(Arc<Task>);
    impl Drop for Ending {
        fn drop(&mut self) {
            self.0.set(State::Done);
        }
    }
    let own = task.clone();
    let thread = scope.spawn(move || {
        let _ending = Ending(own.clone());
        CURRENT.set(Some(own));
        f()
    });
    let handle = Handle { task, thread };
    handle.settle();
    handle
}

impl<T> Handle<'_, T> {
    /// Waits until the task cannot go on by itself; whether it is parked.
    pub fn settle(&self) -> bool {
        self.task.sleep_while(|s, _| matches!(s, State::Running | State::Readied)) == State::Parked
    }

    /// Lets a task that stopped in front of its commit go on.
    pub fn open_gate(&self) {
        assert_eq!(self.task.state.lock().0, State::AtGate);
        *self.task.state.lock() = (State::Running, false);
        self.task.changed.notify_all();
        self.settle();
    }

    /// What the task returns in the end: another thread polls.
    pub fn finish(self) -> T {
        self.task.sleep_while(|state, _| state != State::Done);
        self.thread.join().unwrap()
    }

    /// What the task returned; fails if nobody wakes it.
    pub fn join(self) -> T {
        assert!(!self.settle(), "task {} is still parked", self.task.id);
        self.thread.join().unwrap()
    }
}

impl Woken {
    /// Makes the woken runnable, and returns their numbers in order.
    pub fn ready_all<K: Kernel>(self, netpoll: &Netpoll<K, Threads>) -> Vec<usize> {
        let ready = |task: NonNull<Task>| {
            // SAFETY: a parked task is alive: the word carries a reference.
            let id = unsafe { task.as_ref() }.id;
            netpoll.scheduler().ready(task);
            id
        };
        self.0.into_iter().map(ready).collect()
    }
}

/// Polls once, makes the woken runnable, and returns their numbers in order.
pub fn poll<K: Kernel>(netpoll: &Netpoll<K, Threads>, delay: i64) -> Vec<usize> {
    let (woken, delta) = netpoll.netpoll(delay).unwrap();
    let ids = woken.ready_all(netpoll);
    netpoll.adjust_waiters(delta);
    ids
}
