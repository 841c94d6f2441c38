//! `httpd` as the only program of a machine: process 1 on a Debian kernel, emulated by qemu without KVM. There is no
//! file but what it serves: no `/proc`, no `/etc`, no libc.

#[path = "support/package.rs"]
mod package;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

const QEMU: &str = "qemu-system-x86_64";

/// The kernel to boot: what `NETPOLL_KERNEL` names, or the system's own.
fn kernel() -> Option<PathBuf> {
    if let Some(path) = env::var_os("NETPOLL_KERNEL") {
        return Some(path.into());
    }
    let boot = fs::read_dir("/boot").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    boot.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz")))
        .max()
}

/// An archive as the kernel unpacks it at its start: cpio(5), "new ASCII format".
#[derive(Default)]
struct Cpio(Vec<u8>);

impl Cpio {
    const DIR: u32 = 0o040_755;
    const FILE: u32 = 0o100_755;

    fn add(mut self, name: &str, mode: u32, content: &[u8]) -> Cpio {
        let ino = self.0.len(); // never twice the same
        let fields = [ino, mode as usize, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        self.0.extend(b"070701");
        fields.iter().for_each(|field| self.0.extend(format!("{field:08x}").bytes()));
        self.0.extend(name.bytes().chain([0]));
        self.pad();
        self.0.extend(content);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn end(self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]).0
    }
}

#[test]
fn httpd_is_process_1_of_a_machine_of_its_own() {
    let (Some(kernel), Ok(_)) = (kernel(), Command::new(QEMU).arg("--version").output()) else {
        println!("skipped: needs {QEMU} and a kernel, in /boot or named by NETPOLL_KERNEL");
        return;
    };
    let archive = Cpio::default()
        .add("init", Cpio::FILE, &fs::read(package::build("release", &["-p", "init"]).join("init")).unwrap())
        .add("httpd", Cpio::FILE, &fs::read(env!("CARGO_BIN_EXE_httpd")).unwrap())
        .add("www", Cpio::DIR, &[])
        .add("www/hello", Cpio::FILE, b"hello from process 1\n")
        .add("dev", Cpio::DIR, &[])
        .end();
    let initrd = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pid1.cpio");
    fs::write(&initrd, archive).unwrap();
    boot(&kernel, &initrd, "");
    // The clock is a system call then.
    boot(&kernel, &initrd, "vdso=0");
}

/// Boots with more kernel `parameters`; the machine must say what it is to say, and switch itself off.
fn boot(kernel: &Path, initrd: &Path, parameters: &str) {
    let output = Command::new("timeout")
        .args(["600", QEMU, "-M", "pc,accel=tcg", "-cpu", "max", "-m", "256", "-smp", "2", "-nodefaults"])
        .args(["-no-reboot", "-nographic", "-serial", "stdio", "-append"])
        .arg(format!("console=ttyS0 quiet panic=-1 {parameters}"))
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(output.status.success(), "{text}");
    for line in [
        "httpd: serving /www on http://127.0.0.1:80",
        "HTTP/1.1 200 OK",
        "hello from process 1",
        "asked process 1",
    ] {
        assert!(text.lines().any(|printed| printed.trim_end().ends_with(line)), "no {line:?} in:\n{text}");
    }
}
