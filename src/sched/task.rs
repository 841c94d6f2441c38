//! Spawning and joining.
//!
//! The closure is stored in the new task's block, and its result takes the same place, so that neither
//! needs an allocator. If one of them is too big for that, both lie on the task's stack. Who frees what:
//! see `join.rs`.

use super::g::{Gp, Place, ROOM, Status, TaskId, WaitReason};
use super::join::Handle;
use super::life;
use super::m::getm;
use super::proc::{self, gopark};
use super::scope::{Scope, ScopedJoinHandle};
use super::state;
use super::sysmon::MONITOR;
use super::threads::THREADS;
use crate::arch::Context;
use crate::poll::Waiter;
use crate::rt;
use crate::sys::Errno;
use crate::sys::thread::sched_getaffinity;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::num::NonZeroU64;
use core::panic::Location;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

/// What a task is given: its closure, then its result, at the same address, and what it does last, when
/// it has no use any more for anything that is not its own.
#[repr(C)]
struct Slot<F, T, E> {
    value: Value<F, T>,
    at_end: ManuallyDrop<E>,
}

#[repr(C)]
union Value<F, T> {
    closure: ManuallyDrop<F>,
    result: ManuallyDrop<T>,
}

impl<F, T, E> Slot<F, T, E> {
    /// Whether it fits into the task's block, which is aligned to [`ROOM`] as well.
    const FITS: bool = size_of::<Self>() <= ROOM && align_of::<Self>() <= ROOM;
}

/// Why there is no task.
pub(super) const NO_STACK: &str = "no memory for a new task's stack";

/// More threads than CPUs anybody has.
const MAX_THREADS: usize = 1024;

/// How a program is set up: given to [`entry!`](crate::entry), or used to spawn with an error instead
/// of a panic.
#[derive(Clone, Copy, Debug)]
pub struct Builder {
    threads: usize,
    stack_size: usize,
    preemption: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// The defaults: as many threads as the program may use CPUs, stacks of 256 KiB.
    pub const fn new() -> Builder {
        Builder { threads: 0, stack_size: 0, preemption: true }
    }

    /// How many threads run tasks at once; `NETPOLL_THREADS` in the environment beats it, and 0 means
    /// one for each CPU. Only 1 is final: such a program is linked without what several threads need,
    /// if its builder is a constant and the optimizer sees the whole program (`lto`).
    pub const fn threads(mut self, n: usize) -> Builder {
        self.threads = n;
        self
    }

    /// Whether tasks that compute for more than 10 ms are interrupted for others; on by default, and off with
    /// `NETPOLL_PREEMPTION=0` in the environment (under valgrind, say, which has signals its own way). Without,
    /// a task keeps its thread until it parks or yields, also in a [`syscall`](crate::syscall()), SIGQUIT ends
    /// the program without a word, and a program whose builder is a constant has no monitor in it.
    pub const fn preemption(mut self, on: bool) -> Builder {
        self.preemption = on;
        self
    }

