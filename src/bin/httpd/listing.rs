//! The names in a directory as a page, sorted without an allocator.

use core::mem::MaybeUninit;
use core::ptr;

use netpoll::sys::Errno;
use netpoll::sys::fs::{DirEntry, FileType};
use netpoll::sys::mm::{MapFlags, Prot, mmap, munmap};

use super::files::File;
use super::output::Output;
use super::text::{html_escape, percent_encode};

/// Bytes that one system call fills with names.
const CALL: usize = 32 << 10;
/// Bytes of names that are sorted together. A larger directory is sorted in parts.
const NAMES: usize = 128 * CALL;
/// The shortest entry: a `struct linux_dirent64` with a name of four bytes at most.
const SHORTEST: usize = 24;
const ENTRIES: usize = NAMES / SHORTEST;

/// Writes the page for the directory `dir`, which is at `path` below the root.
pub fn write(out: &mut Output<'_>, dir: &File, mut scratch: Scratch, path: &[u8]) {
    out.put(b"<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/");
    html_escape(path, |piece| out.put(piece));
    out.put(b"</title>\n<h1>/");
    html_escape(path, |piece| out.put(piece));
    out.put(b"</h1>\n<ul>\n");
    if !path.is_empty() {
        out.put(b"<li><a href=\"../\">../</a>\n");
    }
    // A directory that cannot be read to its end is listed as far as it can: the head has long gone.
    while let Ok((entries, more)) = scratch.fill(dir) {
        entries.sort_unstable_by_key(|entry| entry.name);
        for entry in entries {
            let name = entry.name.to_bytes();
            let slash = if entry.file_type == FileType::Directory { &b"/"[..] } else { b"" };
            out.put(b"<li><a href=\"");
            percent_encode(name, |piece| out.put(piece));
            out.put(slash);
            out.put(b"\">");
            html_escape(name, |piece| out.put(piece));
            out.put(slash);
            out.put(b"</a>\n");
        }
        if !more || out.is_broken() {
            break;
        }
    }
    out.put(b"</ul>\n");
}

/// Memory for the names of a directory: mapped for one page, and real only as far as it is used.
pub struct Scratch(*mut u8);

impl Scratch {
    const LEN: usize = NAMES + ENTRIES * size_of::<DirEntry<'_>>();

    /// # Errors
    /// `ENOMEM`.
    pub fn map() -> Result<Scratch, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::ANONYMOUS | MapFlags::NORESERVE;
        // SAFETY: a new mapping where the kernel likes.
        unsafe { mmap(ptr::null_mut(), Scratch::LEN, Prot::READ | Prot::WRITE, flags, -1, 0) }.map(Scratch)
    }

    /// The next entries of the directory, as many as fit, without `.` and `..`; and whether there may be
    /// more.
    fn fill(&mut self, dir: &File) -> Result<(&mut [DirEntry<'_>], bool), Errno> {
        let (names, entries) = self.parts();
        let (mut count, mut more) = (0, true);
        for room in names.chunks_exact_mut(CALL) {
            let found = dir.entries(room)?;
            if found.is_empty() {
                more = false;
                break;
            }
            for entry in found.filter(|entry| entry.name != c"." && entry.name != c"..") {
                entries[count].write(entry);
                count += 1;
            }
        }
        // SAFETY: the first `count` are written, and `DirEntry` is laid out as its `MaybeUninit`.
        let entries = unsafe { &mut *(&raw mut entries[..count] as *mut [DirEntry<'_>]) };
        Ok((entries, more))
    }

    fn parts<'a>(&'a mut self) -> (&'a mut [u8], &'a mut [MaybeUninit<DirEntry<'a>>]) {
        const { assert!(NAMES.is_multiple_of(align_of::<DirEntry<'_>>())) };
        // SAFETY: the mapping is ours, borrowed as long as the parts; it holds zeros or what earlier
        // parts held, good for bytes; the entries are aligned, behind the names, and may be anything.
        unsafe {
            let names = core::slice::from_raw_parts_mut(self.0, NAMES);
            let entries = core::slice::from_raw_parts_mut(self.0.add(NAMES).cast(), ENTRIES);
            (names, entries)
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: mapped by `map`, and no part is borrowed any more. It cannot fail for a whole mapping.
        let _ = unsafe { munmap(self.0, Scratch::LEN) };
    }
}
