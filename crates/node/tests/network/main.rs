//! What the network does about peers that break its rules, links that die without a word, and peers that only follow.
//! `RUST_LOG=info` shows what the peers log.

#![allow(clippy::unwrap_used)]

#[path = "../it/common/mod.rs"]
mod common;
mod liar;
mod quic;
mod strangers;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dtn_api::ApiClient;
use dtn_consensus::Message;
use dtn_node::{Multiaddr, Node, NodeConfig, NodeError, Role, peer_id};
use dtn_primitives::*;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use libp2p::{PeerId, StreamProtocol, Swarm, swarm::dial_opts::DialOpts};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use common::*;

const LINK: StreamProtocol = StreamProtocol::new("/dtn/link/8");

/// The engine's tag, in a frame about consensus.
const PBFT: u8 = 0;

/// Submits an order to one peer and waits until f + 1 say that it is final.
async fn finalizes(cluster: &Cluster, nonce: u64, at: [usize; 2]) {
    let order = cluster.order(nonce, None);
    cluster.client(at[0]).submit(order.clone()).await.unwrap();
    for index in at {
        let reply = cluster.client(index).reply(order.hash(&cluster.genesis.domain()), 60_000).await.unwrap();
        assert!(reply.is_some(), "final within a minute");
    }
}

/// One number of a peer's `/metrics`; 0 if it is not there yet.
async fn metric(api: SocketAddr, sample: &str) -> f64 {
    let mut socket = TcpStream::connect(api).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).await.unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.trim().parse().ok());
    value.unwrap_or(0.0)
}

async fn counts(api: SocketAddr, sample: &str, at_least: f64) {
    until(sample, || async { (metric(api, sample).await >= at_least).then_some(()) }).await;
}

/// A program that has a key and says on a link whatever it likes.
struct Attacker {
    swarm: Swarm<libp2p_stream::Behaviour>,
}

impl Attacker {
    fn new(key: &SecretKey) -> Self {
        Self { swarm: swarm(key) }
    }

    /// Connects, says something and waits until the other end closes; false if it did not let the attacker speak.
    async fn say(&mut self, to: PeerId, address: &Multiaddr, what: &[u8]) -> bool {
        self.say_over(LINK, to, address, what).await
    }

    async fn say_over(&mut self, protocol: StreamProtocol, to: PeerId, address: &Multiaddr, what: &[u8]) -> bool {
        let options = DialOpts::peer_id(to).addresses(vec![address.clone()]).build();
        if self.swarm.dial(options).is_err() {
            return false;
        }
        let mut control = self.swarm.behaviour().new_control();
        let talk = async {
            let Ok(mut stream) = control.open_stream(to, protocol).await else { return false };
            if stream.write_all(what).await.is_err() || stream.flush().await.is_err() {
                return false;
            }
            // It may say something before it hangs up.
            let mut heard = Vec::new();
            let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
            assert!(ended.is_ok(), "the peer listens on");
            true
        };
        tokio::pin!(talk);
        let heard = loop {
            tokio::select! {
                heard = &mut talk => break heard,
                _ = self.swarm.select_next_some() => {}
            }
        };
        self.swarm.disconnect_peer_id(to).ok();
        while self.swarm.is_connected(&to) {
            self.swarm.select_next_some().await;
        }
        heard
    }

    /// Tries until it is let in: it may be refused for what it did before.
    async fn say_once_let_in(&mut self, to: PeerId, address: &Multiaddr, what: &[u8]) {
        let talk = async {
            while !self.say(to, address, what).await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, talk).await.expect("no refusal lasts for ever");
    }
}

/// A frame as it goes over a link.
fn framed(frame: &[u8]) -> Vec<u8> {
    [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], frame].concat()
}

/// A link's frame of consensus, the first kind of frame: the fourth validator prepares a block at the next height.
fn vote_frame(cluster: &Cluster, key: &SecretKey, height: u64, block: u8) -> Vec<u8> {
    let (kind, validator) = (VoteKind::Prepare, ValidatorIndex(3));
    let block_hash = B256::repeat_byte(block);
    let vote = Vote::sign(kind, (0, 0, height), block_hash, validator, key, &cluster.genesis.domain());
    framed(&codec::encode(&(0u8, PBFT, Message::Vote(vote.into()))))
}

