//! A channel under its lock (Go: `hchan`, `chansend`, `chanrecv`, `closechan`).
//!
//! Who finds a parked partner serves it: a sender writes into the receiver's frame, a receiver reads from
//! the sender's, so that a value is moved once, and the partner has nothing to do any more when it runs.
//! Receivers wait only while there is nothing (in the buffer or with senders), senders only while there is
//! no room and no receiver, and nobody waits on a closed channel.

use super::memory;
use super::park::{Claim, WaitReason, Wake, getg, park, wait_for_memory};
use super::waitlist::{Popped, WaitList, Waiter};
use crate::atomic::{AtomicUsize, Ordering};
use crate::lock::Spin;
use crate::sys::Errno;
use core::alloc::Layout;
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// What channels of all types have.
pub(super) struct Core {
    pub state: Spin<State>,
    pub capacity: usize,
    /// Handles to send with, and to receive with.
    pub senders: AtomicUsize,
    pub receivers: AtomicUsize,
    /// Kinds of handles that are left.
    ends: AtomicUsize,
}

pub(super) struct State {
    closed: bool,
    /// The oldest value's place in the ring.
    head: usize,
    len: usize,
    senders: WaitList<Place>,
    receivers: WaitList<Place>,
}

impl State {
    /// Where senders wait, or receivers.
    pub fn list(&mut self, senders: bool) -> &mut WaitList<Place> {
        if senders { &mut self.senders } else { &mut self.receivers }
    }
}

/// What a parked task told of its value.
pub(super) struct Place {
    /// Where it is, or should be put.
    value: *mut (),
    /// It was moved. If it was not and the task runs again, the channel was closed.
    pub moved: Cell<bool>,
}

impl Place {
    pub fn new(value: *mut ()) -> Place {
        Place { value, moved: Cell::new(false) }
    }
}

/// What came of trying.
pub(super) enum Attempt {
    /// The value was moved. The partner, if there was one, must be readied.
    Moved(Option<Popped<Place>>),
    Closed,
    /// Wait.
    Blocked,
}

/// Why a value was not moved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Closed,
    Blocked,
}

/// A pointer to a channel: the core, and behind it the ring.
pub(super) struct Chan<T>(NonNull<Slots<T>>);

#[repr(C)]
struct Slots<T> {
    core: Core,
    /// `UnsafeCell`, because handles share the places and values are put there. That makes every handle invariant in
    /// `T`: through a `Sender<&'static str>` taken for a `Sender<&'a str>` a shorter borrow would get in.
    ring: UnsafeCell<[MaybeUninit<T>; 0]>,
}

impl<T> Clone for Chan<T> {
    fn clone(&self) -> Chan<T> {
        *self
    }
}
impl<T> Copy for Chan<T> {}

/// A [`Chan`] of some type.
#[derive(Clone, Copy)]
pub(super) struct AnyChan(NonNull<Core>);

impl AnyChan {
    pub fn addr(self) -> usize {
        self.0.addr().get()
    }

    pub fn core(&self) -> &Core {
        // SAFETY: as in `Chan::core`.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    /// It was a channel of `T`.
    pub unsafe fn of<T>(self) -> Chan<T> {
        Chan(self.0.cast())
    }
}

impl<T> Chan<T> {
    pub fn any(self) -> AnyChan {
        AnyChan(self.0.cast()) // the core comes first
    }

    const ALIGNED: () =
        assert!(align_of::<T>() <= memory::LARGEST, "no channels of types more aligned than a page");

    fn layout(capacity: usize) -> Option<Layout> {
        let ring = Layout::array::<MaybeUninit<T>>(capacity).ok()?;
        let (layout, offset) = Layout::new::<Slots<T>>().extend(ring).ok()?;
        debug_assert_eq!(offset, core::mem::offset_of!(Slots<T>, ring));
        Some(layout)
    }

