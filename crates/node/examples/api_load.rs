//! Measures how long a transaction takes from being handed in to its signed reply, at four peers in one process: without
//! a load, and under 16 reading connections and 60,000 calls at each peer that wait. The readers are a process of its own
//! that gives way: they stand for other machines, whose processors decode what they read.
//!
//! `cargo run --release -p dtn-node --example api_load`
#![allow(clippy::unwrap_used)]

#[path = "../tests/it/common/mod.rs"]
mod common;

use std::{
    io::Read,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use dtn_api::ApiClient;
use dtn_primitives::{B256, Payload, SecretKey, Transaction};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use jsonrpsee::{http_client::HttpClientBuilder, ws_client::WsClientBuilder};

use common::{Cluster, PATIENCE};

/// Transactions that are measured, and the pause between them.
const SUBMITS: (u64, Duration) = (200, Duration::from_millis(50));

const READERS: usize = 16;
const WAITING: usize = 60_000;

/// After it, all the readers are connected.
const WARM_UP: Duration = Duration::from_secs(2);

fn data(cluster: &Cluster, key: &SecretKey, nonce: u64, bytes: usize) -> Transaction {
    let payload = Payload::Data { nonce, items: vec![vec![7; bytes]].into() };
    Transaction::sign(payload, key, &cluster.genesis.domain())
}

async fn submit(cluster: &Cluster, key: &SecretKey, nonce: u64, bytes: usize) {
    let client = cluster.client(nonce as usize % 4);
    let hash = client.submit(data(cluster, key, nonce, bytes)).await.unwrap();
    while client.reply(hash, 30_000).await.unwrap().is_none() {}
}

/// The median, the 99th percentile and the maximum in milliseconds.
async fn latencies(cluster: &Cluster, seed: u8) -> [f64; 3] {
    let (key, mut taken) = (common::key(seed), Vec::new());
    for nonce in 0..SUBMITS.0 {
        let began = Instant::now();
        submit(cluster, &key, nonce, 100).await;
        taken.push(began.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(SUBMITS.1).await;
    }
    taken.sort_by(f64::total_cmp);
    [0.5, 0.99, 1.0].map(|share| taken[((taken.len() - 1) as f64 * share) as usize])
}

async fn read(api: SocketAddr, read: &AtomicUsize) {
    let client = HttpClientBuilder::default().request_timeout(20 * PATIENCE).build(format!("http://{api}")).unwrap();
    loop {
        client.block(1).await.unwrap();
        client.results(0, None).await.unwrap();
        read.fetch_add(1, Ordering::Relaxed);
    }
}

async fn wait(api: SocketAddr) {
    let websocket = WsClientBuilder::default().max_concurrent_requests(WAITING).request_timeout(20 * PATIENCE);
    let websocket = websocket.build(format!("ws://{api}")).await.unwrap();
    let unknown = |call: usize| B256::left_padding_from(&(call as u64).to_be_bytes());
    let mut calls: FuturesUnordered<_> = (0..WAITING).map(|call| websocket.reply(unknown(call), 60_000)).collect();
    while calls.next().await.is_some() {}
    std::future::pending::<()>().await;
}

/// Reads from the peers and waits at them until the standard input ends, and prints how many blocks were read.
async fn load(peers: &[SocketAddr]) {
    let count = AtomicUsize::new(0);
    let readers = join_all((0..peers.len() * READERS).map(|reader| read(peers[reader % peers.len()], &count)));
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        _ = futures::future::join(readers, join_all(peers.iter().map(|peer| wait(*peer)))) => unreachable!("no end"),
        ended = ended => ended.unwrap().unwrap(),
    };
    println!("{}", count.into_inner());
}

/// This program as the load on the peers of a cluster.
fn start_load(cluster: &Cluster) -> Child {
    let peers = cluster.nodes.iter().flatten().map(|node| node.api().to_string());
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(program).args(peers).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().unwrap()
}

#[tokio::main]
async fn main() {
    let peers: Vec<SocketAddr> = std::env::args().skip(1).map(|peer| peer.parse().unwrap()).collect();
    if !peers.is_empty() {
        return load(&peers).await;
    }
    let cluster = Cluster::start(4).await;
    let key = common::key(50);
    let block = (0..40).map(|nonce| data(&cluster, &key, nonce, 12_000)).collect();
    cluster.client(0).submit_many(block).await.unwrap();
    submit(&cluster, &key, 40, 100).await;
    let quiet = latencies(&cluster, 60).await;
    let load = start_load(&cluster);
    tokio::time::sleep(WARM_UP).await;
    let began = Instant::now();
    let loaded = latencies(&cluster, 61).await;
    let seconds = (WARM_UP + began.elapsed()).as_secs_f64();
    let read: f64 = String::from_utf8(load.wait_with_output().unwrap().stdout).unwrap().trim().parse().unwrap();
    let bytes = serde_json::to_string(&cluster.client(0).block(1).await.unwrap()).unwrap().len();
    println!("{:.0} blocks of {bytes} bytes were read per second", read / seconds);
    println!("             p50      p99      max (ms)");
    for (name, [p50, p99, max]) in [("quiet", quiet), ("under load", loaded)] {
        println!("{name:<10} {p50:8.1} {p99:8.1} {max:8.1}");
    }
    cluster.shutdown().await;
}
