//! Stacks: slots of large mappings, committed page by page as they are touched, with a guard page at
//! the low end of each.
//!
//! ```text
//!  slab:   | Slab | Block | Block | ... | Stack | Stack | ...  |  slot  |  slot  | ...
//!
//!  slot:   lo                                                            lo + size
//!          | guard page |  free ...  <- grows down |  closure, result  |  colour  |
//! ```
//!
//! A task has one from its first dispatch to its end, and the next task to begin finds it hot. Only a
//! task whose closure or result is too big for its block ([`G`](super::g::G)) has it earlier, for they
//! lie there, and later, until the result is taken. So has, earlier, one that asked for a size of its
//! own.
//!
//! The guard is `MADV_GUARD_INSTALL` where the kernel has it (Linux 6.13): it costs no mapping of its
//! own, so that a million stacks are one mapping. Below that it is `mprotect`, which splits the mapping
//! and ends near 32,000 stacks at the usual `vm.max_map_count`, with `ENOMEM`.
//!
//! # Promises
//! Whoever spawns a task is told `ENOMEM`; a task that is to begin can be told nothing. So there is a
//! slot for every task's block ([`Class::make_task`]): they lie in the same slabs, as many of one as of
//! the other. It is address space, and a guard, too, where that may be refused. What a first dispatch can
//! still lack is in `life.rs`.
//!
//! Sizes are powers of two, each with its own slabs and lists ([`Class`]). A slot is never unmapped. The
//! tops of the stacks are spread over cache sets ("colour"), since otherwise every parked task's few live
//! lines would compete for the same ones.

use super::depth;
use super::g::{Block, Gp};
use super::spare::{Linked, List};
use super::state::page;
use crate::arch;
use crate::lock::Mutex;
use crate::sys::RawFd;
use crate::sys::mm::{Advice, MapFlags, Prot, madvise, mmap, mprotect, munmap};
use core::cell::Cell;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// Bytes of a stack unless the program chooses otherwise, guard page included: enough for ordinary code, with buffers
/// as large as a pipe (64 KiB), formatting, parsers and TLS. Only touched pages are memory: a task that parks in
/// shallow frames costs one.
///
/// What a larger size does cost is page tables, one page of them for each 2 MiB of stacks. Measured with 10,000 parked
/// tasks (Linux 6.18, 2 virtual CPUs of an AMD EPYC, November 2026):
///
/// | bytes a task | 64 KiB | 256 KiB |
/// |---|---|---|
/// | resident (`VmRSS`) | 4,389 | 4,389 |
/// | page tables (`VmPTE`) | 130 | 514 |
///
/// Together 8 % more. A page of tables describes 512 pages in a row, and a stack is a row of 64: so it has room for the
/// first pages of 8 stacks, in whatever order the stacks lie. Only stacks in two parts could share more.
const DEFAULT_STACK: usize = 256 << 10;

/// The least that can be asked for: the guard, and room for formatting a panic.
const MIN_STACK: usize = 16 << 10;

/// The most: one such stack is less than the address space, if not by much.
const MAX_STACK: usize = 1 << 40;

/// Sizes there are.
const SIZES: usize = (MAX_STACK / MIN_STACK).ilog2() as usize + 1;

/// Bytes of the first slab of a size, and of the largest; each is twice as large as the one before. At
/// least one stack. So 10,000 tasks with stacks of the default size take 14 slabs, hence 14 calls of mmap(2).
const FIRST_SLAB: usize = 32 * DEFAULT_STACK;
const MAX_SLAB: usize = 1024 * DEFAULT_STACK;

/// Colours, and the step between them: together a quarter of a page, so that a task that parks in
/// shallow frames still fits its first page.
const COLOURS: usize = 16;
const COLOUR_STEP: usize = 64;

/// Bytes of address space that a slab leaves to others where there is not much of it. Else a program that runs into
/// its limit by tasks would have none for the first page of a heap of timers, and never will: slabs stay.
const RESERVE: usize = 64 << 10;

const NO_FILE: RawFd = -1;

