//! Never run: what the compiler makes of a wrapper that stands alone.
#![no_std]
#![no_main]

use netpoll::arch;

netpoll::start!(main);

macro_rules! probes {
    ($($name:ident = $wrapper:path, ($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            /// # Safety
            /// That of the wrapper.
            #[unsafe(no_mangle)]
            #[inline(never)]
            unsafe extern "C" fn $name($($arg: $type),*) -> $result {
                // SAFETY: the caller's contract.
                unsafe { $wrapper($($arg),*) }
            }
        )*

        fn main(_: netpoll::rt::Env) -> i32 {
            let probes = [$($name as *const () as usize),*];
            core::hint::black_box(probes)[0] as i32
        }
    };
}

probes! {
    probe_syscall0 = arch::syscall0, (nr: usize) -> usize;
    probe_syscall1 = arch::syscall1, (nr: usize, a: usize) -> usize;
    probe_syscall2 = arch::syscall2, (nr: usize, a: usize, b: usize) -> usize;
    probe_syscall3 = arch::syscall3, (nr: usize, a: usize, b: usize, c: usize) -> usize;
    probe_syscall4 = arch::syscall4, (nr: usize, a: usize, b: usize, c: usize, d: usize) -> usize;
    probe_syscall5 = arch::syscall5, (nr: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> usize;
    probe_syscall6 = arch::syscall6,
        (nr: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> usize;
    probe_epollwait = arch::epollwait, (epfd: i32, ev: *mut [u8; 12], nev: i32, timeout: i32) -> i32;
    probe_epoll_pwait2 = arch::epoll_pwait2,
        (epfd: i32, ev: *mut [u8; 12], nev: i32, timeout: *const [i64; 2]) -> i32;
}
