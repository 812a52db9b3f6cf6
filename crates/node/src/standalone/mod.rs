//! A peer that runs a protocol without blocks: any [`Standalone`], over the links that peers with blocks have.
//!
//! A thread owns the protocol and works in steps, as [`crate::core`] does. What a step has to remember is on disk before
//! anything leaves that it says, asks or comes to. Everything that others could make grow is bounded:
//!
//! | what | bound |
//! |---|---|
//! | a message | [`PeerConfig::max_message`]; who sends a longer one is cut off, and a protocol that says one is stopped |
//! | what waits to be sent to a peer | 4,096 messages, or four times the longest of them or 16 MiB; the oldest makes room |
//! | what was heard and waits for the protocol | 64 MiB a peer, decoded, and 10,000 messages a second; the link waits |
//! | faults of a peer | 32, one of which is forgiven each second; then it is cut off, longer each time |
//! | what the caller has not taken | [`UNTAKEN`]; the protocol waits for it |
//! | what the caller tells | [`UNTAKEN`]; the caller waits |

mod counts;
mod host;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt, fs,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use dtn_consensus::Standalone;
pub use dtn_ledger::mark_never_voted;
use dtn_ledger::{Memory, Store, StoreError, WeakStore};
use dtn_primitives::{
    Address, B256, SecretKey, ValidatorIndex, ValidatorSet,
    codec::{self, CodecError},
    keccak256,
};
use dtn_trainer::Library;
use libp2p::{Multiaddr, multiaddr};
use tokio::sync::{mpsc, oneshot};

use crate::{
    NodeError,
    inbox::inbox,
    metrics::{Metrics, Watched, WatchedQueue},
    network::{Network, NetworkConfig},
    serve::Archive,
    wire::{self, Hello, Mark, Tag},
};

use counts::Counters;
pub use counts::{Counts, Traffic};
use host::{Host, HostConfig};

/// How many asks and outputs a caller may leave untaken, and how many answers may wait for the protocol.
pub const UNTAKEN: usize = 1024;

/// Commands that may wait for the network; what does not fit is dropped, and the protocol says it again.
const COMMANDS: usize = 4096;

/// What a frame has beside its message.
const FRAME_OVERHEAD: usize = 64;

/// How often a peer that stops looks whether its store is closed.
const CLOSING: Duration = Duration::from_millis(5);

/// What a peer needs to know.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The network that it belongs to: peers of others are refused.
    pub network_id: B256,
    /// Who takes part.
    pub validators: ValidatorSet,
    /// This peer's key: its side of every link is authenticated with it.
    pub key: SecretKey,
    /// Where it listens for peers: `/ip4/ADDRESS/tcp/PORT`.
    pub listen: Multiaddr,
    /// Where the others listen. A peer needs those with a lower index, and is better off with all.
    pub peers: BTreeMap<Address, Multiaddr>,
    /// Its journal, in a folder of its own that is there. Before the first start [`mark_never_voted`] says that this peer
    /// has never said anything; a journal that is made without is one that was lost
    /// ([`Memory::Lost`](dtn_consensus::Memory::Lost)).
    pub store: PathBuf,
    /// The longest encoded message, in bytes.
    pub max_message: usize,
}

impl PeerConfig {
    /// So many peers on this machine, to try a protocol with: keys that everybody knows, ports of the loopback interface that
    /// are free now, a journal each in a folder of its own below `folder`, and messages of up to 64 KiB. A peer starts
    /// again with a clone of its configuration.
    pub fn local(n: u8, folder: &Path) -> Result<Vec<(ValidatorIndex, Self)>, PeerError> {
        let failed = |error: io::Error| NodeError::Network(error.to_string());
        // Held together, so that they differ.
        let held = (0..n).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<Vec<_>, _>>();
        let port = |listener: &TcpListener| Ok(listener.local_addr()?.port());
        let ports = held.and_then(|held| held.iter().map(port).collect::<Result<Vec<_>, _>>()).map_err(failed)?;
        let configs = Self::on_ports(&ports, folder);
        for (_, config) in &configs {
            config.store.parent().map_or(Ok(()), fs::create_dir).map_err(failed)?;
            mark_never_voted(&config.store)?;
        }
        Ok(configs)
    }

