//! Where bytes enter and leave the machine: the libp2p swarm, bound to the validator set.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use dtn_primitives::{SecretKey, Transaction, ValidatorIndex, ValidatorSet, codec};
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, allow_block_list, connection_limits, gossipsub,
    multiaddr::Protocol,
    noise, request_response,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use libp2p_stream as stream;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    NodeError, identity,
    link::{Closed, Link},
    sync::SyncCodec,
    wire::{self, BlockRequest, CertifiedBlock, LINK_PROTOCOL, MAX_SYNC_REQUEST, SYNC_PROTOCOL},
};

const DIAL_TICK: Duration = Duration::from_millis(100);
const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
const SYNC_TIMEOUT: Duration = Duration::from_secs(5);

/// What the core asks of the network.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send a frame to one validator, if there is a link.
    Send { to: ValidatorIndex, frame: Bytes },
    /// Send a frame to every validator with a link.
    Broadcast(Bytes),
    /// Gossip an encoded transaction.
    Publish(Vec<u8>),
    /// Ask a validator for certified blocks.
    RequestBlocks { from: ValidatorIndex, request: BlockRequest },
    /// Answer a validator's request.
    RespondBlocks { channel: request_response::ResponseChannel<Vec<u8>>, blocks: Vec<CertifiedBlock> },
}

/// What the network tells the core.
#[derive(Debug)]
pub(crate) enum Event {
    /// A link to a validator opened.
    Connected(ValidatorIndex),
    /// It closed.
    Disconnected(ValidatorIndex),
    /// A validator said something.
    Frame { from: ValidatorIndex, frame: wire::Frame },
    /// A gossiped transaction.
    Transaction(Box<Transaction>),
    /// A validator wants certified blocks.
    BlocksRequested { request: BlockRequest, channel: request_response::ResponseChannel<Vec<u8>> },
    /// A validator's answer; empty if it gave none in time.
    Blocks { from: ValidatorIndex, blocks: Vec<CertifiedBlock> },
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    validators_only: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    limits: connection_limits::Behaviour,
    gossip: gossipsub::Behaviour,
    sync: request_response::Behaviour<SyncCodec>,
    streams: stream::Behaviour,
}

/// Where a validator is, and how it is reached at present.
struct Peer {
    id: PeerId,
    address: Option<Multiaddr>,
    link: Option<Link>,
    dialing: bool,
    backoff: Duration,
    dial_at: Instant,
}

/// The network of one peer. Runs until its commands end.
pub(crate) struct Network {
    swarm: Swarm<Behaviour>,
    topic: gossipsub::IdentTopic,
    incoming: stream::IncomingStreams,
    me: ValidatorIndex,
    peers: Vec<Peer>,
    max_frame: usize,
    max_sync_response: usize,
    next_link: u64,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    closed: (mpsc::Sender<Closed>, mpsc::Receiver<Closed>),
    opened: (mpsc::Sender<Opened>, mpsc::Receiver<Opened>),
}

type Opened = (ValidatorIndex, Result<libp2p::Stream, stream::OpenStreamError>);

/// What a [`Network`] needs to know.
pub(crate) struct NetworkConfig<'a> {
    pub(crate) key: &'a SecretKey,
    pub(crate) me: ValidatorIndex,
    pub(crate) validators: &'a ValidatorSet,
    pub(crate) network_id: dtn_primitives::B256,
    pub(crate) max_block_bytes: u64,
    pub(crate) listen: Multiaddr,
    /// By validator index.
    pub(crate) addresses: Vec<Option<Multiaddr>>,
}

