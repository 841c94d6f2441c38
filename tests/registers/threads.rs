//! Threads by raw `clone`, and the signal restorer.
//!
//! The threads made here may share libc's thread block with their maker, so they run nothing that uses
//! it: atomics and system calls only, no allocation, no panic.

use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use netpoll::arch::{
    clone_thread, exit_thread_unmap, rt_sigreturn, syscall0, syscall1_noreturn, syscall3, syscall4,
    thread_pointer,
};
use sc::nr;

use crate::{GUARD, Landing, STACK, Stack, land};

const THREAD: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID;

/// A thread's id, which the kernel clears and wakes when the thread is gone. Not private: neither is
/// the kernel's wake-up.
fn join(tid: &AtomicI32) {
    let started = Instant::now();
    loop {
        let now = tid.load(SeqCst);
        if now == 0 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the thread does not end");
        let timeout = libc::timespec { tv_sec: 10, tv_nsec: 0 };
        // SAFETY: futex(2) reads `tid` and `timeout`.
        unsafe {
            syscall4(
                nr::FUTEX,
                tid.as_ptr() as usize,
                libc::FUTEX_WAIT as usize,
                now as usize,
                &raw const timeout as usize,
            )
        };
    }
}

/// What a raw thread and its test share.
#[repr(C)]
struct Shared {
    landing: Landing,
    tid: AtomicI32,
    own_tid: AtomicUsize,
    pointer: AtomicUsize,
    stack: usize,
}

impl Shared {
    fn start(
        stack: &Stack,
        flags: i32,
        tls: *mut u8,
        then: unsafe extern "C" fn(*mut u8) -> !,
    ) -> Box<Shared> {
        let shared = Box::new(Shared {
            landing: Landing::new(then),
            tid: AtomicI32::new(-1),
            own_tid: AtomicUsize::new(0),
            pointer: AtomicUsize::new(0),
            stack: stack.base as usize,
        });
        let arg = (&raw const *shared).cast_mut().cast();
        let tid = shared.tid.as_ptr();
        // SAFETY: the stack and `shared` outlive the thread, which the tests join.
        let started = unsafe { clone_thread(flags as usize, stack.top(), tid, tid, tls, land, arg) };
        assert!(started > 0, "clone: {started}");
        assert_ne!(started as i32, std::process::id() as i32);
        shared
    }
}

unsafe extern "C" fn tell_and_exit(shared: *mut u8) -> ! {
    // SAFETY: atomics of a `Shared` that outlives the thread; the thread pointer was set by clone.
    unsafe {
        let shared = shared.cast::<Shared>();
        (*shared).pointer.store(thread_pointer() as usize, SeqCst);
        (*shared).own_tid.store(syscall0(nr::GETTID), SeqCst);
        syscall1_noreturn(nr::EXIT, 0)
    }
}

unsafe extern "C" fn unmap_and_exit(shared: *mut u8) -> ! {
    // SAFETY: all signals are blocked first; `shared` is not on the stack.
    unsafe {
        let shared = shared.cast::<Shared>();
        let all = u64::MAX;
        syscall4(nr::RT_SIGPROCMASK, libc::SIG_BLOCK as usize, &raw const all as usize, 0, 8);
        (*shared).own_tid.store(syscall0(nr::GETTID), SeqCst);
        exit_thread_unmap((*shared).stack as *mut u8, STACK)
    }
}

#[test]
fn a_thread_runs_on_its_own_stack_and_its_end_is_told() {
    let stack = Stack::new();
    let mut block = [0usize; 8];
    block[0] = &raw const block as usize;
    for _ in 0..50 {
        let tls = (&raw mut block).cast();
        let shared = Shared::start(&stack, THREAD | libc::CLONE_SETTLS, tls, tell_and_exit);
        join(&shared.tid);
        shared.landing.check(&stack);
        assert_eq!(shared.pointer.load(SeqCst), tls as usize);
        assert!(shared.own_tid.load(SeqCst) > 0);
    }
}

#[test]
fn clone_fails_with_a_value() {
    let stack = Stack::new();
    let null = ptr::null_mut::<u8>();
    let no_memory_shared = libc::CLONE_THREAD as usize;
    // SAFETY: the kernel refuses these flags (clone(2)), so no thread begins.
    let ret =
        unsafe { clone_thread(no_memory_shared, stack.top(), null.cast(), null.cast(), null, land, null) };
    assert_eq!(ret, -libc::EINVAL as isize);
}

#[test]
fn a_thread_frees_its_own_stack() {
    // A place of its own, which no other thread's mapping takes while the test looks.
    let place = 0x2000_0000_0000usize as *mut u8;
    for _ in 0..20 {
        let stack = Stack::at(place, libc::MAP_FIXED_NOREPLACE);
        assert_eq!(stack.base, place);
        let shared = Shared::start(&stack, THREAD, ptr::null_mut(), unmap_and_exit);
        join(&shared.tid);
        assert!(shared.own_tid.load(SeqCst) > 0);
        std::mem::forget(stack);
        for page in [0, GUARD, STACK - GUARD] {
            // SAFETY: msync(2) only looks whether something is mapped.
            let ret = unsafe { syscall3(nr::MSYNC, place as usize + page, GUARD, libc::MS_ASYNC as usize) };
            assert_eq!(ret, -libc::ENOMEM as usize, "page {page} is still mapped");
        }
    }
}

#[test]
fn the_thread_pointer_is_the_one_libc_set() {
    let read = || {
        // SAFETY: libc has set it; glibc's `pthread_self` is the same pointer.
        unsafe { (thread_pointer() as usize, libc::pthread_self() as usize) }
    };
    let (here, expected) = read();
    assert_eq!(here, expected);
    let (there, expected) = std::thread::spawn(read).join().unwrap();
    assert_eq!(there, expected);
    assert_ne!(here, there);
}

static CAUGHT: AtomicU32 = AtomicU32::new(0);

extern "C" fn catch(signal: i32) {
    CAUGHT.store(signal as u32, SeqCst);
}

#[test]
fn a_handler_returns_through_rt_sigreturn() {
    const SA_RESTORER: usize = 0x0400_0000;
    let action = [catch as *const () as usize, SA_RESTORER, rt_sigreturn as *const () as usize, 0];
    let signal = libc::SIGUSR2;
    // SAFETY: rt_sigaction(2) reads the kernel's `struct sigaction`; only this test uses the signal.
    unsafe { assert_eq!(syscall4(nr::RT_SIGACTION, signal as usize, action.as_ptr() as usize, 0, 8), 0) };
    for seed in 0..50 {
        CAUGHT.store(0, SeqCst);
        // SAFETY: tgkill(2) to this very thread: the handler runs before it returns.
        let ok = live_across!(seed, unsafe {
            syscall3(nr::TGKILL, syscall0(nr::GETPID), syscall0(nr::GETTID), signal as usize)
        });
        assert!(ok);
        assert_eq!(CAUGHT.load(SeqCst), signal as u32);
    }
}

#[test]
fn debuggers_know_the_restorer_by_its_bytes() {
    let code = rt_sigreturn as *const u8;
    // SAFETY: the function is longer than this.
    let bytes = unsafe { std::slice::from_raw_parts(code, 9) };
    assert_eq!(bytes, [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]); // mov rax, 15; syscall
}
