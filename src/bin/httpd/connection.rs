//! A connection from its first request to its end.
//!
//! All its memory is one buffer on the task's stack: the head of a request of up to 8 KiB, whatever was
//! sent behind it, and in the free end the answer, at least the last KiB. An idle connection has that and
//! the few frames above it.

use core::net::SocketAddr;
use core::time::Duration;

use netpoll::net::{Error, TcpStream};

use super::answer::Exchange;
use super::cache::Cache;
use super::clock::{DateText, WallClock};
use super::ending::{self, Begun};
use super::files::Root;
use super::output::Output;
use super::request::{self, Request};
use super::status;
use super::text::Encoded;
use super::wire::Wire;

/// The longest head of a request.
const HEAD: usize = 8 << 10;
/// What is never filled by requests, so that there is always room for an answer's head.
const ROOM: usize = 1 << 10;
/// The longest body that is read (and dropped: nothing here takes one) before the answer.
const BODY: u64 = 64 << 10;
/// An idle connection gets so many times the time that a head gets.
const IDLE: u32 = 2;
/// Answers before other tasks get their turn, on a connection whose next request has always come already:
/// it would never park. As the scheduler looks for new events every 61 turns at the latest, others wait
/// for 244 answers at most: 2 ms, of 7 us each. A connection whose requests are all answered parks as a rule;
/// to send it to the end of the queue for that would cost a switch more, with 1,024 connections 5 % of an answer.
const TURN: u64 = 4;

/// What all connections share.
#[derive(Clone, Copy)]
pub struct Site {
    pub root: Root,
    pub cache: &'static Cache,
    pub clock: WallClock,
    pub log: bool,
    /// Time for a head to arrive, for a body, and for some of an answer to be taken.
    pub patience: Duration,
}

/// Answers the requests of a connection until one side ends it.
pub fn serve(site: Site, stream: TcpStream, peer: SocketAddr) {
    let mut buf = [0; HEAD + ROOM];
    let wire = Wire::new(stream, site.patience);
    let mut connection = Connection { site, peer, wire, filled: 0, begun: None };
    // An error is the client's going, in whatever way: there is nobody to tell.
    if let Ok(true) = connection.run(&mut buf) {
        connection.wire.linger(&mut buf);
    } // and only now the request has ended
}

struct Connection {
    site: Site,
    peer: SocketAddr,
    wire: Wire,
    /// Bytes of the buffer that requests have filled.
    filled: usize,
    /// There is something of a request.
    begun: Option<Begun>,
}

/// What comes next on a connection.
enum Next {
    Request(Request),
    /// Something that cannot be read, and the status to say so with.
    Refused(&'static str),
    /// The client's end.
    End,
}

impl Connection {
    /// `true`: the client may be sending still, so the end must be a careful one.
    fn run(&mut self, buf: &mut [u8; HEAD + ROOM]) -> Result<bool, Error> {
        self.wire.send_at_once()?;
        let mut date = DateText::new();
        let mut in_turn = 0;
        for answers in 0u64.. {
            let mut request = match self.next(buf, answers == 0)? {
                Next::Request(request) => request,
                Next::Refused(status) => return self.refuse(buf, &mut date, status),
                Next::End => return Ok(false),
            };
            if request.body > BODY {
                return self.refuse(buf, &mut date, status::BODY_TOO_LARGE);
            }
            let used = request.len + self.drop_body(buf, &request)?;

            let now = self.site.clock.at(self.wire.now());
            let (head, room) = buf.split_at_mut(self.filled);
            let mut out = Output::new(&mut self.wire, room);
            out.head_only = request.method == request::Method::Head;
            out.http_1_0 = request.http_1_0;
            out.keep_alive = request.keep_alive && !ending::has_begun();
            let mut exchange =
                Exchange { site: &self.site, request: &mut request, head, now, date: &mut date };
            let result = exchange.answer(&mut out);
            let (status, body_bytes, keep_alive) = (out.status, out.body_bytes, out.keep_alive);
            if self.site.log {
                self.log(Some((&request, head)), status, body_bytes);
            }
            result?;
            if !keep_alive {
                return Ok(used < self.filled);
            }

            buf.copy_within(used..self.filled, 0);
            self.filled -= used;
            if self.filled == 0 {
                self.begun = None;
            }
            in_turn += 1;
            if in_turn >= TURN && self.filled > 0 {
                in_turn = 0;
                netpoll::yield_now();
            }
        }
        Ok(false)
    }

    /// The next head. The client has come to send its first one, and gets no time to think.
    fn next(&mut self, buf: &mut [u8], first: bool) -> Result<Next, Error> {
        let mut begun = first;
        if first {
            self.wire.read_within(self.site.patience)?;
        } else if self.filled == 0 {
            self.wire.read_within(self.site.patience * IDLE)?;
        }
        loop {
            if self.filled > 0 {
                self.begun.get_or_insert_with(Begun::new);
                // From its start again with every part: with parts of one byte that is 30 MB for the
                // longest head, less than the reads cost.
                match request::parse(&buf[..self.filled]) {
                    Ok(Some(request)) => return Ok(Next::Request(request)),
                    Ok(None) if self.filled >= HEAD => return Ok(Next::Refused(status::HEAD_TOO_LARGE)),
                    Ok(None) => {}
                    Err(status) => return Ok(Next::Refused(status)),
                }
                if !begun {
                    begun = true;
                    self.wire.read_within(self.site.patience)?;
                }
            }
            match self.wire.read(&mut buf[self.filled..HEAD]) {
                Ok(0) => return Ok(Next::End),
                Ok(n) => self.filled += n,
                Err(Error::TimedOut) if self.filled > 0 => return Ok(Next::Refused(status::TIMEOUT)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the request's body and forgets it. Returns how much of it is in the buffer.
    fn drop_body(&mut self, buf: &mut [u8], request: &Request) -> Result<usize, Error> {
        let arrived = request.body.min((self.filled - request.len) as u64) as usize;
        let mut missing = request.body as usize - arrived; // at most `BODY`
        if missing == 0 {
            return Ok(arrived);
        }
        if request.expects_continue && arrived == 0 {
            self.wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        self.wire.read_within(self.site.patience)?;
        let room = &mut buf[self.filled..];
        while missing > 0 {
            let part = missing.min(room.len());
            match self.wire.read(&mut room[..part])? {
                0 => return Err(Error::UnexpectedEof),
                n => missing -= n,
            }
        }
        Ok(arrived)
    }

    /// Answers what cannot be served. Where the next request begins is not known: this is the last.
    fn refuse(&mut self, buf: &mut [u8], date: &mut DateText, status: &'static str) -> Result<bool, Error> {
        let now = self.site.clock.at(self.wire.now());
        let mut out = Output::new(&mut self.wire, &mut buf[self.filled..]);
        out.begin(status, date.at(now.unix));
        let result = out.end_with_status();
        let body_bytes = out.body_bytes;
        if self.site.log {
            self.log(None, status, body_bytes);
        }
        result.map(|()| true)
    }

    /// A line of the access log: peer, method, path (once more encoded, or `-`), status, bytes of the body.
    fn log(&self, request: Option<(&Request, &[u8])>, status: &str, body_bytes: u64) {
        let (method, path) = request.map_or((&b"-"[..], &b""[..]), |(request, head)| {
            (&head[request.method_name.clone()], &head[request.path.clone()])
        });
        let (method, path) = (Encoded(method), Encoded(if path.is_empty() { b"-" } else { path }));
        let code = status.split(' ').next().unwrap_or(status);
        netpoll::eprintln!("{} {method} {path} {code} {body_bytes}", self.peer);
    }
}
