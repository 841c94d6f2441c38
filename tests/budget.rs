//! What a request may cost, in counts that do not depend on the machine: instructions in user space, by
//! valgrind, and system calls, by a tracer. `budget.toml` has the limits.
//!
//! - **alone**: one connection with one request in flight. Each is a read, a write, and the whole way into a wait and
//!   out of it; a run is like the other to the instruction.
//! - **crowd**: all of 16 connections have a request when the server looks, for it was stopped (SIGSTOP) while they were
//!   sent. So one wait is shared by 16, and what is left is what a request costs by itself.
//!
//! What a loaded server finds is in between, and depends on the machine: `bench/` measures that.

#[path = "support/calls.rs"]
mod calls;
#[path = "support/package.rs"]
mod package;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// Connections of a crowd.
const CROWD: usize = 16;

/// What may be spent beyond the budget before it must be changed.
const TOLERANCE: f64 = 1.03;

/// A program under valgrind takes half a second to start, on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What a server is asked, and the length of its answer.
struct Exchange {
    /// In `budget.toml`; a mode of `srv`, or [`FILE`]'s.
    name: &'static str,
    request: &'static [u8],
    answer: usize,
}

const ECHO: Exchange = Exchange { name: "echo", request: &[b'x'; 64], answer: 64 };

/// By `net::serve`: a connection that waits has no task.
const REST: Exchange = Exchange { name: "rest", ..ECHO };

const HTTP: Exchange = Exchange {
    name: "http",
    request: b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: netpoll-bench\r\nAccept: */*\r\n\r\n",
    answer: 78,
};

/// A small file, of `httpd`. It keeps the answer for a second, and then opens the file again: as often as that in a
/// slow run.
const FILE: Exchange = Exchange {
    name: "file",
    request: b"GET /file.bin HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: netpoll-bench\r\nAccept: */*\r\n\r\n",
    answer: 186 + FILE_SIZE,
};

const FILE_SIZE: usize = 4 << 10;

/// Instructions that opening the file again may take, with what else is done once a second; in another thread, too, if
/// the monitor finds that it takes long, as everything does under valgrind.
const REOPENING: usize = 20_000;

/// The lines `name = value` of `budget.toml`, the values without quotes.
fn budget() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("budget.toml").lines();
    let entries = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    entries.map(|(name, value)| (name, value.trim_matches('"'))).collect()
}

/// Fails if `count` is above the budget `name`; says so if it is far below.
#[track_caller]
fn assert_within(name: &str, count: f64) {
    let limit: f64 = budget()[name].parse().expect("a number");
    println!("{name} = {count:.2}, budget {limit}");
    assert!(
        count <= limit * TOLERANCE,
        "{name} = {count:.2} a request, {:.1} % above tests/budget.toml",
        (count / limit - 1.0) * 100.0
    );
    if count * TOLERANCE < limit {
        println!("{name}: the budget can be lowered to {count:.2}");
    }
}

/// The programs in profile `release`: the tests themselves are built in `dev`, as a rule.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| package::build("release", &["--bin", "srv", "--bin", "httpd"]))
}

/// A folder with the one file.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("budget-files");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file.bin"), [b'x'; FILE_SIZE]).unwrap();
        folder
    })
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Connects as soon as the server accepts.
fn connect(port: u16) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => {
                stream.set_nodelay(true).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                return stream;
            }
            Err(error) => assert!(start.elapsed() < LIMIT, "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl Exchange {
    /// Who answers, and how it is called to do so at `port`.
    fn server(&self, port: u16) -> (PathBuf, Vec<OsString>) {
        if self.name == FILE.name {
            let args = ["--root".into(), folder().into(), format!("127.0.0.1:{port}").into()];
            return (programs().join("httpd"), args.to_vec());
        }
        (programs().join("srv"), [self.name.into(), port.to_string().into()].to_vec())
    }

    fn ask(&self, stream: &mut TcpStream) {
        stream.write_all(self.request).unwrap();
    }

    fn await_answer(&self, stream: &mut TcpStream) {
        let mut answer = [0; 186 + FILE_SIZE];
        stream.read_exact(&mut answer[..self.answer]).unwrap();
    }

    /// One request after the other.
    fn ping_pong(&self, stream: &mut TcpStream, requests: usize) {
        for _ in 0..requests {
            self.ask(stream);
            self.await_answer(stream);
        }
    }
}

// Instructions

/// The version as in `rustc 1.95.0 (...)`.
fn rustc() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

/// Why instructions cannot be compared here.
fn obstacle() -> Option<String> {
    let made_with = budget()["rustc"];
    if rustc() != made_with {
        return Some(format!("the budget is for rustc {made_with}, this is {}", rustc()));
    }
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    (!valgrind.is_ok_and(|status| status.success())).then(|| "valgrind is not installed".to_owned())
}

/// A server under valgrind, which ends with its value.
struct Running {
    child: Child,
    port: u16,
    /// What valgrind reports at the end.
    log: PathBuf,
}

