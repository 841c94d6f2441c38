//! The block of words and strings that the kernel leaves at the top of the first stack (`execve(2)`).
//!
//! ```text
//!   argc | argv[0] .. argv[argc-1] | 0 | envp[0] .. | 0 | key, value | .. | AT_NULL, 0
//!   ^ block
//! ```

use core::ffi::{CStr, c_char};
use core::iter::FusedIterator;

use linux_raw_sys::auxvec::AT_NULL;

/// A program's arguments, environment and auxiliary vector. It reads the kernel's own block; nothing
/// is copied.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    block: *const usize,
}

// SAFETY: the block is never written (`Env::new`'s contract), so any thread may read it.
unsafe impl Send for Env {}
// SAFETY: as above.
unsafe impl Sync for Env {}

impl Env {
    /// Wraps the block that starts at `block`, as the kernel leaves it at the initial stack pointer.
    ///
    /// # Safety
    /// The block must be as the kernel lays it out, argc to `AT_NULL`, with strings that end in 0, and
    /// all of it must stay readable and unwritten for the rest of the program.
    pub const unsafe fn new(block: *const usize) -> Env {
        Env { block }
    }

    /// The arguments, the program's name first. There may be none at all: `execve` allows it.
    pub fn args(&self) -> Args {
        // SAFETY: `block` points at argc, and argv follows it.
        unsafe { Args { next: self.block.add(1).cast(), left: *self.block } }
    }

    /// The environment, each entry as `NAME=value`.
    pub fn vars(&self) -> Vars {
        // SAFETY: argv has argc entries and one null; envp follows.
        unsafe { Vars { next: self.block.add(*self.block + 2).cast() } }
    }

    /// The value of the first variable called `name`, as `getenv(3)`. A name that is empty or holds a
    /// `=` names nothing.
    #[doc(alias = "getenv")]
    pub fn var(&self, name: &CStr) -> Option<&'static CStr> {
        let name = name.to_bytes();
        if name.is_empty() || name.contains(&b'=') {
            return None;
        }
        self.vars().find_map(|entry| {
            let mut entry = entry.to_bytes_with_nul().iter();
            // Byte by byte: `strip_prefix` has a panic in it, which brings all of formatting along.
            let named = name.iter().chain(b"=").all(|c| entry.next() == Some(c));
            // SAFETY: what is left of a string of the block, at least its 0.
            named.then(|| unsafe { CStr::from_ptr(entry.as_slice().as_ptr().cast()) })
        })
    }

    /// The auxiliary vector, `(key, value)` each, without the closing `AT_NULL` (`getauxval(3)`).
    pub fn auxv(&self) -> Auxv {
        let mut vars = self.vars();
        while vars.next_pointer().is_some() {}
        // SAFETY: `vars` stopped at the null that ends envp; the vector follows.
        unsafe { Auxv { next: vars.next.add(1).cast() } }
    }

    /// The value of the entry `key` (`AT_PAGESZ`, ..) of the auxiliary vector.
    #[doc(alias = "getauxval")]
    pub fn aux(&self, key: usize) -> Option<usize> {
        self.auxv().find(|entry| entry.0 == key).map(|entry| entry.1)
    }
}

/// The iterator of [`Env::args`].
#[derive(Clone, Debug)]
pub struct Args {
    next: *const *const c_char,
    left: usize,
}

impl Iterator for Args {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `next` is one of the argc entries of argv, each a string of the block.
        unsafe {
            let arg = CStr::from_ptr(*self.next);
            self.next = self.next.add(1);
            Some(arg)
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Args {}
impl FusedIterator for Args {}

/// The iterator of [`Env::vars`].
#[derive(Clone, Debug)]
pub struct Vars {
    next: *const *const c_char,
}

impl Vars {
    fn next_pointer(&mut self) -> Option<*const c_char> {
        // SAFETY: `next` is an entry of envp or the null at its end, which it never passes.
        unsafe {
            let entry = *self.next;
            if entry.is_null() {
                return None;
            }
            self.next = self.next.add(1);
            Some(entry)
        }
    }
}

impl Iterator for Vars {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: a non-null entry of envp is a string of the block.
        self.next_pointer().map(|entry| unsafe { CStr::from_ptr(entry) })
    }
}

impl FusedIterator for Vars {}

/// The iterator of [`Env::auxv`].
#[derive(Clone, Debug)]
pub struct Auxv {
    next: *const [usize; 2],
}

impl Iterator for Auxv {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<(usize, usize)> {
        // SAFETY: `next` is an entry of the vector, AT_NULL at the latest, which it never passes.
        unsafe {
            let [key, value] = *self.next;
            if key == AT_NULL as usize {
                return None;
            }
            self.next = self.next.add(1);
            Some((key, value))
        }
    }
}

impl FusedIterator for Auxv {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block as the kernel makes it, kept for good.
    fn env(args: &[&'static CStr], vars: &[&'static CStr], auxv: &[(usize, usize)]) -> Env {
        let mut words = vec![args.len()];
        words.extend(args.iter().map(|s| s.as_ptr() as usize));
        words.push(0);
        words.extend(vars.iter().map(|s| s.as_ptr() as usize));
        words.push(0);
        words.extend(auxv.iter().flat_map(|&(key, value)| [key, value]));
        words.extend([0, 0]);
        // SAFETY: laid out as the contract says, and leaked.
        unsafe { Env::new(words.leak().as_ptr()) }
    }

    #[test]
    fn every_part_is_found() {
        let env = env(&[c"prog", c"", c"-x"], &[c"A=1", c"B="], &[(6, 4096), (25, 7)]);
        assert_eq!(env.args().collect::<Vec<_>>(), [c"prog", c"", c"-x"]);
        assert_eq!(env.vars().collect::<Vec<_>>(), [c"A=1", c"B="]);
        assert_eq!(env.auxv().collect::<Vec<_>>(), [(6, 4096), (25, 7)]);
        assert_eq!((env.aux(6), env.aux(25), env.aux(3)), (Some(4096), Some(7), None));
    }

    #[test]
    fn nothing_given_is_nothing_found() {
        let env = env(&[], &[], &[]);
        assert_eq!((env.args().len(), env.args().next()), (0, None));
        assert_eq!(env.vars().next(), None);
        assert_eq!(env.auxv().next(), None);
        assert_eq!(env.var(c"A"), None);
    }

    #[test]
    fn no_arguments_hide_no_variables() {
        let env = env(&[], &[c"A=1"], &[(6, 1)]);
        assert_eq!(env.var(c"A"), Some(c"1"));
        assert_eq!(env.aux(6), Some(1));
    }

    #[test]
    fn args_know_their_number() {
        let mut args = env(&[c"a", c"b"], &[], &[]).args();
        assert_eq!(args.len(), 2);
        args.next();
        assert_eq!((args.len(), args.clone().next()), (1, Some(c"b")));
        args.next();
        assert_eq!((args.next(), args.next(), args.len()), (None, None, 0));
    }

    #[test]
    fn var_wants_the_whole_name_and_takes_the_first() {
        let env = env(&[c"p"], &[c"AB=1", c"A=x=y", c"A=2", c"odd", c"=C=3", c"E="], &[]);
        assert_eq!(env.var(c"A"), Some(c"x=y"));
        assert_eq!(env.var(c"AB"), Some(c"1"));
        assert_eq!(env.var(c"E"), Some(c""));
        assert_eq!(env.var(c"odd"), None);
        assert_eq!(env.var(c""), None);
        assert_eq!(env.var(c"A=x"), None);
    }
}
