//! `/etc/hosts` and `/etc/resolv.conf`: hosts(5), resolv.conf(5).
//!
//! Read anew for each lookup, line by line, without a cache: they are small, in the page cache, and may have
//! changed. Neither need be there.

use super::super::{Error, parse};
use super::message::{self, Name};
use super::{Addrs, address};
use crate::io::OwnedFd;
use crate::sys::fd::{OFlags, read};
use crate::sys::fs::{AT_FDCWD, openat};
use crate::sys::process::uname;
use crate::sys::{Call, Errno};
use crate::syscall;
use core::ffi::CStr;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

/// As much of a line as counts, in whole words.
const LINE: usize = 1024;
/// Name servers (glibc: `MAXNS`), and bytes of the search list (`MAXDNSRCH` domains, once).
const SERVERS: usize = 3;
const SEARCH: usize = 256;

/// Calls `each` with the lines of the file at `path`, without their ends. One that is not there, or not to
/// be read, has no lines (which are musl's cases).
fn lines(path: &CStr, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
    syscall(|| {
        let fd = loop {
            match openat(AT_FDCWD, path, OFlags::CLOEXEC, 0) {
                // SAFETY: just opened here.
                Ok(fd) => break unsafe { OwnedFd::from_raw_fd(fd) },
                Err(Errno::EINTR) => {}
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => return Ok(()),
                Err(e) => return Err(Error::Os(Call::Openat, e)),
            }
        };
        let mut split = Lines::new();
        loop {
            match read(fd.as_raw_fd(), split.room()) {
                Ok(0) => break,
                Ok(n) => split.feed(n, each),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(Error::Os(Call::Read, e)),
            }
        }
        split.end(each);
        Ok(())
    })
}

/// Cuts what is read into lines.
struct Lines {
    buf: [u8; LINE],
    len: usize,
    /// Within a line whose beginning has been told.
    skipping: bool,
}

impl Lines {
    fn new() -> Lines {
        Lines { buf: [0; LINE], len: 0, skipping: false }
    }

    /// Where to read to; never empty.
    fn room(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.len..).unwrap_or_default()
    }

    /// `n` bytes more were read.
    fn feed(&mut self, n: usize, each: &mut dyn FnMut(&[u8])) {
        self.len = (self.len + n).min(LINE);
        let mut start = 0;
        while let Some(rest) = self.buf.get(start..self.len)
            && let Some(len) = rest.iter().position(|byte| *byte == b'\n')
        {
            if !core::mem::take(&mut self.skipping) {
                each(rest.get(..len).unwrap_or_default());
            }
            start += len + 1;
        }
        // What is left goes to the front. `LINE` is more than both; saying so takes a panic out.
        for (to, from) in (start..self.len).enumerate() {
            self.buf[to % LINE] = self.buf[from % LINE];
        }
        self.len -= start;
        if self.len == LINE {
            // Of its last word the end may be missing, which would be another name.
            self.len = self.buf.iter().rposition(u8::is_ascii_whitespace).unwrap_or(0);
            self.end(each);
            self.skipping = true;
        }
    }

    /// What is there is a line.
    fn end(&mut self, each: &mut dyn FnMut(&[u8])) {
        if self.len > 0 && !self.skipping {
            each(self.buf.get(..self.len).unwrap_or_default());
        }
        self.len = 0;
    }
}

/// The words of a line.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Adds what the file at `path` has for `host`, which ends without a dot.
pub(super) fn hosts(path: &CStr, host: &[u8], port: u16, found: &mut Addrs) -> Result<(), Error> {
    lines(path, &mut |line| {
        if let Some(addr) = host_line(line, host, port) {
            found.push(addr);
        }
    })
}

fn host_line(line: &[u8], host: &[u8], port: u16) -> Option<SocketAddr> {
    let mut words = words(line.split(|byte| *byte == b'#').next()?);
    let addr = words.next()?;
    let same = |name: &[u8]| message::same(message::without_dot(name), host);
    if words.any(same) { address(addr, port) } else { None }
}

/// What resolv.conf says.
pub(super) struct Conf {
    servers: [SocketAddr; SERVERS],
    count: usize,
    /// The search list, a zero byte behind each domain.
    search: [u8; SEARCH],
    search_len: usize,
    pub ndots: usize,
    /// For each server, each time.
    pub timeout: Duration,
    pub attempts: usize,
    pub rotate: bool,
    /// Ask over TCP only.
    pub use_vc: bool,
}

