//! Any descriptor, and the standard ones.
//!
//! `O_NONBLOCK` is a flag of the *open file*, which the descriptors of other processes may share: those of
//! a terminal and of the pipes that a shell makes above all. A program that set it on its standard input
//! would have its shell, or the next program in the pipe, fail with EAGAIN, also after its end. So
//! [`PollFd::new`] is for what this program has opened, and [`PollFd::shared`], by which [`stdin`],
//! [`stdout`] and [`stderr`] are made, never touches the flag: it asks with `ppoll(2)` before each
//! operation whether that would block.

use super::{OwnedFd, sealed};
use crate::blocking;
use crate::net::Error;
use crate::net::fd::{Fd, Kind, set_nonblocking};
use crate::net::methods::{methods, reader, writer};
use crate::net::pollable::pollable;
use crate::net::transfer;
use crate::poll::Mode;
use crate::sys::fd::{self, OFlags, PollFlags, ppoll};
use crate::sys::fs::{AT_FDCWD, openat};
use crate::sys::time::Timespec;
use crate::sys::{Call, Errno, RawFd};
use core::ffi::CStr;

/// As much as a pipe that has room at all takes without blocking (`PIPE_BUF`).
const PIPE_BUF: usize = 4096;

/// Any descriptor, with reads and writes that park: a FIFO, a terminal, an eventfd, a timerfd, a signalfd,
/// inotify, a socket of another family.
///
/// A file that epoll does not take (a regular one, a directory, /dev/null) is never waited for, since it
/// is always ready: its calls block their thread, within [`blocking`], and other tasks go on meanwhile. It
/// has no deadlines ([`Error::NotPollable`]), and closing it waits for a call under way.
pub struct PollFd {
    fd: Fd,
}

methods! { PollFd: handle, deadlines, error_type }
reader! { @traits PollFd; PollFd; &PollFd }
writer! { @traits PollFd; PollFd; &PollFd }

impl sealed::CopyFrom for PollFd {
    fn receive(&self, op: impl FnMut(RawFd) -> Result<usize, Errno>) -> Result<usize, Error> {
        self.transfer(Mode::Read, Call::Read, op)
    }
}

impl sealed::CopyTo for PollFd {
    fn send(&self, op: impl FnMut(RawFd) -> Result<usize, Errno>) -> Result<usize, Error> {
        self.transfer(Mode::Write, Call::Write, op)
    }
}

impl PollFd {
    /// Takes over `fd` and makes it non-blocking, for all who share the open file.
    ///
    /// # Errors
    /// [`Error::Os`] of `fcntl`, or of the registration (`ENOSPC`, `ENOMEM`; not `EPERM`, see above).
    pub fn new(fd: OwnedFd) -> Result<PollFd, Error> {
        let polled = PollFd::with(fd, Kind::Other)?;
        if polled.fd.kind() != Kind::File {
            polled.fd.call(Call::Fcntl, set_nonblocking)?;
        }
        Ok(polled)
    }

    /// Takes over `fd` and leaves it as it is, blocking or not, for the sake of others who share the open
    /// file. A system call more for each operation; a write moves 4096 bytes at most. If somebody else
    /// takes the data, or the room, between question and operation, that blocks its thread.
    ///
    /// # Errors
    /// [`Error::Os`] of the registration.
    pub fn shared(fd: OwnedFd) -> Result<PollFd, Error> {
        PollFd::with(fd, Kind::Asks)
    }

    fn with(fd: OwnedFd, kind: Kind) -> Result<PollFd, Error> {
        // One that is not above the standard ones stays, since a duplicate takes its place.
        let fd = if fd.as_raw_fd() > 2 { fd } else { fd.try_clone()? };
        let taken = match Fd::register(fd.as_raw_fd(), kind) {
            Err(Error::Os(Call::EpollCtl, Errno::EPERM)) => Fd::file(fd.as_raw_fd()),
            registered => registered,
        }?;
        let _ = fd.into_raw_fd(); // which is `taken`'s
        Ok(PollFd { fd: taken })
    }

