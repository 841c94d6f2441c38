//! Waiting for one direction of one descriptor: Go's `pollReset`, `pollWait` and `netpollblock`.

use super::netpoll::{REGISTER, Registered};
use super::slot::{NIL, READY, Slot, WAIT, info};
use super::{Error, Kernel, Mode, Netpoll, Scheduler, Waiter};
use crate::atomic::Ordering;
use crate::sys::Call;
use crate::sys::Errno;
use crate::sys::epoll::{CtlOp, EpollFlags};

/// The flag of this direction's deadline.
const fn expired(mode: Mode) -> u64 {
    match mode {
        Mode::Read => info::READ_EXPIRED,
        Mode::Write => info::WRITE_EXPIRED,
    }
}

/// All flags that make operations in this direction useless.
const fn hindrances(mode: Mode) -> u64 {
    let hopeless = match mode {
        Mode::Read => info::EVENT_ERR,
        Mode::Write => 0,
    };
    info::CLOSING | info::FAILED | expired(mode) | hopeless
}

impl<K: Kernel, S: Scheduler> Netpoll<K, S> {
    /// Go's `netpollcheckerr`, of an info word: see [`Netpoll::check`].
    #[inline]
    pub(super) fn check_word(&self, word: u64, mode: Mode) -> Result<(), Error> {
        if word & hindrances(mode) == 0 {
            return Ok(());
        }
        Err(if word & info::CLOSING != 0 {
            Error::Closing
        } else if word & expired(mode) != 0 {
            Error::Timeout
        } else if word & info::FAILED != 0 {
            self.failure()
        } else {
            Error::NotPollable
        })
    }

    #[cold]
    pub(super) fn failure(&self) -> Error {
        Error::Os(Call::EpollPwait, Errno::from_raw(self.failed.load(Ordering::SeqCst)))
    }

    /// Adds OUT to the registration. With a generation: only if that is still the slot's.
    #[cold]
    pub(super) fn arm_out(&self, slot: &Slot, generation: Option<u32>) -> Result<(), Error> {
        // Under the lock no close can begin, so the number still is the registered file.
        let _d = slot.deadlines.lock();
        let word = slot.info.load(Ordering::SeqCst);
        // The poll thread is no user, and holds nothing back. A user may come after the close began (`wait_canceled`),
        // but none arms OUT after `close` was called: the number may be another file's by now. (The wait itself fails
        // then, by its next check.)
        let stale = generation.is_some_and(|g| g != info::generation(word) || word & info::CLOSING != 0);
        if stale || word & (info::OUT_ARMED | info::CLOSED) != 0 {
            return Ok(());
        }
        // Reports at once what holds already, so an edge before this call is not missed.
        slot.publish(info::OUT_ARMED, 0);
        self.ctl(CtlOp::Mod, slot, REGISTER | EpollFlags::OUT)
            .inspect_err(|_| slot.publish(0, info::OUT_ARMED))
    }
}

