//! Servers that are tormented, and are afterwards as they were before: connections that end in every way, deadlines,
//! more connections than there are descriptors, signals. For `SOAK_SECONDS`, or [`BRIEF`]; `.ci/soak` is for longer.
//!
//! What must be as before: tasks, stacks and waits by the program's own counts; descriptors; mappings and memory. The
//! first load is not measured: stacks are never unmapped, and threads never end, so what is needed at most is there
//! behind it. (Slots of the poller are mapped 32, 64, 128 at a time and not counted: if one were lost now and then,
//! the next block would be a mapping more.)

#[path = "support/again.rs"]
mod again;
#[path = "runtime/harness.rs"]
#[allow(dead_code, unused_macros)] // that target uses more of it
mod harness;
#[path = "soak/load.rs"]
mod load;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use load::Load;

const BRIEF: u64 = 10;

/// What each may have: fewer than its clients want.
const DESCRIPTORS: usize = 64;

/// How long the first load lasts.
const FIRST: Duration = Duration::from_secs(3);

/// What is to be as before is so within this time.
const LIMIT: Duration = Duration::from_secs(60);

fn seconds() -> Duration {
    let given = std::env::var("SOAK_SECONDS").ok();
    Duration::from_secs(given.map_or(BRIEF, |text| text.parse().expect("SOAK_SECONDS is a number")))
}

/// A server that runs, and ends with its value.
struct Server {
    child: Child,
    /// What it prints.
    lines: Receiver<String>,
}

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug)]
struct Process {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    /// Bytes of address space, and of memory.
    mapped: u64,
    resident: u64,
}

/// Bytes of a thread's stacks, `G0_STACK` and `HANDLER_STACK` in `src/sched`: a thread that the load has caused
/// to be made stays.
const THREAD: u64 = (64 << 10) + (16 << 10);

/// Memory that may be more than before: of the stacks that the Ps keep, 64 each, nothing is given back, and chance has
/// it how deep those were used that are among them.
const MORE_MEMORY: u64 = 2 * 64 * (16 << 10);

impl Process {
    /// Whether it is as `before`: nothing more is left.
    fn is_as(&self, before: &Process) -> bool {
        let threads = self.threads.saturating_sub(before.threads);
        self.descriptors <= before.descriptors
            && self.mapped <= before.mapped + threads as u64 * THREAD
            && self.mappings <= before.mappings + threads * 3 // the guard splits its stack
            && self.resident <= before.resident + MORE_MEMORY
    }
}

impl Server {
    fn start(mut command: Command) -> (Server, String) {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut server = Server { child, lines };
        let line = server.line();
        (server, line)
    }

    fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(LIMIT);
        line.unwrap_or_else(|error| panic!("{error}; it has ended: {:?}", self.child.try_wait()))
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    fn signal(&self, signal: i32) {
        // SAFETY: kill(2) takes numbers; the child is ours and not waited for yet.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    fn process(&self) -> Process {
        let folder = Path::new("/proc").join(self.pid().to_string());
        let count = |name| fs::read_dir(folder.join(name)).unwrap().count();
        let (mut mappings, mut mapped) = (0, 0);
        for line in fs::read_to_string(folder.join("maps")).unwrap().lines() {
            let (from, to) = line.split(' ').next().and_then(|range| range.split_once('-')).unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            mappings += 1;
            mapped += address(to) - address(from);
        }
        let sums = fs::read_to_string(folder.join("smaps_rollup")).unwrap();
        let resident = sums.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let resident = resident.trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10;
        Process { descriptors: count("fd"), threads: count("task"), mappings, mapped, resident }
    }

