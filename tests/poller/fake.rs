//! A kernel for tests: a virtual clock, events as the test says them, errors as the test wants them,
//! and a record of every call. Dropping it fails the test if memory or a descriptor was not given back.

use crate::sched::pthread::{Condvar, Guard, Mutex};
use netpoll::poll::Kernel;
use netpoll::sys::epoll::{CtlOp, EpollEvent, EpollFlags};
use netpoll::sys::{Errno, RawFd};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::time::Duration;

/// One call, with its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    EpollCreate,
    Eventfd,
    Ctl(CtlOp, RawFd, EpollFlags, u64),
    Wait(i64),
    EventfdWrite(RawFd),
    Close(RawFd),
    Map(usize),
    Unmap(usize),
}

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    EpollCreate,
    Eventfd,
    Add,
    Mod,
    Del,
    Wait,
    EventfdWrite,
    Map,
}

#[derive(Default)]
struct State {
    now: i64,
    clock_reads: usize,
    /// Blocking waits stay blocked until the test does something, instead of moving the clock.
    hold: bool,
    blocked: usize,
    last_fd: RawFd,
    /// The poller's own descriptors.
    open: BTreeSet<RawFd>,
    registered: BTreeMap<RawFd, (EpollFlags, u64)>,
    /// What is the case with a descriptor, whoever asks (`Add` and `Mod` report it).
    level: BTreeMap<RawFd, EpollFlags>,
    ready: VecDeque<EpollEvent>,
    faults: BTreeMap<Fault, VecDeque<Errno>>,
    calls: Vec<Call>,
    mapped: BTreeMap<usize, usize>,
}

pub struct Fake {
    state: Mutex<State>,
    changed: Condvar,
}

/// What the record keeps of `Ctl` with `Del`, whose events and data do not count.
pub fn del(fd: RawFd) -> Call {
    Call::Ctl(CtlOp::Del, fd, EpollFlags::empty(), 0)
}

impl Fake {
    pub fn new() -> Fake {
        // Time 0 is the far past for the poller, and no descriptor is 0 to 2.
        let state = State { now: 1_000, last_fd: 2, ..State::default() };
        Fake { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> Guard<'_, State> {
        self.state.lock()
    }

    /// The next call of this kind fails.
    pub fn fail(&self, fault: Fault, errno: Errno) {
        self.lock().faults.entry(fault).or_default().push_back(errno);
        self.changed.notify_all();
    }

    /// What the clock shows; not counted as a reading.
    pub fn now(&self) -> i64 {
        self.lock().now
    }

    /// Moves the clock, and wakes what sleeps by it.
    pub fn advance(&self, ns: i64) {
        self.lock().now += ns;
        self.changed.notify_all();
    }

    /// From now on a blocking wait really blocks its thread.
    pub fn hold(&self) {
        self.lock().hold = true;
    }

    /// Returns once `n` threads block in a wait.
    pub fn until_blocked(&self, n: usize) {
        let state = self.lock();
        let (_state, late) = self.changed.wait_while(state, PATIENCE, |s| s.blocked != n);
        assert!(!late, "no {n} threads in epoll_wait");
    }

    /// An edge on a registered descriptor: reported as far as it was asked for, or cannot be declined.
    pub fn event(&self, fd: RawFd, flags: EpollFlags) {
        let mut state = self.lock();
        state.report(fd, flags);
        self.changed.notify_all();
    }

    /// An event with this data word, whoever owned it.
    pub fn raw_event(&self, flags: EpollFlags, data: u64) {
        self.lock().ready.push_back(EpollEvent::new(flags, data));
        self.changed.notify_all();
    }

    /// What `Add` and `Mod` of `fd` will find to be the case.
    pub fn level(&self, fd: RawFd, flags: EpollFlags) {
        self.lock().level.insert(fd, flags);
    }

    /// The data word under which `fd` is registered.
    pub fn data(&self, fd: RawFd) -> u64 {
        self.lock().registered[&fd].1
    }

    /// The calls since the last time.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock().calls)
    }

    /// The delays of the waits among them.
    pub fn waits(&self) -> Vec<i64> {
        let delay = |call| if let Call::Wait(delay) = call { Some(delay) } else { None };
        self.calls().into_iter().filter_map(delay).collect()
    }

    /// How often the clock was read since the last time.
    pub fn clock_reads(&self) -> usize {
        std::mem::take(&mut self.lock().clock_reads)
    }

    pub fn open_fds(&self) -> usize {
        self.lock().open.len()
    }

    /// Events not yet taken.
    pub fn pending(&self) -> usize {
        self.lock().ready.len()
    }

    pub fn registered(&self) -> usize {
        self.lock().registered.len()
    }

    pub fn mapped_bytes(&self) -> usize {
        self.lock().mapped.values().sum()
    }

    /// Somebody closed the poller's descriptors behind its back: waits fail with `EBADF`.
    pub fn close_epoll(&self) {
        let mut state = self.lock();
        let epfd = *state.open.first().expect("the epoll instance comes first");
        state.open.remove(&epfd);
        self.changed.notify_all();
    }
}

/// How long a test waits for another thread before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl State {
    fn fault(&mut self, fault: Fault) -> Result<(), Errno> {
        self.faults.get_mut(&fault).and_then(VecDeque::pop_front).map_or(Ok(()), Err)
    }

    fn new_fd(&mut self) -> RawFd {
        self.last_fd += 1;
        self.open.insert(self.last_fd);
        self.last_fd
    }

    fn report(&mut self, fd: RawFd, flags: EpollFlags) {
        let (asked, data) = self.registered[&fd];
        let flags = flags & (asked | EpollFlags::ERR | EpollFlags::HUP);
        if !flags.is_empty() {
            self.ready.push_back(EpollEvent::new(flags, data));
        }
    }
}

