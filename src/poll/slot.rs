//! `Slot`: one registered descriptor (Go: `pollDesc`). The semaphores, the info word, and their transitions.

use super::Error;
use crate::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use crate::lock::Spin;
use crate::sys::RawFd;
use crate::sys::epoll::EpollFlags;
use crate::timer::Timer;

/// A direction of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For something to read (Go: `'r'`).
    Read,
    /// For room to write (Go: `'w'`).
    Write,
}

/// The four states of a semaphore: these three, or the waiting task's word.
pub(super) const NIL: usize = 0;
pub(super) const READY: usize = 1;
pub(super) const WAIT: usize = 2;

/// The info word, everything a lock-free check needs: flags below, generation in the upper half.
pub(super) mod info {
    /// Being closed; never cleared within a generation.
    pub const CLOSING: u64 = 1 << 0;
    /// The last event was an error and nothing else.
    pub const EVENT_ERR: u64 = 1 << 1;
    pub const READ_EXPIRED: u64 = 1 << 2;
    pub const WRITE_EXPIRED: u64 = 1 << 3;
    /// RDHUP, HUP, ERR or PRI has been seen: from here on a short read does not mean drained, since
    /// the end of the stream, or what lies behind an urgent byte, brings no edge of its own.
    pub const STICKY: u64 = 1 << 4;
    /// EPOLLOUT has been armed.
    pub const OUT_ARMED: u64 = 1 << 5;
    /// The poller itself has failed: nothing will ever come.
    pub const FAILED: u64 = 1 << 6;
    /// [`Netpoll::close`](crate::poll::Netpoll::close) has been called: no handle names this slot any more, and
    /// the last user frees it. Never without `CLOSING`. The runtime counts its users itself, and never sets this.
    pub const CLOSED: u64 = 1 << 7;

    /// All flags.
    const FLAGS: u64 =
        CLOSING | EVENT_ERR | READ_EXPIRED | WRITE_EXPIRED | STICKY | OUT_ARMED | FAILED | CLOSED;

    /// One user, in the count of those that came by a handle ([`Slot::enter`](super::Slot::enter)).
    pub const USER: u64 = 1 << 8;

    /// The count: up to 16 million.
    pub const USERS: u64 = (1 << GENERATION) - USER;

    pub const GENERATION: u32 = 32;

    pub const fn generation(word: u64) -> u32 {
        (word >> GENERATION) as u32
    }

    // Go keeps its sequence number 4 bits short of its mask (a shift count taken from the wrong
    // constant), and loses error bits after 65,536 reuses of a slot. Here the halves cannot overlap:
    const _: () = assert!(FLAGS < USER && (FLAGS | USERS) >> GENERATION == 0);
    const _: () = assert!(generation((u32::MAX as u64) << GENERATION) == u32::MAX);
}

/// One descriptor registered with a [`Netpoll`](crate::poll::Netpoll).
///
/// Its memory is type-stable: once made it is a `Slot` for as long as the poller lives, reused
/// under a new generation, so that a stale event or timer never meets anything else. Two cache
/// lines: what waits and events touch, then what only deadlines and closing touch.
#[repr(C, align(64))]
pub(crate) struct Slot {
    pub(super) info: AtomicU64,
    /// Semaphore of the reader.
    rg: AtomicUsize,
    /// Semaphore of the writer.
    wg: AtomicUsize,
    /// Constant between open and close.
    pub(super) fd: AtomicI32,
    /// This slot's number, for life; the low half of the epoll data word.
    pub(super) index: u32,
    /// Next slot in the free list; under the cache's lock.
    pub(super) link: AtomicU32,
    pub(super) deadlines: Spin<Deadlines>,
    pub(super) rt: Timer,
    pub(super) wt: Timer,
}

/// What the descriptor's lock guards; `closing` in the info word changes under it too.
///
/// The numbers by which a timer that fired for an earlier deadline is recognised (Go: `rseq`, `wseq`) are
/// those of the timers, which change with every set and stop.
pub(super) struct Deadlines {
    /// Absolute ns; 0 none, < 0 expired.
    pub rd: i64,
    pub wd: i64,
}

