//! Who blocks in the poller: one thread at most, without a P.
//!
//! A thread that goes idle makes its P idle first and then asks for the role. One that comes back from the
//! poller gives the role up first and then looks for an idle P. So if the first is refused, for the role is
//! not free yet, the second finds its P, and will ask for the role again before it sleeps: timers that
//! were set meanwhile, and descriptors, are never left without somebody who waits for them.

use crate::atomic::{AtomicU32, Ordering};

pub(crate) struct Role(AtomicU32);

impl Role {
    #[cfg(not(loom))]
    pub const fn new() -> Role {
        Role(AtomicU32::new(0))
    }

    #[cfg(loom)]
    pub fn new() -> Role {
        Role(AtomicU32::new(0))
    }

    /// Whether a thread has it.
    #[inline]
    pub fn taken(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// Takes it, behind the P's becoming idle; `false`: another thread has it.
    pub fn begin(&self) -> bool {
        self.0.swap(1, Ordering::SeqCst) == 0
    }

    /// Gives it up, before an idle P is looked for.
    pub fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod model {
    //! M5 (I9): one thread comes back from the poller, one goes idle with a timer that nobody sleeps for yet, and
    //! one has work and looks for an idle P.
    //!
    //! Mutations seen to fail: the idle P looked for before the role is given up; the role asked for before the
    //! P is idle.

    use super::*;
    use crate::model::search::Search;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    struct World {
        role: Role,
        search: Search,
        idle: Mutex<u32>,
    }

    impl World {
        fn take_p(&self) -> Option<()> {
            let mut idle = self.idle.lock().unwrap();
            (*idle != 0).then(|| {
                *idle -= 1;
                self.search.p_taken();
            })
        }

        fn put_p(&self) {
            let mut idle = self.idle.lock().unwrap();
            *idle += 1;
            self.search.p_idle();
        }
    }

    #[test]
    fn one_comes_back_and_one_goes_idle() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let world = Arc::new(World { role: Role::new(), search: Search::new(), idle: Mutex::new(0) });
            assert!(world.role.begin());
            let returning = {
                let world = world.clone();
                thread::spawn(move || {
                    world.role.end();
                    world.take_p().is_some()
                })
            };
            let submitter = {
                let world = world.clone();
                thread::spawn(move || {
                    world.search.wanted() && world.search.claim(|| world.take_p()).is_some()
                })
            };
            world.put_p();
            let polls = world.role.begin();
            let (returned, woken) = (returning.join().unwrap(), submitter.join().unwrap());
            assert!(polls || returned || woken, "nobody waits for the timer, or ever will");
            assert!(!(returned && woken), "one P for two");
        });
    }
}
