//! The methods that several kinds of streams and sockets share, each family written once: `methods!`
//! gives a type with a field `fd` those that it names. What they do is in `fd.rs` and `transfer.rs`.

/// `methods! { Type: family, family }`, in a module that has `Error` in scope.
macro_rules! methods {
    ($ty:ident: $($family:ident $(($($arg:tt)*))?),+ $(,)?) => {
        $($crate::net::methods::$family! { $ty $($($arg)*)? })+
    };
}

/// What every handle has.
macro_rules! handle {
    ($ty:ident) => {
        impl $ty {
            /// Another handle to the same open descriptor: the same position, the same deadlines, closed
            /// with the last handle. Costs no descriptor.
            ///
            /// # Errors
            /// None so far; the signature is std's.
            pub fn try_clone(&self) -> Result<$ty, Error> {
                Ok($ty { fd: self.fd.clone() })
            }

            /// Closes it for all handles: every call parked on it returns [`Error::Closed`], as will all to
            /// come. Returns when the descriptor is really closed, and its name or port free. Dropping the
            /// last handle closes too.
            ///
            /// # Errors
            /// [`Error::Closed`] if it was closed before.
            pub fn close(&self) -> Result<(), Error> {
                self.fd.close()
            }

            /// The descriptor's number, for options. Its meaning ends with the close.
            pub fn as_raw_fd(&self) -> $crate::sys::RawFd {
                self.fd.raw()
            }
        }

        impl core::fmt::Debug for $ty {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($ty)).field("fd", &self.fd.raw()).finish()
            }
        }
    };
}

/// Descriptors from elsewhere, and to there. `$kind` tells what a short transfer means on one.
macro_rules! raw_fd {
    ($ty:ident $kind:expr) => {
        impl $ty {
            /// Takes the descriptor out, open and non-blocking.
            ///
            /// # Errors
            /// [`Error::Busy`] while there are other handles, [`Error::Closed`].
            pub fn into_raw_fd(self) -> Result<$crate::sys::RawFd, Error> {
                self.fd.into_raw()
            }

            /// Takes over a descriptor, makes it non-blocking (for all who share the open file) if it is not,
            /// and gives it another number if that is 0, 1 or 2.
            ///
            /// # Errors
            /// [`Error::Os`] of `fcntl`, or of the registration. The descriptor is closed then.
            ///
            /// # Safety
            /// `fd` is open, of this kind, and nobody else's: it will be closed here.
            pub unsafe fn from_raw_fd(fd: $crate::sys::RawFd) -> Result<$ty, Error> {
                let kind: fn($crate::sys::RawFd) -> $crate::net::fd::Kind = $kind;
                Ok($ty { fd: $crate::net::fd::Fd::adopt(fd, kind(fd))? })
            }
        }
    };
}

/// Deadline and timeout of what receives.
macro_rules! read_deadline {
    ($ty:ident) => {
        impl $ty {
            /// From when on receiving calls fail with [`Error::TimedOut`], a waiting one included; `None`:
            /// never. It stays in force until changed, and beats data that is ready (Go:
            /// `SetReadDeadline`). Any task may set it at any time: a time in the past ends a call that
            /// another task waits in. It takes the place of a timeout.
            ///
            /// # Errors
            /// [`Error::Closed`]; [`Error::Os`] if there is no memory for the timer.
            pub fn set_read_deadline(&self, deadline: Option<$crate::time::Instant>) -> Result<(), Error> {
                self.fd.set_deadline($crate::poll::Side::Read, deadline)
            }

            /// For how long each receiving call may wait before it fails with [`Error::TimedOut`]; `None`:
            /// without limit. Data that is ready is never refused, and a call that waits in line behind
            /// another has not begun to wait yet. Rounded up to milliseconds. It takes the place of a
            /// deadline, from the next call on that has to wait, and clears one that has passed.
            ///
            /// # Errors
            /// [`Error::Os`] with `EINVAL` if it is zero, as in std; [`Error::Closed`].
            pub fn set_read_timeout(&self, timeout: Option<core::time::Duration>) -> Result<(), Error> {
                self.fd.set_timeout($crate::poll::Mode::Read, timeout)
            }

            /// What `set_read_timeout` has set; `None` if a deadline has taken its place.
            ///
            /// # Errors
            /// [`Error::Closed`].
            pub fn read_timeout(&self) -> Result<Option<core::time::Duration>, Error> {
                self.fd.timeout($crate::poll::Mode::Read)
            }
        }
    };
}

