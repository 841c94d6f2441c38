//! A list of calls as a program for seccomp(2).

use crate::names;

/// Allows some system calls; any other kills the process (`SIGSYS`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    numbers: Vec<u32>,
}

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;

impl Filter {
    /// Allows the calls with these numbers, which are compared in this order.
    pub fn allow(numbers: impl IntoIterator<Item = u32>) -> Filter {
        let mut unique = Vec::new();
        for nr in numbers {
            if !unique.contains(&nr) {
                unique.push(nr);
            }
        }
        Filter { numbers: unique }
    }

    /// The numbers.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The classic BPF program. For another architecture, as 32-bit calls, it kills too: their numbers mean
    /// other calls.
    pub fn program(&self) -> Vec<libc::sock_filter> {
        let instruction = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        let load = |at| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
        let skip_if = |k, yes, no| instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, yes, no, k);
        let answer = |k| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, k);
        // struct seccomp_data: nr at 0, arch at 4.
        let mut program =
            vec![load(4), skip_if(X86_64, 1, 0), answer(libc::SECCOMP_RET_KILL_PROCESS), load(0)];
        for &nr in &self.numbers {
            program.extend([skip_if(nr, 0, 1), answer(libc::SECCOMP_RET_ALLOW)]);
        }
        program.push(answer(libc::SECCOMP_RET_KILL_PROCESS));
        program
    }

    /// The program as the bytes of an array of `struct sock_filter`, as `bwrap --seccomp` reads it.
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = |i: libc::sock_filter| {
            let [a, b] = i.code.to_ne_bytes();
            let [w, x, y, z] = i.k.to_ne_bytes();
            [a, b, i.jt, i.jf, w, x, y, z]
        };
        self.program().into_iter().flat_map(bytes).collect()
    }

    /// The numbers as a Rust array, a line with the name for each.
    pub fn source(&self) -> String {
        let lines: String =
            self.numbers.iter().map(|&nr| format!("    {nr}, // {}\n", names::call(nr.into()))).collect();
        format!("[\n{lines}]\n")
    }
}
