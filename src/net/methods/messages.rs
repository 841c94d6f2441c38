//! Messages.

/// Messages to and from a peer.
macro_rules! datagrams {
    ($ty:ident) => {
        impl $ty {
            /// Sends a message to the peer, and returns its length. Parks while there is no room.
            ///
            /// # Errors
            /// [`Error::TimedOut`], [`Error::Closed`]; [`Error::Os`] of `sendto` (`EMSGSIZE`, `ENOTCONN`,
            /// `EDESTADDRREQ`, `ECONNREFUSED`, `EPIPE`).
            pub fn send(&self, buf: &[u8]) -> Result<usize, Error> {
                self.fd.send(buf)
            }

            /// Receives a message, and returns its length; what does not fit into `buf` is lost. Parks while
            /// there is none.
            ///
            /// # Errors
            /// [`Error::TimedOut`], [`Error::Closed`]; [`Error::Os`] of `recvfrom` (`ECONNREFUSED`,
            /// `ECONNRESET`, which do not keep the next call from succeeding).
            pub fn recv(&self, buf: &mut [u8]) -> Result<usize, Error> {
                self.fd.recv(buf)
            }

            /// As `recv`, but leaves the message there.
            ///
            /// # Errors
            /// As `recv`.
            pub fn peek(&self, buf: &mut [u8]) -> Result<usize, Error> {
                self.fd.peek(buf)
            }
        }
    };
}

/// Messages from anybody, whose addresses are `$addr`.
macro_rules! datagrams_from {
    ($ty:ident $addr:ty) => {
        impl $ty {
            /// As `recv`, with the sender's address.
            ///
            /// # Errors
            /// As `recv`.
            pub fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, $addr), Error> {
                let (n, from) = self.fd.recv_from(buf, $crate::sys::socket::MsgFlags::empty())?;
                Ok((n, $crate::net::addr::Address::from_sock(from, $crate::sys::Call::Recvfrom)?))
            }

            /// As `recv_from`, but leaves the message there.
            ///
            /// # Errors
            /// As `recv`.
            pub fn peek_from(&self, buf: &mut [u8]) -> Result<(usize, $addr), Error> {
                let (n, from) = self.fd.recv_from(buf, $crate::sys::socket::MsgFlags::PEEK)?;
                Ok((n, $crate::net::addr::Address::from_sock(from, $crate::sys::Call::Recvfrom)?))
            }
        }
    };
}

pub(crate) use {datagrams, datagrams_from};
