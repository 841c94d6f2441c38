//! Rounds: the peers are measured in turns, so that what disturbs the machine for a while disturbs all of
//! them, and ratios are taken within a round. Of the rounds the median counts.

use crate::load::{Client, Pace, Sample};
use crate::server::{Mode, Peer};
use std::io;
use std::time::Duration;

/// How much is measured.
#[derive(Clone)]
pub struct Effort {
    pub rounds: usize,
    pub warm_up: Duration,
    pub window: Duration,
}

/// The samples of one peer, a round each. `None`: it failed, as was printed.
pub type Samples = Vec<Option<Sample>>;

/// Measures all peers with so many connections; the samples are in the order of `peers`.
pub fn measure(peers: &[Peer], mode: Mode, connections: usize, pace: Pace, effort: &Effort) -> Vec<Samples> {
    let mut samples: Vec<Samples> = peers.iter().map(|_| Vec::new()).collect();
    for _ in 0..effort.rounds {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            let sample = sample(peer, mode, connections, pace, effort);
            let failed = |error| eprintln!("{}, {}, {connections}: {error}", peer.name, mode.name());
            samples.push(sample.map_err(failed).ok());
        }
    }
    samples
}

/// One sample, of a server that has just started.
fn sample(peer: &Peer, mode: Mode, connections: usize, pace: Pace, effort: &Effort) -> io::Result<Sample> {
    let server = peer.start(mode)?;
    let client = Client::connect(server.port, mode, connections)?;
    client.run(&server, pace, effort.warm_up, effort.window)
}

/// The median; of an even number of values the lower middle one, of none NaN.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The distance of the quartiles in percent of the median: half of the rounds are within that.
pub fn noise(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => (values[(3 * n - 1) / 4] - values[n / 4]) * 100.0 / median(values),
    }
}

/// Each sample's value.
pub fn values(samples: &Samples, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
    samples.iter().flatten().map(value).collect()
}

/// Each sample's value divided by that of the floor in the same round.
pub fn ratios(samples: &Samples, floor: &Samples, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
    let pairs = samples.iter().zip(floor).filter_map(|(a, b)| a.as_ref().zip(b.as_ref()));
    pairs.map(|(sample, floor)| value(sample) / value(floor)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quartiles() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
        assert_eq!(noise(vec![100.0; 5]), 0.0);
        assert_eq!(noise(vec![80.0, 100.0, 90.0, 110.0, 1000.0]), 20.0);
    }
}
