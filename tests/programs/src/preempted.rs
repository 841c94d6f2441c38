//! Tasks that are interrupted wherever they stand. The test sends the monitor's signal to every thread,
//! thousands of times: to the runtime that is as if each slice had ended.

use crate::Scenario;
use crate::support::{PATIENCE, after, close, join_all, ms};
use alloc::vec::Vec;
use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use netpoll::sync::Mutex;
use netpoll::sys::fd::{OFlags, pipe2};
use netpoll::time::{Instant, sleep};
use netpoll::{println, runtime, spawn, yield_now};

pub const SCENARIOS: &[Scenario] = &[
    ("registers_live_across_preemptions", registers),
    ("a_carry_chain_across_preemptions", |_| for_a_while(carry_chains)),
    ("the_red_zone_across_preemptions", |_| for_a_while(red_zone)),
    ("modes_stay_with_their_task", modes),
    ("near_the_end_of_the_stack", near_the_end),
    ("the_runtime_under_preemptions", busy_runtime),
    ("lines_under_preemptions", lines),
    ("panic_under_preemptions", panics),
];

/// How often a scenario wants to be interrupted, and how long it takes part at least.
const PREEMPTIONS: u64 = 1000;
const WHILE: Duration = ms(300);

/// Does `check` again and again, until the program has been interrupted often enough.
fn until_interrupted(mut check: impl FnMut()) {
    let start = Instant::now();
    while start.elapsed() < WHILE || runtime::metrics().preemptions < PREEMPTIONS {
        assert!(start.elapsed() < PATIENCE, "only {} preemptions", runtime::metrics().preemptions);
        check();
    }
}

/// Runs four tasks that do `check` again and again.
fn for_a_while(check: fn()) {
    sleep(ms(1)); // the monitor's handler is installed with the first timer
    join_all((0..4).map(|_| spawn(move || until_interrupted(check))));
}

/// 16 vector registers, their upper halves where the machine has them.
type Vectors = [[u64; 4]; 16];

fn pattern(seed: u64) -> Vectors {
    let mut x = seed | 1;
    Vectors::default().map(|register| {
        register.map(|_| {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            x
        })
    })
}

macro_rules! each_vector {
    ($a:literal, $b:literal, $c:literal) => {
        concat!(
            each_vector!(@ $a $b $c 0), each_vector!(@ $a $b $c 1), each_vector!(@ $a $b $c 2),
            each_vector!(@ $a $b $c 3), each_vector!(@ $a $b $c 4), each_vector!(@ $a $b $c 5),
            each_vector!(@ $a $b $c 6), each_vector!(@ $a $b $c 7), each_vector!(@ $a $b $c 8),
            each_vector!(@ $a $b $c 9), each_vector!(@ $a $b $c 10), each_vector!(@ $a $b $c 11),
            each_vector!(@ $a $b $c 12), each_vector!(@ $a $b $c 13), each_vector!(@ $a $b $c 14),
            each_vector!(@ $a $b $c 15),
        )
    };
    (@ $a:literal $b:literal $c:literal $n:literal) => {
        concat!($a, $n, $b, $n, $c, "\n")
    };
}

/// Loads every vector register, lets `turns` go by, and stores them again.
macro_rules! vectors_through_a_loop {
    ($name:ident, $load:expr, $store:expr) => {
        /// # Safety
        /// The machine must have these registers.
        unsafe fn $name(from: &Vectors, to: &mut Vectors, turns: u64) {
            // SAFETY: reads and writes 512 bytes; all vector registers are clobbered.
            unsafe {
                asm!(
                    $load,
                    "2:",
                    "dec {turns}",
                    "jnz 2b",
                    $store,
                    turns = inout(reg) turns => _,
                    from = in(reg) from,
                    to = in(reg) to,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                    out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                    out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                );
            }
        }
    };
}

vectors_through_a_loop!(
    with_avx,
    each_vector!("vmovdqu ymm", ", [{from} + 32 * ", "]"),
    concat!(each_vector!("vmovdqu [{to} + 32 * ", "], ymm", ""), "vzeroupper")
);
vectors_through_a_loop!(
    with_sse,
    each_vector!("movdqu xmm", ", [{from} + 32 * ", "]"),
    each_vector!("movdqu [{to} + 32 * ", "], xmm", "")
);

/// AVX, and the kernel saves it.
fn has_avx() -> bool {
    const OSXSAVE_AND_AVX: u32 = 1 << 27 | 1 << 28;
    core::arch::x86_64::__cpuid(1).ecx & OSXSAVE_AND_AVX == OSXSAVE_AND_AVX
}

fn vectors() {
    let from = pattern(Instant::now().elapsed().as_nanos() as u64 + 7);
    let mut to = Vectors::default();
    if has_avx() {
        // SAFETY: asked for.
        unsafe { with_avx(&from, &mut to, 20_000) };
        assert_eq!(from, to);
    } else {
        // SAFETY: every x86-64 has SSE2.
        unsafe { with_sse(&from, &mut to, 20_000) };
        assert!(from.iter().zip(&to).all(|(a, b)| a[..2] == b[..2]));
    }
}