impl Network {
    /// Binds the listening address; fails if it is taken.
    pub(crate) async fn bind(
        config: NetworkConfig<'_>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, NodeError> {
        let peers: Vec<_> = config
            .validators
            .iter()
            .zip(config.addresses.into_iter().chain(std::iter::repeat(None)))
            .map(|((_, validator), address)| Peer {
                id: identity::peer_id(&validator.public_key),
                address,
                link: None,
                dialing: false,
                backoff: MIN_BACKOFF,
                dial_at: Instant::now(),
            })
            .collect();
        let max_sync_response = wire::max_sync_response(config.max_block_bytes);
        let ids = peers.iter().map(|peer| peer.id).collect::<Vec<_>>();
        let mut swarm = swarm(config.key, &ids, max_sync_response)?;
        let topic = gossipsub::IdentTopic::new(format!("dtn/{}/transactions", config.network_id));
        swarm.behaviour_mut().gossip.subscribe(&topic).map_err(|error| NodeError::Network(error.to_string()))?;
        let incoming = swarm.behaviour().streams.new_control().accept(LINK_PROTOCOL).expect("registered once");
        let listen = config.listen;
        let failed = |error: String| NodeError::Listen { address: listen.clone(), error };
        if let Some(address) = socket_address(&listen) {
            // libp2p shares a port with whoever lets it (SO_REUSEPORT); two peers on one port would be a mistake.
            std::net::TcpListener::bind(address).map_err(|error| failed(error.to_string()))?;
        }
        swarm.listen_on(listen.clone()).map_err(|error| failed(error.to_string()))?;
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    tracing::info!(%address, "listening to peers");
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
            topic,
            incoming,
            me: config.me,
            peers,
            max_frame: wire::max_frame(config.max_block_bytes),
            max_sync_response,
            next_link: 0,
            commands,
            events,
            closed: mpsc::channel(64),
            opened: mpsc::channel(64),
        })
    }

    /// Carries messages until the core goes away.
    pub(crate) async fn run(mut self) {
        let mut dial = tokio::time::interval(DIAL_TICK);
        loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.swarm_event(event).await,
                Some((id, stream)) = self.incoming.next() => {
                    if let Some(peer) = self.index_of(id) {
                        self.open_link(peer, stream).await;
                    }
                }
                Some((peer, stream)) = self.opened.1.recv() => match stream {
                    Ok(stream) => self.open_link(peer, stream).await,
                    Err(error) => {
                        tracing::debug!(%peer, %error, "no link");
                        self.disconnect(peer);
                    }
                },
                Some(closed) = self.closed.1.recv() => self.link_closed(closed).await,
                _ = dial.tick() => self.dial(),
            }
        }
    }

    fn index_of(&self, id: PeerId) -> Option<ValidatorIndex> {
        self.peers.iter().position(|peer| peer.id == id).map(|index| ValidatorIndex(index as u16))
    }

    fn peer(&mut self, index: ValidatorIndex) -> &mut Peer {
        &mut self.peers[index.as_usize()]
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Send { to, frame } => {
                if let Some(link) = self.peers.get(to.as_usize()).and_then(|peer| peer.link.as_ref()) {
                    queue(link, to, frame);
                }
            }
            Command::Broadcast(frame) => {
                for (index, peer) in self.peers.iter().enumerate() {
                    if let Some(link) = &peer.link {
                        queue(link, ValidatorIndex(index as u16), frame.clone());
                    }
                }
            }
            Command::Publish(transaction) => {
                if let Err(error) = self.swarm.behaviour_mut().gossip.publish(self.topic.clone(), transaction) {
                    // Waiting transactions are resent to the primary, so none is lost for want of a mesh.
                    tracing::debug!(%error, "a transaction was not gossiped");
                }
            }
            Command::RequestBlocks { from, request } => {
                let id = self.peer(from).id;
                self.swarm.behaviour_mut().sync.send_request(&id, codec::encode(&request));
            }
            Command::RespondBlocks { channel, blocks } => {
                let response = codec::encode(&blocks);
                if self.swarm.behaviour_mut().sync.send_response(channel, response).is_err() {
                    tracing::debug!("a peer no longer waits for its blocks");
                }
            }
        }
    }

    async fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message { message, .. })) => {
                match codec::decode(&message.data, dtn_primitives::MAX_TRANSACTION_BYTES) {
                    Ok(transaction) => self.tell(Event::Transaction(Box::new(transaction))).await,
                    Err(error) => tracing::warn!(%error, "a malformed transaction was gossiped"),
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.sync_event(event).await,
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } if endpoint.is_dialer() => {
                let Some(peer) = self.index_of(peer_id) else { return };
                let (mut control, opened) = (self.swarm.behaviour().streams.new_control(), self.opened.0.clone());
                tokio::spawn(async move {
                    let stream = control.open_stream(peer_id, LINK_PROTOCOL).await;
                    opened.send((peer, stream)).await.ok();
                });
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                if let Some(peer) = self.index_of(peer_id) {
                    self.peer(peer).dialing = false;
                    if self.peer(peer).link.take().is_some() {
                        self.tell(Event::Disconnected(peer)).await;
                    }
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), error, .. } => {
                tracing::debug!(%peer_id, %error, "could not connect");
                if let Some(peer) = self.index_of(peer_id) {
                    let peer = self.peer(peer);
                    peer.dialing = false;
                    peer.dial_at = Instant::now() + peer.backoff;
                    peer.backoff = (peer.backoff * 2).min(MAX_BACKOFF);
                }
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::warn!(address = %send_back_addr, %error, "refused a connection");
            }
            _ => {}
        }
    }

    async fn sync_event(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request { request, channel, .. } => {
                    match codec::decode(&request, MAX_SYNC_REQUEST) {
                        Ok(request) => self.tell(Event::BlocksRequested { request, channel }).await,
                        Err(error) => tracing::warn!(%peer, %error, "a malformed sync request"),
                    }
                }
                request_response::Message::Response { response, .. } => {
                    let blocks = codec::decode(&response, self.max_sync_response).unwrap_or_else(|error| {
                        tracing::warn!(%peer, %error, "a malformed sync response");
                        Vec::new()
                    });
                    if let Some(from) = self.index_of(peer) {
                        self.tell(Event::Blocks { from, blocks }).await;
                    }
                }
            },
            request_response::Event::OutboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a sync request failed");
                if let Some(from) = self.index_of(peer) {
                    self.tell(Event::Blocks { from, blocks: Vec::new() }).await;
                }
            }
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {}
        }
    }

    /// Of each pair the validator with the higher index dials, so that there is one connection and one link.
    fn dial(&mut self) {
        let now = Instant::now();
        for index in 0..self.me.as_usize() {
            let peer = &mut self.peers[index];
            if peer.link.is_some() || peer.dialing || peer.dial_at > now {
                continue;
            }
            let Some(address) = peer.address.clone() else { continue };
            let options = DialOpts::peer_id(peer.id).addresses(vec![address]).build();
            peer.dialing = true;
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%error, "could not dial");
                let peer = &mut self.peers[index];
                peer.dialing = false;
                peer.dial_at = now + peer.backoff;
            }
        }
    }

    async fn open_link(&mut self, peer: ValidatorIndex, stream: libp2p::Stream) {
        self.next_link += 1;
        let (events, closed) = (self.events.clone(), self.closed.0.clone());
        let link = Link::spawn(stream, peer, self.next_link, self.max_frame, events, closed);
        let entry = self.peer(peer);
        entry.link = Some(link);
        entry.backoff = MIN_BACKOFF;
        tracing::info!(%peer, "connected");
        self.tell(Event::Connected(peer)).await;
    }

    async fn link_closed(&mut self, Closed { peer, id, reason }: Closed) {
        if self.peer(peer).link.as_ref().is_some_and(|link| link.id == id) {
            tracing::info!(%peer, reason, "disconnected");
            self.disconnect(peer);
            self.tell(Event::Disconnected(peer)).await;
        }
    }

    fn disconnect(&mut self, peer: ValidatorIndex) {
        let entry = self.peer(peer);
        entry.link = None;
        entry.dial_at = Instant::now() + entry.backoff;
        let id = entry.id;
        if self.swarm.disconnect_peer_id(id).is_err() {
            // There is no connection any more, so no event will say that it closed.
            self.peer(peer).dialing = false;
        }
    }

    async fn tell(&mut self, event: Event) {
        // The core is gone only when the node stops; then so do the commands, and `run` returns.
        self.events.send(event).await.ok();
    }
}

fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    if let Protocol::Tcp(port) = parts.next()? { Some((ip, port).into()) } else { None }
}

fn queue(link: &Link, peer: ValidatorIndex, frame: Bytes) {
    if !link.send(frame) {
        tracing::debug!(%peer, "a frame was dropped: the queue is full");
    }
}

fn swarm(key: &SecretKey, validators: &[PeerId], max_sync_response: usize) -> Result<Swarm<Behaviour>, NodeError> {
    let failed = |error: &dyn std::fmt::Display| NodeError::Network(error.to_string());
    let mut validators_only = allow_block_list::Behaviour::default();
    for id in validators {
        validators_only.allow_peer(*id);
    }
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(64))
        .with_max_established_per_peer(Some(2));
    let gossip_config = gossipsub::ConfigBuilder::default()
        .max_transmit_size(dtn_primitives::MAX_TRANSACTION_BYTES + 1024)
        .validation_mode(gossipsub::ValidationMode::Strict)
        .build()
        .map_err(|error| failed(&error))?;
    let identity = identity::keypair(key);
    let authenticity = gossipsub::MessageAuthenticity::Signed(identity.clone());
    let gossip = gossipsub::Behaviour::new(authenticity, gossip_config).map_err(|error| failed(&error))?;
    let sync = request_response::Behaviour::with_codec(
        SyncCodec { max_response: max_sync_response },
        [(SYNC_PROTOCOL, request_response::ProtocolSupport::Full)],
        request_response::Config::default().with_request_timeout(SYNC_TIMEOUT),
    );
    let limits = connection_limits::Behaviour::new(limits);
    let streams = stream::Behaviour::new();
    let swarm = SwarmBuilder::with_existing_identity(identity)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .map_err(|error| failed(&error))?
        .with_behaviour(|_| Behaviour { validators_only, limits, gossip, sync, streams })
        .map_err(|error| failed(&error))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build();
    Ok(swarm)
}
