//! Printing: whole lines, one `write(2)` each where they fit the buffer, never one inside another.

use crate::sched::sema::{semacquire, semrelease};
use crate::sys::fd::{PollFd, PollFlags, ppoll, write};
use crate::sys::{Errno, RawFd};
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::AtomicU32;

const STDOUT: RawFd = 1;
const STDERR: RawFd = 2;

/// Bytes of a message that are written in one piece.
const BUFFER: usize = 512;

/// What one `print!` has formatted and not yet written. On the caller's stack, so that formatting,
/// which runs the user's code, holds no lock; only a message longer than the buffer does.
struct Message {
    fd: RawFd,
    len: usize,
    locked: bool,
    buffer: [u8; BUFFER],
}

impl Message {
    fn new(fd: RawFd) -> Message {
        Message { fd, len: 0, locked: false, buffer: [0; BUFFER] }
    }

    fn flush(&mut self) {
        write_all(self.fd, &self.buffer[..self.len]);
        self.len = 0;
    }
}

impl Write for Message {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let mut rest = s.as_bytes();
        while !rest.is_empty() {
            if self.len == BUFFER {
                if !self.locked {
                    lock();
                    self.locked = true;
                    Stdout::flush(self.fd);
                }
                self.flush();
            }
            let n = rest.len().min(BUFFER - self.len);
            self.buffer[self.len..self.len + n].copy_from_slice(&rest[..n]);
            self.len += n;
            rest = &rest[n..];
        }
        Ok(())
    }
}

/// One for the output: whoever has it may write. Tasks park for it.
static OUTPUT: AtomicU32 = AtomicU32::new(1);

fn lock() {
    semacquire(&OUTPUT);
}

fn unlock() {
    semrelease(&OUTPUT);
}

/// The line that `print!` has begun on stdout and not ended.
struct Stdout(UnsafeCell<Line>);

struct Line {
    len: usize,
    bytes: [u8; BUFFER],
}

// SAFETY: reached by whoever holds `OUTPUT`, and at the end of the process.
unsafe impl Sync for Stdout {}

static BEGUN: Stdout = Stdout(UnsafeCell::new(Line { len: 0, bytes: [0; BUFFER] }));

impl Stdout {
    /// Writes out a begun line, if `fd` is stdout. With the output locked.
    fn flush(fd: RawFd) {
        // SAFETY: the caller has the output, or is the last code of the process.
        let line = unsafe { &mut *BEGUN.0.get() };
        if fd == STDOUT && line.len != 0 {
            write_all(fd, &line.bytes[..line.len]);
            line.len = 0;
        }
    }

    /// Adds to the begun line if that is all there is to do: no newline, and it fits.
    fn hold(bytes: &[u8]) -> bool {
        // SAFETY: the caller has the output.
        let line = unsafe { &mut *BEGUN.0.get() };
        let end = line.len + bytes.len();
        if bytes.contains(&b'\n') || end > BUFFER {
            return false;
        }
        line.bytes[line.len..end].copy_from_slice(bytes);
        line.len = end;
        true
    }
}

/// Behind `print!` and its like.
#[doc(hidden)]
pub fn __print(fd: RawFd, args: fmt::Arguments<'_>) {
    let mut message = Message::new(fd);
    // An error can come from the user's own formatting only; what came before it is printed.
    let _ = message.write_fmt(args);
    let fresh = !message.locked;
    if fresh {
        lock();
    }
    let held = fd == STDOUT && fresh && Stdout::hold(&message.buffer[..message.len]);
    if !held {
        Stdout::flush(fd);
        message.flush();
    }
    unlock();
}

/// Writes out a line begun by `print!` on stdout. Happens by itself at the newline and when the
/// program ends.
pub fn flush_stdout() {
    lock();
    Stdout::flush(STDOUT);
    unlock();
}

/// At the end of the process: nobody else will run, and whoever holds the output never ends.
pub(super) fn flush_at_exit() {
    Stdout::flush(STDOUT);
}

/// A line on stderr, at once, from anywhere: the scheduler, a signal handler, a panic.
pub(crate) fn report(args: fmt::Arguments<'_>) {
    let mut message = Message::new(STDERR);
    message.locked = true; // whatever happens: do not wait for anybody
    let _ = message.write_fmt(args);
    let _ = message.write_str("\n");
    message.flush();
}

/// Writes everything, or gives up: a closed or broken output is nobody's to tell. If somebody made the
/// file non-blocking, waits for it, with the whole thread.
fn write_all(fd: RawFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let _ = ppoll(&mut [PollFd::new(fd, PollFlags::OUT)], None);
            }
            Err(_) => return,
        }
    }
}

/// Prints to stdout. A line is written when it ends, in one piece up to 512 bytes; longer ones keep
/// other tasks' output out until they are done. Errors (a closed output) are ignored.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::rt::__print(1, ::core::format_args!($($arg)*)) };
}

/// As [`print!`], with a newline.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => { $crate::rt::__print(1, ::core::format_args!("{}\n", ::core::format_args!($($arg)*))) };
}

/// As [`print!`], to stderr, which is written at once.
#[macro_export]
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::rt::__print(2, ::core::format_args!($($arg)*)) };
}

/// As [`eprint!`], with a newline.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ($($arg:tt)*) => { $crate::rt::__print(2, ::core::format_args!("{}\n", ::core::format_args!($($arg)*))) };
}
