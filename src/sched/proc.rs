//! Running tasks: threads, run queues, park and ready, and the loop that picks what runs next.

use super::g::{GList, GQueue, Gp, Stack, Status, WaitReason};
use super::join::Handle;
use super::stack::StackPool;
use super::{overflow, task};
use crate::arch::{self, Context, switch};
use crate::lock::Mutex;
use crate::rt;
use crate::sys::Errno;
use crate::sys::thread::arch_prctl_set_fs;
use core::cell::{Cell, UnsafeCell};
use core::mem::{self, ManuallyDrop};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// After so many dispatches a busy thread looks at the poller and the global queue before its own
/// queue (Go's figure, there for the global queue; a prime, so that it falls in with no pattern).
const FAIRNESS: u32 = 61;

/// So often in a row the task in `runnext` is preferred. Two that ready each other would otherwise keep
/// everybody else waiting (tokio's figure for its LIFO slot).
const RUNNEXT_IN_A_ROW: u32 = 3;

/// Exit status of a deadlock (Go's), and of a program that could not be started.
const DEADLOCK_STATUS: i32 = 2;
const START_STATUS: i32 = 1;

/// A thread that runs tasks. The thread pointer holds its address.
#[repr(C)]
pub(crate) struct M {
    /// At `fs:0`: the address of this block, as the ABI has it.
    this: Cell<*const M>,
    /// Where the scheduler's loop was left.
    g0: UnsafeCell<Context>,
    /// The task on this thread.
    curg: Cell<Option<Gp>>,
    /// What to do for the task that has just left its stack.
    after: Cell<After>,
    p: P,
}

/// What a thread needs to run tasks (in Go a token of its own; here part of the only thread).
pub(crate) struct P {
    /// The task readied last: it runs next, while what it was sent is still in the cache.
    runnext: Cell<Option<Gp>>,
    in_a_row: Cell<u32>,
    runq: UnsafeCell<GQueue>,
    schedtick: Cell<u32>,
    /// Dead tasks with their stacks, the last used on top.
    gfree: UnsafeCell<GList>,
}

/// Called on `g0` with the task that has left; `false` means it goes on at once.
#[derive(Clone, Copy)]
struct After {
    call: unsafe fn(*mut (), Gp) -> bool,
    data: *mut (),
}

/// What all threads share.
struct Sched {
    runq: Mutex<GQueue>,
    /// Tasks in `runq`, so that an empty queue is not locked.
    runq_size: AtomicUsize,
    stacks: Mutex<StackPool>,
    page: AtomicUsize,
    /// A `fn(bool) -> bool`: see [`set_poller`].
    poll: AtomicPtr<()>,
}

static SCHED: Sched = Sched {
    runq: Mutex::new(GQueue::new()),
    runq_size: AtomicUsize::new(0),
    stacks: Mutex::new(StackPool::new()),
    page: AtomicUsize::new(0),
    poll: AtomicPtr::new(ptr::null_mut()),
};

// SAFETY: the cells of an M belong to its thread; `getm` gives a thread its own only.
unsafe impl Sync for M {}

static M0: M = M {
    this: Cell::new(ptr::null()),
    g0: UnsafeCell::new(Context::empty()),
    curg: Cell::new(None),
    after: Cell::new(After { call: |_, _| false, data: ptr::null_mut() }),
    p: P {
        runnext: Cell::new(None),
        in_a_row: Cell::new(0),
        runq: UnsafeCell::new(GQueue::new()),
        schedtick: Cell::new(0),
        gfree: UnsafeCell::new(GList::new()),
    },
};

/// The calling thread's M.
#[inline(always)]
fn getm() -> &'static M {
    if M0.this.get().is_null() {
        no_runtime();
    }
    // SAFETY: the runtime has been started, so the thread pointer of the program's one thread holds an
    // M that is never freed (`run_main`). Whoever makes threads of his own answers for them (`unsafe`).
    unsafe { &*arch::thread_pointer().cast::<M>() }
}

/// Somebody calls the runtime in a program that `entry!` did not start (a test on std, say).
#[cold]
fn no_runtime() -> ! {
    rt::fatal("the runtime is not running: make the program with netpoll::entry!", START_STATUS)
}

/// The running task.
#[inline(always)]
pub(crate) fn getg() -> Gp {
    running_on(getm())
}

#[inline(always)]
fn running_on(m: &M) -> Gp {
    // SAFETY: the scheduler's own code, which runs without a task, never asks; all other code runs in
    // one.
    unsafe { m.curg.get().unwrap_unchecked() }
}

/// The running task, if one is running.
#[inline(never)]
pub(crate) fn current() -> Option<Gp> {
    if M0.this.get().is_null() {
        return None; // before the runtime
    }
    getm().curg.get()
}

