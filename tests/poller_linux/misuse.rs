//! An embedder without a line of `unsafe`, and what it can do wrong: every misuse is an error, and nothing else breaks.
#![forbid(unsafe_code)]

use crate::sched::pthread::{Condvar, Mutex};
use crate::{DESCRIPTORS, LATE, MS, pipe};
use netpoll::poll::{Error, Kernel, Linux, Mode, Netpoll, PollDesc, Scheduler, Side, WakeList};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::scope;

/// What waits: a thread. References to it are the poller's waiters.
struct Task {
    woken: Mutex<bool>,
    changed: Condvar,
    /// How often.
    times: AtomicUsize,
}

#[derive(Default)]
struct Woken<'a>(Vec<&'a Task>);

impl<'a> WakeList<&'a Task> for Woken<'a> {
    fn push(&mut self, task: &'a Task) {
        self.0.push(task);
    }
}

/// Threads that park, each by the task that it has taken.
struct Threads<'a> {
    tasks: &'a [Task],
    taken: AtomicUsize,
    /// What a park does wrong, if anything.
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// It commits nothing.
    NoCommit,
    /// It returns at once, although it has committed.
    NoSleep,
}

impl<'a> Scheduler for Threads<'a> {
    type Waiter = &'a Task;
    type List = Woken<'a>;

    fn park(&self, commit: impl FnOnce(&'a Task) -> bool) {
        let task = &self.tasks[self.taken.fetch_add(1, SeqCst) % self.tasks.len()];
        if self.fault == Fault::NoCommit || !commit(task) || self.fault == Fault::NoSleep {
            return;
        }
        let (mut woken, late) = task.changed.wait_while(task.woken.lock(), LATE, |woken| !*woken);
        assert!(!late, "nobody has readied it");
        *woken = false;
    }

    fn ready(&self, task: &'a Task) {
        task.times.fetch_add(1, SeqCst);
        *task.woken.lock() = true;
        task.changed.notify_all();
    }

    /// The heaps there are do not have this number.
    fn shard(&self) -> usize {
        usize::MAX
    }
}

type Poller<'a> = Netpoll<Linux, Threads<'a>>;

fn poller(tasks: &[Task], fault: Fault) -> Poller<'_> {
    Netpoll::new(Linux::new(), Threads { tasks, taken: AtomicUsize::new(0), fault })
}

fn poll(p: &Poller<'_>, delay: i64) -> usize {
    let (woken, delta) = p.netpoll(delay).unwrap();
    woken.0.iter().for_each(|task| p.scheduler().ready(task));
    p.adjust_waiters(delta);
    woken.0.len()
}

/// Everything fails.
fn is_refused(p: &Poller<'_>, pd: PollDesc) {
    let closing = Err(Error::Closing);
    let task = &p.scheduler().tasks[0];
    for mode in [Mode::Read, Mode::Write] {
        assert_eq!((p.check(pd, mode), p.reset(pd, mode), p.watch(pd, mode)), (closing, closing, closing));
        assert_eq!((p.wait(pd, mode), p.wait_canceled(pd, mode)), (closing, closing));
        assert_eq!(
            (p.enlist(pd, mode, task), p.withdraw(pd, mode, task)),
            (closing.map(|()| false), closing.map(|()| false))
        );
        assert_eq!(
            (p.take_edge(pd, mode), p.has_edge(pd, mode)),
            (closing.map(|()| false), closing.map(|()| false))
        );
    }
    assert_eq!((p.fd(pd), p.hangup_seen(pd)), (closing.map(|()| 0), closing.map(|()| false)));
    assert_eq!(p.set_deadline(pd, Side::Both, Some(p.kernel().nanotime() + MS)), closing);
    assert_eq!((p.unblock(pd), p.close(pd)), (closing, closing));
}

fn tasks() -> Vec<Task> {
    let task = || Task { woken: Mutex::new(false), changed: Condvar::new(), times: AtomicUsize::new(0) };
    (0..4).map(|_| task()).collect()
}

/// As it should be, to begin with.
#[test]
fn threads_wait_by_references() {
    let _shared = DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (tasks, (reader, mut writer)) = (tasks(), pipe());
    let p = poller(&tasks, Fault::None);
    let pd = p.open(reader.as_raw_fd()).unwrap();
    let done = AtomicBool::new(false);
    scope(|s| {
        let poller = s.spawn(|| {
            while !done.load(SeqCst) {
                poll(&p, -1);
            }
        });
        for _ in 0..50 {
            let waits = s.spawn(|| p.wait(pd, Mode::Read));
            writer.write_all(b"x").unwrap();
            assert_eq!(waits.join().unwrap(), Ok(()));
        }
        let at = p.kernel().nanotime() + 2 * MS;
        p.set_deadline(pd, Side::Read, Some(at)).unwrap();
        p.reset(pd, Mode::Read).unwrap();
        assert_eq!(s.spawn(|| p.wait(pd, Mode::Read)).join().unwrap(), Err(Error::Timeout));
        done.store(true, SeqCst);
        p.break_().unwrap();
        poller.join().unwrap();
    });
    p.close(pd).unwrap();
    is_refused(&p, pd);
    assert_eq!(p.waiters(), 0);
}

