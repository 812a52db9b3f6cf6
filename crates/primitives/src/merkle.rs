//! The Merkle tree that OpenZeppelin's `MerkleProof` verifies: Keccak-256, children in ascending order, an odd last
//! node moved up unchanged. Leaves are hashed twice, so that no inner node (64 bytes hashed once) is ever a leaf.

use alloy_primitives::{B256, keccak256};

/// The leaf of an already encoded value.
pub fn leaf(encoded: &[u8]) -> B256 {
    keccak256(keccak256(encoded))
}

fn parent(a: B256, b: B256) -> B256 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    keccak256([low.as_slice(), high.as_slice()].concat())
}

fn level_above(level: &[B256]) -> Vec<B256> {
    level.chunks(2).map(|pair| if let [a, b] = pair { parent(*a, *b) } else { pair[0] }).collect()
}

/// The tree over leaves in their order, kept whole: the proofs of all of them cost no more hashes than its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// From the leaves up to the root. There is at least one level, which is empty if there is no leaf.
    levels: Vec<Vec<B256>>,
}

impl Tree {
    /// Hashes the tree.
    pub fn new(leaves: Vec<B256>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(level_above(level));
        }
        Self { levels }
    }

    /// The root; zero for no leaves.
    pub fn root(&self) -> B256 {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// The siblings from leaf `index` to the root, or `None` if there is no such leaf.
    pub fn proof(&self, index: usize) -> Option<Vec<B256>> {
        self.levels[0].get(index)?;
        let siblings = self.levels.iter().enumerate().filter_map(|(up, level)| level.get((index >> up) ^ 1));
        Some(siblings.copied().collect())
    }
}

/// The root over leaves in their order; zero for none.
pub fn root(leaves: &[B256]) -> B256 {
    Tree::new(leaves.to_vec()).root()
}

/// The siblings from leaf `index` to the root, or `None` if there is no such leaf.
pub fn proof(leaves: &[B256], index: usize) -> Option<Vec<B256>> {
    Tree::new(leaves.to_vec()).proof(index)
}

/// Whether `leaf` is under `root`.
pub fn verify(root: B256, leaf: B256, proof: &[B256]) -> bool {
    proof.iter().fold(leaf, |node, sibling| parent(node, *sibling)) == root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_root_of_nothing_is_zero_and_of_one_leaf_the_leaf() {
        assert_eq!(root(&[]), B256::ZERO);
        assert_eq!(root(&[leaf(b"a")]), leaf(b"a"));
        assert_eq!(proof(&[], 0), None);
    }

    proptest! {
        #[test]
        fn every_leaf_has_a_proof_and_no_other_leaf_passes_with_it(count in 1usize..40, pick: prop::sample::Index) {
            let leaves: Vec<_> = (0..count).map(|i| leaf(&[i as u8])).collect();
            let index = pick.index(count);
            let siblings = proof(&leaves, index).expect("in range");
            prop_assert!(verify(root(&leaves), leaves[index], &siblings));
            prop_assert!(!verify(root(&leaves), leaf(b"stranger"), &siblings));
            prop_assert!(!verify(leaf(b"another root"), leaves[index], &siblings));
        }
    }
}
