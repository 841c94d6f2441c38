//! `M`: a thread that runs tasks. Its scheduler loop is in `proc.rs`; here are its block, its birth and
//! its sleep.

use super::fault::{self, HANDLER_STACK};
use super::g::Gp;
use super::p::P;
use super::stack;
use super::{masks, schedule, state};
use crate::arch::{self, Context};
use crate::preempt;
use crate::rt;
use crate::sys::Errno;
use crate::sys::futex::{Scope, futex_wait, futex_wake};
use crate::sys::mm::{Prot, mprotect, munmap};
use crate::sys::thread::{CloneFlags, arch_prctl_set_fs};
use core::cell::{Cell, UnsafeCell};
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// Bytes of a thread's scheduler stack, guard page and the thread's block included.
const G0_STACK: usize = 64 << 10;

/// What is mapped for a thread: the stack of its handlers, and above that the scheduler's.
const STACKS: usize = HANDLER_STACK + G0_STACK;

/// Turns of the pause instruction before a thread without work sleeps: about 5 us. A wake-up across
/// CPUs costs three times that on a virtual machine, and work that comes at all tends to come soon.
const SPINS: u32 = 128;

/// The thread's block. The thread pointer holds its address.
#[repr(C)]
pub(crate) struct M {
    /// At `fs:0`: the address of this block, as the ABI has it.
    this: Cell<*const M>,
    /// At `fs:8`, the runtime's count: see [`preempt`].
    locks: AtomicU32,
    /// The kernel's number of the thread. That of the first is the process's: see [`M::set_first_tid`].
    pub tid: AtomicI32,
    /// At `fs:16`, the locks that the task holds: see [`preempt`].
    held: AtomicU64,
    /// Where the scheduler's loop was left.
    pub g0: UnsafeCell<Context>,
    /// The task on this thread.
    pub curg: Cell<Option<Gp>>,
    /// What to do for the task that has just left its stack.
    pub after: Cell<Option<After>>,
    /// What it runs tasks with; without one it may run the scheduler only.
    pub p: Cell<Option<&'static P>>,
    /// Handed over with the wake-up.
    nextp: AtomicPtr<P>,
    /// Looking for work; counted in `SCHED.search` (Go: `nmspinning`).
    pub spinning: Cell<bool>,
    /// See [`M::sleep`].
    note: AtomicU32,
    /// In the list of idle threads.
    pub link: Cell<Option<&'static M>>,
    /// In the list of all threads: see [`masks`].
    pub alllink: Cell<Option<&'static M>>,
    /// The last change of the signal mask that it has made.
    pub masked: AtomicU32,
    /// The kernel was told to end its sleeps on time.
    pub punctual: Cell<bool>,
    /// Never 0, once the thread runs.
    random: Cell<u32>,
    /// While the task is in a `syscall`: the P, as long as nobody takes it. `p` is none then.
    pub oldp: Cell<Option<&'static P>>,
}

// The counts must be where `arch::thread_count_inc` and `arch::thread_held_inc` look for them.
static_assertions::const_assert_eq!(memoffset::offset_of!(M, this), 0);
static_assertions::const_assert_eq!(memoffset::offset_of!(M, locks), 8);
static_assertions::const_assert_eq!(memoffset::offset_of!(M, held), 16);

// SAFETY: the cells of an M belong to its thread, or, while it is in the list of idle threads, to
// whoever takes it out (`startm`); `getm` gives a thread its own only. `alllink` is under the lock of
// `masks`.
unsafe impl Sync for M {}

/// Called on `g0` with the task that has left; `false` means it goes on at once.
#[derive(Clone, Copy)]
pub(crate) struct After {
    pub call: unsafe fn(*mut (), Gp) -> bool,
    pub data: *mut (),
}

/// The first function of a thread, given its block.
pub(super) type Main = unsafe extern "C" fn(*mut u8) -> !;

/// An odd number, so that no thread's first random one is 0 (Knuth's: the golden ratio's bits).
const SEED: u32 = 0x9e37_79b9;

/// States of the note.
const NONE: u32 = 0;
const WOKEN: u32 = 1;
const ASLEEP: u32 = 2;

/// The first thread's block.
pub(super) static M0: M = M::new();

