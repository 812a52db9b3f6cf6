//! A node between the tests and anvil that misbehaves as it is told.
#![allow(dead_code, reason = "no suite uses all of it")]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use alloy::{providers::Provider, rpc::json_rpc::RpcRecv};
use dtn_chain::Chain;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// Asks anvil for what only a development chain does.
pub(crate) async fn anvil<R: RpcRecv>(chain: &Chain, method: &'static str, parameters: Value) -> R {
    chain.provider().raw_request(method.into(), parameters).await.expect("anvil does it")
}

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The connection is closed without an answer, and anvil never hears of the request.
    Lost,
    /// Anvil does what is asked, and the answer is lost.
    AnswerLost,
    /// The node is busy.
    Busy(StatusCode),
    /// An error in place of the answer.
    Refuse(i64, &'static str),
    /// Something else than the answer.
    Lie(Value),
    /// Not JSON at all.
    Garbage,
}

/// Which faults come, by method.
type Faults = Arc<Mutex<VecDeque<(&'static str, Fault)>>>;

/// What a node never does, whenever it is asked.
#[derive(Debug, Clone)]
pub(crate) enum Habit {
    /// It refuses a method.
    Refuses(&'static str, i64),
    /// It looks for logs through so many blocks at most.
    LooksThrough(u64),
    /// It is no node, and answers with a page.
    Page(StatusCode),
}

/// A faulty node. It stands before anvil until it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    faults: Faults,
    habit: Arc<Mutex<Option<Habit>>>,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

/// What all connections of a node share.
#[derive(Clone)]
struct Shared {
    anvil: String,
    faults: Faults,
    habit: Arc<Mutex<Option<Habit>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A node before the one at this URL.
    pub(crate) async fn before(anvil: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("bound");
        let shared = Shared { anvil, faults: Faults::default(), habit: Arc::default(), asked: Arc::default() };
        let Shared { faults, habit, asked, .. } = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(request, shared.clone()));
                    // A fault may end the connection; whoever asks sees it.
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { url: format!("http://{address}"), faults, habit, asked, task }
    }

    /// What happens to the next request of this method, after what was said before.
    pub(crate) fn next(&self, method: &'static str, fault: Fault) -> &Self {
        self.faults.lock().expect("not poisoned").push_back((method, fault));
        self
    }

    /// What it never does from now on.
    pub(crate) fn never(&self, habit: Habit) -> &Self {
        *self.habit.lock().expect("not poisoned") = Some(habit);
        self
    }

    /// How often a method was asked for.
    pub(crate) fn asked(&self, method: &str) -> usize {
        self.asked.lock().expect("not poisoned").iter().filter(|asked| *asked == method).count()
    }

    /// How many faults have not come yet.
    pub(crate) fn left(&self) -> usize {
        self.faults.lock().expect("not poisoned").len()
    }
}

impl Habit {
    fn fault(&self, question: &Value) -> Option<Fault> {
        let method = question["method"].as_str().unwrap_or_default();
        match self {
            Self::Refuses(refused, code) => (method == *refused).then_some(Fault::Refuse(*code, "not here")),
            Self::Page(status) => Some(Fault::Busy(*status)),
            Self::LooksThrough(most) => {
                let filter = &question["params"][0];
                let block = |name: &str| u64::from_str_radix(filter[name].as_str()?.trim_start_matches("0x"), 16).ok();
                let blocks = block("toBlock").zip(block("fromBlock")).map(|(to, from)| to - from + 1);
                let is_too_wide = method == "eth_getLogs" && blocks.is_none_or(|blocks| blocks > *most);
                is_too_wide.then_some(Fault::Refuse(-32005, "exceed maximum block range"))
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}

async fn answer(
    request: Request<Incoming>,
    Shared { anvil, faults, habit, asked }: Shared,
) -> Result<Response<Full<Bytes>>, Closed> {
    let body = request.into_body().collect().await.map_err(|_| Closed)?.to_bytes();
    let question: Value = serde_json::from_slice(&body).expect("clients send JSON");
    let method = question["method"].as_str().unwrap_or_default().to_string();
    asked.lock().expect("not poisoned").push(method.clone());
    let fault = {
        let mut faults = faults.lock().expect("not poisoned");
        let place = faults.iter().position(|(of, _)| *of == method);
        place.and_then(|place| faults.remove(place)).map(|(_, fault)| fault)
    };
    let fault = fault.or_else(|| habit.lock().expect("not poisoned").as_ref()?.fault(&question));
    let forward = async || {
        let client = alloy::transports::http::reqwest::Client::builder().no_proxy().build().expect("a client");
        let sent = client.post(&anvil).header("content-type", "application/json").body(body.to_vec()).send().await;
        sent.expect("anvil answers").bytes().await.expect("anvil answers")
    };
    let reply = |value: Value| Response::new(Full::new(Bytes::from(value.to_string())));
    let id = &question["id"];
    Ok(match fault {
        None => Response::new(Full::new(forward().await)),
        Some(Fault::Lost) => return Err(Closed),
        Some(Fault::AnswerLost) => {
            forward().await;
            return Err(Closed);
        }
        Some(Fault::Busy(status)) => {
            let mut response = Response::new(Full::new(Bytes::from_static(b"busy")));
            *response.status_mut() = status;
            response
        }
        Some(Fault::Refuse(code, message)) => {
            reply(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }))
        }
        Some(Fault::Lie(result)) => reply(json!({ "jsonrpc": "2.0", "id": id, "result": result })),
        Some(Fault::Garbage) => Response::new(Full::new(Bytes::from_static(b"<html>not found</html>"))),
    })
}
