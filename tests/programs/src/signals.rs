//! Signals that tasks receive, ignore and give their usual effect back.

use crate::Scenario;
use crate::support::{PATIENCE, SETTLE, after, errno, error, join_all, ms, past, waiting};
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use netpoll::net::Error;
use netpoll::signal::{self, SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, Signal, notify};
use netpoll::sync::{Semaphore, channel};
use netpoll::sys::process::{getpid, getuid};
use netpoll::sys::signal::{
    MaskHow, SIGKILL, SIGPIPE, SIGSEGV, SIGSTKFLT, SIGSTOP, SIGURG, SaFlags, SigSet, Sigaction, Siginfo,
    kill, rt_sigaction, rt_sigprocmask, tgkill,
};
use netpoll::sys::thread::gettid;
use netpoll::sys::time::{ClockId, Timespec, clock_gettime, nanosleep};
use netpoll::sys::{Call, Errno};
use netpoll::time::sleep;
use netpoll::{blocking, println, scope, select, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("signal_is_received", received),
    ("signal_wakes_a_task", wakes),
    ("signal_is_an_arm_of_select", selected),
    ("signal_deadline_and_close", deadline_and_close),
    ("signal_refused", refused),
    ("signal_last_one_restores", restores),
    ("signal_waiting_at_the_end", waiting_at_the_end),
    ("signal_ignored", ignored),
    ("signal_reset", reset),
    ("signal_quit_is_received", quit),
    ("signal_quit_ignored_and_reset", quit_ignored),
    ("signal_blocked_by_the_parent", blocked_by_the_parent),
    ("signal_children_ignored_by_the_parent", children_ignored),
    ("signal_one_waits_others_too", one_waits),
    ("signal_nobody_waits", nobody_waits),
    ("signal_masks_of_all_threads", all_threads),
    ("signals_from_outside", from_outside),
    ("signal_handler_of_the_program_s", own_handler),
    ("signal_handler_that_blocks_too_little", handler_that_blocks_too_little),
];

fn rt(n: i32) -> Signal {
    Signal::new(n).unwrap()
}

fn raise(signal: Signal) {
    kill(getpid(), Some(signal)).unwrap();
}

/// Whether this thread blocks it.
fn blocked(signal: Signal) -> bool {
    rt_sigprocmask(MaskHow::Block, None).unwrap().contains(signal)
}

fn received(_: &[&str]) {
    let signals = notify(&[SIGTERM, SIGUSR1, rt(40), SIGTERM]).unwrap();
    assert_eq!(signals.set().iter().count(), 3);
    assert_eq!(signals.try_recv(), Ok(None));
    raise(rt(40));
    raise(SIGUSR1);
    raise(rt(40));
    raise(SIGUSR1); // is not counted again
    raise(SIGTERM);
    for expected in [SIGUSR1, SIGTERM, rt(40), rt(40)] {
        let info = signals.recv().unwrap();
        assert_eq!((info.signal, info.code, info.value), (expected, 0, 0), "{info:?}");
        assert_eq!((info.pid, info.uid), (getpid(), getuid()), "{info:?}");
    }
    assert_eq!(signals.try_recv(), Ok(None));
    // To a single thread, which reads: within `blocking` the task stays on it.
    let other = notify(&[SIGUSR2]).unwrap();
    let info = blocking(|| {
        tgkill(getpid(), gettid(), Some(SIGUSR2)).unwrap();
        other.try_recv().unwrap()
    });
    assert_eq!(info.map(|info| (info.signal, info.code)), Some((SIGUSR2, -6)));
}

fn wakes(_: &[&str]) {
    let signals = notify(&[SIGUSR1]).unwrap();
    let sender = spawn(|| {
        for _ in 0..100 {
            sleep(ms(1));
            raise(SIGUSR1);
        }
    });
    let mut n = 0;
    signals.set_read_timeout(Some(PATIENCE)).unwrap();
    while n < 100 {
        match signals.recv() {
            Ok(info) => assert_eq!(info.signal, SIGUSR1),
            Err(e) => panic!("{e} behind {n}"),
        }
        n += 1;
    }
    sender.join();
}

/// Beside other things, one of which comes first.
fn selected(_: &[&str]) {
    let signals = notify(&[SIGTERM]).unwrap();
    let (tx, rx) = channel(1);
    let mut got = Vec::new();
    drop(spawn(move || {
        tx.send("a message").unwrap();
        sleep(SETTLE);
        raise(SIGTERM);
        sleep(2 * PATIENCE); // the channel stays open
    }));
    while got.len() < 2 {
        select! {
            recv(rx) -> message => got.push(alloc::format!("{message:?}")),
            readable(signals) -> ready => {
                ready.unwrap();
                got.push(alloc::format!("{:?}", signals.recv().unwrap().signal));
            }
        }
    }
    assert_eq!(got, ["Some(\"a message\")", "SIGTERM"]);
    assert_eq!(alloc::format!("{:?}", rt(40)), "Signal(40)");
}

