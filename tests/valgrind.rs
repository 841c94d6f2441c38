//! Programs under valgrind's memcheck, which knows of their stacks (the feature `valgrind`): no read or write where there
//! is nothing, no branch and no system call on what nobody has written. A stack that no task has counts as nothing.
//!
//! memcheck alone: helgrind and drd take a release store and an acquire load, which on x86_64 are plain `mov`s, for
//! a race. No signals are sent to programs of several threads: valgrind returns from a handler to the mask that there was,
//! not to the one that the handler has written (`sched/masks.rs`). Without preemption (`NETPOLL_PREEMPTION=0`): its handler writes a frame below the stack pointer of the task
//! that it interrupts, which to memcheck is nobody's memory. It knows no `epoll_pwait2`, so the fallbacks run, too.

#[path = "support/first_line.rs"]
mod first_line;
#[path = "support/package.rs"]
mod package;

use first_line::first_line;
use package::build_for_valgrind;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// What memcheck makes the exit status if it found something.
const FOUND: i32 = 99;

/// Programs are 20 times slower, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(600);

/// Scenarios of `tests/programs` that need no preemption, and do not look at the memory that the process has.
const SCENARIOS: &[&str] = &[
    "a_closure_is_dropped_once",
    "joins_in_any_order",
    "everybody_gets_on",
    "stacks_are_left_at_the_end",
    "mixed_sizes_are_used_again",
    "sleeps_are_never_early",
    "echo",
    "both_ways_at_once",
    "data_and_reset",
    "writes_of_every_size",
    "vectored",
    "send_file",
    "a_thousand_at_once",
    "slots_and_descriptors_are_used_again",
    "close_against_everything",
    "random_deadlines",
    "unix_bytes_in_order",
    "descriptors_travel",
    "udp_batches",
    "copy_every_kind",
    "buffered_lines",
    "serve_answers",
    "serve_ends_at_any_time",
];

/// Of `tests/syncprog`, the same.
const SYNC: &[&str] = &[
    "a_million_messages_from_many_to_many",
    "messages_without_a_buffer_from_many_to_many",
    "close_wakes_parked_senders_with_their_values",
    "a_deadline_that_races_loses_nothing_and_doubles_nothing",
    "values_of_all_sizes_arrive_whole",
    "a_mutex_excludes_eight_tasks",
    "a_once_lock_drops_its_value",
    "selects_race_with_close_and_deadline",
    "tasks_borrow_halves_of_a_slice",
    "selects_meet_each_other",
    "a_value_not_sent_is_dropped",
    "notifications_that_race_with_deadlines_are_not_lost",
    "permits_are_not_lost_in_races_with_deadlines",
];

fn there_is_no_valgrind() -> bool {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    let missing = !found.is_ok_and(|status| status.success());
    if missing {
        println!("skipped: valgrind is not installed");
    }
    missing
}

fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build_for_valgrind(&["-p", "programs"]))
}

