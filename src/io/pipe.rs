//! Pipes within the program, or to others that inherit an end.

use super::{ErrorType, Read, Write};
use crate::net::Error;
use crate::net::fd::{Fd, Kind};
use crate::net::pollable::pollable;
use crate::poll::{Mode, Side};
use crate::sys::Call;
use crate::sys::fd::{OFlags, pipe2};
use crate::sys::{self, RawFd};
use crate::time::Instant;
use core::fmt;

/// Makes a pipe (`pipe2(2)`): what is written at one end is read at the other, in order. The kernel
/// holds up to 64 KiB of it. Writes of up to 4,096 bytes (`PIPE_BUF`) are never mixed with others.
///
/// # Errors
/// [`Error::Os`] of `pipe2` (`EMFILE`, `ENFILE`), or of the registration.
pub fn pipe() -> Result<(PipeReader, PipeWriter), Error> {
    let [reader, writer] =
        pipe2(OFlags::CLOEXEC | OFlags::NONBLOCK).map_err(|e| Error::Os(Call::Pipe2, e))?;
    let reader = Fd::new(reader, Kind::Pipe).inspect_err(|_| {
        let _ = sys::fd::close(writer); // `Fd::new` has closed the other
    })?;
    Ok((PipeReader { fd: reader }, PipeWriter { fd: Fd::new(writer, Kind::Pipe)? }))
}

/// The end of a pipe where bytes come out.
pub struct PipeReader {
    fd: Fd,
}

/// The end of a pipe where bytes go in. There is no SIGPIPE.
pub struct PipeWriter {
    fd: Fd,
}

impl PipeReader {
    /// Reads what is there, up to `buf.len()` bytes, and returns how many: 0 when all writing ends are
    /// closed (or for an empty `buf`). Parks while there is nothing.
    ///
    /// # Errors
    /// [`Error::TimedOut`] once the deadline has passed, [`Error::Closed`], [`Error::Os`] of `read`.
    #[inline]
    pub fn read(&self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.fd.transfer(Mode::Read, Call::Read, buf.len(), |fd| sys::fd::read(fd, buf))
    }

    /// From when on reads fail with [`Error::TimedOut`], a waiting one included; `None`: never.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] if there is no memory for the timer.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.fd.set_deadline(Side::Read, deadline)
    }
}

impl PipeWriter {
    /// Writes as much as the kernel takes, at least one byte, and returns how much. Parks while it takes
    /// nothing.
    ///
    /// # Errors
    /// [`Error::TimedOut`] once the deadline has passed, [`Error::Closed`], [`Error::Os`] of `write`
    /// (`EPIPE` when no reading end is open).
    #[inline]
    pub fn write(&self, buf: &[u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.fd.transfer(Mode::Write, Call::Write, buf.len(), |fd| sys::fd::write(fd, buf))
    }

    /// Writes everything.
    ///
    /// # Errors
    /// As [`PipeWriter::write`]; how much went before is unknown.
    pub fn write_all(&self, mut buf: &[u8]) -> Result<(), Error> {
        while !buf.is_empty() {
            match self.write(buf)? {
                0 => return Err(Error::WriteZero),
                n => buf = buf.get(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// From when on writes fail with [`Error::TimedOut`], a waiting one included; `None`: never.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] if there is no memory for the timer.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) -> Result<(), Error> {
        self.fd.set_deadline(Side::Write, deadline)
    }
}

macro_rules! end_of_a_pipe {
    ($($ty:ident)*) => {$(
        impl $ty {
            /// Closes this end: a call parked on it returns [`Error::Closed`], as will all to come.
            /// Returns when the descriptor is really closed. Dropping it closes too.
            ///
            /// # Errors
            /// [`Error::Closed`] if it was closed before.
            pub fn close(&self) -> Result<(), Error> {
                self.fd.close()
            }

            /// The descriptor's number. Its meaning ends with the close.
            pub fn as_raw_fd(&self) -> RawFd {
                self.fd.raw()
            }
        }

        impl fmt::Debug for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($ty)).field("fd", &self.fd.raw()).finish()
            }
        }

        impl ErrorType for $ty {
            type Error = Error;
        }

        impl ErrorType for &$ty {
            type Error = Error;
        }
    )*};
}

end_of_a_pipe! { PipeReader PipeWriter }

pollable! {
    PipeReader: readable;
    PipeWriter: writable;
}

macro_rules! traits {
    ($($reader:ty, $writer:ty;)*) => {$(
        impl Read for $reader {
            fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
                PipeReader::read(self, buf)
            }
        }

        impl Write for $writer {
            fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
                PipeWriter::write(self, buf)
            }

            /// Nothing is held back.
            fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

traits! { PipeReader, PipeWriter; &PipeReader, &PipeWriter; }
