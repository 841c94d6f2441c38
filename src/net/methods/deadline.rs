//! Deadlines and timeouts.

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
            /// deadline, one that has passed too. A call that waits already gets it from now on.
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
            /// the place of a deadline. A call that waits already gets it from now on.
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

pub(crate) use {deadlines, read_deadline, write_deadline};
