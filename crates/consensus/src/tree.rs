//! The blocks above one that is final, each on top of another: which descend from which, and what is left of them once a
//! block becomes the one that all others have to be on top of.

use std::collections::BTreeMap;

use dtn_primitives::B256;

/// Blocks by hash that descend from the root, which is not among them, with what a protocol knows of each.
#[derive(Debug, Clone)]
pub struct Tree<T> {
    root: B256,
    nodes: BTreeMap<B256, Node<T>>,
}

#[derive(Debug, Clone)]
struct Node<T> {
    parent: B256,
    value: T,
}

impl<T> Tree<T> {
    /// A tree of nothing but its root.
    pub fn new(root: B256) -> Self {
        Self { root, nodes: BTreeMap::new() }
    }

    /// The block that all others are on top of.
    pub fn root(&self) -> B256 {
        self.root
    }

    /// How many blocks there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none but the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// What is known of a block.
    pub fn get(&self, hash: B256) -> Option<&T> {
        self.nodes.get(&hash).map(|node| &node.value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, hash: B256) -> Option<&mut T> {
        self.nodes.get_mut(&hash).map(|node| &mut node.value)
    }

    /// Whether a block on top of this one could be taken.
    pub fn extends(&self, parent: B256) -> bool {
        parent == self.root || self.nodes.contains_key(&parent)
    }

    /// Takes a block on top of one that is there, or of the root; false if there is no such one.
    pub fn insert(&mut self, hash: B256, parent: B256, value: T) -> bool {
        let extends = self.extends(parent);
        if extends {
            self.nodes.insert(hash, Node { parent, value });
        }
        extends
    }

    /// Whether a block is another one or above it.
    pub fn descends(&self, mut hash: B256, ancestor: B256) -> bool {
        loop {
            if hash == ancestor {
                return true;
            }
            let Some(node) = self.nodes.get(&hash) else { return false };
            hash = node.parent;
        }
    }

    /// The blocks that are another one or above it, in no order that means anything.
    pub fn above(&self, ancestor: B256) -> impl Iterator<Item = (B256, &T)> {
        let nodes = self.nodes.iter().filter(move |(hash, _)| self.descends(**hash, ancestor));
        nodes.map(|(hash, node)| (*hash, &node.value))
    }

    /// The blocks that none is on top of.
    pub fn tips(&self) -> impl Iterator<Item = (B256, &T)> {
        let is_tip = |hash: &B256| !self.nodes.values().any(|node| node.parent == *hash);
        self.nodes.iter().filter(move |(hash, _)| is_tip(hash)).map(|(hash, node)| (*hash, &node.value))
    }

    /// The blocks above the root up to one of them, in ascending order.
    pub fn path(&self, mut hash: B256) -> Vec<&T> {
        let mut path = Vec::new();
        while let Some(node) = self.nodes.get(&hash) {
            path.push(&node.value);
            hash = node.parent;
        }
        path.reverse();
        path
    }

    /// Drops a block and everything above it, and gives what was known of those.
    pub fn remove(&mut self, hash: B256) -> Vec<T> {
        let above: Vec<_> = self.above(hash).map(|(above, _)| above).collect();
        above.into_iter().filter_map(|above| Some(self.nodes.remove(&above)?.value)).collect()
    }

    /// Makes another block the root, and drops what does not descend from it. If it is not there, nothing is left.
    pub fn reroot(&mut self, root: B256) {
        let kept: Vec<_> = self.above(root).map(|(hash, _)| hash).filter(|hash| *hash != root).collect();
        let mut nodes = std::mem::take(&mut self.nodes);
        self.nodes.extend(kept.into_iter().filter_map(|hash| nodes.remove_entry(&hash)));
        self.root = root;
    }

    /// What is known of all blocks.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.nodes.values().map(|node| &node.value)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.nodes.values_mut().map(|node| &mut node.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(block: u8) -> B256 {
        B256::repeat_byte(block)
    }

    /// Three blocks on top of the root, and two on top of the first of them.
    fn forked() -> Tree<u8> {
        let mut tree = Tree::new(hash(0));
        for (block, parent) in [(1, 0), (2, 1), (3, 2), (4, 1), (5, 4)] {
            assert!(tree.insert(hash(block), hash(parent), block));
        }
        tree
    }

    fn left(tree: &Tree<u8>) -> Vec<u8> {
        tree.values().copied().collect()
    }

    #[test]
    fn a_block_is_taken_on_top_of_one_that_is_there_only() {
        let mut tree = forked();
        assert!(!tree.insert(hash(9), hash(8), 9) && tree.get(hash(9)).is_none());
        assert_eq!(tree.path(hash(5)), [&1, &4, &5]);
        assert!(tree.path(hash(9)).is_empty());
        assert!(tree.tips().map(|(_, block)| *block).eq([3, 5]));
    }

    #[test]
    fn what_does_not_descend_from_the_new_root_goes() {
        let mut tree = forked();
        assert!(tree.descends(hash(3), hash(1)) && !tree.descends(hash(3), hash(4)) && tree.descends(hash(3), hash(0)));
        tree.reroot(hash(1));
        assert_eq!((tree.root(), left(&tree)), (hash(1), vec![2, 3, 4, 5]));
        assert_eq!(tree.remove(hash(2)), [2, 3]);
        tree.reroot(hash(4));
        assert_eq!(left(&tree), [5]);
        tree.reroot(hash(7));
        assert!(tree.is_empty() && tree.extends(hash(7)) && !tree.extends(hash(4)));
    }
}
