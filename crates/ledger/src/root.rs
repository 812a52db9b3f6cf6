//! The root of the state, kept up to date block by block: a block costs as many hashes as it changes buckets, times the
//! depth of the tree, and a checkpoint costs nothing.
//!
//! The tree is binary, of one depth everywhere and in the order of the buckets, so that a node stands for one range of
//! them. A node over nothing is zeros.

use std::fmt;

use dtn_primitives::{B256, Rounds, codec, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    Tip,
    bank::Earned,
    buckets::{BUCKET_BITS, BUCKETS},
    snapshot::{CHUNK_TARGET_BYTES, MAX_CHUNK_BITS},
    state::State,
};

const HASH_BYTES: usize = 32;

/// The most bytes that stand before a bucket in a chunk: its number and its length.
const FRAME_BYTES: u32 = 8;

/// The hashes of a state's buckets and the tree above them.
pub(crate) struct StateTree {
    /// The root is node 1, the children of node `i` are `2i` and `2i + 1`, the first bucket is node [`BUCKETS`].
    nodes: Vec<u8>,
    /// How long each bucket is in a chunk.
    lengths: Vec<u32>,
}

impl fmt::Debug for StateTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateTree({})", self.top())
    }
}

impl StateTree {
    /// The tree of a whole state.
    pub(crate) fn of(state: &State) -> Self {
        let mut tree = Self { nodes: vec![0; 2 * BUCKETS * HASH_BYTES], lengths: vec![0; BUCKETS] };
        tree.update(state, state.buckets());
        tree
    }

    /// Takes in what has changed in some buckets, which are in ascending order.
    pub(crate) fn update(&mut self, state: &State, buckets: impl IntoIterator<Item = u16>) {
        let mut changed = Vec::new();
        for number in buckets {
            let encoded = state.bucket(number);
            self.lengths[usize::from(number)] =
                encoded.as_ref().map_or(0, |encoded| encoded.len() as u32 + FRAME_BYTES);
            let node = BUCKETS + usize::from(number);
            self.set(node, encoded.map_or(B256::ZERO, |encoded| bucket_hash(&encoded)));
            changed.push(node);
        }
        for _ in 0..BUCKET_BITS {
            changed.iter_mut().for_each(|node| *node /= 2);
            changed.dedup();
            for node in &changed {
                self.set(*node, parent(self.at(2 * node), self.at(2 * node + 1)));
            }
        }
    }

    fn set(&mut self, node: usize, hash: B256) {
        self.nodes[node * HASH_BYTES..][..HASH_BYTES].copy_from_slice(hash.as_slice());
    }

    fn at(&self, node: usize) -> B256 {
        B256::from_slice(&self.nodes[node * HASH_BYTES..][..HASH_BYTES])
    }

    fn top(&self) -> B256 {
        self.at(1)
    }

    /// The nodes that stand for the parts of a snapshot: as high up as no part is longer than it should be.
    pub(crate) fn chunks(&self) -> Vec<B256> {
        let fits = |bits: &u32| {
            let mut parts = self.lengths.chunks(BUCKETS >> bits);
            parts.all(|part| part.iter().map(|length| *length as usize).sum::<usize>() <= CHUNK_TARGET_BYTES)
        };
        let count = 1usize << (0..MAX_CHUNK_BITS).find(fits).unwrap_or(MAX_CHUNK_BITS);
        (count..2 * count).map(|node| self.at(node)).collect()
    }
}

/// What of a state is in no bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The rounds of sequential work.
    pub rounds: Rounds,
    /// The expected hashes for the next block; 0 where blocks are not mined.
    pub next_work: u64,
    /// The first nonce of accounts that are not remembered.
    pub floor: u64,
    /// The wei that nobody has.
    pub pot: u128,
    /// What has been earned in all, and what was stated of it.
    pub earned: Earned,
}

impl State {
    /// What of it is in no bucket.
    pub(crate) fn rest(&self) -> Rest {
        let Self { rounds, next_work, pot, earned, .. } = self;
        Rest { rounds: rounds.clone(), next_work: *next_work, floor: self.nonces.floor, pot: *pot, earned: *earned }
    }
}

impl From<Rest> for State {
    fn from(Rest { rounds, next_work, floor, pot, earned }: Rest) -> Self {
        let mut state = Self { rounds, next_work, pot, earned, ..Self::default() };
        state.nonces.floor = floor;
        state
    }
}

/// The root of a state: of the block that led to it, of what is in no bucket, and of the nodes that stand for its parts.
/// It binds how many parts there are, so that all peers cut one state in the same way.
pub(crate) fn root(tip: &Tip, rest: &Rest, chunks: &[B256]) -> B256 {
    let head = codec::encode(&(tip.height, tip.hash, tip.timestamp, rest, chunks.len() as u64));
    keccak256([keccak256(head), top(chunks)].concat())
}

/// The hash of a bucket with records.
pub(crate) fn bucket_hash(encoded: &[u8]) -> B256 {
    keccak256(encoded)
}

fn parent(left: B256, right: B256) -> B256 {
    if left.is_zero() && right.is_zero() { B256::ZERO } else { keccak256([left, right].concat()) }
}

/// The node over others that stand for equal ranges, in their order. Their number is a power of two.
pub(crate) fn top(nodes: &[B256]) -> B256 {
    let mut level = nodes.to_vec();
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| parent(pair[0], pair.get(1).copied().unwrap_or_default())).collect();
    }
    level.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use dtn_primitives::Address;
    use proptest::prelude::*;

    use super::*;
    use crate::{accounts::Account, state::Changes};

    #[test]
    fn the_root_is_the_one_of_the_formats() {
        let mut state = State { next_work: 7, ..State::default() };
        state.nonces.floor = 5;
        state.nonces.insert(Address::repeat_byte(0x11), Account { next: 3, used: 9 });
        state.nonces.insert(Address::repeat_byte(0x22), Account { next: 300, used: 127 });
        let tip = Tip { height: 128, hash: B256::repeat_byte(0x33), timestamp: 1_700_000_000_000 };
        let tree = StateTree::of(&state);
        let root = root(&tip, &state.rest(), &tree.chunks());
        assert_eq!(root.to_string(), GOLDEN);
    }

    const GOLDEN: &str = "0x85a96f06bdb20f1298b5f88ebe0448bd3cdb4983c823db22b579f3c3110c1664";

    proptest! {
        #[test]
        fn a_tree_that_follows_the_blocks_is_that_of_the_state(
            blocks in prop::collection::vec(prop::collection::vec((0u8..8, 0u8..3, any::<u64>()), 1..20), 1..10)
        ) {
            let (mut state, mut tree) = (State::default(), StateTree::of(&State::default()));
            for block in blocks {
                let mut changes = Changes::default();
                for (first, last, nonce) in block {
                    let mut account = [first.wrapping_mul(37); 20];
                    account[19] = last;
                    changes.nonces.insert(account.into(), Some(Account { next: nonce, used: nonce / 2 }));
                }
                state.apply(changes.clone());
                tree.update(&state, changes.buckets());
                let whole = StateTree::of(&state);
                prop_assert_eq!(tree.at(1), whole.at(1));
                prop_assert_eq!(tree.chunks(), whole.chunks());
            }
        }
    }
}
