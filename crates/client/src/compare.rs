//! How the nodes of a network compare in their races.

use std::collections::BTreeSet;

use futures::{StreamExt, pin_mut};
use serde::Serialize;

use crate::{
    Blocks, Races,
    ledger::{LedgerError, node_name},
};

/// What is compared.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Races that are over.
    pub races: usize,
    /// Each node.
    pub nodes: Vec<NodeResult>,
}

/// One node's results; times and rates are `None` without a claim.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct NodeResult {
    /// Its name.
    pub node: String,
    /// Races won.
    pub won: usize,
    /// Claims that were in the block that closed their race.
    pub claims: usize,
    /// Of all races, those won.
    pub share: f64,
    /// The mean time from the beginning of a search to its solution, in microseconds.
    pub mean_us: Option<u64>,
    /// Half took at most this.
    pub median_us: Option<u64>,
    /// All but one in twenty did.
    pub p95_us: Option<u64>,
    /// How many nonces it tried in a second.
    pub hashes_per_second: Option<f64>,
    /// All times, the shortest first.
    #[serde(skip)]
    pub times_us: Vec<u64>,
}

impl NodeResult {
    /// From the times of its claims, in microseconds, and the hashes that they took.
    pub fn new(node: String, (won, races): (usize, usize), mut times_us: Vec<u64>, hashes: u128) -> Self {
        times_us.sort_unstable();
        let (count, total) = (times_us.len(), times_us.iter().map(|time| u128::from(*time)).sum::<u128>());
        // The nearest rank: the least time that so many per cent are at or below.
        let rank = |percent: usize| times_us.get((count * percent).div_ceil(100).max(1) - 1).copied();
        Self {
            node,
            won,
            claims: count,
            share: if races == 0 { 0.0 } else { won as f64 / races as f64 },
            mean_us: total.checked_div(count as u128).and_then(|mean| mean.try_into().ok()),
            median_us: rank(50),
            p95_us: rank(95),
            hashes_per_second: (total > 0).then(|| hashes as f64 * 1e6 / total as f64),
            times_us,
        }
    }
}

/// Compares them by the races that are over in the blocks up to a height; `read` is told of each block.
pub async fn compare(blocks: &Blocks, tip: u64, read: impl Fn()) -> Result<Comparison, LedgerError> {
    let validators = blocks.validators();
    let (mut races, mut count) = (Races::default(), 0);
    let mut found: Vec<(usize, Vec<u64>, u128)> = vec![Default::default(); validators.len()];
    let all = blocks.up_to(tip);
    pin_mut!(all);
    while let Some(block) = all.next().await {
        for race in races.next(block?)? {
            count += 1;
            if let Some(index) = validators.index_of(race.winner()?.worker) {
                found[index.as_usize()].0 += 1;
            }
            // What a worker finds after its first solution it has searched for longer, by the rules of the race.
            let mut known = BTreeSet::new();
            for part in race.parts.iter().filter(|part| known.insert(part.worker)) {
                let Some(index) = validators.index_of(part.worker) else { continue };
                let (_, times, hashes) = &mut found[index.as_usize()];
                times.push(part.claim.duration_us);
                *hashes += u128::from(part.claim.nonce) + 1;
            }
        }
        read();
    }
    let nodes = (0..).map(node_name).zip(found);
    let nodes = nodes.map(|(name, (won, times, hashes))| NodeResult::new(name, (won, count), times, hashes)).collect();
    Ok(Comparison { races: count, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ranked_whatever_their_order_and_a_node_without_a_claim_has_none() {
        let times: Vec<u64> = (1..=100).rev().map(|time| time * 1_000).collect();
        let node = NodeResult::new("Node1".into(), (30, 120), times, 5_050_000);
        assert_eq!((node.mean_us, node.median_us, node.p95_us), (Some(50_500), Some(50_000), Some(95_000)));
        assert_eq!((node.share, node.hashes_per_second), (0.25, Some(1e6)));
        let one = NodeResult::new("Node2".into(), (1, 120), vec![7], 1);
        assert_eq!((one.mean_us, one.median_us, one.p95_us), (Some(7), Some(7), Some(7)));
        let none = NodeResult::new("Node3".into(), (0, 0), Vec::new(), 0);
        assert_eq!((none.share, none.mean_us, none.p95_us, none.hashes_per_second), (0.0, None, None, None));
    }
}