/// What stands at the beginning of a slab, in the place of a task's block.
pub(crate) struct Slab {
    /// The slab of this size mapped before this one.
    pub older: *mut Slab,
    /// The first slot.
    pub lo: *mut u8,
    slots: usize,
    /// Slots, and tasks, that there have ever been.
    made: AtomicUsize,
    tasks: AtomicUsize,
    /// The next of this size with slots that nobody has had.
    next_open: *mut Slab,
}

impl Slab {
    /// Slots that anybody has ever had.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Tasks there have ever been, dead ones included. (Zeros are one that is dead.)
    pub fn tasks(&self) -> impl Iterator<Item = Gp> {
        (0..self.tasks.load(Ordering::Relaxed)).map(|n| self.task(n))
    }

    /// The blocks of its tasks; behind them are those of its stacks.
    fn blocks(&self) -> *mut Block {
        // By way of the address: a reference to the header would be good for the header only.
        ptr::with_exposed_provenance_mut::<Block>(ptr::from_ref(self).addr()).wrapping_add(1)
    }

    fn task(&self, n: usize) -> Gp {
        let g = self.blocks().wrapping_add(n).cast();
        // SAFETY: a block in the slab, of zeros or used, aligned, as its size divides a page's; never
        // unmapped, so not null.
        unsafe { Gp::new(NonNull::new_unchecked(g)) }
    }
}

/// A stack's block. Never unmapped, and, unlike the stack's pages, never given back.
pub(crate) struct Stack {
    link: Cell<Option<Sp>>,
    /// Lowest address: the guard page.
    pub lo: NonNull<u8>,
    /// Where the task's frames, or its closure, begin.
    pub top: *mut u8,
    pub class: &'static Class,
}

/// A stack: who has this may use it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Sp(NonNull<Stack>);

impl Sp {
    /// # Safety
    /// `stack` must be null or come from [`Sp::as_ptr`].
    #[inline]
    pub unsafe fn from_ptr(stack: *mut Stack) -> Option<Sp> {
        NonNull::new(stack).map(Sp)
    }

    #[inline]
    pub fn as_ptr(self) -> *mut Stack {
        self.0.as_ptr()
    }

    /// For valgrind: it is a task's, and nothing on it has been written.
    #[inline(always)]
    pub fn begins(self) {
        if arch::VALGRIND {
            arch::memory_begins(self.lo.as_ptr(), self.class.size());
        }
    }

    /// For valgrind: it is nobody's. What still points there points nowhere.
    #[inline(always)]
    pub fn ends(self) {
        if arch::VALGRIND {
            arch::memory_ends(self.lo.as_ptr(), self.class.size());
        }
    }
}

impl Deref for Sp {
    type Target = Stack;
    #[inline]
    fn deref(&self) -> &Stack {
        // SAFETY: initialised by `fresh`, and never unmapped.
        unsafe { self.0.as_ref() }
    }
}

impl Linked for Sp {
    #[inline]
    fn link(&self) -> &Cell<Option<Sp>> {
        // SAFETY: as in `deref`.
        unsafe { &self.0.as_ref().link }
    }
}

/// The stacks of one size.
pub(crate) struct Class {
    /// Of the bytes of a stack, to the base 2.
    log: AtomicU32,
    /// Written under the lock of `stacks`.
    newest: AtomicPtr<Slab>,
    stacks: Mutex<Stacks>,
}

/// Those that no task and no P has.
pub(crate) struct Stacks {
    /// As their tasks left them.
    warm: List<Sp>,
    /// Their memory was given back.
    cold: List<Sp>,
    /// Slabs with slots that nobody has had, the newest first.
    open: *mut Slab,
    /// Bytes of the slab to be mapped next, but for blocks; 0 before the first.
    slab_size: usize,
    /// `MADV_GUARD_INSTALL` was refused: it is not there before Linux 6.13.
    heavy_guards: bool,
}

// SAFETY: the slabs are owned, and a mapping belongs to no thread.
unsafe impl Send for Stacks {}

/// For tasks that ask for a size of their own.
static CLASSES: [Class; SIZES] = [const { Class::new() }; SIZES];

