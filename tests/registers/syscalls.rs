//! `syscall`: nothing changes but what the kernel is known to change, and arguments arrive in order.

use std::arch::naked_asm;
use std::ffi::CStr;
use std::hint::black_box;

use netpoll::arch::{syscall0, syscall1, syscall2, syscall3, syscall4, syscall5, syscall6};
use sc::nr;

/// All general registers but rsp, in the order of the instruction encoding, the flags, and where the
/// instruction after `syscall` is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Registers {
    rax: usize,
    rcx: usize,
    rdx: usize,
    rbx: usize,
    rbp: usize,
    rsi: usize,
    rdi: usize,
    r8: usize,
    r9: usize,
    r10: usize,
    r11: usize,
    r12: usize,
    r13: usize,
    r14: usize,
    r15: usize,
    flags: usize,
    next: usize,
}

/// Loads everything from `registers`, executes `syscall` and stores everything back.
#[unsafe(naked)]
unsafe extern "C" fn syscall_with(registers: *mut Registers) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rdi",
        "push [rdi + 120]",
        "popfq",
        "mov rax, [rdi]",
        "mov rcx, [rdi + 8]",
        "mov rdx, [rdi + 16]",
        "mov rbx, [rdi + 24]",
        "mov rbp, [rdi + 32]",
        "mov rsi, [rdi + 40]",
        "mov r8, [rdi + 56]",
        "mov r9, [rdi + 64]",
        "mov r10, [rdi + 72]",
        "mov r11, [rdi + 80]",
        "mov r12, [rdi + 88]",
        "mov r13, [rdi + 96]",
        "mov r14, [rdi + 104]",
        "mov r15, [rdi + 112]",
        "mov rdi, [rdi + 48]",
        "syscall",
        "2:",
        "pushfq",
        "push rdi",
        "mov rdi, [rsp + 16]",
        "mov [rdi], rax",
        "mov [rdi + 8], rcx",
        "mov [rdi + 16], rdx",
        "mov [rdi + 24], rbx",
        "mov [rdi + 32], rbp",
        "mov [rdi + 40], rsi",
        "mov [rdi + 56], r8",
        "mov [rdi + 64], r9",
        "mov [rdi + 72], r10",
        "mov [rdi + 80], r11",
        "mov [rdi + 88], r12",
        "mov [rdi + 96], r13",
        "mov [rdi + 104], r14",
        "mov [rdi + 112], r15",
        "pop [rdi + 48]",
        "pop [rdi + 120]",
        "lea rax, [rip + 2b]",
        "mov [rdi + 128], rax",
        "cld",
        "pop rdi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

/// The one bit of the flags that reads as 1 always, and the interrupt flag, which programs run with.
const FLAGS_CLEAR: usize = 0x202;
/// Those, and carry, parity, adjust, zero, sign, direction and overflow.
const FLAGS_SET: usize = FLAGS_CLEAR | 0xcd5;

#[test]
fn only_rax_rcx_and_r11_change() {
    // A call for each number of arguments. All fail or only look, whatever the other registers hold.
    let (mut word, mut len) = (0usize, 8usize);
    let word = &raw mut word as usize;
    let len = &raw mut len as usize;
    let bad = usize::MAX;
    let calls = [
        (nr::GETPPID, [1, 2, 3, 4, 5, 6]),
        (nr::CLOSE, [bad, 2, 3, 4, 5, 6]),
        (nr::DUP2, [bad, bad, 3, 4, 5, 6]),
        (nr::WRITE, [bad, word, 8, 4, 5, 6]),
        (nr::PREAD64, [bad, word, 8, 0, 5, 6]),
        (nr::GETSOCKOPT, [bad, 1, 2, word, len, 6]),
        (nr::EPOLL_PWAIT, [bad, word, 1, 0, 0, 8]),
    ];
    for (number, args) in calls {
        for flags in [FLAGS_CLEAR, FLAGS_SET] {
            let before = Registers {
                rax: number,
                rcx: 0x1111_2222_3333_4444,
                rdx: args[2],
                rbx: 0xb0b0_b0b0_0000_0001,
                rbp: 0xb0b0_b0b0_0000_0002,
                rsi: args[1],
                rdi: args[0],
                r8: args[4],
                r9: args[5],
                r10: args[3],
                r11: 0x5555_6666_7777_8888,
                r12: 0xb0b0_b0b0_0000_0012,
                r13: 0xb0b0_b0b0_0000_0013,
                r14: 0xb0b0_b0b0_0000_0014,
                r15: 0xb0b0_b0b0_0000_0015,
                flags,
                next: 0,
            };
            let mut after = before;
            // SAFETY: the calls read and write `word` and `len` at most.
            unsafe { syscall_with(&mut after) };
            assert_ne!(after.rax, before.rax);
            assert_eq!(after.rcx, after.next, "rcx is where the kernel returned to");
            assert_eq!(after.r11, flags, "r11 is the flags");
            let expected =
                Registers { rax: after.rax, rcx: after.next, r11: flags, next: after.next, ..before };
            assert_eq!(after, expected, "system call {number}");
        }
    }
}

