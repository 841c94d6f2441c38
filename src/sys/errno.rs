//! Error numbers by the kernel's names.

use super::word;
use core::fmt;
use linux_raw_sys::errno as raw;
use static_assertions::const_assert;

/// An error number, as the kernel returned it. Prints its name (`EAGAIN`), or `errno 4000` where
/// the kernel's headers have none. See errno(3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Errno(u16);

/// The largest error number: results in `-MAX_ERRNO..=-1` are errors, all others are values.
const MAX_ERRNO: i32 = 4095;

impl Errno {
    /// `EAGAIN` by its other name.
    pub const EWOULDBLOCK: Errno = Errno(raw::EWOULDBLOCK as u16);
    /// `EDEADLK` by its other name.
    pub const EDEADLOCK: Errno = Errno(raw::EDEADLOCK as u16);

    /// The number as C programs know it, positive.
    #[inline]
    pub const fn raw(self) -> i32 {
        self.0 as i32
    }

    /// The error `n`; numbers outside `1..=4095` are no errors of the kernel and become `EINVAL`.
    #[inline]
    pub const fn from_raw(n: i32) -> Errno {
        if n >= 1 && n <= MAX_ERRNO { Errno(n as u16) } else { Errno::EINVAL }
    }

    /// The name in the kernel's headers, or `None` for a number that has none.
    pub fn name(self) -> Option<&'static str> {
        word(NAMES, b' ', position(self.0)?)
    }
}

macro_rules! errnos {
    ($($name:ident)*) => {
        #[allow(missing_docs)] // each is its own name
        impl Errno {
            $(pub const $name: Errno = Errno(raw::$name as u16);)*
        }

        /// All names in the order of their numbers: see [`word`].
        const NAMES: &str = concat!($(stringify!($name), " "),*);

        /// The numbers in the order of `NAMES`; lives in the assertion below only.
        const NUMBERS: &[u32] = &[$(raw::$name),*];
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK
    EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE
    EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM
    ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC
    EBADSLT EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO
    EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX
    ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT
    EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL
    ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN
    ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN
    ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED
    EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
}

/// Where the name of error `n` stands in `NAMES`. Two numbers were never given out.
const fn position(n: u16) -> Option<usize> {
    match n {
        0 | 41 | 58 => None,
        1..=40 => Some(n as usize - 1),
        42..=57 => Some(n as usize - 2),
        _ => Some(n as usize - 3),
    }
}

const fn positions_agree() -> bool {
    let mut i = 0;
    while i < NUMBERS.len() {
        match position(NUMBERS[i] as u16) {
            Some(p) if p == i => i += 1,
            _ => return false,
        }
    }
    true
}
const_assert!(positions_agree());

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Errno {}

/// Splits the kernel's result word: `-4095..=-1` is an error.
#[inline(always)]
pub fn result(ret: usize) -> Result<usize, Errno> {
    if ret > (-(MAX_ERRNO as isize) - 1) as usize {
        Err(Errno((ret as isize).wrapping_neg() as u16))
    } else {
        Ok(ret)
    }
}
