//! may: a stackful coroutine for each connection, on one worker.

mod common;

use common::{BUFFER, IDLE_BUFFER, Mode, answer};
use may::net::{TcpListener, TcpStream};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;

fn main() -> io::Result<()> {
    let (mode, port) = common::command_line();
    may::config().set_workers(1);
    may::go!(move || serve(mode, port)).join().expect("the server's coroutine")
}

fn serve(mode: Mode, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    loop {
        let (stream, _) = listener.accept()?;
        let _ = stream.set_nodelay(true); // it may be gone already, as the read will tell
        match mode {
            Mode::Echo => drop(may::go!(move || echo(stream, BUFFER))),
            Mode::Idle => drop(may::go!(move || echo(stream, IDLE_BUFFER))),
            Mode::Http => drop(may::go!(move || http(stream))),
        }
    }
}

fn echo(mut stream: TcpStream, size: usize) {
    let mut buf = vec![0; size];
    while let Ok(n @ 1..) = stream.read(&mut buf) {
        if stream.write_all(&buf[..n]).is_err() {
            break;
        }
    }
}

fn http(mut stream: TcpStream) {
    let (mut buf, mut out) = (vec![0; BUFFER], Vec::new());
    let mut filled = 0;
    while let Ok(n @ 1..) = stream.read(&mut buf[filled..]) {
        filled += n;
        out.clear();
        let answered = answer(&buf[..filled], &mut out);
        buf.copy_within(answered.used..filled, 0);
        filled -= answered.used;
        if stream.write_all(&out).is_err() || !answered.keep {
            break;
        }
    }
}
