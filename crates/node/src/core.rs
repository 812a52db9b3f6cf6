//! The synchronous heart of a peer: one thread owns consensus, ledger and miner, and does one thing at a time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use dtn_consensus::{Decision, Effect, Evidence, Fault, Input, Message, Pbft, PbftConfig, Protocol, Record, Timer};
use dtn_ledger::{AdmissionError, Committed, Ledger};
use dtn_pow::Puzzle;
use dtn_primitives::{
    Address, B256, Block, Certificate, Claim, Domain, FinalizedResult, Genesis, Payload, Reply, SecretKey, Transaction,
    ValidatorIndex, ValidatorSet, codec,
};
use libp2p::request_response::ResponseChannel;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    NodeError,
    api::{BlockView, CertifiedHeader, Status},
    miner::{Mined, Miner, Turn},
    network::{Command, Event},
    wire::{self, BlockRequest, CertifiedBlock, Frame, MAX_RESENT_TRANSACTIONS},
};

/// A question to the core, run between two of its steps.
pub(crate) type Query = Box<dyn FnOnce(&mut Core) + Send>;

/// How often a peer tells its height, looks whether it fell behind and resends what waits too long.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// Housekeeping rounds after which an unanswered sync request is given up.
const SYNC_PATIENCE: u32 = 24;

/// Transactions for whose reply someone may wait at a time.
const MAX_WAITERS: usize = 10_000;

/// The most transactions in a block.
const MAX_BLOCK_TRANSACTIONS: usize = 10_000;

/// Heights whose latency is remembered.
const MAX_LATENCIES: usize = 4096;

/// Pieces of evidence kept in memory.
const MAX_EVIDENCE: usize = 64;

/// A catch-up under way.
struct Sync {
    from: ValidatorIndex,
    rounds: u32,
}

/// What a [`Core`] needs to know.
pub(crate) struct CoreConfig {
    pub(crate) genesis: Genesis,
    pub(crate) key: SecretKey,
    pub(crate) me: ValidatorIndex,
    pub(crate) payee: Address,
    pub(crate) threads: NonZeroUsize,
    pub(crate) view_timeout: Duration,
}

/// Everything that a peer knows.
pub(crate) struct Core {
    genesis: Genesis,
    domain: Domain,
    validators: ValidatorSet,
    key: SecretKey,
    me: ValidatorIndex,
    payee: Address,
    pbft: Pbft,
    ledger: Ledger,
    miner: Miner,
    turns: mpsc::UnboundedReceiver<Turn>,
    commands: mpsc::Sender<Command>,
    inputs: VecDeque<Input<Message, Timer>>,
    timers: BTreeMap<Timer, Instant>,
    /// The height that consensus wants a proposal for.
    wanted: Option<u64>,
    /// Blocks to be validated once the ones below are final.
    deferred: Vec<Arc<Block>>,
    connected: BTreeSet<ValidatorIndex>,
    /// The height that each validator last told.
    heights: BTreeMap<ValidatorIndex, u64>,
    sync: Option<Sync>,
    /// The validator that was asked for blocks last and gave none; others are asked first.
    unhelpful: Option<ValidatorIndex>,
    /// The height at the last housekeeping.
    last_height: u64,
    /// Transactions could be executed at the last housekeeping.
    was_waiting: bool,
    waiters: HashMap<B256, Vec<oneshot::Sender<Reply>>>,
    evidence: Vec<Evidence>,
    faults: Vec<u64>,
    /// The proposal under way and when this peer first held it.
    began: Option<(B256, Instant)>,
    /// How long recent heights took here, from the proposal to finality.
    latencies: BTreeMap<u64, Duration>,
    stopping: bool,
}

