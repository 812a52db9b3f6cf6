//! What orders are about, by hashes that tell whether bytes are what they should be.

use dtn_primitives::{
    B256,
    codec::{self, CodecError},
    keccak256,
};
use dtn_train::{
    Dataset, MAX_CHECKPOINT_BYTES, MAX_MODEL_BYTES, Model, WireError,
    data::{DataError, MAX_DATA_BYTES},
    state_hash, trace_root,
};
use dtn_training::{MAX_SEGMENTS, Need};
use serde::{Deserialize, Serialize};

use crate::holdout::MAX_OPENING_BYTES;

/// The bytes of the hashes of the longest trace.
const MAX_TRACE_BYTES: usize = 32 * (MAX_SEGMENTS as usize + 1) + 2;

/// Something that peers hold and hand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Blob {
    /// A data set, by its root.
    Data(B256),
    /// Rows that were opened, by the hash of their bytes.
    Rows(B256),
    /// A model, by its root.
    Model(B256),
    /// The hashes of a run's states, by the root of its trace. Everything else that a manifest has follows from the order and the
    /// claim, and must not come from whoever hands it on.
    Trace(B256),
    /// A state of a run, by its hash.
    State(B256),
}

/// Why bytes are not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// They are too many to be.
    #[error("{is} bytes, more than the {most} that it has at most")]
    TooLong {
        /// How many they are.
        is: usize,
        /// The most.
        most: usize,
    },
    /// They are something else of the kind.
    #[error("its hash is {is}, not {expected}")]
    Other {
        /// Theirs.
        is: B256,
        /// What was asked for.
        expected: B256,
    },
    /// They are no data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// They are no model.
    #[error(transparent)]
    Model(#[from] WireError),
    /// They are no hashes of states.
    #[error(transparent)]
    Trace(#[from] CodecError),
}

impl Blob {
    /// The hash.
    pub fn hash(&self) -> B256 {
        match *self {
            Self::Data(hash) | Self::Rows(hash) | Self::Model(hash) | Self::Trace(hash) | Self::State(hash) => hash,
        }
    }

    /// That of a kind with a hash.
    pub fn named(kind: &str, hash: B256) -> Option<Self> {
        let kinds = [Self::Data, Self::Rows, Self::Model, Self::Trace, Self::State];
        kinds.into_iter().map(|of| of(hash)).find(|blob| blob.kind() == kind)
    }

    /// Its kind, as files and peers name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Data(_) => "data",
            Self::Rows(_) => "rows",
            Self::Model(_) => "model",
            Self::Trace(_) => "trace",
            Self::State(_) => "state",
        }
    }

    /// The most bytes that one of its kind has.
    pub fn max_bytes(&self) -> usize {
        match self {
            Self::Data(_) => MAX_DATA_BYTES,
            Self::Rows(_) => MAX_OPENING_BYTES,
            Self::Model(_) => MAX_MODEL_BYTES,
            Self::Trace(_) => MAX_TRACE_BYTES,
            Self::State(_) => MAX_CHECKPOINT_BYTES as usize,
        }
    }

    /// Checks that bytes are it.
    pub fn check(&self, bytes: &[u8]) -> Result<(), BlobError> {
        let (is, most) = (bytes.len(), self.max_bytes());
        if is > most {
            return Err(BlobError::TooLong { is, most });
        }
        let is = match self {
            Self::Data(_) => Dataset::decode(bytes)?.root(),
            Self::Rows(_) => keccak256(bytes),
            Self::Model(_) => Model::decode(bytes)?.root(),
            Self::Trace(_) => trace_root(&states_of(bytes)?),
            Self::State(_) => state_hash(bytes),
        };
        let expected = self.hash();
        if is == expected { Ok(()) } else { Err(BlobError::Other { is, expected }) }
    }
}

/// The hashes of the states that a trace has, the first one included.
///
/// # Errors
///
/// If the bytes are no trace.
pub fn states_of(trace: &[u8]) -> Result<Vec<B256>, CodecError> {
    codec::decode(trace, MAX_TRACE_BYTES)
}

/// What has to be fetched for a need, apart from the states that a trace names.
pub fn blobs(need: &Need) -> Vec<Blob> {
    match need {
        Need::Data(tables) => tables.iter().map(|table| Blob::Data(table.root)).collect(),
        Need::Rows { hash, .. } => vec![Blob::Rows(*hash)],
        Need::Model(root) => vec![Blob::Model(*root)],
        Need::Trace(reveal) => vec![Blob::Trace(reveal.trace)],
        Need::Ruling(..) => Vec::new(),
    }
}
