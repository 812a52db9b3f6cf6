//! Where a chain answers: one node or several, of which the next one is asked when one does not answer.

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use alloy::{
    primitives::U64,
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::{
        client::RpcClient,
        json_rpc::{Request, RequestPacket, ResponsePacket, ResponsePayload},
    },
    transports::{RpcError, TransportError, TransportErrorKind, TransportFut},
};
use reqwest::{Client, Url, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use tower::Service;

use crate::{asked, connection::ConnectError, shown};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a node is left alone that has too much to do.
const BUSY_PAUSES: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400), Duration::from_millis(800)];

/// The URLs of a chain's nodes, the preferred one first. In files a text or a list of texts, in text separated by commas.
/// `Display` and `Debug` show them by [`shown::url`]; what they are in full is written to files alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMany", into = "OneOrMany")]
pub struct Endpoints(Vec<String>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Endpoints {
    fn from(given: OneOrMany) -> Self {
        match given {
            OneOrMany::One(text) => text.into(),
            OneOrMany::Many(urls) => Self(urls),
        }
    }
}

impl From<Endpoints> for OneOrMany {
    fn from(Endpoints(mut urls): Endpoints) -> Self {
        match (urls.pop(), urls.is_empty()) {
            (Some(url), true) => Self::One(url),
            (last, _) => Self::Many(urls.into_iter().chain(last).collect()),
        }
    }
}

impl<T: Into<String>> From<T> for Endpoints {
    fn from(text: T) -> Self {
        let text: String = text.into();
        Self(text.split(',').map(|url| url.trim().to_string()).filter(|url| !url.is_empty()).collect())
    }
}

impl FromStr for Endpoints {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown().0.join(", "))
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoints({self})")
    }
}

impl Endpoints {
    /// What may be shown of them.
    pub fn shown(&self) -> Self {
        Self(self.0.iter().map(|url| shown::url(url)).collect())
    }

    /// A provider that asks these nodes. None is asked for anything but its chain id before it has stated this one.
    pub(crate) fn provider(&self, chain_id: u64) -> Result<DynProvider, ConnectError> {
        let nodes = self.0.iter().map(|url| Node::new(url)).collect::<Result<Vec<_>, _>>()?;
        if nodes.is_empty() {
            return Err(ConnectError::BadEndpoint { rpc: self.to_string(), reason: "there is none".into() });
        }
        let is_local = nodes.iter().all(|node| node.is_loopback);
        let failover = Failover(Arc::new(Nodes { chain_id, nodes, current: AtomicUsize::new(0) }));
        let client = RpcClient::new(failover, is_local);
        Ok(ProviderBuilder::new().disable_recommended_fillers().connect_client(client).erased())
    }
}

/// What is known of a node's chain id.
mod checked {
    pub(super) const NOT_YET: u8 = 0;
    pub(super) const RIGHT: u8 = 1;
    pub(super) const WRONG: u8 = 2;
}

#[derive(Debug)]
struct Node {
    is_loopback: bool,
    http: Http,
    checked: AtomicU8,
}

/// A provider that asks one program, which is no node and has no chain id to state, and gives it so much time.
pub(crate) fn program(url: &str, timeout: Duration) -> Result<DynProvider, ConnectError> {
    let (http, is_loopback) = http(url, timeout)?;
    let client = RpcClient::new(http, is_loopback);
    Ok(ProviderBuilder::new().disable_recommended_fillers().connect_client(client).erased())
}

/// What asks a URL, and whether that is on this machine.
fn http(text: &str, timeout: Duration) -> Result<(Http, bool), ConnectError> {
    let bad = |reason: String| ConnectError::BadEndpoint { rpc: shown::url(text), reason };
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("it must begin with http:// or https://".into()));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    // Fails if there is one already, which is as good.
    _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = Client::builder().timeout(timeout);
    if is_loopback {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| bad(error.without_url().to_string()))?;
    Ok((Http { client, url }, is_loopback))
}

