//! The load of `tests/soak.rs`: clients that behave, and more that do not. What a client is answered must be right;
//! that it is cut off, by a deadline or for want of descriptors, must not surprise it.

use crate::again::again;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::mem::size_of;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::slice;
use std::sync::Mutex;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Clients at once. With their pauses they make some 200 connections a second, of which the kernel remembers each
/// for a minute, and has 28,000 ports.
const CLIENTS: u64 = 6;

/// More than the server has descriptors.
const FLOOD: usize = 90;

/// No client waits longer for anything; the server has sent it away by then.
const PATIENCE: Duration = Duration::from_secs(60);

pub enum Load {
    /// To `soak`: its ports, and what signals it gets.
    Requests { ports: Vec<u16>, signals: Vec<i32> },
    /// To `httpd`, which serves `small`, `large` and `folder`.
    Pages { port: u16, signals: Vec<i32> },
}

/// Numbers that look random: xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

pub fn limit_descriptors(pid: i32, n: u64) {
    let limit = libc::rlimit { rlim_cur: n, rlim_max: n };
    // SAFETY: the kernel reads the limit.
    assert_eq!(unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, &limit, std::ptr::null_mut()) }, 0);
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Closes by a reset, and forgets what is under way.
fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = size_of::<libc::linger>() as u32;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
    // SAFETY: the kernel reads the structure.
    let done = unsafe { libc::setsockopt(stream.as_raw_fd(), level, name, (&raw const linger).cast(), len) };
    assert_eq!(done, 0);
}

/// `httpd` has no descriptor left for the file.
fn is_refusal(answer: &[u8]) -> bool {
    answer.starts_with(b"HTTP/1.1 503 ")
}

impl Load {
    /// Keeps the server busy for `time`; how often what was done.
    pub fn run(&self, pid: i32, time: Duration) -> BTreeMap<&'static str, u64> {
        let (start, done) = (Instant::now(), Mutex::new(BTreeMap::new()));
        scope(|s| {
            for client in 1..=CLIENTS {
                let done = &done;
                s.spawn(move || {
                    let mut random = Random(client.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    while start.elapsed() < time {
                        let what = self.act(pid, &mut random, client == 1).unwrap_or("cut off");
                        *done.lock().unwrap().entry(what).or_default() += 1;
                        sleep(Duration::from_millis(10 + random.below(30)));
                    }
                });
            }
        });
        done.into_inner().unwrap()
    }

    /// The server still answers.
    pub fn is_answered(&self) {
        let start = Instant::now();
        let (ports, mut random) = match self {
            Load::Requests { ports, .. } => (&ports[..], Random(7)),
            Load::Pages { port, .. } => (slice::from_ref(port), Random(7)),
        };
        for &port in ports {
            let ask = |random: &mut Random| {
                let (request, answer) = self.request(random);
                let mut stream = connect(port)?;
                stream.write_all(&request)?;
                self.read(&mut stream, &answer)
            };
            while let Err(error) = ask(&mut random) {
                assert!(start.elapsed() < PATIENCE, "no answer: {error}");
                sleep(Duration::from_millis(50)); // it may have been slower than its own patience allows
            }
        }
    }

    /// Has as many connections at once as the server has descriptors for, each of which asks for everything.
    pub fn fill(&self, port: u16, full: impl Fn() -> bool) {
        let mut all = Vec::new();
        (0..30).for_each(|n| all.extend(self.request(&mut Random(n + 1)).0));
        let start = Instant::now();
        loop {
            let connections: Vec<_> = (0..FLOOD).map_while(|_| connect(port).ok()).collect();
            connections.iter().for_each(|mut stream| _ = stream.write_all(&all));
            // Until it is full, or has sent all of them away, being slow.
            let round = Instant::now();
            while round.elapsed() < Duration::from_secs(1) {
                if full() {
                    // The first are answered, and keep theirs meanwhile.
                    for mut stream in connections.iter().take(FLOOD / 3) {
                        let _ = stream.read(&mut [0; 1000]);
                    }
                    return;
                }
                sleep(Duration::from_millis(1));
            }
            assert!(start.elapsed() < 3 * PATIENCE, "there are descriptors left");
        }
    }

