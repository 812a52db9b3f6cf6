//! The vote count.

use std::{collections::BTreeMap, sync::Arc};

use dtn_primitives::{B256, Certificate, ValidatorIndex, Vote};

/// The votes of one kind, view and height: at most one a validator.
#[derive(Debug, Clone, Default)]
pub(super) struct VoteSet {
    /// By validator. Only votes of members of the set get here, so it is no longer than the set.
    votes: Vec<Option<Arc<Vote>>>,
    /// How many are for each block: counting costs the same in a network of a thousand.
    counts: BTreeMap<B256, usize>,
}

/// What became of a vote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It counts.
    New,
    /// It was there already.
    Duplicate,
    /// The validator has voted for another block; that vote is returned and still the one that counts.
    Conflicting(Arc<Vote>),
}

impl VoteSet {
    /// Counts a vote whose signature was verified.
    pub(super) fn add(&mut self, vote: Arc<Vote>) -> Added {
        let index = vote.validator.as_usize();
        if self.votes.len() <= index {
            self.votes.resize(index + 1, None);
        }
        match &mut self.votes[index] {
            Some(known) if known.block_hash == vote.block_hash => Added::Duplicate,
            Some(known) => Added::Conflicting(known.clone()),
            free => {
                *self.counts.entry(vote.block_hash).or_default() += 1;
                *free = Some(vote);
                Added::New
            }
        }
    }

    /// Counts votes that were verified before.
    pub(super) fn extend(&mut self, votes: impl IntoIterator<Item = Arc<Vote>>) {
        votes.into_iter().for_each(|vote| _ = self.add(vote));
    }

    /// The vote of a validator, if it has cast one.
    pub(super) fn of(&self, validator: ValidatorIndex) -> Option<&Arc<Vote>> {
        self.votes.get(validator.as_usize())?.as_ref()
    }

    /// The votes for a block.
    pub(super) fn votes_for(&self, block_hash: B256) -> impl Iterator<Item = &Arc<Vote>> {
        self.votes.iter().flatten().filter(move |vote| vote.block_hash == block_hash)
    }

    /// How many distinct validators voted for a block.
    pub(super) fn count(&self, block_hash: B256) -> usize {
        self.counts.get(&block_hash).copied().unwrap_or_default()
    }

    /// The certificate for a block once `quorum` distinct validators voted to commit it.
    pub(super) fn certificate(&self, block_hash: B256, quorum: usize) -> Option<Certificate> {
        if self.count(block_hash) < quorum {
            return None;
        }
        Certificate::from_votes(self.votes_for(block_hash).take(quorum).map(Arc::as_ref))
    }
}
