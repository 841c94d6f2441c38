//! The poller on the running kernel, with `epoll_pwait2` and without it, for real pipes and sockets.
//! What is asserted of time: nothing is early; what does not come within a minute never comes.

#[allow(dead_code)] // the tests over the fake kernel use the rest of it
#[path = "../poller/sched.rs"]
mod sched;

mod embedder;
mod many;
mod misuse;
mod streams;

use netpoll::poll::{Error, Kernel, Linux, Mode, Netpoll, PollDesc, Side};
use netpoll::sys::Call;
use netpoll::sys::fd::{OFlags, pipe2};
use netpoll::sys::{Errno, RawFd};
use sched::{Threads, poll, spawn};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread::{Scope, ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

type Poller = Netpoll<Linux, Threads>;

const MS: i64 = 1_000_000;
const LATE: Duration = Duration::from_secs(60);

/// Held by every test: shared, or alone by the one that counts the process's descriptors.
static DESCRIPTORS: RwLock<()> = RwLock::new(());

fn each_kernel(test: impl Fn(&Poller)) {
    let _shared = DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    for kernel in [Linux::new(), Linux::without_pwait2()] {
        test(&Netpoll::new(kernel, Threads));
    }
}

fn pipe() -> (File, File) {
    let [reader, writer] = pipe2(OFlags::CLOEXEC | OFlags::NONBLOCK).unwrap();
    // SAFETY: both were just made and have no other owner.
    unsafe { (File::from_raw_fd(reader), File::from_raw_fd(writer)) }
}

fn unix() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

fn close(p: &Poller, pd: PollDesc) {
    p.unblock(pd).unwrap();
    p.close(pd).unwrap();
}

/// A thread that polls until `done`.
fn polling<'s>(s: &'s Scope<'s, '_>, p: &'s Poller, done: &'s AtomicBool) -> ScopedJoinHandle<'s, ()> {
    s.spawn(|| {
        while !done.load(SeqCst) {
            poll(p, -1);
        }
    })
}

