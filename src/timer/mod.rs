//! Timers, as a data structure: 4-ary min-heaps of pointers to intrusive timers, one heap in a bare poller,
//! one a thread's right to run (P) in the runtime. Nothing here reads a clock or wakes anybody: who owns
//! [`Timers`] asks [`Timers::next`], sleeps, and calls [`Timers::expire`].
//!
//! # What is done lazily
//! A heap holds `(key, timer)`. An entry is *the* entry of its timer if that says that it has one, with this
//! key (two such entries are as good as one). So all that is ever done to a timer that is set, but making it earlier, is a few stores under
//! the timer's own lock, whichever thread does it and whosever heap the entry is in:
//! * set later: the entry keeps its key, which is early; when that comes up the entry is moved on. A
//!   deadline pushed back with every request touches no heap.
//! * stop: the same, with no time to move on to. The entry is dropped when its key comes up.
//! * set earlier: a new entry in the heap of the thread that does it. The old one is *stale*, since the
//!   timer names another key, and is dropped when its own comes up, or when the heap would have to grow.
//!
//! Hence a timer is never freed: entries may point at it long after it was stopped ([`Timers::set`]).
//!
//! # What holds
//! * Nothing fires early: a timer expires only when `now >= when`.
//! * A timer that is set has an entry with a key that is no later than its time, and `first` of the entry's
//!   heap is no later than that. So [`Timers::next`] is never later than the truth: a sleep by it may end
//!   early, for nothing, and never late (golang/go#47329).
//! * Callbacks run with no lock of this module held. Each is given the number that the timer had when it was
//!   taken out; [`Timer::confirm`] tells whether the timer was set or stopped since.
//!
//! Lock order: heap < timer. Whoever calls may hold a lock of his own outside of both, and take it in the
//! callback again (golang/go#35532).

mod heap;
#[cfg(all(test, loom))]
mod model;

use crate::atomic::{AtomicI64, AtomicPtr, AtomicU32, Ordering};
use crate::lock::{self, Mutex};
use crate::poll::Kernel;
use crate::sys::Errno;
use core::cell::{Cell, UnsafeCell};
use core::ptr::{self, NonNull};
#[cfg(feature = "rt")]
pub(crate) use heap::FIRST_BYTES;
use heap::{Entries, Entry};

/// What a timer does when it expires: `fire(timer, seq, context)`, with the number to
/// [`confirm`](Timer::confirm) and the word that was given to [`Timers::expire`].
pub type Fire = unsafe fn(timer: NonNull<Timer>, seq: u32, context: *mut ());

/// An intrusive timer.
pub struct Timer {
    /// Written while the timer is not set, read while it is.
    fire: Cell<Option<Fire>>,
    /// [`LOCKED`], [`ENTRY`] and [`SET`].
    word: AtomicU32,
    /// Changes with every set and stop. Changed under the lock.
    seq: AtomicU32,
    times: UnsafeCell<Times>,
}

/// Under the timer's lock.
#[derive(Clone, Copy)]
struct Times {
    /// Absolute ns, if it is set.
    when: i64,
    /// The key of its entry, if it has one: no later than `when`.
    key: i64,
}

const LOCKED: u32 = 1;

/// A heap has its entry.
const ENTRY: u32 = 2;

/// It is to expire.
const SET: u32 = 4;

// SAFETY: `times` is reached only under the lock (`Timer::lock`), and `fire` is written only while that
// says that the timer is not set (`Timer::bind`).
unsafe impl Send for Timer {}
// SAFETY: as above.
unsafe impl Sync for Timer {}

#[cfg(not(loom))]
static_assertions::const_assert!(size_of::<Timer>() <= 32);

impl Timer {
    /// A timer that is not set.
    #[cfg(not(loom))]
    pub const fn new(fire: Fire) -> Timer {
        Timer { fire: Cell::new(Some(fire)), ..Timer::unbound() }
    }

    /// A timer that must be [bound](Timer::bind) before it is set. All zeros are such a timer.
    #[cfg(not(loom))]
    pub(crate) const fn unbound() -> Timer {
        let times = UnsafeCell::new(Times { when: 0, key: 0 });
        Timer { fire: Cell::new(None), word: AtomicU32::new(0), seq: AtomicU32::new(0), times }
    }

    /// Has it do this when it expires.
    ///
    /// # Safety
    /// The timer is not set, and nobody sets it meanwhile.
    #[cfg(all(feature = "rt", not(loom)))]
    pub(crate) unsafe fn bind(&self, fire: Fire) {
        self.fire.set(Some(fire));
    }

