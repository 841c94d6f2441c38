//! `select!`, and its arms with their types. What happens between them is in `selectgo.rs`.

use super::chan::{AnyChan, Attempt, Chan, State};
use super::channel::{Receiver, Sender};
use super::errors::SendError;
use super::selectgo::Outcome;
pub use super::selectgo::{Arm, run};
use crate::time::Instant;
use crate::timer::NEVER;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop, MaybeUninit};
use core::ptr;
use core::time::Duration;

/// Waits until one of several things can be done, does that one, and goes on there (Go: `select`).
///
/// ```ignore
/// netpoll::select! {
///     recv(rx) -> message => use_it(message),             // an Option: None when closed and empty
///     send(tx, value) -> result => result.unwrap(),       // a Result<(), SendError<T>>
///     after(Duration::from_millis(5)) => give_up(),       // a Duration, or an Instant
///     default => nothing_to_do_yet(),                     // without it, waits
/// }
/// ```
///
/// Every arm's channel, value and time is evaluated first, in order. If several arms can go on, one of
/// them is chosen by chance, each with the same chance; a value that is not sent is dropped. A closed
/// channel can always go on: leave it out of the next round. `after` counts only if no channel is ready.
///
/// The result is that of the chosen arm's body, in which `return`, `break` and `?` mean what they do outside.
#[macro_export]
macro_rules! select {
    (@arms $arms:tt $default:tt) => { $crate::select!(@bind $arms $arms $default) };
    (@arms $arms:tt $default:tt recv($rx:expr) -> $pat:pat => $($rest:tt)+) => {
        $crate::select!(@body $arms $default ($crate::sync::__select::recv(&$rx), $pat) $($rest)+)
    };
    (@arms $arms:tt $default:tt send($tx:expr, $value:expr) -> $pat:pat => $($rest:tt)+) => {
        $crate::select!(@body $arms $default ($crate::sync::__select::send(&$tx, $value), $pat) $($rest)+)
    };
    (@arms $arms:tt $default:tt after($when:expr) => $($rest:tt)+) => {
        $crate::select!(@body $arms $default ($crate::sync::__select::after($when), _) $($rest)+)
    };
    (@arms $arms:tt [] default => $($rest:tt)+) => {
        $crate::select!(@body $arms [] default $($rest)+)
    };
    (@body $arms:tt $default:tt $head:tt $body:block, $($rest:tt)*) => {
        $crate::select!(@push $arms $default $head $body; $($rest)*)
    };
    (@body $arms:tt $default:tt $head:tt $body:block $($rest:tt)*) => {
        $crate::select!(@push $arms $default $head $body; $($rest)*)
    };
    (@body $arms:tt $default:tt $head:tt $body:expr, $($rest:tt)*) => {
        $crate::select!(@push $arms $default $head $body; $($rest)*)
    };
    (@body $arms:tt $default:tt $head:tt $body:expr) => {
        $crate::select!(@push $arms $default $head $body;)
    };
    (@push $arms:tt [] default $body:expr; $($rest:tt)*) => {
        $crate::select!(@arms $arms [$body] $($rest)*)
    };
    // Each expansion of this makes an `arm` of its own, for names are hygienic.
    (@push [$($arms:tt)*] $default:tt ($init:expr, $pat:pat) $body:expr; $($rest:tt)*) => {
        $crate::select!(@arms [$($arms)* (arm $init, $pat, $body)] $default $($rest)*)
    };
    // Nested, so that temporaries in the operands live to the end.
    (@bind [($arm:ident $init:expr, $pat:pat, $body:expr) $($rest:tt)*] $arms:tt $default:tt) => {
        match $init { mut $arm => $crate::select!(@bind [$($rest)*] $arms $default) }
    };
    (@bind [] [$(($arm:ident $init:expr, $pat:pat, $body:expr))*] []) => {{
        $crate::sync::__select::run([$($arm.arm()),*], false);
        $(if $arm.is_chosen() { let $pat = $arm.take(); $body } else)* {
            ::core::unreachable!()
        }
    }};
    (@bind [] [$(($arm:ident $init:expr, $pat:pat, $body:expr))*] [$default:expr]) => {{
        $crate::sync::__select::run([$($arm.arm()),*], true);
        $(if $arm.is_chosen() { let $pat = $arm.take(); $body } else)* { $default }
    }};
    (@ $($other:tt)*) => {
        ::core::compile_error!(::core::concat!("select!: not an arm: ", ::core::stringify!($($other)*)))
    };
    ($($arms:tt)+) => { $crate::select!(@arms [] [] $($arms)+) };
}

