//! Where the states of descriptors live: in blocks that are never unmapped, so that a slot is always one.

use super::State;
use crate::lock::Mutex;
use crate::net::Error;
use crate::poll::Kernel;
use crate::sched::poller::netpoll;
use crate::sys::Call;
use core::cell::Cell;
use core::mem::size_of;
use core::ptr::{self, NonNull};

/// Bytes mapped at a time.
const BLOCK: usize = 16 << 10;

struct Slots {
    free: Option<NonNull<State>>,
    next: *mut State,
    left: usize,
}

// SAFETY: free slots belong to the list, and memory to no thread.
unsafe impl Send for Slots {}

static SLOTS: Mutex<Slots> = Mutex::new(Slots { free: None, next: ptr::null_mut(), left: 0 });

/// A slot that nobody shares, to be written.
pub(super) fn get() -> Result<NonNull<State>, Error> {
    let mut slots = SLOTS.lock();
    if let Some(slot) = slots.free {
        // SAFETY: `put` wrote the link, and what is in the list is nobody's.
        slots.free = unsafe { (&raw const (*slot.as_ptr()).link).read() }.get();
        return Ok(slot);
    }
    if slots.left == 0 {
        let block = netpoll().kernel().map(BLOCK).map_err(|e| Error::Os(Call::Mmap, e))?;
        slots.next = block.as_ptr().cast();
        slots.left = BLOCK / size_of::<State>();
    }
    let slot = slots.next;
    slots.next = slot.wrapping_add(1);
    slots.left -= 1;
    // SAFETY: within a block of ours.
    Ok(unsafe { NonNull::new_unchecked(slot) })
}

/// Gives back a slot that was not written after all, or that nobody uses any more.
pub(super) fn put(slot: NonNull<State>) {
    let mut slots = SLOTS.lock();
    // SAFETY: its last user gives it back. Only the link: the rest may never have been written.
    unsafe { (&raw mut (*slot.as_ptr()).link).write(Cell::new(slots.free)) };
    slots.free = Some(slot);
}
