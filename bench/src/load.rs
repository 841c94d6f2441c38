//! The load generator: one thread that never sleeps, so that its own wake-ups are in no figure.
//!
//! - **Closed loop**: each connection has one request in flight, and sends the next when the answer is there.
//! - **Open loop**: request k is due at `start + k / rate`, on connection k mod C. Its latency counts from
//!   when it was due, whether or not the connection was free then. So a server that stalls pays for every request
//!   that should have been sent meanwhile, and cannot omit them by being slow. What is never answered counts
//!   until the end.

use crate::os::{self, Epoll};
use crate::server::{Mode, Server, machine_cpu_time};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Bytes of a message in the echo modes.
const MESSAGE: usize = 64;

/// Connections that are opened before the first of them is used: no backlog is shorter.
const AT_ONCE: usize = 100;

/// Connections from one address: there are 28,000 ports by default.
const FROM_ONE_ADDRESS: usize = 20_000;

/// For one answer, and behind the window of an open loop for all that are missing.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

const SECOND: f64 = 1e9;

/// A request and the answer that has to come, byte for byte.
struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Exchange {
    fn new(mode: Mode) -> Exchange {
        let (request, answer) = match mode {
            Mode::Http => (
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: netpoll-bench\r\nAccept: */*\r\n\r\n"
                    .to_vec(),
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"
                    .to_vec(),
            ),
            Mode::Echo | Mode::Idle => {
                let message: Vec<u8> = (b'a'..=b'z').cycle().take(MESSAGE).collect();
                (message.clone(), message)
            }
        };
        Exchange { request, answer }
    }
}

/// Opened connections, each of which has had an answer.
pub struct Client {
    exchange: Exchange,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of the answer that are here.
    filled: usize,
    /// When the request in flight was due.
    due: Option<u64>,
    /// When those were due that wait for the connection.
    queue: VecDeque<u64>,
}

/// When requests are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    Closed,
    /// Requests a second, in even distances.
    Open(f64),
}

/// What was measured in a window.
pub struct Sample {
    pub requests: u64,
    pub seconds: f64,
    /// Of the server, in seconds.
    pub cpu: f64,
    /// CPUs that neither the server nor the client had.
    pub foreign: f64,
    /// In ns.
    pub latency: Histogram<u64>,
}

impl Sample {
    /// Of the server, in us a request.
    pub fn cpu_per_request(&self) -> f64 {
        self.cpu * 1e6 / self.requests.max(1) as f64
    }

    pub fn throughput(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// In us.
    pub fn quantile(&self, q: f64) -> f64 {
        self.latency.value_at_quantile(q) as f64 / 1e3
    }
}

impl Client {
    /// Opens `connections`, and makes sure by an exchange on each that the server has accepted it.
    pub fn connect(port: u16, mode: Mode, connections: usize) -> io::Result<Client> {
        let mut client =
            Client { exchange: Exchange::new(mode), connections: Vec::with_capacity(connections) };
        client.grow(port, connections)?;
        Ok(client)
    }

    /// Opens as many more.
    pub fn grow(&mut self, port: u16, more: usize) -> io::Result<()> {
        let end = self.connections.len() + more;
        while self.connections.len() < end {
            let first = self.connections.len();
            for index in first..end.min(first + AT_ONCE) {
                let stream = os::connect(port, 1 + (index / FROM_ONE_ADDRESS) as u8)?;
                stream.set_read_timeout(Some(ANSWER_LIMIT))?;
                self.connections.push(Connection { stream, filled: 0, due: None, queue: VecDeque::new() });
            }
            for connection in &mut self.connections[first..] {
                connection.ask(&self.exchange)?;
                connection.stream.set_nonblocking(true)?;
            }
        }
        Ok(())
    }

    /// Makes so many exchanges, one at a time, the connections in turns.
    pub fn take_turns(&mut self, exchanges: usize) -> io::Result<()> {
        let count = self.connections.len();
        for turn in 0..exchanges {
            let connection = &mut self.connections[turn % count];
            connection.send(&self.exchange, 0)?;
            connection.receive_all(&self.exchange)?;
        }
        Ok(())
    }

    /// Sends a request on each connection, and waits for all the answers.
    pub fn burst(&mut self) -> io::Result<()> {
        for connection in &mut self.connections {
            connection.send(&self.exchange, 0)?;
        }
        self.connections.iter_mut().try_for_each(|connection| connection.receive_all(&self.exchange))
    }

    /// Loads `server`, and measures from `warm_up` on for the time of `window`.
    pub fn run(
        mut self,
        server: &Server,
        pace: Pace,
        warm_up: Duration,
        window: Duration,
    ) -> io::Result<Sample> {
        let start = os::now();
        let from = start + warm_up.as_nanos() as u64;
        let until = from + window.as_nanos() as u64;
        let mut run = Run {
            epoll: Epoll::new()?,
            window: from..until,
            latency: Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds in order"),
            requests: 0,
            in_flight: 0,
        };
        for (index, connection) in self.connections.iter().enumerate() {
            run.epoll.add(&connection.stream, index)?;
        }
        let (before, after) = match pace {
            Pace::Closed => self.closed(&mut run, server)?,
            Pace::Open(rate) => self.open(&mut run, server, start, rate)?,
        };
        let seconds = (after.time - before.time) as f64 / SECOND;
        let cpu = (after.server - before.server) as f64 / SECOND;
        let own = (after.client - before.client) as f64 / SECOND;
        let foreign = (after.machine - before.machine - cpu - own) / seconds;
        Ok(Sample { requests: run.requests, seconds, cpu, foreign, latency: run.latency })
    }

    fn closed(&mut self, run: &mut Run, server: &Server) -> io::Result<(Clocks, Clocks)> {
        for connection in &mut self.connections {
            connection.send(&self.exchange, os::now())?;
        }
        let mut before = None;
        loop {
            let time = os::now();
            if before.is_none() && time >= run.window.start {
                before = Some(Clocks::read(server)?);
            }
            if time >= run.window.end {
                let before = before.expect("the window has begun before its end");
                return Ok((before, Clocks::read(server)?));
            }
            for index in run.epoll.ready()? {
                let connection = &mut self.connections[index];
                if connection.receive(&self.exchange)? {
                    let time = os::now();
                    let due = connection.due.take().unwrap_or(time);
                    if run.window.contains(&time) && before.is_some() {
                        run.requests += 1;
                        run.latency.saturating_record(time - due);
                    }
                    connection.send(&self.exchange, time)?;
                }
            }
        }
    }

    fn open(
        &mut self,
        run: &mut Run,
        server: &Server,
        start: u64,
        rate: f64,
    ) -> io::Result<(Clocks, Clocks)> {
        let step = SECOND / rate;
        let mut sequence = 0;
        let (mut before, mut after) = (None, None);
        let end = run.window.end + ANSWER_LIMIT.as_nanos() as u64;
        loop {
            let time = os::now();
            if before.is_none() && time >= run.window.start {
                before = Some(Clocks::read(server)?);
            }
            if after.is_none() && time >= run.window.end {
                after = Some(Clocks::read(server)?);
            }
            // All that are due by now; none is due behind the window.
            loop {
                let due = start + (sequence as f64 * step) as u64;
                if due > time || due >= run.window.end {
                    break;
                }
                let count = self.connections.len();
                let connection = &mut self.connections[sequence % count];
                sequence += 1;
                run.in_flight += 1;
                match connection.due {
                    Some(_) => connection.queue.push_back(due),
                    None => connection.send(&self.exchange, due)?,
                }
            }
            if after.is_some() && (run.in_flight == 0 || time >= end) {
                break;
            }
            for index in run.epoll.ready()? {
                let connection = &mut self.connections[index];
                if connection.receive(&self.exchange)? {
                    let time = os::now();
                    let due = connection.due.take().unwrap_or(time);
                    run.in_flight -= 1;
                    if run.window.contains(&due) {
                        run.requests += 1;
                        run.latency.saturating_record(time - due);
                    }
                    if let Some(due) = connection.queue.pop_front() {
                        connection.send(&self.exchange, due)?;
                    }
                }
            }
        }
        for connection in &mut self.connections {
            for due in connection.due.take().into_iter().chain(connection.queue.drain(..)) {
                run.latency.saturating_record(os::now() - due);
            }
        }
        Ok((before.expect("the window has begun"), after.expect("the window has ended")))
    }
}

/// The state of a measurement.
struct Run {
    epoll: Epoll,
    /// In ns.
    window: std::ops::Range<u64>,
    latency: Histogram<u64>,
    requests: u64,
    /// With those that wait for their connection.
    in_flight: u64,
}

/// All clocks, at one moment.
struct Clocks {
    time: u64,
    server: u64,
    client: u64,
    machine: f64,
}

impl Clocks {
    fn read(server: &Server) -> io::Result<Clocks> {
        Ok(Clocks {
            time: os::now(),
            server: os::cpu_time(server.pid())?,
            client: os::own_cpu_time(),
            machine: machine_cpu_time(),
        })
    }
}

impl Connection {
    /// One exchange, which blocks.
    fn ask(&mut self, exchange: &Exchange) -> io::Result<()> {
        self.stream.write_all(&exchange.request)?;
        let mut answer = vec![0; exchange.answer.len()];
        self.stream.read_exact(&mut answer)?;
        if answer == exchange.answer { Ok(()) } else { Err(wrong(&answer)) }
    }

    fn send(&mut self, exchange: &Exchange, due: u64) -> io::Result<()> {
        self.due = Some(due);
        // As small as a request is, the socket has room for it: nothing else is in it.
        let sent = self.stream.write(&exchange.request)?;
        if sent == exchange.request.len() { Ok(()) } else { Err(io::Error::other("a request was cut")) }
    }

    /// Reads without a sleep until the answer is here as a whole.
    fn receive_all(&mut self, exchange: &Exchange) -> io::Result<()> {
        let end = os::now() + ANSWER_LIMIT.as_nanos() as u64;
        while !self.receive(exchange)? {
            if os::now() > end {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Reads once; whether the answer is here as a whole.
    fn receive(&mut self, exchange: &Exchange) -> io::Result<bool> {
        let mut buf = [0; 4096];
        let n = match self.stream.read(&mut buf) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e),
        };
        if !exchange.answer[self.filled..].starts_with(&buf[..n]) {
            return Err(wrong(&buf[..n]));
        }
        self.filled += n;
        let whole = self.filled == exchange.answer.len();
        if whole {
            self.filled = 0;
        }
        Ok(whole)
    }
}

fn wrong(answer: &[u8]) -> io::Error {
    io::Error::other(format!("a wrong answer: {}", answer.escape_ascii()))
}
