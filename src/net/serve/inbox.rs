//! How an idle connection gets from whoever takes its word out of the poller to the task that hands out
//! tasks, without a lock: that may be the scheduler itself, which parks for nobody.
//!
//! [`Idle`] tells whose the connection is, [`Inbox`] is the way. Both stand alone, for the model checker.

use crate::atomic::{AtomicPtr, AtomicU32, Ordering, fence};
use core::ptr::{self, NonNull};

/// A place in an [`Inbox`].
pub(crate) struct Node {
    next: AtomicPtr<Node>,
}

impl Node {
    pub fn new() -> Node {
        Node { next: AtomicPtr::new(ptr::null_mut()) }
    }
}

/// What many put in and one takes out, all at once: the newest node, of which each points to the one before.
pub(crate) struct Inbox {
    newest: AtomicPtr<Node>,
}

/// In the place of the newest: it is empty, and who takes out is parked.
fn asleep() -> *mut Node {
    ptr::without_provenance_mut(1)
}

impl Inbox {
    pub fn new() -> Inbox {
        Inbox { newest: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Puts a node in. `true`: the one who takes out is parked, and the caller's to ready.
    ///
    /// # Safety
    /// The node is in no inbox, and stays until it was taken out. With that it may be gone before this
    /// returns.
    pub unsafe fn push(&self, node: NonNull<Node>) -> bool {
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            let parked = newest == asleep();
            // SAFETY: not put in yet, so it is there.
            let next = unsafe { &node.as_ref().next };
            next.store(if parked { ptr::null_mut() } else { newest }, Ordering::Relaxed);
            // Release: what the node stands for. Acquire: the park of the one who is to be readied.
            let put =
                self.newest.compare_exchange_weak(newest, node.as_ptr(), Ordering::AcqRel, Ordering::Relaxed);
            match put {
                Ok(_) => return parked,
                Err(now) => newest = now,
            }
        }
    }

    /// Takes all nodes out, the oldest first. One caller at a time.
    pub fn take(&self) -> Chain {
        let mut left = self.newest.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut();
        while let Some(node) = NonNull::new(left) {
            // SAFETY: taken out, and nobody else's; it stays until it comes out of the chain.
            let next = unsafe { &node.as_ref().next };
            left = next.load(Ordering::Relaxed);
            next.store(oldest, Ordering::Relaxed);
            oldest = node.as_ptr();
        }
        Chain(oldest)
    }

    /// The last step of the park of the one who takes out. `false`: something has come.
    pub fn sleep(&self) -> bool {
        let newest = &self.newest;
        newest.compare_exchange(ptr::null_mut(), asleep(), Ordering::Release, Ordering::Relaxed).is_ok()
    }
}

/// Nodes that were taken out.
pub(crate) struct Chain(*mut Node);

impl Chain {
    pub const fn empty() -> Chain {
        Chain(ptr::null_mut())
    }
}

impl Iterator for Chain {
    type Item = NonNull<Node>;

    fn next(&mut self) -> Option<NonNull<Node>> {
        let node = NonNull::new(self.0)?;
        // SAFETY: in the chain, so it is there, and this chain's alone.
        self.0 = unsafe { node.as_ref().next.load(Ordering::Relaxed) };
        Some(node)
    }
}

/// Whose a connection is that goes idle: its task's, until that has left it; then of whoever takes its word
/// out of the poller.
pub(crate) struct Idle(AtomicU32);

/// The task leaves its word with the poller, and has not gone yet.
const LEAVING: u32 = 0;
/// It has gone.
const LEFT: u32 = 1;
/// The word was taken out.
const CLAIMED: u32 = 2;

impl Idle {
    pub fn new() -> Idle {
        Idle(AtomicU32::new(CLAIMED))
    }

    /// Before the word is left.
    pub fn begin(&self) {
        self.0.store(LEAVING, Ordering::Relaxed); // the poller's exchange publishes it
    }

