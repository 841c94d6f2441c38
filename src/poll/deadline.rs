//! Deadlines: what wakes a waiter at a time.

use super::netpoll::{Registered, Woken};
use super::slot::{Deadlines, Slot, info};
use super::{Error, Kernel, Mode, Netpoll, Scheduler};
use crate::atomic::Ordering;
use crate::sys::Call;
use crate::timer::{NEVER, Timer};
use core::mem::offset_of;
use core::ptr::NonNull;

/// Which deadlines to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The reader's.
    Read,
    /// The writer's.
    Write,
    /// Both; one timer serves them as long as they are the same.
    Both,
}

/// A deadline in the past (`rd`, `wd`).
const EXPIRED: i64 = -1;
/// No deadline.
const NONE: i64 = 0;

impl Deadlines {
    /// Reader and writer share a deadline, and the reader's timer (Go: combo).
    fn combined(&self) -> bool {
        self.rd > 0 && self.rd == self.wd
    }
}

impl<K: Kernel, S: Scheduler> Registered<'_, K, S> {
    /// See [`Netpoll::set_deadline`].
    pub fn set_deadline(self, side: Side, deadline: Option<i64>) -> Result<(), Error> {
        let Registered { poller, slot } = self;
        let value = match deadline {
            None => NONE,
            Some(at) if at <= poller.kernel.nanotime() => EXPIRED,
            Some(at) => at,
        };
        let (reader, writer, first, armed);
        {
            let mut d = slot.deadlines.lock();
            if slot.info.load(Ordering::SeqCst) & info::CLOSING != 0 {
                return Err(Error::Closing);
            }
            let (rd, wd, combined) = (d.rd, d.wd, d.combined());
            if (side == Side::Write || rd == value) && (side == Side::Read || wd == value) {
                return Ok(()); // whatever a deadline does when it is set, this one has done
            }
            if side != Side::Write {
                d.rd = value;
            }
            if side != Side::Read {
                d.wd = value;
            }
            (first, armed) = self.rearm(&mut d, rd, wd, combined);
            // Published before anybody is woken by it: the woken look.
            slot.publish_deadlines(&d);
            reader = if d.rd < 0 { slot.unblock(Mode::Read, false) } else { None };
            writer = if d.wd < 0 { slot.unblock(Mode::Write, false) } else { None };
        }
        poller.ready(reader);
        poller.ready(writer);
        if first != NEVER {
            poller.wake_for_timer(first);
        }
        armed
    }

    /// Brings the timers in line with `d`, which was (`rd`, `wd`, `combined`) before. Every change
    /// gives its timer a new number, so that a callback already on its way is ignored. Returns the time
    /// that a sleeping poll must hear of, or [`NEVER`]; one timer may want that while the other has failed.
    fn rearm(self, d: &mut Deadlines, rd: i64, wd: i64, combined: bool) -> (i64, Result<(), Error>) {
        let (mut first, mut result) = (NEVER, Ok(()));
        let regrouped = d.combined() != combined;
        if d.rd != rd || regrouped {
            match self.arm(&self.slot.rt, field(self.slot, offset_of!(Slot, rt)), d.rd) {
                Ok(time) => first = first.min(time),
                Err(e) => {
                    d.rd = NONE; // and no longer combined: the writer gets its own timer below
                    result = Err(e);
                }
            }
        }
        if d.wd != wd || regrouped {
            let own = if d.combined() { NONE } else { d.wd };
            match self.arm(&self.slot.wt, field(self.slot, offset_of!(Slot, wt)), own) {
                Ok(time) => first = first.min(time),
                Err(e) => {
                    d.wd = NONE;
                    result = Err(e);
                }
            }
        }
        (first, result)
    }

    /// Sets a timer, or stops it (`when` not positive); the time, if it came to be the earliest.
    fn arm(self, timer: &Timer, at: NonNull<Timer>, when: i64) -> Result<i64, Error> {
        let Netpoll { timers, kernel, sched, .. } = self.poller;
        if when <= 0 {
            timers.stop(timer);
            return Ok(NEVER);
        }
        // SAFETY: the slot is one of this poller's (contract of `Netpoll::registered`), whose memory is a slot for
        // as long as the poller lives; so its timers are set in these heaps only, and with this kernel. `at` was
        // derived from the whole slot, which `fire_*` go back to.
        match unsafe { timers.set(kernel, sched.shard(), at, when) } {
            Ok(earlier) => Ok(if earlier { when } else { NEVER }),
            Err(e) => Err(Error::Os(Call::Mmap, e)),
        }
    }
}

impl Slot {
    fn publish_deadlines(&self, d: &Deadlines) {
        let mut expired = 0;
        if d.rd < 0 {
            expired |= info::READ_EXPIRED;
        }
        if d.wd < 0 {
            expired |= info::WRITE_EXPIRED;
        }
        let both = info::READ_EXPIRED | info::WRITE_EXPIRED;
        if self.info.load(Ordering::SeqCst) & both != expired {
            self.publish(expired, both & !expired);
        }
    }
}

impl<K: Kernel, S: Scheduler> Netpoll<K, S> {
    /// Fires what is due. Returns the time it read, or `None` without reading the clock when no timer is
    /// armed.
    pub(super) fn expire(&self, woken: &mut Woken<S::List>) -> Option<i64> {
        if self.timers.next() == NEVER {
            return None;
        }
        let now = self.kernel.nanotime();
        let mut firing = Firing { netpoll: self, woken };
        // SAFETY: every timer in this heap expects a `Firing`: the slots' are armed by `arm`, and
        // others are bound to it by the contract of `wake_on_fire`.
        unsafe { self.timers.expire(now, (&raw mut firing).cast()) };
        Some(now)
    }

