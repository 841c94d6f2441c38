//! [`channel`], [`Sender`] and [`Receiver`]: the handles of a channel.

use super::chan::{Chan, Refused};
use super::errors::{RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError};
use crate::rt;
use crate::sys::Errno;
use crate::time::Instant;
use core::fmt;
use core::iter::FusedIterator;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Makes a channel: values go in at the [`Sender`] and come out at the [`Receiver`] in the same order,
/// each once. Both may be cloned and shared by many tasks; who waits longest is served first.
///
/// With a `capacity` of 0 a send waits until a receive takes the value from it; otherwise `capacity` values
/// wait in a buffer. The buffer needs no allocator: a channel is cut, buffer included, from memory that
/// the runtime maps and keeps for channels, or is a mapping of its own if it is larger than a page.
///
/// The channel is closed when all of one kind of handle are gone, or by `close`. Then nothing goes in any
/// more, parked senders get their values back, and receivers get what is in the buffer and then `None`.
///
/// If there is no memory the program ends, with a line that says so and status 101, as by a panic;
/// [`try_channel`] returns the error instead.
///
/// ```ignore
/// let (tx, rx) = netpoll::sync::channel(0);
/// drop(netpoll::spawn(move || tx.send("hello")));
/// assert_eq!(rx.recv(), Some("hello"));
/// assert_eq!(rx.recv(), None);
/// ```
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    match try_channel(capacity) {
        Ok(ends) => ends,
        Err(_) => rt::fatal("no memory for a channel", rt::PANICKED),
    }
}

/// As [`channel`], with an error where that ends the program.
///
/// # Errors
/// `ENOMEM`, also when the buffer's size overflows.
pub fn try_channel<T: Send>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), Errno> {
    let chan = Chan::make(capacity)?;
    Ok((Sender(chan), Receiver(chan)))
}

/// The end of a channel where values go in. See [`channel`].
pub struct Sender<T>(pub(super) Chan<T>);

/// The end of a channel where values come out. See [`channel`].
pub struct Receiver<T>(pub(super) Chan<T>);

// SAFETY: a handle moves values from task to task (`T: Send`) and shares none; the rest is under a lock.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}

static_assertions::assert_not_impl_any!(Sender<*const u8>: Send, Sync);
static_assertions::assert_not_impl_any!(Receiver<*const u8>: Send, Sync);

impl<T> Sender<T> {
    /// Sends `value`: waits until a receiver has taken it, or until there is room for it in the buffer.
    /// Parks.
    ///
    /// # Errors
    /// The channel is closed, or was while this waited; the value comes back.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut value = MaybeUninit::new(value);
        // SAFETY: a value, which is left alone if it was moved. Our handle keeps the channel.
        if unsafe { self.0.send(value.as_mut_ptr()) } {
            Ok(())
        } else {
            // SAFETY: it was not moved.
            Err(SendError(unsafe { value.assume_init() }))
        }
    }

    /// Sends `value` if that is possible without waiting.
    ///
    /// # Errors
    /// It is not, or the channel is closed; the value comes back.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.send_until(value, None).map_err(|(value, why)| match why {
            Refused::Blocked => TrySendError::Full(value),
            Refused::Closed => TrySendError::Closed(value),
        })
    }

    /// As [`Sender::send`], but gives up at `deadline`. If that has passed already it still sends if that
    /// is possible without waiting.
    ///
    /// # Errors
    /// Nobody took the value in time, or the channel is closed; the value comes back.
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, Some(deadline.as_nanos())).map_err(|(value, why)| match why {
            Refused::Blocked => SendTimeoutError::TimedOut(value),
            Refused::Closed => SendTimeoutError::Closed(value),
        })
    }

    fn send_until(&self, value: T, when: Option<i64>) -> Result<(), (T, Refused)> {
        let mut value = MaybeUninit::new(value);
        // SAFETY: as in `send`; the same below.
        unsafe { self.0.send_until(value.as_mut_ptr(), when) }
            .map_err(|why| (unsafe { value.assume_init() }, why))
    }
}

impl<T> Receiver<T> {
    /// Receives the next value: waits until there is one. Parks. `None`: the channel is closed, and
    /// everything that was sent has been received.
    #[inline]
    pub fn recv(&self) -> Option<T> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: room for a value, which is there if one was moved. Our handle keeps the channel.
        unsafe { self.0.recv(value.as_mut_ptr()).then(|| value.assume_init()) }
    }

    /// Receives the next value if there is one.
    ///
    /// # Errors
    /// There is none at the moment, or there will never be one.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.recv_until(None).map_err(|why| match why {
            Refused::Blocked => TryRecvError::Empty,
            Refused::Closed => TryRecvError::Closed,
        })
    }

    /// As [`Receiver::recv`], but gives up at `deadline`. If that has passed already it still receives
    /// what is there.
    ///
    /// # Errors
    /// Nothing came in time, or nothing will ever come.
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(deadline.as_nanos())).map_err(|why| match why {
            Refused::Blocked => RecvTimeoutError::TimedOut,
            Refused::Closed => RecvTimeoutError::Closed,
        })
    }

    fn recv_until(&self, when: Option<i64>) -> Result<T, Refused> {
        let mut value = MaybeUninit::uninit();
        // SAFETY: as in `recv`.
        unsafe { self.0.recv_until(value.as_mut_ptr(), when).map(|()| value.assume_init()) }
    }

    /// The values as they come, until the channel is closed and empty.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }
}

/// What both kinds of handles have.
macro_rules! handle {
    ($Handle:ident, $count:ident) => {
        impl<T> $Handle<T> {
            /// Closes the channel for all. `false`: it was closed already.
            pub fn close(&self) -> bool {
                self.0.close()
            }

            /// Whether the channel is closed.
            pub fn is_closed(&self) -> bool {
                self.0.is_closed()
            }

            /// How many values are in the buffer at this moment.
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether there is none.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// How many it has room for.
            pub fn capacity(&self) -> usize {
                self.0.core().capacity
            }
        }

        impl<T> Clone for $Handle<T> {
            fn clone(&self) -> $Handle<T> {
                count_up(&self.0.core().$count);
                $Handle(self.0)
            }
        }

        impl<T> fmt::Debug for $Handle<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Handle))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .finish_non_exhaustive()
            }
        }
    };
}

handle!(Sender, senders);
handle!(Receiver, receivers);

fn count_up(handles: &AtomicUsize) {
    // Relaxed: the new handle comes out of one that is there.
    if handles.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
        rt::fatal("too many handles of a channel", rt::PANICKED); // leaked, all of them
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // Release: the values sent. Acquire: those of the others, before the channel goes.
        if self.0.core().senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
            // SAFETY: the last of its kind, and closed.
            unsafe { self.0.leave() };
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.0.core().receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
            // Nothing comes in any more. One at a time: dropping a value is not for under the lock.
            while self.try_recv().is_ok() {}
            // SAFETY: the last of its kind, closed and empty.
            unsafe { self.0.leave() };
        }
    }
}

/// The iterator of [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T>(&'a Receiver<T>);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    fn next(&mut self) -> Option<T> {
        self.0.recv()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
