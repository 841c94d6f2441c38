//! Streams of bytes.

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

/// Reading bytes, by the calls of a [`Bytes`](crate::net::transfer::Bytes).
macro_rules! reader {
    ($ty:ident $bytes:ident) => {
        $crate::net::methods::reader! { @methods $ty $bytes }
        $crate::net::methods::reader! { @traits $ty; $ty; &$ty }

        impl $crate::io::sealed::CopyFrom for $ty {
            fn receive(
                &self,
                op: impl FnMut($crate::sys::RawFd) -> Result<usize, $crate::sys::Errno>,
            ) -> Result<usize, Error> {
                self.fd.transfer($crate::poll::Mode::Read, $crate::sys::Call::Read, 0, op)
            }
        }
    };
    (@methods $ty:ident $bytes:ident) => {
        impl $ty {
            /// Reads what is there, at least one byte, and returns how many; 0 at the end, or for an empty
            /// buffer (which asks nothing of the kernel). Parks while there is nothing.
            ///
            /// # Errors
            /// [`Error::TimedOut`] once the read deadline has passed, even with data ready;
            /// [`Error::Closed`]; [`Error::Os`] of `read`, or of a socket's `recvfrom` (`ECONNRESET`, …).
            #[inline(always)] // for the last line's sake
            pub fn read(&self, buf: &mut [u8]) -> Result<usize, Error> {
                let len = buf.len();
                let n = self.fd.read::<$crate::net::transfer::$bytes>(buf)?;
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
                self.fd.read_exact::<$crate::net::transfer::$bytes>(buf)
            }
        }
    };
    (@traits $ty:ident; $($this:ty);*) => {$(
        impl embedded_io::Read for $this {
            fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
                $ty::read(self, buf)
            }
        }

        /// Asks the kernel. An error if another task reads now.
        impl embedded_io::ReadReady for $this {
            fn read_ready(&mut self) -> Result<bool, Error> {
                self.fd.is_ready($crate::poll::Mode::Read)
            }
        }
    )*};
}

/// Writing bytes, as above.
macro_rules! writer {
    ($ty:ident $bytes:ident) => {
        $crate::net::methods::writer! { @methods $ty $bytes }
        $crate::net::methods::writer! { @traits $ty; $ty; &$ty }

        impl $crate::io::sealed::CopyTo for $ty {
            fn send(
                &self,
                op: impl FnMut($crate::sys::RawFd) -> Result<usize, $crate::sys::Errno>,
            ) -> Result<usize, Error> {
                self.fd.transfer($crate::poll::Mode::Write, $crate::sys::Call::Write, 0, op)
            }
        }
    };
    (@methods $ty:ident $bytes:ident) => {
        impl $ty {
            /// Writes as much as the kernel takes, at least one byte, and returns how much. Parks while it
            /// takes nothing.
            ///
            /// # Errors
            /// [`Error::TimedOut`] once the write deadline has passed, [`Error::Closed`], [`Error::Os`] of
            /// `write`, or of a socket's `sendto` (`EPIPE`, `ECONNRESET`, …; there is no SIGPIPE).
            #[inline]
            pub fn write(&self, buf: &[u8]) -> Result<usize, Error> {
                self.fd.write::<$crate::net::transfer::$bytes>(buf)
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
            #[inline(always)] // as `Fd::transfer`
            pub fn write_all(&self, buf: &[u8]) -> Result<(), Error> {
                self.fd.write_all::<$crate::net::transfer::$bytes>(buf)
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

        /// Asks the kernel. An error if another task writes now.
        impl embedded_io::WriteReady for $this {
            fn write_ready(&mut self) -> Result<bool, Error> {
                self.fd.is_ready($crate::poll::Mode::Write)
            }
        }
    )*};
}

/// A connection that carries bytes.
macro_rules! stream {
    ($ty:ident) => {
        $crate::net::methods::methods! { $ty: reader(Socket), writer(Socket), error_type, deadlines }

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

pub(crate) use {error_type, reader, stream, writer};
