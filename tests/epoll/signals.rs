//! Signals during waits (LTP: epoll_wait08, epoll_pwait01). The wrappers pass no mask, so it is the thread's own
//! that counts.

use crate::{Epoll, IN, MS, PATIENCE, PATIENT, WAITS, bump, eventfd};
use netpoll::sys::Errno;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

const SIGNAL: libc::c_int = libc::SIGUSR2;

static CAUGHT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn caught(_: libc::c_int) {
    CAUGHT.fetch_add(1, SeqCst);
}

/// With the flag that restarts other calls: a wait is not restarted.
fn handle() {
    // SAFETY: a handler that does no more than add, in a structure of zeros but for what is set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = caught as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(SIGNAL, &action, std::ptr::null_mut()), 0);
    }
}

/// The calling thread's, of `SIGNAL`.
fn block(how: libc::c_int) {
    // SAFETY: a set on this stack.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, SIGNAL);
        assert_eq!(libc::pthread_sigmask(how, &set, std::ptr::null_mut()), 0);
    }
}

fn send(thread: libc::pthread_t) {
    // SAFETY: every caller's thread is in a scope that has not joined it. If it has ended there is an error.
    unsafe { libc::pthread_kill(thread, SIGNAL) };
}

fn this_thread() -> libc::pthread_t {
    // SAFETY: the call takes no argument.
    unsafe { libc::pthread_self() }
}

#[test]
fn a_signal_ends_a_wait_with_or_without_limit() {
    handle();
    for wait in WAITS {
        for ns in [-1, PATIENT * 100] {
            let (fd, done) = (eventfd(0), AtomicBool::new(false));
            let epoll = Epoll::of(&fd, IN);
            scope(|s| {
                let (tell, thread) = mpsc::channel();
                let (epoll, done) = (&epoll, &done);
                let waiter = s.spawn(move || {
                    tell.send(this_thread()).unwrap();
                    let result = wait(epoll, 8, ns);
                    done.store(true, SeqCst);
                    result
                });
                let (thread, start) = (thread.recv().unwrap(), Instant::now());
                // One that comes before the wait ends nothing, so again.
                while !done.load(SeqCst) && start.elapsed() < PATIENCE {
                    send(thread);
                    sleep(Duration::from_millis(1));
                }
                bump(&fd);
                assert_eq!(waiter.join().unwrap(), Err(Errno::EINTR));
            });
        }
    }
}

/// Blocked in the thread, it waits until the wait is over.
#[test]
fn a_blocked_signal_ends_no_wait() {
    handle();
    for wait in WAITS {
        let fd = eventfd(0);
        let epoll = Epoll::of(&fd, IN);
        scope(|s| {
            let (tell, thread) = mpsc::channel();
            let epoll = &epoll;
            let waiter = s.spawn(move || {
                block(libc::SIG_BLOCK);
                send(this_thread());
                // Pending already.
                assert_eq!(wait(epoll, 8, 3 * MS), Ok(vec![]));
                tell.send(this_thread()).unwrap();
                let result = wait(epoll, 8, PATIENT);
                let before = CAUGHT.load(SeqCst);
                block(libc::SIG_UNBLOCK);
                // On return of the call at the latest. (Other tests' threads may be caught meanwhile, too.)
                assert!(CAUGHT.load(SeqCst) > before);
                result
            });
            let thread = thread.recv().unwrap();
            for _ in 0..5 {
                sleep(Duration::from_millis(1));
                send(thread);
            }
            bump(&fd);
            assert_eq!(waiter.join().unwrap().unwrap().len(), 1);
        });
    }
}