/// The logarithm of the size of stacks for whoever wants so many bytes.
fn log_of(bytes: usize) -> u32 {
    usize::BITS - (bytes.clamp(MIN_STACK, MAX_STACK) - 1).leading_zeros()
}

impl Class {
    pub const fn new() -> Class {
        let stacks = Stacks {
            warm: List::new(),
            cold: List::new(),
            open: ptr::null_mut(),
            slab_size: 0,
            heavy_guards: false,
        };
        let newest = AtomicPtr::new(ptr::null_mut());
        Class { log: AtomicU32::new(0), newest, stacks: Mutex::new(stacks) }
    }

    /// Before the first stack: the bytes of one, 0 for the default.
    pub fn configure(&self, size: usize) {
        self.log.store(log_of(if size == 0 { DEFAULT_STACK } else { size }), Ordering::Relaxed);
    }

    /// Those of at least so many bytes, or the largest there are, in a program whose tasks usually have
    /// one of `usual`.
    pub fn of(usual: &'static Class, bytes: usize) -> &'static Class {
        let log = log_of(bytes);
        match CLASSES.get((log - MIN_STACK.ilog2()) as usize) {
            Some(class) if 1 << log != usual.size() => {
                class.log.store(log, Ordering::Relaxed);
                class
            }
            _ => usual,
        }
    }

    /// All of a program whose tasks usually have one of `usual`.
    pub fn all(usual: &'static Class) -> impl Iterator<Item = &'static Class> {
        CLASSES.iter().chain([usual])
    }

    fn newest_slab(&self) -> Option<&'static Slab> {
        // SAFETY: null or a slab, whose header is written, and which is never unmapped.
        unsafe { self.newest.load(Ordering::Acquire).as_ref() }
    }

    /// Its slabs, the newest first.
    pub fn slabs(&self) -> impl Iterator<Item = &'static Slab> {
        // SAFETY: as above.
        core::iter::successors(self.newest_slab(), |newer| unsafe { newer.older.as_ref() })
    }

    /// Bytes of a stack, guard page included.
    pub fn size(&self) -> usize {
        1 << self.log.load(Ordering::Relaxed)
    }

    /// A stack, preferably the last used. `None`: as [`make_task`](Class::make_task), or no memory for the
    /// guard's page table.
    pub fn get(&'static self) -> Option<Sp> {
        let mut stacks = self.stacks.lock();
        stacks.warm.pop().or_else(|| stacks.cold.pop()).or_else(|| self.fresh(&mut stacks))
    }

    /// Takes back a used stack.
    #[cold]
    #[inline(never)] // or those who mostly have no need of it would save its registers
    pub fn put(&self, stack: Sp) {
        self.stacks.lock().warm.push(stack);
    }

    /// A task, dead, that nobody has had. There will be a stack for it. `None`: there is no address space
    /// for that, or, without light guards, there are too many mappings.
    pub fn make_task(&'static self) -> Option<Gp> {
        let mut stacks = self.stacks.lock();
        let slab = match self.newest_slab() {
            Some(slab) if slab.tasks.load(Ordering::Relaxed) < slab.slots => slab,
            _ => self.map_slab(&mut stacks)?,
        };
        // Not known before the first stack; that is the first task's, which takes it at once.
        if stacks.heavy_guards {
            let stack = self.fresh(&mut stacks)?;
            stacks.warm.push(stack);
        }
        let n = slab.tasks.load(Ordering::Relaxed);
        slab.tasks.store(n + 1, Ordering::Relaxed);
        Some(slab.task(n))
    }

    /// For the monitor: gives back the memory of used stacks, one at a time, since somebody may need
    /// one.
    pub fn trim(&self) {
        loop {
            let Some(stack) = self.stacks.lock().warm.pop() else { return };
            depth::note(stack.lo.as_ptr(), self.size(), self.size());
            let lo = stack.lo.as_ptr().wrapping_add(page()); // the guard stays
            // SAFETY: no task's stack, and in nobody's list; what is read there is written before. It
            // cannot fail: the range is part of a mapping of ours, and not locked.
            let _ = unsafe { madvise(lo, self.size() - page(), Advice::DontNeed) };
            self.stacks.lock().cold.push(stack);
        }
    }

