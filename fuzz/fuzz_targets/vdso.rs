//! Images of a vDSO: what is found lies inside.
#![no_main]
#![allow(dead_code)]

#[path = "../../src/rt/vdso.rs"]
mod vdso;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in [&b"__vdso_clock_gettime\0"[..], b"\0"] {
        if let Some(offset) = vdso::symbol(bytes, name) {
            assert!(offset < bytes.len());
        }
    }
});
