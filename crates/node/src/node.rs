//! Starting, asking and stopping a peer.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    thread,
    time::Duration,
};

use dtn_adversary::Kind;
use dtn_api::{MAX_WAIT_MS, Status};
use dtn_ledger::{Kinds, Ledger, LedgerError, Memory, Rulebook, StoreError, WeakStore};
use dtn_primitives::{
    Address, B256, Bytes, Certificate, Engine, Evidence, FinalizedResult, Genesis, GenesisError, Header, Reply, Round,
    SecretKey, ValidatorIndex, ValidatorSet, codec,
};
use dtn_trainer::Library;
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot};

use crate::{
    api::{ApiListener, Serving},
    backfill::Backfill,
    board::Board,
    core::{Core, CoreConfig},
    feed::Feed,
    host::{Host, Query},
    inbox::inbox,
    metrics::{Metrics, Watched, WatchedQueue},
    network::{Network, NetworkConfig},
    observer::Observer,
    reader::Reader,
    serve::Archive,
    wire::{self, Hello, Tag},
    work::{
        line::port::{LinePort, LineRefusal, LinesConfig},
        training::upload::Uploads,
    },
};

/// Messages that may wait between the core and the network.
const CHANNEL: usize = 4096;

/// The chain id of anvil and other development chains.
pub const DEVELOPMENT_CHAIN: u64 = 31337;

/// Questions that may wait for the core.
const QUERIES: usize = 1024;

/// How long a line waits for those before it to be final.
const LINE_PATIENCE: Duration = Duration::from_secs(10);

/// How often a peer that stops looks whether its store is closed.
const CLOSING: Duration = Duration::from_millis(5);

/// What a peer does in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It votes; its key is one of the genesis.
    #[default]
    Validator,
    /// It follows, verifies and serves; its key is nobody's among the validators.
    Observer,
}

/// What a peer needs to know.
#[derive(Debug)]
pub struct NodeConfig {
    /// The network that it belongs to.
    pub genesis: Genesis,
    /// The rules of the custom kinds of work that the genesis names.
    pub kinds: Kinds,
    /// Whether it votes.
    pub role: Role,
    /// Its key: a validator's signs its votes too, an observer's only proves who it is.
    pub key: SecretKey,
    /// Where it listens for peers: `/ip4/ADDRESS/tcp/PORT` or `/ip4/ADDRESS/udp/PORT/quic-v1`.
    pub listen: Multiaddr,
    /// Where validators listen. A validator needs all of those with a lower index, and is better off with all; an observer
    /// needs one, and learns the others' from it.
    pub peers: BTreeMap<Address, Multiaddr>,
    /// Observers that this one may follow, each address ending in `/p2p/` and the peer's id. Validators need none.
    pub bootstrap: Vec<Multiaddr>,
    /// How many observers may follow this peer.
    pub max_observers: usize,
    /// Where it serves its API. The API has no authentication: keep it on loopback.
    pub api: SocketAddr,
    /// Names beside `localhost` and its address by which clients call the API; requests to others are refused.
    pub api_hosts: Vec<String>,
    /// Its store; made if it does not exist. A validator that has never voted says so by
    /// [`dtn_ledger::mark_never_voted`]; without, it takes a store that does not exist for one that was lost.
    pub store: PathBuf,
    /// Who receives the rewards that it earns.
    pub payee: Address,
    /// How many threads search for proofs of work and prove rounds.
    pub threads: NonZeroUsize,
    /// Whether it races for proofs of work.
    pub mine: bool,
    /// Where it takes in lines, if it does. Only a validator may.
    pub lines: Option<LinesConfig>,
    /// For demonstrations, and refused but on the development chain: claims half of its work of rounds as all of it.
    pub half_work: bool,
    /// For trials, and refused but on the development chain: lies to the others in this way.
    pub lie: Option<Kind>,
    /// How long a primary may take before the others move to the next; see [`dtn_consensus::PbftConfig`].
    pub view_timeout: Duration,
    /// How many blocks below a stable checkpoint are kept; 0 for all.
    pub retain_blocks: u64,
}

