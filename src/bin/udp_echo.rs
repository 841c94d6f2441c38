//! A UDP echo server: `udp_echo ADDR`. It takes as many datagrams as are there with one system call, and
//! sends them back with another.
#![no_std]
#![no_main]

use core::array::from_fn;
use core::convert::Infallible;
use core::ffi::CStr;
use netpoll::net::udp::{RecvDatagram, SendDatagram};
use netpoll::net::{Error, UdpSocket};
use netpoll::rt::Env;
use netpoll::{eprintln, println};

/// Datagrams at a time.
const BATCH: usize = 16;
/// Larger than any.
const ROOM: usize = 1 << 16;

// One task, on a stack that holds the buffers twice over: they are made there.
netpoll::entry!(main, netpoll::Builder::new().threads(1).preemption(false).stack_size(3 * BATCH * ROOM));

fn main(env: Env) -> i32 {
    let mut args = env.args().skip(1);
    let (Some(addr), None) = (args.next(), args.next()) else {
        eprintln!("usage: udp_echo ADDR");
        return 2;
    };
    let Err(e) = serve(addr);
    eprintln!("udp_echo: {}: {e}", addr.to_bytes().escape_ascii());
    1
}

fn serve(addr: &CStr) -> Result<Infallible, Error> {
    let socket = UdpSocket::bind(addr)?;
    // The kernel's choice, if it was 0.
    println!("udp_echo: listening on port {}", socket.local_addr()?.port());
    let mut room = [[0; ROOM]; BATCH];
    let mut datagrams = room.each_mut().map(|buf| RecvDatagram::new(buf));
    loop {
        let count = socket.recv_batch(&mut datagrams)?;
        let answers: [_; BATCH] = from_fn(|i| SendDatagram::new(datagrams[i].bytes(), datagrams[i].from()));
        let mut left = &answers[..count];
        while !left.is_empty() {
            // An answer that cannot be sent is dropped, as the network does.
            let sent = socket.send_batch(left).unwrap_or(1);
            left = &left[sent..];
        }
    }
}