    /// Behind it. `true`: the connection is the caller's no more. `false`: the word has been taken out
    /// already, and it still is.
    pub fn leave(&self) -> bool {
        // Acquire: what made somebody take it out.
        self.0.compare_exchange(LEAVING, LEFT, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// By whoever took the word out. `true`: the connection is the caller's. `false`: still its task's, which
    /// will see that.
    pub fn claim(&self) -> bool {
        self.0.swap(CLAIMED, Ordering::AcqRel) == LEFT
    }
}

/// Whether the server ends, and nothing may rest any more.
pub(crate) struct Ending(AtomicU32);

impl Ending {
    pub fn new() -> Ending {
        Ending(AtomicU32::new(0))
    }

    /// From now on. Who calls this takes back the words that were left before.
    pub fn begin(&self) {
        self.0.store(1, Ordering::Release);
        // Stored, now he looks for words; a task leaves its word, and then looks here. One of the two sees
        // the other: with `behind`'s.
        fence(Ordering::SeqCst);
    }

    /// For a task that has just left its word, and takes it back itself if so.
    pub fn behind(&self) -> bool {
        fence(Ordering::SeqCst); // see `begin`
        self.0.load(Ordering::Relaxed) != 0
    }

    /// For whoever has a connection in hand.
    pub fn seen(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// Mutations seen to fail: a `leave` that is a store, or reads a claim without acquiring it; a `claim` that
/// is a load, or takes what is still leaving; `begin` or `behind` without the fence; a `push` that does not say
/// that somebody sleeps, or takes his mark for a node; a `sleep` that is a store.
#[cfg(all(test, loom))]
mod models {
    use super::{Ending, Idle, Inbox, Node};
    use crate::poll::model::{Os, input, registered};
    use crate::poll::{Mode, Netpoll, Scheduler, Side, WakeList};
    use core::ptr::NonNull;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    use loom::thread;
    use std::boxed::Box;
    use std::vec::Vec;

    fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    /// An inbox, and who takes out of it: by a flag and loom's own way to park.
    struct Post {
        inbox: Inbox,
        nodes: [Node; 2],
        readied: AtomicBool,
    }

    // SAFETY: nodes are pushed once, and outlive the threads.
    unsafe impl Send for Post {}
    // SAFETY: as above.
    unsafe impl Sync for Post {}

    /// Everything comes out once, in the order of each who puts in; who sleeps is woken, and once.
    #[test]
    fn what_is_put_in_comes_out() {
        check(|| {
            let inbox = Inbox::new();
            let nodes = [Node::new(), Node::new()];
            let post = Arc::new(Post { inbox, nodes, readied: AtomicBool::new(false) });
            let clerk = thread::current();
            let pushers: Vec<_> = (0..2)
                .map(|i| {
                    let (post, clerk) = (post.clone(), clerk.clone());
                    thread::spawn(move || {
                        // SAFETY: once, and it stays.
                        if unsafe { post.inbox.push(NonNull::from(&post.nodes[i])) } {
                            assert!(!post.readied.swap(true, Ordering::Release), "two wakes for one sleep");
                            clerk.unpark();
                        }
                    })
                })
                .collect();
            let mut came = 0;
            loop {
                came += post.inbox.take().count();
                if came == 2 {
                    break;
                }
                if post.inbox.sleep() {
                    while !post.readied.swap(false, Ordering::Acquire) {
                        thread::park();
                    }
                }
            }
            for pusher in pushers {
                pusher.join().unwrap();
            }
            assert_eq!(post.inbox.take().count(), 0);
        });
    }

    /// A connection, and how often it was put into the inbox.
    struct Connection {
        idle: Idle,
        put: AtomicUsize,
    }

    impl Connection {
        fn claim(&self) {
            if self.idle.claim() {
                self.put.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    struct Claims;

    #[derive(Default)]
    struct Claimed;

    impl Scheduler for Claims {
        type Waiter = NonNull<Connection>;
        type List = Claimed;

        fn park(&self, _: impl FnOnce(NonNull<Connection>) -> bool) {
            unreachable!()
        }

        fn ready(&self, waiter: NonNull<Connection>) {
            // SAFETY: the world's, which outlives its threads.
            unsafe { waiter.as_ref() }.claim();
        }
    }

    impl WakeList<NonNull<Connection>> for Claimed {
        fn push(&mut self, waiter: NonNull<Connection>) {
            // SAFETY: as above.
            unsafe { waiter.as_ref() }.claim();
        }
    }

    struct World {
        poller: Netpoll<Os, Claims>,
        connection: Box<Connection>,
        ending: Ending,
    }

    impl World {
        fn new() -> Arc<World> {
            let poller = Netpoll::new(Os::default(), Claims);
            poller.init().unwrap();
            poller.register(10).unwrap();
            let connection = Box::new(Connection { idle: Idle::new(), put: AtomicUsize::new(0) });
            Arc::new(World { poller, connection, ending: Ending::new() })
        }

        fn take_back(&self) {
            if registered(&self.poller, 0).withdraw(Mode::Read, NonNull::from(&*self.connection)) {
                self.connection.claim();
            }
        }

        /// As `Server::try_rest`: whether it is no longer this task's.
        fn rest(&self) -> bool {
            let pd = registered(&self.poller, 0);
            self.connection.idle.begin();
            let word = NonNull::from(&*self.connection);
            let left = pd.enlist(Mode::Read, word) == Ok(true) && self.connection.idle.leave();
            if left && self.ending.behind() {
                self.take_back();
            }
            left
        }

        /// As `Server::end`.
        fn end(&self) {
            self.ending.begin();
            self.take_back();
        }

        fn event(&self) {
            self.poller.kernel().events.lock().unwrap().push(input(&self.poller, 0));
            let (_, delta) = self.poller.netpoll(0).unwrap();
            self.poller.adjust_waiters(delta);
        }

        fn close(&self) {
            registered(&self.poller, 0).unblock().unwrap();
        }

        fn expire(&self) {
            registered(&self.poller, 0).set_deadline(Side::Read, Some(-1)).unwrap();
        }
    }

    /// While others do `acts`, the connection is left to rest. Then it is in one hand, and nobody waits.
    fn one_has_it(acts: &'static [fn(&World)]) {
        check(move || {
            let world = World::new();
            let others: Vec<_> = acts
                .iter()
                .map(|act| {
                    let world = world.clone();
                    thread::spawn(move || act(&world))
                })
                .collect();
            let left = world.rest();
            // A task that is awake because the server ends sees that, or it would go on for ever.
            let ends = acts.len() == 1;
            assert!(left || !ends || world.ending.seen());
            for other in others {
                other.join().unwrap();
            }
            let put = world.connection.put.load(Ordering::SeqCst);
            assert_eq!(put, usize::from(left), "in the inbox {put} times, left: {left}");
            assert!(!world.poller.any_waiters());
        });
    }

    /// A socket's bytes, and a poll in another thread that finds them and hands the event on.
    struct Bytes {
        world: Arc<World>,
        unread: AtomicUsize,
        polling: AtomicBool,
    }

    impl Bytes {
        /// As a poll of the scheduler's: the kernel looks at the socket when it fetches the event.
        fn poll(&self) {
            self.polling.swap(true, Ordering::SeqCst);
            fence(Ordering::SeqCst); // the kernel's, on the way in
            if self.unread.load(Ordering::SeqCst) != 0 {
                self.world.event();
            }
            self.polling.store(false, Ordering::SeqCst);
        }
    }

    /// A task reads what there is and lets the connection rest, while a poll is under way and another comes behind
    /// it. If nobody was polling behind the read, an edge that takes the word is of bytes that nobody has read.
    ///
    /// Mutations seen to fail: looking whether somebody polls before the read, or without the fence; a poll that says so
    /// only when it has its event.
    #[test]
    fn what_is_certain_is_there() {
        check(|| {
            let bytes =
                Bytes { world: World::new(), unread: AtomicUsize::new(1), polling: AtomicBool::new(false) };
            let bytes = Arc::new(bytes);
            let poller = {
                let bytes = bytes.clone();
                thread::spawn(move || {
                    bytes.poll();
                    bytes.poll();
                })
            };
            bytes.unread.store(0, Ordering::SeqCst); // the read
            fence(Ordering::SeqCst);
            let certain = !bytes.polling.load(Ordering::SeqCst);
            let left = bytes.world.rest();
            poller.join().unwrap();
            let woken = bytes.world.connection.put.load(Ordering::SeqCst) != 0;
            assert!(!(certain && left && woken), "woken for what was read");
        });
    }

    #[test]
    fn an_event_or_the_end_takes_it() {
        one_has_it(&[World::event, World::end]);
    }

    #[test]
    fn the_end_alone_takes_it() {
        one_has_it(&[World::end]);
    }

    #[test]
    fn an_event_or_its_close_takes_it() {
        one_has_it(&[World::event, World::close]);
    }

    #[test]
    fn a_deadline_or_the_end_takes_it() {
        one_has_it(&[World::expire, World::end]);
    }
}
