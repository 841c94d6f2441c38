//! Faults: SIGSEGV and SIGBUS are reported, with the task that they happened in, and then end the program as
//! they would have without a handler: by the same signal, with the registers of the faulting instruction in the
//! core file.
//!
//! A fault in the guard page of the running task's stack is an overflow. Compiled Rust code touches every page of
//! a large frame in order (stack probes), so no frame is so large that it steps over the guard.

use super::dump::name_task;
use super::g::Gp;
use super::masks::HANDLERS_BLOCK;
use super::proc;
use super::stack::Sp;
use super::state::{SCHED, page};
use crate::arch::{interrupted_ip, interrupted_sp, rt_sigreturn};
use crate::rt::Line;
use crate::sys::process::getpid;
use crate::sys::signal::{
    self, SIGBUS, SIGSEGV, SaFlags, Sigaction, Siginfo, Sigstack, SsFlags, kill, rt_sigaction, sigaltstack,
};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr;

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
    let report = Sigaction::handler(on_fault, rt_sigreturn, flags, HANDLERS_BLOCK);
    // SAFETY: the stack is static and used for nothing else; the handler calls async-signal-safe code
    // only; SIGPIPE's disposition is nobody else's in a freestanding program.
    unsafe {
        let _ = sigaltstack(Some(&stack));
        let _ = rt_sigaction(SIGSEGV, Some(&report));
        let _ = rt_sigaction(SIGBUS, Some(&report));
        let _ = rt_sigaction(signal::SIGPIPE, Some(&Sigaction::IGNORE));
    }
}

unsafe extern "C" fn on_fault(number: i32, info: *mut Siginfo, ucontext: *mut c_void) {
    let (signal, name) = if number == SIGBUS.raw() { (SIGBUS, "SIGBUS") } else { (SIGSEGV, "SIGSEGV") };
    // SAFETY: the kernel passes the record of this signal, and what it interrupted (SA_SIGINFO).
    let (info, sp, ip) = unsafe { (&*info, interrupted_sp(ucontext), interrupted_ip(ucontext)) };
    if info.sender().is_none() {
        report(name, info.fault_address(), sp, ip);
    } else {
        // A process sent it, so nothing raises it again. Another thread may take it before the default is restored,
        // and comes here in turn; this thread takes none until the handler returns.
        let _ = kill(getpid(), Some(signal));
    }
    // Back to the faulting instruction, which faults again and ends the program.
    // SAFETY: restores the default.
    let _ = unsafe { rt_sigaction(signal, Some(&Sigaction::DEFAULT)) };
}

/// Reports a fault of the instruction at `ip`, with its stack pointer at `sp`. The kernel does not know the
/// `address` of every fault.
fn report(signal: &str, address: Option<usize>, sp: usize, ip: usize) {
    let mut line = Line::urgent();
    let line = line.str("netpoll: ");
    let task = proc::running().and_then(|g| Some((g, g.stack()?)));
    let bottom = task.map_or(0, |(_, stack)| stack.lo.addr().get());
    let line = match task {
        Some((g, stack)) if address.is_some_and(|at| at.wrapping_sub(bottom) < page()) => {
            return report_overflow(line, g, stack);
        }
        Some((g, stack)) if sp.wrapping_sub(bottom) <= stack.class.size() => {
            name_task(line, g).str(" did not overflow its stack")
        }
        _ => line.str("the scheduler"),
    };
    let line = line.str(": ").str(signal);
    let line = match address {
        Some(address) => line.str(" at address 0x").hex(address),
        None => line,
    };
    line.str(", instruction at 0x").hex(ip).end();
}

fn report_overflow(line: &mut Line, g: Gp, stack: Sp) {
    let kib = (stack.class.size() >> 10) as u64;
    let line = name_task(line, g).str(" overflowed its stack of ").number(kib);
    let line = line.str(" KiB; give it more: netpoll::Builder::new().stack_size(").number(kib * 2);
    line.str(if !ptr::eq(stack.class, &SCHED.stacks) {
        " << 10) where it is spawned"
    } else if g.spawned().is_none() {
        " << 10), in entry!(main, ..)"
    } else {
        " << 10), in entry!(main, ..) for all tasks or .spawn(f) for this one"
    })
    .end();
}