fn deadline_and_close(_: &[&str]) {
    let signals = notify(&[SIGUSR1]).unwrap();
    signals.set_read_deadline(Some(after(ms(20)))).unwrap();
    assert_eq!(signals.recv(), Err(Error::TimedOut));
    raise(SIGUSR1);
    signals.set_read_deadline(Some(past())).unwrap();
    assert_eq!(signals.recv(), Err(Error::TimedOut)); // which beats what is there
    signals.set_read_deadline(None).unwrap();
    assert!(signals.recv().is_ok());
    scope(|s| {
        let waits = s.spawn(|| signals.recv());
        sleep(SETTLE);
        assert_eq!(signals.try_recv(), Ok(None)); // beside the one that waits
        signals.close().unwrap();
        assert_eq!(waits.join(), Err(Error::Closed));
    });
    assert!(!blocked(SIGUSR1));
    assert_eq!(signals.close(), Err(Error::Closed));
    assert_eq!(signals.try_recv(), Err(Error::Closed));
    assert_eq!(signals.recv(), Err(Error::Closed));
}

fn refused(_: &[&str]) {
    for signal in [SIGKILL, SIGSTOP] {
        assert_eq!(errno(notify(&[SIGTERM, signal])), Errno::EINVAL);
        assert_eq!(signal::ignore(signal), Err(Errno::EINVAL));
        assert_eq!(signal::reset(signal), Err(Errno::EINVAL));
    }
    for signal in [SIGURG, SIGSEGV, SIGSTKFLT] {
        assert_eq!(errno(notify(&[signal, SIGTERM])), Errno::EBUSY);
        assert_eq!(signal::ignore(signal), Err(Errno::EBUSY));
        assert_eq!(signal::reset(signal), Err(Errno::EBUSY));
    }
    assert_eq!(errno(notify(&[SIGPIPE])), Errno::EBUSY);
    assert!(!blocked(SIGTERM), "of a refused call nothing remains");
    let none = notify(&[]).unwrap();
    none.set_read_deadline(Some(after(ms(5)))).unwrap();
    assert_eq!(none.recv(), Err(Error::TimedOut));
}

fn restores(_: &[&str]) {
    let first = notify(&[SIGUSR1, SIGTERM]).unwrap();
    let second = notify(&[SIGUSR1]).unwrap();
    drop(first);
    assert!(blocked(SIGUSR1) && !blocked(SIGTERM));
    raise(SIGUSR1);
    assert!(second.recv().is_ok());
    drop(second);
    assert!(!blocked(SIGUSR1));
    // And again, as if it had never been.
    let third = notify(&[SIGUSR1]).unwrap();
    raise(SIGUSR1);
    assert!(third.recv().is_ok());
}

/// Ends the program: nobody has received it.
fn waiting_at_the_end(_: &[&str]) {
    let signals = notify(&[SIGTERM]).unwrap();
    raise(SIGTERM);
    sleep(SETTLE);
    println!("alive");
    drop(signals);
    sleep(2 * PATIENCE);
}

fn ignored(_: &[&str]) {
    for signal in [SIGTERM, SIGPIPE, rt(64)] {
        signal::ignore(signal).unwrap();
        raise(signal);
    }
    let signals = notify(&[SIGTERM]).unwrap(); // is told all the same
    raise(SIGTERM);
    assert_eq!(signals.recv().unwrap().signal, SIGTERM);
    drop(signals);
    raise(SIGTERM);
    sleep(SETTLE);
}

/// Ends the program, by the signal that the first word names.
fn reset(words: &[&str]) {
    let signal = rt(words[0].parse().unwrap());
    if signal != SIGPIPE {
        signal::ignore(signal).unwrap();
    }
    raise(signal);
    println!("alive");
    signal::reset(signal).unwrap();
    raise(signal);
    sleep(2 * PATIENCE);
}

/// Ends as SIGQUIT does when nobody is notified of it.
fn quit(_: &[&str]) {
    let signals = notify(&[SIGQUIT]).unwrap();
    raise(SIGQUIT);
    assert_eq!(signals.recv().unwrap().signal, SIGQUIT);
    drop(signals);
    println!("alive");
    raise(SIGQUIT);
    sleep(2 * PATIENCE);
}

fn quit_ignored(_: &[&str]) {
    signal::ignore(SIGQUIT).unwrap();
    sleep(ms(1)); // what has started the monitor, if anything had to
    raise(SIGQUIT);
    sleep(SETTLE);
    println!("alive");
    signal::reset(SIGQUIT).unwrap();
    raise(SIGQUIT);
    sleep(2 * PATIENCE);
}

