//! `PollDesc`: the handle of a registration, and what can be done with it from outside of the crate.
//!
//! A handle is not trusted. It names its poller, a slot and that slot's generation. Each operation compares them, and
//! refuses a handle of another poller, or of a registration that has ended, by [`Error::Closing`]. That is also the error
//! of an operation that finds the close under way, so a program that closes while it waits elsewhere has one error to
//! expect, whichever comes first.
//!
//! # Why a handle cannot reach the next owner of its slot
//! An operation that changes something first counts itself as a user of the slot, by an exchange of the info word, which
//! has the count beside the generation: so the comparison and the count are one step (`Slot::enter`).
//! [`Netpoll::close`] marks the word `CLOSED`, after which no operation enters, and the last user to leave frees the slot.
//! So as long as an operation lasts, parked or not, the slot is not another registration's: there is no moment between the
//! check and the act at which that could change. Of two threads that close at once the slot's lock lets one mark the
//! word, and the other gets the error. An enlisted word is not counted as a user: the close takes it out, and an
//! [`Netpoll::enlist`] at the same time sees the mark and takes it back. So each word comes out once.
//!
//! A task that is destroyed while it is parked in a wait never leaves. Its slot is then not used again.
//!
//! What only reads (`check`, `has_edge`, `hangup_seen`, and `reset` and `take_edge` where there is no edge) is not
//! counted. It answers for the moment at which it compared the generation, and changes nothing.
//!
//! Generations do not come again: a slot is given up after 2^32 registrations ([`Slot::next_generation`]). So a handle is
//! refused however old it is.

use super::netpoll::Registered;
use super::slot::{READY, Slot, info};
use super::{Error, Kernel, Mode, Netpoll, Scheduler, Side};
use crate::atomic::Ordering;
use crate::sys::RawFd;
use core::num::NonZero;
use core::sync::atomic::AtomicU64;

/// A registration with a [`Netpoll`]: what [`Netpoll::open`] returns, and what the operations on it take.
///
/// It is a few numbers, which may be copied, kept, and given to other threads, and may outlive both the registration and
/// the poller. An operation that is given a handle of no use, of another poller or closed, fails with
/// [`Error::Closing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PollDesc {
    poller: NonZero<u64>,
    id: u64,
}

impl PollDesc {
    /// Its number, by which [`Netpoll::desc`] finds it: for callers that can only keep numbers, as C programs. It is
    /// not 0, and no other registration with this poller has it.
    pub const fn id(self) -> u64 {
        self.id
    }
}

/// Distinguishes pollers, which an address does not: a poller may be moved, and its memory may be another's later.
pub(super) struct Identity(AtomicU64);

/// Identities given away.
static IDENTITIES: AtomicU64 = AtomicU64::new(0);

impl Identity {
    pub const fn new() -> Identity {
        Identity(AtomicU64::new(0)) // none yet
    }

    #[inline]
    fn get(&self) -> NonZero<u64> {
        NonZero::new(self.0.load(Ordering::Relaxed)).unwrap_or_else(|| self.make())
    }

    #[cold]
    fn make(&self) -> NonZero<u64> {
        // 64 bits do not run over.
        let new = NonZero::<u64>::MIN.saturating_add(IDENTITIES.fetch_add(1, Ordering::Relaxed));
        match self.0.compare_exchange(0, new.get(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => new,
            Err(first) => NonZero::new(first).unwrap_or(new),
        }
    }
}

/// A slot that is not freed meanwhile.
struct User<'p, K: Kernel, S: Scheduler>(Registered<'p, K, S>);

impl<K: Kernel, S: Scheduler> Drop for User<'_, K, S> {
    #[inline]
    fn drop(&mut self) {
        let Registered { poller, slot } = self.0;
        if slot.leave() {
            poller.release(slot);
        }
    }
}

impl<K: Kernel, S: Scheduler> Netpoll<K, S> {
    #[inline]
    fn slot(&self, pd: PollDesc) -> Result<&Slot, Error> {
        let known = pd.poller == self.identity.get();
        known.then(|| self.cache.get(pd.id as u32)).flatten().ok_or(Error::Closing)
    }

