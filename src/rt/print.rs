//! Printing: whole lines, one `write(2)` each where they fit the buffer, never one inside another.
//!
//! The runtime itself prints text and numbers ([`Line`]) and formats nothing: `core::fmt` is
//! larger than a small program, and is linked where the user formats.

use crate::sched::proc;
use crate::sched::sema::{semacquire, semrelease, semtake};
use crate::sys::fd::{PollFd, PollFlags, ppoll, write};
use crate::sys::{Errno, RawFd};
use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

const STDOUT: RawFd = 1;
const STDERR: RawFd = 2;

/// Bytes of a message that are written in one piece.
const BUFFER: usize = 512;

/// Bytes waiting to be written.
struct Buffer {
    len: usize,
    bytes: [u8; BUFFER],
}

impl Buffer {
    const fn new() -> Buffer {
        Buffer { len: 0, bytes: [0; BUFFER] }
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Takes as much of `bytes` as fits and returns the rest.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let n = room.len().min(bytes.len());
        room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.len += n;
        bytes.get(n..).unwrap_or_default()
    }

    fn write_out(&mut self, fd: RawFd) {
        write_all(fd, self.filled());
        self.len = 0;
    }
}

/// What one `print!` has formatted and not yet written. On the caller's stack, so that formatting,
/// which runs the user's code, holds no lock; only a message longer than the buffer does.
pub(super) struct Message {
    fd: RawFd,
    /// The output is ours, and written to, until the message ends.
    locked: bool,
    /// It must be given back then.
    owned: bool,
    /// Printed without asking for the output.
    urgent: bool,
    buffer: Buffer,
    /// The output belongs to the task that locked it (`OWNER`): no other task may end the message.
    not_send: PhantomData<*mut ()>,
}

impl Message {
    #[inline(never)] // half a KiB of zeros: made in one place
    fn new(fd: RawFd) -> Message {
        Message {
            fd,
            locked: false,
            owned: false,
            urgent: false,
            buffer: Buffer::new(),
            not_send: PhantomData,
        }
    }

    /// For stderr, from anywhere: the scheduler, a signal handler, a panic. Waits for nobody.
    pub fn urgent() -> Message {
        let mut message = Message::new(STDERR);
        message.urgent = true;
        message
    }

    pub fn push(&mut self, s: &str) -> &mut Message {
        self.push_bytes(s.as_bytes())
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> &mut Message {
        let mut rest = self.buffer.fill(bytes);
        while !rest.is_empty() {
            if !self.locked && !self.urgent {
                self.lock();
                begun().write_out_if(self.fd == STDOUT);
            }
            self.flush();
            rest = self.buffer.fill(rest);
        }
        self
    }

    pub fn push_number(&mut self, n: u64) -> &mut Message {
        self.push_digits(n, 10)
    }

    fn push_digits(&mut self, n: u64, base: u64) -> &mut Message {
        if n >= base {
            self.push_digits(n / base, base);
        }
        let digit = (n % base) as u8;
        self.push_bytes(&[digit + if digit < 10 { b'0' } else { b'a' - 10 }])
    }

    pub fn flush(&mut self) {
        self.buffer.write_out(self.fd);
    }

    /// The end of a `print!`. The message is as new behind it.
    fn finish(&mut self) {
        if !self.locked && !self.urgent {
            self.lock();
            let text = self.buffer.filled();
            let held = self.fd == STDOUT && !has_newline(text) && begun().hold(text);
            if held {
                self.buffer.len = 0;
            } else {
                begun().write_out_if(self.fd == STDOUT);
            }
        }
        self.flush();
        self.unlock();
    }

    fn lock(&mut self) {
        self.owned = lock();
        self.locked = true;
    }

    /// Gives the output back.
    fn unlock(&mut self) {
        if self.owned {
            unlock();
        }
        (self.locked, self.owned) = (false, false);
    }
}

impl fmt::Write for Message {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s);
        Ok(())
    }
}

/// Not `contains`: its search by words, with a check that can panic, is larger than all of this.
fn has_newline(text: &[u8]) -> bool {
    text.iter().rev().position(|&b| b == b'\n').is_some()
}

/// One for the output: whoever has it may write. Tasks park for it.
static OUTPUT: AtomicU32 = AtomicU32::new(1);

/// The task that has the output, or null. Only that task finds itself here, so the word orders nothing
/// and is right for whoever compares it with himself.
static OWNER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Takes the output. `false`: the task has it already, by a message that is being formatted right now
/// (its `Display` prints something itself); it is that message's to give back.
fn lock() -> bool {
    let me: *mut () = proc::running().map_or(ptr::null_mut(), |g| g.as_ptr().cast());
    if !me.is_null() && OWNER.load(Ordering::Relaxed) == me {
        return false;
    }
    semacquire(&OUTPUT);
    OWNER.store(me, Ordering::Relaxed);
    true
}

fn unlock() {
    OWNER.store(ptr::null_mut(), Ordering::Relaxed);
    semrelease(&OUTPUT);
}

/// The line that `print!` has begun on stdout and not ended.
struct Begun(UnsafeCell<Buffer>);

// SAFETY: reached through `begun` only.
unsafe impl Sync for Begun {}

