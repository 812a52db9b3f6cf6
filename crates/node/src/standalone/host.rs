//! The thread that owns a protocol.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

use dtn_consensus::{Effect, Input, Standalone};
use dtn_ledger::{Store, StoreError};
use dtn_primitives::{Address, ValidatorIndex, codec};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Counters, Event, PeerError};
use crate::{
    NodeError, boot,
    core::engine::Words,
    faults::FaultBudget,
    inbox::Inbox,
    link::Offence,
    metrics::Metrics,
    network::{self, Command, Remote},
    timers::{Timers, sleep_until},
    wire::{EncodedFrame, Frame, Mark},
};

/// The most events that one step takes in.
const STEP: usize = 512;

/// How metrics name what a protocol calls a fault.
const FAULT: &str = "protocol";

/// What a [`Host`] needs to know.
pub(super) struct HostConfig {
    pub(super) me: ValidatorIndex,
    pub(super) address: Address,
    pub(super) max_message: usize,
    pub(super) store: Store,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) metrics: Metrics,
    pub(super) counters: Arc<Counters>,
}

/// A protocol, and what its steps lead to.
pub(super) struct Host<P: Standalone> {
    config: HostConfig,
    protocol: P,
    timers: Timers<P::Timer>,
    budget: FaultBudget,
    connected: BTreeSet<ValidatorIndex>,
    outbox: Outbox<P>,
    /// What the caller has had no room for. While there is any, nothing but its answers is taken in.
    pub(super) untold: VecDeque<Event<P>>,
}

/// What a step gathers to be let out at its end.
struct Outbox<P: Standalone> {
    /// By slot: what must be durable before anything else here leaves.
    records: Vec<(u64, Vec<u8>)>,
    commands: Vec<Command>,
    events: Vec<Event<P>>,
}

impl<P: Standalone> Default for Outbox<P> {
    fn default() -> Self {
        Self { records: Vec::new(), commands: Vec::new(), events: Vec::new() }
    }
}

impl<P: Standalone> Host<P> {
    pub(super) fn new(config: HostConfig, protocol: P) -> Self {
        Self {
            config,
            protocol,
            timers: Timers::default(),
            budget: FaultBudget::default(),
            connected: BTreeSet::new(),
            outbox: Outbox::default(),
            untold: VecDeque::new(),
        }
    }