    fn act(&self, pid: i32, random: &mut Random, floods: bool) -> io::Result<&'static str> {
        let (port, signals) = match self {
            Load::Requests { ports, signals } => (ports[random.below(2) as usize], signals),
            Load::Pages { port, signals } => (*port, signals),
        };
        match random.below(20) {
            0 => {
                let signal = signals[random.below(signals.len() as u64) as usize];
                // SAFETY: kill(2) takes numbers; the server is a child that nobody has waited for.
                assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
                return Ok("signal");
            }
            1 if floods => {
                let connections: Vec<_> = (0..FLOOD).map_while(|_| connect(port).ok()).collect();
                connections.iter().for_each(|mut stream| _ = stream.write_all(&self.request(random).0));
                sleep(Duration::from_millis(random.below(300)));
                connections.into_iter().filter(|_| random.below(2) == 0).for_each(reset);
                return Ok("flood");
            }
            _ => {}
        }
        let mut stream = connect(port)?;
        match random.below(10) {
            0 => Ok("nothing"),
            1 => {
                reset(stream);
                Ok("reset at once")
            }
            2 => {
                let (request, _) = self.request(random);
                stream.write_all(&request[..random.below(request.len() as u64) as usize])?;
                reset(stream);
                Ok("reset in a request")
            }
            3 => {
                let (request, _) = self.request(random);
                stream.write_all(&request)?;
                let _ = again(|| stream.read(&mut [0; 100]))?;
                reset(stream);
                Ok("reset in an answer")
            }
            4 => {
                // Reads nothing, until the server has enough of it, or for a while.
                let requests = self.request(random).0.repeat(100);
                let _ = (0..100).try_for_each(|_| stream.write_all(&requests));
                reset(stream);
                Ok("unread")
            }
            5 => {
                let (request, _) = self.request(random);
                stream.write_all(&request[..1])?;
                let _ = stream.read(&mut [0; 1000]); // until it is sent away
                Ok("silent")
            }
            6 => {
                let (request, answer) = self.request(random);
                stream.write_all(&request)?;
                stream.shutdown(Shutdown::Write)?;
                let mut all = Vec::new();
                stream.read_to_end(&mut all)?;
                let right = all.len() < answer.len() || all.ends_with(&answer) || is_refusal(&all);
                assert!(right, "{} other bytes", all.len());
                Ok("half-closed")
            }
            _ => {
                for _ in 0..=random.below(4) {
                    let (request, answer) = self.request(random);
                    stream.write_all(&request)?;
                    self.read(&mut stream, &answer)?;
                }
                Ok("answered")
            }
        }
    }

    /// A request, and the answer, or what the answer ends with.
    fn request(&self, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
        match self {
            Load::Requests { .. } => {
                let body: Vec<u8> = (0..1 + random.below(255)).map(|_| random.below(256) as u8).collect();
                let kind = b"eeect"[random.below(5) as usize];
                ([&[kind, body.len() as u8][..], &body].concat(), body)
            }
            Load::Pages { .. } => match random.below(4) {
                0 => (b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), vec![b'x'; 1 << 20]),
                1 => (b"GET /folder HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), Vec::new()),
                _ => (b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), b"content".to_vec()),
            },
        }
    }

    /// Reads one answer, which must be that.
    fn read(&self, stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
        let mut body = vec![0; answer.len()];
        if let Load::Pages { .. } = self {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            if is_refusal(&head) {
                return Err(io::ErrorKind::Other.into());
            }
            let head = String::from_utf8(head).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.unwrap_or_else(|| panic!("{head}")).parse().unwrap();
            assert!(length == answer.len() || answer.is_empty(), "{head}");
            body.resize(length, 0);
        }
        stream.read_exact(&mut body)?;
        assert!(body == answer || answer.is_empty(), "{} other bytes", body.len());
        Ok(())
    }
}
