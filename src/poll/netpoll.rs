//! `Netpoll`: registration and the poll. Breaks are in `breaks.rs`; the operations on a slot are in `wait.rs`, `deadline.rs` and `close.rs`;
//! `desc.rs` has the same by handles.

use super::cache::PollCache;
use super::desc::Identity;
use super::slot::{NIL, Slot, WAIT, info};
use super::stats::{Counts, Stats};
use super::{Error, Kernel, Mode, Scheduler, Waiter, WakeList};
use crate::atomic::{AtomicI32, AtomicU32, Ordering};
use crate::lock::Mutex;
use crate::sys::Call;
use crate::sys::epoll::{CtlOp, EpollEvent, EpollFlags};
use crate::sys::{Errno, RawFd};
use crate::timer::{AtomicTime, NEVER, Timers};
use core::marker::PhantomData;
use core::mem::MaybeUninit;

/// Events taken from the kernel at once (Go's figure).
pub const EVENTS: usize = 128;

/// Epoll data of the break eventfd: the generation of a descriptor is never 0.
const BREAK: u64 = 0;

/// What every descriptor is registered for, once, at open. OUT joins at the first wait to write; PRI
/// is there so that urgent data, at which reads stop short, is noticed.
pub(super) const REGISTER: EpollFlags =
    EpollFlags::IN.union(EpollFlags::PRI).union(EpollFlags::RDHUP).union(EpollFlags::ET);

/// A network poller over the kernel `K` for the scheduler `S`.
///
/// Makes its epoll instance when it is first needed, so that a program that opens nothing pays nothing.
///
/// A poller keeps waiters as words, and makes waiters of them again. So its scheduler's lifetime cannot be taken for a
/// shorter one, as that of the scheduler alone can: a waiter that lasts less long would come out as one that lasts longer.
///
/// ```
/// # use netpoll::poll::{Linux, Netpoll, Scheduler, WakeList};
/// # #[derive(Default)]
/// # struct Woken;
/// # impl<'a> WakeList<&'a u64> for Woken {
/// #     fn push(&mut self, _: &'a u64) {}
/// # }
/// struct Tasks<'a>(&'a [u64]);
/// # impl<'a> Scheduler for Tasks<'a> {
/// #     type Waiter = &'a u64;
/// #     type List = Woken;
/// #     fn park(&self, _: impl FnOnce(&'a u64) -> bool) {}
/// #     fn ready(&self, _: &'a u64) {}
/// # }
/// fn shorter<'a>(tasks: &'a Tasks<'static>) -> &'a Tasks<'a> {
///     tasks
/// }
/// ```
///
/// ```compile_fail
/// # use netpoll::poll::{Linux, Netpoll, Scheduler, WakeList};
/// # #[derive(Default)]
/// # struct Woken;
/// # impl<'a> WakeList<&'a u64> for Woken {
/// #     fn push(&mut self, _: &'a u64) {}
/// # }
/// struct Tasks<'a>(&'a [u64]);
/// # impl<'a> Scheduler for Tasks<'a> {
/// #     type Waiter = &'a u64;
/// #     type List = Woken;
/// #     fn park(&self, _: impl FnOnce(&'a u64) -> bool) {}
/// #     fn ready(&self, _: &'a u64) {}
/// # }
/// fn shorter<'a>(poller: &'a Netpoll<Linux, Tasks<'static>>) -> &'a Netpoll<Linux, Tasks<'a>> {
///     poller
/// }
/// ```
pub struct Netpoll<K: Kernel, S: Scheduler> {
    pub(super) kernel: K,
    pub(super) sched: S,
    /// Their numbers and 1; 0 until they are made.
    epfd: AtomicI32,
    break_fd: AtomicI32,
    init_lock: Mutex<()>,
    /// A break is under way that no poll has answered (Go: `netpollWakeSig`).
    pub(super) wake_sig: AtomicU32,
    /// Polls that block, or are about to.
    pub(super) sleepers: AtomicU32,
    /// If there is one of these: the latest time it sleeps until (Go: `pollUntil`). [`NEVER`] also while
    /// that is unknown.
    pub(super) poll_until: AtomicTime,
    /// Tasks parked here (Go: `netpollWaiters`), and words put in by `enlist`.
    pub(super) waiters: AtomicU32,
    /// The errno that ended the poller, or 0.
    pub(super) failed: AtomicI32,
    pub(super) cache: PollCache,
    pub(super) timers: Timers,
    pub(super) identity: Identity,
    pub(super) counts: Counts,
    /// Words go in and come out as waiters: neither a longer nor a shorter lifetime may be taken for theirs.
    waiter: PhantomData<fn(S::Waiter) -> S::Waiter>,
}

