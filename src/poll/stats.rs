//! What a poller has done so far. Counted beside the work, ordering nothing.

use core::sync::atomic::{AtomicU64, Ordering};

/// A reading of a poller's counts (see [`Netpoll::stats`](crate::poll::Netpoll::stats)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Polls, blocking or not.
    pub polls: u64,
    /// Polls that brought nothing.
    pub empty_polls: u64,
    /// Events, breaks and stale ones included.
    pub events: u64,
    /// Events for a descriptor that had been closed.
    pub stale_events: u64,
    /// Breaks that were written, not those that found one under way.
    pub breaks: u64,
}

#[derive(Default)]
pub(super) struct Counts {
    polls: AtomicU64,
    empty_polls: AtomicU64,
    events: AtomicU64,
    stale_events: AtomicU64,
    breaks: AtomicU64,
}

impl Counts {
    pub const fn new() -> Counts {
        Counts {
            polls: AtomicU64::new(0),
            empty_polls: AtomicU64::new(0),
            events: AtomicU64::new(0),
            stale_events: AtomicU64::new(0),
            breaks: AtomicU64::new(0),
        }
    }

    #[inline]
    pub fn poll(&self, events: usize) {
        self.polls.fetch_add(1, Ordering::Relaxed);
        if events == 0 {
            self.empty_polls.fetch_add(1, Ordering::Relaxed);
        } else {
            self.events.fetch_add(events as u64, Ordering::Relaxed);
        }
    }

    #[cold]
    pub fn stale_event(&self) {
        self.stale_events.fetch_add(1, Ordering::Relaxed);
    }

    pub fn breaking(&self) {
        self.breaks.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Stats {
            polls: read(&self.polls),
            empty_polls: read(&self.empty_polls),
            events: read(&self.events),
            stale_events: read(&self.stale_events),
            breaks: read(&self.breaks),
        }
    }
}
