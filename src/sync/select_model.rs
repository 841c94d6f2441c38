//! `select!` over the poller under the model checker: the shipped `selectgo.rs`, `claimant.rs`,
//! `waitlist.rs`, `chan.rs` and `waiter.rs`, over the shipped poller and a kernel of the model's.
//!
//! Task 0 selects. Whatever wins, what did not win is still there: the byte for the next wait, the value for
//! the next receive; nobody is readied twice, no task stays parked, and nobody is left in the poller's count.
//!
//! Mutations seen to fail: in `poll`, an `enlist` that does not look again, whose exchange is not `SeqCst`
//! (a close is missed), that does not count, or puts the word over an edge; a `withdraw` by a
//! swap (an edge is lost), or that does not count; an event that leaves `NIL` for a word. In `waitlist.rs`,
//! an `enter` that is a store, a claim that loses to `ENTERING`, or a timer that readies a task that is
//! entering. In `claimant.rs`, a task readied that is entering, or by a claim that was lost; `done` told
//! before the claim, or only after some claims. In `selectgo.rs`, words not taken back, or those that were
//! never given; a frame left before `done`; a descriptor's claim taken for more than "look again".

use super::chan::{AnyChan, Attempt, Chan, State};
use super::park::{GQueue, WaitWord, deadline_passes, getg, goready, park_if, task};
use super::selectgo::{Arm, Direction, Kind, Outcome, run};
use crate::poll::model::{Os, input, registered};
use crate::poll::{Error, Mode, Netpoll, Registered, Scheduler, Side};
use core::sync::atomic::AtomicBool as StdBool;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};

struct Tasks;

impl Scheduler for Tasks {
    type Waiter = WaitWord;
    type List = GQueue;

    fn park(&self, commit: impl FnOnce(WaitWord) -> bool) {
        park_if(|| commit(getg().into()));
    }

    fn ready(&self, waiter: WaitWord) {
        if let Some(g) = waiter.claim() {
            goready(g);
        }
    }
}

/// A poller with two descriptors, what the kernel holds for each, and a channel.
struct World {
    poller: Netpoll<Os, Tasks>,
    /// Bytes to be read.
    bytes: [AtomicUsize; 2],
    /// Known to have none, as in `net::fd`; task 0's.
    exhausted: [StdBool; 2],
    chan: Chan<u32>,
}

// SAFETY: the channel is under its lock.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

impl World {
    fn new() -> Arc<World> {
        let poller = Netpoll::new(Os::default(), Tasks);
        poller.init().unwrap();
        for fd in [10, 11] {
            poller.register(fd).unwrap();
        }
        let bytes = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let exhausted = [StdBool::new(true), StdBool::new(true)];
        Arc::new(World { poller, bytes, exhausted, chan: Chan::make(0).unwrap() })
    }

    fn pd(&self, i: usize) -> Registered<'_, Os, Tasks> {
        registered(&self.poller, i as u32)
    }

    /// Polls without blocking, and readies the woken.
    fn poll(&self) {
        let (woken, delta) = self.poller.netpoll(0).unwrap();
        woken.0.into_iter().for_each(goready);
        self.poller.adjust_waiters(delta);
    }

    /// A byte arrives at descriptor `i`.
    fn arrives(&self, i: usize) {
        self.bytes[i].fetch_add(1, Ordering::SeqCst);
        self.poller.kernel().events.lock().unwrap().push(input(&self.poller, i as u32));
        self.poll();
    }

    fn send(&self) {
        let mut value = 7;
        // SAFETY: a value.
        assert!(unsafe { self.chan.send(&raw mut value) });
    }

    fn recv(&self) {
        let mut value = 0;
        // SAFETY: room for a value.
        assert!(unsafe { self.chan.recv(&raw mut value) });
        assert_eq!(value, 7);
    }

    /// The read that follows, as `net::fd` makes it: an exhausted direction is not tried before there is
    /// an edge, so this waits for ever if the only one was lost.
    fn read(&self, i: usize) {
        loop {
            if self.exhausted[i].swap(false, Ordering::Relaxed) {
                self.pd(i).wait(Mode::Read).unwrap();
            } else {
                self.pd(i).reset(Mode::Read).unwrap();
            }
            if self.bytes[i].fetch_add(0, Ordering::SeqCst) > 0 {
                return;
            }
            self.exhausted[i].store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert_eq!(self.poller.waiters(), 0);
        self.chan.close();
        // SAFETY: the last handles; a number needs no drop.
        unsafe {
            self.chan.leave();
            self.chan.leave();
        }
    }
}

