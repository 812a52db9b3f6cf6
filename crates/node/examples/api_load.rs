//! Measures how long a transaction takes from being handed in to its signed reply, at four peers in one process: without
//! a load, and under 16 reading connections and 60,000 calls at each peer that wait.
//!
//! `cargo run --release -p dtn-node --example api_load`
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::{Cluster, PATIENCE};
use dtn_node::ApiClient;
use dtn_primitives::{B256, Payload, SecretKey, Transaction};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use jsonrpsee::ws_client::WsClientBuilder;

/// Transactions that are measured, and the pause between them.
const SUBMITS: (u64, Duration) = (200, Duration::from_millis(50));

const READERS: usize = 16;
const WAITING: usize = 60_000;

async fn submit(cluster: &Cluster, key: &SecretKey, nonce: u64, bytes: usize) {
    let payload = Payload::Data { nonce, items: vec![vec![7; bytes]].into() };
    let transaction = Transaction::sign(payload, key, &cluster.genesis.domain());
    let client = cluster.client(nonce as usize % 4);
    let hash = client.submit(transaction).await.unwrap();
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

async fn read(cluster: &Cluster, index: usize) {
    let client = cluster.client(index);
    loop {
        client.block(1).await.ok();
        client.results(0, None).await.ok();
    }
}

async fn wait(cluster: &Cluster, index: usize) {
    let api = cluster.nodes[index].as_ref().unwrap().api();
    let websocket = WsClientBuilder::default().max_concurrent_requests(WAITING).request_timeout(20 * PATIENCE);
    let websocket = websocket.build(format!("ws://{api}")).await.unwrap();
    let unknown = |call: usize| B256::left_padding_from(&(call as u64).to_be_bytes());
    let mut calls: FuturesUnordered<_> = (0..WAITING).map(|call| websocket.reply(unknown(call), 60_000)).collect();
    while calls.next().await.is_some() {}
    std::future::pending::<()>().await;
}

#[tokio::main]
async fn main() {
    let cluster = Cluster::start(4).await;
    let key = common::key(50);
    join_all((0..40).map(|nonce| submit(&cluster, &key, nonce, 12_000))).await;
    let quiet = latencies(&cluster, 60).await;
    let load = async {
        let readers = join_all((0..4 * READERS).map(|reader| read(&cluster, reader % 4)));
        tokio::join!(readers, join_all((0..4).map(|index| wait(&cluster, index))))
    };
    let loaded = tokio::select! {
        _ = load => unreachable!("it has no end"),
        loaded = latencies(&cluster, 61) => loaded,
    };
    println!("             p50      p99      max (ms)");
    for (name, [p50, p99, max]) in [("quiet", quiet), ("under load", loaded)] {
        println!("{name:<10} {p50:8.1} {p99:8.1} {max:8.1}");
    }
    cluster.shutdown().await;
}
