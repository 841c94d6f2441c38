//! Leaving one stack for another.
//!
//! [`switch`] is inlined where it is used and tells the compiler that every register changes. So the
//! compiler itself spills what is live at that place, and nothing else, and only what it cannot be
//! told of is saved here. A stack that was left looks like this:
//!
//! ```text
//!   left by `switch`                 made by `Context::new`
//!
//!   |    frames of      |            +-------------------+  top, 16-byte aligned
//!   |    its caller     |            |         0         |  return address of `entry`: none
//!   | red zone, spills  |            +-------------------+
//!   +-------------------+            |        arg        |  -> rdi
//!   |        rbp        |            +-------------------+
//!   +-------------------+            |       entry       |  -> rax
//!   |        rbx        |            +-------------------+
//!   +-------------------+            |     first_run     |
//!   |  label 2 (resume) |            +-------------------+ <- Context::sp
//!   +-------------------+ <- Context::sp
//! ```
//!
//! rbx and rbp are saved by hand because neither may be named as an operand: LLVM reserves them for
//! the base and the frame pointer. The last step is `jmp`, not `ret`: a `ret` to a place that no
//! `call` came from is always mispredicted (1.4 ns one way against 9 ns).
//!
//! Not saved, on purpose:
//! - mxcsr and the x87 control word: rounding modes and exception masks are the thread's, as they are
//!   after any function call. A task that changes one changes it back before it can park.
//! - The direction flag: clear by the ABI wherever `asm!` begins and ends. Other flags are clobbered.
//! - fs and gs: they belong to the thread. A task may wake up on another one, which is why
//!   [`thread_pointer`](super::thread_pointer) must be read anew after every switch.
//! - The signal mask: it is the thread's too, and changing it would be a system call.

use core::arch::{asm, naked_asm};
use core::ptr;

/// A stack that can be switched to: the stack pointer, with the rest of the state in the words above it.
///
/// Neither `Copy` nor `Clone`: it may be switched to once, and is then used up until it is left again.
#[repr(C)]
#[derive(Debug)]
pub struct Context {
    sp: *mut u8,
}

impl Context {
    /// A place for [`switch`] to save into. There is nothing yet that could be switched to.
    pub const fn empty() -> Context {
        Context { sp: ptr::null_mut() }
    }

    /// Prepares the stack that ends at `top` so that the first [`switch`] to it calls `entry(arg)`,
    /// with the ABI's alignment and with a frame pointer and a return address of 0, where every
    /// backtrace ends. `top` is rounded down to a multiple of 16.
    ///
    /// # Safety
    /// The 48 bytes below `top` must be writable and unused. The stack must stay mapped, and no other
    /// code may use it, for as long as the context may be switched to.
    pub unsafe fn new(top: *mut u8, entry: unsafe extern "C" fn(*mut u8) -> !, arg: *mut u8) -> Context {
        let top = top.wrapping_sub(top as usize % 16);
        let sp = top.wrapping_sub(4 * size_of::<usize>()).cast::<usize>();
        let frame = [first_run as *const () as usize, entry as usize, arg as usize, 0];
        // SAFETY: at most 15 + 32 bytes below the caller's `top`, which it gives us; aligned to 16.
        unsafe { sp.cast::<[usize; 4]>().write(frame) };
        Context { sp: sp.cast() }
    }

    /// The saved stack pointer: how deep the stack was in use when it was left.
    pub fn sp(&self) -> *mut u8 {
        self.sp
    }
}

/// Where a new stack begins: takes `entry` and `arg` off it and leaves the return address of 0.
#[unsafe(naked)]
unsafe extern "C" fn first_run() -> ! {
    naked_asm!(
        "pop rax",
        "pop rdi",
        "xor ebp, ebp", // no caller's frame
        "jmp rax",      // rsp % 16 == 8, as after a call
    )
}

/// Has the processor fetch what [`switch`] to `context` and the innermost frames there will read. A hint, which changes
/// nothing and cannot fault: somebody else may use the context meanwhile, and the stack be gone.
///
/// # Safety
/// `context` must be readable.
#[inline(always)]
pub unsafe fn prefetch(context: *const Context) {
    // SAFETY: one load, in assembly because it may race with a `switch`; prefetches of any address are allowed.
    unsafe {
        asm!(
            "mov {sp}, [{context}]",
            "prefetcht0 [{sp}]",
            "prefetcht0 [{sp} + 64]",
            "prefetcht0 [{sp} + 128]",
            "prefetcht0 [{sp} + 192]",
            "prefetcht0 [{sp} + 256]",
            context = in(reg) context,
            sp = out(reg) _,
            options(nostack, readonly, preserves_flags),
        );
    }
}

/// Saves the running stack in `from` and goes on where `to` was left, or at the entry of a new
/// context. Returns when some other switch names `from` as its `to`, perhaps on another thread.
///
/// `from` may be a thread's own system stack.
///
/// # Safety
/// `from` must be writable and `to` readable, and `to` must have been made by [`Context::new`] or left
/// by `switch`, and not switched to since. Both are done with before the other stack runs, so it may
/// free or reuse them. Whoever can reach `from` must not switch to it before this call has left the
/// stack: publish it from the other side.
#[inline(always)]
pub unsafe fn switch(from: *mut Context, to: *const Context) {
    // SAFETY: every register is an output or a clobber, or is saved on the stack. There is no `nostack`
    // option, so the compiler keeps nothing below rsp. Memory counts as clobbered.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdi], rsp",
            "mov rsp, [rsi]",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbx",
            "pop rbp",
            inlateout("rdi") from => _,
            inlateout("rsi") to => _,
            lateout("r12") _,
            lateout("r13") _,
            lateout("r14") _,
            lateout("r15") _,
            clobber_abi("C"), // all others: rax, rcx, rdx, r8 to r11, the vector, mask, x87 and tile registers
        );
    }
}
