//! Certificates: the signatures of a quorum under one statement.
//!
//! A quorum of commit votes is at once the proof of finality among peers and the settlement signature that the registry
//! contract verifies. A quorum of checkpoint votes lets a peer take over a state without the blocks that led to it.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{Domain, EcdsaCertificate, Epochs, KeyError, Signature, ValidatorIndex, ValidatorSet, Vote, VoteKind};

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
    /// Its bytes are not a whole number of signatures.
    #[error("{0} bytes are not a whole number of signatures")]
    Length(usize),
    /// One of its signatures is nobody's.
    #[error("the signature at {index} is malformed")]
    MalformedSignature {
        /// Which one, from 0.
        index: usize,
    },
    /// One of its signatures is no validator's: of a stranger, or over something else.
    #[error("the signer {0} is no validator")]
    UnknownSigner(Address),
    /// It names a signer that is not there.
    #[error("there is no validator {place}")]
    NoValidator {
        /// The place beyond the set.
        place: ValidatorIndex,
    },
    /// One of its signers has no BLS key that is known in this epoch.
    #[error("validator {validator} has no BLS key")]
    NoKey {
        /// Who.
        validator: ValidatorIndex,
    },
    /// Its aggregate signature is not a point of G1, or infinity.
    #[error("the aggregate signature is malformed")]
    MalformedAggregate,
    /// Its aggregate signature is not one of this message by all of its signers, and nobody else.
    #[error("the aggregate signature is not by these signers")]
    InvalidAggregate,
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

    /// The votes that it is made of.
    pub fn votes(&self) -> impl Iterator<Item = Vote> {
        let Self { epoch, view, height, block_hash, .. } = *self;
        let vote = move |(validator, signature): &(ValidatorIndex, Signature)| {
            let (validator, signature) = (*validator, *signature);
            Vote { kind: VoteKind::Commit, epoch, view, height, block_hash, validator, signature }
        };
        self.signatures.iter().map(vote)
    }

    /// Succeeds only if a quorum of distinct validators signed exactly this, as the registry contract checks it.
    pub fn verify(&self, domain: &Domain, epochs: &impl Epochs) -> Result<(), CertificateError> {
        let digest = Vote::digest(domain, VoteKind::Commit, (self.epoch, self.view, self.height), self.block_hash);
        verify_quorum(self.epoch, &self.signatures, digest, epochs)
    }

    /// The signatures as the registry takes them.
    pub fn ecdsa(&self) -> EcdsaCertificate {
        EcdsaCertificate::new(self.signatures.iter().map(|(_, signature)| *signature))
    }

    /// The bytes of the signatures as the registry takes them.
    pub fn signature_bytes(&self) -> Vec<u8> {
        self.ecdsa().to_bytes()
    }
}

/// A quorum of checkpoint votes: the state after this block is final (OSDI '99, §4.3, a *stable* checkpoint).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointCertificate {
    /// The epoch of the validator set that signed.
    pub epoch: u64,
    /// The height of the last block that the state includes.
    pub height: u64,
    /// The Merkle root of the state's encoding.
    pub state_root: B256,
    /// The signatures, in strictly ascending order of validator.
    pub signatures: Vec<(ValidatorIndex, Signature)>,
}

impl CheckpointCertificate {
    /// Assembles the certificate from checkpoint votes for the same height and state, one a validator.
    pub fn from_votes<'a>(votes: impl IntoIterator<Item = &'a Vote>) -> Option<Self> {
        let mut votes = votes.into_iter().filter(|vote| vote.kind == VoteKind::Checkpoint).peekable();
        let Vote { epoch, height, block_hash: state_root, .. } = **votes.peek()?;
        let mut signatures: Vec<_> = votes.map(|vote| (vote.validator, vote.signature)).collect();
        signatures.sort_by_key(|(validator, _)| *validator);
        Some(Self { epoch, height, state_root, signatures })
    }

    /// Succeeds only if a quorum of distinct validators signed exactly this.
    pub fn verify(&self, domain: &Domain, epochs: &impl Epochs) -> Result<(), CertificateError> {
        let digest = Vote::digest(domain, VoteKind::Checkpoint, (self.epoch, 0, self.height), self.state_root);
        verify_quorum(self.epoch, &self.signatures, digest, epochs)
    }
}

fn verify_quorum(
    epoch: u64,
    signatures: &[(ValidatorIndex, Signature)],
    digest: B256,
    epochs: &impl Epochs,
) -> Result<(), CertificateError> {
    let unknown = || CertificateError::WrongEpoch { have: epoch, need: epochs.now().epoch() };
    let validators = epochs.of_epoch(epoch).ok_or_else(unknown)?;
    require_quorum(signatures.len(), validators)?;
    require_ascending(signatures.iter().map(|(validator, _)| *validator))?;
    for (index, signature) in signatures {
        validators
            .signer(epoch, *index)
            .and_then(|validator| signature.verify(digest, validator.address))
            .map_err(|error| CertificateError::Signature { validator: *index, error })?;
    }
    Ok(())
}

/// So many signers are a quorum.
pub(crate) fn require_quorum(have: usize, validators: &ValidatorSet) -> Result<(), CertificateError> {
    let need = validators.quorum();
    if have < need { Err(CertificateError::BelowQuorum { have, need }) } else { Ok(()) }
}

/// The signers are distinct, which their order shows.
pub(crate) fn require_ascending<T: PartialOrd>(signers: impl IntoIterator<Item = T>) -> Result<(), CertificateError> {
    if signers.into_iter().is_sorted_by(|one, next| one < next) { Ok(()) } else { Err(CertificateError::NotAscending) }
}
