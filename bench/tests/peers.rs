//! The peers answer as `srv` does, whatever way requests come: what is compared does the same.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PEERS: [&str; 3] =
    [env!("CARGO_BIN_EXE_peer-floor"), env!("CARGO_BIN_EXE_peer-tokio"), env!("CARGO_BIN_EXE_peer-may")];

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";

const LIMIT: Duration = Duration::from_secs(60);

/// A peer, which ends with its value.
struct Server(Child, u16);

impl Server {
    fn start(program: &str, mode: &str) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut command = Command::new(program);
        Server(command.args([mode, &port.to_string()]).stdin(Stdio::null()).spawn().unwrap(), port)
    }

    fn connect(&self) -> TcpStream {
        let start = Instant::now();
        loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, self.1)) {
                Ok(stream) => {
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(LIMIT)).unwrap();
                    return stream;
                }
                Err(error) => assert!(start.elapsed() < LIMIT, "{error}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

/// The rest; a reset counts as the end.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => rest,
    }
}

#[test]
fn echo_in_small_and_in_large() {
    for peer in PEERS {
        for mode in ["echo", "idle"] {
            let server = Server::start(peer, mode);
            let mut stream = server.connect();
            stream.write_all(&[b'x'; 64]).unwrap();
            expect(&mut stream, &[b'x'; 64]);

            let large: Vec<u8> = (0..=255).cycle().take(2 << 20).collect();
            let (mut writer, bytes) = (stream.try_clone().unwrap(), large.clone());
            let writer = thread::spawn(move || {
                writer.write_all(&bytes).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut answer = vec![0; large.len()];
            stream.read_exact(&mut answer).unwrap();
            assert!(answer == large, "{peer} {mode}");
            writer.join().unwrap();
            assert!(rest(stream).is_empty(), "{peer} {mode}");
        }
    }
}

#[test]
fn requests_in_pieces_and_in_heaps() {
    for peer in PEERS {
        let server = Server::start(peer, "http");
        let mut stream = server.connect();
        stream.write_all(REQUEST).unwrap();
        expect(&mut stream, ANSWER);
        for piece in REQUEST.chunks(5) {
            stream.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        expect(&mut stream, ANSWER);
        stream.write_all(&REQUEST.repeat(7)).unwrap();
        expect(&mut stream, &ANSWER.repeat(7));
    }
}

#[test]
fn connections_end_when_they_should() {
    let closing: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let old: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
    let malformed: &[u8] = b"G@T\x01 / HTTP/1.1\r\n\r\n";
    for peer in PEERS {
        let server = Server::start(peer, "http");
        for (request, answer) in [(closing, ANSWER), (old, ANSWER), (malformed, b"")] {
            let mut stream = server.connect();
            stream.write_all(request).unwrap();
            assert_eq!(rest(stream), answer, "{peer}: {}", request.escape_ascii());
        }
        let mut stream = server.connect();
        stream.write_all(&[REQUEST, malformed].concat()).unwrap();
        assert_eq!(rest(stream), ANSWER, "{peer}: one before a malformed one");
    }
}
