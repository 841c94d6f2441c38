//! What does not depend on load: system calls a request, memory of an idle connection, and start-up.

use crate::calls;
use crate::load::Client;
use crate::rounds::median;
use crate::server::{Mode, Peer, pinned};
use crate::table::{Table, digits};
use std::io;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// How much is measured.
#[derive(Clone)]
pub struct Effort {
    /// Requests whose system calls are counted.
    pub requests: usize,
    /// Connections that are idle.
    pub idle: usize,
    /// Times that a server is started.
    pub starts: usize,
}

/// Connections by which system calls are counted.
const CALLS_AT: [usize; 2] = [1, 128];

/// What a runtime allocates once is not the connection's.
const WARM: usize = 16;

pub fn table(peers: &[Peer], effort: &Effort) -> String {
    let mut table = Table::new(&[
        "peer",
        "calls a request, 1 connection",
        "128 connections",
        "bytes an idle connection",
        "us to first accept",
        "bytes of the program",
    ]);
    for peer in peers {
        let tell = |error: io::Error| {
            eprintln!("{}: {error}", peer.name);
            f64::NAN
        };
        let [one, many] = CALLS_AT
            .map(|connections| calls_a_request(peer, connections, effort.requests).unwrap_or_else(tell));
        let idle = idle(peer, effort.idle).unwrap_or_else(tell);
        let start = start_up(peer, effort.starts).unwrap_or_else(tell);
        let size = std::fs::metadata(&peer.program).map_or(f64::NAN, |file| file.len() as f64);
        let cells = [(one, 2), (many, 2), (idle, 0), (start, 0), (size, 0)];
        let cells = cells.map(|(value, places)| digits(value, places));
        table.row(std::iter::once(peer.name.to_owned()).chain(cells).collect());
    }
    table.render()
}

fn calls_a_request(peer: &Peer, connections: usize, requests: usize) -> io::Result<f64> {
    let bursts = requests.div_ceil(connections);
    let calls = calls::count(peer, Mode::Echo, connections, bursts)?;
    Ok(calls.values().sum::<u64>() as f64 / (bursts * connections) as f64)
}

/// Anonymous memory of the process for each connection that waits, after it has had one answer. What the
/// kernel needs for its sockets is not in it.
fn idle(peer: &Peer, connections: usize) -> io::Result<f64> {
    let server = peer.start(Mode::Idle)?;
    let mut client = Client::connect(server.port, Mode::Idle, WARM)?;
    thread::sleep(Duration::from_millis(100));
    let before = server.anonymous_memory()?;
    client.grow(server.port, connections)?;
    thread::sleep(Duration::from_millis(300));
    Ok(server.anonymous_memory()?.saturating_sub(before) as f64 / connections as f64)
}

/// From before the call that starts the program until it accepts, in us.
fn start_up(peer: &Peer, starts: usize) -> io::Result<f64> {
    let took = (0..starts).map(|_| Ok(peer.start_up(Mode::Echo)? as f64 / 1e3));
    Ok(median(took.collect::<io::Result<_>>()?))
}

/// Runs `micro NAME N` on the servers' CPU; ns an operation.
pub fn micro(program: &std::path::Path, name: &str, n: usize) -> io::Result<f64> {
    let mut command = Command::new(program);
    pinned(&mut command);
    let command = command.args([name, &n.to_string()]).env_clear().env("NETPOLL_THREADS", "1");
    let output = command.stdout(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let total = text.trim().strip_prefix(name).and_then(|rest| rest.split_whitespace().nth(1));
    let total = total.and_then(|total| total.parse::<f64>().ok());
    total
        .map(|total| total / n as f64)
        .ok_or_else(|| io::Error::other(format!("micro {name} {n}: {output:?}")))
}
