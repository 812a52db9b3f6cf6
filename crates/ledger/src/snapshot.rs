//! The state as peers hand it to one that lags: in parts under one root, which a checkpoint certificate signs. A part is
//! a range of the state's buckets, and every peer cuts a state in the same way, so the parts may come from any of them.

use dtn_primitives::{
    B256, Bytes, Certificate, CertificateError, CheckpointCertificate, Domain, Epochs, Header, codec,
};
use serde::{Deserialize, Serialize};

use crate::{
    Tip,
    buckets::BUCKETS,
    root::{self, Rest, bucket_hash},
    state::State,
};

/// How long a part of a snapshot should be at most, which decides how many there are.
pub(crate) const CHUNK_TARGET_BYTES: usize = 1024 * 1024;

/// The most bytes of a part that is taken from others. A part is longer than it should be only if somebody has searched
/// for keys that fall into one range of buckets.
pub const CHUNK_BYTES: usize = 4 * 1024 * 1024;

pub(crate) const MAX_CHUNK_BITS: u32 = 12;

/// The most parts of a snapshot.
pub const MAX_CHUNKS: usize = 1 << MAX_CHUNK_BITS;

/// Everything about a snapshot but its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The quorum that has this state.
    pub checkpoint: CheckpointCertificate,
    /// The last block that the state includes.
    pub header: Header,
    /// The quorum that finalized that block.
    pub certificate: Certificate,
    /// What of the state is in no part.
    pub rest: Rest,
    /// The parts' hashes in their order, under the checkpoint's root.
    pub chunks: Vec<B256>,
}

/// Why a snapshot was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// No quorum signed the checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(CertificateError),
    /// No quorum finalized the block.
    #[error("the block's certificate: {0}")]
    Certificate(CertificateError),
    /// The checkpoint, the block and its certificate do not belong together, or the block is of another network.
    #[error("the checkpoint, the block and its certificate do not belong together")]
    Mismatch,
    /// It is not above this peer's tip.
    #[error("the snapshot has height {have}, which is not above the tip {tip}")]
    NotAhead {
        /// The snapshot's height.
        have: u64,
        /// This peer's.
        tip: u64,
    },
    /// It has no parts, or so many as no state is cut into, or not those of the manifest.
    #[error("{0} chunks")]
    ChunkCount(usize),
    /// The parts' hashes are not under the root that the quorum signed.
    #[error("the state has root {have}, but a quorum signed {need}")]
    Root {
        /// Of the manifest.
        have: B256,
        /// The checkpoint's.
        need: B256,
    },
    /// A part is not the one that the manifest names.
    #[error("chunk {0} is another one than the manifest names")]
    Chunk(usize),
    /// The parts are no state.
    #[error("the chunks are no state: {0}")]
    Encoding(String),
}

/// A part of a state: its buckets that hold something, by number, in ascending order, each encoded.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Chunk(pub(crate) Vec<(u16, Bytes)>);

impl Chunk {
    /// The node over a range of this many buckets, if these are in the `index`-th such range.
    pub(crate) fn node(&self, index: usize, width: usize) -> Option<B256> {
        let mut leaves = vec![B256::ZERO; width];
        let mut next = index * width;
        for (number, encoded) in &self.0 {
            let number = usize::from(*number);
            // One order, so that a part has one encoding.
            if number < next {
                return None;
            }
            next = number + 1;
            *leaves.get_mut(number - index * width)? = bucket_hash(encoded);
        }
        Some(root::top(&leaves))
    }
}

impl Manifest {
    /// Checks everything that needs no part: a downloader does this first.
    pub fn verify(&self, domain: &Domain, epochs: &impl Epochs) -> Result<(), SnapshotError> {
        if !self.chunks.len().is_power_of_two() || self.chunks.len() > MAX_CHUNKS {
            return Err(SnapshotError::ChunkCount(self.chunks.len()));
        }
        let (header, tip) = (&self.header, self.tip());
        let belongs = (header.network_id, header.chain_id, header.epoch)
            == (domain.network_id, domain.chain_id, self.certificate.epoch)
            && (tip.height, tip.hash) == (self.certificate.height, self.certificate.block_hash)
            && tip.height == self.checkpoint.height;
        if !belongs {
            return Err(SnapshotError::Mismatch);
        }
        let have = root::root(&tip, &self.rest, &self.chunks);
        let need = self.checkpoint.state_root;
        if have != need {
            return Err(SnapshotError::Root { have, need });
        }
        self.checkpoint.verify(domain, epochs).map_err(SnapshotError::Checkpoint)?;
        self.certificate.verify(domain, epochs).map_err(SnapshotError::Certificate)
    }

    /// The block that led to the state.
    pub(crate) fn tip(&self) -> Tip {
        Tip { height: self.header.height, hash: self.header.hash(), timestamp: self.header.timestamp }
    }

    /// Checks a part on its own, as soon as it is there and whoever it is from.
    pub fn check_chunk(&self, index: usize, chunk: &[u8]) -> Result<(), SnapshotError> {
        self.decode(index, chunk).map(|_| ())
    }

    fn decode(&self, index: usize, chunk: &[u8]) -> Result<Chunk, SnapshotError> {
        let wrong = SnapshotError::Chunk(index);
        let Some(named) = self.chunks.get(index) else { return Err(wrong) };
        let Ok(decoded) = codec::decode::<Chunk>(chunk, CHUNK_BYTES) else { return Err(wrong) };
        let node = decoded.node(index, BUCKETS / self.chunks.len());
        if node == Some(*named) { Ok(decoded) } else { Err(wrong) }
    }

    /// Checks all parts and puts the state together. The rest of the manifest was verified before.
    pub(crate) fn assemble(&self, chunks: &[impl AsRef<[u8]>]) -> Result<State, SnapshotError> {
        if chunks.len() != self.chunks.len() {
            return Err(SnapshotError::ChunkCount(chunks.len()));
        }
        let mut state = State::from(self.rest.clone());
        for (index, chunk) in chunks.iter().enumerate() {
            for (_, bucket) in self.decode(index, chunk.as_ref())?.0 {
                state.add_bucket(&bucket).map_err(|error| SnapshotError::Encoding(error.to_string()))?;
            }
        }
        Ok(state)
    }
}