    /// Works until it is told to stop, or its journal fails.
    pub(super) fn run(
        mut self,
        mut events: Inbox,
        (told, mut answers): (mpsc::Sender<Event<P>>, mpsc::Receiver<P::Answer>),
        mut stopping: oneshot::Receiver<()>,
    ) -> Result<(), PeerError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| NodeError::Network(error.to_string()))?;
        runtime.block_on(async {
            let (memory, boot) = boot::start(self.config.store.memory())?;
            self.input(Input::Start { memory, boot })?;
            loop {
                self.let_out(|store, records| store.keep(records.iter().map(|(slot, it)| (*slot, it.as_slice()))))?;
                let heeded = self.untold.is_empty();
                tokio::select! {
                    _ = &mut stopping => return Ok(()),
                    room = told.reserve(), if !heeded => match (room, self.untold.pop_front()) {
                        (Ok(room), Some(event)) => room.send(event),
                        // Who takes nothing any more does not want to know.
                        _ => self.untold.clear(),
                    },
                    Some(answer) = answers.recv() => self.input(Input::Answer(answer))?,
                    event = events.recv(), if heeded => match event {
                        Some(event) => self.event(event)?,
                        None => return Err(NodeError::Network("the network task ended".into()).into()),
                    },
                    () = sleep_until(self.timers.next()), if heeded => {
                        for timer in self.timers.expired() {
                            self.input(Input::Timer(timer))?;
                        }
                    }
                }
                for _ in 0..STEP {
                    let Some(event) = self.untold.is_empty().then(|| events.try_recv()).flatten() else { break };
                    self.event(event)?;
                }
            }
        })
    }

    /// Ends a step: first makes durable what has to be, then lets out what it has to say.
    pub(super) fn let_out(
        &mut self,
        keep: impl FnOnce(&Store, &[(u64, Vec<u8>)]) -> Result<(), StoreError>,
    ) -> Result<(), PeerError> {
        let Outbox { records, commands, events } = std::mem::take(&mut self.outbox);
        if !records.is_empty() {
            self.config.metrics.journal_records.inc_by(records.len() as u64);
            keep(&self.config.store, &records)?;
        }
        for command in commands {
            // What is said to peers may be lost; the protocol says it again.
            if self.config.commands.try_send(command).is_err() {
                tracing::debug!("the network is busy; a message was dropped");
            }
        }
        self.untold.extend(events);
        Ok(())
    }

    pub(super) fn input(&mut self, input: Input<P>) -> Result<(), PeerError> {
        self.protocol.handle(input).into_iter().try_for_each(|effect| self.effect(effect))
    }

    /// Carries out one effect, or gathers it for the end of the step.
    fn effect(&mut self, effect: Effect<P>) -> Result<(), PeerError> {
        match effect {
            Effect::Send { to, message } => {
                let receivers = usize::from(self.connected.contains(&to));
                let frame = self.frame(&message, receivers)?;
                self.outbox.commands.push(Command::Send { to, frame });
            }
            Effect::Broadcast(message) => {
                let frame = self.frame(&message, self.connected.len())?;
                self.outbox.commands.push(Command::Broadcast(frame));
            }
            Effect::SetTimer { timer, after } => self.timers.set(timer, after),
            Effect::CancelTimer(timer) => self.timers.cancel(timer),
            Effect::Persist(record) => self.outbox.records.push((P::slot(&record), codec::encode(&record))),
            Effect::Ask(ask) => self.outbox.events.push(Event::Asked(ask)),
            Effect::Output(output) => self.outbox.events.push(Event::Output(output)),
            Effect::Fault { from, fault } => self.fault(from, &fault),
        }
        Ok(())
    }

    fn frame(&self, message: &P::Message, receivers: usize) -> Result<EncodedFrame, PeerError> {
        let (kind, encoded, limit) = (P::kind(message), codec::encode(message), self.config.max_message);
        let bytes = encoded.len();
        if bytes > limit {
            return Err(PeerError::MessageTooLong { protocol: P::NAME, kind, bytes, limit });
        }
        self.config.metrics.vote_sent(kind);
        self.config.counters.count(|counts| counts.sent.entry(kind).or_default().add(receivers, bytes));
        Ok(Frame::Consensus(Box::new(Words::Own { protocol: Mark::of(P::NAME), message: encoded.into() })).encode())
    }

    pub(super) fn event(&mut self, event: network::Event) -> Result<(), PeerError> {
        match event {
            network::Event::Connected(Remote::Validator(peer)) => {
                self.connected.insert(peer);
                self.input(Input::Connected(peer))?;
            }
            network::Event::Disconnected(Remote::Validator(peer)) => {
                self.connected.remove(&peer);
                self.budget.disconnected(Remote::Validator(peer));
            }
            network::Event::Frame { from, .. } if self.budget.is_shunned(from, Instant::now()) => {}
            network::Event::Frame { from: Remote::Validator(from), frame, .. } => self.heard(from, frame)?,
            // The network has said so in the log.
            network::Event::Twin => return Err(NodeError::Twin(self.config.address).into()),
            // Nothing is asked for here, and strangers are not let in.
            _ => {}
        }
        Ok(())
    }

    fn heard(&mut self, from: ValidatorIndex, frame: Frame) -> Result<(), PeerError> {
        // The link has looked at the mark.
        let Frame::Consensus(words) = frame else {
            self.fault(from, &"this network has no blocks, and it speaks of some");
            return Ok(());
        };
        let Words::Own { message: encoded, .. } = *words else { return Ok(()) };
        match codec::decode::<P::Message>(&encoded, self.config.max_message) {
            Ok(message) => {
                let kind = P::kind(&message);
                self.config.metrics.vote_received(kind);
                self.config.counters.count(|counts| counts.received.entry(kind).or_default().add(1, encoded.len()));
                self.input(Input::Message { from, message })
            }
            Err(error) => {
                tracing::warn!(peer = %from, %error, "what it says is no message of {}", P::NAME);
                self.config.counters.count(|counts| *counts.faults.entry(from).or_default() += 1);
                self.cut_off(from, Offence::Malformed);
                Ok(())
            }
        }
    }

    fn fault(&mut self, from: ValidatorIndex, fault: &dyn fmt::Display) {
        tracing::warn!(peer = %from, %fault, "a faulty message");
        self.config.metrics.peer_fault(from, FAULT);
        self.config.counters.count(|counts| *counts.faults.entry(from).or_default() += 1);
        if from != self.config.me && self.budget.charge(Remote::Validator(from), Instant::now()) {
            self.cut_off(from, Offence::Faults);
        }
    }

    fn cut_off(&mut self, from: ValidatorIndex, offence: Offence) {
        self.outbox.commands.push(Command::CutOff { peer: Remote::Validator(from), offence });
    }
}
