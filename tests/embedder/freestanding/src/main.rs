//! A calculator on the loopback, as a machine without std and libc could have it: each connection is a task with a
//! stack machine of its own, and one loop over the poller interprets all of them. Everything is in static memory.
//!
//! Words are single bytes: a digit is pushed, `+`, `-` and `*` take two numbers and push one, `.` answers with the
//! top and a newline, `t` gives the client [`PATIENCE`] to go on, or be sent away, and `q` ends the program.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::net::{Ipv4Addr, SocketAddr};
use core::panic::PanicInfo;
use core::ptr::NonNull;

use embedder::{POLLER, Task, arm, wait};
use netpoll::poll::{Error, Kernel, Mode, PollDesc, Side};
use netpoll::sys::fd::{self, read, write};
use netpoll::sys::process::exit_group;
use netpoll::sys::socket::{
    Family, MsgFlags, SocketFlags, SocketType, accept4, bind, getsockname, listen, sendto, socket,
};
use netpoll::sys::{Call, Errno, RawFd};

netpoll::__netpoll_start!(begin);
netpoll::__netpoll_mem!();

/// There is nothing to unwind with.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let line = info.location().map_or(0, |location| location.line());
    print(2, b"panicked at line ", line.into());
    exit_group(101)
}

unsafe extern "C" fn begin(_: *const usize) -> ! {
    match serve() {
        Ok(()) => exit_group(POLLER.waiters() as i32), // nobody
        Err(_) => exit_group(1),
    }
}

/// Tasks there can be; the first is the listener's.
const TASKS: usize = 32;

const PATIENCE: i64 = 50_000_000;

/// What waits. The poller's while it does.
struct Node(UnsafeCell<Task>);

// SAFETY: there is one thread.
unsafe impl Sync for Node {}

static NODES: [Node; TASKS] = [const { Node(UnsafeCell::new(Task::new())) }; TASKS];

/// The listener, or a connection and its machine.
struct Machine {
    node: &'static Node,
    fd: RawFd,
    pd: Option<PollDesc>, // `None`: this place is free
    stack: [i64; 8],
    depth: usize,
}

/// What a task that was run for a while has come to.
#[derive(PartialEq)]
enum State {
    Waits,
    Closed,
    /// `q` was read.
    Quits,
}

impl Machine {
    fn new(node: &'static Node) -> Machine {
        Machine { node, fd: -1, pd: None, stack: [0; 8], depth: 0 }
    }

    fn open(&mut self, fd: RawFd) -> Result<(), Error> {
        *self = Machine { fd, pd: Some(POLLER.open(fd)?), ..Machine::new(self.node) };
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        POLLER.close(self.pd.take().expect("open"))?; // before the number is closed
        // SAFETY: accepted for this connection alone.
        let _ = unsafe { fd::close(self.fd) };
        Ok(())
    }

    /// Reads and interprets until there is nothing more to read.
    fn run(&mut self) -> Result<State, Error> {
        let pd = self.pd.expect("open");
        loop {
            let mut words = [0; 64];
            match read(self.fd, &mut words) {
                Ok(0) => return Ok(State::Closed),
                Ok(n) if words[..n].contains(&b'q') => return Ok(State::Quits),
                Ok(n) if words[..n].iter().all(|&word| self.step(word).is_some()) => {
                    let end = words[..n].ends_with(b"t").then(|| POLLER.kernel().nanotime() + PATIENCE);
                    POLLER.set_deadline(pd, Side::Read, end)?;
                }
                Err(Errno::EAGAIN) => match self.arm(pd, Mode::Read) {
                    Ok(true) => return Ok(State::Waits),
                    Ok(false) => {}
                    Err(Error::Timeout) => return Ok(State::Closed),
                    Err(error) => return Err(error),
                },
                _ => return Ok(State::Closed), // its end, a failure, or not a program
            }
        }
    }

