//! Asking name servers (RFC 1035, section 4.2; resolv.conf(5)).
//!
//! Both questions, for IPv4 and for IPv6 addresses, go out together from one new socket, at a port of the
//! kernel's choice, connected, so that nobody else's datagram comes in. An id of 16 random bits and the
//! question itself tell an answer from a forged or late one. Whatever has not been answered by then is
//! asked of the next server, from a new socket.

use super::super::Error;
use super::super::connect::connect;
use super::super::fd::Kind as Transfer;
use super::super::transfer::Socket;
use super::Addrs;
use super::files::Conf;
use super::message::{Answer, Kind, MAX_QUERY, Name};
use crate::poll::Side;
use crate::sys::process::{GetrandomFlags, getrandom};
use crate::sys::socket::SocketType;
use crate::sys::{Call, Errno};
use crate::time::Instant;
use core::net::SocketAddr;
use core::time::Duration;

const KINDS: [Kind; 2] = [Kind::A, Kind::Aaaa];

/// Bytes of an answer that count. Over TCP it may be longer, but this holds some 70 addresses.
const ANSWER: usize = 2048;

/// For how long somebody who wants to connect, and has IPv4 addresses, waits for IPv6 ones (RFC 8305,
/// section 3). IPv4 is waited for: who answers for IPv6 answers for that.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// A question that is open.
#[derive(Clone, Copy)]
struct Question {
    kind: Kind,
    id: u16,
    /// No addresses yet, and nobody has said that there are none.
    open: bool,
    /// The server of this round has not answered yet.
    waits: bool,
}

/// Who asks, and how.
pub(super) struct Asker<'a> {
    pub conf: &'a Conf,
    pub port: u16,
    pub deadline: Option<Instant>,
    /// Connects at once: see [`RESOLUTION_DELAY`].
    pub hurry: bool,
}

impl Asker<'_> {
    /// Adds the addresses of `name` to `found`.
    ///
    /// # Errors
    /// [`Error::HostNotFound`] if there are none; [`Error::NoAnswer`], [`Error::ServerFailed`], whichever
    /// of the servers came to last; [`Error::TimedOut`] at the deadline; [`Error::Os`] if there are no
    /// descriptors or no memory.
    pub fn ask(&self, name: &Name, found: &mut Addrs) -> Result<(), Error> {
        let mut questions = KINDS.map(|kind| Question { kind, id: 0, open: true, waits: false });
        let servers = self.conf.servers();
        let first = if self.conf.rotate { random()? as usize } else { 0 };
        let mut failure = Error::NoAnswer;
        // Without a panic in it, which would bring its formatting along: there is one server at least.
        let in_turns = servers.iter().cycle().skip(first % servers.len().max(1));
        for server in in_turns.take(self.conf.attempts * servers.len()) {
            if let Err(e) = self.round(server, name, &mut questions, found) {
                match e {
                    Error::NoAnswer | Error::ServerFailed => failure = e,
                    e => return Err(e),
                }
            }
            if questions.iter().all(|question| !question.open) {
                failure = Error::HostNotFound;
                break;
            }
            if self.hurry && !found.is_empty() {
                break;
            }
        }
        if found.is_empty() { Err(failure) } else { Ok(()) }
    }

    /// Asks one server what is open, and takes its answers.
    fn round(
        &self,
        server: &SocketAddr,
        name: &Name,
        questions: &mut [Question; 2],
        found: &mut Addrs,
    ) -> Result<(), Error> {
        let mut until = self.limit(self.conf.timeout);
        let mut outcome = Ok(());
        let mut answer = [0; ANSWER];
        if self.conf.use_vc {
            for question in questions.iter_mut().filter(|question| question.open) {
                question.id = random()?;
                let said = self.over_tcp(server, name, question, until, &mut answer, found)?;
                outcome = outcome.and(question.take(said));
            }
            return outcome;
        }
        let socket =
            self.trouble(connect(&(*server).into(), SocketType::DGRAM, Transfer::Other, None, |_| Ok(())))?;
        let mut buf = [0; MAX_QUERY];
        for question in questions.iter_mut().filter(|question| question.open) {
            question.id = random()?;
            question.waits = true;
            self.trouble(socket.send(name.query(question.id, question.kind, &mut buf)))?;
        }
        socket.set_deadline(Side::Read, Some(until))?;
        while questions.iter().any(|question| question.waits) {
            let n = self.trouble(socket.recv(&mut answer))?;
            let message = answer.get(..n).unwrap_or_default();
            let Some(question) =
                questions.iter_mut().find(|q| q.waits && name.is_answered_by(message, q.id, q.kind))
            else {
                continue;
            };
            question.waits = false;
            let mut said = take(name, message, question.kind, true, self.port, found);
            if said == Answer::Truncated {
                said = self.over_tcp(server, name, question, until, &mut answer, found)?;
            }
            outcome = outcome.and(question.take(said));
            if self.hurry && question.kind == Kind::A && said == Answer::Addresses {
                until = until.min(self.limit(RESOLUTION_DELAY));
                socket.set_deadline(Side::Read, Some(until))?;
            }
        }
        outcome
    }

    /// Asks over TCP, where a message has its length before it.
    fn over_tcp(
        &self,
        server: &SocketAddr,
        name: &Name,
        question: &Question,
        until: Instant,
        answer: &mut [u8],
        found: &mut Addrs,
    ) -> Result<Answer, Error> {
        let mut buf = [0; MAX_QUERY];
        let query = name.query(question.id, question.kind, &mut buf);
        let (message, whole) = self.trouble(exchange(server, query, until, answer))?;
        if !name.is_answered_by(message, question.id, question.kind) {
            return Ok(Answer::Failed);
        }
        Ok(match take(name, message, question.kind, whole, self.port, found) {
            Answer::Truncated => Answer::Failed, // where nothing is too long
            said => said,
        })
    }

    /// In so much time, but not behind the deadline.
    fn limit(&self, time: Duration) -> Instant {
        let then = Instant::now() + time;
        self.deadline.map_or(then, |deadline| deadline.min(then))
    }

    /// What went wrong with a server, from what went wrong with a call: it did not answer, unless it was
    /// our own fault.
    fn trouble<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|e| match e {
            Error::TimedOut if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) => e,
            Error::Os(_, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS) => e,
            _ => Error::NoAnswer,
        })
    }
}

