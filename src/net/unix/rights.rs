//! Descriptors that travel with bytes (`SCM_RIGHTS`).

use crate::io::OwnedFd;
use crate::net::Error;
use crate::net::fd::Fd;
use crate::poll::{Mode, above_stdio};
use crate::sys::fd::{IoSlice, IoSliceMut};
use crate::sys::socket::{MsgFlags, RecvHeader, SendHeader, cmsg_rights, cmsg_space, recvmsg, sendmsg};
use crate::sys::{Call, Errno, RawFd};

/// As many descriptors as the kernel sends with one message (`SCM_MAX_FD`).
const MAX_FDS: usize = 253;
const CONTROL: usize = cmsg_space(MAX_FDS * size_of::<RawFd>());
/// What stands in front of the descriptors.
const HEAD: usize = cmsg_space(0);

/// What one call of `recv_fds` received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes; 0 is the end, as for `read` or `recv`.
    pub bytes: usize,
    /// Descriptors.
    pub fds: usize,
    /// More descriptors were sent than there was room for, or than this process may open. The kernel has
    /// closed the others.
    pub fds_lost: bool,
    /// The message was longer than the buffer, and the rest is lost. Never on a stream.
    pub bytes_lost: bool,
}

/// See `UnixStream::send_fds`.
pub(in crate::net) fn send(fd: &Fd, buf: &[u8], fds: &[RawFd]) -> Result<usize, Error> {
    let refused = Error::Os(Call::Sendmsg, Errno::EINVAL);
    let mut control = [0; CONTROL];
    if fds.is_empty() {
        return fd.transfer(Mode::Write, Call::Sendmsg, 0, |fd| {
            sendmsg(fd, &SendHeader::new(None, &[IoSlice::new(buf)], &[]), MsgFlags::NOSIGNAL)
        });
    }
    if buf.is_empty() {
        return Err(refused);
    }
    let control = cmsg_rights(&mut control, fds).map_err(|_| refused)?;
    fd.transfer(Mode::Write, Call::Sendmsg, 0, |fd| {
        sendmsg(fd, &SendHeader::new(None, &[IoSlice::new(buf)], control), MsgFlags::NOSIGNAL)
    })
}

/// See `UnixStream::recv_fds`.
pub(in crate::net) fn recv(fd: &Fd, buf: &mut [u8], fds: &mut [Option<OwnedFd>]) -> Result<Received, Error> {
    let mut received = Received { bytes: 0, fds: 0, fds_lost: false, bytes_lost: false };
    let mut control = [0; CONTROL];
    // Exactly as long as these take: in the gap behind an odd number there would be room for one more.
    let room = HEAD + fds.len().min(MAX_FDS) * size_of::<RawFd>();
    received.bytes = fd.transfer(Mode::Read, Call::Recvmsg, 0, |fd| {
        let mut bufs = [IoSliceMut::new(buf)];
        let control = control.get_mut(..room).unwrap_or_default();
        let mut message = RecvHeader::new(None, &mut bufs, control);
        let n = recvmsg(fd, &mut message, MsgFlags::CMSG_CLOEXEC)?;
        received.fds_lost = message.flags().contains(MsgFlags::CTRUNC);
        received.bytes_lost = message.flags().contains(MsgFlags::TRUNC);
        let mut places = fds.iter_mut();
        for fd in message.control().flat_map(|part| part.rights().into_iter().flatten()) {
            // Everything that came is taken, so that nothing leaks.
            match (above_stdio(fd), places.next()) {
                (Ok(fd), Some(place)) => {
                    // SAFETY: the kernel has just opened it for this call.
                    *place = Some(unsafe { OwnedFd::from_raw_fd(fd) });
                    received.fds += 1;
                }
                (Ok(fd), None) => {
                    // SAFETY: as above.
                    drop(unsafe { OwnedFd::from_raw_fd(fd) });
                    received.fds_lost = true;
                }
                (Err(_), _) => received.fds_lost = true,
            }
        }
        Ok(n)
    })?;
    Ok(received)
}

/// Sending and receiving descriptors.
macro_rules! passes_fds {
    ($ty:ident) => {
        impl $ty {
            /// Sends bytes, and with the first of them `fds`, which stay open here, too: the peer gets
            /// numbers of its own for the same open files. Returns how many bytes were taken. Parks while
            /// there is no room.
            ///
            /// # Errors
            /// As for other sending calls, of `sendmsg`: `EINVAL` without a byte to go with them, or for
            /// more than 253 descriptors, `EBADF`, `ETOOMANYREFS`.
            pub fn send_fds(&self, buf: &[u8], fds: &[$crate::sys::RawFd]) -> Result<usize, Error> {
                $crate::net::unix::rights::send(&self.fd, buf, fds)
            }

            /// Receives bytes, and the descriptors that came with them into the front of `fds`, closed on
            /// `execve`. On a stream one call returns what came with one `send_fds` at most. Parks while
            /// there is nothing.
            ///
            /// # Errors
            /// As for other receiving calls, of `recvmsg`.
            pub fn recv_fds(
                &self,
                buf: &mut [u8],
                fds: &mut [Option<$crate::io::OwnedFd>],
            ) -> Result<$crate::net::unix::Received, Error> {
                $crate::net::unix::rights::recv(&self.fd, buf, fds)
            }
        }
    };
}

pub(super) use passes_fds;
