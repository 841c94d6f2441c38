//! The program as a process: arguments, messages, descriptors.

use crate::again::again;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::thread;
use std::time::Duration;

use crate::connections::eventually;
use crate::server::{LONG, Server, folder, get, httpd, in_child, limit_descriptors};

/// Runs to the end. What should fail must not serve: then this would not end, so an end is put to it.
fn run(args: &[&str]) -> Output {
    let mut child = httpd().args(args).spawn().unwrap();
    for _ in 0..LONG.as_millis() / 10 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    child.wait_with_output().unwrap()
}

#[test]
fn what_cannot_work_is_one_line_and_status_1() {
    let root = folder("faults");
    fs::write(root.join("file"), "").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    let free = "127.0.0.1:0";
    for (args, message) in [
        (&["--root", &path(""), &taken][..], format!("{taken}: the port is in use (bind: EADDRINUSE)")),
        (&["--root", &path("none"), free], format!("{}: there is no such directory (ENOENT)", path("none"))),
        (&["--root", &path("file"), free], format!("{}: not a directory (ENOTDIR)", path("file"))),
        (&["--root", "a\nb", free], "a\\nb: there is no such directory (ENOENT)".into()),
        (&["--root", "", free], ": there is no such directory (ENOENT)".into()),
        (&["192.0.2.1:80"], "192.0.2.1:80: not an address of this machine (bind: EADDRNOTAVAIL)".into()),
    ] {
        let output = run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr, format!("httpd: {message}\n"), "{args:?}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{args:?}");
    }
    for addr in ["nonsense", "localhost:80", "127.0.0.1", ":80", "80", "127.0.0.1:65536", ""] {
        let output = run(&[addr]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(&format!("httpd: {addr}: not an address, such as ")), "{stderr}");
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{addr}");
    }
}

#[test]
fn misuse_shows_the_usage_and_is_status_2() {
    for args in [&["--what"][..], &["127.0.0.1:0", "127.0.0.1:0"], &["--root"], &["--timeout", "x"]] {
        let output = run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("httpd: ") && stderr.contains("\nusage: httpd "), "{stderr}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}");
    }
}

#[test]
fn help_is_status_0() {
    let output = run(&["--help"]);
    assert!(output.stdout.starts_with(b"usage: httpd "));
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn it_says_what_it_serves_and_where() {
    let root = folder("banner");
    let mut child = httpd().current_dir(&root).arg("[::1]:0").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    let port = line.strip_prefix("httpd: serving . on http://[::1]:").unwrap_or_else(|| panic!("{line}"));
    assert_ne!(port.trim_end().parse::<u16>().unwrap(), 0);
}

#[test]
fn the_log_has_a_line_for_each_request() {
    let root = folder("log");
    fs::write(root.join("a b"), "content").unwrap();
    let mut server = Server::start_with(&root, &["--log"], |_| {});
    let mut client = server.connect();
    let peer = client.stream().local_addr().unwrap();
    let requests = [
        ("GET /a%20b?secret=1 HTTP/1.1", "GET /a%20b 200 7"),
        ("HEAD /a%20b HTTP/1.1", "HEAD /a%20b 200 0"),
        ("GET /none HTTP/1.1", "GET /none 404 14"),
        ("GET /%0a%22%1b[m HTTP/1.1", "GET /%0A%22%1B%5Bm 404 14"),
        ("POST /x HTTP/1.1", "POST /x 405 23"),
        ("GET /%zz HTTP/1.1", "GET - 400 16"),
        ("nonsense", "- - 400 16"),
    ];
    for (line, logged) in requests {
        client.send(format!("{line}\r\nHost: h\r\n\r\n"));
        let response = if logged.starts_with("HEAD") { client.head() } else { client.response() };
        assert!(logged.contains(&format!(" {} ", response.status)), "{logged}: {response:?}");
    }
    client.end();
    assert!(client.is_at_end()); // which comes behind the last line
    let log = server.end_and_read_log();
    let expected: String = requests.iter().map(|(_, logged)| format!("{peer} {logged}\n")).collect();
    assert_eq!(log, expected);
}

#[test]
fn without_log_it_is_silent() {
    let root = folder("silent");
    let mut server = Server::start(&root);
    for request in [get("/"), get("/none"), "nonsense\r\n\r\n".into()] {
        server.exchange(request);
    }
    assert_eq!(server.end_and_read_log(), "");
}

#[test]
fn without_standard_streams_it_serves_and_the_log_reaches_no_client() {
    let root = folder("closed-streams");
    fs::write(root.join("a"), "content").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // The numbers of the closed ones are free for what the server opens.
    let prepare: [fn() -> io::Result<()>; 4] =
        [|| Ok(()), || close(&[1]), || close(&[0, 2]), || close(&[0, 1, 2])];
    for (prepare, sandbox) in prepare.into_iter().flat_map(|p| [(p, None), (p, Some("--sandbox"))]) {
        let mut command = httpd();
        command.arg("--log").args(sandbox).arg("--root").arg(&root).arg(port.to_string());
        in_child(&mut command, prepare);
        let mut child = command.spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take())); // nobody reads them either
        let mut server = Server { child, addr: port };
        let mut tries = 0;
        while TcpStream::connect(port).is_err() {
            tries += 1;
            assert!(tries < 3000 && server.is_running());
            thread::sleep(Duration::from_millis(10));
        }
        // No connection has a number of theirs, not even for a moment.
        for stream in 0..3 {
            let is_open = fs::symlink_metadata(format!("/proc/{}/fd/{stream}", server.child.id())).is_ok();
            assert!(is_open, "{stream}");
        }
        let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send(get("/a"));
            assert_eq!(client.response().text(), "content");
        }
        for client in &mut clients {
            client.end();
            assert_eq!(client.rest(), "");
        }
    }
}

