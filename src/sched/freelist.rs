//! Free slots of one kind, which never become anything else: a list that a P keeps for itself, and one of all.

use super::m::{acquirem, releasem};
use super::p::P;
use crate::lock::Mutex;
use core::cell::Cell;
use core::ptr::NonNull;

/// Slots a P keeps before it gives half of them to the others.
const KEPT: u32 = 64;

/// The first field of a slot: the next in the list.
pub(crate) struct Link(Cell<Option<NonNull<Link>>>);

impl Link {
    pub const fn new() -> Link {
        Link(Cell::new(None))
    }
}

/// The last put in comes out first. All zeros is an empty one.
pub(crate) struct FreeList {
    head: Cell<Option<NonNull<Link>>>,
    len: Cell<u32>,
}

// SAFETY: what is in the list is nobody else's, and slots belong to no thread.
unsafe impl Send for FreeList {}

impl FreeList {
    pub const fn new() -> FreeList {
        FreeList { head: Cell::new(None), len: Cell::new(0) }
    }

    /// # Safety
    /// `slot` begins with its link, is in no list, and is never freed.
    unsafe fn push(&self, slot: NonNull<Link>) {
        // SAFETY: alive, and ours (contract).
        unsafe { slot.as_ref() }.0.set(self.head.replace(Some(slot)));
        self.len.set(self.len.get() + 1);
    }

    fn pop(&self) -> Option<NonNull<Link>> {
        let slot = self.head.get()?;
        // SAFETY: what is in the list is never freed.
        self.head.set(unsafe { slot.as_ref() }.0.get());
        self.len.set(self.len.get() - 1);
        Some(slot)
    }

    fn move_to(&self, other: &FreeList, n: u32) {
        for slot in (0..n).map_while(|_| self.pop()) {
            // SAFETY: it was in this list, and is in none now.
            unsafe { other.push(slot) };
        }
    }
}

/// A free slot: of the running P, or of all; `None`: there is none.
pub(crate) fn get(local: fn(&P) -> &FreeList, all: &Mutex<FreeList>) -> Option<NonNull<Link>> {
    let p = acquirem().p.get();
    let slot = match p.map(local) {
        Some(mine) => mine.pop().or_else(|| {
            all.lock().move_to(mine, KEPT / 2);
            mine.pop()
        }),
        None => all.lock().pop(),
    };
    releasem();
    slot
}

/// Gives a slot back.
///
/// # Safety
/// It begins with its link, which the caller's pointer reaches together with the rest of it, is in no list,
/// is never freed, and is of the kind of these lists.
pub(crate) unsafe fn put(local: fn(&P) -> &FreeList, all: &Mutex<FreeList>, slot: NonNull<Link>) {
    let p = acquirem().p.get();
    match p.map(local) {
        Some(mine) => {
            if mine.len.get() == KEPT {
                mine.move_to(&all.lock(), KEPT / 2);
            }
            // SAFETY: the caller's contract.
            unsafe { mine.push(slot) };
        }
        // SAFETY: as above.
        None => unsafe { all.lock().push(slot) },
    }
    releasem();
}
