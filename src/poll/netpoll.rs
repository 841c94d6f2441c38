//! `Netpoll`: registration, waiting, dispatch of events, break. Deadlines are in `deadline.rs`.

use super::cache::PollCache;
use super::desc::{NIL, READY, WAIT, info};
use super::{Error, Kernel, Mode, PollDesc, Scheduler, Waiter, WakeList};
use crate::atomic::{AtomicI32, AtomicU32, Ordering};
use crate::lock::Mutex;
use crate::sys::Call;
use crate::sys::epoll::{CtlOp, EpollEvent, EpollFlags};
use crate::sys::{Errno, RawFd};
use crate::timer::Timers;
use core::mem::MaybeUninit;

/// Events taken from the kernel at once (Go's figure).
pub const EVENTS: usize = 128;

/// Epoll data of the break eventfd: the generation of a descriptor is never 0.
const BREAK: u64 = 0;

/// What every descriptor is registered for, once, at open. OUT joins at the first wait to write; PRI
/// is there so that urgent data, at which reads stop short, is noticed.
const REGISTER: EpollFlags =
    EpollFlags::IN.union(EpollFlags::PRI).union(EpollFlags::RDHUP).union(EpollFlags::ET);

/// A network poller over the kernel `K` for the scheduler `S`.
///
/// Makes its epoll instance when it is first needed, so that a program that opens nothing pays nothing.
pub struct Netpoll<K: Kernel, S: Scheduler> {
    pub(super) kernel: K,
    pub(super) sched: S,
    /// -1 until made.
    epfd: AtomicI32,
    break_fd: AtomicI32,
    init_lock: Mutex<()>,
    /// A break is under way that no poll has answered (Go: `netpollWakeSig`).
    wake_sig: AtomicU32,
    /// Polls that block, or are about to.
    sleepers: AtomicU32,
    /// Tasks parked here (Go: `netpollWaiters`).
    waiters: AtomicU32,
    /// The errno that ended the poller, or 0.
    failed: AtomicI32,
    pub(super) cache: PollCache,
    pub(super) timers: Timers,
}

/// The woken, and what [`Netpoll::adjust_waiters`] must be told of them.
pub(super) struct Woken<L> {
    pub list: L,
    /// Minus the number of descriptors' waiters in the list.
    pub delta: i32,
    /// There are others in it.
    pub others: bool,
}

impl<L> Woken<L> {
    fn is_empty(&self) -> bool {
        self.delta == 0 && !self.others
    }
}

impl<K: Kernel, S: Scheduler> Netpoll<K, S> {
    /// A poller that has made no system call yet.
    #[cfg(not(loom))]
    pub const fn new(kernel: K, sched: S) -> Netpoll<K, S> {
        Netpoll {
            kernel,
            sched,
            epfd: AtomicI32::new(-1),
            break_fd: AtomicI32::new(-1),
            init_lock: Mutex::new(()),
            wake_sig: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            waiters: AtomicU32::new(0),
            failed: AtomicI32::new(0),
            cache: PollCache::new(),
            timers: Timers::new(),
        }
    }

    /// As above; loom's atomics cannot be made in a constant, and must be written once (see `Timers::new`).
    #[cfg(loom)]
    pub fn new(kernel: K, sched: S) -> Netpoll<K, S> {
        let netpoll = Netpoll {
            kernel,
            sched,
            epfd: AtomicI32::new(-1),
            break_fd: AtomicI32::new(-1),
            init_lock: Mutex::new(()),
            wake_sig: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            waiters: AtomicU32::new(0),
            failed: AtomicI32::new(0),
            cache: PollCache::new(),
            timers: Timers::new(),
        };
        for word in [&netpoll.wake_sig, &netpoll.sleepers, &netpoll.waiters] {
            word.store(0, Ordering::SeqCst);
        }
        netpoll
    }

    /// The kernel it was made with.
    pub fn kernel(&self) -> &K {
        &self.kernel
    }

    /// The scheduler it was made with.
    pub fn scheduler(&self) -> &S {
        &self.sched
    }

