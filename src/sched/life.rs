//! What a task is given and what it leaves: its block when it is spawned, its stack when it is first
//! dispatched, or at once if it cannot do without.
//!
//! # When there is no stack
//! Every block has the promise of a stack ([`Class::make_task`]), so a first dispatch finds one unless the
//! kernel has no memory for a guard's page table, or others keep theirs at hand while there is no address
//! space for more. Such a task waits in `Idle::stackless`, behind all that can run: every P that runs out
//! of work tries again ([`retry`]), also with what idle Ps keep. Only if all threads sleep then, and nobody
//! waits for the poller, does the program end (`checkdead`). No stack is missed: what a P keeps is seen by
//! itself before it is idle, under the lock of those that are, or by others after.
//!
//! Blocks and stacks that are not in use are with a P, or with all; between them they go in halves of what
//! a P may keep, or, stacks, one by one. A program of one thread keeps all blocks with its P.

use super::g::{Begin, Gp};
use super::m::{acquirem, releasem};
use super::p::P;
use super::spare::KEPT;
use super::stack::{Class, Sp};
use super::state::{Idle, SCHED, monitor, threads};
use crate::arch::Context;
use crate::sys::Errno;
use core::ptr;

/// A dead task's block, or a new one (Go: `gfget`). `None`: there is no memory, or none for its stack.
pub(super) fn gfget() -> Option<Gp> {
    let p = acquirem().p.get();
    let g = p.and_then(|p| p.gs.pop()).or_else(|| gfget_slow(p));
    releasem();
    g
}

#[cold]
fn gfget_slow(p: Option<&P>) -> Option<Gp> {
    if let Some(monitor) = monitor()
        && p.is_none_or(|p| p.ticks() != 0)
    {
        (monitor.start)(); // a second task: one of the two may keep the other waiting
    }
    let shared = threads().and_then(|threads| (threads.take_spares)(p));
    shared.or_else(|| SCHED.stacks.make_task())
}

/// As [`gfget`], with a stack of at least `size` bytes (0: the program's size), of which `need` are for a
/// closure and its result.
///
/// # Errors
/// `ENOMEM`; `E2BIG` if that is more than a quarter.
pub(super) fn gfget_with_stack(size: usize, need: usize) -> Result<(Gp, Sp), Errno> {
    let class = if size == 0 { &SCHED.stacks } else { Class::of(&SCHED.stacks, size) };
    if need > class.size() / 4 {
        return Err(Errno::E2BIG);
    }
    let g = gfget().ok_or(Errno::ENOMEM)?;
    let kept = acquirem().p.get().filter(|_| ptr::eq(class, &SCHED.stacks)).and_then(|p| p.stacks.pop());
    releasem();
    let Some(stack) = kept.or_else(|| class.get()) else {
        gfput(g);
        return Err(Errno::ENOMEM);
    };
    stack.begins();
    g.set_stack(Some(stack));
    Ok((g, stack))
}

/// Gives a dead task's block, and the stack if it still has one, to the next (Go: `gfput`).
pub(super) fn gfput(g: Gp) {
    let p = acquirem().p.get();
    leave_stack(p, g);
    match p {
        Some(p) if p.gs.len() < KEPT => p.gs.push(g),
        _ => gfput_slow(p, g),
    }
    releasem();
}

#[cold]
fn gfput_slow(p: Option<&P>, g: Gp) {
    match (threads(), p) {
        (Some(threads), _) => (threads.share_spares)(p, g),
        (None, Some(p)) => p.gs.push(g), // there is nobody else to need it
        (None, None) => {}               // does not happen: a lone thread always has its P
    }
}

/// Gives the stack of `g`, which does not stand on it any more, to the next.
pub(super) fn leave_stack(p: Option<&P>, g: Gp) {
    let Some(stack) = g.stack() else { return };
    g.set_stack(None);
    stack.ends();
    match p {
        Some(p) if p.stacks.len() < KEPT && ptr::eq(stack.class, &SCHED.stacks) => p.stacks.push(stack),
        _ => stack.class.put(stack),
    }
}

/// Gives `g`, which is dispatched for the first time, a stack. `false`: there is none.
pub(super) fn attach_stack(p: &P, g: Gp, begin: Begin) -> bool {
    let Some(stack) = p.stacks.pop().or_else(|| SCHED.stacks.get()) else { return false };
    stack.begins();
    g.set_stack(Some(stack));
    // SAFETY: the stack is this task's, and nothing is on it yet.
    g.begun(unsafe { Context::new(stack.top, begin, g.room()) });
    true
}

/// For a P without work: one of those that wait for a stack, if there is one now.
pub(super) fn retry(idle: &mut Idle, p: &P) -> Option<Gp> {
    let g = idle.stackless.pop()?;
    if let Some(threads) = threads() {
        (threads.gather_stack)(idle, p);
    }
    if g.begin().is_some_and(|begin| attach_stack(p, g, begin)) {
        return Some(g);
    }
    idle.stackless.push(g);
    None
}
