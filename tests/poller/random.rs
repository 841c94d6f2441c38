//! Random sequences of everything that can happen to descriptors, against a model of a few lines.

use crate::sched::{Enlisted, Handle, poll, spawn};
use crate::{FD, Poller, poller};
use netpoll::poll::{Error, Mode, PollDesc, Side};
use netpoll::sys::epoll::EpollFlags;
use proptest::prelude::*;
use std::thread::{Scope, scope};

const SLOTS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// An edge in these directions.
    Event(usize, bool, bool),
    /// An event of a former owner of the slot, if there was one.
    Stale(usize),
    /// A deadline so many ns from now, or none; also in the past.
    Deadline(usize, Side, Option<i64>),
    Advance(i64),
    Poll,
    Wait(usize, Mode),
    Enlist(usize, Mode),
    Withdraw(usize, Mode),
    Reset(usize, Mode),
    Reopen(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slot = 0..SLOTS;
    let mode = prop_oneof![Just(Mode::Read), Just(Mode::Write)];
    let side = prop_oneof![Just(Side::Read), Just(Side::Write), Just(Side::Both)];
    // Few different times, so that deadlines meet.
    let at = prop::option::weighted(0.8, (-1i64..5).prop_map(|t| t * 100));
    let step = prop_oneof![
        4 => (slot.clone(), any::<bool>(), any::<bool>()).prop_map(|(i, r, w)| Step::Event(i, r, w)),
        1 => slot.clone().prop_map(Step::Stale),
        4 => (slot.clone(), side, at).prop_map(|(i, s, t)| Step::Deadline(i, s, t)),
        3 => (0i64..4).prop_map(|t| Step::Advance(t * 100)),
        5 => Just(Step::Poll),
        5 => (slot.clone(), mode.clone()).prop_map(|(i, m)| Step::Wait(i, m)),
        3 => (slot.clone(), mode.clone()).prop_map(|(i, m)| Step::Enlist(i, m)),
        2 => (slot.clone(), mode.clone()).prop_map(|(i, m)| Step::Withdraw(i, m)),
        1 => (slot.clone(), mode).prop_map(|(i, m)| Step::Reset(i, m)),
        1 => slot.prop_map(Step::Reopen),
    ];
    prop::collection::vec(step, 1..80)
}

/// What the model knows of one direction.
#[derive(Default)]
struct Direction<'s> {
    latched: bool,
    /// When a deadline takes effect; it has, once a poll came at or after that time.
    deadline: Option<i64>,
    expired: bool,
    waiter: Option<Handle<'s, Result<(), Error>>>,
    enlisted: Option<Enlisted>,
}

impl Direction<'_> {
    fn taken(&self) -> bool {
        self.waiter.is_some() || self.enlisted.is_some()
    }
}

struct Slot<'s> {
    pd: PollDesc,
    fd: i32,
    /// Edges the kernel has not handed out: read, write.
    pending: [bool; 2],
    former: Option<u64>,
    directions: [Direction<'s>; 2],
}

struct World<'p, 's, 'e> {
    p: &'p Poller,
    scope: &'s Scope<'s, 'e>,
    slots: Vec<Slot<'s>>,
}

fn edge([read, write]: [bool; 2]) -> EpollFlags {
    let mut flags = EpollFlags::empty();
    flags.set(EpollFlags::IN, read);
    flags.set(EpollFlags::OUT, write);
    flags
}

impl<'p: 's, 's> World<'p, 's, '_> {
    /// What somebody who runs must see now.
    fn status(&self, i: usize, mode: usize) -> Result<(), Error> {
        if self.slots[i].directions[mode].expired { Err(Error::Timeout) } else { Ok(()) }
    }

    /// The waiter must have been woken, and return `expected`.
    fn woken(&mut self, i: usize, mode: usize, expected: Result<(), Error>) {
        let waiter = self.slots[i].directions[mode].waiter.take();
        assert_eq!(waiter.map_or(expected, Handle::join), expected);
        self.handed_on(i, mode);
    }

    /// The word of an enlisted waiter is out, and it was told.
    fn handed_on(&mut self, i: usize, mode: usize) {
        if let Some(waiter) = self.slots[i].directions[mode].enlisted.take() {
            assert!(waiter.is_readied());
        }
    }