    /// The timers that [`Netpoll::netpoll`] sleeps for and fires: the deadlines', and any the scheduler
    /// adds. After [`Timers::set`] returned `true`, call [`Netpoll::wake_for_timer`].
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Makes the epoll instance and the break eventfd, once (Go: `netpollGenericInit`). Every operation
    /// that needs them calls it.
    ///
    /// # Errors
    /// [`Error::Os`] of `epoll_create1`, `eventfd2` or `epoll_ctl`; nothing is left behind, and the
    /// next call tries again.
    pub fn init(&self) -> Result<(), Error> {
        if self.epfd.load(Ordering::Acquire) >= 0 {
            return Ok(());
        }
        let _guard = self.init_lock.lock();
        if self.epfd.load(Ordering::Relaxed) >= 0 {
            return Ok(());
        }
        let epfd = self.kernel.epoll_create().map_err(|e| Error::Os(Call::EpollCreate1, e))?;
        let break_fd = self.kernel.eventfd().map_err(|e| {
            self.kernel.close(epfd);
            Error::Os(Call::Eventfd2, e)
        })?;
        // Edge triggered and never read: every write is an edge of its own, and a break costs one call.
        let events = EpollFlags::IN | EpollFlags::ET;
        self.kernel.epoll_ctl(epfd, CtlOp::Add, break_fd, events, BREAK).map_err(|e| {
            self.kernel.close(break_fd);
            self.kernel.close(epfd);
            Error::Os(Call::EpollCtl, e)
        })?;
        self.break_fd.store(break_fd, Ordering::Relaxed);
        self.epfd.store(epfd, Ordering::Release);
        Ok(())
    }

    /// Whether `fd` is one of the poller's own (Go: `netpollIsPollDescriptor`).
    pub fn is_poll_descriptor(&self, fd: RawFd) -> bool {
        fd >= 0 && (fd == self.epfd.load(Ordering::Acquire) || fd == self.break_fd.load(Ordering::Relaxed))
    }

    /// Registers `fd`, which should be non-blocking (Go: `pollOpen`). The descriptor serves until
    /// [`Netpoll::close`]; the number stays the caller's to close, after that.
    ///
    /// # Errors
    /// [`Error::Os`]: `EPERM` for a file that cannot be polled (a regular one; use it blocking),
    /// `ENOSPC` at `fs.epoll.max_user_watches`, `EEXIST` if registered already, `ENOMEM`, `EBADF`; or
    /// why the poller could not be made. Nothing is left behind.
    pub fn open(&self, fd: RawFd) -> Result<&PollDesc, Error> {
        self.init()?;
        let fire = [Self::fire_read as crate::timer::Fire, Self::fire_write];
        let pd = self.cache.alloc(&self.kernel, fire).map_err(|e| Error::Os(Call::Mmap, e))?;
        {
            let mut d = pd.deadlines.lock();
            // A stale event may have left an edge, or an error, on the free slot. (Swaps cost what such
            // stores do, and the model checker orders them exactly against a poll's exchange.)
            pd.semaphore(Mode::Read).swap(NIL, Ordering::SeqCst);
            pd.semaphore(Mode::Write).swap(NIL, Ordering::SeqCst);
            pd.fd.store(fd, Ordering::SeqCst);
            pd.publish(0, !0 >> (64 - info::GENERATION));
            d.rseq = d.rseq.wrapping_add(1);
            d.wseq = d.wseq.wrapping_add(1);
            d.rd = 0;
            d.wd = 0;
        }
        let added = match self.failed.load(Ordering::SeqCst) {
            0 => self.ctl(CtlOp::Add, pd, REGISTER),
            _ => Err(self.failure()),
        };
        match added {
            Ok(()) => Ok(pd),
            Err(e) => {
                self.release(pd);
                Err(e)
            }
        }
    }

    fn ctl(&self, op: CtlOp, pd: &PollDesc, events: EpollFlags) -> Result<(), Error> {
        self.kernel
            .epoll_ctl(self.epfd.load(Ordering::Relaxed), op, pd.fd(), events, pd.data())
            .map_err(|e| Error::Os(Call::EpollCtl, e))
    }

