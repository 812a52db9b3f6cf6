//! The API under load and abuse: whoever reads, waits, connects or sends too much costs the others nothing.

#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use dtn_api::{ApiClient, BEHIND, BUSY, NEEDS_WEBSOCKET, RefusalKind, SubmitOutcome};
use dtn_node::Node;
use dtn_primitives::*;
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use jsonrpsee::{
    core::ClientError,
    http_client::HttpClientBuilder,
    ws_client::{WsClient, WsClientBuilder},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::common::*;

fn api(cluster: &Cluster, index: usize) -> SocketAddr {
    cluster.nodes[index].as_ref().unwrap().api()
}

async fn websocket(cluster: &Cluster, index: usize, calls: usize) -> WsClient {
    let builder = WsClientBuilder::default().max_concurrent_requests(calls).request_timeout(2 * PATIENCE);
    builder.build(format!("ws://{}", api(cluster, index))).await.unwrap()
}

fn data(cluster: &Cluster, seed: u8, nonce: u64, bytes: usize) -> Transaction {
    let payload = Payload::Data { nonce, items: vec![vec![7; bytes]].into() };
    Transaction::sign(payload, &key(seed), &cluster.genesis.domain())
}

/// Hands a transaction to a peer and waits until it says that it is final.
async fn finalize(cluster: &Cluster, index: usize, transaction: Transaction) -> Reply {
    let client = cluster.client(index);
    let hash = client.submit(transaction).await.unwrap();
    until("a reply", || async { client.reply(hash, 1_000).await.ok().flatten() }).await
}

fn code(error: ClientError) -> i32 {
    match error {
        ClientError::Call(error) => error.code(),
        other => panic!("{other}"),
    }
}

/// What is answered to a request that is sent as it is, up to the end of the connection.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap().ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_calls_that_wait_hold_nobody_up() {
    const READERS: usize = 16;
    const WAITING: usize = 60_000;
    let cluster = Cluster::start(4).await;
    for nonce in 0..8 {
        finalize(&cluster, 0, data(&cluster, 50, nonce, 12_000)).await;
    }
    let read = |index: usize| {
        let client = cluster.client(index);
        async move {
            loop {
                for height in 1..=8 {
                    client.block(height).await.unwrap();
                    client.results(0, None).await.unwrap();
                }
            }
        }
    };
    let wait = |index: usize| {
        let cluster = &cluster;
        async move {
            let websocket = websocket(cluster, index, WAITING).await;
            let unknown = |call: usize| B256::left_padding_from(&(call as u64).to_be_bytes());
            let mut calls: FuturesUnordered<_> =
                (0..WAITING).map(|call| websocket.reply(unknown(call), 60_000)).collect();
            while calls.next().await.is_some() {}
            std::future::pending::<()>().await;
        }
    };
    let load = async {
        let readers = join_all((0..4 * READERS).map(|reader| read(reader % 4)));
        let waiting = join_all((0..4).map(wait));
        tokio::join!(readers, waiting)
    };
    let clients = async {
        for nonce in 0..20 {
            let index = nonce as usize % 4;
            finalize(&cluster, index, data(&cluster, 60, nonce, 100)).await;
            assert_eq!(cluster.client(index).nonce(key(60).address()).await.unwrap(), nonce + 1);
        }
    };
    tokio::select! {
        _ = load => unreachable!("it has no end"),
        done = timeout(PATIENCE, clients) => done.expect("clients are served beside the load"),
    }
    let status = cluster.status(0).await;
    assert!(status.faults.iter().all(|count| *count == 0), "{status:?}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_calls_under_way_and_is_told_when_it_has_more() {
    let cluster = Cluster::start(4).await;
    let websocket = websocket(&cluster, 0, 1_000).await;
    let unknown = B256::repeat_byte(9);
    let waiting: Vec<_> = (0..64).map(|_| websocket.reply(unknown, 60_000)).collect();
    let mut waiting: FuturesUnordered<_> = waiting.into_iter().collect();
    // All wait, and none has an answer; then any other call is one too many.
    let refused = async {
        loop {
            match websocket.nonce(Address::ZERO).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return code(error),
            }
        }
    };
    tokio::select! {
        // Whichever of them was one too many.
        ended = waiting.next() => assert_eq!(code(ended.unwrap().unwrap_err()), BUSY),
        code = timeout(PATIENCE, refused) => assert_eq!(code.unwrap(), BUSY),
    }
    // Others are served, and the connection is too once its calls have ended.
    finalize(&cluster, 0, data(&cluster, 50, 0, 10)).await;
    drop(waiting);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_as_much_as_they_may_take_no_place_from_one_that_asks_little() {
    const MANY: usize = 40;
    let cluster = Cluster::start(4).await;
    let greedy = join_all((0..MANY).map(|_| websocket(&cluster, 0, 64))).await;
    let account = key(200).address();
    let ask_on = async |client: &WsClient| {
        loop {
            let calls = (0..60).map(|_| client.nonce(account));
            join_all(calls).await.into_iter().for_each(|answer| _ = answer);
        }
    };
    let modest = async {
        let client = cluster.client(0);
        for _ in 0..60 {
            client.nonce(account).await.unwrap();
        }
    };
    tokio::select! {
        _ = join_all(greedy.iter().map(ask_on)) => unreachable!("they go on"),
        () = modest => {}
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_wait_keep_no_long_answer_from_others_whatever_else_is_in_them() {
    let cluster = Cluster::start(4).await;
    finalize(&cluster, 0, data(&cluster, 50, 0, 10)).await;
    let address = api(&cluster, 0);
    let long = r#"{"jsonrpc":"2.0","id":1,"method":"dtn_block","params":[1]}"#;
    let waits = |number: usize| {
        let hash = B256::left_padding_from(&(number + 1).to_be_bytes());
        format!(r#"{{"jsonrpc":"2.0","id":2,"method":"dtn_reply","params":["{hash}",60000]}}"#)
    };
    let post = |number: usize| {
        let body = format!("[{long},{}]", waits(number));
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let posts: Vec<_> = (0..40).map(post).collect();
    let greedy = posts.iter().map(|post| raw(address, post));
    let modest = async {
        // All of them have come and wait.
        let metrics = "GET /metrics HTTP/1.1\r\nConnection: close\r\nHost: localhost\r\n\r\n";
        for nonce in 1.. {
            finalize(&cluster, 0, data(&cluster, 50, nonce, 10)).await;
            if raw(address, metrics).await.contains(&format!("dtn_pending_waiters {}\n", posts.len())) {
                break;
            }
        }
        assert!(cluster.client(0).block(1).await.unwrap().is_some());
    };
    tokio::select! {
        _ = join_all(greedy) => panic!("they wait"),
        () = async { timeout(PATIENCE, modest).await.unwrap() } => {}
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_bounded() {
    let cluster = Cluster::start(4).await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"dtn_rounds"}"#;
    let batch = |calls: usize| {
        let body = format!("[{}]", vec![call; calls].join(","));
        let head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let answer = raw(api(&cluster, 0), &batch(32)).await;
    assert_eq!(answer.matches("beacon").count(), 32, "{answer}");
    let answer = raw(api(&cluster, 0), &batch(33)).await;
    assert!(answer.contains("error") && !answer.contains("beacon"), "{answer}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_from_the_height_that_is_asked_for_or_there_is_none() {
    let cluster = Cluster::start(4).await;
    let question = Question::Nonce(key(50).address());
    let client = cluster.client(2);
    let reply = finalize(&cluster, 0, data(&cluster, 50, 0, 10)).await;
    // This peer may have the block only now.
    let answer = client.read(question, Some(reply.height)).await.unwrap();
    assert!(answer.height >= reply.height && answer.answer == Answer::Nonce(1), "{answer:?}");
    let next = async {
        finalize(&cluster, 0, data(&cluster, 50, 1, 10)).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = client.read(question, Some(reply.height + 1)) => {
            let answer = answer.unwrap();
            assert!(answer.height > reply.height, "it waited for it");
        }
        () = next => {}
    }
    assert_eq!(code(client.read(question, Some(u64::MAX)).await.unwrap_err()), BEHIND);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_transaction_tells_programs_why() {
    let cluster = Cluster::start(4).await;
    finalize(&cluster, 1, data(&cluster, 50, 0, 10)).await;
    let client = cluster.client(1);
    let kind = async |transaction| match client.submit(transaction).await.unwrap_err() {
        ClientError::Call(error) => RefusalKind::of(&error).unwrap(),
        other => panic!("{other}"),
    };
    assert_eq!(kind(data(&cluster, 50, 0, 10)).await, RefusalKind::Final { height: 1 });
    assert_eq!(kind(data(&cluster, 50, 0, 11)).await, RefusalKind::NonceTooLow { have: 0, next: 1 });
    assert_eq!(kind(data(&cluster, 50, 5_000, 10)).await, RefusalKind::NonceTooHigh { have: 5_000, next: 1 });
    let mut forged = data(&cluster, 50, 1, 10);
    forged.sender = Address::repeat_byte(9);
    forged.payload = data(&cluster, 50, 0, 10).payload;
    assert_eq!(kind(forged).await, RefusalKind::Invalid);
    let behind_a_gap = data(&cluster, 50, 3, 10);
    let hash = client.submit(behind_a_gap.clone()).await.unwrap();
    assert_eq!(kind(behind_a_gap).await, RefusalKind::Pending { transaction: hash });
    assert_eq!(kind(data(&cluster, 50, 3, 11)).await, RefusalKind::Taken { transaction: hash });
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_rebound_names_get_nothing() {
    let cluster = Cluster::start(4).await;
    let address = api(&cluster, 0);
    let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = |headers: &str| format!("GET / HTTP/1.1\r\nConnection: Upgrade\r\n{upgrade}{headers}\r\n");
    for path in ["/health", "/metrics", "/"] {
        for headers in ["Host: evil.example\r\n", "Host: localhost\r\nOrigin: http://evil.example\r\n"] {
            let answer = raw(address, &get(path, headers)).await;
            assert!(answer.starts_with("HTTP/1.1 403"), "{path} {headers}: {answer}");
        }
    }
    for headers in ["Host: evil.example\r\n", "Host: localhost\r\nOrigin: null\r\n"] {
        assert!(raw(address, &upgrade(headers)).await.starts_with("HTTP/1.1 403"), "{headers}");
    }
    assert!(raw(address, &get("/health", "Host: localhost:1\r\n")).await.starts_with("HTTP/1.1 200"));
    assert!(raw(address, &get("/metrics", &format!("Host: {address}\r\n"))).await.starts_with("HTTP/1.1 200"));
    let own = format!("Host: {address}\r\nOrigin: http://{address}\r\n");
    assert!(raw(address, &get("/health", &own)).await.starts_with("HTTP/1.1 200"));
    cluster.shutdown().await;
}

/// The answer to a JSON-RPC request over HTTP that is sent as it is.
async fn posted(address: SocketAddr, request: &str) -> serde_json::Value {
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let answer = raw(address, &format!("{head}Content-Length: {}\r\n\r\n{request}", request.len())).await;
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_subscribes_over_http_is_told_to_use_a_websocket() {
    let cluster = Cluster::start(4).await;
    for method in ["dtn_subscribeFinalized", "dtn_unsubscribeFinalized"] {
        let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[]}}"#);
        let answer = posted(api(&cluster, 0), &call).await;
        assert_eq!(answer["error"]["code"], NEEDS_WEBSOCKET, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("WebSocket"), "{answer}");
    }
    websocket(&cluster, 0, 1).await.subscribe_finalized(None).await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_id_is_none_is_an_invalid_request_and_no_notification() {
    let cluster = Cluster::start(4).await;
    let call = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"dtn_status"}}"#);
    let is_invalid = |answer: &serde_json::Value| answer["error"]["code"] == -32600 && answer["id"].is_null();
    let answer = posted(api(&cluster, 0), &call(r#"{"a":1}"#)).await;
    assert!(is_invalid(&answer) && answer["error"]["message"] == "Invalid request", "{answer}");
    let batch = posted(api(&cluster, 0), &format!("[{},{}]", call("[]"), call("7"))).await;
    assert!(is_invalid(&batch[0]), "{batch}");
    assert_eq!((&batch[1]["id"], batch[1]["result"]["nodes"].as_u64()), (&7.into(), Some(4)), "{batch}");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_nobody_out() {
    let cluster = Cluster::start(4).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(api(&cluster, 0)).await.unwrap());
        // Those too that have said half of something.
        idle.last_mut().unwrap().write_all(b"POST / HTTP/1.1\r\n").await.ok();
    }
    finalize(&cluster, 0, data(&cluster, 50, 0, 10)).await;
    // Nor do WebSockets that say nothing.
    let mut sessions = Vec::new();
    for _ in 0..200 {
        let session = WsClientBuilder::default().build(format!("ws://{}", api(&cluster, 1))).await;
        sessions.extend(session.ok());
    }
    finalize(&cluster, 1, data(&cluster, 50, 1, 10)).await;
    drop(idle);
    cluster.shutdown().await;
}

/// The name by which a child finds that it is one.
const CHILD: &str = "DTN_TEST_PEER";

/// A process with one peer, until its input ends: not a test, but what one starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_a_peer() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let keys: Vec<_> = (1..=4).map(key).collect();
    let cluster = Cluster::of(keys);
    let config = cluster.config(0);
    std::fs::create_dir_all(config.store.parent().unwrap()).unwrap();
    let node = Node::start(config).await.unwrap();
    println!("listening {}", node.api());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    node.shutdown().await;
}

/// A peer in a process of its own, whose memory is nobody else's.
struct Peer {
    process: Child,
    api: SocketAddr,
}

impl Peer {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "api::a_process_with_a_peer", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let api = lines
            .find_map(|line| line.unwrap().split_once("listening ").map(|(_, address)| address.parse().unwrap()))
            .unwrap();
        // What it says later is heard, too: nobody speaks into the void.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, api }
    }

    async fn submit(&self, encoded: &[u8]) -> Result<Vec<SubmitOutcome>, ClientError> {
        let client = HttpClientBuilder::default().max_request_size(64 << 20).request_timeout(PATIENCE);
        let client = client.build(format!("http://{}", self.api)).unwrap();
        client.submit_encoded(encoded.to_vec().into()).await
    }

    /// Ends it, if it still answers and never had more memory in RAM than it may; where the system does not tell how
    /// much it had, it may have had any.
    async fn end(mut self) {
        let nothing = codec::encode(&Vec::<Transaction>::new());
        assert_eq!(self.submit(&nothing).await.unwrap(), [], "it still answers");
        if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())) {
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            let peak = peak.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() / 1024;
            println!("peak memory of the peer: {peak} MiB");
            assert!(peak <= 150, "{peak} MiB");
        }
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_requests_are_refused_or_read_within_the_memory_that_is_allowed() {
    let peer = Peer::start();
    // Transactions whose data has this many empty items, which no program of ours would encode.
    let empty = |count: usize, transactions: usize| {
        let marked = data(&Cluster::of((1..=4).map(key).collect()), 50, 0, 8);
        let (marked, marker) = (codec::encode(&marked), [&[1, 8], &[7; 8][..]].concat());
        let at = marked.windows(marker.len()).position(|window| window == marker).unwrap();
        let items = [codec::encode(&count), vec![0; count]].concat();
        let one = [&marked[..at], &items, &marked[at + marker.len()..]].concat();
        [codec::encode(&transactions), one.repeat(transactions)].concat()
    };
    let (one, many) = (empty(4_000_000, 1), empty(16_000, 30));
    for encoded in [&one, &many, &many, &many] {
        join_all((0..16).map(|_| peer.submit(encoded))).await;
    }
    peer.end().await;
}

/// Sends the same again and again and reads nothing, until it is cut off.
async fn ask_and_take_nothing(mut socket: TcpStream, request: Vec<u8>) {
    while socket.write_all(&request).await.is_ok() {}
}

/// A call whose answer is some twenty times as long.
const CALL: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"dtn_status"}"#;

/// A message of a WebSocket's client, masked with zeros, and made long enough for the length to take two bytes.
fn frame(message: &[u8]) -> Vec<u8> {
    let message = [message, &[b' '; 126]].concat();
    let length = u16::try_from(message.len()).unwrap();
    [&[0x81, 0x80 | 126], &length.to_be_bytes()[..], &[0; 4], &message[..]].concat()
}

/// A connection that has become a WebSocket.
async fn upgraded(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    socket.write_all(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{upgrade}{key}\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(socket.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_calls_and_takes_no_answers_is_cut_off_and_nothing_piles_up_for_it() {
    let peer = Peer::start();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let request = [format!("{head}Content-Length: {}\r\n\r\n", CALL.len()).as_bytes(), CALL].concat();
    let over_http = (0..8).map(|_| async {
        let socket = TcpStream::connect(peer.api).await.unwrap();
        ask_and_take_nothing(socket, request.clone()).await;
    });
    let over_websocket = (0..8).map(|_| async {
        let socket = upgraded(peer.api).await;
        ask_and_take_nothing(socket, frame(CALL)).await;
    });
    let all = async { tokio::join!(join_all(over_http), join_all(over_websocket)) };
    timeout(PATIENCE, all).await.expect("all are cut off");
    peer.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_half_of_something_costs_no_more_than_that_and_keeps_nobody_out() {
    let peer = Peer::start();
    let mut halves = Vec::new();
    let long = vec![b' '; 200 * 1024];
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for round in 0..400_u32 {
        let mut socket = TcpStream::connect(peer.api).await.unwrap();
        let half = match round % 4 {
            // Of a head.
            0 => [head.as_bytes(), b"X: ", &long[..10_000]].concat(),
            // Of a short and of a long body.
            1 => [head.as_bytes(), b"Content-Length: 65536\r\n\r\n", &long[..60_000]].concat(),
            2 => [head.as_bytes(), b"Content-Length: 1048576\r\n\r\n", &long].concat(),
            // Of a handshake.
            _ => b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n".to_vec(),
        };
        socket.write_all(&half).await.ok();
        halves.push(socket);
    }
    // Of a message, of more WebSockets than there are.
    for _ in 0..200 {
        let mut socket = upgraded(peer.api).await;
        socket
            .write_all(&[&[0x81, 0x80 | 127], &(256_u64 * 1024).to_be_bytes()[..], &[0; 4], &long].concat())
            .await
            .ok();
        halves.push(socket);
    }
    peer.end().await;
    drop(halves);
}
