//! What peers say to each other, and how long it may be.

use dtn_consensus::Message;
use dtn_primitives::{Block, Certificate, MAX_TRANSACTION_BYTES, Transaction};
use libp2p::StreamProtocol;
use serde::{Deserialize, Serialize};

/// The stream on which a pair of validators exchanges [`Frame`]s, length-prefixed, for as long as they are connected.
pub(crate) const LINK_PROTOCOL: StreamProtocol = StreamProtocol::new("/dtn/link/1");

/// The request-response protocol by which a peer that fell behind takes certified blocks.
pub(crate) const SYNC_PROTOCOL: StreamProtocol = StreamProtocol::new("/dtn/sync/1");

/// Room for votes and lengths beside the largest block in a frame.
const FRAME_OVERHEAD: usize = 4 * 1024;

/// Stop adding blocks to a sync response beyond this many bytes.
pub(crate) const SYNC_RESPONSE_TARGET: usize = 4 * 1024 * 1024;

/// The longest encoded [`BlockRequest`].
pub(crate) const MAX_SYNC_REQUEST: usize = 16;

/// The most transactions that are resent in one frame.
pub(crate) const MAX_RESENT_TRANSACTIONS: usize = 64;

/// The longest encoded frame in a network with such blocks.
pub(crate) fn max_frame(max_block_bytes: u64) -> usize {
    (max_block_bytes as usize).max(MAX_RESENT_TRANSACTIONS * MAX_TRANSACTION_BYTES) + FRAME_OVERHEAD
}

/// The longest encoded sync response in a network with such blocks.
pub(crate) fn max_sync_response(max_block_bytes: u64) -> usize {
    // The last block that is added and its certificate may cross the target.
    SYNC_RESPONSE_TARGET + max_block_bytes as usize + 64 * 1024
}

/// One message on a link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// Consensus.
    Consensus(Box<Message>),
    /// The height of the sender's last final block, so that a peer that is behind knows whom to ask.
    Height(u64),
    /// Transactions that the sender has waited for too long.
    Transactions(Vec<Transaction>),
}

/// Asks for certified blocks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BlockRequest {
    /// The first height wanted.
    pub(crate) from: u64,
}

/// A block that its certificate makes final; verified before use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CertifiedBlock {
    pub(crate) block: Block,
    pub(crate) certificate: Certificate,
}
