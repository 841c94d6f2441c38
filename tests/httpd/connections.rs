//! How requests arrive, and how clients behave.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::server::{Client, LONG, Server, folder, get, limit_descriptors};

/// A root with a small file `a` and a `large` one, of 8 MiB: more than the server's socket and a narrow client's hold.
fn root(test: &str) -> PathBuf {
    let root = folder(test);
    fs::write(root.join("a"), "content").unwrap();
    fs::write(root.join("large"), vec![b'l'; 8 << 20]).unwrap();
    root
}

fn assert_serves(server: &Server) {
    assert_eq!(server.get("/a").text(), "content");
}

/// Closes with a reset instead of an end.
fn reset(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: setsockopt(2) reads one `struct linger`.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        )
    };
    assert_eq!(result, 0);
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < end, "{what}: waited too long");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_request_may_be_split_anywhere() {
    let server = Server::start(&root("split"));
    let request = get("/a");
    let mut client = server.connect();
    for at in 0..=request.len() {
        let (first, second) = request.split_at(at);
        client.send(first);
        thread::sleep(Duration::from_millis(2)); // mostly enough to be read by itself
        client.send(second);
        assert_eq!(client.response().text(), "content", "split at {at}");
    }
    for byte in request.bytes() {
        client.send([byte]);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.response().text(), "content");
}

#[test]
fn requests_in_one_piece_are_answered_in_order() {
    let root = root("pipeline");
    for i in 0..50 {
        fs::write(root.join(i.to_string()), format!("file {i}")).unwrap();
    }
    let server = Server::start(&root);
    let mut client = server.connect();
    let requests: String = (0..50).map(|i| get(format!("/{i}"))).collect();
    client.send(format!("{requests}{}{}", get("/large"), get("/a")));
    for i in 0..50 {
        assert_eq!(client.response().text(), format!("file {i}"));
    }
    assert_eq!(client.response().body.len(), 8 << 20);
    assert_eq!(client.response().text(), "content");
}

#[test]
fn pipelined_requests_may_be_split_anywhere() {
    let server = Server::start(&root("split-pipeline"));
    let requests = get("/a") + &get("/none") + &get("/a");
    for at in 0..=requests.len() {
        let mut client = server.connect();
        client.send(&requests[..at]);
        thread::sleep(Duration::from_millis(1));
        client.send(&requests[at..]);
        let statuses = [(); 3].map(|()| client.response().status);
        assert_eq!(statuses, [200, 404, 200], "split at {at}");
    }
}

#[test]
fn empty_lines_between_requests_are_skipped() {
    let server = Server::start(&root("empty-lines"));
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(format!("\r\n\r\n{}", get("/a")));
        assert_eq!(client.response().text(), "content");
    }
}

#[test]
fn ten_thousand_requests_on_one_connection() {
    let server = Server::start(&root("many-requests"));
    let mut client = server.connect();
    for i in 0..10_000 {
        client.send(get("/a"));
        assert_eq!(client.response().text(), "content", "request {i}");
    }
}

#[test]
fn connections_close_when_the_client_says_so() {
    let server = Server::start(&root("close"));
    for (request, connection) in [
        ("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", Some("close")),
        ("GET /a HTTP/1.0\r\n\r\n", Some("close")),
    ] {
        let mut client = server.connect();
        client.send(request);
        assert_eq!(client.response().header("Connection"), connection);
        assert!(client.is_at_end(), "{request}");
    }
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!((response.header("Connection"), response.text()), (Some("keep-alive"), "content"));
    }
}

#[test]
fn what_follows_the_last_request_is_not_answered() {
    let server = Server::start(&root("after-close"));
    let last = "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(format!("{last}{}", get("/a").repeat(100)));
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1);
    assert!(answer.ends_with("content"), "{answer}");
}

#[test]
fn a_client_that_has_said_all_still_gets_its_answer() {
    let server = Server::start(&root("half-close"));
    // The end in a packet of its own, then in the same as the request: it must be seen there, too.
    for together in [false, true] {
        for target in ["/a", "/large", "/"] {
            let mut client = server.connect();
            if together {
                let stream = client.stream();
                stream.set_nodelay(false).unwrap();
                cork(stream, true);
            }
            client.send(get(target));
            client.end();
            assert_eq!(client.response().status, 200, "{target}");
            assert!(client.is_at_end(), "{target}");
        }
    }
}

/// Holds back what is written until the end comes, which then shares its packet.
fn cork(stream: &TcpStream, on: bool) {
    let on = i32::from(on);
    // SAFETY: setsockopt(2) reads one `int`.
    let result = unsafe {
        let size = size_of::<i32>() as u32;
        libc::setsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CORK, (&raw const on).cast(), size)
    };
    assert_eq!(result, 0);
}

#[test]
fn an_end_inside_of_a_head_is_the_end() {
    let server = Server::start(&root("half-head"));
    assert_eq!(server.exchange("GET /a HT"), "");
    assert_eq!(server.exchange(""), "");
    assert_eq!(server.exchange("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab"), "");
    assert_serves(&server);
}

#[test]
fn clients_that_reset_hurt_nobody() {
    let mut server = Server::start(&root("reset"));
    let before = server.descriptors();
    for i in 0..200 {
        let mut client = server.connect();
        reset(client.stream());
        match i % 4 {
            0 => {} // without a word
            1 => client.send("GET /a HT"),
            2 => client.send(get("/large")), // before the answer
            _ => {
                client.send(get("/large").repeat(3));
                client.stream().read_exact(&mut [0; 10_000]).unwrap(); // in the middle
            }
        }
    }
    eventually("descriptors of reset connections", || server.descriptors() == before);
    assert_serves(&server);
    assert!(server.is_running());
}

