//! The runtime as its users meet it: freestanding programs of a package of their own
//! (`tests/programs`), each run as a process, judged by exit status, output and what it did.

#[path = "../support/activation.rs"]
mod activation;
#[path = "../support/again.rs"]
mod again;
#[macro_use]
mod harness;
mod conn;
mod deaths;
mod descriptors;
mod env;
mod fallbacks;
mod inherited;
mod kinds;
mod names;
mod net;
mod print;
#[path = "../support/refuse.rs"]
mod refuse;
mod safe;
mod sandbox;
mod sched;
mod serve;
mod signals;
mod syscalls;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// What the programs can do and nobody asks for would pass unseen.
#[test]
fn every_scenario_is_run() {
    fn read_all(dir: &Path, words: &mut HashSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_all(&path, words);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(path).unwrap();
                words.extend(text.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
            }
        }
    }

    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut asked = HashSet::new();
    for users in ["runtime", "sched", "faults"] {
        read_all(&tests.join(users), &mut asked);
    }
    let outcome = harness::run(&mut harness::scenario(harness::Profile::Release, "list"));
    let names = &outcome.exited(0).stdout;
    assert!(names.lines().count() > 200, "{names}");
    let missing: Vec<&str> = names.lines().filter(|&name| !asked.contains(name)).collect();
    assert!(missing.is_empty(), "not run: {missing:?}");
}
