//! Answers to peers that ask for blocks, parts of the state, results and proofs, read from the store beside the thread that votes:
//! the store keeps its states apart, so whoever reads one holds up nobody.

use std::sync::Arc;

use dtn_ledger::{CHUNK_BYTES, Store, StoreError, WeakStore};
use dtn_primitives::{B256, Bytes, MAX_PROOF_BYTES, codec};
use dtn_trainer::{Library, files::FileError};
use tokio::sync::Semaphore;

use crate::{
    network::Exchange,
    wire::{
        BLOB_PART, BlobPart, BlobRequest, CertifiedBlock, MAX_BLOB_REQUEST, MAX_SYNC_REQUEST, ResultsRequest,
        ResultsResponse, SYNC_RESPONSE_TARGET, SyncRequest, SyncResponse,
    },
};

/// Answers that are read and encoded at a time; the others wait. Each takes some milliseconds of a processor.
const THREADS: usize = 2;

/// The most blocks in an answer, however small they are.
const MAX_BLOCKS: u64 = 1024;

/// The most heights in an answer.
const MAX_HEIGHTS: usize = 8 * 1024;

/// What an answer to a request is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// These bytes.
    Answer(Vec<u8>),
    /// Something that only the owner of the ledger knows: the state to begin with where the blocks are gone.
    AskCore,
    /// Nothing: no correct peer asks so.
    Malformed,
}

/// Reads answers from a store.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    store: WeakStore,
    library: Library,
    threads: Arc<Semaphore>,
}

impl Archive {
    pub(crate) fn new(store: &Store, library: Library) -> Self {
        Self { store: store.downgrade(), library, threads: Arc::new(Semaphore::new(THREADS)) }
    }

    /// The bytes that an answer may have, which is what asking costs until it is known.
    pub(crate) fn cost(exchange: Exchange) -> usize {
        match exchange {
            Exchange::Sync => SYNC_RESPONSE_TARGET.max(CHUNK_BYTES),
            Exchange::Proof => MAX_PROOF_BYTES,
            Exchange::Results => SYNC_RESPONSE_TARGET,
            Exchange::Blob => BLOB_PART,
        }
    }

    /// Answers a request on a thread of its own; `None` if the store fails, which its owner notices by itself, or is
    /// closed.
    pub(crate) async fn serve(self, exchange: Exchange, request: Vec<u8>) -> Option<Served> {
        let _permit = self.threads.acquire_owned().await.ok()?;
        if exchange == Exchange::Blob {
            let served = tokio::task::spawn_blocking(move || part(&self.library, &request)).await.ok()?;
            return served.inspect_err(|error| tracing::warn!(%error, "a part could not be read")).ok();
        }
        let store = self.store.upgrade()?;
        let served = tokio::task::spawn_blocking(move || answer(&store, exchange, &request)).await.ok()?;
        served.inspect_err(|error| tracing::warn!(%error, "a peer's request could not be answered")).ok()
    }
}

/// A part of a blob.
fn part(library: &Library, request: &[u8]) -> Result<Served, FileError> {
    let Ok(BlobRequest { order, blob, offset }) = codec::decode(request, MAX_BLOB_REQUEST) else {
        return Ok(Served::Malformed);
    };
    let (length, bytes) = library.part(order, &blob, offset, BLOB_PART as u64)?.unwrap_or_default();
    Ok(Served::Answer(codec::encode(&BlobPart { length, bytes: bytes.into() })))
}

/// The answer to a request, as far as the store knows it.
pub(crate) fn answer(store: &Store, exchange: Exchange, request: &[u8]) -> Result<Served, StoreError> {
    match exchange {
        Exchange::Proof => {
            let Ok(digest) = B256::try_from(request) else { return Ok(Served::Malformed) };
            Ok(Served::Answer(store.proof(digest)?.unwrap_or_default()))
        }
        Exchange::Sync => {
            let response = match codec::decode(request, MAX_SYNC_REQUEST) {
                Err(_) => return Ok(Served::Malformed),
                Ok(SyncRequest::Blocks { from, .. }) if from < store.lowest_block()? => return Ok(Served::AskCore),
                Ok(SyncRequest::Blocks { from, to }) => SyncResponse::Blocks(certified_blocks(store, from, to)?),
                Ok(SyncRequest::Chunk { height, index }) => {
                    let chunk = store.snapshot_chunk(height, index)?;
                    chunk.map_or(SyncResponse::Blocks(Vec::new()), |chunk| SyncResponse::Chunk(chunk.into()))
                }
            };
            Ok(Served::Answer(codec::encode(&response)))
        }
        Exchange::Results => {
            let response = match codec::decode(request, MAX_SYNC_REQUEST) {
                Err(_) => return Ok(Served::Malformed),
                Ok(ResultsRequest::Heights { from, to }) => {
                    let (heights, to) = store.result_heights(from, to, MAX_HEIGHTS)?;
                    ResultsResponse::Heights { heights, to }
                }
                Ok(ResultsRequest::Blocks { from, offset }) => results(store, from, offset)?,
            };
            Ok(Served::Answer(codec::encode(&response)))
        }
        // They are in no store.
        Exchange::Blob => Ok(Served::Malformed),
    }
}

/// Results from a block on, as many as fit.
fn results(store: &Store, from: u64, offset: u64) -> Result<ResultsResponse, StoreError> {
    let (mut pieces, mut size) = (Vec::new(), 0);
    for block in store.block_results(from, SYNC_RESPONSE_TARGET)? {
        let mut encoded = codec::encode(&block);
        if pieces.is_empty() {
            if block.header.height != from {
                break;
            }
            encoded.drain(..usize::try_from(offset).unwrap_or(usize::MAX).min(encoded.len()));
            if encoded.len() > SYNC_RESPONSE_TARGET {
                encoded.truncate(SYNC_RESPONSE_TARGET);
                return Ok(ResultsResponse::Blocks { pieces: vec![encoded.into()], partial: true });
            }
        } else if size + encoded.len() > SYNC_RESPONSE_TARGET {
            break;
        }
        size += encoded.len();
        pieces.push(encoded.into());
    }
    Ok(ResultsResponse::Blocks { pieces, partial: false })
}

/// Certified blocks from a height on, each encoded once, as many as fit.
fn certified_blocks(store: &Store, from: u64, to: u64) -> Result<Vec<Bytes>, StoreError> {
    let (mut blocks, mut size) = (Vec::new(), 0);
    for height in from..=to.min(from.saturating_add(MAX_BLOCKS - 1)) {
        let (Some(block), Some(certificate)) = (store.block(height)?, store.certificate(height)?) else { break };
        let encoded = codec::encode(&CertifiedBlock { block, certificate });
        if !blocks.is_empty() && size + encoded.len() > SYNC_RESPONSE_TARGET {
            break;
        }
        size += encoded.len();
        blocks.push(encoded.into());
    }
    Ok(blocks)
}
