//! Servers under load: tables, latency by percentile, throughput by connections.

use crate::load::{Pace, Sample};
use crate::options::Options;
use crate::peers::FLOOR;
use crate::plot::{Axis, Plot, Scale};
use crate::report::Report;
use crate::rounds::{Samples, measure, median, noise, ratios, values};
use crate::server::{Mode, Peer};
use crate::table::{Table, digits};
use std::io;

const MODES: [Mode; 2] = [Mode::Echo, Mode::Http];

/// Descriptors of a server that are no connections.
const OTHERS: usize = 64;

/// Connections of the open loop.
const OPEN_CONNECTIONS: usize = 64;

/// Where latency is drawn, as the part of requests that take longer.
const SLOWER: [f64; 9] = [0.9, 0.5, 0.25, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001];

/// A closed loop, for each of the numbers of connections.
pub fn closed(report: &mut Report, peers: &[Peer], options: &Options, descriptors: usize) -> io::Result<()> {
    for mode in MODES {
        let mut throughput: Vec<(String, Vec<(f64, f64)>)> =
            peers.iter().map(|peer| (peer.name.to_owned(), Vec::new())).collect();
        for &connections in &options.connections {
            if connections + OTHERS > descriptors {
                eprintln!("{connections} connections: only {descriptors} descriptors are allowed");
                continue;
            }
            let samples = measure(peers, mode, connections, Pace::Closed, &options.effort);
            let title = format!("{}, closed loop, {}", mode.name(), counted(connections));
            report.section(&title, &table(peers, &samples))?;
            report
                .plot(&format!("latency-{}-{connections}", mode.name()), &latency(title, peers, &samples))?;
            for (line, samples) in throughput.iter_mut().zip(&samples) {
                line.1.push((connections as f64, median(values(samples, Sample::throughput))));
            }
        }
        throughput.iter_mut().for_each(|line| line.1.retain(|point| point.1.is_finite()));
        let marks = options.connections.iter().map(|&count| (count as f64, count.to_string())).collect();
        let plot = Plot {
            title: format!("{}, closed loop: throughput by connections", mode.name()),
            x: Axis { marks, ..Axis::new("connections", Scale::Log) },
            y: Axis::new("requests a second", Scale::Linear),
            lines: throughput,
        };
        report.plot(&format!("throughput-{}", mode.name()), &plot)?;
    }
    Ok(())
}

/// An open loop, for each of the rates.
pub fn open(report: &mut Report, peers: &[Peer], options: &Options) -> io::Result<()> {
    for mode in MODES {
        for &rate in &options.rates {
            let samples = measure(peers, mode, OPEN_CONNECTIONS, Pace::Open(rate), &options.effort);
            let connections = counted(OPEN_CONNECTIONS);
            let title = format!("{}, open loop, {rate} requests a second on {connections}", mode.name());
            report.section(&title, &table(peers, &samples))?;
            report.plot(&format!("latency-{}-open-{rate}", mode.name()), &latency(title, peers, &samples))?;
        }
    }
    Ok(())
}

fn counted(connections: usize) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

fn table(peers: &[Peer], samples: &[Samples]) -> String {
    let mut table = Table::new(&[
        "peer",
        "CPU us/req",
        "x floor",
        "noise %",
        "req/s",
        "x floor",
        "p50 us",
        "p99 us",
        "p99/p50",
        "foreign",
    ]);
    let none = Samples::new();
    let floor =
        peers.iter().zip(samples).find(|(peer, _)| peer.name == FLOOR).map_or(&none, |(_, floor)| floor);
    for (peer, samples) in peers.iter().zip(samples) {
        let middle = |value: fn(&Sample) -> f64| median(values(samples, value));
        let ratio = |value: fn(&Sample) -> f64| ratios(samples, floor, value);
        let foreign = values(samples, |sample| sample.foreign).into_iter().fold(f64::NAN, f64::max);
        let cells = [
            (middle(Sample::cpu_per_request), 2),
            (median(ratio(Sample::cpu_per_request)), 2),
            (noise(values(samples, Sample::cpu_per_request)), 0),
            (middle(Sample::throughput), 0),
            (median(ratio(Sample::throughput)), 2),
            (middle(|sample| sample.quantile(0.5)), 1),
            (middle(|sample| sample.quantile(0.99)), 1),
            (middle(|sample| sample.quantile(0.99) / sample.quantile(0.5)), 2),
            (foreign, 2),
        ];
        let cells = cells.map(|(value, places)| digits(value, places));
        table.row(std::iter::once(peer.name.to_owned()).chain(cells).collect());
    }
    table.render()
}

fn latency(title: String, peers: &[Peer], samples: &[Samples]) -> Plot {
    let line = |(peer, samples): (&Peer, &Samples)| {
        let point = |&slower: &f64| {
            let us = median(values(samples, |sample| sample.quantile(1.0 - slower)));
            (1.0 / slower, us)
        };
        let points = SLOWER.iter().map(point).filter(|point| point.1.is_finite()).collect();
        (peer.name.to_owned(), points)
    };
    let marks = [(2.0, "50"), (10.0, "90"), (100.0, "99"), (1000.0, "99.9"), (10_000.0, "99.99")];
    Plot {
        title: format!("{title}: latency"),
        x: Axis {
            marks: marks.map(|(value, text)| (value, text.to_owned())).to_vec(),
            ..Axis::new("percentile", Scale::Log)
        },
        y: Axis::new("us", Scale::Log),
        lines: peers.iter().zip(samples).map(line).collect(),
    }
}