#[test]
fn every_argument_arrives_where_it_should() {
    const EBADF: usize = -9isize as usize;
    // SAFETY: libc's own wrappers make the files; the calls below use them and the buffers as meant.
    unsafe {
        let [from, to] = [c"from", c"to"].map(|name: &CStr| libc::memfd_create(name.as_ptr(), 0) as usize);
        assert_eq!(syscall0(nr::GETPID), libc::getpid() as usize);
        assert_eq!(syscall1(nr::CLOSE, usize::MAX), EBADF);
        assert_eq!(syscall2(nr::FTRUNCATE, to, 100), 0);
        assert_eq!(syscall3(nr::LSEEK, to, 0, libc::SEEK_END as usize), 100);
        let text = b"0123456789";
        assert_eq!(syscall4(nr::PWRITE64, from, text.as_ptr() as usize, 10, 5), 10);
        let (mut kind, mut size) = (0i32, 4u32);
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0) as usize;
        let place = [&raw mut kind as usize, &raw mut size as usize];
        let level = libc::SOL_SOCKET as usize;
        assert_eq!(syscall5(nr::GETSOCKOPT, socket, level, libc::SO_TYPE as usize, place[0], place[1]), 0);
        assert_eq!((kind, size), (libc::SOCK_SEQPACKET, 4));
        let (mut in_at, mut out_at) = (7i64, 90i64);
        let places = [&raw mut in_at as usize, &raw mut out_at as usize];
        assert_eq!(syscall6(nr::COPY_FILE_RANGE, from, places[0], to, places[1], 6, 0), 6);
        assert_eq!((in_at, out_at), (13, 96));
        let mut copied = [0u8; 6];
        assert_eq!(syscall4(nr::PREAD64, to, copied.as_mut_ptr() as usize, 6, 90), 6);
        assert_eq!(&copied, b"234567");
        // The last argument counts: flags must be 0.
        assert_eq!(
            syscall6(nr::COPY_FILE_RANGE, from, places[0], to, places[1], 6, 1),
            -libc::EINVAL as usize
        );
        for fd in [from, to, socket] {
            assert_eq!(syscall1(nr::CLOSE, fd), 0);
        }
    }
}

#[test]
fn values_live_through_calls_of_every_arity() {
    let bad = usize::MAX;
    for seed in 0..100 {
        // SAFETY: calls that fail at once with EBADF, or only look.
        assert!(live_across!(seed, unsafe {
            syscall0(nr::GETPPID);
            syscall1(nr::CLOSE, bad);
            syscall2(nr::DUP2, bad, bad);
            syscall3(nr::WRITE, bad, 0, 0);
            syscall4(nr::PREAD64, bad, 0, 0, 0);
            syscall5(nr::GETSOCKOPT, bad, 0, 0, 0, 0);
            syscall6(nr::EPOLL_PWAIT, bad, 0, 1, 0, 0, 8);
        }));
    }
}
