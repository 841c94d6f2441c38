//! Signals as something that a task waits for (Go: `os/signal`).
//!
//! ```ignore
//! use netpoll::signal::{self, SIGINT, SIGTERM};
//!
//! let signals = signal::notify(&[SIGINT, SIGTERM])?;
//! let info = signals.recv()?; // parks the task
//! println!("{:?} from process {}", info.signal, info.pid);
//! ```
//!
//! From [`notify`] on until the last [`Signals`] for it is dropped, a signal does nothing of what it usually
//! does: all threads block it, and it waits in the kernel until somebody receives it (`signalfd(2)`). The
//! rules there are the kernel's:
//! - A standard signal that is waiting already is not counted again. Real-time signals (32 to 64) queue up,
//!   in order, and the lowest number is received first.
//! - Each is received once. Where there are several `Signals` for it, whoever reads first gets it.
//! - One that is sent to a single thread (`tgkill(2)`) waits with that thread, and only a read that happens
//!   on it finds it. Send to the process.
//! - What a fault raises (SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS) ends the program, received or not. SIGBUS is
//!   reported first, unless there is a [`Signals`] for it or it was [`reset`].
//! - A program that is executed inherits which signals are blocked.
//!
//! The runtime itself uses SIGURG (preemption), SIGSEGV (reports of faults) and SIGSTKFLT (to have threads
//! change their masks), which are not to be had. SIGQUIT is: while there is a [`Signals`] for it, it does
//! not print the tasks and end the program. SIGPIPE is ignored, and [`reset`] gives it back its usual effect;
//! it goes to the thread that has written, so nobody could receive it.
//!
//! # Handlers of your own
//! A handler that a program installs by itself ([`crate::sys::signal::rt_sigaction`]) runs on the stack and on the thread of
//! the task that it interrupts, unless it has `SA_ONSTACK`. It must not call anything of the runtime, and it must block
//! SIGURG and SIGSTKFLT while it runs (`sa_mask`):
//! - By SIGURG its task would be preempted with the handler on its stack, and go on on another thread: the handler's return
//!   would put the first thread's mask in force there. The runtime also looks: it preempts no task whose thread blocks more
//!   signals than is usual, as every handler does that has not `SA_NODEFER` and an empty mask.
//! - A change of the masks that interrupts a handler would be undone at its return. [`notify`] refuses (`EBUSY`) while there
//!   is a handler that does not block SIGSTKFLT.
//!
//! Neither signal may be blocked otherwise: [`notify`] would wait for that thread for ever, and its tasks would not be
//! preempted. Threads that a program makes by itself ([`crate::arch`]) must block what it wants to be notified of.

use crate::lock::Mutex;
use crate::net::Error;
use crate::net::fd::{Fd, Kind};
use crate::net::methods::methods;
use crate::net::pollable::pollable;
use crate::poll::Mode;
use crate::sched::masks;
use crate::sched::poller::netpoll_init;
use crate::sys::signal::{
    SIGKILL, SIGPIPE, SIGSEGV, SIGSTOP, SIGURG, SigSet, Sigaction, SignalfdFlags, SignalfdSiginfo,
    rt_sigaction, signalfd4,
};
use crate::sys::{Call, Errno, RawFd, fd};
use core::fmt;

pub use crate::sys::signal::{
    SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGPROF, SIGPWR,
    SIGQUIT, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH,
    SIGXCPU, SIGXFSZ, Signal,
};

/// The kernel's alone.
const KERNELS: SigSet = SigSet::EMPTY.with(SIGKILL).with(SIGSTOP);
/// The runtime's alone.
const OURS: SigSet = SigSet::EMPTY.with(SIGURG).with(SIGSEGV).with(masks::CHANGE);

/// Who is notified of what, and what is to be restored behind that.
struct Registry {
    /// How many [`Signals`] there are for signal n + 1.
    users: [u32; Signal::MAX as usize],
    /// Blocked by whoever started the program, and to stay so.
    inherited: SigSet,
    /// SIGCHLD was ignored, which would keep the kernel from sending it.
    ignored_children: bool,
    /// What SIGQUIT does when it is not ignored.
    quit: Option<Sigaction>,
}

// SAFETY: the pointer in an action is a handler's address, the same for all threads.
unsafe impl Send for Registry {}

/// Outside of `masks`' lock.
static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    users: [0; Signal::MAX as usize],
    inherited: SigSet::EMPTY,
    ignored_children: false,
    quit: None,
});

