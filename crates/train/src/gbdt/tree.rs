//! A tree of which every leaf is as deep as any other, so that its size says all of its form.

/// The threshold of a node that does not split: no feature is above it.
pub(crate) const NO_SPLIT: Node = Node { feature: 0, threshold: i16::MAX };

/// A row goes left if its feature is at most the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) feature: u16,
    /// Q12.
    pub(crate) threshold: i16,
}

/// Nodes level by level, the children of node n at 2n + 1 and 2n + 2, and the leaves from left to right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    /// Q16.
    pub(crate) leaves: Vec<i32>,
}

impl Tree {
    /// One that says nothing.
    pub(crate) fn new(depth: u8) -> Self {
        Self { nodes: vec![NO_SPLIT; (1 << depth) - 1], leaves: vec![0; 1 << depth] }
    }

    /// What it says of a row, Q16.
    pub(crate) fn value(&self, features: &[i16]) -> i32 {
        let mut at = 0;
        while let Some(Node { feature, threshold }) = self.nodes.get(at) {
            at = 2 * at + 1 + usize::from(features[usize::from(*feature)] > *threshold);
        }
        self.leaves[at - self.nodes.len()]
    }
}
