//! What peers say to each other, and how long it may be.

use dtn_consensus::PIPELINE;
use dtn_ledger::{CHUNK_BYTES, Manifest};
use dtn_primitives::{
    B256, Block, Bytes, Certificate, Engine, Evidence, MAX_TRANSACTION_BYTES, Transaction, VERSION, ValidatorIndex,
    codec, keccak256,
};
use dtn_trainer::Blob;
use libp2p::{Multiaddr, StreamProtocol};
use serde::{Deserialize, Serialize};

use crate::core::engine::Words;

/// The stream on which a pair of peers exchanges [`Frame`]s, length-prefixed, for as long as they are connected. A frame
/// of no bytes says only that the peer is there.
pub(crate) fn link_protocol() -> StreamProtocol {
    versioned("link")
}

/// The request-response protocol by which a peer that fell behind takes certified blocks.
pub(crate) fn sync_protocol() -> StreamProtocol {
    versioned("sync")
}

/// The request-response protocol by which peers take each other's proofs: the request is a proof's digest, the response
/// the proof, or nothing.
pub(crate) fn proof_protocol() -> StreamProtocol {
    versioned("proof")
}

/// The request-response protocol by which a peer that skipped blocks takes their results.
pub(crate) fn results_protocol() -> StreamProtocol {
    versioned("results")
}

/// The request-response protocol by which peers take data, models and traces from each other, part by part.
pub(crate) fn blob_protocol() -> StreamProtocol {
    versioned("blob")
}

/// The request-response protocol by which peers that have no other one in common find out why: both say [`Hello`]. It is
/// the same in all versions.
pub(crate) const HELLO_PROTOCOL: StreamProtocol = StreamProtocol::new("/dtn/hello");

fn versioned(name: &str) -> StreamProtocol {
    StreamProtocol::try_from_owned(format!("/dtn/{name}/{VERSION}")).expect("it begins with a slash")
}

/// The longest encoded [`Hello`].
pub(crate) const MAX_HELLO: usize = 256;

/// The longest name of a program's version that is remembered.
const MAX_SOFTWARE: usize = 32;

/// What a peer says first. Every version understands it: it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The version of its formats and protocols.
    pub(crate) version: u32,
    /// The network that it belongs to.
    pub(crate) network_id: B256,
    /// The version of its program.
    pub(crate) software: String,
    /// A number that is new at each start of its process.
    pub(crate) boot: u64,
}

/// Why two peers have nothing to say to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Foreign {
    /// They speak different versions.
    #[error("it speaks version {theirs}, this is {VERSION}")]
    Version {
        /// The other's.
        theirs: u32,
    },
    /// They are of different networks.
    #[error("it belongs to network {theirs}, this is {ours}")]
    Network {
        /// The other's.
        theirs: B256,
        /// This peer's.
        ours: B256,
    },
    /// It does not even say hello.
    #[error("it does not speak version {VERSION}, and does not say which it speaks")]
    Unknown,
}

impl Foreign {
    /// As metrics name it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Version { .. } | Self::Unknown => "other_version",
            Self::Network { .. } => "other_network",
        }
    }
}

impl Hello {
    /// What a peer of a network says, if its process began with this number.
    pub(crate) fn new(network_id: B256, boot: u64) -> Self {
        Self { version: VERSION, network_id, software: crate::VERSION.into(), boot }
    }

    /// Whether this peer and the one that said so have something to say to each other.
    pub(crate) fn check(&self, said: &Self) -> Result<(), Foreign> {
        if said.version != self.version {
            return Err(Foreign::Version { theirs: said.version });
        }
        if said.network_id != self.network_id {
            return Err(Foreign::Network { theirs: said.network_id, ours: self.network_id });
        }
        Ok(())
    }

    /// The name of the program's version, as far as it can be shown.
    pub(crate) fn software(&self) -> String {
        self.software.chars().filter(char::is_ascii_graphic).take(MAX_SOFTWARE).collect()
    }
}

