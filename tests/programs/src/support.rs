//! What several topics need.

use alloc::vec::Vec;
use core::cell::Cell;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use netpoll::io::{Read, Write};
use netpoll::net::{Error, TcpListener, TcpStream};
use netpoll::sys::fs::{AT_FDCWD, OFlags, getdents64, openat};
use netpoll::sys::process::{Resource, Rlimit, prlimit64};
use netpoll::sys::{Errno, RawFd};
use netpoll::time::{Instant, sleep};
use netpoll::{JoinHandle, spawn};

pub const LOOPBACK: &str = "127.0.0.1:0";

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Long enough for every other task to have run until it waits.
pub const SETTLE: Duration = ms(5);

/// A wait that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Fills both the stream's send buffer and its peer's receive buffer; returns how much they took.
pub fn fill(stream: &TcpStream) -> usize {
    stream.set_write_deadline(Some(after(ms(30)))).unwrap();
    let mut sent = 0;
    while let Ok(n) = stream.write(&LOTS) {
        sent += n;
    }
    stream.set_write_deadline(None).unwrap();
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
