//! The UDP echo server from outside.

#[path = "support/again.rs"]
mod again;

use again::again;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Server(Child, u16);

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_udp_echo"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Server {
    fn start() -> Server {
        let mut child = command().arg("127.0.0.1:0").spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
        Server(child, port)
    }

    fn client(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", self.1)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a datagram of this length fits the buffers that sockets have on this host.
fn passes(len: usize) -> bool {
    let [a, b] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    b.set_nonblocking(true).unwrap();
    a.send_to(&vec![0; len], b.local_addr().unwrap()).is_ok() && b.recv(&mut [0; 1]).is_ok()
}

#[test]
fn datagrams_of_every_size_come_back() {
    let server = Server::start();
    let client = server.client();
    let mut buf = vec![0; 1 << 16];
    for len in [0, 1, 1472, 1473, 9000, 65_507].into_iter().filter(|&len| passes(len)) {
        let message: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
        client.send(&message).unwrap();
        let n = again(|| client.recv(&mut buf)).unwrap();
        assert!(buf[..n] == message, "{len} bytes");
    }
}

#[test]
fn each_client_gets_its_own() {
    let server = Server::start();
    let clients: Vec<_> = (0..50).map(|_| server.client()).collect();
    for round in 0..20u32 {
        for (i, client) in clients.iter().enumerate() {
            client.send(&(i as u32 * 1000 + round).to_ne_bytes()).unwrap();
        }
        for (i, client) in clients.iter().enumerate() {
            let mut answer = [0; 8];
            assert_eq!(again(|| client.recv(&mut answer)).unwrap(), 4);
            assert_eq!(answer[..4], (i as u32 * 1000 + round).to_ne_bytes());
        }
    }
}

/// One that is gone makes the kernel answer with a refusal, which must not end the server.
#[test]
fn clients_that_are_gone_are_nobodys_error() {
    let server = Server::start();
    for _ in 0..20 {
        drop(server.client().send(b"and away"));
    }
    let client = server.client();
    client.send(b"still there?").unwrap();
    assert_eq!(again(|| client.recv(&mut [0; 64])).unwrap(), 12);
}

#[test]
fn what_it_cannot_do_it_says() {
    for args in [&[][..], &["127.0.0.1:0", "x"]] {
        let output = command().args(args).output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(2), &b"usage: udp_echo ADDR\n"[..]));
    }
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = command().arg(&addr).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("udp_echo: {addr}: bind: EADDRINUSE\n"));
}
