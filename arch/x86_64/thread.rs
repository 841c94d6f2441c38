//! Threads without a C library: how one begins, how it ends, what it knows of itself.

use core::arch::{asm, naked_asm};
use sc::nr;

/// `clone(2)` into a function: the new thread stands on the stack that ends at `stack_top` (rounded
/// down to a multiple of 16) and calls `entry(arg)`, with a frame pointer and a return address of 0.
/// Returns the thread's id or `-errno`, in the parent only.
///
/// `parent_tid`, `child_tid` and `tls` matter when `flags` has `CLONE_PARENT_SETTID`,
/// `CLONE_CHILD_SETTID` or `CLONE_CHILD_CLEARTID`, and `CLONE_SETTLS`. The kernel's wake-up at
/// `CLONE_CHILD_CLEARTID` is that of a *shared* futex: whoever joins must not wait on a private one.
///
/// # Safety
/// The stack must be writable, large enough for `entry`, and mapped and otherwise unused until the
/// thread is gone; so must the pointers that `flags` makes the kernel use. `entry` must be sound to
/// call with `arg` on another thread. With `CLONE_VM` but without `CLONE_SETTLS` the thread shares the
/// caller's thread pointer: it must then call nothing that relies on it, libc above all.
pub unsafe fn clone_thread(
    flags: usize,
    stack_top: *mut u8,
    parent_tid: *mut i32,
    child_tid: *mut i32,
    tls: *mut u8,
    entry: unsafe extern "C" fn(*mut u8) -> !,
    arg: *mut u8,
) -> isize {
    let top = stack_top.wrapping_sub(stack_top as usize % 16);
    let ret: isize;
    // SAFETY: kernel ABI. The child never leaves the block: it jumps to `entry`, which does not return.
    // It pushes on its own stack only, so `nostack` holds for the parent.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            // The child: all registers as in the parent, but rax = 0 and rsp = top.
            "xor ebp, ebp",
            "mov rdi, r9",
            "push 0",  // return address: none
            "jmp r12", // rsp % 16 == 8, as after a call
            "2:",
            inlateout("rax") nr::CLONE => ret,
            in("rdi") flags,
            in("rsi") top,
            in("rdx") parent_tid,
            in("r10") child_tid,
            in("r8") tls,
            in("r9") arg,
            in("r12") entry,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    ret
}

/// Unmaps `len` bytes at `base`, the calling thread's own stack among them, and ends the thread with
/// status 0.
///
/// # Safety
/// `base` and `len` must be what `munmap(2)` takes, and nothing in there may be used again by anyone.
/// All signals must be blocked: a handler would have no stack to run on. If the thread was made with
/// `CLONE_CHILD_CLEARTID` and that word lies in the mapping, clear it by `set_tid_address(0)` first.
pub unsafe fn exit_thread_unmap(base: *mut u8, len: usize) -> ! {
    // SAFETY: between the two calls nothing touches the stack. `exit` does not return; if `munmap`
    // fails the stack leaks and the thread ends all the same.
    unsafe {
        asm!(
            "syscall",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "ud2",
            exit = const nr::EXIT,
            in("rax") nr::MUNMAP,
            in("rdi") base,
            in("rsi") len,
            options(nostack, noreturn),
        );
    }
}

/// The word at `fs:0`. By the ABI it holds its own address, which is how a thread finds the block that
/// `clone`'s `tls` or `arch_prctl(ARCH_SET_FS)` gave it.
///
/// # Safety
/// The thread pointer must have been set, to readable memory.
#[inline(always)]
pub unsafe fn thread_pointer() -> *mut u8 {
    let block;
    // SAFETY: the caller's contract. Not `pure`: after a switch the same code may run on another thread,
    // so the compiler must not merge two reads.
    unsafe {
        asm!(
            "mov {block}, fs:[0]",
            block = lateout(reg) block,
            options(nostack, preserves_flags, readonly),
        );
    }
    block
}

/// What a signal handler returns to: `SA_RESTORER`'s address for `rt_sigaction(2)`.
///
/// The bytes of the two instructions are those of glibc's and musl's (hence the wide `mov`), by which
/// debuggers and unwinders recognise a signal frame.
///
/// # Safety
/// Not to be called: it takes what lies at rsp as the kernel's signal frame.
#[unsafe(naked)]
pub unsafe extern "C" fn rt_sigreturn() -> ! {
    naked_asm!(
        "mov rax, {nr}",
        "syscall",
        "ud2",
        nr = const nr::RT_SIGRETURN,
    )
}

/// Adds 1 to the 32-bit word at `fs:8`, in one instruction: a signal handler on this thread sees it
/// before or after, and the thread cannot have changed in between.
///
/// # Safety
/// The thread pointer must have been set, to a block whose word at offset 8 is such a count.
#[inline(always)]
pub(crate) unsafe fn thread_count_inc() {
    // SAFETY: the caller's contract. Memory counts as clobbered, so that nothing behind it moves before.
    unsafe { asm!("inc dword ptr fs:[8]", options(nostack)) };
}

/// Takes 1 from the word of [`thread_count_inc`].
///
/// # Safety
/// As there.
#[inline(always)]
pub(crate) unsafe fn thread_count_dec() {
    // SAFETY: as above.
    unsafe { asm!("dec dword ptr fs:[8]", options(nostack)) };
}

/// Adds 1 to the 64-bit word at `fs:16`, as [`thread_count_inc`] does to that at `fs:8`. The program's own code moves this
/// count, so it has 64 bits: at a nanosecond each it would wrap after 500 years.
///
/// # Safety
/// The thread pointer must have been set, to a block whose word at offset 16 is such a count.
#[cfg(feature = "rt")]
#[inline(always)]
pub(crate) unsafe fn thread_held_inc() {
    // SAFETY: the caller's contract; memory counts as clobbered, as above.
    unsafe { asm!("inc qword ptr fs:[16]", options(nostack)) };
}

/// Takes 1 from the word of [`thread_held_inc`].
///
/// # Safety
/// As there.
#[cfg(feature = "rt")]
#[inline(always)]
pub(crate) unsafe fn thread_held_dec() {
    // SAFETY: as above.
    unsafe { asm!("dec qword ptr fs:[16]", options(nostack)) };
}
