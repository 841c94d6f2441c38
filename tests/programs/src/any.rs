//! Descriptors of any kind, the standard ones, pipes and files.

use crate::Scenario;
use crate::support::{
    LOTS, after, descriptors, errno, error, eventually, join_all, ms, open, parked, past, waiting,
};
use crate::unix::Path;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use netpoll::arch;
use netpoll::io::{OwnedFd, PollFd, pipe, stdin, stdout};
use netpoll::net::{Error, UnixStream};
use netpoll::sys::eventfd::{EventfdFlags, eventfd2};
use netpoll::sys::fd::{OFlags, fcntl_getfl, pipe2, read};
use netpoll::sys::fs::AT_FDCWD;
use netpoll::sys::{Call, Errno, RawFd, result};
use netpoll::time::{Instant, sleep};
use netpoll::{runtime, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("any_eventfd", eventfd),
    ("any_timerfd", timerfd),
    ("any_inotify", inotify),
    ("any_fifo", fifo),
    ("any_terminal", terminal),
    ("any_terminal_close", terminal_close),
    ("any_regular_file", regular_file),
    ("any_call", call),
    ("shared_flags_stay", shared_flags),
    ("stdin_to_stdout", stdin_to_stdout),
    ("pipe_close_races_a_read", close_races_read),
    ("pipe_close_races_a_write", close_races_write),
    ("pipe_of_packets", packets),
    ("pipes_parked_need_no_threads", parked_pipes),
    ("pipe_errors_die_with_their_pipe", no_stale_error),
    ("any_hopeless", hopeless),
];

// Calls that `netpoll::sys` does not have.
const NR_MKNODAT: usize = 259;
const NR_TIMERFD_CREATE: usize = 283;
const NR_TIMERFD_SETTIME: usize = 286;
const NR_INOTIFY_INIT1: usize = 294;
const NR_INOTIFY_ADD_WATCH: usize = 254;
const NR_IOCTL: usize = 16;

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: each caller has just opened it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn polled(fd: RawFd) -> PollFd {
    PollFd::new(owned(fd)).unwrap()
}

fn eventfd(_: &[&str]) {
    let fd = polled(eventfd2(0, EventfdFlags::CLOEXEC).unwrap());
    assert!(fd.is_pollable() && fcntl_getfl(fd.as_raw_fd()).unwrap().contains(OFlags::NONBLOCK));
    let other = fd.try_clone().unwrap();
    let reader = waiting(move || {
        let mut count = [0; 8];
        other.read_exact(&mut count).map(|()| u64::from_ne_bytes(count))
    });
    fd.write_all(&7u64.to_ne_bytes()).unwrap();
    assert_eq!(reader.join(), Ok(7));
    assert_eq!(errno(fd.read(&mut [0; 4])), Errno::EINVAL);
    // Full is full.
    fd.write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
    let other = fd.try_clone().unwrap();
    let writer = waiting(move || other.write(&1u64.to_ne_bytes()));
    fd.read_exact(&mut [0; 8]).unwrap();
    assert_eq!(writer.join(), Ok(8));
    fd.read_exact(&mut [0; 8]).unwrap();
    fd.set_read_deadline(Some(after(ms(5)))).unwrap();
    assert_eq!(fd.read(&mut [0; 8]), Err(Error::TimedOut));
    fd.set_read_timeout(Some(ms(5))).unwrap();
    assert_eq!(fd.read(&mut [0; 8]), Err(Error::TimedOut));
    fd.set_read_timeout(None).unwrap();
    let other = fd.try_clone().unwrap();
    let reader = waiting(move || other.read(&mut [0; 8]));
    fd.close().unwrap();
    assert_eq!(reader.join(), Err(Error::Closed));
}

fn timerfd(_: &[&str]) {
    const MONOTONIC: usize = 1;
    // SAFETY: the call takes no pointer.
    let fd = result(unsafe { arch::syscall2(NR_TIMERFD_CREATE, MONOTONIC, 0) }).unwrap() as RawFd;
    let timer = polled(fd);
    let start = Instant::now();
    let every_5_ms = [0i64, 5_000_000, 0, 5_000_000];
    // SAFETY: the kernel reads two timespecs.
    let set = unsafe {
        arch::syscall4(NR_TIMERFD_SETTIME, fd as usize, 0, every_5_ms.as_ptr().expose_provenance(), 0)
    };
    result(set).unwrap();
    let mut ticks = 0;
    while ticks < 4 {
        let mut count = [0; 8];
        timer.read_exact(&mut count).unwrap();
        ticks += u64::from_ne_bytes(count);
    }
    assert!(start.elapsed() >= ms(20));
}

