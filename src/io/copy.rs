//! Copying from one descriptor to another inside the kernel.
//!
//! `splice(2)` moves pages between a pipe and something else. So a copy goes through a pipe of its own,
//! source to pipe, pipe to destination, and the pipe is empty before the next piece comes: that is what
//! tells the two meanings of `EAGAIN` apart. Into an empty pipe it can only be the source that has
//! nothing, and out of a full one only the destination that has no room.

use super::OwnedFd;
use crate::net::Error;
use crate::net::transfer::drain;
use crate::poll::above_stdio;
use crate::sys::fd::{OFlags, SpliceFlags, pipe2, splice};
use crate::sys::{self, Call, Errno, RawFd};
use embedded_io::{Read, Write};

/// Bytes asked for at a time: what a pipe holds at most without privileges (`fs.pipe-max-size`).
const PIECE: usize = 1 << 20;
/// What is copied at a time where the kernel cannot: no more than a shared pipe takes without blocking.
const BUFFER: usize = 4096;

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// What [`copy`] can copy from. Sealed: [`copy_through`] is for everything else.
pub trait CopyFrom: sealed::CopyFrom {}
impl<T: sealed::CopyFrom> CopyFrom for T {}

/// What [`copy`] can copy to. Sealed, as [`CopyFrom`].
pub trait CopyTo: sealed::CopyTo {}
impl<T: sealed::CopyTo> CopyTo for T {}

pub(crate) mod sealed {
    use crate::net::Error;
    use crate::sys::{Errno, RawFd};

    /// Receives: by any call, as the one reader, parked while there is nothing.
    pub trait CopyFrom {
        fn receive(&self, op: impl FnMut(RawFd) -> Result<usize, Errno>) -> Result<usize, Error>;
    }

    /// Sends: by any call, as the one writer, parked while there is no room.
    pub trait CopyTo {
        fn send(&self, op: impl FnMut(RawFd) -> Result<usize, Errno>) -> Result<usize, Error>;
    }
}

/// Which side of a [`copy_counted`] failed, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyError {
    /// Reading. All that was read has been written.
    Read(Error),
    /// Writing. What was read and not written is lost.
    Write(Error),
}

impl From<CopyError> for Error {
    fn from(e: CopyError) -> Error {
        match e {
            CopyError::Read(e) | CopyError::Write(e) => e,
        }
    }
}

/// Copies from `from` to `to` until the end of `from`, and returns how many bytes that were. They do not come
/// through this program's memory (`splice(2)`), where the kernel can do without.
///
/// Each piece is read and written as by `read` and `write`: deadlines and closes of either end it, and what
/// was read and not yet written is lost then. `to` is left open: see `shutdown`.
///
/// # Errors
/// Of reading and writing: [`Error::TimedOut`], [`Error::Closed`], [`Error::Os`].
pub fn copy(from: &impl CopyFrom, to: &impl CopyTo) -> Result<u64, Error> {
    let mut copied = 0;
    copy_counted(from, to, |n| copied += n as u64)?;
    Ok(copied)
}

/// As [`copy`]; `count` is told of each piece that has been written, also if the copy fails later. After a
/// [`CopyError::Read`] it may be called again, to go on.
///
/// # Errors
/// Those of [`copy`], with the side that failed.
pub fn copy_counted(
    from: &impl CopyFrom,
    to: &impl CopyTo,
    mut count: impl FnMut(usize),
) -> Result<(), CopyError> {
    // Without a descriptor for the pipe it goes on, if slower.
    let Ok((output, input)) = pipe() else {
        return by_hand(from, to, &mut count);
    };
    loop {
        let received = from.receive(|fd| splice(fd, None, input.as_raw_fd(), None, PIECE, FLAGS));
        let mut left = match received {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            // Not for this kind of file.
            Err(Error::Os(_, Errno::EINVAL)) => return by_hand(from, to, &mut count),
            Err(e) => return Err(CopyError::Read(in_splice(e))),
        };
        while left > 0 {
            match to.send(|fd| splice(output.as_raw_fd(), None, fd, None, left, FLAGS)) {
                Ok(n) => {
                    left -= n;
                    count(n);
                }
                Err(Error::Os(_, Errno::EINVAL)) => {
                    rescue(output.as_raw_fd(), left, to, &mut count)?;
                    return by_hand(from, to, &mut count);
                }
                Err(e) => return Err(CopyError::Write(in_splice(e))),
            }
        }
    }
}

/// A pipe that nothing is printed into.
fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    // SAFETY: just opened.
    let own = |fd| above_stdio(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let [output, input] = pipe2(OFlags::CLOEXEC | OFlags::NONBLOCK)?.map(own);
    Ok((output?, input?))
}

/// The name of the call that has failed, where the descriptor knows another.
fn in_splice(e: Error) -> Error {
    e.errno().map_or(e, |errno| Error::Os(Call::Splice, errno))
}

/// Takes `left` bytes out of the pipe for a destination that splice cannot write to.
fn rescue(
    pipe: RawFd,
    mut left: usize,
    to: &impl CopyTo,
    count: &mut impl FnMut(usize),
) -> Result<(), CopyError> {
    let mut buf = [0; BUFFER];
    while left > 0 {
        // There is something in the pipe, so that this does not say EAGAIN.
        let read = sys::fd::read(pipe, &mut buf);
        let n = read.map_err(|e| CopyError::Write(Error::Os(Call::Read, e)))?;
        left = left.saturating_sub(n);
        write_all(to, buf.get(..n).unwrap_or_default(), count)?;
    }
    Ok(())
}

fn by_hand(from: &impl CopyFrom, to: &impl CopyTo, count: &mut impl FnMut(usize)) -> Result<(), CopyError> {
    let mut buf = [0; BUFFER];
    loop {
        match from.receive(|fd| sys::fd::read(fd, &mut buf)).map_err(CopyError::Read)? {
            0 => return Ok(()),
            n => write_all(to, buf.get(..n).unwrap_or_default(), count)?,
        }
    }
}

fn write_all(to: &impl CopyTo, bytes: &[u8], count: &mut impl FnMut(usize)) -> Result<(), CopyError> {
    let write = |bytes: &[u8]| {
        let n = to.send(|fd| sys::fd::write(fd, bytes))?;
        count(n);
        Ok(n)
    };
    drain(bytes, write).map_err(CopyError::Write)
}

/// Copies from any reader to any writer through `buf`, until the reader's end, and returns how many bytes
/// that were. The writer is not flushed.
///
/// # Errors
/// The reader's or the writer's.
///
/// # Panics
/// If `buf` is empty.
pub fn copy_through<E>(
    mut from: impl Read<Error = E>,
    mut to: impl Write<Error = E>,
    buf: &mut [u8],
) -> Result<u64, E>
where
    E: embedded_io::Error,
{
    assert!(!buf.is_empty(), "a buffer without room");
    let mut copied = 0;
    loop {
        let n = from.read(buf)?;
        if n == 0 {
            return Ok(copied);
        }
        to.write_all(buf.get(..n).unwrap_or_default())?;
        copied += n as u64;
    }
}
