//! What PBFT asks its host, what the host tells it, and what it comes to.

use std::sync::Arc;

use dtn_primitives::{B256, Block, Certificate, CheckpointCertificate, Evidence, ValidatorIndex};

use crate::Decision;

/// What a replica asks its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Answer with [`Answer::Proposal`] once there is something to propose at this height. Replaces an earlier wish.
    Propose {
        /// One above the parent's.
        height: u64,
        /// The last decided block, or one above it that this replica proposed or found valid.
        parent: B256,
        /// Propose now, even if there is nothing to put into the block: heights have to pass.
        empty: bool,
    },
    /// Answer with [`Answer::Validated`]: may this block follow its parent, which is the last decided block or was
    /// found valid itself?
    Validate {
        /// The block.
        block: Arc<Block>,
        /// It is proposed for the first time, as far as this replica knows: what depends on the host's clock and on what
        /// waits there is judged, too. Otherwise a quorum may have prepared it already.
        fresh: bool,
    },
}

/// What the host answers, or tells unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Ask::Propose`].
    Proposal(Arc<Block>),
    /// To [`Ask::Validate`], for the block of this hash.
    Validated {
        /// The block's hash.
        block_hash: B256,
        /// Whether it may follow its parent.
        valid: bool,
    },
    /// The host took over what others decided, up to the block with this certificate, having verified it.
    CaughtUp(Certificate),
    /// The host has executed every block up to a height that is a multiple of the checkpoint interval.
    Checkpoint {
        /// The height.
        height: u64,
        /// The root of the state after it.
        state_root: B256,
    },
    /// The request that has waited longest of those that the host could execute now, if there is one. A primary is expected
    /// to have it decided, whatever else it decides.
    Waiting(Option<B256>),
}

/// What a replica comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The block is final. Blocks are decided in ascending order.
    Decide(Decision),
    /// A quorum has executed everything up to this checkpoint: what led to it may be forgotten.
    Stable(CheckpointCertificate),
    /// A validator contradicted itself; anyone can verify it.
    Evidence(Box<Evidence>),
    /// Something that operators should know and that is nobody's fault.
    Notice(Notice),
}

/// What operators should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// A peer has shown something that this replica said and does not remember: its records are older than its words, or
    /// somebody else signs with its key.
    Forgot {
        /// The peer.
        from: ValidatorIndex,
    },
    /// This replica has forgotten what it said, and votes for no height before it cannot contradict itself.
    Silent {
        /// The first height for which it votes.
        until: u64,
    },
}
