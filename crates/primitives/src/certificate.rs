//! The commit certificate: a quorum of commit votes, which is at once the proof of finality among peers and the
//! settlement signature that the registry contract verifies.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

use crate::{Domain, KeyError, Signature, ValidatorIndex, ValidatorSet, Vote, VoteKind};

/// A quorum of commit votes for one block in one view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The epoch of the validator set that signed.
    pub epoch: u64,
    /// The view of every vote in it.
    pub view: u64,
    /// The block's height.
    pub height: u64,
    /// The block's hash.
    pub block_hash: B256,
    /// The commit signatures, in strictly ascending order of validator, which is the order of their addresses.
    pub signatures: Vec<(ValidatorIndex, Signature)>,
}

/// Why a certificate was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It has fewer signatures than a quorum.
    #[error("{have} signatures are below the quorum of {need}")]
    BelowQuorum {
        /// Signatures present.
        have: usize,
        /// Signatures needed.
        need: usize,
    },
    /// Its signers are not strictly ascending, so one may be counted twice.
    #[error("the signers are not in strictly ascending order")]
    NotAscending,
    /// It is of another epoch than the validator set.
    #[error("it is of epoch {have}, not {need}")]
    WrongEpoch {
        /// The certificate's epoch.
        have: u64,
        /// The validator set's epoch.
        need: u64,
    },
    /// One of its signatures is not what it claims to be.
    #[error("the signature of validator {validator} fails: {error}")]
    Signature {
        /// Whose signature.
        validator: ValidatorIndex,
        /// What is wrong with it.
        error: KeyError,
    },
}

impl Certificate {
    /// Assembles the certificate from commit votes for the same block and view, one a validator.
    pub fn from_votes<'a>(votes: impl IntoIterator<Item = &'a Vote>) -> Option<Self> {
        let mut votes = votes.into_iter().filter(|vote| vote.kind == VoteKind::Commit).peekable();
        let first = *votes.peek()?;
        let mut signatures: Vec<_> = votes.map(|vote| (vote.validator, vote.signature)).collect();
        signatures.sort_by_key(|(validator, _)| *validator);
        Some(Self {
            epoch: first.epoch,
            view: first.view,
            height: first.height,
            block_hash: first.block_hash,
            signatures,
        })
    }

    /// Succeeds only if a quorum of distinct validators signed exactly this, as the registry contract checks it.
    pub fn verify(&self, domain: &Domain, validators: &ValidatorSet) -> Result<(), CertificateError> {
        if self.epoch != validators.epoch() {
            return Err(CertificateError::WrongEpoch { have: self.epoch, need: validators.epoch() });
        }
        let (have, need) = (self.signatures.len(), validators.quorum());
        if have < need {
            return Err(CertificateError::BelowQuorum { have, need });
        }
        if !self.signatures.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(CertificateError::NotAscending);
        }
        let digest = Vote::digest(domain, VoteKind::Commit, (self.epoch, self.view, self.height), self.block_hash);
        for (index, signature) in &self.signatures {
            validators
                .signer(self.epoch, *index)
                .and_then(|validator| signature.verify(digest, validator.address))
                .map_err(|error| CertificateError::Signature { validator: *index, error })?;
        }
        Ok(())
    }

    /// The signatures as the registry takes them: 65 bytes each, in ascending order of address.
    pub fn signature_bytes(&self) -> Vec<u8> {
        self.signatures.iter().flat_map(|(_, signature)| signature.0).collect()
    }
}
