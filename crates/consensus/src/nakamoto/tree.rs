//! The mined blocks above the last final one, and the work in them.

use std::{cmp::Reverse, sync::Arc};

use dtn_pow::Puzzle;
use dtn_primitives::{B256, Block, Mining, ValidatorSet, codec};

use super::{Base, Fault, Sealed};
use crate::tree;

/// The most blocks that are remembered. Honest chains above the last final block are far shorter; beyond it, the least
/// work has to go.
const MAX_BLOCKS: usize = 1024;

/// The most bytes that these blocks take, encoded.
const MAX_BYTES: usize = 128 * 1024 * 1024;

/// A block whose work was checked.
#[derive(Debug, Clone)]
struct Node {
    sealed: Sealed,
    /// All work above the base up to this block, in expected hashes.
    total_work: u128,
    /// The expected hashes for a block on top of it.
    next_work: u64,
    /// Counts insertions: who came first.
    arrival: u64,
    /// The encoded size of the block.
    bytes: usize,
    /// It was made durable.
    is_durable: bool,
}

impl Node {
    /// By work, and among equals by who came first.
    fn weight(&self) -> (u128, Reverse<u64>) {
        (self.total_work, Reverse(self.arrival))
    }
}

/// Mined blocks that descend from the last final one, the base.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    mining: Mining,
    base: Base,
    blocks: tree::Tree<Node>,
    arrivals: u64,
    /// The encoded size of all blocks.
    bytes: usize,
}

impl Tree {
    pub(super) fn new(mining: Mining, base: Base) -> Self {
        Self { mining, base, blocks: tree::Tree::new(base.hash), arrivals: 0, bytes: 0 }
    }

    pub(super) fn base(&self) -> Base {
        self.base
    }

    pub(super) fn contains(&self, hash: B256) -> bool {
        self.blocks.get(hash).is_some()
    }

    pub(super) fn block(&self, hash: B256) -> Option<&Arc<Block>> {
        self.blocks.get(hash).map(|node| &node.sealed.block)
    }

    /// Whether a block on top of this one could be taken.
    pub(super) fn extends(&self, parent: B256) -> bool {
        self.blocks.extends(parent)
    }

    /// The puzzle of a block on top of one that is known: its race begins with its parent.
    pub(super) fn puzzle(&self, block: &Block) -> Option<Puzzle> {
        let header = &block.header;
        let next_work = match self.blocks.get(header.parent_hash) {
            Some(parent) => parent.next_work,
            None if header.parent_hash == self.base.hash => self.base.next_work,
            None => return None,
        };
        Puzzle::new(header.network_id, header.parent_hash, header.hash(), header.proposer, next_work).ok()
    }

    /// Takes a block on top of one that is known, after everything was checked about it that needs no execution: its
    /// place, its time, who mined it, its work.
    pub(super) fn insert(&mut self, sealed: Sealed, validators: &ValidatorSet) -> Result<(), Fault> {
        let header = &sealed.block.header;
        let (height, timestamp, total_work) = match self.blocks.get(header.parent_hash) {
            Some(Node { sealed, total_work, .. }) => {
                (sealed.block.header.height, sealed.block.header.timestamp, *total_work)
            }
            None => (self.base.height, self.base.timestamp, 0),
        };
        if header.height != height + 1 {
            return Err(Fault::WrongHeight { have: header.height, need: height + 1 });
        }
        if header.timestamp <= timestamp {
            return Err(Fault::NotAfterParent);
        }
        if validators.index_of(header.proposer).is_none() {
            return Err(Fault::NotValidator(header.proposer));
        }
        let puzzle = self.puzzle(&sealed.block).ok_or(Fault::UnknownParent)?;
        let (hash, parent) = (puzzle.transaction(), header.parent_hash);
        puzzle.check(sealed.nonce, puzzle.hash(sealed.nonce)).map_err(Fault::Work)?;
        let work = puzzle.target().expected_hashes();
        let next_work = self.mining.next_work(work, header.timestamp - timestamp);
        self.arrivals += 1;
        let total_work = total_work.saturating_add(u128::from(work));
        let bytes = codec::encode(sealed.block.as_ref()).len();
        self.bytes += bytes;
        let node = Node { sealed, total_work, next_work, arrival: self.arrivals, bytes, is_durable: false };
        self.blocks.insert(hash, parent, node);
        while self.blocks.len() > MAX_BLOCKS || self.bytes > MAX_BYTES {
            self.evict();
        }
        Ok(())
    }

    /// Drops the tip with the least work, the last one to come among equals.
    fn evict(&mut self) {
        let least = self.blocks.tips().min_by_key(|(_, node)| node.weight()).map(|(hash, _)| hash);
        least.into_iter().for_each(|hash| self.remove(hash));
    }

    /// Gives a block that is to be made durable, if it was not given before.
    pub(super) fn keep(&mut self, hash: B256) -> Option<Sealed> {
        let node = self.blocks.get_mut(hash)?;
        let is_new = !std::mem::replace(&mut node.is_durable, true);
        is_new.then(|| node.sealed.clone())
    }

    /// The tip with the most work among those that descend from a block, the first to come among equals; that block
    /// itself if it has none.
    pub(super) fn heaviest_above(&self, ancestor: B256) -> B256 {
        let heaviest = self.blocks.above(ancestor).max_by_key(|(_, node)| node.weight());
        heaviest.map_or(ancestor, |(hash, _)| hash)
    }

    /// Whether a block is another one or above it.
    pub(super) fn descends(&self, hash: B256, ancestor: B256) -> bool {
        self.blocks.descends(hash, ancestor)
    }

    /// All work above the base up to a block.
    pub(super) fn total_work(&self, hash: B256) -> u128 {
        self.blocks.get(hash).map_or(0, |node| node.total_work)
    }

    /// The blocks above the base up to one of them, in ascending order.
    pub(super) fn path(&self, hash: B256) -> Vec<Sealed> {
        self.blocks.path(hash).into_iter().map(|node| node.sealed.clone()).collect()
    }

    /// Drops a block and everything above it.
    pub(super) fn remove(&mut self, hash: B256) {
        let gone: usize = self.blocks.remove(hash).iter().map(|node| node.bytes).sum();
        self.bytes -= gone;
    }

    /// Makes another block the base and drops what does not descend from it.
    pub(super) fn rebase(&mut self, base: Base) {
        let below = self.total_work(base.hash);
        self.blocks.reroot(base.hash);
        self.blocks.values_mut().for_each(|node| node.total_work -= below);
        self.bytes = self.blocks.values().map(|node| node.bytes).sum();
        self.base = base;
    }

    /// The base that a block on top of the present one would be.
    pub(super) fn base_after(&self, block: &Block) -> Base {
        let header = &block.header;
        let elapsed = header.timestamp.saturating_sub(self.base.timestamp);
        let next_work = self.mining.next_work(self.base.next_work, elapsed);
        Base { height: header.height, hash: header.hash(), timestamp: header.timestamp, next_work }
    }
}
