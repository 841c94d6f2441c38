//! The end: by a signal, with the requests that have begun answered; and sockets from a service manager.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::activation::activated;
use crate::server::{LONG, Server, folder, get, httpd};

fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None => assert!(start.elapsed() < LONG, "it does not end"),
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until the first signal has been received.
fn until_it_accepts_nothing(server: &Server) {
    let start = Instant::now();
    while TcpStream::connect(server.addr).is_ok() {
        assert!(start.elapsed() < LONG);
    }
}

#[test]
fn a_signal_ends_it_with_status_0() {
    let root = folder("ending");
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut server = Server::start(&root);
        let mut idle = [server.connect(), server.connect()];
        idle[0].send(get("/"));
        assert_eq!(idle[0].response().status, 200); // and no further request
        server.signal(signal);
        assert_eq!(wait(&mut server.child).code(), Some(0));
        assert!(idle.iter_mut().all(|client| client.is_at_end()));
        let mut log = String::new();
        server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert_eq!(log, "");
    }
}

#[test]
fn requests_that_have_begun_are_answered() {
    let root = folder("ending-answers");
    let content = vec![b'x'; 32 << 20]; // more than the kernel takes at once
    fs::write(root.join("large"), &content).unwrap();
    fs::write(root.join("a"), "content").unwrap();
    let mut server = Server::start(&root);
    let (mut begun, mut reading) = (server.connect(), server.connect_narrow());
    let request = get("/a");
    begun.send(&request[..10]);
    reading.send(get("/large"));
    let mut start = vec![0; 1000];
    reading.read_exact(&mut start);
    assert!(start.starts_with(b"HTTP/1.1 200 "));
    server.await_read(&begun);
    server.signal(libc::SIGTERM);
    until_it_accepts_nothing(&server);
    thread::sleep(Duration::from_millis(200));
    assert!(server.is_running());
    begun.send(&request[10..]);
    let response = begun.response();
    assert_eq!((response.text(), response.header("Connection")), ("content", Some("close")));
    assert!(begun.is_at_end());
    assert!(server.is_running());
    let head = start.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let mut rest = vec![0; content.len() - (start.len() - head)];
    reading.read_exact(&mut rest);
    assert!(rest.iter().all(|byte| *byte == b'x'));
    assert_eq!(wait(&mut server.child).code(), Some(0));
}

#[test]
fn a_request_that_does_not_come_keeps_it_no_longer_than_its_time() {
    let root = folder("ending-time");
    let mut server = Server::start_with(&root, &["--timeout", "2"], |_| {});
    let start = Instant::now();
    let mut client = server.connect();
    client.send("GET / HTTP");
    server.await_read(&client);
    server.signal(libc::SIGTERM);
    assert_eq!(wait(&mut server.child).code(), Some(0));
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let root = folder("ending-twice");
    let mut server = Server::start_with(&root, &["--timeout", "3600"], |_| {});
    let mut client = server.connect();
    client.send("GET / HTTP");
    server.await_read(&client);
    server.signal(libc::SIGINT);
    until_it_accepts_nothing(&server);
    thread::sleep(Duration::from_millis(300));
    assert!(server.is_running());
    server.signal(libc::SIGINT);
    assert_eq!(wait(&mut server.child).code(), Some(0));
}

/// Two servers one after the other at a socket that stays: nobody is turned away in between.
#[test]
fn it_serves_a_socket_that_it_was_given() {
    let root = folder("given");
    fs::write(root.join("a"), "content").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    for _ in 0..2 {
        let stream = TcpStream::connect(addr).unwrap(); // before there is a server
        let mut program = httpd();
        program.arg("--root").arg(&root).arg("192.0.2.1:80"); // where nobody could listen
        let other = File::open("/dev/null").unwrap().into();
        let sockets: Vec<OwnedFd> = vec![other, listener.try_clone().unwrap().into()];
        let mut command = activated(&program, sockets, "2", None);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.ends_with(&format!(" on http://{addr}\n")), "{line}");
        let mut server = Server { child, addr };
        let mut client = crate::server::Client::new(stream);
        client.send(get("/a"));
        assert_eq!(client.response().text(), "content");
        server.signal(libc::SIGTERM);
        assert_eq!(wait(&mut server.child).code(), Some(0));
    }
}

#[test]
fn sockets_that_are_none_to_listen_on_are_an_error() {
    let mut program = httpd();
    program.arg("127.0.0.1:0");
    for (sockets, fds) in [(1, "1"), (0, "1"), (1, "x")] {
        let sockets = (0..sockets).map(|_| File::open("/dev/null").unwrap().into()).collect();
        let mut command = activated(&program, sockets, fds, None);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("httpd: LISTEN_FDS: ") && stderr.lines().count() == 1, "{stderr}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    }
}