impl M {
    const fn new() -> M {
        M {
            this: Cell::new(ptr::null()),
            locks: AtomicU32::new(0),
            tid: AtomicI32::new(0),
            held: AtomicU64::new(0),
            g0: UnsafeCell::new(Context::empty()),
            curg: Cell::new(None),
            after: Cell::new(None),
            p: Cell::new(None),
            nextp: AtomicPtr::new(ptr::null_mut()),
            spinning: Cell::new(false),
            note: AtomicU32::new(NONE),
            link: Cell::new(None),
            alllink: Cell::new(None),
            masked: AtomicU32::new(0),
            punctual: Cell::new(false),
            random: Cell::new(0),
            oldp: Cell::new(None),
        }
    }

    /// Makes the calling thread, the program's first, an M.
    pub fn first() -> Result<&'static M, Errno> {
        M0.this.set(&raw const M0);
        M0.random.set(SEED);
        // SAFETY: M0 lives for ever; a freestanding program has no other use for the thread pointer.
        unsafe { arch_prctl_set_fs((&raw const M0).cast_mut().cast()) }?;
        preempt::start();
        Ok(&M0)
    }

    /// Before the first thread is signalled. It has the number of the process, `pid`, which a program that signals
    /// nobody need not ask for.
    pub fn set_first_tid(pid: i32) {
        M0.tid.store(pid, Ordering::Relaxed);
    }

    /// Starts a thread with `p`.
    ///
    /// # Errors
    /// `ENOMEM` for its stack, `EAGAIN` of clone(2) at a limit of threads.
    pub fn spawn(p: &'static P, spinning: bool) -> Result<(), Errno> {
        M::map_and_start(M::main, |block| {
            block.nextp.store(ptr::from_ref(p).cast_mut(), Ordering::Relaxed);
            block.spinning.set(spinning);
        })
    }

    /// Starts a thread that runs `main` and no tasks.
    ///
    /// # Errors
    /// As [`M::spawn`].
    pub fn spawn_monitor(main: Main) -> Result<(), Errno> {
        M::map_and_start(main, |_| {})
    }

    fn map_and_start(main: Main, prepare: impl FnOnce(&M)) -> Result<(), Errno> {
        let stacks = stack::map(STACKS).ok_or(Errno::ENOMEM)?.as_ptr();
        let number = arch::stack_register(stacks.wrapping_add(HANDLER_STACK), stacks.wrapping_add(STACKS));
        let started = M::start(stacks, main, prepare);
        if started.is_err() {
            arch::stack_deregister(number);
            // SAFETY: nobody has used it.
            let _ = unsafe { munmap(stacks, STACKS) };
        }
        started
    }

    fn start(stacks: *mut u8, main: Main, prepare: impl FnOnce(&M)) -> Result<(), Errno> {
        // SAFETY: a page of our mapping.
        unsafe { mprotect(stacks.add(HANDLER_STACK), state::page(), Prot::empty()) }?;
        // SAFETY: within the mapping; aligned, since the size of an M is a multiple of its alignment.
        let m = unsafe { stacks.add(STACKS - size_of::<M>()) }.cast::<M>();
        // SAFETY: as above, and nobody else's yet.
        let block: &'static M = unsafe {
            m.write(M::new());
            &*m
        };
        block.this.set(m);
        prepare(block);
        block.random.set(m.addr() as u32 | SEED);
        let share = CloneFlags::VM
            | CloneFlags::FS
            | CloneFlags::FILES
            | CloneFlags::SIGHAND
            | CloneFlags::THREAD
            | CloneFlags::SYSVSEM;
        // The kernel writes the number there before the thread runs, and 0 if it ends, as only a program's own
        // exit(2) can make it: nobody signals a number that is somebody else's by then.
        let number = CloneFlags::PARENT_SETTID | CloneFlags::CHILD_CLEARTID;
        let flags = share | CloneFlags::SETTLS | number;
        let tid = block.tid.as_ptr();
        masks::add_thread(block, || {
            // SAFETY: the stack below the block is the new thread's alone, and is never unmapped: threads
            // sleep when there is nothing to do, and end with the process.
            let ret = unsafe {
                arch::clone_thread(flags.bits() as usize, m.cast(), tid, tid, m.cast(), main, m.cast())
            };
            crate::sys::result(ret as usize).map(drop)
        })
    }

    /// The first function of a thread.
    unsafe extern "C" fn main(block: *mut u8) -> ! {
        // SAFETY: `start` passed the new thread's block.
        let m = unsafe { &*block.cast::<M>() };
        fault::use_stack(block.wrapping_add(size_of::<M>()).wrapping_sub(STACKS));
        if let Some(p) = m.take_nextp() {
            schedule::acquirep(m, p);
        }
        schedule::schedule(m)
    }

    fn take_nextp(&self) -> Option<&'static P> {
        // SAFETY: null or what `start` or `wake` stored; a P lives for ever.
        unsafe { self.nextp.swap(ptr::null_mut(), Ordering::Acquire).as_ref() }
    }

    /// Sleeps until [`M::wake`]; returns the P that comes with it.
    pub fn sleep(&self) -> Option<&'static P> {
        for _ in 0..SPINS {
            if self.note.load(Ordering::Acquire) == WOKEN {
                break;
            }
            core::hint::spin_loop();
        }
        if self.note.compare_exchange(NONE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            while self.note.load(Ordering::Acquire) == ASLEEP {
                // EAGAIN and EINTR both mean: look again.
                let _ = futex_wait(&self.note, ASLEEP, None, Scope::Private);
            }
        }
        self.note.store(NONE, Ordering::Relaxed);
        self.take_nextp()
    }

    /// Ends the sleep of a thread that the caller took from the list of idle ones, with `p` to run.
    pub fn wake(&self, p: &'static P) {
        self.nextp.store(ptr::from_ref(p).cast_mut(), Ordering::Release);
        if self.note.swap(WOKEN, Ordering::AcqRel) == ASLEEP {
            // The word is in memory that is never unmapped: the call cannot fail.
            let _ = futex_wake(&self.note, 1, Scope::Private);
        }
    }

    /// A number to begin a search with (xorshift32, Marsaglia 2003).
    pub fn random(&self) -> u32 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.random.set(x);
        x
    }

    /// Whether the task is inside the runtime, or holds a lock of the program.
    pub fn locked(&self) -> bool {
        self.locks.load(Ordering::Relaxed) != 0 || self.holds_a_lock()
    }

    #[inline(always)]
    fn holds_a_lock(&self) -> bool {
        preempt::any_held() && self.held.load(Ordering::Relaxed) != 0
    }

    /// The task is about to leave this thread, or to let its P go: not with a [`RawLock`](rt::RawLock), which other threads
    /// may be waiting for and whose count stays here.
    #[inline]
    pub fn assert_no_lock(&self) {
        if self.holds_a_lock() {
            report_lock(self);
        }
    }

    /// Forgets that the task that has left was inside the runtime.
    pub fn unlock_all(&self) {
        self.locks.store(0, Ordering::Relaxed);
    }
}