    /// Bytes of a task's stack, the guard page included; at least 16 KiB, at most 1 TiB, rounded up to
    /// a power of two. The builder given to [`entry!`](crate::entry) sets the size of all tasks, a builder that
    /// spawns sets that of its task; 0 is 256 KiB there, and the program's size here. Untouched pages are no memory;
    /// where address space is limited (`ulimit -v`, `vm.overcommit_memory=2`) they count all the same. A task that
    /// overflows its stack is reported, with the size to try next. A task with a size of its own takes longer to spawn and end (a lock), and has its stack
    /// from the beginning, not from its first turn on.
    pub const fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = bytes;
        self
    }

    /// `NETPOLL_THREADS`, what the program asked for, or the CPUs it may use; tells the scheduler how to
    /// use several threads, unless the program has said that there is one.
    #[inline(always)]
    pub(crate) fn set_up_threads(&self, env: &rt::Env) -> usize {
        if self.threads == 1 {
            return 1;
        }
        // Also for one thread: a blocking call then has another to give its tasks to.
        state::set_threads(&THREADS);
        self.thread_count(env)
    }

    /// Tells the scheduler of the monitor, if there is to be one.
    #[inline(always)]
    pub(crate) fn set_up_monitor(&self, env: &rt::Env) {
        if self.preemption && env.var(c"NETPOLL_PREEMPTION").is_none_or(|on| on.to_bytes() != b"0") {
            state::set_monitor(&MONITOR);
        }
    }

    fn thread_count(&self, env: &rt::Env) -> usize {
        // By hand: `str::parse` and what it brings would be a tenth of a small program.
        let digit = |n: usize, c: &u8| {
            let digit = c.is_ascii_digit().then(|| usize::from(c - b'0'))?;
            n.checked_mul(10)?.checked_add(digit)
        };
        let wanted = env.var(c"NETPOLL_THREADS").and_then(|n| n.to_bytes().iter().try_fold(0, digit));
        let n = match wanted.unwrap_or(self.threads) {
            0 => sched_getaffinity(0).map_or(1, |cpus| cpus.count() as usize),
            n => n,
        };
        n.clamp(1, MAX_THREADS)
    }

    pub(crate) const fn stack_bytes(&self) -> usize {
        self.stack_size
    }

    /// As [`spawn`], with an error where that panics.
    ///
    /// # Errors
    /// `ENOMEM` when there is no address space for its stack (below Linux 6.13 also at about 32,000 tasks,
    /// when `vm.max_map_count` is used up), or no memory for a stack that it has from the beginning: if it
    /// has a size of its own, or closure or result are larger than 128 bytes. `E2BIG` when these need more
    /// than a quarter of a stack.
    ///
    /// Any other task gets its stack with its first turn. Should the kernel refuse it then, the task waits
    /// until other tasks have ended; if nobody else can go on the program ends, as by a deadlock, with a
    /// line that says why.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, Errno>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: closure and result own all they refer to ('static).
        unsafe { spawn_unchecked(self.stack_size, Some(Location::caller()), f) }
    }

    /// As [`Scope::spawn`], with an error where that panics (std: `thread::Builder::spawn_scoped`).
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> Result<ScopedJoinHandle<'scope, T>, Errno>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.try_spawn(self.stack_size, Some(Location::caller()), f)
    }
}

/// Starts a task that runs `f` (Go: the `go` statement). It becomes runnable at once and runs when the
/// spawning task next gives way. Dropping the handle detaches it; when the main task returns the
/// program ends, whatever others are doing.
///
/// If there is no room for its stack the program ends, with a line that says so and status 101, as by a panic;
/// [`Builder::spawn`] returns the error instead.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match Builder::new().spawn(f) {
        Ok(handle) => handle,
        // Not `panic!`: its formatting would be half of a small program.
        Err(Errno::E2BIG) => {
            rt::fatal("a new task's closure or result is too big for its stack", rt::PANICKED)
        }
        Err(_) => rt::fatal(NO_STACK, rt::PANICKED),
    }
}

/// # Safety
/// Whatever `f` and its result borrow must outlive the task.
pub(super) unsafe fn spawn_unchecked<F, T>(stack_size: usize, at: Place, f: F) -> Result<JoinHandle<T>, Errno>
where
    F: FnOnce() -> T,
{
    // SAFETY: the caller's contract.
    unsafe { spawn_with(stack_size, at, f, || ()) }
}

/// As [`spawn_unchecked`], for a task that calls `at_end`, also if its result is left to its handle.
/// `stack_size`: in bytes, or 0 for the program's; `at`: where the task is spawned, for reports.
///
/// # Safety
/// What `f` borrows must last until `at_end` is called, and what its result borrows as long as the handle
/// too. (After an error it is not called.)
pub(super) unsafe fn spawn_with<F, T, E>(
    stack_size: usize,
    at: Place,
    f: F,
    at_end: E,
) -> Result<JoinHandle<T>, Errno>
where
    F: FnOnce() -> T,
    E: FnOnce(),
{
    static LAST_ID: AtomicU64 = AtomicU64::new(0);

    let fits = Slot::<F, T, E>::FITS;
    let lazy = fits && stack_size == 0;
    let (g, top) = if lazy {
        // Its block is not read before it is written to: the first touch of a page would be two faults.
        (life::gfget().ok_or(Errno::ENOMEM)?, ptr::null_mut())
    } else {
        let need = if fits { 0 } else { size_of::<Slot<F, T, E>>() + align_of::<Slot<F, T, E>>() };
        let (g, stack) = life::gfget_with_stack(stack_size, need)?;
        (g, stack.top)
    };
    let slot = if fits { g.room().cast() } else { below::<Slot<F, T, E>>(top) };
    // SAFETY: in the block of a task that has not begun, or on its stack, on which nothing is; it is large
    // enough (`FITS`), or `gfget_with_stack` checked it.
    unsafe {
        slot.write(Slot { value: Value { closure: ManuallyDrop::new(f) }, at_end: ManuallyDrop::new(at_end) })
    };
    g.set_id(LAST_ID.fetch_add(1, Ordering::Relaxed) + 1);
    g.set_spawned(at);
    g.join.reset();
    if lazy {
        g.set_begin(run::<F, T, E>);
    } else {
        let top = if fits { top } else { slot.cast() };
        // SAFETY: below is the rest of the stack, unused.
        g.begun(unsafe { Context::new(top, run::<F, T, E>, slot.cast()) });
    }
    proc::start(g);
    Ok(JoinHandle { g, result: slot.cast(), owns: PhantomData })
}

