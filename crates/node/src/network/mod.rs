//! Where bytes enter and leave the machine: the libp2p swarm, bound to the validator set.
//!
//! Validators form a full mesh: of each pair the one with the higher index dials, the other only where that takes too long,
//! and one link carries everything between them. An observer dials a few validators, or other observers, and follows them.

mod crowding;
mod hello;
mod links;
mod peer;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    time::Duration,
};

use dtn_primitives::{MAX_PROOF_BYTES, SecretKey, ValidatorIndex, ValidatorSet, codec};
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, connection_limits,
    core::transport::TransportError,
    multiaddr::Protocol,
    request_response,
    swarm::{
        self, ListenError, NetworkBehaviour, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use libp2p_stream as stream;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use crate::{
    NodeError,
    admission::{Admission, Denied},
    backfill, descriptors,
    handshakes::{CrowdedOut, Handshakes},
    identity,
    inbox::InboxSender,
    link::{Charge, CloseReason, Closed, Greeting, Link, LinkLimits, Offence, Reports},
    metrics::{CROWDED_OUT, Metrics},
    queue::{Dropped, Rank},
    serve::{Archive, Served},
    sync::SyncCodec,
    transport,
    wire::{self, Class, EncodedFrame, Foreign, Frame, HELLO_PROTOCOL, Hello, MAX_ADDRESS_BYTES, MAX_HELLO, Tag},
};

use crowding::Crowding;
use peer::{MIN_BACKOFF, Peer};

const DIAL_TICK: Duration = Duration::from_millis(100);
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection on which nobody opens a link or asks anything is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of one peer: one that works, and those that have not yet noticed that they do not.
const MAX_CONNECTIONS_PER_PEER: u32 = 3;

/// Peers that an observer follows at a time.
const OBSERVER_LINKS: usize = 3;

/// Requests of one peer that may be unanswered; more are not answered.
const MAX_REQUESTS: usize = 4;

/// The least that a response counts for: looking for nothing is work, too.
const RESPONSE_CHARGE: usize = 16 * 1024;

/// Another peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Remote {
    /// A validator of the genesis.
    Validator(ValidatorIndex),
    /// Somebody else, who neither votes nor is believed.
    Observer(PeerId),
}

impl Remote {
    /// Its index, if it is a validator.
    pub(crate) fn validator(self) -> Option<ValidatorIndex> {
        match self {
            Self::Validator(index) => Some(index),
            Self::Observer(_) => None,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validator(index) => index.fmt(f),
            Self::Observer(id) => id.fmt(f),
        }
    }
}

/// What is asked for and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// Certified blocks and state.
    Sync,
    /// Proofs of completions.
    Proof,
    /// Results of blocks that were skipped.
    Results,
    /// Parts of what training orders are about.
    Blob,
}

/// What the core asks of the network.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send a frame to one validator, if there is a link.
    Send { to: ValidatorIndex, frame: EncodedFrame },
    /// Send a frame to everyone whom it concerns and to whom there is a link.
    Broadcast(EncodedFrame),
    /// Ask a peer for something.
    Request { exchange: Exchange, to: Remote, request: Vec<u8> },
    /// Answer a peer's request.
    Respond { to: Requester, response: Vec<u8> },
    /// Cut a peer off for what it did.
    CutOff { peer: Remote, offence: Offence },
}

