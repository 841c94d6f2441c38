//! The end, when it is asked for: requests that have begun are answered, no others begin.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use netpoll::sync::WaitGroup;
use netpoll::time::sleep;

/// Time for connections to notice a request that is there already.
const MOMENT: Duration = Duration::from_millis(50);

static ENDING: AtomicBool = AtomicBool::new(false);
static BEGUN: WaitGroup = WaitGroup::new();

/// From a request's first byte to the end of its answer.
pub struct Begun(());

impl Begun {
    /// A request has begun.
    pub fn new() -> Begun {
        BEGUN.add(1);
        Begun(())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        BEGUN.done();
    }
}

/// Answers are the last of their connections from now on.
pub fn begin() {
    ENDING.store(true, Ordering::Relaxed);
}

/// Whether the answer about to be given is the last of its connection.
pub fn has_begun() -> bool {
    ENDING.load(Ordering::Relaxed)
}

/// Waits until all requests that have begun are answered.
pub fn wait() {
    sleep(MOMENT);
    BEGUN.wait();
}
