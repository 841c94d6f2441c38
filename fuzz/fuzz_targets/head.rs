#![no_main]
#![allow(dead_code)] // of the library's files

#[path = "../checks/head.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::check(bytes));
