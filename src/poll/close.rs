//! The end of a registration: first its users are sent away, then the kernel forgets it and the slot is free.

use super::netpoll::Registered;
use super::slot::{Slot, info};
use super::{Error, Kernel, Mode, Netpoll, Scheduler};
use crate::atomic::Ordering;
use crate::sys::epoll::{CtlOp, EpollFlags};

impl<K: Kernel, S: Scheduler> Registered<'_, K, S> {
    /// See [`Netpoll::unblock`].
    pub fn unblock(self) -> Result<(), Error> {
        if self.begin_close(info::CLOSING) { Ok(()) } else { Err(Error::Closing) }
    }

    /// Publishes `flags`, wakes both directions and stops the timers. `false`: another caller came first.
    ///
    /// Decided under the lock, so that there is one first caller, and no timer is set nor OUT armed after it.
    pub(super) fn begin_close(self, flags: u64) -> bool {
        let Registered { poller, slot } = self;
        let (reader, writer);
        {
            let _d = slot.deadlines.lock();
            if slot.info.load(Ordering::SeqCst) & flags == flags {
                return false;
            }
            slot.publish(flags, 0);
            reader = slot.unblock(Mode::Read, false);
            writer = slot.unblock(Mode::Write, false);
            poller.timers.stop(&slot.rt);
            poller.timers.stop(&slot.wt);
        }
        poller.ready(reader);
        poller.ready(writer);
        true
    }

    /// Has the kernel forget the number. An error means that the user closed it under us: then the entry is gone, or
    /// out of reach.
    pub(super) fn deregister(self) {
        let _ = self.poller.ctl(CtlOp::Del, self.slot, EpollFlags::empty());
    }

    /// Ends the registration, and frees the slot. Before close(2): a duplicate would keep the kernel's entry alive.
    ///
    /// # Safety
    /// The slot is from [`Netpoll::register`], and no handle of it was given away. [`Registered::unblock`] came before,
    /// no operation on the slot is under way, and this is called once: afterwards the slot may be the next owner's.
    #[cfg(any(feature = "rt", loom))]
    pub unsafe fn close(self) {
        self.deregister();
        self.poller.release(self.slot);
    }
}

impl<K: Kernel, S: Scheduler> Netpoll<K, S> {
    /// Ends the generation of a slot without users, and puts it into the free list, unless it was the last.
    pub(super) fn release(&self, slot: &Slot) {
        let again = {
            let _d = slot.deadlines.lock();
            slot.next_generation()
        };
        if again {
            self.cache.free(slot);
        }
    }
}
