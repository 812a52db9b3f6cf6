//! The client against peers that run, peers that are behind, and one that lies or hangs.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    net::TcpListener,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{
            AtomicU16, AtomicUsize,
            Ordering::{self, Relaxed},
        },
    },
};

use dtn_api::NOT_ADMITTED;
use dtn_ledger::Kinds;
use dtn_node::{Node, NodeConfig, Role};
use dtn_primitives::{Address, SignedAnswer, U256, ValidatorIndex};
use jsonrpsee::{
    RpcModule,
    server::{Server, ServerHandle},
    types::ErrorObjectOwned,
};
use tempfile::TempDir;

use super::*;

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

/// Four validators, by index, of which some run.
struct Peers {
    genesis: Genesis,
    keys: Vec<SecretKey>,
    ports: Vec<u16>,
    folder: TempDir,
    nodes: Vec<Option<Node>>,
}

/// A port below those that the system gives to outgoing connections, which would take it before its peer does.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() as u16).wrapping_mul(64).wrapping_add(offset) % 22_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, waiting).await.expect("it takes far too long");
}

impl Peers {
    async fn start() -> Self {
        let mut keys: Vec<_> = (1..=4).map(key).collect();
        keys.sort_by_key(SecretKey::address);
        let genesis = Genesis {
            version: dtn_primitives::VERSION,
            name: "client".into(),
            chain_id: 31337,
            timestamp: 1_700_000_000_000,
            max_block_bytes: 1 << 20,
            validators: keys.iter().map(SecretKey::public_key).collect(),
            requesters: vec![key(200).address()],
            engine: dtn_primitives::Engine::Pbft,
            kinds: Vec::new(),
            training: None,
        };
        let ports = keys.iter().map(|_| free_port()).collect();
        let mut peers = Self { genesis, keys, ports, folder: TempDir::new().unwrap(), nodes: Vec::new() };
        for index in 0..4 {
            let config = peers.config(index);
            dtn_ledger::mark_never_voted(&config.store).unwrap();
            let node = Node::start(config).await.unwrap();
            peers.nodes.push(Some(node));
        }
        let client = peers.client(peers.apis());
        for peer in &client.peers {
            until(async || !peer.status().await.unwrap().silent).await;
        }
        peers
    }

    fn config(&self, index: usize) -> NodeConfig {
        let address = |port: u16| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        let addresses = self.keys.iter().zip(&self.ports);
        let peers: BTreeMap<_, _> = addresses.map(|(key, port)| (key.address(), address(*port))).collect();
        NodeConfig {
            genesis: self.genesis.clone(),
            kinds: Kinds::default(),
            role: Role::Validator,
            bootstrap: Vec::new(),
            max_observers: 0,
            listen: address(self.ports[index]),
            payee: Address::repeat_byte(1),
            key: self.keys[index].clone(),
            peers,
            api: "127.0.0.1:0".parse().unwrap(),
            api_hosts: Vec::new(),
            store: self.folder.path().join(format!("{index}.redb")),
            threads: NonZeroUsize::MIN,
            mine: false,
            lines: None,
            half_work: false,
            lie: None,
            view_timeout: Duration::from_secs(2),
            retain_blocks: 0,
        }
    }

    async fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().shutdown().await;
    }

    async fn restart(&mut self, index: usize) {
        self.nodes[index] = Some(Node::start(self.config(index)).await.unwrap());
    }

    /// Has a peer run that nobody tells anything, with nothing in its store: it is behind, and stays so.
    async fn restart_behind(&mut self, index: usize) {
        self.stop(index).await;
        let mut config = self.config(index);
        let nowhere = || format!("/ip4/127.0.0.1/tcp/{}", free_port()).parse().unwrap();
        config.listen = nowhere();
        config.peers.values_mut().for_each(|address| *address = nowhere());
        config.store = self.folder.path().join(format!("{index}-behind.redb"));
        self.nodes[index] = Some(Node::start(config).await.unwrap());
    }

    /// Where those that run answer.
    fn apis(&self) -> Vec<SocketAddr> {
        self.nodes.iter().flatten().map(Node::api).collect()
    }

    fn client(&self, peers: Vec<SocketAddr>) -> Client {
        // Who hangs is not left because of a time limit.
        let peer = |address| {
            HttpClientBuilder::default().request_timeout(10 * LONG).build(format!("http://{address}")).unwrap()
        };
        let (domain, membership) = (self.genesis.domain(), self.genesis.membership().unwrap());
        Client { genesis: self.genesis.clone(), domain, membership, peers: peers.into_iter().map(peer).collect() }
    }

    fn order(&self, nonce: u64) -> Transaction {
        let order = Order {
            nonce,
            dataset: "MNIST".into(),
            model: "LeNet-5".into(),
            metric: "accuracy".into(),
            reward: U256::ZERO,
            work: None,
        };
        Transaction::sign(Payload::Order(order), &key(200), &self.genesis.domain())
    }

    async fn shutdown(mut self) {
        for node in self.nodes.drain(..).flatten() {
            node.shutdown().await;
        }
    }
}

/// A validator that refuses every transaction, has replies where it is told to, and answers from a state that is over.
struct Liar {
    address: SocketAddr,
    _server: ServerHandle,
    /// How often it was asked for a reply.
    asked: Arc<AtomicUsize>,
}