/// Its reads come back short whenever there are few events.
fn inotify(_: &[&str]) {
    const MODIFY: usize = 2;
    let path = Path::new("inotify");
    let file = PollFd::open(path.c_str(), OFlags::WRONLY | OFlags::CREAT, 0o600).unwrap();
    // SAFETY: the call takes no pointer.
    let fd = result(unsafe { arch::syscall1(NR_INOTIFY_INIT1, 0) }).unwrap() as RawFd;
    let watch = polled(fd);
    let name = path.c_str().as_ptr().expose_provenance();
    // SAFETY: the kernel reads the path.
    result(unsafe { arch::syscall3(NR_INOTIFY_ADD_WATCH, fd as usize, name, MODIFY) }).unwrap();
    for _ in 0..3 {
        let other = watch.try_clone().unwrap();
        let reader = waiting(move || other.read(&mut [0; 4096]));
        file.write_all(b"more").unwrap();
        assert_eq!(reader.join(), Ok(16)); // one event without a name
    }
}

fn make_fifo(path: &Path) {
    const FIFO: usize = 0o010_600;
    let name = path.c_str().as_ptr().expose_provenance();
    // SAFETY: the kernel reads the path.
    result(unsafe { arch::syscall4(NR_MKNODAT, AT_FDCWD as isize as usize, name, FIFO, 0) }).unwrap();
}

/// Opening one waits for the other end, and other tasks go on; golang/go's TestFifoEOF.
fn fifo(_: &[&str]) {
    let path = Arc::new(Path::new("fifo"));
    make_fifo(&path);
    let before = {
        drop(pipe().unwrap());
        descriptors()
    };
    for _ in 0..3 {
        let name = path.clone();
        let reader = waiting(move || {
            let reader = PollFd::open(name.c_str(), OFlags::empty(), 0).unwrap();
            let (mut got, mut buf) = (0, [0; 64]);
            while let n @ 1.. = reader.read(&mut buf).unwrap() {
                got += n;
            }
            got
        });
        let writer = PollFd::open(path.c_str(), OFlags::WRONLY, 0).unwrap();
        for _ in 0..10 {
            writer.write_all(b"ten bytes.").unwrap();
            sleep(ms(1));
        }
        drop(writer);
        assert_eq!(reader.join(), 100);
    }
    // Without anybody at the other end.
    let open = PollFd::open(path.c_str(), OFlags::WRONLY | OFlags::NONBLOCK, 0);
    assert_eq!(error(open), Error::Os(Call::Openat, Errno::ENXIO));
    assert_eq!(descriptors(), before);
}

/// The two ends of a pseudo-terminal, if this machine has any.
fn pty() -> Option<(PollFd, PollFd)> {
    const SET_LOCK: usize = 0x4004_5431;
    const GET_PEER: usize = 0x5441;
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let main = match PollFd::open(c"/dev/ptmx", flags, 0) {
        Err(Error::Os(Call::Openat, _)) => return None,
        other => other.unwrap(),
    };
    let (fd, zero) = (main.as_raw_fd() as usize, 0i32);
    // SAFETY: the first reads an int, the second takes no pointer.
    let peer = unsafe {
        result(arch::syscall3(NR_IOCTL, fd, SET_LOCK, (&raw const zero).expose_provenance())).unwrap();
        result(arch::syscall3(NR_IOCTL, fd, GET_PEER, flags.bits() as usize)).unwrap()
    };
    Some((main, PollFd::shared(owned(peer as RawFd)).unwrap()))
}

fn terminal(_: &[&str]) {
    let Some((main, terminal)) = pty() else { return };
    for _ in 0..3 {
        let reader = waiting({
            let terminal = terminal.try_clone().unwrap();
            move || {
                let mut line = [0; 64];
                let n = terminal.read(&mut line).unwrap();
                assert_eq!(&line[..n], b"a line\n");
            }
        });
        // In its usual mode a terminal hands out lines, one at a time, however many there are.
        main.write_all(b"a line\na line\n").unwrap();
        reader.join();
        assert_eq!(terminal.read(&mut [0; 64]), Ok(7));
    }
    let mut echo = [0; 6 * 8]; // each with \r\n
    main.read_exact(&mut echo).unwrap();
    terminal.write_all(b"to the screen").unwrap();
    main.read_exact(&mut [0; 13]).unwrap();
    assert!(!fcntl_getfl(terminal.as_raw_fd()).unwrap().contains(OFlags::NONBLOCK));
}

/// golang/go's TestTTYClose.
fn terminal_close(_: &[&str]) {
    let Some((_main, terminal)) = pty() else { return };
    let other = terminal.try_clone().unwrap();
    let reader = waiting(move || other.read(&mut [0; 64]));
    terminal.close().unwrap();
    assert_eq!(reader.join(), Err(Error::Closed));
}

