//! Error numbers by the kernel's names.

use core::fmt;
use linux_raw_sys::errno as raw;

/// An error number, as the kernel returned it. Prints its name (`EAGAIN`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(u16);

impl Errno {
    /// The number as C programs know it, positive.
    pub const fn raw(self) -> i32 {
        self.0 as i32
    }

    /// The error `n`; numbers outside `1..=4095` are no errors of the kernel and become `EINVAL`.
    pub const fn from_raw(n: i32) -> Errno {
        if n >= 1 && n <= 4095 { Errno(n as u16) } else { Errno::EINVAL }
    }
}

macro_rules! errnos {
    ($($name:ident)*) => {
        #[allow(missing_docs)] // each is its own name
        impl Errno {
            $(pub const $name: Errno = Errno(raw::$name as u16);)*
        }
    };
}

errnos! { EAGAIN EBADF EINTR EINVAL ENOSYS EPERM ENOMEM ENOSPC EEXIST ENOENT EMFILE }

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

/// Splits the kernel's result word: `-4095..=-1` is an error.
#[inline(always)]
pub fn result(ret: usize) -> Result<usize, Errno> {
    if ret > -4096isize as usize { Err(Errno((ret as isize).wrapping_neg() as u16)) } else { Ok(ret) }
}
