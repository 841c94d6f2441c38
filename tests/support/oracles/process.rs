//! Memory, futexes, time, the process and its threads, signals.

use std::ffi::c_char;
use std::mem::{size_of, zeroed};
use std::ptr::{dangling_mut, null, null_mut};
use std::sync::atomic::AtomicU32;

use netpoll::sys::Errno;
use netpoll::sys::futex::*;
use netpoll::sys::mm::*;
use netpoll::sys::process::*;
use netpoll::sys::signal::*;
use netpoll::sys::thread::*;
use netpoll::sys::time::*;

use super::world::*;
use super::{C_LATE, C_NOW, LATE, NOW};
use super::{Case, INVALID, NOT_OPEN, err, sys, table};

static NO_SIGNALS: u64 = 0;

fn sc_now() -> (i64, i64) {
    let mut now = C_NOW;
    // SAFETY: the timespec is writable.
    assert_eq!(unsafe { sys!(CLOCK_GETTIME, libc::CLOCK_MONOTONIC, &raw mut now) }, 0);
    (now.tv_sec, now.tv_nsec)
}

fn c_now() -> (i64, i64) {
    let mut now = C_NOW;
    // SAFETY: the timespec is writable.
    assert_eq!(c(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) }), 0);
    (now.tv_sec, now.tv_nsec)
}

/// The CPUs that this thread may run on. Not `available_parallelism`, which counts quotas in, too.
fn c_cpus() -> Outcome {
    // SAFETY: integers, for which zeros are a value; the kernel writes as much as it is told.
    unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        assert_eq!(c(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set)), 0);
        libc::CPU_COUNT(&set).into()
    }
}

/// The length of a C string.
fn c_text(text: &[c_char]) -> Outcome {
    text.iter().take_while(|&&b| b != 0).count() as Outcome
}

