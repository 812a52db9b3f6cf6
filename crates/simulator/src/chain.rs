//! A ledger reduced to what consensus needs of one: a chain of blocks that follow each other, and a state that tells
//! apart any two executions that differ.

use std::{collections::HashSet, sync::Arc};

use dtn_consensus::{Decision, nakamoto::Base};
use dtn_primitives::{B256, Block, Header, Mining};

use crate::{
    Members,
    above::Above,
    filling::{Filling, base_state},
};

/// How far ahead of a host's clock a mined block's time may be, in milliseconds, as the real ledger has it.
const MAX_CLOCK_DRIFT_MS: u64 = 5_000;

/// The decided blocks of a replica above the base of the run, the states that executing them gives, and the blocks that
/// may follow them.
#[derive(Debug, Clone)]
pub struct Chain {
    genesis: B256,
    base: Option<Decision>,
    decided: Vec<Decision>,
    /// The state at the base, and after each decided block.
    states: Vec<B256>,
    filling: Arc<Filling>,
    /// How its blocks are mined, if they are.
    mining: Option<Mining>,
    /// What the last decided block leaves to those that follow.
    foundation: Base,
    above: Above,
}

impl Chain {
    /// A chain that begins above a decided block, or above the genesis.
    pub fn new(members: &Members, base: Option<Decision>) -> Self {
        let (genesis, mining) = (members.domain().network_id, members.mining());
        let above = mining.map_or_else(|| Above::Any(HashSet::new()), |_| Above::One(Vec::new()));
        let (height, hash) = base
            .as_ref()
            .map_or((0, genesis), |Decision { certificate, .. }| (certificate.height, certificate.block_hash));
        let timestamp = base.as_ref().map_or(0, |base| base.block.header.timestamp);
        let next_work = mining.map_or(0, |mining| mining.expected_hashes);
        let foundation = Base { height, hash, timestamp, next_work };
        let (decided, states, filling) = (Vec::new(), vec![base_state(height)], members.filling().clone());
        Self { genesis, base, decided, states, filling, mining, foundation, above }
    }

    fn base_height(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.certificate.height)
    }

    /// The last decided block.
    pub fn last(&self) -> Option<&Decision> {
        self.decided.last().or(self.base.as_ref())
    }

    /// The height of the last decided block.
    pub fn height(&self) -> u64 {
        self.last().map_or(0, |last| last.certificate.height)
    }

    /// The hash of the last decided block.
    pub fn tip(&self) -> B256 {
        self.last().map_or(self.genesis, |last| last.certificate.block_hash)
    }

    /// The state after the last decided block.
    pub fn state(&self) -> B256 {
        self.states.last().copied().unwrap_or_default()
    }

    /// The state after the decided block of a height, if it has that.
    pub fn state_at(&self, height: u64) -> Option<B256> {
        self.states.get(height.checked_sub(self.base_height())? as usize).copied()
    }

    /// The last decided block, as far as the blocks above depend on it.
    pub fn foundation(&self) -> Base {
        self.foundation
    }

    /// The time of a block that others may follow, in milliseconds, if blocks are mined.
    pub fn timestamp(&self, hash: B256) -> Option<u64> {
        if hash == self.tip() { Some(self.foundation.timestamp) } else { self.above.timestamp(hash) }
    }

    /// Whether a mined block's time is after its parent's and not far ahead of the host's clock, in milliseconds.
    pub fn is_timely(&self, header: &Header, now: u64) -> bool {
        let after = self.timestamp(header.parent_hash).is_some_and(|parent| header.timestamp > parent);
        after && header.timestamp.saturating_sub(now) <= MAX_CLOCK_DRIFT_MS
    }

    /// Whether a block may follow its parent; if so, others may follow it.
    pub fn judge(&mut self, block: &Arc<Block>) -> bool {
        let header = &block.header;
        let whole = self.filling.is_whole(block);
        let chained = header.parent_hash == self.tip() || self.above.contains(header.parent_hash);
        if whole && chained {
            self.above.put(header);
        }
        whole && chained
    }

    /// Appends a decided block and executes it; false if it does not follow the last one.
    pub fn append(&mut self, decision: Decision) -> bool {
        let header = &decision.block.header;
        let follows = header.height == self.height() + 1 && header.parent_hash == self.tip();
        if follows {
            let Base { timestamp, next_work, .. } = self.foundation;
            let elapsed = header.timestamp.saturating_sub(timestamp);
            self.foundation = Base {
                height: header.height,
                hash: header.hash(),
                timestamp: header.timestamp,
                next_work: self.mining.map_or(0, |mining| mining.next_work(next_work, elapsed)),
            };
            self.above.decide(self.foundation.hash);
            self.states.push(self.filling.execute(self.state(), &decision.block));
            self.decided.push(decision);
        }
        follows
    }

    /// Up to `limit` decided blocks above a height, and above the base.
    pub fn above(&self, height: u64, limit: usize) -> &[Decision] {
        let skip = height.saturating_sub(self.base_height());
        let above = self.decided.get(skip as usize..).unwrap_or_default();
        &above[..above.len().min(limit)]
    }

    /// Forgets which blocks were found valid, as a restart does.
    pub fn forget_valid(&mut self) {
        self.above.clear();
    }
}
