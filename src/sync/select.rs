//! `select!`, and its arms with their types. What happens between them is in `selectgo.rs`.

use super::chan::{AnyChan, Attempt, Chan, State};
use super::channel::{Receiver, Sender};
use super::errors::SendError;
use super::park::WaitWord;
pub use super::selectgo::{Arm, run};
use super::selectgo::{Direction, Kind, Outcome};
use crate::net::fd::{Fd, Locked};
use crate::net::{Error, Pollable};
use crate::poll::Mode;
use crate::time::Instant;
use core::marker::PhantomData;
use core::mem::{self, ManuallyDrop, MaybeUninit};
use core::time::Duration;

/// Waits until one of several things can be done, does that one, and goes on there (Go: `select`).
///
/// ```ignore
/// netpoll::select! {
///     recv(rx) -> message => use_it(message),             // an Option: None when closed and empty
///     send(tx, value) -> result => result.unwrap(),       // a Result<(), SendError<T>>
///     readable(stream) -> result => read(result),         // a Result<(), net::Error>
///     writable(stream) -> result => write(result),
///     after(Duration::from_millis(5)) => give_up(),       // a Duration, or an Instant
///     default => nothing_to_do_yet(),                     // without it, waits
/// }
/// ```
///
/// Every arm's channel, value, stream and time is evaluated first, in order. If several arms can go on, one
/// of them is chosen by chance, each with the same chance; a value that is not sent is dropped. A closed
/// channel can always go on: leave it out of the next round. `after` counts only if nothing else is ready.
///
/// `readable` and `writable` take whatever is [`Pollable`](crate::net::Pollable): streams, listeners, ends
/// of a pipe. Such an arm can go on when an operation in that direction would not park, be it because it
/// would fail; or, with an error as the result, when the stream is closed or its deadline has passed.
/// Until an arm is chosen nothing is read, so what comes while another wins is there for the next read.
///
/// A direction belongs to one task at a time. For as long as a `select!` waits it has that of each of its
/// arms, and other tasks' reads or writes take turns with it. It never waits for such a turn itself, or two
/// of them might for each other: an arm whose direction is in use, also by an arm before it, goes on with
/// [`Error::Busy`](crate::net::Error::Busy).
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
    (@arms $arms:tt $default:tt readable($stream:expr) -> $pat:pat => $($rest:tt)+) => {
        $crate::select!(@body $arms $default ($crate::sync::__select::readable(&$stream), $pat) $($rest)+)
    };
    (@arms $arms:tt $default:tt writable($stream:expr) -> $pat:pat => $($rest:tt)+) => {
        $crate::select!(@body $arms $default ($crate::sync::__select::writable(&$stream), $pat) $($rest)+)
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

/// `readable(stream) -> ..` or `writable(stream) -> ..`
pub struct ReadyArm<'a> {
    direction: StreamDirection<'a>,
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

/// An arm that waits until there is something to read.
pub fn readable(stream: &impl Pollable) -> ReadyArm<'_> {
    ReadyArm::new(stream, Mode::Read)
}

/// An arm that waits until there is room to write.
pub fn writable(stream: &impl Pollable) -> ReadyArm<'_> {
    ReadyArm::new(stream, Mode::Write)
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
            kind: Kind::Chan {
                chan: self.chan.any(),
                attempt: attempt::<T>,
                sends: false,
                value: self.value.as_mut_ptr().cast(),
            },
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
            kind: Kind::Chan {
                chan: self.chan.any(),
                attempt: attempt::<T>,
                sends: true,
                value: (&raw mut self.value).cast(),
            },
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
        Arm { kind: Kind::Time(self.when), outcome: &mut self.outcome }
    }

    /// It is this arm's turn.
    pub fn is_chosen(&self) -> bool {
        self.outcome != Outcome::NotChosen
    }

    /// For symmetry.
    pub fn take(&mut self) {}
}

/// See [`Direction`]. Its lock is taken by the first look, and an arm that did not get it is ready for that.
struct StreamDirection<'a> {
    fd: &'a Fd,
    mode: Mode,
    locked: Option<Locked<'a>>,
    /// What the last look found, if it found anything.
    result: Result<(), Error>,
}

impl StreamDirection<'_> {
    fn try_look(&mut self, exact: bool) -> Result<bool, Error> {
        if self.locked.is_none() {
            self.locked = Some(self.fd.try_lock(self.mode)?);
        }
        self.locked.as_ref().map_or(Ok(false), |locked| locked.look(exact))
    }
}

impl Direction for StreamDirection<'_> {
    fn look(&mut self, exact: bool) -> bool {
        let looked = self.try_look(exact);
        self.result = looked.map(drop);
        looked != Ok(false)
    }

    fn enlist(&mut self, word: WaitWord) -> bool {
        self.locked.as_ref().is_some_and(|locked| locked.enlist(word))
    }

    fn withdraw(&mut self, word: WaitWord) -> bool {
        self.locked.as_ref().is_none_or(|locked| locked.withdraw(word))
    }

    fn leave(&mut self) {
        self.locked = None;
    }
}

impl<'a> ReadyArm<'a> {
    fn new(stream: &'a impl Pollable, mode: Mode) -> ReadyArm<'a> {
        let direction = StreamDirection { fd: stream.source().0, mode, locked: None, result: Ok(()) };
        ReadyArm { direction, outcome: Outcome::NotChosen }
    }

    /// For [`run`].
    pub fn arm(&mut self) -> Arm<'_> {
        let kind = Kind::Descriptor { direction: &mut self.direction, ready: false };
        Arm { kind, outcome: &mut self.outcome }
    }

    /// It is this arm's turn.
    pub fn is_chosen(&self) -> bool {
        self.outcome != Outcome::NotChosen
    }

    /// What a read or write would come to.
    ///
    /// # Errors
    /// Closed, past its deadline, in use, or not pollable.
    pub fn take(&mut self) -> Result<(), Error> {
        self.direction.result
    }
}
