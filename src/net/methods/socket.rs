//! What sockets have: names, options, connections that are accepted and ended.

/// Options: names and type of a pair of methods, and what they call.
macro_rules! options {
    ($ty:ident $($(#[$doc:meta])* $get:ident, $set:ident: $value:ty = $getsockopt:path, $setsockopt:path;)*) => {
        impl $ty {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`Error::Closed`], [`Error::Os`] of `getsockopt`.
            pub fn $get(&self) -> Result<$value, Error> {
                self.fd.call($crate::sys::Call::Getsockopt, $getsockopt)
            }

            #[doc = concat!("Sets what `", stringify!($get), "` tells.")]
            ///
            /// # Errors
            /// [`Error::Closed`], [`Error::Os`] of `setsockopt`.
            pub fn $set(&self, value: $value) -> Result<(), Error> {
                self.fd.call($crate::sys::Call::Setsockopt, |fd| $setsockopt(fd, value))
            }
        )*}
    };
}

/// What every socket has.
macro_rules! socket {
    ($ty:ident) => {
        $crate::net::methods::options! { $ty
            /// The send buffer in bytes, as the kernel counts: twice what was set.
            send_buffer_size, set_send_buffer_size: u32
                = $crate::sys::sockopt::socket_sndbuf, $crate::sys::sockopt::set_socket_sndbuf;
            /// The receive buffer in bytes, as the kernel counts: twice what was set.
            recv_buffer_size, set_recv_buffer_size: u32
                = $crate::sys::sockopt::socket_rcvbuf, $crate::sys::sockopt::set_socket_rcvbuf;
        }

        impl $ty {
            /// The socket's pending error, which this clears (`SO_ERROR`).
            ///
            /// # Errors
            /// [`Error::Closed`], [`Error::Os`] of `getsockopt`.
            pub fn take_error(&self) -> Result<Option<$crate::sys::Errno>, Error> {
                self.fd.call($crate::sys::Call::Getsockopt, $crate::sys::sockopt::socket_error)
            }
        }
    };
}

/// A socket with a peer.
macro_rules! connected {
    ($ty:ident) => {
        impl $ty {
            /// Ends one direction or both, for all handles. The peer reads the end after what was sent.
            ///
            /// # Errors
            /// [`Error::Closed`], [`Error::Os`] of `shutdown` (`ENOTCONN` when there is no peer any more).
            pub fn shutdown(&self, how: $crate::net::Shutdown) -> Result<(), Error> {
                self.fd.call($crate::sys::Call::Shutdown, |fd| $crate::sys::socket::shutdown(fd, how))
            }
        }
    };
}

/// A socket's own name, as an address of type `$addr`.
macro_rules! local_addr {
    ($ty:ident $addr:ty) => {
        impl $ty {
            /// This end's address.
            ///
            /// # Errors
            /// [`Error::Closed`].
            pub fn local_addr(&self) -> Result<$addr, Error> {
                let name = self.fd.call($crate::sys::Call::Getsockname, $crate::sys::socket::getsockname)?;
                $crate::net::addr::Address::from_sock(name, $crate::sys::Call::Getsockname)
            }
        }
    };
}

/// The name of a socket's peer.
macro_rules! peer_addr {
    ($ty:ident $addr:ty) => {
        impl $ty {
            /// The other end's address.
            ///
            /// # Errors
            /// [`Error::Closed`], [`Error::Os`] (`ENOTCONN` when there is no peer, or it has reset).
            pub fn peer_addr(&self) -> Result<$addr, Error> {
                let name = self.fd.call($crate::sys::Call::Getpeername, $crate::sys::socket::getpeername)?;
                $crate::net::addr::Address::from_sock(name, $crate::sys::Call::Getpeername)
            }
        }
    };
}

/// A socket that accepts `$stream`s whose short transfers mean `$kind`, from peers at `$addr`.
macro_rules! listener {
    ($ty:ident $stream:ident, $addr:ty, $kind:expr) => {
        impl $ty {
            /// The next connection and its peer. Parks until there is one.
            ///
            /// A connection that was aborted in the queue is passed over. Out of descriptors (`EMFILE`,
            /// `ENFILE`) or memory (`ENOBUFS`, `ENOMEM`), it pauses, up to 160 ms at a time, and tries again:
            /// the kernel keeps the queue meanwhile, and a server neither spins nor dies.
            ///
            /// # Errors
            /// [`Error::TimedOut`] (see `set_deadline`), [`Error::Closed`], [`Error::Os`] of `accept4` or of
            /// the registration.
            pub fn accept(&self) -> Result<($stream, $addr), Error> {
                let (fd, peer) = self.fd.accept($kind)?;
                Ok(($stream { fd }, $crate::net::addr::Address::from_sock(peer, $crate::sys::Call::Accept4)?))
            }

            /// As `accept`, until `deadline`: that is the listener's deadline for the time of the call, and
            /// there is none behind it.
            ///
            /// # Errors
            /// As `accept`.
            pub fn accept_deadline(
                &self,
                deadline: $crate::time::Instant,
            ) -> Result<($stream, $addr), Error> {
                self.set_deadline(Some(deadline))?;
                let accepted = self.accept();
                self.set_deadline(None)?;
                accepted
            }

            /// The connections, one after the other, without end.
            pub fn incoming(&self) -> $crate::net::Incoming<'_, $ty> {
                $crate::net::Incoming { listener: self }
            }

            /// From when on `accept` fails with [`Error::TimedOut`], a waiting one included; `None`: never.
            /// It stays in force, and beats a connection that is ready.
            ///
            /// # Errors
            /// [`Error::Closed`], [`Error::Os`] if there is no memory for the timer.
            pub fn set_deadline(&self, deadline: Option<$crate::time::Instant>) -> Result<(), Error> {
                self.fd.set_deadline($crate::poll::Side::Read, deadline)
            }
        }

        impl $crate::net::Listener for $ty {
            type Stream = $stream;
        }

        impl $crate::net::serve::sealed::Listener for $ty {
            fn accept_stream(&self) -> Result<$stream, Error> {
                self.accept().map(|(stream, _)| stream)
            }
        }

        impl Iterator for $crate::net::Incoming<'_, $ty> {
            type Item = Result<$stream, Error>;
            fn next(&mut self) -> Option<Result<$stream, Error>> {
                Some(self.listener.accept().map(|(stream, _)| stream))
            }
        }
    };
}

pub(crate) use {connected, listener, local_addr, options, peer_addr, socket};
