//! A connection with patience: every wait for the client ends.

use core::time::Duration;

use netpoll::net::{Error, Shutdown, TcpStream};
use netpoll::sys::socket::{MsgFlags, sendto};
use netpoll::time::Instant;

use super::files::File;

/// After the last answer, what the client is still sending is read for so long and so much at most.
/// Closing with unread data would reset the connection, and the client could lose the answer.
const LINGER_TIME: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20;

/// A connection and its deadlines.
pub struct Wire {
    stream: TcpStream,
    patience: Duration,
    read_by: Option<Instant>,
    write_by: Option<Instant>,
    now: Instant,
}

impl Wire {
    /// `patience`: how long the client may take nothing of what is written.
    pub fn new(stream: TcpStream, patience: Duration) -> Wire {
        Wire { stream, patience, read_by: None, write_by: None, now: Instant::now() }
    }

    /// The time when something was last waited for: the one look at the clock of a request that is answered
    /// from memory.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// No answer waits until the client has acknowledged the one before, as Nagle's algorithm has it: that
    /// would stall clients that send several requests at once.
    pub fn send_at_once(&self) -> Result<(), Error> {
        self.stream.set_nodelay(true)
    }

    /// From now on, reads fail after `within`, or a little less.
    pub fn read_within(&mut self, within: Duration) -> Result<(), Error> {
        match renewed(&mut self.read_by, self.now, within) {
            Some(deadline) => self.stream.set_read_deadline(Some(deadline)),
            None => Ok(()),
        }
    }

    /// Reads what is there, at least one byte; 0 at the client's end.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let result = self.stream.read(buf);
        self.now = Instant::now();
        result
    }

    fn write_within_patience(&mut self) -> Result<(), Error> {
        match renewed(&mut self.write_by, self.now, self.patience) {
            Some(deadline) => self.stream.set_write_deadline(Some(deadline)),
            None => Ok(()),
        }
    }

    /// Writes everything. What the bytes were made of may have been waited for.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let result = self.write_ready(bytes);
        self.now = Instant::now();
        result
    }

    /// Writes everything, where nothing has been waited for since the last read.
    pub fn write_ready(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_with(bytes, MsgFlags::NOSIGNAL)
    }

    /// Straight to the kernel, which takes most answers at once. What it does not take, for whatever reason, goes
    /// the ordinary way, with a deadline.
    fn write_with(&mut self, bytes: &[u8], flags: MsgFlags) -> Result<(), Error> {
        let taken = sendto(self.stream.as_raw_fd(), bytes, flags, None).unwrap_or(0);
        if taken == bytes.len() {
            return Ok(());
        }
        self.now = Instant::now();
        self.write_within_patience()?;
        let result = self.stream.write_all(&bytes[taken..]);
        self.now = Instant::now();
        result
    }

    /// Writes `head` and then `len` bytes of the file from `offset` on. The kernel holds the head back
    /// (`MSG_MORE`) so that it shares a packet with the start of the file.
    pub fn write_file(&mut self, head: &[u8], file: &File, offset: u64, len: u64) -> Result<(), Error> {
        self.write_with(head, MsgFlags::MORE | MsgFlags::NOSIGNAL)?;
        self.now = Instant::now();
        let (mut at, end) = (offset, offset + len);
        while at < end {
            self.write_within_patience()?;
            let before = at;
            let result = self.stream.send_file(file.fd(), &mut at, (end - before) as usize);
            self.now = Instant::now();
            match result {
                Ok(_) if at < end => return Err(Error::UnexpectedEof), // it has become shorter
                Ok(_) => {}
                // Time for the whole file was up, but the client did take something: it is only slow.
                Err(Error::TimedOut) if at > before => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends the connection so that the client gets what was written, even if it is still sending.
    pub fn linger(mut self, scratch: &mut [u8]) {
        if self.stream.shutdown(Shutdown::Write).is_err() || self.read_within(LINGER_TIME).is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        while let Ok(n @ 1..) = self.read(scratch)
            && n <= left
        {
            left -= n;
            netpoll::yield_now(); // a client that never pauses must not have the thread to itself
        }
    }
}

/// Moves a deadline to `within` from `now` and returns it; `None` if it is near enough as it is. An eighth
/// early is, so that a busy connection seldom touches the timers.
fn renewed(deadline: &mut Option<Instant>, now: Instant, within: Duration) -> Option<Instant> {
    let wanted = now + within;
    if deadline.is_some_and(|armed| armed <= wanted && wanted - armed < within / 8) {
        return None;
    }
    *deadline = Some(wanted);
    *deadline
}