/// The general registers that can be named, with the direction flag set and the carry flag clear.
fn general() {
    let (mut a, mut b, mut c, mut d) = (1u64, 2u64, 3u64, 4u64);
    let (mut e, mut f, mut g, mut h) = (5u64, 6u64, 7u64, 8u64);
    let flags: u64;
    // SAFETY: the direction flag is clear again at the end; what is pushed is popped.
    unsafe {
        asm!(
            "std",
            "clc",
            "2:",
            "lea rcx, [rcx - 1]", // no flags
            "jrcxz 3f",
            "jmp 2b",
            "3:",
            "pushfq",
            "pop rcx",
            "cld",
            inout("rcx") 20_000u64 => flags,
            inout("r8") a, inout("r9") b, inout("r10") c, inout("r11") d,
            inout("r12") e, inout("r13") f, inout("r14") g, inout("r15") h,
        );
    }
    const CARRY: u64 = 1;
    const DIRECTION: u64 = 1 << 10;
    assert_eq!(flags & (CARRY | DIRECTION), DIRECTION);
    assert_eq!([a, b, c, d, e, f, g, h], [1, 2, 3, 4, 5, 6, 7, 8]);
}

fn registers(_: &[&str]) {
    for_a_while(|| {
        vectors();
        general();
    });
}

/// A sum whose carries go from step to step in the flag.
fn carry_chains() {
    let (low, high): (u64, u64);
    // SAFETY: arithmetic.
    unsafe {
        asm!(
            "xor eax, eax",
            "xor edx, edx", // and the carry
            "2:",
            "adc rax, {step}",
            "adc rdx, 0", // leaves no carry: it cannot overflow
            "lea rcx, [rcx - 1]",
            "jrcxz 3f",
            "jmp 2b",
            "3:",
            step = in(reg) u64::MAX - 4,
            inout("rcx") 20_000u64 => _,
            out("rax") low,
            out("rdx") high,
        );
    }
    assert_eq!(u128::from(high) << 64 | u128::from(low), u128::from(u64::MAX - 4) * 20_000);
}

/// 128 bytes below the stack pointer belong to a function that calls no other.
fn red_zone() {
    let sum: u64;
    // SAFETY: without `nostack` the compiler keeps nothing in its own red zone here, so this may use it.
    unsafe {
        asm!(
            "mov ecx, 16",
            "2:",
            "mov [rsp + rcx * 8 - 136], rcx",
            "dec rcx",
            "jnz 2b",
            "mov ecx, 20000",
            "3:",
            "dec rcx",
            "jnz 3b",
            "mov ecx, 16",
            "4:",
            "add rax, [rsp + rcx * 8 - 136]",
            "dec rcx",
            "jnz 4b",
            out("rcx") _,
            inout("rax") 0u64 => sum,
        );
    }
    assert_eq!(sum, 16 * 17 / 2);
}

/// What every program begins with.
const MXCSR: u32 = 0x1f80;

fn mxcsr() -> u32 {
    let mut value = 0u32;
    // SAFETY: writes four bytes.
    unsafe { asm!("stmxcsr [{}]", in(reg) &mut value, options(nostack, preserves_flags)) };
    value
}

/// AC: an access that is not aligned is a fault (SIGBUS).
const ALIGNMENT_CHECK: u64 = 1 << 18;

fn flags() -> u64 {
    let flags;
    // SAFETY: the stack is as before at the end.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    flags
}

