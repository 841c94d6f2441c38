//! `srv echo|http|idle|rest PORT`: what network runtimes are compared by. A task for each connection (but for `rest`), on
//! 127.0.0.1, and threads as `NETPOLL_THREADS` says.
//!
//! | mode | what |
//! |---|---|
//! | `echo` | sends back what comes |
//! | `http` | answers each request head with the same few bytes, and closes after a malformed one |
//! | `idle` | as `echo`, with a buffer of 64 bytes: what a connection costs then is the runtime's |
//! | `rest` | as `echo`, by `net::serve`: a connection that waits has no task |
#![no_std]
#![no_main]

use core::mem::MaybeUninit;
use core::net::{Ipv4Addr, SocketAddr};
use httparse::{Error, Header, Request, Status};
use netpoll::net::{self, Next, TcpListener, TcpStream};
use netpoll::rt::Env;
use netpoll::{eprintln, spawn};

netpoll::entry!(main);

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

/// Bytes of a connection's buffer.
const BUFFER: usize = 4096;

/// Answers that are sent by one write, at most.
const TOGETHER: usize = 8;

/// So many, one behind the other.
static ANSWERS: [u8; ANSWER.len() * TOGETHER] = {
    let mut all = [0; ANSWER.len() * TOGETHER];
    let mut at = 0;
    while at < all.len() {
        all[at] = ANSWER[at % ANSWER.len()];
        at += 1;
    }
    all
};

fn main(env: Env) -> i32 {
    let word = |n| env.args().nth(n).and_then(|word| word.to_str().ok());
    let run: fn(&TcpListener) = match word(1) {
        Some("echo") => |listener| task_each(listener, echo::<BUFFER>),
        Some("http") => |listener| task_each(listener, http),
        Some("idle") => |listener| task_each(listener, echo::<64>),
        Some("rest") => rest,
        _ => return usage(),
    };
    let Some(port) = word(2).and_then(|port| port.parse().ok()) else { return usage() };
    let listener = match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
        Ok(listener) => listener,
        Err(e) => {
            eprintln!("srv: {e}");
            return 1;
        }
    };
    run(&listener);
    1
}

fn usage() -> i32 {
    eprintln!("usage: srv echo|http|idle|rest PORT");
    2
}

fn task_each(listener: &TcpListener, serve: fn(&TcpStream)) {
    while let Ok((stream, _)) = listener.accept() {
        drop(spawn(move || {
            let _ = stream.set_nodelay(true); // the connection may be gone already, as the read will tell
            serve(&stream);
        }));
    }
}

fn rest(listener: &TcpListener) {
    let served = net::serve(listener, |stream: &TcpStream| {
        let mut buf = [0; 512]; // only while it is served: and one that is not filled tells that there is no more
        match stream.read(&mut buf) {
            Ok(n @ 1..) if stream.write_all(&buf[..n]).is_ok() => Next::Idle,
            _ => Next::Close,
        }
    });
    if let Err(e) = served {
        eprintln!("srv: {e}");
    }
}

fn echo<const N: usize>(stream: &TcpStream) {
    let mut buf = [0; N];
    while let Ok(n @ 1..) = stream.read(&mut buf) {
        if stream.write_all(&buf[..n]).is_err() {
            break;
        }
    }
}

fn http(stream: &TcpStream) {
    let mut buf = [0; BUFFER];
    let mut filled = 0;
    while let Ok(n @ 1..) = stream.read(&mut buf[filled..]) {
        filled += n;
        let Some(used) = answer(stream, &buf[..filled]) else { return };
        if used < filled {
            buf.copy_within(used..filled, 0);
        }
        filled -= used;
        if filled == BUFFER {
            return; // a head that large is refused
        }
    }
}

/// Answers all whole heads at the front of `input`; how many bytes these are. `None`: the connection is over.
fn answer(stream: &TcpStream, input: &[u8]) -> Option<usize> {
    let (mut used, mut pending, mut open) = (0, 0, true);
    while open && used < input.len() {
        match head(&input[used..]) {
            Ok(Status::Complete((len, keep))) => (used, open) = (used + len, keep),
            Ok(Status::Partial) => break,
            Err(_) => {
                stream.write_all(&ANSWERS[..pending]).ok()?;
                return None;
            }
        }
        pending += ANSWER.len();
        if pending == ANSWERS.len() {
            stream.write_all(&ANSWERS).ok()?;
            pending = 0;
        }
    }
    stream.write_all(&ANSWERS[..pending]).ok()?;
    open.then_some(used)
}

/// The length of a request head, and whether the connection is kept behind it.
fn head(input: &[u8]) -> Result<Status<(usize, bool)>, Error> {
    let mut headers: [MaybeUninit<Header<'_>>; 32] = [const { MaybeUninit::uninit() }; 32];
    let mut request = Request::new(&mut []);
    let Status::Complete(len) = request.parse_with_uninit_headers(input, &mut headers)? else {
        return Ok(Status::Partial);
    };
    let closes = |header: &Header<'_>| {
        header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close")
    };
    Ok(Status::Complete((len, request.version == Some(1) && !request.headers.iter().any(closes))))
}
