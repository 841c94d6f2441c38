//! Names of hosts: `/etc/hosts`, and a stub resolver that asks the servers of `/etc/resolv.conf`.
//!
//! A lookup goes through these, and the first that knows the name answers:
//!
//! 1. an IP address is itself, `fe80::1%eth0` included; nobody is asked;
//! 2. names under `.onion` and `.invalid` are none (RFC 7686, RFC 6761);
//! 3. `/etc/hosts`, all lines with the name;
//! 4. `localhost`, and what is under it, is this machine (RFC 6761);
//! 5. the name servers, the name being completed by the search list, or not, as resolv.conf(5) tells.
//!
//! Both files are read anew each time, and nothing is cached: that is the name server's task. A name that
//! does not exist, or has no addresses, is tried in the next domain of the search list. A server that does
//! not answer ends the search, as in musl, since otherwise it would depend on the weather whose host is
//! meant.
//!
//! Of resolv.conf: `nameserver` (three; without one, 127.0.0.1), `search` and `domain` (without either,
//! the domain of the machine's own name), `options` `ndots`, `timeout`, `attempts`, `rotate`, `use-vc`.
//! Names are ASCII: letters, digits, `-` and `_`. What is not there: caching, EDNS, DNSSEC, mDNS,
//! nsswitch.conf, names of services, `RES_OPTIONS`, sorting by RFC 6724.

mod addrs;
mod ask;
mod files;
mod message;

pub use addrs::Addrs;
pub(super) use addrs::MAX_ADDRS;

use super::{Error, TcpStream, ToSocketAddrs, parse, race};
use crate::io::OwnedFd;
use crate::sys::RawFd;
use crate::sys::socket::{Family, IF_NAME, SocketFlags, SocketType, ioctl_siocgifindex, socket};
use crate::time::Instant;
use ask::Asker;
use core::ffi::CStr;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use files::Conf;
use message::Name;

/// Looks up `HOST:PORT`, or a host with a port beside it, the way [`TcpStream::connect`] does. Parks; reads
/// files within [`syscall`](crate::syscall).
///
/// # Errors
/// [`Error::HostNotFound`], [`Error::NoAnswer`], [`Error::ServerFailed`]; [`Error::InvalidAddress`] for
/// what is no name of a host or has no port; [`Error::Os`] of a file or a socket.
pub fn lookup_host(host: impl ToSocketAddrs) -> Result<Addrs, Error> {
    Resolver::new().lookup(host)
}

/// How names are looked up, where the system's way will not do.
///
/// ```ignore
/// let resolver = Resolver::new().resolv_conf(c"/run/myvpn/resolv.conf").deadline(Instant::now() + timeout);
/// let stream = resolver.connect("db.internal:5432")?;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Resolver<'a> {
    hosts: &'a CStr,
    resolv_conf: &'a CStr,
    port: u16,
    deadline: Option<Instant>,
}

impl Default for Resolver<'_> {
    fn default() -> Self {
        Resolver::new()
    }
}

impl<'a> Resolver<'a> {
    /// The system's way, without a deadline: the servers' timeouts limit it, 5 seconds twice for each
    /// server if the file does not say otherwise.
    pub const fn new() -> Resolver<'a> {
        Resolver { hosts: c"/etc/hosts", resolv_conf: c"/etc/resolv.conf", port: 53, deadline: None }
    }

    /// Another file in the place of `/etc/hosts`.
    pub const fn hosts(self, path: &'a CStr) -> Self {
        Resolver { hosts: path, ..self }
    }

    /// Another file in the place of `/etc/resolv.conf`.
    pub const fn resolv_conf(self, path: &'a CStr) -> Self {
        Resolver { resolv_conf: path, ..self }
    }

    /// The port at which name servers answer, UDP and TCP; 53 otherwise.
    pub const fn port(self, port: u16) -> Self {
        Resolver { port, ..self }
    }

    /// Until when a call may take, lookup and connection together.
    pub const fn deadline(self, deadline: Instant) -> Self {
        Resolver { deadline: Some(deadline), ..self }
    }

    /// The addresses of a host, IPv6 and IPv4 in turns. Addresses are passed on as they are. Parks.
    ///
    /// # Errors
    /// As [`lookup_host`], and [`Error::TimedOut`] at the deadline.
    pub fn lookup(&self, host: impl ToSocketAddrs) -> Result<Addrs, Error> {
        let mut found = Addrs::new();
        match host.name() {
            Some((name, port)) => return self.find(name, port, false),
            None => host.to_socket_addrs()?.for_each(|addr| found.push(addr)),
        }
        Ok(found)
    }

    /// Connects as [`TcpStream::connect`] does.
    ///
    /// # Errors
    /// As there, and [`Error::TimedOut`] at the deadline.
    pub fn connect(&self, host: impl ToSocketAddrs) -> Result<TcpStream, Error> {
        self.connect_with(host, |_, _| Ok(()))
    }

    /// As [`Resolver::connect`]; `prepare` sets each socket up.
    pub(super) fn connect_with(
        &self,
        host: impl ToSocketAddrs,
        prepare: impl Fn(RawFd, &SocketAddr) -> Result<(), Error>,
    ) -> Result<TcpStream, Error> {
        let addrs = match host.name() {
            Some((name, port)) => self.find(name, port, true)?,
            None => self.lookup(host)?,
        };
        race::connect(&addrs, self.deadline, prepare)
    }

    /// Looks up a name, not empty. Who is in a `hurry` does not wait for a server that keeps silent about
    /// IPv6.
    fn find(&self, host: &[u8], port: u16, hurry: bool) -> Result<Addrs, Error> {
        let mut found = Addrs::new();
        if let Some(addr) = address(host, port) {
            found.push(addr);
            return Ok(found);
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Error::TimedOut);
        }
        let whole = Name::new(host, b"").ok_or(Error::InvalidAddress)?;
        let rooted = host.ends_with(b".");
        let host = message::without_dot(host);
        if is_under(host, b"onion") || is_under(host, b"invalid") {
            return Err(Error::HostNotFound);
        }
        files::hosts(self.hosts, host, port, &mut found)?;
        if found.is_empty() {
            if is_under(host, b"localhost") {
                found.push(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port));
                found.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
            } else {
                let conf = Conf::read(self.resolv_conf, self.port)?;
                let asker = Asker { conf: &conf, port, deadline: self.deadline, hurry };
                search(&asker, host, whole, rooted, &mut found)?;
            }
        }
        found.interleave();
        Ok(found)
    }
}

