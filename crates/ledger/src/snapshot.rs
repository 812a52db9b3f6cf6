//! The state as peers hand it to one that lags: cut into chunks under one root, which a checkpoint certificate signs.

use dtn_primitives::{
    B256, Certificate, CertificateError, CheckpointCertificate, Domain, Header, ValidatorSet, codec, merkle,
};
use serde::{Deserialize, Serialize};

use crate::{Tip, state::State};

/// The length of every chunk but the last.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// The most chunks of a snapshot that is taken from others.
pub const MAX_CHUNKS: usize = 1024;

/// Everything about a snapshot but its chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The quorum that has this state.
    pub checkpoint: CheckpointCertificate,
    /// The last block that the state includes.
    pub header: Header,
    /// The quorum that finalized that block.
    pub certificate: Certificate,
    /// The chunks' hashes in their order, under the checkpoint's root.
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
    /// It has no chunks, or too many, or not those of the manifest.
    #[error("{0} chunks")]
    ChunkCount(usize),
    /// The chunks' hashes are not under the root that the quorum signed.
    #[error("the chunks have root {have}, but a quorum signed {need}")]
    Root {
        /// Of the manifest's chunks.
        have: B256,
        /// The checkpoint's.
        need: B256,
    },
    /// A chunk is not the one that the manifest names.
    #[error("chunk {0} is another one than the manifest names")]
    Chunk(usize),
    /// The chunks are no state.
    #[error("the chunks are no state: {0}")]
    Encoding(String),
}

impl Manifest {
    /// Checks everything that needs no chunk: a downloader does this first.
    pub fn verify(&self, domain: &Domain, validators: &ValidatorSet) -> Result<(), SnapshotError> {
        if self.chunks.is_empty() || self.chunks.len() > MAX_CHUNKS {
            return Err(SnapshotError::ChunkCount(self.chunks.len()));
        }
        let (header, hash) = (&self.header, self.header.hash());
        let belongs = (header.network_id, header.chain_id, header.epoch)
            == (domain.network_id, domain.chain_id, validators.epoch())
            && (header.height, hash) == (self.certificate.height, self.certificate.block_hash)
            && header.height == self.checkpoint.height;
        if !belongs {
            return Err(SnapshotError::Mismatch);
        }
        let (have, need) = (merkle::root(&self.chunks), self.checkpoint.state_root);
        if have != need {
            return Err(SnapshotError::Root { have, need });
        }
        self.checkpoint.verify(domain, validators).map_err(SnapshotError::Checkpoint)?;
        self.certificate.verify(domain, validators).map_err(SnapshotError::Certificate)
    }

    /// Checks a chunk on its own, as soon as it is there.
    pub fn check_chunk(&self, index: usize, chunk: &[u8]) -> Result<(), SnapshotError> {
        let named = self.chunks.get(index).copied();
        let right = chunk.len() <= CHUNK_BYTES && named == Some(chunk_hash(index, self.chunks.len(), chunk));
        if right { Ok(()) } else { Err(SnapshotError::Chunk(index)) }
    }

    /// Checks all chunks and puts the state together, which is given with its encoding. The rest of the manifest was verified before.
    pub(crate) fn assemble(&self, chunks: &[impl AsRef<[u8]>]) -> Result<(State, Vec<u8>), SnapshotError> {
        if chunks.len() != self.chunks.len() {
            return Err(SnapshotError::ChunkCount(chunks.len()));
        }
        let mut encoded = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            self.check_chunk(index, chunk.as_ref())?;
            encoded.extend_from_slice(chunk.as_ref());
        }
        let decoded = codec::decode(&encoded, MAX_CHUNKS * CHUNK_BYTES);
        let (height, hash, timestamp, state): (u64, B256, u64, State) =
            decoded.map_err(|error| SnapshotError::Encoding(error.to_string()))?;
        let belongs = (height, hash, timestamp) == (self.header.height, self.header.hash(), self.header.timestamp);
        if belongs { Ok((state, encoded)) } else { Err(SnapshotError::Mismatch) }
    }
}

/// The one encoding of a state and the block that led to it, to be cut into chunks of [`CHUNK_BYTES`].
pub(crate) fn encode(state: &State, tip: &Tip) -> Vec<u8> {
    codec::encode(&(tip.height, tip.hash, tip.timestamp, state))
}

/// The hashes of the chunks of an encoding, in their order.
pub(crate) fn chunk_hashes(encoded: &[u8]) -> Vec<B256> {
    let count = encoded.chunks(CHUNK_BYTES).count();
    encoded.chunks(CHUNK_BYTES).enumerate().map(|(index, chunk)| chunk_hash(index, count, chunk)).collect()
}

/// Binds a chunk to its place, because the tree sorts siblings and does not tell how many leaves it has.
fn chunk_hash(index: usize, count: usize, chunk: &[u8]) -> B256 {
    merkle::leaf(&[(index as u64).to_be_bytes().as_slice(), &(count as u64).to_be_bytes(), chunk].concat())
}
