//! `G`: a task's control block, and the intrusive lists that hold tasks.

use super::join::JoinWord;
use super::spare::Linked;
use super::stack::{Sp, Stack};
use crate::arch::Context;
use crate::poll::Waiter;
use crate::timer::Timer;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::{MaybeUninit, offset_of};
use core::num::NonZeroU64;
use core::ops::Deref;
use core::panic::Location;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// What a task is doing (Go: `_Gidle` and so on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Status {
    /// Ended, or not begun: its block waits for the next task.
    Dead,
    /// In a run queue.
    Runnable,
    /// On a thread.
    Running,
    /// Parked: whoever holds it will ready it.
    Waiting,
}

/// Why a task is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitReason {
    None,
    IoWait,
    Sleep,
    Join,
    Semacquire,
    /// Not parked: its thread blocks.
    Blocking,
    /// Not parked: its thread is in a system call that may block.
    Syscall,
    ChanSend,
    ChanReceive,
    Select,
    Cond,
    WaitGroup,
    Barrier,
}

/// Where a task begins.
pub(crate) type Begin = unsafe extern "C" fn(*mut u8) -> !;

/// A task. It is reused and never unmapped, so that a `Gp` is valid for ever; what it means is up to who
/// holds it.
#[repr(C, align(128))]
pub(crate) struct G {
    /// Where the stack was left; the scheduler's, while the task is not running. A task that has not begun has its
    /// first function there: see [`G::begin`].
    pub context: UnsafeCell<Context>,
    /// The next in whatever list the task is in. A task is in one list at most.
    schedlink: Cell<Option<Gp>>,
    /// Between this task's end and its handle.
    pub join: JoinWord,
    /// Where it was spawned, or null. In the first cache line, like all that a spawn writes.
    spawned: AtomicPtr<Location<'static>>,
    stack: AtomicPtr<Stack>,
    /// Counts up from 1; a reused `G` gets a new one.
    id: AtomicU64,
    status: AtomicU8,
    wait_reason: AtomicU8,
    /// It has not been dispatched yet, and has no stack.
    fresh: Cell<bool>,
    /// When it parked, to the monitor's precision, or 0.
    since: AtomicI64,
    /// For the one wait with a deadline that a task can be in.
    pub timer: Timer,
    /// What it waits by then, for the timer's callback.
    pub waits_by: Cell<*const ()>,
}

/// Where a task was spawned, by `#[track_caller]`; `None` for the main task.
pub(crate) type Place = Option<&'static Location<'static>>;

/// Room in a task's block for its closure, then its result. What is larger lies on its stack.
pub(crate) const ROOM: usize = 128;

/// A block: a task with its room. All zeros, it is one of a dead task: nothing need be written to make it.
#[repr(C)]
pub(crate) struct Block {
    g: G,
    room: MaybeUninit<[u8; ROOM]>,
}

static_assertions::const_assert_eq!(size_of::<Block>(), 256); // 16 a page, none across two
static_assertions::const_assert_eq!(memoffset::offset_of!(Block, room), 128);
static_assertions::const_assert!(memoffset::offset_of!(G, fresh) < 64);
static_assertions::assert_eq_size!(Context, Begin);
static_assertions::assert_eq_align!(Context, Begin);

// SAFETY: `context`, `fresh`, `schedlink` and `waits_by` belong to the owner of the task at the moment (the run queue
// it is in, the thread it runs on, the object it is parked on), which is one party at a time.
unsafe impl Sync for G {}

impl G {
    /// Moves the task from one status to another (Go: `casgstatus`). A store is enough: only the owner
    /// of a task changes its status, and others merely look. Debug builds hold the owner to it.
    #[inline]
    pub fn casgstatus(&self, from: Status, to: Status) {
        debug_assert_eq!(self.status.load(Ordering::Relaxed), from as u8, "task {}", self.id());
        self.status.store(to as u8, Ordering::Release);
    }

    /// Notes why the task is about to park, and when.
    #[inline]
    pub fn set_wait_reason(&self, reason: WaitReason, since: i64) {
        self.wait_reason.store(reason as u8, Ordering::Relaxed);
        self.since.store(since, Ordering::Relaxed);
    }

    pub fn wait_reason(&self) -> u8 {
        self.wait_reason.load(Ordering::Relaxed)
    }

    pub fn since(&self) -> i64 {
        self.since.load(Ordering::Relaxed)
    }

    pub fn status(&self) -> u8 {
        self.status.load(Ordering::Relaxed)
    }

    pub fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    pub fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// Where it begins, if it has not: until it is dispatched for the first time, and gets a stack.
    #[inline]
    pub fn begin(&self) -> Option<Begin> {
        // SAFETY: written by `set_begin`, since when `begun` has not been called; size and alignment fit.
        self.fresh.get().then(|| unsafe { self.context.get().cast::<Begin>().read() })
    }

    #[inline]
    pub fn set_begin(&self, begin: Begin) {
        self.fresh.set(true);
        // SAFETY: in place of a context that nobody has: the task is dead. Size and alignment fit.
        unsafe { self.context.get().cast::<Begin>().write(begin) };
    }

    /// It goes on at `context` from now on.
    pub fn begun(&self, context: Context) {
        self.fresh.set(false);
        // SAFETY: the task is the caller's, which has not switched to it.
        unsafe { *self.context.get() = context };
    }

    pub fn spawned(&self) -> Place {
        // SAFETY: null or what `set_spawned` stored.
        unsafe { self.spawned.load(Ordering::Relaxed).as_ref() }
    }

    #[inline]
    pub fn set_spawned(&self, at: Place) {
        let at = at.map_or(ptr::null(), ptr::from_ref);
        self.spawned.store(at.cast_mut(), Ordering::Relaxed);
    }

