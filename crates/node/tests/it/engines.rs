//! Every engine that chains blocks over real sockets, behind the same ledger and API as PBFT: four peers make orders final, one is
//! stopped and the others go on, and it comes back with its store.

#![allow(clippy::unwrap_used)]

use dtn_api::ApiClient;
use dtn_node::Node;
use dtn_primitives::{Engine, ValidatorIndex};

use crate::common::*;

/// Hands in an order and waits until f + 1 peers say that it is final.
async fn decide(cluster: &Cluster, nonce: u64, peers: [usize; 2]) -> u64 {
    let (domain, validators) = (cluster.genesis.domain(), cluster.genesis.validator_set().unwrap());
    let order = cluster.order(nonce, None);
    let hash = order.hash(&domain);
    cluster.client(peers[0]).submit(order).await.unwrap();
    let mut replies = Vec::new();
    for peer in peers {
        let reply = cluster.client(peer).reply(hash, 60_000).await.unwrap().expect("final within a minute");
        reply.verify(&domain, &validators).unwrap();
        assert_eq!(reply.validator, ValidatorIndex(peer as u16));
        replies.push((reply.height, reply.block_hash));
    }
    assert_eq!(replies[0], replies[1]);
    replies[0].0
}

async fn go_on_without_one_and_take_it_back(engine: Engine) {
    let mut cluster = Cluster::start_engine(engine).await;
    for nonce in 0..3 {
        decide(&cluster, nonce, [0, 1]).await;
    }
    cluster.stop(3).await;
    for nonce in 3..6 {
        decide(&cluster, nonce, [1, 2]).await;
    }
    let height = cluster.status(0).await.height;
    cluster.nodes[3] = Some(Node::start(cluster.config(3)).await.unwrap());
    cluster.all_reach(height).await;

    // It votes again: with another peer gone, nothing is final without it.
    cluster.stop(2).await;
    let height = decide(&cluster, 6, [3, 0]).await;
    for at in 1..=height {
        let block = cluster.client(0).block(at).await.unwrap().unwrap();
        assert_eq!(cluster.client(3).block(at).await.unwrap().unwrap().hash, block.hash, "at height {at}");
    }
    for index in [0, 1, 3] {
        assert!(cluster.status(index).await.evidence.is_empty(), "a correct peer was accused");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streamlet_goes_on_without_one_of_four_and_takes_it_back() {
    go_on_without_one_and_take_it_back(Engine::Streamlet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simplex_goes_on_without_one_of_four_and_takes_it_back() {
    go_on_without_one_and_take_it_back(Engine::Simplex).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hotstuff2_goes_on_without_one_of_four_and_takes_it_back() {
    go_on_without_one_and_take_it_back(Engine::HotStuff2).await;
}
