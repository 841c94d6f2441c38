//! Files and directories by path.

use std::mem::{MaybeUninit, zeroed};

use netpoll::sys::Errno;
use netpoll::sys::fs::*;

use super::world::*;
use super::{Case, INVALID, NOT_OPEN, err, sys, table};

fn c_stat() -> libc::stat {
    // SAFETY: integers, for which zeros are a value.
    unsafe { zeroed() }
}

/// How many records getdents64(2) wrote to the first `len` bytes.
fn records(bytes: &[u8], len: Outcome) -> Outcome {
    let (mut at, mut count) = (0, 0);
    while at < len as usize {
        at += usize::from(u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]));
        count += 1;
    }
    count
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    const BENEATH: OpenHow = OpenHow::new(OFlags::empty(), 0, ResolveFlags::BENEATH);
    table! {
        "openat, missing" => err(Errno::ENOENT); |w|
            openat(w.dir, c"missing", OFlags::empty(), 0).outcome();
            sys!(OPENAT, w.dir, c"missing".as_ptr(), 0, 0);
            c(libc::openat(w.dir, c"missing".as_ptr(), 0));
        "openat, nothing" => err(Errno::ENOENT); |w|
            openat(w.dir, c"", OFlags::empty(), 0).outcome();
            sys!(OPENAT, w.dir, c"".as_ptr(), 0, 0);
            c(libc::openat(w.dir, c"".as_ptr(), 0));
        "openat, no directory" => err(Errno::ENOTDIR); |w|
            openat(w.file, c"a", OFlags::empty(), 0).outcome();
            sys!(OPENAT, w.file, c"a".as_ptr(), 0, 0);
            c(libc::openat(w.file, c"a".as_ptr(), 0));
        "openat, dir not open" => NOT_OPEN; |_|
            openat(-1, c"a", OFlags::empty(), 0).outcome();
            sys!(OPENAT, -1isize, c"a".as_ptr(), 0, 0);
            c(libc::openat(-1, c"a".as_ptr(), 0));
        "openat, working directory" => 0; |w|
            w.new_fd(openat(AT_FDCWD, c".", OFlags::PATH, 0).outcome());
            w.new_fd(sys!(OPENAT, -100isize, c".".as_ptr(), libc::O_PATH, 0));
            w.new_fd(c(libc::openat(-100, c".".as_ptr(), libc::O_PATH)));
        "openat, link not followed" => err(Errno::ELOOP); |w|
            openat(w.dir, c"link", OFlags::NOFOLLOW, 0).outcome();
            sys!(OPENAT, w.dir, c"link".as_ptr(), libc::O_NOFOLLOW, 0);
            c(libc::openat(w.dir, c"link".as_ptr(), libc::O_NOFOLLOW));
        "openat2, out of the directory" => err(Errno::EXDEV); |w|
            openat2(w.dir, c"..", &BENEATH).outcome();
            sys!(OPENAT2, w.dir, c"..".as_ptr(), [0u64, 0, 8].as_ptr(), 24);
            c(libc::syscall(libc::SYS_openat2, w.dir, c"..".as_ptr(), [0u64, 0, 8].as_ptr(), 24usize));
        "openat2, inside" => 0; |w|
            w.new_fd(openat2(w.dir, c"./file", &BENEATH).outcome());
            w.new_fd(sys!(OPENAT2, w.dir, c"./file".as_ptr(), [0u64, 0, 8].as_ptr(), 24));
            w.new_fd(c(libc::syscall(libc::SYS_openat2, w.dir, c"./file".as_ptr(), [0u64, 0, 8].as_ptr(), 24usize)));
        "fstat -1" => NOT_OPEN; |_|
            fstat(-1).map(drop).outcome();
            sys!(FSTAT, -1isize, [c_stat()].as_mut_ptr());
            c(libc::fstat(-1, &mut c_stat()));
        "fstat, size" => 10; |w|
            fstat(w.file).map(|s| s.size() as usize).outcome();
            { let mut s = c_stat(); sys!(FSTAT, w.file, &raw mut s) + s.st_size };
            { let mut s = c_stat(); c(libc::fstat(w.file, &mut s)) + s.st_size };
        "newfstatat, missing" => err(Errno::ENOENT); |w|
            newfstatat(w.dir, c"missing", AtFlags::empty()).map(drop).outcome();
            sys!(NEWFSTATAT, w.dir, c"missing".as_ptr(), [c_stat()].as_mut_ptr(), 0);
            c(libc::fstatat(w.dir, c"missing".as_ptr(), &mut c_stat(), 0));
        "newfstatat, the link itself" => 4; |w|
            newfstatat(w.dir, c"link", AtFlags::SYMLINK_NOFOLLOW).map(|s| s.size() as usize).outcome();
            { let mut s = c_stat(); sys!(NEWFSTATAT, w.dir, c"link".as_ptr(), &raw mut s, libc::AT_SYMLINK_NOFOLLOW) + s.st_size };
            { let mut s = c_stat(); c(libc::fstatat(w.dir, c"link".as_ptr(), &mut s, libc::AT_SYMLINK_NOFOLLOW)) + s.st_size };
        "getdents64 of a file" => err(Errno::ENOTDIR); |w|
            getdents64(w.file, &mut [0; 64]).map(drop).outcome();
            sys!(GETDENTS64, w.file, [0u8; 64].as_mut_ptr(), 64);
            c(libc::syscall(libc::SYS_getdents64, w.file, [0u8; 64].as_mut_ptr(), 64usize));
        "getdents64, entries" => 4; |w|
            getdents64(w.dir, &mut [0; 1024]).map(|e| e.count()).outcome();
            { let mut b = [0u8; 1024]; let n = sys!(GETDENTS64, w.dir, b.as_mut_ptr(), 1024); records(&b, n) };
            { let mut b = [0u8; 1024]; let n = c(libc::syscall(libc::SYS_getdents64, w.dir, b.as_mut_ptr(), 1024usize)); records(&b, n) };
        "getdents64, the end" => 0; |w|
            getdents64(w.dir, &mut [0; 1024]).map(|e| e.count()).outcome();
            sys!(GETDENTS64, w.dir, [0u8; 1024].as_mut_ptr(), 1024);
            c(libc::syscall(libc::SYS_getdents64, w.dir, [0u8; 1024].as_mut_ptr(), 1024usize));
        "readlinkat" => 4; |w|
            readlinkat(w.dir, c"link", &mut [MaybeUninit::uninit(); 9]).map(|b| b.len()).outcome();
            sys!(READLINKAT, w.dir, c"link".as_ptr(), [0u8; 9].as_mut_ptr(), 9);
            c_size(libc::readlinkat(w.dir, c"link".as_ptr(), [0i8; 9].as_mut_ptr(), 9));
        "readlinkat of a file" => INVALID; |w|
            readlinkat(w.dir, c"file", &mut [MaybeUninit::uninit(); 9]).map(drop).outcome();
            sys!(READLINKAT, w.dir, c"file".as_ptr(), [0u8; 9].as_mut_ptr(), 9);
            c_size(libc::readlinkat(w.dir, c"file".as_ptr(), [0i8; 9].as_mut_ptr(), 9));
        "mkdirat" => 0; |w|
            mkdirat(w.dir, c"d", 0o700).outcome();
            sys!(MKDIRAT, w.dir, c"d".as_ptr(), 0o700);
            c(libc::mkdirat(w.dir, c"d".as_ptr(), 0o700));
        "mkdirat, there" => err(Errno::EEXIST); |w|
            mkdirat(w.dir, c"d", 0o700).outcome();
            sys!(MKDIRAT, w.dir, c"d".as_ptr(), 0o700);
            c(libc::mkdirat(w.dir, c"d".as_ptr(), 0o700));
        "unlinkat of a directory" => err(Errno::EISDIR); |w|
            unlinkat(w.dir, c"d", AtFlags::empty()).outcome();
            sys!(UNLINKAT, w.dir, c"d".as_ptr(), 0);
            c(libc::unlinkat(w.dir, c"d".as_ptr(), 0));
        "unlinkat, a directory" => 0; |w|
            unlinkat(w.dir, c"d", AtFlags::REMOVEDIR).outcome();
            sys!(UNLINKAT, w.dir, c"d".as_ptr(), libc::AT_REMOVEDIR);
            c(libc::unlinkat(w.dir, c"d".as_ptr(), libc::AT_REMOVEDIR));
        "symlinkat, there" => err(Errno::EEXIST); |w|
            symlinkat(c"x", w.dir, c"link").outcome();
            sys!(SYMLINKAT, c"x".as_ptr(), w.dir, c"link".as_ptr());
            c(libc::symlinkat(c"x".as_ptr(), w.dir, c"link".as_ptr()));
    }
}
