//! The README's programs: every block of code is written to the file that the comment above it names,
//! built as a user would, outside this package, and run.

#[path = "support/again.rs"]
mod again;
#[path = "support/package.rs"]
mod package;

use again::again;
use package::{ROOT, build_written, run_cargo, scratch};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

const README: &str = include_str!("../README.md");

/// How long a program that was started may take for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// The blocks by their files: `<!-- package/path -->`, then the fence.
fn blocks() -> BTreeMap<&'static str, String> {
    let mut blocks = BTreeMap::new();
    let mut lines = README.lines();
    let mut named = None;
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: String =
                lines.by_ref().take_while(|line| *line != "```").flat_map(|l| [l, "\n"]).collect();
            match named.take() {
                Some(name) => assert!(blocks.insert(name, block).is_none(), "{name} is there twice"),
                None => assert_eq!(language, "sh", "a block without a file's name:\n{block}"),
            }
        } else {
            named = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        }
    }
    blocks
}

/// Replaces what must be there once.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from} in\n{text}");
    text.replace(from, to)
}

/// Writes the README's files of `package` into the folder `place`, where they depend on the crate as it is
/// here. A manifest that shows only dependencies gets the rest that `cargo new` writes.
fn write(package: &str, place: &str, changed: impl Fn(&str, String) -> String) -> PathBuf {
    let folder = scratch().join("readme").join(place);
    for (name, block) in blocks() {
        let Some(name) = name.strip_prefix(package).and_then(|name| name.strip_prefix('/')) else { continue };
        let mut content = changed(name, block);
        if name == "Cargo.toml" {
            let path = format!("path = {ROOT:?}");
            content = match content.contains("version = \"0.1\",") {
                true => replaced(&content, "version = \"0.1\"", &path),
                false => replaced(&content, "netpoll = \"0.1\"", &format!("netpoll = {{ {path} }}")),
            };
            if !content.contains("[package]") {
                content += &format!("[package]\nname = {place:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n");
            }
            content += "[workspace]\n";
        }
        package::write(&folder.join(name), &content);
    }
    folder
}

/// The profiles that recipe 1 knows.
const PROFILES: [&str; 3] = ["dev", "release", "small"];

/// A program of a test's, which ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first line that `child` prints.
fn first_line(child: &mut Child) -> String {
    let (tell, told) = mpsc::channel();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        let mut line = String::new();
        let _ = output.read_line(&mut line);
        tell.send(line)
    });
    told.recv_timeout(LIMIT).expect("nothing was printed")
}

fn assert_echoes(program: &Path) {
    let image = fs::read(program).unwrap();
    let loader = b"/ld-linux";
    assert!(!image.windows(loader.len()).any(|bytes| bytes == loader), "{program:?} is not static");

    let mut server = Running(Command::new(program).stdout(Stdio::piped()).spawn().unwrap());
    let line = first_line(&mut server.0);
    let addr = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
    let mut clients = [0; 3].map(|_| {
        let client = TcpStream::connect(addr).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client
    });
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate().rev() {
            let message = format!("client {number}, round {round}");
            client.write_all(message.as_bytes()).unwrap();
            let mut answer = vec![0; message.len()];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, message.as_bytes());
        }
    }
    clients[0].shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(again(|| clients[0].read(&mut [0])).unwrap(), 0, "the server closes behind the client's end");
}

#[test]
fn freestanding_package_runs_in_every_profile() {
    let package = write("echo", "echo", |name, block| match name {
        "src/main.rs" => replaced(&block, "127.0.0.1:9000", "127.0.0.1:0"), // no port is free for certain
        _ => block,
    });
    for profile in PROFILES {
        assert_echoes(&build_written(&package, "echo", profile, &[]));
    }
}

/// "`-static-pie` instead of `-static` makes a program that relocates itself."
#[test]
fn freestanding_package_runs_as_a_static_pie() {
    let package = write("echo", "echo-pie", |name, block| match name {
        "src/main.rs" => replaced(&block, "127.0.0.1:9000", "127.0.0.1:0"),
        "build.rs" => replaced(&block, "\"-static\"", "\"-static-pie\""),
        _ => block.replace("\"echo\"", "\"echo-pie\""),
    });
    for profile in PROFILES {
        assert_echoes(&build_written(&package, "echo-pie", profile, &[]));
    }
}