/// Why a peer does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The genesis is unusable.
    #[error("genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// The key is nobody's among the validators.
    #[error("{0} is not a validator of this network")]
    NotAValidator(Address),
    /// An observer with a validator's key, which others would take for the validator.
    #[error("{0} is a validator of this network and cannot be an observer")]
    IsAValidator(Address),
    /// A peer told to cheat where it could do harm.
    #[error("{0} is for demonstrations on chain {DEVELOPMENT_CHAIN}, and this network settles on {1}")]
    ToldToCheat(&'static str, u64),
    /// A peer told to lie about what it says nothing of.
    #[error("{0} has nothing to lie about here: it is for validators that mine")]
    NothingToLieAbout(Kind),
    /// An observer told to lie.
    #[error("an observer says nothing that it could lie about: tell validators to")]
    ObserverLies,
    /// An observer is to take in lines, which only validators sign.
    #[error("an observer takes in no lines: its signature is worth nothing")]
    ObserverLines,
    /// An observer is asked for what only validators sign.
    #[error("an observer signs no answers: ask validators")]
    NoReplies,
    /// An address that no peer can be reached at.
    #[error("{0} is no bootstrap address: /ip4/ADDRESS/tcp/PORT/p2p/ID or /ip4/ADDRESS/udp/PORT/quic-v1/p2p/ID")]
    Bootstrap(Multiaddr),
    /// An address of QUIC, without the feature `quic`.
    #[error("{0} is an address of QUIC, and this program is built without it: build it with `--features quic`")]
    WithoutQuic(Multiaddr),
    /// The peer address is taken or unusable.
    #[error("cannot listen to peers on {address}: {error}")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system says.
        error: String,
    },
    /// The line port is taken or unusable.
    #[error("cannot take in lines on {address}: {error}")]
    Lines {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: String,
    },
    /// The API's address is taken or unusable.
    #[error("cannot serve the API on {address}: {error}")]
    Api {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: String,
    },
    /// The network stack could not be set up.
    #[error("network: {0}")]
    Network(String),
    /// The store failed. A peer stops then, since it cannot keep what it promises.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A consensus record is undecodable. Without it this peer could contradict what it said.
    #[error(
        "the consensus journal at height {height} is corrupt ({error}); remove the store only if this validator has \
         been down for as long as the height is undecided"
    )]
    Journal {
        /// The height.
        height: u64,
        /// What is wrong.
        error: codec::CodecError,
    },
    /// Another process signs with this validator's key. Each of them would contradict the other, which bars the key for good.
    #[error(
        "another process runs with this validator's key ({0}): stop that one, and start this one again; a copied peer \
         folder must not run beside the original"
    )]
    Twin(Address),
    /// There is evidence that this validator contradicted itself: its key signs for somebody else, too, or its store was
    /// older than its words.
    #[error(
        "this validator ({0}) is proven to have contradicted itself, so it votes no more: another process signs with its \
         key, or an old copy of its store was put back"
    )]
    Contradicted(Address),
    /// It has as much to do as it takes on, or who asks has.
    #[error("{0}; ask again later")]
    Busy(&'static str),
    /// It has not reached the height from which it is to answer.
    #[error("this peer is at height {0}, and does not get to the one that is asked for")]
    Behind(u64),
    /// It may have forgotten what it said, so nobody takes its word before it votes again.
    #[error(
        "this validator may have forgotten what it said, and gives no answers that others rest on until it votes again"
    )]
    Silent,
    /// The peer is stopping.
    #[error("the node has stopped")]
    Stopped,
}

/// A running peer.
pub struct Node {
    handle: NodeHandle,
    api: SocketAddr,
    server: Serving,
    lines: Option<(SocketAddr, tokio::task::JoinHandle<()>)>,
    store: WeakStore,
    core: oneshot::Receiver<Result<(), NodeError>>,
    network: tokio::task::JoinHandle<()>,
}

impl NodeConfig {
    /// The place of its key among the validators, if its role and what it is told to do fit that.
    fn seat(&self, validators: &ValidatorSet) -> Result<Option<ValidatorIndex>, NodeError> {
        let address = self.key.address();
        let me = validators.index_of(address);
        match (self.role, me) {
            (Role::Validator, None) => return Err(NodeError::NotAValidator(address)),
            (Role::Observer, Some(_)) => return Err(NodeError::IsAValidator(address)),
            (Role::Observer, None) if self.lie.is_some() => return Err(NodeError::ObserverLies),
            (Role::Observer, None) if self.lines.is_some() => return Err(NodeError::ObserverLines),
            _ => {}
        }
        let mines = matches!(self.genesis.engine, Engine::Nakamoto(_));
        if let Some(kind) = self.lie.filter(|kind| kind.mines() && !mines) {
            return Err(NodeError::NothingToLieAbout(kind));
        }
        let cheats = [self.half_work.then_some("half_work"), self.lie.map(|_| "lie")].into_iter().flatten().next();
        match cheats.filter(|_| self.genesis.chain_id != DEVELOPMENT_CHAIN) {
            Some(cheats) => Err(NodeError::ToldToCheat(cheats, self.genesis.chain_id)),
            None => Ok(me),
        }
    }
}

