//! The poller against a fake kernel and a toy scheduler: every transition of a descriptor, every error,
//! and no system call. `poller_linux` runs the same poller on the real kernel.

mod breaks;
mod deadlines;
mod enlist;
mod events;
mod fake;
mod faults;
mod misuse;
mod random;
mod registration;
mod sched;
mod semaphore;

use fake::Fake;
use netpoll::poll::{Mode, Netpoll, PollDesc};
use netpoll::sys::epoll::EpollFlags;
use sched::{Threads, poll, spawn};

type Poller = Netpoll<Fake, Threads>;

fn poller() -> Poller {
    Netpoll::new(Fake::new(), Threads)
}

/// Descriptors of the test's; the poller's own are the first ones.
const FD: i32 = 100;

/// Whether a reader would find an edge without parking; it is used up. No other events may be pending.
fn latched(p: &Poller, pd: PollDesc) -> bool {
    std::thread::scope(|s| {
        let reader = spawn(s, 0, || p.wait(pd, Mode::Read));
        let parked = reader.settle();
        if parked {
            p.kernel().event(p.fd(pd).unwrap(), EpollFlags::IN);
            assert_eq!(poll(p, 0), [0]);
        }
        assert_eq!(reader.join(), Ok(()));
        !parked
    })
}
