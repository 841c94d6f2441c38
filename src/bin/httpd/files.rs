//! Opening files below the root, and nowhere else; and reading them.
//!
//! All of that is mostly quick, and may wait for a disk: hence each use of the kernel here is within
//! [`syscall`], about 15 ns. Asking it whether it would wait is no better. `preadv2` with `RWF_NOWAIT` takes
//! 25 ns longer than `pread64` for a cached page (Linux 6.18, ext4), and tmpfs refuses it; `openat2` with
//! `RESOLVE_CACHED` takes no longer, but for what it cannot tell, as names that tmpfs does not have,
//! everything is done twice.

use core::ffi::CStr;

use netpoll::net::Error;
use netpoll::sys::fd::{close, pread64};
use netpoll::sys::fs::{
    AT_FDCWD, DirEntries, OFlags, OpenHow, ResolveFlags, Stat, fstat, getdents64, openat, openat2,
};
use netpoll::sys::{Call, Errno, RawFd};
use netpoll::syscall;

/// How often a path is tried again that something was renamed on.
const ATTEMPTS: usize = 8;

/// Bytes of the longest file name, and its zero byte.
const NAME: usize = 256;

/// For reading. A FIFO is opened without waiting for a writer and a terminal is not adopted: what kind
/// of file it is shows only then.
const READING: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// An open file.
pub struct File(RawFd);

impl File {
    /// The descriptor's number.
    pub fn fd(&self) -> RawFd {
        self.0
    }

    /// Fills `buf` with what is there from `offset` on.
    ///
    /// # Errors
    /// [`Error::UnexpectedEof`] if that is less, and those of pread(2).
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), Error> {
        let mut read = 0;
        while read < buf.len() {
            match syscall(|| pread64(self.0, &mut buf[read..], offset + read as u64)) {
                Ok(0) => return Err(Error::UnexpectedEof),
                Ok(n) => read += n,
                Err(errno) => return Err(Error::Os(Call::Pread64, errno)),
            }
        }
        Ok(())
    }

    /// The next names of a directory, as many as fit; none at its end.
    ///
    /// # Errors
    /// Those of getdents64(2).
    pub fn entries<'a>(&self, buf: &'a mut [u8]) -> Result<DirEntries<'a>, Errno> {
        syscall(|| getdents64(self.0, buf))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: opened for this value alone. It is read only, so that no write can fail late.
        let _ = unsafe { close(self.0) };
    }
}

/// The directory that is served. Open as long as the program runs.
#[derive(Clone, Copy)]
pub struct Root {
    fd: RawFd,
    /// `openat2` is there.
    beneath: bool,
}

impl Root {
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `EACCES`, and others of openat(2).
    pub fn open(path: &CStr) -> Result<Root, Errno> {
        let fd = openat(AT_FDCWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, 0)?;
        let mut root = Root { fd, beneath: true };
        // Linux 5.6 has it, but an old sandbox may not know it and say that it is forbidden.
        if let Err(Errno::ENOSYS | Errno::EPERM) = root.open_file(c".") {
            root.beneath = false;
        }
        Ok(root)
    }

    /// The directory's number.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Opens the file or directory at `path` and tells what it is.
    ///
    /// # Errors
    /// As [`Root::open_file`], and `EOVERFLOW`.
    pub fn open_and_stat(&self, path: &CStr) -> Result<(File, Stat), Errno> {
        syscall(|| {
            let file = self.open_file(path)?;
            let stat = fstat(file.0)?;
            Ok((file, stat))
        })
    }

    /// Opens the file or directory at `path`, which begins with no slash, for reading. Symbolic links are
    /// followed while they stay inside; without `openat2` they are not followed at all.
    ///
    /// # Errors
    /// `EXDEV` for a path that leads outside, `ELOOP` for a link not to be followed, `EAGAIN` if renames
    /// kept getting in the way, and others of openat(2).
    fn open_file(&self, path: &CStr) -> Result<File, Errno> {
        if !self.beneath {
            return self.walk(path.to_bytes());
        }
        let how = OpenHow::new(READING, 0, ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS);
        let mut result = Err(Errno::EAGAIN);
        for _ in 0..ATTEMPTS {
            result = openat2(self.fd, path, &how);
            if !matches!(result, Err(Errno::EAGAIN | Errno::EINTR)) {
                break;
            }
        }
        result.map(File)
    }

    /// As [`Root::open_file`], name by name.
    fn walk(&self, path: &[u8]) -> Result<File, Errno> {
        let place = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut names =
            path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")).peekable();
        let mut parent: Option<File> = None;
        while let Some(name) = names.next() {
            if name == b".." {
                return Err(Errno::EXDEV);
            }
            let mut room = [0; NAME];
            room.get_mut(..name.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(name);
            let name = CStr::from_bytes_until_nul(&room).map_err(|_| Errno::ENAMETOOLONG)?;
            let flags = match names.peek() {
                Some(_) => place,
                None if path.ends_with(b"/") => READING | OFlags::NOFOLLOW | OFlags::DIRECTORY,
                None => READING | OFlags::NOFOLLOW,
            };
            let dir = parent.as_ref().map_or(self.fd, File::fd);
            parent = Some(File(openat(dir, name, flags, 0)?));
        }
        match parent {
            Some(file) => Ok(file),
            None => openat(self.fd, c".", READING | OFlags::DIRECTORY, 0).map(File),
        }
    }
}
