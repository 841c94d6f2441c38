//! Starting what is traced, and talking with it while it runs.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use std::ptr::null_mut;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Call, End, Trace, tracer};

/// How long a traced process may run, unless [`Witness::limit`] says otherwise.
const LIMIT: Duration = Duration::from_secs(60);

type Observer = Box<dyn Fn(&Call) + Send + Sync>;

/// What the tracer writes while others read.
#[derive(Default)]
pub(crate) struct Shared {
    calls: Mutex<Vec<Call>>,
    changed: Condvar,
    /// Called at each exit of a call.
    observer: Option<Observer>,
}

impl Shared {
    /// Adds a call; its index.
    pub(crate) fn push(&self, call: Call) -> usize {
        let mut calls = self.calls();
        calls.push(call);
        self.changed.notify_all();
        calls.len() - 1
    }

    pub(crate) fn change(&self, index: usize, change: impl FnOnce(&mut Call)) {
        let mut calls = self.calls();
        change(&mut calls[index]);
        if let Some(observer) = &self.observer {
            observer(&calls[index]);
        }
        self.changed.notify_all();
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().expect("nobody panics with the calls")
    }
}

/// A program to be traced.
pub struct Witness {
    command: Command,
    limit: Duration,
    shared: Shared,
}

impl Witness {
    /// Traces what `program` does. A bare name is looked for in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Witness {
        Witness::command(Command::new(program))
    }

    /// Traces what `command` starts: with its arguments, environment, streams and folder.
    pub fn command(command: Command) -> Witness {
        Witness { command, limit: LIMIT, shared: Shared::default() }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Witness {
        self.command.args(args);
        self
    }

    /// Kills the process after `limit`, a minute if nothing is said: a test never hangs.
    pub fn limit(mut self, limit: Duration) -> Witness {
        self.limit = limit;
        self
    }

    /// Calls `observer` with each call when it has returned, on the tracer's thread. The program is held while
    /// that lasts.
    pub fn observe(mut self, observer: impl Fn(&Call) + Send + Sync + 'static) -> Witness {
        self.shared.observer = Some(Box::new(observer));
        self
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// Those of starting it, and of ptrace(2): `EPERM` in a sandbox that forbids it.
    pub fn run(self) -> io::Result<Trace> {
        self.spawn()?.finish()
    }

    /// Starts the program and returns, while a thread traces it.
    ///
    /// # Errors
    /// As [`Witness::run`].
    pub fn spawn(self) -> io::Result<Running> {
        let Witness { mut command, limit, shared } = self;
        let shared = Arc::new(shared);
        let (tell, told) = mpsc::channel();
        let tracer = thread::spawn({
            let shared = shared.clone();
            move || {
                // SAFETY: one system call.
                unsafe { command.pre_exec(ask_to_be_traced) };
                let started = command.spawn().and_then(|child| Ok((pidfd(child.id() as i32)?, child)));
                let pid = match started {
                    Ok((pidfd, child)) => {
                        let pid = child.id() as i32;
                        // Nobody to tell: then `spawn` is gone, which it is not before this.
                        let _ = tell.send(Ok((pidfd, child)));
                        pid
                    }
                    Err(error) => {
                        let _ = tell.send(Err(error));
                        return Ok(End::Exited(0));
                    }
                };
                tracer::trace(pid, false, &shared)
            }
        });
        let (pidfd, mut child) =
            told.recv().unwrap_or_else(|_| Err(io::Error::other("the tracer did not start")))?;
        let pidfd = Arc::new(pidfd);
        Ok(Running {
            pid: child.id(),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            shared,
            tracer: Some(tracer),
            watchdog: Watchdog::start(pidfd.clone(), limit),
            pidfd,
            limit,
        })
    }
}

/// A program that runs and is traced. Dropped, it is killed.
pub struct Running {
    /// The process's number.
    pub pid: u32,
    /// Its streams, those that the command has as pipes.
    pub stdin: Option<ChildStdin>,
    /// As `stdin`.
    pub stdout: Option<ChildStdout>,
    /// As `stdin`.
    pub stderr: Option<ChildStderr>,
    shared: Arc<Shared>,
    tracer: Option<JoinHandle<io::Result<End>>>,
    pidfd: Arc<OwnedFd>,
    watchdog: Watchdog,
    limit: Duration,
}

impl Running {
    /// How many calls have been entered so far: [`Trace::since`] takes it.
    pub fn mark(&self) -> usize {
        self.shared.calls().len()
    }

    /// The calls so far. The last of each thread may be pending.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls().clone()
    }

    /// Waits until `is_so` is true of the calls, with which it is called whenever there is something new.
    /// Returns whether it became true before the program's time was up.
    pub fn wait_until(&self, mut is_so: impl FnMut(&[Call]) -> bool) -> bool {
        let end = Instant::now() + self.limit;
        let mut calls = self.shared.calls();
        while !is_so(&calls) {
            let Some(left) = end.checked_duration_since(Instant::now()) else { return false };
            let wait = self.shared.changed.wait_timeout(calls, left);
            calls = wait.expect("nobody panics with the calls").0;
        }
        true
    }

    /// Sends a signal to the process; nothing happens if it has ended.
    pub fn signal(&self, signal: i32) {
        send(&self.pidfd, signal);
    }

    /// Waits for the program's end, or for the end of its time.
    ///
    /// # Errors
    /// Those of ptrace(2).
    pub fn finish(mut self) -> io::Result<Trace> {
        let end = self.join().expect("it has not been joined before")?;
        Ok(Trace { calls: self.calls(), end })
    }

    fn join(&mut self) -> Option<io::Result<End>> {
        let result = self.tracer.take()?.join();
        self.watchdog.0 = None;
        Some(result.unwrap_or_else(|_| Err(io::Error::other("the tracer panicked"))))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.tracer.is_some() {
            self.signal(libc::SIGKILL);
            let _ = self.join();
        }
    }
}

