//! A static-PIE full of addresses: it ends with status 0 if every one of them was relocated.
//! `tests/relocation.rs` builds it in several ways.
#![no_std]
#![no_main]

use core::hint::black_box;

netpoll::start!(main);

/// Two addresses, and words that must not be touched.
struct Entry {
    number: usize,
    text: &'static str, // address and length
    function: fn(usize) -> usize,
}

fn double(n: usize) -> usize {
    n * 2
}

fn square(n: usize) -> usize {
    n * n
}

static SPARSE: [Entry; 90] = {
    const NEW: Entry = Entry { number: 7, text: "even", function: double };
    let mut table = [NEW; 90];
    let mut i = 1;
    while i < table.len() {
        table[i] = Entry { number: i, text: "odd entry", function: square };
        i += 2;
    }
    table
};

/// One address after the other, for longer than the 63 bits of a RELR bitmap.
static DENSE: [fn(usize) -> usize; 300] = [square; 300];

/// Not constant, so that it lies elsewhere than the tables above.
static mut WRITABLE: &str = "writable";

fn main(_: netpoll::rt::Env) -> i32 {
    for (i, entry) in black_box(&SPARSE).iter().enumerate() {
        let expected = if i % 2 == 0 { (7, "even", 14) } else { (i, "odd entry", i * i) };
        if (entry.number, entry.text, (entry.function)(entry.number)) != expected {
            return 1;
        }
    }
    for (i, function) in black_box(&DENSE).iter().enumerate() {
        if function(i) != i * i {
            return 2;
        }
    }
    // SAFETY: nothing else runs.
    if unsafe { *black_box(&raw const WRITABLE) } != "writable" {
        return 3;
    }
    0
}

/// A function whose address the loader has to ask for (`R_X86_64_IRELATIVE`), which we do not support.
#[cfg(feature = "ifunc")]
mod ifunc {
    core::arch::global_asm!(
        ".globl chosen_at_start",
        ".type chosen_at_start, @gnu_indirect_function",
        "chosen_at_start:",
        "lea rax, [rip + chosen_at_start]",
        "ret",
    );

    unsafe extern "C" {
        fn chosen_at_start();
    }

    #[used]
    static CHOSEN: unsafe extern "C" fn() = chosen_at_start;
}
