//! `_start` relocates a static-PIE by itself, whichever way the linker wrote the relocations down, and
//! stops at a kind it does not know.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{env, fs};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Writes the package of `tests/pie/program.rs`, as a user of the crate would, and runs what it makes.
fn run(name: &str, link_args: &[&str], cargo_args: &[&str]) -> ExitStatus {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pie").join(name);
    let args: String = ["-nostdlib", "-static-pie"]
        .iter()
        .chain(link_args)
        .map(|arg| format!("println!(\"cargo:rustc-link-arg-bins={arg}\");"))
        .collect();
    write(&package, "build.rs", &format!("fn main() {{ {args} }}"));
    write(&package, "program.rs", include_str!("pie/program.rs"));
    write(
        &package,
        "Cargo.toml",
        &format!(
            r#"
            [package]
            name = "pie"
            version = "0.0.0"
            edition = "2024"
            [features]
            ifunc = []
            [dependencies]
            netpoll = {{ path = {ROOT:?} }}
            [[bin]]
            name = "pie"
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
    // The versions that are here already, so that nothing is fetched.
    fs::copy(Path::new(ROOT).join("Cargo.lock"), package.join("Cargo.lock")).unwrap();

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pie/target").join(name);
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()))
        .args(["build", "--quiet", "--offline", "--target-dir"])
        .arg(&target)
        .args(cargo_args)
        .current_dir(&package)
        .status()
        .unwrap();
    assert!(built.success());
    let folder = if cargo_args.contains(&"--release") { "release" } else { "debug" };
    Command::new(target.join(folder).join("pie")).status().unwrap()
}

/// Leaves a file alone that has the content already, so that cargo need not build again.
fn write(package: &Path, name: &str, content: &str) {
    fs::create_dir_all(package).unwrap();
    let file: PathBuf = package.join(name);
    if fs::read_to_string(&file).ok().as_deref() != Some(content) {
        fs::write(file, content).unwrap();
    }
}

#[test]
fn rela() {
    assert_eq!(run("rela", &[], &[]).code(), Some(0));
    assert_eq!(run("rela", &[], &["--release"]).code(), Some(0));
}

#[test]
fn relr() {
    let packed = ["-Wl,-z,pack-relative-relocs"];
    assert_eq!(run("relr", &packed, &[]).code(), Some(0));
    assert_eq!(run("relr", &packed, &["--release"]).code(), Some(0));
}

#[test]
fn an_unknown_kind_stops_the_program() {
    assert_eq!(run("ifunc", &[], &["--features", "ifunc"]).signal(), Some(libc::SIGILL));
}
