//! The `syscall` instruction, once an arity, and Go's `epollwait`.
//!
//! Options: `nostack`, since the kernel switches to a stack of its own and the red zone stays ours;
//! `preserves_flags`, since it restores rflags from r11. Memory counts as clobbered: almost any call
//! reads or writes through a pointer.

use core::arch::asm;
use sc::nr;

/// Issues system call `nr` without arguments and returns rax: a value in `-4095..=-1` is `-errno`.
///
/// # Safety
/// The call must be one whose effect on memory, descriptors and control flow the caller answers for.
#[inline(always)]
pub unsafe fn syscall0(nr: usize) -> usize {
    let ret;
    // SAFETY: kernel ABI, see the module's header; the effect of the call is the caller's contract.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr => ret,
            lateout("rcx") _, // return address
            lateout("r11") _, // saved rflags
            options(nostack, preserves_flags),
        );
    }
    ret
}

/// As [`syscall0`], with 1 argument.
///
/// # Safety
/// As [`syscall0`]; pointers must be good for what the call does with them.
#[inline(always)]
pub unsafe fn syscall1(nr: usize, a1: usize) -> usize {
    let ret;
    // SAFETY: as in `syscall0`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr => ret,
            in("rdi") a1,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret
}

/// As [`syscall1`], for a call that never returns (`exit`, `exit_group`).
///
/// # Safety
/// As [`syscall0`]; if the kernel does return, the program dies by SIGILL.
#[inline(always)]
pub unsafe fn syscall1_noreturn(nr: usize, a1: usize) -> ! {
    // SAFETY: as in `syscall0`; `ud2` keeps the promise of `noreturn` should the call come back.
    unsafe {
        asm!(
            "syscall",
            "ud2",
            in("rax") nr,
            in("rdi") a1,
            options(nostack, noreturn),
        );
    }
}

/// As [`syscall1`], with 2 arguments.
///
/// # Safety
/// As [`syscall1`].
#[inline(always)]
pub unsafe fn syscall2(nr: usize, a1: usize, a2: usize) -> usize {
    let ret;
    // SAFETY: as in `syscall0`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr => ret,
            in("rdi") a1,
            in("rsi") a2,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret
}

/// As [`syscall1`], with 3 arguments.
///
/// # Safety
/// As [`syscall1`].
#[inline(always)]
pub unsafe fn syscall3(nr: usize, a1: usize, a2: usize, a3: usize) -> usize {
    let ret;
    // SAFETY: as in `syscall0`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr => ret,
            in("rdi") a1,
            in("rsi") a2,
            in("rdx") a3,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret
}

/// As [`syscall1`], with 4 arguments.
///
/// # Safety
/// As [`syscall1`].
#[inline(always)]
pub unsafe fn syscall4(nr: usize, a1: usize, a2: usize, a3: usize, a4: usize) -> usize {
    let ret;
    // SAFETY: as in `syscall0`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr => ret,
            in("rdi") a1,
            in("rsi") a2,
            in("rdx") a3,
            in("r10") a4, // not rcx as in a function call: `syscall` overwrites it
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret
}

/// As [`syscall1`], with 5 arguments.
///
/// # Safety
/// As [`syscall1`].
#[inline(always)]
pub unsafe fn syscall5(nr: usize, a1: usize, a2: usize, a3: usize, a4: usize, a5: usize) -> usize {
    let ret;
    // SAFETY: as in `syscall0`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr => ret,
            in("rdi") a1,
            in("rsi") a2,
            in("rdx") a3,
            in("r10") a4,
            in("r8") a5,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret
}

/// As [`syscall1`], with 6 arguments.
///
/// # Safety
/// As [`syscall1`].
#[inline(always)]
pub unsafe fn syscall6(nr: usize, a1: usize, a2: usize, a3: usize, a4: usize, a5: usize, a6: usize) -> usize {
    let ret;
    // SAFETY: as in `syscall0`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr => ret,
            in("rdi") a1,
            in("rsi") a2,
            in("rdx") a3,
            in("r10") a4,
            in("r8") a5,
            in("r9") a6,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret
}

/// `runtime·epollwait` of Go's Plan 9 source, register for register: waits on `epfd` for at most
/// `timeout` milliseconds (-1: no limit) and fills up to `nev` records at `ev`. Returns their number
/// or `-errno`, 32 bits wide.
///
/// This is `epoll_pwait` with a null signal mask rather than `epoll_wait`, which some sandboxes
/// (Android's among them) refuse and newer architectures never had.
///
/// # Safety
/// `ev` must be valid for writes of `nev` records of the kernel's `struct epoll_event`.
#[doc(alias = "epoll_pwait")]
#[inline]
pub unsafe fn epollwait<E>(epfd: i32, ev: *mut E, nev: i32, timeout: i32) -> i32 {
    let ret: usize;
    // SAFETY: kernel ABI; r9 (sigsetsize) is not read when the mask in r8 is null. MOVL clears the
    // upper half of its register; an `i32` operand would leave it to chance, hence `as u32 as usize`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr::EPOLL_PWAIT => ret, // MOVL $SYS_epoll_pwait, AX
            in("rdi") epfd as u32 as usize,          // MOVL epfd, DI
            in("rsi") ev,                            // MOVQ ev, SI
            in("rdx") nev as u32 as usize,           // MOVL nev, DX
            in("r10") timeout as u32 as usize,       // MOVL timeout, R10
            in("r8") 0usize,                         // MOVQ $0, R8: no signal mask
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret as i32
}

/// As [`epollwait`], with the timeout as a `struct __kernel_timespec` (null: no limit). Linux 5.11.
///
/// # Safety
/// As [`epollwait`]; `timeout` must be null or point at a readable `struct __kernel_timespec`.
#[inline]
pub unsafe fn epoll_pwait2<E, T>(epfd: i32, ev: *mut E, nev: i32, timeout: *const T) -> i32 {
    let ret: usize;
    // SAFETY: kernel ABI, as in `epollwait`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") nr::EPOLL_PWAIT2 => ret,
            in("rdi") epfd as u32 as usize,
            in("rsi") ev,
            in("rdx") nev as u32 as usize,
            in("r10") timeout,
            in("r8") 0usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags),
        );
    }
    ret as i32
}
