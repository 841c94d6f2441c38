//! Connecting by name: Happy Eyeballs.

use super::*;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Stdio;
use std::thread;

/// Listens at `addrs`, all at one port; each connection's end is waited for.
fn listen(addrs: &[&str]) -> (Vec<TcpListener>, u16) {
    let found = (0..100).find_map(|_| {
        let port = TcpListener::bind((addrs[0], 0)).unwrap().local_addr().unwrap().port();
        let all: Result<Vec<_>, _> = addrs.iter().map(|addr| TcpListener::bind((*addr, port))).collect();
        Some((all.ok()?, port))
    });
    found.expect("a port that is free at all addresses")
}

/// Lets a listener answer nobody more: its queue is full of these.
fn deafen(listener: &TcpListener) -> Vec<TcpStream> {
    let addr = listener.local_addr().unwrap();
    // SAFETY: listen(2) again changes the length of the queue.
    unsafe { libc::listen(listener.as_raw_fd(), 0) };
    let mut streams = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, ms(100)) {
        streams.push(stream);
        assert!(streams.len() < 100, "the queue has no end");
    }
    streams
}

/// Connects to `host` with these lines of hosts, at `port`.
#[track_caller]
fn connect(hosts: &str, port: u16, limit: u64) -> Found {
    let name = format!("host.test:{port}");
    ask(Profile::Release, "resolve_and_connect", hosts, "", 1, limit, &[&name]).remove(0)
}

const REFUSED_BY_ALL: &str = "!connect: ECONNREFUSED";

#[test]
fn one_address() {
    let (listeners, port) = listen(&[HERE]);
    assert_eq!(connect("127.0.0.1 host.test", port, 0).what, HERE);
    drop(listeners);
    assert_eq!(connect("127.0.0.1 host.test", port, 0).what, REFUSED_BY_ALL);
}

/// Who refuses costs no time.
#[test]
fn refused_addresses_are_passed_at_once() {
    let (_listeners, port) = listen(&["127.0.0.4"]);
    let hosts = "::1 host.test\n127.0.0.1 host.test\n127.0.0.2 host.test\n127.0.0.4 host.test";
    within(ms(240), || {
        let found = connect(hosts, port, 0);
        assert_eq!(found.what, "127.0.0.4");
        found
    });
    let (listeners, port) = listen(&[HERE]);
    drop(listeners);
    assert_eq!(connect(hosts, port, 0).what, REFUSED_BY_ALL);
    // That there is no way to the first is not what went wrong. (The loopback has no such network.)
    let hosts = "fe80::1%lo host.test\n127.0.0.1 host.test\nfe80::2%lo host.test";
    assert_eq!(connect(hosts, port, 0).what, REFUSED_BY_ALL);
    let hosts = "fe80::1%lo host.test\nfe80::2%lo host.test";
    assert_eq!(connect(hosts, port, 0).what, "!connect: ENETUNREACH");
}

/// The next is tried beside one that does not answer, after a while; and the connection that is not needed
/// is closed (the program itself counts its descriptors).
#[test]
fn a_silent_address_costs_its_delay() {
    let (listeners, port) = listen(&[HERE, "127.0.0.2", "127.0.0.3"]);
    let _full = [deafen(&listeners[0]), deafen(&listeners[1])];
    let silent = ["127.0.0.1 host.test\n", "127.0.0.2 host.test\n"];
    for (count, least, most) in [(1, 250, 480), (2, 500, 900)] {
        let hosts = silent[..count].concat() + "127.0.0.3 host.test";
        within(ms(most), || {
            let found = connect(&hosts, port, 0);
            assert!(found.what == "127.0.0.3" && found.took >= ms(least), "{found:?}");
            found
        });
    }
}

/// The first that answers is the connection, also if it was not the last to be tried.
#[test]
fn an_earlier_address_may_still_win() {
    let (listeners, port) = listen(&[HERE, "127.0.0.2"]);
    let mut full = [deafen(&listeners[0]), deafen(&listeners[1])];
    let first = listeners[0].try_clone().unwrap();
    let drain = std::mem::take(&mut full[0]);
    let opener = thread::spawn(move || {
        thread::sleep(ms(400));
        // SAFETY: as above.
        unsafe { libc::listen(first.as_raw_fd(), 100) };
        drain.iter().for_each(|_| drop(first.accept().unwrap()));
    });
    let found = connect("127.0.0.1 host.test\n127.0.0.2 host.test", port, 0);
    opener.join().unwrap();
    assert_eq!(found.what, HERE); // by the SYN's second or third try, after 1 or 3 seconds
    assert!(found.took >= ms(400), "{found:?}");
}