    /// Waits until it is as `before`.
    fn until_as(&self, before: &Process) -> Process {
        let start = Instant::now();
        loop {
            let now = self.process();
            if now.is_as(before) {
                return now;
            }
            assert!(start.elapsed() < LIMIT, "before {before:#?}, now {now:#?}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it does not change any more: nothing is left of a load but what stays.
    fn settled(&self) -> Process {
        let (start, mut last, mut same) = (Instant::now(), self.process(), 0);
        while same < 20 {
            assert!(start.elapsed() < LIMIT, "it does not come to rest: {last:?}");
            sleep(Duration::from_millis(50));
            let now = self.process();
            let rests = now.descriptors == last.descriptors && now.resident >= last.resident;
            same = if rests { same + 1 } else { 0 };
            last = now;
        }
        last
    }

    /// Ends by SIGTERM, well.
    fn end(mut self) {
        self.signal(libc::SIGTERM);
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0));
                return;
            }
            sleep(Duration::from_millis(5));
        }
        panic!("it does not end by SIGTERM");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Before and behind, and how often what was done.
fn report(name: &str, before: &Process, now: &Process, done: &BTreeMap<&str, u64>) {
    println!("{name}: before {before:?}");
    println!("{name}: behind {now:?}");
    println!("{name}: {done:?}");
    assert!(done.values().sum::<u64>() > 0);
}

#[test]
fn a_server_of_tasks_returns_to_the_start() {
    let mut command = harness::program(harness::Profile::Release, "soak");
    command.env("NETPOLL_THREADS", "2").stderr(Stdio::inherit());
    let (mut server, line) = Server::start(command);
    let ports: Vec<u16> = line.split_whitespace().skip(1).map(|port| port.parse().unwrap()).collect();
    // Tasks, stacks and waits.
    let counts = |server: &mut Server| {
        server.signal(libc::SIGUSR1);
        let line = server.line();
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().unwrap());
        let three = [(); 3].map(|()| numbers.next().unwrap());
        (three, numbers.collect::<Vec<_>>())
    };
    // SIGURG is what preemption uses; the last is not taken, and ignored by default.
    let load = Load::Requests { ports, signals: vec![libc::SIGUSR2, libc::SIGURG, libc::SIGWINCH] };
    let Load::Requests { ports, .. } = &load else { unreachable!() };
    ports.iter().for_each(|&port| load.fill(port, || server.process().descriptors >= DESCRIPTORS));
    load.run(server.pid(), FIRST);
    let before = server.settled();
    let counted = counts(&mut server).0;
    let done = load.run(server.pid(), seconds());
    let start = Instant::now();
    let others = loop {
        let (now, others) = counts(&mut server);
        if now.iter().zip(counted).all(|(&now, before)| now <= before) {
            break others;
        }
        assert!(start.elapsed() < LIMIT, "tasks, stacks, waits: before {counted:?}, now {now:?}");
        sleep(Duration::from_millis(50));
    };
    let now = server.until_as(&before);
    report("soak", &before, &now, &done);
    println!("soak: tasks, stacks, waits {counted:?}; requests, signals {others:?}");
    load.is_answered();
    server.end();
}

#[test]
fn httpd_returns_to_the_start() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    fs::create_dir_all(root.join("folder")).unwrap();
    fs::write(root.join("small"), "content").unwrap();
    fs::write(root.join("large"), vec![b'x'; 1 << 20]).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_httpd"));
    command.args(["--timeout", "1", "--root"]).arg(&root).arg("127.0.0.1:0");
    // With several, it depends on chance how many stacks there are: what one has spare the other does not see.
    command.env("NETPOLL_THREADS", "1");
    let (server, line) = Server::start(command);
    let port = line.trim_end().rsplit(':').next().and_then(|port| port.parse().ok()).unwrap();
    load::limit_descriptors(server.pid(), DESCRIPTORS as u64);
    let load = Load::Pages { port, signals: vec![libc::SIGURG, libc::SIGWINCH] };
    load.fill(port, || server.process().descriptors >= DESCRIPTORS); // some may be inherited
    load.run(server.pid(), FIRST);
    let before = server.settled();
    let done = load.run(server.pid(), seconds());
    let now = server.until_as(&before);
    report("httpd", &before, &now, &done);
    load.is_answered();
    server.end();
}
