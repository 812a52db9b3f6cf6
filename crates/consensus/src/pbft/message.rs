//! What replicas say to each other, what they must not forget, and what can be wrong with a message.

use std::sync::Arc;

use dtn_primitives::{B256, Block, CertificateError, CheckpointCertificate, KeyError, ValidatorIndex, Vote};
use serde::{Deserialize, Serialize};

use super::{
    LOG_WINDOW, NewView, PIPELINE, PreparedCertificate, STANDING, ViewChange, ViewChangeError, recall::Greeting,
};

/// What replicas say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The primary's assignment of a height to a block.
    PrePrepare {
        /// Signed by the primary of its view.
        vote: Arc<Vote>,
        /// The block that it names.
        block: Arc<Block>,
    },
    /// The primary's `PRE-PREPARE` once more, without its block: who lacks that asks for it.
    Announce(Arc<Vote>),
    /// Asks for a block that the peer says it has accepted.
    Want(B256),
    /// Answers that.
    Body(Arc<Block>),
    /// A `PREPARE` or `COMMIT`.
    Vote(Arc<Vote>),
    /// A replica asks for a new view.
    ViewChange(ViewChange),
    /// A new view begins.
    NewView(NewView),
    /// A `CHECKPOINT`.
    Checkpoint(Arc<Vote>),
    /// Tells a replica that still asks for an old checkpoint which one is stable.
    Stable(CheckpointCertificate),
    /// A replica that does not vote, because it may have forgotten what it said, asks the others.
    Recall {
        /// Of its present start; comes back in the answer.
        boot: u64,
        /// It has forgotten what it said, and waits for heights to pass.
        lost: bool,
    },
    /// Answers that.
    Greeting(Box<Greeting>),
}

impl Message {
    /// What it is, as counters name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PrePrepare { .. } => "pre_prepare",
            Self::Announce(_) => "announce",
            Self::Want(_) => "want",
            Self::Body(_) => "body",
            Self::Vote(vote) => vote.kind.name(),
            Self::ViewChange(_) => "view_change",
            Self::NewView(_) => "new_view",
            Self::Checkpoint(_) => "checkpoint",
            Self::Stable(_) => "stable_checkpoint",
            Self::Recall { .. } => "recall",
            Self::Greeting(_) => "greeting",
        }
    }
}

/// What must survive a crash, so that a replica never contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The `PRE-PREPARE` that this replica sent or accepted; it sends or accepts no other for that view and height.
    Accepted {
        /// Signed by the primary.
        vote: Arc<Vote>,
        /// The block that it names.
        block: Arc<Block>,
    },
    /// The prepared certificate on which this replica's `COMMIT` rests. Its block is in the accepted record.
    Prepared(PreparedCertificate),
    /// The view that this replica is in; it votes in none below.
    View(View),
    /// The `CHECKPOINT` that this replica sent.
    Checkpoint(Arc<Vote>),
}

impl Record {
    /// The height that a record speaks of, or [`STANDING`]. Once it is decided the record is no longer needed.
    pub fn height(&self) -> u64 {
        match self {
            Self::Accepted { vote, .. } => vote.height,
            Self::Prepared(certificate) => certificate.pre_prepare.height,
            Self::View(_) => STANDING,
            // Outlives the blocks that are decided until the checkpoint is stable, which is not later.
            Self::Checkpoint(vote) => vote.height.saturating_add(LOG_WINDOW),
        }
    }
}

/// Where a replica stands among the views.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// The view's number.
    pub number: u64,
    /// It has asked for the view, which has not begun for it.
    pub changing: bool,
    /// The highest height that was decided when it began. No vote of this view is for that height or below it: what
    /// is decided there may not be known to all who enter.
    pub floor: u64,
    /// The blocks that have to come first above the floor, in ascending order.
    pub required: Vec<B256>,
    /// It was entered through a certificate, so what it had to begin with is not known here.
    pub joined: bool,
    /// The replica has forgotten what it said, and votes for no height below; [`u64::MAX`] if it has yet to find out.
    pub vote_from: u64,
}

impl View {
    /// Whether a block may be proposed in this view.
    pub(super) fn allows(&self, height: u64, block_hash: B256) -> bool {
        let Some(above) = height.checked_sub(self.floor + 1) else { return false };
        self.required.get(above as usize).is_none_or(|required| *required == block_hash)
    }

    /// Whether a block at this height was prepared, or may have been, in an earlier view.
    pub(super) fn is_inherited(&self, height: u64) -> bool {
        let inherited = if self.joined { PIPELINE } else { self.required.len() as u64 };
        height <= self.floor.saturating_add(inherited)
    }
}

/// The timers that a replica sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// Says again what may have been lost.
    Retransmit,
    /// Gives up the view.
    ViewChange,
}

/// What can be wrong with a message; none of it comes from a correct replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The vote is not signed by who it names, or is of another network, chain or epoch.
    #[error("bad vote: {0}")]
    Signature(#[from] KeyError),
    /// A `PRE-PREPARE` by a replica that is not the view's primary.
    #[error("a pre-prepare by {0}, who is not the primary")]
    NotPrimary(ValidatorIndex),
    /// A `PREPARE` by who proposed the block, whose `PRE-PREPARE` already says it.
    #[error("a prepare by the primary")]
    PrimaryPrepared,
    /// The kind of vote does not fit the kind of message.
    #[error("a vote of the wrong kind")]
    WrongKind,
    /// The block is not the one that the vote names.
    #[error("the block does not match its pre-prepare")]
    WrongBlock,
    /// The block cannot follow its parent.
    #[error("the proposed block is invalid")]
    InvalidBlock,
    /// The primary's blocks do not form a chain.
    #[error("the proposed block is not on top of the one below")]
    NotChained,
    /// A `CHECKPOINT` at a height that is not a multiple of the interval.
    #[error("a checkpoint at height {0}")]
    NotCheckpoint(u64),
    /// A stable checkpoint that is not a quorum's.
    #[error("a stable checkpoint that does not hold: {0}")]
    Stable(#[from] CertificateError),
    /// The view has to begin with another block.
    #[error("the proposed block is not the one that the view has to begin with")]
    NotRequired,
    /// A view change or new view that does not hold.
    #[error("a view change that does not hold: {0}")]
    ViewChange(#[from] ViewChangeError),
}

impl Fault {
    /// What it is, as counters name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Signature(_) => "bad_signature",
            Self::NotPrimary(_) => "not_primary",
            Self::PrimaryPrepared => "primary_prepared",
            Self::WrongKind => "wrong_kind",
            Self::WrongBlock => "wrong_block",
            Self::InvalidBlock => "invalid_block",
            Self::NotChained => "not_chained",
            Self::NotCheckpoint(_) => "not_checkpoint",
            Self::Stable(_) => "bad_checkpoint",
            Self::NotRequired => "not_required",
            Self::ViewChange(_) => "bad_view_change",
        }
    }
}