impl Registry {
    /// The signals of `set` that so many are notified of.
    fn with_users(&self, set: SigSet, n: u32) -> SigSet {
        let many = |signal: &Signal| self.users[signal.raw() as usize - 1] == n;
        set.iter().filter(many).fold(SigSet::EMPTY, SigSet::with)
    }

    fn add(&mut self, set: SigSet) -> Result<(), Errno> {
        let new = self.with_users(set, 0);
        if !new.is_empty() {
            let blocked = masks::change(new, SigSet::EMPTY)?;
            self.inherited = self.inherited.difference(new).union(blocked.intersection(new));
        }
        // SAFETY: no handler is installed.
        if new.contains(SIGCHLD) && unsafe { rt_sigaction(SIGCHLD, None) }?.is_ignore() {
            self.ignored_children = true;
            disposition(SIGCHLD, &Sigaction::DEFAULT)?;
        }
        set.iter().for_each(|signal| self.users[signal.raw() as usize - 1] += 1);
        Ok(())
    }

    fn remove(&mut self, set: SigSet) {
        let last = self.with_users(set, 1);
        set.iter().for_each(|signal| self.users[signal.raw() as usize - 1] -= 1);
        if last.contains(SIGCHLD) && core::mem::take(&mut self.ignored_children) {
            let _ = disposition(SIGCHLD, &Sigaction::IGNORE);
        }
        let unblock = last.difference(self.inherited);
        if !unblock.is_empty() {
            // It has been possible before.
            let _ = masks::change(SigSet::EMPTY, unblock);
        }
    }
}

fn disposition(signal: Signal, action: &Sigaction) -> Result<(), Errno> {
    // SAFETY: either no handler, or one that was installed before.
    unsafe { rt_sigaction(signal, Some(action)) }.map(drop)
}

/// Receives `signals` from now on, instead of what they usually do, until what is returned is closed or
/// dropped. There may be several for the same signal: see [above](self).
///
/// What is waiting at that end has its usual effect then, which for most signals is the program's end.
///
/// A thread that is in a system call within [`blocking`](crate::blocking) is interrupted once; calls
/// that the kernel never restarts (`nanosleep(2)`, see `signal(7)`) fail with `EINTR` there.
///
/// # Errors
/// [`Error::Os`] of `signalfd4`: `EINVAL` for SIGKILL and SIGSTOP; `EBUSY` for SIGURG, SIGSEGV, SIGSTKFLT
/// and SIGPIPE, and while the program has a handler that does not block SIGSTKFLT, as said [above](self); `EMFILE`, `ENFILE`, `ENOMEM`. Those of the registration with the poller.
pub fn notify(signals: &[Signal]) -> Result<Signals, Error> {
    let failed = |errno| Error::Os(Call::Signalfd4, errno);
    let set = signals.iter().copied().fold(SigSet::EMPTY, SigSet::with);
    refuse(set, OURS.with(SIGPIPE)).map_err(failed)?;
    let fd = signalfd4(-1, &set, SignalfdFlags::CLOEXEC | SignalfdFlags::NONBLOCK).map_err(failed)?;
    // This starts the monitor, if there is to be one; from then on a change reaches that, too.
    let fd = Fd::new(fd, Kind::Other)?;
    let added = REGISTRY.lock().add(set);
    added.map_err(failed)?;
    Ok(Signals { fd, set })
}

fn refuse(set: SigSet, busy: SigSet) -> Result<(), Errno> {
    if !set.intersection(KERNELS).is_empty() {
        return Err(Errno::EINVAL);
    }
    if set.intersection(busy).is_empty() { Ok(()) } else { Err(Errno::EBUSY) }
}

/// Makes `signal` do nothing at all, and forgets those that are waiting. While there is a [`Signals`] for it,
/// it is received all the same. Children leave no status behind while SIGCHLD is ignored.
///
/// # Errors
/// `EINVAL` for SIGKILL and SIGSTOP, `EBUSY` for SIGURG, SIGSEGV and SIGSTKFLT.
pub fn ignore(signal: Signal) -> Result<(), Errno> {
    refuse(SigSet::EMPTY.with(signal), OURS)?;
    let mut registry = REGISTRY.lock();
    if signal == SIGQUIT {
        netpoll_init(); // the monitor installs a handler at its start: not after this
        // SAFETY: no handler is installed.
        let action = unsafe { rt_sigaction(signal, None) }?;
        if !action.is_ignore() {
            registry.quit = Some(action);
        }
    }
    disposition(signal, &Sigaction::IGNORE)
}