    /// A new channel with one handle of each kind.
    ///
    /// # Errors
    /// `ENOMEM`, also when the size overflows.
    pub fn make(capacity: usize) -> Result<Chan<T>, Errno> {
        let () = Self::ALIGNED;
        let layout = Self::layout(capacity).ok_or(Errno::ENOMEM)?;
        let chan = memory::alloc(layout)?.cast::<Slots<T>>();
        let core = Core {
            state: Spin::new(State {
                closed: false,
                head: 0,
                len: 0,
                senders: WaitList::new(),
                receivers: WaitList::new(),
            }),
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            ends: AtomicUsize::new(2),
        };
        // SAFETY: new memory of that layout; the ring needs no value.
        unsafe { chan.write(Slots { core, ring: UnsafeCell::new([]) }) };
        Ok(Chan(chan))
    }

    #[inline(always)]
    pub fn core(&self) -> &Core {
        // SAFETY: initialised by `make`, and there until `leave` has been called twice (its contract).
        unsafe { &self.0.as_ref().core }
    }

    /// The last handle of a kind is gone.
    ///
    /// # Safety
    /// Called once for each kind of handle, when the channel is closed and, for receivers, empty. The
    /// caller does not use it again.
    pub unsafe fn leave(self) {
        // Release: what this side did. Acquire: what the other did.
        if self.core().ends.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let layout = Self::layout(self.core().capacity);
        // SAFETY: both sides are gone; the layout is that of `make`, which was valid.
        unsafe {
            self.0.drop_in_place();
            memory::free(self.0.cast(), layout.unwrap_unchecked());
        }
    }

    /// The place of the ring that is `n` behind the head.
    #[inline(always)]
    fn at(self, state: &State, n: usize) -> *mut T {
        let at = state.head + n;
        let at = if at >= self.core().capacity { at - self.core().capacity } else { at };
        // SAFETY: below the capacity, which the memory was made for. From the whole block's pointer.
        unsafe { (&raw mut (*self.0.as_ptr()).ring).cast::<T>().add(at) }
    }

    /// # Safety
    /// `state` is this channel's, and `value` points at one, which is the channel's if it is moved.
    #[inline]
    pub unsafe fn try_send(self, state: &mut State, value: *const T) -> Attempt {
        if state.closed {
            return Attempt::Closed;
        }
        if let Some(receiver) = state.receivers.pop() {
            // SAFETY: a claimed receiver sleeps, and waits for a `T` in this place.
            unsafe { receiver.data().value.cast::<T>().copy_from_nonoverlapping(value, 1) };
            receiver.data().moved.set(true);
            return Attempt::Moved(Some(receiver));
        }
        if state.len == self.core().capacity {
            return Attempt::Blocked;
        }
        // SAFETY: a free place.
        unsafe { self.at(state, state.len).copy_from_nonoverlapping(value, 1) };
        state.len += 1;
        Attempt::Moved(None)
    }

    /// # Safety
    /// `state` is this channel's, and `into` is where a `T` may be put.
    #[inline]
    pub unsafe fn try_recv(self, state: &mut State, into: *mut T) -> Attempt {
        if state.len == 0 {
            let Some(sender) = state.senders.pop() else {
                return if state.closed { Attempt::Closed } else { Attempt::Blocked };
            };
            // SAFETY: a claimed sender sleeps, with a `T` in this place that is ours now.
            unsafe { into.copy_from_nonoverlapping(sender.data().value.cast::<T>(), 1) };
            sender.data().moved.set(true);
            return Attempt::Moved(Some(sender));
        }
        // SAFETY: the oldest value.
        unsafe { into.copy_from_nonoverlapping(self.at(state, 0), 1) };
        state.head += 1;
        if state.head == self.core().capacity {
            state.head = 0;
        }
        state.len -= 1;
        // A sender waits only while the ring is full: its value comes last.
        let sender = state.senders.pop();
        if let Some(sender) = &sender {
            // SAFETY: as above; one place has just become free.
            unsafe { self.at(state, state.len).copy_from_nonoverlapping(sender.data().value.cast::<T>(), 1) };
            sender.data().moved.set(true);
            state.len += 1;
        }
        Attempt::Moved(sender)
    }