/// What the network tells the core.
#[derive(Debug)]
pub(crate) enum Event {
    /// A link opened.
    Connected(Remote),
    /// It closed.
    Disconnected(Remote),
    /// A peer said something. Observers say no consensus.
    Frame {
        from: Remote,
        frame: Frame,
        /// Held until the frame was dealt with.
        _charge: Charge,
    },
    /// A peer wants something.
    Requested { request: Vec<u8>, from: Requester },
    /// A peer's answer; `None` if it gave none in time.
    Response { exchange: Exchange, from: Remote, response: Option<Vec<u8>> },
    /// Another process runs with this peer's key.
    Twin,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(crate) struct Requester {
    pub(crate) peer: Remote,
    pub(crate) exchange: Exchange,
    channel: request_response::ResponseChannel<Vec<u8>>,
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    admission: Admission,
    limits: connection_limits::Behaviour,
    sync: request_response::Behaviour<SyncCodec>,
    proofs: request_response::Behaviour<SyncCodec>,
    results: request_response::Behaviour<SyncCodec>,
    blobs: request_response::Behaviour<SyncCodec>,
    hello: request_response::Behaviour<SyncCodec>,
    streams: stream::Behaviour,
}

/// The network of one peer. Runs until its commands end.
pub(crate) struct Network {
    swarm: Swarm<Behaviour>,
    incoming: stream::IncomingStreams,
    /// `None` for an observer.
    me: Option<ValidatorIndex>,
    /// By index.
    validators: Vec<PeerId>,
    /// The validators, the configured observers, and whoever is connected.
    peers: HashMap<PeerId, Peer>,
    /// Whom this peer dials, in this order.
    dials: Vec<PeerId>,
    engine: Tag,
    max_frame: usize,
    archive: Archive,
    /// Who asks for results: as many are under way as it asks for.
    results: std::sync::mpsc::Sender<backfill::Response>,
    hello: Hello,
    handshakes: Handshakes,
    crowding: Crowding,
    /// The validators that say that this one runs twice.
    twin_reports: HashSet<ValidatorIndex>,
    /// When a dial of this peer's was last under way.
    dialed_at: Instant,
    next_link: u64,
    metrics: Metrics,
    commands: mpsc::Receiver<Command>,
    events: InboxSender,
    closed: (mpsc::Sender<Closed>, mpsc::Receiver<Closed>),
    opened: (mpsc::Sender<Opened>, mpsc::Receiver<Opened>),
    addresses: (mpsc::Sender<Addresses>, mpsc::Receiver<Addresses>),
    greetings: (mpsc::Sender<Greeting>, mpsc::Receiver<Greeting>),
    due: (mpsc::Sender<Due>, mpsc::Receiver<Due>),
}

type Opened = (PeerId, Result<libp2p::Stream, stream::OpenStreamError>);
/// What a peer says of where validators listen.
pub(crate) type Addresses = (Remote, Vec<(ValidatorIndex, Multiaddr)>);
/// Who asked, for what, and what there is to answer.
type Due = (Requester, Vec<u8>, Option<Served>);

/// What a [`Network`] needs to know.
pub(crate) struct NetworkConfig<'a> {
    pub(crate) key: &'a SecretKey,
    pub(crate) validators: &'a ValidatorSet,
    /// The tag of the engine of this network.
    pub(crate) engine: Tag,
    /// The longest frame, and the longest answer to a request.
    pub(crate) max_bytes: (usize, usize),
    pub(crate) listen: Multiaddr,
    /// By validator index.
    pub(crate) addresses: Vec<Option<Multiaddr>>,
    /// Observers to follow, each address ending in `/p2p/` and the peer's id.
    pub(crate) bootstrap: Vec<Multiaddr>,
    /// How many observers are served.
    pub(crate) max_observers: usize,
    /// What this peer says of itself.
    pub(crate) hello: Hello,
    /// What peers that ask are given.
    pub(crate) archive: Archive,
    /// Where the answers to what is asked for results go.
    pub(crate) results: std::sync::mpsc::Sender<backfill::Response>,
    pub(crate) metrics: Metrics,
}