impl Question {
    fn take(&mut self, answer: Answer) -> Result<(), Error> {
        match answer {
            Answer::Addresses | Answer::Nothing => {
                self.open = false;
                Ok(())
            }
            Answer::Truncated | Answer::Failed => Err(Error::ServerFailed),
        }
    }
}

/// Sends `query` over a new connection, and returns as much of the answer as `answer` holds, and whether
/// that is all.
fn exchange<'a>(
    server: &SocketAddr,
    query: &[u8],
    until: Instant,
    answer: &'a mut [u8],
) -> Result<(&'a [u8], bool), Error> {
    let stream = connect(&(*server).into(), SocketType::STREAM, Transfer::Stream, Some(until), |_| Ok(()))?;
    stream.set_deadline(Side::Both, Some(until))?;
    let length = (query.len() as u16).to_be_bytes();
    let mut message = [0; 2 + MAX_QUERY];
    message.iter_mut().zip(length.iter().chain(query)).for_each(|(place, byte)| *place = *byte);
    stream.write_all::<Socket>(message.get(..2 + query.len()).unwrap_or_default())?;
    let mut length = [0; 2];
    stream.read_exact::<Socket>(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    let part = answer.len().min(length);
    let answer = answer.get_mut(..part).unwrap_or_default();
    stream.read_exact::<Socket>(answer)?;
    Ok((answer, part == length))
}

/// Adds what `message` says to `found`, if it is sound.
fn take(name: &Name, message: &[u8], kind: Kind, whole: bool, port: u16, found: &mut Addrs) -> Answer {
    let before = found.len();
    let said = name.answer(message, kind, whole, |ip| found.push(SocketAddr::new(ip, port)));
    if said == Answer::Failed {
        found.truncate(before);
    }
    said
}

/// 16 bits that nobody can guess.
fn random() -> Result<u16, Error> {
    let mut bytes = [0; 2];
    loop {
        match getrandom(&mut bytes, GetrandomFlags::empty()) {
            Ok(_) => return Ok(u16::from_ne_bytes(bytes)),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(Error::Os(Call::Getrandom, e)),
        }
    }
}