    /// Its stack, while it has one.
    #[inline]
    pub fn stack(&self) -> Option<Sp> {
        // SAFETY: `set_stack`'s.
        unsafe { Sp::from_ptr(self.stack.load(Ordering::Relaxed)) }
    }

    #[inline]
    pub fn set_stack(&self, stack: Option<Sp>) {
        self.stack.store(stack.map_or(ptr::null_mut(), Sp::as_ptr), Ordering::Relaxed);
    }
}

/// A reference to a task (Go: `guintptr`).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Gp(NonNull<G>);

// SAFETY: a `G` is `Sync` and lives for ever.
unsafe impl Send for Gp {}
// SAFETY: as above.
unsafe impl Sync for Gp {}

impl Gp {
    /// # Safety
    /// `g` must point at the `G` of a [`Block`] that is never unmapped.
    pub unsafe fn new(g: NonNull<G>) -> Gp {
        Gp(g)
    }

    /// Where its closure lies, then its result, if they fit into [`ROOM`] bytes.
    pub fn room(self) -> *mut u8 {
        self.as_ptr().cast::<u8>().wrapping_add(memoffset::offset_of!(Block, room))
    }

    pub fn as_ptr(self) -> *mut G {
        self.0.as_ptr()
    }

    /// Its timer, by a pointer to all of the task.
    pub fn timer(self) -> NonNull<Timer> {
        // SAFETY: within the `G`.
        unsafe { self.0.byte_add(offset_of!(G, timer)).cast() }
    }

    /// The task whose timer this is.
    ///
    /// # Safety
    /// The pointer is from [`Gp::timer`].
    pub unsafe fn of_timer(timer: NonNull<Timer>) -> Gp {
        // SAFETY: within the same `G` (contract).
        Gp(unsafe { timer.byte_sub(offset_of!(G, timer)).cast() })
    }
}

impl Deref for Gp {
    type Target = G;
    #[inline]
    fn deref(&self) -> &G {
        // SAFETY: initialised and never unmapped (contract of `new`).
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: a `G` is aligned to 128, so its address is above 2; the pointer survives the trip.
unsafe impl Waiter for Gp {
    #[inline]
    fn into_word(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }

    #[inline]
    unsafe fn from_word(word: usize) -> Gp {
        // SAFETY: the word is the address of a `G` (contract), which is not null.
        Gp(unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(word)) })
    }
}

impl Linked for Gp {
    #[inline]
    fn link(&self) -> &Cell<Option<Gp>> {
        // SAFETY: as in `deref`.
        unsafe { &self.0.as_ref().schedlink }
    }
}

/// A queue of tasks (Go: `gQueue`).
#[derive(Default)]
pub(crate) struct GQueue {
    ends: Option<(Gp, Gp)>,
}

impl GQueue {
    pub const fn new() -> GQueue {
        GQueue { ends: None }
    }

    #[inline]
    pub fn push_back(&mut self, g: Gp) {
        g.schedlink.set(None);
        match &mut self.ends {
            Some((_, tail)) => {
                tail.schedlink.set(Some(g));
                *tail = g;
            }
            none => *none = Some((g, g)),
        }
    }

    #[inline]
    pub fn pop_front(&mut self) -> Option<Gp> {
        let (head, tail) = self.ends?;
        self.ends = head.schedlink.get().map(|next| (next, tail));
        Some(head)
    }

    /// Puts all of `other` before the first.
    pub fn prepend(&mut self, other: GQueue) {
        match (&mut self.ends, other.ends) {
            (Some((head, _)), Some((first, last))) => {
                last.schedlink.set(Some(*head));
                *head = first;
            }
            (none @ None, some) => *none = some,
            (Some(_), None) => {}
        }
    }

    /// The tasks in order, without taking them out.
    pub fn iter(&self) -> impl Iterator<Item = Gp> {
        core::iter::successors(self.ends.map(|(head, _)| head), |g| g.schedlink.get())
    }
}

/// A task's number, unique in the life of the process, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub(crate) NonZeroU64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    fn tasks(n: u64) -> Vec<Gp> {
        (1..=n)
            .map(|id| {
                // SAFETY: zeros are a block (its description), and this one is leaked.
                let g = unsafe {
                    let block: Box<Block> = Box::new(core::mem::zeroed());
                    Gp::new(NonNull::from(Box::leak(block)).cast())
                };
                g.set_id(id);
                g
            })
            .collect()
    }

    fn ids(queue: &GQueue) -> Vec<u64> {
        queue.iter().map(|g| g.id()).collect()
    }

    #[test]
    fn queues_are_first_in_first_out() {
        let (mut queue, g) = (GQueue::new(), tasks(3));
        assert!(queue.pop_front().is_none());
        g.iter().for_each(|&g| queue.push_back(g));
        assert_eq!(ids(&queue), [1, 2, 3]);
        assert!(queue.pop_front() == Some(g[0]));
        queue.push_back(g[0]);
        assert_eq!(ids(&queue), [2, 3, 1]);
        queue.prepend(GQueue::new());
        let mut first = GQueue::new();
        first.prepend(std::mem::take(&mut queue));
        first.pop_front();
        queue.push_back(g[1]);
        queue.prepend(first);
        assert_eq!(ids(&queue), [3, 1, 2]);
        while queue.pop_front().is_some() {}
        queue.push_back(g[2]);
        assert_eq!(ids(&queue), [3]);
    }

    #[test]
    fn words_come_back_as_the_task() {
        let g = tasks(1)[0];
        assert!(g.into_word() > 2);
        // SAFETY: the word has just come from `into_word`.
        assert!(unsafe { Gp::from_word(g.into_word()) } == g);
    }
}
