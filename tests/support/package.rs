//! Builds the programs that tests run. Nothing else in `tests` calls cargo.
//!
//! Cargo always finds a lock file that names every version. So it needs no network when the packages are on the machine,
//! and fetches them when they are not.

// Every test uses a part of this.
#![allow(dead_code)]

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, exit};
use std::{env, fs};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The exit status of a test program of which a test failed: libtest's.
const FAILED: i32 = 101;

/// The folder for what tests build and write.
pub fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Builds programs of this workspace in `profile`, for example `["-p", "programs"]`. Returns the folder they are in.
/// All tests share it, so that netpoll is compiled once for all of them.
pub fn build(profile: &str, programs: &[&str]) -> PathBuf {
    build_into("packages", profile, programs)
}

/// The same in release and with the feature `valgrind`, apart, because the programs have the same names.
pub fn build_for_valgrind(programs: &[&str]) -> PathBuf {
    build_into("valgrind", "release", &[programs, &["--features", "netpoll/valgrind"]].concat())
}

fn build_into(target: &str, profile: &str, args: &[&str]) -> PathBuf {
    let target = scratch().join(target);
    let mut cargo = cargo(Path::new(ROOT), &target);
    // What the tests themselves are built with does not reach the programs.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.args(["build", "--quiet", "--profile", profile]).args(args).output().unwrap();
    if !output.status.success() {
        // libtest would try again for every test that needs the programs, and report each of them.
        let why = String::from_utf8_lossy(&output.stderr);
        let _ = writeln!(stderr(), "{why}no test can run: cargo build {} failed, see above", args.join(" "));
        exit(FAILED);
    }
    programs_in(&target, profile)
}

/// Where cargo puts the programs of `profile`.
fn programs_in(target: &Path, profile: &str) -> PathBuf {
    target.join(if profile == "dev" { "debug" } else { profile })
}

/// Writes a file of a package, unless it has this content: then cargo need not build again.
pub fn write(file: &Path, content: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    if fs::read_to_string(file).ok().as_deref() != Some(content) {
        fs::write(file, content).unwrap();
    }
}

/// Builds the program of a package that a test has written, which no other test calls the same. Returns its path.
pub fn build_written(package: &Path, program: &str, profile: &str, args: &[&str]) -> PathBuf {
    run_cargo(package, &[&["build", "--profile", profile], args].concat());
    programs_in(&written(), profile).join(program)
}

/// As [`try_cargo`]; fails the test if cargo fails.
pub fn run_cargo(package: &Path, args: &[&str]) -> Output {
    let output = try_cargo(package, args);
    assert!(output.status.success(), "cargo {args:?}: {output:#?}");
    output
}

/// Runs `cargo ARGS` in the folder of a package that a test has written. The package has the versions of this
/// workspace, and a warning is an error.
pub fn try_cargo(package: &Path, args: &[&str]) -> Output {
    fs::copy(Path::new(ROOT).join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let mut cargo = cargo(package, &written());
    cargo.args(args).arg("--quiet").env("RUSTFLAGS", "-Dwarnings").output().unwrap()
}

/// The target folder of all packages that tests write.
fn written() -> PathBuf {
    scratch().join("written")
}

fn cargo(package: &Path, target: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    cargo.current_dir(package).env("CARGO_TARGET_DIR", target);
    cargo
}
