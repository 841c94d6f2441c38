//! Files and directories by path. Paths are C strings relative to a directory descriptor, or to the
//! working directory with [`AT_FDCWD`].

use core::ffi::CStr;
use core::mem::MaybeUninit;

use linux_raw_sys::general as raw;
use memoffset::offset_of;
use sc::nr;
use static_assertions::{assert_eq_align, assert_eq_size, const_assert_eq};

pub use super::fd::OFlags;
use super::time::Timespec;
use super::{Errno, RawFd, as_int, int, ptr, result, unit, written};
use crate::arch;

/// In place of a directory descriptor: the working directory.
pub const AT_FDCWD: RawFd = raw::AT_FDCWD;

bitflags::bitflags! {
    /// Flags of calls that take a path.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[doc(alias = "AT_REMOVEDIR")]
    pub struct AtFlags: u32 {
        /// Do not follow a symbolic link at the end of the path.
        const SYMLINK_NOFOLLOW = raw::AT_SYMLINK_NOFOLLOW;
        /// `unlinkat` removes a directory.
        const REMOVEDIR = raw::AT_REMOVEDIR;
        /// An empty path means the descriptor itself.
        const EMPTY_PATH = raw::AT_EMPTY_PATH;
    }
}

bitflags::bitflags! {
    /// How [`openat2`] walks the path.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[repr(transparent)]
    #[doc(alias = "RESOLVE_BENEATH")]
    pub struct ResolveFlags: u64 {
        /// Cross no mount point.
        const NO_XDEV = raw::RESOLVE_NO_XDEV as u64;
        /// Follow no links such as those in /proc/self/fd.
        const NO_MAGICLINKS = raw::RESOLVE_NO_MAGICLINKS as u64;
        /// Follow no symbolic links at all.
        const NO_SYMLINKS = raw::RESOLVE_NO_SYMLINKS as u64;
        /// Fail with `EXDEV` where the path would leave the directory.
        const BENEATH = raw::RESOLVE_BENEATH as u64;
        /// The directory is the root: `..` and absolute links stay inside.
        const IN_ROOT = raw::RESOLVE_IN_ROOT as u64;
        /// Only what is in the cache of names, else `EAGAIN`. Linux 5.12.
        const CACHED = raw::RESOLVE_CACHED as u64;
    }
}

/// `struct open_how`: what [`openat2`] does.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "open_how")]
pub struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: ResolveFlags,
}

assert_eq_size!(OpenHow, raw::open_how);
assert_eq_align!(OpenHow, raw::open_how);
const_assert_eq!(offset_of!(OpenHow, flags), offset_of!(raw::open_how, flags));
const_assert_eq!(offset_of!(OpenHow, mode), offset_of!(raw::open_how, mode));
const_assert_eq!(offset_of!(OpenHow, resolve), offset_of!(raw::open_how, resolve));

impl OpenHow {
    /// As for [`openat`]. `mode` must be 0 unless a file can be created.
    #[inline]
    pub const fn new(flags: OFlags, mode: u32, resolve: ResolveFlags) -> OpenHow {
        OpenHow { flags: flags.bits() as u64, mode: mode as u64, resolve }
    }
}

/// openat(2): opens the file at `path`; a file that is created gets `mode`, less the process's umask.
///
/// # Errors
/// `ENOENT`, `EACCES`, `ENOTDIR`, `EISDIR`, `ELOOP`, `EEXIST`, `EMFILE`, `ENFILE`, `ENAMETOOLONG`, `EINTR`,
/// `EPERM`, `EROFS`, `ENOSPC`, `ENXIO`, `EBADF`, `EINVAL` and others of the file's kind.
#[inline]
#[doc(alias = "open")]
pub fn openat(dir: RawFd, path: &CStr, flags: OFlags, mode: u32) -> Result<RawFd, Errno> {
    // SAFETY: the kernel reads the path up to its zero byte.
    as_int(unsafe {
        arch::syscall4(nr::OPENAT, int(dir), ptr(path.as_ptr()), flags.bits() as usize, mode as usize)
    })
}

/// openat2(2): as [`openat`], with rules for the walk. Linux 5.6.
///
/// # Errors
/// As [`openat`]; `EXDEV` and `ELOOP` (a rule was broken), `EAGAIN` (a rename raced with the walk; try again),
/// `ENOSYS`; `EINVAL` for unknown flags, which `openat` ignores.
#[inline]
pub fn openat2(dir: RawFd, path: &CStr, how: &OpenHow) -> Result<RawFd, Errno> {
    // SAFETY: the kernel reads the path up to its zero byte and `size` bytes of the structure.
    as_int(unsafe {
        arch::syscall4(nr::OPENAT2, int(dir), ptr(path.as_ptr()), ptr(how), size_of::<OpenHow>())
    })
}

/// What kind of file it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileType {
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A directory.
    Directory,
    /// A block device.
    BlockDevice,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A Unix socket.
    Socket,
    /// The file system does not say; ask [`newfstatat`].
    Unknown,
}

