//! The server of the interface in [`dtn_api`].

mod calls;
mod connection;
mod gate;
mod ids;
mod refusal;
mod server;
mod training;

use std::{convert::Infallible, sync::Arc};

use dtn_api::{
    AccountBalance, ApiServer, BEHIND, BUSY, BlobPart, BlockView, CertifiedHeader, EarningsPage, MAX_SUBMITTED, SILENT,
    Status, SubmitOutcome, TrainingSummary, UNAVAILABLE, Verification,
};
use dtn_primitives::{
    Address, B256, Bytes, Evidence, FinalizedResult, Genesis, MAX_TRANSACTION_BYTES, Question, Reply, Round, Rounds,
    SignedAnswer, Transaction, codec,
};
use jsonrpsee::{
    Extensions, PendingSubscriptionSink,
    core::{RpcResult, SubscriptionResult},
    types::{ErrorObjectOwned, error::INVALID_PARAMS_CODE},
};

use crate::{NodeError, NodeHandle, feed};
use connection::Connection;
pub(crate) use refusal::outcome;
pub(crate) use server::{ApiListener, Serving};

/// The longest request, in bytes: a batch of transactions. One transaction is at most some 33 KiB of JSON.
const MAX_REQUEST: usize = 1024 * 1024;

/// Transactions that are admitted in one step of the core, so that consensus waits for milliseconds at most.
const ADMITTED_AT_ONCE: usize = 32;

pub(crate) fn unavailable(error: NodeError) -> ErrorObjectOwned {
    match error {
        NodeError::Busy(_) => ErrorObjectOwned::owned(BUSY, error.to_string(), None::<()>),
        NodeError::Behind(height) => {
            ErrorObjectOwned::owned(BEHIND, error.to_string(), Some(serde_json::json!({ "height": height })))
        }
        NodeError::Silent => ErrorObjectOwned::owned(SILENT, error.to_string(), None::<()>),
        error => ErrorObjectOwned::owned(UNAVAILABLE, error.to_string(), None::<()>),
    }
}

fn invalid(reason: impl std::fmt::Display) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INVALID_PARAMS_CODE, reason.to_string(), None::<()>)
}

#[jsonrpsee::core::async_trait]
impl ApiServer for NodeHandle {
    async fn status(&self) -> RpcResult<Status> {
        NodeHandle::status(self).await.map_err(unavailable)
    }

    async fn genesis(&self) -> RpcResult<Genesis> {
        Ok(self.reader().genesis().clone())
    }

    async fn submit(&self, transaction: Transaction) -> RpcResult<B256> {
        let admitted = self.ask(|host| host.submit(transaction)).await.map_err(unavailable)?;
        admitted.map_err(|error| refusal::not_admitted(error).into())
    }

    async fn submit_many(&self, transactions: Vec<Transaction>) -> RpcResult<Vec<SubmitOutcome>> {
        self.admit_all(transactions.into_iter().map(Ok::<_, Infallible>)).await
    }

    async fn submit_encoded(&self, transactions: Bytes) -> RpcResult<Vec<SubmitOutcome>> {
        let transactions = codec::sequence(&transactions, MAX_TRANSACTION_BYTES).map_err(invalid)?;
        self.admit_all(transactions).await
    }

    async fn subscribe_finalized(
        &self,
        pending: PendingSubscriptionSink,
        extensions: &Extensions,
        from_height: Option<u64>,
    ) -> SubscriptionResult {
        // A connection with a subscriber is not idle, however quiet the network is.
        let _busy = extensions.get::<Arc<Connection>>().map(Connection::busy);
        feed::serve(self.clone(), pending, from_height).await
    }

    async fn reply(&self, transaction: B256, wait_ms: u64) -> RpcResult<Option<Reply>> {
        NodeHandle::reply(self, transaction, wait_ms).await.map_err(unavailable)
    }

    async fn block(&self, height: u64) -> RpcResult<Option<BlockView>> {
        self.reader().block(height).await.map_err(unavailable)
    }

    async fn certificate(&self, height: u64) -> RpcResult<Option<CertifiedHeader>> {
        self.reader().certificate(height).await.map_err(unavailable)
    }

    async fn nonce(&self, account: Address) -> RpcResult<u64> {
        self.reader().nonce(account).await.map_err(unavailable)
    }

    async fn balance(&self, account: Address) -> RpcResult<AccountBalance> {
        self.reader().balance(account).await.map_err(unavailable)
    }

    async fn earnings(&self, number: Option<u32>, skip: Option<usize>) -> RpcResult<Option<EarningsPage>> {
        self.reader().earnings_page(number, skip.unwrap_or_default()).await.map_err(unavailable)
    }

    async fn read(&self, question: Question, at_least: Option<u64>) -> RpcResult<SignedAnswer> {
        self.reader().read(question, at_least.unwrap_or_default()).await.map_err(unavailable)
    }

    async fn results(&self, from_height: u64, skip: Option<usize>) -> RpcResult<Vec<FinalizedResult>> {
        self.reader().results(from_height, skip.unwrap_or_default()).await.map_err(unavailable)
    }

    async fn rounds(&self) -> RpcResult<Rounds> {
        self.reader().rounds().await.map_err(unavailable)
    }

    async fn round(&self, number: u64) -> RpcResult<Option<Round>> {
        self.reader().round(number).await.map_err(unavailable)
    }

    async fn verifications(&self, round: u64) -> RpcResult<Vec<Verification>> {
        Ok(self.reader().board().verifications(round))
    }

    async fn training_orders(&self, over: bool, above: Option<B256>) -> RpcResult<Vec<TrainingSummary>> {
        self.list_training(over, above.unwrap_or_default()).await
    }

    async fn training_order(&self, order: B256) -> RpcResult<Option<Bytes>> {
        self.read_training(order).await
    }

    async fn blob(&self, order: B256, kind: String, hash: B256, offset: u64) -> RpcResult<Option<BlobPart>> {
        self.read_blob(order, training::blob(&kind, hash)?, offset).await
    }

    async fn put_blob(
        &self,
        order: B256,
        kind: String,
        hash: B256,
        length: u64,
        offset: u64,
        bytes: Bytes,
    ) -> RpcResult<u64> {
        self.take_blob((order, training::blob(&kind, hash)?), length, offset, bytes).await
    }

    async fn evidence(&self) -> RpcResult<Vec<Evidence>> {
        self.reader().evidence().await.map_err(unavailable)
    }
}

impl NodeHandle {
    /// Hands transactions to the core, some at a time, as they are decoded.
    async fn admit_all<E: std::fmt::Display>(
        &self,
        transactions: impl ExactSizeIterator<Item = Result<Transaction, E>> + Send,
    ) -> RpcResult<Vec<SubmitOutcome>> {
        let count = transactions.len();
        if count > MAX_SUBMITTED {
            return Err(invalid(format_args!("{count} transactions; at most {MAX_SUBMITTED} at once")));
        }
        let (mut outcomes, mut left) = (Vec::with_capacity(count), transactions);
        while outcomes.len() < count {
            let piece: Vec<_> = left.by_ref().take(ADMITTED_AT_ONCE).collect::<Result<_, _>>().map_err(invalid)?;
            if piece.is_empty() {
                break;
            }
            outcomes.extend(self.ask(|host| host.submit_many(piece)).await.map_err(unavailable)?);
        }
        Ok(outcomes)
    }
}