    fn arm(&mut self, pd: PollDesc, mode: Mode) -> Result<bool, Error> {
        let task = NonNull::new(self.node.0.get()).expect("static");
        // SAFETY: its machine runs, so it waits nowhere.
        unsafe { arm(pd, mode, task) }
    }

    /// `None`: there is no such word, or the stack has no room or too few numbers for it.
    fn step(&mut self, word: u8) -> Option<()> {
        let value = match word {
            b'0'..=b'9' => i64::from(word - b'0'),
            b'+' | b'-' | b'*' => {
                let (b, a) = (self.pop()?, self.pop()?);
                match word {
                    b'+' => a.wrapping_add(b),
                    b'-' => a.wrapping_sub(b),
                    _ => a.wrapping_mul(b),
                }
            }
            b'.' => {
                // An answer is short, and the client reads it before it asks on.
                let mut text = [0; 24];
                let answer = decimal(self.pop()?, &mut text);
                return sendto(self.fd, answer, MsgFlags::NOSIGNAL, None).ok().map(drop);
            }
            b't' => return Some(()),
            _ => return None,
        };
        *self.stack.get_mut(self.depth)? = value;
        self.depth += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<i64> {
        self.depth = self.depth.checked_sub(1)?;
        Some(self.stack[self.depth])
    }
}

/// `n` and a newline.
fn decimal(n: i64, text: &mut [u8; 24]) -> &[u8] {
    let (mut at, mut left) = (text.len() - 1, n.unsigned_abs());
    text[at] = b'\n';
    loop {
        at -= 1;
        text[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if n < 0 {
        at -= 1;
        text[at] = b'-';
    }
    &text[at..]
}

fn print(to: RawFd, what: &[u8], n: i64) {
    let _ = write(to, what);
    let _ = write(to, decimal(n, &mut [0; 24]));
}

fn listener() -> Result<RawFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket(Family::INET, SocketType::STREAM, flags, 0)?;
    bind(fd, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    listen(fd, 128)?;
    let addr = SocketAddr::try_from(&getsockname(fd)?)?;
    print(1, b"port ", addr.port().into());
    Ok(fd)
}

/// Accepts until there is nobody, into the free places. Who finds none is sent away. Whether the program is to end.
fn accept(machines: &mut [Machine; TASKS]) -> Result<bool, Error> {
    let [listener, others @ ..] = machines;
    let pd = listener.pd.expect("open");
    let mut quits = false;
    loop {
        match accept4(listener.fd, None, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => match others.iter_mut().find(|machine| machine.pd.is_none()) {
                Some(machine) => {
                    machine.open(fd)?;
                    quits |= turn(machine)?;
                }
                // SAFETY: just accepted, and given to nobody.
                None => _ = unsafe { fd::close(fd) },
            },
            Err(Errno::EAGAIN) if listener.arm(pd, Mode::Read)? => return Ok(quits),
            Err(_) => {} // an edge came meanwhile, or the connection is gone
        }
    }
}

/// Runs a machine until it waits or ends. Whether the program is to end.
fn turn(machine: &mut Machine) -> Result<bool, Error> {
    let state = machine.run()?;
    if state != State::Waits {
        machine.close()?;
    }
    Ok(state == State::Quits)
}

fn serve() -> Result<(), Error> {
    let mut machines = NODES.each_ref().map(Machine::new);
    let fd = listener().map_err(|errno| Error::Os(Call::Socket, errno))?;
    machines[0].open(fd)?;
    let mut quits = accept(&mut machines)?;
    while !quits {
        for task in wait(-1)? {
            let place = (task.as_ptr().addr() - NODES.as_ptr().addr()) / size_of::<Node>();
            quits |= if place == 0 { accept(&mut machines)? } else { turn(&mut machines[place])? };
        }
    }
    machines.iter_mut().filter(|machine| machine.pd.is_some()).try_for_each(Machine::close)?;
    wait(0)?.for_each(drop); // those that waited
    Ok(())
}
