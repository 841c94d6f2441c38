//! What all peers have in common: the command line, and HTTP as `src/bin/srv.rs` of netpoll speaks it.

use std::process::exit;

/// The answer to every request, byte for byte that of `srv`.
pub const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

/// Bytes of a connection's buffer.
pub const BUFFER: usize = 4096;

/// The same with `idle`: what a connection costs then is the runtime's.
pub const IDLE_BUFFER: usize = 64;

#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    Echo,
    Http,
    Idle,
}

/// `PEER echo|http|idle PORT`; ends the process if that is not what was given.
pub fn command_line() -> (Mode, u16) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mode = match args.first().map(String::as_str) {
        Some("echo") => Some(Mode::Echo),
        Some("http") => Some(Mode::Http),
        Some("idle") => Some(Mode::Idle),
        _ => None,
    };
    match (mode, args.get(1).and_then(|port| port.parse().ok())) {
        (Some(mode), Some(port)) => (mode, port),
        _ => {
            eprintln!("usage: PEER echo|http|idle PORT");
            exit(2)
        }
    }
}

/// Bytes at the front of the input that were answered, and whether the connection is kept.
pub struct Answered {
    pub used: usize,
    pub keep: bool,
}

/// Appends to `out` an answer for each whole request head at the front of `input`.
pub fn answer(input: &[u8], out: &mut Vec<u8>) -> Answered {
    let mut used = 0;
    while used < input.len() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&input[used..]) {
            Ok(httparse::Status::Complete(len)) => used += len,
            Ok(httparse::Status::Partial) => break,
            Err(_) => return Answered { used, keep: false },
        }
        out.extend_from_slice(ANSWER);
        let closes = |header: &httparse::Header<'_>| {
            header.name.eq_ignore_ascii_case("connection") && header.value.eq_ignore_ascii_case(b"close")
        };
        if request.version != Some(1) || request.headers.iter().any(closes) {
            return Answered { used, keep: false };
        }
    }
    // A head that fills the whole buffer will never be whole.
    Answered { used, keep: input.len() - used < BUFFER }
}