/// The running task's number and stack: for reports of panics and overflows.
pub(crate) fn running() -> Option<(u64, Stack)> {
    current().map(|g| (g.id.get(), g.stack))
}

/// Bytes of a page, as the kernel told.
pub(super) fn page() -> usize {
    SCHED.page.load(Ordering::Relaxed)
}

/// Leaves the task's stack; `after` is called on the scheduler's. Returns when the task runs again.
#[inline(always)]
fn mcall(m: &M, g: Gp, after: After) {
    m.after.set(after);
    // SAFETY: `g0` was left by `schedule`, which runs this task; `g.context` is switched to only by
    // `schedule`, once the task is runnable again. `m` is not used behind the switch.
    unsafe { switch(g.context.get(), m.g0.get()) }
}

/// Parks the running task (Go: `gopark`). When it is off its stack, `commit` is called with it; `false`
/// sends it on at once. As soon as `commit` has made the task known to somebody, that somebody may
/// ready it, so behind that point `commit` must not touch what it borrowed from the task.
#[inline]
pub(crate) fn gopark<F: FnOnce(Gp) -> bool>(reason: WaitReason, commit: F) {
    unsafe fn after<F: FnOnce(Gp) -> bool>(data: *mut (), g: Gp) -> bool {
        // SAFETY: `data` is the closure below, in the frame of a task that is not running; it is moved
        // out, once, before the task can run again.
        let commit = unsafe { data.cast::<F>().read() };
        g.casgstatus(Status::Running, Status::Waiting);
        let parked = commit(g);
        if !parked {
            g.casgstatus(Status::Waiting, Status::Running);
        }
        parked
    }
    let m = getm();
    let g = running_on(m);
    g.set_wait_reason(reason);
    let mut commit = ManuallyDrop::new(commit);
    mcall(m, g, After { call: after::<F>, data: (&raw mut commit).cast() });
}

/// Makes a parked task runnable, to run next (Go: `goready`).
pub(crate) fn goready(g: Gp) {
    g.casgstatus(Status::Waiting, Status::Runnable);
    runqput(&getm().p, g);
}

/// Makes a parked task runnable, behind all others.
#[cold]
pub(super) fn goready_last(g: Gp) {
    g.casgstatus(Status::Waiting, Status::Runnable);
    globrunqput(g);
}

/// Lets other tasks run: the calling one goes behind all that are runnable (Go: `Gosched`).
pub fn yield_now() {
    unsafe fn after(_: *mut (), g: Gp) -> bool {
        g.casgstatus(Status::Running, Status::Runnable);
        globrunqput(g);
        true
    }
    let m = getm();
    mcall(m, running_on(m), After { call: after, data: ptr::null_mut() });
}

/// The end of a task, which found its handle so.
pub(super) fn goexit(mut handle: Handle) -> ! {
    unsafe fn after(data: *mut (), g: Gp) -> bool {
        // SAFETY: `handle` below, copied before the stack is given away.
        let handle = unsafe { data.cast::<Handle>().read() };
        task::finish(g, handle);
        true
    }
    let m = getm();
    mcall(m, running_on(m), After { call: after, data: (&raw mut handle).cast() });
    rt::fatal("a dead task was run", START_STATUS)
}

/// Puts a new task in the queue, to run next.
pub(super) fn start(g: Gp, from: Status) {
    g.casgstatus(from, Status::Runnable);
    runqput(&getm().p, g);
}

/// A dead task with its stack, or a new one (Go: `gfget`), for a closure and result of `need` bytes.
pub(super) fn gfget(need: usize) -> Result<(Gp, Status), Errno> {
    // SAFETY: this thread's P; no other borrow of the list is live.
    if let Some(g) = unsafe { &mut *getm().p.gfree.get() }.pop() {
        if need > g.stack.size / 4 {
            gfput(g);
            return Err(Errno::E2BIG);
        }
        return Ok((g, Status::Dead));
    }
    let mut stacks = SCHED.stacks.lock();
    if need > stacks.closure_limit() {
        return Err(Errno::E2BIG);
    }
    Ok((stacks.make()?, Status::Idle))
}

/// Gives a dead task's stack to the next (Go: `gfput`).
pub(super) fn gfput(g: Gp) {
    // SAFETY: as in `gfget`.
    unsafe { &mut *getm().p.gfree.get() }.push(g);
}

/// Puts `g` in the queue to run next; the one that was to run next goes to the end (Go: `runqput`).
fn runqput(p: &P, g: Gp) {
    if let Some(kicked) = p.runnext.replace(Some(g)) {
        // SAFETY: this thread's P; no other borrow of the queue is live.
        unsafe { &mut *p.runq.get() }.push_back(kicked);
    }
}

