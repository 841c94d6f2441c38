//! `Context` and `switch`: a stack that was left goes on as if nothing had happened.

use std::arch::naked_asm;
use std::hint::black_box;

use netpoll::arch::{Context, switch};

use crate::{Landing, Stack, land};

/// Two sides of a switch: the test and the stack it runs.
#[repr(C)]
struct Pair {
    landing: Landing,
    main: Context,
    task: Context,
    turns: usize,
    ok: bool,
}

impl Pair {
    fn start(stack: &Stack, top: *mut u8, then: unsafe extern "C" fn(*mut u8) -> !) -> Box<Pair> {
        let mut pair = Box::new(Pair {
            landing: Landing::new(then),
            main: Context::empty(),
            task: Context::empty(),
            turns: 0,
            ok: true,
        });
        let arg = (&raw mut *pair).cast();
        assert!(top > stack.base && top <= stack.top());
        // SAFETY: the stack is new, and dropped after the last switch to it.
        pair.task = unsafe { Context::new(top, land, arg) };
        pair
    }

    fn enter(pair: *mut Pair) {
        // SAFETY: `task` is new or was left by `leave`.
        unsafe { switch(&raw mut (*pair).main, &raw const (*pair).task) }
    }

    fn leave(pair: *mut Pair) {
        // SAFETY: `main` was left by `enter`.
        unsafe { switch(&raw mut (*pair).task, &raw const (*pair).main) }
    }
}

/// Counts its turns, with values live over each switch.
unsafe extern "C" fn count_turns(pair: *mut u8) -> ! {
    let pair = pair.cast::<Pair>();
    loop {
        // SAFETY: the test waits in `enter` while this runs.
        let turn = unsafe { (*pair).turns };
        let ok = live_across!(turn as u64 ^ pair as u64, Pair::leave(pair));
        // SAFETY: as above.
        unsafe {
            (*pair).turns = turn + 1;
            (*pair).ok &= ok;
        }
    }
}

#[test]
fn a_new_stack_starts_as_after_a_call() {
    let stack = Stack::new();
    for misaligned in [0, 1, 8, 15] {
        let top = stack.top().wrapping_sub(misaligned);
        let mut pair = Pair::start(&stack, top, count_turns);
        assert!(pair.task.sp() < top);
        Pair::enter(&mut *pair);
        pair.landing.check(&stack);
        assert!((stack.base..top).contains(&pair.task.sp()));
    }
}

#[test]
fn values_live_through_thousands_of_switches() {
    const TURNS: usize = 3000;
    let stacks: Vec<Stack> = (0..7).map(|_| Stack::new()).collect();
    let mut pairs: Vec<_> = stacks.iter().map(|stack| Pair::start(stack, stack.top(), count_turns)).collect();
    for turn in 0..TURNS {
        for pair in &mut pairs {
            let pair = &raw mut **pair;
            assert!(live_across!(turn as u64, Pair::enter(pair)));
        }
    }
    for pair in pairs {
        assert!(pair.ok);
        assert_eq!(pair.turns, TURNS - 1, "the last turn has not come back yet");
    }
}

/// Calls `f(arg)` with known values in the registers that a function must keep; true if it did.
#[unsafe(naked)]
unsafe extern "C" fn keeps_registers(arg: *mut Pair, f: extern "C" fn(*mut Pair)) -> bool {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rax",
        "mov ebx, 0x101",
        "mov ebp, 0x102",
        "mov r12d, 0x103",
        "mov r13d, 0x104",
        "mov r14d, 0x105",
        "mov r15d, 0x106",
        "call rsi",
        "xor ebx, 0x101",
        "xor ebp, 0x102",
        "xor r12d, 0x103",
        "xor r13d, 0x104",
        "xor r14d, 0x105",
        "xor r15d, 0x106",
        "or rbx, rbp",
        "or r12, r13",
        "or r14, r15",
        "or rbx, r12",
        "or rbx, r14",
        "sete al",
        "pop rcx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

extern "C" fn enter_from_asm(pair: *mut Pair) {
    Pair::enter(pair);
}

/// Leaves with every register spoilt that a function must keep.
#[unsafe(naked)]
unsafe extern "C" fn leave_spoilt(pair: *mut Pair, leave: extern "C" fn(*mut Pair)) {
    naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push rax",
        "mov rbx, -1",
        "mov rbp, -1",
        "mov r12, -1",
        "mov r13, -1",
        "mov r14, -1",
        "mov r15, -1",
        "call rsi",
        "pop rax",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

extern "C" fn leave_from_asm(pair: *mut Pair) {
    Pair::leave(pair);
}

unsafe extern "C" fn spoil_registers(pair: *mut u8) -> ! {
    loop {
        // SAFETY: `leave_from_asm` is an ordinary function.
        unsafe { leave_spoilt(pair.cast(), leave_from_asm) }
    }
}

#[test]
fn switch_keeps_the_registers_a_function_must_keep() {
    let stack = Stack::new();
    let mut pair = Pair::start(&stack, stack.top(), spoil_registers);
    for _ in 0..100 {
        // SAFETY: `enter_from_asm` is an ordinary function.
        assert!(unsafe { keeps_registers(&mut *pair, enter_from_asm) });
    }
}

#[test]
fn a_stack_goes_on_from_another_thread() {
    struct Handed(Box<Pair>);
    // SAFETY: one thread at a time has it.
    unsafe impl Send for Handed {}

    let stack = Stack::new();
    let mut handed = Handed(Pair::start(&stack, stack.top(), count_turns));
    for turn in 0..20 {
        handed = std::thread::spawn(move || {
            let mut handed: Handed = handed;
            Pair::enter(&mut *handed.0);
            handed
        })
        .join()
        .unwrap();
        assert_eq!(handed.0.turns, turn);
    }
    assert!(handed.0.ok);
}
