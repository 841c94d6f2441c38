//! [`Barrier`]: a number of tasks that wait for each other.

use super::park::{WaitReason, getg, park};
use super::waitlist::{WaitList, Waiter};
use crate::lock::Mutex;
use core::fmt;

/// Lets tasks go on when a number of them have come (std: `Barrier`). It may be used again and again.
pub struct Barrier {
    parties: usize,
    state: Mutex<State>,
}

struct State {
    arrived: usize,
    list: WaitList<()>,
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("parties", &self.parties).finish_non_exhaustive()
    }
}

impl Barrier {
    /// For `parties` tasks; 0 is as 1, with which nobody waits.
    pub const fn new(parties: usize) -> Barrier {
        Barrier { parties, state: Mutex::new(State { arrived: 0, list: WaitList::new() }) }
    }

    /// Waits until as many tasks have come as the barrier is for. `true` for exactly one of them, the
    /// last to come.
    pub fn wait(&self) -> bool {
        let waiter = Waiter::new(getg(), ());
        let mut state = self.state.lock();
        state.arrived += 1;
        if state.arrived < self.parties {
            // SAFETY: this frame stays until the task is readied, by who took the waiter out.
            unsafe { state.list.push(&waiter) };
            park(WaitReason::Barrier, move || drop(state));
            return false;
        }
        state.arrived = 0;
        let woken = state.list.take_all();
        drop(state);
        woken.ready();
        true
    }
}
