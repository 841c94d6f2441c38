//! DNS messages: one question, and the addresses in its answer (RFC 1035, section 4).
//!
//! An answer is any bytes. Everything is read through `get`; a compressed name may only point backwards,
//! which is what ends each walk (RFC 9267); and a chain of aliases has a length. Names in a message are
//! told by where they stand, and never copied.
//!
//! Of the crates for this, `domain` is well kept and needs no allocator, but brings eight other crates, a
//! procedural macro and a calendar; `dns-protocol` is small, but follows a name that points at itself for
//! ever and panics at an unknown response code. What a stub resolver needs is less than what an adapter
//! for either would be.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
/// A name as it is sent, its end included (RFC 1035, section 2.3.4); the same for a label.
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
/// The longest query.
pub(super) const MAX_QUERY: usize = HEADER + MAX_NAME + 4;
/// Aliases of aliases that are followed: more than a server follows before it answers.
const MAX_CHAIN: usize = 16;

// Bits of the header's third and fourth byte.
const RESPONSE: u16 = 1 << 15;
const OPCODE: u16 = 0xf << 11;
const AUTHORITATIVE: u16 = 1 << 10;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const RECURSION_AVAILABLE: u16 = 1 << 7;
const RCODE: u16 = 0xf;
const NO_ERROR: u16 = 0;
const NX_DOMAIN: u16 = 3;

const CNAME: u16 = 5;
const IN: u16 = 1;

/// Which addresses are asked for: the record's type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

/// A whole name, valid, as it is sent.
pub(super) struct Name {
    wire: [u8; MAX_NAME],
    len: usize,
}

impl Name {
    /// `host` in the domain `suffix`, or by itself if that is empty. `None` if it is no name of a host: an
    /// empty or too long part, something else than letters, digits, `-` and `_`, or numbers at the end,
    /// which are an address that somebody got wrong.
    pub fn new(host: &[u8], suffix: &[u8]) -> Option<Name> {
        let mut name = Name { wire: [0; MAX_NAME], len: 0 };
        let mut last = name.push_all(host)?;
        if !matches!(suffix, b"" | b".") {
            last = name.push_all(suffix)?;
        }
        name.push(&[0])?;
        (!last.iter().all(u8::is_ascii_digit)).then_some(name)
    }

    /// Adds the labels of `text`, and returns the last. A dot at the end says nothing.
    fn push_all<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let text = without_dot(text);
        let mut last = text;
        for label in text.split(|byte| *byte == b'.') {
            let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            if label.is_empty() || label.len() > MAX_LABEL || !label.iter().all(valid) {
                return None;
            }
            self.push(&[label.len() as u8])?;
            self.push(label)?;
            last = label;
        }
        Some(last)
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        let place = self.wire.get_mut(self.len..end)?;
        place.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        self.len = end;
        Some(())
    }

    fn wire(&self) -> &[u8] {
        self.wire.get(..self.len).unwrap_or_default()
    }

    /// Writes the question for addresses of `kind` into `buf`, and returns what it has become. No EDNS: the
    /// answer has up to 512 bytes, some 28 addresses, and a longer one comes over TCP.
    pub fn query<'a>(&self, id: u16, kind: Kind, buf: &'a mut [u8; MAX_QUERY]) -> &'a [u8] {
        let words = [id, RECURSION_DESIRED, 1, 0, 0, 0];
        let header = words.into_iter().flat_map(u16::to_be_bytes);
        let tail = [kind as u16, IN].into_iter().flat_map(u16::to_be_bytes);
        let bytes = header.chain(self.wire().iter().copied()).chain(tail);
        buf.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        buf.get(..HEADER + self.len + 4).unwrap_or_default()
    }

    /// Whether `message` answers the question that [`Name::query`] made: if not it is somebody else's, too
    /// late, or forged. A server may change the case of letters.
    pub fn is_answered_by(&self, message: &[u8], id: u16, kind: Kind) -> bool {
        let asked = || {
            let flags = word(message, 2)?;
            let question = message.get(HEADER..HEADER + self.len)?;
            let tail = [word(message, HEADER + self.len)?, word(message, HEADER + self.len + 2)?];
            Some(
                word(message, 0)? == id
                    && flags & (RESPONSE | OPCODE) == RESPONSE
                    && word(message, 4)? == 1
                    && same(question, self.wire())
                    && tail == [kind as u16, IN],
            )
        };
        asked() == Some(true)
    }

    /// What an answer says. `each` gets the addresses of `kind`, also if the answer turns out to be broken
    /// behind them.
    /// `whole` is false if the message was cut off here, and what is left of it counts.
    pub fn answer(&self, message: &[u8], kind: Kind, whole: bool, each: impl FnMut(IpAddr)) -> Answer {
        let flags = word(message, 2).unwrap_or(RCODE);
        match flags & RCODE {
            NO_ERROR => {}
            NX_DOMAIN => return Answer::Nothing,
            _ => return Answer::Failed,
        }
        if flags & TRUNCATED != 0 && whole {
            return Answer::Truncated;
        }
        let count = word(message, 6).unwrap_or_default();
        if count == 0 && flags & (AUTHORITATIVE | RECURSION_AVAILABLE) == 0 {
            return Answer::Failed; // refers us to others, whom we do not ask
        }
        records(message, HEADER + self.len + 4, count, kind, whole, each).unwrap_or(Answer::Failed)
    }
}