fn regular_file(_: &[&str]) {
    let path = Path::new("file");
    let file = PollFd::open(path.c_str(), OFlags::RDWR | OFlags::CREAT | OFlags::TRUNC, 0o600).unwrap();
    assert!(!file.is_pollable());
    for part in LOTS.chunks(7000) {
        file.write_all(part).unwrap();
    }
    let again = PollFd::open(path.c_str(), OFlags::empty(), 0).unwrap();
    let again = Arc::new(again);
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let again = again.clone();
            spawn(move || {
                let (mut buf, mut got) = ([0; 997], 0);
                while let n @ 1.. = again.read(&mut buf).unwrap() {
                    assert!(buf[..n].iter().all(|&byte| byte == b'f'));
                    got += n;
                    yield_now();
                }
                got
            })
        })
        .collect();
    assert_eq!(join_all(readers).iter().sum::<usize>(), LOTS.len());
    assert_eq!(file.set_deadline(Some(past())), Err(Error::NotPollable));
    assert_eq!(file.set_read_timeout(Some(ms(1))), Err(Error::NotPollable));
    assert_eq!((file.read(&mut [0]), file.read_timeout()), (Ok(0), Ok(None)));
    assert_eq!(errno(again.write(b"x")), Errno::EBADF);
    let raw = file.as_raw_fd();
    let taken = file.into_fd().unwrap();
    assert_eq!((taken.as_raw_fd(), read(raw, &mut [0])), (raw, Ok(0)));
    again.close().unwrap();
    assert_eq!((again.read(&mut [0]), again.close()), (Err(Error::Closed), Err(Error::Closed)));
    let null = PollFd::new(owned(open(c"/dev/null"))).unwrap();
    assert_eq!((null.is_pollable(), null.read(&mut [0])), (false, Ok(0)));
    assert_eq!(
        error(PollFd::open(c"/no/such/file", OFlags::empty(), 0)),
        Error::Os(Call::Openat, Errno::ENOENT)
    );
}

/// golang/go's TestRawConnReadWrite.
fn call(_: &[&str]) {
    let (near, far) = UnixStream::pair().unwrap();
    let far = PollFd::new(owned(far.into_raw_fd().unwrap())).unwrap();
    let other = far.try_clone().unwrap();
    let reader = parked(move || {
        let mut tries = 0;
        let n = other.read_with(|fd| {
            tries += 1;
            read(fd, &mut [0; 8])
        });
        (n, tries)
    });
    near.write_all(b"bytes").unwrap();
    assert_eq!(reader.join(), (Ok(5), 2));
    assert_eq!(far.write_with(|_| Ok(42)), Ok(42));
    assert_eq!(far.write_with(|_| Err(Errno::EDOM)), Err(Error::Os(Call::Write, Errno::EDOM)));
    far.set_read_deadline(Some(past())).unwrap();
    assert_eq!(far.read_with(|_| panic!("past its deadline")), Err(Error::TimedOut));
    far.set_read_deadline(Some(after(ms(5)))).unwrap();
    assert_eq!(far.read_with(|_| Err(Errno::EAGAIN)), Err(Error::TimedOut));
    far.close().unwrap();
    assert_eq!(far.read_with(|_| panic!("closed")), Err(Error::Closed));
}

/// A pipe that blocks stays one, and parks all the same.
fn shared_flags(_: &[&str]) {
    let [reader, writer] = pipe2(OFlags::CLOEXEC).unwrap().map(|fd| PollFd::shared(owned(fd)).unwrap());
    static TURNS: AtomicBool = AtomicBool::new(false);
    let other = reader.try_clone().unwrap();
    let waits = waiting(move || {
        let n = other.read(&mut [0; 100]);
        assert!(TURNS.load(Ordering::SeqCst), "the others did not run");
        n
    });
    TURNS.store(true, Ordering::SeqCst);
    writer.write_all(b"bytes").unwrap();
    assert_eq!(waits.join(), Ok(5));
    let filler = writer.try_clone().unwrap();
    let writing = waiting(move || filler.write_all(&LOTS));
    let (mut buf, mut got) = ([0; 3000], 0);
    while got < LOTS.len() {
        got += reader.read(&mut buf).unwrap();
    }
    writing.join().unwrap();
    writer.set_write_deadline(Some(after(ms(20)))).unwrap();
    while writer.write(&LOTS).is_ok() {}
    assert_eq!(writer.write(b"x"), Err(Error::TimedOut));
    for fd in [&reader, &writer] {
        assert!(!fcntl_getfl(fd.as_raw_fd()).unwrap().contains(OFlags::NONBLOCK));
    }
    drop(reader);
    writer.set_write_deadline(None).unwrap();
    assert_eq!(errno(writer.write(b"x")), Errno::EPIPE);
}

