//! Networking for tasks: std's names, calls that park the task and never the thread, Go's deadlines
//! and Go's `close`.
//!
//! A handle may be shared by reference between tasks ([`TcpStream::try_clone`] makes another where a
//! reference does not live long enough). One task may read while another writes; two that read take
//! turns. Closing, from any task, ends what others have under way with [`Error::Closed`].
//!
//! `readable` and `writable` wait without reading or writing: as methods, and as arms of
//! [`select!`](crate::select) for whatever is [`Pollable`]. [`serve`] keeps connections that wait without a
//! task.

pub(crate) mod addr;
mod builder;
mod connect;
pub mod dns;
mod error;
pub(crate) mod fd;
mod fdmutex;
pub(crate) mod half;
mod inherit;
pub(crate) mod methods;
mod option;
mod parse;
pub(crate) mod pollable;
mod race;
pub(crate) mod serve;
mod tcp;
mod timeout;
pub(crate) mod transfer;
pub mod udp;
pub mod unix;

pub use crate::sys::socket::Shutdown;
pub use addr::ToSocketAddrs;
pub use builder::TcpBuilder;
pub use dns::{Addrs, lookup_host};
pub use error::Error;
pub use half::{ReadHalf, WriteHalf};
pub use inherit::{Inherited, InheritedSocket, Socket, inherited};
pub use option::Keepalive;
pub use pollable::{Pollable, Source};
pub use serve::{Listener, Next, Serve, serve};
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};

/// The connections that a listener accepts.
pub struct Incoming<'a, L> {
    listener: &'a L,
}