impl Network {
    /// Binds the listening address; fails if it is taken.
    pub(crate) async fn bind(
        config: NetworkConfig<'_>,
        commands: mpsc::Receiver<Command>,
        events: InboxSender,
    ) -> Result<Self, NodeError> {
        let me = config.validators.index_of(config.key.address());
        let validators: Vec<_> =
            config.validators.iter().map(|(_, validator)| identity::peer_id(&validator.public_key)).collect();
        let local = identity::keypair(config.key).public().to_peer_id();
        let places = config.addresses.iter().flatten().chain(&config.bootstrap);
        for address in places.clone().chain([&config.listen]) {
            transport::ensure_built_for(address)?;
        }
        let handshakes = Handshakes::new(descriptors::limit(), places, config.metrics.handshakes.clone());
        let mut peers = HashMap::new();
        let mut dials = Vec::new();
        for (index, (id, address)) in
            validators.iter().zip(config.addresses.into_iter().chain(std::iter::repeat(None))).enumerate()
        {
            let index = ValidatorIndex(index as u16);
            peers.insert(*id, Peer::new(Remote::Validator(index), address, me.is_none_or(|me| index < me)));
            if me != Some(index) {
                dials.push(*id);
            }
        }
        for address in config.bootstrap.iter().filter(|_| me.is_none()) {
            let unusable = || NodeError::Bootstrap(address.clone());
            let mut place = address.clone();
            let Some(Protocol::P2p(id)) = place.pop() else { return Err(unusable()) };
            if !transport::is_supported(&place) {
                return Err(unusable());
            }
            let opens = id < local;
            let peer = peers.entry(id).or_insert_with(|| Peer::new(Remote::Observer(id), None, opens));
            peer.learn(place);
            if !dials.contains(&id) {
                dials.push(id);
            }
        }
        let (max_frame, max_response) = config.max_bytes;
        let known: HashSet<_> = peers.keys().copied().collect();
        let mut swarm = swarm(config.key, known, config.max_observers, max_response, handshakes.clone())?;
        if me.is_none() && !dials.is_empty() {
            // Observers that know the same validators do not all follow the same ones.
            let first = swarm.local_peer_id().to_bytes().last().map_or(0, |byte| usize::from(*byte) % dials.len());
            dials.rotate_left(first);
        }
        let incoming = swarm.behaviour().streams.new_control().accept(wire::link_protocol()).expect("registered once");
        let listen = config.listen;
        let failed = |error: String| NodeError::Listen { address: listen.clone(), error };
        transport::ensure_free(&listen).map_err(|error| failed(error.to_string()))?;
        swarm.listen_on(listen.clone()).map_err(|error| failed(error.to_string()))?;
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    tracing::info!(%address, id = %swarm.local_peer_id(), "listening to peers");
                    break;
                }
                SwarmEvent::ListenerClosed { reason, .. } => {
                    let reason = reason.err().map_or_else(|| "the listener closed".into(), |error| error.to_string());
                    return Err(failed(reason));
                }
                _ => {}
            }
        }
        Ok(Self {
            swarm,
            incoming,
            me,
            validators,
            peers,
            dials,
            engine: config.engine,
            max_frame,
            archive: config.archive,
            results: config.results,
            hello: config.hello,
            handshakes,
            crowding: Crowding::default(),
            twin_reports: HashSet::new(),
            dialed_at: Instant::now(),
            next_link: 0,
            metrics: config.metrics,
            commands,
            events,
            closed: mpsc::channel(64),
            opened: mpsc::channel(64),
            addresses: mpsc::channel(64),
            greetings: mpsc::channel(64),
            due: mpsc::channel(64),
        })
    }

    /// Carries messages until the core goes away.
    pub(crate) async fn run(mut self) {
        let mut dial = tokio::time::interval(DIAL_TICK);
        dial.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.swarm_event(event),
                Some((id, stream)) = self.incoming.next() => self.open_link(id, stream, false),
                Some((id, stream)) = self.opened.1.recv() => match stream {
                    Ok(stream) => self.open_link(id, stream, true),
                    Err(error) => self.no_link(id, &error),
                },
                Some(closed) = self.closed.1.recv() => self.link_closed(closed),
                Some(addresses) = self.addresses.1.recv() => self.learn(addresses),
                Some(greeting) = self.greetings.1.recv() => self.greeted(greeting),
                Some((to, request, served)) = self.due.1.recv() => self.served(to, request, served),
                _ = dial.tick() => self.dial(),
            }
        }
    }

    fn id_of(&self, remote: Remote) -> Option<PeerId> {
        match remote {
            Remote::Validator(index) => self.validators.get(index.as_usize()).copied(),
            Remote::Observer(id) => Some(id),
        }
    }

    fn remote(&self, id: PeerId) -> Remote {
        self.peers.get(&id).map_or(Remote::Observer(id), |peer| peer.remote)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Send { to, frame } => {
                let peer = self.id_of(Remote::Validator(to)).and_then(|id| self.peers.get(&id));
                if let Some(peer) = peer {
                    self.send(peer, frame);
                }
            }
            Command::Broadcast(frame) => {
                for (id, peer) in self.peers.iter().filter(|(_, peer)| peer.link.is_some()) {
                    let concerned = match frame.class {
                        Class::Height | Class::Evidence => true,
                        Class::Consensus => peer.remote.validator().is_some(),
                        // Towards the validators.
                        Class::Transactions => peer.remote.validator().is_some() || self.dials.contains(id),
                        Class::Addresses => peer.remote.validator().is_none(),
                        Class::Link => false,
                    };
                    if concerned {
                        self.send(peer, frame.clone());
                    }
                }
            }
            Command::Request { exchange, to, request } => {
                let linked = |id: &PeerId| self.peers.get(id).is_some_and(|peer| peer.link.is_some());
                match self.id_of(to).filter(linked) {
                    Some(id) => drop(self.exchange(exchange).send_request(&id, request)),
                    None => self.responded(exchange, to, None),
                }
            }
            Command::Respond { to, response } => {
                self.respond(to, response);
            }
            Command::CutOff { peer, offence } => self.cut_off(peer, CloseReason::Offence(offence)),
        }
    }

    fn send(&self, peer: &Peer, frame: EncodedFrame) {
        let Some(link) = &peer.link else { return };
        let dropped = link.send(frame);
        if dropped != Dropped::default() {
            tracing::debug!(peer = %peer.remote, ?dropped, "frames were dropped: the queue is full");
        }
        let Some(index) = peer.remote.validator() else { return };
        for (rank, count) in Rank::ALL.into_iter().zip(dropped) {
            (0..count).for_each(|_| self.metrics.frame_dropped(index, rank.dropped()));
        }
    }

    fn exchange(&mut self, exchange: Exchange) -> &mut request_response::Behaviour<SyncCodec> {
        let behaviour = self.swarm.behaviour_mut();
        match exchange {
            Exchange::Sync => &mut behaviour.sync,
            Exchange::Proof => &mut behaviour.proofs,
            Exchange::Results => &mut behaviour.results,
            Exchange::Blob => &mut behaviour.blobs,
        }
    }

    /// An answer goes to who asked.
    fn responded(&self, exchange: Exchange, from: Remote, response: Option<Vec<u8>>) {
        match exchange {
            // Nobody listens only when the store failed.
            Exchange::Results => _ = self.results.send((from, response)),
            Exchange::Sync | Exchange::Proof | Exchange::Blob => {
                self.tell(Event::Response { exchange, from, response })
            }
        }
    }

    fn respond(&mut self, to: Requester, response: Vec<u8>) {
        if self.exchange(to.exchange).send_response(to.channel, response).is_err() {
            tracing::debug!(peer = %to.peer, "a peer no longer waits for its answer");
        }
    }

    /// A request was answered from the store, or could not be.
    fn served(&mut self, to: Requester, request: Vec<u8>, served: Option<Served>) {
        let used = match &served {
            Some(Served::Answer(answer)) => answer.len().max(RESPONSE_CHARGE),
            _ => RESPONSE_CHARGE,
        };
        if let Some(peer) = self.id_of(to.peer).and_then(|id| self.peers.get_mut(&id)) {
            peer.served.put_back(Archive::cost(to.exchange).saturating_sub(used));
        }
        match served {
            Some(Served::Answer(answer)) => self.respond(to, answer),
            Some(Served::AskCore) => self.tell(Event::Requested { request, from: to }),
            Some(Served::Malformed) => self.cut_off(to.peer, CloseReason::Offence(Offence::Malformed)),
            None => {}
        }
    }

    fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.exchange_event(Exchange::Sync, event),
            SwarmEvent::Behaviour(BehaviourEvent::Proofs(event)) => self.exchange_event(Exchange::Proof, event),
            SwarmEvent::Behaviour(BehaviourEvent::Results(event)) => self.exchange_event(Exchange::Results, event),
            SwarmEvent::Behaviour(BehaviourEvent::Blobs(event)) => self.exchange_event(Exchange::Blob, event),
            SwarmEvent::Behaviour(BehaviourEvent::Hello(event)) => self.hello_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                let new = || Peer::new(Remote::Observer(peer_id), None, false);
                let peer = self.peers.entry(peer_id).or_insert_with(new);
                if endpoint.is_dialer() && peer.link.is_some() {
                    // The other was faster. Nobody speaks on this connection, so it ends.
                    peer.dialing = false;
                } else if endpoint.is_dialer() {
                    let (mut control, opened) = (self.swarm.behaviour().streams.new_control(), self.opened.0.clone());
                    tokio::spawn(async move {
                        let stream = control.open_stream(peer_id, wire::link_protocol()).await;
                        opened.send((peer_id, stream)).await.ok();
                    });
                } else if peer.remote.validator().is_some() {
                    self.handshakes.met(peer_id, endpoint.get_remote_address());
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.end_link(peer_id, &CloseReason::There);
                if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.dialing = false;
                    if peer.remote.validator().is_none() && !self.dials.contains(&peer_id) {
                        self.peers.remove(&peer_id);
                    }
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), error, .. } => {
                tracing::debug!(peer = %peer_id, %error, "could not connect");
                if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.back_off(Instant::now());
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(address = %send_back_addr, %error, "refused a connection");
                let reason = match error {
                    ListenError::Denied { cause } => {
                        cause.downcast::<Denied>().map_or("too_many_connections", Denied::label)
                    }
                    ListenError::LocalPeerId { .. } => {
                        self.met_oneself();
                        "own_key"
                    }
                    ListenError::Transport(TransportError::Other(error)) if CrowdedOut::is(&error) => {
                        self.crowding.count(Instant::now());
                        CROWDED_OUT
                    }
                    _ => "handshake",
                };
                self.metrics.connection_refused(reason);
            }
            _ => {}
        }
    }

    fn exchange_event(&mut self, exchange: Exchange, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        use request_response::{Event as Exchanged, Message};
        match event {
            Exchanged::Message { peer: id, message: Message::Request { request, channel, .. }, .. } => {
                let Some(peer) = self.peers.get_mut(&id) else { return };
                // Counted down when the answer left, or when it is clear that there will be none.
                peer.unanswered += 1;
                if peer.unanswered <= MAX_REQUESTS {
                    // What it may cost is paid before anything is read for it.
                    let wait = peer.served.take(Archive::cost(exchange), Instant::now());
                    let from = Requester { peer: peer.remote, exchange, channel };
                    let (archive, due) = (self.archive.clone(), self.due.0.clone());
                    tokio::spawn(async move {
                        sleep(wait).await;
                        let served = archive.serve(exchange, request.clone()).await;
                        due.send((from, request, served)).await.ok();
                    });
                } else if let Some(index) = peer.remote.validator() {
                    self.metrics.frame_dropped(index, "too_many_requests");
                }
            }
            Exchanged::Message { peer, message: Message::Response { response, .. }, .. } => {
                self.responded(exchange, self.remote(peer), Some(response));
            }
            Exchanged::OutboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a request failed");
                self.responded(exchange, self.remote(peer), None);
            }
            Exchanged::InboundFailure { peer, .. } | Exchanged::ResponseSent { peer, .. } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.unanswered = peer.unanswered.saturating_sub(1);
                }
            }
        }
    }

    fn dial(&mut self) {
        let now = Instant::now();
        if self.peers.values().any(|peer| peer.dialing) {
            self.dialed_at = now;
        }
        let busy = |peer: &&Peer| peer.link.is_some() || peer.dialing;
        let followed = self.dials.iter().filter_map(|id| self.peers.get(id)).filter(busy).count();
        let mut wanted = if self.me.is_some() { usize::MAX } else { OBSERVER_LINKS.saturating_sub(followed) };
        for id in &self.dials {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            let addresses = peer.addresses();
            if wanted == 0 || peer.link.is_some() || peer.dialing || peer.dial_at > now || addresses.is_empty() {
                continue;
            }
            wanted -= 1;
            peer.dialing = true;
            self.dialed_at = now;
            let options = DialOpts::peer_id(*id).condition(PeerCondition::NotDialing).addresses(addresses).build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%error, "could not dial");
                peer.back_off(now);
            }
        }
    }

    /// Takes hints from a peer that this observer follows. They are worth a try: an address that is wrong costs one.
    fn learn(&mut self, (from, addresses): Addresses) {
        let follows = self.id_of(from).is_some_and(|id| self.dials.contains(&id));
        if self.me.is_some() || !follows {
            return;
        }
        for (index, address) in addresses.into_iter().take(self.validators.len()) {
            let peer = self.validators.get(index.as_usize()).and_then(|id| self.peers.get_mut(id));
            if let Some(peer) = peer
                && address.len() <= MAX_ADDRESS_BYTES
                && transport::is_supported(&address)
            {
                peer.learn(address);
            }
        }
    }

    fn tell(&self, event: Event) {
        // The core is gone only when the node stops; then so do the commands, and `run` returns.
        self.events.push(event);
    }
}

