//! Evidence that a validator contradicted itself, which anyone can verify who knows the genesis.

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{Domain, Epochs, KeyError, ValidatorIndex, Vote, VoteKind};

mod abi {
    alloy_sol_types::sol! {
        struct Contradiction {
            uint8 kind;
            uint64 epoch;
            uint64 view;
            uint64 height;
            uint16 validator;
            bytes32 firstHash;
            bytes32 secondHash;
        }
    }
}

/// Two votes of one validator that no correct validator casts together. Either they are of the same kind, epoch, view
/// and height, and for different hashes; notarizations have no height, so two of one view are such. Or they are a
/// nullification and a commit of one epoch and view: who has given a view up does not finalize in it (the skip lemma of
/// Simplex, Chan & Pass, eprint 2023/463, §3).
///
/// Other kinds do not conflict: what a correct replica of one protocol casts together is evidence in none. PBFT,
/// Streamlet and HotStuff-2 know no nullification, so the second rule accuses nobody there.
///
/// [`Evidence::new`] orders the votes, so one contradiction has one form and one [`Evidence::id`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// The vote for the lower hash. That of a nullification is zero.
    pub first: Vote,
    /// The vote for the higher hash. The contradiction is at its height.
    pub second: Vote,
}

/// Why two votes prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// They differ in kind, epoch, view, height or validator, and are no nullification and commit of one view: both may
    /// be cast.
    #[error("the votes are not for the same slot")]
    DifferentSlots,
    /// They are for the same hash, or not in ascending order of hash.
    #[error("the votes do not contradict each other in ascending order of their hashes")]
    NoContradiction,
    /// One of them is not signed by the validator that it names, in this network and epoch.
    #[error("the vote for {hash} fails: {error}")]
    Signature {
        /// The hash that it is for.
        hash: B256,
        /// What is wrong with it.
        error: KeyError,
    },
}

impl Evidence {
    /// Puts two votes in their order. Nothing is checked; [`Evidence::verify`] does.
    pub fn new(one: &Vote, other: &Vote) -> Self {
        let (first, second) = if one.block_hash <= other.block_hash { (one, other) } else { (other, one) };
        Self { first: first.clone(), second: second.clone() }
    }

    /// The accused.
    pub fn validator(&self) -> ValidatorIndex {
        self.first.validator
    }

    /// What both votes say, or [`VoteKind::Nullify`] of a view in which the validator committed as well.
    pub fn kind(&self) -> VoteKind {
        self.first.kind
    }

    /// Identifies the contradiction. The signatures are left out, because a validator can sign one vote in many ways.
    pub fn id(&self) -> B256 {
        let Vote { kind, epoch, view, validator, block_hash, .. } = self.first;
        let contradiction = abi::Contradiction {
            kind: kind as u8,
            epoch,
            view,
            height: self.second.height,
            validator: validator.0,
            firstHash: block_hash,
            secondHash: self.second.block_hash,
        };
        keccak256(contradiction.abi_encode())
    }

    /// Succeeds only if the validator signed both votes, in this set and domain, and they contradict each other.
    pub fn verify(&self, domain: &Domain, epochs: &impl Epochs) -> Result<(), EvidenceError> {
        let view = |vote: &Vote| (vote.epoch, vote.view, vote.validator);
        let says = |vote: &Vote| (vote.kind, vote.height);
        let conflict = says(&self.first) == says(&self.second)
            || (self.first.kind, self.second.kind) == (VoteKind::Nullify, VoteKind::Commit);
        if view(&self.first) != view(&self.second) || !conflict {
            return Err(EvidenceError::DifferentSlots);
        }
        if self.first.block_hash >= self.second.block_hash {
            return Err(EvidenceError::NoContradiction);
        }
        for vote in [&self.first, &self.second] {
            let hash = vote.block_hash;
            vote.verify(domain, epochs).map_err(|error| EvidenceError::Signature { hash, error })?;
        }
        Ok(())
    }
}