/// The length of a request for a proof.
pub(crate) const PROOF_REQUEST: usize = 32;

/// Room in a frame for votes and lengths beside its blocks, apart from what grows with the validators.
const FRAME_OVERHEAD: usize = 64 * 1024;

/// Room in a frame for each pair of validators: a new view holds a quorum of view changes, each with a quorum of
/// commits and, for every block under way, a quorum of prepares.
const FRAME_OVERHEAD_PER_PAIR: usize = 80 + PIPELINE as usize * 160;

/// The bytes of blocks in a sync response, unless the first is longer: little enough that a slow peer is done soon and
/// several can be asked at a time.
pub(crate) const SYNC_RESPONSE_TARGET: usize = 1024 * 1024;

/// The longest encoded [`SyncRequest`] and [`ResultsRequest`].
pub(crate) const MAX_SYNC_REQUEST: usize = 24;

/// The longest encoded [`BlobRequest`].
pub(crate) const MAX_BLOB_REQUEST: usize = 80;

/// The longest part of a blob, in bytes.
pub(crate) const BLOB_PART: usize = 256 * 1024;

/// The longest encoded [`BlobPart`].
pub(crate) const MAX_BLOB_PART: usize = BLOB_PART + 32;

/// Asks for a part of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlobRequest {
    /// The order that it belongs to.
    pub(crate) order: B256,
    /// Which.
    pub(crate) blob: Blob,
    /// Where the part begins.
    pub(crate) offset: u64,
}

/// A part of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlobPart {
    /// The length of the whole; 0 if it is not there.
    pub(crate) length: u64,
    /// The part.
    pub(crate) bytes: Bytes,
}

/// The most transactions that are resent at a time.
pub(crate) const MAX_RESENT_TRANSACTIONS: usize = 64;

/// The longest encoded batch of transactions.
pub(crate) const MAX_BATCH_BYTES: usize = 512 * 1024;

/// The most memory that a byte of a frame may become: an empty item of data is a byte that says so, and a buffer of 32
/// bytes in a list that may have grown to twice what is in it.
pub(crate) const DECODED_PER_BYTE: usize = 64;

/// The longest encoded address of a peer.
pub(crate) const MAX_ADDRESS_BYTES: usize = 128;

/// The longest encoded frame in a network with such blocks and so many validators.
fn max_frame(max_block_bytes: u64, validators: usize) -> usize {
    // A view change brings every block that is under way.
    (max_block_bytes as usize * PIPELINE as usize).max(MAX_BATCH_BYTES)
        + FRAME_OVERHEAD
        + FRAME_OVERHEAD_PER_PAIR * validators.pow(2)
}

/// The longest encoded sync response in a network with such blocks.
pub(crate) fn max_sync_response(max_block_bytes: u64) -> usize {
    SYNC_RESPONSE_TARGET.max(max_certified_block(max_block_bytes)).max(CHUNK_BYTES) + 64 * 1024
}

/// The longest encoded frame and the longest answer to a request in such a network.
pub(crate) fn max_bytes(max_block_bytes: u64, validators: usize) -> (usize, usize) {
    (max_frame(max_block_bytes, validators), max_sync_response(max_block_bytes))
}

/// The longest encoding of a [`CertifiedBlock`].
pub(crate) fn max_certified_block(max_block_bytes: u64) -> usize {
    max_block_bytes as usize + FRAME_OVERHEAD
}

/// One message on a link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// What an engine says: its tag ([`Tag`]), and bytes that are the engine's own.
    Consensus(Box<Words>),
    /// The height of the sender's last final block, so that a peer that is behind knows whom to ask.
    Height(u64),
    /// Transactions, at most [`MAX_BATCH_BYTES`] of them.
    Transactions(Vec<Transaction>),
    /// Where validators listen, for observers. Only a hint: who answers there has to prove that it is that validator.
    Addresses(Vec<(ValidatorIndex, Multiaddr)>),
    /// Proof that a validator contradicted itself. Passed on by whom it is news to.
    Evidence(Box<Evidence>),
    /// Who speaks: the first frame of either end, without which nothing else is heard.
    Hello(Box<Hello>),
    /// The other end runs twice: its processes, by the numbers of their starts, take turns at this one.
    Twins([u64; 2]),
}