impl Liar {
    async fn start(peers: &Peers, index: usize, reply: Option<(u64, B256)>) -> Self {
        let (key, domain, me) = (peers.keys[index].clone(), peers.genesis.domain(), ValidatorIndex(index as u16));
        let asked = Arc::new(AtomicUsize::new(0));
        let mut module = RpcModule::new((key, domain, me, asked.clone()));
        module
            .register_method("dtn_submit", |_, _, _| {
                let kind = RefusalKind::NonceTooLow { have: 0, next: 1 };
                Err::<(), _>(ErrorObjectOwned::owned(NOT_ADMITTED, "the nonce was used before", Some(kind)))
            })
            .unwrap();
        module
            .register_method("dtn_read", |params, (key, domain, me, _), _| {
                let question: Question = params.sequence().next().unwrap();
                let answer = SignedAnswer::sign(&question, Answer::Nonce(0), 1_000, *me, (key, domain));
                Ok::<_, ErrorObjectOwned>(answer)
            })
            .unwrap();
        module
            .register_method("dtn_reply", move |params, (key, domain, me, asked), _| {
                asked.fetch_add(1, Relaxed);
                let transaction: B256 = params.sequence().next().unwrap();
                let sign = |(height, block)| Reply::sign(transaction, height, block, *me, key, domain);
                Ok::<_, ErrorObjectOwned>(reply.map(sign))
            })
            .unwrap();
        let server = Server::builder().build("127.0.0.1:0").await.unwrap();
        Self { address: server.local_addr().unwrap(), _server: server.start(module), asked }
    }
}

fn nonce_of_requester() -> Question {
    Question::Nonce(key(200).address())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_done_once_a_quorum_has_it_and_no_read_shows_what_was_before() {
    let mut peers = Peers::start().await;
    let client = peers.client(peers.apis());
    let write = [peers.order(0)];
    let done = client.execute_all(&write, |_| ()).await.unwrap().remove(0);
    assert!(done.by_quorum && done.replies >= 3, "{done:?}");
    assert_eq!(client.read(nonce_of_requester()).await.unwrap().answer, Answer::Nonce(1));

    // One has it, two are behind, and one says that it has it and answers as if it had not.
    let liar = Liar::start(&peers, 3, Some((done.height, done.block))).await;
    peers.stop(3).await;
    peers.restart_behind(1).await;
    peers.restart_behind(2).await;
    let client = peers.client([peers.apis(), vec![liar.address]].concat());
    let early = client.execute_all(&write, |_| ()).await.unwrap().remove(0);
    assert!(!early.by_quorum && early.replies == 2, "it is final and not done: {early:?}");

    // With another that has it the write is done, and those that would say otherwise are too few.
    peers.stop(2).await;
    peers.restart(2).await;
    let client = peers.client([peers.apis(), vec![liar.address]].concat());
    let done = client.execute_all(&write, |_| ()).await.unwrap().remove(0);
    assert!(done.by_quorum, "{done:?}");
    client.read(nonce_of_requester()).await.unwrap_err();
    peers.stop(1).await;
    peers.restart(1).await;
    let client = peers.client([peers.apis(), vec![liar.address]].concat());
    assert_eq!(client.read(nonce_of_requester()).await.unwrap().answer, Answer::Nonce(1));
    peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_final_is_not_called_refused_however_few_say_so_yet() {
    let mut peers = Peers::start().await;
    let client = peers.client(peers.apis());
    let write = [peers.order(0)];
    client.execute_all(&write, |_| ()).await.unwrap();
    let liar = Liar::start(&peers, 3, None).await;
    for index in 1..4 {
        peers.stop(index).await;
    }
    let (spare, liars) = ([peers.apis(), vec![liar.address]].concat(), liar.asked.clone());
    let client = peers.client(spare);
    // Both that answer refuse it; one has it.
    let executing = client.execute_all(&write, |_| ());
    tokio::pin!(executing);
    tokio::select! {
        ended = &mut executing => panic!("too early: {ended:?}"),
        () = until(async || liars.load(Relaxed) >= 2) => {}
    }
    peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_take_is_refused_at_once() {
    let peers = Peers::start().await;
    let client = peers.client(peers.apis());
    let mut forged = peers.order(0);
    forged.sender = Address::repeat_byte(9);
    let error = client.execute_all(&[forged], |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("refuses"), "{error}");
    client.execute_all(&[peers.order(0)], |_| ()).await.unwrap();
    // Another with the nonce of one that is final.
    let Payload::Order(order) = peers.order(0).payload else { unreachable!() };
    let order = Order { metric: "another".into(), ..order };
    let second = Transaction::sign(Payload::Order(order), &key(200), &client.domain);
    let error = client.execute_all(&[second], |_| ()).await.unwrap_err();
    assert!(error.to_string().contains("refuses"), "{error}");
    peers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_hangs_keeps_nobody_waiting() {
    let mut peers = Peers::start().await;
    peers.stop(3).await;
    // It takes connections and says nothing.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = peers.client([vec![hanging.local_addr().unwrap()], peers.apis()].concat());
    let all = async {
        let done = client.execute_all(&[peers.order(0)], |_| ()).await.unwrap().remove(0);
        assert!(done.by_quorum, "{done:?}");
        assert_eq!(client.read(nonce_of_requester()).await.unwrap().answer, Answer::Nonce(1));
        assert_eq!(client.next_nonce(&key(200)).await.unwrap(), 1);
        assert!(client.height().await.unwrap() >= done.height);
        assert_eq!(client.last_round().await.unwrap(), 0);
        assert_eq!(client.round(1).await.unwrap(), None);
        assert_eq!(client.certificate(done.height).await.unwrap().header.hash(), done.block);
        client.certificate(done.height + 9).await.unwrap_err();
    };
    timeout(LONG, all).await.expect("nobody waits for the peer that hangs");
    peers.shutdown().await;
}