impl<K: Kernel, S: Scheduler> Registered<'_, K, S> {
    /// See [`Netpoll::check`].
    #[inline]
    pub fn check(self, mode: Mode) -> Result<(), Error> {
        self.poller.check_word(self.slot.info.load(Ordering::SeqCst), mode)
    }

    /// What of [`Registered::check`] concerns even an operation that cannot be recalled.
    fn check_failed(self) -> Result<(), Error> {
        let word = self.slot.info.load(Ordering::SeqCst);
        if word & (info::FAILED | info::CLOSED) == 0 {
            Ok(())
        } else if word & info::CLOSED != 0 {
            Err(Error::Closing) // there is no registration any more, so no event will come
        } else {
            Err(self.poller.failure())
        }
    }

    /// See [`Netpoll::reset`].
    #[inline]
    pub fn reset(self, mode: Mode) -> Result<(), Error> {
        self.check(mode)?;
        let semaphore = self.slot.semaphore(mode);
        if semaphore.load(Ordering::Relaxed) == READY {
            // Must be globally visible before the operation looks at the kernel's state, or an edge
            // that comes after it would find READY and be lost with it: hence a swap.
            semaphore.swap(NIL, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether [`Registered::reset`] has nothing to report, and nothing to forget.
    #[inline]
    #[cfg(all(feature = "rt", not(loom)))]
    pub fn is_reset(self, mode: Mode) -> bool {
        let word = self.slot.info.load(Ordering::SeqCst);
        word & hindrances(mode) == 0 && self.slot.semaphore(mode).load(Ordering::Relaxed) != READY
    }

    /// See [`Netpoll::wait`].
    #[inline]
    pub fn wait(self, mode: Mode) -> Result<(), Error> {
        self.check(mode)?;
        self.watch(mode)?;
        if self.block(mode, false)? { Ok(()) } else { self.wait_on(mode) }
    }

    /// A wait that was ended: by a deadline or a close, as a rule.
    #[cold]
    fn wait_on(self, mode: Mode) -> Result<(), Error> {
        loop {
            self.check(mode)?;
            // A deadline passed and was moved on before this task ran: the wait goes on.
            if self.block(mode, false)? {
                return Ok(());
            }
        }
    }

    /// See [`Netpoll::wait_canceled`].
    pub fn wait_canceled(self, mode: Mode) -> Result<(), Error> {
        self.check_failed()?;
        self.watch(mode)?;
        while !self.block(mode, true)? {
            self.check_failed()?;
        }
        Ok(())
    }

    /// Go's `netpollblock`: `true` if an edge was used up, `false` if a deadline or a close ended the
    /// wait, or was found on the way into it.
    #[inline]
    fn block(self, mode: Mode, waitio: bool) -> Result<bool, Error> {
        let semaphore = self.slot.semaphore(mode);
        match semaphore.compare_exchange(NIL, WAIT, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => {}
            // Only the owner takes READY. A swap, as in `reset`.
            Err(READY) => return Ok(semaphore.swap(NIL, Ordering::SeqCst) == READY),
            Err(_) => return Err(Error::Busy),
        }
        // WAIT was published, now look: `unblock` and the deadlines publish, then look at the semaphore.
        let clear = if waitio { self.check_failed() } else { self.check(mode) };
        if clear.is_err() {
            // Taken back, unless an event or an `unblock` was faster.
            if semaphore.compare_exchange(WAIT, NIL, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Ok(false);
            }
        } else {
            let waiters = &self.poller.waiters;
            self.poller.sched.park(|task| {
                let word = task.into_word();
                debug_assert!(word > WAIT, "a waiter's word must not be 0, 1 or 2");
                // Fails if an event, a deadline or a close came since: then there is no park.
                let parked =
                    semaphore.compare_exchange(WAIT, word, Ordering::SeqCst, Ordering::SeqCst).is_ok();
                if parked {
                    // After the exchange: a wake that overtakes it lets the count wrap for a moment,
                    // which reads as "some", the safe side.
                    waiters.fetch_add(1, Ordering::SeqCst);
                }
                parked
            });
        }
        // Go stores nil here whatever it finds, and aborts if that was a task: one that came between our
        // being woken and our running, which would then sleep for ever. So take READY and nothing else.
        Ok(semaphore.compare_exchange(READY, NIL, Ordering::SeqCst, Ordering::SeqCst).is_ok())
    }

    /// See [`Netpoll::take_edge`].
    pub fn take_edge(self, mode: Mode) -> Result<bool, Error> {
        self.check(mode)?;
        let semaphore = self.slot.semaphore(mode);
        // A swap, as in `reset`; only the owner takes READY.
        Ok(semaphore.load(Ordering::Relaxed) == READY && semaphore.swap(NIL, Ordering::SeqCst) == READY)
    }

    /// See [`Netpoll::enlist`].
    pub fn enlist(self, mode: Mode, waiter: S::Waiter) -> Result<bool, Error> {
        self.check(mode)?;
        self.watch(mode)?;
        let (semaphore, word) = (self.slot.semaphore(mode), waiter.into_word());
        debug_assert!(word > WAIT, "a waiter's word must not be 0, 1 or 2");
        // Counted before the thread that takes it can count it off.
        self.poller.waiters.fetch_add(1, Ordering::SeqCst);
        if let Err(old) = semaphore.compare_exchange(NIL, word, Ordering::SeqCst, Ordering::SeqCst) {
            self.poller.adjust_waiters(-1);
            return if old == READY { Ok(false) } else { Err(Error::Busy) };
        }
        // The word was published, now look, as in `block`. There is no `WAIT` in between, because the caller
        // does not have to leave its stack first.
        match self.check(mode) {
            Err(e) if self.withdraw(mode, waiter) => Err(e),
            _ => Ok(true), // also if it has been taken out meanwhile, and the error with it
        }
    }

    /// See [`Netpoll::withdraw`]. Of a slot whose registration has ended it finds another word, or none.
    pub fn withdraw(self, mode: Mode, waiter: S::Waiter) -> bool {
        let (semaphore, word) = (self.slot.semaphore(mode), waiter.into_word());
        let ours = semaphore.compare_exchange(word, NIL, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if ours {
            self.poller.adjust_waiters(-1);
        }
        ours
    }

    /// See [`Netpoll::watch`].
    #[inline]
    pub fn watch(self, mode: Mode) -> Result<(), Error> {
        if self.slot.unwatched(mode) { self.poller.arm_out(self.slot, None) } else { Ok(()) }
    }
}
