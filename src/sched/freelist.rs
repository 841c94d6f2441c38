//! Free slots of one kind, which never become anything else, for parts above the scheduler: as tasks' blocks
//! they are kept by each P, and what is too much for one is for all.

use super::m::{acquirem, releasem};
use super::p::P;
use super::spare::{KEPT, Linked, List, Spares};
use crate::lock::Mutex;
use core::cell::Cell;
use core::ptr::NonNull;

/// The first field of a slot.
pub(crate) struct Link(Cell<Option<Slot>>);

impl Link {
    pub const fn new() -> Link {
        Link(Cell::new(None))
    }
}

/// A slot, by its link.
#[derive(Clone, Copy)]
pub(crate) struct Slot(NonNull<Link>);

// SAFETY: a free slot is nobody's, and belongs to no thread.
unsafe impl Send for Slot {}

impl Linked for Slot {
    fn link(&self) -> &Cell<Option<Slot>> {
        // SAFETY: slots are never freed (contract of `put`).
        unsafe { &self.0.as_ref().0 }
    }
}

/// A free slot: of the running P, or of all; `None`: there is none.
pub(crate) fn get(local: fn(&P) -> &Spares<Slot>, all: &Mutex<List<Slot>>) -> Option<NonNull<Link>> {
    let p = acquirem().p.get();
    let slot = match p.map(local) {
        Some(mine) => mine.pop().or_else(|| {
            mine.take_from(&mut all.lock());
            mine.pop()
        }),
        None => all.lock().pop(),
    };
    releasem();
    slot.map(|slot| slot.0)
}

/// Gives a slot back.
///
/// # Safety
/// It begins with its link, which the caller's pointer reaches together with the rest of it, is in no list,
/// is never freed, and is of the kind of these lists.
pub(crate) unsafe fn put(local: fn(&P) -> &Spares<Slot>, all: &Mutex<List<Slot>>, slot: NonNull<Link>) {
    let p = acquirem().p.get();
    match p.map(local) {
        Some(mine) => {
            if mine.len() == KEPT {
                mine.give_to(&mut all.lock());
            }
            mine.push(Slot(slot));
        }
        None => all.lock().push(Slot(slot)),
    }
    releasem();
}