    /// The same on ports that somebody has chosen, whose folders are there: each process of such a network knows all.
    pub fn on_ports(ports: &[u16], folder: &Path) -> Vec<(ValidatorIndex, Self)> {
        let keys = (1u8..).zip(ports).filter_map(|(seed, _)| SecretKey::from_bytes(&[seed; 32]).ok());
        let mut keys: Vec<_> = keys.collect();
        keys.sort_by_key(SecretKey::address);
        let address = |port: &u16| Multiaddr::from(Ipv4Addr::LOCALHOST).with(multiaddr::Protocol::Tcp(*port));
        let addresses = ports.iter().map(address);
        let peers: BTreeMap<_, _> = keys.iter().map(SecretKey::address).zip(addresses.clone()).collect();
        let validators = ValidatorSet::new(0, keys.iter().map(SecretKey::public_key));
        let network_id = keccak256(folder.as_os_str().as_encoded_bytes());
        let config = |((index, key), listen): ((u16, SecretKey), Multiaddr)| {
            let store = folder.join(index.to_string()).join("journal.redb");
            let (validators, peers, max_message) = (validators.clone(), peers.clone(), 64 * 1024);
            (ValidatorIndex(index), Self { network_id, validators, key, listen, peers, store, max_message })
        };
        (0..).zip(keys).zip(addresses).map(config).collect()
    }
}

/// Why a peer does not start, or has stopped.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The links or the store failed, or the key is not one of this network or used twice.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The journal failed. A peer stops then, since it cannot keep what it promises.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record in the journal is none of this protocol. Without it this peer could contradict what it said.
    #[error("the record in slot {slot} of the journal of {protocol}: {error}")]
    Record {
        /// Its slot.
        slot: u64,
        /// The protocol.
        protocol: &'static str,
        /// What is wrong.
        error: CodecError,
    },
    /// The protocol would say something that its peers do not read.
    #[error("a message {kind} of {protocol} takes {bytes} bytes, and {limit} is the limit: raise it at all peers")]
    MessageTooLong {
        /// The protocol.
        protocol: &'static str,
        /// What the message is.
        kind: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}

/// What a protocol has for whoever runs it. What it rests on is durable.
#[derive(Debug)]
pub enum Event<P: Standalone> {
    /// It asks something, to be answered by [`Handle::answer`].
    Asked(P::Ask),
    /// It has come to something. After a restart it may come to the same again.
    Output(P::Output),
}

/// A running peer. It stops when it is dropped.
pub struct Peer<P: Standalone> {
    handle: Handle<P>,
    events: mpsc::Receiver<Event<P>>,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<Result<(), PeerError>>,
    network: tokio::task::JoinHandle<()>,
    store: WeakStore,
}