/// A direction of `World`, which looks as `net::fd` does.
struct Bytes<'a> {
    world: &'a World,
    i: usize,
    result: Result<(), Error>,
}

impl Bytes<'_> {
    fn new(world: &World, i: usize) -> Bytes<'_> {
        Bytes { world, i, result: Ok(()) }
    }

    fn arm<'a>(&'a mut self, outcome: &'a mut Outcome) -> Arm<'a> {
        Arm { kind: Kind::Descriptor { direction: self, ready: false }, outcome }
    }
}

impl Direction for Bytes<'_> {
    fn look(&mut self, _: bool) -> bool {
        let edge = self.world.pd(self.i).take_edge(Mode::Read);
        self.result = edge.map(drop);
        let exhausted = &self.world.exhausted[self.i];
        match edge {
            Ok(false) if exhausted.load(Ordering::Relaxed) => false,
            Ok(_) => {
                let ready = self.world.bytes[self.i].fetch_add(0, Ordering::SeqCst) > 0;
                exhausted.store(!ready, Ordering::Relaxed);
                ready
            }
            Err(_) => true,
        }
    }

    fn enlist(&mut self, word: WaitWord) -> bool {
        self.world.pd(self.i).enlist(Mode::Read, word) == Ok(true)
    }

    fn withdraw(&mut self, word: WaitWord) -> bool {
        self.world.pd(self.i).withdraw(Mode::Read, word)
    }

    fn leave(&mut self) {}
}

fn recv_arm<'a>(world: &'a World, value: &'a mut u32, outcome: &'a mut Outcome) -> Arm<'a> {
    unsafe fn attempt(chan: AnyChan, state: &mut State, value: *mut ()) -> Attempt {
        // SAFETY: what the arm below holds.
        unsafe { chan.of::<u32>().try_recv(state, value.cast()) }
    }
    let kind = Kind::Chan { chan: world.chan.any(), attempt, sends: false, value: (&raw mut *value).cast() };
    Arm { kind, outcome }
}

/// Descriptor 0 or the channel; what of it won.
enum Won {
    Bytes(Result<(), Error>),
    Message,
}

fn select(world: &World) -> Won {
    let (mut bytes, mut value) = (Bytes::new(world, 0), 0);
    let mut outcomes = [Outcome::NotChosen, Outcome::NotChosen];
    let [first, second] = &mut outcomes;
    run([bytes.arm(first), recv_arm(world, &mut value, second)], false);
    if outcomes[0] != Outcome::NotChosen {
        assert!(outcomes[1] == Outcome::NotChosen && value == 0, "two arms");
        return Won::Bytes(bytes.result);
    }
    assert!(outcomes[1] == Outcome::Moved && value == 7);
    Won::Message
}

fn check(model: impl Fn(Arc<World>) + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || model(World::new()));
}

fn spawn(n: usize, world: &Arc<World>, f: impl FnOnce(&World) + 'static) -> loom::thread::JoinHandle<()> {
    let world = world.clone();
    task(n, move || f(&world))
}

#[test]
fn select_with_a_sender() {
    check(|world| {
        let sender = spawn(1, &world, World::send);
        assert!(matches!(select(&world), Won::Message));
        sender.join().unwrap();
    });
}

