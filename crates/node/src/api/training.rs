//! What clients read of orders for trained models, and hand in for them.

use dtn_api::{BUSY, BlobPart, MAX_BLOB_PART, MAX_TRAINING_ORDERS, NOT_WANTED, TrainingSummary};
use dtn_primitives::{B256, Bytes, U256, keccak256};
use dtn_trainer::{Blob, Library, states_of};
use dtn_training::{Ending, Material, Phase, Reveal, TrainingOrder};
use jsonrpsee::{core::RpcResult, types::ErrorObjectOwned};

use super::{invalid, unavailable};
use crate::{NodeHandle, work::training::upload::Put};

impl NodeHandle {
    pub(super) async fn list_training(&self, over: bool, above: B256) -> RpcResult<Vec<TrainingSummary>> {
        let found = self.reader().training_orders(over, above, MAX_TRAINING_ORDERS).await.map_err(unavailable)?;
        Ok(found.iter().map(summary).collect())
    }

    pub(super) async fn read_training(&self, order: B256) -> RpcResult<Option<Bytes>> {
        let found = self.reader().training_order(order).await.map_err(unavailable)?;
        Ok(found.map(|order| order.encode().into()))
    }

    pub(super) async fn read_blob(&self, order: B256, blob: Blob, offset: u64) -> RpcResult<Option<BlobPart>> {
        let library = self.library().clone();
        let read = move || library.part(order, &blob, offset, MAX_BLOB_PART as u64);
        let part = self.reader().beside_the_store(read).await.map_err(unavailable)?;
        let part =
            part.map_err(|error| ErrorObjectOwned::owned(dtn_api::UNAVAILABLE, error.to_string(), None::<()>))?;
        if part.is_none() && self.is_named(order, blob).await? {
            // It may be here when it is asked for again.
            self.ask(move |host| host.look_for(order, blob)).await.map_err(unavailable)?;
        }
        Ok(part.map(|(length, bytes)| BlobPart { length, bytes: bytes.into() }))
    }

    /// Whether an open order names a blob. That takes a look at the disk, which the thread that votes must not wait for.
    async fn is_named(&self, order: B256, blob: Blob) -> RpcResult<bool> {
        let Some(at) = self.reader().training_order(order).await.map_err(unavailable)? else { return Ok(false) };
        let library = self.library().clone();
        self.reader().beside_the_store(move || is_named(&at, blob, &library)).await.map_err(unavailable)
    }

    pub(super) async fn take_blob(
        &self,
        (order, blob): (B256, Blob),
        length: u64,
        offset: u64,
        bytes: Bytes,
    ) -> RpcResult<u64> {
        if bytes.len() > MAX_BLOB_PART {
            return Err(invalid(format_args!("a part has at most {MAX_BLOB_PART} bytes, not {}", bytes.len())));
        }
        if self.library().has(order, &blob) {
            return Ok(length);
        }
        if !self.ask(move |host| host.waits_for(order, blob)).await.map_err(unavailable)? {
            let reason =
                "nothing that was handed in to this peer waits for it: hand in the transaction that takes it first";
            return Err(ErrorObjectOwned::owned(NOT_WANTED, reason, None::<()>));
        }
        match self.uploads().put((order, blob), length, offset, &bytes) {
            Put::Part(have) | Put::Elsewhere(have) => Ok(have),
            Put::Whole(bytes) => {
                self.ask(move |host| host.take_in(order, blob, bytes)).await.map_err(unavailable)?;
                Ok(length)
            }
            Put::Busy => {
                Err(ErrorObjectOwned::owned(BUSY, "as many blobs are handed in as this peer takes", None::<()>))
            }
            Put::Length => Err(invalid(format_args!(
                "a part has at least a byte and ends within the blob, and one of its kind has at most {} bytes",
                blob.max_bytes()
            ))),
        }
    }
}

/// What stands behind the parameters of a call.
pub(super) fn blob(kind: &str, hash: B256) -> RpcResult<Blob> {
    let known = || invalid(format_args!("{kind:?} is no kind of blob: it is data, rows, model, trace or state"));
    Blob::named(kind, hash).ok_or_else(known)
}

fn summary(at: &TrainingOrder) -> TrainingSummary {
    let TrainingOrder { height, order, .. } = at;
    let winner = match order.phase() {
        Phase::Ended(Ending::Final { claim }) => order.claims().get(usize::from(claim)).map(|claim| claim.worker),
        _ => None,
    };
    TrainingSummary {
        order: order.id(),
        requester: order.requester(),
        reward: U256::from(order.deal().money.reward),
        height: *height,
        phase: order.phase().to_string(),
        deadline_ms: order.deadline_ms(),
        claims: order.claims().len(),
        winner,
        state: keccak256(at.encode()),
    }
}

/// Whether an order is about a blob, as far as it says so, or a trace that is here.
fn is_named(at: &TrainingOrder, blob: Blob, library: &Library) -> bool {
    let mut revealed = (0..at.order.claims().len() as u8).filter_map(|claim| at.order.revealed(claim));
    match blob {
        Blob::Data(root) => {
            let Material { data, fold, .. } = at.proof.material();
            [data.root, fold.root].contains(&root)
        }
        Blob::Rows(hash) => at.order.rows() == Some(hash),
        Blob::Model(root) => revealed.any(|reveal| reveal.model == root),
        Blob::Trace(root) => revealed.any(|reveal| reveal.trace == root),
        Blob::State(hash) => revealed.any(|Reveal { trace, .. }| {
            let bytes = library.get(at.order.id(), &Blob::Trace(trace)).ok().flatten().unwrap_or_default();
            states_of(&bytes).is_ok_and(|states| states.contains(&hash))
        }),
    }
}