    /// As above; loom's atomics cannot be made in a constant.
    #[cfg(loom)]
    pub fn new(fire: Fire) -> Timer {
        let times = UnsafeCell::new(Times { when: 0, key: 0 });
        Timer { fire: Cell::new(Some(fire)), word: AtomicU32::new(0), seq: AtomicU32::new(0), times }
    }

    /// Its number, which every [`Timers::set`] and [`Timers::stop`] changes.
    #[inline]
    pub fn seq(&self) -> u32 {
        self.seq.load(Ordering::Relaxed)
    }

    /// For a test of what happens when numbers begin again.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn set_seq(&self, seq: u32) {
        self.seq.store(seq, Ordering::Relaxed);
    }

    /// For the callback: unless the timer was set or stopped since it expired with number `seq`, counts it
    /// as done and returns what `f` returns. `f` is called under the timer's lock, on which set and
    /// stop wait: it should be a few instructions, and must not set or stop this timer. Behind
    /// [`Timers::stop`] no `f` is running any more, and none will.
    #[inline]
    pub fn confirm<T>(&self, seq: u32, f: impl FnOnce() -> T) -> Option<T> {
        let mut locked = self.lock();
        if self.seq() != seq {
            return None;
        }
        locked.set = false;
        Some(f())
    }

    #[inline]
    fn lock(&self) -> Locked<'_> {
        let word = lock::lock_bit(&self.word, LOCKED);
        Locked { timer: self, has_entry: word & ENTRY != 0, set: word & SET != 0 }
    }
}

/// A timer under its lock, which this lets go when it is dropped.
struct Locked<'a> {
    timer: &'a Timer,
    has_entry: bool,
    set: bool,
}

impl Locked<'_> {
    #[inline]
    fn times(&mut self) -> &mut Times {
        // SAFETY: the lock is held, and the borrow ends with that of the guard.
        unsafe { &mut *self.timer.times.get() }
    }

    /// Whether its entry is one with this key.
    fn is_entry(&mut self, key: i64) -> bool {
        self.has_entry && self.times().key == key
    }

    /// Gives it another time, or none, and a number by which a callback under way finds itself refused;
    /// whether it was set.
    #[inline]
    fn reset(&mut self, when: Option<i64>) -> bool {
        self.timer.seq.store(self.timer.seq().wrapping_add(1), Ordering::Relaxed);
        if let Some(when) = when {
            self.times().when = when;
        }
        core::mem::replace(&mut self.set, when.is_some())
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        let entry = if self.has_entry { ENTRY } else { 0 };
        lock::unlock_bit(&self.timer.word, entry | if self.set { SET } else { 0 });
    }
}

/// No timer is set: what [`Timers::next`] says of empty heaps.
pub const NEVER: i64 = i64::MAX;

/// A time in an atomic; all zeros are [`NEVER`].
pub(crate) struct AtomicTime(AtomicI64);

impl AtomicTime {
    #[cfg(not(loom))]
    pub const fn never() -> AtomicTime {
        AtomicTime(AtomicI64::new(0))
    }

    #[cfg(loom)]
    pub fn never() -> AtomicTime {
        AtomicTime(AtomicI64::new(0))
    }

    #[inline]
    pub fn load(&self, order: Ordering) -> i64 {
        self.0.load(order) ^ NEVER
    }

    #[inline]
    pub fn store(&self, time: i64, order: Ordering) {
        self.0.store(time ^ NEVER, order);
    }
}

/// One heap, on cache lines of its own. All zeros are an empty one.
#[repr(align(64))]
pub(crate) struct Heap {
    /// The smallest key, readable without the lock: [`NEVER`] when empty. Changed under the lock.
    first: AtomicTime,
    entries: Mutex<Entries>,
}

impl Heap {
    #[cfg(not(loom))]
    pub const fn new() -> Heap {
        Heap { first: AtomicTime::never(), entries: Mutex::new(Entries::new()) }
    }

    /// As above, with room for its first timers.
    ///
    /// # Safety
    /// As [`Entries::within`].
    #[cfg(all(feature = "rt", not(loom)))]
    pub unsafe fn within(memory: NonNull<u8>) -> Heap {
        // SAFETY: the caller's contract.
        Heap { first: AtomicTime::never(), entries: Mutex::new(unsafe { Entries::within(memory) }) }
    }

    /// As above; and the value an atomic of loom's is made with must be stored again: a later `SeqCst` load
    /// might still return it in spite of `SeqCst` stores in between.
    #[cfg(loom)]
    pub fn new() -> Heap {
        let heap = Heap { first: AtomicTime::never(), entries: Mutex::new(Entries::new()) };
        heap.first.store(NEVER, Ordering::SeqCst);
        heap
    }