/// Deadline and timeout of what sends.
macro_rules! write_deadline {
    ($ty:ident) => {
        impl $ty {
            /// From when on sending calls fail with [`Error::TimedOut`], a waiting one included, even if
            /// there is room; `None`: never. It stays in force until changed. It takes the place of a
            /// timeout.
            ///
            /// # Errors
            /// [`Error::Closed`]; [`Error::Os`] if there is no memory for the timer.
            pub fn set_write_deadline(&self, deadline: Option<$crate::time::Instant>) -> Result<(), Error> {
                self.fd.set_deadline($crate::poll::Side::Write, deadline)
            }

            /// For how long each sending call may wait before it fails with [`Error::TimedOut`]; `None`:
            /// without limit. Where there is room it is never refused. Rounded up to milliseconds. It takes
            /// the place of a deadline.
            ///
            /// # Errors
            /// [`Error::Os`] with `EINVAL` if it is zero, as in std; [`Error::Closed`].
            pub fn set_write_timeout(&self, timeout: Option<core::time::Duration>) -> Result<(), Error> {
                self.fd.set_timeout($crate::poll::Mode::Write, timeout)
            }

            /// What `set_write_timeout` has set; `None` if a deadline has taken its place.
            ///
            /// # Errors
            /// [`Error::Closed`].
            pub fn write_timeout(&self) -> Result<Option<core::time::Duration>, Error> {
                self.fd.timeout($crate::poll::Mode::Write)
            }
        }
    };
}

/// Deadlines and timeouts of what goes both ways.
macro_rules! deadlines {
    ($ty:ident) => {
        $crate::net::methods::read_deadline! { $ty }
        $crate::net::methods::write_deadline! { $ty }

        impl $ty {
            /// Sets the deadlines of both directions.
            ///
            /// # Errors
            /// [`Error::Closed`]; [`Error::Os`] if there is no memory for the timer.
            pub fn set_deadline(&self, deadline: Option<$crate::time::Instant>) -> Result<(), Error> {
                self.fd.set_deadline($crate::poll::Side::Both, deadline)
            }
        }
    };
}

/// Reading bytes.
macro_rules! reader {
    ($ty:ident) => {
        $crate::net::methods::reader! { @methods $ty }
        $crate::net::methods::reader! { @traits $ty; $ty; &$ty }

        impl $crate::io::sealed::Source for $ty {
            fn receive(
                &self,
                op: impl FnMut($crate::sys::RawFd) -> Result<usize, $crate::sys::Errno>,
            ) -> Result<usize, Error> {
                self.fd.transfer($crate::poll::Mode::Read, $crate::sys::Call::Read, 0, op)
            }
        }
    };
    (@methods $ty:ident) => {
        impl $ty {
            /// Reads what is there, at least one byte, and returns how many; 0 at the end, or for an empty
            /// buffer (which asks nothing of the kernel). Parks while there is nothing.
            ///
            /// # Errors
            /// [`Error::TimedOut`] once the read deadline has passed, even with data ready;
            /// [`Error::Closed`]; [`Error::Os`] of `read` (`ECONNRESET`, …).
            #[inline(always)] // for the last line's sake
            pub fn read(&self, buf: &mut [u8]) -> Result<usize, Error> {
                let len = buf.len();
                let n = self.fd.read(buf)?;
                // SAFETY: `Fd::read` returns no more than the length it was given.
                unsafe { core::hint::assert_unchecked(n <= len) }; // saves the caller's bounds check
                Ok(n)
            }

            /// As `read`, into several buffers (at most 1024 of them count).
            ///
            /// # Errors
            /// As `read`, of `readv`.
            pub fn read_vectored(
                &self,
                bufs: &mut [$crate::sys::fd::IoSliceMut<'_>],
            ) -> Result<usize, Error> {
                self.fd.read_vectored(bufs)
            }

            /// Reads until the buffer is full.
            ///
            /// # Errors
            /// As `read`, and [`Error::UnexpectedEof`]; what was read before is in the buffer.
            pub fn read_exact(&self, buf: &mut [u8]) -> Result<(), Error> {
                self.fd.read_exact(buf)
            }
        }
    };
    (@traits $ty:ident; $($this:ty);*) => {$(
        impl embedded_io::Read for $this {
            fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
                $ty::read(self, buf)
            }
        }
    )*};
}

