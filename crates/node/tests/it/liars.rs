//! Peers that are told to lie, with the adversaries of the simulator, over real sockets: the others agree, go on and accuse nobody
//! but the liar.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use dtn_adversary::Kind;
use dtn_api::ApiClient;
use dtn_node::{Node, NodeError};
use dtn_primitives::{Engine, Mining};

use crate::common::*;

/// Orders that have to become final in spite of a liar.
const ORDERS: u64 = 8;

fn nakamoto() -> Engine {
    Engine::Nakamoto(Mining { block_interval_ms: 200, confirmations: 2, expected_hashes: 1 << 12 })
}

/// Four peers of which this one lies.
async fn with_liar(engine: Engine, kind: Kind, liar: usize) -> Cluster {
    let mut cluster = Cluster::of((1..=4).map(key).collect());
    cluster.genesis.engine = engine;
    let adjust = |index, config: &mut dtn_node::NodeConfig| {
        config.lie = (index == liar).then_some(kind);
        config.view_timeout = Duration::from_millis(500);
    };
    cluster.begin(adjust).await
}

/// Hands orders in, waits until the honest peers have them all, and compares their blocks.
async fn the_others_agree(engine: Engine, kind: Kind, liar: usize) -> Cluster {
    let cluster = with_liar(engine, kind, liar).await;
    let honest: Vec<usize> = (0..4).filter(|index| *index != liar).collect();
    let domain = cluster.genesis.domain();
    let mut height = 0;
    for nonce in 0..ORDERS {
        let order = cluster.order(nonce, None);
        let hash = order.hash(&domain);
        cluster.client(honest[nonce as usize % 3]).submit(order).await.unwrap();
        for peer in &honest {
            let what = format!("order {nonce} at {peer}, with a {kind} in {engine:?}");
            height =
                until(&what, || async { cluster.client(*peer).reply(hash, 5_000).await.ok().flatten() }).await.height;
        }
    }
    for at in 1..=height {
        let mut hashes = Vec::new();
        for peer in &honest {
            hashes.push(cluster.client(*peer).block(at).await.unwrap().unwrap().hash);
        }
        assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "height {at} with a {kind} in {engine:?}");
    }
    for peer in honest {
        let accused = cluster.status(peer).await.evidence;
        let innocent = accused.iter().find(|accused| usize::from(**accused) != liar);
        assert!(innocent.is_none(), "{peer} accuses {innocent:?} where {liar} lies as a {kind} in {engine:?}");
    }
    cluster
}

/// Whoever says two things is found out by all, with proof.
async fn is_caught(engine: Engine) {
    let cluster = the_others_agree(engine, Kind::Equivocator, 0).await;
    for peer in 1..4 {
        until(&format!("evidence at {peer} in {engine:?}"), || async {
            (!cluster.status(peer).await.evidence.is_empty()).then_some(())
        })
        .await;
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_equivocator_is_caught_by_every_honest_peer_whatever_the_engine() {
    for engine in [Engine::Pbft, Engine::Streamlet, Engine::Simplex, Engine::HotStuff2] {
        is_caught(engine).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_one_of_four_lies_the_others_agree_and_go_on() {
    let engines = [Engine::Pbft, Engine::Simplex, Engine::HotStuff2, Engine::Streamlet];
    for (number, kind) in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Equivocator).enumerate() {
        the_others_agree(engines[number % engines.len()], kind, number % 4).await.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn miners_go_on_beside_one_that_keeps_its_blocks_to_itself() {
    for kind in Kind::MINERS {
        the_others_agree(nakamoto(), kind, 0).await.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_lies_on_a_development_chain_only_and_about_what_it_says() {
    let start = |engine, chain_id, kind| async move {
        let mut cluster = Cluster::of((1..=4).map(key).collect());
        (cluster.genesis.engine, cluster.genesis.chain_id) = (engine, chain_id);
        let mut config = cluster.config(0);
        config.lie = Some(kind);
        Node::start(config).await.err().unwrap()
    };
    let elsewhere = start(Engine::Pbft, 97, Kind::Silent).await;
    assert!(matches!(elsewhere, NodeError::ToldToCheat("lie", 97)), "{elsewhere}");
    let mines = start(Engine::Pbft, 31337, Kind::Withholder).await;
    assert!(matches!(mines, NodeError::NothingToLieAbout(Kind::Withholder)), "{mines}");
}