/// One that rounds in its own way and has a full x87 stack while it computes, and others, on the same
/// threads, that expect what the ABI says.
fn modes(_: &[&str]) {
    static DONE: AtomicBool = AtomicBool::new(false);
    sleep(ms(1));
    let others = (0..3).map(|_| {
        spawn(|| {
            while !DONE.load(Ordering::Relaxed) {
                assert_eq!(mxcsr() & !0x3f, MXCSR); // but for the flags of what has happened
                let mut environment = [0u32; 7];
                // SAFETY: stores 28 bytes, and loads them again, since the store masks all exceptions.
                unsafe {
                    asm!("fnstenv [{0}]", "fldenv [{0}]", in(reg) &mut environment, options(nostack));
                }
                assert_eq!(environment[2] & 0xffff, 0xffff, "the x87 stack is not empty");
                assert_eq!(flags() & ALIGNMENT_CHECK, 0, "another task's flag");
                yield_now();
            }
        })
    });
    let others: Vec<_> = others.collect();
    let own = spawn(|| {
        const UP_AND_TO_ZERO: u32 = MXCSR | 2 << 13 | 1 << 15;
        until_interrupted(|| {
            let mut seen = 0u32;
            let mut top = 0.0f64;
            // SAFETY: the control register and the x87 stack are as before at the end.
            unsafe {
                asm!(
                    "ldmxcsr [{own}]",
                    "fld1", "fld1", "fld1", "fld1", "fld1", "fld1", "fld1", "fldpi",
                    "2:",
                    "dec {turns}",
                    "jnz 2b",
                    "fstp qword ptr [{top}]",
                    "fstp st(0)", "fstp st(0)", "fstp st(0)", "fstp st(0)", "fstp st(0)", "fstp st(0)",
                    "fstp st(0)",
                    "stmxcsr [{seen}]",
                    "ldmxcsr [{usual}]",
                    own = in(reg) &UP_AND_TO_ZERO,
                    usual = in(reg) &MXCSR,
                    seen = in(reg) &mut seen,
                    top = in(reg) &mut top,
                    turns = inout(reg) 20_000u64 => _,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
            assert_eq!((seen, top.to_bits()), (UP_AND_TO_ZERO, core::f64::consts::PI.to_bits()));
        });
    });
    own.join();
    let checking = spawn(|| {
        until_interrupted(|| {
            let seen: u64;
            // SAFETY: nothing but registers and aligned words is used while the flag is set, and it is as before at the end.
            unsafe {
                asm!(
                    "pushfq",
                    "or qword ptr [rsp], {flag}",
                    "popfq",
                    "2:",
                    "dec {turns}",
                    "jnz 2b",
                    "pushfq",
                    "mov {seen}, [rsp]",
                    "and qword ptr [rsp], ~{flag}",
                    "popfq",
                    flag = const ALIGNMENT_CHECK,
                    turns = inout(reg) 20_000u64 => _,
                    seen = out(reg) seen,
                );
            }
            assert_eq!(seen & ALIGNMENT_CHECK, ALIGNMENT_CHECK);
        });
    });
    checking.join();
    DONE.store(true, Ordering::Relaxed);
    join_all(others);
}

/// Where the guard page of the running task's stack ends. The kernel tells which pages can be read.
fn stack_bottom() -> usize {
    const PAGE: usize = 4096;
    let here = 0u8;
    let [reader, writer] = pipe2(OFlags::CLOEXEC | OFlags::NONBLOCK).unwrap();
    let mut page = (&raw const here).addr() & !(PAGE - 1);
    // SAFETY: the call only reads, and fails with EFAULT where it cannot.
    while unsafe { netpoll::arch::syscall3(WRITE, writer as usize, page, 1) } == 1 {
        page -= PAGE;
    }
    close(reader).unwrap();
    close(writer).unwrap();
    page + PAGE
}

/// write(2)'s number.
const WRITE: usize = 1;

/// Goes down until `left` bytes are left, spins there, and comes back over what it has written.
#[inline(never)]
fn descend(bottom: usize, left: usize) -> u64 {
    let mark = black_box([0x5a5a_5a5a_u64; 8]);
    let sum = if (&raw const mark).addr() - bottom > left {
        descend(bottom, left)
    } else {
        // SAFETY: counts; touches no memory.
        unsafe {
            asm!("2:", "dec {0}", "jnz 2b", inout(reg) 60_000u64 => _, options(nostack, nomem));
        }
        0
    };
    assert_eq!(black_box(mark), [0x5a5a_5a5a; 8]);
    sum + 1
}

/// What the frames of [`descend`] may take beyond the depth that it looks for.
const MARGIN: usize = 1200;

/// At each depth a task is either preempted or not, but its stack holds.
fn near_the_end(_: &[&str]) {
    sleep(ms(1));
    let sweep = || {
        let bottom = stack_bottom();
        until_interrupted(|| {
            for left in (MARGIN..8000).step_by(232) {
                assert!(descend(bottom, left) > 10);
            }
        });
    };
    join_all((0..3).map(|_| spawn(sweep)));
}

/// Everything the runtime does, while it is interrupted.
fn busy_runtime(_: &[&str]) {
    let counter = alloc::sync::Arc::new(Mutex::new(0u64));
    sleep(ms(1));
    let tasks = (0..4u64).map(|n| {
        let counter = counter.clone();
        spawn(move || {
            let (tx, rx) = netpoll::sync::channel(2);
            let (reader, writer) = netpoll::io::pipe().unwrap();
            let mut rounds = 0;
            until_interrupted(|| {
                tx.send(rounds).unwrap();
                assert_eq!(spawn(move || n + 1).join(), n + 1);
                *counter.lock() += 1;
                writer.write_all(&[n as u8; 100]).unwrap();
                assert_eq!(reader.read(&mut [0; 200]), Ok(100));
                yield_now();
                sleep(Duration::from_micros(1));
                assert_eq!(rx.recv(), Some(rounds));
                rounds += 1;
            });
            rounds
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let rounds: u64 = join_all(tasks).into_iter().sum();
    assert!(rounds > 100);
    assert_eq!(*counter.lock(), rounds);
}

/// Lines of several tasks, whole, in each task's order.
fn lines(words: &[&str]) {
    let count: u64 = words[0].parse().unwrap();
    sleep(ms(1));
    join_all((0..4).map(|task| {
        spawn(move || {
            for i in 0..count {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(200) {}
                println!("{task} {i} {}", "x".repeat(600 * (i % 2) as usize));
            }
        })
    }));
}

fn panics(_: &[&str]) {
    sleep(ms(1));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            spawn(|| {
                let end = after(ms(100));
                while Instant::now() < end {
                    black_box(end);
                }
                panic!("on purpose");
            })
        })
        .collect();
    join_all(tasks);
}