impl<P> Peer<P>
where
    P: Standalone<Message: Send, Record: Send, Timer: Send, Ask: Send, Answer: Send, Output: Send> + Send + 'static,
{
    /// Opens the journal, binds the socket, makes the protocol of the records that it had made durable, by their slots, and
    /// starts it. Must be called within a tokio runtime.
    pub async fn start(config: PeerConfig, create: impl FnOnce(Vec<P::Record>) -> P) -> Result<Self, PeerError> {
        let PeerConfig { network_id, validators, key, listen, peers, store: path, max_message } = config;
        let me = validators.index_of(key.address()).ok_or(NodeError::NotAValidator(key.address()))?;
        // Each protocol has a journal of its own.
        let journal_id = keccak256([network_id.as_slice(), P::NAME.as_bytes()].concat());
        let (store, _) = Store::start(&path, journal_id, key.address())?;
        if store.memory()? == Memory::Lost {
            tracing::warn!(protocol = P::NAME, "this peer does not know everything that it has said");
        }
        let record = |(slot, bytes): (u64, Vec<u8>)| {
            codec::decode(&bytes, bytes.len()).map_err(|error| PeerError::Record { slot, protocol: P::NAME, error })
        };
        let protocol = create(store.journal()?.into_iter().map(record).collect::<Result<_, _>>()?);

        let (commands, commands_in) = mpsc::channel(COMMANDS);
        let (inbox, inbox_out) = inbox();
        let (answers, answers_in) = mpsc::channel(UNTAKEN);
        let queues = vec![WatchedQueue::new("commands", &commands), WatchedQueue::with("events", inbox.depth())];
        let library = Library::new(path.with_extension("library"));
        let metrics = Metrics::new(validators.len(), Watched { store: path, queues, ..Watched::default() });
        let network = NetworkConfig {
            key: &key,
            validators: &validators,
            engine: Tag::Own(Mark::of(P::NAME)),
            max_bytes: (max_message + FRAME_OVERHEAD, wire::max_sync_response(0)),
            listen,
            addresses: validators.iter().map(|(_, validator)| peers.get(&validator.address).cloned()).collect(),
            bootstrap: Vec::new(),
            max_observers: 0,
            hello: Hello::new(network_id, RandomState::new().build_hasher().finish()),
            // There are no blocks in the store, and who asks for any is told so.
            archive: Archive::new(&store, library),
            results: std::sync::mpsc::channel().0,
            metrics: metrics.clone(),
        };
        let network = Network::bind(network, commands_in, inbox).await?;

        let (told, events) = mpsc::channel(UNTAKEN);
        let (stop, stopping) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        let weak = store.downgrade();
        let (metrics_of, counters_of, address) = (metrics.clone(), counters.clone(), key.address());
        let config =
            HostConfig { me, address, max_message, store, commands, metrics: metrics_of, counters: counters_of };
        let host = Host::new(config, protocol);
        let (ended, stopped) = oneshot::channel();
        thread::Builder::new()
            .name("protocol".into())
            // Nobody listens only when the peer was dropped.
            .spawn(move || _ = ended.send(host.run(inbox_out, (told, answers_in), stopping)))
            .map_err(|error| NodeError::Network(error.to_string()))?;
        let network = tokio::spawn(network.run());
        Ok(Self { handle: Handle { answers, counters, metrics }, events, stop, stopped, network, store: weak })
    }

    /// For telling it something, and looking at what it has done.
    pub fn handle(&self) -> &Handle<P> {
        &self.handle
    }

    /// The next that it has for its caller; why it has stopped, if it has. Nothing is lost if this is not waited for to the
    /// end.
    pub async fn next(&mut self) -> Result<Event<P>, PeerError> {
        match self.events.recv().await {
            Some(event) => Ok(event),
            None => match (&mut self.stopped).await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) | Err(_) => Err(NodeError::Stopped.into()),
            },
        }
    }

    /// Stops it: finishes what it is writing and closes its journal.
    pub async fn shutdown(self) {
        drop((self.stop, self.events));
        self.stopped.await.ok();
        self.network.await.ok();
        while self.store.is_open() {
            tokio::time::sleep(CLOSING).await;
        }
    }
}

/// Tells a protocol what it is to know, and what it has done. Clones are of the same peer.
pub struct Handle<P: Standalone> {
    answers: mpsc::Sender<P::Answer>,
    counters: Arc<Counters>,
    metrics: Metrics,
}

impl<P: Standalone> Handle<P> {
    /// Answers what it asked, or tells it something unasked. What was told before a restart is to be told again after it.
    /// Waits while too much waits for the protocol.
    pub async fn answer(&self, answer: P::Answer) -> Result<(), PeerError> {
        self.answers.send(answer).await.map_err(|_| NodeError::Stopped.into())
    }

    /// What it has said and heard, by the kinds of its messages, and the faults that it has found.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// All that a peer measures of itself and of its links, as OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.metrics.encode()
    }
}

impl<P: Standalone> Clone for Handle<P> {
    fn clone(&self) -> Self {
        Self { answers: self.answers.clone(), counters: self.counters.clone(), metrics: self.metrics.clone() }
    }
}

impl<P: Standalone> fmt::Debug for Handle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&P::NAME).finish()
    }
}

impl<P: Standalone> fmt::Debug for Peer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&P::NAME).finish()
    }
}
