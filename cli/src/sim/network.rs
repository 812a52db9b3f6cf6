//! The network between simulated replicas, as options describe it.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use dtn_simulator::{Bandwidth, Latency, Links};

/// The longest latency that is taken for meant.
const MAX_LATENCY: Duration = Duration::from_secs(60);

/// The longest virtual time that a run may wait for a view to change.
pub(crate) const MAX_VIEW_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How replicas share the bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Model {
    /// Each replica has one uplink and one downlink, which all its messages share
    Shared,
    /// That of the FPBFT prototype: every message has a connection of its own, and pauses 100 ms before each tenth of a
    /// second's worth
    Fpbft,
}

/// The links.
#[derive(Debug, Clone, Args)]
pub(crate) struct NetworkOptions {
    /// The longest one-way latency, such as 350ms (a number alone is milliseconds); each message takes any from a tenth
    /// of it up
    #[arg(long, default_value = "350ms", value_parser = parse_latency)]
    pub(crate) latency: Duration,
    /// The bandwidth of each replica, such as 30mbps or 1gbps (a number alone is Mbit/s); 0 for no limit
    #[arg(long, default_value = "0", value_parser = parse_bandwidth)]
    pub(crate) bandwidth: f64,
    /// What the bandwidth limits
    #[arg(long, value_enum, default_value_t = Model::Shared)]
    pub(crate) model: Model,
    /// The share of messages that is lost, below 1, before all is well at --stable-after
    #[arg(long, default_value_t = 0.0, value_parser = parse_share)]
    pub(crate) loss: f64,
}

impl NetworkOptions {
    /// The links between `n` replicas.
    pub(crate) fn links(&self, n: usize) -> Links {
        let latency = Latency::Uniform { least: self.latency / 10, most: self.latency };
        let bandwidth = match self.model {
            _ if self.bandwidth == 0.0 => Bandwidth::Unlimited,
            // The prototype takes a megabit for 2^20 bits.
            Model::Fpbft => Bandwidth::PerConnection { bytes_per_second: self.bandwidth * f64::from(1 << 20) / 8.0 },
            Model::Shared => {
                let rate = self.bandwidth * 1e6 / 8.0;
                Bandwidth::Shared { up: vec![rate; n], down: vec![rate; n] }
            }
        };
        Links { latency, bandwidth, loss: self.loss, repetition: 0.0 }
    }

    /// A view timeout that a network like this does not reach as long as all is well: several times what it takes to send
    /// a block to everybody and to vote on it.
    pub(crate) fn patient_view_timeout(&self, n: usize, block_bytes: usize) -> Duration {
        let copies = if self.model == Model::Shared { n } else { 4 };
        let votes = 4 * n * 200;
        let sending = match self.bandwidth {
            0.0 => 0.0,
            mbps => ((block_bytes + 1000) * copies + votes) as f64 * 8.0 / (mbps * 1e6),
        };
        let seconds = 2.0 + 10.0 * self.latency.as_secs_f64() + 4.0 * sending;
        Duration::from_secs_f64(seconds.min(MAX_VIEW_TIMEOUT.as_secs_f64()))
    }
}

/// A duration; a number alone is milliseconds.
pub(crate) fn parse_latency(text: &str) -> Result<Duration> {
    let latency = match text.trim().parse::<f64>() {
        Ok(ms) => {
            ensure!(ms.is_finite() && ms >= 0.0, "{text} ms is no latency: give 0 or more");
            Duration::try_from_secs_f64(ms / 1e3)?
        }
        Err(_) => humantime::parse_duration(text.trim())?,
    };
    ensure!(latency <= MAX_LATENCY, "{text} is more than {} s one way", MAX_LATENCY.as_secs());
    Ok(latency)
}

/// Megabits a second; a number alone is that.
fn parse_bandwidth(text: &str) -> Result<f64> {
    let lower = text.trim().to_ascii_lowercase();
    let units = [("gbps", 1e3), ("mbps", 1.0), ("kbps", 1e-3), ("", 1.0)];
    let Some((number, unit)) = units.iter().find_map(|(name, unit)| Some((lower.strip_suffix(name)?, unit))) else {
        bail!("{text} is no bandwidth: write 30mbps, 1gbps or 100kbps");
    };
    let Ok(number) = number.trim().parse::<f64>() else {
        bail!("{text} is no bandwidth: write 30mbps, 1gbps or 100kbps");
    };
    ensure!(number.is_finite() && number >= 0.0, "{text} is no bandwidth: give 0 (no limit) or more");
    let mbps = number * unit;
    ensure!(mbps == 0.0 || (1e-3..=1e6).contains(&mbps), "{text} is outside of 1 kbps to 1 Tbps");
    Ok(mbps)
}

/// A share of messages.
fn parse_share(text: &str) -> Result<f64> {
    let share: f64 = text.trim().parse()?;
    ensure!((0.0..1.0).contains(&share), "{text} is not a share from 0 to below 1");
    Ok(share)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn latencies_and_bandwidths_are_read_with_and_without_units() {
        assert_eq!(parse_latency("350").unwrap(), Duration::from_millis(350));
        assert_eq!(parse_latency("350ms").unwrap(), Duration::from_millis(350));
        assert_eq!(parse_latency("1s").unwrap(), Duration::from_secs(1));
        for bad in ["-1", "nan", "inf", "61s", "far"] {
            assert!(parse_latency(bad).is_err(), "{bad}");
        }
        for (text, mbps) in [("30mbps", 30.0), ("30", 30.0), ("1Gbps", 1000.0), ("100 kbps", 0.1), ("0", 0.0)] {
            assert_eq!(parse_bandwidth(text).unwrap(), mbps, "{text}");
        }
        for bad in ["-1", "nan", "fast", "1e9gbps", "0.1kbps", "mbps"] {
            assert!(parse_bandwidth(bad).is_err(), "{bad}");
        }
        assert!(parse_share("1").is_err() && parse_share("-0.1").is_err() && parse_share("0.5").is_ok());
    }
}
