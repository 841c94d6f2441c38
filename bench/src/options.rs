//! The command line.

use crate::costs;
use crate::rounds::Effort;
use crate::server::Peer;
use std::io;
use std::str::FromStr;
use std::time::Duration;

const USAGE: &str =
    "usage: bench [--quick] [--rounds N] [--seconds S] [--connections N,N,..] [--peers NAME,NAME,..] [PART..]
parts: load, open, costs, growth (these four if none is named), httpd-nginx";

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Part {
    /// A closed loop with more and more connections.
    Load,
    /// An open loop at given rates.
    Open,
    /// System calls, memory, start-up.
    Costs,
    /// From 1 to 100,000.
    Growth,
    /// httpd beside nginx.
    Nginx,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(word: &str) -> Result<Part, String> {
        Ok(match word {
            "load" => Part::Load,
            "open" => Part::Open,
            "costs" => Part::Costs,
            "growth" => Part::Growth,
            "httpd-nginx" => Part::Nginx,
            _ => return Err(format!("{word}?\n{USAGE}")),
        })
    }
}

pub struct Options {
    pub parts: Vec<Part>,
    pub effort: Effort,
    pub costs: costs::Effort,
    /// Of the closed loop.
    pub connections: Vec<usize>,
    /// Of the open loop, in requests a second.
    pub rates: Vec<f64>,
    /// The largest number in the growth.
    pub largest: usize,
    /// None: all.
    peers: Option<Vec<String>>,
    /// As it was given.
    pub line: String,
}

impl Options {
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Options, String> {
        let args: Vec<String> = args.collect();
        let mut options =
            if args.iter().any(|arg| arg == "--quick") { Options::quick() } else { Options::full() };
        options.line = args.join(" ");
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} what?\n{USAGE}"));
            match arg.as_str() {
                "--quick" => {}
                "--rounds" => options.effort.rounds = number(&value()?)?,
                "--seconds" => options.effort.window = Duration::from_secs_f64(seconds(&value()?)?),
                "--connections" => {
                    options.connections = value()?.split(',').map(number).collect::<Result<_, _>>()?
                }
                "--peers" => options.peers = Some(value()?.split(',').map(str::to_owned).collect()),
                _ => options.parts.push(arg.parse()?),
            }
        }
        if options.parts.is_empty() {
            options.parts = vec![Part::Load, Part::Open, Part::Costs, Part::Growth];
        }
        Ok(options)
    }

    /// About 20 minutes.
    fn full() -> Options {
        Options {
            parts: Vec::new(),
            effort: Effort { rounds: 7, warm_up: Duration::from_millis(200), window: Duration::from_secs(1) },
            costs: costs::Effort { requests: 2_000, idle: 10_000, starts: 41 },
            connections: vec![1, 16, 128, 1024, 10_000],
            rates: vec![20_000.0, 60_000.0],
            largest: 100_000,
            peers: None,
            line: String::new(),
        }
    }

    /// At most 2 minutes.
    fn quick() -> Options {
        Options {
            effort: Effort {
                rounds: 3,
                warm_up: Duration::from_millis(50),
                window: Duration::from_millis(250),
            },
            costs: costs::Effort { requests: 500, idle: 2_000, starts: 9 },
            connections: vec![1, 16, 128],
            rates: vec![20_000.0],
            largest: 10_000,
            ..Options::full()
        }
    }

    /// The peers that were asked for.
    pub fn chosen(&self, peers: Vec<Peer>) -> io::Result<Vec<Peer>> {
        let Some(names) = &self.peers else { return Ok(peers) };
        let find = |name: &String| {
            let peer = peers.iter().find(|peer| peer.name == name).cloned();
            peer.ok_or_else(|| io::Error::other(format!("there is no peer {name}")))
        };
        names.iter().map(find).collect()
    }
}

fn number(word: &str) -> Result<usize, String> {
    let number = word.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| format!("{word}: a number from 1 to 100,000 was expected\n{USAGE}"))
}

fn seconds(word: &str) -> Result<f64, String> {
    let number = word.parse().ok().filter(|number| (0.01..=60.0).contains(number));
    number.ok_or_else(|| format!("{word}: seconds from 0.01 to 60 were expected\n{USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_and_parts() {
        let options = parse("growth --rounds 5 --quick --connections 1,20 costs").unwrap();
        assert_eq!(options.parts, [Part::Growth, Part::Costs]);
        assert_eq!((options.effort.rounds, options.connections), (5, vec![1, 20]));
        assert_eq!(options.largest, 10_000); // quick
        assert_eq!(parse("").unwrap().parts.len(), 4);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--rounds", "--rounds 0", "--rounds x", "--seconds 1000", "--connections 1,,2", "nginx"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
