//! How many system calls a request costs, and what is in their registers, as `witness` sees them.

use crate::again::again;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use witness::{Call, End, Running, Trace, Witness};

/// How the client leaves.
#[derive(Clone, Copy, PartialEq)]
enum Leave {
    /// Not at all: the server waits for the next request.
    Stay,
    /// By a last message and the end of the stream in one segment.
    WithData,
}

/// The calls that an echo server makes for `rounds` of ping-pong, from one wait to the next that lasts.
fn trace(rounds: usize, leave: Leave) -> Trace {
    let mut command = Command::new(env!("CARGO_BIN_EXE_echo"));
    // One thread runs all tasks.
    command
        .arg("127.0.0.1:0")
        .env_clear()
        .env("NETPOLL_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut server = Witness::command(command).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port: u16 = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
    let (stream, mark) = ping_pong(&server, port, rounds, leave);
    until_it_waits(&server);
    server.signal(libc::SIGKILL);
    let thread = server.pid as i32;
    let trace = server.finish().unwrap();
    drop(stream);
    assert_eq!(trace.end, End::Killed(libc::SIGKILL));
    trace.since(mark).only(|call| call.thread == thread)
}

/// Both are waits; which one it is depends on whether a timer is armed.
fn is_wait(call: &Call) -> bool {
    [libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2].contains(&(call.nr as i64))
}

/// Until the server stands at the entry of a wait, or in it. What the client saw last came of a call before it.
fn until_it_waits(server: &Running) {
    let thread = server.pid as i32;
    let waits = |calls: &[Call]| calls.iter().rfind(|call| call.thread == thread).is_some_and(is_wait);
    assert!(server.wait_until(waits), "the server does not wait");
}

fn ping_pong(server: &Running, port: u16, rounds: usize, leave: Leave) -> (TcpStream, usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let message = b"0123456789";
    let mut answer = [0; 10];
    let mut mark = 0;
    for round in 0..rounds + 1 {
        stream.write_all(message).unwrap();
        stream.read_exact(&mut answer).unwrap();
        if round == 0 {
            until_it_waits(server);
            mark = server.mark();
        }
    }
    if leave == Leave::WithData {
        // Held back until the shutdown, and sent with it.
        // SAFETY: the kernel reads the message.
        let n = unsafe { libc::send(stream.as_raw_fd(), message.as_ptr().cast(), 10, libc::MSG_MORE) };
        assert_eq!(n, 10);
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(again(|| stream.read(&mut answer)).unwrap(), 0);
    }
    (stream, mark)
}

/// How many waits there are, and how often each other call was made.
fn counts(trace: &Trace) -> (usize, BTreeMap<String, usize>) {
    let waits = trace.calls.iter().filter(|call| is_wait(call)).count();
    (waits, trace.only(|call| !is_wait(call)).counts())
}

fn expected(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn a_request_costs_a_wait_a_read_and_a_write() {
    let trace = trace(300, Leave::Stay);
    let (waits, others) = counts(&trace);
    // The last of them lasts. A thread that the tracer holds for a millisecond looks like one that computes: a
    // monitor, where there is one, then polls in its place.
    assert!((250..=301).contains(&waits), "{waits} waits");
    assert_eq!(others, expected(&[("recvfrom", 300), ("sendto", 300)]));
    // Go's registers: no mask.
    trace.assert_arg("epoll_pwait", 4, 0);
}

/// The segment that brings the last data brings the end too: it is read at once, not waited for.
#[test]
fn an_end_that_comes_with_data_costs_one_read_more() {
    let trace = trace(0, Leave::WithData);
    let (waits, others) = counts(&trace);
    assert!((1..=2).contains(&waits), "{waits} waits");
    trace.only(|call| !is_wait(call)).assert_sequence([
        "recvfrom",
        "sendto",
        "recvfrom",
        "epoll_ctl",
        "close",
    ]);
    assert_eq!(others.values().sum::<usize>(), 5);
}