#[cfg(not(loom))]
mod layout {
    use super::Slot;
    use memoffset::offset_of;
    static_assertions::const_assert!(size_of::<Slot>() <= 128);
    static_assertions::const_assert!(offset_of!(Slot, deadlines) <= 64);
    static_assertions::assert_impl_all!(Slot: Send, Sync);
}

impl Slot {
    pub(super) fn new(index: u32, fire: [crate::timer::Fire; 2]) -> Slot {
        Slot {
            info: AtomicU64::new(1 << info::GENERATION),
            rg: AtomicUsize::new(NIL),
            wg: AtomicUsize::new(NIL),
            fd: AtomicI32::new(-1),
            index,
            link: AtomicU32::new(0),
            deadlines: Spin::new(Deadlines { rd: 0, wd: 0 }),
            rt: Timer::new(fire[0]),
            wt: Timer::new(fire[1]),
        }
    }

    /// The descriptor number it was opened for.
    pub(super) fn fd(&self) -> RawFd {
        self.fd.load(SeqCst)
    }

    /// See [`Netpoll::hangup_seen`](crate::poll::Netpoll::hangup_seen).
    #[inline]
    pub fn hangup_seen(&self) -> bool {
        self.info.load(SeqCst) & info::STICKY != 0
    }

    /// See [`Netpoll::has_edge`](crate::poll::Netpoll::has_edge).
    #[inline]
    pub fn has_edge(&self, mode: Mode) -> bool {
        self.semaphore(mode).load(SeqCst) == READY
    }

    /// Counts one more user, if `generation` is that of the registration and it has not been closed. Compared in
    /// the exchange that counts. So a slot with a user keeps its generation, and is freed by the last one.
    ///
    /// # Errors
    /// [`Error::Closing`]; [`Error::Busy`] if the count is full.
    pub(super) fn enter(&self, generation: u32) -> Result<(), Error> {
        let mut old = self.info.load(SeqCst);
        loop {
            if info::generation(old) != generation || old & info::CLOSED != 0 {
                return Err(Error::Closing);
            }
            if old & info::USERS == info::USERS {
                return Err(Error::Busy);
            }
            match self.info.compare_exchange(old, old + info::USER, SeqCst, SeqCst) {
                Ok(_) => return Ok(()),
                Err(now) => old = now,
            }
        }
    }

    /// Counts a user off. `true`: the registration has been closed and this was the last user, which must free the slot.
    ///
    /// Exactly one caller gets `true`: nothing enters after `CLOSED`, so the count reaches 0 once.
    #[must_use]
    pub(super) fn leave(&self) -> bool {
        let old = self.info.fetch_sub(info::USER, SeqCst);
        old & info::USERS == info::USER && old & info::CLOSED != 0
    }

    /// The word to register with epoll: generation above, index below; never 0.
    pub(super) fn data(&self) -> u64 {
        self.info.load(SeqCst) >> info::GENERATION << 32 | self.index as u64
    }

    #[inline]
    pub(super) fn semaphore(&self, mode: Mode) -> &AtomicUsize {
        match mode {
            Mode::Read => &self.rg,
            Mode::Write => &self.wg,
        }
    }

    /// Whether edges of this direction have to be asked for first.
    #[inline]
    pub(super) fn unwatched(&self, mode: Mode) -> bool {
        mode == Mode::Write && self.info.load(SeqCst) & info::OUT_ARMED == 0
    }

    /// Go's `netpollunblock`: leaves `READY` behind for an event, `NIL` otherwise, and returns the
    /// word of the task that must be readied, if one was parked.
    ///
    /// Only an event creates `READY`, and nothing here takes it away: a deadline or a close must not
    /// erase an edge that the owner has not used.
    pub(super) fn unblock(&self, mode: Mode, event: bool) -> Option<usize> {
        let semaphore = self.semaphore(mode);
        let new = if event { READY } else { NIL };
        let mut old = semaphore.load(SeqCst);
        loop {
            if old == READY || old == new {
                return None;
            }
            match semaphore.compare_exchange(old, new, SeqCst, SeqCst) {
                Ok(_) if old > WAIT => return Some(old),
                Ok(_) => return None, // the commit of a park under way will fail
                Err(now) => old = now,
            }
        }
    }

