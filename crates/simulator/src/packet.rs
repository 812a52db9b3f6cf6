//! What travels between hosts.

use dtn_consensus::Decision;

/// One message on a link: the protocol's, or the host's own for catching up.
#[derive(Debug, Clone)]
pub(crate) enum Packet<M> {
    Consensus(M),
    /// The height of the sender's last decided block.
    Height(u64),
    /// Asks for the decided blocks above a height.
    Request(u64),
    /// Answers with some of them.
    Blocks(Vec<Decision>),
}
