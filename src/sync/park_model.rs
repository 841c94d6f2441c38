//! Tasks for the models: loom's threads, known by a number. Parking waits for a flag that readying sets,
//! and deadlines pass when a model says so ([`deadline_passes`]).

use super::mutex::{Parking, STARVED};
pub(super) use super::waiter::{OneOf, WaitWord};
use super::waitlist::ClaimWord;
use crate::poll::Waiter;
use crate::timer::NEVER;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::cell::Cell;

/// Tasks in a model, the one that starts it included; its number is 0.
const TASKS: usize = 3;

/// A task's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gp(usize);

// SAFETY: numbers from 1 on, shifted by 3, are above 2 and even.
unsafe impl Waiter for Gp {
    fn into_word(self) -> usize {
        (self.0 + 1) << 3
    }
    unsafe fn from_word(word: usize) -> Gp {
        Gp((word >> 3) - 1)
    }
}

/// What a poll woke.
#[derive(Default)]
pub(crate) struct GQueue(pub std::vec::Vec<Gp>);

impl GQueue {
    pub fn push_back(&mut self, g: Gp) {
        self.0.push(g);
    }
}

#[derive(Clone, Copy)]
pub(super) enum WaitReason {
    ChanSend,
    ChanReceive,
    Semacquire,
    WaitGroup,
    Select,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Claimed(u32),
    TimedOut,
    NoTimer,
}

#[derive(Default)]
struct Task {
    /// Where its stack was left: written before it may be readied, read by who readies it.
    context: UnsafeCell<()>,
    readied: Mutex<bool>,
    changed: Condvar,
    timer: Mutex<Timer>,
    /// The timer was armed, or the task has ended.
    timer_changed: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Timer {
    #[default]
    Idle,
    /// For the claim at this address.
    Armed(usize),
    /// Its task has ended.
    Over,
}

fn set_timer(n: usize, timer: Timer) -> Timer {
    let old = std::mem::replace(&mut *TABLE[n].timer.lock().unwrap(), timer);
    TABLE[n].timer_changed.notify_one();
    old
}

loom::lazy_static! {
    static ref TABLE: [Task; TASKS] = Default::default();
    /// Of all semaphores.
    static ref SEMA: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

loom::thread_local! {
    static NUMBER: Cell<usize> = Cell::new(0);
}

/// Starts task `n`.
pub(super) fn task<T: 'static>(n: usize, f: impl FnOnce() -> T + 'static) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        NUMBER.with(|number| number.set(n));
        let result = f();
        task_is_over(n);
        result
    })
}

/// No deadline of task `n` will pass any more.
pub(super) fn task_is_over(n: usize) {
    set_timer(n, Timer::Over);
}

pub(super) fn getg() -> Gp {
    NUMBER.with(|number| Gp(number.get()))
}

/// The running task has left its stack.
fn leave_stack() {
    TABLE[getg().0].context.with_mut(|_| ());
}

pub(super) fn goready(Gp(n): Gp) {
    TABLE[n].context.with(|_| ());
    let mut readied = TABLE[n].readied.lock().unwrap();
    assert!(!*readied, "task {n} readied twice");
    *readied = true;
    TABLE[n].changed.notify_one();
}

pub(super) fn park(_: WaitReason, release: impl FnOnce()) {
    park_if(|| {
        release();
        true
    });
}

/// As `gopark`.
pub(super) fn park_if(commit: impl FnOnce() -> bool) {
    leave_stack();
    if commit() {
        sleep();
    }
}

fn sleep() {
    let task = &TABLE[getg().0];
    let mut readied = task.readied.lock().unwrap();
    while !*readied {
        readied = task.changed.wait(readied).unwrap();
    }
    *readied = false;
}

pub(super) struct Claim {
    pub word: ClaimWord,
}

impl Claim {
    pub fn new() -> Claim {
        Claim { word: ClaimWord::new() }
    }

    pub fn park(&self, _: WaitReason, when: i64, release: impl FnOnce()) -> Wake {
        let Gp(n) = getg();
        if when != NEVER {
            set_timer(n, Timer::Armed(&raw const self.word as usize));
        }
        park_if(|| {
            let entered = self.word.enter();
            release();
            entered
        });
        let wake = self.word.wake();
        if when != NEVER {
            set_timer(n, Timer::Idle); // waits for a callback that has begun
        }
        wake
    }
}

pub(super) fn yield_now() {
    thread::yield_now();
}

/// The time stands.
pub(super) fn nanotime() -> i64 {
    0
}

/// The deadline that task `n` waits for, or will wait for, passes.
pub(super) fn deadline_passes(n: usize) {
    let mut timer = TABLE[n].timer.lock().unwrap();
    while *timer == Timer::Idle {
        timer = TABLE[n].timer_changed.wait(timer).unwrap();
    }
    if let Timer::Armed(at) = *timer {
        *timer = Timer::Idle;
        // SAFETY: under the timer's lock, for which the task waits before it leaves its frame.
        let won = unsafe { &*(at as *const ClaimWord) }.expire();
        drop(timer);
        if won {
            goready(Gp(n));
        }
    }
}

pub(super) fn wait_for_memory() {
    unreachable!("there is always a timer here");
}

/// Semaphores of the models, and a clock that stands.
pub(super) struct Patient;

/// As [`Patient`], with a clock by which every wait is too long.
pub(super) struct Starved;

fn acquire(word: &AtomicU32) {
    let mut guard = SEMA.0.lock().unwrap();
    while word.load(Ordering::SeqCst) == 0 {
        guard = SEMA.1.wait(guard).unwrap();
    }
    word.fetch_sub(1, Ordering::SeqCst);
}

fn release(word: &AtomicU32) {
    let _guard = SEMA.0.lock().unwrap();
    word.fetch_add(1, Ordering::SeqCst);
    SEMA.1.notify_all();
}

impl Parking for Patient {
    fn acquire(word: &AtomicU32, _: bool) {
        acquire(word);
    }
    fn release(word: &AtomicU32) {
        release(word);
    }
    fn now() -> i64 {
        0
    }
}

impl Parking for Starved {
    fn acquire(word: &AtomicU32, _: bool) {
        acquire(word);
    }
    fn release(word: &AtomicU32) {
        release(word);
    }
    fn now() -> i64 {
        thread_local!(static NOW: Cell<i64> = const { Cell::new(0) });
        NOW.with(|now| now.replace(now.get() + STARVED + 1))
    }
}
