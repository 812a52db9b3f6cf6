//! The synchronous heart of a peer: one thread owns consensus, ledger and miner, and works in steps.
//!
//! A step takes in what has arrived, has consensus and ledger react, and gathers what follows. Then everything that
//! must be durable is made so in one write, and only after that leaves what the step has to say. Under load a step takes
//! in more, so a write serves many votes.

pub(crate) mod engine;
mod liar;
mod mining;
mod peers;
mod proposals;
mod questions;
#[cfg(test)]
pub(crate) mod testing;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dtn_adversary::Kind;
use dtn_consensus::{CHECKPOINT_INTERVAL, Decision, Evidence, PIPELINE, PbftConfig, nakamoto, pbft};
use dtn_ledger::{AdmissionError, Ledger, LedgerError, Missing};
use dtn_primitives::{
    Address, B256, Block, Certificate, CheckpointCertificate, Domain, Genesis, Payload, SecretKey, Transaction,
    ValidatorIndex, memo,
};
use dtn_trainer::Library;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    NodeError,
    board::Board,
    boot,
    evidence::{EvidencePool, EvidenceRefusal},
    faults::FaultBudget,
    feed::Feed,
    follow::{self, Follow},
    host::{Host, Query},
    inbox::Inbox,
    link::Offence,
    metrics::{Metrics, Step, ViewChangeReason},
    network::{Command, Event, Exchange, Remote},
    timers::{Timers, sleep_until},
    wire::{self, Frame, MAX_RESENT_TRANSACTIONS},
    work::{
        line::OwnLines,
        race::{
            claim_of,
            miner::{Miner, Turn},
        },
        round::{
            Rounds,
            prover::{Finished, Verdict},
        },
        training::{Training, desk::Done},
    },
};
use engine::{Answer, Effect, Engine, Input, Notice, Timer, Words};
use liar::Liar;
use mining::ChainMiner;
use proposals::{BATCH_DELAY, Deferred, Wish};

/// How often a peer tells its height, looks whether it fell behind and resends what waits too long.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// The most events and questions that one step takes in.
const STEP: usize = 512;

/// No further question of a client begins in a step after this long: what the step has to say does not wait for them.
const QUESTIONS: Duration = Duration::from_millis(2);

/// How many checked signatures are remembered: a certificate is made of votes that were checked one by one just before.
const REMEMBERED_SIGNATURES: usize = 8 * 1024;

/// What a [`Core`] needs to know.
pub(crate) struct CoreConfig {
    pub(crate) genesis: Genesis,
    pub(crate) key: SecretKey,
    pub(crate) me: ValidatorIndex,
    pub(crate) payee: Address,
    pub(crate) threads: NonZeroUsize,
    pub(crate) mine: bool,
    pub(crate) half_work: bool,
    pub(crate) lie: Option<Kind>,
    pub(crate) view_timeout: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) feed: Feed,
    pub(crate) board: Board,
    pub(crate) library: Library,
}

/// Everything that a peer knows.
pub(crate) struct Core {
    genesis: Genesis,
    pub(crate) domain: Domain,
    pub(crate) key: SecretKey,
    pub(crate) me: ValidatorIndex,
    pub(crate) payee: Address,
    pub(crate) engine: Engine,
    /// What becomes of what it would say, if it is told to lie.
    liar: Option<Liar>,
    pub(crate) ledger: Ledger,
    /// Whether this peer races for proofs of work.
    pub(crate) mine: bool,
    pub(crate) miner: Miner,
    pub(crate) lines: OwnLines,
    turns: mpsc::UnboundedReceiver<Turn>,
    chain: ChainMiner,
    pub(crate) rounds: Rounds,
    pub(crate) training: Training,
    done: mpsc::UnboundedReceiver<Done>,
    pub(crate) deferred: Deferred,
    finished: mpsc::UnboundedReceiver<Finished>,
    pub(crate) verdicts: mpsc::UnboundedReceiver<Verdict<B256>>,
    commands: mpsc::Sender<Command>,
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) outbox: Outbox,
    timers: Timers<Timer>,
    /// What consensus wants a proposal for.
    wanted: Option<Wish>,
    /// What consensus knows of what waits here.
    awaited: Option<B256>,
    /// Since when there has been something to propose.
    batching: Option<Instant>,
    pub(crate) connected: BTreeSet<ValidatorIndex>,
    follow: Follow,
    pub(crate) metrics: Metrics,
    /// The height at the last housekeeping.
    last_height: u64,
    /// Transactions could be executed at the last housekeeping.
    was_waiting: bool,
    evidence: EvidencePool,
    pub(crate) faults: Vec<u64>,
    budget: FaultBudget,
    /// The proposals under way by height, and when this peer first held them.
    began: BTreeMap<u64, (B256, Instant)>,
    feed: Feed,
    pub(crate) board: Board,
    started: Instant,
    stopping: bool,
}

