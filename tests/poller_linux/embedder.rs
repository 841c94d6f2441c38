//! An embedder without tasks or threads: waiting runs its event loop in place. A waiter is a number, the
//! woken are a `Vec`, and the poller is a static.

use crate::{DESCRIPTORS, MS, pipe};
use netpoll::poll::{Error, Kernel, Linux, Mode, Netpoll, Scheduler, Side, Waiter, WakeList};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static POLLER: Netpoll<Linux, Loop> =
    Netpoll::new(Linux::new(), Loop { last: AtomicUsize::new(0), woken: AtomicUsize::new(0) });

#[derive(Clone, Copy)]
struct Ticket(usize);

// SAFETY: the number is shifted clear of 0, 1 and 2, and back.
unsafe impl Waiter for Ticket {
    fn into_word(self) -> usize {
        self.0 + 3
    }

    unsafe fn from_word(word: usize) -> Ticket {
        Ticket(word - 3)
    }
}

#[derive(Default)]
struct Tickets(Vec<Ticket>);

impl WakeList<Ticket> for Tickets {
    fn push(&mut self, ticket: Ticket) {
        self.0.push(ticket);
    }
}

struct Loop {
    /// The ticket handed out last.
    last: AtomicUsize,
    /// The ticket woken last.
    woken: AtomicUsize,
}

impl Scheduler for Loop {
    type Waiter = Ticket;
    type List = Tickets;

    fn park(&self, commit: impl FnOnce(Ticket) -> bool) {
        let ticket = self.last.fetch_add(1, Relaxed) + 1;
        if commit(Ticket(ticket)) {
            while self.woken.load(Relaxed) != ticket {
                // A failed poll readies everybody, this ticket among them.
                if let Ok((tickets, delta)) = POLLER.netpoll(-1) {
                    tickets.0.into_iter().for_each(|ticket| self.ready(ticket));
                    POLLER.adjust_waiters(delta);
                }
            }
        }
    }

    fn ready(&self, ticket: Ticket) {
        self.woken.store(ticket.0, Relaxed);
    }
}

#[test]
fn waits_and_times_out_in_place() {
    let _shared = DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (reader, mut writer) = pipe();
    let pd = POLLER.open(reader.as_raw_fd()).unwrap();
    for _ in 0..3 {
        writer.write_all(b"x").unwrap();
        assert_eq!(POLLER.wait(pd, Mode::Read), Ok(()));
    }
    assert_eq!(POLLER.scheduler().last.load(Relaxed), 3, "each wait parked");
    let end = POLLER.kernel().nanotime() + 3 * MS;
    POLLER.set_deadline(pd, Side::Read, Some(end)).unwrap();
    assert_eq!(POLLER.wait(pd, Mode::Read), Err(Error::Timeout));
    assert!(POLLER.kernel().nanotime() >= end);
    assert_eq!(POLLER.waiters(), 0);
    POLLER.unblock(pd).unwrap();
    POLLER.close(pd).unwrap();
}
