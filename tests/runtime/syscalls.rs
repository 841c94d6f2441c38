//! How many system calls a request costs, counted by a tracer.

use crate::calls::{Calls, Shared, count};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{ChildStdout, Command};

/// How the client leaves.
#[derive(Clone, Copy, PartialEq)]
enum Leave {
    /// Not at all: the server waits for the next request.
    Stay,
    /// By a last message and the end of the stream in one segment.
    WithData,
}

/// The calls that an echo server makes for `rounds` of ping-pong, from one wait to the next that lasts.
fn echo(rounds: usize, leave: Leave) -> Calls {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    command.arg("127.0.0.1:0");
    count(command, |stdout, shared| ping_pong(stdout, rounds, leave, shared))
}

fn ping_pong(stdout: ChildStdout, rounds: usize, leave: Leave, shared: &Shared) -> TcpStream {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let port: u16 = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let message = b"0123456789";
    let mut answer = [0; 10];
    for round in 0..rounds + 1 {
        stream.write_all(message).unwrap();
        stream.read_exact(&mut answer).unwrap();
        if round == 0 {
            shared.until_it_waits();
            shared.count();
        }
    }
    if leave == Leave::WithData {
        // Held back until the shutdown, and sent with it.
        // SAFETY: the kernel reads the message.
        let n = unsafe { libc::send(stream.as_raw_fd(), message.as_ptr().cast(), 10, libc::MSG_MORE) };
        assert_eq!(n, 10);
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(stream.read(&mut answer).unwrap(), 0);
    }
    stream
}

#[test]
fn a_request_costs_a_wait_a_read_and_a_write() {
    let mut calls = echo(300, Leave::Stay);
    // A thread that the tracer holds for a millisecond looks like one that computes: the monitor, which
    // is not traced, then polls in its place.
    let waits = calls.remove(&libc::SYS_epoll_pwait).unwrap();
    assert!((250..=300).contains(&waits), "{waits} waits");
    assert_eq!(calls, BTreeMap::from([(libc::SYS_read, 300), (libc::SYS_write, 300)]));
}

/// The segment that brings the last data brings the end too: it is read at once, not waited for.
#[test]
fn an_end_that_comes_with_data_costs_one_read_more() {
    let expected = [
        (libc::SYS_read, 2),
        (libc::SYS_write, 1),
        (libc::SYS_close, 1),
        (libc::SYS_epoll_ctl, 1), // DEL
    ];
    let mut calls = echo(0, Leave::WithData);
    assert!(calls.remove(&libc::SYS_epoll_pwait).unwrap_or(0) <= 1); // none: as above
    assert_eq!(calls, BTreeMap::from(expected));
}
