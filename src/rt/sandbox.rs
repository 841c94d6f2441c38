//! Giving up what a program does not need: system calls, and files.

use core::sync::atomic::{AtomicI32, Ordering};

use crate::lock::Mutex;
use crate::sched::masks::on_every_thread;
use crate::sys::sandbox::{
    AUDIT_ARCH, Load, SeccompFlags, SockFilter, landlock_restrict_self, seccomp_set_mode_filter,
};
use crate::sys::thread::prctl_set_no_new_privs;
use crate::sys::{Errno, RawFd};

/// The most that [`seccomp`] takes: a jump of classic BPF is a byte.
const MOST: usize = u8::MAX as usize;

/// Instructions before the comparisons and behind them.
const BEFORE: usize = 4;
const BEHIND: usize = 2;

/// Allows the process the system calls with the numbers of `allowed`, and no others: one that is not in it, or
/// one by the 32-bit table, kills it (`SIGSYS`). There is no way back, and the programs that it executes inherit
/// that, without the privileges of set-user-ID files. It holds for all threads at once.
///
/// Which calls a program makes depends on more than its own code: the runtime starts threads, maps stacks, sends
/// signals among them and ends by `exit_group`. `witness --list FILE PROGRAM` writes the list of a run. Linux
/// decides about numbers that are always allowed once and for all (5.11): then neither their order nor the length
/// of the list costs anything.
///
/// # Errors
/// `E2BIG` (more than 255), `ESRCH` (a thread has filters of its own, so nothing was done), `EINVAL` (a kernel
/// without seccomp), `ENOSYS`, `ENOMEM`, `EACCES`.
#[doc(alias = "sandbox")]
pub fn seccomp(allowed: &[u32]) -> Result<(), Errno> {
    if allowed.len() > MOST {
        return Err(Errno::E2BIG);
    }
    let mut program = [SockFilter::KILL_PROCESS; BEFORE + MOST + BEHIND];
    program[0] = SockFilter::load(Load::Arch);
    program[1] = SockFilter::skip_if(AUDIT_ARCH, 1, 0); // over a KILL_PROCESS
    program[3] = SockFilter::load(Load::Nr);
    for (i, &nr) in allowed.iter().enumerate() {
        // Over the comparisons that are left, and over a KILL_PROCESS.
        program[BEFORE + i] = SockFilter::skip_if(nr, (allowed.len() - i) as u8, 0);
    }
    let len = BEFORE + allowed.len() + BEHIND;
    program[len - 1] = SockFilter::ALLOW;

    prctl_set_no_new_privs()?;
    // SAFETY: it allows a call or kills the process.
    match unsafe { seccomp_set_mode_filter(SeccompFlags::TSYNC, &program[..len]) }? {
        0 => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// Puts the process under the rules of `ruleset`, of [`landlock_create_ruleset`]: all its threads, which
/// landlock_restrict_self(2) by itself does not reach. There is no way back, and the programs that it executes
/// inherit that, without the privileges of set-user-ID files.
///
/// # Errors
/// Those of landlock_restrict_self(2). Some threads may be under the rules then: give up.
///
/// [`landlock_create_ruleset`]: crate::sys::sandbox::landlock_create_ruleset
pub fn landlock(ruleset: RawFd) -> Result<(), Errno> {
    /// For the threads, which are handed nothing else; `LAST` is held while they look.
    static RULESET: AtomicI32 = AtomicI32::new(-1);
    static REFUSED: AtomicI32 = AtomicI32::new(0);
    static LAST: Mutex<()> = Mutex::new(());

    fn restrict() {
        let ruleset = RULESET.load(Ordering::Relaxed);
        if let Err(errno) = prctl_set_no_new_privs().and_then(|()| landlock_restrict_self(ruleset)) {
            REFUSED.store(errno.raw(), Ordering::Relaxed);
        }
    }

    let _last = LAST.lock();
    // Relaxed, as in `restrict`: asking and answering orders it.
    RULESET.store(ruleset, Ordering::Relaxed);
    REFUSED.store(0, Ordering::Relaxed);
    on_every_thread(restrict)?;
    match REFUSED.load(Ordering::Relaxed) {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}
