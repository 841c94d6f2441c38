//! What a task is given and what it leaves: its block when it is spawned, its stack when it is first
//! dispatched, or at once if it cannot do without.
//!
//! # When there is no stack
//! Every block has the promise of a stack ([`StackPool::promise`]), so a first dispatch finds one unless
//! the kernel has no memory for a guard's page table, or others keep theirs at hand while there is no
//! address space for more. Such a task waits in `Idle::stackless`. Whoever gives a stack back gives it to
//! the first of these, and a P that runs out of work tries again on their behalf ([`feed`]). Only if all
//! threads sleep, and nobody waits for the poller, does the program end for it (`checkdead`).
//!
//! No stack is missed: a task enters that list, and a P enters that of idle ones, under the same lock,
//! and each looks at the other's side then.

use super::dump::ALLG;
use super::g::{Begin, Block, Gp};
use super::m::{M, acquirem, releasem};
use super::p::P;
use super::proc::wakep;
use super::spare::List;
use super::stack::{self, Sp, StackPool};
use super::state::{Idle, SCHED};
use crate::arch::Context;
use crate::sys::Errno;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

/// Bytes of blocks mapped at once: 1,024 tasks. Untouched pages are no memory.
const CHUNK: usize = 1024 * size_of::<Block>();

/// Blocks that no task and no P has.
pub(super) struct Blocks {
    free: List<Gp>,
    /// Those of the newest chunk that nobody has had.
    next: *mut Block,
    left: usize,
}

// SAFETY: the chunk is owned, and a mapping belongs to no thread.
unsafe impl Send for Blocks {}

impl Blocks {
    pub const fn new() -> Blocks {
        Blocks { free: List::new(), next: ptr::null_mut(), left: 0 }
    }

    /// A block that nobody has had, with the promise of a stack.
    fn make(&mut self) -> Result<Gp, Errno> {
        if self.left == 0 {
            self.next = StackPool::map(CHUNK)?.cast();
            self.left = CHUNK / size_of::<Block>();
        }
        SCHED.stacks.lock().promise()?;
        let block = self.next;
        self.left -= 1;
        self.next = block.wrapping_add(1);
        let g = block.cast();
        // SAFETY: within the chunk, aligned, as the size of a block divides a page's, and nobody else's;
        // the task is at its beginning; never unmapped, so not null.
        unsafe {
            block.write(Block::new());
            let gp = Gp::new(NonNull::new_unchecked(g));
            gp.alllink.store(ALLG.load(Ordering::Relaxed), Ordering::Relaxed);
            ALLG.store(g, Ordering::Release); // under the lock of all blocks: nobody else writes it
            Ok(gp)
        }
    }
}

/// A dead task's block, or a new one (Go: `gfget`).
pub(super) fn gfget() -> Result<Gp, Errno> {
    let p = acquirem().p.get();
    let g = p.and_then(|p| p.gs.pop()).map_or_else(|| gfget_slow(p), Ok);
    releasem();
    g
}

#[cold]
fn gfget_slow(p: Option<&P>) -> Result<Gp, Errno> {
    let mut blocks = SCHED.blocks.lock();
    let g = match p {
        Some(p) => {
            p.gs.take_from(&mut blocks.free);
            p.gs.pop()
        }
        None => blocks.free.pop(),
    };
    g.map_or_else(|| blocks.make(), Ok)
}

/// As [`gfget`], with a stack of at least `size` bytes (0: the program's size), of which `need` are for a
/// closure and its result.
///
/// # Errors
/// `E2BIG` if that is more than a quarter.
pub(super) fn gfget_with_stack(size: usize, need: usize) -> Result<Gp, Errno> {
    let g = gfget()?;
    let mut stacks = SCHED.stacks.lock();
    let class = if size == 0 { stacks.usual() } else { stack::class(size) };
    let stack = if need > stack::size(class) / 4 { Err(Errno::E2BIG) } else { stacks.get(class) };
    drop(stacks);
    match stack {
        Ok(stack) => g.set_stack(Some(stack)),
        Err(_) => gfput(g),
    }
    stack.map(|_| g)
}

/// Gives a dead task's block, and the stack if it still has one, to the next (Go: `gfput`).
pub(super) fn gfput(g: Gp) {
    let p = acquirem().p.get();
    leave_stack(p, g);
    if !p.is_some_and(|p| p.gs.push(g)) {
        gfput_slow(p, g);
    }
    releasem();
}

#[cold]
fn gfput_slow(p: Option<&P>, g: Gp) {
    let mut blocks = SCHED.blocks.lock();
    if let Some(p) = p {
        p.gs.give_to(&mut blocks.free);
    }
    blocks.free.push(g);
}

/// Gives the stack of `g`, which does not stand on it any more, to the next.
#[inline]
pub(super) fn leave_stack(p: Option<&P>, g: Gp) {
    let Some(stack) = g.stack() else { return };
    g.set_stack(None);
    if !(stack.usual && p.is_some_and(|p| p.stacks.push(stack))) {
        share_stack(p, stack);
    }
    if SCHED.stackless.load(Ordering::Relaxed) {
        feed_all(p);
    }
}

#[cold]
fn share_stack(p: Option<&P>, stack: Sp) {
    let mut stacks = SCHED.stacks.lock();
    if let Some(p) = p
        && stack.usual
    {
        p.stacks.give_to(stacks.warm());
    }
    stacks.put(stack);
}

/// Gives `g`, which is dispatched for the first time, a stack. `false`: there is none, and `g` waits for
/// one.
pub(super) fn attach_stack(m: &M, g: Gp, begin: Begin) -> bool {
    let p = m.p.get();
    let stack = p.and_then(|p| p.stacks.pop().or_else(|| fetch_stack(p)));
    match stack {
        Some(stack) => begin_on(g, begin, stack),
        None => wait_for_stack(p, g),
    }
    stack.is_some()
}

#[cold]
fn fetch_stack(p: &P) -> Option<Sp> {
    let mut stacks = SCHED.stacks.lock();
    p.stacks.take_from(stacks.warm());
    p.stacks.pop().or_else(|| stacks.get_usual())
}

#[inline]
fn begin_on(g: Gp, begin: Begin, stack: Sp) {
    g.set_stack(Some(stack));
    g.begin.set(None);
    // SAFETY: the stack is this task's, and nothing is on it yet; the task is the caller's, who has not
    // switched to it.
    unsafe { *g.context.get() = Context::new(stack.top, begin, g.room()) };
}

#[cold]
fn wait_for_stack(p: Option<&P>, g: Gp) {
    let mut idle = SCHED.idle.lock();
    idle.stackless.push_back(g);
    SCHED.stackless.store(true, Ordering::Relaxed);
    feed(&mut idle, p);
}

#[cold]
fn feed_all(p: Option<&P>) {
    feed(&mut SCHED.idle.lock(), p);
    wakep();
}

/// Gives tasks that wait for a stack those that `p` keeps at hand, and idle Ps, or that can be made after
/// all.
pub(super) fn feed(idle: &mut Idle, p: Option<&P>) {
    while !idle.stackless.is_empty() {
        let others = core::iter::successors(idle.ps, |p| p.link.get());
        let at_hand = p.into_iter().chain(others).find_map(|p| p.stacks.pop());
        let Some(stack) = at_hand.or_else(|| SCHED.stacks.lock().get_usual()) else { return };
        if let Some(g) = idle.stackless.pop_front()
            && let Some(begin) = g.begin.get()
        {
            begin_on(g, begin, stack);
            idle.put_g(g);
        }
    }
    SCHED.stackless.store(false, Ordering::Relaxed);
}
