//! What the oracle knows of mined blocks, found out without the protocol's own code.

use std::collections::{BTreeMap, HashMap};

use dtn_consensus::nakamoto::Base;
use dtn_pow::Puzzle;
use dtn_primitives::{B256, Block, Mining};

/// A block that shows its work.
#[derive(Debug, Clone, Copy)]
struct Shown {
    height: u64,
    parent: B256,
    timestamp: u64,
    /// The expected hashes for a block on top of it.
    next_work: u64,
}

/// Blocks that show their work, above the base of the run.
#[derive(Debug)]
pub(crate) struct Works {
    mining: Mining,
    shown: HashMap<B256, Shown>,
    by_height: BTreeMap<u64, Vec<B256>>,
}

impl Works {
    pub(crate) fn new(mining: Mining, base: Base) -> Self {
        let Base { height, hash, timestamp, next_work } = base;
        let shown = HashMap::from([(hash, Shown { height, parent: B256::ZERO, timestamp, next_work })]);
        Self { mining, shown, by_height: BTreeMap::new() }
    }

    /// Takes a block whose nonce shows the work that follows from its parent's, and that is above that; an error says
    /// what is wrong.
    pub(crate) fn take(&mut self, block: &Block, nonce: u64) -> Result<(), String> {
        let (header, hash) = (&block.header, block.header.hash());
        if self.shown.contains_key(&hash) {
            return Ok(());
        }
        let parent = self.shown.get(&header.parent_hash).ok_or("nobody has shown its parent's work")?;
        if header.height != parent.height + 1 || header.timestamp <= parent.timestamp {
            return Err("it is not after its parent".into());
        }
        let work = parent.next_work;
        let puzzle = Puzzle::new(header.network_id, header.parent_hash, hash, header.proposer, work);
        puzzle.and_then(|puzzle| puzzle.check(nonce, puzzle.hash(nonce))).map_err(|error| error.to_string())?;
        let next_work = self.mining.next_work(work, header.timestamp - parent.timestamp);
        let (height, parent, timestamp) = (header.height, header.parent_hash, header.timestamp);
        self.shown.insert(hash, Shown { height, parent, timestamp, next_work });
        self.by_height.entry(height).or_default().push(hash);
        Ok(())
    }

    pub(crate) fn contains(&self, hash: B256) -> bool {
        self.shown.contains_key(&hash)
    }

    /// Whether so many blocks as confirm one are on top of it somewhere.
    pub(crate) fn is_confirmed(&self, hash: B256, height: u64) -> bool {
        let parent = |hash: B256| self.shown.get(&hash).map(|shown| shown.parent);
        let descends = |above: &B256| {
            let ancestor = (0..self.mining.confirmations).try_fold(*above, |above, _| parent(above));
            ancestor == Some(hash)
        };
        self.by_height.get(&(height + self.mining.confirmations)).is_some_and(|above| above.iter().any(descends))
    }
}
