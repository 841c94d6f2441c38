//! What can go wrong on a connection.

use super::fdmutex::Refused;
use crate::poll;
use crate::sys::{self, Call, Errno};
use core::fmt;

/// Why an operation on a stream or a listener failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    // The first five are in the order of `poll::Error`, so that one becomes the other without a table.
    /// It was closed, here, by some task.
    Closed,
    /// The deadline passed; what was transferred before that is not undone.
    TimedOut,
    /// The descriptor cannot be waited for.
    NotPollable,
    /// An arm of [`select!`](crate::select) whose direction another task uses; or more than a million
    /// operations on one descriptor at once.
    Busy,
    /// A system call failed: its name, and how.
    Os(Call, Errno),
    /// The peer's end came before the buffer was full (`read_exact`).
    UnexpectedEof,
    /// The kernel took nothing of what was to be written (`write_all`).
    WriteZero,
    /// No address, or something that is no `ADDRESS:PORT` and, for a peer, no `HOST:PORT`.
    InvalidAddress,
    /// A name that does not exist, or has no addresses.
    HostNotFound,
    /// No name server answered in time.
    NoAnswer,
    /// The name server that answered could not tell, or sent something broken (SERVFAIL, REFUSED).
    ServerFailed,
}

// What transfers return comes back in two registers.
static_assertions::const_assert!(size_of::<Result<usize, Error>>() <= 16);

impl Error {
    /// The kernel's error number, if it came from there.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Os(_, errno) => Some(*errno),
            _ => None,
        }
    }
}

impl Error {
    /// What happened, in the order to print it: the system call and the error's name, or one text.
    pub fn describe(&self) -> [&'static str; 3] {
        let text = match self {
            Error::Os(call, errno) => return [call.name(), ": ", errno.name().unwrap_or("unknown error")],
            Error::Closed => 0,
            Error::TimedOut => 1,
            Error::NotPollable => 2,
            Error::Busy => 3,
            Error::UnexpectedEof => 4,
            Error::WriteZero => 5,
            Error::InvalidAddress => 6,
            Error::HostNotFound => 7,
            Error::NoAnswer => 8,
            Error::ServerFailed => 9,
        };
        [sys::word(TEXTS, b'\n', text).unwrap_or_default(), "", ""]
    }
}

/// The texts of the errors that are none of the kernel's, in their order: see [`sys::word`].
const TEXTS: &str = "use of closed connection
deadline passed
not pollable
in use by another task
unexpected end of stream
nothing written
not an ADDRESS:PORT
no such host
no answer from a name server
name server failed
";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe().into_iter().try_for_each(|part| f.write_str(part))
    }
}

impl core::error::Error for Error {}

impl embedded_io::Error for Error {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind as Kind;
        match self {
            Error::TimedOut => Kind::TimedOut,
            Error::Closed => Kind::NotConnected,
            Error::WriteZero => Kind::WriteZero,
            Error::InvalidAddress => Kind::InvalidInput,
            Error::HostNotFound => Kind::NotFound,
            Error::NoAnswer => Kind::TimedOut,
            Error::Os(_, errno) => match *errno {
                Errno::ECONNRESET => Kind::ConnectionReset,
                Errno::ECONNREFUSED => Kind::ConnectionRefused,
                Errno::ECONNABORTED => Kind::ConnectionAborted,
                Errno::EPIPE => Kind::BrokenPipe,
                Errno::ENOTCONN => Kind::NotConnected,
                Errno::EADDRINUSE => Kind::AddrInUse,
                Errno::EADDRNOTAVAIL => Kind::AddrNotAvailable,
                Errno::ETIMEDOUT => Kind::TimedOut,
                Errno::EACCES | Errno::EPERM => Kind::PermissionDenied,
                Errno::EINVAL => Kind::InvalidInput,
                Errno::ENOMEM | Errno::ENOBUFS => Kind::OutOfMemory,
                Errno::ENOENT => Kind::NotFound,
                Errno::EEXIST => Kind::AlreadyExists,
                Errno::EINTR => Kind::Interrupted,
                _ => Kind::Other,
            },
            _ => Kind::Other,
        }
    }
}

impl From<poll::Error> for Error {
    fn from(e: poll::Error) -> Error {
        match e {
            poll::Error::Closing => Error::Closed,
            poll::Error::Timeout => Error::TimedOut,
            poll::Error::NotPollable => Error::NotPollable,
            poll::Error::Busy => Error::Busy,
            poll::Error::Os(call, errno) => Error::Os(call, errno),
        }
    }
}

impl From<Refused> for Error {
    fn from(e: Refused) -> Error {
        match e {
            Refused::Closed => Error::Closed,
            Refused::InUse | Refused::Full => Error::Busy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_texts() {
        for (error, text) in [
            (Error::Closed, "use of closed connection"),
            (Error::TimedOut, "deadline passed"),
            (Error::NotPollable, "not pollable"),
            (Error::Busy, "in use by another task"),
            (Error::UnexpectedEof, "unexpected end of stream"),
            (Error::WriteZero, "nothing written"),
            (Error::InvalidAddress, "not an ADDRESS:PORT"),
            (Error::HostNotFound, "no such host"),
            (Error::NoAnswer, "no answer from a name server"),
            (Error::ServerFailed, "name server failed"),
            (Error::Os(Call::Connect, Errno::ECONNREFUSED), "connect: ECONNREFUSED"),
        ] {
            assert_eq!(std::format!("{error}"), text);
        }
    }
}
