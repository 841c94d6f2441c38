//! The poller in other people's event loops (`tests/embedder/`): an interpreter on std, and a C program that knows no
//! more than a header.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PROFILES: [(&str, &str); 2] = [("dev", "debug"), ("release", "release")];

/// Builds the packages; where their files are.
fn build((profile, folder): (&str, &str)) -> PathBuf {
    let package = Path::new(ROOT).join("tests/embedder");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("embedder");
    // The versions that are here already, so that nothing is fetched.
    fs::copy(Path::new(ROOT).join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()))
        .args(["build", "--quiet", "--offline", "--workspace", "--profile", profile, "--target-dir"])
        .arg(&target)
        .env("RUSTFLAGS", "-Dwarnings")
        .current_dir(package)
        .status()
        .unwrap();
    assert!(status.success());
    target.join(folder)
}

/// Runs `command`, which must end well within half a minute; what it prints.
fn printed(command: &mut Command) -> String {
    let output = Command::new("timeout")
        .arg("30")
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn interpreted_programs_take_turns() {
    for profile in PROFILES {
        let text = printed(&mut Command::new(build(profile).join("interpreter")));
        assert_eq!(text, "echo 42\nb 4\na 3\nb 2\na 1\nb 0\n0 waiters\n", "{profile:?}");
    }
}

#[test]
fn a_c_program_polls() {
    if Command::new("cc").arg("--version").output().is_err() {
        println!("skipped: no C compiler");
        return;
    }
    for profile in PROFILES {
        let folder = build(profile);
        let program = folder.join("echo_c");
        let c = Path::new(ROOT).join("tests/embedder/c");
        let output = Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-O2", "-pthread", "-o"])
            .args([&program, &c.join("echo.c"), &folder.join("libnetpoll_c.a")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = printed(Command::new(&program).arg("200"));
        assert_eq!(text, "200 connections, 100 rounds, 100 deadlines\n", "{profile:?}");
    }
}
