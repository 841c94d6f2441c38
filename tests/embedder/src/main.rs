//! An interpreter: programs of a stack machine that read and write, each a task of its own, take turns on one
//! thread. Two of them count down over a pair of sockets, a third serves a pipe.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;

use embedder::{POLLER, Task, arm, wait};
use netpoll::poll::{Error, Mode, PollDesc};

/// An instruction.
enum Op {
    /// Reads a byte onto the stack; at the end of the stream it jumps to the end.
    Read,
    /// Prints the name and the top.
    Print,
    /// Ends the program if the top is 0, and decrements it otherwise.
    Down,
    /// Writes the top, and drops it.
    Write,
    Push(u8),
    Jump(usize),
}
use Op::*;

/// A program that runs: at an instruction, or waiting to try it again. The node is first, so that its address is
/// the program's.
#[repr(C)]
struct Program {
    task: Task,
    name: &'static str,
    code: &'static [Op],
    next: usize,
    stack: Vec<u8>,
    file: std::fs::File,
    pd: PollDesc,
}

/// What a program that was interpreted for a while has come to.
enum State {
    Waits,
    Ended,
}

impl Program {
    fn start(name: &'static str, code: &'static [Op], fd: OwnedFd) -> Result<NonNull<Program>, Error> {
        let pd = POLLER.open(fd.as_raw_fd())?;
        let program =
            Program { task: Task::new(), name, code, next: 0, stack: Vec::new(), file: fd.into(), pd };
        Ok(NonNull::from(Box::leak(Box::new(program))))
    }

    /// Interprets until there is something to wait for.
    ///
    /// # Safety
    /// `this` is from [`Program::start`], has not ended, and waits for nothing.
    unsafe fn run(this: NonNull<Program>) -> Result<State, Error> {
        loop {
            // SAFETY: the caller's contract; `arm` is the last that is done with it before it waits.
            let program = unsafe { &mut *this.as_ptr() };
            let Some(op) = program.code.get(program.next) else { return Ok(State::Ended) };
            let Some(mode) = program.step(op) else { continue };
            // SAFETY: as above.
            if unsafe { arm(program.pd, mode, this.cast()) }? {
                return Ok(State::Waits);
            }
        }
    }

    /// Does one instruction, or says what it has to wait for.
    fn step(&mut self, op: &Op) -> Option<Mode> {
        let top = self.stack.last().copied();
        let mut next = self.next + 1;
        match *op {
            Push(n) => self.stack.push(n),
            Print => println!("{} {}", self.name, top.unwrap()),
            Down if top == Some(0) => next = self.code.len(),
            Down => *self.stack.last_mut().unwrap() -= 1,
            Jump(to) => next = to,
            Read => {
                let mut byte = [0];
                match self.file.read(&mut byte) {
                    Ok(0) => next = self.code.len(),
                    Ok(_) => self.stack.push(byte[0]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(Mode::Read),
                    Err(error) => panic!("{}: {error}", self.name),
                }
            }
            Write => match self.file.write(&[top.unwrap()]) {
                Ok(_) => drop(self.stack.pop()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(Mode::Write),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => next = self.code.len(),
                Err(error) => panic!("{}: {error}", self.name),
            },
        }
        self.next = next;
        None
    }

    /// # Safety
    /// As [`Program::run`]; `this` is not used any more.
    unsafe fn end(this: NonNull<Program>) -> Result<(), Error> {
        // SAFETY: `start` leaked the box.
        let program = unsafe { Box::from_raw(this.as_ptr()) };
        POLLER.close(program.pd) // before the number is closed
    }
}

fn main() -> Result<(), Error> {
    const COUNTER: &[Op] = &[Read, Print, Down, Write, Jump(0)];
    const STARTER: &[Op] = &[Push(4), Write, Read, Print, Down, Write, Jump(2)];
    const ECHO: &[Op] = &[Read, Print, Jump(0)];

    let (a, b) = UnixStream::pair().unwrap();
    let (input, mut output) = UnixStream::pair().unwrap();
    [&a, &b, &input].iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
    let mut running = vec![
        Program::start("echo", ECHO, input.into())?,
        Program::start("b", COUNTER, b.into())?,
        Program::start("a", STARTER, a.into())?,
    ];
    let mut alive = running.len();
    let mut output = Some(output.write_all(&[42]).map(|()| output).unwrap());
    while alive > 0 {
        for program in std::mem::take(&mut running) {
            // SAFETY: it is new, or has been woken.
            if let State::Ended = unsafe { Program::run(program) }? {
                // SAFETY: it has ended, and is in no list.
                unsafe { Program::end(program) }?;
                alive -= 1;
            }
        }
        if alive == 1 {
            output = None; // ends `echo`
        }
        if alive > 0 {
            running.extend(wait(-1)?.map(NonNull::cast::<Program>));
        }
    }
    drop(output);
    println!("{} waiters", POLLER.waiters());
    Ok(())
}
