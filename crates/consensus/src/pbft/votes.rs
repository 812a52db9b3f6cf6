//! The vote count.

use std::collections::BTreeMap;

use dtn_primitives::{B256, Certificate, ValidatorIndex, Vote};

/// The votes of one kind, view and height: at most one a validator.
#[derive(Debug, Clone, Default)]
pub(super) struct VoteSet(BTreeMap<ValidatorIndex, Vote>);

/// What became of a vote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It counts.
    New,
    /// It was there already.
    Duplicate,
    /// The validator has voted for another block; that vote is returned and still the one that counts.
    Conflicting(Vote),
}

impl VoteSet {
    /// Counts a vote whose signature was verified.
    pub(super) fn add(&mut self, vote: Vote) -> Added {
        match self.0.get(&vote.validator) {
            None => {
                self.0.insert(vote.validator, vote);
                Added::New
            }
            Some(known) if known.block_hash == vote.block_hash => Added::Duplicate,
            Some(known) => Added::Conflicting(known.clone()),
        }
    }

    /// Counts votes that were verified before.
    pub(super) fn extend(&mut self, votes: impl IntoIterator<Item = Vote>) {
        votes.into_iter().for_each(|vote| _ = self.add(vote));
    }

    /// The vote of a validator, if it has cast one.
    pub(super) fn of(&self, validator: ValidatorIndex) -> Option<&Vote> {
        self.0.get(&validator)
    }

    /// The votes for a block.
    pub(super) fn votes_for(&self, block_hash: B256) -> impl Iterator<Item = &Vote> {
        self.0.values().filter(move |vote| vote.block_hash == block_hash)
    }

    /// How many distinct validators voted for a block.
    pub(super) fn count(&self, block_hash: B256) -> usize {
        self.votes_for(block_hash).count()
    }

    /// The certificate for a block once `quorum` distinct validators voted to commit it.
    pub(super) fn certificate(&self, block_hash: B256, quorum: usize) -> Option<Certificate> {
        if self.count(block_hash) < quorum {
            return None;
        }
        Certificate::from_votes(self.votes_for(block_hash).take(quorum))
    }
}