/// A slot and its poller. The operations on a descriptor are methods of this. An operation by a handle is first counted
/// as a user of the slot (`desc.rs`); the runtime counts its users itself (`net::fdmutex`).
pub(crate) struct Registered<'p, K: Kernel, S: Scheduler> {
    pub(super) poller: &'p Netpoll<K, S>,
    pub(super) slot: &'p Slot,
}

impl<K: Kernel, S: Scheduler> Clone for Registered<'_, K, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Kernel, S: Scheduler> Copy for Registered<'_, K, S> {}

/// The woken, and what [`Netpoll::adjust_waiters`] must be told of them.
pub(super) struct Woken<L> {
    pub list: L,
    /// Minus the number of descriptors' waiters given to the list.
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
            epfd: AtomicI32::new(0),
            break_fd: AtomicI32::new(0),
            init_lock: Mutex::new(()),
            wake_sig: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            poll_until: AtomicTime::never(),
            waiters: AtomicU32::new(0),
            failed: AtomicI32::new(0),
            cache: PollCache::new(),
            timers: Timers::new(),
            identity: Identity::new(),
            counts: Counts::new(),
            waiter: PhantomData,
        }
    }

    /// As above; loom's atomics cannot be made in a constant, and must be written once (see `Timers::new`).
    #[cfg(loom)]
    pub fn new(kernel: K, sched: S) -> Netpoll<K, S> {
        let netpoll = Netpoll {
            kernel,
            sched,
            epfd: AtomicI32::new(0),
            break_fd: AtomicI32::new(0),
            init_lock: Mutex::new(()),
            wake_sig: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            poll_until: AtomicTime::never(),
            waiters: AtomicU32::new(0),
            failed: AtomicI32::new(0),
            cache: PollCache::new(),
            timers: Timers::new(),
            identity: Identity::new(),
            counts: Counts::new(),
            waiter: PhantomData,
        };
        for word in [&netpoll.wake_sig, &netpoll.sleepers, &netpoll.waiters] {
            word.store(0, Ordering::SeqCst);
        }
        netpoll.poll_until.store(NEVER, Ordering::SeqCst);
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
    /// adds. After [`Timers::set`] returned `true`, call [`Netpoll::wake_for_timer`] with the same time.
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
        if self.epfd.load(Ordering::Acquire) != 0 {
            return Ok(());
        }
        let _guard = self.init_lock.lock();
        if self.epfd.load(Ordering::Relaxed) != 0 {
            return Ok(());
        }
        let epfd = self.kernel.epoll_create().map_err(|e| Error::Os(Call::EpollCreate1, e))?;
        let break_fd = self.kernel.eventfd().map_err(|e| {
            // SAFETY: just made, and known to nobody else.
            unsafe { self.kernel.close(epfd) };
            Error::Os(Call::Eventfd2, e)
        })?;
        // Edge triggered and never read: every write is an edge of its own, and a break costs one call.
        let events = EpollFlags::IN | EpollFlags::ET;
        self.kernel.epoll_ctl(epfd, CtlOp::Add, break_fd, events, BREAK).map_err(|e| {
            // SAFETY: as above.
            unsafe {
                self.kernel.close(break_fd);
                self.kernel.close(epfd);
            }
            Error::Os(Call::EpollCtl, e)
        })?;
        self.break_fd.store(break_fd + 1, Ordering::Relaxed);
        self.epfd.store(epfd + 1, Ordering::Release);
        Ok(())
    }

    fn epfd(&self) -> RawFd {
        self.epfd.load(Ordering::Relaxed) - 1
    }

    pub(super) fn break_fd(&self) -> RawFd {
        self.break_fd.load(Ordering::Relaxed) - 1
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        self.counts.read()
    }

    /// Calls `f` with every waiter's word ([`Waiter::into_word`]), and the descriptor and direction it
    /// waits for: for dumps. Takes no lock, so tasks may be woken meanwhile; the word is to be looked at,
    /// and is still the poller's.
    pub fn for_each_waiter(&self, mut f: impl FnMut(usize, RawFd, Mode)) {
        self.cache.for_each(|slot| {
            for mode in [Mode::Read, Mode::Write] {
                let word = slot.semaphore(mode).load(Ordering::Relaxed);
                if word > WAIT {
                    f(word, slot.fd(), mode);
                }
            }
        });
    }

    /// Whether `fd` is one of the poller's own (Go: `netpollIsPollDescriptor`).
    pub fn is_poll_descriptor(&self, fd: RawFd) -> bool {
        fd >= 0 && self.epfd.load(Ordering::Acquire) != 0 && (fd == self.epfd() || fd == self.break_fd())
    }

    /// See [`Netpoll::open`]. The slot is the caller's until its [`Registered::close`].
    pub(crate) fn register(&self, fd: RawFd) -> Result<&Slot, Error> {
        self.init()?;
        let fire = [Self::fire_read as crate::timer::Fire, Self::fire_write];
        let slot = self.cache.alloc(&self.kernel, fire).map_err(|e| Error::Os(Call::Mmap, e))?;
        {
            let mut d = slot.deadlines.lock();
            // A stale event may have left an edge, or an error, on the free slot. (Swaps cost what such
            // stores do, and the model checker orders them exactly against a poll's exchange.)
            slot.semaphore(Mode::Read).swap(NIL, Ordering::SeqCst);
            slot.semaphore(Mode::Write).swap(NIL, Ordering::SeqCst);
            slot.fd.store(fd, Ordering::SeqCst);
            slot.publish(0, !0 >> (64 - info::GENERATION));
            d.rd = 0;
            d.wd = 0;
        }
        let added = match self.failed.load(Ordering::SeqCst) {
            0 => self.ctl(CtlOp::Add, slot, REGISTER),
            _ => Err(self.failure()),
        };
        match added {
            Ok(()) => Ok(slot),
            Err(e) => {
                self.release(slot);
                Err(e)
            }
        }
    }

    /// What can be done with `slot`.
    ///
    /// # Safety
    /// It is a slot of this poller. If the slot has another owner by now, what is done reaches that one's registration:
    /// the caller makes sure that it has not. (Except for [`Registered::withdraw`], which compares the word.)
    #[inline]
    pub(crate) unsafe fn registered<'p>(&'p self, slot: &'p Slot) -> Registered<'p, K, S> {
        Registered { poller: self, slot }
    }

    pub(super) fn ctl(&self, op: CtlOp, slot: &Slot, events: EpollFlags) -> Result<(), Error> {
        self.kernel
            .epoll_ctl(self.epfd(), op, slot.fd(), events, slot.data())
            .map_err(|e| Error::Os(Call::EpollCtl, e))
    }

    /// Asks the kernel for events, at most [`EVENTS`], waiting up to `delay` ns (0: not at all, negative:
    /// without limit), and fires due timers. Returns the woken in the order of their events, after
    /// those whose deadline passed, and what [`Netpoll::adjust_waiters`] must be given once they are
    /// runnable: earlier, and somebody who looks for a deadlock would see neither waiters nor runnables.
    ///
    /// May return empty before its time: after a [`Netpoll::break_`], a signal, or for a timer
    /// that was moved or stopped. Call it again with what is left.
    ///
    /// # Errors
    /// [`Error::Os`]: the poller could not be made, or has failed for good (its descriptor was closed
    /// by somebody). In the second case every task parked here is in no list but readied, and its wait
    /// returns the same error, as does every operation from then on.
    pub fn netpoll(&self, delay: i64) -> Result<(S::List, i32), Error> {
        let mut woken = Woken { list: S::List::default(), delta: 0, others: false };
        // Before all else: timers fire even where the poller cannot be made.
        let now = self.expire(&mut woken);
        let mut events = [const { MaybeUninit::<EpollEvent>::uninit() }; EVENTS];
        let slept = delay != 0 && woken.is_empty();
        let n = self.init().and_then(|()| {
            if self.failed.load(Ordering::SeqCst) != 0 {
                // The number may be another epoll instance by now, with another's events.
                return Err(self.failure());
            }
            let n = if slept {
                self.epoll_sleep(&mut events, delay, now)
            } else {
                self.epoll_wait(&mut events, 0)
            };
            n.map_err(|errno| self.fail(errno))
        });
        let n = match n {
            Ok(n) => n,
            Err(e) if woken.is_empty() => return Err(e),
            // Those woken by their deadlines must not be lost with the poller.
            Err(_) => return Ok((woken.list, woken.delta)),
        };
        self.counts.poll(n);
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
        } else if next == NEVER {
            delay
        } else {
            self.poll_until.store(next, Ordering::SeqCst);
            let left = (next - now.unwrap_or_else(|| self.kernel.nanotime())).max(0);
            if delay < 0 { left } else { delay.min(left) }
        };
        let n = self.epoll_wait(events, delay);
        if next != NEVER {
            // Before it stops counting: the time would be taken for another poll's.
            self.poll_until.store(NEVER, Ordering::SeqCst);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        n
    }

    /// `epoll_pwait`, by Go's rules for EINTR: a limited wait is over, another is repeated.
    #[inline]
    fn epoll_wait(&self, events: &mut [MaybeUninit<EpollEvent>], delay: i64) -> Result<usize, Errno> {
        let epfd = self.epfd();
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
        let Some(slot) = self.cache.get(data as u32) else { return };
        if !slot.note(generation, events) {
            return self.counts.stale_event(); // the slot has a new owner
        }
        if events == EpollFlags::ERR {
            // If OUT cannot be armed the descriptor is merely not diagnosed as hopeless.
            let _ = self.arm_out(slot, Some(generation));
        }
        let failure = EpollFlags::HUP | EpollFlags::ERR;
        let read = EpollFlags::IN | EpollFlags::PRI | EpollFlags::RDHUP | failure;
        if events.intersects(read) {
            self.wake(slot.unblock(Mode::Read, true), woken);
        }
        if events.intersects(EpollFlags::OUT | failure) {
            self.wake(slot.unblock(Mode::Write, true), woken);
        }
    }

    #[inline]
    pub(super) fn wake(&self, task: Option<usize>, woken: &mut Woken<S::List>) {
        if let Some(word) = task {
            // SAFETY: `unblock` hands out each word once; it came from `into_word`, in `block` or `enlist`.
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

    /// Whether anything waits for descriptors (Go: `netpollAnyWaiters`).
    pub fn any_waiters(&self) -> bool {
        self.waiters.load(Ordering::SeqCst) != 0
    }

    /// Tasks parked on descriptors, and words that [`Netpoll::enlist`] left there. A figure for people: while
    /// one is being woken it may be off by those under way.
    pub fn waiters(&self) -> u32 {
        // A wake may be counted before its park (see `block`).
        (self.waiters.load(Ordering::SeqCst) as i32).max(0) as u32
    }

    /// Counts woken tasks off, once they are runnable (Go: `netpollAdjustWaiters`).
    #[inline]
    pub fn adjust_waiters(&self, delta: i32) {
        if delta != 0 {
            self.waiters.fetch_add(delta as u32, Ordering::SeqCst);
        }
    }

    /// The poller is broken: nobody parked on it may wait for ever. Returns the error to report.
    #[cold]
    fn fail(&self, errno: Errno) -> Error {
        self.failed.store(errno.raw(), Ordering::SeqCst);
        self.cache.for_each(|slot| {
            slot.publish(info::FAILED, 0);
            self.ready(slot.unblock(Mode::Read, false));
            self.ready(slot.unblock(Mode::Write, false));
        });
        self.failure()
    }
}

impl<K: Kernel, S: Scheduler> Drop for Netpoll<K, S> {
    /// Closes what [`Netpoll::init`] made and unmaps the descriptors; nobody can wait any more.
    fn drop(&mut self) {
        let (epfd, break_fd) = (self.epfd(), self.break_fd());
        if epfd >= 0 {
            // SAFETY: `init` made both, and the poller ends here.
            unsafe {
                self.kernel.close(break_fd);
                // Closed by somebody else: the number is free, or already another file.
                if self.failed.load(Ordering::Relaxed) != Errno::EBADF.raw() {
                    self.kernel.close(epfd);
                }
            }
        }
        self.timers.free(&self.kernel);
        self.cache.free_all(&self.kernel);
    }
}
