//! Stacks, and how a task dies.

use crate::Scenario;
use crate::support::{after, join_all, ms, pages};
use alloc::vec::Vec;
use core::fmt;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use netpoll::sys::mm::{Advice, MapFlags, Prot, madvise, mmap};
use netpoll::time::{Instant, sleep};
use netpoll::{println, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("ten_thousand_parked_take_a_page_each", parked),
    ("dead_stacks_are_given_back", given_back),
    ("overflow_in_main", |_| deep(u64::MAX)),
    ("overflow_in_a_task", overflow_in_a_task),
    ("overflow_on_a_used_stack", overflow_on_a_used_stack),
    ("deep_is_not_overflow", deep_enough),
    ("light_guards", |words| assert_eq!(words, [light_guards()])),
    ("null_in_main", |_| null()),
    ("null_in_a_task", |_| spawn(null).join()),
    ("panic_in_main", |_| panic!("on purpose, {}", 1)),
    ("panic_in_a_task", |_| spawn(|| panic!("on purpose, {}", 2)).join()),
    ("panic_while_formatting", |_| println!("before {} after", Bad)),
    ("panic_with_a_message_that_panics", |_| panic!("message {}", Bad)),
    ("panic_in_a_drop", |_| drop(spawn(|| BadDrop).join())),
    ("panic_in_the_drop_of_a_result", panic_in_the_drop_of_a_result),
];

/// Tasks that have used 16 KiB of their stacks each are gone: when the program has been idle for a while,
/// their memory is, too, and new tasks find it zeroed and usable.
fn given_back(_: &[&str]) {
    const TASKS: usize = 1000;
    fn use_stack() -> usize {
        let deep = core::hint::black_box([1u8; 16 << 10]);
        yield_now(); // all of them at once
        deep.iter().map(|&byte| usize::from(byte)).sum()
    }
    let run = || {
        let tasks: Vec<_> = (0..TASKS).map(|_| spawn(use_stack)).collect();
        assert!(join_all(tasks).into_iter().all(|sum| sum == 16 << 10));
    };
    run();
    let full = pages(1);
    assert!(full > TASKS * 5, "{full} pages");
    let start = Instant::now();
    // A page each, for the control blocks, and what the Ps keep at hand.
    while pages(1) > TASKS * 3 {
        assert!(start.elapsed() < ms(10_000), "{} pages of {full}", pages(1));
        sleep(ms(400)); // the monitor looks at an idle program for 100 ms first
    }
    run();
}

fn parked(_: &[&str]) {
    const TASKS: usize = 10_000;
    static ALIVE: AtomicU32 = AtomicU32::new(0);
    let before = pages(1);
    let until = after(ms(1500));
    let mut tasks = Vec::with_capacity(TASKS);
    for _ in 0..TASKS {
        tasks.push(spawn(move || {
            ALIVE.fetch_add(1, Ordering::SeqCst);
            sleep(until - Instant::now());
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }));
    }
    while ALIVE.load(Ordering::SeqCst) != TASKS as u32 {
        yield_now();
        assert!(Instant::now() < until, "too slow to have all alive at once");
    }
    let each = (pages(1) - before) * 100 / TASKS;
    join_all(tasks);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
    // One page of stack; their handles and timers are 32 bytes, and what else there is, little.
    let most = if cfg!(debug_assertions) { 210 } else { 110 };
    assert!(each <= most, "{each} hundredths of a page each");
}

/// Recursion with a frame that the optimiser must keep.
fn deep(n: u64) {
    let frame = [n; 16];
    if n > 0 {
        deep(black_box(n - 1));
    }
    black_box(&frame);
}

fn overflow_in_a_task(_: &[&str]) {
    spawn(|| deep(u64::MAX)).join();
}

fn overflow_on_a_used_stack(_: &[&str]) {
    spawn(|| deep(100)).join();
    spawn(|| deep(100)).join();
    spawn(|| deep(u64::MAX)).join();
}

/// Uses three quarters of the stack, on many stacks at once and again on used ones.
fn deep_enough(_: &[&str]) {
    for _ in 0..3 {
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                spawn(|| {
                    let mut bytes = [1u8; 44 << 10];
                    black_box(&mut bytes);
                    yield_now();
                    black_box(&bytes).iter().map(|&b| b as u32).sum::<u32>()
                })
            })
            .collect();
        assert!(join_all(tasks).iter().all(|&sum| sum == 44 << 10));
    }
}

/// Whether the kernel has guards that cost no mapping.
fn light_guards() -> &'static str {
    // SAFETY: a new mapping, for nobody to use.
    unsafe {
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS;
        let page = mmap(core::ptr::null_mut(), 4096, Prot::READ, flags, -1, 0).unwrap();
        if madvise(page, 4096, Advice::GuardInstall).is_ok() { "yes" } else { "no" }
    }
}

fn null() {
    let nothing: *const u64 = core::ptr::without_provenance(black_box(16));
    // SAFETY: it is not, which is the point: page 0 is never mapped.
    black_box(unsafe { nothing.read_volatile() });
}

struct Bad;

impl fmt::Display for Bad {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("bad format: {}", Bad)
    }
}

struct BadDrop;

impl Drop for BadDrop {
    fn drop(&mut self) {
        panic!("bad drop");
    }
}

/// The task finds its handle gone, and drops its result itself.
fn panic_in_the_drop_of_a_result(_: &[&str]) {
    static GONE: AtomicBool = AtomicBool::new(false);
    drop(spawn(|| {
        while !GONE.load(Ordering::Acquire) {
            yield_now();
        }
        BadDrop
    }));
    GONE.store(true, Ordering::Release);
    sleep(ms(1000));
}
