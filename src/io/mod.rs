//! `embedded_io`'s traits, for code that is generic over streams.
//!
//! They are implemented for streams and for references to them, so that one task can read what another
//! writes. Streams have the same operations as methods of their own.

mod pipe;

pub use embedded_io::{ErrorKind, ErrorType, Read, Write};
pub use pipe::{PipeReader, PipeWriter, pipe};

use crate::net::{Error, TcpStream};

macro_rules! stream {
    ($($ty:ty)*) => {$(
        impl ErrorType for $ty {
            type Error = Error;
        }

        impl Read for $ty {
            fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
                TcpStream::read(self, buf)
            }
        }

        impl Write for $ty {
            fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
                TcpStream::write(self, buf)
            }

            /// Nothing is held back.
            fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

stream! { TcpStream &TcpStream }
