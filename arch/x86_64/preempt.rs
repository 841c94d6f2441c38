//! Making an interrupted task call a function, with all of its state kept.
//!
//! The signal's handler changes nothing but where the task goes on: at [`async_preempt`], as if the
//! interrupted instruction had called it. That saves every register a program can use on the task's own
//! stack, calls the runtime, which may switch away and come back on another thread, and restores them.
//!
//! ```text
//!   interrupted rsp ->  | red zone, 128 bytes         |
//!                       | interrupted rip             |  written by the handler
//!                       | rflags, rbp, 14 registers   |
//!                       | XSAVE area, 64-byte aligned |
//! ```
//! The return is `ret 128`: it takes rip off the stack and steps over the red zone, without a register.
//!
//! Saved by XSAVE is what the kernel has enabled, but for PKRU, which belongs to the thread, and AMX's
//! tiles, which a process must ask for and this crate's programs do not. Where there is no XSAVE it is
//! FXSAVE, which holds all there is then.

use core::arch::naked_asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Where `struct ucontext` has the registers (`arch/x86/include/uapi/asm/sigcontext.h`, behind
/// `uc_flags`, `uc_link` and `uc_stack`).
const UC_RSP: usize = 160;
const UC_RIP: usize = 168;
/// And the signals to block from its return on, behind the registers.
const UC_SIGMASK: usize = 296;

/// Below rsp, and nobody else's (System V ABI).
const RED_ZONE: usize = 128;

/// State components to save: the kernel's, without PKRU (9) and the tiles (17, 18). 0: use FXSAVE.
static XSAVE_MASK: AtomicU32 = AtomicU32::new(0);
/// Bytes of the save area.
static XSAVE_SIZE: AtomicU32 = AtomicU32::new(512);

/// Rounding to nearest, all exceptions masked: what every program begins with (System V ABI).
static MXCSR: AtomicU32 = AtomicU32::new(0x1f80);

/// The runtime's part: switches away, and returns when the task runs again.
static HOOK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// cpuid, by a function that is safe in newer compilers only.
#[allow(unused_unsafe)]
fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    // SAFETY: every processor of x86_64 has the instruction.
    unsafe { __cpuid_count(leaf, subleaf) }
}

/// Finds out what there is to save, and sets what a preempted task calls. Once, before the first
/// [`inject_call`].
pub fn preempt_init(hook: extern "C" fn()) {
    HOOK.store(hook as *mut (), Ordering::Relaxed);
    const OSXSAVE: u32 = 1 << 27;
    if cpuid(1, 0).ecx & OSXSAVE == 0 {
        return;
    }
    let enabled: u32;
    // SAFETY: xgetbv is there when OSXSAVE is set; register 0 is XCR0.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _, options(nomem, nostack));
    }
    let mask = enabled & !(1 << 9 | 1 << 17 | 1 << 18);
    // The legacy area and the header, then the components where the standard format has them.
    let end = |i| {
        let component = cpuid(0xd, i);
        component.eax + component.ebx
    };
    let size = (2..32).filter(|i| mask & 1 << i != 0).map(end).fold(576, u32::max);
    XSAVE_SIZE.store(size, Ordering::Relaxed);
    XSAVE_MASK.store(mask, Ordering::Relaxed);
}

/// Bytes of stack that an injected call takes before it reaches the runtime.
pub fn preempt_frame() -> usize {
    // The registers, and up to 63 bytes of alignment.
    RED_ZONE + 17 * 8 + XSAVE_SIZE.load(Ordering::Relaxed) as usize + 64
}

/// The interrupted stack pointer.
///
/// # Safety
/// `ucontext` must be what the kernel passed to a handler with `SA_SIGINFO`.
pub unsafe fn interrupted_sp(ucontext: *mut c_void) -> usize {
    // SAFETY: the caller's contract.
    unsafe { ucontext.byte_add(UC_RSP).cast::<usize>().read() }
}

/// The address of the interrupted instruction.
///
/// # Safety
/// As [`interrupted_sp`].
pub unsafe fn interrupted_ip(ucontext: *mut c_void) -> usize {
    // SAFETY: the caller's contract.
    unsafe { ucontext.byte_add(UC_RIP).cast::<usize>().read() }
}

/// The interrupted thread's signal mask, bit n - 1 for signal n, which the handler's return puts in force.
///
/// # Safety
/// As [`interrupted_sp`]; it must not be used behind the handler's return.
pub unsafe fn interrupted_mask(ucontext: *mut c_void) -> *mut u64 {
    // SAFETY: the caller's contract.
    unsafe { ucontext.byte_add(UC_SIGMASK).cast() }
}

/// Makes the interrupted code call `async_preempt` when the handler returns.
///
/// # Safety
/// As [`interrupted_sp`]; the interrupted stack must have [`preempt_frame`] bytes of room and what the
/// runtime takes on top, and the interrupted code must be a task outside the runtime.
pub unsafe fn inject_call(ucontext: *mut c_void) {
    // SAFETY: the caller's contract: the words are the kernel's frame, the room is on the stack.
    unsafe {
        let rsp = ucontext.byte_add(UC_RSP).cast::<*mut usize>();
        let rip = ucontext.byte_add(UC_RIP).cast::<usize>();
        let slot = (*rsp).byte_sub(RED_ZONE + size_of::<usize>());
        slot.write(*rip);
        *rsp = slot;
        *rip = async_preempt as *const () as usize;
    }
}

/// What an interrupted task calls: saves everything, calls [`HOOK`], restores everything, and goes on
/// where it was interrupted.
#[unsafe(naked)]
unsafe extern "C" fn async_preempt() {
    naked_asm!(
        "pushfq",
        "push rbp",
        "mov rbp, rsp",
        "push rax",
        "push rcx",
        "push rdx",
        "push rbx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        // The ABI's flags: the direction is up, and neither alignment checks (AC) nor single steps (TF) of this task go on
        // in the next one. The task's own come back with the rest.
        "push 2",
        "popfq",
        "mov ecx, [rip + {size}]",
        "sub rsp, rcx",
        "and rsp, -64",
        "mov rbx, rsp", // kept by the call
        "mov r12d, [rip + {mask}]",
        "test r12d, r12d",
        "jz 2f",
        // XRSTOR refuses an area whose header has anything in the bytes that XSAVE does not write.
        "lea rdi, [rsp + 512]",
        "mov ecx, 8",
        "xor eax, eax",
        "rep stosq",
        "mov eax, r12d",
        "xor edx, edx",
        "xsave64 [rsp]",
        // The next task must not compute with this one's rounding mode, nor find its x87 stack full.
        "fninit",
        "ldmxcsr [rip + {mxcsr}]",
        "call [rip + {hook}]",
        "mov eax, r12d",
        "xor edx, edx",
        "xrstor64 [rbx]",
        "jmp 3f",
        "2:",
        "fxsave64 [rsp]",
        "fninit",
        "ldmxcsr [rip + {mxcsr}]",
        "call [rip + {hook}]",
        "fxrstor64 [rbx]",
        "3:",
        "lea rsp, [rbp - 14 * 8]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rbx",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "pop rbp",
        "popfq",
        "ret {red_zone}",
        size = sym XSAVE_SIZE,
        mask = sym XSAVE_MASK,
        mxcsr = sym MXCSR,
        hook = sym HOOK,
        red_zone = const RED_ZONE,
    )
}
