//! A name server that says what a script tells it to, over UDP and TCP, at several addresses.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub const A: u16 = 1;
pub const CNAME: u16 = 5;
pub const AAAA: u16 = 28;

// Of the header's flags.
pub const TRUNCATED: u16 = 1 << 9;
pub const SERVFAIL: u16 = 2;
pub const NXDOMAIN: u16 = 3;
pub const REFUSED: u16 = 5;

/// A question as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub name: String,
    pub kind: u16,
    pub tcp: bool,
    /// Of the server, and of who asked.
    pub server: IpAddr,
    pub from: SocketAddr,
    pub query: Vec<u8>,
}

impl Asked {
    /// An answer with these flags and records.
    pub fn reply(&self, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
        let mut message = self.query.clone();
        message[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        message.extend(records.concat());
        message
    }

    /// The usual answer: 10.0.0.`n`, or fd00::`n`.
    pub fn address(&self, n: u8) -> Vec<u8> {
        self.reply(0, &[self.record(n)])
    }

    /// A record of the kind that was asked for.
    pub fn record(&self, n: u8) -> Vec<u8> {
        match self.kind {
            A => record(&[0xc0, 12], A, &[10, 0, 0, n]),
            _ => record(&[0xc0, 12], AAAA, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]),
        }
    }

    /// The id alone.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.query[0], self.query[1]])
    }
}

pub fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    [kind, 1, 0, 60, data.len() as u16].iter().for_each(|word| record.extend(word.to_be_bytes()));
    record.extend(data);
    record
}

/// A name as it is sent.
pub fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// A message to send, and when.
pub type Reply = (Duration, Vec<u8>);

/// At once, one answer.
pub fn now(message: Vec<u8>) -> Vec<Reply> {
    vec![(Duration::ZERO, message)]
}

pub struct Server {
    pub port: u16,
    log: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

type Script = dyn Fn(&Asked) -> Vec<Reply> + Send + Sync;

/// A server at all of `addrs`, at one port.
pub fn serve(addrs: &[&str], script: impl Fn(&Asked) -> Vec<Reply> + Send + Sync + 'static) -> Server {
    let sockets = (0..100).find_map(|_| {
        let port = UdpSocket::bind((addrs[0], 0)).unwrap().local_addr().unwrap().port();
        let udp: Result<Vec<_>, _> = addrs.iter().map(|addr| UdpSocket::bind((*addr, port))).collect();
        let tcp: Result<Vec<_>, _> = addrs.iter().map(|addr| TcpListener::bind((*addr, port))).collect();
        Some((port, udp.ok()?, tcp.ok()?))
    });
    let (port, udp, tcp) = sockets.expect("a port that is free at all addresses");
    let (log, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let script: Arc<Script> = Arc::new(script);
    let answer = {
        let log: Arc<Mutex<Vec<Asked>>> = Arc::clone(&log);
        Arc::new(move |query: Vec<u8>, tcp, server: SocketAddr, from| {
            let (name, kind) = question(&query);
            let asked = Asked { name, kind, tcp, server: server.ip(), from, query };
            log.lock().unwrap().push(asked.clone());
            script(&asked)
        })
    };
    let mut threads = Vec::new();
    for socket in udp {
        let (stop, answer) = (Arc::clone(&stop), Arc::clone(&answer));
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let here = socket.local_addr().unwrap();
        threads.push(thread::spawn(move || {
            let mut buf = [0; 1000];
            while !stop.load(Ordering::Relaxed) {
                let Ok((n, from)) = socket.recv_from(&mut buf) else { continue };
                for (delay, message) in answer(buf[..n].to_vec(), false, here, from) {
                    let socket = socket.try_clone().unwrap();
                    let send = move || {
                        thread::sleep(delay);
                        let _ = socket.send_to(&message, from); // who asked may be gone
                    };
                    if delay.is_zero() { send() } else { drop(thread::spawn(send)) }
                }
            }
        }));
    }
    for listener in tcp {
        let (stop, answer) = (Arc::clone(&stop), Arc::clone(&answer));
        listener.set_nonblocking(true).unwrap();
        let here = listener.local_addr().unwrap();
        threads.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, from)) => {
                        stream.set_nonblocking(false).unwrap();
                        let _ = one_stream(stream, |query| answer(query, true, here, from));
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(2)),
                    Err(e) => panic!("{e}"),
                }
            }
        }));
    }
    Server { port, log, stop, threads }
}

/// One query; its answers, byte by byte at first, since a stream may come in any pieces.
fn one_stream(
    mut stream: TcpStream,
    answer: impl Fn(Vec<u8>) -> Vec<Reply>,
) -> Result<(), Box<dyn std::error::Error>> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_nodelay(true)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut query = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut query)?;
    for (delay, message) in answer(query) {
        thread::sleep(delay);
        let message = [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
        for piece in message[..1].chunks(1).chain(message[1..5].chunks(2)).chain([&message[5..]]) {
            stream.write_all(piece)?;
        }
    }
    Ok(())
}

fn question(query: &[u8]) -> (String, u16) {
    assert_eq!(query[2..12], [1, 0, 0, 1, 0, 0, 0, 0, 0, 0], "recursion desired, one question");
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(std::str::from_utf8(&query[at + 1..end]).unwrap());
        at = end;
    }
    assert_eq!((query[at + 3..].to_vec(), query.len()), (vec![0, 1], at + 5), "class, and nothing more");
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]))
}

impl Server {
    pub fn log(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// The names in the order in which IPv4 addresses were asked for.
    pub fn names(&self) -> Vec<String> {
        self.log().into_iter().filter(|asked| asked.kind == A).map(|asked| asked.name).collect()
    }

    /// How many sockets the questions came from.
    pub fn askers(&self) -> usize {
        self.log().iter().map(|asked| asked.from).collect::<HashSet<_>>().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}
