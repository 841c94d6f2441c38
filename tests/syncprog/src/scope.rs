//! `netpoll::scope`.

use crate::Dropped;
use core::sync::atomic::{AtomicUsize, Ordering};
use netpoll::sys::Errno;
use netpoll::{Builder, scope, yield_now};

crate::scenarios! {
    tasks_borrow_halves_of_a_slice
    the_scope_waits_for_tasks_nobody_joined
    results_of_dropped_handles_are_dropped_inside
    a_forgotten_handle_does_not_hold_the_scope_up
    scopes_nest
    a_size_of_its_own_and_an_error
}

fn tasks_borrow_halves_of_a_slice() {
    let mut numbers = [0u32; 1000];
    let factor = 3;
    let sum = scope(|s| {
        let (left, right) = numbers.split_at_mut(500);
        let left = s.spawn(|| left.iter_mut().zip(0..).for_each(|(n, i)| *n = factor * i));
        let right = s.spawn(move || {
            right.iter_mut().zip(500..).for_each(|(n, i)| *n = factor * i);
            right.iter().sum::<u32>()
        });
        left.join();
        right.join()
    });
    assert!(numbers.iter().copied().eq((0..1000).map(|i| 3 * i)));
    assert_eq!(sum, numbers[500..].iter().sum());
}

fn the_scope_waits_for_tasks_nobody_joined() {
    let done = AtomicUsize::new(0);
    let early = scope(|s| {
        for _ in 0..100 {
            s.spawn(|| {
                for _ in 0..10 {
                    yield_now();
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        if core::hint::black_box(true) {
            return "early"; // most likely before any of them is done
        }
        "late"
    });
    assert_eq!((early, done.into_inner()), ("early", 100));
}

fn results_of_dropped_handles_are_dropped_inside() {
    let drops = AtomicUsize::new(0);
    scope(|s| {
        for n in 0..100 {
            let handle = s.spawn(|| {
                yield_now();
                Dropped(&drops)
            });
            if n % 2 == 0 {
                drop(handle);
            } else {
                drop(handle.join());
            }
        }
    });
    assert_eq!(drops.into_inner(), 100);
}

fn a_forgotten_handle_does_not_hold_the_scope_up() {
    let done = AtomicUsize::new(0);
    scope(|s| {
        for _ in 0..10 {
            let handle = s.spawn(|| {
                yield_now();
                done.fetch_add(1, Ordering::Relaxed)
            });
            core::mem::forget(handle);
        }
    });
    assert_eq!(done.into_inner(), 10);
}

fn scopes_nest() {
    let mut total = 0;
    scope(|outer| {
        let inner = outer.spawn(|| {
            let mut parts = [0; 4];
            scope(|s| {
                for (part, n) in parts.iter_mut().zip(1..) {
                    s.spawn(move || *part = n);
                }
            });
            parts.iter().sum::<i32>()
        });
        total = inner.join();
    });
    assert_eq!(total, 10);
}

/// A task that would not fit the usual stack borrows; one that is refused does not hold the scope up.
fn a_size_of_its_own_and_an_error() {
    let mut filled = 0;
    scope(|s| {
        let large = Builder::new().stack_size(1 << 20);
        let task = large.spawn_scoped(s, || {
            let bytes = core::hint::black_box([1u8; 100 << 10]);
            filled = bytes.iter().map(|&byte| usize::from(byte)).sum();
        });
        task.unwrap().join();
        let refused = Builder::new().stack_size(16 << 10).spawn_scoped(s, || [0u8; (4 << 10) + 1]);
        assert_eq!(refused.map(drop), Err(Errno::E2BIG));
    });
    assert_eq!(filled, 100 << 10);
}