/// The next from this thread's own queue (Go: `runqget`).
#[inline]
fn runqget(p: &P) -> Option<Gp> {
    // SAFETY: as in `runqput`.
    let runq = unsafe { &mut *p.runq.get() };
    if let Some(g) = p.runnext.take() {
        if p.in_a_row.get() < RUNNEXT_IN_A_ROW {
            p.in_a_row.set(p.in_a_row.get() + 1);
            return Some(g);
        }
        runq.push_back(g);
    }
    p.in_a_row.set(0);
    runq.pop_front()
}

/// Puts `g` at the end of the queue of all threads (Go: `globrunqput`).
fn globrunqput(g: Gp) {
    let mut runq = SCHED.runq.lock();
    runq.push_back(g);
    SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) + 1, Ordering::Release);
}

/// Takes the first from the queue of all threads (Go: `globrunqget`).
fn globrunqget() -> Option<Gp> {
    if SCHED.runq_size.load(Ordering::Acquire) == 0 {
        return None;
    }
    let mut runq = SCHED.runq.lock();
    let g = runq.pop_front()?;
    SCHED.runq_size.store(SCHED.runq_size.load(Ordering::Relaxed) - 1, Ordering::Release);
    Some(g)
}

/// Makes what a poll woke runnable, in its order (Go: `injectglist`).
pub(super) fn injectglist(woken: GQueue) {
    woken.iter().for_each(|g| g.casgstatus(Status::Waiting, Status::Runnable));
    // SAFETY: as in `runqput`.
    unsafe { &mut *getm().p.runq.get() }.append(woken);
}

/// The next task to run (Go: `findRunnable`). Blocks while there is none.
fn find_runnable(p: &P) -> Gp {
    loop {
        let tick = p.schedtick.get() + 1;
        p.schedtick.set(tick);
        if tick == FAIRNESS {
            poll(p, false);
            if let Some(g) = globrunqget() {
                return g;
            }
        }
        if let Some(g) = runqget(p).or_else(globrunqget) {
            return g;
        }
        if !poll(p, true) {
            deadlock();
        }
    }
}

/// Looks for tasks that the poller can wake, and waits for the first if `block`. `false`: there is
/// nothing that could wake one. The next look for fairness' sake is a whole round away again.
#[inline]
fn poll(p: &P, block: bool) -> bool {
    p.schedtick.set(0);
    let hook = SCHED.poll.load(Ordering::Relaxed);
    // SAFETY: `None` or what `set_poller` stored; a null function pointer is `None`.
    match unsafe { mem::transmute::<*mut (), Option<fn(bool) -> bool>>(hook) } {
        Some(poll) => poll(block),
        None => false,
    }
}

/// Tells the scheduler how to poll. Before that there is nothing to poll for, and a program that never
/// waits for a descriptor or a time has no poller in it at all.
pub(super) fn set_poller(poll: fn(bool) -> bool) {
    SCHED.poll.store(poll as *mut (), Ordering::Relaxed);
}

/// Everybody waits for somebody else (Go: `checkdead`).
#[cold]
fn deadlock() -> ! {
    rt::fatal("all tasks are asleep: deadlock", DEADLOCK_STATUS)
}

/// The scheduler's loop, on `g0`.
fn schedule(m: &'static M) -> ! {
    loop {
        let g = find_runnable(&m.p);
        g.casgstatus(Status::Runnable, Status::Running);
        m.curg.set(Some(g));
        loop {
            // SAFETY: a runnable task's stack was left by `mcall` or made by `spawn`, and is ours now.
            unsafe { switch(m.g0.get(), g.context.get()) };
            let After { call, data } = m.after.get();
            // SAFETY: `mcall`'s caller gave a function for these data, and the task is off its stack.
            if unsafe { call(data, g) } {
                break;
            }
        }
        m.curg.set(None);
    }
}

/// Makes the calling thread the program's first M, runs `main` as task 1 on it, and ends the process
/// with what `main` returns. `page`: the machine's page size.
pub(crate) fn run_main(page: usize, stack_size: usize, main: impl FnOnce() -> i32) -> ! {
    M0.this.set(&raw const M0);
    // SAFETY: M0 lives for ever; a freestanding program has no other use for the thread pointer.
    if unsafe { arch_prctl_set_fs((&raw const M0).cast_mut().cast()) }.is_err() {
        rt::fatal("arch_prctl(ARCH_SET_FS) is refused", START_STATUS);
    }
    SCHED.page.store(page, Ordering::Relaxed);
    SCHED.stacks.lock().configure(page, stack_size);
    overflow::install();
    // SAFETY: `main` owns what it uses; the process ends before this frame does.
    let main = unsafe { task::spawn_unchecked(move || -> () { rt::exit(main()) }) };
    match main {
        Ok(handle) => drop(handle),
        Err(_) => rt::fatal("no memory for the main task's stack", START_STATUS),
    }
    schedule(&M0)
}