#[test]
fn a_deadline_ends_all_tries() {
    let (listeners, port) = listen(&[HERE, "127.0.0.2"]);
    let _full = [deafen(&listeners[0]), deafen(&listeners[1])];
    for hosts in ["127.0.0.1 host.test", "127.0.0.1 host.test\n127.0.0.2 host.test"] {
        for limit in [100, 400] {
            let found = connect(hosts, port, limit);
            assert_eq!(found.what, "!deadline passed");
            assert!(found.took >= ms(limit - 10), "{found:?}");
        }
    }
    // The first error is reported, if there was time for it, although there was time for others.
    let refused_first = "127.0.0.9 host.test\n127.0.0.1 host.test";
    let told = (0..6).any(|doublings| {
        let what = connect(refused_first, port, 300 << doublings).what;
        assert!([REFUSED_BY_ALL, "!deadline passed"].contains(&&*what), "{what}");
        what == REFUSED_BY_ALL
    });
    assert!(told);
}

/// The other end sees one connection, and its end.
#[test]
fn losers_are_closed() {
    let (listeners, port) = listen(&[HERE, "127.0.0.2"]);
    let full = deafen(&listeners[0]);
    assert_eq!(connect("127.0.0.1 host.test\n127.0.0.2 host.test", port, 0).what, "127.0.0.2");
    let (mut stream, _) = listeners[1].accept().unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"x");
    // Nobody is in the queue but those who fill it.
    let drained: Vec<SocketAddr> = full.iter().map(|_| listeners[0].accept().unwrap().1).collect();
    let fillers: Vec<SocketAddr> = full.iter().map(|stream| stream.local_addr().unwrap()).collect();
    assert_eq!(drained, fillers);
}

/// A server that keeps silent about IPv6 holds nobody up for long.
#[test]
fn connecting_does_not_wait_for_ipv6() {
    let (_listeners, port) = listen(&[HERE]);
    let server = serve(&[HERE], |asked| match asked.kind {
        A => now(asked.reply(0, &[record(&[0xc0, 12], A, &[127, 0, 0, 1])])),
        _ => vec![],
    });
    let (name, conf) = (format!("host.test:{port}"), format!("nameserver {HERE}"));
    within(ms(400), || {
        let mut found = ask(Profile::Release, "resolve_and_connect", "", &conf, server.port, 0, &[&name]);
        assert!(found[0].what == HERE && found[0].took >= ms(49), "{found:?}");
        found.remove(0)
    });
}

/// IPv6 that comes in time goes first. On a loaded machine it may come too late now and then.
#[test]
fn ipv6_goes_first() {
    let Ok(v6) = TcpListener::bind("[::1]:0") else {
        return eprintln!("skipped: there is no IPv6 here");
    };
    let port = v6.local_addr().unwrap().port();
    let _v4 = TcpListener::bind((HERE, port)).unwrap();
    let server = serve(&[HERE], |asked| match asked.kind {
        A => now(asked.reply(0, &[record(&[0xc0, 12], A, &[127, 0, 0, 1])])),
        _ => {
            let mut loopback = [0; 16];
            loopback[15] = 1;
            vec![(ms(20), asked.reply(0, &[record(&[0xc0, 12], AAAA, &loopback)]))]
        }
    });
    let (name, conf) = (format!("host.test:{port}"), format!("nameserver {HERE}"));
    let first = (0..20).any(|_| {
        let found =
            ask(Profile::Release, "resolve_and_connect", "", &conf, server.port, 0, &[&name]).remove(0);
        assert!(["::1", HERE].contains(&&*found.what), "{found:?}");
        found.what == "::1"
    });
    assert!(first);
}

/// The system's own files, in a namespace where they are ours.
#[test]
fn the_files_of_the_system() {
    let (hosts, conf) = (Temporary::new("127.0.0.1 somebody.test"), Temporary::new("nameserver 127.0.0.1"));
    let mount = format!(
        "mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && exec \"$@\"",
        hosts.path(),
        conf.path()
    );
    let namespace = ["-rm", "sh", "-c", &mount, "sh"];
    let mut probe = std::process::Command::new("unshare");
    probe.args(namespace).arg("true");
    if !probe.output().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: unshare and mount are not allowed here");
    }
    let mut command = std::process::Command::new("unshare");
    let program = scenario(Profile::Release, "system_names");
    command.args(namespace).arg(program.get_program()).args(["system_names", "somebody.test"]);
    let outcome = run(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    outcome.exited(0).printed("ok system_names\n", "");
}