    /// Sends `value`; parks until somebody takes it. `false`: closed, and the value is still there.
    ///
    /// # Safety
    /// `value` points at one, which is the channel's if it is moved. The channel stays.
    #[inline]
    pub unsafe fn send(self, value: *mut T) -> bool {
        let mut state = self.core().state.lock();
        // SAFETY: the caller's contract, and our lock.
        match unsafe { self.try_send(&mut state, value) } {
            Attempt::Moved(partner) => {
                drop(state);
                if let Some(partner) = partner {
                    partner.ready();
                }
                true
            }
            Attempt::Closed => false,
            Attempt::Blocked => {
                let waiter = Waiter::new(getg(), Place::new(value.cast()));
                // SAFETY: this frame stays until the task is readied, by who took the waiter out.
                unsafe { state.senders.push(&waiter) };
                park(WaitReason::ChanSend, move || drop(state));
                waiter.data.moved.get()
            }
        }
    }

    /// Receives into `into`; parks until there is something. `false`: closed and empty.
    ///
    /// # Safety
    /// A `T` may be put there. The channel stays.
    #[inline]
    pub unsafe fn recv(self, into: *mut T) -> bool {
        let mut state = self.core().state.lock();
        // SAFETY: the caller's contract, and our lock.
        match unsafe { self.try_recv(&mut state, into) } {
            Attempt::Moved(partner) => {
                drop(state);
                if let Some(partner) = partner {
                    partner.ready();
                }
                true
            }
            Attempt::Closed => false,
            Attempt::Blocked => {
                let waiter = Waiter::new(getg(), Place::new(into.cast()));
                // SAFETY: this frame stays until the task is readied, by who took the waiter out.
                unsafe { state.receivers.push(&waiter) };
                park(WaitReason::ChanReceive, move || drop(state));
                waiter.data.moved.get()
            }
        }
    }

    /// As [`Chan::send`], until `when` (absolute ns; `None`: without waiting).
    ///
    /// # Errors
    /// Closed, or nobody took it in time; the value is still there.
    ///
    /// # Safety
    /// As [`Chan::send`].
    pub unsafe fn send_until(self, value: *mut T, when: Option<i64>) -> Result<(), Refused> {
        // SAFETY: the caller's contract.
        let attempt = |state: &mut State| unsafe { self.try_send(state, value) };
        self.until(when, value.cast(), true, attempt)
    }

    /// As [`Chan::recv`], until `when` (absolute ns; `None`: without waiting).
    ///
    /// # Errors
    /// Closed and empty, or nothing came in time.
    ///
    /// # Safety
    /// As [`Chan::recv`].
    pub unsafe fn recv_until(self, into: *mut T, when: Option<i64>) -> Result<(), Refused> {
        // SAFETY: the caller's contract.
        let attempt = |state: &mut State| unsafe { self.try_recv(state, into) };
        self.until(when, into.cast(), false, attempt)
    }

    #[inline]
    fn until(
        self,
        when: Option<i64>,
        value: *mut (),
        sends: bool,
        attempt: impl Fn(&mut State) -> Attempt,
    ) -> Result<(), Refused> {
        loop {
            let mut state = self.core().state.lock();
            match attempt(&mut state) {
                Attempt::Moved(partner) => {
                    drop(state);
                    if let Some(partner) = partner {
                        partner.ready();
                    }
                    return Ok(());
                }
                Attempt::Closed => return Err(Refused::Closed),
                Attempt::Blocked => {}
            }
            let Some(when) = when else { return Err(Refused::Blocked) };
            let reason = if sends { WaitReason::ChanSend } else { WaitReason::ChanReceive };
            let claim = Claim::new();
            let waiter = Waiter::one_of(getg(), &claim.word, 0, Place::new(value));
            // SAFETY: this frame stays until the waiter was taken out by who claimed it, or below.
            unsafe { state.list(sends).push(&waiter) };
            let wake = claim.park(reason, when, move || drop(state));
            if let Wake::Claimed(_) = wake {
                return if waiter.data.moved.get() { Ok(()) } else { Err(Refused::Closed) };
            }
            self.core().state.lock().list(sends).remove(&waiter);
            if wake == Wake::TimedOut {
                return Err(Refused::Blocked);
            }
            wait_for_memory();
        }
    }