/// Which of three pages, of which the second has been written to, are in memory, as bits.
fn touched_pages(mincore: impl FnOnce(*const u8, usize, &mut [u8]) -> Outcome) -> Outcome {
    // SAFETY: the page size is a number; a mapping of its own, written within, and not used afterwards.
    unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let pages = libc::mmap(null_mut(), 3 * page, prot, flags, -1, 0).cast::<u8>();
        // No huge page, which would be all three.
        libc::madvise(pages.cast(), 3 * page, libc::MADV_NOHUGEPAGE);
        pages.add(page).write(1);
        let mut vec = [0; 3];
        let outcome = mincore(pages, 3 * page, &mut vec);
        libc::munmap(pages.cast(), 3 * page);
        let bits = vec.iter().rev().fold(0, |bits, byte| bits << 1 | Outcome::from(byte & 1));
        if outcome < 0 { outcome } else { bits }
    }
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    const ANON: MapFlags = MapFlags::PRIVATE.union(MapFlags::ANONYMOUS);
    const C_ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    static WORD: AtomicU32 = AtomicU32::new(5);
    table! {
        "munmap of nothing" => INVALID; |_|
            munmap(null_mut(), 0).outcome();
            sys!(MUNMAP, 0, 0);
            c(libc::munmap(null_mut(), 0));
        "munmap off a page" => INVALID; |_|
            munmap(dangling_mut(), 4096).outcome();
            sys!(MUNMAP, 1, 4096);
            c(libc::munmap(dangling_mut::<u8>().cast(), 4096));
        "mmap of nothing" => INVALID; |_|
            mmap(null_mut(), 0, Prot::READ, ANON, -1, 0).map(drop).outcome();
            sys!(MMAP, 0, 0, 1, C_ANON, -1isize, 0);
            c(libc::mmap(null_mut(), 0, 1, C_ANON, -1, 0) as i64);
        "mmap of no file" => NOT_OPEN; |_|
            mmap(null_mut(), 4096, Prot::READ, MapFlags::PRIVATE, -1, 0).map(drop).outcome();
            sys!(MMAP, 0, 4096, 1, libc::MAP_PRIVATE, -1isize, 0);
            c(libc::mmap(null_mut(), 4096, 1, libc::MAP_PRIVATE, -1, 0) as i64);
        "mmap of everything" => err(Errno::ENOMEM); |_|
            mmap(null_mut(), 1 << 60, Prot::READ, ANON, -1, 0).map(drop).outcome();
            sys!(MMAP, 0, 1usize << 60, 1, C_ANON, -1isize, 0);
            c(libc::mmap(null_mut(), 1 << 60, 1, C_ANON, -1, 0) as i64);
        "mprotect of what is not mapped" => err(Errno::ENOMEM); |_|
            mprotect(null_mut(), 4096, Prot::READ).outcome();
            sys!(MPROTECT, 0, 4096, 1);
            c(libc::mprotect(null_mut(), 4096, 1));
        "madvise of what is not mapped" => err(Errno::ENOMEM); |_|
            madvise(null_mut(), 4096, Advice::DontNeed).outcome();
            sys!(MADVISE, 0, 4096, libc::MADV_DONTNEED);
            c(libc::madvise(null_mut(), 4096, libc::MADV_DONTNEED));
        "mincore of what is not mapped" => err(Errno::ENOMEM); |_|
            mincore(null_mut(), 4096, &mut [0]).outcome();
            sys!(MINCORE, 0, 4096, [0u8].as_mut_ptr());
            c(libc::mincore(null_mut(), 4096, [0u8].as_mut_ptr()));
        "mincore, the second of three pages" => 0b010; |_|
            touched_pages(|at, len, vec| mincore(at, len, vec).outcome());
            touched_pages(|at, len, vec| sys!(MINCORE, at, len, vec.as_mut_ptr()));
            touched_pages(|at, len, vec| c(libc::mincore(at.cast_mut().cast(), len, vec.as_mut_ptr())));
        "mremap of what is not mapped" => err(Errno::EFAULT); |_|
            mremap(null_mut(), 4096, 8192, MremapFlags::MAYMOVE, null_mut()).map(drop).outcome();
            sys!(MREMAP, 0, 4096, 8192, libc::MREMAP_MAYMOVE, 0);
            c(libc::mremap(null_mut(), 4096, 8192, libc::MREMAP_MAYMOVE) as i64);
        "futex_wait, another value" => err(Errno::EAGAIN); |_|
            futex_wait(&WORD, 6, None, Scope::Private).outcome();
            sys!(FUTEX, WORD.as_ptr(), libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 6, 0);
            c(libc::syscall(libc::SYS_futex, WORD.as_ptr(), libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG, 6, 0usize));
        "futex_wait, no time" => err(Errno::ETIMEDOUT); |_|
            futex_wait(&WORD, 5, Some(&NOW), Scope::Shared).outcome();
            sys!(FUTEX, WORD.as_ptr(), libc::FUTEX_WAIT, 5, &raw const C_NOW);
            c(libc::syscall(libc::SYS_futex, WORD.as_ptr(), libc::FUTEX_WAIT, 5, &raw const C_NOW));
        "futex_wait_until the past" => err(Errno::ETIMEDOUT); |_|
            futex_wait_until(&WORD, 5, Some(&NOW), Scope::Shared).outcome();
            sys!(FUTEX, WORD.as_ptr(), libc::FUTEX_WAIT_BITSET, 5, &raw const C_NOW, 0, -1isize);
            c(libc::syscall(libc::SYS_futex, WORD.as_ptr(), libc::FUTEX_WAIT_BITSET, 5, &raw const C_NOW, 0usize, -1i32));
        "futex_wake, nobody" => 0; |_|
            futex_wake(&WORD, 9, Scope::Private).outcome();
            sys!(FUTEX, WORD.as_ptr(), libc::FUTEX_WAKE, 9);
            c(libc::syscall(libc::SYS_futex, WORD.as_ptr(), libc::FUTEX_WAKE, 9));
        "nanosleep, a second of nanoseconds" => INVALID; |_|
            nanosleep(&LATE, None).outcome();
            sys!(NANOSLEEP, &raw const C_LATE, 0usize);
            c(libc::nanosleep(&C_LATE, null_mut()));
        "clock_nanosleep until the past" => 0; |_|
            clock_nanosleep(ClockId::Monotonic, SleepUntil::Absolute, &NOW, None).outcome();
            sys!(CLOCK_NANOSLEEP, 1, 1, &raw const C_NOW, 0usize);
            c(libc::clock_nanosleep(1, 1, &C_NOW, null_mut()));
        "clock_gettime goes on" => 1; |_|
            (clock_gettime(ClockId::Monotonic).unwrap() <= clock_gettime(ClockId::Monotonic).unwrap()).outcome();
            (sc_now() <= sc_now()).outcome();
            (c_now() <= c_now()).outcome();
        "getpid" => std::process::id().into(); |_|
            getpid().outcome();
            sys!(GETPID);
            c(libc::getpid());
        "getppid" => std::os::unix::process::parent_id().into(); |_|
            getppid().outcome();
            sys!(GETPPID);
            c(libc::getppid());
        "gettid, not 0" => 1; |_|
            (gettid() > 0).outcome();
            (sys!(GETTID) > 0).outcome();
            (libc::gettid() > 0).outcome();
        "prlimit64 of nobody" => err(Errno::ESRCH); |_|
            prlimit64(i32::MAX, Resource::Nofile, None).map(drop).outcome();
            sys!(PRLIMIT64, i32::MAX, 7, 0usize, 0usize);
            c(libc::prlimit(i32::MAX, 7, null(), null_mut()));
        "prlimit64, cur above max" => INVALID; |_|
            prlimit64(0, Resource::Nofile, Some(&Rlimit { cur: 2, max: 1 })).map(drop).outcome();
            sys!(PRLIMIT64, 0, 7, [2u64, 1].as_ptr(), 0usize);
            c(libc::prlimit(0, 7, &libc::rlimit { rlim_cur: 2, rlim_max: 1 }, null_mut()));
        "getrandom" => 16; |_|
            getrandom(&mut [0; 16], GetrandomFlags::empty()).outcome();
            sys!(GETRANDOM, [0u8; 16].as_mut_ptr(), 16, 0);
            c_size(libc::getrandom([0u8; 16].as_mut_ptr().cast(), 16, 0));
        "getrandom, all flags" => INVALID; |_|
            getrandom(&mut [0; 16], GetrandomFlags::from_bits_retain(!0)).outcome();
            sys!(GETRANDOM, [0u8; 16].as_mut_ptr(), 16, -1isize);
            c_size(libc::getrandom([0u8; 16].as_mut_ptr().cast(), 16, u32::MAX));
        "uname" => 5; |_|
            uname().map(|u| u.sysname().to_bytes().len()).outcome();
            { let mut u: libc::utsname = zeroed(); sys!(UNAME, &raw mut u) + c_text(&u.sysname) };
            { let mut u: libc::utsname = zeroed(); c(libc::uname(&mut u)) + c_text(&u.sysname) };
        "wait4 of no child" => err(Errno::ECHILD); |_|
            wait4(1, WaitFlags::NOHANG).map(drop).outcome();
            sys!(WAIT4, 1, 0usize, libc::WNOHANG, 0usize);
            c(libc::waitpid(1, null_mut(), libc::WNOHANG));
        "wait4 of i32::MIN" => err(Errno::ESRCH); |_|
            wait4(i32::MIN, WaitFlags::NOHANG).map(drop).outcome();
            sys!(WAIT4, i32::MIN as isize, 0usize, libc::WNOHANG, 0usize);
            c(libc::waitpid(i32::MIN, null_mut(), libc::WNOHANG));
        "sched_getaffinity of nobody" => err(Errno::ESRCH); |_|
            sched_getaffinity(i32::MAX).map(drop).outcome();
            sys!(SCHED_GETAFFINITY, i32::MAX, 1024, [0u64; 128].as_mut_ptr());
            c(libc::sched_getaffinity(i32::MAX, size_of::<libc::cpu_set_t>(), &mut zeroed()));
        "sched_getaffinity, CPUs" => c_cpus(); |_|
            sched_getaffinity(0).map(|s| s.count() as usize).outcome();
            { let mut s = [0u64; 128]; sys!(SCHED_GETAFFINITY, 0, 1024, s.as_mut_ptr()); s.iter().map(|w| w.count_ones()).sum::<u32>().into() };
            c_cpus();
        "kill of nobody" => err(Errno::ESRCH); |_|
            kill(i32::MAX, None).outcome();
            sys!(KILL, i32::MAX, 0);
            c(libc::kill(i32::MAX, 0));
        "tgkill of thread -1" => INVALID; |_|
            tgkill(getpid(), -1, None).outcome();
            sys!(TGKILL, libc::getpid(), -1isize, 0);
            c(libc::syscall(libc::SYS_tgkill, libc::getpid(), -1, 0));
        "signalfd4 over another file" => INVALID; |w|
            signalfd4(w.file, &SigSet::EMPTY, SignalfdFlags::empty()).outcome();
            sys!(SIGNALFD4, w.file, &raw const NO_SIGNALS, 8, 0);
            c(libc::signalfd(w.file, &zeroed(), 0));
        "signalfd4" => 0; |w|
            w.new_fd(signalfd4(-1, &SigSet::EMPTY, SignalfdFlags::all()).outcome());
            w.new_fd(sys!(SIGNALFD4, -1isize, &raw const NO_SIGNALS, 8, 0));
            w.new_fd(c(libc::signalfd(-1, &zeroed(), 0)));
    }
}
