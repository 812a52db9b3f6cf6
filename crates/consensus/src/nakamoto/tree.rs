//! The mined blocks above the last final one.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use dtn_pow::Puzzle;
use dtn_primitives::{B256, Block, Mining, ValidatorSet, codec};

use super::{Base, Fault, Sealed};

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
    fn parent(&self) -> B256 {
        self.sealed.block.header.parent_hash
    }

    fn height(&self) -> u64 {
        self.sealed.block.header.height
    }
}

/// Mined blocks that descend from the last final one, the base.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    mining: Mining,
    base: Base,
    nodes: BTreeMap<B256, Node>,
    arrivals: u64,
    /// The encoded size of all blocks.
    bytes: usize,
}

impl Tree {
    pub(super) fn new(mining: Mining, base: Base) -> Self {
        Self { mining, base, nodes: BTreeMap::new(), arrivals: 0, bytes: 0 }
    }

    pub(super) fn base(&self) -> Base {
        self.base
    }

    pub(super) fn contains(&self, hash: B256) -> bool {
        self.nodes.contains_key(&hash)
    }

    pub(super) fn block(&self, hash: B256) -> Option<&Arc<Block>> {
        self.nodes.get(&hash).map(|node| &node.sealed.block)
    }

    /// Whether a block on top of this one could be taken.
    pub(super) fn extends(&self, parent: B256) -> bool {
        parent == self.base.hash || self.nodes.contains_key(&parent)
    }

    /// The puzzle of a block on top of one that is known: its race begins with its parent.
    pub(super) fn puzzle(&self, block: &Block) -> Option<Puzzle> {
        let header = &block.header;
        let next_work = match self.nodes.get(&header.parent_hash) {
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
        let (height, timestamp, total_work) = match self.nodes.get(&header.parent_hash) {
            Some(parent) => (parent.height(), parent.sealed.block.header.timestamp, parent.total_work),
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
        let hash = puzzle.transaction();
        puzzle.check(sealed.nonce, puzzle.hash(sealed.nonce)).map_err(Fault::Work)?;
        let work = puzzle.target().expected_hashes();
        let next_work = self.mining.next_work(work, header.timestamp - timestamp);
        self.arrivals += 1;
        let total_work = total_work.saturating_add(u128::from(work));
        let bytes = codec::encode(sealed.block.as_ref()).len();
        self.bytes += bytes;
        let arrival = self.arrivals;
        self.nodes.insert(hash, Node { sealed, total_work, next_work, arrival, bytes, is_durable: false });
        while self.nodes.len() > MAX_BLOCKS || self.bytes > MAX_BYTES {
            self.evict();
        }
        Ok(())
    }

    /// Drops the tip with the least work, the last one to come among equals.
    fn evict(&mut self) {
        let is_tip = |hash: &B256| !self.nodes.values().any(|node| node.parent() == *hash);
        let tips = self.nodes.iter().filter(|(hash, _)| is_tip(hash));
        let least = tips.min_by_key(|(_, node)| (node.total_work, Reverse(node.arrival))).map(|(hash, _)| *hash);
        least.into_iter().for_each(|hash| self.forget(hash));
    }

    fn forget(&mut self, hash: B256) {
        self.bytes -= self.nodes.remove(&hash).map_or(0, |node| node.bytes);
    }

    /// Gives a block that is to be made durable, if it was not given before.
    pub(super) fn keep(&mut self, hash: B256) -> Option<Sealed> {
        let node = self.nodes.get_mut(&hash)?;
        let is_new = !std::mem::replace(&mut node.is_durable, true);
        is_new.then(|| node.sealed.clone())
    }

    /// The tip with the most work among those that descend from a block, the first to come among equals; that block
    /// itself if it has none.
    pub(super) fn heaviest_above(&self, ancestor: B256) -> B256 {
        let above = self.nodes.iter().filter(|(hash, _)| self.descends(**hash, ancestor));
        let heaviest = above.max_by_key(|(_, node)| (node.total_work, Reverse(node.arrival)));
        heaviest.map_or(ancestor, |(hash, _)| *hash)
    }

    /// Whether a block is another one or above it.
    pub(super) fn descends(&self, mut hash: B256, ancestor: B256) -> bool {
        loop {
            if hash == ancestor {
                return true;
            }
            let Some(node) = self.nodes.get(&hash) else { return false };
            hash = node.parent();
        }
    }

    /// All work above the base up to a block.
    pub(super) fn total_work(&self, hash: B256) -> u128 {
        self.nodes.get(&hash).map_or(0, |node| node.total_work)
    }

    /// The blocks above the base up to one of them, in ascending order.
    pub(super) fn path(&self, mut hash: B256) -> Vec<Sealed> {
        let mut path = Vec::new();
        while let Some(node) = self.nodes.get(&hash) {
            path.push(node.sealed.clone());
            hash = node.parent();
        }
        path.reverse();
        path
    }

    /// Drops a block and everything above it.
    pub(super) fn remove(&mut self, hash: B256) {
        let above: Vec<_> = self.nodes.keys().filter(|above| self.descends(**above, hash)).copied().collect();
        above.into_iter().for_each(|hash| self.forget(hash));
    }

    /// Makes another block the base and drops what does not descend from it.
    pub(super) fn rebase(&mut self, base: Base) {
        let below = self.total_work(base.hash);
        let kept: Vec<_> = self.nodes.keys().filter(|hash| self.descends(**hash, base.hash)).copied().collect();
        let mut nodes = std::mem::take(&mut self.nodes);
        for hash in kept.into_iter().filter(|hash| *hash != base.hash) {
            if let Some(mut node) = nodes.remove(&hash) {
                node.total_work -= below;
                self.nodes.insert(hash, node);
            }
        }
        self.bytes = self.nodes.values().map(|node| node.bytes).sum();
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
