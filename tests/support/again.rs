use std::io::{self, ErrorKind};

/// Makes a call again that was interrupted. The kernel does not restart one on a socket with a time limit (signal(7)), and
/// std repeats only what it makes of several calls, as `read_exact`.
pub fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