#[test]
fn select_with_an_event_and_a_sender() {
    check(|world| {
        let event = spawn(1, &world, |world| world.arrives(0));
        let sender = spawn(2, &world, World::send);
        match select(&world) {
            Won::Bytes(result) => {
                assert_eq!(result, Ok(()));
                world.read(0);
                world.recv();
            }
            Won::Message => world.read(0),
        }
        event.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn select_with_a_close_and_a_sender() {
    check(|world| {
        let closer = spawn(1, &world, |world| world.pd(0).unblock().unwrap());
        let sender = spawn(2, &world, World::send);
        match select(&world) {
            Won::Bytes(result) => {
                assert_eq!(result, Err(Error::Closing));
                world.recv();
            }
            Won::Message => {}
        }
        assert_eq!(world.pd(0).wait(Mode::Read), Err(Error::Closing));
        closer.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn select_with_a_deadline_and_a_sender() {
    check(|world| {
        world.pd(0).set_deadline(Side::Read, Some(100)).unwrap();
        world.poller.kernel().now.store(100, Ordering::Relaxed);
        let timer = spawn(1, &world, World::poll); // fires
        let sender = spawn(2, &world, World::send);
        match select(&world) {
            Won::Bytes(result) => {
                assert_eq!(result, Err(Error::Timeout));
                world.recv();
            }
            Won::Message => {}
        }
        assert_eq!(world.pd(0).wait(Mode::Read), Err(Error::Timeout));
        timer.join().unwrap();
        sender.join().unwrap();
    });
}

/// Nothing but the descriptor.
fn select_alone(world: &World) -> Result<(), Error> {
    let (mut bytes, mut outcome) = (Bytes::new(world, 0), Outcome::NotChosen);
    run([bytes.arm(&mut outcome)], false);
    assert!(outcome == Outcome::Moved);
    bytes.result
}

#[test]
fn select_with_a_close() {
    check(|world| {
        let closer = spawn(1, &world, |world| world.pd(0).unblock().unwrap());
        assert_eq!(select_alone(&world), Err(Error::Closing));
        closer.join().unwrap();
    });
}

/// The deadline passes, is moved on, and passes again.
#[test]
fn select_with_a_deadline_that_is_moved() {
    check(|world| {
        world.pd(0).set_deadline(Side::Read, Some(100)).unwrap();
        world.poller.kernel().now.store(100, Ordering::Relaxed);
        let timer = spawn(1, &world, World::poll); // fires
        let setter = spawn(2, &world, |world| {
            world.pd(0).set_deadline(Side::Read, Some(1000)).unwrap();
            world.pd(0).set_deadline(Side::Read, Some(1)).unwrap(); // in the past
        });
        assert_eq!(select_alone(&world), Err(Error::Timeout));
        timer.join().unwrap();
        setter.join().unwrap();
    });
}

#[test]
fn select_with_an_event_and_a_close() {
    check(|world| {
        let event = spawn(1, &world, |world| world.arrives(0));
        let closer = spawn(2, &world, |world| world.pd(0).unblock().unwrap());
        let result = select_alone(&world);
        assert!(matches!(result, Ok(()) | Err(Error::Closing)), "{result:?}");
        event.join().unwrap();
        closer.join().unwrap();
    });
}

#[test]
fn select_with_an_event_and_a_time() {
    check(|world| {
        let event = spawn(1, &world, |world| world.arrives(0));
        let timer = spawn(2, &world, |_| deadline_passes(0));
        let mut bytes = Bytes::new(&world, 0);
        let mut outcomes = [Outcome::NotChosen, Outcome::NotChosen];
        let [first, second] = &mut outcomes;
        run([bytes.arm(first), Arm { kind: Kind::Time(1), outcome: second }], false);
        assert!((outcomes[0] == Outcome::NotChosen) != (outcomes[1] == Outcome::NotChosen), "one arm");
        if outcomes[0] == Outcome::NotChosen {
            world.read(0);
        }
        event.join().unwrap();
        super::park::task_is_over(0);
        timer.join().unwrap();
    });
}

#[test]
fn select_with_two_events() {
    check(|world| {
        let events = [0, 1].map(|i| spawn(i + 1, &world, move |world| world.arrives(i)));
        let (mut a, mut b) = (Bytes::new(&world, 0), Bytes::new(&world, 1));
        let mut outcomes = [Outcome::NotChosen, Outcome::NotChosen];
        let [first, second] = &mut outcomes;
        run([a.arm(first), b.arm(second)], false);
        let won = usize::from(outcomes[0] == Outcome::NotChosen);
        assert!(outcomes[won] == Outcome::Moved && outcomes[1 - won] == Outcome::NotChosen, "one arm");
        world.read(won);
        world.read(1 - won);
        events.into_iter().for_each(|event| event.join().unwrap());
    });
}
