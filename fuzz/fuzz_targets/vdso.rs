#![no_main]
#![allow(dead_code)] // of the library's files

#[path = "../checks/vdso.rs"]
mod vdso;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vdso::check(bytes));