/// The parent has blocked everything: the threads can be asked all the same, and it stays so.
fn blocked_by_the_parent(_: &[&str]) {
    crowd(4);
    assert!(blocked(SIGUSR1) && blocked(SIGTERM));
    let signals = notify(&[SIGUSR1]).unwrap();
    raise(SIGUSR1);
    assert!(signals.recv().is_ok());
    drop(signals);
    assert!(blocked(SIGUSR1) && blocked(SIGTERM));
    raise(SIGUSR1); // without effect
}

fn children_ignored(_: &[&str]) {
    // SAFETY: no handler is installed.
    let action = || unsafe { rt_sigaction(SIGCHLD, None) }.unwrap();
    assert!(action().is_ignore());
    let signals = notify(&[SIGCHLD]).unwrap();
    assert!(action().is_default()); // or the kernel would send none when a child ends
    raise(SIGCHLD);
    assert_eq!(signals.recv().unwrap().signal, SIGCHLD);
    drop(signals);
    assert!(action().is_ignore());
}

static NEVER: Semaphore = Semaphore::new(0);

/// The end comes from outside: this is no deadlock.
fn one_waits(_: &[&str]) {
    let signals = notify(&[SIGTERM, SIGINT]).unwrap();
    drop(waiting(|| NEVER.acquire(1)));
    println!("ready");
    let info = signals.recv().unwrap();
    println!("{} from {}", info.signal.raw(), info.pid);
}

/// This is one.
fn nobody_waits(_: &[&str]) {
    let _signals = notify(&[SIGTERM]).unwrap();
    drop(waiting(|| NEVER.acquire(1)));
    NEVER.acquire(1);
}

/// So many threads at least, each in a blocking call for a while.
fn crowd(n: u32) {
    join_all(
        (0..n).map(|_| spawn(|| blocking(|| nanosleep(&Timespec::from_nanos(2_000_000), None).is_ok()))),
    );
}

/// Each task is notified of a signal of its own, sends it to the process, receives it and is notified no
/// more, again and again, while threads are made and others are preempted. A thread that did not block it
/// would end the program. Mutations seen to: no signal to the threads; `HANDLERS_BLOCK` empty; a thread made
/// beside the lock.
fn all_threads(words: &[&str]) {
    static DONE: AtomicBool = AtomicBool::new(false);
    let threads: u32 = words[0].parse().unwrap();
    let computing = join_later(threads, || {
        while !DONE.load(Ordering::Relaxed) {
            core::hint::spin_loop(); // until it is preempted
        }
    });
    let calling = join_later(threads, || {
        while !DONE.load(Ordering::Relaxed) {
            crowd(2);
        }
    });
    join_all((0..8).map(|i| {
        spawn(move || {
            let signal = rt(34 + i);
            for round in 0..40 {
                let signals = notify(&[signal]).unwrap();
                raise(signal);
                raise(signal);
                if round % 4 == 0 {
                    yield_now();
                }
                for _ in 0..2 {
                    assert_eq!(signals.recv().unwrap().signal, signal);
                }
                assert_eq!(
                    error(signals.try_recv().and_then(|info| info.ok_or(Error::TimedOut))),
                    Error::TimedOut
                );
            }
        })
    }));
    DONE.store(true, Ordering::Relaxed);
    join_all(computing.into_iter().chain(calling));
}

fn join_later(n: u32, f: fn()) -> Vec<netpoll::JoinHandle<()>> {
    (0..n).map(|_| spawn(f)).collect()
}

