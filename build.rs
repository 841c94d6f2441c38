//! Link arguments of the freestanding programs in `src/bin`, and nothing else. They reach only those
//! programs: tests, and packages that depend on this one, link as usual.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/bin");
    println!("cargo:rerun-if-changed=arch/small.ld");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let small = env::var("OPT_LEVEL").as_deref() == Ok("z");
    for program in programs(&root) {
        let pie = program == "hello_pie";
        let arg = |arg: &str| println!("cargo:rustc-link-arg-bin={program}={arg}");
        arg("-nostdlib"); // no C runtime: `_start` is ours
        arg(if pie { "-static-pie" } else { "-static" });
        arg("-Wl,-z,norelro"); // there is no loader to make anything read-only later
        if small {
            arg("-Wl,--build-id=none,--no-eh-frame-hdr");
            // Nor does the kernel read the sections' headers. GNU ld before 2.41 keeps them, with a warning.
            arg("-Wl,-z,nosectionheader");
            arg("-Wl,-z,noseparate-code"); // lld's default; GNU ld would pad every segment to a page
            arg(&format!("-T{root}/arch/small.ld"));
        }
        if small && pie {
            arg("-Wl,-z,pack-relative-relocs"); // RELR: a bit instead of 24 bytes for each
        }
    }
}

/// The names of the programs: every file or folder in `src/bin`, each of which is a `[[bin]]` in
/// `Cargo.toml`. Cargo refuses link arguments for a program that does not exist.
fn programs(root: &str) -> Vec<String> {
    fs::read_dir(Path::new(root).join("src/bin"))
        .expect("src/bin is part of the package")
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect()
}
