//! Networking for tasks: std's names, calls that park the task and never the thread, Go's deadlines
//! and Go's `close`.
//!
//! A handle may be shared by reference between tasks ([`TcpStream::try_clone`] makes another where a
//! reference does not live long enough). One task may read while another writes; two that read take
//! turns. Closing, from any task, ends what others have under way with [`Error::Closed`].

pub(crate) mod addr;
mod builder;
mod connect;
pub mod dns;
mod error;
pub(crate) mod fd;
mod fdmutex;
pub(crate) mod half;
pub(crate) mod methods;
mod option;
mod parse;
mod race;
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
pub use option::Keepalive;
pub use tcp::{TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream};

/// The connections that a listener accepts.
pub struct Incoming<'a, L> {
    listener: &'a L,
}
