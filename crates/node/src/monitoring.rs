//! Two pages on the API's address, beside the JSON-RPC calls: `GET /metrics` for Prometheus and `GET /health` for load
//! balancers and supervisors.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use tokio::time::timeout;
use tower::{Layer, Service};

use crate::{NodeHandle, api::Status, metrics};

/// How long the core may take to say how it is doing before it counts as unhealthy.
const PATIENCE: Duration = Duration::from_secs(2);

const PLAIN: &str = "text/plain; charset=utf-8";

/// Puts the two pages in front of a server.
#[derive(Debug, Clone)]
pub(crate) struct MonitoringLayer {
    pub(crate) node: NodeHandle,
}

impl<S> Layer<S> for MonitoringLayer {
    type Service = Monitoring<S>;

    fn layer(&self, inner: S) -> Monitoring<S> {
        Monitoring { inner, node: self.node.clone() }
    }
}

/// A server with the two pages.
#[derive(Debug, Clone)]
pub(crate) struct Monitoring<S> {
    inner: S,
    node: NodeHandle,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<HttpResponse, E>> + Send>>;

impl<S, B> Service<HttpRequest<B>> for Monitoring<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let is_get = matches!(request.method().as_str(), "GET" | "HEAD");
        match request.uri().path() {
            "/metrics" if is_get => {
                let text = self.node.metrics().encode();
                Box::pin(std::future::ready(Ok(page(200, metrics::CONTENT_TYPE, text))))
            }
            "/health" if is_get => {
                let node = self.node.clone();
                Box::pin(async move {
                    let status = timeout(PATIENCE, node.status()).await;
                    Ok(match status {
                        Ok(Ok(status)) => health(&status),
                        Ok(Err(error)) => page(503, PLAIN, format!("{error}\n")),
                        Err(_) => page(503, PLAIN, format!("the node's core does not answer within {PATIENCE:?}\n")),
                    })
                })
            }
            _ => Box::pin(self.inner.call(request)),
        }
    }
}

/// Whether a peer can take part: it answers and has links to a quorum, itself counted. An observer needs one to follow.
fn health(status: &Status) -> HttpResponse {
    let Status { height, view, nodes, .. } = status;
    let is_validator = status.validator.is_some();
    let linked = status.connected.len() + usize::from(is_validator);
    let needed = if is_validator { status.quorum } else { 1 };
    if linked < needed {
        return page(503, PLAIN, format!("linked to {linked} validators of the {needed} that it needs\n"));
    }
    page(200, PLAIN, format!("height {height}, view {view}, linked to {linked} of {nodes} validators\n"))
}

fn page(status: u16, content_type: &'static str, text: String) -> HttpResponse {
    let response = HttpResponse::<()>::builder().status(status).header("content-type", content_type);
    response.body(HttpBody::from(text)).unwrap_or_else(|_| HttpResponse::new(HttpBody::empty()))
}
