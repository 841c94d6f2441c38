//! The end of a stack: a fault in a guard page is reported with the task's number and its stack's
//! size, and then ends the program by SIGSEGV like any other fault.

use super::{proc, state};
use crate::arch::rt_sigreturn;
use crate::rt;
use crate::sys::signal::{
    self, SaFlags, SigSet, Sigaction, Siginfo, Sigstack, SsFlags, rt_sigaction, sigaltstack,
};
use core::cell::UnsafeCell;
use core::ffi::c_void;

/// The handler's stack: the frame the kernel pushes is up to 3 KiB with AVX-512 state (11 KiB with
/// AMX, which this crate's programs do not ask the kernel for), and the report needs 1 KiB.
pub(super) const HANDLER_STACK: usize = 16 << 10;

#[repr(align(16))]
struct HandlerStack(UnsafeCell<[u8; HANDLER_STACK]>);

// SAFETY: only the kernel and the handler use it, on the program's first thread.
unsafe impl Sync for HandlerStack {}

static STACK: HandlerStack = HandlerStack(UnsafeCell::new([0; HANDLER_STACK]));

/// Has the handlers of the calling thread, which is new, run on the [`HANDLER_STACK`] bytes from `lo` on.
pub(super) fn use_stack(lo: *mut u8) {
    let stack = Sigstack { sp: lo, flags: SsFlags::empty(), size: HANDLER_STACK };
    // SAFETY: mapped for this, and never unmapped. It cannot fail: the size is enough, and no handler runs.
    let _ = unsafe { sigaltstack(Some(&stack)) };
}

/// Installs the handler for faults, and ignores SIGPIPE: a write to a closed connection is an error
/// value, not the end of the program. A failure leaves the kernel's defaults, which are safe.
pub(super) fn install() {
    let stack = Sigstack { sp: STACK.0.get().cast(), flags: SsFlags::empty(), size: HANDLER_STACK };
    let flags = SaFlags::SIGINFO | SaFlags::ONSTACK;
    let report = Sigaction::handler(on_fault, rt_sigreturn, flags, SigSet::EMPTY);
    // SAFETY: the stack is static and used for nothing else; the handler calls async-signal-safe code
    // only; SIGPIPE's disposition is nobody else's in a freestanding program.
    unsafe {
        let _ = sigaltstack(Some(&stack));
        let _ = rt_sigaction(signal::SIGSEGV, Some(&report));
        let _ = rt_sigaction(signal::SIGPIPE, Some(&Sigaction::IGNORE));
    }
}

unsafe extern "C" fn on_fault(_: i32, info: *mut Siginfo, _: *mut c_void) {
    // SAFETY: the kernel passes the record of this fault (SA_SIGINFO).
    let fault = unsafe { (*info).fault_address() };
    if let Some(address) = fault
        && let Some(g) = proc::running()
        && let Some(stack) = g.stack()
    {
        let bottom = stack.lo.addr().get();
        let guard = bottom..bottom + state::page();
        if guard.contains(&address) {
            rt::Line::urgent()
                .str("task ")
                .number(g.id())
                .str(" overflowed its stack of ")
                .number(stack.class.size() as u64)
                .str(" bytes")
                .end();
        }
    }
    // Back to the faulting instruction, which faults again and ends the program.
    // SAFETY: restores the default.
    let _ = unsafe { rt_sigaction(signal::SIGSEGV, Some(&Sigaction::DEFAULT)) };
}