impl Core {
    pub(crate) fn new(config: CoreConfig, ledger: Ledger, commands: mpsc::Sender<Command>) -> Result<Self, NodeError> {
        let CoreConfig { genesis, key, me, payee, threads, view_timeout } = config;
        let (domain, validators) = (genesis.domain(), genesis.validator_set()?);
        let mut records = Vec::new();
        for (height, bytes) in ledger.store().journal()? {
            let record: Record =
                codec::decode(&bytes, usize::MAX).map_err(|error| NodeError::Journal { height, error })?;
            records.push(record);
        }
        let config = PbftConfig { me, key: key.clone(), domain, validators: validators.clone(), view_timeout };
        let certificate = ledger.certificate(ledger.tip().height)?;
        let (report, turns) = mpsc::unbounded_channel();
        let mut core = Self {
            pbft: Pbft::new(config, certificate, None, records),
            faults: vec![0; validators.len()],
            last_height: ledger.tip().height,
            was_waiting: false,
            miner: Miner::new(threads, report),
            genesis,
            domain,
            validators,
            key,
            me,
            payee,
            ledger,
            turns,
            commands,
            inputs: VecDeque::new(),
            timers: BTreeMap::new(),
            wanted: None,
            deferred: Vec::new(),
            connected: BTreeSet::new(),
            heights: BTreeMap::new(),
            sync: None,
            unhelpful: None,
            waiters: HashMap::new(),
            evidence: Vec::new(),
            began: None,
            latencies: BTreeMap::new(),
            stopping: false,
        };
        core.enter_open_races();
        Ok(core)
    }

