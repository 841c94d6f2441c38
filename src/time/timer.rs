//! `Timer` and `Ticker`.

use super::{Instant, nanos};
use crate::lock::Mutex;
use crate::poll::{Kernel, Scheduler};
use crate::rt;
use crate::sched::freelist::{self, Link};
use crate::sched::poller::{Poll, netpoll, netpoll_init, sleep_until, wake_for_timer};
use crate::sched::sema::{semacquire, semtake, semwake};
use crate::sched::spare::List;
use crate::sys::Errno;
use crate::timer;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};
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
    link: Link,
    timer: timer::Timer,
    /// 1: it has fired.
    fired: AtomicU32,
}

// SAFETY: a slot is atomics and `timer`, which is one; `link` is used while the slot is nobody's.
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
        netpoll().timers().stop_and(&slot.timer, || slot.forget())
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
        // The end of time is a time, too; `NEVER` would be no timer.
        let when = (Instant::now() + d).0.min(timer::NEVER - 1);
        let (slot, mut was) = (self.slot(), false);
        let shard = netpoll.scheduler().shard();
        // SAFETY: slots are never freed, and their timers are set in the runtime's poller only; the pointer
        // is one to the whole slot.
        let earlier = unsafe {
            let timer = self.0.byte_add(offset_of!(Slot, timer)).cast();
            netpoll.timers().set_and(netpoll.kernel(), shard, timer, when, |was_set| {
                slot.forget();
                was = was_set;
            })
        }?;
        if earlier {
            wake_for_timer(when);
        }
        Ok(was)
    }
}

impl Slot {
    /// What has fired and was not waited for is forgotten. Under the timer's lock, as every firing is.
    #[inline]
    fn forget(&self) {
        if self.fired.load(Ordering::Relaxed) != 0 {
            semtake(&self.fired);
        }
    }

    /// The callback.
    unsafe fn fire(timer: NonNull<timer::Timer>, seq: u32, context: *mut ()) {
        // SAFETY: the timer of a slot, which was set with a pointer to all of it.
        let slot = unsafe { timer.byte_sub(offset_of!(Slot, timer)).cast::<Slot>().as_ref() };
        // Under the timer's lock: behind a stop there is no firing any more.
        let fires = slot.timer.confirm(seq, || slot.fired.fetch_add(1, Ordering::SeqCst));
        if fires.is_some()
            && let Some(g) = semwake(&slot.fired)
        {
            // SAFETY: `context` is that of the poll that fires it.
            unsafe { Poll::wake_on_fire(context, g) };
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: the slot's only handle is going.
        unsafe { freelist::put(|p| &p.timers, &slots::FREE, self.0.cast()) };
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

    /// Those that no P keeps.
    pub(super) static FREE: Mutex<List<freelist::Slot>> = Mutex::new(List::new());

    /// A slot that nobody has; its timer is not set.
    pub(super) fn get() -> Result<NonNull<Slot>, Errno> {
        match freelist::get(|p| &p.timers, &FREE) {
            Some(link) => Ok(link.cast()),
            None => make(),
        }
    }

    #[cold]
    fn make() -> Result<NonNull<Slot>, Errno> {
        let block = netpoll().kernel().map(BLOCK)?.cast::<Slot>();
        let n = BLOCK / size_of::<Slot>();
        for i in 0..n {
            // SAFETY: within the block, which is ours and never unmapped; aligned, as a page is.
            let slot = unsafe { block.add(i) };
            let timer = timer::Timer::new(Slot::fire);
            // SAFETY: as above.
            unsafe { slot.write(Slot { link: Link::new(), timer, fired: AtomicU32::new(0) }) };
            if i != 0 {
                // SAFETY: nobody has it; the pointer is one to the whole block.
                unsafe { freelist::put(|p| &p.timers, &FREE, slot.cast()) };
            }
        }
        Ok(block)
    }
}