/// What a step gathers to be let out at its end.
#[derive(Default)]
pub(crate) struct Outbox {
    /// What must be durable before anything else here leaves, by height.
    records: Vec<(u64, Vec<u8>)>,
    pub(crate) commands: Vec<Command>,
    /// Transactions that are new here, to be passed on.
    pub(crate) transactions: Vec<Transaction>,
}

impl Core {
    pub(crate) fn new(config: CoreConfig, ledger: Ledger, commands: mpsc::Sender<Command>) -> Result<Self, NodeError> {
        let CoreConfig { genesis, key, me, threads, view_timeout, library, .. } = config;
        let (domain, validators) = (*ledger.domain(), ledger.validators().clone());
        let records = ledger.store().journal()?;
        let replica = PbftConfig { me, key: key.clone(), domain, validators, view_timeout };
        let evidence = EvidencePool::open(ledger.store().clone(), domain, ledger.membership().clone())?;
        let (report, turns) = mpsc::unbounded_channel();
        let (report_work, finished) = mpsc::unbounded_channel();
        let (report_verdict, verdicts) = mpsc::unbounded_channel();
        let (report_done, done) = mpsc::unbounded_channel();
        let is_known = |order| ledger.training_order(order).is_ok_and(|it| it.is_some());
        let training = Training::new(library, report_done, is_known);
        let engine = Engine::new(replica, genesis.engine, &ledger, records)?;
        let told = config.lie.map(|kind| (kind, engine.adversary(kind, genesis.engine)));
        let liar = told.map(|told| Liar::new(told, view_timeout, &domain));
        let mut core = Self {
            engine,
            liar,
            faults: vec![0; ledger.validators().len()],
            budget: FaultBudget::default(),
            last_height: ledger.tip().height,
            was_waiting: false,
            mine: config.mine,
            miner: Miner::new(threads, report),
            chain: ChainMiner::new(threads),
            lines: OwnLines::default(),
            genesis,
            domain,
            key,
            me,
            payee: config.payee,
            ledger,
            turns,
            rounds: Rounds::new(config.half_work, threads, report_work, report_verdict),
            training,
            done,
            deferred: Deferred::new(),
            finished,
            verdicts,
            commands,
            inputs: VecDeque::new(),
            outbox: Outbox::default(),
            timers: Timers::default(),
            wanted: None,
            awaited: None,
            batching: None,
            connected: BTreeSet::new(),
            follow: Follow::default(),
            metrics: config.metrics,
            evidence,
            began: BTreeMap::new(),
            feed: config.feed,
            board: config.board,
            started: Instant::now(),
            stopping: false,
        };
        core.enter_open_races();
        core.follow_rounds();
        Ok(core)
    }

