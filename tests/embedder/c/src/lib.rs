//! `netpoll.h`.
#![cfg_attr(not(test), no_std)] // `clippy --all-targets` makes a libtest harness of everything

use core::ptr::NonNull;

use embedder::{POLLER, Task, arm, ready, wait};
use netpoll::poll::{Error, Kernel, Mode, Side};
use netpoll::sys::Errno;

/// There is nothing to unwind with, and nobody to tell.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    netpoll::sys::process::exit_group(101)
}

/// The prebuilt `core` refers to it.
#[cfg(not(test))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

fn mode(mode: i32) -> Mode {
    if mode == 0 { Mode::Read } else { Mode::Write }
}

fn result(result: Result<i32, Error>) -> i32 {
    result.unwrap_or_else(|error| {
        -match error {
            Error::Closing => Errno::EBADF,
            Error::Timeout => Errno::ETIMEDOUT,
            Error::Busy => Errno::EBUSY,
            Error::Os(_, errno) => errno,
            _ => Errno::EIO,
        }
        .raw()
    })
}

/// # Safety
/// That of `netpoll.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn np_open(fd: i32, desc: *mut u64) -> i32 {
    result(POLLER.open(fd).map(|pd| {
        // SAFETY: the caller's pointer.
        unsafe { *desc = pd.id() };
        0
    }))
}

/// # Safety
/// That of `netpoll.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn np_arm(desc: u64, in_mode: i32, task: NonNull<Task>) -> i32 {
    // SAFETY: the task is as `arm` wants it, by the header.
    result(unsafe { arm(POLLER.desc(desc), mode(in_mode), task) }.map(|waits| i32::from(!waits)))
}

/// Of `netpoll.h`.
#[unsafe(no_mangle)]
pub extern "C" fn np_deadline(desc: u64, in_mode: i32, nanos: i64) -> i32 {
    let side = match mode(in_mode) {
        Mode::Read => Side::Read,
        Mode::Write => Side::Write,
    };
    let at = (nanos >= 0).then(|| POLLER.kernel().nanotime().saturating_add(nanos));
    result(POLLER.set_deadline(POLLER.desc(desc), side, at).map(|()| 0))
}

/// # Safety
/// That of `netpoll.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn np_wait(nanos: i64, tasks: *mut *mut Task) -> i32 {
    result(wait(nanos.max(-1)).map(|chain| {
        // SAFETY: the caller's pointer.
        unsafe { *tasks = chain.first() };
        0
    }))
}

/// # Safety
/// That of `netpoll.h`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn np_ready(task: NonNull<Task>) -> i32 {
    // SAFETY: by the header.
    result(unsafe { ready(task) }.map(|()| 0))
}

/// Of `netpoll.h`.
#[unsafe(no_mangle)]
pub extern "C" fn np_close(desc: u64) -> i32 {
    result(POLLER.close(POLLER.desc(desc)).map(|()| 0))
}