/// What comes in goes out, while a timer ticks. Judged by the test that runs it.
fn stdin_to_stdout(_: &[&str]) {
    static DONE: AtomicBool = AtomicBool::new(false);
    let ticker = spawn(|| {
        let mut ticks = 0;
        while !DONE.load(Ordering::SeqCst) {
            sleep(ms(1));
            ticks += 1;
        }
        ticks
    });
    let (from, to) = (stdin().unwrap(), stdout().unwrap());
    let mut buf = [0; 1000];
    while let n @ 1.. = from.read(&mut buf).unwrap() {
        to.write_all(&buf[..n]).unwrap();
    }
    DONE.store(true, Ordering::SeqCst);
    let ticks = ticker.join();
    assert!(ticks > 0);
}

/// golang/go's TestClosedPipeRaceRead.
fn close_races_read(_: &[&str]) {
    for round in 0..200 {
        let (reader, _writer) = pipe().unwrap();
        let other = reader.try_clone().unwrap();
        let task = spawn(move || other.read(&mut [0; 8]));
        (0..round % 5).for_each(|_| yield_now());
        reader.close().unwrap();
        assert_eq!(task.join(), Err(Error::Closed));
    }
}

/// golang/go's TestClosedPipeRaceWrite: more than the pipe holds.
fn close_races_write(_: &[&str]) {
    for round in 0..200 {
        let (_reader, writer) = pipe().unwrap();
        let other = writer.try_clone().unwrap();
        let task = spawn(move || other.write_all(&LOTS));
        (0..round % 5).for_each(|_| yield_now());
        writer.close().unwrap();
        assert_eq!(task.join(), Err(Error::Closed));
    }
}

/// A read of a packet is short with more behind it.
fn packets(_: &[&str]) {
    let [reader, writer] = pipe2(OFlags::CLOEXEC | OFlags::DIRECT).unwrap();
    // SAFETY: just opened.
    let (reader, writer) = unsafe {
        (
            netpoll::io::PipeReader::from_raw_fd(reader).unwrap(),
            netpoll::io::PipeWriter::from_raw_fd(writer).unwrap(),
        )
    };
    for _ in 0..3 {
        writer.write_all(b"one").unwrap();
        writer.write_all(b"three").unwrap();
        assert_eq!((reader.read(&mut [0; 64]), reader.read(&mut [0; 64])), (Ok(3), Ok(5)));
    }
}

/// golang/go's TestPipeThreads.
fn parked_pipes(_: &[&str]) {
    let mut writers = Vec::new();
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let (reader, writer) = pipe().unwrap();
            writers.push(writer);
            spawn(move || reader.read(&mut [0; 8]))
        })
        .collect();
    eventually("all of them", || runtime::metrics().waiters == 100);
    assert!(runtime::metrics().threads < 50);
    writers.iter().for_each(|writer| writer.write_all(b"x").unwrap());
    assert!(join_all(readers).iter().all(|&n| n == Ok(1)));
}

/// golang/go's TestNonPollable (its issue 59545): a descriptor that reports nothing but an error, and is
/// closed with that under way, leaves nothing to the next that gets its slot.
fn no_stale_error(_: &[&str]) {
    for round in 0..3000 {
        let (reader, writer) = pipe().unwrap();
        let (waiting, other) = pipe().unwrap();
        let task = spawn(move || waiting.read(&mut [0; 8]));
        drop(reader); // an error at the writing end
        if round % 2 == 0 {
            yield_now();
        }
        drop(writer);
        let (reader, writer) = pipe().unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!(reader.read(&mut [0; 8]), Ok(1));
        other.write_all(b"x").unwrap();
        assert_eq!(task.join(), Ok(1));
    }
}

/// golang/go's TestReadError and TestNonPollable: a tunnel without a name is never ready, which is said; and what
/// is opened behind it is none the worse. Without that device, or the right to open it, there is nothing to try.
fn hopeless(_: &[&str]) {
    for round in 0..1000 {
        let flags = OFlags::RDWR | OFlags::NONBLOCK;
        let Ok(tunnel) = PollFd::open(c"/dev/net/tun", flags, 0) else { return };
        if round % 3 != 0 {
            let end = tunnel.read(&mut [0; 8]);
            let not_set_up = Err(Error::Os(Call::Read, Errno::EBADFD));
            assert!(end == not_set_up || end == Err(Error::NotPollable), "{end:?}");
        }
        if round % 2 == 0 {
            yield_now();
        }
        drop(tunnel);
        let (reader, writer) = pipe().unwrap();
        let task = spawn(move || reader.read(&mut [0; 8]));
        yield_now();
        writer.write_all(b"x").unwrap();
        assert_eq!(task.join(), Ok(1));
    }
}
