#![no_main]
#![allow(dead_code)] // of the library's files

#[path = "../checks/dns.rs"]
mod dns;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dns::check(bytes));
