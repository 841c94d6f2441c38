//! The methods that several kinds of streams and sockets share, each family a macro, written once:
//! [`methods!`] gives a type with a field `fd` those that it names. What they do is in `fd.rs` and
//! `transfer.rs`.

mod bytes;
mod deadline;
mod messages;
mod socket;

pub(crate) use bytes::{error_type, reader, stream, writer};
pub(crate) use deadline::{deadlines, read_deadline, write_deadline};
pub(crate) use messages::{datagrams, datagrams_from};
pub(crate) use socket::{connected, listener, local_addr, options, peer_addr, socket};

/// `methods! { Type: family, family }`, in a module that has `Error` in scope.
macro_rules! methods {
    ($ty:ident: $($family:ident $(($($arg:tt)*))?),+ $(,)?) => {
        $($crate::net::methods::$family! { $ty $($($arg)*)? })+
    };
}

/// What every handle has.
macro_rules! handle {
    ($ty:ident) => {
        impl $ty {
            /// Another handle to the same open descriptor: the same position, the same deadlines, closed
            /// with the last handle. Costs no descriptor.
            ///
            /// # Errors
            /// None so far; the signature is std's.
            pub fn try_clone(&self) -> Result<$ty, Error> {
                Ok($ty { fd: self.fd.clone() })
            }

            /// Closes it for all handles: every call parked on it returns [`Error::Closed`], as will all to
            /// come. Returns when the descriptor is really closed, and its name or port free. Dropping the
            /// last handle closes too.
            ///
            /// # Errors
            /// [`Error::Closed`] if it was closed before.
            pub fn close(&self) -> Result<(), Error> {
                self.fd.close()
            }

            /// The descriptor's number, for options; not for those, such as kernel TLS, behind which a short read does not
            /// mean that nothing is left. Its meaning ends with the close.
            pub fn as_raw_fd(&self) -> $crate::sys::RawFd {
                self.fd.raw()
            }
        }

        impl core::fmt::Debug for $ty {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($ty)).field("fd", &self.fd.raw()).finish()
            }
        }
    };
}

/// Descriptors from elsewhere, and to there. `$kind` tells what a short transfer means on one.
macro_rules! raw_fd {
    ($ty:ident $kind:expr) => {
        impl $ty {
            /// Takes the descriptor out, open and non-blocking.
            ///
            /// # Errors
            /// [`Error::Busy`] while there are other handles, [`Error::Closed`].
            pub fn into_raw_fd(self) -> Result<$crate::sys::RawFd, Error> {
                self.fd.into_raw()
            }

            /// Takes over a descriptor, makes it non-blocking (for all who share the open file) if it is not,
            /// and gives it another number if that is 0, 1 or 2.
            ///
            /// # Errors
            /// [`Error::Os`] of `fcntl`, or of the registration. The descriptor is closed then.
            ///
            /// # Safety
            /// `fd` is open, of this kind, and nobody else's: it will be closed here.
            pub unsafe fn from_raw_fd(fd: $crate::sys::RawFd) -> Result<$ty, Error> {
                let kind: fn($crate::sys::RawFd) -> $crate::net::fd::Kind = $kind;
                Ok($ty { fd: $crate::net::fd::Fd::adopt(fd, kind(fd))? })
            }
        }
    };
}

pub(crate) use {handle, methods, raw_fd};
