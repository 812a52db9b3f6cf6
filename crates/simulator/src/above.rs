//! The blocks that may follow the last decided one.

use std::collections::HashSet;

use dtn_primitives::{B256, Header};

/// What a simulated ledger has of the blocks above the last decided one.
#[derive(Debug, Clone)]
pub(crate) enum Above {
    /// All that were found valid.
    Any(HashSet<B256>),
    /// One chain of them with their times, as the real ledger has it: another block on top of one of them takes the place
    /// of what was there.
    One(Vec<(B256, u64)>),
}

impl Above {
    pub(crate) fn contains(&self, hash: B256) -> bool {
        match self {
            Self::Any(valid) => valid.contains(&hash),
            Self::One(_) => self.place(hash).is_some(),
        }
    }

    fn place(&self, hash: B256) -> Option<usize> {
        let Self::One(chain) = self else { return None };
        chain.iter().position(|(known, _)| *known == hash)
    }

    /// The time of a block, if that is known.
    pub(crate) fn timestamp(&self, hash: B256) -> Option<u64> {
        let Self::One(chain) = self else { return None };
        chain.get(self.place(hash)?).map(|(_, timestamp)| *timestamp)
    }

    /// Takes a block on top of one that it has, or of the last decided one.
    pub(crate) fn put(&mut self, header: &Header) {
        let kept = self.place(header.parent_hash).map_or(0, |place| place + 1);
        match self {
            Self::Any(valid) => _ = valid.insert(header.hash()),
            Self::One(chain) => {
                let hash = header.hash();
                if chain.get(kept).is_none_or(|(known, _)| *known != hash) {
                    chain.truncate(kept);
                    chain.push((hash, header.timestamp));
                }
            }
        }
    }

    /// A block is decided: only what is on top of it may follow.
    pub(crate) fn decide(&mut self, hash: B256) {
        if let Self::One(chain) = self {
            if chain.first().is_some_and(|(first, _)| *first == hash) {
                chain.remove(0);
            } else {
                chain.clear();
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        match self {
            Self::Any(valid) => valid.clear(),
            Self::One(chain) => chain.clear(),
        }
    }
}