impl Running {
    /// `name` is no other's that runs at the same time.
    fn start(exchange: &Exchange, name: &str) -> Running {
        let port = free_port();
        let (program, args) = exchange.server(port);
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind-{name}"));
        let child = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(format!("--log-file={}", log.display()))
            .arg(program)
            .args(args)
            // A signal of the monitor's would add its handler's.
            .envs([("NETPOLL_THREADS", "1"), ("NETPOLL_PREEMPTION", "0")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Running { child: child.unwrap(), port, log }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: takes numbers; the child has not been reaped.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Stops all its threads, and returns when they stand.
    fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let start = Instant::now();
        let tasks = format!("/proc/{}/task", self.child.id());
        let stands = |task: fs::DirEntry| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        };
        while !fs::read_dir(&tasks).unwrap().all(|task| stands(task.unwrap())) {
            assert!(start.elapsed() < LIMIT, "it does not stop");
        }
    }

    /// Ends it; the instructions from its start on.
    fn end(mut self) -> u64 {
        self.signal(libc::SIGTERM); // valgrind reports before it ends
        self.child.wait().unwrap();
        let report = fs::read_to_string(&self.log).unwrap();
        let count = report.lines().find_map(|line| line.split_once("Collected : "));
        count.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("{report}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The instructions of a server until it has answered so many requests, one after the other.
fn alone(exchange: &Exchange, requests: usize) -> u64 {
    let server = Running::start(exchange, &format!("alone-{}", exchange.name));
    exchange.ping_pong(&mut connect(server.port), requests);
    server.end()
}

/// The same, always `CROWD` of them at once.
fn crowd(exchange: &Exchange, requests: usize) -> u64 {
    let server = Running::start(exchange, &format!("crowd-{}", exchange.name));
    let mut streams: Vec<TcpStream> = (0..CROWD).map(|_| connect(server.port)).collect();
    streams.iter_mut().for_each(|stream| exchange.ping_pong(stream, 1));
    for _ in 0..requests / CROWD {
        server.stop();
        streams.iter_mut().for_each(|stream| exchange.ask(stream));
        server.signal(libc::SIGCONT);
        streams.iter_mut().for_each(|stream| exchange.await_answer(stream));
    }
    server.end()
}

/// Compares the slope between two numbers of requests: what comes before and behind them falls out.
#[track_caller]
fn assert_instructions_within(exchange: &Exchange) {
    const FEW: usize = 32 * CROWD;
    const MANY: usize = 5 * FEW;
    if let Some(obstacle) = obstacle() {
        eprintln!("instructions are not compared: {obstacle}");
        return;
    }
    for (name, run) in [("alone", alone as fn(&Exchange, usize) -> u64), ("crowd", crowd)] {
        let slope = run(exchange, MANY).saturating_sub(run(exchange, FEW));
        let name = format!("{}.{name}.instructions", exchange.name);
        assert_within(&name, slope as f64 / (MANY - FEW) as f64);
    }
}

#[test]
fn echo_stays_within_its_instructions() {
    assert_instructions_within(&ECHO);
}

#[test]
fn a_served_connection_stays_within_its_instructions() {
    assert_instructions_within(&REST);
}

#[test]
fn http_stays_within_its_instructions() {
    assert_instructions_within(&HTTP);
}

#[test]
fn a_file_stays_within_its_instructions() {
    const FEW: usize = 500;
    const MANY: usize = 5 * FEW;
    if let Some(obstacle) = obstacle() {
        eprintln!("instructions are not compared: {obstacle}");
        return;
    }
    let few = alone(&FILE, FEW);
    let start = Instant::now();
    let many = alone(&FILE, MANY);
    let reopened = start.elapsed().as_secs() as usize + 1;
    let slope = many.saturating_sub(few + (reopened * REOPENING) as u64);
    assert_within("file.alone.instructions", slope as f64 / (MANY - FEW) as f64);
}

// System calls

#[track_caller]
fn assert_calls_within(exchange: &Exchange) {
    const REQUESTS: usize = 300;
    let port = free_port();
    let (program, args) = exchange.server(port);
    let mut command = Command::new(program);
    command.args(args);
    let calls = calls::count(command, |_, shared| {
        let mut stream = connect(port);
        exchange.ping_pong(&mut stream, 1);
        shared.until_it_waits();
        shared.count();
        exchange.ping_pong(&mut stream, REQUESTS);
        stream
    });
    let count = calls.values().sum::<usize>() as f64 / REQUESTS as f64;
    assert_within(&format!("{}.calls", exchange.name), count);
}

#[test]
fn echo_stays_within_its_calls() {
    assert_calls_within(&ECHO);
}

#[test]
fn a_served_connection_stays_within_its_calls() {
    assert_calls_within(&REST);
}

#[test]
fn http_stays_within_its_calls() {
    assert_calls_within(&HTTP);
}