fn swarm(
    key: &SecretKey,
    known: HashSet<PeerId>,
    max_observers: usize,
    max_response: usize,
    handshakes: Handshakes,
) -> Result<Swarm<Behaviour>, NodeError> {
    let peers = known.len().saturating_add(max_observers).try_into().unwrap_or(u32::MAX);
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_established(Some(MAX_CONNECTIONS_PER_PEER.saturating_mul(peers)))
        .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER));
    let exchange = |protocol, max_request, max_response| {
        request_response::Behaviour::with_codec(
            SyncCodec { max_request, max_response },
            [(protocol, request_response::ProtocolSupport::Full)],
            request_response::Config::default()
                .with_request_timeout(SYNC_TIMEOUT)
                .with_max_concurrent_streams(2 * MAX_REQUESTS),
        )
    };
    let behaviour = Behaviour {
        admission: Admission::new(known, max_observers),
        limits: connection_limits::Behaviour::new(limits),
        sync: exchange(wire::sync_protocol(), wire::MAX_SYNC_REQUEST, max_response),
        proofs: exchange(wire::proof_protocol(), wire::PROOF_REQUEST, MAX_PROOF_BYTES),
        results: exchange(wire::results_protocol(), wire::MAX_SYNC_REQUEST, max_response),
        blobs: exchange(wire::blob_protocol(), wire::MAX_BLOB_REQUEST, wire::MAX_BLOB_PART),
        hello: exchange(HELLO_PROTOCOL, MAX_HELLO, MAX_HELLO),
        streams: stream::Behaviour::new(),
    };
    let identity = identity::keypair(key);
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT);
    Ok(Swarm::new(transport::build(&identity, handshakes)?, behaviour, identity.public().to_peer_id(), config))
}