#[cold]
#[inline(never)]
fn report_lock(m: &M) -> ! {
    let task = m.curg.get().map_or(0, |g| g.id());
    let mut line = rt::Line::urgent();
    let _ = line
        .str("netpoll: task ")
        .number(task)
        .str(" would wait or end while it holds a netpoll::rt::RawLock");
    line.end();
    rt::exit(rt::PANICKED)
}

/// The calling thread's block. The caller must not be preemptible, or not care for which thread it is.
#[inline]
pub(crate) fn getm() -> &'static M {
    if !preempt::runtime() {
        no_runtime();
    }
    // SAFETY: the runtime runs, so the thread pointers of its threads hold blocks that are never freed.
    // Whoever makes threads of his own answers for them (`unsafe`).
    unsafe { &*arch::thread_pointer().cast::<M>() }
}

/// The calling thread's block, with preemption off until [`releasem`] or the next switch (Go:
/// `acquirem`).
#[inline]
pub(crate) fn acquirem() -> &'static M {
    if !preempt::runtime() {
        no_runtime();
    }
    // SAFETY: as in `getm`; first the count, so that the block is still this thread's when it is read.
    unsafe {
        arch::thread_count_inc();
        &*arch::thread_pointer().cast::<M>()
    }
}

/// See [`acquirem`].
#[inline]
pub(crate) fn releasem() {
    // SAFETY: `acquirem`, which came before, has looked whether the runtime runs.
    unsafe { arch::thread_count_dec() };
}

/// Somebody calls the runtime in a program that `entry!` did not start (a test on std, say).
#[cold]
fn no_runtime() -> ! {
    rt::fatal("the runtime is not running: make the program with netpoll::entry!", state::START_STATUS)
}
