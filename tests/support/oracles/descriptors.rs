//! Reading, writing, duplicates, pipes, flags.

use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use netpoll::sys::fd::*;
use netpoll::sys::{Errno, RawFd, fd};

use super::world::*;
use super::{BAD, Case, INVALID, NOT_OPEN, err, sys, table};
use super::{C_LATE, C_NOW, LATE, NOW};

fn c_iov() -> [libc::iovec; 2] {
    let slice = |b: &'static [u8]| libc::iovec { iov_base: b.as_ptr().cast_mut().cast(), iov_len: b.len() };
    [slice(b"ab"), slice(b"cde")]
}

fn c_poll() -> libc::pollfd {
    libc::pollfd { fd: BAD, events: libc::POLLIN, revents: 0 }
}

fn close(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: the cases close what they have opened.
    unsafe { fd::close(fd) }
}

fn dup3(fd: RawFd, new: RawFd, flags: OFlags) -> Result<RawFd, Errno> {
    // SAFETY: the cases fail.
    unsafe { fd::dup3(fd, new, flags) }
}

#[rustfmt::skip]
pub fn cases() -> Vec<Case> {
    table! {
        "close -1" => NOT_OPEN; |_|
            close(-1).outcome();
            sys!(CLOSE, -1isize);
            c(libc::close(-1));
        "close twice" => NOT_OPEN; |w|
            { let fd = dup(w.file).unwrap(); close(fd).unwrap(); close(fd).outcome() };
            { let fd = sys!(DUP, w.file); assert_eq!(sys!(CLOSE, fd), 0); sys!(CLOSE, fd) };
            { let fd = libc::dup(w.file); assert_eq!(libc::close(fd), 0); c(libc::close(fd)) };
        "dup -1" => NOT_OPEN; |_|
            dup(-1).outcome();
            sys!(DUP, -1isize);
            c(libc::dup(-1));
        "dup" => 0; |w|
            w.new_fd(dup(w.file).outcome());
            w.new_fd(sys!(DUP, w.file));
            w.new_fd(c(libc::dup(w.file)));
        "dup3 onto itself" => INVALID; |w|
            dup3(w.file, w.file, OFlags::empty()).outcome();
            sys!(DUP3, w.file, w.file, 0);
            c(libc::dup3(w.file, w.file, 0));
        "dup3 of -1" => NOT_OPEN; |w|
            dup3(-1, w.file, OFlags::CLOEXEC).outcome();
            sys!(DUP3, -1isize, w.file, libc::O_CLOEXEC);
            c(libc::dup3(-1, w.file, libc::O_CLOEXEC));
        "dup3 above the limit" => NOT_OPEN; |w|
            dup3(w.file, i32::MAX, OFlags::empty()).outcome();
            sys!(DUP3, w.file, i32::MAX, 0);
            c(libc::dup3(w.file, i32::MAX, 0));
        "pipe2" => 0; |w|
            pipe2(OFlags::CLOEXEC).map(|p| w.new_fds(p)).outcome();
            { let mut p = [-1; 2]; let r = sys!(PIPE2, p.as_mut_ptr(), libc::O_CLOEXEC); w.new_fds(p); r };
            { let mut p = [-1; 2]; let r = c(libc::pipe2(p.as_mut_ptr(), libc::O_CLOEXEC)); w.new_fds(p); r };
        "pipe2, all flags" => INVALID; |_|
            pipe2(OFlags::from_bits_retain(!0)).map(drop).outcome();
            sys!(PIPE2, [0i32; 2].as_mut_ptr(), -1isize);
            c(libc::pipe2([0; 2].as_mut_ptr(), -1));
        "F_GETFD of -1" => NOT_OPEN; |_|
            fcntl_getfd(-1).map(drop).outcome();
            sys!(FCNTL, -1isize, libc::F_GETFD);
            c(libc::fcntl(-1, libc::F_GETFD));
        "F_GETFD" => 1; |w|
            fcntl_getfd(w.file).map(|f| f.bits() as usize).outcome();
            sys!(FCNTL, w.file, libc::F_GETFD);
            c(libc::fcntl(w.file, libc::F_GETFD));
        "F_GETFL" => libc::O_NONBLOCK.into(); |w|
            fcntl_getfl(w.pipe[0]).map(|f| f.bits() as usize).outcome();
            sys!(FCNTL, w.pipe[0], libc::F_GETFL);
            c(libc::fcntl(w.pipe[0], libc::F_GETFL));
        "F_DUPFD_CLOEXEC below 0" => INVALID; |w|
            fcntl_dupfd_cloexec(w.file, -1).outcome();
            sys!(FCNTL, w.file, libc::F_DUPFD_CLOEXEC, -1isize);
            c(libc::fcntl(w.file, libc::F_DUPFD_CLOEXEC, -1));
        "FIONREAD of a pipe" => 3; |w|
            ioctl_fionread(w.pipe[0]).map(|n| n as usize).outcome();
            { let mut n = 0i32; sys!(IOCTL, w.pipe[0], libc::FIONREAD, &raw mut n) + Outcome::from(n) };
            { let mut n = 0i32; c(libc::ioctl(w.pipe[0], libc::FIONREAD, &raw mut n)) + Outcome::from(n) };
        "FIONREAD of an eventfd" => err(Errno::ENOTTY); |w|
            ioctl_fionread(w.event).map(drop).outcome();
            sys!(IOCTL, w.event, libc::FIONREAD, [0i32].as_mut_ptr());
            c(libc::ioctl(w.event, libc::FIONREAD, [0i32].as_mut_ptr()));
        "read -1" => NOT_OPEN; |_|
            read(-1, &mut [0; 4]).outcome();
            sys!(READ, -1isize, [0u8; 4].as_mut_ptr(), 4);
            c_size(libc::read(-1, [0u8; 4].as_mut_ptr().cast(), 4));
        "read the writing end" => NOT_OPEN; |w|
            read(w.pipe[1], &mut [0; 4]).outcome();
            sys!(READ, w.pipe[1], [0u8; 4].as_mut_ptr(), 4);
            c_size(libc::read(w.pipe[1], [0u8; 4].as_mut_ptr().cast(), 4));
        "read a directory" => err(Errno::EISDIR); |w|
            read(w.dir, &mut [0; 4]).outcome();
            sys!(READ, w.dir, [0u8; 4].as_mut_ptr(), 4);
            c_size(libc::read(w.dir, [0u8; 4].as_mut_ptr().cast(), 4));
        "read a pipe, short" => 3; |w|
            read_uninit(w.pipe[0], &mut [MaybeUninit::uninit(); 9]).map(|b| b.len()).outcome();
            sys!(READ, w.pipe[0], [0u8; 9].as_mut_ptr(), 9);
            c_size(libc::read(w.pipe[0], [0u8; 9].as_mut_ptr().cast(), 9));
        "read an empty pipe" => err(Errno::EAGAIN); |w|
            read(w.pipe[0], &mut [0; 4]).outcome();
            sys!(READ, w.pipe[0], [0u8; 4].as_mut_ptr(), 4);
            c_size(libc::read(w.pipe[0], [0u8; 4].as_mut_ptr().cast(), 4));
        "write -1" => NOT_OPEN; |_|
            write(-1, b"x").outcome();
            sys!(WRITE, -1isize, b"x".as_ptr(), 1);
            c_size(libc::write(-1, b"x".as_ptr().cast(), 1));
        "write what is for reading" => NOT_OPEN; |w|
            write(w.file, b"x").outcome();
            sys!(WRITE, w.file, b"x".as_ptr(), 1);
            c_size(libc::write(w.file, b"x".as_ptr().cast(), 1));
        "writev" => 5; |w|
            writev(w.pipe[1], &[IoSlice::new(b"ab"), IoSlice::new(b"cde")]).outcome();
            { let v = c_iov(); sys!(WRITEV, w.pipe[1], v.as_ptr(), 2) };
            { let v = c_iov(); c_size(libc::writev(w.pipe[1], v.as_ptr(), 2)) };
        "readv -1" => NOT_OPEN; |_|
            readv(-1, &mut [IoSliceMut::new(&mut [0; 4])]).outcome();
            sys!(READV, -1isize, c_iov().as_ptr(), 2);
            c_size(libc::readv(-1, c_iov().as_ptr(), 2));
        "pread64 from 8" => 2; |w|
            pread64(w.file, &mut [0; 4], 8).outcome();
            sys!(PREAD64, w.file, [0u8; 4].as_mut_ptr(), 4, 8);
            c_size(libc::pread(w.file, [0u8; 4].as_mut_ptr().cast(), 4, 8));
        "pread64 from before the start" => INVALID; |w|
            pread64(w.file, &mut [0; 4], u64::MAX).outcome();
            sys!(PREAD64, w.file, [0u8; 4].as_mut_ptr(), 4, -1isize);
            c_size(libc::pread(w.file, [0u8; 4].as_mut_ptr().cast(), 4, -1));
        "pwrite64 to a pipe" => err(Errno::ESPIPE); |w|
            pwrite64(w.pipe[1], b"x", 0).outcome();
            sys!(PWRITE64, w.pipe[1], b"x".as_ptr(), 1, 0);
            c_size(libc::pwrite(w.pipe[1], b"x".as_ptr().cast(), 1, 0));
        "lseek from the end" => 7; |w|
            lseek(w.file, -3, Whence::End).map(|n| n as usize).outcome();
            sys!(LSEEK, w.file, -3isize, libc::SEEK_END);
            c(libc::lseek(w.file, -3, libc::SEEK_END));
        "lseek to before the start" => INVALID; |w|
            lseek(w.file, -1, Whence::Set).map(drop).outcome();
            sys!(LSEEK, w.file, -1isize, libc::SEEK_SET);
            c(libc::lseek(w.file, -1, libc::SEEK_SET));
        "ppoll, a bad descriptor" => 1; |_|
            ppoll(&mut [PollFd::new(BAD, PollFlags::IN)], Some(NOW)).outcome();
            sys!(PPOLL, [c_poll()].as_mut_ptr(), 1, &raw const C_NOW, 0usize, 0usize);
            c(libc::ppoll([c_poll()].as_mut_ptr(), 1, &C_NOW, null()));
        "ppoll, a second of nanoseconds" => INVALID; |_|
            ppoll(&mut [], Some(LATE)).outcome();
            sys!(PPOLL, 0usize, 0, &raw const C_LATE, 0usize, 0usize);
            c(libc::ppoll(null_mut(), 0, &C_LATE, null()));
        "sendfile from an eventfd" => INVALID; |w|
            sendfile(w.pipe[1], w.event, None, 4).outcome();
            sys!(SENDFILE, w.pipe[1], w.event, 0usize, 4);
            c_size(libc::sendfile(w.pipe[1], w.event, null_mut(), 4));
        "sendfile from 6" => 4; |w|
            sendfile(w.pair[0], w.file, Some(&mut 6), 100).outcome();
            sys!(SENDFILE, w.pair[0], w.file, [6u64].as_mut_ptr(), 100);
            c_size(libc::sendfile(w.pair[0], w.file, &mut 6, 100));
        "splice without a pipe" => INVALID; |w|
            splice(w.file, None, w.pair[0], None, 4, SpliceFlags::empty()).outcome();
            sys!(SPLICE, w.file, 0usize, w.pair[0], 0usize, 4, 0);
            c_size(libc::splice(w.file, null_mut(), w.pair[0], null_mut(), 4, 0));
    }
}
