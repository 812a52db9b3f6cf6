//! Orders that replicas race for, and what spoils the race.

use std::time::Duration;

use dtn_ledger::MempoolLimits;
use dtn_pow::TurnLengths;
use serde::{Deserialize, Serialize};

/// What one thread of a peer tries in a second: turns are as long here as they are there.
const RATE_OF_A_PEER: f64 = 1e7;

/// What clients order, how fast replicas work on it, and what else is there to work on.
///
/// Work is real and its time is virtual, but for what nobody can solve: that is not hashed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Work {
    /// How many hashes an order is expected to take.
    pub expected_hashes: u64,
    /// What all replicas together try, in hashes a second.
    pub hash_rate: f64,
    /// Accounts that may ask for work, which share the room for open orders.
    pub requesters: u64,
    /// Lines that nobody can solve, for each block of clients' orders: one validator takes them in.
    pub hard_lines: u64,
    /// Lines that take less than an order, and earn nothing: another validator takes them in.
    pub easy_lines: u64,
    /// Paid orders that nobody can solve, of a requester that is no client.
    pub hard_orders: u64,
    /// Data that strangers hand in, each a new one.
    pub notes: u64,
    /// How many transactions of a class may wait at a replica.
    pub room: usize,
}

impl Default for Work {
    /// An order is solved in a tenth of a second, and nothing disturbs.
    fn default() -> Self {
        Self {
            expected_hashes: 4_000,
            hash_rate: 40_000.0,
            requesters: 64,
            hard_lines: 0,
            easy_lines: 0,
            hard_orders: 0,
            notes: 0,
            room: MempoolLimits::default().transactions,
        }
    }
}

impl Work {
    /// What may wait at a replica.
    pub(crate) fn limits(&self) -> MempoolLimits {
        MempoolLimits { transactions: self.room, ..MempoolLimits::default() }
    }

    /// How long turns are at a replica of so many.
    pub(crate) fn lengths(&self, n: usize) -> TurnLengths {
        let TurnLengths { ranked, fair } = TurnLengths::default();
        let scale = |nonces: u64| ((nonces as f64 * self.rate(n) / RATE_OF_A_PEER) as u64).max(1);
        TurnLengths { ranked: scale(ranked), fair: scale(fair) }
    }

    /// What a replica of so many tries in a second.
    fn rate(&self, n: usize) -> f64 {
        self.hash_rate / n as f64
    }

    /// How long that many tries take one.
    pub(crate) fn takes(&self, tries: u64, n: usize) -> Duration {
        Duration::from_secs_f64(tries as f64 / self.rate(n))
    }

    /// How many tries are done in that time.
    pub(crate) fn tries_in(&self, time: Duration, n: usize) -> u64 {
        (time.as_secs_f64() * self.rate(n)) as u64
    }
}
