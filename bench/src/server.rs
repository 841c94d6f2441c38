//! A server as a process, which ends with its value; and what `/proc` tells of it.

use crate::os;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// For a server's first accept, at most.
const START_LIMIT: Duration = Duration::from_secs(10);

/// What a server is asked to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Mode {
    Echo,
    Http,
    Idle,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Echo => "echo",
            Mode::Http => "http",
            Mode::Idle => "idle",
        }
    }
}

/// A program that can be started as `PROGRAM echo|http|idle PORT`.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: &'static str,
    pub program: PathBuf,
    pub env: &'static [(&'static str, &'static str)],
}

impl Peer {
    /// The command, on the servers' CPU, with nothing of our environment.
    pub fn command(&self, mode: Mode, port: u16) -> Command {
        let mut command = self.free_command(mode, port);
        pinned(&mut command);
        command
    }

    fn free_command(&self, mode: Mode, port: u16) -> Command {
        let mut command = Command::new(&self.program);
        command.args([mode.name(), &port.to_string()]).env_clear().envs(self.env.iter().copied());
        silent(&mut command);
        command
    }

    pub fn start(&self, mode: Mode) -> io::Result<Server> {
        let port = free_port()?;
        Server::start(&mut self.command(mode, port), port)
    }

    /// Starts it as fast as can be; how long it took until it accepted, by the kernel at least, in ns.
    ///
    /// From a thread on the servers' CPU, which the server inherits. With something of ours to do in the child, it
    /// would be a copy of this process first, and that is what would be measured.
    pub fn start_up(&self, mode: Mode) -> io::Result<u64> {
        let port = free_port()?;
        let mut command = self.free_command(mode, port);
        let starting = thread::spawn(move || {
            os::pin(os::SERVER_CPU)?;
            let start = os::now();
            Ok((start, command.spawn()?))
        });
        let limit = Instant::now() + START_LIMIT;
        let accepted = loop {
            if os::connect(port, 1).is_ok() {
                break Some(os::now());
            }
            if Instant::now() > limit {
                break None;
            }
        };
        let (start, child) = starting.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")))?;
        let _server = Server { child, port };
        let accepted = accepted.ok_or_else(|| io::Error::new(ErrorKind::TimedOut, "it does not accept"))?;
        Ok(accepted - start)
    }
}

fn silent(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
}

/// Makes a command run on the servers' CPU, silently.
pub fn pinned(command: &mut Command) {
    silent(command);
    // SAFETY: system calls only.
    unsafe { command.pre_exec(|| os::pin(os::SERVER_CPU)) };
}

/// A port of 127.0.0.1 that nobody has at the moment.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts `command` and waits until it accepts connections at `port`.
    pub fn start(command: &mut Command, port: u16) -> io::Result<Server> {
        let mut server = Server { child: command.spawn()?, port };
        let start = Instant::now();
        while let Err(error) = os::connect(port, 1) {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("{command:?} has ended: {status}")));
            }
            if start.elapsed() > START_LIMIT {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("{command:?}: {error}")));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of anonymous memory that are resident.
    pub fn anonymous_memory(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("no RssAnon in /proc/PID/status"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time that all processes of the machine have used so far, in seconds, in steps of 10 ms.
pub fn machine_cpu_time() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let cpu = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = cpu.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    [0, 1, 2, 5, 6].iter().filter_map(|&at| ticks.get(at)).sum::<f64>() / 100.0
}