impl Node {
    /// Opens the store, binds the sockets and starts. Must be called within a tokio runtime.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        let validators = config.genesis.validator_set()?;
        let (address, me) = (config.key.address(), config.seat(&validators)?);
        let rules = Rulebook { genesis: config.genesis.clone(), kinds: config.kinds };
        let (ledger, is_older) = Ledger::start(&config.store, rules, address)?;
        let ledger = ledger.with_retention(config.retain_blocks);
        if me.is_some() && ledger.memory()? == Memory::Lost {
            let run = ledger.run()?;
            let why = if is_older { "is an older copy of the one it had" } else { "replaces one that is gone" };
            tracing::warn!(run, "the store {why}: this validator does not know everything that it said");
        }

        let library = Library::new(config.store.with_extension("library"));
        let boot = RandomState::new().build_hasher().finish();
        let (commands, commands_in) = mpsc::channel(CHANNEL);
        let (events, events_in) = inbox();
        let (queries, queries_in) = mpsc::channel(QUERIES);
        let (results, results_in) = std::sync::mpsc::channel();
        let queues = vec![
            WatchedQueue::new("commands", &commands),
            WatchedQueue::with("events", events.depth()),
            WatchedQueue::new("queries", &queries),
        ];
        let metrics =
            Metrics::new(validators.len(), Watched { store: config.store, queues, view_timeout: config.view_timeout });
        let network_config = NetworkConfig {
            key: &config.key,
            validators: &validators,
            engine: Tag::of(config.genesis.engine),
            max_bytes: wire::max_bytes(config.genesis.max_block_bytes, validators.len()),
            listen: config.listen,
            addresses: validators.iter().map(|(_, validator)| config.peers.get(&validator.address).cloned()).collect(),
            bootstrap: config.bootstrap,
            max_observers: config.max_observers,
            hello: Hello::new(config.genesis.domain().network_id, boot),
            archive: Archive::new(ledger.store(), library.clone()),
            results,
            metrics: metrics.clone(),
        };
        let network = Network::bind(network_config, commands_in, events).await?;
        let others = validators.iter().map(|(index, _)| index).filter(|index| Some(*index) != me);
        let backfill = Backfill::new(ledger.importer(), others, validators.max_faulty() + 1);
        // The network ends with the core.
        let asks = commands.downgrade();

        let store = ledger.store().downgrade();
        let (feed, board) = (Feed::new(), Board::new());
        let signer = me.map(|me| (me, config.key.clone()));
        let reader = Reader::new(ledger.store(), board.clone(), feed.waiters().clone(), config.genesis.clone(), signer);
        let handle = NodeHandle::new(queries, me, (metrics.clone(), feed.clone()), reader, library.clone());
        let listener = ApiListener::bind(config.api)?;
        let port = match &config.lines {
            Some(lines) => Some(LinePort::bind(lines).await?),
            None => None,
        };

        let NodeConfig { genesis, key, payee, threads, mine, half_work, lie, view_timeout, .. } = config;
        let run: Box<dyn FnOnce() -> Result<(), NodeError> + Send> = match me {
            Some(me) => {
                let board = board.clone();
                let core = CoreConfig {
                    genesis,
                    key,
                    me,
                    payee,
                    threads,
                    mine,
                    half_work,
                    lie,
                    view_timeout,
                    metrics,
                    feed,
                    board,
                    library,
                };
                let core = Core::new(core, ledger, commands)?;
                Box::new(move || core.run(events_in, queries_in))
            }
            None => {
                let observer = Observer::new(address, ledger, commands, metrics, (feed, board.clone()))?;
                Box::new(move || observer.run(events_in, queries_in))
            }
        };
        let api = listener.address();
        let server = listener.serve(handle.clone(), &config.api_hosts)?;
        let (stopped, core_stopped) = oneshot::channel();
        thread::Builder::new()
            .name("core".into())
            .spawn(move || {
                let ended = run();
                board.stop();
                // Nobody listens only when the node was dropped.
                stopped.send(ended).ok();
            })
            .map_err(|error| NodeError::Network(error.to_string()))?;
        // It ends with the network.
        thread::Builder::new()
            .name("backfill".into())
            .spawn(move || backfill.run(&asks, &results_in))
            .map_err(|error| NodeError::Network(error.to_string()))?;
        let network = tokio::spawn(network.run());
        let lines = port.map(|port| (port.address(), tokio::spawn(port.run(handle.clone()))));
        Ok(Self { handle, api, server, lines, store, core: core_stopped, network })
    }

    /// For asking it.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Where it serves its API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Where it takes in lines, if it does.
    pub fn lines(&self) -> Option<SocketAddr> {
        self.lines.as_ref().map(|(address, _)| *address)
    }

    /// Waits until it stops by itself, which it does only when its store fails.
    pub async fn stopped(&mut self) -> NodeError {
        match (&mut self.core).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => NodeError::Stopped,
        }
    }

    /// Stops it: answers no more, finishes what it is writing, closes its store.
    pub async fn shutdown(self) {
        self.server.stop();
        self.lines.into_iter().for_each(|(_, port)| port.abort());
        self.handle.ask(|core| core.stop()).await.ok();
        self.core.await.ok();
        self.network.await.ok();
        // What was being read from it when it stopped takes a moment.
        while self.store.is_open() {
            tokio::time::sleep(CLOSING).await;
        }
    }
}

