//! Breaks: how another thread ends a poll that blocks, by an eventfd. Breaks that come before the poll answers are one.

use super::{Error, Kernel, Netpoll, Scheduler};
use crate::atomic::Ordering;
use crate::sys::{Call, Errno};

impl<K: Kernel, S: Scheduler> Netpoll<K, S> {
    /// Makes a poll that blocks in another thread return, or the next one that would block (Go:
    /// `netpollBreak`). What it is to see must have been published before. Breaks that come while one is
    /// under way are one.
    ///
    /// # Errors
    /// [`Error::Os`]: the poller could not be made, or (`write`) somebody has closed its eventfd, and a
    /// poll that sleeps sleeps on.
    pub fn break_(&self) -> Result<(), Error> {
        self.init()?;
        // A swap even if one is under way: the poll that clears the flag reads this write or a later one, and
        // with it sees all that was published before, by whatever means. A compare-exchange that fails
        // is only a load, and orders nothing.
        if self.wake_sig.swap(1, Ordering::SeqCst) == 0 {
            self.counts.breaking();
            self.write_break()
        } else {
            Ok(())
        }
    }

    fn write_break(&self) -> Result<(), Error> {
        loop {
            match self.kernel.eventfd_write(self.break_fd()) {
                Err(Errno::EINTR) => {}
                // EAGAIN: 2^64 - 2 writes have been counted.
                Ok(()) | Err(Errno::EAGAIN) => return Ok(()),
                Err(e) => return Err(Error::Os(Call::Write, e)),
            }
        }
    }

    /// A poll met the break's edge. A poll that blocked answers it: its caller checks everything again. Another poll leaves
    /// the flag for the next sleeper, and gives the edge back if a thread sleeps already.
    #[cold]
    pub(super) fn eat_break(&self, blocking: bool) {
        if blocking {
            self.clear_break();
        } else if self.sleepers.load(Ordering::SeqCst) != 0 {
            let _ = self.write_break(); // the edge came out of the descriptor just now
        }
    }

    /// Answers all breaks so far: the caller of the poll must look at everything again. A swap, which
    /// reads what the last [`Netpoll::break_`] wrote.
    pub(super) fn clear_break(&self) {
        self.wake_sig.swap(0, Ordering::SeqCst);
    }

    /// After a timer was set for `when`: wakes a poll that would sleep past it (Go: `wakeNetPoller`).
    ///
    /// A poll that is waking up at this moment is not notified: its caller must poll again, or see to it that another
    /// thread does.
    #[inline]
    pub fn wake_for_timer(&self, when: i64) {
        match self.sleepers.load(Ordering::SeqCst) {
            0 => {}
            // With several the time may be that of another than sleeps longest.
            1 if self.poll_until.load(Ordering::SeqCst) <= when => {}
            _ => {
                let _ = self.break_(); // a sleeper has made the poller
            }
        }
    }
}
