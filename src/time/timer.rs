//! `Timer` and `Ticker`.

use super::{Instant, nanos};
use crate::lock::Mutex;
use crate::poll::{Kernel, Linux, Netpoll};
use crate::rt;
use crate::sched::poller::{Runtime, netpoll, netpoll_init, sleep_until};
use crate::sched::sema::{semacquire, semrelease_one, semtake};
use crate::sys::Errno;
use crate::timer;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::AtomicU32;
use core::time::Duration;

/// Something to wait for that comes after a time, and can be moved and called off meanwhile (Go:
/// `time.Timer`). Any task may do either while another waits.
///
/// A timer that has fired and was not waited for yet keeps that, once; [`Timer::stop`] and
/// [`Timer::reset`] forget it, and when they have returned no firing from before them is seen (Go 1.23).
pub struct Timer(NonNull<Slot>);

/// Where a timer lives. Slots are reused and never unmapped: a callback may be late.
#[repr(C)]
struct Slot {
    timer: timer::Timer,
    /// Changes with every stop and reset: a callback with another one is stale.
    seq: Mutex<Seq>,
    /// 1: it has fired.
    fired: AtomicU32,
    /// Next free slot.
    link: Cell<Option<NonNull<Slot>>>,
}

struct Seq {
    seq: u32,
    armed: bool,
}

// SAFETY: a slot is atomics, a lock, and `timer`, which belongs to the heap; `link` is used while the
// slot is nobody's.
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

impl Timer {
    /// Fires once, `d` from now.
    ///
    /// If there is no memory for it the program ends, with a line that says so and status 101, as by a
    /// panic; [`Timer::try_after`] returns the error instead.
    pub fn after(d: Duration) -> Timer {
        Timer::try_after(d).unwrap_or_else(|_| no_memory())
    }

    /// As [`Timer::after`], with an error where that ends the program.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_after(d: Duration) -> Result<Timer, Errno> {
        let timer = Timer(slots::get()?);
        timer.try_reset(d)?;
        Ok(timer)
    }

    fn slot(&self) -> &Slot {
        // SAFETY: initialised, and not reused while this handle is there.
        unsafe { self.0.as_ref() }
    }

    /// Parks until the timer fires, unless it has. Of several tasks that wait one goes on. Waits for ever
    /// on a timer that was stopped and is not reset by another task.
    pub fn wait(&self) {
        semacquire(&self.slot().fired);
    }

    /// Whether the timer has fired; a firing that this saw [`Timer::wait`] does not see again.
    pub fn try_wait(&self) -> bool {
        semtake(&self.slot().fired)
    }

    /// Calls it off; whether it was yet to fire.
    pub fn stop(&self) -> bool {
        let slot = self.slot();
        let mut seq = slot.seq.lock();
        let was = seq.forget(slot);
        if was {
            netpoll().timers().stop(&slot.timer);
        }
        was
    }

    /// Lets it fire `d` from now instead; whether it was yet to fire.
    ///
    /// As [`Timer::after`] if there is no memory: it was taken out of the heap only if it has fired or
    /// was stopped.
    pub fn reset(&self, d: Duration) -> bool {
        self.try_reset(d).unwrap_or_else(|_| no_memory())
    }

    /// As [`Timer::reset`], with an error where that ends the program.
    ///
    /// # Errors
    /// `ENOMEM`; the timer is then stopped.
    pub fn try_reset(&self, d: Duration) -> Result<bool, Errno> {
        let netpoll = netpoll_init();
        let slot = self.slot();
        // The end of time is a time, too; `NEVER` would be no timer.
        let when = (Instant::now() + d).0.min(timer::NEVER - 1);
        let mut seq = slot.seq.lock();
        let was = seq.forget(slot);
        // SAFETY: slots are type-stable, and their timers are armed in this heap only; the pointer is
        // one to the whole slot, whose first field the timer is.
        let earlier = unsafe { netpoll.timers().set(netpoll.kernel(), self.0.cast(), when, seq.seq) }?;
        seq.armed = true;
        drop(seq);
        if earlier {
            netpoll.wake_for_timer();
        }
        Ok(was)
    }
}

