//! The vote count.

use std::sync::Arc;

use dtn_primitives::{B256, Certificate, ValidatorSet, Vote};

use crate::quorum::Tally;

/// The votes of one kind, view and height.
pub(super) type VoteSet = Tally<Arc<Vote>>;

/// The certificate for a block once a quorum voted to commit it.
pub(super) fn certificate(commits: &VoteSet, block_hash: B256, validators: &ValidatorSet) -> Option<Certificate> {
    Certificate::from_votes(commits.quorum_for(block_hash, validators)?.map(Arc::as_ref))
}
