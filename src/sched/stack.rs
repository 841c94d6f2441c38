//! Stacks: slots of large mappings, committed page by page as they are touched, with a guard page at
//! the low end of each.
//!
//! ```text
//!  slab:   | link, Stack, Stack, ...  |  slot  |  slot  |  ...
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
//! slot for every control block ([`StackPool::promise`]): address space, and the guard, too, where it is
//! one that may be refused. What a first dispatch can still lack is in `life.rs`.
//!
//! Sizes are powers of two, each with its own slabs and lists. A slot is never unmapped. The tops of the
//! stacks are spread over cache sets ("colour"), since otherwise every parked task's few live lines
//! would compete for the same ones.

use super::spare::{Linked, List};
use crate::sys::mm::{Advice, MapFlags, Prot, madvise, mmap, mprotect};
use crate::sys::{Errno, RawFd};
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Bytes of a stack unless the program chooses otherwise, guard page included. Only touched pages are
/// memory: a task that parks in shallow frames costs one.
const DEFAULT_STACK: usize = 64 << 10;

/// The least that can be asked for: the guard, and room for formatting a panic.
const MIN_LOG: u32 = 14;

/// The most: a slab of one such stack is less than the address space, and not by much.
const MAX_LOG: u32 = 40;

const CLASSES: usize = (MAX_LOG - MIN_LOG + 1) as usize;

/// Bytes of the first slab of a size; each further one is twice as large, up to [`MAX_SLAB`]. At least
/// one stack.
const FIRST_SLAB: usize = 2 << 20;
const MAX_SLAB: usize = 64 << 20;

/// Colours, and the step between them: together a quarter of a page, so that a task that parks in
/// shallow frames still fits its first page.
const COLOURS: usize = 16;
const COLOUR_STEP: usize = 64;

const NO_FILE: RawFd = -1;

/// The first slab. All are in one list, in the order in which they were mapped.
pub(super) static SLABS: AtomicPtr<Slab> = AtomicPtr::new(ptr::null_mut());

/// What stands at the beginning of a slab, before the blocks of its stacks.
pub(super) struct Slab {
    /// The slab mapped after this one, whatever the size of its stacks.
    pub later: AtomicPtr<Slab>,
    /// The first slot.
    pub lo: *mut u8,
    class: usize,
    slots: u32,
    /// Slots in use, or used before.
    made: AtomicU32,
}

impl Slab {
    /// Bytes of a slot.
    pub fn slot_size(&self) -> usize {
        size(self.class)
    }

    /// Slots that anybody has ever had.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed) as usize
    }
}

/// A stack's block. Never unmapped, and, unlike the stack's pages, never given back.
pub(crate) struct Stack {
    link: Cell<Option<Sp>>,
    /// Lowest address: the guard page.
    pub lo: NonNull<u8>,
    /// Where the task's frames, or its closure, begin.
    pub top: *mut u8,
    class: u8,
    /// Of the program's size: a P may keep it.
    pub usual: bool,
}

impl Stack {
    /// Bytes, guard page included.
    pub fn size(&self) -> usize {
        size(self.class.into())
    }
}

/// A stack: who has this may use it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Sp(NonNull<Stack>);

impl Sp {
    /// # Safety
    /// It must come from [`Sp::as_ptr`].
    pub unsafe fn from_ptr(stack: *mut Stack) -> Option<Sp> {
        NonNull::new(stack).map(Sp)
    }

    pub fn as_ptr(self) -> *mut Stack {
        self.0.as_ptr()
    }
}

