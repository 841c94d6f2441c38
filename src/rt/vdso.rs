//! Finds a function in the vDSO, a small shared object that the kernel maps into every process
//! (`vdso(7)`). Its headers are read as bytes, checked against its length: what does not hold together
//! is no vDSO.

use core::ffi::CStr;
use linux_raw_sys::elf::{DT_NULL, DT_STRTAB, DT_SYMTAB, PT_DYNAMIC, PT_LOAD};

/// The part that is certainly mapped: a vDSO has a page at least, and its headers are in it.
const HEADERS: usize = 4096;

/// The address of `name` in the image mapped at `image`.
///
/// # Safety
/// `image` is 0 or the value of `AT_SYSINFO_EHDR`.
pub(super) unsafe fn find(image: usize, name: &CStr) -> Option<usize> {
    let start = core::ptr::with_exposed_provenance::<u8>(image);
    if start.is_null() {
        return None;
    }
    // SAFETY: the kernel mapped at least a page there, for the life of the process, unwritten.
    let headers = unsafe { core::slice::from_raw_parts(start, HEADERS) };
    let len = loaded_len(headers)?;
    // SAFETY: as above; the kernel maps what the program header says.
    let bytes = unsafe { core::slice::from_raw_parts(start, len) };
    Some(image + symbol(bytes, name.to_bytes_with_nul())?)
}

#[cold] // as all here: once in a process's life
fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?) as usize)
}

#[cold]
fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?) as usize)
}

#[cold]
fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_ne_bytes(bytes.get(at..)?.first_chunk().copied()?)).ok()
}

/// The first program header of type `kind`: offset and size in the file, and address.
fn segment(bytes: &[u8], kind: u32) -> Option<(usize, usize, usize)> {
    let magic = u32::from_ne_bytes(*b"\x7fELF") as usize;
    if u32_at(bytes, 0)? != magic || bytes.get(4)? != &2 {
        return None; // 2: of 64 bits
    }
    let (phoff, phentsize, phnum) = (u64_at(bytes, 32)?, u16_at(bytes, 54)?, u16_at(bytes, 56)?);
    for i in 0..phnum {
        let header = bytes.get(phoff.checked_add(i * phentsize)?..)?;
        if u32_at(header, 0)? == kind as usize {
            return Some((u64_at(header, 8)?, u64_at(header, 32)?, u64_at(header, 16)?));
        }
    }
    None
}

fn loaded_len(headers: &[u8]) -> Option<usize> {
    let (offset, size, _) = segment(headers, PT_LOAD)?;
    (offset == 0).then_some(size) // there is one, with the headers in it
}

/// The offset of the function `name` (with its 0), a defined symbol of the dynamic symbol table.
pub(super) fn symbol(bytes: &[u8], name: &[u8]) -> Option<usize> {
    let (_, _, base) = segment(bytes, PT_LOAD)?;
    let (dynamic, dynamic_len, _) = segment(bytes, PT_DYNAMIC)?;
    let dynamic = bytes.get(dynamic..dynamic.checked_add(dynamic_len)?)?;
    // Addresses in the table are those of the link; the image may be linked anywhere.
    let entry = |tag: usize| {
        let at = (0..dynamic.len() / 16).map(|i| i * 16);
        at.take_while(|&i| u64_at(dynamic, i) != Some(DT_NULL))
            .find(|&i| u64_at(dynamic, i) == Some(tag))
            .and_then(|i| u64_at(dynamic, i + 8)?.checked_sub(base))
    };
    let (symbols, strings) = (entry(DT_SYMTAB)?, entry(DT_STRTAB)?);
    // The strings lie right behind the symbols (the kernel's vdso-layout.lds.S), whose number is otherwise told
    // by hash tables only, of two kinds. Were it ever different nothing would be found.
    for i in 0..strings.checked_sub(symbols)? / 24 {
        let symbol = bytes.get(symbols + i * 24..)?;
        let (at, section) = (strings.checked_add(u32_at(symbol, 0)?)?, u16_at(symbol, 6)?);
        // By hand: this is the one comparison of memory that a small server would have.
        let mut text = bytes.get(at..)?.iter();
        let found = name.iter().all(|c| text.next() == Some(c));
        if found && section != 0 {
            let offset = u64_at(symbol, 8)?.checked_sub(base)?;
            return (offset < bytes.len()).then_some(offset);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> &'static [u8] {
        // SAFETY: getauxval reads the process's own vector; the vDSO stays mapped.
        unsafe {
            let start = libc::getauxval(libc::AT_SYSINFO_EHDR) as *const u8;
            assert!(!start.is_null(), "this machine has no vDSO");
            let len = loaded_len(core::slice::from_raw_parts(start, HEADERS)).unwrap();
            core::slice::from_raw_parts(start, len)
        }
    }

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        let bytes = image();
        assert!(symbol(bytes, b"__vdso_clock_gettime\0").is_some());
        assert!(symbol(bytes, b"__vdso_getcpu\0").is_some());
        assert_eq!(symbol(bytes, b"__vdso_clock_gettim\0"), None);
        assert_eq!(symbol(bytes, b"__vdso_clock_gettime2\0"), None);
        assert_eq!(symbol(bytes, b"malloc\0"), None);
    }

    #[test]
    fn damage_is_no_vdso_and_no_panic() {
        use proptest::prelude::*;
        let bytes = image();
        proptest!(|(cut in 0..bytes.len(), holes in prop::collection::vec((0..2048usize, any::<u8>()), 0..20))| {
            let mut damaged = bytes.to_vec();
            for (at, value) in holes {
                damaged[at] = value;
            }
            for bytes in [&damaged[..], &damaged[..cut]] {
                let found = symbol(bytes, b"__vdso_clock_gettime\0");
                prop_assert!(found.is_none_or(|offset| offset < bytes.len()));
            }
        });
    }
}