/// Writing bytes.
macro_rules! writer {
    ($ty:ident) => {
        $crate::net::methods::writer! { @methods $ty }
        $crate::net::methods::writer! { @traits $ty; $ty; &$ty }

        impl $crate::io::sealed::Sink for $ty {
            fn send(
                &self,
                op: impl FnMut($crate::sys::RawFd) -> Result<usize, $crate::sys::Errno>,
            ) -> Result<usize, Error> {
                self.fd.transfer($crate::poll::Mode::Write, $crate::sys::Call::Write, 0, op)
            }
        }
    };
    (@methods $ty:ident) => {
        impl $ty {
            /// Writes as much as the kernel takes, at least one byte, and returns how much. Parks while it
            /// takes nothing.
            ///
            /// # Errors
            /// [`Error::TimedOut`] once the write deadline has passed, [`Error::Closed`], [`Error::Os`] of
            /// `write` (`EPIPE`, `ECONNRESET`, …; there is no SIGPIPE).
            #[inline]
            pub fn write(&self, buf: &[u8]) -> Result<usize, Error> {
                self.fd.write(buf)
            }

            /// As `write`, from several buffers (at most 1024 of them count).
            ///
            /// # Errors
            /// As `write`, of `writev`.
            pub fn write_vectored(&self, bufs: &[$crate::sys::fd::IoSlice<'_>]) -> Result<usize, Error> {
                self.fd.write_vectored(bufs)
            }

            /// Writes everything.
            ///
            /// # Errors
            /// As `write`; how much went before is unknown.
            #[inline]
            pub fn write_all(&self, buf: &[u8]) -> Result<(), Error> {
                self.fd.write_all(buf)
            }
        }
    };
    (@traits $ty:ident; $($this:ty);*) => {$(
        impl embedded_io::Write for $this {
            fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
                $ty::write(self, buf)
            }

            /// Nothing is held back.
            fn flush(&mut self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

/// The error of `embedded_io`'s traits.
macro_rules! error_type {
    ($ty:ident) => {
        impl embedded_io::ErrorType for $ty {
            type Error = Error;
        }

        impl embedded_io::ErrorType for &$ty {
            type Error = Error;
        }
    };
}

/// A connection that carries bytes.
macro_rules! stream {
    ($ty:ident) => {
        $crate::net::methods::methods! { $ty: reader, writer, error_type, deadlines }

        impl $ty {
            /// As `read`, but leaves the data there for the next read.
            ///
            /// # Errors
            /// As `read`, of `recvfrom`.
            pub fn peek(&self, buf: &mut [u8]) -> Result<usize, Error> {
                if buf.is_empty() { Ok(0) } else { self.fd.peek(buf) }
            }

            /// Sends up to `count` bytes of the file `file` from `*offset` on, which moves along, without
            /// copying them through this program (`sendfile(2)`). Returns how many were sent: fewer than
            /// `count` only at the end of the file.
            ///
            /// # Errors
            /// As `write`, of `sendfile`; `*offset` tells how far it got.
            pub fn send_file(
                &self,
                file: $crate::sys::RawFd,
                offset: &mut u64,
                count: usize,
            ) -> Result<usize, Error> {
                self.fd.send_file(file, offset, count)
            }

            /// A handle that reads and one that writes, as different tasks may want them. A stream may be
            /// read and written at once without.
            pub fn split(&self) -> ($crate::net::ReadHalf, $crate::net::WriteHalf) {
                $crate::net::half::split(&self.fd)
            }
        }
    };
}

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

        impl Iterator for $crate::net::Incoming<'_, $ty> {
            type Item = Result<$stream, Error>;
            fn next(&mut self) -> Option<Result<$stream, Error>> {
                Some(self.listener.accept().map(|(stream, _)| stream))
            }
        }
    };
}

pub(crate) use {
    connected, datagrams, datagrams_from, deadlines, error_type, handle, listener, local_addr, methods,
    options, peer_addr, raw_fd, read_deadline, reader, socket, stream, write_deadline, writer,
};