/// What asks one URL, which may open the node to whoever knows it: neither an error nor a line of a log has more of it than
/// may be shown. alloy's own transport for HTTP has all of it in both.
#[derive(Clone)]
struct Http {
    client: Client,
    url: Url,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http({})", self.shown())
    }
}

impl Http {
    fn shown(&self) -> String {
        shown::url(self.url.as_str())
    }

    async fn ask(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        asked::tell(self.shown(), &request);
        let failed = |error: reqwest::Error| TransportErrorKind::custom(error.without_url());
        let question = serde_json::to_vec(&request).map_err(TransportError::ser_err)?;
        let post = self.client.post(self.url).headers(request.headers()).header(CONTENT_TYPE, "application/json");
        let response = post.body(question).send().await.map_err(failed);
        asked::answered();
        let response = response?;
        let status = response.status();
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(in_short);
        let body = response.bytes().await.map_err(failed)?;
        match serde_json::from_slice::<ResponsePacket>(&body) {
            // That something is wrong is an answer, whatever the status is.
            Ok(answer) if status.is_success() || answer.is_error() => Ok(answer),
            _ => {
                let said = in_short(&String::from_utf8_lossy(&body));
                Err(TransportErrorKind::custom(NotANode { status: status.as_u16(), kind, said }))
            }
        }
    }
}

/// Something answers, and not as a node does: a proxy, a page to log in, a wrong path.
#[derive(Debug, thiserror::Error)]
#[error("it answers, but not as a node: HTTP {status}{}, `{said}`", kind.as_ref().map(|kind| format!(", {kind}")).unwrap_or_default())]
pub(crate) struct NotANode {
    /// The status of HTTP.
    pub(crate) status: u16,
    kind: Option<String>,
    said: String,
}

/// Whether a node, or what stands before it, says that it is asked for too much at the moment (RFC 6585 section 4, RFC 9110
/// section 15.6.4).
fn is_busy(error: &TransportError) -> bool {
    let RpcError::Transport(TransportErrorKind::Custom(other)) = error else { return false };
    other.downcast_ref::<NotANode>().is_some_and(|it| matches!(it.status, 429 | 503))
}

/// The beginning of what somebody else has said: one line without tags and control characters, of at most 100 characters.
fn in_short(text: &str) -> String {
    let mut is_tag = false;
    let shown = text.chars().take(10_000).filter_map(|c| match c {
        '<' => {
            is_tag = true;
            Some(' ')
        }
        '>' if is_tag => {
            is_tag = false;
            None
        }
        _ if is_tag => None,
        c if c.is_control() => Some(' '),
        c => Some(c),
    });
    let words = shown.collect::<String>();
    shown::text(&words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(100).collect::<String>())
}

impl Service<RequestPacket> for Http {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}

impl Node {
    fn new(text: &str) -> Result<Self, ConnectError> {
        let (http, is_loopback) = http(text, REQUEST_TIMEOUT)?;
        let checked = AtomicU8::new(checked::NOT_YET);
        Ok(Self { is_loopback, http, checked })
    }

    async fn ask(&self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        self.http.clone().ask(request).await
    }

    /// Asks it, again after a while if it says that it has too much to do.
    async fn ask_patiently(&self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let mut pauses = BUSY_PAUSES.iter();
        loop {
            match self.ask(request.clone()).await {
                Err(error) if is_busy(&error) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(error),
                },
                answered => return answered,
            }
        }
    }

    /// Whether it states this chain id, which it is asked for once.
    async fn is_of_chain(&self, expected: u64) -> Result<bool, TransportError> {
        match self.checked.load(Ordering::Relaxed) {
            checked::RIGHT => return Ok(true),
            checked::WRONG => return Ok(false),
            _ => {}
        }
        let actual = self.chain_id().await?;
        if actual != expected {
            tracing::warn!(node = self.http.shown(), actual, expected, "a node of another chain is not asked");
        }
        self.checked.store(if actual == expected { checked::RIGHT } else { checked::WRONG }, Ordering::Relaxed);
        Ok(actual == expected)
    }

    async fn chain_id(&self) -> Result<u64, TransportError> {
        let request = Request::new("eth_chainId", 0u64.into(), ()).serialize().map_err(TransportError::ser_err)?;
        match self.ask(request.into()).await? {
            ResponsePacket::Single(response) => match response.payload {
                ResponsePayload::Success(id) => serde_json::from_str::<U64>(id.get())
                    .map(|id| id.to())
                    .map_err(|error| TransportError::deser_err(error, id.get())),
                ResponsePayload::Failure(error) => Err(RpcError::ErrorResp(error)),
            },
            ResponsePacket::Batch(_) => Err(TransportErrorKind::custom_str("a batch answers a single request")),
        }
    }
}

