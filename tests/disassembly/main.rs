//! What the compiler has made of the system calls: the wrappers instruction for instruction, and every `syscall`
//! of the release programs by its source. `tests/registers` proves the same by running them.

#[path = "../support/package.rs"]
mod package;

use package::ROOT;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use addr2line::Loader;
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, Instruction, InstructionInfoFactory, Mnemonic,
    NasmFormatter, OpAccess, OpKind, Register,
};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| package::build("release", &["--bins"]))
}

/// The programs that are only there to be looked at.
fn probes() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| package::build("release", &["-p", "probe"]))
}

/// A function of theirs.
fn probe(name: &str) -> Vec<Instruction> {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    let file = FILE.get_or_init(|| fs::read(probes().join("probe")).unwrap());
    let elf = object::File::parse(&**file).unwrap();
    let symbol =
        elf.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap_or_else(|| panic!("no {name}"));
    let section = elf.section_by_index(symbol.section_index().unwrap()).unwrap();
    decode(section.data_range(symbol.address(), symbol.size()).unwrap().unwrap(), symbol.address())
}

fn decode(code: &[u8], ip: u64) -> Vec<Instruction> {
    Decoder::with_ip(64, code, ip, DecoderOptions::NONE).into_iter().collect()
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
/// Returns the registers that are written before the call, or what is wrong.
fn look(code: &[Instruction]) -> Result<BTreeSet<String>, &'static str> {
    let count = |mnemonic| code.iter().filter(|i| i.mnemonic() == mnemonic).count();
    let ends = code.last().is_some_and(|last| last.mnemonic() == Mnemonic::Ret);
    if (count(Mnemonic::Syscall), count(Mnemonic::Ret), ends) != (1, 1, true) {
        return Err("not one system call and a return");
    }
    let mut written = BTreeSet::new();
    let mut info = InstructionInfoFactory::new();
    let call = code.iter().position(|i| i.mnemonic() == Mnemonic::Syscall).unwrap();
    for (i, instruction) in code[..code.len() - 1].iter().enumerate() {
        // `syscall` itself counts as a call.
        if i != call && instruction.flow_control() != FlowControl::Next {
            return Err("it jumps");
        }
        let info = info.info(instruction);
        let writes = |access| !matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
        if info.used_memory().iter().any(|memory| writes(memory.access())) {
            return Err("it stores");
        }
        for register in info.used_registers().iter().filter(|register| writes(register.access())) {
            let whole = register.register().full_register();
            if whole == Register::RSP {
                return Err("it moves the stack");
            }
            // What the kernel leaves in them is nobody's business.
            if i < call {
                written.insert(format!("{whole:?}"));
            }
        }
    }
    Ok(written)
}

/// The registers, and the code as text.
#[track_caller]
fn check(name: &str) -> (BTreeSet<String>, String) {
    let code = probe(name);
    let text = text(&code);
    (look(&code).unwrap_or_else(|wrong| panic!("{name}: {wrong}:\n{text}")), text)
}

/// What of Go's registers `code` does not set.
fn missing_of_go_s(written: &BTreeSet<String>, text: &str) -> Vec<&'static str> {
    let registers = ["RAX", "RDI", "RDX", "R10", "R8"].into_iter().filter(|&name| !written.contains(name));
    let lines = ["mov eax,119h", "mov r10d,ecx", "xor r8d,r8d", "mov edi,edi", "mov edx,edx"].into_iter();
    registers.chain(lines.filter(|line| !text.lines().any(|instruction| instruction == *line))).collect()
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
    assert_eq!(missing_of_go_s(&written, &text), [""; 0], "{text}");
    let (_, text) = check("probe_epoll_pwait2");
    for line in ["mov eax,1B9h", "xor r8d,r8d"] {
        assert!(text.lines().any(|instruction| instruction == line), "no {line} in\n{text}");
    }
    assert!(text.contains("mov r10,rcx\n"), "{text}"); // a pointer: all 64 bits
}