    /// Works until it is told to stop, or its store fails.
    pub(crate) fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut queries: mpsc::Receiver<Query>,
    ) -> Result<(), NodeError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| NodeError::Network(error.to_string()))?;
        runtime.block_on(async {
            let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
            housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            self.input(Input::Start)?;
            while !self.stopping {
                let next_timer = self.timers.values().min().copied();
                tokio::select! {
                    event = events.recv() => match event {
                        Some(event) => self.event(event)?,
                        None => return Err(NodeError::Network("the network task ended".into())),
                    },
                    Some(query) = queries.recv() => query(&mut self),
                    Some(turn) = self.turns.recv() => self.turn_ended(turn),
                    () = sleep_until(next_timer) => self.fire_timers()?,
                    _ = housekeeping.tick() => self.housekeeping()?,
                    else => break,
                }
                self.propose()?;
            }
            Ok(())
        })
    }

    // Consensus.

    fn input(&mut self, input: Input<Message, Timer>) -> Result<(), NodeError> {
        self.inputs.push_back(input);
        while let Some(input) = self.inputs.pop_front() {
            for effect in self.pbft.handle(input) {
                self.effect(effect)?;
            }
        }
        Ok(())
    }

    /// Carries out one effect. What is said to peers may be lost, and consensus says it again; what is to be durable
    /// is durable when this returns, or the peer stops.
    fn effect(&mut self, effect: Effect<Message, Record, Timer, Fault>) -> Result<(), NodeError> {
        match effect {
            Effect::Send { to, message } => self.send(to, &Frame::Consensus(Box::new(message))),
            Effect::Broadcast(message) => self.broadcast(&Frame::Consensus(Box::new(message))),
            Effect::SetTimer { timer, after } => {
                self.timers.insert(timer, Instant::now() + after);
            }
            Effect::CancelTimer(timer) => {
                self.timers.remove(&timer);
            }
            Effect::Persist(record) => {
                let bytes = codec::encode(&record);
                self.ledger.store().append_journal([(record.height(), bytes.as_slice())])?;
            }
            Effect::Propose { height, .. } => self.wanted = Some(height),
            Effect::Validate(block) if block.header.parent_hash != self.ledger.tip().hash => self.deferred.push(block),
            Effect::Validate(block) => {
                let block_hash = block.header.hash();
                self.began = Some((block_hash, Instant::now()));
                let checked = self.ledger.check_proposal(block.clone(), now_ms());
                if let Err(error) = &checked {
                    tracing::warn!(height = block.header.height, %block_hash, %error, "an invalid block was proposed");
                }
                let valid = checked.is_ok();
                self.inputs.push_back(Input::Validated { block_hash, valid });
            }
            Effect::Decide(Decision { block, certificate }) => {
                self.commit(block, certificate)?;
                for block in std::mem::take(&mut self.deferred) {
                    self.effect(Effect::Validate(block))?;
                }
            }
            Effect::Stable(certificate) => tracing::debug!(height = certificate.height, "a stable checkpoint"),
            Effect::Evidence(evidence) => {
                tracing::error!(validator = %evidence.first.validator, ?evidence, "a validator contradicted itself");
                if self.evidence.len() < MAX_EVIDENCE && !self.evidence.contains(&evidence) {
                    self.evidence.push(*evidence);
                }
            }
            Effect::Fault { from, fault } => {
                tracing::warn!(peer = %from, %fault, "a faulty message");
                if let Some(count) = self.faults.get_mut(from.as_usize()) {
                    *count += 1;
                }
            }
        }
        Ok(())
    }

    fn fire_timers(&mut self) -> Result<(), NodeError> {
        let now = Instant::now();
        let due: Vec<_> = self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            self.timers.remove(&timer);
            self.input(Input::Timer(timer))?;
        }
        Ok(())
    }

    /// Answers consensus's wish for a proposal once there is something to propose.
    fn propose(&mut self) -> Result<(), NodeError> {
        if self.wanted != Some(self.ledger.tip().height + 1) {
            return Ok(());
        }
        let parent = self.ledger.tip().hash;
        let Some(block) = self.ledger.propose(parent, now_ms(), self.key.address(), MAX_BLOCK_TRANSACTIONS) else {
            return Ok(());
        };
        self.wanted = None;
        self.began = Some((block.header.hash(), Instant::now()));
        self.input(Input::Proposal(block))
    }

    // The ledger.

    fn commit(&mut self, block: Arc<Block>, certificate: Certificate) -> Result<(), NodeError> {
        let height = block.header.height;
        let Committed { hash: block_hash, transaction_hashes: transactions, claimed, .. } =
            self.ledger.commit(block, &certificate)?;
        tracing::info!(height, %block_hash, transactions = transactions.len(), "final");
        if let Some((_, began)) = self.began.take().filter(|(hash, _)| *hash == block_hash) {
            self.latencies.insert(height, began.elapsed());
            if self.latencies.len() > MAX_LATENCIES {
                self.latencies.pop_first();
            }
        }
        self.broadcast(&Frame::Height(height));
        for hash in transactions.iter().copied() {
            if let Some(waiters) = self.waiters.remove(&hash) {
                let reply = self.sign_reply(hash, height, block_hash);
                // A client that no longer waits is no concern.
                waiters.into_iter().for_each(|waiter| drop(waiter.send(reply.clone())));
            }
        }
        claimed.into_iter().for_each(|order| self.miner.leave(order));
        self.enter_open_races();
        Ok(())
    }

    fn sign_reply(&self, transaction: B256, height: u64, block_hash: B256) -> Reply {
        Reply::sign(transaction, height, block_hash, self.me, &self.key, &self.domain)
    }

    // Work.

    fn enter_open_races(&mut self) {
        let claimed: HashSet<_> =
            self.ledger.pending_transactions().filter_map(|(_, transaction)| claimed_order(transaction)).collect();
        let mut open: Vec<_> = self
            .ledger
            .open_orders()
            .filter(|(hash, _)| !claimed.contains(hash))
            .filter_map(|(hash, open)| Some((open.height, open.order.nonce, hash, open.order.work?)))
            .collect();
        open.sort_unstable_by_key(|(height, nonce, hash, _)| (*height, *nonce, *hash));
        for (_, _, order, work) in open {
            match Puzzle::new(self.domain.network_id, order, self.key.address(), work.expected_hashes) {
                Ok(puzzle) => self.miner.enter(puzzle),
                Err(error) => tracing::error!(%order, %error, "an order without a puzzle"),
            }
        }
    }

    fn turn_ended(&mut self, turn: Turn) {
        let Some(mined) = self.miner.ended(turn) else { return };
        let Mined { order, solution, started_at_us, ended_at_us, duration_us } = mined;
        let claim = Claim {
            order,
            payee: self.payee,
            nonce: solution.nonce,
            hash: solution.hash,
            started_at_us,
            ended_at_us,
            duration_us,
        };
        tracing::info!(%order, nonce = claim.nonce, duration_us = claim.duration_us, "solved");
        let transaction = Transaction::sign(Payload::Claim(claim), &self.key, &self.domain);
        if let Err(error) = self.submit(transaction) {
            tracing::debug!(%order, %error, "the solution came too late");
        }
    }

    fn admit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        let claimed = claimed_order(&transaction);
        let hash = self.ledger.admit(transaction)?;
        if let Some(order) = claimed {
            self.miner.leave(order);
        }
        Ok(hash)
    }

    // The network.

    fn event(&mut self, event: Event) -> Result<(), NodeError> {
        match event {
            Event::Connected(peer) => {
                self.connected.insert(peer);
                self.send(peer, &Frame::Height(self.ledger.tip().height));
                self.input(Input::Connected(peer))?;
            }
            Event::Disconnected(peer) => {
                self.connected.remove(&peer);
                self.heights.remove(&peer);
                self.sync = self.sync.take().filter(|sync| sync.from != peer);
            }
            Event::Frame { from, frame: Frame::Consensus(message) } => {
                self.input(Input::Message { from, message: *message })?;
            }
            Event::Frame { from, frame: Frame::Height(height) } => {
                self.heights.insert(from, height);
                if height > self.ledger.tip().height + 1 {
                    self.catch_up();
                }
            }
            Event::Frame { from, frame: Frame::Transactions(transactions) } => {
                for transaction in transactions.into_iter().take(MAX_RESENT_TRANSACTIONS) {
                    self.received(transaction, Some(from));
                }
            }
            Event::Transaction(transaction) => self.received(*transaction, None),
            Event::BlocksRequested { request, channel } => self.respond(request, channel)?,
            Event::Blocks { from, blocks } => self.take_blocks(from, blocks)?,
        }
        Ok(())
    }

    fn received(&mut self, transaction: Transaction, from: Option<ValidatorIndex>) {
        if let Err(error) = self.admit(transaction) {
            tracing::debug!(?from, %error, "a transaction was not admitted");
        }
    }

    fn send(&self, to: ValidatorIndex, frame: &Frame) {
        self.command(Command::Send { to, frame: Bytes::from(codec::encode(frame)) });
    }

    fn broadcast(&self, frame: &Frame) {
        self.command(Command::Broadcast(Bytes::from(codec::encode(frame))));
    }

    fn command(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::debug!("the network is busy; a message was dropped");
        }
    }

    fn housekeeping(&mut self) -> Result<(), NodeError> {
        let height = self.ledger.tip().height;
        self.broadcast(&Frame::Height(height));
        if let Some(sync) = &mut self.sync {
            sync.rounds += 1;
            if sync.rounds > SYNC_PATIENCE {
                self.unhelpful = Some(sync.from);
                self.sync = None;
            }
        }
        let stalled = height == self.last_height;
        self.last_height = height;
        if stalled {
            self.catch_up();
        }
        // The oldest transactions that could be executed. If there were such at the last look too, they may not have
        // reached the primary.
        let waiting = self.ledger.proposable(MAX_RESENT_TRANSACTIONS);
        let (is_waiting, primary) = (!waiting.is_empty(), self.pbft.primary());
        if self.was_waiting && is_waiting && primary != self.me {
            self.send(primary, &Frame::Transactions(waiting));
        }
        self.was_waiting = is_waiting;
        self.input(Input::Waiting(is_waiting))
    }

    // Catching up.

    /// Asks a peer that says it is ahead for the blocks that are missing, unless one is being asked.
    fn catch_up(&mut self) {
        let height = self.ledger.tip().height;
        let ahead = self.heights.iter().filter(|(_, theirs)| **theirs > height);
        let ahead = ahead.max_by_key(|(peer, theirs)| (Some(**peer) != self.unhelpful, **theirs));
        let Some((from, _)) = ahead.filter(|_| self.sync.is_none()) else { return };
        let from = *from;
        self.sync = Some(Sync { from, rounds: 0 });
        self.command(Command::RequestBlocks { from, request: BlockRequest { from: height + 1 } });
    }

    fn respond(&mut self, request: BlockRequest, channel: ResponseChannel<Vec<u8>>) -> Result<(), NodeError> {
        let (mut blocks, mut size) = (Vec::new(), 0);
        for height in request.from..=self.ledger.tip().height {
            let (Some(block), Some(certificate)) = (self.ledger.block(height)?, self.ledger.certificate(height)?)
            else {
                break;
            };
            let certified = CertifiedBlock { block, certificate };
            size += codec::encode(&certified).len();
            blocks.push(certified);
            if size >= wire::SYNC_RESPONSE_TARGET {
                break;
            }
        }
        self.command(Command::RespondBlocks { channel, blocks });
        Ok(())
    }

    /// Takes blocks from a peer as far as their certificates hold; never on its word alone.
    fn take_blocks(&mut self, from: ValidatorIndex, blocks: Vec<CertifiedBlock>) -> Result<(), NodeError> {
        self.sync = None;
        let before = self.ledger.tip().height;
        for CertifiedBlock { block, certificate } in blocks {
            if block.header.height <= self.ledger.tip().height {
                continue;
            }
            let block = Arc::new(block);
            match self.check_certified(&block, &certificate) {
                Ok(()) => self.commit(block, certificate)?,
                Err(error) => {
                    tracing::warn!(peer = %from, height = block.header.height, %error, "a peer sent a bad block");
                    if let Some(count) = self.faults.get_mut(from.as_usize()) {
                        *count += 1;
                    }
                    break;
                }
            }
        }
        let height = self.ledger.tip().height;
        if height == before {
            // Believed again when it next tells its height.
            self.heights.remove(&from);
            self.unhelpful = Some(from);
            return Ok(());
        }
        tracing::info!(peer = %from, from_height = before, height, "caught up");
        if let Some(certificate) = self.ledger.certificate(height)? {
            self.input(Input::CaughtUp(certificate))?;
        }
        self.catch_up();
        Ok(())
    }

    fn check_certified(&mut self, block: &Arc<Block>, certificate: &Certificate) -> Result<(), String> {
        let hash = block.header.hash();
        if certificate.block_hash != hash || certificate.height != block.header.height {
            return Err("the certificate is for another block".into());
        }
        certificate.verify(&self.domain, &self.validators).map_err(|error| error.to_string())?;
        // What a quorum has finalized is not compared with this peer's clock.
        self.ledger.check_proposal(block.clone(), u64::MAX).map_err(|error| error.to_string())
    }

    // Questions.

    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub(crate) fn height(&self) -> u64 {
        self.ledger.tip().height
    }

    pub(crate) fn status(&self) -> Status {
        let mut evidence: Vec<_> = self.evidence.iter().map(|evidence| evidence.first.validator.0).collect();
        evidence.sort_unstable();
        evidence.dedup();
        Status {
            network: self.genesis.name.clone(),
            network_id: self.domain.network_id,
            chain_id: self.domain.chain_id,
            validator: self.me.0,
            address: self.key.address(),
            nodes: self.validators.len(),
            quorum: self.validators.quorum(),
            view: self.pbft.view(),
            primary: self.pbft.primary().0,
            height: self.ledger.tip().height,
            block_hash: self.ledger.tip().hash,
            connected: self.connected.iter().map(|peer| peer.0).collect(),
            pending_transactions: self.ledger.pending_count(),
            open_orders: self.ledger.open_orders().count(),
            working_on: self.miner.running(),
            evidence,
            faults: self.faults.clone(),
        }
    }

    /// Takes a transaction from a client or from this peer itself, and tells the others.
    pub(crate) fn submit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        let encoded = codec::encode(&transaction);
        let hash = self.admit(transaction)?;
        self.command(Command::Publish(encoded));
        Ok(hash)
    }

    pub(crate) fn wait_for_reply(
        &mut self,
        transaction: B256,
        waiter: oneshot::Sender<Reply>,
    ) -> Result<(), NodeError> {
        if let Some(location) = self.ledger.transaction(transaction)? {
            let height = location.height;
            if let Some(certificate) = self.ledger.certificate(height)? {
                // A client that no longer waits is no concern.
                waiter.send(self.sign_reply(transaction, height, certificate.block_hash)).ok();
            }
            return Ok(());
        }
        self.waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        if self.waiters.len() < MAX_WAITERS {
            self.waiters.entry(transaction).or_default().push(waiter);
        }
        Ok(())
    }

    pub(crate) fn block(&self, height: u64) -> Result<Option<BlockView>, NodeError> {
        let Some(block) = self.ledger.block(height)? else { return Ok(None) };
        let transaction_hashes = block.transactions.iter().map(|transaction| transaction.hash(&self.domain)).collect();
        Ok(Some(BlockView { hash: block.header.hash(), transaction_hashes, block }))
    }

    pub(crate) fn certificate(&self, height: u64) -> Result<Option<CertifiedHeader>, NodeError> {
        let (block, certificate) = (self.ledger.block(height)?, self.ledger.certificate(height)?);
        let certified = block.zip(certificate);
        Ok(certified.map(|(block, certificate)| CertifiedHeader {
            header: block.header,
            certificate,
            transactions: block.transactions.len(),
            latency_us: self.latencies.get(&height).map(|latency| latency.as_micros() as u64),
        }))
    }

    pub(crate) fn nonce(&self, account: Address) -> u64 {
        self.ledger.next_nonce(account)
    }

    pub(crate) fn results(&self, from_height: u64, limit: usize) -> Result<Vec<FinalizedResult>, NodeError> {
        Ok(self.ledger.finalized_results(from_height, limit)?)
    }
}

/// The order that a transaction claims, if it is a claim.
fn claimed_order(transaction: &Transaction) -> Option<B256> {
    match &transaction.payload {
        Payload::Claim(claim) => Some(claim.order),
        Payload::Order(_) => None,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
