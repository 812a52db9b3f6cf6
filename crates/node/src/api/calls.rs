//! What one connection may have under way, and what all of them together may hold in memory.

use std::{future::Future, sync::Arc};

use dtn_api::BUSY;
use jsonrpsee::{
    core::middleware::{Batch, BatchEntry, Notification},
    server::{MethodResponse, middleware::rpc::RpcServiceT},
    types::{ErrorObject, Id, Request},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
const LONG: [&str; 5] = ["dtn_block", "dtn_results", "dtn_evidence", "dtn_verifications", "dtn_genesis"];

/// Calls that look one thing up in the store.
const LOOKUPS: [&str; 5] = ["dtn_nonce", "dtn_read", "dtn_certificate", "dtn_rounds", "dtn_round"];

/// Calls that the core answers.
const SUBMISSIONS: [&str; 3] = ["dtn_submit", "dtn_submitMany", "dtn_submitEncoded"];

/// What a call takes of what all connections share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Next to nothing.
    Short,
    /// A look at the store.
    Lookup,
    /// A look at the store, and a long answer.
    Long,
    /// A turn of the core.
    Submission,
    /// All of it: its calls may be any.
    Batch,
}

impl Kind {
    fn of(method: &str) -> Self {
        match method {
            method if LONG.contains(&method) => Self::Long,
            method if LOOKUPS.contains(&method) => Self::Lookup,
            method if SUBMISSIONS.contains(&method) => Self::Submission,
            _ => Self::Short,
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::Lookup | Self::Long | Self::Batch)
    }

    fn submits(self) -> bool {
        matches!(self, Self::Submission | Self::Batch)
    }

    fn is_long(self) -> bool {
        matches!(self, Self::Long | Self::Batch)
    }
}

/// What all connections share.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    /// Long requests, in KiB.
    pub(super) bytes: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    /// Whoever writes a long answer: it takes a thread for tens of milliseconds, and the other threads are for short calls.
    writing: Arc<Semaphore>,
}

impl Budget {
    pub(super) fn new() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            bytes: semaphore(MAX_REQUEST_BYTES / KIB),
            answers: semaphore(MAX_LONG_ANSWERS),
            writing: semaphore(THREADS - 1),
        }
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
            let bytes = request.params.as_ref().map_or(0, |params| params.get().len());
            let work = || inner.call(request);
            within(&connection, &budget, id, (bytes, kind), work).await
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let (inner, budget) = (self.inner.clone(), self.budget.clone());
        async move {
            // Its calls are made one after the other, and answered together.
            let calls: Vec<_> = batch.iter().filter_map(|entry| entry.as_ref().ok().and_then(as_call)).collect();
            let found = calls.iter().find_map(|call| connection(call.extensions()));
            let bytes = calls.iter().map(|call| call.params.as_ref().map_or(0, |params| params.get().len())).sum();
            let Some(connection) = found else { return inner.batch(batch).await };
            let work = || inner.batch(batch);
            within(&connection, &budget, Id::Null, (bytes, Kind::Batch), work).await
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

fn connection(extensions: &jsonrpsee::Extensions) -> Option<Arc<Connection>> {
    extensions.get::<Arc<Connection>>().cloned()
}

/// Does the work of a call, unless its connection has too much under way.
async fn within<F: Future<Output = MethodResponse>>(
    connection: &Arc<Connection>,
    budget: &Budget,
    id: Id<'static>,
    (bytes, kind): (usize, Kind),
    work: impl FnOnce() -> F,
) -> MethodResponse {
    let _busy = connection.busy();
    let (response, lent) = perform(connection, budget, id, (bytes, kind), work).await;
    // The answer to a subscription is on its way already.
    if response.is_method_call() || response.is_batch() {
        connection.owes(response.as_ref().len(), lent);
    }
    response
}

/// The answer to a call, and what is lent to it.
async fn perform<F: Future<Output = MethodResponse>>(
    connection: &Connection,
    budget: &Budget,
    id: Id<'static>,
    (bytes, kind): (usize, Kind),
    work: impl FnOnce() -> F,
) -> (MethodResponse, Option<OwnedSemaphorePermit>) {
    let Ok(_call) = connection.calls.try_acquire() else {
        return (busy(id, "too many calls are under way on this connection"), None);
    };
    // Over HTTP, it was asked before the request was read.
    let long_request = match connection.is_session() && bytes > SMALL_REQUEST {
        true => match budget.bytes.clone().try_acquire_many_owned(Budget::cost(bytes)) {
            Ok(permit) => Some(permit),
            Err(_) => return (busy(id, "too many long requests are under way"), None),
        },
        false => None,
    };
    let turn = if kind.submits() { connection.submissions.acquire().await.ok() } else { None };
    let read = if kind.reads() { connection.reads.acquire().await.ok() } else { None };
    let lent = if kind.is_long() { budget.answers.clone().acquire_owned().await.ok() } else { None };
    // A batch may wait for something, which no other may have to wait for.
    let writing = if kind == Kind::Long { budget.writing.acquire().await.ok() } else { None };
    let response = work().await;
    drop((long_request, turn, read, writing));
    (response, lent)
}

fn busy(id: Id<'static>, reason: &str) -> MethodResponse {
    MethodResponse::error(id, ErrorObject::owned(BUSY, format!("{reason}; ask again later"), None::<()>))
}
