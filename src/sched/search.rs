//! Who looks for work: the counts by which no work is left beside an idle P.
//!
//! Whoever makes work puts it in a queue first and then asks [`Search::wanted`]; a thread that stops
//! looking says so first ([`Search::p_idle`], [`Search::end`]) and then looks into every queue once more,
//! behind [`Search::second_look`]. Both have a `SeqCst` fence between their two steps: one of them sees
//! the other.

use crate::atomic::{AtomicU32, Ordering, fence};

pub(crate) struct Search {
    /// Ps that no thread has.
    idle: AtomicU32,
    /// Threads that look for work.
    searching: AtomicU32,
}

impl Search {
    #[cfg(not(loom))]
    pub const fn new() -> Search {
        Search { idle: AtomicU32::new(0), searching: AtomicU32::new(0) }
    }

    #[cfg(loom)]
    pub fn new() -> Search {
        Search { idle: AtomicU32::new(0), searching: AtomicU32::new(0) }
    }

    /// A thread gives a P up.
    pub fn p_idle(&self) {
        self.idle.fetch_add(1, Ordering::SeqCst);
    }

    /// A thread takes an idle P.
    pub fn p_taken(&self) {
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    /// Ps that no thread has.
    pub fn idle(&self) -> u32 {
        self.idle.load(Ordering::SeqCst)
    }

    /// There is new work: whether a thread should be woken to look for it. Not if one is looking (it looks
    /// again on its way out), nor if there is no P for it.
    #[inline]
    pub fn wanted(&self) -> bool {
        fence(Ordering::SeqCst); // the work is published before the counts are read
        self.idle.load(Ordering::SeqCst) != 0 && self.searching.load(Ordering::SeqCst) == 0
    }

    /// Whether no P is idle and nobody looks for work: who makes some finds no taker.
    pub fn all_busy(&self) -> bool {
        self.idle.load(Ordering::SeqCst) == 0 && self.searching.load(Ordering::SeqCst) == 0
    }

    /// Begins a search for a thread that is to be woken with what `take` finds, an idle P; not if another
    /// was faster, or there is no P any more.
    ///
    /// While this counts as a search, other makers leave it to us. So if it comes to nothing, it asks once
    /// more for them: a P may have become idle meanwhile (golang/go#45867).
    pub fn claim<P>(&self, take: impl Fn() -> Option<P>) -> Option<P> {
        while self.searching.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            let p = take();
            if p.is_some() {
                return p;
            }
            self.end();
            if !self.wanted() {
                break;
            }
        }
        None
    }

    /// Begins a search.
    pub fn begin(&self) {
        self.searching.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends one, with or without success.
    pub fn end(&self) {
        self.searching.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether one more of `all` Ps may search: not more than half of those that are busy.
    pub fn allows_one_more(&self, all: u32) -> bool {
        2 * self.searching.load(Ordering::SeqCst) < all - self.idle()
    }

    /// The P is idle and the search has ended: what is looked at from here on was there before, or its
    /// maker sees the idle P.
    pub fn second_look(&self) {
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod model {
    //! M6: work is put in a queue while a thread gives up looking, or gives its P up without having
    //! looked. Either the maker wakes somebody or the thread finds it.
    //!
    //! Mutations seen to fail: the fence of `second_look` or that of `wanted` removed; a `claim` that
    //! comes to nothing without asking once more.

    use super::*;
    use crate::model::runq::RunQueue;
    use loom::sync::Arc;
    use loom::thread;

    fn check(searches: bool, next: bool) {
        loom::model(move || {
            let world = Arc::new((Search::new(), RunQueue::new()));
            if searches {
                world.0.begin();
            }
            let thread = {
                let world = world.clone();
                thread::spawn(move || {
                    let (search, queue) = &*world;
                    if searches && !queue.is_empty() {
                        search.end();
                        return true;
                    }
                    search.p_idle();
                    if searches {
                        search.end();
                    }
                    search.second_look();
                    !queue.is_empty()
                })
            };
            let (search, queue) = &*world;
            if next {
                assert_eq!(queue.put_next(7), None);
            } else {
                assert!(queue.put(7));
            }
            let woken = search.wanted() && search.claim(|| Some(())).is_some();
            assert!(thread.join().unwrap() || woken, "work beside an idle P");
        });
    }

    /// Two that make work, one of which finds the idle P taken, and a thread that gives another P up.
    #[test]
    fn two_makers_and_a_thread_that_gives_up() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let world = Arc::new((Search::new(), RunQueue::new(), loom::sync::Mutex::new(0)));
            let take = |world: &(Search, RunQueue, loom::sync::Mutex<i32>)| {
                let mut ps = world.2.lock().unwrap();
                (*ps != 0).then(|| {
                    *ps -= 1;
                    world.0.p_taken();
                })
            };
            let gives_up = {
                let world = world.clone();
                thread::spawn(move || {
                    {
                        let mut ps = world.2.lock().unwrap();
                        *ps += 1;
                        world.0.p_idle();
                    }
                    world.0.second_look();
                    !world.1.is_empty()
                })
            };
            let other = {
                let world = world.clone();
                // Its work has found its way already; it asks all the same.
                thread::spawn(move || world.0.claim(|| take(&world)).is_some())
            };
            assert!(world.1.put(7));
            let woken = world.0.wanted() && world.0.claim(|| take(&world)).is_some();
            let (found, other) = (gives_up.join().unwrap(), other.join().unwrap());
            assert!(woken || other || found, "work beside an idle P");
        });
    }

    #[test]
    fn work_and_a_search_that_ends() {
        check(true, false);
        check(true, true);
    }

    #[test]
    fn work_and_a_thread_that_gives_up_unasked() {
        check(false, false);
        check(false, true);
    }
}
