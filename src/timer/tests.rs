//! The heap against a sorted map, through its public face.

use super::{NEVER, Timer, Timers};
use crate::poll::Linux;
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::vec::Vec;

/// The timer under test knows its number by its place: the first field of a `Node`.
#[repr(C)]
struct Node {
    timer: Timer,
    id: usize,
}

struct Fired(Vec<(usize, u32)>);

unsafe fn record(timer: NonNull<Timer>, seq: u32, context: *mut ()) {
    // SAFETY: every timer here is the first field of a `Node`, and `context` is the `Fired` of `run`.
    let (id, fired) = unsafe { (timer.cast::<Node>().as_ref().id, &mut *context.cast::<Fired>()) };
    fired.0.push((id, seq));
}

/// They stay where they are: nothing is added to the vector.
fn nodes(n: usize) -> Vec<Node> {
    (0..n).map(|id| Node { timer: Timer::new(record), id }).collect()
}

fn set(timers: &Timers, node: &Node, when: i64, seq: u32) -> bool {
    // SAFETY: nodes do not move and outlive the heap's knowledge of them (every test drains or stops).
    unsafe { timers.set(&Linux::new(), NonNull::from(node).cast(), when, seq) }.unwrap()
}

fn run(timers: &Timers, now: i64) -> Vec<(usize, u32)> {
    let mut fired = Fired(Vec::new());
    // SAFETY: `record` expects a `Fired`.
    unsafe { timers.expire(now, (&raw mut fired).cast()) };
    fired.0
}

#[test]
fn fires_in_order_and_never_early() {
    let (timers, nodes) = (Timers::new(), nodes(3));
    assert_eq!(timers.next(), NEVER);
    assert!(set(&timers, &nodes[0], 30, 0));
    assert!(set(&timers, &nodes[1], 10, 0), "came forward");
    assert!(!set(&timers, &nodes[2], 20, 0));
    assert_eq!(timers.next(), 10);
    assert_eq!(run(&timers, 9), []);
    assert_eq!(run(&timers, 20), [(1, 0), (2, 0)]);
    assert_eq!(run(&timers, 30), [(0, 0)]);
    assert_eq!(timers.next(), NEVER);
}

#[test]
fn pushed_back_keeps_its_key_and_fires_once() {
    let (timers, nodes) = (Timers::new(), nodes(1));
    set(&timers, &nodes[0], 10, 1);
    assert!(!set(&timers, &nodes[0], 50, 2));
    assert_eq!(timers.next(), 10, "lazily: the sleeper wakes early once and finds nothing due");
    assert_eq!(run(&timers, 20), []);
    assert_eq!(timers.next(), 50);
    assert_eq!(run(&timers, 50), [(0, 2)], "with the sequence number of the change");
    assert_eq!(run(&timers, 1000), []);
}

#[test]
fn stop_tells_whether_it_was_armed() {
    let (timers, nodes) = (Timers::new(), nodes(1));
    assert!(!timers.stop(&nodes[0].timer));
    set(&timers, &nodes[0], 10, 0);
    assert!(timers.stop(&nodes[0].timer));
    assert!(!timers.stop(&nodes[0].timer));
    assert_eq!(run(&timers, 100), []);
}

#[test]
fn agrees_with_a_sorted_set_under_random_changes() {
    use proptest::prelude::*;
    const NODES: usize = 40;
    let step = prop_oneof![
        5 => (0..NODES, 0i64..2000).prop_map(|(id, when)| (0, id, when)),
        2 => (0..NODES).prop_map(|id| (1, id, 0)),
        1 => (0i64..150).prop_map(|by| (2, 0, by)),
    ];
    proptest!(|(steps in prop::collection::vec(step, 1..400))| {
        let (timers, nodes) = (Timers::new(), nodes(NODES));
        let mut model: BTreeSet<(i64, usize)> = BTreeSet::new();
        let mut whens = [None; NODES];
        let mut now = 0;
        for (seq, (what, id, value)) in steps.into_iter().enumerate() {
            match what {
                0 => {
                    if let Some(old) = whens[id].replace(value) {
                        model.remove(&(old, id));
                    }
                    model.insert((value, id));
                    set(&timers, &nodes[id], value, seq as u32);
                }
                1 => {
                    let old = whens[id].take();
                    prop_assert_eq!(timers.stop(&nodes[id].timer), old.is_some());
                    old.map(|old| model.remove(&(old, id)));
                }
                _ => {
                    now += value;
                    let fired: BTreeSet<usize> = run(&timers, now).into_iter().map(|f| f.0).collect();
                    let due: BTreeSet<usize> =
                        model.iter().take_while(|e| e.0 <= now).map(|e| e.1).collect();
                    prop_assert_eq!(&fired, &due);
                    model.retain(|e| e.0 > now);
                    due.iter().for_each(|&id| whens[id] = None);
                }
            }
            let first = model.first().map_or(NEVER, |e| e.0);
            prop_assert!(timers.next() <= first, "never later than the truth");
            prop_assert_eq!(model.is_empty(), timers.next() == NEVER);
        }
    });
}

#[test]
fn grows_past_a_page_and_gives_everything_back() {
    let (mut timers, nodes) = (Timers::new(), nodes(5000));
    for (i, node) in nodes.iter().enumerate() {
        set(&timers, node, (i as i64 * 7919) % 5000, i as u32);
    }
    let order: Vec<i64> = run(&timers, 5000).iter().map(|f| (f.0 as i64 * 7919) % 5000).collect();
    assert_eq!(order.len(), 5000);
    assert!(order.is_sorted());
    timers.free(&Linux::new());
}

#[test]
fn end_of_time_is_no_special_case() {
    let (timers, nodes) = (Timers::new(), nodes(2));
    assert_eq!(run(&timers, i64::MAX), []);
    set(&timers, &nodes[0], NEVER, 1);
    set(&timers, &nodes[1], 5, 2);
    assert_eq!(run(&timers, i64::MAX), [(1, 2), (0, 1)]);
    assert_eq!(timers.next(), NEVER);
}
