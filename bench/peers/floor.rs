//! The floor: one thread, one edge-triggered epoll, no task and no allocation on the way of a request. What
//! is left is the kernel's work for three system calls, which nobody can avoid; the others are measured
//! in multiples of this.
//!
//! All connections share one buffer, which is always in the cache. With `PEER_FLOOR=own` each has its own, as whoever
//! lets a connection's code wait in the middle of a request must.

mod common;

use common::{ANSWER, Answered, BUFFER, IDLE_BUFFER, Mode, answer};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// Events that one wait brings at most.
const EVENTS: usize = 1024;

/// The listener's, among the indices of connections.
const LISTENER: u64 = u64::MAX;

const CLOSED: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

struct Connection {
    stream: TcpStream,
    /// Empty: that of all is used.
    buffer: Vec<u8>,
    /// A head that has not come as a whole yet; empty, as a rule.
    input: Vec<u8>,
    /// What the socket had no room for; empty, as a rule.
    pending: Vec<u8>,
    /// Closed once `pending` is sent.
    ends: bool,
}

struct Epoll(i32);

impl Epoll {
    fn new() -> io::Result<Epoll> {
        // SAFETY: takes flags.
        match unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) } {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(Epoll(fd)),
        }
    }

    fn add(&self, fd: &impl AsRawFd, events: i32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: the kernel reads one event.
        match unsafe { libc::epoll_ctl(self.0, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn wait<'a>(&self, events: &'a mut [libc::epoll_event; EVENTS]) -> &'a [libc::epoll_event] {
        // SAFETY: the kernel writes at most `EVENTS` events.
        let n = unsafe { libc::epoll_wait(self.0, events.as_mut_ptr(), EVENTS as i32, -1) };
        &events[..n.max(0) as usize] // none: a signal
    }
}

fn main() -> io::Result<()> {
    let (mode, port) = common::command_line();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    deepen_backlog(&listener);
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(&listener, libc::EPOLLIN, LISTENER)?;

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut vacant: Vec<usize> = Vec::new();
    let size = if mode == Mode::Idle { IDLE_BUFFER } else { BUFFER };
    let own = if std::env::var_os("PEER_FLOOR").is_some_and(|what| what == "own") { size } else { 0 };
    let mut shared = vec![0; size];
    let mut out = Vec::with_capacity(64 * ANSWER.len());
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    loop {
        for &event in epoll.wait(&mut events) {
            if event.u64 == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    let _ = stream.set_nodelay(true); // it may be gone already, as the read will tell
                    let index = vacant.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
                    epoll.add(&stream, interest, index as u64)?;
                    let (buffer, input, pending) = (vec![0; own], Vec::new(), Vec::new());
                    connections[index] = Some(Connection { stream, buffer, input, pending, ends: false });
                }
                continue;
            }
            let slot = &mut connections[event.u64 as usize];
            let Some(connection) = slot else { continue };
            let closed = event.events & CLOSED != 0;
            let mut buffer = std::mem::take(&mut connection.buffer);
            let buf = if buffer.is_empty() { &mut shared } else { &mut buffer };
            let goes_on = connection.ready(mode, closed, buf, &mut out);
            connection.buffer = buffer;
            if !goes_on {
                *slot = None;
                vacant.push(event.u64 as usize);
            }
        }
    }
}

/// std's backlog is too short for thousands of clients that come at once.
fn deepen_backlog(listener: &TcpListener) {
    // SAFETY: takes numbers; a second `listen` changes the backlog.
    unsafe { libc::listen(listener.as_raw_fd(), 4096) };
}

impl Connection {
    /// Reads and answers until the socket has nothing more; false: the connection is over.
    fn ready(&mut self, mode: Mode, closed: bool, buf: &mut [u8], out: &mut Vec<u8>) -> bool {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            if !self.send(&pending) {
                return false;
            }
        }
        // While it takes no more, nothing more is read.
        while self.pending.is_empty() && !self.ends {
            let n = match self.stream.read(buf) {
                Ok(0) => return false,
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            };
            let sent = match mode {
                Mode::Http => self.http(&buf[..n], out),
                Mode::Echo | Mode::Idle => self.send(&buf[..n]),
            };
            if !sent {
                return false;
            }
            // A short read has drained the socket, but for an end that stands behind the data.
            if n < buf.len() && !closed {
                break;
            }
        }
        !(self.ends && self.pending.is_empty())
    }

    fn http(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let whole = match self.input.is_empty() {
            true => input,
            false => {
                self.input.extend_from_slice(input);
                &self.input
            }
        };
        let Answered { used, keep } = answer(whole, out);
        self.ends = !keep;
        if used < whole.len() || !self.input.is_empty() {
            self.input = whole[used..].to_vec();
        }
        self.send(out)
    }

    /// Sends what the socket has room for, and keeps the rest; false: the connection is over.
    fn send(&mut self, bytes: &[u8]) -> bool {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.pending = bytes[sent..].to_vec();
                    return true;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}
