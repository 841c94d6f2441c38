//! Tells valgrind about stacks, and memcheck when they are in use. It takes a jump of rsp by less than 2 MB for frames
//! that come or go, and by more for a switch that it warns of, unless it knows both stacks. Nothing without the feature
//! `valgrind`.

/// Whether anything is told. Without it not even what would be told must be found out.
pub const VALGRIND: bool = cfg!(feature = "valgrind");

/// `VALGRIND_STACK_REGISTER`, `VALGRIND_STACK_DEREGISTER` of `valgrind.h`.
const STACK_REGISTER: usize = 0x1501;
const STACK_DEREGISTER: usize = 0x1502;
/// `VALGRIND_MAKE_MEM_NOACCESS`, `VALGRIND_MAKE_MEM_UNDEFINED` of `memcheck.h`.
const MAKE_MEM_NOACCESS: usize = 0x4d43_0000;
const MAKE_MEM_UNDEFINED: usize = 0x4d43_0001;

/// From `lo` to `hi`, which is no part of it, there is a stack. The result is its number.
#[inline(always)]
pub fn stack_register(lo: *mut u8, hi: *mut u8) -> usize {
    request([STACK_REGISTER, lo as usize, hi as usize - 1, 0, 0, 0])
}

/// It is none any more.
#[inline(always)]
pub fn stack_deregister(id: usize) {
    request([STACK_DEREGISTER, id, 0, 0, 0, 0]);
}

/// `len` bytes from `lo` on are in use, and may be read where they have been written.
#[inline(always)]
pub fn memory_begins(lo: *mut u8, len: usize) {
    request([MAKE_MEM_UNDEFINED, lo as usize, len, 0, 0, 0]);
}

/// Nobody may read or write them.
#[inline(always)]
pub fn memory_ends(lo: *mut u8, len: usize) {
    request([MAKE_MEM_NOACCESS, lo as usize, len, 0, 0, 0]);
}

/// A client request: valgrind knows it by these instructions, which do nothing otherwise (the turns are 128 bits
/// in sum). 0 without valgrind.
#[inline(always)]
fn request(args: [usize; 6]) -> usize {
    let mut result = 0;
    if !VALGRIND {
        return result;
    }
    // SAFETY: valgrind reads the six words.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &raw const args,
            inlateout("rdx") result,
            options(nostack),
        );
    }
    result
}
