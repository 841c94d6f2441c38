//! Networking for tasks: std's names, calls that park the task and never the thread, Go's deadlines
//! and Go's `close`.
//!
//! A handle may be shared by reference between tasks ([`TcpStream::try_clone`] makes another where a
//! reference does not live long enough). One task may read while another writes; two that read take
//! turns. Closing, from any task, ends what others have under way with [`Error::Closed`].
//!
//! `readable` and `writable` wait without reading or writing: as methods, and as arms of
//! [`select!`](crate::select) for whatever is [`Pollable`].

mod addr;
mod error;
pub(crate) mod fd;
mod fdmutex;
mod parse;
pub(crate) mod pollable;
mod tcp;

pub use crate::sys::socket::Shutdown;
pub use addr::ToSocketAddrs;
pub use error::Error;
pub use pollable::{Pollable, Source};
pub use tcp::{Incoming, TcpListener, TcpStream};