/// What tells the words of one engine from those of others before anything of them is decoded: their place in [`Words`], and
/// the mark of a protocol that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// PBFT's.
    Pbft,
    /// That of replicas that mine.
    Nakamoto,
    /// Streamlet's.
    Streamlet,
    /// Simplex's.
    Simplex,
    /// HotStuff-2's.
    HotStuff2,
    /// A protocol without blocks, by its name.
    Own(Mark),
}

impl Tag {
    /// That of the engine that a genesis names.
    pub(crate) fn of(named: Engine) -> Self {
        match named {
            Engine::Pbft => Self::Pbft,
            Engine::Nakamoto(_) => Self::Nakamoto,
            Engine::Streamlet => Self::Streamlet,
            Engine::Simplex => Self::Simplex,
            Engine::HotStuff2 => Self::HotStuff2,
        }
    }

    /// Whether a frame is what another engine says. The first byte of what engines say is 0, the place of
    /// [`Frame::Consensus`].
    pub(crate) fn is_foreign(self, frame: &[u8]) -> bool {
        let [0, tag, rest @ ..] = frame else { return false };
        match self {
            Self::Pbft => *tag != 0,
            Self::Nakamoto => *tag != 1,
            Self::Streamlet => *tag != 3,
            Self::Simplex => *tag != 4,
            Self::HotStuff2 => *tag != 5,
            Self::Own(Mark(mark)) => *tag != 2 || !rest.starts_with(&mark),
        }
    }
}

/// The name of a protocol without blocks, as frames have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark([u8; 4]);

impl Mark {
    /// The first bytes of the hash of a name.
    pub(crate) fn of(name: &str) -> Self {
        let [a, b, c, d, ..] = keccak256(name).0;
        Self([a, b, c, d])
    }
}

/// What a frame is about, which decides whom it concerns and what it may overtake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Votes, blocks and view changes. They overtake everything else, and are nobody's but the validators'.
    Consensus,
    /// Heights: everybody's.
    Height,
    /// Transactions: on their way to the validators.
    Transactions,
    /// Addresses: the observers'.
    Addresses,
    /// Evidence: everybody's.
    Evidence,
    /// About the two ends of a link, between them.
    Link,
}

impl Frame {
    /// What it is about.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Consensus(_) => Class::Consensus,
            Self::Height(_) => Class::Height,
            Self::Transactions(_) => Class::Transactions,
            Self::Addresses(_) => Class::Addresses,
            Self::Evidence(_) => Class::Evidence,
            Self::Hello(_) | Self::Twins(_) => Class::Link,
        }
    }

    /// Encodes it once for all who get it.
    pub(crate) fn encode(&self) -> EncodedFrame {
        EncodedFrame { class: self.class(), bytes: codec::encode(self).into() }
    }
}

/// A frame as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct EncodedFrame {
    /// What it is about.
    pub(crate) class: Class,
    /// What goes over the link.
    pub(crate) bytes: bytes::Bytes,
}

