//! What is known to have been sent once, `fuzz/corpus`, through the same checks as `fuzz/` makes: also where there is no
//! fuzzer. `cargo +nightly fuzz` looks for more.

#![allow(dead_code)] // of the library's files

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/dns.rs"]
mod dns;
#[path = "../fuzz/checks/env.rs"]
mod environment;
#[path = "../fuzz/checks/head.rs"]
mod head;
#[path = "../fuzz/checks/vdso.rs"]
mod image;

/// Runs `check` on every file of a corpus, and on each cut off at every length up to some thousand.
fn replay(name: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        println!("{}", path.display()); // shown if it panics
        for len in (0..bytes.len().min(2000)).rev().step_by(7) {
            check(&bytes[..len]);
        }
        check(&bytes);
        inputs += 1;
    }
    assert!(inputs > 0);
}

#[test]
fn heads_of_requests() {
    replay("head", head::check);
}

#[test]
fn answers_of_name_servers() {
    replay("dns", dns::check);
}

#[test]
fn environments() {
    replay("env", environment::check);
}

#[test]
fn images_of_a_vdso() {
    replay("vdso", image::check);
}

/// The seeds get beyond the first refusal.
#[test]
fn seeds_are_what_they_look_like() {
    let read =
        |path: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(path)).unwrap();
    assert!(["head/get", "head/post"].iter().all(|seed| head::is_whole(&read(seed))));
    let image = read("vdso/image");
    assert_eq!(image::offset(&image, b"__vdso_clock_gettime\0"), Some(32));
    assert_eq!(image::offset(&image, b"__vdso_getcpu\0"), None, "undefined");
}
