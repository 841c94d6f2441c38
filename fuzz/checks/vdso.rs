//! Images of a vDSO: what is found lies inside.

#[path = "../../src/rt/vdso.rs"]
mod vdso;

pub fn check(bytes: &[u8]) {
    for name in [&b"__vdso_clock_gettime\0"[..], b"\0"] {
        if let Some(offset) = offset(bytes, name) {
            assert!(offset < bytes.len());
        }
    }
}

pub fn offset(image: &[u8], name: &[u8]) -> Option<usize> {
    vdso::symbol(image, name)
}
