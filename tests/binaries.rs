//! The freestanding programs as files (read with our own eyes: the ELF headers of `elf(5)`), and how
//! the smallest of them starts.

#[path = "support/package.rs"]
mod package;

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::{env, fs, io, ptr};

/// What the programs may weigh in profile `small`, in bytes. Others in `src/bin` have no limit.
const BUDGETS: [(&str, u64); 4] = [
    ("tiny", 1000),
    ("hello", (8 << 10) + 768), // of which 1 KiB reports faults, with the task and where it was spawned
    ("hello_pie", (9 << 10) + 512), // a dynamic section, RELR, and what relocates them
    ("echo", (25 << 10) + 256),
];

const LINE: &str = "tiny: no libc, no runtime\n";

// The files

/// The fields of an ELF file that the tests look at.
struct Elf {
    kind: u16,
    machine: u16,
    segments: Vec<Segment>,
    /// Flags of the sections, by name.
    sections: BTreeMap<String, u64>,
    /// The names of symbols that no section defines.
    undefined: Vec<String>,
}

struct Segment {
    kind: u32,
    flags: u32,
}

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const SHF_WRITE: u64 = 1;
const SHF_EXECINSTR: u64 = 4;
const SHT_SYMTAB: u32 = 2;
const SHT_DYNSYM: u32 = 11;

impl Elf {
    fn read(path: &Path) -> Elf {
        let file = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(&file[..6], b"\x7fELF\x02\x01", "64 bits, little endian");
        let number = |at: usize, size: usize| {
            file[at..at + size].iter().rev().fold(0u64, |sum, &byte| sum << 8 | byte as u64)
        };
        let word = |at| number(at, 8) as usize;
        let half = |at| number(at, 2) as usize;
        let name = |table: usize, at: usize| {
            let bytes = CStr::from_bytes_until_nul(&file[table + at..]).unwrap();
            bytes.to_str().unwrap().to_owned()
        };

        let segments = (0..half(56))
            .map(|i| word(32) + i * half(54))
            .map(|at| Segment { kind: number(at, 4) as u32, flags: number(at + 4, 4) as u32 });
        let section_at = |i: usize| word(40) + i * half(58);
        let content_of = |i: usize| word(section_at(i) + 24);
        let names = if half(60) == 0 { 0 } else { content_of(half(62)) };
        let mut sections = BTreeMap::new();
        let mut undefined = Vec::new();
        for i in 0..half(60) {
            let at = section_at(i);
            sections.insert(name(names, number(at, 4) as usize), number(at + 8, 8));
            if [SHT_SYMTAB, SHT_DYNSYM].contains(&(number(at + 4, 4) as u32)) {
                let strings = content_of(number(at + 40, 4) as usize);
                // The first symbol is always empty.
                for symbol in (word(at + 24)..word(at + 24) + word(at + 32)).step_by(24).skip(1) {
                    if half(symbol + 6) == 0 {
                        undefined.push(name(strings, number(symbol, 4) as usize));
                    }
                }
            }
        }
        Elf {
            kind: half(16) as u16,
            machine: half(18) as u16,
            segments: segments.collect(),
            sections,
            undefined,
        }
    }

    fn check(&self, program: &str) {
        let expected = if program == "hello_pie" { ET_DYN } else { ET_EXEC };
        assert_eq!((self.kind, self.machine), (expected, EM_X86_64), "{program}");
        let loads = || self.segments.iter().filter(|segment| segment.kind == PT_LOAD);
        assert!(
            self.segments.iter().all(|segment| segment.kind != PT_INTERP),
            "{program} has an interpreter"
        );
        assert!(loads().any(|segment| segment.flags & PF_X != 0), "{program} has no code");
        for segment in &self.segments {
            let both = segment.flags & (PF_W | PF_X);
            assert_ne!(both, PF_W | PF_X, "{program}: segment {:#x} is writable code", segment.kind);
        }
        assert!(loads().filter(|segment| segment.flags & PF_W != 0).count() <= 1, "{program}");
        let stack = self.segments.iter().find(|segment| segment.kind == PT_GNU_STACK);
        assert!(stack.is_some_and(|stack| stack.flags & PF_X == 0), "{program}: executable stack");
        // Profile `small` keeps no section headers, where the linker can do without.
        if let Some(text) = self.sections.get(".text") {
            assert_eq!(text & (SHF_WRITE | SHF_EXECINSTR), SHF_EXECINSTR, "{program}: .text");
        }
        assert_eq!(self.undefined, [""; 0], "{program}: undefined symbols");
    }
}