/// Undoes [`ignore`], and what the program was started with: `signal` does what it does by default. SIGQUIT
/// prints the tasks and ends the program, if there is preemption.
///
/// # Errors
/// As [`ignore`].
pub fn reset(signal: Signal) -> Result<(), Errno> {
    refuse(SigSet::EMPTY.with(signal), OURS)?;
    let registry = REGISTRY.lock();
    if signal == SIGQUIT {
        // SAFETY: no handler is installed.
        let action = unsafe { rt_sigaction(signal, None) }?;
        if !action.is_ignore() {
            return Ok(()); // it prints the tasks, or there is no preemption
        }
        return disposition(signal, &registry.quit.unwrap_or(Sigaction::DEFAULT));
    }
    disposition(signal, &Sigaction::DEFAULT)
}

/// What is known of a signal that was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Info {
    /// Which it is.
    pub signal: Signal,
    /// Why it was sent: 0 by `kill(2)` (`SI_USER`), below 0 by other senders (`SI_QUEUE`, `SI_TKILL`), above
    /// by the kernel, by kind of signal (`CLD_EXITED`). See `sigaction(2)`.
    pub code: i32,
    /// The process that sent it, or the child of a SIGCHLD; 0 if it was the kernel, or a process of another
    /// PID namespace, which is not to be seen from here.
    pub pid: i32,
    /// That process's user.
    pub uid: u32,
    /// What was sent along (`sigqueue(3)`), as a number; else 0.
    pub value: i32,
    /// The same as an address or number of 64 bits.
    pub value64: u64,
    /// Of SIGCHLD: the child's exit status, or the signal that ended or stopped it; else 0.
    pub status: i32,
}

impl Info {
    fn new(record: &SignalfdSiginfo) -> Option<Info> {
        let SignalfdSiginfo { code, uid, int, ptr, status, .. } = *record;
        let signal = Signal::new(record.signo as i32)?;
        Some(Info { signal, code, pid: record.pid as i32, uid, value: int, value64: ptr, status })
    }
}

/// Some signals, which a task can wait for; made by [`notify`]. Those that are waiting are received first.
pub struct Signals {
    fd: Fd,
    set: SigSet,
}

methods! { Signals: read_deadline }

pollable! {
    Signals: readable;
}

impl Signals {
    /// The next signal. Parks until there is one; several tasks that receive take turns.
    ///
    /// # Errors
    /// [`Error::TimedOut`] once the read deadline has passed; [`Error::Closed`].
    pub fn recv(&self) -> Result<Info, Error> {
        let mut info = None;
        self.fd.transfer(Mode::Read, Call::Read, 0, |fd| read(fd).map(|read| info = read).map(|()| 0))?;
        // The kernel has no other signals than those that `Signal` has.
        info.ok_or(Error::Os(Call::Read, Errno::EINVAL))
    }

    /// A signal that is waiting; `None` if there is none. Beside tasks that are parked in
    /// [`recv`](Signals::recv), and without regard to the deadline.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn try_recv(&self) -> Result<Option<Info>, Error> {
        self.fd.call(Call::Read, |fd| match read(fd) {
            Err(Errno::EAGAIN) => Ok(None),
            done => done,
        })
    }

    /// The signals it receives.
    pub fn set(&self) -> SigSet {
        self.set
    }

    /// Ends every [`recv`](Signals::recv) with [`Error::Closed`], and has the signals do again what they did
    /// before, unless there is another `Signals` for them. Dropping does the same.
    ///
    /// # Errors
    /// [`Error::Closed`] if it was closed before.
    pub fn close(&self) -> Result<(), Error> {
        self.fd.close()?;
        REGISTRY.lock().remove(self.set);
        Ok(())
    }

    /// The descriptor's number (`signalfd(2)`). Its meaning ends with the close.
    pub fn as_raw_fd(&self) -> RawFd {
        self.fd.raw()
    }
}

/// One signal, off the descriptor.
fn read(fd: RawFd) -> Result<Option<Info>, Errno> {
    let mut record = [0; SignalfdSiginfo::SIZE];
    fd::read(fd, &mut record)?;
    Ok(Info::new(&SignalfdSiginfo::from_bytes(&record)))
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.close(); // or it has been closed before
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("fd", &self.fd.raw()).field("set", &self.set).finish()
    }
}
