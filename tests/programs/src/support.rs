//! What several topics need.

use alloc::vec::Vec;
use core::cell::Cell;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use netpoll::io::{Read, Write};
use netpoll::net::{Error, TcpBuilder, TcpListener, TcpStream};
use netpoll::runtime::metrics;
use netpoll::sys::fs::{AT_FDCWD, OFlags, getdents64, openat};
use netpoll::sys::process::{Resource, Rlimit, prlimit64};
use netpoll::sys::socket::{MsgFlags, sendto};
use netpoll::sys::{Errno, RawFd};
use netpoll::time::{Instant, sleep};
use netpoll::{JoinHandle, spawn};

pub const LOOPBACK: &str = "127.0.0.1:0";

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Long enough, most of the time, for every other task to have run until it waits. On a loaded machine it is not: no
/// assertion may depend on it.
pub const SETTLE: Duration = ms(5);

/// A wait that takes this long hangs, however loaded the machine is. The tests that run the scenarios wait for longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A time from now.
pub fn after(d: Duration) -> Instant {
    Instant::now() + d
}

pub fn past() -> Instant {
    Instant::now() - ms(1)
}

/// Waits until `holds`, and panics if it never does.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        sleep(Duration::from_micros(200));
    }
}

/// Both ends of a connection.
pub fn pair() -> (TcpStream, TcpStream) {
    pair_on(&TcpListener::bind(LOOPBACK).unwrap())
}

/// As above, by way of `listener`: the connecting end first.
pub fn pair_on(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, peer) = listener.accept().unwrap();
    assert_eq!(peer, near.local_addr().unwrap());
    (near, far)
}

/// What `narrow_pair` asks for as the size of each buffer. Two of them, with all that the kernel adds, hold less than
/// [`LOTS`].
const NARROW: u32 = 4 << 10;

/// A connection whose buffers are small and fixed: neither the host's settings nor automatic tuning make them larger,
/// because both ends have theirs before they connect. A write of [`LOTS`] fills them, and blocks until the peer reads.
pub fn narrow_pair() -> (TcpStream, TcpStream) {
    let builder = TcpBuilder::new().recv_buffer_size(NARROW).send_buffer_size(NARROW);
    let listener = builder.listen(LOOPBACK).unwrap();
    let near = builder.connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Another handle.
pub fn dup(stream: &TcpStream) -> TcpStream {
    stream.try_clone().unwrap()
}

/// An address of the loopback that nobody listens on.
pub fn unused_addr() -> SocketAddr {
    TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap()
}

/// More than a stack holds.
pub static LOTS: [u8; 100_000] = [b'f'; 100_000];

/// Fills the buffers of a [`narrow_pair`] until the kernel takes nothing more, and keeps taking nothing; returns how
/// much they took. The stream's own state is as if it had never been written to.
pub fn fill(stream: &TcpStream) -> usize {
    // Tries in a row, and 5 ms between two of them. What was sent moves on for a while: acknowledgements are delayed by up
    // to 40 ms, and packets by a sender that paces them.
    const QUIET: u32 = 20;
    let (mut sent, mut refused) = (0, 0);
    while refused < QUIET {
        match sendto(stream.as_raw_fd(), &LOTS, MsgFlags::NOSIGNAL, None) {
            Ok(n) => (sent, refused) = (sent + n, 0),
            Err(e) => {
                assert_eq!(e, Errno::EAGAIN);
                refused += 1;
                sleep(ms(5));
            }
        }
    }
    assert!(sent < LOTS.len(), "the buffers are not narrow: they hold {sent} bytes");
    sent
}

/// Runs `f` as a task, and returns when it has begun and, most likely, waits.
pub fn waiting<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    let before = BEGUN.load(Ordering::SeqCst);
    let handle = spawn(move || {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        f()
    });
    eventually("the task's begin", || BEGUN.load(Ordering::SeqCst) != before);
    sleep(SETTLE);
    handle
}

/// Runs `f` as a task, and returns when one more task than before waits for a descriptor.
pub fn parked<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let before = metrics().waiters;
    let handle = spawn(f);
    eventually("a task that waits", || metrics().waiters > before);
    handle
}

/// Joins them all, once the last has been spawned.
pub fn join_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    let handles: Vec<_> = handles.into_iter().collect();
    handles.into_iter().map(JoinHandle::join).collect()
}

