//! What one connection may have under way, and what all of them together may hold in memory.

use std::{future::Future, sync::Arc};

use dtn_api::BUSY;
use jsonrpsee::{
    core::middleware::{Batch, BatchEntry, Notification},
    server::{BatchResponseBuilder, MethodResponse, middleware::rpc::RpcServiceT},
    types::{ErrorObject, Id, Request},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tower::Layer;

use super::{connection::Connection, server::THREADS};

/// Requests up to this many bytes are taken without asking: so much for each connection is little.
pub(super) const SMALL_REQUEST: usize = 64 * 1024;

/// The bytes of longer requests that are under way on all connections together. Their decoded form is a small multiple.
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Long answers that are under way on all connections together, until their clients have taken them.
const MAX_LONG_ANSWERS: usize = 16;

/// The unit of [`Budget::bytes`].
const KIB: usize = 1024;

/// Calls whose answers are long.
const LONG: [&str; 8] = [
    "dtn_block",
    "dtn_results",
    "dtn_evidence",
    "dtn_verifications",
    "dtn_genesis",
    "dtn_earnings",
    "dtn_trainingOrders",
    "dtn_blob",
];

/// Calls that look one thing up in the store.
const LOOKUPS: [&str; 6] = ["dtn_nonce", "dtn_balance", "dtn_read", "dtn_rounds", "dtn_round", "dtn_trainingOrder"];

/// Calls that read a whole block for a short answer.
const SCANS: [&str; 1] = ["dtn_certificate"];

/// Calls that the core answers.
const SUBMISSIONS: [&str; 4] = ["dtn_submit", "dtn_submitMany", "dtn_submitEncoded", "dtn_putBlob"];

/// What a call takes of what all connections share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Next to nothing.
    Short,
    /// A look at the store.
    Lookup,
    /// A look at a whole block in the store.
    Scan,
    /// The same, and a long answer.
    Long,
    /// A turn of the core.
    Submission,
}

impl Kind {
    fn of(method: &str) -> Self {
        match method {
            method if LONG.contains(&method) => Self::Long,
            method if LOOKUPS.contains(&method) => Self::Lookup,
            method if SCANS.contains(&method) => Self::Scan,
            method if SUBMISSIONS.contains(&method) => Self::Submission,
            _ => Self::Short,
        }
    }
}

/// What all connections share.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    max_answer: usize,
    /// Long requests, in KiB.
    pub(super) bytes: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    /// Whoever writes a long answer: it takes a thread for tens of milliseconds, and the other threads are for short calls.
    writing: Arc<Semaphore>,
}

impl Budget {
    /// `max_answer` is the most bytes of one answer.
    pub(super) fn new(max_answer: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            max_answer,
            bytes: semaphore(MAX_REQUEST_BYTES / KIB),
            answers: semaphore(MAX_LONG_ANSWERS),
            writing: semaphore(THREADS - 1),
        }
    }

    /// Whether nothing is left for a further long answer.
    pub(super) fn is_crowded(&self) -> bool {
        self.answers.available_permits() == 0
    }

    /// Lends a long request of a session what it takes. Over HTTP, it was asked before the request was read.
    fn lend_request(
        &self,
        connection: &Connection,
        bytes: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, TryAcquireError> {
        if !connection.is_session() || bytes <= SMALL_REQUEST {
            return Ok(None);
        }
        self.bytes.clone().try_acquire_many_owned(Self::cost(bytes)).map(Some)
    }

    /// What a request of that many bytes takes.
    pub(super) fn cost(bytes: usize) -> u32 {
        u32::try_from(bytes.min(MAX_REQUEST_BYTES).div_ceil(KIB)).unwrap_or(u32::MAX)
    }
}

/// Puts the limits in front of the calls.
#[derive(Debug, Clone)]
pub(super) struct CallsLayer(pub(super) Budget);

impl<S> Layer<S> for CallsLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls { inner, budget: self.0.clone() }
    }
}

/// Calls within the limits.
#[derive(Debug, Clone)]
pub(super) struct Calls<S> {
    inner: S,
    budget: Budget,
}