/// Prints the threads that run tasks, and receives what the test sends: 40 and 41 to the process, each with
/// the next value, 50 to single threads, with values that each thread gets once, SIGUSR1 to whomever. Signal
/// 42, to the process, is the last; its value tells how many went to threads.
fn from_outside(words: &[&str]) {
    static TOGETHER: AtomicU32 = AtomicU32::new(0);
    static RECEIVED: AtomicU32 = AtomicU32::new(0);
    static SENT: AtomicU32 = AtomicU32::new(u32::MAX);
    static SEEN: [[AtomicU32; 64]; 8] = [const { [const { AtomicU32::new(0) }; 64] }; 8];
    let threads: u32 = words[0].parse().unwrap();
    let signals = notify(&[SIGUSR1, SIGTERM, rt(40), rt(41), rt(42)]).unwrap();
    let single = notify(&[rt(50)]).unwrap();
    scope(|s| {
        let tells = || {
            TOGETHER.fetch_add(1, Ordering::SeqCst);
            while TOGETHER.load(Ordering::SeqCst) < threads {
                core::hint::spin_loop();
            }
            println!("{}", gettid());
        };
        let tellers: Vec<_> = (0..threads).map(|_| s.spawn(tells)).collect();
        tellers.into_iter().for_each(|teller| teller.join());
        // What is sent to a thread is that thread's to read. As there are always tasks enough, these threads
        // go on running them, one after the other.
        for _ in 0..2 * threads {
            s.spawn(|| {
                while RECEIVED.load(Ordering::SeqCst) != SENT.load(Ordering::SeqCst) {
                    while let Some(info) = single.try_recv().unwrap() {
                        let (thread, value) = (info.value as usize >> 16, info.value as usize & 0xffff);
                        let (seen, bit) = (&SEEN[thread][value / 32], 1 << (value % 32));
                        assert_eq!(seen.fetch_or(bit, Ordering::SeqCst) & bit, 0, "twice: {info:?}");
                        RECEIVED.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        println!("ready");
        let (mut next, mut usr1) = ([0, 0], 0);
        loop {
            let info = signals.recv().unwrap();
            match info.signal.raw() {
                n @ 40..=41 => {
                    assert_eq!((info.value, info.code), (next[n as usize - 40], -1), "{info:?}");
                    next[n as usize - 40] += 1;
                }
                42 => break SENT.store(info.value as u32, Ordering::SeqCst),
                _ if info.signal == SIGUSR1 => usr1 += 1,
                _ => panic!("{info:?}"),
            }
        }
        println!("{} {} {usr1}", next[0], next[1]);
    });
    core::mem::forget(signals); // a SIGUSR1 that waits with its thread would end the program
}

/// Where the handler below began and ended, and how often it has run.
static BEGUN: AtomicU32 = AtomicU32::new(0);
static ENDED: AtomicU32 = AtomicU32::new(0);
static RUNS: AtomicU32 = AtomicU32::new(0);

/// Takes several turns of a task, on whatever stack it is.
unsafe extern "C" fn slow(_: i32, _: *mut Siginfo, _: *mut c_void) {
    let now = || clock_gettime(ClockId::Monotonic).unwrap().as_nanos();
    BEGUN.store(gettid() as u32, Ordering::Relaxed);
    let start = now();
    while now() < start + 30_000_000 {}
    ENDED.store(gettid() as u32, Ordering::Relaxed);
    RUNS.fetch_add(1, Ordering::Release);
}

fn handle(signal: Signal, flags: SaFlags, mask: SigSet) {
    let action = Sigaction::handler(slow, netpoll::arch::rt_sigreturn, flags, mask);
    // SAFETY: the handler makes system calls and stores.
    unsafe { rt_sigaction(signal, Some(&action)) }.unwrap();
}

/// It neither blocks SIGURG nor has a stack of its own: the task is not preempted while it runs, because the handler
/// would go on on another thread, and its return would replace the mask there.
fn own_handler(_: &[&str]) {
    static DONE: AtomicBool = AtomicBool::new(false);
    handle(SIGUSR1, SaFlags::empty(), SigSet::EMPTY.with(SIGSTKFLT));
    let others: Vec<_> = (0..8)
        .map(|_| {
            spawn(|| {
                while !DONE.load(Ordering::Relaxed) {
                    assert!(!blocked(SIGUSR1));
                    yield_now();
                }
            })
        })
        .collect();
    for run in 0..10 {
        // One thread has it while this one looks, or this one itself.
        tgkill(getpid(), gettid(), Some(SIGUSR1)).unwrap();
        while RUNS.load(Ordering::Acquire) == run {}
        assert_eq!(BEGUN.load(Ordering::Relaxed), ENDED.load(Ordering::Relaxed), "on two threads");
        assert!(!blocked(SIGUSR1));
        // And its task is preempted again.
        let seen = netpoll::runtime::metrics().preemptions;
        while netpoll::runtime::metrics().preemptions == seen {}
    }
    DONE.store(true, Ordering::Relaxed);
    join_all(others);
}

/// It would undo a change of the masks that interrupts it.
fn handler_that_blocks_too_little(_: &[&str]) {
    handle(SIGUSR1, SaFlags::ONSTACK, SigSet::EMPTY.with(SIGURG));
    assert_eq!(notify(&[SIGUSR2]).map(drop), Err(Error::Os(Call::Signalfd4, Errno::EBUSY)));
    handle(SIGUSR1, SaFlags::ONSTACK, SigSet::EMPTY.with(SIGURG).with(SIGSTKFLT));
    notify(&[SIGUSR2]).unwrap();
    handle(SIGUSR1, SaFlags::ONSTACK, SigSet::EMPTY);
    signal::reset(SIGUSR1).unwrap();
    notify(&[SIGUSR2]).unwrap();
}