/// `program` under memcheck, which is silent unless it finds something.
fn memcheck(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    // Fair: or a thread that spins for another may keep that from running, since only one runs at a time.
    command.args(["-q", "--vgdb=no", "--fair-sched=yes", &format!("--error-exitcode={FOUND}")]).arg(program);
    command.env_clear().env("PATH", env::var_os("PATH").unwrap()).env("NETPOLL_PREEMPTION", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for its end.
fn end(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("it hangs: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// What memcheck says, but for calls that it does not know (`--PID-- WARNING: unhandled amd64-linux syscall: 441`), which
/// it refuses.
fn said(stderr: Vec<u8>) -> String {
    let text = String::from_utf8(stderr).unwrap();
    text.lines().filter(|line| !line.starts_with("--")).flat_map(|line| [line, "\n"]).collect()
}

/// Each scenario with one thread and with two: it ends well, says so perhaps, and memcheck is silent.
#[track_caller]
fn pass(program: &Path, names: &[&str], says_ok: bool) {
    for name in names {
        for threads in ["1", "2"] {
            let child = memcheck(program).arg(name).env("NETPOLL_THREADS", threads).spawn();
            let output = end(child.unwrap());
            let (stdout, said) = (String::from_utf8(output.stdout).unwrap(), said(output.stderr));
            assert_eq!((output.status.code(), &*said), (Some(0), ""), "{name}, {threads} threads");
            assert_eq!(stdout, if says_ok { format!("ok {name}\n") } else { String::new() });
        }
    }
}

#[test]
fn tasks_and_connections_touch_only_what_is_theirs() {
    if !there_is_no_valgrind() {
        pass(&programs().join("scenario"), SCENARIOS, true);
    }
}

#[test]
fn channels_and_selects_touch_only_what_is_theirs() {
    if !there_is_no_valgrind() {
        let folder = build_for_valgrind(&["-p", "syncprog"]);
        pass(&folder.join("syncprog"), SYNC, false);
    }
}

/// It would be told: where an ended task's stack was, there is nothing.
#[test]
fn a_pointer_to_an_ended_task_s_stack_is_found() {
    if there_is_no_valgrind() {
        return;
    }
    let output = end(memcheck(&programs().join("dangling")).spawn().unwrap());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(FOUND), "{stderr}");
    assert!(stderr.contains("Invalid read of size 1"), "{stderr}");
}

/// A server under memcheck, which is ended with its value; `port` is the last number of its first line.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(command: &mut Command) -> Server {
        let mut child = command.spawn().unwrap();
        let line = first_line(&mut child, LIMIT);
        let number = line.trim_end().rsplit(|c: char| !c.is_ascii_digit()).next().unwrap();
        Server { port: number.parse().unwrap_or_else(|_| panic!("{line:?}")), child }
    }

    /// What is answered to `request` until the end.
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    /// Ends it by SIGTERM; what memcheck said before that.
    fn end(self) -> String {
        // SAFETY: kill(2) takes numbers; the child is ours and not waited for yet.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) }, 0);
        let output = end(self.child);
        assert_ne!(output.status.code(), Some(FOUND));
        let text = said(output.stderr);
        // Of a program that has no use for the signal, it tells how that ended.
        let before = text.lines().take_while(|line| !line.contains("Process terminating"));
        before.filter(|line| !line.trim_end().ends_with("==")).collect()
    }
}

#[test]
fn hello_echo_and_httpd_touch_only_what_is_theirs() {
    if there_is_no_valgrind() {
        return;
    }
    let folder = build_for_valgrind(&["--bin", "hello", "--bin", "echo", "--bin", "httpd"]);
    let output = end(memcheck(&folder.join("hello")).spawn().unwrap());
    assert!(output.status.success() && said(output.stderr.clone()).is_empty(), "{output:?}");

    let echo = Server::start(memcheck(&folder.join("echo")).arg("127.0.0.1:0"));
    let words: Vec<u8> = (0..20_000).map(|i| i as u8).collect();
    for n in [0, 1, 100, words.len()] {
        assert!(echo.ask(&words[..n]) == words[..n], "{n} bytes");
    }
    assert_eq!(echo.end(), "");

    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("valgrind-root");
    fs::create_dir_all(root.join("folder")).unwrap();
    fs::write(root.join("file"), "content").unwrap();
    let httpd = Server::start(memcheck(&folder.join("httpd")).arg("--root").arg(&root).arg("127.0.0.1:0"));
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\nRange: bytes=1-\r\n\r\n");
    for (request, status) in
        [(get("/file"), "206"), (get("/folder/"), "200"), (get("/%41"), "404"), ("x\r\n\r\n".into(), "400")]
    {
        let answer = String::from_utf8(httpd.ask(request.as_bytes())).unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{request}: {answer}");
    }
    assert_eq!(httpd.end(), "");
}