/// Threads are joined one by one: ThreadSanitizer does not see that a scope waits for them.
fn stop<const N: usize>(p: &Poller, done: &AtomicBool, polling: [ScopedJoinHandle<'_, ()>; N]) {
    done.store(true, SeqCst);
    p.break_().unwrap();
    polling.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn poll_without_delay_reports_and_returns() {
    each_kernel(|p| {
        assert!(poll(p, 0).is_empty(), "nothing is registered");
        let (reader, mut writer) = pipe();
        let pd = p.open(reader.as_raw_fd()).unwrap();
        assert!(poll(p, 0).is_empty());
        scope(|s| {
            let task = spawn(s, 5, || p.wait(pd, Mode::Read));
            writer.write_all(b"x").unwrap();
            assert_eq!(poll(p, 0), [5]);
            assert_eq!(task.join(), Ok(()));
        });
        close(p, pd);
    });
}

#[test]
fn deadlines_are_never_early() {
    each_kernel(|p| {
        let (reader, _writer) = pipe();
        let pd = p.open(reader.as_raw_fd()).unwrap();
        for ns in [1, 50_000, 999_999, MS, 1_500_000, 20 * MS] {
            let start = p.kernel().nanotime();
            p.set_deadline(pd, Side::Read, Some(start + ns)).unwrap();
            scope(|s| {
                let task = spawn(s, 1, || p.wait(pd, Mode::Read));
                while task.settle() {
                    poll(p, -1);
                }
                assert_eq!(task.join(), Err(Error::Timeout));
            });
            let took = p.kernel().nanotime() - start;
            assert!(took >= ns && took < LATE.as_nanos() as i64, "{ns} took {took}");
        }
        close(p, pd);
    });
}

/// In ms, a poll may end a part of one too soon, and is called again.
#[test]
fn poll_sleeps_its_delay() {
    each_kernel(|p| {
        for (delay, least) in [(1, 1), (50_000, 50_000), (3_700_000, 3_000_000)] {
            let start = p.kernel().nanotime();
            assert!(poll(p, delay).is_empty());
            let took = p.kernel().nanotime() - start;
            assert!(took >= least && took < LATE.as_nanos() as i64, "{delay} took {took}");
        }
    });
}

#[test]
fn break_interrupts_a_long_wait() {
    each_kernel(|p| {
        for delay in [-1, i64::MAX, 3_600_000 * MS] {
            let start = Instant::now();
            scope(|s| {
                let sleeper = s.spawn(|| poll(p, delay));
                std::thread::sleep(Duration::from_millis(5));
                p.break_().unwrap();
                assert!(sleeper.join().unwrap().is_empty());
            });
            assert!(start.elapsed() < LATE);
        }
    });
}

/// Makes `epoll_pwait2` fail with `errno` in the calling thread, as an old kernel or a container does.
fn refuse_epoll_pwait2(errno: i32) {
    let code = |class: u32| class as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), 0, 0, 0), // seccomp_data.nr
        step(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), 0, 1, libc::SYS_epoll_pwait2 as u32),
        step(code(libc::BPF_RET | libc::BPF_K), 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(code(libc::BPF_RET | libc::BPF_K), 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program; the filter is this thread's alone and ends with it.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn missing_or_forbidden_epoll_pwait2_falls_back_to_ms() {
    let _shared = DESCRIPTORS.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    for errno in [libc::ENOSYS, libc::EPERM] {
        let thread = std::thread::spawn(move || {
            refuse_epoll_pwait2(errno);
            let p: Poller = Netpoll::new(Linux::new(), Threads);
            for _ in 0..2 {
                let start = p.kernel().nanotime();
                assert!(poll(&p, 3 * MS).is_empty());
                assert!(p.kernel().nanotime() - start >= 3 * MS);
            }
        });
        thread.join().unwrap();
    }
}

/// The counter is never read: every write must be an edge all the same.
#[test]
fn unread_eventfd_wakes_again_and_again() {
    each_kernel(|p| {
        for _ in 0..1_000 {
            p.break_().unwrap();
            p.break_().unwrap();
            assert!(poll(p, -1).is_empty()); // would sleep for ever
        }
        let start = p.kernel().nanotime();
        poll(p, 2 * MS);
        assert!(p.kernel().nanotime() - start >= 2 * MS, "and is quiet in between");
    });
}

/// One thread polls without blocking as fast as it can, and takes most edges from under the sleeper.
#[test]
fn break_reaches_a_sleeper_past_a_busy_poll() {
    each_kernel(|p| {
        let (done, work, seen) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        scope(|s| {
            let busy = s.spawn(|| {
                while !done.load(SeqCst) {
                    poll(p, 0);
                }
            });
            let sleeper = s.spawn(|| {
                while !done.load(SeqCst) {
                    poll(p, -1);
                    seen.store(work.load(SeqCst), SeqCst);
                }
            });
            for round in 1..=100 {
                let start = Instant::now();
                work.store(round, SeqCst);
                p.break_().unwrap();
                while seen.load(SeqCst) < round {
                    assert!(start.elapsed() < LATE, "break {round} is lost");
                    std::thread::yield_now();
                }
            }
            stop(p, &done, [busy, sleeper]);
        });
    });
}

#[test]
fn eight_pipes_wake_in_the_order_of_writing() {
    each_kernel(|p| {
        let mut pipes: Vec<_> = (0..8).map(|_| pipe()).collect();
        let pds: Vec<_> = pipes.iter().map(|(reader, _)| p.open(reader.as_raw_fd()).unwrap()).collect();
        scope(|s| {
            let waiters = pds.iter().enumerate();
            let tasks: Vec<_> = waiters.map(|(i, &pd)| spawn(s, i, move || p.wait(pd, Mode::Read))).collect();
            let order = [2, 7, 0, 5, 1, 6, 4, 3];
            order.iter().for_each(|&i| pipes[i].1.write_all(b"x").unwrap());
            assert_eq!(poll(p, -1), order);
            tasks.into_iter().for_each(|task| assert_eq!(task.join(), Ok(())));
        });
        pds.into_iter().for_each(|pd| close(p, pd));
    });
}

#[test]
fn descriptors_that_cannot_be_registered() {
    each_kernel(|p| {
        let fails = |fd: RawFd, errno: Errno| {
            assert_eq!(p.open(fd).map(drop), Err(Error::Os(Call::EpollCtl, errno)));
        };
        fails(File::open("/proc/self/exe").unwrap().as_raw_fd(), Errno::EPERM);
        fails(File::open("/").unwrap().as_raw_fd(), Errno::EPERM);
        fails(-1, Errno::EBADF);
        fails(1 << 30, Errno::EBADF);
        let (reader, _writer) = pipe();
        let pd = p.open(reader.as_raw_fd()).unwrap();
        fails(reader.as_raw_fd(), Errno::EEXIST);
        close(p, pd);
        close(p, p.open(reader.as_raw_fd()).unwrap());
        fails(own(p)[0], Errno::EINVAL); // the epoll instance itself
    });
}

/// The poller's own descriptors: the epoll instance, and the eventfd of its breaks.
fn own(p: &Poller) -> [RawFd; 2] {
    let file = |fd: &RawFd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
    let mut own: Vec<_> = (3..1024).filter(|&fd| p.is_poll_descriptor(fd)).collect();
    own.sort_by_key(|fd| file(fd) != std::path::Path::new("anon_inode:[eventpoll]"));
    own.try_into().unwrap()
}

/// What the kernel has noted of a registration: events and data.
fn registration(p: &Poller, fd: RawFd) -> (u64, u64) {
    let [epfd, _] = own(p);
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{epfd}")).unwrap();
    let line = info.lines().find(|line| line.starts_with(&format!("tfd: {fd:8} "))).unwrap();
    let field = |name: &str| {
        let rest = line[line.find(name).unwrap() + name.len()..].trim_start();
        u64::from_str_radix(rest.split(' ').next().unwrap(), 16).unwrap()
    };
    (field("events:"), field("data:"))
}

/// IN, PRI, RDHUP, ET (with the ERR and HUP that the kernel adds); no EXCLUSIVE, no ONESHOT, no OUT yet.
#[test]
fn kernel_knows_the_mask() {
    const FORCED: u64 = 0x8 | 0x10;
    each_kernel(|p| {
        let (a, _b) = unix();
        let pd = p.open(a.as_raw_fd()).unwrap();
        let (events, data) = registration(p, a.as_raw_fd());
        assert_eq!(events & !FORCED, 0x8000_2003);
        scope(|s| {
            let writer = spawn(s, 1, || p.wait(pd, Mode::Write));
            assert_eq!(registration(p, a.as_raw_fd()), (0x8000_2007 | events & FORCED, data));
            assert_eq!(poll(p, -1), [1], "arming reports that there is room");
            assert_eq!(writer.join(), Ok(()));
        });
        let (events, data) = registration(p, own(p)[1]);
        assert_eq!((events & !FORCED, data), (0x8000_0001, 0));
        close(p, pd);
    });
}

#[test]
fn duplicate_of_a_closed_descriptor_neither_wakes_nor_spins() {
    each_kernel(|p| {
        let (reader, mut writer) = pipe();
        let duplicate = reader.try_clone().unwrap();
        let pd = p.open(reader.as_raw_fd()).unwrap();
        writer.write_all(b"x").unwrap(); // an event that nobody has taken yet
        close(p, pd);
        drop(reader);
        writer.write_all(b"y").unwrap();
        let start = p.kernel().nanotime();
        assert!(poll(p, 5 * MS).is_empty());
        assert!(p.kernel().nanotime() - start >= 5 * MS, "slept");
        drop(duplicate);
    });
}

/// The user closed the number behind the poller's back, and a duplicate keeps the file alive: one edge
/// for each write, but no storm; and closing the registration still works.
#[test]
fn descriptor_closed_under_the_poller_does_not_spin() {
    each_kernel(|p| {
        let (reader, mut writer) = pipe();
        let duplicate = reader.try_clone().unwrap();
        let pd = p.open(reader.as_raw_fd()).unwrap();
        drop(reader);
        writer.write_all(b"x").unwrap();
        poll(p, 0);
        let start = p.kernel().nanotime();
        poll(p, 5 * MS);
        assert!(p.kernel().nanotime() - start >= 5 * MS, "slept");
        close(p, pd);
        drop(duplicate);
    });
}

/// An event is pending when its descriptor is closed and the number goes to another file.
#[test]
fn reused_number_gets_no_event_of_its_past() {
    each_kernel(|p| {
        let (old, mut writer) = pipe();
        let fd = old.as_raw_fd();
        let pd = p.open(fd).unwrap();
        writer.write_all(b"x").unwrap();
        close(p, pd);
        let (new, _peer) = unix();
        // SAFETY: `old` owns the number and takes over the socket that is put there.
        assert_eq!(unsafe { libc::dup2(new.as_raw_fd(), fd) }, fd);
        let pd = p.open(fd).unwrap();
        scope(|s| {
            let reader = spawn(s, 1, || p.wait(pd, Mode::Read));
            assert!(poll(p, 0).is_empty());
            assert!(reader.settle());
            p.unblock(pd).unwrap();
            assert_eq!(reader.join(), Err(Error::Closing));
        });
        p.close(pd).unwrap();
    });
}

#[test]
fn pollers_leak_no_descriptor() {
    let _alone = DESCRIPTORS.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (reader, _writer) = pipe();
    let before = open();
    for _ in 0..2_000 {
        let p: Poller = Netpoll::new(Linux::new(), Threads);
        let pd = p.open(reader.as_raw_fd()).unwrap();
        p.set_deadline(pd, Side::Both, Some(i64::MAX - 1)).unwrap();
    }
    assert_eq!(open(), before);
}

#[test]
fn descriptor_opened_during_a_blocked_poll_is_seen() {
    each_kernel(|p| {
        p.init().unwrap();
        let done = AtomicBool::new(false);
        scope(|s| {
            let poller = polling(s, p, &done);
            std::thread::sleep(Duration::from_millis(2));
            for _ in 0..50 {
                let (reader, mut writer) = pipe();
                let pd = p.open(reader.as_raw_fd()).unwrap();
                let task = spawn(s, 1, move || p.wait(pd, Mode::Read));
                writer.write_all(b"x").unwrap();
                assert_eq!(task.finish(), Ok(()));
                close(p, pd);
            }
            stop(p, &done, [poller]);
        });
    });
}

#[test]
fn signal_repeats_an_endless_wait_and_ends_a_limited_one() {
    extern "C" fn ignore(_: libc::c_int) {}
    // SAFETY: the handler does nothing; without SA_RESTART, though epoll_wait is not restarted anyway.
    unsafe { libc::signal(libc::SIGUSR1, ignore as *const () as libc::sighandler_t) };
    each_kernel(|p| {
        for delay in [-1, 3_600_000 * MS] {
            let (thread, woken) = (AtomicU64::new(0), AtomicBool::new(false));
            scope(|s| {
                let waiting = s.spawn(|| {
                    // SAFETY: asks for the caller's own handle, which is not 0.
                    thread.store(unsafe { libc::pthread_self() }, SeqCst);
                    poll(p, delay);
                    woken.store(true, SeqCst);
                });
                let start = Instant::now();
                while thread.load(SeqCst) == 0 {
                    std::thread::yield_now();
                }
                let thread = thread.load(SeqCst);
                for round in 0.. {
                    std::thread::sleep(Duration::from_millis(2));
                    if woken.load(SeqCst) || delay < 0 && round == 10 {
                        break;
                    }
                    assert!(start.elapsed() < LATE);
                    // SAFETY: the scope has not joined the thread.
                    unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
                }
                assert_eq!(woken.load(SeqCst), delay > 0);
                p.break_().unwrap();
                waiting.join().unwrap();
            });
        }
    });
}