impl<S> RpcServiceT for Calls<S>
where
    S: RpcServiceT<
            MethodResponse = MethodResponse,
            BatchResponse = MethodResponse,
            NotificationResponse = MethodResponse,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type NotificationResponse = MethodResponse;
    type BatchResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (inner, budget) = (self.inner.clone(), self.budget.clone());
        async move {
            let Some(connection) = connection(request.extensions()) else { return inner.call(request).await };
            let kind = Kind::of(request.method_name());
            let id = request.id().into_owned();
            let bytes = bytes_of(&request);
            within(&connection, &budget, id, (bytes, kind), inner.call(request)).await
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (inner, budget) = (self.inner.clone(), self.budget.clone());
        async move {
            let entries: Vec<_> = batch.iter().filter_map(|entry| entry.as_ref().ok()).collect();
            let found = entries.iter().find_map(|entry| connection(entry.extensions()));
            let bytes = entries.iter().filter_map(|entry| as_call(entry)).map(bytes_of).sum();
            let Some(connection) = found else { return inner.batch(batch).await };
            let _busy = connection.busy();
            let Ok(_call) = connection.calls.try_acquire() else { return too_many_calls(Id::Null) };
            let Ok(_long_request) = budget.lend_request(&connection, bytes) else { return too_long_requests(Id::Null) };
            let (response, lent) = in_turn(&inner, &connection, &budget, batch).await;
            connection.owes(response.as_ref().len(), lent);
            response
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}

fn as_call<'a, 'b>(entry: &'b BatchEntry<'a>) -> Option<&'b Request<'a>> {
    match entry {
        BatchEntry::Call(call) => Some(call),
        BatchEntry::Notification(_) => None,
    }
}

fn bytes_of(call: &Request<'_>) -> usize {
    call.params.as_ref().map_or(0, |params| params.get().len())
}

fn connection(extensions: &jsonrpsee::Extensions) -> Option<Arc<Connection>> {
    extensions.get::<Arc<Connection>>().cloned()
}

/// Makes the calls of a batch one after the other. Those with long answers come last, in whatever place they are: what is
/// lent to a long answer is lent until the batch is answered, and the others may wait for minutes.
async fn in_turn<S: RpcServiceT<MethodResponse = MethodResponse, NotificationResponse = MethodResponse>>(
    inner: &S,
    connection: &Connection,
    budget: &Budget,
    batch: Batch<'_>,
) -> (MethodResponse, Option<OwnedSemaphorePermit>) {
    let is_long =
        |entry: &BatchEntry<'_>| as_call(entry).is_some_and(|call| Kind::of(call.method_name()) == Kind::Long);
    let (last, first): (Vec<_>, Vec<_>) = batch.into_iter().partition(|entry| entry.as_ref().is_ok_and(is_long));
    let mut responses = BatchResponseBuilder::new_with_limit(budget.max_answer);
    let mut lent = None;
    for entry in first.into_iter().chain(last) {
        let response = match entry {
            Ok(BatchEntry::Call(call)) => {
                let kind = Kind::of(call.method_name());
                if kind == Kind::Long && lent.is_none() {
                    lent = budget.answers.clone().acquire_owned().await.ok();
                }
                limited(connection, budget, kind, inner.call(call)).await
            }
            Ok(BatchEntry::Notification(notification)) => {
                inner.notification(notification).await;
                continue;
            }
            Err(error) => {
                let (error, id) = error.into_parts();
                MethodResponse::error(id, error)
            }
        };
        if let Err(too_long) = responses.append(response) {
            return (too_long, lent);
        }
    }
    let response = match responses.is_empty() {
        true => MethodResponse::notification(),
        false => MethodResponse::from_batch(responses.finish()),
    };
    (response, lent)
}

/// Does the work of a call, unless its connection has too much under way.
async fn within<F: Future<Output = MethodResponse>>(
    connection: &Arc<Connection>,
    budget: &Budget,
    id: Id<'static>,
    (bytes, kind): (usize, Kind),
    work: F,
) -> MethodResponse {
    let _busy = connection.busy();
    let Ok(_call) = connection.calls.try_acquire() else { return too_many_calls(id) };
    let Ok(_long_request) = budget.lend_request(connection, bytes) else { return too_long_requests(id) };
    let lent = if kind == Kind::Long { budget.answers.clone().acquire_owned().await.ok() } else { None };
    let response = limited(connection, budget, kind, work).await;
    // The answer to a subscription is on its way already.
    if response.is_method_call() {
        connection.owes(response.as_ref().len(), lent);
    }
    response
}

/// Does the work of a call when it is its turn.
async fn limited<F: Future<Output = MethodResponse>>(
    connection: &Connection,
    budget: &Budget,
    kind: Kind,
    work: F,
) -> MethodResponse {
    let _turn = if kind == Kind::Submission { connection.submissions.acquire().await.ok() } else { None };
    let _read = match kind {
        Kind::Lookup => connection.reads.acquire().await.ok(),
        Kind::Scan | Kind::Long => connection.scans.acquire().await.ok(),
        Kind::Short | Kind::Submission => None,
    };
    let _writing = if kind == Kind::Long { budget.writing.acquire().await.ok() } else { None };
    work.await
}

fn too_many_calls(id: Id<'static>) -> MethodResponse {
    busy(id, "too many calls are under way on this connection")
}

fn too_long_requests(id: Id<'static>) -> MethodResponse {
    busy(id, "too many long requests are under way")
}

fn busy(id: Id<'static>, reason: &str) -> MethodResponse {
    MethodResponse::error(id, ErrorObject::owned(BUSY, format!("{reason}; ask again later"), None::<()>))
}
