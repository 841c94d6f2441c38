//! Names of hosts. Servers, files and the clock are the tests' (`tests/runtime/names`).

use crate::Scenario;
use crate::support::{PATIENCE, after, descriptors, error, join_all, limit, ms};
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::net::SocketAddr;
use netpoll::net::dns::Resolver;
use netpoll::net::{Addrs, Error, TcpBuilder, TcpListener, TcpStream, ToSocketAddrs, UdpSocket, lookup_host};
use netpoll::sys::process::Resource;
use netpoll::sys::{Call, Errno};
use netpoll::time::Instant;
use netpoll::{println, spawn};

pub const SCENARIOS: &[Scenario] = &[
    ("resolve", resolve),
    ("resolve_and_connect", resolve_and_connect),
    ("resolve_by_the_hundred", by_the_hundred),
    ("resolve_without_descriptors", without_descriptors),
    ("system_names", system_names),
    ("names_of_peers", names_of_peers),
    ("names_that_are_none", none),
];

/// The resolver that the first four words describe: hosts, resolv.conf, the servers' port, milliseconds until
/// the deadline, 0 for none; and the words behind them.
fn with_resolver<'a>(words: &'a [&'a str], f: impl FnOnce(Resolver, &'a [&'a str])) {
    let [hosts, conf, port, limit, rest @ ..] = words else { panic!("{words:?}") };
    let (hosts, conf) = (CString::new(*hosts).unwrap(), CString::new(*conf).unwrap());
    let resolver = Resolver::new().hosts(&hosts).resolv_conf(&conf).port(port.parse().unwrap());
    match limit.parse().unwrap() {
        0 => f(resolver, rest),
        limit => f(resolver.deadline(after(ms(limit))), rest),
    }
}

/// `NAME MILLISECONDS ADDRESS..`, or an error behind a `!`.
fn tell(name: &str, start: Instant, found: Result<Addrs, Error>) {
    let took = start.elapsed().as_millis();
    match found {
        Ok(addrs) => {
            let mut line = alloc::format!("{name} {took}");
            addrs.iter().for_each(|addr| {
                assert_eq!(addr.port(), 7);
                let text = match addr {
                    SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                        alloc::format!(" {}%{}", v6.ip(), v6.scope_id())
                    }
                    addr => alloc::format!(" {}", addr.ip()),
                };
                line.push_str(&text);
            });
            println!("{line}");
        }
        Err(e) => println!("{name} {took} !{e}"),
    }
}

/// Looks up the other words, one after the other.
fn resolve(words: &[&str]) {
    with_resolver(words, |resolver, names| {
        let before = descriptors();
        for name in names {
            let start = Instant::now();
            tell(name, start, resolver.lookup((*name, 7)));
        }
        // The poller's own two have come with the first socket.
        assert!(descriptors() <= before + 2);
    });
}

/// Connects to the other words, each `HOST:PORT`.
fn resolve_and_connect(words: &[&str]) {
    with_resolver(words, |resolver, names| {
        drop(TcpListener::bind("127.0.0.1:0").unwrap()); // the poller is there
        let before = descriptors();
        for name in names {
            let start = Instant::now();
            let connected = resolver.connect(*name);
            let took = start.elapsed().as_millis();
            match connected {
                Ok(stream) => {
                    println!("{name} {took} {}", stream.peer_addr().unwrap().ip());
                    assert_eq!(descriptors(), before + 1);
                    stream.write_all(b"x").unwrap(); // no deadline is left
                }
                Err(e) => println!("{name} {took} !{e}"),
            }
            assert_eq!(descriptors(), before);
        }
    });
}

fn by_the_hundred(words: &[&str]) {
    with_resolver(words, |resolver, names| {
        let before = descriptors();
        netpoll::scope(|s| {
            for n in 0..100 {
                let name = names[n % names.len()];
                s.spawn(move || assert_eq!(resolver.lookup((name, 7)).unwrap().len(), 2));
            }
        });
        assert!(descriptors() <= before + 2);
    });
}

