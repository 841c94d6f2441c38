//! Which signals the threads block: all threads the same, so that a signal that somebody reads from a
//! descriptor ([`crate::signal::notify`]) finds no thread on which to have its usual effect.
//!
//! Only a thread itself can change its mask. So [`change`] sends each the signal [`CHANGE`], whose handler
//! writes the new mask into the interrupted context, from where the kernel takes it when the handler
//! returns. All signals are blocked while it runs: from its first instruction on the old mask is gone,
//! which is why it may answer before it returns. A new thread inherits its maker's mask; it is made under
//! the lock, hence while no change is under way.
//!
//! In the same way every thread can be made to run something ([`on_every_thread`]).
//!
//! That holds as long as the handler never interrupts another one, which at its own return would put its
//! own, older context in force: the others block it ([`HANDLERS_BLOCK`]).
//!
//! # Lock
//! `THREADS`, the innermost, is held while all threads answer. The handler takes no lock, and a thread that
//! waits for one can be interrupted; so nobody who must answer waits for us.

use super::m::{M, M0, getm};
use crate::arch;
use crate::lock::Mutex;
use crate::sys::Errno;
use crate::sys::futex::{Scope, futex_wait, futex_wake};
use crate::sys::process::getpid;
use crate::sys::signal::{
    MaskHow, SIGSTKFLT, SIGURG, SaFlags, SigSet, Sigaction, Siginfo, Signal, rt_sigaction, rt_sigprocmask,
    tgkill,
};
use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use core::{iter, ptr};

/// Asks a thread to change its mask. Linux never raises it by itself, and as a standard signal it needs no
/// room in the queue of pending ones, so that sending it cannot fail.
pub(crate) const CHANGE: Signal = SIGSTKFLT;

/// What handlers must block.
pub(super) const HANDLERS_BLOCK: SigSet = SigSet::EMPTY.with(CHANGE);

/// The threads beside the first.
struct Threads {
    newest: Option<&'static M>,
    /// Changes so far.
    changes: u32,
}

static THREADS: Mutex<Threads> = Mutex::new(Threads { newest: None, changes: 0 });

/// The last change: its number, and what to block and what no longer. The number is stored last, and read
/// first (Release, Acquire).
static NUMBER: AtomicU32 = AtomicU32::new(0);
static BLOCK: AtomicU64 = AtomicU64::new(0);
static UNBLOCK: AtomicU64 = AtomicU64::new(0);
/// What each thread runs besides, a `fn()`; null for nothing.
static RUN: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Starts the thread of `m` by `start`. It may have been this program's parent that blocks everything: what
/// the runtime interrupts its threads by is unblocked before the first of them inherits the mask.
pub(super) fn add_thread(m: &'static M, start: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let mut threads = THREADS.lock();
    let before = unblock_ours();
    if threads.newest.is_none() {
        USUAL.store(before.difference(OURS).bits(), Ordering::Relaxed);
    }
    m.masked.store(threads.changes, Ordering::Relaxed);
    start()?;
    m.alllink.set(threads.newest);
    threads.newest = Some(m);
    Ok(())
}

/// What the runtime interrupts its threads by.
const OURS: SigSet = HANDLERS_BLOCK.with(SIGURG);

/// Returns what was blocked before.
fn unblock_ours() -> SigSet {
    // It cannot fail.
    rt_sigprocmask(MaskHow::Unblock, Some(&OURS)).unwrap_or(SigSet::EMPTY)
}

/// What the threads block, as far as the runtime knows, or more.
static USUAL: AtomicU64 = AtomicU64::new(0);

/// Whether a thread with this mask runs a task's code. One that blocks more than is usual may be in a handler of the
/// program's own, which must not go on on another thread: its return would put the mask of this one in force there.
pub(super) fn is_usual(mask: SigSet) -> bool {
    mask.difference(SigSet::from_bits(USUAL.load(Ordering::Relaxed))).is_empty()
}

/// Has every thread block the signals of `block`, and no longer those of `unblock`. When it returns they
/// all do. Returns what was blocked before.
///
/// # Errors
/// Those of rt_sigaction(2) and tgkill(2), which only a filter of system calls refuses. Nothing is changed
/// then: a filter looks at the call, so that what it lets pass for one thread it does for all.
///
/// `EBUSY`: the program has a handler that does not block [`CHANGE`], and would undo a change that interrupts it.
pub(crate) fn change(block: SigSet, unblock: SigSet) -> Result<SigSet, Errno> {
    if !block.is_empty() {
        handlers_block()?;
    }
    // Before any thread blocks more, and after all block less: a mask that is usual is never taken for another.
    USUAL.fetch_or(block.bits(), Ordering::Relaxed);
    let before = ask_all(block, unblock, None);
    USUAL.fetch_and(!unblock.bits(), Ordering::Relaxed);
    before
}

