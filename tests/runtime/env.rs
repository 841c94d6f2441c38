//! Arguments, variables and the auxiliary vector, as the program sees them.

use crate::harness::{Outcome, PROFILES, Profile, program, run};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

fn lines<'a>(outcome: &'a Outcome, kind: &'a str) -> impl Iterator<Item = &'a str> {
    outcome.stdout.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix(' '))
}

/// Runs the program with exactly these words in the kernel's block.
fn exec(profile: Profile, args: &[&str], vars: &[&str]) -> Outcome {
    let mut command = program(profile, "scenario");
    let path = CString::new(command.get_program().as_bytes()).unwrap();
    let strings =
        |words: &[&str]| -> Vec<CString> { words.iter().map(|&w| CString::new(w).unwrap()).collect() };
    let pointers = |strings: &[CString]| -> Vec<usize> {
        strings.iter().map(|s| s.as_ptr() as usize).chain([0]).collect()
    };
    let (args, vars) = (strings(args), strings(vars));
    let (argv, envp) = (pointers(&args), pointers(&vars));
    // SAFETY: one system call, on strings that the parent keeps until it has been made.
    unsafe {
        command.pre_exec(move || {
            libc::execve(path.as_ptr(), argv.as_ptr().cast(), envp.as_ptr().cast());
            Err(std::io::Error::last_os_error())
        });
    }
    run(&mut command)
}

#[test]
fn words_arrive_as_they_were_given() {
    let args = ["any name", "env", "", " two words ", "ümlaut", "-x=--", "="];
    let vars = ["A=1", "EMPTY=", "TWICE=a", "TWICE=b", "no equals sign", "=odd", "SP ACE= x "];
    for profile in PROFILES {
        let outcome = exec(profile, &args, &vars);
        outcome.exited(0);
        assert_eq!(lines(&outcome, "arg").collect::<Vec<_>>(), args);
        assert_eq!(lines(&outcome, "var").collect::<Vec<_>>(), vars);
        assert_eq!(lines(&outcome, "end").collect::<Vec<_>>(), ["7 7"]);
    }
}

#[test]
fn a_thousand_words_arrive() {
    let words: Vec<String> = (0..1000).map(|i| format!("word {i} {}", "w".repeat(i % 200))).collect();
    let args: Vec<&str> = ["name", "env"].into_iter().chain(words.iter().map(String::as_str)).collect();
    for profile in PROFILES {
        let outcome = exec(profile, &args, &args);
        assert_eq!(lines(&outcome, "arg").collect::<Vec<_>>(), args);
        assert_eq!(lines(&outcome, "var").collect::<Vec<_>>(), args);
    }
}

/// `execve` with neither. Since Linux 5.18 the kernel makes one empty argument of none.
#[test]
fn nothing_arrives_as_nothing() {
    for profile in PROFILES {
        let outcome = exec(profile, &[], &[]);
        outcome.exited(0);
        assert!(lines(&outcome, "arg").all(str::is_empty));
        assert_eq!(lines(&outcome, "var").count(), 0);
        assert_ne!(lines(&outcome, "aux").count(), 0);
        let end = lines(&outcome, "end").next().unwrap();
        assert!(["0 0", "1 0"].contains(&end), "{end}");
    }
}

#[test]
fn the_auxiliary_vector_is_the_kernels() {
    // SAFETY: these read this process's own numbers.
    let same = unsafe {
        let uid = u64::from(libc::getuid());
        let (page, ticks) = (libc::getauxval(libc::AT_PAGESZ), libc::getauxval(libc::AT_CLKTCK));
        [(libc::AT_PAGESZ, page), (libc::AT_UID, uid), (libc::AT_CLKTCK, ticks)]
    };
    for profile in PROFILES {
        let outcome = run(Command::new(program(profile, "scenario").get_program())
            .arg("env")
            .stdout(std::process::Stdio::piped()));
        let entries: Vec<(u64, u64)> = lines(&outcome, "aux")
            .map(|line| {
                let (key, value) = line.split_once(' ').unwrap();
                (key.parse().unwrap(), value.parse().unwrap())
            })
            .collect();
        for expected in same {
            assert!(entries.contains(&expected), "{expected:?} in {entries:?}");
        }
        let value = |key| entries.iter().find(|entry| entry.0 == key).map(|entry| entry.1);
        assert!(value(libc::AT_RANDOM).is_some_and(|address| address != 0));
        assert!(value(libc::AT_ENTRY).is_some_and(|address| address != 0));
        assert!(value(0).is_none(), "AT_NULL is the end, not an entry");
        let variables: Vec<String> =
            std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
        // Those of this process, which the child inherits, unless they have line breaks in them.
        for variable in variables.iter().filter(|v| !v.contains('\n')) {
            assert!(lines(&outcome, "var").any(|line| line == variable), "{variable}");
        }
    }
}
