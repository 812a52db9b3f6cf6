//! A ledger reduced to what consensus needs of one: a chain of blocks that follow each other.

use std::{collections::HashSet, sync::Arc};

use dtn_consensus::Decision;
use dtn_primitives::{B256, Block};

use crate::Members;

/// The decided blocks of a replica above the base of the run, and the blocks that may follow them.
#[derive(Debug, Clone)]
pub struct Chain {
    genesis: B256,
    base: Option<Decision>,
    decided: Vec<Decision>,
    valid: HashSet<B256>,
}

impl Chain {
    /// A chain that begins above a decided block, or above the genesis.
    pub fn new(members: &Members, base: Option<Decision>) -> Self {
        Self { genesis: members.domain().network_id, base, decided: Vec::new(), valid: HashSet::new() }
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

    /// Whether a block may follow its parent; if so, others may follow it.
    pub fn judge(&mut self, block: &Arc<Block>, members: &Members) -> bool {
        let header = &block.header;
        let whole = members.is_whole(block);
        let chained = header.parent_hash == self.tip() || self.valid.contains(&header.parent_hash);
        if whole && chained {
            self.valid.insert(header.hash());
        }
        whole && chained
    }

    /// Appends a decided block; false if it does not follow the last one.
    pub fn append(&mut self, decision: Decision) -> bool {
        let header = &decision.block.header;
        let follows = header.height == self.height() + 1 && header.parent_hash == self.tip();
        if follows {
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
        self.valid.clear();
    }
}
