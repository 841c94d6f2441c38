//! Typed system calls: `Result<T, Errno>`, one file a topic.

mod errno;
pub use errno::{Errno, result};

/// A file descriptor number, as the kernel counts them.
pub type RawFd = i32;