impl Conf {
    /// What there is without a file: a server on this machine, and the domain that the machine's name is in.
    fn new(port: u16) -> Conf {
        let here = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Conf {
            servers: [here; SERVERS],
            count: 0,
            search: [0; SEARCH],
            search_len: 0,
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            use_vc: false,
        }
    }

    /// Reads the file at `path`; its servers answer at `port`.
    pub fn read(path: &CStr, port: u16) -> Result<Conf, Error> {
        let mut conf = Conf::new(port);
        let mut searches = false;
        lines(path, &mut |line| searches |= conf.line(line, port))?;
        if !searches && let Ok(names) = uname() {
            let node = names.nodename().to_bytes();
            if let Some(dot) = node.iter().position(|byte| *byte == b'.') {
                conf.set_search([node.get(dot + 1..).unwrap_or_default()]);
            }
        }
        Ok(conf)
    }

    /// Takes a line over, and returns whether it was about the search list. Unknown words are passed over.
    fn line(&mut self, line: &[u8], port: u16) -> bool {
        let mut words = words(line);
        match words.next() {
            Some(b"nameserver") => {
                if let Some(addr) = words.next().and_then(|addr| address(addr, port))
                    && let Some(place) = self.servers.get_mut(self.count)
                {
                    *place = addr;
                    self.count += 1;
                }
            }
            Some(b"domain") => {
                self.set_search(words.take(1));
                return true;
            }
            Some(b"search") => {
                self.set_search(words);
                return true;
            }
            Some(b"options") => words.for_each(|option| self.option(option)),
            _ => {} // a comment, too: `#` or `;` is the first word, or the beginning of it
        }
        false
    }

    fn option(&mut self, option: &[u8]) {
        let mut parts = option.splitn(2, |byte| *byte == b':');
        let name = parts.next().unwrap_or_default();
        let value = parts.next().and_then(parse::number);
        match (name, value) {
            // The limits are glibc's.
            (b"ndots", Some(n)) => self.ndots = n.min(15) as usize,
            (b"timeout", Some(n)) => self.timeout = Duration::from_secs(n.clamp(1, 30).into()),
            (b"attempts", Some(n)) => self.attempts = n.clamp(1, 5) as usize,
            (b"rotate", None) => self.rotate = true,
            (b"use-vc", None) => self.use_vc = true,
            _ => {}
        }
    }

