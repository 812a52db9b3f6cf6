//! What a replica knows about one undecided height in its view.

use std::sync::Arc;

use dtn_primitives::{B256, Block, ValidatorSet, Vote, VoteKind};

use super::votes::VoteSet;
use crate::quorum::is_quorum;

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
    /// The one pre-prepare that counts.
    pub(super) accepted: Option<Arc<Vote>>,
    /// Its block, once that is here.
    pub(super) body: Option<Arc<Block>>,
    /// Looks at the clock since the pre-prepare is here and its block is not.
    pub(super) lacking: u32,
    /// The look at the clock at which the pre-prepare came.
    pub(super) began: u64,
    pub(super) validity: Validity,
    /// This replica has made its acceptance durable; it never accepts another block here.
    pub(super) voted: bool,
    pub(super) prepares: VoteSet,
    pub(super) commits: VoteSet,
}

impl Slot {
    pub(super) fn accept(&mut self, vote: Arc<Vote>, body: Option<Arc<Block>>, now: u64) {
        (self.accepted, self.body) = (Some(vote), body);
        (self.lacking, self.began) = (0, now);
    }

    /// Forgets the pre-prepare, for which this replica has not voted.
    pub(super) fn reject(&mut self) {
        (self.accepted, self.body, self.validity) = (None, None, Validity::Unknown);
    }

    pub(super) fn accepted_hash(&self) -> Option<B256> {
        self.accepted.as_ref().map(|vote| vote.block_hash)
    }

    /// The pre-prepare with its block, if both are here.
    pub(super) fn proposal(&self) -> Option<(Arc<Vote>, Arc<Block>)> {
        self.accepted.clone().zip(self.body.clone())
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

    /// The prepares that match the pre-prepare. One of the proposer, whose pre-prepare already says it, is none of them, so
    /// that nobody is counted twice.
    pub(super) fn matching_prepares(&self) -> impl Iterator<Item = &Arc<Vote>> {
        let accepted = self.accepted.as_ref();
        let proposer = accepted.map(|vote| vote.validator);
        let votes = accepted.into_iter().flat_map(|vote| self.prepares.ballots_for(vote.block_hash));
        votes.filter(move |vote| Some(vote.validator) != proposer)
    }

    /// The block's hash if a quorum has prepared it.
    pub(super) fn prepared(&self, validators: &ValidatorSet) -> Option<B256> {
        let accepted = self.accepted.as_ref().filter(|_| self.validity == Validity::Valid)?;
        let own = self.prepares.of(accepted.validator).is_some_and(|vote| vote.block_hash == accepted.block_hash);
        let prepares = self.prepares.count(accepted.block_hash) - usize::from(own);
        is_quorum(1 + prepares, validators).then_some(accepted.block_hash)
    }
}