fn close(descriptors: &[i32]) -> io::Result<()> {
    for &descriptor in descriptors {
        // SAFETY: the child's own, which nothing uses between here and exec.
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}

#[test]
fn without_descriptors_left_it_waits_and_recovers() {
    const LIMIT: u64 = 40;
    let root = folder("emfile");
    fs::write(root.join("a"), "content").unwrap();
    let mut server = Server::start_with(&root, &[], |command| {
        in_child(command, || limit_descriptors(Some(LIMIT)).map(drop));
    });
    // The last of them stay in the kernel's queue.
    let mut clients: Vec<_> = (0..LIMIT + 10).map(|_| server.connect()).collect();
    eventually("its last descriptor", || server.descriptors() as u64 >= LIMIT); // one above the limit may be inherited

    // No descriptor for the file: the client is told, and may try again.
    clients[0].send(get("/a"));
    assert_eq!(clients[0].response().status, 503);

    server.await_rest(Duration::from_millis(500));
    assert!(server.is_running());

    let mut waiting = clients.split_off(LIMIT as usize);
    drop(clients);
    for client in &mut waiting {
        client.send(get("/a"));
        assert_eq!(client.response().text(), "content");
    }
}

#[test]
fn an_idle_server_uses_no_cpu() {
    let root = folder("idle-cpu");
    let server = Server::start(&root);
    let _clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    server.await_rest(Duration::from_millis(1000));
}

#[test]
fn without_memory_for_a_task_connections_close_and_it_recovers() {
    /// Address space for fewer than 200 stacks of 256 KiB.
    const MOST: u64 = 48 << 20;
    let root = folder("memory");
    fs::write(root.join("a"), "content").unwrap();
    let mut server = Server::start_with(&root, &[], |command| {
        command.env("NETPOLL_THREADS", "2"); // each takes some of it
        in_child(command, || {
            let limit = libc::rlimit { rlim_cur: MOST, rlim_max: MOST };
            // SAFETY: setrlimit(2) reads `limit`.
            let result = unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
            if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        });
    });
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    let mut served = 0;
    for client in &mut clients {
        // On a closed connection the request fails at once, or there is no answer.
        let _ = client.stream().write_all(get("/a").as_bytes());
        served += usize::from(again(|| client.stream().peek(&mut [0])).is_ok_and(|n| n == 1));
    }
    assert!((32..200).contains(&served), "{served} of 200 clients served");
    assert!(server.is_running());
    drop(clients);
    eventually("the end of all connections", || server.descriptors() < 20);
    for _ in 0..100 {
        assert_eq!(server.get("/a").text(), "content");
    }
}
