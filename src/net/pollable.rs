//! Readiness: waiting for a stream without reading or writing it.

use super::fd::Fd;

/// What [`select!`](crate::select) can wait for by `readable` and `writable`.
///
/// A type of yours that wraps a stream can be, too:
///
/// ```ignore
/// impl Pollable for Connection {
///     fn source(&self) -> Source<'_> {
///         self.tcp.source()
///     }
/// }
/// ```
pub trait Pollable {
    /// The descriptor.
    fn source(&self) -> Source<'_>;
}

/// A descriptor of [`Pollable`].
#[derive(Clone, Copy)]
pub struct Source<'a>(pub(crate) &'a Fd);

impl<T: Pollable + ?Sized> Pollable for &T {
    fn source(&self) -> Source<'_> {
        (**self).source()
    }
}

/// Makes types with a field `fd` [`Pollable`], with methods for the directions they have.
macro_rules! pollable {
    ($($ty:ident: $($direction:ident)*;)*) => {$(
        impl $crate::net::Pollable for $ty {
            fn source(&self) -> $crate::net::Source<'_> {
                $crate::net::Source(&self.fd)
            }
        }
        $($crate::net::pollable::pollable! { @ $ty $direction })*
    )*};
    (@ $ty:ident readable) => {
        impl $ty {
            /// Parks until there is something to read (a connection, for a listener), or reading would fail.
            /// It takes no buffer and reads nothing, and the kernel is asked, so that a call right behind
            /// it does not park. Tasks that wait in one direction take turns. As an arm of
            /// [`select!`](crate::select): `readable`.
            ///
            /// # Errors
            /// [`Error::TimedOut`](crate::net::Error::TimedOut) once the read deadline has passed,
            /// [`Error::Closed`](crate::net::Error::Closed).
            pub fn readable(&self) -> Result<(), $crate::net::Error> {
                self.fd.ready($crate::poll::Mode::Read)
            }
        }
    };
    (@ $ty:ident writable) => {
        impl $ty {
            /// Parks until there is room to write, or writing would fail. The kernel is asked, so that a
            /// write right behind it does not park. Tasks that wait in one direction take turns. As an arm
            /// of [`select!`](crate::select): `writable`.
            ///
            /// # Errors
            /// [`Error::TimedOut`](crate::net::Error::TimedOut) once the write deadline has passed,
            /// [`Error::Closed`](crate::net::Error::Closed).
            pub fn writable(&self) -> Result<(), $crate::net::Error> {
                self.fd.ready($crate::poll::Mode::Write)
            }
        }
    };
}
pub(crate) use pollable;