#[derive(Debug)]
struct Nodes {
    chain_id: u64,
    nodes: Vec<Node>,
    /// The one that answered last.
    current: AtomicUsize,
}

/// A transport that asks the node which answered last, and the others in turn when it does not answer.
#[derive(Debug, Clone)]
struct Failover(Arc<Nodes>);

impl Failover {
    async fn ask(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let Nodes { chain_id, nodes, current } = &*self.0;
        // With one node, whoever connects tells that it is the wrong one.
        if let [node] = &nodes[..] {
            return node.ask_patiently(request).await;
        }
        let first = current.load(Ordering::Relaxed);
        let mut last = Err(TransportErrorKind::custom_str("every node that answers is of another chain"));
        for index in (0..nodes.len()).map(|turn| (first + turn) % nodes.len()) {
            let node = &nodes[index];
            let answer = match node.is_of_chain(*chain_id).await {
                Ok(true) => node.ask(request.clone()).await,
                Ok(false) => continue,
                Err(error) => Err(error),
            };
            match answer {
                // One that cannot do this is passed over for this question, and asked the next one all the same.
                Ok(answer) if is_unable(&request, &answer) => {
                    tracing::debug!(node = node.http.shown(), "refuses; asking another");
                    last = Ok(answer);
                }
                Ok(answer) => {
                    if current.swap(index, Ordering::Relaxed) != index {
                        tracing::info!(node = node.http.shown(), "asking this node from now on");
                    }
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::debug!(node = node.http.shown(), %error, "no answer");
                    if last.is_err() {
                        last = Err(error);
                    }
                }
            }
        }
        last
    }
}

/// The codes by which nodes say that they cannot do something now, or never do: no such method (JSON-RPC 2.0), not supported,
/// over a limit (EIP-1474), and too many requests.
const UNABLE: [i64; 4] = [-32601, -32004, -32005, 429];

/// Whether another node may answer what this one does not. Through how many blocks a node looks is its own affair. What was
/// sent as a transaction is answered for good: a node that has passed it on refuses it the second time.
fn is_unable(request: &RequestPacket, answer: &ResponsePacket) -> bool {
    let (RequestPacket::Single(request), ResponsePacket::Single(answer)) = (request, answer) else { return false };
    let ResponsePayload::Failure(error) = &answer.payload else { return false };
    match request.method() {
        "eth_sendRawTransaction" => false,
        "eth_getLogs" => true,
        _ => UNABLE.contains(&error.code) || error.is_retry_err(),
    }
}

impl Service<RequestPacket> for Failover {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_logs_and_errors_have_no_more_than_may_be_shown() {
        let text = "https://user:secret@node.example:8545/v3/secret?key=secret";
        let (asks, is_loopback) = http(text, REQUEST_TIMEOUT).expect("a URL");
        let shown = format!("{asks:?} {} {:?} {}", asks.shown(), Endpoints::from(text), Endpoints::from(text));
        assert!(!is_loopback && shown.contains("node.example:8545") && !shown.contains("secret"), "{shown}");
        let bad = http("ftp://user:secret@node.example/secret", REQUEST_TIMEOUT).map(drop).expect_err("not HTTP");
        assert!(!bad.to_string().contains("secret"), "{bad}");
    }
}
