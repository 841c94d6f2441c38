//! Spawning and joining: what goes in, what comes out, and what is dropped when.

use crate::Scenario;
use crate::support::{Random, SETTLE, anonymous, eventually, join_all, limit, pages};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use netpoll::sync::Semaphore;
use netpoll::sys::Errno;
use netpoll::sys::process::Resource;
use netpoll::time::sleep;
use netpoll::{Builder, JoinHandle, scope, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("join_gives_what_the_task_returned", values),
    ("a_closure_is_dropped_once", closures),
    ("a_result_is_dropped_once", results),
    ("many_one_after_the_other", many),
    ("a_chain_of_joins", |_| assert_eq!(chain(5000), 5000)),
    ("joins_in_any_order", any_order),
    ("a_handle_tells_whether_its_task_has_returned", finished),
    ("numbers_are_unique", numbers),
    ("too_big_is_an_error", too_big),
    ("no_memory_is_an_error", no_memory),
];

/// A closure and a result of 3 KiB, which a debug build copies about a good deal.
#[inline(never)]
fn large(round: u8) {
    let bytes = [round; 3 << 10];
    assert!(spawn(move || bytes).join().iter().all(|&byte| byte == round));
}

fn finished(_: &[&str]) {
    let may_return = Semaphore::new(0);
    scope(|s| {
        let task = s.spawn(|| may_return.acquire(1));
        sleep(SETTLE);
        assert!(!task.is_finished());
        may_return.release(1);
        eventually("the end", || task.is_finished());
        task.join();
    });
    let task = spawn(|| 7);
    eventually("the end", || task.is_finished());
    assert_eq!(task.join(), 7);
}

fn values(_: &[&str]) {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(64))]
    struct Line(u8);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(1024))]
    struct Block(u8);

    fn aligned<T>(value: &T) -> bool {
        core::hint::black_box(&raw const *value).is_aligned()
    }

    for round in 0..3u8 {
        // The second round and those after it find used stacks.
        spawn(|| ()).join();
        assert_eq!(spawn(move || round).join(), round);
        assert_eq!(spawn(|| u128::MAX).join(), u128::MAX);
        large(round);
        let (line, block) = (Line(round), Block(round));
        let (a, b) = spawn(move || {
            assert!(aligned(&line) && aligned(&block));
            (block, line)
        })
        .join();
        assert!(aligned(&a) && aligned(&b));
        assert_eq!((a, b), (block, line));
    }
}

/// Counts how often it is dropped.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<AtomicU32>, Dropped) {
    let count = Arc::new(AtomicU32::new(0));
    (count.clone(), Dropped(count))
}

fn count(of: &AtomicU32) -> u32 {
    of.load(Ordering::SeqCst)
}

fn closures(_: &[&str]) {
    let (kept, inside) = counter();
    spawn(move || assert_eq!(count(&inside.0), 0)).join();
    assert_eq!(count(&kept), 1);

    let (detached, inside) = counter();
    drop(spawn(move || drop(inside)));
    crate::support::eventually("the drop", || count(&detached) == 1);

    let (refused, inside) = counter();
    assert_eq!(Builder::new().spawn(move || (inside, [0u8; TOO_BIG]).1).map(drop), Err(Errno::E2BIG));
    assert_eq!(count(&refused), 1);
    sleep(SETTLE);
    assert_eq!((count(&kept), count(&detached), count(&refused)), (1, 1, 1));
}

fn results(_: &[&str]) {
    let (joined, result) = counter();
    let result = spawn(move || result).join();
    assert_eq!(count(&joined), 0);
    drop(result);
    assert_eq!(count(&joined), 1);

    static MAY_RETURN: Semaphore = Semaphore::new(0);
    let (before, result) = counter();
    drop(spawn(move || {
        MAY_RETURN.acquire(1);
        result
    }));
    sleep(SETTLE);
    assert_eq!(count(&before), 0);
    MAY_RETURN.release(1);
    crate::support::eventually("the drop by the task", || count(&before) == 1);

    let (after, result) = counter();
    let handle = spawn(move || result);
    sleep(SETTLE);
    assert_eq!(count(&after), 0, "the handle still has it");
    drop(handle);
    assert_eq!(count(&after), 1);

    // A result whose drop parks, on either side.
    struct Parks;
    impl Drop for Parks {
        fn drop(&mut self) {
            sleep(SETTLE);
            spawn(yield_now).join();
        }
    }
    drop(spawn(|| Parks));
    let handle = spawn(|| Parks);
    sleep(SETTLE);
    drop(handle);
    sleep(SETTLE * 3);
    assert_eq!((count(&joined), count(&before), count(&after)), (1, 1, 1));
}

