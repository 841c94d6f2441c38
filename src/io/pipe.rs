//! Pipes within the program, or to others that inherit an end.

use crate::net::Error;
use crate::net::fd::{Fd, Kind};
use crate::net::methods::methods;
use crate::net::pollable::pollable;
use crate::sys::fd::{OFlags, pipe2};
use crate::sys::{self, Call};

/// Makes a pipe (`pipe2(2)`): what is written at one end is read at the other, in order. The kernel
/// holds up to 64 KiB of it. Writes of up to 4,096 bytes (`PIPE_BUF`) are never mixed with others.
///
/// # Errors
/// [`Error::Os`] of `pipe2` (`EMFILE`, `ENFILE`), or of the registration.
pub fn pipe() -> Result<(PipeReader, PipeWriter), Error> {
    let [reader, writer] =
        pipe2(OFlags::CLOEXEC | OFlags::NONBLOCK).map_err(|e| Error::Os(Call::Pipe2, e))?;
    let reader = Fd::new(reader, Kind::Pipe).inspect_err(|_| {
        // SAFETY: new, and nobody else knows it. `Fd::new` has closed the other.
        let _ = unsafe { sys::fd::close(writer) };
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

// From elsewhere it may be one of packets, which the reading end does not tell (`O_DIRECT` is the other's).
methods! { PipeReader: reader(File), error_type, read_deadline, handle, raw_fd(|_| Kind::Other) }
methods! { PipeWriter: writer(File), error_type, write_deadline, handle, raw_fd(|_| Kind::Other) }

pollable! {
    PipeReader: readable;
    PipeWriter: writable;
}
