//! What miners did in a run, counted where it happened.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use dtn_consensus::nakamoto::Notice;
use dtn_primitives::B256;

/// A block whose proof of work was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// When.
    pub at: Duration,
    /// By whom.
    pub miner: u16,
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: B256,
    /// The expected hashes that it shows.
    pub work: u64,
}

/// A final block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Final {
    /// The block, and when it was found.
    pub found: Found,
    /// When the first correct replica decided it.
    pub at: Duration,
}

/// What miners did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mined {
    /// All blocks that were found, in their order, also those that no other replica has seen.
    pub found: Vec<Found>,
    /// The final ones, by height.
    pub finals: BTreeMap<u64, Final>,
    /// How often a correct replica left blocks for a chain with more work.
    pub reorganizations: u64,
    /// The most blocks that one left at a time.
    pub deepest: u64,
    /// How often a correct replica was shown a chain that leaves out a final block.
    pub below_checkpoint: u64,
    /// Where a block is in `found`.
    places: HashMap<B256, usize>,
}

impl Mined {
    pub(crate) fn finds(&mut self, found: Found) {
        self.places.insert(found.hash, self.found.len());
        self.found.push(found);
    }

    pub(crate) fn decides(&mut self, hash: B256, at: Duration) {
        let Some(found) = self.places.get(&hash).and_then(|place| self.found.get(*place)) else { return };
        self.finals.entry(found.height).or_insert(Final { found: *found, at });
    }

    pub(crate) fn notices(&mut self, notice: &Notice) {
        match notice {
            Notice::Reorganized { depth, .. } => {
                self.reorganizations += 1;
                self.deepest = self.deepest.max(*depth);
            }
            Notice::BelowCheckpoint { .. } => self.below_checkpoint += 1,
            Notice::InvalidBlock { .. } => {}
        }
    }

    /// The mean time from one final block to the next, from when they were found, of those above a height.
    pub fn interval_above(&self, height: u64) -> Option<Duration> {
        let mut finals = self.finals.range(height + 1..);
        let ((first, begin), (last, end)) = (finals.next()?, finals.next_back()?);
        end.found.at.checked_sub(begin.found.at)?.checked_div(u32::try_from(last - first).ok()?)
    }

    /// The share of the blocks that were found, at heights with a final block, that are not final.
    pub fn fork_rate(&self) -> Option<f64> {
        let contested = self.found.iter().filter(|found| self.finals.contains_key(&found.height)).count();
        (contested > 0).then(|| 1.0 - self.finals.len() as f64 / contested as f64)
    }

    /// A miner's share of the final blocks.
    pub fn share(&self, miner: u16) -> Option<f64> {
        let own = self.finals.values().filter(|of| of.found.miner == miner).count();
        (!self.finals.is_empty()).then(|| own as f64 / self.finals.len() as f64)
    }
}