fn many(_: &[&str]) {
    let mut sum = 0;
    for i in 0..100_000u64 {
        sum += spawn(move || i).join();
    }
    assert_eq!(sum, 99_999 * 100_000 / 2);
    // They all ran on a few stacks.
    assert!(anonymous() < 4 << 20, "{} bytes", anonymous());
}

fn chain(n: u32) -> u32 {
    if n == 0 { 0 } else { spawn(move || chain(n - 1)).join() + 1 }
}

fn any_order(_: &[&str]) {
    let random = Random::new(7);
    for round in 0..20 {
        let mut tasks: Vec<(u64, JoinHandle<u64>)> = (0..100)
            .map(|i| {
                let yields = random.below(5);
                let task = spawn(move || {
                    (0..yields).for_each(|_| yield_now());
                    i * i
                });
                (i, task)
            })
            .collect();
        (0..round).for_each(|_| yield_now()); // so that some have ended and some have not
        while !tasks.is_empty() {
            let (i, task) = tasks.swap_remove(random.below(tasks.len() as u64) as usize);
            if random.below(4) == 0 {
                drop(task);
            } else {
                assert_eq!(task.join(), i * i);
            }
        }
    }
}

fn numbers(_: &[&str]) {
    let mut ids = Vec::new();
    for round in 0..20 {
        let tasks: Vec<_> = (0..50).map(|_| spawn(|| ())).collect();
        ids.extend(tasks.iter().map(JoinHandle::id));
        if round % 2 == 0 {
            join_all(tasks);
        }
    }
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!((ids.len(), count), (1000, 1000));
}

/// One byte more than a quarter of a stack.
const TOO_BIG: usize = (64 << 10) + 1;

#[inline(never)]
fn big_closure(builder: Builder) {
    let big = core::hint::black_box([1u8; TOO_BIG]);
    assert_eq!(builder.spawn(move || big[7]).map(drop), Err(Errno::E2BIG));
}

fn too_big(_: &[&str]) {
    let builder = Builder::new();
    for _ in 0..3 {
        // With no used stack about, then with some.
        if !cfg!(debug_assertions) {
            big_closure(builder); // the copies that a debug build makes of it overflow the stack
        }
        assert_eq!(builder.spawn(|| [1u8; TOO_BIG]).map(drop), Err(Errno::E2BIG));
        assert_eq!(builder.spawn(|| 5).unwrap().join(), 5);
        join_all((0..10).map(|_| spawn(|| ())));
    }
}

fn no_memory(_: &[&str]) {
    crate::heap::reserve();
    let builder = Builder::new();
    let old = limit(Resource::As, (pages(0) * 4096 + (4 << 20)) as u64);
    let mut tasks = Vec::new();
    let refused = loop {
        match builder.spawn(|| 1) {
            Ok(task) => tasks.push(task),
            Err(e) => break e,
        }
        assert!(tasks.len() < 1000);
    };
    assert_eq!(refused, Errno::ENOMEM);
    let made = tasks.len();
    assert!(made > 32, "small slabs must still fit, {made} stacks were had");
    assert_eq!(join_all(tasks).len(), made);
    // The stacks are there again, and no more than those.
    let tasks: Vec<_> = (0..made).map(|_| builder.spawn(|| 1).unwrap()).collect();
    assert_eq!(builder.spawn(|| 1).map(drop), Err(Errno::ENOMEM));
    join_all(tasks);
    limit(Resource::As, old);
    join_all((0..made + 100).map(|_| spawn(|| ())));
}