/// `recv(rx) -> ..`
pub struct RecvArm<'a, T> {
    chan: Chan<T>,
    value: MaybeUninit<T>,
    outcome: Outcome,
    rx: PhantomData<&'a Receiver<T>>,
}

/// `send(tx, value) -> ..`
pub struct SendArm<'a, T> {
    chan: Chan<T>,
    /// There while the outcome is not `Moved`.
    value: ManuallyDrop<T>,
    outcome: Outcome,
    tx: PhantomData<&'a Sender<T>>,
}

/// `after(when)`
pub struct AfterArm {
    when: i64,
    outcome: Outcome,
}

/// A time to give up at.
pub trait When {
    /// In ns of the monotonic clock.
    fn nanos(self) -> i64;
}

impl When for Instant {
    fn nanos(self) -> i64 {
        self.as_nanos()
    }
}

impl When for Duration {
    fn nanos(self) -> i64 {
        (Instant::now() + self).as_nanos()
    }
}

/// An arm that receives.
pub fn recv<T>(rx: &Receiver<T>) -> RecvArm<'_, T> {
    RecvArm { chan: rx.0, value: MaybeUninit::uninit(), outcome: Outcome::NotChosen, rx: PhantomData }
}

/// An arm that sends.
pub fn send<T>(tx: &Sender<T>, value: T) -> SendArm<'_, T> {
    SendArm { chan: tx.0, value: ManuallyDrop::new(value), outcome: Outcome::NotChosen, tx: PhantomData }
}

/// An arm that waits for a time.
pub fn after(when: impl When) -> AfterArm {
    AfterArm { when: when.nanos(), outcome: Outcome::NotChosen }
}

impl<T> RecvArm<'_, T> {
    /// For [`run`].
    pub fn arm(&mut self) -> Arm<'_> {
        unsafe fn attempt<T>(chan: AnyChan, state: &mut State, value: *mut ()) -> Attempt {
            // SAFETY: `run` gives what the arm below holds.
            unsafe { chan.of::<T>().try_recv(state, value.cast()) }
        }
        Arm {
            chan: Some(self.chan.any()),
            attempt: attempt::<T>,
            sends: false,
            value: self.value.as_mut_ptr().cast(),
            when: NEVER,
            outcome: &mut self.outcome,
        }
    }

    /// It is this arm's turn.
    pub fn is_chosen(&self) -> bool {
        self.outcome != Outcome::NotChosen
    }

    /// What was received. Once.
    pub fn take(&mut self) -> Option<T> {
        let outcome = mem::replace(&mut self.outcome, Outcome::Closed);
        // SAFETY: a value was moved in, and is moved out once.
        (outcome == Outcome::Moved).then(|| unsafe { self.value.assume_init_read() })
    }
}

impl<T> SendArm<'_, T> {
    /// For [`run`].
    pub fn arm(&mut self) -> Arm<'_> {
        unsafe fn attempt<T>(chan: AnyChan, state: &mut State, value: *mut ()) -> Attempt {
            // SAFETY: `run` gives what the arm below holds.
            unsafe { chan.of::<T>().try_send(state, value.cast()) }
        }
        assert!(!self.is_chosen(), "an arm serves once");
        Arm {
            chan: Some(self.chan.any()),
            attempt: attempt::<T>,
            sends: true,
            value: (&raw mut self.value).cast(),
            when: NEVER,
            outcome: &mut self.outcome,
        }
    }

    /// It is this arm's turn.
    pub fn is_chosen(&self) -> bool {
        self.outcome != Outcome::NotChosen
    }

    /// Whether it was sent. Once.
    ///
    /// # Errors
    /// Closed; the value comes back.
    pub fn take(&mut self) -> Result<(), SendError<T>> {
        if mem::replace(&mut self.outcome, Outcome::Moved) == Outcome::Moved {
            return Ok(());
        }
        // SAFETY: it was not moved, and from now on nobody thinks it is there.
        Err(SendError(unsafe { ManuallyDrop::take(&mut self.value) }))
    }
}

impl<T> Drop for SendArm<'_, T> {
    fn drop(&mut self) {
        if self.outcome != Outcome::Moved {
            // SAFETY: it was neither moved nor taken.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

impl AfterArm {
    /// For [`run`].
    pub fn arm(&mut self) -> Arm<'_> {
        Arm {
            chan: None,
            attempt: |_, _, _| Attempt::Blocked,
            sends: false,
            value: ptr::null_mut(),
            when: self.when,
            outcome: &mut self.outcome,
        }
    }

    /// It is this arm's turn.
    pub fn is_chosen(&self) -> bool {
        self.outcome != Outcome::NotChosen
    }

    /// For symmetry.
    pub fn take(&mut self) {}
}