    /// For what changes something.
    #[inline]
    fn user(&self, pd: PollDesc) -> Result<User<'_, K, S>, Error> {
        let slot = self.slot(pd)?;
        slot.enter(info::generation(pd.id))?;
        // SAFETY: a slot of this poller, which the count keeps for this registration.
        Ok(User(unsafe { self.registered(slot) }))
    }

    /// For what only reads: the slot and its info word, at a time at which it was that of the registration.
    #[inline]
    fn peek(&self, pd: PollDesc) -> Result<(&Slot, u64), Error> {
        let slot = self.slot(pd)?;
        let word = slot.info.load(Ordering::SeqCst);
        if info::generation(word) == info::generation(pd.id) && word & info::CLOSED == 0 {
            Ok((slot, word))
        } else {
            Err(Error::Closing)
        }
    }

    /// Registers `fd`, which should be non-blocking (Go: `pollOpen`). The number stays the caller's to close, after
    /// [`Netpoll::close`].
    ///
    /// # Errors
    /// [`Error::Os`]: `EPERM` for a file that cannot be polled (a regular one; use it blocking),
    /// `ENOSPC` at `fs.epoll.max_user_watches`, `EEXIST` if registered already, `ENOMEM`, `EBADF`; or
    /// why the poller could not be made. Nothing is left behind.
    pub fn open(&self, fd: RawFd) -> Result<PollDesc, Error> {
        let slot = self.register(fd)?;
        Ok(PollDesc { poller: self.identity.get(), id: slot.data() })
    }

    /// The registration with this poller that has the number `id` ([`PollDesc::id`]). Whether there is one is found out
    /// when it is used.
    pub fn desc(&self, id: u64) -> PollDesc {
        PollDesc { poller: self.identity.get(), id }
    }

    /// The number that was registered.
    ///
    /// # Errors
    /// [`Error::Closing`] if it has been closed.
    pub fn fd(&self, pd: PollDesc) -> Result<RawFd, Error> {
        Ok(self.user(pd)?.0.slot.fd())
    }

    /// Begins the close (Go: `pollUnblock`): every wait from now on, and every one under way, returns
    /// [`Error::Closing`]. [`Netpoll::close`] should follow. That does the same first, so this is needed only to end the
    /// waits before the registration ends.
    ///
    /// # Errors
    /// [`Error::Closing`] if it has begun already.
    pub fn unblock(&self, pd: PollDesc) -> Result<(), Error> {
        self.user(pd)?.0.unblock()
    }

    /// Ends the registration (Go: `pollClose`). Waits that are under way return [`Error::Closing`], also
    /// [`Netpoll::wait_canceled`], and so does every later operation. When this returns the kernel has forgotten the
    /// number, which may be closed: close it after this, since a duplicate of the number would keep the kernel's entry
    /// alive.
    ///
    /// # Errors
    /// [`Error::Closing`] if it has been closed, also by another thread at the same time; [`Error::Busy`] if 16 million
    /// operations are under way.
    pub fn close(&self, pd: PollDesc) -> Result<(), Error> {
        let user = self.user(pd)?;
        if !user.0.begin_close(info::CLOSING | info::CLOSED) {
            return Err(Error::Closing);
        }
        user.0.deregister();
        Ok(()) // the last user frees the slot, maybe this one
    }

    /// Sets, moves or clears the time from which operations fail with [`Error::Timeout`], waiting ones
    /// included: `deadline` is absolute, in ns of [`Kernel::nanotime`]; `None` clears it, and a time
    /// that is not in the future takes effect at once. It stays in force until changed, and takes precedence over data
    /// that is ready (Go: `pollSetDeadline`).
    ///
    /// # Errors
    /// [`Error::Closing`]; [`Error::Os`] with `ENOMEM` when the timer heap cannot grow: there is then
    /// no deadline on the side that failed.
    pub fn set_deadline(&self, pd: PollDesc, side: Side, deadline: Option<i64>) -> Result<(), Error> {
        self.user(pd)?.0.set_deadline(side, deadline)
    }

    /// What makes operations in direction `mode` useless right now (Go: `netpollcheckerr`): closing
    /// before an expired deadline before a hopeless descriptor, which is an error of readers only; a
    /// writer's own call reports a better error (golang/go#30624).
    ///
    /// # Errors
    /// [`Error::Closing`], [`Error::Timeout`], [`Error::NotPollable`], or the poller's failure.
    #[inline]
    pub fn check(&self, pd: PollDesc, mode: Mode) -> Result<(), Error> {
        let (_, word) = self.peek(pd)?;
        self.check_word(word, mode)
    }

    /// Before an operation in direction `mode`: reports what makes it useless, and forgets an edge that
    /// came before now (Go: `pollReset`). The operation must follow, because the forgotten edge may have
    /// been the last.
    ///
    /// # Errors
    /// As [`Netpoll::check`].
    #[inline]
    pub fn reset(&self, pd: PollDesc, mode: Mode) -> Result<(), Error> {
        let (slot, word) = self.peek(pd)?;
        self.check_word(word, mode)?;
        if slot.semaphore(mode).load(Ordering::Relaxed) != READY {
            return Ok(());
        }
        self.user(pd)?.0.reset(mode)
    }

    /// Parks the calling task until there is an edge in direction `mode`, and uses it up (Go:
    /// `pollWait`). Returns at once if one came since the last [`Netpoll::reset`] or wait. The first
    /// wait to write also arms OUT, by one `EPOLL_CTL_MOD` in the life of the descriptor.
    ///
    /// # Errors
    /// As [`Netpoll::check`]; [`Error::Busy`] if another task waits in the same direction;
    /// [`Error::Os`] if OUT could not be armed.
    #[inline]
    pub fn wait(&self, pd: PollDesc, mode: Mode) -> Result<(), Error> {
        self.user(pd)?.0.wait(mode)
    }

    /// As [`Netpoll::wait`], deaf to deadlines and [`Netpoll::unblock`]: for an operation in flight that nothing can
    /// recall (Go: `pollWaitCanceled`).
    ///
    /// # Errors
    /// [`Error::Busy`]; [`Error::Os`] if OUT could not be armed, or the poller has failed; [`Error::Closing`] after
    /// [`Netpoll::close`].
    pub fn wait_canceled(&self, pd: PollDesc, mode: Mode) -> Result<(), Error> {
        self.user(pd)?.0.wait_canceled(mode)
    }

    /// Forgets an edge as [`Netpoll::reset`] does, and returns whether there was one.
    ///
    /// # Errors
    /// As [`Netpoll::check`].
    pub fn take_edge(&self, pd: PollDesc, mode: Mode) -> Result<bool, Error> {
        let (slot, word) = self.peek(pd)?;
        self.check_word(word, mode)?;
        if slot.semaphore(mode).load(Ordering::Relaxed) != READY {
            return Ok(false);
        }
        self.user(pd)?.0.take_edge(mode)
    }

    /// Whether an edge is latched in direction `mode`, for the next wait.
    ///
    /// # Errors
    /// [`Error::Closing`] if it has been closed.
    pub fn has_edge(&self, pd: PollDesc, mode: Mode) -> Result<bool, Error> {
        let (slot, _) = self.peek(pd)?;
        Ok(slot.has_edge(mode))
    }

    /// Whether the peer has hung up, or an error or urgent data was reported, at any time since open.
    ///
    /// While this is `false`, a read from a TCP socket or a plain pipe that returned less than was
    /// asked for, and was made after [`Netpoll::reset`] or a wait, has
    /// drained it: the next read may wait at once, without the system call that says EAGAIN. Not so for
    /// datagrams, Unix sockets, terminals and packet pipes, where a short read is normal.
    ///
    /// # Errors
    /// [`Error::Closing`] if it has been closed.
    pub fn hangup_seen(&self, pd: PollDesc) -> Result<bool, Error> {
        let (slot, _) = self.peek(pd)?;
        Ok(slot.hangup_seen())
    }

    /// Puts `waiter` into the semaphore of direction `mode`, and returns: for a task that waits for other
    /// things too, on which it parks by itself. The next edge, deadline, close or failure takes the waiter
    /// out and hands it on like a parked one, perhaps before this has returned; so whatever the word
    /// stands for must be ready for that. If none of them comes, [`Netpoll::withdraw`] takes it out.
    ///
    /// `false`: an edge is latched, and stays so ([`Netpoll::take_edge`]); the waiter is not put in.
    ///
    /// # Errors
    /// As [`Netpoll::wait`]. Nothing is left in the semaphore then.
    pub fn enlist(&self, pd: PollDesc, mode: Mode, waiter: S::Waiter) -> Result<bool, Error> {
        self.user(pd)?.0.enlist(mode, waiter)
    }

    /// Takes back what [`Netpoll::enlist`] put in. `false`: another thread has taken it out, and hands it on or
    /// has done so; an edge that did is latched in its place, for the next wait. An edge is never lost
    /// here: as long as the waiter is in the semaphore, none has come.
    ///
    /// # Errors
    /// [`Error::Closing`] if it has been closed: that has taken out what was in.
    pub fn withdraw(&self, pd: PollDesc, mode: Mode, waiter: S::Waiter) -> Result<bool, Error> {
        Ok(self.user(pd)?.0.withdraw(mode, waiter))
    }

    /// Has edges of direction `mode` reported. Those of writing are from the first time on, which costs
    /// one `EPOLL_CTL_MOD`; what holds already counts as an edge then.
    ///
    /// # Errors
    /// [`Error::Os`] if OUT could not be armed, [`Error::Closing`] if it has been closed.
    pub fn watch(&self, pd: PollDesc, mode: Mode) -> Result<(), Error> {
        self.user(pd)?.0.watch(mode)
    }
}