/// Only for whoever has `OUTPUT`.
#[allow(clippy::mut_from_ref)]
fn begun() -> &'static mut Buffer {
    static BEGUN: Begun = Begun(UnsafeCell::new(Buffer::new()));
    // SAFETY: one caller at a time (above), and none keeps the reference.
    unsafe { &mut *BEGUN.0.get() }
}

impl Buffer {
    fn write_out_if(&mut self, stdout: bool) {
        if stdout && self.len != 0 {
            self.write_out(STDOUT);
        }
    }

    /// Adds to the begun line, if it fits.
    fn hold(&mut self, text: &[u8]) -> bool {
        let fits = self.len + text.len() <= BUFFER;
        if fits {
            self.fill(text);
        }
        fits
    }
}

/// Behind `print!` and its like, for text that needs no formatting.
#[doc(hidden)]
pub fn __print_str(fd: RawFd, text: &str) {
    let mut message = Message::new(fd);
    message.push(text);
    message.finish();
}

/// Behind `print!` and its like.
#[doc(hidden)]
pub fn __print(fd: RawFd, args: fmt::Arguments<'_>) {
    let mut message = Message::new(fd);
    // An error can come from the user's own formatting only; what came before it is printed.
    let _ = fmt::write(&mut message, args);
    message.finish();
}

/// Writes out a line begun by `print!` on stdout. Happens by itself at the newline and when the
/// program ends.
pub fn flush_stdout() {
    let owned = lock();
    begun().write_out_if(true);
    if owned {
        unlock();
    }
}

/// At the end of the process. Whoever is printing at this moment, on another thread, has written out what
/// was begun before him.
pub(super) fn flush_at_exit() {
    if semtake(&OUTPUT) {
        begun().write_out_if(true);
    }
}

/// A line of text and numbers, printed whole like those of [`println!`](crate::println), without `core::fmt`, which is
/// larger than a small program: for those who count bytes. The runtime prints its own reports so.
///
/// Up to 512 bytes are kept until [`Line::end`], and forgotten if the line is dropped before. A longer line is written
/// as it grows: from then on it has the output to itself, and a drop ends it. A line stays with its task.
///
/// ```ignore
/// Line::stderr().str("listening on port ").number(port.into()).end();
/// ```
#[must_use = "nothing is printed before `end`"]
pub struct Line(Message);

impl Line {
    /// A line on stdout.
    pub fn stdout() -> Line {
        Line(Message::new(STDOUT))
    }

    /// A line on stderr.
    pub fn stderr() -> Line {
        Line(Message::new(STDERR))
    }

    /// As [`Line::stderr`], where no task runs, or none may park.
    pub(crate) fn urgent() -> Line {
        Line(Message::urgent())
    }

    /// Adds text.
    #[must_use = "nothing is printed before `end`"]
    pub fn str(&mut self, s: &str) -> &mut Line {
        self.0.push(s);
        self
    }

    /// Adds bytes as they are, such as those of an argument.
    #[must_use = "nothing is printed before `end`"]
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Line {
        self.0.push_bytes(bytes);
        self
    }

    /// Adds a number, in decimal.
    #[must_use = "nothing is printed before `end`"]
    pub fn number(&mut self, n: u64) -> &mut Line {
        self.0.push_number(n);
        self
    }

    /// Adds a number in hexadecimal, without a prefix.
    #[must_use = "nothing is printed before `end`"]
    pub(crate) fn hex(&mut self, n: usize) -> &mut Line {
        self.0.push_digits(n as u64, 16);
        self
    }

    /// Adds the newline and prints. The line is empty again behind it.
    pub fn end(&mut self) {
        self.0.push("\n");
        self.0.finish();
    }
}

impl Drop for Line {
    /// Ends a line that was given up after a part of it had been written. (`print!` always ends its message.)
    fn drop(&mut self) {
        if self.0.locked {
            self.end();
        }
    }
}

/// Writes everything, or gives up: a closed or broken output is nobody's to tell. If somebody made the
/// file non-blocking, waits for it, with the whole thread.
fn write_all(fd: RawFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match write(fd, bytes) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
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
    ($($arg:tt)*) => { $crate::__netpoll_print!(1, ::core::format_args!($($arg)*)) };
}

/// As [`print!`], with a newline.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => {
        $crate::__netpoll_print!(1, ::core::format_args!("{}\n", ::core::format_args!($($arg)*)))
    };
}

/// As [`print!`], to stderr, which is written at once.
#[macro_export]
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::__netpoll_print!(2, ::core::format_args!($($arg)*)) };
}

/// As [`eprint!`], with a newline.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::eprint!("\n") };
    ($($arg:tt)*) => {
        $crate::__netpoll_print!(2, ::core::format_args!("{}\n", ::core::format_args!($($arg)*)))
    };
}

/// Asks at the place of the call whether there is anything to format, where the compiler knows.
#[doc(hidden)]
#[macro_export]
macro_rules! __netpoll_print {
    ($fd:literal, $args:expr) => {
        match $args {
            args => match args.as_str() {
                ::core::option::Option::Some(text) => $crate::rt::__print_str($fd, text),
                ::core::option::Option::None => $crate::rt::__print($fd, args),
            },
        }
    };
}
