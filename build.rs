//! Link arguments of the freestanding programs in `src/bin`, and nothing else. They reach only those
//! programs: tests, and packages that depend on this one, link as usual.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/bin");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let small = env::var("OPT_LEVEL").as_deref() == Ok("z");
    for program in programs() {
        let arg = |arg: &str| println!("cargo:rustc-link-arg-bin={program}={arg}");
        arg("-nostdlib"); // no C runtime: `_start` is ours
        arg(if program == "hello_pie" { "-static-pie" } else { "-static" });
        if small {
            arg("-Wl,--build-id=none,--no-eh-frame-hdr");
        }
    }
}

/// The names of the programs: every file or folder in `src/bin`, each of which is a `[[bin]]` in
/// `Cargo.toml`. Cargo refuses link arguments for a program that does not exist.
fn programs() -> Vec<String> {
    let folder = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("src/bin");
    fs::read_dir(folder)
        .expect("src/bin is part of the package")
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect()
}
