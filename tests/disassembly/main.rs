//! What the compiler has made of the system calls: the wrappers instruction for instruction, and every `syscall`
//! of the release programs by its source. `tests/registers` proves the same by running them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use addr2line::Loader;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, InstructionInfoFactory, Mnemonic,
    NasmFormatter, OpAccess, OpKind, Register,
};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Builds `package` in release; where the programs are.
fn build(package: &Path, args: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disassembly");
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()))
        .args(["build", "--quiet", "--offline", "--release", "--target-dir"])
        .arg(&target)
        .args(args)
        // What the tests themselves are built with is none of the programs' business.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(package)
        .status()
        .unwrap();
    assert!(status.success());
    target.join("release")
}

fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build(Path::new(ROOT), &["--bins"]))
}

/// A function of the program that is only there to be looked at.
fn probe(name: &str) -> Vec<Instruction> {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let package = Path::new(ROOT).join("tests/disassembly/probe");
        // The versions that are here already, so that nothing is fetched.
        fs::copy(Path::new(ROOT).join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
        fs::read(build(&package, &[]).join("probe")).unwrap()
    });
    let elf = object::File::parse(&**file).unwrap();
    let symbol =
        elf.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap_or_else(|| panic!("no {name}"));
    let section = elf.section_by_index(symbol.section_index().unwrap()).unwrap();
    let code = section.data_range(symbol.address(), symbol.size()).unwrap().unwrap();
    Decoder::with_ip(64, code, symbol.address(), DecoderOptions::NONE).into_iter().collect()
}

fn text(code: &[Instruction]) -> String {
    let mut text = String::new();
    for instruction in code {
        NasmFormatter::new().format(instruction, &mut text);
        text.push('\n');
    }
    text
}

/// What must be true of each wrapper: it is straight, makes one system call, and leaves stack and memory alone.
/// Returns the registers that are written before the call, and the code as text.
fn check(name: &str) -> (BTreeSet<String>, String) {
    let code = probe(name);
    let text = text(&code);
    let count = |mnemonic| code.iter().filter(|i| i.mnemonic() == mnemonic).count();
    assert_eq!((count(Mnemonic::Syscall), count(Mnemonic::Ret)), (1, 1), "{name}:\n{text}");
    assert_eq!(code.last().unwrap().mnemonic(), Mnemonic::Ret, "{name}:\n{text}");
    let mut written = BTreeSet::new();
    let mut info = InstructionInfoFactory::new();
    let call = code.iter().position(|i| i.mnemonic() == Mnemonic::Syscall).unwrap();
    for (i, instruction) in code[..code.len() - 1].iter().enumerate() {
        // `syscall` itself counts as a call.
        assert!(i == call || instruction.flow_control() == FlowControl::Next, "{name} jumps:\n{text}");
        let info = info.info(instruction);
        let writes = |access| !matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
        assert!(info.used_memory().iter().all(|memory| !writes(memory.access())), "{name} stores:\n{text}");
        for register in info.used_registers().iter().filter(|register| writes(register.access())) {
            let whole = register.register().full_register();
            assert_ne!(whole, Register::RSP, "{name} moves the stack:\n{text}");
            // What the kernel leaves in them is nobody's business.
            if i < call {
                written.insert(format!("{whole:?}"));
            }
        }
    }
    (written, text)
}

#[test]
fn each_wrapper_is_one_system_call_and_nothing_else() {
    for arguments in 0..=6 {
        let (written, text) = check(&format!("probe_syscall{arguments}"));
        // C passes the fourth in rcx, which `syscall` overwrites: the kernel takes it from r10.
        assert_eq!(written.contains("R10"), arguments >= 4, "{text}");
        assert!(written.contains("RAX"), "{text}");
    }
}

/// Go's registers, of `runtime·epollwait`: 281 in eax, the timeout in r10, no mask in r8.
#[test]
fn epollwait_sets_the_registers_that_go_s_does() {
    let (written, text) = check("probe_epollwait");
    assert!(["RAX", "RDI", "RDX", "R10", "R8"].iter().all(|&register| written.contains(register)), "{text}");
    for line in ["mov eax,119h", "mov r10d,ecx", "xor r8d,r8d", "mov edi,edi", "mov edx,edx"] {
        assert!(text.lines().any(|instruction| instruction == line), "no {line} in\n{text}");
    }
    let (_, text) = check("probe_epoll_pwait2");
    for line in ["mov eax,1B9h", "xor r8d,r8d"] {
        assert!(text.lines().any(|instruction| instruction == line), "no {line} in\n{text}");
    }
    assert!(text.contains("mov r10,rcx\n"), "{text}"); // a pointer: all 64 bits
}

/// The lines of `arch` with the instruction, as `file:line`.
fn source_lines() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir(Path::new(ROOT).join("arch/x86_64")).unwrap() {
        let path = entry.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_str().unwrap();
        // Debug information names the line of `asm!`, or one in it.
        let mut start = 0;
        for (i, line) in source.lines().enumerate() {
            if line.contains("asm!(") {
                start = i;
            }
            if line.trim_start().starts_with("\"syscall\"") {
                lines.extend((start..=i).map(|i| format!("{file}:{}", i + 1)));
            }
        }
    }
    assert!(lines.len() > 10);
    lines
}

/// The instruction at `ip` is one of ours by its source; or, in a naked function, which has no lines, by its name.
fn check_place(program: &str, elf: &object::File, lines: &Loader, ip: u64, ours: &BTreeSet<String>) {
    let at = lines.find_location(ip).unwrap();
    if let Some((file, line)) = at.and_then(|at| Some((at.file?.to_owned(), at.line?))) {
        let (folder, name) = file.rsplit_once('/').unwrap();
        assert!(folder.ends_with("arch/x86_64"), "{program}: {file}:{line}");
        assert!(ours.contains(&format!("{name}:{line}")), "{program}: {name}:{line} is no system call");
    } else {
        let holds = |symbol: &object::Symbol| symbol.address() <= ip && ip < symbol.address() + symbol.size();
        let name = elf.symbols().find(holds).map(|symbol| symbol.name().unwrap().to_owned());
        assert!(
            name.as_ref().is_some_and(|name| name.contains("rt_sigreturn")),
            "{program}: {ip:#x}, {name:?}"
        );
    }
}

/// In the programs, no `syscall` is anybody else's, and there is no other way into the kernel.
#[test]
fn every_system_call_of_the_programs_is_ours() {
    let ours = source_lines();
    let mut seen = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("src/bin")).unwrap() {
        let program = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let path = programs().join(&program);
        let (file, lines) = (fs::read(&path).unwrap(), Loader::new(&path).unwrap());
        let elf = object::File::parse(&*file).unwrap();
        for section in elf.sections().filter(|section| section.kind() == SectionKind::Text) {
            let code = section.data().unwrap();
            for instruction in Decoder::with_ip(64, code, section.address(), DecoderOptions::NONE) {
                match instruction.mnemonic() {
                    Mnemonic::Syscall => {
                        check_place(&program, &elf, &lines, instruction.ip(), &ours);
                        seen += 1;
                    }
                    Mnemonic::Sysenter => panic!("{program}: sysenter at {:#x}", instruction.ip()),
                    Mnemonic::Int if instruction.op0_kind() == OpKind::Immediate8 => {
                        panic!("{program}: int at {:#x}", instruction.ip())
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(seen > 300, "only {seen} found");
}
