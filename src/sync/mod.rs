//! Synchronisation between tasks: who has to wait parks, and its thread runs another task.
//!
//! Everything here but the channels can be made in a constant, for a `static`, and needs no memory but
//! its own. All of it may be used by tasks of the runtime only: elsewhere a call ends the program, saying
//! so.
//!
//! | file | what |
//! |---|---|
//! | `mutex.rs`, `rwlock.rs`, `locks.rs` | the words of the locks, and the locks |
//! | `once.rs`, `waitgroup.rs`, `condvar.rs`, `semaphore.rs`, `barrier.rs` | one each |
//! | `chan.rs`, `channel.rs`, `errors.rs`, `memory.rs` | channels: under the lock, the handles, their errors, where they live |
//! | `select.rs`, `selectgo.rs`, `random.rs` | `select!`: the macro with its arms, the choice, chance |
//! | `claimant.rs` | what a `select!` leaves with the poller |
//! | `waitlist.rs`, `park.rs` | lists of parked tasks, deadlines |
//! | `models.rs`, `select_model.rs`, `park_model.rs`, `memory_model.rs`, `const_fn.rs` | the same under the model checker |
//!
//! Lock order, outermost first: the channels of a `select!` by address, or the list of one object here;
//! then the rows of the scheduler's table of semaphores; then its run queues and timers. A task is
//! readied with no lock held but, by `Condvar::wait`, its own list's.

#[doc(hidden)] // what `select!` expands to
#[path = "select.rs"]
pub mod __select;
#[macro_use]
mod const_fn;

mod barrier;
mod chan;
mod channel;
mod claimant;
mod condvar;
mod errors;
mod locks;
mod memory;
mod mutex;
mod once;
mod park;
mod random;
mod rwlock;
mod selectgo;
mod semaphore;
mod waitgroup;
mod waitlist;

pub use barrier::Barrier;
pub use channel::{Iter, Receiver, Sender, channel, try_channel};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use errors::{RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
pub use locks::{Mutex, MutexGuard, RawMutex, RawRwLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use once::{Once, OnceLock};
pub use semaphore::Semaphore;
pub use waitgroup::WaitGroup;