    /// Works until it is told to stop, or its store fails.
    pub(crate) fn run(mut self, mut events: Inbox, mut queries: mpsc::Receiver<Query>) -> Result<(), NodeError> {
        let _remembering = memo::remember(REMEMBERED_SIGNATURES);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| NodeError::Network(error.to_string()))?;
        runtime.block_on(async {
            let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
            housekeeping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let (memory, boot) = boot::start(self.ledger.memory())?;
            self.input(Input::Start { memory, boot })?;
            self.checkpoint()?; // the crash may have come between the block and the vote
            while !self.stopping {
                let batch = self.batching.map(|since| since + BATCH_DELAY);
                let next_timer = [self.timers.next(), batch, self.liar.as_ref().and_then(Liar::next)];
                let next_timer = next_timer.into_iter().flatten().min();
                tokio::select! {
                    event = events.recv() => match event {
                        Some(event) => self.event(event)?,
                        None => return Err(NodeError::Network("the network task ended".into())),
                    },
                    Some(query) = queries.recv() => query(&mut self),
                    Some(turn) = self.turns.recv() => self.turn_ended(turn),
                    Some(turn) = self.chain.turns.recv() => self.mining_ended(turn)?,
                    Some(work) = self.finished.recv() => self.work_finished(work)?,
                    Some(verdict) = self.verdicts.recv() => self.proof_checked(verdict)?,
                    Some(done) = self.done.recv() => self.desk_done(done)?,
                    () = sleep_until(next_timer) => self.fire_timers()?,
                    _ = housekeeping.tick() => self.housekeeping()?,
                    else => break,
                }
                let no_more_questions = Instant::now() + QUESTIONS;
                for _ in 0..STEP {
                    let may_ask = Instant::now() < no_more_questions;
                    let query = if may_ask { queries.try_recv().ok() } else { None };
                    let event = events.try_recv();
                    if event.is_none() && query.is_none() {
                        break;
                    }
                    if let Some(event) = event {
                        self.event(event)?;
                    }
                    if let Some(query) = query {
                        query(&mut self);
                    }
                }
                self.propose()?;
                self.let_out()?;
                self.show();
            }
            // Blocks become durable with the next votes, and there are none.
            Ok(self.ledger.store().sync()?)
        })
    }

    /// Ends a step: first makes durable what has to be, then lets out what it has to say.
    fn let_out(&mut self) -> Result<(), NodeError> {
        let Outbox { records, mut commands, transactions } = std::mem::take(&mut self.outbox);
        commands.extend(wire::batches(transactions).into_iter().map(Command::Broadcast));
        if !records.is_empty() {
            self.metrics.journal_records.inc_by(records.len() as u64);
            let records = records.iter().map(|(height, record)| (*height, record.as_slice()));
            let ledger = &self.ledger;
            self.metrics.timed(Step::Persist, || ledger.store().append_journal(records))?;
        }
        for command in commands {
            // What is said to peers may be lost; consensus says it again.
            if self.commands.try_send(command).is_err() {
                tracing::debug!("the network is busy; a message was dropped");
            }
        }
        Ok(())
    }

    // Consensus.

    pub(crate) fn input(&mut self, input: Input) -> Result<(), NodeError> {
        self.inputs.push_back(input);
        self.pump()
    }

    /// Hands consensus everything that is there for it.
    fn pump(&mut self) -> Result<(), NodeError> {
        while let Some(input) = self.inputs.pop_front() {
            if let Input::Heard { from, words } = &input {
                self.lie(|adversary, context| adversary.heard(*from, words, context));
            }
            let before = self.engine.standing().view;
            let timed_out = matches!(input, Input::Timer(Timer::ViewChange));
            let engine = &mut self.engine;
            let effects = self.metrics.timed(Step::Consensus, || engine.handle(input));
            let standing = self.engine.standing();
            if standing.view != before {
                // Consensus asks again for what it still wants.
                self.wanted = None;
                self.forget_deferred();
                if standing.is_changing_view {
                    let reason = if timed_out { ViewChangeReason::Timeout } else { ViewChangeReason::Joined };
                    self.metrics.view_change(reason);
                    tracing::warn!(view = standing.view, ?reason, "asking for a new view");
                }
            }
            for effect in effects {
                self.effect(effect)?;
            }
        }
        Ok(())
    }

    /// Carries out one effect, or gathers it for the end of the step.
    fn effect(&mut self, effect: Effect) -> Result<(), NodeError> {
        match effect {
            Effect::Send { to, words } if self.liar.is_some() => {
                self.lie(|adversary, context| adversary.instead(to, *words, context));
            }
            Effect::Broadcast(words) if self.liar.is_some() => {
                for to in self.ledger.validators().others(self.me) {
                    self.lie(|adversary, context| adversary.instead(to, Words::clone(&words), context));
                }
            }
            Effect::Send { to, words } => self.say(to, *words),
            Effect::Broadcast(words) => {
                self.metrics.vote_sent(words.kind());
                self.broadcast(&Frame::Consensus(words));
            }
            Effect::SetTimer { timer, after } => self.timers.set(timer, after),
            Effect::CancelTimer(timer) => self.timers.cancel(timer),
            Effect::Persist { height, record } => self.outbox.records.push((height, record)),
            Effect::Propose { height, parent, empty } => self.wanted = Some(Wish { height, parent, empty }),
            Effect::Validate { block, fresh } => {
                let (height, block_hash) = (block.header.height, block.header.hash());
                self.began.insert(height, (block_hash, Instant::now()));
                self.validate(block, fresh);
            }
            // It is asked for again at the engine's next tick.
            Effect::Mine(_) if !self.mine || self.is_behind() || self.is_gathering() => {}
            Effect::Mine(puzzle) => self.chain.mine(puzzle),
            Effect::Notice(notice) => self.notice(notice),
            Effect::Decide(Decision { block, certificate }) => self.commit(block, certificate)?,
            Effect::Stable(checkpoint) => self.stable(checkpoint)?,
            Effect::Evidence(evidence) => self.take_evidence(*evidence, None)?,
            Effect::Fault { from, fault } => {
                tracing::warn!(peer = %from, %fault, "a faulty message");
                self.metrics.peer_fault(from, fault.kind());
                self.count_fault(from);
                if from != self.me && fault.is_the_senders() {
                    self.charge_fault(Remote::Validator(from));
                }
            }
        }
        Ok(())
    }

    fn say(&mut self, to: ValidatorIndex, words: Words) {
        self.metrics.vote_sent(words.kind());
        self.send(to, &Frame::Consensus(Box::new(words)));
    }

    /// Tells the operator what happened.
    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Chain(nakamoto::Notice::Reorganized { depth, from, to }) => {
                tracing::warn!(depth, %from, %to, "reorganized: blocks that were not final are left");
                self.metrics.reorganized(depth);
            }
            Notice::Chain(nakamoto::Notice::InvalidBlock { height, block_hash }) => {
                tracing::warn!(height, %block_hash, "a mined block is invalid; its chain is not followed");
            }
            Notice::Finality(pbft::Notice::Forgot { from }) => {
                tracing::error!(
                    peer = %from,
                    "a peer shows what this validator has said and does not remember: its store is older than its words, \
                     or another process signs with its key"
                );
            }
            Notice::Finality(pbft::Notice::Silent { until }) => {
                tracing::warn!(
                    until,
                    "this validator does not remember what it said: it votes again from this height on"
                );
            }
            Notice::Chain(nakamoto::Notice::BelowCheckpoint { from, height, block_hash }) => {
                tracing::error!(peer = %from, height, %block_hash, "a chain that leaves out a final block is not followed");
                self.metrics.chains_below_checkpoint.inc();
            }
        }
    }

    fn fire_timers(&mut self) -> Result<(), NodeError> {
        self.lie_late();
        for timer in self.timers.expired() {
            if timer == Timer::ViewChange {
                let standing = self.engine.standing();
                tracing::warn!(view = standing.view, primary = %standing.primary, "the view timed out");
            }
            self.metrics.timer(timer.name());
            self.input(Input::Timer(timer))?;
        }
        Ok(())
    }

    // The ledger.

    /// Makes a block final. It need not be durable before something is said that rests on it: the quorum's prepared
    /// certificates are.
    pub(crate) fn commit(&mut self, block: Arc<Block>, certificate: Certificate) -> Result<(), LedgerError> {
        let (height, block_hash) = (block.header.height, certificate.block_hash);
        let ledger = &mut self.ledger;
        let committed = self.metrics.timed(Step::Commit, || ledger.commit(block.clone(), &certificate))?;
        let transactions = committed.transaction_hashes.clone();
        // Whoever is told of the block finds the peer's status as new.
        self.show();
        self.feed.publish(&block, &certificate, &transactions);
        self.metrics.decided_blocks.inc();
        self.metrics.decided_transactions.inc_by(transactions.len() as u64);
        tracing::info!(height, %block_hash, view = certificate.view, transactions = transactions.len(), "final");
        if let Some((_, began)) = self.began.remove(&height).filter(|(hash, _)| *hash == block_hash) {
            self.metrics.decide_latency.observe(began.elapsed().as_secs_f64());
            self.board.took(height, began.elapsed());
        }
        self.began.retain(|above, _| *above > height);
        let is_awaited = |awaited: B256| {
            transactions.contains(&awaited) || committed.ended.contains(&awaited) || awaited == block.header.parent_hash
        };
        if self.awaited.is_some_and(is_awaited) {
            let oldest = self.ledger.oldest_executable();
            self.awaited = oldest;
            self.inputs.push_back(Input::Answer(Answer::Waiting(oldest)));
        }
        self.follow_races(&committed);
        self.lines_moved()?;
        self.rounds_moved();
        self.training_moved(&committed.ended_training);
        self.checkpoint()?;
        Ok(())
    }

    /// Has consensus vote on the state where that is due.
    fn checkpoint(&mut self) -> Result<(), LedgerError> {
        let height = self.ledger.tip().height;
        if height > 0 && height.is_multiple_of(CHECKPOINT_INTERVAL) {
            let state_root = self.ledger.checkpoint()?;
            self.inputs.push_back(Input::Answer(Answer::Checkpoint { height, state_root }));
            // It may have been told that this is stable before it was there.
            if let Some(stable) = self.engine.stable().filter(|stable| stable.height == height) {
                self.ledger.stable(stable)?;
            }
        }
        Ok(())
    }

    /// A quorum has executed everything up to this checkpoint. A peer that has not takes the blocks or the state from
    /// the others.
    fn stable(&mut self, checkpoint: CheckpointCertificate) -> Result<(), NodeError> {
        let height = checkpoint.height;
        tracing::info!(height, state_root = %checkpoint.state_root, "a stable checkpoint");
        if height <= self.ledger.tip().height {
            self.ledger.stable(&checkpoint)?;
        } else {
            self.fetch();
        }
        Ok(())
    }

    // Transactions.

    pub(crate) fn admit(&mut self, transaction: Transaction) -> Result<B256, AdmissionError> {
        self.check_time(&transaction)?;
        if self.only_says_that_it_takes(&transaction) {
            return Ok(transaction.hash(&self.domain));
        }
        let claimed = claim_of(&transaction).map(|claim| (claim.order, claim.hash));
        let takes = matches!(transaction.payload, Payload::Completion(_) | Payload::Training(_));
        let taking = takes.then(|| transaction.clone());
        let ledger = &mut self.ledger;
        ledger.tell_time(now_ms());
        let hash = self.metrics.timed(Step::Admit, || ledger.admit(transaction));
        match (&hash, &taking) {
            (Err(AdmissionError::Unproven(_)), Some(completion)) => self.want_proof_of(completion),
            (Err(AdmissionError::Missing(missing)), Some(call)) => self.want_for(Missing::clone(missing), call),
            _ => {}
        }
        let hash = hash.inspect_err(|_| _ = self.metrics.refused_transactions.inc())?;
        if let Some((order, claimed)) = claimed {
            self.miner.outdo(order, claimed);
        }
        Ok(hash)
    }

    fn send(&mut self, to: ValidatorIndex, frame: &Frame) {
        self.outbox.commands.push(Command::Send { to, frame: frame.encode() });
    }

    fn broadcast(&mut self, frame: &Frame) {
        self.outbox.commands.push(Command::Broadcast(frame.encode()));
    }

    fn housekeeping(&mut self) -> Result<(), NodeError> {
        let height = self.ledger.tip().height;
        self.measure();
        match self.liar {
            None => self.broadcast(&Frame::Height(height)),
            Some(_) => self.ledger.validators().others(self.me).for_each(|to| self.tell_height(to)),
        }
        self.lie_unasked();
        self.follow.lose_patience(Instant::now());
        self.look_after_rounds();
        self.look_after_training();
        self.lines_moved()?;
        self.validate_deferred()?;
        let stalled = height == self.last_height;
        self.last_height = height;
        if stalled {
            self.fetch();
        }
        // The oldest transactions that could be executed. If there were such at the last look too, they may not have
        // reached the primary.
        self.ledger.tell_time(now_ms());
        let (is_waiting, primary) = (self.ledger.oldest_executable().is_some(), self.engine.standing().primary);
        if self.was_waiting && is_waiting && primary != self.me {
            for frame in wire::batches(self.ledger.proposable(MAX_RESENT_TRANSACTIONS)) {
                self.outbox.commands.push(Command::Send { to: primary, frame });
            }
        }
        self.was_waiting = is_waiting;
        self.tell_what_waits()
    }
}

impl Core {
    /// Tells Prometheus where this peer stands.
    fn measure(&self) {
        let (metrics, standing) = (&self.metrics, self.engine.standing());
        metrics.view.set(standing.view as i64);
        metrics.primary.set(i64::from(standing.primary.0));
        metrics.height.set(self.ledger.tip().height as i64);
        metrics.stable_height.set(standing.stable_height as i64);
        metrics.lowest_block.set(self.ledger.lowest_block().unwrap_or_default() as i64);
        metrics.mempool_transactions.set(self.ledger.pending_count() as i64);
        metrics.mempool_bytes.set(self.ledger.ready().bytes as i64);
        metrics.waiters.set(self.feed.waiters().len() as i64);
        if let Some(chain) = self.engine.mined() {
            metrics.mined_height.set(i64::try_from(chain.height).unwrap_or(i64::MAX));
            metrics.next_work.set(chain.next_work.and_then(|work| i64::try_from(work).ok()).unwrap_or(i64::MAX));
        }
        metrics.silent.set(i64::from(standing.is_silent));
        let writes = self.ledger.store().durable_writes();
        metrics.durable_writes.inc_by(writes.saturating_sub(metrics.durable_writes.get()));
    }
}

pub(crate) fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