/// Sets a soft limit and returns what it was.
pub fn limit(resource: Resource, cur: u64) -> u64 {
    let old = prlimit64(0, resource, None).unwrap();
    prlimit64(0, resource, Some(&Rlimit { cur, ..old })).unwrap();
    old.cur
}

/// Allows itself as many descriptors as it may, and returns how many.
pub fn raise_descriptors() -> usize {
    let most = prlimit64(0, Resource::Nofile, None).unwrap().max;
    limit(Resource::Nofile, most);
    usize::try_from(most).unwrap_or(usize::MAX)
}

/// How many descriptors this process has, leaving out the one that it takes to look.
pub fn descriptors() -> usize {
    let folder = openat(AT_FDCWD, c"/proc/self/fd", OFlags::DIRECTORY | OFlags::CLOEXEC, 0).unwrap();
    let (mut buf, mut count) = ([0; 4096], 0);
    loop {
        let entries = getdents64(folder, &mut buf).unwrap();
        if entries.is_empty() {
            break;
        }
        count += entries.filter(|entry| entry.name != c"." && entry.name != c"..").count();
    }
    close(folder).unwrap();
    count - 1
}

/// A field of /proc/self/statm, in pages: 0 the size, 1 what is resident.
pub fn pages(field: usize) -> usize {
    let file = open(c"/proc/self/statm");
    let mut buf = [0; 128];
    let n = netpoll::sys::fd::read(file, &mut buf).unwrap();
    close(file).unwrap();
    core::str::from_utf8(&buf[..n]).unwrap().split(' ').nth(field).unwrap().parse().unwrap()
}

/// Bytes of the program's own memory. The kernel walks the pages for it, and so it is exact: what statm has is a sum of
/// counts that each CPU keeps for a while.
pub fn anonymous() -> usize {
    let file = open(c"/proc/self/smaps_rollup");
    let mut buf = [0; 2048];
    let n = netpoll::sys::fd::read(file, &mut buf).unwrap();
    close(file).unwrap();
    let text = core::str::from_utf8(&buf[..n]).unwrap();
    let kib = text.lines().find_map(|line| line.strip_prefix("Anonymous:")?.strip_suffix("kB")).unwrap();
    kib.trim().parse::<usize>().unwrap() << 10
}

pub fn open(path: &core::ffi::CStr) -> RawFd {
    openat(AT_FDCWD, path, OFlags::CLOEXEC, 0).unwrap()
}

/// The error of a result whose value cannot be compared.
#[track_caller]
pub fn error<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(e) => e,
    }
}

/// The errno of an error that has one.
#[track_caller]
pub fn errno<T>(result: Result<T, Error>) -> Errno {
    let e = error(result);
    e.errno().unwrap_or_else(|| panic!("{e}"))
}

/// Numbers that look random: xorshift64.
pub struct Random(Cell<u64>);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(Cell::new(seed))
    }

    /// Below `n`.
    pub fn below(&self, n: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x % n
    }
}

/// The byte at `at` of a stream that can be checked anywhere.
pub fn pattern(at: usize) -> u8 {
    (at.wrapping_mul(31) >> 3) as u8
}

/// Writes `len` bytes of the pattern, `step` at a time.
pub fn send_pattern(mut stream: impl Write<Error = Error>, len: usize, step: usize) {
    let (mut block, mut at) = ([0; 16 << 10], 0);
    while at < len {
        let n = step.min(len - at).min(block.len());
        block[..n].iter_mut().enumerate().for_each(|(i, byte)| *byte = pattern(at + i));
        stream.write_all(&block[..n]).unwrap();
        at += n;
    }
}

/// Reads the pattern, `step` at a time, until the end or `len` bytes; returns how much came.
pub fn receive_pattern(mut stream: impl Read<Error = Error>, len: usize, step: usize) -> usize {
    let (mut block, mut at) = ([0; 16 << 10], 0);
    while at < len {
        let room = step.min(len - at).min(block.len());
        let n = stream.read(&mut block[..room]).unwrap();
        if n == 0 {
            break;
        }
        assert!(block[..n].iter().enumerate().all(|(i, &byte)| byte == pattern(at + i)), "bytes behind {at}");
        at += n;
    }
    at
}

/// Closes a descriptor that this scenario has opened, or one that it was started with.
///
/// # Errors
/// Those of close(2).
pub fn close(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: what the scenarios give here they use no more; the runtime has numbers of its own.
    unsafe { netpoll::sys::fd::close(fd) }
}
