//! What replicas say to each other, what they must not forget, and what can be wrong with a message.

use std::sync::Arc;

use dtn_primitives::{
    B256, Block, Certificate, CertificateError, CheckpointCertificate, Domain, KeyError, Signature, ValidatorIndex,
    ValidatorSet, Vote, VoteKind, codec, keccak256,
};
use serde::{Deserialize, Serialize};

use crate::pbft::{LOG_WINDOW, STANDING};

/// What a leader proposes in its view: what the papers call a block. It adds a block of the ledger to a chain of proposals, or
/// none: then it names the block of its parent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The view. In each at most one is notarized, so a view names a notarized proposal.
    pub view: u64,
    /// The view of the one that it extends; 0 for what was decided before there were any.
    pub parent: u64,
    /// How many there are in its chain, itself included.
    pub length: u64,
    /// The height of its block in the ledger.
    pub height: u64,
    /// The hash of that block.
    pub block: B256,
}

impl Proposal {
    /// What a vote for it names: a `Notarize` is for a proposal and not for a block of the ledger, which may be proposed
    /// again.
    pub fn hash(&self) -> B256 {
        keccak256(codec::encode(&("DTN/proposal", self)))
    }
}

/// The signatures of a quorum, in strictly ascending order of validator.
pub type Signatures = Vec<(ValidatorIndex, Signature)>;

/// Proof that a quorum voted for a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notarization {
    /// The proposal.
    pub proposal: Proposal,
    /// Under `Notarize`.
    pub signatures: Signatures,
}

impl Notarization {
    /// Succeeds only if a quorum of so many distinct validators voted for exactly this.
    pub fn verify(&self, domain: &Domain, validators: &ValidatorSet, quorum: usize) -> Result<(), CertificateError> {
        verify(
            VoteKind::Notarize,
            (self.proposal.view, self.proposal.hash()),
            (&self.signatures, quorum),
            domain,
            validators,
        )
    }
}

/// Proof that a quorum gave up a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nullification {
    /// The view.
    pub view: u64,
    /// Under `Nullify`.
    pub signatures: Signatures,
}

impl Nullification {
    /// Succeeds only if a quorum of so many distinct validators gave up exactly this view.
    pub fn verify(&self, domain: &Domain, validators: &ValidatorSet, quorum: usize) -> Result<(), CertificateError> {
        verify(VoteKind::Nullify, (self.view, B256::ZERO), (&self.signatures, quorum), domain, validators)
    }
}

/// Votes of these kinds are bound to no height.
fn verify(
    kind: VoteKind,
    (view, block_hash): (u64, B256),
    (signatures, quorum): (&Signatures, usize),
    domain: &Domain,
    validators: &ValidatorSet,
) -> Result<(), CertificateError> {
    if signatures.len() < quorum {
        return Err(CertificateError::BelowQuorum { have: signatures.len(), need: quorum });
    }
    if !signatures.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err(CertificateError::NotAscending);
    }
    for (validator, signature) in signatures.iter().copied() {
        let vote = Vote { kind, epoch: validators.epoch(), view, height: 0, block_hash, validator, signature };
        let signed = vote.verify(domain, validators);
        signed.map_err(|error| CertificateError::Signature { validator, error })?;
    }
    Ok(())
}

/// A leader's proposal, with all that others need to vote for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// What it proposes.
    pub proposal: Proposal,
    /// Its own vote for that, which is its signature.
    pub vote: Arc<Vote>,
    /// The block that it adds; left out where it adds none, or where others have it already.
    pub block: Option<Arc<Block>>,
    /// Proof that the parent is notarized; none if the parent is what was decided before.
    pub parent: Option<Arc<Notarization>>,
    /// Proof that the views since then were given up, where a protocol needs it.
    pub nullified: Vec<Arc<Nullification>>,
}

/// Where a replica stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The highest view that it would be in: its own, or a higher one if that has lasted too long.
    pub view: u64,
    /// The view of the best notarized proposal that it knows.
    pub tip: u64,
    /// That proposal, for who does not know it.
    pub proof: Option<Arc<Notarization>>,
    /// A replica that has lost its memory asks the others where they stand: the number of its start, and one.
    pub asks: u64,
    /// That number, in an answer.
    pub answers: u64,
    /// It votes in no view up to this one, because it may have voted there and forgotten.
    pub silent: bool,
}