    /// A stack that nobody has had.
    fn fresh(&'static self, stacks: &mut Stacks) -> Option<Sp> {
        // SAFETY: null or a slab, which is never unmapped.
        let slab = match unsafe { stacks.open.as_ref() } {
            Some(slab) => slab,
            None => self.map_slab(stacks)?,
        };
        let made = slab.made();
        let lo = slab.lo.wrapping_add(made * self.size());
        stacks.install_guard(lo)?;
        if arch::VALGRIND {
            arch::stack_register(lo, lo.wrapping_add(self.size())); // for ever
        }
        let top = lo.wrapping_add(self.size() - made % COLOURS * COLOUR_STEP);
        let block = slab.blocks().wrapping_add(slab.slots).cast::<Stack>().wrapping_add(made);
        // SAFETY: the blocks' places are behind those of the tasks, for so many as there are slots, and
        // this one is nobody's yet; addresses in a mapping are not null.
        let stack = unsafe {
            let lo = NonNull::new_unchecked(lo);
            block.write(Stack { link: Cell::new(None), lo, top, class: self });
            Sp(NonNull::new_unchecked(block))
        };
        slab.made.store(made + 1, Ordering::Relaxed);
        if made + 1 == slab.slots {
            stacks.open = slab.next_open;
        }
        Some(stack)
    }

    fn map_slab(&'static self, stacks: &mut Stacks) -> Option<&'static Slab> {
        let log = self.log.load(Ordering::Relaxed);
        let slab_size = stacks.slab_size.max(FIRST_SLAB);
        let mut slots = (slab_size >> log).max(1);
        let (slab, front) = loop {
            let blocks = size_of::<Block>() + slots * (size_of::<Block>() + size_of::<Stack>());
            let front = (blocks + page() - 1) & !(page() - 1); // a page is a power of two
            match map(front + (slots << log) + RESERVE) {
                // Where memory is not overcommitted a smaller slab may still fit.
                None if slots > 1 => slots /= 2,
                done => break (done?.cast::<Slab>(), front),
            }
        };
        let slab = slab.as_ptr();
        let lo = slab.cast::<u8>().wrapping_add(front);
        // SAFETY: the end of the new mapping, whole pages, and nothing is there. If it cannot be cut off, because that takes
        // one mapping more than `vm.max_map_count`, it stays untouched.
        let _ = unsafe { munmap(lo.wrapping_add(slots << log), RESERVE) };
        // A huge page would commit 2 MiB for the first byte of a stack. Kernels without huge pages
        // answer EINVAL, which is as good.
        // SAFETY: a mapping of ours, and the advice changes no content.
        let _ = unsafe { madvise(slab.cast(), front + (slots << log), Advice::NoHugepage) };
        let (older, next_open) = (self.newest.load(Ordering::Relaxed), stacks.open);
        let (made, tasks) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // SAFETY: the beginning of the new mapping, which is never unmapped.
        let header = unsafe {
            slab.write(Slab { older, lo, slots, made, tasks, next_open });
            &*slab
        };
        self.newest.store(slab, Ordering::Release);
        stacks.open = slab;
        stacks.slab_size = (slab_size * 2).min(MAX_SLAB);
        Some(header)
    }
}

impl Stacks {
    fn install_guard(&mut self, lo: *mut u8) -> Option<()> {
        // SAFETY: the first page of a slot that nobody uses yet.
        self.heavy_guards = unsafe { madvise(lo, page(), Advice::GuardInstall) }.is_err();
        if self.heavy_guards {
            // SAFETY: as above.
            unsafe { mprotect(lo, page(), Prot::empty()) }.ok()?;
        }
        Some(())
    }
}

/// Maps `len` bytes of memory for a stack, or for what lives as long. `None`: `ENOMEM`.
pub(super) fn map(len: usize) -> Option<NonNull<u8>> {
    let prot = Prot::READ | Prot::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::NORESERVE | MapFlags::STACK;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let mapping = unsafe { mmap(ptr::null_mut(), len, prot, flags, NO_FILE, 0) };
    mapping.ok().and_then(NonNull::new)
}