/// The tour has the manifest and link arguments of `echo`, too.
#[test]
fn tour_runs_on_one_thread_and_several() {
    let package = write("echo", "tour", |name, block| match name {
        "src/main.rs" => blocks()["tour/src/main.rs"].clone(),
        "Cargo.toml" => block.replace("\"echo\"", "\"tour\""),
        _ => block,
    });
    let program = build_written(&package, "tour", "release", &[]);
    for threads in ["1", "2"] {
        let output = Command::new(&program).env("NETPOLL_THREADS", threads).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let started = text.strip_prefix("42, on ").and_then(|rest| rest.strip_suffix(" threads\n"));
        assert!(output.status.success() && started.is_some(), "{threads}: {output:?}");
    }
}

/// "`alloc` works with a `#[global_allocator]` of yours": with the same manifest and link arguments.
#[test]
fn alloc_links_in_every_profile() {
    let package = write("echo", "alloc", |name, block| match name {
        "src/main.rs" => include_str!("readme/alloc.rs").to_owned(),
        "Cargo.toml" => block.replace("\"echo\"", "\"alloc-user\""),
        _ => block,
    });
    for profile in PROFILES {
        let output = Command::new(build_written(&package, "alloc-user", profile, &[]))
            .args(["a", "b c"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "<\"a\">,<\"b c\">\n", "{profile}: {output:?}");
    }
}

#[test]
fn embedder_takes_turns() {
    let output = run_cargo(&write("embedder", "embedder", |_, block| block), &["run"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "b 3\na 2\nb 1\n");
}

/// With all features, the runtime's too, beside std and dependencies that use it.
#[test]
fn embedder_takes_turns_beside_all_features() {
    let package = write("embedder", "embedder-all", |name, block| match name {
        "Cargo.toml" => {
            replaced(&block, "default-features = false", "features = [\"alloc\", \"httpd\"]")
                + &format!("libc = \"0.2\"\nwitness = {{ path = {:?} }}\n", Path::new(ROOT).join("witness"))
        }
        // Itself in a traced child: what it makes of calls is seen by a crate on std beside it.
        _ => {
            replaced(&block, "fn main() -> Result<(), Error> {", "fn run_all() -> Result<(), Error> {")
                + "fn main() {\n    let trace = witness::closure(|| run_all().unwrap()).unwrap();\n    \
               trace.assert_arg(\"epoll_pwait\", 4, 0);\n    trace.assert_never(\"clone\");\n}\n"
        }
    });
    let output = run_cargo(&package, &["run"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "b 3\na 2\nb 1\n");
}

#[test]
fn abi_test_passes() {
    let package = write("abi", "abi", |_, block| block);
    package::write(&package.join("src/lib.rs"), "");
    let output = run_cargo(&package, &["test", "--test", "abi"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("test result: ok. 2 passed"), "{text}");
}

#[test]
fn every_block_is_used() {
    let packages = ["abi/", "echo/", "embedder/", "tour/"];
    let unknown: Vec<_> =
        blocks().into_keys().filter(|name| !packages.iter().any(|p| name.starts_with(p))).collect();
    assert_eq!(unknown, [""; 0]);
    assert_eq!(blocks().len(), 8);
}

#[test]
fn every_program_is_in_the_table() {
    for entry in fs::read_dir(Path::new(ROOT).join("src/bin")).unwrap() {
        let program = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let row = |line: &str| {
            line.strip_prefix("| `")
                .is_some_and(|rest| rest.split(['`', ' ']).next() == Some(program.as_str()))
        };
        assert!(README.lines().any(row), "{program}");
    }
}

/// All Rust in the project, as one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &fs::read_to_string(path).unwrap();
        }
    }
}

/// The pieces of `page` in backquotes, outside of fences.
fn quoted(page: &str) -> Vec<&str> {
    page.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn names_on_the_pages_are_in_the_source() {
    let mut text = String::new();
    ["src", "arch", "tests"].iter().for_each(|folder| sources(&Path::new(ROOT).join(folder), &mut text));
    let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let pages = [include_str!("../ARCHITECTURE.md"), include_str!("README.md")];
    let (mut names, mut files) = (0, 0);
    for piece in pages.into_iter().flat_map(quoted) {
        if piece.contains('/') || piece.ends_with(".rs") {
            let there = |folder: &&str| Path::new(ROOT).join(folder).join(piece).exists();
            let found = ["", "src", "src/poll", "src/sched", "tests"].iter().any(there);
            assert!(found || piece.starts_with("target/"), "no file {piece}");
            files += 1;
        }
        // `Path::name`, with arguments or a `!` or without.
        let name = piece.split(['(', '!']).next().unwrap();
        let parts = name.split("::");
        if parts.clone().all(|part| part.chars().all(|c| c.is_alphanumeric() || c == '_')) {
            for part in parts {
                assert!(words.contains(part), "nothing is called {part} ({piece})");
            }
            names += 1;
        }
    }
    assert!(names > 100 && files > 30, "{names} names, {files} files");
}