/// The names of the programs.
fn programs() -> Vec<String> {
    let programs: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(programs.iter().any(|name| name == "tiny"));
    programs
}

/// Where cargo put the programs for this test, in its own profile.
fn here() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tiny")).parent().unwrap()
}

/// Where the programs lie in profile `small`: built once, apart from what cargo holds locked now.
fn small() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| package::build("small", &["--bins"]))
}

#[test]
fn programs_are_static_files_with_nothing_missing() {
    for program in programs() {
        let elf = Elf::read(&here().join(&program));
        assert!(elf.sections.contains_key(".symtab"), "without symbols this test would see nothing");
        elf.check(&program);
        Elf::read(&small().join(&program)).check(&program);
    }
}

#[test]
fn small_programs_keep_their_budgets() {
    let programs = programs();
    let mut seen = 0;
    for (program, budget) in BUDGETS.iter().filter(|entry| programs.iter().any(|name| name == entry.0)) {
        let size = fs::metadata(small().join(program)).unwrap().len();
        println!("{program}: {size} of {budget} bytes");
        assert!(size <= *budget, "{program} has {size} bytes, more than {budget}");
        seen += 1;
    }
    assert!(seen >= 1);
}

/// An ordinary program of the system is told from ours: the reader above does see what it looks for.
#[test]
fn the_checks_do_fail_on_a_dynamic_program() {
    let elf = Elf::read(&env::current_exe().unwrap());
    assert!(elf.segments.iter().any(|segment| segment.kind == PT_INTERP));
    assert!(elf.undefined.iter().any(|name| name.starts_with("write") || name.starts_with("memcpy")));
}

// How they start

/// Programs that print a line and end.
const LINES: [(&str, &str); 3] = [("tiny", LINE), ("hello", "hello\n"), ("hello_pie", "hello\n")];

/// Runs `program` of both profiles after `prepare` has run in the child.
fn run(program: &str, prepare: fn() -> io::Result<()>) -> [Output; 2] {
    [here(), small()].map(|folder| {
        let mut command = Command::new(folder.join(program));
        command.stdin(Stdio::null());
        // SAFETY: the functions below make system calls only.
        unsafe { command.pre_exec(prepare) };
        command.output().unwrap()
    })
}

/// Every program prints its line, in both profiles, after `prepare`.
fn print_their_lines(prepare: fn() -> io::Result<()>) {
    for (program, line) in LINES {
        for output in run(program, prepare) {
            assert_eq!(output.status.code(), Some(0), "{program}: {output:?}");
            assert_eq!((output.stdout, output.stderr), (line.into(), vec![]), "{program}");
        }
    }
}

fn close(descriptors: &[i32]) {
    for &descriptor in descriptors {
        // SAFETY: the child's own, which nothing uses between here and exec.
        unsafe { libc::close(descriptor) };
    }
}

#[test]
fn programs_print_their_lines() {
    print_their_lines(|| Ok(()));
}

#[test]
fn programs_run_without_stdin_and_stderr() {
    print_their_lines(|| {
        close(&[0, 2]);
        Ok(())
    });
}

#[test]
fn tiny_without_any_descriptor_fails_and_does_not_crash() {
    for output in run("tiny", || {
        close(&[0, 1, 2]);
        Ok(())
    }) {
        assert_eq!((output.status.code(), output.status.signal()), (Some(1), None));
        assert_eq!((output.stdout, output.stderr), (vec![], vec![]));
    }
}

#[test]
fn programs_run_with_an_unlimited_stack() {
    print_their_lines(|| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: getrlimit(2) fills `limit`.
        unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) };
        limit.rlim_cur = limit.rlim_max; // unlimited, or as near to it as we may go
        // SAFETY: setrlimit(2) reads `limit`.
        match unsafe { libc::setrlimit(libc::RLIMIT_STACK, &limit) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    });
}

#[test]
fn tiny_runs_without_arguments_and_environment() {
    // Not even a name: the kernel gives an empty one since Linux 5.18, and none before.
    for folder in [here(), small()] {
        let path = folder.join("tiny").into_os_string().into_encoded_bytes();
        let path = std::ffi::CString::new(path).unwrap();
        let mut command = Command::new("/proc/self/exe");
        // SAFETY: execve(2) takes two empty lists; it returns only on failure.
        unsafe {
            command.pre_exec(move || {
                let none = [ptr::null()];
                libc::execve(path.as_ptr(), none.as_ptr(), none.as_ptr());
                Err(io::Error::last_os_error())
            })
        };
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(0), LINE.into()));
    }
}