    /// Behind a change of the entries, under their lock: whether the earliest time came forward.
    fn publish_first(&self, entries: &Entries) -> bool {
        let (first, old) = (entries.first(), self.first.load(Ordering::Relaxed));
        if first != old {
            // SeqCst: the poller says how long it sleeps and then looks here; who sets a timer stores here
            // and then looks how long the poller sleeps.
            self.first.store(first, Ordering::SeqCst);
        }
        first < old
    }
}

/// The timers of one poller.
pub struct Timers {
    own: Heap,
    /// Several heaps to use instead of `own`, or null.
    heaps: AtomicPtr<Heap>,
    len: AtomicU32,
}

impl Default for Timers {
    fn default() -> Self {
        Timers::new()
    }
}

impl Timers {
    #[cfg(not(loom))]
    /// One empty heap; memory is mapped with the first timer.
    pub const fn new() -> Timers {
        Timers { own: Heap::new(), heaps: AtomicPtr::new(ptr::null_mut()), len: AtomicU32::new(0) }
    }

    #[cfg(loom)]
    /// As above.
    pub fn new() -> Timers {
        Timers { own: Heap::new(), heaps: AtomicPtr::new(ptr::null_mut()), len: AtomicU32::new(0) }
    }

    /// Uses these heaps instead of its own from now on. Before the first timer is set; calls with the same heaps
    /// may follow.
    #[cfg(any(feature = "rt", test))]
    pub(crate) fn use_heaps(&self, heaps: &'static [Heap]) {
        self.len.store(heaps.len() as u32, Ordering::Relaxed);
        self.heaps.store(heaps.as_ptr().cast_mut(), Ordering::Release);
    }

    fn heaps(&self) -> &[Heap] {
        let heaps = self.heaps.load(Ordering::Acquire);
        if heaps.is_null() {
            return core::slice::from_ref(&self.own);
        }
        // SAFETY: the slice given to `use_heaps`.
        unsafe { core::slice::from_raw_parts(heaps, self.len.load(Ordering::Relaxed) as usize) }
    }

    /// The earliest time (absolute ns) at which something may have to fire, or [`NEVER`]. May be
    /// earlier than the true one (a timer that was moved on, or stopped), never later.
    #[inline]
    pub fn next(&self) -> i64 {
        self.heaps().iter().map(|heap| heap.first.load(Ordering::SeqCst)).fold(NEVER, i64::min)
    }

    /// Whether a timer is set. Drops what was stopped from the tops of the heaps for that, so it costs
    /// their locks: [`Timers::next`] is for where "maybe" will do.
    pub fn any(&self) -> bool {
        self.heaps().iter().any(|heap| {
            if heap.first.load(Ordering::SeqCst) == NEVER {
                return false;
            }
            let mut entries = heap.entries.lock();
            drop_stopped(&mut entries);
            heap.publish_first(&entries);
            entries.first() != NEVER
        })
    }

    /// Sets `timer` for `when` (absolute ns), whether it was set or not. Returns whether the earliest time
    /// of its heap came forward, in which case a sleeper may have to be woken. `shard` is the heap to put it
    /// in, if it needs a new entry: one of its own for each thread saves these from each other (a
    /// number, to be taken modulo the number of heaps).
    ///
    /// # Errors
    /// `ENOMEM` when the heap cannot grow; the timer is then stopped.
    ///
    /// # Safety
    /// * `timer` must be set in these timers only, and stay at its address, as a timer, for as long as they
    ///   are there, stopped or not. The pointer is what the callback will be given: it may reach what surrounds the
    ///   timer only if this one may.
    /// * `kernel` must be able to unmap what the kernels of earlier calls have mapped, as the same one is. A poller's
    ///   timers are set with the poller's ([`Netpoll::kernel`](crate::poll::Netpoll::kernel)).
    /// * The callback must be right about the context of [`Timers::expire`]. A poller's is for
    ///   [`Netpoll::wake_on_fire`](crate::poll::Netpoll::wake_on_fire).
    pub unsafe fn set(
        &self,
        kernel: &impl Kernel,
        shard: usize,
        timer: NonNull<Timer>,
        when: i64,
    ) -> Result<bool, Errno> {
        // SAFETY: the caller's contract.
        unsafe { self.set_and(kernel, shard, timer, when, |_| ()) }
    }

