//! `_start` relocates a static-PIE by itself, whichever way the linker wrote the relocations down, and
//! stops at a kind it does not know.

#[path = "support/package.rs"]
mod package;

use package::{ROOT, build_written, scratch, write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

/// Writes the package of `tests/pie/program.rs`, as a user of the crate would, and runs what it makes.
fn run(name: &str, link_args: &[&str], profile: &str, features: &str) -> ExitStatus {
    let package = scratch().join("pie").join(name);
    let args: String = ["-nostdlib", "-static-pie"]
        .iter()
        .chain(link_args)
        .map(|arg| format!("println!(\"cargo:rustc-link-arg-bins={arg}\");"))
        .collect();
    write(&package.join("build.rs"), &format!("fn main() {{ {args} }}"));
    write(&package.join("program.rs"), include_str!("pie/program.rs"));
    write(
        &package.join("Cargo.toml"),
        &format!(
            r#"
            [package]
            name = {name:?}
            version = "0.0.0"
            edition = "2024"
            [features]
            ifunc = []
            [dependencies]
            netpoll = {{ path = {ROOT:?} }}
            [[bin]]
            name = {name:?}
            path = "program.rs"
            test = false
            [profile.dev]
            panic = "abort"
            [profile.release]
            panic = "abort"
            [workspace]
            "#
        ),
    );
    let program = build_written(&package, name, profile, &["--features", features]);
    Command::new(program).status().unwrap()
}

#[test]
fn rela() {
    assert_eq!(run("rela", &[], "dev", "").code(), Some(0));
    assert_eq!(run("rela", &[], "release", "").code(), Some(0));
}

#[test]
fn relr() {
    let packed = ["-Wl,-z,pack-relative-relocs"];
    assert_eq!(run("relr", &packed, "dev", "").code(), Some(0));
    assert_eq!(run("relr", &packed, "release", "").code(), Some(0));
}

#[test]
fn an_unknown_kind_stops_the_program() {
    assert_eq!(run("ifunc", &[], "dev", "ifunc").signal(), Some(libc::SIGILL));
}
