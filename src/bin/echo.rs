//! An echo server: `echo ADDR`. A task for each connection, one read and one write for each message.
#![no_std]
#![no_main]

use netpoll::net::{TcpListener, TcpStream};
use netpoll::rt::Env;

netpoll::entry!(main);

fn main(env: Env) -> i32 {
    let Some(Ok(addr)) = env.args().nth(1).map(|a| a.to_str()) else {
        netpoll::eprintln!("usage: echo ADDR");
        return 2;
    };
    let listener = match TcpListener::bind(addr) {
        Ok(listener) => listener,
        Err(e) => {
            netpoll::eprintln!("echo: {addr}: {e}");
            return 1;
        }
    };
    if let Ok(addr) = listener.local_addr() {
        netpoll::println!("echo: listening on {addr}");
    }
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => drop(netpoll::spawn(move || serve(&stream))),
            Err(e) => netpoll::eprintln!("echo: {e}"),
        }
    }
    0
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
