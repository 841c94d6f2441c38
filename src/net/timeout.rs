//! Timeouts: a limit for each call, as in std, where a deadline is a time for all calls, as in Go.
//!
//! A limit becomes a deadline when a call has to wait for the first time, and stays armed behind the call,
//! so that the next one moves it on, which is a store. A call that finds it passed clears it. In each
//! direction either a limit or a deadline is in force, whichever was set last: the lock keeps a call that
//! arms or clears its own from undoing a deadline that another task sets.
//!
//! The calls reach this through [`HOOKS`], so that a program that sets no timeout has none of it.

use super::Error;
use super::fd::State;
use crate::lock::Mutex;
use crate::poll::{self, Mode, Side};
use crate::rt::clock::nanotime;
use crate::sched::poller::Polled;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::time::Duration;

/// A descriptor's timeouts. The lock is outside of the descriptor's own, and the only one under which a
/// deadline is set, and so a task is readied.
pub(super) struct Timeouts {
    /// Some have been set since the descriptor was made.
    on: AtomicBool,
    /// Of reads and of writes, in milliseconds, what std rounds to as well; 0: none.
    limits: Mutex<[u32; 2]>,
    /// Whether the call under way has armed its limit. Each belongs to whoever holds the lock of its
    /// direction.
    armed: [AtomicBool; 2],
}

/// What transfers on a descriptor with timeouts do besides.
pub(super) struct Hooks {
    /// At the start of a call: what `State::begin` does without.
    pub begin: fn(&State, Mode) -> Result<(), Error>,
    /// In the place of a wait.
    pub wait: fn(&State, Mode) -> Result<(), Error>,
    /// At the start of a wait for readiness: what an earlier call has armed is forgotten.
    pub forget: fn(&State, Mode) -> Result<(), Error>,
}

static HOOKS: AtomicPtr<Hooks> = AtomicPtr::new(ptr::null_mut());

/// The hooks, which are there for a descriptor whose timeouts are on: `Timeouts::set` stored them first.
/// (Unchecked the compiler would take them for those it sees stored, and a program that sets none have them.)
#[inline]
fn hooks() -> Option<&'static Hooks> {
    // SAFETY: null, or a static's address.
    unsafe { HOOKS.load(Ordering::Relaxed).as_ref() }
}

fn side(mode: Mode) -> Side {
    match mode {
        Mode::Read => Side::Read,
        Mode::Write => Side::Write,
    }
}

fn from_now(limit: u32) -> i64 {
    nanotime() + i64::from(limit) * 1_000_000
}

impl Timeouts {
    pub const fn new() -> Timeouts {
        let on = AtomicBool::new(false);
        Timeouts { on, limits: Mutex::new([0; 2]), armed: [AtomicBool::new(false), AtomicBool::new(false)] }
    }

    #[inline]
    pub fn on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// What is to be done besides, if there are any.
    #[inline]
    pub fn hooks(&self) -> Option<&'static Hooks> {
        if self.on() { hooks() } else { None }
    }

    pub fn get(&self, mode: Mode) -> Option<Duration> {
        let limit = if self.on() { self.limits.lock()[mode as usize] } else { 0 };
        (limit != 0).then(|| Duration::from_millis(limit.into()))
    }

    /// Puts `limit` in the place of whatever was in force in this direction. `None` if it is zero.
    pub fn set(&self, pd: Polled, mode: Mode, limit: Option<Duration>) -> Option<Result<(), Error>> {
        static THESE: Hooks = Hooks { begin, wait, forget };
        let limit = match limit {
            None => 0,
            Some(Duration::ZERO) => return None,
            Some(limit) => u32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX),
        };
        HOOKS.store(ptr::from_ref(&THESE).cast_mut(), Ordering::Release);
        let mut limits = self.limits.lock();
        self.on.store(true, Ordering::Release);
        limits[mode as usize] = limit;
        // A call that waits already gets it, too.
        let at = (limit != 0).then(|| from_now(limit));
        Some(pd.set_deadline(side(mode), at).map_err(Error::from))
    }

    /// A deadline of the user's, which ends the limits of its sides.
    pub fn set_deadline(&self, pd: Polled, side: Side, at: Option<i64>) -> Result<(), poll::Error> {
        let mut limits = self.limits.lock();
        if side != Side::Write {
            limits[Mode::Read as usize] = 0;
        }
        if side != Side::Read {
            limits[Mode::Write as usize] = 0;
        }
        pd.set_deadline(side, at)
    }
}

/// See [`Hooks::begin`].
fn begin(state: &State, mode: Mode) -> Result<(), Error> {
    if state.exhausted(mode) {
        state.timeouts.armed[mode as usize].store(false, Ordering::Relaxed);
        return state.wait(mode);
    }
    state.timeouts.armed[mode as usize].store(false, Ordering::Relaxed);
    match state.pd().reset(mode) {
        // Seen by the reset itself: it may pass at any moment, until it is cleared.
        Err(poll::Error::Timeout) => {
            forget(state, mode)?;
            Ok(state.pd().reset(mode)?)
        }
        done => Ok(done?),
    }
}

/// See [`Hooks::forget`].
fn forget(state: &State, mode: Mode) -> Result<(), Error> {
    let (pd, timeouts) = (state.pd(), &state.timeouts);
    timeouts.armed[mode as usize].store(false, Ordering::Relaxed);
    if pd.check(mode) == Err(poll::Error::Timeout) {
        let limits = timeouts.limits.lock();
        if limits[mode as usize] != 0 {
            pd.set_deadline(side(mode), None)?; // an earlier call's
        }
    }
    Ok(())
}

/// See [`Hooks::wait`].
fn wait(state: &State, mode: Mode) -> Result<(), Error> {
    let (pd, timeouts) = (state.pd(), &state.timeouts);
    {
        let limits = timeouts.limits.lock();
        let limit = limits[mode as usize];
        if limit != 0 && !timeouts.armed[mode as usize].swap(true, Ordering::Relaxed) {
            pd.set_deadline(side(mode), Some(from_now(limit)))?;
        }
    }
    Ok(pd.wait(mode)?)
}
