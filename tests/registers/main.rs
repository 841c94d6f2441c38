//! What system calls, stack switches and raw threads do to registers and stacks.

use std::arch::naked_asm;
use std::ptr;

/// More values than there are registers, so that some live in each, combined before and after.
macro_rules! live_across {
    ($seed:expr, $between:expr) => {{
        let seed: u64 = black_box($seed);
        let mut ints = [0u64; 16];
        let mut floats = [0f64; 16];
        for i in 0..16 {
            ints[i] = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32 * 3);
            floats[i] = (seed % 1000) as f64 + i as f64 / 16.0;
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = ints;
        let [s, t, u, v, w, x, y, z, ..] = floats;
        $between;
        let ints_now = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
        let floats_now = [s, t, u, v, w, x, y, z];
        (0..16).all(|i| ints_now[i] == seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32 * 3))
            && (0..8).all(|i| floats_now[i] == (seed % 1000) as f64 + i as f64 / 16.0)
    }};
}

mod switches;
mod syscalls;
mod threads;

/// A page-aligned stack, its lowest page not accessible. Leaked where its user never ends.
struct Stack {
    base: *mut u8,
}

const STACK: usize = 256 * 1024;
const GUARD: usize = 4096;

impl Stack {
    fn new() -> Stack {
        Stack::at(ptr::null_mut(), 0)
    }

    fn at(place: *mut u8, flags: i32) -> Stack {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | flags;
        // SAFETY: a new mapping.
        unsafe {
            let base = libc::mmap(place.cast(), STACK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(base, GUARD, libc::PROT_NONE), 0);
            Stack { base: base.cast() }
        }
    }

    fn top(&self) -> *mut u8 {
        self.base.wrapping_add(STACK)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: as mapped; nobody stands on it any more.
        unsafe { libc::munmap(self.base.cast(), STACK) };
    }
}

/// What a new stack's first function finds, and where it goes on.
#[repr(C)]
struct Landing {
    rsp: usize,
    rbp: usize,
    return_address: usize,
    then: unsafe extern "C" fn(*mut u8) -> !,
}

/// An entry that records what it finds in its [`Landing`].
#[unsafe(naked)]
unsafe extern "C" fn land(landing: *mut u8) -> ! {
    naked_asm!(
        "mov [rdi], rsp",
        "mov [rdi + 8], rbp",
        "mov rax, [rsp]",
        "mov [rdi + 16], rax",
        "jmp [rdi + 24]",
    )
}

impl Landing {
    fn new(then: unsafe extern "C" fn(*mut u8) -> !) -> Landing {
        Landing { rsp: 1, rbp: 1, return_address: 1, then }
    }

    fn check(&self, stack: &Stack) {
        assert_eq!(self.rsp % 16, 8, "as after a call");
        assert!(self.rsp < stack.top() as usize && self.rsp >= stack.top() as usize - 64);
        assert_eq!((self.rbp, self.return_address), (0, 0), "a backtrace ends here");
    }
}