    /// Lets nothing more in, and everybody go on that waits. `false`: it was closed already.
    pub fn close(self) -> bool {
        let mut state = self.core().state.lock();
        if state.closed {
            return false;
        }
        state.closed = true;
        let (senders, receivers) = (state.senders.take_all(), state.receivers.take_all());
        drop(state);
        senders.ready();
        receivers.ready();
        true
    }

    /// Values in the buffer.
    pub fn len(self) -> usize {
        self.core().state.lock().len
    }

    pub fn is_closed(self) -> bool {
        self.core().state.lock().closed
    }
}

#[cfg(all(test, loom))]
mod model {
    //! A receive whose deadline passes while somebody sends, and a send whose deadline passes while
    //! somebody receives: the value is there on exactly one side. A send, a receive and a close: as well,
    //! and nobody is left waiting.
    //!
    //! Mutations seen to fail: a waiter that times out and stays in the list (its frame is used when it is
    //! gone); a close that does not ready senders (a task sleeps for ever); a sender that is not told its
    //! value was taken; in `waitlist.rs`, a claim by a load and a store, or without a look at who has claimed
    //! already, and a timer's callback that does not tell it has lost (the task waits for it for ever).

    use super::super::park::{deadline_passes, task};
    use super::*;
    use loom::sync::Arc;

    /// One handle of each kind.
    struct Ends(Chan<u32>);

    // SAFETY: the channel is under its lock.
    unsafe impl Send for Ends {}
    // SAFETY: as above.
    unsafe impl Sync for Ends {}

    impl Ends {
        /// Whether a 7 was sent; `when` is as for `send_until`, and passes when the model says so.
        fn send(&self, when: Option<i64>) -> bool {
            let mut value = 7;
            // SAFETY: a value.
            unsafe { self.0.send_until(&raw mut value, when) }.is_ok()
        }

        fn recv(&self, when: Option<i64>) -> bool {
            let mut value = 0;
            // SAFETY: room for a value.
            let moved = unsafe { self.0.recv_until(&raw mut value, when) }.is_ok();
            assert_eq!(value == 7, moved);
            moved
        }
    }

    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.close();
            // SAFETY: the last handles; a number needs no drop.
            unsafe {
                self.0.leave();
                self.0.leave();
            }
        }
    }

    fn check(capacity: usize, model: impl Fn(Arc<Ends>) + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || model(Arc::new(Ends(Chan::make(capacity).unwrap()))));
    }

    #[test]
    fn a_receive_that_times_out_loses_nothing() {
        check(0, |ends| {
            let receiver = ends.clone();
            let receiver = task(1, move || receiver.recv(Some(1)));
            let timer = task(2, || deadline_passes(1));
            let sent = ends.send(None);
            assert_eq!(receiver.join().unwrap(), sent);
            timer.join().unwrap();
        });
    }

    #[test]
    fn a_send_that_times_out_doubles_nothing() {
        check(1, |ends| {
            assert!(ends.send(None)); // full
            let sender = ends.clone();
            let sender = task(1, move || sender.send(Some(1)));
            let timer = task(2, || deadline_passes(1));
            assert!(ends.recv(None));
            let sent = sender.join().unwrap();
            timer.join().unwrap();
            assert_eq!(ends.0.len(), usize::from(sent));
        });
    }

    #[test]
    fn a_close_leaves_nobody_waiting() {
        check(0, |ends| {
            let (sender, receiver) = (ends.clone(), ends.clone());
            let sender = task(1, move || {
                let mut value = 7;
                // SAFETY: a value.
                unsafe { sender.0.send(&raw mut value) }
            });
            let receiver = task(2, move || {
                let mut value = 0;
                // SAFETY: room for a value.
                let moved = unsafe { receiver.0.recv(&raw mut value) };
                assert_eq!(value == 7, moved);
                moved
            });
            ends.0.close();
            assert_eq!(sender.join().unwrap(), receiver.join().unwrap());
        });
    }
}