    /// As [`Timers::set`], and calls `f`, which is for [`Timer::confirm`]'s counterpart: under the timer's
    /// lock, with whether it was set.
    ///
    /// # Errors
    /// As [`Timers::set`].
    ///
    /// # Safety
    /// As [`Timers::set`].
    #[inline]
    pub(crate) unsafe fn set_and(
        &self,
        kernel: &impl Kernel,
        shard: usize,
        timer: NonNull<Timer>,
        when: i64,
        f: impl FnOnce(bool),
    ) -> Result<bool, Errno> {
        // SAFETY: alive (contract).
        let t = unsafe { timer.as_ref() };
        if t.word.load(Ordering::Relaxed) & ENTRY != 0 {
            let mut locked = t.lock();
            if locked.has_entry && locked.times().key <= when {
                f(locked.reset(Some(when)));
                return Ok(false);
            }
        }
        let heaps = self.heaps();
        let heap = heaps.get(shard % heaps.len().max(1)).unwrap_or(&self.own);
        let mut entries = heap.entries.lock();
        let room = entries.make_room(kernel, drop_useless);
        let mut locked = t.lock();
        f(locked.reset(room.is_ok().then_some(when)));
        room?;
        // An entry it may have is stale from here on; but somebody else may have set it earlier meanwhile.
        if !locked.has_entry || locked.times().key > when {
            locked.times().key = when;
            locked.has_entry = true;
            entries.push(Entry { key: when, timer });
        }
        drop(locked);
        Ok(heap.publish_first(&entries))
    }

    /// Stops `timer`; whether it was set, and this came before its callback: one that is under way already
    /// finds that [`Timer::confirm`] refuses it.
    #[inline]
    pub fn stop(&self, timer: &Timer) -> bool {
        timer.lock().reset(None)
    }

    /// As [`Timers::stop`], and calls `f` under the timer's lock.
    #[cfg(all(feature = "rt", not(loom)))]
    #[inline]
    pub(crate) fn stop_and(&self, timer: &Timer, f: impl FnOnce()) -> bool {
        let mut locked = timer.lock();
        f();
        locked.reset(None)
    }

    /// Fires everything due at `now` (ns), earliest first, with no lock held.
    ///
    /// # Safety
    /// `context` must be what the callbacks of these timers expect.
    pub unsafe fn expire(&self, now: i64, context: *mut ()) {
        loop {
            // The heap that is due first, and how far before another one is.
            let (mut next, mut first, mut second) = (&self.own, NEVER, NEVER);
            for heap in self.heaps() {
                let time = heap.first.load(Ordering::Relaxed);
                if time < first {
                    (next, second, first) = (heap, first, time);
                } else {
                    second = second.min(time);
                }
            }
            if first == NEVER || first > now {
                return;
            }
            let until = second.min(now);
            while let Some((timer, fire, seq)) = pop_due(next, until) {
                // SAFETY: a timer is never freed (contract of `set`), and its callback gets what it expects.
                unsafe { fire(timer, seq, context) };
            }
        }
    }

    /// Gives the memory of a poller's own heap back; what was set is forgotten.
    pub(crate) fn free(&mut self, kernel: &impl Kernel) {
        self.own.entries.lock().free(kernel);
    }
}

/// Takes out the first timer of a heap that is due at `until`, and puts those right that were moved on or
/// stopped, up to that time.
fn pop_due(heap: &Heap, until: i64) -> Option<(NonNull<Timer>, Fire, u32)> {
    let mut entries = heap.entries.lock();
    let (mut due, mut for_nothing) = (None, false);
    while let Some(Entry { key, timer }) = entries.top().filter(|top| top.key <= until) {
        // SAFETY: a timer is never freed (contract of `Timers::set`).
        let timer_ref = unsafe { timer.as_ref() };
        let mut locked = timer_ref.lock();
        let Times { when, .. } = *locked.times();
        if locked.is_entry(key) && locked.set && when > until {
            locked.times().key = when; // it was moved on
            entries.move_top(when);
            continue;
        }
        let fires = locked.is_entry(key) && locked.set;
        if locked.is_entry(key) {
            locked.has_entry = false;
        }
        entries.pop();
        if fires && let Some(fire) = timer_ref.fire.get() {
            due = Some((timer, fire, timer_ref.seq()));
            break;
        }
        for_nothing = true;
    }
    if due.is_none() && for_nothing {
        // Somebody woke up for a timer that had been stopped. The next sleep should not end so, too.
        drop_stopped(&mut entries);
    }
    heap.publish_first(&entries);
    due
}

/// Drops entries from the top until there is one of a timer that is set.
fn drop_stopped(entries: &mut Entries) {
    while entries.top().is_some_and(drop_useless) {
        entries.pop();
    }
}

/// Whether nobody needs this entry any more: its timer is stopped, and knows of no entry then, or has
/// another one.
fn drop_useless(entry: Entry) -> bool {
    // SAFETY: a timer is never freed (contract of `Timers::set`).
    let mut locked = unsafe { entry.timer.as_ref() }.lock();
    if !locked.is_entry(entry.key) {
        return true;
    }
    if !locked.set {
        locked.has_entry = false;
    }
    !locked.set
}

#[cfg(all(test, not(loom)))]
mod tests;
