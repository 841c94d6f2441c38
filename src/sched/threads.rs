//! What only programs of several threads need: starting threads, and stealing work. The scheduler
//! reaches it through [`Threads`], a table, so that a program of one thread does not have it in it.

use super::dump::count;
use super::g::Gp;
use super::m::M;
use super::p::{P, task};
use super::runq::RunQueue;
use super::schedule::begin_spinning;
use super::stack;
use super::state::{Idle, SCHED, Threads, allp, page, take_idle_p, to_do, wake_poller};
use crate::lock::Mutex;
use crate::timer::{FIRST_BYTES, Heap, Timers};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// Rounds over all Ps of a thread that looks for work (Go's figure); in the last one it takes `next`,
/// too.
const STEAL_ROUNDS: u32 = 4;

/// Pauses before `next` is taken from a P whose thread runs: about 3 us (Go's figure). Mostly that
/// thread is about to run it, with the cache warm.
const STEAL_PATIENCE: u32 = 75;

pub(super) static THREADS: Threads =
    Threads { wake, handoff, steal, share_timers, take_spares, share_spares, gather_stack };

/// Gives the poller a heap of timers for each P, once, before there is a timer, and each room for the first page of
/// them: later there may be no memory. If there is none now, the poller's own serves all.
fn share_timers(timers: &Timers) {
    static DONE: AtomicBool = AtomicBool::new(false);
    static DOING: Mutex<()> = Mutex::new(());
    if DONE.load(Ordering::Acquire) {
        return;
    }
    let _doing = DOING.lock();
    if DONE.load(Ordering::Relaxed) {
        return;
    }
    let len = allp().len();
    let rooms = (len * size_of::<Heap>()).next_multiple_of(page());
    if let Some(memory) = stack::map(rooms + len * FIRST_BYTES) {
        let heaps = memory.cast::<Heap>().as_ptr();
        // SAFETY: within the mapping, which is page-aligned and nobody else's. The heaps stay; the rooms, each of
        // whole pages, are the heaps' to unmap.
        timers.use_heaps(unsafe {
            (0..len).for_each(|i| heaps.add(i).write(Heap::within(memory.add(rooms + i * FIRST_BYTES))));
            core::slice::from_raw_parts(heaps, len)
        });
    }
    DONE.store(true, Ordering::Release);
}

/// There is new work (Go: `wakep`).
#[cold]
fn wake() {
    if let Some(p) = SCHED.search.claim(take_idle_p) {
        startm(p);
    }
}

/// Runs `p` on an idle thread or a new one, which looks for work; the caller has counted it as spinning
/// (Go: `startm`).
fn startm(p: &'static P) {
    let m = {
        let mut idle = SCHED.idle.lock();
        match idle.ms {
            Some(m) => {
                idle.ms = m.link.get();
                idle.nmidle -= 1;
                Some(m)
            }
            None => {
                idle.nm += 1;
                None
            }
        }
    };
    match m {
        Some(m) => {
            m.spinning.set(true);
            m.wake(p);
        }
        None => {
            if M::spawn(p, true).is_err() {
                // The system has no thread or memory to spare. The work stays where it is, for the
                // threads there are, of which one may block in the poller, and the monitor tries again.
                let mut idle = SCHED.idle.lock();
                idle.nm -= 1;
                idle.put_p(p);
                drop(idle);
                SCHED.search.end();
                wake_poller();
            }
        }
    }
}

/// Gives the P of a thread that is about to block to another thread, if there is anything to do: work, or
/// nobody to wait in the poller (Go: `handoffp`).
fn handoff(p: &'static P) {
    let mut p = p;
    if !to_do() {
        SCHED.idle.lock().put_p(p);
        SCHED.search.second_look();
        if !to_do() {
            return;
        }
        let Some(idle) = take_idle_p() else { return };
        p = idle;
    }
    SCHED.search.begin();
    startm(p);
}

/// Takes half of somebody else's queue (Go: `stealWork`).
fn steal(m: &M, p: &P) -> Option<Gp> {
    let all = allp();
    if all.len() == 1 {
        return None;
    }
    if !m.spinning.get() {
        if !SCHED.search.allows_one_more(all.len() as u32) {
            return None;
        }
        begin_spinning(m);
    }
    for round in 1..=STEAL_ROUNDS {
        let order = Order::new(m.random(), all.len());
        for i in order {
            let Some(victim) = all.get(i) else { continue };
            if ptr::eq(victim, p) {
                continue;
            }
            if let Some(word) = p.runq.steal(&victim.runq) {
                count(&p.counts.steals);
                return Some(task(word));
            }
            if round == STEAL_ROUNDS {
                let running = !victim.owner.running().is_null();
                let patience = || {
                    if running {
                        (0..STEAL_PATIENCE).for_each(|_| core::hint::spin_loop());
                    }
                };
                if let Some(word) = RunQueue::steal_next(&victim.runq, patience) {
                    return Some(task(word));
                }
            }
        }
    }
    None
}

/// See [`Threads::take_spares`].
#[cold]
fn take_spares(p: Option<&P>) -> Option<Gp> {
    let free = &mut SCHED.gfree.lock();
    if let Some(p) = p {
        p.gs.take_from(free);
    }
    p.and_then(|p| p.gs.pop()).or_else(|| free.pop())
}

/// See [`Threads::share_spares`].
#[cold]
fn share_spares(p: Option<&P>, g: Gp) {
    let free = &mut SCHED.gfree.lock();
    if let Some(p) = p {
        p.gs.give_to(free);
    }
    free.push(g);
}

/// See [`Threads::gather_stack`]. That of an idle P is ours while we hold the lock of their list.
fn gather_stack(idle: &Idle, p: &P) {
    let spare = core::iter::successors(idle.ps, |p| p.link.get()).find_map(|p| p.stacks.pop());
    if let Some(spare) = spare {
        p.stacks.push(spare);
    }
}

/// Every number below `len` once, from a random one on, by a step that has no common divisor with it.
struct Order {
    left: usize,
    at: usize,
    step: usize,
    len: usize,
}

impl Order {
    fn new(random: u32, len: usize) -> Order {
        let gcd = |mut a: usize, mut b: usize| {
            while let Some(rest) = a.checked_rem(b) {
                (a, b) = (b, rest);
            }
            a
        };
        let len = len.max(1);
        let mut step = (random as usize >> 16) % len + 1;
        while gcd(step, len) != 1 {
            step += 1;
        }
        Order { left: len, at: random as usize % len, step, len }
    }
}

impl Iterator for Order {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        self.at = (self.at + self.step) % self.len;
        Some(self.at)
    }
}
