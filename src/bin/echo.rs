//! An echo server: `echo ADDR`. A task for each connection, one read and one write for each message.
#![no_std]
#![no_main]

use core::ffi::CStr;
use netpoll::net::{Error, TcpListener, TcpStream};
use netpoll::rt::{Env, Line};

// One thread serves it all, and its tasks never compute.
netpoll::entry!(main, netpoll::Builder::new().threads(1).preemption(false));

fn main(env: Env) -> i32 {
    let mut args = env.args().skip(1);
    let (Some(addr), None) = (args.next(), args.next()) else {
        Line::stderr().str("usage: echo ADDR").end();
        return 2;
    };
    match listen(addr) {
        Ok(never) => match never {},
        Err(e) => {
            let [what, colon, name] = e.describe();
            Line::stderr()
                .str("echo: ")
                .bytes(addr.to_bytes())
                .str(": ")
                .str(what)
                .str(colon)
                .str(name)
                .end();
            1
        }
    }
}

fn listen(addr: &CStr) -> Result<core::convert::Infallible, Error> {
    let listener = TcpListener::bind(addr)?;
    let port = listener.local_addr()?.port(); // the kernel's choice, if it was 0
    Line::stdout().str("echo: listening on port ").number(port.into()).end();
    loop {
        let (stream, _) = listener.accept()?;
        drop(netpoll::spawn(move || serve(&stream)));
    }
}

fn serve(stream: &TcpStream) {
    let _ = stream.set_nodelay(true); // the connection may be gone already, as the read will tell
    let mut buf = [0; 4096];
    // A peer that is gone, in whatever way, ends its task and nothing else.
    while let Ok(n @ 1..) = stream.read(&mut buf) {
        if stream.write_all(&buf[..n]).is_err() {
            break;
        }
    }
}