/// The highest place for a `T` that ends below `top`.
fn below<T>(top: *mut u8) -> *mut T {
    let below = top.wrapping_sub(size_of::<T>());
    below.wrapping_sub(below as usize % align_of::<T>()).cast()
}

/// The bottom frame of every task.
unsafe extern "C" fn run<F, T, E>(slot: *mut u8) -> !
where
    F: FnOnce() -> T,
    E: FnOnce(),
{
    let slot = slot.cast::<Slot<F, T, E>>();
    // SAFETY: `spawn_unchecked` wrote the closure; it is moved out once, and the result takes its place.
    unsafe {
        let f = ManuallyDrop::take(&mut (*slot).value.closure);
        (*slot).value.result = ManuallyDrop::new(f());
    }
    let handle = proc::getg().join.returned();
    if let Handle::Dropped = handle {
        // SAFETY: the result was just written, and nobody is left to take it.
        unsafe { ManuallyDrop::drop(&mut (*slot).value.result) };
    }
    // SAFETY: the slot is this task's until `finish`; moved out once.
    let at_end = unsafe { ManuallyDrop::take(&mut (*slot).at_end) };
    at_end();
    if Slot::<F, T, E>::FITS { proc::goexit::<false>(handle) } else { proc::goexit::<true>(handle) }
}

/// On the scheduler's stack, when the thread has left that of `g`, which found its handle so.
#[inline]
pub(super) fn finish(g: Gp, handle: Handle, on_stack: bool) {
    g.casgstatus(Status::Running, Status::Dead);
    if !on_stack {
        // Before the handle is told: behind that the block may be another task's.
        life::leave_stack(getm().p.get(), g);
    }
    match handle {
        Handle::Dropped => life::gfput(g),
        Handle::Held if g.join.left() => life::gfput(g),
        Handle::Held => {}
        // SAFETY: the word is that of the joiner parked in `join`, and comes back this once.
        Handle::Waits(word) => proc::goready(unsafe { Gp::from_word(word) }),
    }
}

/// A task that can be waited for. Dropping it lets the task run on by itself.
#[must_use = "dropping the handle detaches the task; `drop` it to say so"]
pub struct JoinHandle<T> {
    g: Gp,
    result: *mut T,
    owns: PhantomData<T>,
}

// SAFETY: the handle gives away the result, by value, and nothing else.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: with a shared handle one can only read the task's number, and whether it has returned.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Waits until the task has returned, and gives what it returned. Parks the calling task. There is
    /// no error: a task that panics ends the program.
    pub fn join(self) -> T {
        let this = ManuallyDrop::new(self);
        let g = this.g;
        let parked = Cell::new(false);
        if !g.join.is_done() {
            gopark(WaitReason::Join, |me| {
                // Before the exchange: behind it this frame may be running again, elsewhere.
                parked.set(true);
                let waits = g.join.park(me.into_word());
                if !waits {
                    parked.set(false);
                }
                waits
            });
        }
        // SAFETY: the task has written its result (`park` failed or we were readied), and it is moved
        // out once, since the handle is gone.
        let result = unsafe { this.result.read() };
        if parked.get() || g.join.taken() {
            life::gfput(g);
        }
        result
    }

    /// Whether the task has returned: [`join`](JoinHandle::join) does not park then.
    pub fn is_finished(&self) -> bool {
        self.g.join.is_done()
    }

    /// The task's number.
    pub fn id(&self) -> TaskId {
        // The control block is not reused before this handle is gone, and numbers begin at 1.
        TaskId(NonZeroU64::new(self.g.id()).unwrap_or(NonZeroU64::MIN))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if self.g.join.detach() {
            return;
        }
        // SAFETY: the result is there, and nobody else will take it.
        unsafe { self.result.drop_in_place() };
        if self.g.join.taken() {
            life::gfput(self.g);
        }
    }
}