impl core::ops::Deref for Sp {
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
struct Class {
    /// Has the next fresh slot, or is before the slab that has.
    filling: *mut Slab,
    /// Fresh slots, and all.
    fresh: usize,
    slots: usize,
    /// Slots of the slab to be mapped next.
    slab_slots: usize,
    /// Used before, as their tasks left them.
    warm: List<Sp>,
    /// Used before; their memory was given back.
    cold: List<Sp>,
}

/// Stacks that no task and no P has.
pub(crate) struct StackPool {
    classes: [Class; CLASSES],
    newest: *mut Slab,
    /// The program's size.
    usual: usize,
    page: usize,
    made: usize,
    promised: usize,
    /// `MADV_GUARD_INSTALL` is not there.
    heavy_guards: bool,
}

// SAFETY: the slabs are owned, and a mapping belongs to no thread.
unsafe impl Send for StackPool {}

/// The class of stacks that have at least so many bytes, or the largest.
pub(super) fn class(bytes: usize) -> usize {
    let bytes = bytes.clamp(1 << MIN_LOG, 1 << MAX_LOG);
    (usize::BITS - (bytes - 1).leading_zeros() - MIN_LOG) as usize
}

pub(super) fn size(class: usize) -> usize {
    1 << (class + MIN_LOG as usize)
}

fn of(classes: &mut [Class; CLASSES], class: usize) -> &mut Class {
    &mut classes[class.min(CLASSES - 1)] // as it always is, which the compiler does not know
}

impl StackPool {
    /// A pool to [`configure`](StackPool::configure).
    pub const fn new() -> StackPool {
        const NONE: Class = Class {
            filling: ptr::null_mut(),
            fresh: 0,
            slots: 0,
            slab_slots: 0,
            warm: List::new(),
            cold: List::new(),
        };
        let classes = [NONE; CLASSES];
        StackPool {
            classes,
            newest: ptr::null_mut(),
            usual: 0,
            page: 0,
            made: 0,
            promised: 0,
            heavy_guards: false,
        }
    }

    /// Before the first stack: the page size of this machine (from the auxiliary vector) and the bytes
    /// of a stack, 0 for the default.
    pub fn configure(&mut self, page: usize, stack_size: usize) {
        self.page = page;
        self.usual = class(if stack_size == 0 { DEFAULT_STACK } else { stack_size });
    }

    /// Stacks there are, of all sizes.
    pub fn made(&self) -> usize {
        self.made
    }

    pub fn usual(&self) -> usize {
        self.usual
    }

    /// There may be one more task that needs a stack of the usual size some day.
    ///
    /// # Errors
    /// `ENOMEM`: no address space, or, without light guards, too many mappings.
    pub fn promise(&mut self) -> Result<(), Errno> {
        if self.promised == of(&mut self.classes, self.usual).slots {
            self.map_slab(self.usual)?;
        }
        if self.heavy_guards {
            let stack = self.fresh(self.usual)?;
            self.warm().push(stack);
        }
        self.promised += 1;
        Ok(())
    }

    /// Used stacks of the usual size.
    pub fn warm(&mut self) -> &mut List<Sp> {
        &mut of(&mut self.classes, self.usual).warm
    }

    /// A stack of `class`, preferably the last used.
    ///
    /// # Errors
    /// `ENOMEM`: as [`promise`](StackPool::promise), or no memory for the guard's page table.
    pub fn get(&mut self, class: usize) -> Result<Sp, Errno> {
        let free = of(&mut self.classes, class);
        match free.warm.pop().or_else(|| free.cold.pop()) {
            Some(stack) => Ok(stack),
            None => self.fresh(class),
        }
    }

    /// As `get`, of the usual size.
    pub fn get_usual(&mut self) -> Option<Sp> {
        self.get(self.usual).ok()
    }

    /// Takes back a used stack.
    pub fn put(&mut self, stack: Sp) {
        of(&mut self.classes, usize::from(stack.class)).warm.push(stack);
    }

    /// For the monitor: a used stack of any size that still has its memory. It comes back by `put_cold`.
    pub fn take_warm(&mut self) -> Option<Sp> {
        self.classes.iter_mut().find_map(|class| class.warm.pop())
    }

    pub fn put_cold(&mut self, stack: Sp) {
        of(&mut self.classes, usize::from(stack.class)).cold.push(stack);
    }

