//! Waiting for one direction of one descriptor: Go's `pollReset`, `pollWait` and `netpollblock`.

use super::desc::{NIL, READY, WAIT, info};
use super::netpoll::REGISTER;
use super::{Error, Kernel, Mode, Netpoll, PollDesc, Scheduler, Waiter};
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
    /// What makes operations in direction `mode` useless right now (Go: `netpollcheckerr`): closing
    /// before an expired deadline before a hopeless descriptor, which only readers are told of; a
    /// writer's own call reports a better error (golang/go#30624).
    ///
    /// # Errors
    /// [`Error::Closing`], [`Error::Timeout`], [`Error::NotPollable`], or the poller's failure.
    #[inline]
    pub fn check(&self, pd: &PollDesc, mode: Mode) -> Result<(), Error> {
        let word = pd.info.load(Ordering::SeqCst);
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

    /// What of [`Netpoll::check`] concerns even an operation that cannot be recalled.
    fn check_failed(&self, pd: &PollDesc) -> Result<(), Error> {
        if pd.info.load(Ordering::SeqCst) & info::FAILED == 0 { Ok(()) } else { Err(self.failure()) }
    }

    #[cold]
    pub(super) fn failure(&self) -> Error {
        Error::Os(Call::EpollPwait, Errno::from_raw(self.failed.load(Ordering::SeqCst)))
    }

    /// Before an operation in direction `mode`: reports what makes it useless, and forgets an edge that
    /// came before now (Go: `pollReset`). The operation must follow, for the forgotten edge may have
    /// been the last.
    ///
    /// # Errors
    /// As [`Netpoll::check`].
    #[inline]
    pub fn reset(&self, pd: &PollDesc, mode: Mode) -> Result<(), Error> {
        self.check(pd, mode)?;
        let semaphore = pd.semaphore(mode);
        if semaphore.load(Ordering::Relaxed) == READY {
            // Must be globally visible before the operation looks at the kernel's state, or an edge
            // that comes behind it would find READY and be lost with it: hence a swap.
            semaphore.swap(NIL, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether [`Netpoll::reset`] has nothing to report, and nothing to forget.
    #[inline]
    pub fn is_reset(&self, pd: &PollDesc, mode: Mode) -> bool {
        let word = pd.info.load(Ordering::SeqCst);
        word & hindrances(mode) == 0 && pd.semaphore(mode).load(Ordering::Relaxed) != READY
    }

    /// Whether an edge is latched in direction `mode`, for the next wait.
    #[inline]
    pub fn has_edge(&self, pd: &PollDesc, mode: Mode) -> bool {
        pd.semaphore(mode).load(Ordering::Acquire) == READY
    }

    /// Parks the calling task until there is an edge in direction `mode`, and uses it up (Go:
    /// `pollWait`). Returns at once if one came since the last [`Netpoll::reset`] or wait. The first
    /// wait to write also arms OUT, by one `EPOLL_CTL_MOD` in the life of the descriptor.
    ///
    /// # Errors
    /// As [`Netpoll::check`]; [`Error::Busy`] if another task waits in the same direction;
    /// [`Error::Os`] if OUT could not be armed.
    #[inline]
    pub fn wait(&self, pd: &PollDesc, mode: Mode) -> Result<(), Error> {
        self.check(pd, mode)?;
        if pd.unwatched(mode) {
            self.arm_out(pd, None)?;
        }
        if self.block(pd, mode, false)? { Ok(()) } else { self.wait_on(pd, mode) }
    }

    /// A wait that was ended: by a deadline or a close, as a rule.
    #[cold]
    fn wait_on(&self, pd: &PollDesc, mode: Mode) -> Result<(), Error> {
        loop {
            self.check(pd, mode)?;
            // A deadline passed and was moved on before this task ran: the wait goes on.
            if self.block(pd, mode, false)? {
                return Ok(());
            }
        }
    }

    /// As [`Netpoll::wait`], deaf to deadlines and close: for an operation in flight that nothing can
    /// recall (Go: `pollWaitCanceled`).
    ///
    /// # Errors
    /// [`Error::Busy`]; [`Error::Os`] if OUT could not be armed, or the poller has failed.
    pub fn wait_canceled(&self, pd: &PollDesc, mode: Mode) -> Result<(), Error> {
        self.check_failed(pd)?;
        if pd.unwatched(mode) {
            self.arm_out(pd, None)?;
        }
        while !self.block(pd, mode, true)? {
            self.check_failed(pd)?;
        }
        Ok(())
    }

    /// Go's `netpollblock`: `true` if an edge was used up, `false` if a deadline or a close ended the
    /// wait, or was found on the way into it.
    #[inline]
    fn block(&self, pd: &PollDesc, mode: Mode, waitio: bool) -> Result<bool, Error> {
        let semaphore = pd.semaphore(mode);
        match semaphore.compare_exchange(NIL, WAIT, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => {}
            // Nobody but the owner leaves READY. A swap, as in `reset`.
            Err(READY) => return Ok(semaphore.swap(NIL, Ordering::SeqCst) == READY),
            Err(_) => return Err(Error::Busy),
        }
        // WAIT was published, now look: `unblock` and the deadlines publish, then look at the semaphore.
        let clear = if waitio { self.check_failed(pd) } else { self.check(pd, mode) };
        if clear.is_err() {
            // Taken back, unless an event or an `unblock` was faster.
            if semaphore.compare_exchange(WAIT, NIL, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Ok(false);
            }
        } else {
            let waiters = &self.waiters;
            self.sched.park(|task| {
                let word = task.into_word();
                debug_assert!(word > WAIT, "a waiter's word must not be 0, 1 or 2");
                // Fails if an event, a deadline or a close came since: then there is no park.
                let parked =
                    semaphore.compare_exchange(WAIT, word, Ordering::SeqCst, Ordering::SeqCst).is_ok();
                if parked {
                    // Behind the exchange: a wake that overtakes it lets the count wrap for a moment,
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

    /// Forgets an edge as [`Netpoll::reset`] does, and tells whether there was one.
    ///
    /// # Errors
    /// As [`Netpoll::check`].
    pub fn take_edge(&self, pd: &PollDesc, mode: Mode) -> Result<bool, Error> {
        self.check(pd, mode)?;
        let semaphore = pd.semaphore(mode);
        // A swap, as in `reset`; nobody but the owner takes READY.
        Ok(semaphore.load(Ordering::Relaxed) == READY && semaphore.swap(NIL, Ordering::SeqCst) == READY)
    }

    /// Puts `waiter` into the semaphore of direction `mode`, and returns: for a task that waits for other
    /// things too, on which it parks by itself. The next edge, deadline, close or failure takes the waiter
    /// out and hands it on like a parked one, perhaps before this has returned; so whatever the word
    /// stands for must be ready for that. If none of them comes, [`Netpoll::withdraw`] takes it out.
    ///
    /// `false`: an edge is latched, and stays so ([`Netpoll::take_edge`]); nobody is put in.
    ///
    /// # Errors
    /// As [`Netpoll::wait`]. Nothing is left in the semaphore then.
    pub fn enlist(&self, pd: &PollDesc, mode: Mode, waiter: S::Waiter) -> Result<bool, Error> {
        self.check(pd, mode)?;
        self.watch(pd, mode)?;
        let (semaphore, word) = (pd.semaphore(mode), waiter.into_word());
        debug_assert!(word > WAIT, "a waiter's word must not be 0, 1 or 2");
        // Counted before whoever takes it can count it off.
        self.waiters.fetch_add(1, Ordering::SeqCst);
        if let Err(old) = semaphore.compare_exchange(NIL, word, Ordering::SeqCst, Ordering::SeqCst) {
            self.adjust_waiters(-1);
            return if old == READY { Ok(false) } else { Err(Error::Busy) };
        }
        // The word was published, now look, as in `block`. There is no `WAIT` in between, for nobody has
        // to leave a stack first.
        match self.check(pd, mode) {
            Err(e) if self.withdraw(pd, mode, waiter) => Err(e),
            _ => Ok(true), // also if it has been taken out meanwhile, and the error with it
        }
    }

    /// Takes back what [`Netpoll::enlist`] put in. `false`: somebody has taken it out, and hands it on or
    /// has done so; an edge that did is latched in its place, for the next wait. An edge is never lost
    /// here: as long as the waiter is in the semaphore, none has come.
    pub fn withdraw(&self, pd: &PollDesc, mode: Mode, waiter: S::Waiter) -> bool {
        let (semaphore, word) = (pd.semaphore(mode), waiter.into_word());
        let ours = semaphore.compare_exchange(word, NIL, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if ours {
            self.adjust_waiters(-1);
        }
        ours
    }

    /// Has edges of direction `mode` reported. Those of writing are from the first time on, which costs
    /// one `EPOLL_CTL_MOD`; what holds already counts as an edge then.
    ///
    /// # Errors
    /// [`Error::Os`] if OUT could not be armed.
    pub fn watch(&self, pd: &PollDesc, mode: Mode) -> Result<(), Error> {
        if pd.unwatched(mode) { self.arm_out(pd, None) } else { Ok(()) }
    }

    /// Adds OUT to the registration. With a generation: only if that is still the descriptor's.
    #[cold]
    pub(super) fn arm_out(&self, pd: &PollDesc, generation: Option<u32>) -> Result<(), Error> {
        // Under the lock no close can begin, so the number still is the registered file.
        let _d = pd.deadlines.lock();
        let word = pd.info.load(Ordering::SeqCst);
        // The owner may come after the close began (`wait_canceled`): it is a user, so the close cannot
        // have been completed. The poll thread is no user, and holds nothing back.
        let stale = generation.is_some_and(|g| g != info::generation(word) || word & info::CLOSING != 0);
        if stale || word & info::OUT_ARMED != 0 {
            return Ok(());
        }
        // Reports at once what holds already, so an edge before this call is not missed.
        pd.publish(info::OUT_ARMED, 0);
        self.ctl(CtlOp::Mod, pd, REGISTER | EpollFlags::OUT).inspect_err(|_| pd.publish(0, info::OUT_ARMED))
    }
}
