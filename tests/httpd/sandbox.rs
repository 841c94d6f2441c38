//! `--sandbox`: it serves, and could do nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use witness::{Call, End, Trace, Witness, call};

use crate::refuse::{Refuse, refuse};
use crate::server::{Client, Server, folder, get, httpd};

/// What an attacker would want, and a server does not.
const NEVER: [&str; 8] =
    ["execve", "fork", "ptrace", "socket", "connect", "bind", "unlinkat", "process_vm_readv"];

fn site(name: &str) -> std::path::PathBuf {
    let root = folder(name);
    fs::create_dir(root.join("dir")).unwrap();
    fs::write(root.join("a"), "content").unwrap();
    fs::write(root.join("large"), vec![b'x'; 4 << 20]).unwrap();
    symlink("/etc/passwd", root.join("out")).unwrap();
    root
}

/// Asks for everything that a server answers with.
fn exercise(connect: impl Fn() -> Client) {
    for (path, status) in
        [("/a", 200), ("/dir/", 200), ("/", 200), ("/large", 200), ("/none", 404), ("/out", 404)]
    {
        let mut client = connect();
        client.send(get(path));
        let response = client.response();
        assert!(
            response.status == status || path == "/out" && response.status >= 400,
            "{path}: {response:?}"
        );
    }
    let mut client = connect();
    client.send(
        "GET /large HTTP/1.1\r\nHost: h\r\nRange: bytes=1000000-\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    assert_eq!(client.response().body.len(), (4 << 20) - 1_000_000);
    assert_eq!(client.response().text(), "content");
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.response().status, 400);
}

/// A field of the process's status, of each thread.
fn of_threads(pid: u32, field: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    status
        .map(|text| text.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned())
        .collect()
}

#[test]
fn in_its_sandbox_it_serves_with_all_threads_restricted() {
    let root = site("sandbox");
    let mut server = Server::start_with(&root, &["--sandbox", "--log"], |command| {
        command.env("NETPOLL_THREADS", "4");
    });
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| exercise(|| server.connect())))));
    let filtered = of_threads(server.child.id(), "Seccomp:");
    assert!(filtered.len() >= 2 && filtered.iter().all(|mode| mode == "2"), "{filtered:?}");
    assert!(of_threads(server.child.id(), "NoNewPrivs:").iter().all(|is| is == "1"));
    // Also what it does in the end.
    server.signal(libc::SIGTERM);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn in_its_sandbox_it_answers_sigquit() {
    let root = site("sandbox-quit");
    let mut server = Server::start_with(&root, &["--sandbox"], |_| {});
    server.get("/a");
    server.signal(libc::SIGQUIT);
    assert_eq!(server.child.wait().unwrap().code(), Some(2));
}

/// One run under the witness: how it gets there, and that it then stays there.
fn traced() -> Trace {
    let root = site("sandbox-traced");
    let mut command = httpd();
    command.args(["--sandbox", "--timeout", "1", "--root"]).arg(&root).arg("127.0.0.1:0");
    command.env("NETPOLL_THREADS", "3").stderr(Stdio::null());
    let mut server = Witness::command(command).spawn().unwrap();
    let (tell, told) = mpsc::channel();
    let mut lines = BufReader::new(server.stdout.take().unwrap());
    thread::spawn(move || {
        let mut line = String::new();
        let _ = lines.read_line(&mut line);
        tell.send(line)
    });
    let line = told.recv_timeout(Duration::from_secs(60)).unwrap();
    let addr: std::net::SocketAddr = line.trim().rsplit('/').next().unwrap().parse().unwrap();
    let connect = || Client::new(std::net::TcpStream::connect(addr).unwrap());
    let mut slow = connect();
    slow.stream().write_all(b"GET /a").unwrap(); // until its time is up
    exercise(connect);
    slow.rest();
    server.signal(libc::SIGTERM);
    let trace = server.finish().unwrap();
    assert_eq!(trace.end, End::Exited(0));
    trace
}

#[test]
fn it_gives_its_rights_up_first_and_needs_no_others() {
    let trace = traced();
    let is = |name: &'static str| move |made: &Call| made.name() == name;
    let filter = trace.calls.iter().position(is("seccomp")).unwrap();
    let set = call("seccomp").arg(0, 1).shown(1, "SECCOMP_FILTER_FLAG_TSYNC").returns(0);
    assert!(set.is(&trace.calls[filter]), "{}", trace.calls[filter]);
    // Before any byte of a client's.
    let accept = trace.calls.iter().position(is("accept4")).unwrap();
    assert!(filter < accept);
    // Each thread by itself, where there is landlock.
    let before = Trace { calls: trace.calls[..filter].to_vec(), end: trace.end };
    let threads = before.calls.iter().map(|made| made.thread).collect::<BTreeSet<_>>().len();
    let landlocked = before.calls.iter().filter(|made| made.name() == "landlock_restrict_self").count();
    let there = before.calls.iter().find(|made| made.name() == "landlock_create_ruleset").unwrap();
    assert_eq!(landlocked, if there.value().is_some() { threads } else { 0 }, "{}", before.table());
    let then = trace.since(filter + 1);
    NEVER.iter().for_each(|name| then.assert_never(name));
}

/// A kernel without landlock leaves the filter of calls; one without that, no sandbox, which is an error.
#[test]
fn without_landlock_it_serves_and_without_seccomp_it_does_not() {
    let root = site("sandbox-old");
    for errno in [libc::ENOSYS, libc::EOPNOTSUPP] {
        let no_landlock = Refuse { call: libc::SYS_landlock_create_ruleset, argument: None, errno };
        let server = Server::start_with(&root, &["--sandbox"], |command| refuse(command, no_landlock));
        exercise(|| server.connect());
    }
    let mut command = httpd();
    command.args(["--sandbox", "--root"]).arg(&root).arg("127.0.0.1:0");
    refuse(&mut command, Refuse { call: libc::SYS_seccomp, argument: None, errno: libc::ENOSYS });
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "httpd: --sandbox: refused by the kernel (ENOSYS)\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
}