// SAFETY: `map` allocates zeros for its caller alone, and `epoll_wait` counts the records that it has written.
unsafe impl Kernel for Fake {
    fn epoll_create(&self) -> Result<RawFd, Errno> {
        let mut state = self.lock();
        state.calls.push(Call::EpollCreate);
        state.fault(Fault::EpollCreate)?;
        Ok(state.new_fd())
    }

    fn eventfd(&self) -> Result<RawFd, Errno> {
        let mut state = self.lock();
        state.calls.push(Call::Eventfd);
        state.fault(Fault::Eventfd)?;
        Ok(state.new_fd())
    }

    fn epoll_ctl(
        &self,
        epfd: RawFd,
        op: CtlOp,
        fd: RawFd,
        events: EpollFlags,
        data: u64,
    ) -> Result<(), Errno> {
        let mut state = self.lock();
        state.calls.push(if op == CtlOp::Del { del(fd) } else { Call::Ctl(op, fd, events, data) });
        state.fault(match op {
            CtlOp::Add => Fault::Add,
            CtlOp::Mod => Fault::Mod,
            CtlOp::Del => Fault::Del,
        })?;
        if !state.open.contains(&epfd) {
            return Err(Errno::EBADF);
        }
        match (op, state.registered.contains_key(&fd)) {
            (CtlOp::Add, true) => return Err(Errno::EEXIST),
            (CtlOp::Mod | CtlOp::Del, false) => return Err(Errno::ENOENT),
            (CtlOp::Del, true) => {
                let (_, data) = state.registered.remove(&fd).unwrap();
                state.ready.retain(|event| event.data() != data);
            }
            (CtlOp::Add | CtlOp::Mod, _) => {
                state.registered.insert(fd, (events, data));
                if let Some(&level) = state.level.get(&fd) {
                    state.report(fd, level);
                    self.changed.notify_all();
                }
            }
        }
        Ok(())
    }

    fn epoll_wait(
        &self,
        epfd: RawFd,
        events: &mut [MaybeUninit<EpollEvent>],
        delay: i64,
    ) -> Result<usize, Errno> {
        let mut state = self.lock();
        state.calls.push(Call::Wait(delay));
        state.fault(Fault::Wait)?;
        if delay != 0 && state.ready.is_empty() {
            if delay > 0 && !state.hold {
                state.now += delay;
            } else {
                let end = if delay > 0 { state.now + delay } else { i64::MAX };
                state.blocked += 1;
                self.changed.notify_all();
                let late;
                (state, late) = self.changed.wait_while(state, PATIENCE, |s| {
                    s.ready.is_empty()
                        && s.now < end
                        && s.open.contains(&epfd)
                        && s.faults.get(&Fault::Wait).is_none_or(VecDeque::is_empty)
                });
                assert!(!late, "epoll_wait({delay}) slept for ever");
                state.blocked -= 1;
                self.changed.notify_all();
                state.fault(Fault::Wait)?;
            }
        }
        if !state.open.contains(&epfd) {
            return Err(Errno::EBADF);
        }
        let n = events.len().min(state.ready.len());
        for (place, event) in events.iter_mut().zip(state.ready.drain(..n)) {
            place.write(event);
        }
        Ok(n)
    }

    fn eventfd_write(&self, fd: RawFd) -> Result<(), Errno> {
        let mut state = self.lock();
        state.calls.push(Call::EventfdWrite(fd));
        state.fault(Fault::EventfdWrite)?;
        let (_, data) = state.registered[&fd];
        // An entry is in the ready list once, however many edges came.
        if !state.ready.iter().any(|event| event.data() == data) {
            state.report(fd, EpollFlags::IN);
        }
        self.changed.notify_all();
        Ok(())
    }

    unsafe fn close(&self, fd: RawFd) {
        let mut state = self.lock();
        state.calls.push(Call::Close(fd));
        assert!(state.open.remove(&fd), "{fd} is not open");
        state.registered.remove(&fd);
    }

    fn nanotime(&self) -> i64 {
        let mut state = self.lock();
        state.clock_reads += 1;
        state.now
    }

    fn map(&self, len: usize) -> Result<NonNull<u8>, Errno> {
        let mut state = self.lock();
        state.calls.push(Call::Map(len));
        state.fault(Fault::Map)?;
        // SAFETY: `len` is not 0: the poller maps tables of at least a page.
        let memory = NonNull::new(unsafe { alloc_zeroed(page_aligned(len)) }).ok_or(Errno::ENOMEM)?;
        state.mapped.insert(memory.as_ptr() as usize, len);
        Ok(memory)
    }

    unsafe fn unmap(&self, memory: NonNull<u8>, len: usize) {
        let mut state = self.lock();
        state.calls.push(Call::Unmap(len));
        assert_eq!(state.mapped.remove(&(memory.as_ptr() as usize)), Some(len), "not mapped so");
        // SAFETY: allocated by `map` with this layout, as was just checked, and given up (contract).
        unsafe { dealloc(memory.as_ptr(), page_aligned(len)) };
    }
}

fn page_aligned(len: usize) -> Layout {
    assert!(len > 0);
    Layout::from_size_align(len, 4096).unwrap()
}

impl Drop for Fake {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let state = self.lock();
            assert!(state.open.is_empty(), "descriptors left open: {:?}", state.open);
            assert!(state.mapped.is_empty(), "memory left mapped: {:?}", state.mapped);
        }
    }
}
