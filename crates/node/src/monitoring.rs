//! Two pages on the API's address, beside the JSON-RPC calls: `GET /metrics` for Prometheus and `GET /health` for load
//! balancers and supervisors.

use dtn_api::Status;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};

use crate::{NodeHandle, metrics};

const PLAIN: &str = "text/plain; charset=utf-8";

/// The page that is asked for, if it is one of these.
pub(crate) async fn page<B>(request: &HttpRequest<B>, node: &NodeHandle) -> Option<HttpResponse> {
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return None;
    }
    match request.uri().path() {
        "/metrics" => Some(text(200, metrics::CONTENT_TYPE, node.metrics().encode())),
        "/health" => Some(match (node.reader().status().await, node.reader().board().stuck_for()) {
            (Err(error), _) => text(503, PLAIN, format!("{error}\n")),
            (Ok(_), Some(elapsed)) => text(503, PLAIN, format!("the node's core has been busy for {elapsed:.0?}\n")),
            (Ok(status), None) => health(&status),
        }),
        _ => None,
    }
}

/// Whether a peer takes part: it answers, has links to what makes a quorum with it, and votes. An observer needs one to
/// follow. Links are to others, as `l1 status` counts them too.
fn health(status: &Status) -> HttpResponse {
    let Status { height, view, nodes, .. } = status;
    let is_validator = status.validator.is_some();
    let linked = status.connected.len();
    let (others, needed) = if is_validator { (nodes - 1, status.quorum - 1) } else { (*nodes, 1) };
    let links = format!("linked to {linked} of {others} other validators");
    if linked < needed {
        return text(503, PLAIN, format!("{links}, and needs {needed}\n"));
    }
    if status.silent {
        return text(
            503,
            PLAIN,
            "it does not vote yet: it asks the others what it may have said, or catches up\n".into(),
        );
    }
    text(200, PLAIN, format!("height {height}, view {view}, {links}\n"))
}

fn text(status: u16, content_type: &'static str, page: String) -> HttpResponse {
    let response = HttpResponse::<()>::builder().status(status).header("content-type", content_type);
    response.body(HttpBody::from(page)).unwrap_or_else(|_| HttpResponse::new(HttpBody::empty()))
}
