//! What a replica knows about one undecided height in its view.

use std::sync::Arc;

use dtn_primitives::{B256, Block, Vote, VoteKind};

use super::votes::VoteSet;

/// Whether the host found the block valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Validity {
    /// Not asked yet, or to be asked again.
    #[default]
    Unknown,
    /// Asked, not answered.
    Asked,
    /// It may follow its parent.
    Valid,
}

/// The pre-prepare and the votes at one height.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// The one pre-prepare that counts, and its block.
    pub(super) accepted: Option<(Arc<Vote>, Arc<Block>)>,
    pub(super) validity: Validity,
    /// This replica has made its acceptance durable; it never accepts another block here.
    pub(super) voted: bool,
    pub(super) prepares: VoteSet,
    pub(super) commits: VoteSet,
}

impl Slot {
    pub(super) fn accept(&mut self, vote: Arc<Vote>, block: Arc<Block>) {
        self.accepted = Some((vote, block));
    }

    pub(super) fn accepted_hash(&self) -> Option<B256> {
        self.accepted.as_ref().map(|(vote, _)| vote.block_hash)
    }

    /// Whether a block is under way here that may still be decided.
    pub(super) fn is_begun(&self) -> bool {
        self.accepted.is_some()
    }

    pub(super) fn votes(&self, kind: VoteKind) -> &VoteSet {
        if kind == VoteKind::Commit { &self.commits } else { &self.prepares }
    }

    pub(super) fn votes_mut(&mut self, kind: VoteKind) -> &mut VoteSet {
        if kind == VoteKind::Commit { &mut self.commits } else { &mut self.prepares }
    }

    /// The block's hash if a quorum has prepared it. The primary's pre-prepare counts as its prepare, and it sends
    /// no other (a prepare by the primary is refused), so nobody is counted twice.
    pub(super) fn prepared(&self, quorum: usize) -> Option<B256> {
        let block_hash = self.accepted_hash().filter(|_| self.validity == Validity::Valid)?;
        (1 + self.prepares.count(block_hash) >= quorum).then_some(block_hash)
    }
}
