//! What a replica that mines asks its host, what the host tells it, and what it comes to.

use std::sync::Arc;

use dtn_pow::Puzzle;
use dtn_primitives::{B256, Block, Certificate, ValidatorIndex};

use crate::pbft;

/// What a replica asks its host.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Answer with [`Answer::Proposal`]: a block to mine, whether or not there is anything to put into it. Replaces an
    /// earlier wish.
    Propose {
        /// One above the parent's.
        height: u64,
        /// The last block of the chain that is followed.
        parent: B256,
    },
    /// Answer with [`Answer::Validated`]: may this block follow its parent, which is the last decided block or was
    /// found valid itself?
    Validate(Arc<Block>),
    /// Search for the proof of work of the block that was proposed last, and answer with [`Answer::Mined`]. Replaces an
    /// earlier wish.
    Mine(Puzzle),
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
    /// To [`Ask::Mine`]: the block of this hash has its proof of work.
    Mined {
        /// The block's hash.
        block_hash: B256,
        /// The nonce that solves its puzzle.
        nonce: u64,
    },
    /// The host took over what others decided, having verified the last block's certificate.
    CaughtUp {
        /// Of the last block.
        certificate: Certificate,
        /// What the block leaves to those that follow.
        base: Base,
        /// The hashes of the blocks that were taken over, in ascending order; empty if the host took over a state.
        decided: Vec<B256>,
    },
    /// The host has executed every block up to a height that is a multiple of the checkpoint interval.
    Checkpoint {
        /// The height.
        height: u64,
        /// The root of the state after it.
        state_root: B256,
    },
}

/// What a replica comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// What makes confirmed blocks final comes to it.
    Finality(pbft::Output),
    /// Something about the mined chain that operators should know and that is nobody's fault.
    Notice(Notice),
}

/// The last decided block, or the genesis, as far as the blocks above depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Its height; 0 for the genesis.
    pub height: u64,
    /// Its hash; the network id for the genesis.
    pub hash: B256,
    /// Its time, in milliseconds since the Unix epoch.
    pub timestamp: u64,
    /// The expected number of hashes for a block on top of it.
    pub next_work: u64,
}

/// What operators should know of the mined chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Blocks that were not final have made room for a chain with more work, or for a final block.
    Reorganized {
        /// How many blocks were left; at least so many if the host took over a state.
        depth: u64,
        /// The last block of the chain that was left.
        from: B256,
        /// The last block of the chain that is followed now, or that final block.
        to: B256,
    },
    /// A mined block has its work and cannot be executed, so nobody follows its chain. Blocks are not signed by who mines
    /// them: whom it names need not have made it.
    InvalidBlock {
        /// Its height.
        height: u64,
        /// Its hash.
        block_hash: B256,
    },
    /// A peer follows a chain that leaves out a final block. However much work is in it, it is not followed.
    BelowCheckpoint {
        /// The peer.
        from: ValidatorIndex,
        /// The height of its block in the place of the final one, or above it.
        height: u64,
        /// The hash of its block.
        block_hash: B256,
    },
}