    fn step(&mut self, step: Step) {
        let (p, now) = (self.p, self.p.kernel().now());
        match step {
            Step::Event(i, read, write) => {
                let slot = &mut self.slots[i];
                p.kernel().event(slot.fd, edge([read, write]));
                slot.pending[0] |= read;
                slot.pending[1] |= write;
            }
            Step::Stale(i) => {
                if let Some(data) = self.slots[i].former {
                    p.kernel().raw_event(EpollFlags::IN | EpollFlags::OUT | EpollFlags::HUP, data);
                }
            }
            Step::Deadline(i, side, relative) => {
                let at = relative.map(|t| now + t);
                p.set_deadline(self.slots[i].pd, side, at).unwrap();
                let modes: &[usize] = match side {
                    Side::Read => &[0],
                    Side::Write => &[1],
                    Side::Both => &[0, 1],
                };
                for &mode in modes {
                    let past = at.is_some_and(|at| at <= now);
                    let direction = &mut self.slots[i].directions[mode];
                    direction.expired = past;
                    direction.deadline = at.filter(|_| !past);
                    if past {
                        self.woken(i, mode, Err(Error::Timeout));
                    }
                }
            }
            Step::Advance(ns) => p.kernel().advance(ns),
            Step::Poll => {
                poll(p, 0);
                for i in 0..SLOTS {
                    for mode in [0, 1] {
                        let edge = std::mem::take(&mut self.slots[i].pending[mode]);
                        let direction = &mut self.slots[i].directions[mode];
                        if direction.deadline.is_some_and(|at| at <= now) {
                            (direction.deadline, direction.expired) = (None, true);
                            self.handed_on(i, mode);
                            if !edge {
                                self.woken(i, mode, Err(Error::Timeout));
                            } // else: the waiter finds the edge when it runs, and is content
                        }
                        let direction = &mut self.slots[i].directions[mode];
                        match (&direction.waiter, edge) {
                            (Some(_), true) => self.woken(i, mode, Ok(())),
                            (Some(waiter), false) => assert!(waiter.settle(), "woken by nothing"),
                            (None, true) => {
                                direction.latched = true;
                                self.handed_on(i, mode); // and has not used it up
                            }
                            (None, false) => {}
                        }
                    }
                }
            }
            Step::Wait(i, mode) => {
                let pd = self.slots[i].pd;
                let task = spawn(self.scope, i, move || p.wait(pd, mode));
                let expected = self.status(i, mode as usize);
                let direction = &mut self.slots[i].directions[mode as usize];
                if expected.is_err() {
                    assert_eq!(task.join(), expected);
                } else if direction.taken() {
                    assert_eq!(task.join(), Err(Error::Busy));
                } else if std::mem::take(&mut direction.latched) {
                    assert_eq!(task.join(), Ok(()));
                } else {
                    assert!(task.settle(), "nothing to return for");
                    direction.waiter = Some(task);
                }
            }
            Step::Enlist(i, mode) => {
                let waiter = Enlisted::new(i);
                let result = p.enlist(self.slots[i].pd, mode, waiter.word());
                let expected = self.status(i, mode as usize);
                let direction = &mut self.slots[i].directions[mode as usize];
                let expected = match expected {
                    Err(e) => Err(e),
                    Ok(()) if direction.taken() => Err(Error::Busy),
                    Ok(()) => Ok(!direction.latched),
                };
                assert_eq!(result, expected);
                match result {
                    Ok(true) => direction.enlisted = Some(waiter),
                    _ => waiter.forget_word(),
                }
            }
            Step::Withdraw(i, mode) => {
                if let Some(waiter) = self.slots[i].directions[mode as usize].enlisted.take() {
                    assert!(p.withdraw(self.slots[i].pd, mode, waiter.word()).unwrap());
                    waiter.forget_word();
                }
            }
            Step::Reset(i, mode) => {
                assert_eq!(p.reset(self.slots[i].pd, mode), self.status(i, mode as usize));
                if self.status(i, mode as usize).is_ok() {
                    self.slots[i].directions[mode as usize].latched = false;
                }
            }
            Step::Reopen(i) => {
                let former = p.kernel().data(self.slots[i].fd);
                p.unblock(self.slots[i].pd).unwrap();
                self.woken(i, 0, Err(Error::Closing));
                self.woken(i, 1, Err(Error::Closing));
                p.close(self.slots[i].pd).unwrap();
                self.slots[i] = open(p, self.slots[i].fd, Some(former));
            }
        }
        let waiting = self.slots.iter().flat_map(|slot| &slot.directions).filter(|d| d.taken());
        assert_eq!(p.waiters() as usize, waiting.count(), "after {step:?}");
    }
}

impl Drop for World<'_, '_, '_> {
    /// A test that failed must not wait for its parked tasks.
    fn drop(&mut self) {
        for slot in self.slots.iter().filter(|_| std::thread::panicking()) {
            let _ = self.p.unblock(slot.pd);
        }
    }
}

/// Opens `fd` with OUT armed, so that the model need not know of lazy arming.
fn open<'s>(p: &Poller, fd: i32, former: Option<u64>) -> Slot<'s> {
    let pd = p.open(fd).unwrap();
    scope(|s| {
        let writer = spawn(s, 0, || p.wait(pd, Mode::Write));
        p.set_deadline(pd, Side::Write, Some(0)).unwrap();
        assert_eq!(writer.join(), Err(Error::Timeout));
    });
    p.set_deadline(pd, Side::Write, None).unwrap();
    Slot { pd, fd, pending: [false; 2], former, directions: Default::default() }
}

#[test]
fn agrees_with_the_model() {
    proptest!(ProptestConfig::with_cases(300), |(steps in steps())| {
        let p = poller();
        scope(|scope| {
            let slots = (0..SLOTS).map(|i| open(&p, FD + i as i32, None)).collect();
            let mut world = World { p: &p, scope, slots };
            steps.iter().for_each(|&step| world.step(step));
            (0..SLOTS).for_each(|i| world.step(Step::Reopen(i)));
        });
        assert_eq!(p.waiters(), 0);
    });
}
