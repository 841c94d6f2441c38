//! Giving up rights, as far as nothing is given up: what is refused, and rules that nobody is put under. `sc` has no
//! numbers for landlock; there it makes the call, and libc has the number.

use std::ptr;

use netpoll::sys::sandbox::*;
use netpoll::sys::{Errno, sandbox};

use super::world::*;
use super::{BAD, Case, INVALID, NOT_OPEN, err, sys, table};

const CREATE: i64 = libc::SYS_landlock_create_ruleset;
const ADD: i64 = libc::SYS_landlock_add_rule;
const RESTRICT: i64 = libc::SYS_landlock_restrict_self;
const BENEATH: usize = 1;

const FILES: AccessFs = AccessFs::READ_FILE;

const fn attr(files: u64) -> RulesetAttr {
    RulesetAttr { fs: AccessFs::from_bits_retain(files), net: AccessNet::empty() }
}

/// The kernel's structures, as words: of rules, and of a rule for a directory.
#[repr(C)]
struct Words(u64, u64);
#[repr(C, packed)]
struct Rule(u64, i32);

fn at<T>(structure: &T) -> usize {
    ptr::from_ref(structure).expose_provenance()
}

/// One of landlock's calls by `sc`.
fn sc4(nr: i64, a: usize, b: usize, c: usize) -> Outcome {
    // SAFETY: as in the table: pointers are null, or to structures that outlive the call.
    unsafe { netpoll::sys::result(sc::syscall4(nr as usize, a, b, c, 0)) }.outcome()
}

fn c_version() -> Outcome {
    // SAFETY: this operation takes no structure.
    c(unsafe { libc::syscall(CREATE, 0, 0, 1) })
}

fn c_restrict(rules: i32) -> Outcome {
    // SAFETY: numbers only.
    c(unsafe { libc::syscall(RESTRICT, rules, 0) })
}

fn c_rules(w: &World) -> i64 {
    let rules = Words(FILES.bits(), 0);
    // SAFETY: the kernel reads the structure.
    let fd = unsafe { libc::syscall(CREATE, at(&rules), 16, 0) };
    w.new_fd(fd);
    fd
}

fn seccomp_set_mode_filter(flags: SeccompFlags, program: &[SockFilter]) -> Result<i32, Errno> {
    // SAFETY: the cases fail.
    unsafe { sandbox::seccomp_set_mode_filter(flags, program) }
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    // Without landlock every call of it says that.
    let there = |outcome| if c_version() < 0 { c_version() } else { outcome };
    table! {
        "seccomp without instructions" => INVALID; |_|
            seccomp_set_mode_filter(SeccompFlags::empty(), &[]).outcome();
            sys!(SECCOMP, 1, 0, at(&Words(0, 0)));
            c(libc::syscall(libc::SYS_seccomp, 1, 0, at(&Words(0, 0))));
        "seccomp with too many instructions" => INVALID; |_|
            seccomp_set_mode_filter(SeccompFlags::empty(), &[SockFilter::ALLOW; 4097]).outcome();
            sys!(SECCOMP, 1, 0, at(&Words(4097, 8)));
            c(libc::syscall(libc::SYS_seccomp, 1, 0, at(&Words(4097, 8))));
        "seccomp with an unknown flag" => INVALID; |_|
            seccomp_set_mode_filter(SeccompFlags::from_bits_retain(1 << 31), &[SockFilter::ALLOW]).outcome();
            sys!(SECCOMP, 1, 1u32 << 31, at(&Words(1, 8)));
            c(libc::syscall(libc::SYS_seccomp, 1, 1u32 << 31, at(&Words(1, 8))));
        "version of landlock" => c_version(); |_|
            landlock_version().outcome();
            sc4(CREATE, 0, 0, 1);
            c_version();
        "rules" => there(0); |w|
            w.new_fd(landlock_create_ruleset(&attr(FILES.bits())).outcome());
            w.new_fd(sc4(CREATE, at(&Words(FILES.bits(), 0)), 16, 0));
            w.new_fd(c(libc::syscall(CREATE, at(&Words(FILES.bits(), 0)), 16, 0)));
        "rules of nothing" => there(err(Errno::ENOMSG)); |_|
            landlock_create_ruleset(&attr(0)).outcome();
            sc4(CREATE, at(&Words(0, 0)), 16, 0);
            c(libc::syscall(CREATE, at(&Words(0, 0)), 16, 0));
        "rules of an unknown access" => there(INVALID); |_|
            landlock_create_ruleset(&attr(1 << 63)).outcome();
            sc4(CREATE, at(&Words(1 << 63, 0)), 16, 0);
            c(libc::syscall(CREATE, at(&Words(1 << 63, 0)), 16, 0));
        "a rule for no rules" => there(NOT_OPEN); |w|
            landlock_add_path_beneath(BAD, FILES, w.dir).outcome();
            sc4(ADD, BAD as usize, BENEATH, at(&Rule(FILES.bits(), w.dir)));
            c(libc::syscall(ADD, BAD, BENEATH, at(&Rule(FILES.bits(), w.dir)), 0));
        "a rule for a file instead of rules" => there(err(Errno::EBADFD)); |w|
            landlock_add_path_beneath(w.file, FILES, w.dir).outcome();
            sc4(ADD, w.file as usize, BENEATH, at(&Rule(FILES.bits(), w.dir)));
            c(libc::syscall(ADD, w.file, BENEATH, at(&Rule(FILES.bits(), w.dir)), 0));
        "a rule" => there(0); |w|
            landlock_add_path_beneath(c_rules(w) as i32, FILES, w.dir).outcome();
            sc4(ADD, c_rules(w) as usize, BENEATH, at(&Rule(FILES.bits(), w.dir)));
            c(libc::syscall(ADD, c_rules(w), BENEATH, at(&Rule(FILES.bits(), w.dir)), 0));
        "a rule of which the rules do not speak" => there(INVALID); |w|
            landlock_add_path_beneath(c_rules(w) as i32, AccessFs::READ_DIR, w.dir).outcome();
            sc4(ADD, c_rules(w) as usize, BENEATH, at(&Rule(AccessFs::READ_DIR.bits(), w.dir)));
            c(libc::syscall(ADD, c_rules(w), BENEATH, at(&Rule(AccessFs::READ_DIR.bits(), w.dir)), 0));
        "a rule for a directory that is not open" => there(NOT_OPEN); |w|
            landlock_add_path_beneath(c_rules(w) as i32, FILES, BAD).outcome();
            sc4(ADD, c_rules(w) as usize, BENEATH, at(&Rule(FILES.bits(), BAD)));
            c(libc::syscall(ADD, c_rules(w), BENEATH, at(&Rule(FILES.bits(), BAD)), 0));
        // EPERM without the right to do it, EBADF with it.
        "put under no rules" => c_restrict(BAD); |_|
            landlock_restrict_self(BAD).outcome();
            sc4(RESTRICT, BAD as usize, 0, 0);
            c_restrict(BAD);
    }
}
