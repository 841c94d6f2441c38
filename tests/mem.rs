//! The memory functions against std: every small size at every alignment and overlap, larger ones by
//! chance, and right up to pages that must not be touched.

use std::cmp::Ordering;
use std::ops::Range;
use std::ptr;

use netpoll::arch::mem::{memcmp, memmove, memset, strlen};
use proptest::prelude::*;

/// Covers the branches at 4, 8, 16, 32 and 64 bytes and a few turns of each loop.
const SMALL: Range<usize> = 0..180;
/// Around the length from which `memmove` uses `rep movsb`.
const STRING_MOVES: Range<usize> = 4090..4100;

/// Bytes that differ from their neighbours, at any distance below 251.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// Moves within a buffer by both implementations and compares all of it, so that a stray write shows.
fn check_memmove(len: usize, src: usize, dst: usize, n: usize) {
    let mut expected = pattern(len);
    let mut got = expected.clone();
    expected.copy_within(src..src + n, dst);
    assert!(src + n <= len && dst + n <= len);
    let base = got.as_mut_ptr();
    // SAFETY: both ranges lie in `got`.
    let ret = unsafe { memmove(base.add(dst), base.add(src), n) };
    assert_eq!(ret, base.wrapping_add(dst));
    assert!(got == expected, "memmove of {n} bytes from {src} to {dst}");
}

fn check_memset(len: usize, start: usize, byte: i32, n: usize) {
    let mut expected = pattern(len);
    let mut got = expected.clone();
    expected[start..start + n].fill(byte as u8);
    // SAFETY: the range lies in `got`: slicing `expected` has checked it.
    let ret = unsafe { memset(got.as_mut_ptr().add(start), byte, n) };
    assert_eq!(ret, got.as_mut_ptr().wrapping_add(start));
    assert!(got == expected, "memset of {n} bytes at {start}");
}

fn check_memcmp(a: &[u8], b: &[u8]) {
    assert_eq!(a.len(), b.len());
    // SAFETY: both slices have `a.len()` bytes.
    let got = unsafe { memcmp(a.as_ptr(), b.as_ptr(), a.len()) };
    assert_eq!(got.cmp(&0), a.cmp(b), "memcmp of {} bytes", a.len());
}

#[test]
fn memmove_between_any_two_alignments() {
    for n in SMALL {
        for src in 0..32 {
            for dst in 0..32 {
                check_memmove(480, src, 256 + dst, n);
            }
        }
    }
}

#[test]
fn memmove_over_any_overlap() {
    for n in SMALL {
        for src in [96, 101] {
            for dst in 0..src + 96 {
                check_memmove(400, src, dst, n);
            }
        }
    }
}

#[test]
fn memmove_of_long_blocks() {
    for n in STRING_MOVES {
        for distance in [0, 1, 15, 16, 31, 64, 4000, n - 1, n, n + 1, 5000] {
            for start in [0, 7] {
                check_memmove(10_000, start, start + distance, n);
                check_memmove(10_000, start + distance, start, n);
            }
        }
    }
}

#[test]
fn memset_at_any_alignment() {
    for n in SMALL.chain(STRING_MOVES) {
        for start in 0..40 {
            check_memset(n + 80, start, 0xa5, n);
        }
    }
}

#[test]
fn memset_takes_the_low_byte_only() {
    for byte in [0, -1, 0x1234, 0x7fff_ff00] {
        for n in [1, 5, 9, 20, 200] {
            check_memset(256, 3, byte, n);
        }
    }
}

#[test]
fn memcmp_finds_a_difference_anywhere() {
    for n in SMALL {
        for offset in 0..16 {
            let a = pattern(n + 16);
            let a = &a[offset..offset + n];
            let mut b = a.to_vec();
            check_memcmp(a, &b);
            for i in 0..n {
                // Beyond the sign bit, so that a signed comparison gives the wrong order.
                b[i] ^= 0x80;
                check_memcmp(a, &b);
                check_memcmp(&b, a);
                b[i] ^= 0x80;
            }
        }
    }
}

