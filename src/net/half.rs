//! The halves of a stream.

use super::fd::Fd;
use super::methods::methods;
use super::pollable::pollable;
use super::{Error, Shutdown};
use crate::sys::{Call, socket};

/// A handle to a stream that reads (see [`TcpStream::split`](super::TcpStream::split)).
pub struct ReadHalf {
    fd: Fd,
}

/// A handle to a stream that writes.
pub struct WriteHalf {
    fd: Fd,
}

methods! { ReadHalf: reader(Socket), read_deadline, error_type, handle }
methods! { WriteHalf: writer(Socket), write_deadline, error_type, handle }

pollable! {
    ReadHalf: readable;
    WriteHalf: writable;
}

impl WriteHalf {
    /// Ends this direction: the peer reads the end after what was written. Dropping the half does not.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Os`] of `shutdown` (`ENOTCONN` when the peer has reset).
    pub fn shutdown(&self) -> Result<(), Error> {
        self.fd.call(Call::Shutdown, |fd| socket::shutdown(fd, Shutdown::Write))
    }
}

pub(super) fn split(fd: &Fd) -> (ReadHalf, WriteHalf) {
    (ReadHalf { fd: fd.clone() }, WriteHalf { fd: fd.clone() })
}