/// Asks for `host` in the domains where it is searched, and as it is, which is `whole`: first if it has as
/// many dots as `ndots` says, and in no other place if it ended with one.
fn search(asker: &Asker, host: &[u8], whole: Name, rooted: bool, found: &mut Addrs) -> Result<(), Error> {
    let dots = host.iter().filter(|byte| **byte == b'.').count();
    let first = rooted || dots >= asker.conf.ndots;
    if first {
        match asker.ask(&whole, found) {
            Err(Error::HostNotFound) if !rooted => {}
            done => return done,
        }
    }
    // With a domain behind it, it may be too long.
    for name in asker.conf.search().filter_map(|domain| Name::new(host, domain)) {
        match asker.ask(&name, found) {
            Err(Error::HostNotFound) => {}
            done => return done,
        }
    }
    if first { Err(Error::HostNotFound) } else { asker.ask(&whole, found) }
}

/// An IP address, whose scope may be a number or the name of a device (`fe80::1%eth0`).
fn address(text: &[u8], port: u16) -> Option<SocketAddr> {
    if let Some(addr) = parse::ip(text, port) {
        return Some(addr);
    }
    let mut parts = text.splitn(2, |byte| *byte == b'%');
    let (ip, device) = (parts.next()?, parts.next()?);
    if device.len() >= IF_NAME {
        return None;
    }
    let mut name = [0; IF_NAME];
    name.iter_mut().zip(device).for_each(|(place, byte)| *place = *byte);
    let SocketAddr::V6(mut addr) = parse::ip(ip, port)? else { return None };
    // SAFETY: just opened.
    let socket = unsafe {
        OwnedFd::from_raw_fd(socket(Family::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, 0).ok()?)
    };
    addr.set_scope_id(ioctl_siocgifindex(socket.as_raw_fd(), name).ok()?);
    Some(addr.into())
}

/// Whether `host` is `domain`, or in it.
fn is_under(host: &[u8], domain: &[u8]) -> bool {
    let start = host.len().checked_sub(domain.len());
    start.and_then(|start| host.split_at_checked(start)).is_some_and(|(before, end)| {
        message::same(end, domain) && before.last().is_none_or(|byte| *byte == b'.')
    })
}

#[cfg(test)]
mod tests {
    use super::{address, is_under};

    #[test]
    fn scopes_have_numbers_or_names() {
        // The loopback is the first device of every namespace.
        for text in ["fe80::1%lo", "fe80::1%1"] {
            assert_eq!(address(text.as_bytes(), 7), "[fe80::1%1]:7".parse().ok(), "{text}");
        }
        for bad in
            ["fe80::1%", "fe80::1%nodevice", "127.0.0.1%lo", "fe80::1%lo%lo", "%lo", "::1%aaaaaaaaaaaaaaaa"]
        {
            assert_eq!(address(bad.as_bytes(), 7), None, "{bad}");
        }
    }

    #[test]
    fn domains() {
        for (host, expected) in [
            ("localhost", true),
            ("LocalHost", true),
            ("a.localhost", true),
            ("alocalhost", false),
            ("localhost.a", false),
            ("host", false),
            ("", false),
        ] {
            assert_eq!(is_under(host.as_bytes(), b"localhost"), expected, "{host}");
        }
    }
}