    /// For the callback of a timer in [`Netpoll::timers`]: `waiter` is returned with the woken of the
    /// poll that fired the timer.
    ///
    /// # Safety
    /// `context` must be what the callback was called with, by this poller, and the call under way.
    pub unsafe fn wake_on_fire(context: *mut (), waiter: impl Into<S::Waiter>) {
        // SAFETY: contract: `expire` above passed a live `Firing` of these types.
        let firing = unsafe { &mut *context.cast::<Firing<'_, K, S>>() };
        super::WakeList::push(&mut firing.woken.list, waiter.into());
        // Not a parked waiter of a descriptor, but the poll has something to return.
        firing.woken.others = true;
    }

    /// # Safety
    /// Called by `Timers::expire` from `expire` only.
    pub(super) unsafe fn fire_read(timer: NonNull<Timer>, seq: u32, context: *mut ()) {
        // SAFETY: `expire` passes a live `Firing`, and `timer` is the `rt` of a type-stable slot,
        // with provenance over the whole of it (`rearm`).
        let (slot, firing) = unsafe {
            (
                timer.byte_sub(offset_of!(Slot, rt)).cast::<Slot>().as_ref(),
                &mut *context.cast::<Firing<'_, K, S>>(),
            )
        };
        firing.netpoll.deadline_passed(slot, Mode::Read, seq, firing.woken);
    }

    /// # Safety
    /// As [`Self::fire_read`].
    pub(super) unsafe fn fire_write(timer: NonNull<Timer>, seq: u32, context: *mut ()) {
        // SAFETY: as in `fire_read`, with `wt`.
        let (slot, firing) = unsafe {
            (
                timer.byte_sub(offset_of!(Slot, wt)).cast::<Slot>().as_ref(),
                &mut *context.cast::<Firing<'_, K, S>>(),
            )
        };
        firing.netpoll.deadline_passed(slot, Mode::Write, seq, firing.woken);
    }

    /// Go's `netpolldeadlineimpl`. Under the descriptor's lock alone: heap and timer are unlocked here, which
    /// is what makes the lock order hold (golang/go#35532). The timers are set and stopped under that lock
    /// only, so their numbers stand still.
    fn deadline_passed(&self, slot: &Slot, timer: Mode, seq: u32, woken: &mut Woken<S::List>) {
        let mut d = slot.deadlines.lock();
        let (current, read, write) = match timer {
            Mode::Read => (slot.rt.seq(), true, d.combined()),
            Mode::Write => (slot.wt.seq(), false, true),
        };
        if seq != current {
            return; // the deadline was changed, or the slot reused, while this was on its way
        }
        if read {
            d.rd = EXPIRED;
        }
        if write {
            d.wd = EXPIRED;
        }
        slot.publish_deadlines(&d);
        if read {
            self.wake(slot.unblock(Mode::Read, false), woken);
        }
        if write {
            self.wake(slot.unblock(Mode::Write, false), woken);
        }
    }
}

/// What the callbacks of a poller's timers are given.
struct Firing<'a, K: Kernel, S: Scheduler> {
    netpoll: &'a Netpoll<K, S>,
    woken: &'a mut Woken<S::List>,
}

/// A timer inside `slot`, with provenance over all of `slot`.
fn field(slot: &Slot, offset: usize) -> NonNull<Timer> {
    // SAFETY: `offset` is that of a field, within the slot.
    unsafe { NonNull::from(slot).byte_add(offset).cast() }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::poll::{Linux, WakeList};
    use crate::sys::fd::{OFlags, close, pipe2};

    /// Nobody waits here.
    #[derive(Default)]
    struct Nobody;

    impl Scheduler for Nobody {
        type Waiter = NonNull<u32>;
        type List = Nobody;

        fn park(&self, _: impl FnOnce(NonNull<u32>) -> bool) {
            unreachable!()
        }

        fn ready(&self, _: NonNull<u32>) {
            unreachable!()
        }
    }

    impl WakeList<NonNull<u32>> for Nobody {
        fn push(&mut self, _: NonNull<u32>) {
            unreachable!()
        }
    }

    #[test]
    fn sequence_number_wraps() {
        let [reader, writer] = pipe2(OFlags::CLOEXEC).unwrap();
        let p = Netpoll::new(Linux::new(), Nobody);
        let pd = p.open(reader).unwrap();
        let slot = p.cache.get(0).unwrap();
        slot.rt.set_seq(u32::MAX - 1);
        let far = p.kernel.nanotime() + 3_600_000_000_000;
        p.set_deadline(pd, Side::Read, Some(far)).unwrap();
        assert_eq!(slot.rt.seq(), u32::MAX);
        p.set_deadline(pd, Side::Read, Some(far + 1)).unwrap();
        assert_eq!(slot.rt.seq(), 0);
        let mut woken = Woken { list: Nobody, delta: 0, others: false };
        p.deadline_passed(slot, Mode::Read, u32::MAX, &mut woken);
        assert_eq!(p.reset(pd, Mode::Read), Ok(()), "the timer from before the wrap is stale");
        p.deadline_passed(slot, Mode::Read, 0, &mut woken);
        assert_eq!(p.reset(pd, Mode::Read), Err(Error::Timeout), "the one after it is not");
        p.close(pd).unwrap();
        // SAFETY: made above, and used no more.
        unsafe { close(reader).and(close(writer)) }.unwrap();
    }
}
