//! `embedded_io`'s traits, for code that is generic over streams.
//!
//! They are implemented for streams and for references to them, so that one task can read what another
//! writes. Streams have the same operations as methods of their own.

mod owned;
mod pipe;
mod poll_fd;

pub use embedded_io::{ErrorKind, ErrorType, Read, Write};
pub use owned::OwnedFd;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use poll_fd::{PollFd, stderr, stdin, stdout};