/// What replicas say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A leader's proposal.
    Propose(Box<Offer>),
    /// A `Notarize` or a `Nullify`.
    Vote(Arc<Vote>),
    /// `Commit`s of one replica for a block and those below it that it does not know to be final, in ascending order.
    Commit(Vec<Arc<Vote>>),
    /// A proposal is notarized.
    Notarized(Arc<Notarization>),
    /// A view is given up.
    Nullified(Arc<Nullification>),
    /// A block is final.
    Final(Box<Certificate>),
    /// Where the sender stands.
    Status(Box<Status>),
    /// Asks for a block.
    Want(B256),
    /// Answers that.
    Body(Arc<Block>),
    /// A `CHECKPOINT`.
    Checkpoint(Arc<Vote>),
    /// Tells a replica that still asks for an old checkpoint which one is stable.
    Stable(CheckpointCertificate),
}

impl Message {
    /// What it is, as counters name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Propose(_) => "propose",
            Self::Vote(vote) => vote.kind.name(),
            Self::Commit(_) => "commit",
            Self::Notarized(_) => "notarized",
            Self::Nullified(_) => "nullified",
            Self::Final(_) => "final",
            Self::Status(_) => "status",
            Self::Want(_) => "want",
            Self::Body(_) => "body",
            Self::Checkpoint(_) => "checkpoint",
            Self::Stable(_) => "stable_checkpoint",
        }
    }
}

/// What must survive a crash, so that a replica never contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// What it has said, and what that rests on.
    Standing(Box<Standing>),
    /// A block for which it voted.
    Block(Arc<Block>),
    /// A view is given up; needed until the next block of this height is final.
    Nullified {
        /// The height.
        height: u64,
        /// The proof.
        nullification: Arc<Nullification>,
    },
    /// The `CHECKPOINT` that it sent.
    Checkpoint(Arc<Vote>),
}

impl Record {
    /// The height that a record speaks of, or [`STANDING`]. Once it is decided the record is no longer needed.
    pub fn height(&self) -> u64 {
        match self {
            Self::Standing(_) => STANDING,
            Self::Block(block) => block.header.height,
            Self::Nullified { height, .. } => *height,
            // Outlives the blocks that are decided until the checkpoint is stable, which is not later.
            Self::Checkpoint(vote) => vote.height.saturating_add(LOG_WINDOW),
        }
    }
}

/// What a replica has said and must stand by. It votes in no view below this one, but for `Commit`s.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The view that it is in.
    pub view: u64,
    /// Its `Notarize` in this view.
    pub voted: Option<Arc<Vote>>,
    /// Its `Nullify` of this view.
    pub nullified: Option<Arc<Vote>>,
    /// The `Commit`s that it cast last, in ascending order of height.
    pub commits: Vec<Arc<Vote>>,
    /// The best notarized proposal that it knows.
    pub tip: Option<Arc<Notarization>>,
    /// It has forgotten what it said, and votes in no view below; [`u64::MAX`] if it has yet to find out.
    pub vote_from: u64,
}

/// The timers that a replica sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// Says again what may have been lost.
    Retransmit,
    /// The view's time is over.
    View,
    /// A leader has waited long enough: for others' words, or for something to put into a block.
    Propose,
}

/// What can be wrong with a message; none of it comes from a correct replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The vote is not signed by who it names, or is of another network, chain or epoch.
    #[error("bad vote: {0}")]
    Signature(#[from] KeyError),
    /// A certificate that is not a quorum's.
    #[error("a certificate that does not hold: {0}")]
    Certificate(#[from] CertificateError),
    /// A proposal by a replica that does not lead the view.
    #[error("a proposal by {0}, who is not the leader")]
    NotLeader(ValidatorIndex),
    /// The kind of vote does not fit the kind of message.
    #[error("a vote of the wrong kind")]
    WrongKind,
    /// The block is not the one that is named.
    #[error("the block is not the one that was named")]
    WrongBlock,
    /// The proposal is not on top of the parent that it names.
    #[error("the proposal is not on top of its parent")]
    NotChained,
    /// The block cannot follow its parent.
    #[error("the proposed block is invalid")]
    InvalidBlock,
    /// A `CHECKPOINT` at a height that is not a multiple of the interval.
    #[error("a checkpoint at height {0}")]
    NotCheckpoint(u64),
}

impl Fault {
    /// What it is, as counters name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Signature(_) => "bad_signature",
            Self::Certificate(_) => "bad_certificate",
            Self::NotLeader(_) => "not_leader",
            Self::WrongKind => "wrong_kind",
            Self::WrongBlock => "wrong_block",
            Self::NotChained => "not_chained",
            Self::InvalidBlock => "invalid_block",
            Self::NotCheckpoint(_) => "not_checkpoint",
        }
    }
}