impl FileType {
    /// From `d_type` of a directory entry.
    const fn from_dirent(d_type: u8) -> FileType {
        match d_type as u32 {
            raw::DT_FIFO => FileType::Fifo,
            raw::DT_CHR => FileType::CharDevice,
            raw::DT_DIR => FileType::Directory,
            raw::DT_BLK => FileType::BlockDevice,
            raw::DT_REG => FileType::Regular,
            raw::DT_LNK => FileType::Symlink,
            raw::DT_SOCK => FileType::Socket,
            _ => FileType::Unknown,
        }
    }
}

/// `struct stat`: what is known of a file.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
#[doc(alias = "stat")]
pub struct Stat(raw::stat);

impl Stat {
    /// The kind of file.
    #[inline]
    #[doc(alias = "S_IFMT")]
    pub const fn file_type(&self) -> FileType {
        match self.0.st_mode & raw::S_IFMT {
            raw::S_IFIFO => FileType::Fifo,
            raw::S_IFCHR => FileType::CharDevice,
            raw::S_IFDIR => FileType::Directory,
            raw::S_IFBLK => FileType::BlockDevice,
            raw::S_IFREG => FileType::Regular,
            raw::S_IFLNK => FileType::Symlink,
            raw::S_IFSOCK => FileType::Socket,
            _ => FileType::Unknown,
        }
    }

    /// Whether it is a directory.
    #[inline]
    pub fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Whether it is a regular file.
    #[inline]
    pub fn is_file(&self) -> bool {
        self.file_type() == FileType::Regular
    }

    /// The size in bytes.
    #[inline]
    pub const fn size(&self) -> u64 {
        self.0.st_size as u64
    }

    /// Kind and permissions.
    #[inline]
    pub const fn mode(&self) -> u32 {
        self.0.st_mode
    }

    /// The device that the file is on.
    #[inline]
    pub const fn dev(&self) -> u64 {
        self.0.st_dev
    }

    /// The file's number on that device.
    #[inline]
    pub const fn ino(&self) -> u64 {
        self.0.st_ino
    }

    /// When the contents last changed, since 1970.
    #[inline]
    pub const fn mtime(&self) -> Timespec {
        // The kernel's headers call the seconds unsigned, but times before 1970 are negative.
        Timespec { secs: self.0.st_mtime as i64, nanos: self.0.st_mtime_nsec as i64 }
    }
}

/// fstat(2): what is known of an open file.
///
/// # Errors
/// `EBADF`, `EOVERFLOW`.
#[inline]
pub fn fstat(fd: RawFd) -> Result<Stat, Errno> {
    let mut stat = MaybeUninit::<Stat>::uninit();
    // SAFETY: the kernel writes one `struct stat`.
    unit(unsafe { arch::syscall2(nr::FSTAT, int(fd), ptr(stat.as_mut_ptr())) })?;
    // SAFETY: the call succeeded, so it has been written.
    Ok(unsafe { stat.assume_init() })
}

/// newfstatat(2): what is known of the file at `path`.
///
/// # Errors
/// `ENOENT`, `EACCES`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`, `EBADF`, `EINVAL`, `EOVERFLOW`.
#[inline]
#[doc(alias = "fstatat")]
#[doc(alias = "stat")]
#[doc(alias = "lstat")]
pub fn newfstatat(dir: RawFd, path: &CStr, flags: AtFlags) -> Result<Stat, Errno> {
    let mut stat = MaybeUninit::<Stat>::uninit();
    // SAFETY: the kernel reads the path up to its zero byte and writes one `struct stat`.
    unit(unsafe {
        arch::syscall4(
            nr::NEWFSTATAT,
            int(dir),
            ptr(path.as_ptr()),
            ptr(stat.as_mut_ptr()),
            flags.bits() as usize,
        )
    })?;
    // SAFETY: the call succeeded, so it has been written.
    Ok(unsafe { stat.assume_init() })
}

/// One entry of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[doc(alias = "linux_dirent64")]
pub struct DirEntry<'a> {
    /// The file's number.
    pub ino: u64,
    /// The kind of file, if the file system tells.
    pub file_type: FileType,
    /// The name, one part of a path. `.` and `..` are entries, too.
    pub name: &'a CStr,
}

/// The entries that one [`getdents64`] brought.
#[derive(Clone, Debug)]
pub struct DirEntries<'a> {
    rest: &'a [u8],
}

const D_INO: usize = offset_of!(raw::linux_dirent64, d_ino);
const D_RECLEN: usize = offset_of!(raw::linux_dirent64, d_reclen);
const D_TYPE: usize = offset_of!(raw::linux_dirent64, d_type);
const D_NAME: usize = offset_of!(raw::linux_dirent64, d_name);