    /// A stack that nobody has used.
    fn fresh(&mut self, index: usize) -> Result<Sp, Errno> {
        if of(&mut self.classes, index).fresh == 0 {
            self.map_slab(index)?;
        }
        let class = of(&mut self.classes, index);
        let mut at = class.filling;
        let slab = loop {
            // SAFETY: there is a slab of this class with a fresh slot, at `at` or behind it; slabs are never
            // unmapped.
            let slab = unsafe { &*at };
            if slab.class == index && slab.made() != slab.slots as usize {
                break slab;
            }
            at = slab.later.load(Ordering::Relaxed);
        };
        class.filling = at;
        let lo = slab.lo.wrapping_add(slab.made() * size(index));
        install_guard(lo, self.page, self.heavy_guards)?;
        let top = lo.wrapping_add(size(index) - self.made % COLOURS * COLOUR_STEP);
        // SAFETY: behind the header and the blocks that are made, and nobody else's.
        let block = unsafe { at.add(1).cast::<Stack>().add(slab.made()) };
        slab.made.store(slab.made() as u32 + 1, Ordering::Relaxed);
        class.fresh -= 1;
        self.made += 1;
        // SAFETY: as above; addresses in a mapping are not null.
        unsafe {
            let lo = NonNull::new_unchecked(lo);
            let usual = index == self.usual;
            block.write(Stack { link: Cell::new(None), lo, top, class: index as u8, usual });
            Ok(Sp(NonNull::new_unchecked(block)))
        }
    }

    /// Maps `len` bytes of memory for a stack, or for what lives as long.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn map(len: usize) -> Result<*mut u8, Errno> {
        let prot = Prot::READ | Prot::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::NORESERVE | MapFlags::STACK;
        // SAFETY: a new mapping at an address of the kernel's choice.
        unsafe { mmap(ptr::null_mut(), len, prot, flags, NO_FILE, 0) }
    }

    fn map_slab(&mut self, index: usize) -> Result<(), Errno> {
        let (class, page) = (of(&mut self.classes, index), self.page);
        let mut slots = class.slab_slots.max(FIRST_SLAB >> (index + MIN_LOG as usize)).max(1);
        let front = |slots: usize| {
            (size_of::<Slab>() + slots * size_of::<Stack>() + page - 1) & !(page - 1) // a power of two
        };
        let slab = loop {
            match StackPool::map(front(slots) + slots * size(index)) {
                // Where memory is not overcommitted a smaller slab may still fit.
                Err(Errno::ENOMEM) if slots > 1 => slots /= 2,
                done => break done?.cast::<Slab>(),
            }
        };
        let lo = slab.cast::<u8>().wrapping_add(front(slots));
        // A huge page would commit 2 MiB for the first byte of a stack. Kernels without huge pages
        // answer EINVAL, which is as good.
        // SAFETY: a mapping of ours, and the advice changes no content.
        let _ = unsafe { madvise(lo, slots * size(index), Advice::NoHugepage) };
        // SAFETY: the first slot, which nobody uses yet, and which will have a guard anyway.
        let guard = unsafe { madvise(lo, page, Advice::GuardInstall) };
        self.heavy_guards = guard == Err(Errno::EINVAL); // before Linux 6.13
        let header = Slab {
            later: AtomicPtr::new(ptr::null_mut()),
            lo,
            class: index,
            slots: slots as u32,
            made: AtomicU32::new(0),
        };
        // SAFETY: the beginning of the new mapping.
        unsafe { slab.write(header) };
        // SAFETY: null or a slab, which is never unmapped.
        let link = unsafe { self.newest.as_ref() }.map_or(&SLABS, |newest| &newest.later);
        link.store(slab, Ordering::Release); // the header is written
        self.newest = slab;
        if class.filling.is_null() {
            class.filling = slab;
        }
        class.fresh += slots;
        class.slots += slots;
        class.slab_slots = (slots * 2).min(MAX_SLAB >> (index + MIN_LOG as usize));
        Ok(())
    }
}

/// Makes the page at `lo`, the lowest of a slot that nobody uses yet, its guard.
fn install_guard(lo: *mut u8, page: usize, heavy: bool) -> Result<(), Errno> {
    // SAFETY: nobody uses the page, and from now on an access is to be a fault.
    unsafe { if heavy { mprotect(lo, page, Prot::empty()) } else { madvise(lo, page, Advice::GuardInstall) } }
}
