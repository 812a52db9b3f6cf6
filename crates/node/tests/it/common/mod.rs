//! A network of peers in one process, over real sockets.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::{
    collections::BTreeMap,
    future::Future,
    net::TcpListener,
    num::NonZeroUsize,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use dtn_api::{ApiClient, Status};
use dtn_ledger::Kinds;
use dtn_node::{Node, NodeConfig, Role};
use dtn_primitives::*;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use libp2p::{Swarm, SwarmBuilder, identity, noise, tcp, yamux};
use tempfile::TempDir;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

pub const PATIENCE: Duration = Duration::from_secs(180);

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

/// A port that is free now, that no other test of this process is given, and that no outgoing connection takes while a
/// peer restarts (Linux: those are from 32768 on).
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() as u16).wrapping_mul(64).wrapping_add(offset) % 22_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What a program needs that has a key and says to peers whatever it likes.
pub fn swarm(key: &SecretKey) -> Swarm<libp2p_stream::Behaviour> {
    let secret = identity::secp256k1::SecretKey::try_from_bytes(key.to_bytes()).unwrap();
    SwarmBuilder::with_existing_identity(identity::secp256k1::Keypair::from(secret).into())
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .build()
}

/// Waits until `condition` gives a value, however long the machine takes within reason.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited too long for: {what}"))
}

/// What `RUST_LOG` asks for goes to standard error.
pub fn log() {
    let asked = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    let filter: tracing_subscriber::filter::Targets = asked.unwrap_or_default();
    tracing_subscriber::registry().with(filter).with(tracing_subscriber::fmt::layer()).try_init().ok();
}

pub struct Cluster {
    pub genesis: Genesis,
    pub keys: Vec<SecretKey>,
    pub ports: Vec<u16>,
    pub folder: TempDir,
    pub nodes: Vec<Option<Node>>,
    pub requester: SecretKey,
}

impl Cluster {
    pub async fn start(n: u8) -> Self {
        Self::start_with(n, |_, _| ()).await
    }

    /// Starts the peers with what `adjust` makes of their configurations.
    pub async fn start_with(n: u8, adjust: impl Fn(usize, &mut NodeConfig)) -> Self {
        Self::of((1..=n).map(key).collect()).begin(adjust).await
    }

    /// Starts four peers whose blocks become final by this engine.
    pub async fn start_engine(engine: Engine) -> Self {
        let mut cluster = Self::of((1..=4).map(key).collect());
        cluster.genesis.engine = engine;
        cluster.begin(|_, _| ()).await
    }

    pub async fn begin(self, adjust: impl Fn(usize, &mut NodeConfig)) -> Self {
        log();
        let (n, mut cluster, mut votes) = (self.keys.len(), self, Vec::new());
        for index in 0..n {
            let mut config = cluster.config(index);
            adjust(index, &mut config);
            // A liar need not ask the others what it has forgotten.
            votes.extend(config.lie.is_none().then_some(index));
            std::fs::create_dir_all(config.store.parent().unwrap()).unwrap();
            dtn_ledger::mark_never_voted(&config.store).unwrap();
            let node = Node::start(config).await.unwrap();
            cluster.nodes.push(Some(node));
        }
        for index in votes {
            cluster.votes(index).await;
        }
        cluster
    }

    /// A network of these validators, none of which runs.
    pub fn of(mut keys: Vec<SecretKey>) -> Self {
        keys.sort_by_key(SecretKey::address);
        let requester = key(200);
        let genesis = Genesis {
            version: dtn_primitives::VERSION,
            name: "cluster".into(),
            chain_id: 31337,
            timestamp: 1_700_000_000_000,
            max_block_bytes: 1 << 20,
            validators: keys.iter().map(SecretKey::public_key).collect(),
            requesters: vec![requester.address()],
            engine: dtn_primitives::Engine::Pbft,
            kinds: Vec::new(),
            training: Some(TrainingTerms { price: 1, view_timeout_ms: 250, ..TrainingTerms::default() }),
        };
        let ports = keys.iter().map(|_| free_port()).collect();
        let folder = TempDir::new().unwrap();
        Self { genesis, keys, ports, folder, nodes: Vec::new(), requester }
    }

    /// Waits until a validator votes: the others have told it that they are as new as it is.
    pub async fn votes(&self, index: usize) {
        until("a validator that votes", || async { (!self.status(index).await.silent).then_some(()) }).await;
    }

    pub fn config(&self, index: usize) -> NodeConfig {
        let peers: BTreeMap<Address, dtn_node::Multiaddr> = self
            .keys
            .iter()
            .zip(&self.ports)
            .map(|(key, port)| (key.address(), format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()))
            .collect();
        let key = self.keys[index].clone();
        NodeConfig {
            genesis: self.genesis.clone(),
            kinds: Kinds::default(),
            role: Role::Validator,
            bootstrap: Vec::new(),
            max_observers: 4,
            listen: peers[&key.address()].clone(),
            payee: Address::repeat_byte(index as u8 + 1),
            key,
            peers,
            api: "127.0.0.1:0".parse().unwrap(),
            api_hosts: Vec::new(),
            store: self.store(index),
            threads: NonZeroUsize::MIN,
            mine: true,
            lines: None,
            half_work: false,
            lie: None,
            view_timeout: Duration::from_secs(2),
            retain_blocks: 0,
        }
    }

    pub fn store(&self, index: usize) -> std::path::PathBuf {
        self.folder.path().join(index.to_string()).join("ledger.redb")
    }

    pub fn client(&self, index: usize) -> HttpClient {
        let api = self.nodes[index].as_ref().unwrap().api();
        HttpClientBuilder::default().build(format!("http://{api}")).unwrap()
    }

    pub async fn status(&self, index: usize) -> Status {
        self.client(index).status().await.unwrap()
    }

    pub fn order(&self, nonce: u64, expected_hashes: Option<u64>) -> Transaction {
        let order = Order {
            nonce,
            dataset: "MNIST".into(),
            model: "LeNet-5".into(),
            metric: "accuracy >= 0.99".into(),
            reward: expected_hashes.map_or(U256::ZERO, |_| U256::from(1_000)),
            work: expected_hashes.map(|expected_hashes| Work { expected_hashes }),
        };
        Transaction::sign(Payload::Order(order), &self.requester, &self.genesis.domain())
    }

    pub async fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().shutdown().await;
    }

    pub async fn shutdown(self) {
        self.close().await;
    }

    /// Stops all and leaves their stores, in a folder that ends with what is given.
    pub async fn close(mut self) -> TempDir {
        for node in self.nodes.drain(..).flatten() {
            node.shutdown().await;
        }
        self.folder
    }

    pub async fn all_reach(&self, height: u64) {
        for index in (0..self.nodes.len()).filter(|index| self.nodes[*index].is_some()) {
            until(&format!("peer {index} at height {height}"), || async {
                (self.status(index).await.height >= height).then_some(())
            })
            .await;
        }
    }
}
