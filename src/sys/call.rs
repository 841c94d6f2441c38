//! System calls by name, for errors: one byte, so that a result with an error is returned in registers.

use super::word;

macro_rules! calls {
    ($($call:ident = $name:literal,)*) => {
        /// A system call, as an error names it. Prints its name.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        #[allow(missing_docs)] // each is the call of its name
        pub enum Call { $($call,)* }

        impl Call {
            /// The name, as in the manual.
            pub fn name(self) -> &'static str {
                word(NAMES, self as usize).unwrap_or_default()
            }
        }

        /// All names in the order of the calls: see [`word`].
        const NAMES: &str = concat!($($name, " "),*);
    };
}

calls! {
    Mmap = "mmap", Socket = "socket", Setsockopt = "setsockopt", Bind = "bind", Listen = "listen",
    Accept4 = "accept4", Getsockname = "getsockname", Connect = "connect", Getsockopt = "getsockopt",
    Getpeername = "getpeername", Read = "read", Readv = "readv", Recvfrom = "recvfrom", Write = "write",
    Writev = "writev", Sendfile = "sendfile", Shutdown = "shutdown", EpollCreate1 = "epoll_create1",
    Eventfd2 = "eventfd2", EpollCtl = "epoll_ctl", EpollPwait = "epoll_pwait", Pread64 = "pread64",
    Pipe2 = "pipe2", Fcntl = "fcntl", Socketpair = "socketpair", Sendto = "sendto", Sendmsg = "sendmsg",
    Recvmsg = "recvmsg", Sendmmsg = "sendmmsg", Recvmmsg = "recvmmsg", Splice = "splice", Openat = "openat",
    Ppoll = "ppoll", Ioctl = "ioctl", Signalfd4 = "signalfd4",
}

impl core::fmt::Debug for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl core::fmt::Display for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn calls_have_their_names() {
        assert_eq!((Call::Mmap.name(), Call::Readv.name(), Call::Ioctl.name()), ("mmap", "readv", "ioctl"));
    }
}