/// Asks a running peer.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    queries: mpsc::Sender<Query>,
    me: Option<ValidatorIndex>,
    metrics: Metrics,
    feed: Feed,
    reader: Reader,
    library: Library,
    uploads: Uploads,
}

impl NodeHandle {
    fn new(
        queries: mpsc::Sender<Query>,
        me: Option<ValidatorIndex>,
        (metrics, feed): (Metrics, Feed),
        reader: Reader,
        library: Library,
    ) -> Self {
        Self { queries, me, metrics, feed, reader, library, uploads: Uploads::default() }
    }

    /// This peer's index among the validators; `None` for an observer.
    pub fn validator(&self) -> Option<ValidatorIndex> {
        self.me
    }

    /// What this peer counts and measures of itself.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Answers what is asked without the thread that votes.
    pub(crate) fn reader(&self) -> &Reader {
        &self.reader
    }

    /// How this peer is doing.
    pub async fn status(&self) -> Result<Status, NodeError> {
        let status = self.reader.status().await?.as_ref().clone();
        Ok(Status { vitals: self.metrics.vitals(), ..status })
    }

    /// Results of final blocks from a height on: of whole blocks, and no further block once a page is full.
    pub async fn results(&self, from_height: u64) -> Result<Vec<FinalizedResult>, NodeError> {
        self.reader.results_of_blocks(from_height).await
    }

    /// A round, open or closed.
    pub async fn round(&self, number: u64) -> Result<Option<Round>, NodeError> {
        self.reader.round(number).await
    }

    /// The round that is open.
    pub async fn open_round(&self) -> Result<Option<Round>, NodeError> {
        Ok(self.reader.rounds().await?.open)
    }

    /// The evidence that validators contradicted themselves, which this peer has verified.
    pub async fn evidence(&self) -> Result<Vec<Evidence>, NodeError> {
        self.reader.evidence().await
    }

    /// The header and the certificate of a final block, also where the block itself was pruned and they are kept.
    pub async fn certified(&self, height: u64) -> Result<Option<(Header, Certificate)>, NodeError> {
        self.reader.certified(height).await
    }

    /// The height of the last final block.
    pub async fn height(&self) -> Result<u64, NodeError> {
        Ok(self.reader.status().await?.height)
    }

    /// The signed reply to a transaction, once its block is final; waits up to `wait_ms` for it.
    pub async fn reply(&self, transaction: B256, wait_ms: u64) -> Result<Option<Reply>, NodeError> {
        self.reader.reply(transaction, Duration::from_millis(wait_ms.min(MAX_WAIT_MS))).await
    }

    /// Has this validator sign a line and tell the others. While too many of its lines are not final, it waits for some of
    /// them.
    pub(crate) async fn take_line(&self, data: bytes::Bytes, expected_hashes: u64) -> Result<B256, LineRefusal> {
        let deadline = tokio::time::Instant::now() + LINE_PATIENCE;
        let (data, mut finals) = (Bytes(data), self.feed.subscribe());
        loop {
            finals.mark_unchanged();
            let data = data.clone();
            let taken = self.ask(move |core| core.submit_line(data, expected_hashes)).await;
            match taken.map_err(|_| LineRefusal::Stopping)? {
                Err(LineRefusal::Busy) => {
                    let next_block = tokio::time::timeout_at(deadline, finals.changed()).await;
                    next_block.map_err(|_| LineRefusal::Busy)?.map_err(|_| LineRefusal::Stopping)?;
                }
                outcome => return outcome,
            }
        }
    }

    /// What this peer holds of what orders for trained models are about.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// What clients hand in of it.
    pub(crate) fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Runs a function on the thread that owns the ledger, between two of its steps.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Host) -> T + Send + 'static,
    ) -> Result<T, NodeError> {
        let (answer, answered) = oneshot::channel();
        let query: Query = Box::new(move |core| {
            answer.send(question(core)).ok();
        });
        self.queries.send(query).await.map_err(|_| NodeError::Stopped)?;
        answered.await.map_err(|_| NodeError::Stopped)
    }
}