/// What anybody says first.
fn hello_frame(cluster: &Cluster) -> Vec<u8> {
    framed(&codec::encode(&(5u8, VERSION, cluster.genesis.domain().network_id, "0.0.1", 1u64)))
}

fn address(cluster: &Cluster, index: usize) -> (PeerId, Multiaddr) {
    let address = format!("/ip4/127.0.0.1/tcp/{}", cluster.ports[index]).parse().unwrap();
    (peer_id(&cluster.keys[index].public_key()), address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_breaks_the_rules_is_cut_off_for_a_while_its_reason_is_counted_and_the_network_goes_on() {
    let mut cluster = Cluster::start(4).await;
    cluster.stop(3).await;
    let api = cluster.nodes[0].as_ref().unwrap().api();
    let (victim, at) = address(&cluster, 0);
    let mut attacker = Attacker::new(&cluster.keys[3]);

    attacker.say_once_let_in(victim, &at, &framed(&[0xff; 64])).await;
    counts(api, r#"dtn_faults_total{peer="3",kind="malformed_frame"}"#, 1.0).await;
    assert!(!attacker.say(victim, &at, &[]).await, "it is let in right after what it did");
    counts(api, r#"dtn_refused_connections_total{reason="refused"}"#, 1.0).await;

    attacker.say_once_let_in(victim, &at, &u32::MAX.to_be_bytes()).await;
    counts(api, r#"dtn_faults_total{peer="3",kind="oversized_frame"}"#, 1.0).await;
    assert_eq!(metric(api, r#"dtn_faults_total{peer="3",kind="malformed_frame"}"#).await, 1.0);

    // What it says is right, but not who says it.
    attacker.say_once_let_in(victim, &at, &vote_frame(&cluster, &cluster.keys[3], 1, 7)).await;
    counts(api, r#"dtn_faults_total{peer="3",kind="no_hello"}"#, 1.0).await;

    finalizes(&cluster, 0, [0, 1]).await;
    // The real validator comes back, and is let in again.
    cluster.nodes[3] = Some(Node::start(cluster.config(3)).await.unwrap());
    until("the validator is back", || async { cluster.status(0).await.connected.contains(&3).then_some(()) }).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_floods_votes_that_do_not_hold_is_cut_off_after_a_few_and_the_network_goes_on() {
    let mut cluster = Cluster::start(4).await;
    cluster.stop(3).await;
    let api = cluster.nodes[0].as_ref().unwrap().api();
    let (victim, at) = address(&cluster, 0);
    let mut liar = Attacker::new(&cluster.keys[3]);
    // In its name, but not signed by it.
    let flood = [hello_frame(&cluster), vote_frame(&cluster, &key(77), 1, 7).repeat(20_000)].concat();
    let cut_off = r#"dtn_faults_total{peer="3",kind="faults"}"#;
    let lying = async {
        while metric(api, cut_off).await < 2.0 {
            liar.say(victim, &at, &flood).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, lying).await.expect("it is cut off, and once more when it is back");
    let (looked_at, times) =
        (metric(api, r#"dtn_faults_total{peer="3",kind="bad_signature"}"#).await, metric(api, cut_off).await);
    // A budget of 32, and one a second while that lasts.
    assert!(looked_at <= 50.0 * times, "{looked_at} of its votes were looked at, and it was cut off {times} times");
    finalizes(&cluster, 0, [0, 1]).await;
    cluster.nodes[3] = Some(Node::start(cluster.config(3)).await.unwrap());
    until("the real one is let in", || async { cluster.status(0).await.connected.contains(&3).then_some(()) }).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_that_passes_on_transactions_that_hold_nowhere_is_cut_off() {
    let cluster = Cluster::start(4).await;
    let api = cluster.nodes[0].as_ref().unwrap().api();
    let (victim, at) = address(&cluster, 0);
    // Nobody but a requester promises rewards.
    let order = |nonce| {
        let text = || "x".to_string();
        let (dataset, model, metric) = (text(), text(), text());
        let work = Some(Work { expected_hashes: 100 });
        Payload::Order(Order { nonce, dataset, model, metric, reward: U256::from(1), work })
    };
    let stranger = key(78);
    let orders: Vec<_> =
        (0..100).map(|nonce| Transaction::sign(order(nonce), &stranger, &cluster.genesis.domain())).collect();
    let said = [hello_frame(&cluster), framed(&codec::encode(&(2u8, orders)))].concat();
    Attacker::new(&key(77)).say_once_let_in(victim, &at, &said).await;
    counts(api, r#"dtn_observer_faults_total{reason="faults"}"#, 1.0).await;
    finalizes(&cluster, 0, [0, 1]).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_network_or_version_is_named() {
    let mut cluster = Cluster::start(4).await;
    cluster.stop(3).await;
    let mut config = cluster.config(3);
    config.genesis.name = "another".into();
    config.store = cluster.folder.path().join("another.redb");
    let other = Node::start(config).await.unwrap();
    let api = cluster.nodes[0].as_ref().unwrap().api();
    counts(api, r#"dtn_refused_connections_total{reason="other_network"}"#, 1.0).await;
    counts(other.api(), r#"dtn_refused_connections_total{reason="other_network"}"#, 1.0).await;
    other.shutdown().await;

    let (victim, at) = address(&cluster, 1);
    let api = cluster.nodes[1].as_ref().unwrap().api();
    let hello = framed(&codec::encode(&(6u32, cluster.genesis.domain().network_id, "0.0.1", 1u64)));
    let mut older = Attacker::new(&cluster.keys[3]);
    older.say_over(StreamProtocol::new("/dtn/hello"), victim, &at, &hello).await;
    counts(api, r#"dtn_refused_connections_total{reason="other_version"}"#, 1.0).await;
    finalizes(&cluster, 0, [0, 1]).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_runs_twice_is_told_so_by_the_others() {
    let cluster = Cluster::start(4).await;
    let mut config = cluster.config(3);
    config.listen = format!("/ip4/127.0.0.1/tcp/{}", free_port()).parse().unwrap();
    config.store = cluster.folder.path().join("twin.redb");
    let twin = Node::start(config).await.unwrap();
    let original = cluster.nodes[3].as_ref().unwrap().api();
    until("one of the two knows", || async {
        let seen = [metric(original, "dtn_twin_seen").await, metric(twin.api(), "dtn_twin_seen").await];
        seen.contains(&1.0).then_some(())
    })
    .await;
    // One of them may lie, so that two have said so; the third need not have seen both.
    let others: Vec<_> = cluster.nodes[..3].iter().flatten().map(Node::api).collect();
    let mut tellers = 0;
    for api in others {
        tellers += usize::from(metric(api, r#"dtn_peer_twins_total{peer="3"}"#).await >= 1.0);
        assert_eq!(metric(api, "dtn_twin_seen").await, 0.0);
    }
    assert!(tellers >= 2, "{tellers}");
    twin.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_cannot_reach_the_others_is_reached_by_them_with_one_link_each() {
    let cluster = Cluster::start_with(4, |index, config| {
        if index == 3 {
            let own = config.key.address();
            config.peers.retain(|address, _| *address == own);
        }
    })
    .await;
    until("links to all", || async { (cluster.status(3).await.connected == [0, 1, 2]).then_some(()) }).await;
    finalizes(&cluster, 0, [3, 1]).await;
    let api = cluster.nodes[3].as_ref().unwrap().api();
    for peer in 0..3 {
        for reason in ["closed_here", "closed_there"] {
            let sample = format!(r#"dtn_disconnections_total{{peer="{peer}",reason="{reason}"}}"#);
            assert_eq!(metric(api, &sample).await, 0.0, "{sample}");
        }
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contradiction_of_a_validator_that_one_peer_hears_becomes_evidence_at_all_and_outlives_a_restart() {
    let mut cluster = Cluster::start(4).await;
    finalizes(&cluster, 0, [0, 1]).await;
    cluster.stop(3).await;
    let height = cluster.status(0).await.height;
    cluster.all_reach(height).await;
    let (victim, at) = address(&cluster, 0);
    let contradiction = [7, 8].map(|block| vote_frame(&cluster, &cluster.keys[3], height + 1, block)).concat();
    // Garbage after it, so that the peer hangs up.
    let said = [hello_frame(&cluster), contradiction, framed(&[0xff; 64])].concat();
    Attacker::new(&cluster.keys[3]).say_once_let_in(victim, &at, &said).await;

    let (domain, validators) = (cluster.genesis.domain(), cluster.genesis.validator_set().unwrap());
    for index in [0, 1, 2] {
        let client = cluster.client(index);
        let evidence = until("evidence at every peer", || async {
            let evidence = client.evidence().await.unwrap();
            (!evidence.is_empty()).then_some(evidence)
        })
        .await;
        assert_eq!(evidence.len(), 1, "the same contradiction is told once");
        evidence[0].verify(&domain, &validators).unwrap();
        assert_eq!(evidence[0].validator(), ValidatorIndex(3));
    }
    cluster.stop(1).await;
    cluster.nodes[1] = Some(Node::start(cluster.config(1)).await.unwrap());
    assert_eq!(cluster.status(1).await.evidence, [3]);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_where_observers_are_not_served() {
    let cluster = Cluster::start_with(4, |_, config| config.max_observers = 0).await;
    let api = cluster.nodes[0].as_ref().unwrap().api();
    let (victim, at) = address(&cluster, 0);
    let stranger = key(77);
    let mut attacker = Attacker::new(&stranger);
    assert!(!attacker.say(victim, &at, &vote_frame(&cluster, &stranger, 1, 7)).await, "a stranger is listened to");
    counts(api, r#"dtn_refused_connections_total{reason="stranger"}"#, 1.0).await;
    finalizes(&cluster, 0, [0, 1]).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_that_takes_part_in_consensus_is_cut_off() {
    let cluster = Cluster::start(4).await;
    let api = cluster.nodes[0].as_ref().unwrap().api();
    let (victim, at) = address(&cluster, 0);
    let mut attacker = Attacker::new(&key(77));
    // Signed by a validator, it would be a good vote of a validator.
    let said = [hello_frame(&cluster), vote_frame(&cluster, &cluster.keys[3], 1, 7)].concat();
    attacker.say_once_let_in(victim, &at, &said).await;
    counts(api, r#"dtn_observer_faults_total{reason="not_for_observers"}"#, 1.0).await;
    finalizes(&cluster, 0, [0, 1]).await;
    cluster.shutdown().await;
}

/// Forwards connections; [`Proxy::stall`] freezes those that are open, without closing them.
struct Proxy {
    port: u16,
    era: Arc<AtomicU64>,
}

impl Proxy {
    async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, era) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
        let now = era.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                let born = now.load(Ordering::SeqCst);
                for (mut from, mut to) in [(near_read, far_write), (far_read, near_write)] {
                    let now = now.clone();
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 16 * 1024];
                        while let Ok(length @ 1..) = from.read(&mut buffer).await {
                            if now.load(Ordering::SeqCst) != born {
                                // Keeps both sockets, and is silent.
                                std::future::pending::<()>().await;
                            }
                            if to.write_all(&buffer[..length]).await.is_err() {
                                break;
                            }
                        }
                    });
                }
            }
        });
        Self { port, era }
    }

    fn stall(&self) {
        self.era.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_falls_silent_without_closing_is_noticed_and_dialed_again() {
    // Peer 1 reaches peer 0 through a proxy, and peer 0 does not know where peer 1 is.
    let mut cluster = Cluster::start_with(4, |index, config| {
        let unknown = config.genesis.validators[1].address();
        config.peers.retain(|address, _| index != 0 || *address != unknown);
    })
    .await;
    cluster.stop(1).await;
    let proxy = Proxy::start(cluster.ports[0]).await;
    let through: libp2p::Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", proxy.port).parse().unwrap();
    // Who was reading its store when it stopped may hold that for a moment.
    let node = until("the store is free", || async {
        let mut config = cluster.config(1);
        config.peers.insert(cluster.keys[0].address(), through.clone());
        Node::start(config).await.ok()
    });
    cluster.nodes[1] = Some(node.await);
    let linked =
        async || until("a link", || async { cluster.status(1).await.connected.contains(&0).then_some(()) }).await;
    linked().await;
    finalizes(&cluster, 0, [1, 2]).await;

    proxy.stall();
    let near = cluster.nodes[1].as_ref().unwrap().api();
    counts(near, r#"dtn_disconnections_total{peer="0",reason="silent"}"#, 1.0).await;
    linked().await;
    until("a link at both ends", || async { cluster.status(0).await.connected.contains(&1).then_some(()) }).await;
    // Only with peers 0 and 1 is there a quorum now.
    cluster.stop(3).await;
    finalizes(&cluster, 1, [1, 2]).await;
    cluster.shutdown().await;
}

fn observer(cluster: &Cluster, seed: u8) -> NodeConfig {
    NodeConfig {
        role: Role::Observer,
        key: key(seed),
        listen: format!("/ip4/127.0.0.1/tcp/{}", free_port()).parse().unwrap(),
        store: cluster.folder.path().join(format!("observer-{seed}.redb")),
        ..cluster.config(0)
    }
}

fn api(node: &Node) -> HttpClient {
    HttpClientBuilder::default().build(format!("http://{}", node.api())).unwrap()
}

async fn follows(node: &Node, cluster: &Cluster, height: u64) {
    let (domain, validators) = (cluster.genesis.domain(), cluster.genesis.validator_set().unwrap());
    let client = api(node);
    until("the observer follows", || async { (client.status().await.unwrap().height >= height).then_some(()) }).await;
    for at in 1..=height {
        let certified = client.certificate(at).await.unwrap().unwrap();
        certified.certificate.verify(&domain, &validators).unwrap();
        assert_eq!(certified.certificate.block_hash, certified.header.hash());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_follows_serves_certificates_and_survives_the_peer_that_it_started_from() {
    let mut cluster = Cluster::start(4).await;
    finalizes(&cluster, 0, [0, 1]).await;
    // It knows one validator, which is the primary.
    let mut config = observer(&cluster, 90);
    config.peers.retain(|address, _| *address == cluster.keys[0].address());
    let first_place = config.listen.clone();
    let first = Node::start(config).await.unwrap();
    follows(&first, &cluster, 1).await;
    let status = api(&first).status().await.unwrap();
    assert_eq!(status.validator, None);

    // What is handed in there becomes final, too. It signs no replies.
    let order = cluster.order(1, None);
    let hash = api(&first).submit(order.clone()).await.unwrap();
    assert!(cluster.client(1).reply(hash, 60_000).await.unwrap().is_some());
    assert!(api(&first).reply(hash, 1).await.unwrap_err().to_string().contains("observer"));

    cluster.stop(0).await;
    finalizes(&cluster, 2, [1, 2]).await;
    let height = cluster.status(1).await.height;
    follows(&first, &cluster, height).await;

    // Another one knows nobody but the first.
    let mut config = observer(&cluster, 91);
    config.peers.clear();
    config.bootstrap = vec![format!("{first_place}/p2p/{}", peer_id(&key(90).public_key())).parse().unwrap()];
    let second = Node::start(config).await.unwrap();
    follows(&second, &cluster, height).await;
    first.shutdown().await;
    finalizes(&cluster, 3, [1, 2]).await;
    follows(&second, &cluster, cluster.status(1).await.height).await;

    let mut config = observer(&cluster, 92);
    config.key = cluster.keys[1].clone();
    assert!(matches!(Node::start(config).await.err(), Some(NodeError::IsAValidator(_))));
    let mut config = observer(&cluster, 92);
    config.bootstrap = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()];
    assert!(matches!(Node::start(config).await.err(), Some(NodeError::Bootstrap(_))));
    second.shutdown().await;
    cluster.shutdown().await;
}