/// Whether it is the same name, or part of one. (core's has a panic in it, which brings formatting along:
/// a fifth of a small program.)
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// The name without the dot at its end, which says that it is whole.
pub(super) fn without_dot(name: &[u8]) -> &[u8] {
    match name {
        [name @ .., b'.'] => name,
        name => name,
    }
}

/// What an answer comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// There are such addresses.
    Addresses,
    /// There are none, or no such name.
    Nothing,
    /// To be asked for again, over TCP.
    Truncated,
    /// The server cannot tell, or sent rubbish.
    Failed,
}

/// Finds addresses of `kind` among the `count` records at `first`: of the name that was asked for, or of
/// the one that it is an alias of, and so on, in whatever order the records stand. `None` if they are
/// broken.
fn records(
    message: &[u8],
    first: usize,
    count: u16,
    kind: Kind,
    whole: bool,
    mut each: impl FnMut(IpAddr),
) -> Option<Answer> {
    let mut owner = HEADER;
    for _ in 0..=MAX_CHAIN {
        let (mut at, mut alias, mut found) = (first, None, false);
        for _ in 0..count {
            let Some(record) = Record::read(message, at) else {
                if whole {
                    return None;
                }
                break;
            };
            at = record.data + record.len;
            if record.class != IN || !same_name(message, record.owner, owner)? {
                continue;
            }
            if record.kind == kind as u16 {
                each(address(message.get(record.data..at)?, kind)?);
                found = true;
            } else if record.kind == CNAME {
                alias = Some(record.data);
            }
        }
        match alias {
            _ if found => return Some(Answer::Addresses),
            Some(target) => owner = target,
            None if whole => return Some(Answer::Nothing),
            None => return None,
        }
    }
    None
}

fn address(data: &[u8], kind: Kind) -> Option<IpAddr> {
    Some(match kind {
        Kind::A => Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into(),
        Kind::Aaaa => Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into(),
    })
}

/// A resource record; names and data by where they stand.
struct Record {
    owner: usize,
    kind: u16,
    class: u16,
    data: usize,
    len: usize,
}

impl Record {
    /// The record at `owner`, if it is there as a whole.
    fn read(message: &[u8], owner: usize) -> Option<Record> {
        let at = end_of_name(message, owner)?;
        let len = word(message, at + 8)?.into();
        let data = at + 10;
        message.get(data..data + len)?;
        Some(Record { owner, kind: word(message, at)?, class: word(message, at + 2)?, data, len })
    }
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?))
}

/// Behind the name at `at`.
fn end_of_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len @ 1..=0x3f => at += 1 + usize::from(len),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// Whether the names at `a` and at `b` are the same; `None` if one is broken.
fn same_name(message: &[u8], a: usize, b: usize) -> Option<bool> {
    let (mut a, mut b) = (Labels::new(message, a), Labels::new(message, b));
    loop {
        match (a.next()?, b.next()?) {
            ([], []) => return Some(true),
            (a, b) if !same(a, b) => return Some(false),
            _ => {}
        }
    }
}

/// Walks along a name.
struct Labels<'a> {
    message: &'a [u8],
    at: usize,
    /// A pointer must point below it: to before the piece of name that it ends. So there are fewer and fewer
    /// places to point to.
    below: usize,
}

impl<'a> Labels<'a> {
    fn new(message: &'a [u8], at: usize) -> Labels<'a> {
        Labels { message, at, below: at }
    }

    /// The next label; an empty one at the end, `None` if the name is broken.
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            match *self.message.get(self.at)? {
                0 => return Some(&[]),
                len @ 1..=0x3f => {
                    let start = self.at + 1;
                    self.at = start + usize::from(len);
                    return self.message.get(start..self.at);
                }
                0xc0.. => {
                    let target = usize::from(word(self.message, self.at)? & 0x3fff);
                    if target >= self.below {
                        return None;
                    }
                    (self.at, self.below) = (target, target);
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
#[path = "message/tests.rs"] // named, for `fuzz/` includes this file
mod tests;
