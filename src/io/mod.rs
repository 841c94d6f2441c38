//! Reading and writing: `embedded_io`'s traits, for code that is generic over streams; pipes, files and
//! descriptors of any kind; buffers; copying.
//!
//! The traits are implemented for streams and for references to them, so that one task can read what
//! another writes. Streams have the same operations as methods of their own.

mod buffered;
mod copy;
mod owned;
mod pipe;
mod poll_fd;

pub use buffered::{BufReader, BufWriter};
pub(crate) use copy::sealed;
pub use copy::{CopyError, CopyFrom, CopyTo, copy, copy_counted, copy_through};
pub use embedded_io::{BufRead, ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
pub use owned::OwnedFd;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use poll_fd::{PollFd, stderr, stdin, stdout};
