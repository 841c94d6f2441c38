//! A direction that stays locked while no task runs: what [`serve`](crate::net::serve) makes of an idle
//! connection.

use super::{Fd, Locked};
use crate::poll::{Mode, Slot};

impl Fd {
    /// The poller's part of it, which is never unmapped. Not of a file.
    pub fn slot(&self) -> &'static Slot {
        self.state().slot()
    }

    /// The lock of a direction, from whoever has forgotten it.
    ///
    /// # Safety
    /// A [`Locked`] of this direction was forgotten, and nobody else takes it up.
    pub unsafe fn locked(&self, mode: Mode) -> Locked<'_> {
        Locked(self.state(), mode)
    }
}