    /// The last list counts; domains that are none, and those for which there is no room, do not.
    fn set_search<'a>(&mut self, domains: impl IntoIterator<Item = &'a [u8]>) {
        self.search_len = 0;
        for domain in domains {
            let end = self.search_len + domain.len() + 1;
            if Name::new(b"x", domain).is_some()
                && let Some([place @ .., behind]) = self.search.get_mut(self.search_len..end)
            {
                place.iter_mut().zip(domain).for_each(|(place, byte)| *place = *byte);
                *behind = 0;
                self.search_len = end;
            }
        }
    }

    /// The servers, one at least.
    pub fn servers(&self) -> &[SocketAddr] {
        self.servers.get(..self.count.max(1)).unwrap_or_default()
    }

    /// The domains to search in.
    pub fn search(&self) -> impl Iterator<Item = &[u8]> {
        let list = self.search.get(..self.search_len).unwrap_or_default();
        list.split(|byte| *byte == 0).filter(|domain| !domain.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;
    use std::{format, vec};

    fn conf(text: &str) -> Conf {
        let mut conf = Conf::new(53);
        text.lines().for_each(|line| {
            conf.line(line.as_bytes(), 53);
        });
        conf
    }

    fn searches(conf: &Conf) -> Vec<&str> {
        conf.search().map(|domain| std::str::from_utf8(domain).unwrap()).collect()
    }

    #[test]
    fn without_a_file() {
        let conf = conf("");
        assert_eq!(conf.servers(), ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!((conf.ndots, conf.attempts, conf.timeout.as_secs()), (1, 2, 5));
        assert!(searches(&conf).is_empty() && !conf.rotate && !conf.use_vc);
    }

    #[test]
    fn servers() {
        let text = "nameserver 10.0.0.1 # first\n#nameserver 9.9.9.9\n;nameserver 9.9.9.9\nnameserver\n\
             nameserver x\n\tnameserver\tfe80::1%lo\nnameserver ::1\nnameserver 10.0.0.4\n\
             nameservers 9.9.9.9";
        let expected = ["10.0.0.1:53", "[fe80::1%1]:53", "[::1]:53"].map(|text| text.parse().unwrap());
        assert_eq!(conf(text).servers(), expected);
    }

    #[test]
    fn search_lists() {
        for (text, expected) in [
            ("search a.b c.d.", vec!["a.b", "c.d."]),
            ("domain a.b ignored", vec!["a.b"]),
            ("search a\ndomain b", vec!["b"]),
            ("domain a\nsearch b c", vec!["b", "c"]),
            ("search a\nsearch", vec![]),
            ("search a..b c é 1.2 .d", vec!["c"]),
            ("search .", vec!["."]),
            ("search abc\nsearch a b", vec!["a", "b"]),
        ] {
            assert_eq!(searches(&conf(text)), expected, "{text}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("d{n}.test")).collect();
        let conf = conf(&format!("search {}", many.join(" ")));
        let list = searches(&conf);
        assert!(list.len() > 25 && many.iter().zip(&list).all(|(a, b)| a == b), "{list:?}");
    }

    #[test]
    fn options() {
        let conf = |text| {
            let c = conf(text);
            (c.ndots, c.timeout.as_secs(), c.attempts, c.rotate, c.use_vc)
        };
        assert_eq!(conf("options ndots:3 timeout:7 attempts:4 rotate use-vc"), (3, 7, 4, true, true));
        assert_eq!(conf("options ndots:99 timeout:99 attempts:99"), (15, 30, 5, false, false));
        assert_eq!(conf("options ndots:0 timeout:0 attempts:0 edns0 trust-ad"), (0, 1, 1, false, false));
        assert_eq!(conf("options ndots: timeout:x attempts ndots:-1 ndots:2x"), (1, 5, 2, false, false));
        assert_eq!(conf("options ndots:99999999999999999999"), (1, 5, 2, false, false));
    }

    #[test]
    fn lines_of_hosts() {
        let addr = |line: &str, host: &str| host_line(line.as_bytes(), host.as_bytes(), 7);
        let some = |text: &str| Some(text.parse().unwrap());
        assert_eq!(addr("10.0.0.1 a b", "b"), some("10.0.0.1:7"));
        assert_eq!(addr("\t10.0.0.1\ta\tB.x # c", "b.X"), some("10.0.0.1:7"));
        assert_eq!(addr("fe80::1%3 a.", "a"), some("[fe80::1%3]:7"));
        assert_eq!(addr("10.0.0.1 a\r", "a"), some("10.0.0.1:7"));
        for none in
            ["", "#", "10.0.0.1", "10.0.0.1 #a", "# 10.0.0.1 a", "10.0.0 a", "a a", "10.0.0.1 aa", "[::1] a"]
        {
            assert_eq!(addr(none, "a"), None, "{none}");
        }
    }

    /// The lines that come out of pieces of `step` bytes.
    fn split(text: &[u8], step: usize) -> Vec<Vec<u8>> {
        let (mut split, mut lines, mut rest) = (Lines::new(), Vec::new(), text);
        while !rest.is_empty() {
            let room = split.room();
            assert!(!room.is_empty());
            let n = room.len().min(step).min(rest.len());
            room[..n].copy_from_slice(&rest[..n]);
            split.feed(n, &mut |line| lines.push(line.to_vec()));
            rest = &rest[n..];
        }
        split.end(&mut |line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn a_long_line_is_cut_off_between_words() {
        let long = b"127.0.0.1 long.example ".repeat(LINE / 10);
        let cut = long[..LINE].iter().rposition(|&byte| byte == b' ').unwrap();
        assert!(!long[..LINE].ends_with(b" "));
        let text = [b"a\n", &long[..], b"\nb\n", &long, b"\nc"].concat();
        for step in [1, 100, LINE] {
            assert_eq!(split(&text, step), [&b"a"[..], &long[..cut], b"b", &long[..cut], b"c"], "{step}");
        }
        let endless = [b"a\n", &[b'x'; 3 * LINE + 7][..], b"\nb"].concat();
        assert_eq!(split(&endless, 100), [b"a", b"b"]);
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text(text in "[ab\n]{0,200}", step in 1..50usize) {
            let mut expected: Vec<_> = text.split('\n').map(|line| line.as_bytes().to_vec()).collect();
            expected.pop_if(|last| last.is_empty());
            prop_assert_eq!(split(text.as_bytes(), step), expected);
        }

        #[test]
        fn any_bytes_are_a_configuration(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut conf = Conf::new(53);
            for word in ["", "nameserver ", "search ", "options ", "options ndots:", "domain "] {
                conf.line(&[word.as_bytes(), &line].concat(), 53);
            }
            let _ = host_line(&line, b"a", 1);
            prop_assert!(conf.servers().len() <= SERVERS && conf.search().all(|domain| !domain.is_empty()));
        }
    }
}