/// Out of descriptors is said as such, wherever it happens, and leaves nothing behind.
fn without_descriptors(words: &[&str]) {
    with_resolver(words, |resolver, names| {
        assert!(resolver.lookup((names[0], 7)).is_ok());
        let before = descriptors();
        let old = limit(Resource::Nofile, before as u64 + 4);
        let mut full = Vec::new();
        while let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            full.push(socket);
        }
        assert_eq!(error(resolver.lookup((names[0], 7))), Error::Os(Call::Openat, Errno::EMFILE));
        // The files can be read, the socket opened, and there is none for TCP.
        full.pop();
        assert!(resolver.lookup((names[0], 7)).is_ok());
        assert_eq!(error(resolver.lookup((names[1], 7))), Error::Os(Call::Socket, Errno::EMFILE));
        full.clear();
        limit(Resource::Nofile, old);
        assert_eq!(descriptors(), before);
    });
}

/// The system's own way, with what every system has.
fn system_names(words: &[&str]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let host = words.first().copied().unwrap_or("localhost");
    let text = alloc::format!("{host}:{port}");
    let c_text = CString::new(&*text).unwrap();
    let same = |stream: TcpStream| assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
    same(TcpStream::connect(&*text).unwrap());
    same(TcpStream::connect(&*c_text).unwrap());
    same(TcpStream::connect((host, port)).unwrap());
    let builder = TcpBuilder::new().nodelay(true).deadline(after(PATIENCE));
    let stream = builder.connect(&*text).unwrap();
    assert!(stream.nodelay().unwrap());
    same(stream);
    let passed = TcpBuilder::new().deadline(Instant::now() - ms(1));
    assert_eq!(error(passed.connect(&*text)), Error::TimedOut);

    let addrs = lookup_host(&*text).unwrap();
    assert!(addrs.contains(&listener.local_addr().unwrap()), "{addrs:?}");
    drop(TcpListener::bind(lookup_host((host, 0)).unwrap()).unwrap());
}

/// Peers of datagrams have names, too.
fn names_of_peers(_: &[&str]) {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = far.local_addr().unwrap().port();
    let mut buf = [0; 9];
    // Of its addresses, ::1 is nothing for these sockets.
    assert_eq!(near.send_to(b"one", ("localhost", port)), Ok(3));
    assert_eq!(far.recv_from(&mut buf), Ok((3, near.local_addr().unwrap())));
    near.connect(&*alloc::format!("localhost:{port}")).unwrap();
    assert_eq!(near.peer_addr(), far.local_addr());
    assert_eq!(near.send(b"two"), Ok(3));
    assert_eq!(far.recv(&mut buf), Ok(3));
}

/// What is refused without asking anybody, and that one's own address is not looked up.
fn none(_: &[&str]) {
    for text in [
        "localhost",
        "",
        ":",
        ":1",
        "a b:1",
        "a..b:1",
        ".:1",
        "localhost:",
        "localhost:http",
        "localhost:65536",
        "1.2.3:1",
        "1.2.3.4.5:1",
        "[::1:1",
        "::1]:1",
        "[]:1",
        "[x]:1",
        "[::1]x:1",
        "::1:1",
        "é.test:1",
    ] {
        assert_eq!(error(TcpStream::connect(text)), Error::InvalidAddress, "{text}");
        assert_eq!(error(lookup_host(text)), Error::InvalidAddress, "{text}");
    }
    for text in ["a.onion:1", "onion:1", "x.invalid.:1"] {
        assert_eq!(error(TcpStream::connect(text)), Error::HostNotFound, "{text}");
    }
    assert_eq!(error(TcpListener::bind("localhost:0")), Error::InvalidAddress);
    assert_eq!(error(TcpListener::bind(("localhost", 0))), Error::InvalidAddress);
    assert_eq!(error(UdpSocket::bind("localhost:0")), Error::InvalidAddress);
    assert_eq!(error(TcpBuilder::new().listen("localhost:0")), Error::InvalidAddress);
    drop(TcpListener::bind(("127.0.0.1", 0)).unwrap());

    let literal = |addr: &dyn Fn() -> Option<SocketAddr>, text: &str| assert_eq!(addr(), text.parse().ok());
    literal(&|| lookup_host("127.0.0.1:7").ok()?.first().copied(), "127.0.0.1:7");
    literal(&|| lookup_host(("::1", 7)).ok()?.first().copied(), "[::1]:7");
    literal(&|| lookup_host("[fe80::1%3]:7").ok()?.first().copied(), "[fe80::1%3]:7");
    literal(&|| ("fe80::1%3", 7).to_socket_addrs().ok()?.next(), "[fe80::1%3]:7");
    // All at once: nothing here is anybody's alone.
    let tries = (0..50).map(|_| spawn(|| lookup_host("127.0.0.1:7").unwrap().len()));
    assert!(join_all(tries).into_iter().all(|n| n == 1));
}