/// At 3ed0612 a deadline that was set by the wrong poller lay in its heap, and was read when its memory was gone.
#[test]
fn handles_of_pollers_that_are_gone() {
    let _shared = DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (tasks, (reader, _writer)) = (tasks(), pipe());
    let p = poller(&tasks, Fault::None);
    let strange = {
        let gone = poller(&tasks, Fault::None);
        let pd = gone.open(reader.as_raw_fd()).unwrap();
        is_refused(&p, pd);
        gone.set_deadline(pd, Side::Both, Some(gone.kernel().nanotime() + MS)).unwrap();
        gone.enlist(pd, Mode::Read, &tasks[1]).unwrap(); // and is dropped with it
        pd
    };
    let pd = p.open(reader.as_raw_fd()).unwrap();
    is_refused(&p, strange);
    poll(&p, 5 * MS);
    assert_eq!(p.check(pd, Mode::Read), Ok(()));
    assert_eq!(tasks[1].times.load(SeqCst), 0);
}

/// At 3ed0612 two owners got one slot.
#[test]
fn closed_twice() {
    let _shared = DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (tasks, (reader, writer)) = (tasks(), pipe());
    let p = poller(&tasks, Fault::None);
    let old = p.open(reader.as_raw_fd()).unwrap();
    p.close(old).unwrap();
    is_refused(&p, old);
    let (a, b) = (p.open(reader.as_raw_fd()).unwrap(), p.open(writer.as_raw_fd()).unwrap());
    assert_ne!(a.id() as u32, b.id() as u32);
    is_refused(&p, old);
    assert_eq!((p.fd(a), p.fd(b)), (Ok(reader.as_raw_fd()), Ok(writer.as_raw_fd())));
    assert_eq!((p.check(a, Mode::Read), p.check(b, Mode::Write)), (Ok(()), Ok(())));
}

/// A waiter that is put in twice comes out twice; one that is taken back by others is theirs.
#[test]
fn one_waiter_in_several_places() {
    let _shared = DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (tasks, (reader, mut writer), (other, _keep)) = (tasks(), pipe(), pipe());
    let p = poller(&tasks, Fault::None);
    let [a, b] = [&reader, &other].map(|file| p.open(file.as_raw_fd()).unwrap());
    let task = &tasks[0];
    assert_eq!((p.enlist(a, Mode::Read, task), p.enlist(b, Mode::Read, task)), (Ok(true), Ok(true)));
    assert_eq!(p.enlist(a, Mode::Read, task), Err(Error::Busy));
    assert_eq!(p.withdraw(a, Mode::Read, &tasks[1]), Ok(false), "another one");
    assert_eq!(p.wait(a, Mode::Read), Err(Error::Busy));
    writer.write_all(b"x").unwrap();
    assert_eq!(poll(&p, -1), 1);
    p.unblock(b).unwrap();
    assert_eq!(task.times.load(SeqCst), 2);
    p.adjust_waiters(-1_000);
    p.adjust_waiters(1_000);
    assert_eq!(p.waiters(), 0);
}

/// Schedulers that do not keep their contract: waits are busy, and words still come out once.
#[test]
fn parks_that_lie() {
    let _shared = DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    for fault in [Fault::NoCommit, Fault::NoSleep] {
        let (tasks, (reader, mut writer)) = (tasks(), pipe());
        let p = poller(&tasks, fault);
        let pd = p.open(reader.as_raw_fd()).unwrap();
        assert_eq!(p.wait(pd, Mode::Read), Err(Error::Busy));
        assert_eq!(p.wait(pd, Mode::Read), Err(Error::Busy));
        assert_eq!(p.enlist(pd, Mode::Read, &tasks[3]), Err(Error::Busy));
        writer.write_all(b"x").unwrap();
        assert_eq!(poll(&p, -1), usize::from(fault == Fault::NoSleep), "the word that was left");
        assert_eq!(p.take_edge(pd, Mode::Read), Ok(true));
        assert_eq!(p.wait(pd, Mode::Read), Err(Error::Busy));
        p.close(pd).unwrap();
        let again = p.open(reader.as_raw_fd()).unwrap();
        assert_eq!(again.id() as u32, pd.id() as u32, "the slot is free");
        assert_eq!(p.waiters(), 0);
    }
}
