//! The poller in other people's event loops (`tests/embedder/`): an interpreter on std, one in a program without std and
//! libc, and a C program that knows no more than a header.

#[path = "support/first_line.rs"]
mod first_line;
#[path = "support/package.rs"]
mod package;

use first_line::first_line;
use package::ROOT;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PROFILES: [&str; 2] = ["dev", "release"];

/// Builds the packages; where their files are.
fn build(profile: &str) -> PathBuf {
    package::build(profile, &["-p", "embedder", "-p", "calculator", "-p", "netpoll-c"])
}

/// Runs `command`, which must end well within two minutes; what it prints.
fn printed(command: &mut Command) -> String {
    let output = Command::new("timeout")
        .arg("120")
        .arg(command.get_program())
        .args(command.get_args())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn interpreted_programs_take_turns() {
    for profile in PROFILES {
        let text = printed(&mut Command::new(build(profile).join("interpreter")));
        assert_eq!(text, "echo 42\nb 4\na 3\nb 2\na 1\nb 0\n0 waiters\n", "{profile:?}");
    }
}

#[test]
fn a_c_program_polls() {
    if Command::new("cc").arg("--version").output().is_err() {
        println!("skipped: no C compiler");
        return;
    }
    for profile in PROFILES {
        let folder = build(profile);
        let program = folder.join("echo_c");
        let c = Path::new(ROOT).join("tests/embedder/c");
        let output = Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-O2", "-pthread", "-o"])
            .args([&program, &c.join("echo.c"), &folder.join("libnetpoll_c.a")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = printed(Command::new(&program).arg("200"));
        assert_eq!(text, "200 connections, 100 rounds, 100 deadlines\n", "{profile:?}");
    }
}

/// The freestanding calculator, which ends with its value.
struct Calculator {
    child: Child,
    port: u16,
}

const LIMIT: Duration = Duration::from_secs(120);

impl Calculator {
    fn start(profile: &str) -> Calculator {
        let mut child =
            Command::new(build(profile).join("calculator")).stdout(Stdio::piped()).spawn().unwrap();
        let line = first_line(&mut child, LIMIT);
        let port = line.trim_end().strip_prefix("port ").and_then(|port| port.parse().ok());
        Calculator { child, port: port.unwrap_or_else(|| panic!("{line:?}")) }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }

    /// The status that it ends with.
    fn ends(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None => assert!(start.elapsed() < LIMIT, "it does not end"),
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Calculator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is answered to `words`, which come in pieces.
fn answer(client: &mut TcpStream, words: &[&str]) -> String {
    for piece in words {
        client.write_all(piece.as_bytes()).unwrap();
    }
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with('\n') {
        client.read_exact(&mut byte).unwrap();
        text.push(byte[0].into());
    }
    text
}

#[test]
fn a_program_without_std_and_runtime_calculates() {
    for profile in PROFILES {
        let mut calculator = Calculator::start(profile);
        for round in 0..20 {
            // Each has its own stack, and they take turns.
            let mut clients = [0; 8].map(|_| calculator.connect());
            for (i, client) in clients.iter_mut().enumerate() {
                assert_eq!(
                    answer(client, &["23+", &format!("{i}*.")]),
                    format!("{}\n", 5 * i),
                    "round {round}"
                );
                client.write_all(b"07-").unwrap();
            }
            for client in clients.iter_mut().rev() {
                assert_eq!(answer(client, &["."]), "-7\n");
            }
        }
        // What is no program, and what goes on too late.
        for words in ["+", "1x", "123456789", "t"] {
            let (mut client, start) = (calculator.connect(), Instant::now());
            client.write_all(words.as_bytes()).unwrap();
            assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "{words:?}"); // an end, or a reset
            assert!(
                start.elapsed() < LIMIT && (words != "t" || start.elapsed() >= Duration::from_millis(50))
            );
        }
        let _waits = calculator.connect();
        calculator.connect().write_all(b"q").unwrap();
        assert_eq!(calculator.ends(), Some(0), "{profile:?}");
    }
}
