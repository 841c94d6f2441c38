//! System calls by name, for errors: one byte, so that a result with an error is returned in registers.

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
            pub const fn name(self) -> &'static str {
                match self { $(Call::$call => $name,)* }
            }
        }
    };
}

calls! {
    Mmap = "mmap", Socket = "socket", Setsockopt = "setsockopt", Bind = "bind", Listen = "listen",
    Accept4 = "accept4", Getsockname = "getsockname", Connect = "connect", Getsockopt = "getsockopt",
    Getpeername = "getpeername", Read = "read", Readv = "readv", Recvfrom = "recvfrom", Write = "write",
    Writev = "writev", Sendfile = "sendfile", Shutdown = "shutdown", EpollCreate1 = "epoll_create1",
    Eventfd2 = "eventfd2", EpollCtl = "epoll_ctl", EpollPwait = "epoll_pwait", Pread64 = "pread64", Pipe2 = "pipe2", Fcntl = "fcntl",
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
