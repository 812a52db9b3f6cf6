//! Who may ask over HTTP, and how much of a request is taken in.
//!
//! The API has no authentication: it trusts who reaches its address, and a browser reaches it for any page that its
//! operator opens. So a request must name this peer as its host, which one from a name that an attacker has rebound does
//! not, and a page's request says where it comes from, and is refused.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use jsonrpsee::{
    core::BoxError,
    server::{HttpBody, HttpRequest, HttpResponse, http::response, middleware::http::Authority},
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    MAX_REQUEST,
    calls::{Budget, SMALL_REQUEST},
    ids,
};

/// How long a request may take to come, and a long one to be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a long request waits for others to be answered before it is turned away.
const TURN: Duration = Duration::from_secs(5);

/// What is let in.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    /// Names of this peer, in lower case.
    hosts: Arc<[String]>,
    budget: Budget,
}

/// A request that was read.
pub(super) struct Admitted {
    pub(super) request: HttpRequest,
    /// Held until it is answered, if it is a long one, which then has so much time.
    pub(super) long: Option<(OwnedSemaphorePermit, Duration)>,
}

impl Gate {
    pub(super) fn new(hosts: &[String], budget: Budget) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_string);
        let hosts = own.into_iter().chain(hosts.iter().map(|host| host.to_lowercase())).collect();
        Self { hosts, budget }
    }

    /// Whether others wait for a long answer that is under way.
    pub(super) fn is_crowded(&self) -> bool {
        self.budget.is_crowded()
    }

    /// Why a request that came in at this address is none of a client of this peer.
    pub(super) fn refusal<B>(&self, request: &HttpRequest<B>, at: IpAddr) -> Option<HttpResponse> {
        let Some(authority) = Authority::from_http_request(request) else { return Some(response::malformed()) };
        let host = authority.host.to_lowercase();
        let is_own = self.hosts.contains(&host) || host == bracketed(at.to_canonical());
        if !is_own {
            return Some(response::host_not_allowed());
        }
        let header = |name| request.headers().get(name).map(|value| value.as_bytes());
        let host = header("host").unwrap_or_default();
        let is_same = |origin: &[u8]| origin.strip_prefix(b"http://").is_some_and(|of| of.eq_ignore_ascii_case(host));
        header("origin").is_some_and(|origin| !is_same(origin)).then(response::denied)
    }

    /// Reads a request: a long one once there is room for it.
    pub(super) async fn read<B>(&self, request: HttpRequest<B>) -> Result<Admitted, HttpResponse>
    where
        B: hyper::body::Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let announced = request.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let length: usize = announced.unwrap_or(MAX_REQUEST);
        if length > MAX_REQUEST {
            return Err(response::too_large(MAX_REQUEST as u32));
        }
        let long = match length > SMALL_REQUEST {
            true => {
                let room = self.budget.bytes.clone().acquire_many_owned(Budget::cost(length));
                match timeout(TURN, room).await {
                    Ok(Ok(room)) => Some((room, PATIENCE)),
                    _ => return Err(response::too_many_requests()),
                }
            }
            false => None,
        };
        let (head, body) = request.into_parts();
        let body = match timeout(PATIENCE, Limited::new(body, length).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(response::too_large(MAX_REQUEST as u32)),
            Ok(Err(_)) | Err(_) => return Err(response::malformed()),
        };
        Ok(Admitted { request: HttpRequest::from_parts(head, HttpBody::from(ids::checked(&body))), long })
    }
}

/// An address as it stands in a URL.
fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn status(headers: &[(&str, &str)], at: &str) -> Option<u16> {
        let gate = Gate::new(&["Peer.Example".to_string()], Budget::new(1 << 20));
        let mut request = HttpRequest::builder().method("POST").uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let refusal = gate.refusal(&request.body(()).unwrap(), at.parse().unwrap());
        refusal.map(|response| response.status().as_u16())
    }

    #[test]
    fn only_names_of_this_peer_are_served() {
        for host in ["localhost:1", "LOCALHOST", "127.0.0.1:9999", "[::1]:7", "peer.example", "PEER.example:80"] {
            assert_eq!(status(&[("host", host)], "127.0.0.1"), None, "{host}");
        }
        assert_eq!(status(&[("host", "10.1.2.3:80")], "10.1.2.3"), None, "the address that it came in at");
        assert_eq!(status(&[("host", "[2001:db8::1]:80")], "2001:db8::1"), None);
        assert_eq!(status(&[("host", "10.1.2.3")], "::ffff:10.1.2.3"), None);
        for host in ["evil.example", "localhost.evil.example", "10.1.2.4", "127.0.0.1.evil.example:80", "example"] {
            assert_eq!(status(&[("host", host)], "10.1.2.3"), Some(403), "{host}");
        }
        assert_eq!(status(&[], "127.0.0.1"), Some(400));
    }

    #[test]
    fn pages_of_others_are_refused() {
        let of = |origin| status(&[("host", "localhost:8545"), ("origin", origin)], "127.0.0.1");
        assert_eq!(of("http://localhost:8545"), None);
        for origin in ["http://localhost:80", "https://evil.example", "null", "http://evil.example", "file://", ""] {
            assert_eq!(of(origin), Some(403), "{origin}");
        }
    }
}
