//! Many datagrams in one system call.

use super::UdpSocket;
use crate::net::Error;
use crate::poll::Mode;
use crate::sys::Call;
use crate::sys::fd::{IoSlice, IoSliceMut};
use crate::sys::sockaddr::{SockAddr, Storage};
use crate::sys::socket::{Many, MsgFlags, RecvHeader, SendHeader, recvmmsg, sendmmsg};
use core::net::SocketAddr;
use core::slice;

/// As many datagrams as one call moves. Their headers lie on the stack meanwhile, 64 bytes each.
pub const BATCH: usize = 64;

/// Room for a datagram, and behind [`UdpSocket::recv_batch`] what came.
pub struct RecvDatagram<'a> {
    buf: IoSliceMut<'a>,
    storage: Storage,
    from: Option<SocketAddr>,
    len: usize,
    truncated: bool,
}

impl<'a> RecvDatagram<'a> {
    /// Receives into `buf`.
    pub const fn new(buf: &'a mut [u8]) -> RecvDatagram<'a> {
        let buf = IoSliceMut::new(buf);
        RecvDatagram { buf, storage: Storage::new(), from: None, len: 0, truncated: false }
    }

    /// What came.
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }

    /// Who sent it; `None` before anything came.
    pub fn from(&self) -> Option<SocketAddr> {
        self.from
    }

    /// Whether it was longer than the buffer, and the rest is lost.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}

/// A datagram to send.
pub struct SendDatagram<'a> {
    buf: IoSlice<'a>,
    to: Option<SockAddr>,
}

impl<'a> SendDatagram<'a> {
    /// Sends `buf` to `to`; `None`: to the peer.
    pub fn new(buf: &'a [u8], to: Option<SocketAddr>) -> SendDatagram<'a> {
        SendDatagram { buf: IoSlice::new(buf), to: to.map(SockAddr::from) }
    }
}

impl UdpSocket {
    /// Receives what is there into the front of `datagrams`, by one system call (`recvmmsg(2)`), and returns
    /// how many came: at least one, and at most [`BATCH`]. Parks while there is none. None for an empty slice.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`], of `recvmmsg`.
    pub fn recv_batch(&self, datagrams: &mut [RecvDatagram<'_>]) -> Result<usize, Error> {
        let count = datagrams.len().min(BATCH);
        if count == 0 {
            return Ok(0);
        }
        self.fd.transfer(Mode::Read, Call::Recvmmsg, 0, |fd| {
            let mut places = datagrams.iter_mut();
            // What lies behind `count` is never looked at.
            let mut headers: [_; BATCH] = core::array::from_fn(|_| match places.next() {
                Some(place) => {
                    let bufs = slice::from_mut(&mut place.buf);
                    Many::new(RecvHeader::new(Some(&mut place.storage), bufs, &mut []))
                }
                None => Many::new(RecvHeader::new(None, &mut [], &mut [])),
            });
            let headers = headers.get_mut(..count).unwrap_or_default();
            let n = recvmmsg(fd, headers, MsgFlags::empty(), None)?;
            let mut came = [const { (0, None, false) }; BATCH];
            for (came, message) in came.iter_mut().zip(&*headers).take(n) {
                let header = &message.header;
                let from = header.address().and_then(|from| from.to_inet());
                *came = (message.len(), from, header.flags().contains(MsgFlags::TRUNC));
            }
            for (place, came) in datagrams.iter_mut().zip(came).take(n) {
                (place.len, place.from, place.truncated) = came;
            }
            Ok(n)
        })
    }

    /// Sends `datagrams` in order, by one system call (`sendmmsg(2)`), and returns how many went: at least
    /// one, and at most [`BATCH`]. Parks while there is no room for the first. None for an empty slice.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`], of `sendmmsg`, if it concerns the first. A later one that fails is not
    /// counted, and the call that begins with it tells why.
    pub fn send_batch(&self, datagrams: &[SendDatagram<'_>]) -> Result<usize, Error> {
        let count = datagrams.len().min(BATCH);
        if count == 0 {
            return Ok(0);
        }
        self.fd.transfer(Mode::Write, Call::Sendmmsg, 0, |fd| {
            let mut datagrams = datagrams.iter();
            let mut headers: [_; BATCH] = core::array::from_fn(|_| match datagrams.next() {
                Some(datagram) => {
                    let bufs = slice::from_ref(&datagram.buf);
                    Many::new(SendHeader::new(datagram.to.as_ref(), bufs, &[]))
                }
                None => Many::new(SendHeader::new(None, &[], &[])),
            });
            sendmmsg(fd, headers.get_mut(..count).unwrap_or_default(), MsgFlags::NOSIGNAL)
        })
    }
}
