//! What travels between hosts, and between them and their client.

use std::time::Duration;

use dtn_consensus::Decision;
use dtn_primitives::{VoteKind, codec};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::pool::Request;

/// What each of a message's ends needs beside it: a frame's length, and addresses.
const FRAMING_BYTES: usize = 8;

/// One message: the protocol's, the host's own for catching up, or a client's.
#[derive(Debug, Clone)]
pub(crate) enum Packet<M> {
    Consensus(M),
    /// The height of the sender's last decided block.
    Height(u64),
    /// Asks for the decided blocks above a height.
    Request(u64),
    /// Answers with some of them.
    Blocks(Vec<Decision>),
    /// A client hands in what fills the blocks above a height up to another, or asks what has become of it.
    Order {
        above: u64,
        up_to: u64,
        bytes: usize,
    },
    /// A client hands in a request that is a transaction of its own.
    Transaction(Request),
    /// A replica tells the client that a block is final.
    Reply {
        height: u64,
        bytes: usize,
    },
}

/// A packet on its way, to one or to many: what there is to know of it is found out once.
#[derive(Debug)]
pub(crate) struct Sent<M> {
    pub(crate) packet: Packet<M>,
    /// As counters name it.
    pub(crate) kind: &'static str,
    /// On the wire.
    pub(crate) bytes: usize,
    /// Of its content.
    pub(crate) digest: u64,
    /// Whether it is a vote of the protocol.
    pub(crate) is_vote: bool,
    /// What a liar has it take longer.
    pub(crate) delay: Duration,
    /// One more than that of the message that led to it.
    pub(crate) round: u32,
}

impl<M: Serialize> Sent<M> {
    /// `name` names the protocol's messages.
    pub(crate) fn new(packet: Packet<M>, name: impl Fn(&M) -> &'static str) -> Self {
        let (kind, encoded, payload) = match &packet {
            Packet::Consensus(message) => (name(message), codec::encode(message), 0),
            Packet::Height(height) => ("height", codec::encode(height), 0),
            Packet::Request(height) => ("block_request", codec::encode(height), 0),
            Packet::Blocks(blocks) => {
                let blocks: Vec<_> =
                    blocks.iter().map(|Decision { block, certificate }| (block.as_ref(), certificate)).collect();
                ("blocks", codec::encode(&blocks), 0)
            }
            Packet::Order { above, up_to, bytes } => ("order", codec::encode(&(above, up_to)), *bytes),
            Packet::Transaction(request) => ("transaction", codec::encode(request.transaction.as_ref()), 0),
            Packet::Reply { height, bytes } => ("reply", codec::encode(height), *bytes),
        };
        let (bytes, digest) = (encoded.len() + payload + FRAMING_BYTES, xxh3_64(&encoded));
        let votes = [VoteKind::Prepare, VoteKind::Commit, VoteKind::Notarize, VoteKind::Nullify];
        let is_vote = votes.map(VoteKind::name).contains(&kind);
        Self { packet, kind, bytes, digest, is_vote, delay: Duration::ZERO, round: 1 }
    }
}