#[test]
fn a_slow_head_is_cut_off() {
    let server = Server::start_with(&root("slow"), &["--timeout", "1"], |_| {});
    let started = Instant::now();
    // A byte now and then does not help.
    let client = server.connect();
    while client.stream().write_all(b"G").is_ok() {
        assert!(started.elapsed() < LONG, "it is not cut off");
        thread::sleep(Duration::from_millis(200));
    }
    assert!(started.elapsed() >= Duration::from_secs(1), "in {:?}", started.elapsed());
}

#[test]
fn a_head_that_stops_is_answered_408() {
    let server = Server::start_with(&root("stopped"), &["--timeout", "1"], |_| {});
    let mut client = server.connect();
    let started = Instant::now();
    client.send(get("/a"));
    client.response();
    client.send("GET /a HT");
    assert_eq!(client.response().status, 408);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    client.end();
    assert!(client.is_at_end());
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let server = Server::start_with(&root("idle"), &["--timeout", "1"], |_| {});
    let started = Instant::now();
    let mut fresh = server.connect();
    let mut used = server.connect();
    used.send(get("/a"));
    used.response();
    assert!(fresh.is_at_end());
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(1), "never a request: {waited:?}");
    assert!(used.is_at_end());
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(2), "between requests: {waited:?}");
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    let server = Server::start_with(&root("deaf"), &["--timeout", "1"], |_| {});
    let before = server.descriptors();
    // One is owed large answers; the other asks for small ones until nothing moves any more, and is then
    // reset under way.
    let mut first = server.connect_narrow();
    first.send(get("/large").repeat(20));
    let second = server.connect_narrow();
    let started = Instant::now();
    while second.stream().write_all(get("/none").repeat(1000).as_bytes()).is_ok() {
        assert!(started.elapsed() < LONG);
    }
    eventually("connections of clients that never read", || server.descriptors() == before);
    assert_serves(&server);
}

#[test]
fn a_slow_reader_gets_all() {
    // More time for the whole than the server has patience for none of it.
    let server = Server::start_with(&root("slow-reader"), &["--timeout", "3"], |_| {});
    let mut client = server.connect_narrow();
    client.send(get("/large"));
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    let head = client.head();
    assert_eq!(head.header("Content-Length"), Some("8388608"));
    for _ in 0..8 {
        thread::sleep(Duration::from_millis(500));
        client.read_exact(&mut buffer);
        total += buffer.len();
    }
    assert_eq!(total, 8 << 20);
    assert_serves(&server);
}

#[test]
fn a_file_cut_short_while_it_is_sent_ends_the_connection() {
    let root = root("truncated");
    let server = Server::start(&root);
    let mut client = server.connect_narrow();
    client.send(get("/large"));
    assert_eq!(client.head().header("Content-Length"), Some("8388608"));
    // They hold less than the file, full or not.
    fs::File::options().write(true).open(root.join("large")).unwrap().set_len(1 << 20).unwrap();
    let rest = client.rest();
    assert!(rest.len() < 8 << 20, "{}", rest.len());
    assert_serves(&server);
}

/// Fewer where there are not as many descriptors.
#[test]
fn a_thousand_clients_at_once() {
    let count = (limit_descriptors(None).unwrap() as usize - 100).min(1000);
    let mut server = Server::start(&root("thousand"));
    let mut clients: Vec<Client> = (0..count).map(|_| server.connect()).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.send(get("/a"));
        }
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.response().text(), "content", "client {i}, round {round}");
        }
    }
    assert!(server.descriptors() >= count);
    drop(clients);
    eventually("descriptors of a thousand clients", || server.descriptors() < 20);
    assert!(server.is_running());
}

#[test]
fn a_busy_connection_does_not_keep_others_waiting() {
    const REQUESTS: usize = 1000;
    // One thread: another might have the event of `other` in hand, and be kept from its CPU by the machine's load.
    let mut server = Server::start_with(&root("fair"), &["--log"], |command| {
        command.env("NETPOLL_THREADS", "1");
    });
    let (mut busy, mut other) = (server.connect(), server.connect());
    for client in [&mut busy, &mut other] {
        client.send(get("/a"));
        client.response();
    }
    // All of it is there when the server goes on, the busy one's first.
    server.signal(libc::SIGSTOP);
    let mut sender = busy.stream().try_clone().unwrap();
    // By a thread, because a socket of the host may hold less than that.
    let requests = thread::spawn(move || sender.write_all(get("/a").repeat(REQUESTS).as_bytes()).unwrap());
    eventually("the first requests", || server.unread(&busy) > 1000);
    other.send(get("/none"));
    server.signal(libc::SIGCONT);
    assert_eq!(other.response().status, 404);
    for _ in 0..REQUESTS {
        assert_eq!(busy.response().text(), "content");
    }
    requests.join().unwrap();
    let log = server.end_and_read_log();
    let turn = log.lines().position(|line| line.contains("/none")).unwrap();
    assert!(turn < REQUESTS / 2, "{turn} others were first");
}

#[test]
fn two_thousand_connections_leak_no_descriptor() {
    let server = Server::start(&root("leak"));
    let before = server.descriptors();
    for i in 0..2000 {
        let mut client = server.connect();
        client.send(get(["/a", "/none", "/", "/large", "/%"][i % 5]));
        if i % 5 != 3 {
            client.response(); // the large one is left behind
        }
    }
    eventually("descriptors of two thousand connections", || server.descriptors() == before);
}