/// Looks at the handlers of all signals, the runtime's among them.
fn handlers_block() -> Result<(), Errno> {
    for signal in SigSet::ALL.iter() {
        // SAFETY: no handler is installed. EINVAL is the answer for a signal that can have none.
        let action = unsafe { rt_sigaction(signal, None) }.unwrap_or(Sigaction::DEFAULT);
        let handled = !action.is_default() && !action.is_ignore();
        if handled && !action.mask().contains(CHANGE) {
            return Err(Errno::EBUSY);
        }
    }
    Ok(())
}

/// Runs `f` on every thread, and returns when all have. Those that are made later have inherited from one that has.
/// `f` must be async-signal-safe: it takes no lock, and makes system calls at most.
///
/// # Errors
/// As [`change`].
pub(crate) fn on_every_thread(f: fn()) -> Result<(), Errno> {
    ask_all(SigSet::EMPTY, SigSet::EMPTY, Some(f)).map(drop)
}

fn ask_all(block: SigSet, unblock: SigSet, run: Option<fn()>) -> Result<SigSet, Errno> {
    let mut threads = THREADS.lock(); // and the task stays on this thread until it is unlocked
    let flags = SaFlags::SIGINFO | SaFlags::ONSTACK | SaFlags::RESTART;
    let action = Sigaction::handler(on_change, arch::rt_sigreturn, flags, SigSet::ALL);
    // SAFETY: the handler is async-signal-safe, and the signal is nobody else's.
    unsafe { rt_sigaction(CHANGE, Some(&action)) }?;
    unblock_ours();

    BLOCK.store(block.bits(), Ordering::Relaxed);
    UNBLOCK.store(unblock.bits(), Ordering::Relaxed);
    RUN.store(run.map_or(ptr::null_mut(), |f| f as *mut ()), Ordering::Relaxed);
    threads.changes = threads.changes.wrapping_add(1);
    let number = threads.changes;
    NUMBER.store(number, Ordering::Release);
    let (me, pid) = (getm(), getpid());
    M::set_first_tid(pid);
    let others =
        || iter::successors(threads.newest, |m| m.alllink.get()).chain([&M0]).filter(|m| !ptr::eq(*m, me));
    for m in others() {
        // Threads never end, and `clone` has stored the number before it returned.
        tgkill(pid, m.tid.load(Ordering::Relaxed), Some(CHANGE))?;
    }
    me.masked.store(number, Ordering::Relaxed);
    let before = rt_sigprocmask(MaskHow::Block, Some(&block))?;
    rt_sigprocmask(MaskHow::Unblock, Some(&unblock))?;
    run.into_iter().for_each(|f| f());
    for m in others() {
        loop {
            let masked = m.masked.load(Ordering::Acquire);
            if masked == number {
                break;
            }
            // EAGAIN and EINTR both mean: look again.
            let _ = futex_wait(&m.masked, masked, None, Scope::Private);
        }
    }
    Ok(before)
}

/// [`CHANGE`], on the thread that is to change its mask. One that comes from elsewhere finds nothing to do.
unsafe extern "C" fn on_change(_: i32, _: *mut Siginfo, ucontext: *mut c_void) {
    let m = getm();
    let number = NUMBER.load(Ordering::Acquire);
    if m.masked.load(Ordering::Relaxed) == number {
        return;
    }
    // SAFETY: the kernel's (SA_SIGINFO), and used before the return only.
    unsafe {
        let mask = arch::interrupted_mask(ucontext);
        *mask = (*mask | BLOCK.load(Ordering::Relaxed)) & !UNBLOCK.load(Ordering::Relaxed);
    }
    let run = RUN.load(Ordering::Relaxed);
    if !run.is_null() {
        // SAFETY: `ask_all` stored it, from a value of this type.
        unsafe { core::mem::transmute::<*mut (), fn()>(run)() };
    }
    m.masked.store(number, Ordering::Release);
    // The word is in memory that is never unmapped: the call cannot fail.
    let _ = futex_wake(&m.masked, 1, Scope::Private);
}