/// Each of these is wrong in one way, which is seen.
#[test]
fn wrong_wrappers_are_found() {
    const CALL: &[u8] = &[0x0f, 0x05];
    const RET: &[u8] = &[0xc3];
    for (wrong, code) in [
        ("not one system call and a return", &[RET][..]),
        ("not one system call and a return", &[CALL, CALL, RET]),
        ("not one system call and a return", &[CALL]),
        ("it jumps", &[&[0xe8, 0, 0, 0, 0], CALL, RET]), // call
        ("it jumps", &[&[0x74, 0x02], CALL, RET]),       // je
        ("it stores", &[CALL, &[0x48, 0x89, 0x07], RET]), // mov [rdi],rax
        ("it moves the stack", &[&[0x48, 0x83, 0xec, 0x08], CALL, RET]), // sub rsp,8
    ] {
        let code = decode(&code.concat(), 0);
        assert_eq!(look(&code), Err(wrong), "{}", text(&code));
    }
    // `epollwait` as it should be, and without each of its instructions.
    let right: [&[u8]; 5] = [
        &[0xb8, 0x19, 0x01, 0, 0], // mov eax,281
        &[0x41, 0x89, 0xca],       // mov r10d,ecx
        &[0x45, 0x31, 0xc0],       // xor r8d,r8d
        &[0x89, 0xff],             // mov edi,edi
        &[0x89, 0xd2],             // mov edx,edx
    ];
    let missing = |parts: &[&[u8]]| {
        let code = decode(&[&parts.concat(), CALL, RET].concat(), 0);
        missing_of_go_s(&look(&code).unwrap(), &text(&code))
    };
    assert_eq!(missing(&right), [""; 0]);
    for (without, register) in ["RAX", "R10", "R8", "RDI", "RDX"].iter().enumerate() {
        let rest: Vec<&[u8]> = (0..5).filter(|&part| part != without).map(|part| right[part]).collect();
        assert!(missing(&rest).contains(register), "{register}");
    }
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

/// What is wrong with the place of the instruction at `ip`, which is to be one of ours by its source; or, in a naked
/// function, which has no lines, by its name.
fn foreign_place(elf: &object::File, lines: &Loader, ip: u64, ours: &BTreeSet<String>) -> Option<String> {
    let at = lines.find_location(ip).unwrap();
    if let Some((file, line)) = at.and_then(|at| Some((at.file?.to_owned(), at.line?))) {
        let (folder, name) = file.rsplit_once('/').unwrap();
        let is_ours = folder.ends_with("arch/x86_64") && ours.contains(&format!("{name}:{line}"));
        (!is_ours).then(|| format!("syscall at {file}:{line}"))
    } else {
        let holds = |symbol: &object::Symbol| symbol.address() <= ip && ip < symbol.address() + symbol.size();
        let name = elf.symbols().find(holds).map(|symbol| symbol.name().unwrap().to_owned());
        let is_ours = name.as_ref().is_some_and(|name| name.contains("rt_sigreturn"));
        (!is_ours).then(|| format!("syscall at {ip:#x}, {name:?}"))
    }
}

/// How many system calls a program has, and which ways into the kernel are none of ours.
fn ways_into_the_kernel(path: &Path, ours: &BTreeSet<String>) -> (usize, Vec<String>) {
    let (file, lines) = (fs::read(path).unwrap(), Loader::new(path).unwrap());
    let elf = object::File::parse(&*file).unwrap();
    let (mut seen, mut foreign) = (0, Vec::new());
    for section in elf.sections().filter(|section| section.kind() == SectionKind::Text) {
        for instruction in
            Decoder::with_ip(64, section.data().unwrap(), section.address(), DecoderOptions::NONE)
        {
            let ip = instruction.ip();
            match instruction.mnemonic() {
                Mnemonic::Syscall => {
                    foreign.extend(foreign_place(&elf, &lines, ip, ours));
                    seen += 1;
                }
                Mnemonic::Sysenter => foreign.push(format!("sysenter at {ip:#x}")),
                Mnemonic::Int if instruction.op0_kind() == OpKind::Immediate8 => {
                    foreign.push(format!("int at {ip:#x}"))
                }
                _ => {}
            }
        }
    }
    (seen, foreign)
}

/// In the programs, no `syscall` is anybody else's, and there is no other way into the kernel.
#[test]
fn every_system_call_of_the_programs_is_ours() {
    let ours = source_lines();
    let mut all = 0;
    for entry in fs::read_dir(Path::new(ROOT).join("src/bin")).unwrap() {
        let program = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let (seen, foreign) = ways_into_the_kernel(&programs().join(&program), &ours);
        assert!(foreign.is_empty(), "{program}: {foreign:?}");
        all += seen;
    }
    assert!(all > 300, "only {all} found");
}

#[test]
fn a_system_call_of_somebody_else_s_is_found() {
    let (_, foreign) = ways_into_the_kernel(&probes().join("foreign"), &source_lines());
    assert_eq!(foreign.len(), 2, "{foreign:?}");
    assert!(foreign[0].contains("foreign.rs:") && foreign[1].starts_with("int at "), "{foreign:?}");
}