/// Frames that hold these transactions, in order, none longer than a batch may be.
pub(crate) fn batches(transactions: Vec<Transaction>) -> Vec<EncodedFrame> {
    // A variant and a count come before the transactions.
    let (mut frames, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
    for transaction in transactions {
        let length = codec::encode(&transaction).len();
        if length > MAX_TRANSACTION_BYTES {
            continue;
        }
        if size + length > MAX_BATCH_BYTES - 16 {
            frames.push(Frame::Transactions(std::mem::take(&mut batch)).encode());
            size = 0;
        }
        size += length;
        batch.push(transaction);
    }
    if !batch.is_empty() {
        frames.push(Frame::Transactions(batch).encode());
    }
    frames
}

/// What a peer that fell behind asks for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum SyncRequest {
    /// Certified blocks, as many as fit into a response.
    Blocks {
        /// The first height wanted.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A part of the state at a stable checkpoint.
    Chunk {
        /// The checkpoint's height.
        height: u64,
        /// Which part.
        index: u32,
    },
}

/// What it is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum SyncResponse {
    /// Certified blocks in order, each an encoded [`CertifiedBlock`]; none if what was asked for is not there.
    Blocks(Vec<Bytes>),
    /// The blocks are gone; this is the state to begin with.
    Snapshot(Box<Manifest>),
    /// A part of that state.
    Chunk(Bytes),
}

/// What a peer asks for that has skipped blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ResultsRequest {
    /// Which blocks have results.
    Heights {
        /// The first height wanted.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Their results, as many as fit into a response.
    Blocks {
        /// The height of the first block.
        from: u64,
        /// How much of the first one's encoding is there already.
        offset: u64,
    },
}

/// What it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ResultsResponse {
    /// Heights of blocks with results, in order.
    Heights {
        /// The heights.
        heights: Vec<u64>,
        /// Up to which height these are all.
        to: u64,
    },
    /// Encoded [`dtn_ledger::BlockResults`] in order; none if the first is not there.
    Blocks {
        /// Of the first, what follows the offset.
        pieces: Vec<Bytes>,
        /// There is one piece, and more of it.
        partial: bool,
    },
}

/// A block that its certificate makes final; verified before use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CertifiedBlock {
    pub(crate) block: Block,
    pub(crate) certificate: Certificate,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dtn_primitives::{B256, Domain, Order, Payload, SecretKey, U256};

    use super::*;

    #[test]
    fn another_version_and_another_network_are_told_apart_by_name() {
        let ours = Hello::new(B256::repeat_byte(1), 7);
        assert_eq!(ours.check(&Hello::new(B256::repeat_byte(1), 8)), Ok(()));
        let older = Hello { version: VERSION - 1, ..ours.clone() };
        assert_eq!(
            ours.check(&older).unwrap_err().to_string(),
            format!("it speaks version {}, this is {VERSION}", VERSION - 1)
        );
        let other = ours.check(&Hello::new(B256::repeat_byte(2), 7)).unwrap_err();
        assert!(other.to_string().starts_with("it belongs to network 0x0202"), "{other}");
        let long = Hello { software: "\u{1b}]0;1.2.3".to_string() + &"x".repeat(100), ..ours };
        assert_eq!(long.software(), "]0;1.2.3".to_string() + &"x".repeat(24));
        assert!(codec::encode(&Hello::new(B256::ZERO, u64::MAX)).len() <= MAX_HELLO);
    }

    #[test]
    fn transactions_are_split_into_batches_that_may_be_sent() {
        let key = SecretKey::from_bytes(&[7; 32]).unwrap();
        let domain = Domain::new(B256::repeat_byte(1), 31337);
        let text = |nonce: u64| format!("{nonce:0>200}");
        let order = |nonce| Order {
            nonce,
            dataset: text(nonce),
            model: text(nonce),
            metric: text(nonce),
            reward: U256::ZERO,
            work: None,
        };
        let transactions: Vec<_> =
            (0..1500).map(|nonce| Transaction::sign(Payload::Order(order(nonce)), &key, &domain)).collect();
        let frames = batches(transactions.clone());
        assert!(frames.len() > 1);
        let mut again = Vec::new();
        for frame in frames {
            assert!(frame.bytes.len() <= MAX_BATCH_BYTES);
            let frame: Frame = codec::decode(&frame.bytes, MAX_BATCH_BYTES).unwrap();
            let Frame::Transactions(batch) = frame else { panic!("{frame:?}") };
            again.extend(batch);
        }
        assert_eq!(again, transactions);
    }
}
