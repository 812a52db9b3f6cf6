//! How a simulated network mines.

use std::time::Duration;

use dtn_primitives::Mining;
use serde::{Deserialize, Serialize};

/// How blocks are mined, and who has which part of the work.
///
/// Work is real: a replica finds a block with the nonce that it would have found, after as many tries. Only the time that
/// they take is virtual.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Miners {
    /// The time between two blocks that the work is adjusted to.
    #[serde(with = "humantime_serde")]
    pub block_interval: Duration,
    /// How many blocks have to be on top of one before validators make it final.
    pub confirmations: u64,
    /// The expected number of hashes for the first block.
    pub expected_hashes: u64,
    /// What all replicas together try, in hashes a second; what finds the first block in an interval without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_rate: Option<f64>,
    /// Each replica's part of that, as numbers of any sum; equal parts without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
    /// The length at which a withholder releases its secret chain; one more than the confirmations without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<u64>,
    /// Times from which on the rate is another one. Of several that have come, the last counts.
    #[serde(rename = "change", skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RateChange>,
}

/// A change of all replicas' hash rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateChange {
    /// When.
    #[serde(with = "humantime_serde")]
    pub at: Duration,
    /// How many times the rate of the beginning it is from then on.
    pub factor: f64,
}

impl Default for Miners {
    /// A block in ten seconds, which is final with six on top of it.
    fn default() -> Self {
        Self {
            block_interval: Duration::from_secs(10),
            confirmations: 6,
            expected_hashes: 1_000,
            hash_rate: None,
            shares: Vec::new(),
            secret: None,
            changes: Vec::new(),
        }
    }
}

impl Miners {
    /// The rule by which blocks are mined.
    pub fn rule(&self) -> Mining {
        Mining {
            block_interval_ms: self.block_interval.as_millis() as u64,
            confirmations: self.confirmations,
            expected_hashes: self.expected_hashes,
        }
    }

    /// What all replicas try in the beginning, in hashes a second.
    pub fn hash_rate(&self) -> f64 {
        self.hash_rate.unwrap_or_else(|| self.expected_hashes as f64 / self.block_interval.as_secs_f64())
    }

    /// What one of `n` replicas tries at a time, in hashes a second.
    pub fn rate(&self, replica: usize, n: usize, now: Duration) -> f64 {
        let share = if self.shares.is_empty() {
            1.0 / n as f64
        } else {
            self.shares.get(replica).copied().unwrap_or_default() / self.shares.iter().sum::<f64>()
        };
        let factor = self.changes.iter().rfind(|change| change.at <= now).map_or(1.0, |change| change.factor);
        self.hash_rate() * factor * share
    }
}
