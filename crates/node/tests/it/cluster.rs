//! Four peers over real sockets in one process: they finalize the same blocks, race for work, survive restarts and
//! turn strangers and garbage away. `RUST_LOG=info` shows what they log.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use dtn_api::{ApiClient, MAX_SUBMITTED, RefusalKind, SubmitOutcome};
use dtn_ledger::verify_result;
use dtn_node::{Node, NodeConfig, NodeError};
use dtn_primitives::*;
use jsonrpsee::{
    http_client::{HttpClient, HttpClientBuilder},
    ws_client::WsClientBuilder,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn peers_finalize_orders_race_for_work_and_certify_every_block() {
    let cluster = Cluster::start(4).await;
    let client = cluster.client(1);
    let (domain, validators) = (cluster.genesis.domain(), cluster.genesis.validator_set().unwrap());
    let mut hashes = Vec::new();
    for nonce in 0..6 {
        let order = cluster.order(nonce, (nonce % 2 == 0).then_some(20_000));
        assert_eq!(client.submit(order.clone()).await.unwrap(), order.hash(&domain));
        hashes.push(order.hash(&domain));
    }
    // f + 1 = 2 matching replies convince a client.
    for hash in &hashes {
        let mut replies = Vec::new();
        for index in 0..2 {
            let reply = cluster.client(index).reply(*hash, 60_000).await.unwrap().expect("final within a minute");
            reply.verify(&domain, &validators).unwrap();
            replies.push((reply.height, reply.block_hash));
        }
        assert_eq!(replies[0], replies[1]);
    }
    let results = until("three results", || async {
        let results = client.results(1, None).await.unwrap();
        (results.len() == 3).then_some(results)
    })
    .await;
    for result in &results {
        verify_result(result, &domain, &validators).unwrap();
        assert!(hashes.contains(&result.result.id));
        assert_eq!(result.result.amount, U256::from(1_000));
    }
    let height = cluster.status(1).await.height;
    cluster.all_reach(height).await;
    for at in 1..=height {
        let block = client.block(at).await.unwrap().unwrap();
        for index in [0, 2, 3] {
            assert_eq!(cluster.client(index).block(at).await.unwrap().unwrap().hash, block.hash);
        }
    }
    for index in 0..4 {
        let status = cluster.status(index).await;
        assert!(status.evidence.is_empty() && status.faults.iter().all(|count| *count == 0), "{status:?}");
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_peer_rejoins_and_an_empty_one_catches_up_from_certificates() {
    let mut cluster = Cluster::start(4).await;
    let domain = cluster.genesis.domain();
    let client = cluster.client(0);
    client.submit(cluster.order(0, None)).await.unwrap();
    cluster.all_reach(1).await;

    cluster.stop(3).await;
    for nonce in 1..4 {
        let order = cluster.order(nonce, None);
        client.submit(order.clone()).await.unwrap();
        assert!(client.reply(order.hash(&domain), 60_000).await.unwrap().is_some(), "three of four go on");
    }
    let height = cluster.status(0).await.height;
    cluster.nodes[3] = Some(Node::start(cluster.config(3)).await.unwrap());
    cluster.all_reach(height).await;

    // Once more, this time with nothing left on its disk.
    cluster.stop(3).await;
    std::fs::remove_file(cluster.store(3)).unwrap();
    cluster.nodes[3] = Some(Node::start(cluster.config(3)).await.unwrap());
    cluster.all_reach(height).await;

    // It votes on nothing that it may have voted on before. Nobody has anything to decide, so the others let empty blocks
    // pass for its sake.
    cluster.all_reach(height + dtn_consensus::SILENCE).await;
    while cluster.status(3).await.silent {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    // It votes again: with another peer gone, nothing is final without it.
    cluster.stop(2).await;
    let order = cluster.order(client.nonce(cluster.requester.address()).await.unwrap(), None);
    client.submit(order.clone()).await.unwrap();
    assert!(client.reply(order.hash(&domain), 60_000).await.unwrap().is_some());
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_can_be_opened_again_as_soon_as_its_peer_has_stopped_whoever_reads_from_it() {
    let mut cluster = Cluster::start(4).await;
    for _ in 0..5 {
        let client = cluster.client(0);
        let read = |client: HttpClient| async move { while client.results(1, None).await.is_ok() {} };
        let readers: Vec<_> = (0..32).map(|_| tokio::spawn(read(client.clone()))).collect();
        cluster.stop(0).await;
        cluster.nodes[0] = Some(Node::start(cluster.config(0)).await.expect("the store is closed"));
        readers.into_iter().for_each(|reader| reader.abort());
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_skipped_the_blocks_of_a_result_proves_it_afterwards() {
    let mut cluster = Cluster::start_with(4, |_, config| config.retain_blocks = 8).await;
    let (domain, validators) = (cluster.genesis.domain(), cluster.genesis.validator_set().unwrap());
    let client = cluster.client(0);
    cluster.stop(3).await;
    std::fs::remove_file(cluster.store(3)).unwrap();
    client.submit(cluster.order(0, Some(1_000))).await.unwrap();
    let result = until("a result", || async { client.results(1, None).await.unwrap().pop() }).await;
    // Beyond a checkpoint, until the block of the result is nowhere any more.
    until("the block is pruned", || async {
        let order = cluster.order(client.nonce(cluster.requester.address()).await.unwrap(), None);
        client.submit(order.clone()).await.ok();
        client.reply(order.hash(&domain), 1_000).await.ok();
        client.block(result.header.height).await.unwrap().is_none().then_some(())
    })
    .await;
    cluster.nodes[3] = Some(Node::start(NodeConfig { retain_blocks: 8, ..cluster.config(3) }).await.unwrap());
    let late = cluster.client(3);
    let proven = until("the result, shown by who skipped it", || async { late.results(1, None).await.unwrap().pop() });
    let proven = proven.await;
    verify_result(&proven, &domain, &validators).unwrap();
    assert_eq!(proven.result, result.result);
    assert!(late.block(result.header.height).await.unwrap().is_none(), "it has skipped the block");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_primary_stops_the_others_go_on_without_it_and_it_follows_when_it_is_back() {
    let mut cluster = Cluster::start(4).await;
    let domain = cluster.genesis.domain();
    let client = cluster.client(1);
    client.submit(cluster.order(0, None)).await.unwrap();
    cluster.all_reach(1).await;
    cluster.stop(0).await;
    for nonce in 1..4 {
        let order = cluster.order(nonce, (nonce == 2).then_some(20_000));
        client.submit(order.clone()).await.unwrap();
        assert!(client.reply(order.hash(&domain), 60_000).await.unwrap().is_some(), "a new primary goes on");
    }
    let status = cluster.status(1).await;
    assert!(status.view > 0 && status.primary != 0, "{status:?}");
    until("a result", || async { client.results(1, None).await.unwrap().pop() }).await;

    cluster.nodes[0] = Some(Node::start(cluster.config(0)).await.unwrap());
    let order = cluster.order(4, None);
    client.submit(order.clone()).await.unwrap();
    assert!(client.reply(order.hash(&domain), 60_000).await.unwrap().is_some());
    let height = cluster.status(1).await.height;
    cluster.all_reach(height).await;
    // It may have taken the blocks from the others first.
    until("the others' view", || async {
        (cluster.status(0).await.view == cluster.status(1).await.view).then_some(())
    })
    .await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_transactions_say_why() {
    let cluster = Cluster::start(4).await;
    let client = cluster.client(0);
    let refused = async |transaction| client.submit(transaction).await.unwrap_err().to_string();

    let mut forged = cluster.order(0, None);
    forged.sender = Address::repeat_byte(9);
    assert!(refused(forged).await.contains("signature"));
    let stranger = key(77);
    let Payload::Order(order) = cluster.order(0, Some(1_000)).payload else { unreachable!() };
    let unpaid = Transaction::sign(Payload::Order(order), &stranger, &cluster.genesis.domain());
    assert!(refused(unpaid).await.contains(&stranger.address().to_string()));
    let elsewhere = Domain::new(B256::repeat_byte(1), 31337);
    let foreign = Transaction::sign(cluster.order(0, None).payload, &cluster.requester, &elsewhere);
    assert!(refused(foreign).await.contains("signature"));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_fill_every_mempool_keep_out_neither_a_requester_nor_the_claims_for_its_order() {
    let mut cluster = Cluster::start(4).await;
    let domain = cluster.genesis.domain();
    // Nothing becomes final for a while, so what comes stays.
    cluster.stop(2).await;
    cluster.stop(3).await;
    let stranger = |seed: u64| {
        let key = SecretKey::from_bytes(&B256::left_padding_from(&(1_000 + seed).to_be_bytes()).0).unwrap();
        Transaction::sign(Payload::Data { nonce: 0, items: vec![[1]].into() }, &key, &domain)
    };
    let all: Vec<_> = (0..17_000).map(stranger).collect();
    let mut refused = [0, 0];
    for many in all.chunks(2_000) {
        for (index, refused) in refused.iter_mut().enumerate() {
            let outcomes = cluster.client(index).submit_encoded(codec::encode(&many.to_vec()).into()).await.unwrap();
            let full = |outcome: &&SubmitOutcome| matches!(outcome, SubmitOutcome::Refused(error) if error.kind == RefusalKind::Full);
            *refused += outcomes.iter().filter(full).count();
        }
    }
    assert!(refused.iter().all(|refused| *refused > 0), "{refused:?}");
    let hash = cluster.client(0).submit(cluster.order(0, Some(20_000))).await.unwrap();
    for index in [2, 3] {
        cluster.nodes[index] = Some(Node::start(cluster.config(index)).await.unwrap());
    }
    until("the order's result", || async {
        let results = cluster.client(1).results(1, None).await.unwrap();
        results.iter().any(|result| result.result.id == hash).then_some(())
    })
    .await;
    cluster.shutdown().await;
}

/// Sends bytes to a peer's socket and waits until the peer closes it.
async fn is_cut_off(port: u16, garbage: &[u8]) {
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // The peer may close while we still write.
    socket.write_all(garbage).await.ok();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the peer keeps a garbage connection open");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_strangers_are_turned_away_and_the_network_goes_on() {
    let cluster = Cluster::start(4).await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 100_000], &[0; 64]] {
        is_cut_off(cluster.ports[0], garbage).await;
    }

    // A peer of another network: its key is not in this one's validator set, and this one's keys are not in its.
    let mut others: Vec<_> = (50..54).map(key).collect();
    others.sort_by_key(SecretKey::address);
    let stranger = others[3].clone();
    let genesis = Genesis { validators: others.iter().map(SecretKey::public_key).collect(), ..cluster.genesis.clone() };
    let victims = others.iter().zip(&cluster.ports);
    let peers =
        victims.map(|(key, port)| (key.address(), format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap())).collect();
    let config = NodeConfig {
        genesis,
        key: stranger,
        listen: format!("/ip4/127.0.0.1/tcp/{}", free_port()).parse().unwrap(),
        peers,
        store: cluster.folder.path().join("stranger.redb"),
        ..cluster.config(0)
    };
    let stranger = Node::start(config).await.unwrap();

    let order = cluster.order(0, None);
    cluster.client(0).submit(order.clone()).await.unwrap();
    assert!(cluster.client(0).reply(order.hash(&cluster.genesis.domain()), 60_000).await.unwrap().is_some());
    let client = HttpClientBuilder::default().build(format!("http://{}", stranger.api())).unwrap();
    assert!(client.status().await.unwrap().connected.is_empty());
    stranger.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_cannot_start_says_why() {
    let cluster = Cluster::start(4).await;
    let spare = cluster.folder.path().join("spare.redb");
    let start = async |config: NodeConfig| Node::start(config).await.err().expect("it must not start");

    let taken = NodeConfig { store: spare.clone(), ..cluster.config(0) };
    assert!(matches!(start(taken).await, NodeError::Listen { .. }));
    let listen: dtn_node::Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", free_port()).parse().unwrap();
    let api = cluster.nodes[0].as_ref().unwrap().api();
    let taken = NodeConfig { store: spare.clone(), listen: listen.clone(), api, ..cluster.config(0) };
    assert!(matches!(start(taken).await, NodeError::Api { .. }));
    let outsider = NodeConfig { store: spare.clone(), key: key(99), ..cluster.config(0) };
    assert!(matches!(start(outsider).await, NodeError::NotAValidator(_)));
    let in_use = NodeConfig { listen: listen.clone(), ..cluster.config(0) };
    assert!(matches!(start(in_use).await, NodeError::Ledger(_)));
    corrupt(&spare);
    let broken = NodeConfig { store: spare.clone(), listen, ..cluster.config(0) };
    let message = start(broken).await.to_string();
    assert!(message.contains("spare.redb"), "{message}");
    cluster.shutdown().await;
}

fn corrupt(store: &Path) {
    std::fs::write(store, [0x5a; 9000]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_gets_every_block_once_in_order_and_can_check_each() {
    let cluster = Cluster::start(4).await;
    let (domain, validators) = (cluster.genesis.domain(), cluster.genesis.validator_set().unwrap());
    let client = cluster.client(0);
    let data = |nonce| Transaction::sign(Payload::Data { nonce, items: vec![[7; 512]].into() }, &key(50), &domain);
    let url = format!("ws://{}", cluster.nodes[1].as_ref().unwrap().api());
    let subscriber = WsClientBuilder::default().build(url).await.unwrap();

    let mut sent = Vec::new();
    for nonce in 0..4 {
        let hash = client.submit(data(nonce)).await.unwrap();
        until("its reply", || async { client.reply(hash, 1_000).await.unwrap() }).await;
        sent.push(hash);
    }
    // From the first block: what is stored, then what comes; from the next on: only what comes.
    let height = cluster.status(1).await.height;
    let mut all = subscriber.subscribe_finalized(Some(1)).await.unwrap();
    let mut next = subscriber.subscribe_finalized(None).await.unwrap();
    let outcomes = client.submit_many((4..8).map(data).collect()).await.unwrap();
    sent.extend(outcomes.iter().map(|outcome| match outcome {
        SubmitOutcome::Hash(hash) => *hash,
        SubmitOutcome::Refused(error) => panic!("{error}"),
    }));

    let (mut seen, mut at) = (Vec::new(), 0);
    while seen.len() < sent.len() {
        let block = tokio::time::timeout(PATIENCE, all.next()).await.unwrap().unwrap().unwrap();
        at += 1;
        assert_eq!(block.header.height, at, "no gap and no duplicate");
        assert_eq!(block.certificate.block_hash, block.header.hash());
        block.certificate.verify(&domain, &validators).unwrap();
        assert_eq!(block.transactions_root(), block.header.transactions_root);
        seen.extend(block.transactions.iter().map(|(hash, _)| *hash));
    }
    assert_eq!(seen, sent);
    let first = tokio::time::timeout(PATIENCE, next.next()).await.unwrap().unwrap().unwrap();
    assert!(first.header.height > height, "{} is not new", first.header.height);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_transactions_are_handed_in_at_once_and_each_has_its_own_outcome() {
    let cluster = Cluster::start(4).await;
    let domain = cluster.genesis.domain();
    let client = cluster.client(0);
    let data = |nonce| Transaction::sign(Payload::Data { nonce, items: vec![[7; 512]].into() }, &key(50), &domain);
    let mut forged = data(1);
    forged.sender = Address::repeat_byte(9);
    let transactions = vec![data(0), forged, data(0), data(1)];
    let outcomes = client.submit_encoded(codec::encode(&transactions).into()).await.unwrap();
    assert_eq!(outcomes[0], SubmitOutcome::Hash(data(0).hash(&domain)));
    assert!(
        matches!(&outcomes[1], SubmitOutcome::Refused(error) if error.reason.contains("signature")),
        "{outcomes:?}"
    );
    // By now the first may be final, which refuses its copy as well.
    assert!(matches!(&outcomes[2], SubmitOutcome::Refused(_)), "{outcomes:?}");
    assert_eq!(outcomes[3], SubmitOutcome::Hash(data(1).hash(&domain)));

    let short = Transaction::sign(Payload::Data { nonce: 2, items: vec![[7]].into() }, &key(50), &domain);
    let many = vec![short; MAX_SUBMITTED + 1];
    assert!(client.submit_encoded(codec::encode(&many).into()).await.unwrap_err().to_string().contains("at most"));
    assert!(client.submit_encoded(vec![0xff; 100].into()).await.is_err());
    assert_eq!(client.submit_many(Vec::new()).await.unwrap(), Vec::new());
    cluster.shutdown().await;
}