#[test]
fn memcmp_goes_by_the_first_difference() {
    for n in 2..80 {
        let mut a = vec![7; n];
        let mut b = a.clone();
        for i in 0..n - 1 {
            (a[i], b[i + 1]) = (8, 255);
            // SAFETY: both have `n` bytes.
            let got = unsafe { memcmp(a.as_ptr(), b.as_ptr(), n) };
            assert_eq!(got.cmp(&0), Ordering::Greater, "{n} bytes, differing at {i}");
            (a[i], b[i + 1]) = (7, 7);
        }
    }
}

#[test]
fn strlen_ignores_zeros_before_the_string() {
    for len in SMALL {
        for start in 1..40 {
            let mut bytes = vec![0; start + len + 40];
            bytes[start..start + len].fill(0xff);
            // SAFETY: zeros follow.
            assert_eq!(unsafe { strlen(bytes.as_ptr().add(start)) }, len);
        }
    }
}

/// One readable and writable page between two that are neither.
struct Page(*mut u8);

const PAGE: usize = 4096;

impl Page {
    fn new() -> Page {
        // SAFETY: a new mapping, whose middle is then opened.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let base = libc::mmap(ptr::null_mut(), 3 * PAGE, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            let middle = base.cast::<u8>().add(PAGE);
            assert_eq!(libc::mprotect(middle.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE), 0);
            Page(middle)
        }
    }

    /// Where `n` bytes begin that touch the page's start, and its end.
    fn edges(&self, n: usize) -> [*mut u8; 2] {
        // SAFETY: `n` is at most a page.
        [self.0, unsafe { self.0.add(PAGE - n) }]
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: as mapped in `new`.
        unsafe { libc::munmap(self.0.sub(PAGE).cast(), 3 * PAGE) };
    }
}

#[test]
fn nothing_outside_the_buffers_is_touched() {
    let (one, other) = (Page::new(), Page::new());
    for n in SMALL.chain([255, 256, 1000, 4095, 4096]) {
        for a in one.edges(n) {
            for b in other.edges(n) {
                // SAFETY: `n` bytes at `a` and at `b` are within the pages. A fault ends the test run.
                unsafe {
                    memset(a, 0x5a, n);
                    memset(b, 0, n);
                    memmove(b, a, n);
                    assert_eq!(memcmp(a, b, n), 0);
                    let shifted = n.min(1);
                    memmove(a, a.add(shifted), n - shifted);
                    memmove(a.add(shifted), a, n - shifted);
                    assert_eq!(memcmp(a, b, n), 0);
                }
            }
        }
    }
}

#[test]
fn strlen_up_to_the_last_byte_of_a_page() {
    let page = Page::new();
    for len in SMALL {
        for start in page.edges(len + 1) {
            // SAFETY: the string and its zero are within the page.
            unsafe {
                memset(page.0, 0xff, PAGE);
                start.add(len).write(0);
                assert_eq!(strlen(start), len);
            }
        }
    }
}

proptest! {
    #[test]
    fn memmove_is_copy_within(src in 0..9000usize, dst in 0..9000usize, n in 0..7000usize) {
        check_memmove(16_000, src, dst, n);
    }

    #[test]
    fn memset_is_fill(start in 0..100usize, n in 0..9000usize, byte: i32) {
        check_memset(9100, start, byte, n);
    }

    #[test]
    fn memcmp_is_the_order_of_slices(
        (a, b) in (0..200usize).prop_flat_map(|n| {
            let bytes = || prop::collection::vec(prop_oneof![Just(0u8), Just(127), Just(128), Just(255)], n);
            (bytes(), bytes())
        }),
        same in 0..200usize,
    ) {
        let mut b = b;
        let same = same.min(a.len());
        b[..same].copy_from_slice(&a[..same]);
        check_memcmp(&a, &b);
    }

    #[test]
    fn strlen_is_the_place_of_the_first_zero(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), start in 0..64usize) {
        bytes.push(0);
        let string = &bytes[start.min(bytes.len() - 1)..];
        // SAFETY: `bytes` ends in a zero.
        prop_assert_eq!(Some(unsafe { strlen(string.as_ptr()) }), string.iter().position(|&byte| byte == 0));
    }
}