    /// Notes what an event says besides which tasks it wakes, before it wakes any. `false`: the slot
    /// has been reused since the event was registered, and the event is stale.
    ///
    /// "An error and nothing else" is only known once OUT is watched too: without it a writable socket
    /// with a pending error looks the same (golang/go#30817 from the other side).
    ///
    /// The generation is compared inside the loop that changes the word, so that a closed descriptor's
    /// error never marks its successor (golang/go#59545).
    #[inline]
    pub(super) fn note(&self, generation: u32, events: EpollFlags) -> bool {
        let sticky = EpollFlags::RDHUP | EpollFlags::HUP | EpollFlags::ERR | EpollFlags::PRI;
        let mut old = self.info.load(SeqCst);
        loop {
            if info::generation(old) != generation {
                return false;
            }
            let mut new = old & !info::EVENT_ERR;
            if events == EpollFlags::ERR && old & info::OUT_ARMED != 0 {
                new |= info::EVENT_ERR;
            }
            if events.intersects(sticky) {
                new |= info::STICKY;
            }
            if new == old {
                return true; // every event of a healthy connection
            }
            match self.info.compare_exchange(old, new, SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
    }

    /// Sets and clears flags of the info word. For all flags but the event's, under the lock.
    pub(super) fn publish(&self, set: u64, clear: u64) {
        let mut old = self.info.load(SeqCst);
        while let Err(now) = self.info.compare_exchange(old, old & !clear | set, SeqCst, SeqCst) {
            old = now;
        }
    }

    /// Ends the slot's generation: events and timers of the past no longer match. Under the lock.
    ///
    /// `false`: that was the last generation, and the slot must not be used again, because a handle of the first would be
    /// taken for the next owner's. 128 bytes are lost every 2^32 registrations in a slot. What is left is generation 0,
    /// closed: nobody has been in that.
    pub(super) fn next_generation(&self) -> bool {
        let generation = info::generation(self.info.load(SeqCst)).wrapping_add(1);
        let flags = if generation == 0 { info::CLOSING | info::CLOSED } else { 0 };
        self.info.swap((generation as u64) << info::GENERATION | flags, SeqCst); // a swap as in `open`
        generation != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{EpollFlags, Error, SeqCst, Slot, info};

    unsafe fn never(_: core::ptr::NonNull<super::Timer>, _: u32, _: *mut ()) {}

    /// 2^32 uses of one slot are its end, since generations would come again; and 0 is the break's.
    #[test]
    fn generations_do_not_come_again() {
        let slot = Slot::new(5, [never; 2]);
        assert_eq!(slot.data(), 1 << 32 | 5);
        let last = u32::MAX;
        slot.info.store((last as u64) << info::GENERATION, SeqCst);
        slot.enter(last).unwrap();
        slot.publish(info::CLOSING | info::OUT_ARMED | info::FAILED | info::CLOSED, 0);
        assert_eq!(slot.data(), (last as u64) << 32 | 5);
        assert!(slot.note(last, EpollFlags::ERR));
        assert!(slot.hangup_seen());
        assert!(slot.leave());
        assert!(!slot.next_generation());
        assert!(!slot.note(last, EpollFlags::HUP), "stale");
        for generation in [0, 1, last] {
            assert_eq!(slot.enter(generation), Err(Error::Closing));
        }
    }

    /// What a handle names, and what it names no more.
    #[test]
    fn users_are_counted_within_a_generation() {
        let slot = Slot::new(0, [never; 2]);
        assert_eq!(slot.enter(2), Err(Error::Closing));
        slot.enter(1).unwrap();
        slot.enter(1).unwrap();
        assert!(!slot.leave(), "it has not been closed");
        slot.publish(info::CLOSING, 0);
        slot.enter(1).unwrap(); // for it may be closed
        slot.publish(info::CLOSED, 0);
        assert_eq!(slot.enter(1), Err(Error::Closing));
        assert!(!slot.leave());
        assert!(slot.leave(), "the last one");
    }

    #[test]
    fn full_count_lets_nobody_in() {
        let slot = Slot::new(0, [never; 2]);
        slot.publish(info::USERS, 0);
        assert_eq!(slot.enter(1), Err(Error::Busy));
        assert!(!slot.leave());
        assert_eq!(slot.enter(1), Ok(()));
        assert_eq!(slot.data(), 1 << 32, "it does not run over");
    }
}
