//! Cost of one request, timer and task by how many there are. What is drawn should stay level, or grow as log n
//! does, which caches that are too small for all make steeper.

use crate::costs::micro;
use crate::load::Client;
use crate::options::Options;
use crate::os;
use crate::peers;
use crate::plot::{Axis, Plot, Scale};
use crate::report::Report;
use crate::rounds::{Effort, median};
use crate::server::{Mode, Peer};
use crate::table::{Table, digits};
use std::io;

const NETPOLL: &str = "netpoll";

/// Descriptors of a server that are no connections.
const OTHERS: usize = 64;

/// The loops of `micro`, and what is counted.
const MICROS: [(&str, &str); 3] = [
    ("armed", "a timer, that many armed"),
    ("parked", "a wake-up, that many parked"),
    ("alive", "a task, that many alive"),
];

/// A name, and its points.
type Line = (String, Vec<(f64, f64)>);

/// Requests that are measured together; with more connections, one on each.
const PIECE: usize = 500;

/// Rounds at most for a request: the connections take long to open.
const ROUNDS: usize = 3;

pub fn run(report: &mut Report, peers: &[Peer], options: &Options, descriptors: usize) -> io::Result<()> {
    let counts: Vec<usize> =
        (0..).map(|power| 10usize.pow(power)).take_while(|&count| count <= options.largest).collect();
    let mut operations: Vec<Line> = Vec::new();

    let micro_program = peers::programs()?.join("micro");
    for (name, what) in MICROS {
        let cost = |count| {
            let tries = (0..options.effort.rounds).map(|_| micro(&micro_program, name, count));
            tries.collect::<io::Result<Vec<f64>>>().map(median)
        };
        operations.push((what.to_owned(), points(&counts, cost)));
    }
    let mut requests: Vec<Line> = Vec::new();
    for name in [NETPOLL, peers::FLOOR] {
        let Some(peer) = peers.iter().find(|peer| peer.name == name) else { continue };
        if options.largest + OTHERS > descriptors {
            eprintln!("growth: {descriptors} descriptors are allowed, so there are not more connections");
        }
        let allowed: Vec<usize> =
            counts.iter().copied().filter(|count| count + OTHERS <= descriptors).collect();
        let what = format!("a request, that many connections, {name}");
        requests.push((what, points(&allowed, |count| request(peer, count, &options.effort))));
    }

    let mut head = vec!["CPU ns of".to_owned()];
    head.extend(counts.iter().map(usize::to_string));
    let mut table = Table::new(&head);
    for (what, points) in operations.iter().chain(&requests) {
        let at =
            |&count: &usize| points.iter().find(|point| point.0 == count as f64).map_or(f64::NAN, |p| p.1);
        let cells = counts.iter().map(|count| digits(at(count), 0));
        table.row(std::iter::once(what.clone()).chain(cells).collect());
    }
    report.section("Growth", &table.render())?;
    for (name, title, lines) in [
        ("growth-operations", "CPU time of one operation by how many there are", operations),
        ("growth-requests", "CPU time of a request by how many connections there are", requests),
    ] {
        // What grows as log n does is straight here, and what grows faster bends upwards.
        let (x, y) = (Axis::new("how many", Scale::Log), Axis::new("ns", Scale::Linear));
        report.plot(name, &Plot { title: title.to_owned(), x, y, lines })?;
    }
    Ok(())
}

/// A point for each count whose cost could be measured.
fn points(counts: &[usize], cost: impl Fn(usize) -> io::Result<f64>) -> Vec<(f64, f64)> {
    let point = |&count: &usize| match cost(count) {
        Ok(ns) => Some((count as f64, ns)),
        Err(error) => {
            eprintln!("growth at {count}: {error}");
            None
        }
    };
    counts.iter().filter_map(point).collect()
}

/// CPU time of the server in ns for a request, one in flight at a time, the connections in turns: so each
/// wait brings one event, however many connections there are.
///
/// The least of all pieces. Whenever another program is on the servers' CPU, too, each wait becomes a switch between
/// the two: on a virtual CPU that was seen to cost 17 us more, for any of the peers.
fn request(peer: &Peer, connections: usize, effort: &Effort) -> io::Result<f64> {
    let piece = connections.max(PIECE);
    let mut least = f64::INFINITY;
    for _ in 0..effort.rounds.min(ROUNDS) {
        let server = peer.start(Mode::Idle)?;
        let mut client = Client::connect(server.port, Mode::Idle, connections)?;
        client.take_turns(piece)?;
        let end = os::now() + effort.window.as_nanos() as u64;
        while {
            let before = os::cpu_time(server.pid())?;
            client.take_turns(piece)?;
            least = least.min((os::cpu_time(server.pid())? - before) as f64 / piece as f64);
            os::now() < end
        } {}
    }
    Ok(least)
}