    /// Ends the registration (Go: `pollClose`). [`Netpoll::unblock`] must have come before, and nobody
    /// may wait any more. `pd` must not be used again; events and timers of it that are still under way
    /// are recognised as stale.
    pub fn close(&self, pd: &PollDesc) {
        // Before close(2): a duplicate would keep the entry alive. An error means the user closed the
        // number under us, and the entry is gone or unreachable either way.
        let _ = self.ctl(CtlOp::Del, pd, EpollFlags::empty());
        self.release(pd);
    }

    fn release(&self, pd: &PollDesc) {
        {
            let _d = pd.deadlines.lock();
            pd.next_generation();
        }
        self.cache.free(pd);
    }

    /// What makes operations in direction `mode` useless right now (Go: `netpollcheckerr`): closing
    /// before an expired deadline before a hopeless descriptor, which only readers are told of; a
    /// writer's own call reports a better error (golang/go#30624).
    ///
    /// # Errors
    /// [`Error::Closing`], [`Error::Timeout`], [`Error::NotPollable`], or the poller's failure.
    #[inline]
    pub fn check(&self, pd: &PollDesc, mode: Mode) -> Result<(), Error> {
        let (expired, hopeless) = match mode {
            Mode::Read => (info::READ_EXPIRED, info::EVENT_ERR),
            Mode::Write => (info::WRITE_EXPIRED, 0),
        };
        let word = pd.info.load(Ordering::SeqCst);
        if word & (info::CLOSING | info::FAILED | expired | hopeless) == 0 {
            return Ok(());
        }
        Err(if word & info::CLOSING != 0 {
            Error::Closing
        } else if word & expired != 0 {
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
    fn failure(&self) -> Error {
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
        if mode == Mode::Write && pd.info.load(Ordering::SeqCst) & info::OUT_ARMED == 0 {
            self.arm_out(pd, None)?;
        }
        while !self.block(pd, mode, false)? {
            self.check(pd, mode)?;
            // A deadline passed and was moved on before this task ran: the wait goes on.
        }
        Ok(())
    }

    /// As [`Netpoll::wait`], deaf to deadlines and close: for an operation in flight that nothing can
    /// recall (Go: `pollWaitCanceled`).
    ///
    /// # Errors
    /// [`Error::Busy`]; [`Error::Os`] if OUT could not be armed, or the poller has failed.
    pub fn wait_canceled(&self, pd: &PollDesc, mode: Mode) -> Result<(), Error> {
        self.check_failed(pd)?;
        if mode == Mode::Write && pd.info.load(Ordering::SeqCst) & info::OUT_ARMED == 0 {
            self.arm_out(pd, None)?;
        }
        while !self.block(pd, mode, true)? {
            self.check_failed(pd)?;
        }
        Ok(())
    }

    /// Go's `netpollblock`: `true` if an edge was used up, `false` if a deadline or a close ended the
    /// wait, or was found on the way into it.
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

    /// Adds OUT to the registration. With a generation: only if that is still the descriptor's.
    #[cold]
    fn arm_out(&self, pd: &PollDesc, generation: Option<u32>) -> Result<(), Error> {
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

    /// Asks the kernel for events, at most [`EVENTS`], waiting up to `delay` ns (0: not at all, negative:
    /// without limit), and fires due timers. Returns the woken in the order of their events, behind
    /// those whose deadline passed, and what [`Netpoll::adjust_waiters`] must be given once they are
    /// runnable: earlier, and somebody who looks for a deadlock would see neither waiters nor runnables.
    ///
    /// May return empty before its time: after a [`Netpoll::break_`], a signal, or a timer that was
    /// moved. Call it again with what is left.
    ///
    /// # Errors
    /// [`Error::Os`]: the poller could not be made, or has failed for good (its descriptor was closed
    /// by somebody). In the second case every task parked here is in no list but readied, and its wait
    /// returns the same error, as does every operation from then on.
    pub fn netpoll(&self, delay: i64) -> Result<(S::List, i32), Error> {
        let mut woken = Woken { list: S::List::default(), delta: 0, others: false };
        // Before all else: timers fire even where the poller cannot be made.
        let now = self.expire(&mut woken);
        if let Err(e) = self.init() {
            return if woken.is_empty() { Err(e) } else { Ok((woken.list, woken.delta)) };
        }
        let mut events = [const { MaybeUninit::<EpollEvent>::uninit() }; EVENTS];
        let slept = delay != 0 && woken.is_empty();
        let n = if self.failed.load(Ordering::SeqCst) != 0 {
            Err(None) // the number may be another epoll instance by now, with another's events
        } else if slept {
            self.epoll_sleep(&mut events, delay, now).map_err(Some)
        } else {
            self.epoll_wait(&mut events, 0).map_err(Some)
        };
        let n = match n {
            Ok(n) => n,
            Err(errno) => {
                if let Some(errno) = errno {
                    self.fail(errno);
                }
                // Those woken by their deadlines must not be lost with the poller.
                if !woken.is_empty() {
                    return Ok((woken.list, woken.delta));
                }
                return Err(self.failure());
            }
        };
        for event in events.iter().take(n) {
            // SAFETY: the kernel wrote the first `n` records (contract of `Kernel::epoll_wait`).
            let event = unsafe { event.assume_init_ref() };
            if event.data() == BREAK {
                self.eat_break(delay != 0);
            } else {
                self.dispatch(event.data(), event.flags(), &mut woken);
            }
        }
        // No time has passed in a poll that did not sleep, and what came first has been handled.
        if n == 0 && slept {
            self.expire(&mut woken);
        }
        Ok((woken.list, woken.delta))
    }

    /// Blocks in the kernel for `delay` ns, or until the next timer. `now`: a recent reading, if timers
    /// are armed.
    fn epoll_sleep(
        &self,
        events: &mut [MaybeUninit<EpollEvent>],
        delay: i64,
        now: Option<i64>,
    ) -> Result<usize, Errno> {
        // Count first, then look at what breakers and timer setters publish before they look here.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let next = self.timers.next();
        let delay = if self.wake_sig.load(Ordering::SeqCst) != 0 {
            self.clear_break(); // a break from before; its edge may linger
            0
        } else if next == crate::timer::NEVER {
            delay
        } else {
            let left = (next - now.unwrap_or_else(|| self.kernel.nanotime())).max(0);
            if delay < 0 { left } else { delay.min(left) }
        };
        let n = self.epoll_wait(events, delay);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        n
    }

    /// `epoll_pwait`, by Go's rules for EINTR: a limited wait is over, another is repeated.
    #[inline]
    fn epoll_wait(&self, events: &mut [MaybeUninit<EpollEvent>], delay: i64) -> Result<usize, Errno> {
        let epfd = self.epfd.load(Ordering::Relaxed);
        loop {
            match self.kernel.epoll_wait(epfd, events, delay) {
                Err(Errno::EINTR) if delay > 0 => return Ok(0),
                Err(Errno::EINTR) => {}
                done => return done,
            }
        }
    }

    #[inline]
    fn dispatch(&self, data: u64, events: EpollFlags, woken: &mut Woken<S::List>) {
        let generation = info::generation(data);
        let Some(pd) = self.cache.get(data as u32) else { return };
        if !pd.note(generation, events) {
            return; // the slot has a new owner
        }
        if events == EpollFlags::ERR {
            // If OUT cannot be armed the descriptor is merely not diagnosed as hopeless.
            let _ = self.arm_out(pd, Some(generation));
        }
        let failure = EpollFlags::HUP | EpollFlags::ERR;
        let read = EpollFlags::IN | EpollFlags::PRI | EpollFlags::RDHUP | failure;
        if events.intersects(read) {
            self.wake(pd.unblock(Mode::Read, true), woken);
        }
        if events.intersects(EpollFlags::OUT | failure) {
            self.wake(pd.unblock(Mode::Write, true), woken);
        }
    }

    #[inline]
    pub(super) fn wake(&self, task: Option<usize>, woken: &mut Woken<S::List>) {
        if let Some(word) = task {
            // SAFETY: `unblock` hands out each parked word once, and it came from `into_word` in `block`.
            woken.list.push(unsafe { S::Waiter::from_word(word) });
            woken.delta -= 1;
        }
    }

    /// Readies a task outside a poll, and takes it off the count behind that.
    pub(super) fn ready(&self, task: Option<usize>) {
        if let Some(word) = task {
            // SAFETY: as in `wake`.
            self.sched.ready(unsafe { S::Waiter::from_word(word) });
            self.adjust_waiters(-1);
        }
    }

    /// Makes a poll that blocks in another thread return, or the next one that would block (Go:
    /// `netpollBreak`). What it is to see must have been published before. Breaks that come while one is
    /// under way are one.
    ///
    /// # Errors
    /// [`Error::Os`]: the poller could not be made, or (`write`) somebody has closed its eventfd, and a
    /// poll that sleeps sleeps on.
    pub fn break_(&self) -> Result<(), Error> {
        self.init()?;
        // A swap even if one is under way: whoever clears the flag reads this write or a later one, and
        // with it sees all that was published before, by whatever means. A compare-exchange that fails
        // is only a load, and orders nothing.
        if self.wake_sig.swap(1, Ordering::SeqCst) == 0 { self.write_break() } else { Ok(()) }
    }

    fn write_break(&self) -> Result<(), Error> {
        loop {
            match self.kernel.eventfd_write(self.break_fd.load(Ordering::Relaxed)) {
                Err(Errno::EINTR) => {}
                // EAGAIN: 2^64 - 2 writes have been counted.
                Ok(()) | Err(Errno::EAGAIN) => return Ok(()),
                Err(e) => return Err(Error::Os(Call::Write, e)),
            }
        }
    }

    /// A poll met the break's edge. One that blocked answers it: whoever called it looks at everything
    /// again. One that did not leaves the flag for the next sleeper, and gives the edge back if somebody
    /// sleeps already.
    #[cold]
    fn eat_break(&self, blocking: bool) {
        if blocking {
            self.clear_break();
        } else if self.sleepers.load(Ordering::SeqCst) != 0 {
            let _ = self.write_break(); // the edge came out of the descriptor just now
        }
    }

    /// Answers all breaks so far: the caller of the poll must look at everything again. A swap, which
    /// reads what the last [`Netpoll::break_`] wrote.
    fn clear_break(&self) {
        self.wake_sig.swap(0, Ordering::SeqCst);
    }

    /// After an earlier timer was set: wakes a poll that sleeps past it.
    #[inline]
    pub fn wake_for_timer(&self) {
        if self.sleepers.load(Ordering::SeqCst) != 0 {
            let _ = self.break_(); // a sleeper has made the poller
        }
    }

    /// Whether tasks are parked on descriptors (Go: `netpollAnyWaiters`).
    pub fn any_waiters(&self) -> bool {
        self.waiters.load(Ordering::SeqCst) != 0
    }

    /// Tasks parked on descriptors.
    pub fn waiters(&self) -> u32 {
        self.waiters.load(Ordering::SeqCst)
    }

    /// Counts woken tasks off, once they are runnable (Go: `netpollAdjustWaiters`).
    #[inline]
    pub fn adjust_waiters(&self, delta: i32) {
        if delta != 0 {
            self.waiters.fetch_add(delta as u32, Ordering::SeqCst);
        }
    }

    /// The poller is broken: nobody parked on it may wait for ever.
    #[cold]
    fn fail(&self, errno: Errno) {
        self.failed.store(errno.raw(), Ordering::SeqCst);
        self.cache.for_each(|pd| {
            pd.publish(info::FAILED, 0);
            self.ready(pd.unblock(Mode::Read, false));
            self.ready(pd.unblock(Mode::Write, false));
        });
    }
}

impl<K: Kernel, S: Scheduler> Drop for Netpoll<K, S> {
    /// Closes what [`Netpoll::init`] made and unmaps the descriptors; nobody can wait any more.
    fn drop(&mut self) {
        let (epfd, break_fd) = (self.epfd.load(Ordering::Relaxed), self.break_fd.load(Ordering::Relaxed));
        if epfd >= 0 {
            self.kernel.close(break_fd);
            // Closed by somebody else: the number is free, or already another file.
            if self.failed.load(Ordering::Relaxed) != Errno::EBADF.raw() {
                self.kernel.close(epfd);
            }
        }
        self.timers.free(&self.kernel);
        self.cache.free_all(&self.kernel);
    }
}