impl Seq {
    /// What was to come, or has come, is stale; whether it was to come.
    fn forget(&mut self, slot: &Slot) -> bool {
        self.seq = self.seq.wrapping_add(1);
        semtake(&slot.fired);
        core::mem::replace(&mut self.armed, false)
    }
}

impl Slot {
    /// The callback.
    unsafe fn fire(timer: NonNull<timer::Timer>, seq: u32, context: *mut ()) {
        // SAFETY: the timer is the first field of a slot, and was armed with a pointer to all of it.
        let slot = unsafe { timer.cast::<Slot>().as_ref() };
        let mut current = slot.seq.lock();
        if seq != current.seq {
            return; // stopped, or reset, while this was on its way
        }
        current.armed = false;
        if let Some(g) = semrelease_one(&slot.fired) {
            // SAFETY: `context` is that of the poll that fires it.
            unsafe { Netpoll::<Linux, Runtime>::wake_on_fire(context, g) };
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
        slots::put(self.0);
    }
}

#[cold]
fn no_memory() -> ! {
    rt::fatal("no memory for a timer", rt::PANICKED)
}

/// Something to wait for that comes again and again, at a fixed period (Go: `time.Ticker`). Ticks that
/// nobody waited for become one.
pub struct Ticker {
    /// When the next tick is, ns.
    next: i64,
    period: i64,
}

impl Ticker {
    /// Ticks every `period` from now on. A period of zero ticks as often as it is asked.
    pub fn new(period: Duration) -> Ticker {
        let mut ticker = Ticker { next: 0, period: 0 };
        ticker.reset(period);
        ticker
    }

    /// Parks until the next tick, and returns when that was due. If it has passed already this returns
    /// at once, and the tick behind it is the first still to come.
    pub fn tick(&mut self) -> Instant {
        sleep_until(self.next);
        let due = self.next;
        let missed = (Instant::now().0 - due).checked_div(self.period).unwrap_or(0);
        self.next = due.saturating_add(self.period.saturating_mul(missed + 1));
        Instant(due)
    }

    /// Ticks every `period` from now on, instead.
    pub fn reset(&mut self, period: Duration) {
        self.period = nanos(period);
        self.next = (Instant::now() + period).0;
    }
}

/// Where timers live.
mod slots {
    use super::*;

    /// Bytes mapped at a time.
    const BLOCK: usize = 16 << 10;

    struct Slots {
        free: Option<NonNull<Slot>>,
        next: *mut Slot,
        left: usize,
    }

    // SAFETY: free slots belong to the list, and memory to no thread.
    unsafe impl Send for Slots {}

    static SLOTS: Mutex<Slots> = Mutex::new(Slots { free: None, next: ptr::null_mut(), left: 0 });

    /// A slot that nobody has; its timer is not armed.
    pub(super) fn get() -> Result<NonNull<Slot>, Errno> {
        let mut slots = SLOTS.lock();
        if let Some(slot) = slots.free {
            // SAFETY: what is in the list is initialised and nobody's.
            slots.free = unsafe { slot.as_ref() }.link.get();
            return Ok(slot);
        }
        if slots.left == 0 {
            slots.next = netpoll().kernel().map(BLOCK)?.as_ptr().cast();
            slots.left = BLOCK / size_of::<Slot>();
        }
        let slot = slots.next;
        slots.next = slot.wrapping_add(1);
        slots.left -= 1;
        // SAFETY: within a block of ours, aligned (a page, then whole slots), used by nobody yet.
        unsafe {
            slot.write(Slot {
                timer: timer::Timer::new(Slot::fire),
                seq: Mutex::new(Seq { seq: 0, armed: false }),
                fired: AtomicU32::new(0),
                link: Cell::new(None),
            });
            Ok(NonNull::new_unchecked(slot))
        }
    }

    pub(super) fn put(slot: NonNull<Slot>) {
        let mut slots = SLOTS.lock();
        // SAFETY: initialised, and its only handle gives it back.
        unsafe { slot.as_ref() }.link.set(slots.free);
        slots.free = Some(slot);
    }
}