    /// Opens the file at `path` with `flags` and, where it is made, permissions `mode` (`openat(2)`), within
    /// [`blocking`]: a FIFO waits for somebody to open its other end, unless `flags` has `NONBLOCK`.
    ///
    /// # Errors
    /// [`Error::Os`] of `openat`; as [`PollFd::new`].
    pub fn open(path: &CStr, flags: OFlags, mode: u32) -> Result<PollFd, Error> {
        let opened = blocking(|| {
            loop {
                match openat(AT_FDCWD, path, flags | OFlags::CLOEXEC, mode) {
                    Err(Errno::EINTR) => {}
                    done => return done,
                }
            }
        });
        let fd = opened.map_err(|e| Error::Os(Call::Openat, e))?;
        // SAFETY: just opened here.
        PollFd::new(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Reads what is there, up to `buf.len()` bytes, and returns how many; 0 at the end, or for an empty
    /// buffer. Parks while there is nothing.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Closed`], [`Error::Os`] of `read`.
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.transfer(Mode::Read, Call::Read, |fd| fd::read(fd, buf))
    }

    /// Reads until the buffer is full.
    ///
    /// # Errors
    /// As [`PollFd::read`], and [`Error::UnexpectedEof`]; what was read before is in the buffer.
    pub fn read_exact(&self, buf: &mut [u8]) -> Result<(), Error> {
        transfer::fill(buf, |buf| self.read(buf))
    }

    /// Writes as much as is taken and returns how much. Parks while nothing is.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Closed`], [`Error::Os`] of `write`.
    pub fn write(&self, buf: &[u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        let shared = self.fd.kind() == Kind::Asks;
        let buf = if shared { buf.get(..PIPE_BUF).unwrap_or(buf) } else { buf };
        self.transfer(Mode::Write, Call::Write, |fd| fd::write(fd, buf))
    }

    /// Writes everything.
    ///
    /// # Errors
    /// As [`PollFd::write`]; how much went before is unknown.
    pub fn write_all(&self, buf: &[u8]) -> Result<(), Error> {
        transfer::drain(buf, |buf| self.write(buf))
    }

    /// Makes any call that receives: `op` is tried until it is not `EAGAIN`, with waits for something to
    /// read in between, as the only reader (Go: `RawConn.Read`). An error is reported as one of `read`.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Closed`], [`Error::Os`] of `op`.
    pub fn read_with(&self, op: impl FnMut(RawFd) -> Result<usize, Errno>) -> Result<usize, Error> {
        self.transfer(Mode::Read, Call::Read, op)
    }

    /// As [`PollFd::read_with`], for a call that sends. An error is reported as one of `write`.
    ///
    /// # Errors
    /// As there.
    pub fn write_with(&self, op: impl FnMut(RawFd) -> Result<usize, Errno>) -> Result<usize, Error> {
        self.transfer(Mode::Write, Call::Write, op)
    }

    fn transfer(
        &self,
        mode: Mode,
        call: Call,
        mut op: impl FnMut(RawFd) -> Result<usize, Errno>,
    ) -> Result<usize, Error> {
        match self.fd.kind() {
            Kind::File => self.fd.off_p(mode, call, op),
            // `want` is 0: a short transfer tells nothing.
            Kind::Asks => self.fd.transfer(mode, call, 0, |fd| {
                ask(fd, mode)?;
                op(fd)
            }),
            _ => self.fd.transfer(mode, call, 0, op),
        }
    }

    /// Whether reads and writes park. If not they block their thread: see above.
    pub fn is_pollable(&self) -> bool {
        self.fd.kind() != Kind::File
    }

    /// Takes the descriptor out, open.
    ///
    /// # Errors
    /// [`Error::Busy`] while there are other handles, [`Error::Closed`].
    pub fn into_fd(self) -> Result<OwnedFd, Error> {
        let fd = self.fd.into_raw()?;
        // SAFETY: it has just been given up.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// `EAGAIN` if an operation in direction `mode` would block.
fn ask(fd: RawFd, mode: Mode) -> Result<(), Errno> {
    let events = match mode {
        Mode::Read => PollFlags::IN,
        Mode::Write => PollFlags::OUT,
    };
    match ppoll(&mut [fd::PollFd::new(fd, events)], Some(Timespec::default()))? {
        0 => Err(Errno::EAGAIN),
        _ => Ok(()), // ready, or an error or end that the operation will tell
    }
}

/// The standard input, under a number of its own, with calls that park. Its flags stay as they are
/// ([`PollFd::shared`]), and closing it leaves descriptor 0 open.
///
/// # Errors
/// [`Error::Os`] of `fcntl` (`EBADF` if there is none), or of the registration.
pub fn stdin() -> Result<PollFd, Error> {
    PollFd::shared(OwnedFd::duplicate(0)?)
}

/// As [`stdin`], the standard output. `print!` does not wait for it, and is not waited for: what both write
/// is in the order of the system calls.
///
/// # Errors
/// As there.
pub fn stdout() -> Result<PollFd, Error> {
    PollFd::shared(OwnedFd::duplicate(1)?)
}

/// As [`stdin`], the standard error output.
///
/// # Errors
/// As there.
pub fn stderr() -> Result<PollFd, Error> {
    PollFd::shared(OwnedFd::duplicate(2)?)
}

pollable! {
    PollFd: readable writable;
}