impl DirEntries<'_> {
    /// Whether there is no entry left; for a fresh one: whether this is the end of the directory.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for DirEntries<'a> {
    type Item = DirEntry<'a>;

    /// Taken apart byte by byte: the buffer may lie anywhere, and a record that does not add up ends
    /// the iteration.
    fn next(&mut self) -> Option<DirEntry<'a>> {
        let len = u16::from_ne_bytes(*self.rest.get(D_RECLEN..)?.first_chunk()?);
        let (record, rest) = self.rest.split_at_checked(len as usize)?;
        let name = CStr::from_bytes_until_nul(record.get(D_NAME..)?).ok()?;
        self.rest = rest;
        Some(DirEntry {
            ino: u64::from_ne_bytes(*record[D_INO..].first_chunk()?),
            file_type: FileType::from_dirent(record[D_TYPE]),
            name,
        })
    }
}

/// getdents64(2): the next entries of a directory, as many as fit into `buf`; none at the end. 280
/// bytes hold the longest name. The buffer is one that holds something already, since the kernel
/// leaves the gaps between records as they are.
///
/// # Errors
/// `EBADF`, `ENOTDIR`, `ENOENT` (removed meanwhile), `EINVAL` (`buf` is too short for the next entry).
#[inline]
#[doc(alias = "readdir")]
pub fn getdents64(fd: RawFd, buf: &mut [u8]) -> Result<DirEntries<'_>, Errno> {
    // SAFETY: the kernel writes at most `len` bytes, all inside the slice.
    let n = result(unsafe { arch::syscall3(nr::GETDENTS64, int(fd), ptr(buf.as_mut_ptr()), buf.len()) })?;
    Ok(DirEntries { rest: buf.get(..n).unwrap_or_default() })
}

/// readlinkat(2): what the symbolic link at `path` says, cut off where `buf` ends.
///
/// # Errors
/// `EINVAL` (no symbolic link, or `buf` is empty), `ENOENT`, `EACCES`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`,
/// `EBADF`, `EIO`.
#[inline]
#[doc(alias = "readlink")]
pub fn readlinkat<'a>(
    dir: RawFd,
    path: &CStr,
    buf: &'a mut [MaybeUninit<u8>],
) -> Result<&'a mut [u8], Errno> {
    // SAFETY: the kernel reads the path up to its zero byte and writes at most `len` bytes.
    let n = result(unsafe {
        arch::syscall4(nr::READLINKAT, int(dir), ptr(path.as_ptr()), ptr(buf.as_mut_ptr()), buf.len())
    })?;
    // SAFETY: the kernel wrote `n` bytes, and was given room for `len`.
    Ok(unsafe { written(buf, n) })
}

/// mkdirat(2): makes a directory with permissions `mode`, less the process's umask.
///
/// # Errors
/// `EEXIST`, `ENOENT`, `EACCES`, `ENOTDIR`, `ENOSPC`, `EROFS`, `EMLINK`, `ELOOP`, `ENAMETOOLONG`, `EBADF`.
#[inline]
#[doc(alias = "mkdir")]
pub fn mkdirat(dir: RawFd, path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the kernel reads the path up to its zero byte.
    unit(unsafe { arch::syscall3(nr::MKDIRAT, int(dir), ptr(path.as_ptr()), mode as usize) })
}

/// unlinkat(2): removes a name, or with `REMOVEDIR` an empty directory.
///
/// # Errors
/// `ENOENT`, `EACCES`, `EPERM`, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EBUSY`, `EROFS`, `ELOOP`, `EBADF`, `EINVAL`.
#[inline]
#[doc(alias = "unlink")]
#[doc(alias = "rmdir")]
pub fn unlinkat(dir: RawFd, path: &CStr, flags: AtFlags) -> Result<(), Errno> {
    // SAFETY: the kernel reads the path up to its zero byte.
    unit(unsafe { arch::syscall3(nr::UNLINKAT, int(dir), ptr(path.as_ptr()), flags.bits() as usize) })
}

/// symlinkat(2): makes a symbolic link at `path` that says `target`, which need not exist.
///
/// # Errors
/// `EEXIST`, `ENOENT`, `EACCES`, `ENOTDIR`, `ENOSPC`, `EROFS`, `ELOOP`, `ENAMETOOLONG`, `EBADF`.
#[inline]
#[doc(alias = "symlink")]
pub fn symlinkat(target: &CStr, dir: RawFd, path: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads both strings up to their zero bytes.
    unit(unsafe { arch::syscall3(nr::SYMLINKAT, ptr(target.as_ptr()), int(dir), ptr(path.as_ptr())) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_directory_records_end_the_iteration() {
        let mut record = [0u8; 24];
        record[D_RECLEN] = 24;
        record[D_TYPE] = raw::DT_DIR as u8;
        record[D_NAME..D_NAME + 2].copy_from_slice(b"ab");
        let entry = DirEntries { rest: &record }.next().unwrap();
        assert_eq!((entry.name, entry.file_type), (c"ab", FileType::Directory));
        for len in [0, 8, 19, 25] {
            record[D_RECLEN] = len;
            assert_eq!(DirEntries { rest: &record }.next(), None, "length {len}");
        }
    }
}