/// Kills a process whose time is up, unless it is dropped before.
struct Watchdog(Option<mpsc::Sender<()>>);

impl Watchdog {
    fn start(pidfd: Arc<OwnedFd>, limit: Duration) -> Watchdog {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            if receiver.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                send(&pidfd, libc::SIGKILL);
            }
        });
        Watchdog(Some(sender))
    }
}

/// Runs `body` in a forked child and returns the calls it made, those of allocation included. The child ends
/// behind it with status 0, or 101 if it panicked.
///
/// Only the calling thread is there in the child: a lock that another thread of the test process held (that of
/// stdout, say) stays locked, and who waits for it is killed after a minute.
///
/// # Errors
/// Those of fork(2) and ptrace(2).
pub fn closure(body: impl FnOnce() + Send) -> io::Result<Trace> {
    let shared = Shared::default();
    // A thread of its own, which has no other children to be waited for.
    let end = thread::scope(|scope| {
        let tracer = scope.spawn(|| {
            // SAFETY: the child runs `body`, of which the documentation says what it can rely on, and ends.
            let child = unsafe { libc::fork() };
            match child {
                0 => be_traced(body),
                -1 => return Err(io::Error::last_os_error()),
                _ => {}
            }
            let _watchdog = Watchdog::start(Arc::new(pidfd(child)?), LIMIT);
            tracer::trace(child, true, &shared)
        });
        tracer.join().unwrap_or_else(|_| Err(io::Error::other("the tracer panicked")))
    })?;
    Ok(Trace { calls: shared.calls().clone(), end })
}

fn be_traced(body: impl FnOnce()) -> ! {
    let marker = || {
        // SAFETY: there is no such call.
        unsafe { libc::syscall(tracer::MARKER) };
    };
    let traced = ask_to_be_traced().is_ok();
    // SAFETY: stops this process, which its tracer resumes.
    unsafe { libc::raise(libc::SIGSTOP) };
    marker();
    let result = catch_unwind(AssertUnwindSafe(body));
    marker();
    // SAFETY: ends the child without running exit handlers of the test process.
    unsafe { libc::_exit(if traced && result.is_ok() { 0 } else { 101 }) }
}

fn ask_to_be_traced() -> io::Result<()> {
    // SAFETY: the request takes no argument.
    match unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor of the process: unlike its number it never means another one.
fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: numbers only.
    match unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: new, and nobody else's.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
    }
}

fn send(pidfd: &OwnedFd, signal: i32) {
    // SAFETY: no `siginfo_t` is given.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, null_mut::<u8>(), 0) };
}
