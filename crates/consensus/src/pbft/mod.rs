//! Practical Byzantine fault tolerance (Castro & Liskov, OSDI '99), the normal case of §4.2.
//!
//! One sequence number is one block, and a block's height is its sequence number. In each view one replica is the
//! primary.
//!
//! - The primary assigns the next height to a block of requests and multicasts `PRE-PREPARE` with the block.
//! - **Upon** a `PRE-PREPARE` of the primary of its view for the next height, whose block its host finds valid and for
//!   which it has accepted no other, a replica makes the acceptance durable and multicasts `PREPARE`.
//! - **Upon** a quorum of `PREPARE`s that match, the primary's `PRE-PREPARE` counted as its own, the block is
//!   *prepared*: the replica makes the prepared certificate durable and multicasts `COMMIT`.
//! - **Upon** a quorum of `COMMIT`s that match, the block is final, and these votes are its certificate.
//!
//! # Deviations from the paper
//!
//! - A quorum is ⌈(n + f + 1) / 2⌉, so that every n ≥ 4 is safe; the paper fixes n = 3f + 1 and 2f + 1.
//! - Blocks form a chain, so a replica prepares the next height only once the one below is decided. Votes for heights
//!   ahead, within [`VOTE_WINDOW`], are kept.
//! - Votes are signatures, not MACs: a quorum of commits convinces anyone, a contract included, and deciding needs
//!   no more than it and the block.
//! - What a peer may have missed is said again when its channel opens and every [`RETRANSMIT`] while a height is
//!   undecided. What a replica missed altogether it fetches from its peers as certified blocks.

mod slot;
mod votes;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dtn_primitives::{
    B256, Block, Certificate, Domain, KeyError, SecretKey, ValidatorIndex, ValidatorSet, Vote, VoteKind,
};
use serde::{Deserialize, Serialize};

use crate::protocol::{Decision, Effect, Evidence, Input, Protocol};
use slot::{Slot, Validity};
use votes::Added;

/// How far above the last decided height votes are kept, in heights.
pub const VOTE_WINDOW: u64 = 256;

/// How far above the last decided height a `PRE-PREPARE` with its block is kept, in heights.
pub const PRE_PREPARE_WINDOW: u64 = 4;

/// How often a replica says again what it said about an undecided height.
pub const RETRANSMIT: Duration = Duration::from_millis(500);

/// What replicas say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The primary's assignment of a height to a block.
    PrePrepare {
        /// Signed by the primary of its view.
        vote: Vote,
        /// The block that it names.
        block: Arc<Block>,
    },
    /// A `PREPARE` or `COMMIT`.
    Vote(Vote),
}

/// What must survive a crash, so that a replica never contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The `PRE-PREPARE` that this replica sent or accepted; it sends or accepts no other for that view and height.
    Accepted {
        /// Signed by the primary.
        vote: Vote,
        /// The block that it names.
        block: Arc<Block>,
    },
    /// The prepared certificate on which this replica's `COMMIT` rests: the votes that, with the accepted
    /// `PRE-PREPARE`, are a quorum.
    Prepared {
        /// The height that is prepared.
        height: u64,
        /// Matching `PREPARE`s.
        prepares: Vec<Vote>,
    },
}

impl Record {
    /// The height that a record speaks of. Once it is decided the record is no longer needed.
    pub fn height(&self) -> u64 {
        match self {
            Self::Accepted { vote, .. } => vote.height,
            Self::Prepared { height, .. } => *height,
        }
    }
}

/// The timers that a replica sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// Says again what may have been lost.
    Retransmit,
}

/// What can be wrong with a message; none of it comes from a correct replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The vote is not signed by who it names, or is of another network, chain or epoch.
    #[error("bad vote: {0}")]
    Signature(#[from] KeyError),
    /// A `PRE-PREPARE` by a replica that is not the view's primary.
    #[error("a pre-prepare by {0}, who is not the primary")]
    NotPrimary(ValidatorIndex),
    /// A `PREPARE` by the primary, whose `PRE-PREPARE` already says it.
    #[error("a prepare by the primary")]
    PrimaryPrepared,
    /// The kind of vote does not fit the kind of message.
    #[error("a vote of the wrong kind")]
    WrongKind,
    /// The block is not the one that the vote names.
    #[error("the block does not match its pre-prepare")]
    WrongBlock,
    /// The block cannot follow the last decided one.
    #[error("the proposed block is invalid")]
    InvalidBlock,
}

/// A replica's identity and network.
#[derive(Debug, Clone)]
pub struct PbftConfig {
    /// This replica's place among the validators.
    pub me: ValidatorIndex,
    /// Its signing key.
    pub key: SecretKey,
    /// What its signatures are bound to.
    pub domain: Domain,
    /// All replicas.
    pub validators: ValidatorSet,
}

type Effects = Vec<Effect<Message, Record, Timer, Fault>>;

/// One replica.
#[derive(Debug, Clone)]
pub struct Pbft {
    config: PbftConfig,
    view: u64,
    /// The height of the last decided block.
    decided: u64,
    /// Undecided heights of the current view that something is known about.
    slots: BTreeMap<u64, Slot>,
}

impl Protocol for Pbft {
    type Message = Message;
    type Record = Record;
    type Timer = Timer;
    type Fault = Fault;

    fn handle(&mut self, input: Input<Message, Timer>) -> Effects {
        let mut effects = Vec::new();
        match input {
            Input::Start => {
                effects.push(Effect::SetTimer { timer: Timer::Retransmit, after: RETRANSMIT });
                effects.extend(self.said().map(Effect::Broadcast));
                self.advance(&mut effects);
            }
            Input::Message { from, message } => {
                if let Err(fault) = self.receive(message, &mut effects) {
                    effects.push(Effect::Fault { from, fault });
                }
            }
            Input::Connected(to) => effects.extend(self.said().map(|message| Effect::Send { to, message })),
            Input::Timer(Timer::Retransmit) => {
                effects.extend(self.said().map(Effect::Broadcast));
                effects.push(Effect::SetTimer { timer: Timer::Retransmit, after: RETRANSMIT });
            }
            Input::Proposal(block) => self.propose(block, &mut effects),
            Input::Validated { block_hash, valid } => self.validated(block_hash, valid, &mut effects),
            Input::CaughtUp { height } => {
                if height > self.decided {
                    self.decided_up_to(height);
                    self.advance(&mut effects);
                }
            }
        }
        effects
    }
}

impl Pbft {
    /// A replica that has decided up to `decided`, with the records that it made durable before it stopped.
    ///
    /// Records of decided heights are ignored. The others are this replica's own words and are taken as they are.
    pub fn new(config: PbftConfig, decided: u64, records: impl IntoIterator<Item = Record>) -> Self {
        let mut replica = Self { config, view: 0, decided, slots: BTreeMap::new() };
        for record in records.into_iter().filter(|record| record.height() > decided) {
            let slot = replica.slots.entry(record.height()).or_default();
            match record {
                Record::Accepted { vote, block } => {
                    replica.view = vote.view;
                    slot.accept(vote, block);
                    slot.validity = Validity::Valid;
                }
                Record::Prepared { prepares, .. } => {
                    for vote in prepares {
                        slot.prepares.add(vote);
                    }
                }
            }
        }
        let heights: Vec<_> = replica.slots.keys().copied().collect();
        for height in heights {
            replica.restore_own_votes(height);
        }
        replica
    }

    /// The current view.
    pub fn view(&self) -> u64 {
        self.view
    }

    /// The height of the last decided block.
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// The primary of the current view.
    pub fn primary(&self) -> ValidatorIndex {
        self.config.validators.primary(self.view)
    }

    fn is_primary(&self) -> bool {
        self.primary() == self.config.me
    }

    fn sign(&self, kind: VoteKind, height: u64, block_hash: B256) -> Vote {
        let PbftConfig { me, key, domain, validators } = &self.config;
        Vote::sign(kind, (validators.epoch(), self.view, height), block_hash, *me, key, domain)
    }

    /// Everything this replica has said about undecided heights, and the pre-prepares that it accepted, which a peer
    /// may have missed though their sender is gone.
    fn said(&self) -> impl Iterator<Item = Message> {
        let me = self.config.me;
        self.slots.values().flat_map(move |slot| {
            let accepted = slot.accepted.as_ref().filter(|_| slot.validity == Validity::Valid);
            let pre_prepare =
                accepted.map(|(vote, block)| Message::PrePrepare { vote: vote.clone(), block: block.clone() });
            let votes = [slot.prepares.of(me), slot.commits.of(me)].into_iter().flatten();
            pre_prepare.into_iter().chain(votes.cloned().map(Message::Vote))
        })
    }

    fn in_window(&self, height: u64, window: u64) -> bool {
        height > self.decided && height - self.decided <= window
    }

    fn receive(&mut self, message: Message, effects: &mut Effects) -> Result<(), Fault> {
        match message {
            Message::PrePrepare { vote, block } => self.receive_pre_prepare(vote, block, effects),
            Message::Vote(vote) => self.receive_vote(vote, effects),
        }
    }

    /// §4.2: a backup accepts a pre-prepare that is signed by the primary of its view, within the window, and for
    /// which it has accepted no other block at that view and height.
    fn receive_pre_prepare(&mut self, vote: Vote, block: Arc<Block>, effects: &mut Effects) -> Result<(), Fault> {
        if vote.kind != VoteKind::PrePrepare {
            return Err(Fault::WrongKind);
        }
        if vote.view != self.view || !self.in_window(vote.height, PRE_PREPARE_WINDOW) {
            return Ok(());
        }
        if vote.validator != self.primary() {
            return Err(Fault::NotPrimary(vote.validator));
        }
        let known = self.slots.get(&vote.height).and_then(|slot| slot.accepted.as_ref());
        if known.is_some_and(|(known, _)| *known == vote) {
            return Ok(());
        }
        vote.verify(&self.config.domain, &self.config.validators)?;
        if block.header.height != vote.height || block.header.hash() != vote.block_hash {
            return Err(Fault::WrongBlock);
        }
        let height = vote.height;
        let slot = self.slots.entry(height).or_default();
        if let Some((first, _)) = &slot.accepted {
            if first.block_hash != vote.block_hash {
                let evidence = Evidence { first: first.clone(), second: vote };
                effects.push(Effect::Evidence(Box::new(evidence)));
            }
            return Ok(());
        }
        slot.accept(vote, block);
        self.advance(effects);
        Ok(())
    }

    fn receive_vote(&mut self, vote: Vote, effects: &mut Effects) -> Result<(), Fault> {
        if vote.view != self.view || !self.in_window(vote.height, VOTE_WINDOW) {
            return Ok(());
        }
        match vote.kind {
            VoteKind::PrePrepare => return Err(Fault::WrongKind),
            VoteKind::Prepare if vote.validator == self.primary() => return Err(Fault::PrimaryPrepared),
            VoteKind::Prepare | VoteKind::Commit => {}
        }
        let known = self.slots.get(&vote.height).and_then(|slot| slot.votes(vote.kind).of(vote.validator));
        if known == Some(&vote) {
            return Ok(());
        }
        vote.verify(&self.config.domain, &self.config.validators)?;
        let slot = self.slots.entry(vote.height).or_default();
        match slot.votes_mut(vote.kind).add(vote.clone()) {
            Added::New => self.advance(effects),
            Added::Duplicate => {}
            Added::Conflicting(first) => {
                effects.push(Effect::Evidence(Box::new(Evidence { first, second: vote })));
            }
        }
        Ok(())
    }

    /// §4.2: the primary assigns the next height to the block and multicasts it.
    fn propose(&mut self, block: Arc<Block>, effects: &mut Effects) {
        let height = self.decided + 1;
        let proposed = self.slots.get(&height).is_some_and(|slot| slot.accepted.is_some());
        if !self.is_primary() || proposed || block.header.height != height {
            return;
        }
        let vote = self.sign(VoteKind::PrePrepare, height, block.header.hash());
        let slot = self.slots.entry(height).or_default();
        slot.accept(vote.clone(), block.clone());
        slot.validity = Validity::Valid;
        effects.push(Effect::Persist(Record::Accepted { vote: vote.clone(), block: block.clone() }));
        effects.push(Effect::Broadcast(Message::PrePrepare { vote, block }));
        self.advance(effects);
    }

    fn validated(&mut self, block_hash: B256, valid: bool, effects: &mut Effects) {
        let height = self.decided + 1;
        let (me, primary) = (self.config.me, self.primary());
        let Some(slot) = self.slots.get_mut(&height) else { return };
        let Some((vote, block)) = slot.accepted.clone().filter(|(vote, _)| vote.block_hash == block_hash) else {
            return;
        };
        if slot.validity != Validity::Asked {
            return;
        }
        if !valid {
            slot.validity = Validity::Invalid;
            effects.push(Effect::Fault { from: primary, fault: Fault::InvalidBlock });
            return;
        }
        slot.validity = Validity::Valid;
        effects.push(Effect::Persist(Record::Accepted { vote, block }));
        if me != primary {
            let prepare = self.sign(VoteKind::Prepare, height, block_hash);
            self.slots.entry(height).or_default().prepares.add(prepare.clone());
            effects.push(Effect::Broadcast(Message::Vote(prepare)));
        }
        self.advance(effects);
    }

    /// Does what the votes at the next height allow, and moves on to the height after it when it is decided.
    fn advance(&mut self, effects: &mut Effects) {
        loop {
            let height = self.decided + 1;
            let Some(slot) = self.slots.get_mut(&height).filter(|slot| slot.accepted.is_some()) else {
                if self.is_primary() {
                    effects.push(Effect::Propose { height });
                }
                return;
            };
            if slot.validity == Validity::Unknown {
                slot.validity = Validity::Asked;
                effects.extend(slot.accepted.as_ref().map(|(_, block)| Effect::Validate(block.clone())));
            }
            self.commit_if_prepared(height, effects);
            let Some((block, certificate)) = self.certified(height) else { return };
            self.decided_up_to(height);
            effects.push(Effect::Decide(Decision { block, certificate }));
        }
    }

    /// §4.2: *prepared* is the pre-prepare and matching prepares of a quorum; then the replica commits.
    fn commit_if_prepared(&mut self, height: u64, effects: &mut Effects) {
        let quorum = self.config.validators.quorum();
        let Some(slot) = self.slots.get(&height) else { return };
        let Some(block_hash) = slot.prepared(quorum) else { return };
        if slot.commits.of(self.config.me).is_some() {
            return;
        }
        let prepares = slot.prepares.votes_for(block_hash).cloned().collect();
        let commit = self.sign(VoteKind::Commit, height, block_hash);
        effects.push(Effect::Persist(Record::Prepared { height, prepares }));
        effects.push(Effect::Broadcast(Message::Vote(commit.clone())));
        self.slots.entry(height).or_default().commits.add(commit);
    }

    /// §4.2: *committed*: a quorum of matching commits for the block at this height.
    fn certified(&self, height: u64) -> Option<(Arc<Block>, Certificate)> {
        let slot = self.slots.get(&height)?;
        let (vote, block) = slot.accepted.as_ref().filter(|_| slot.validity == Validity::Valid)?;
        let certificate = slot.commits.certificate(vote.block_hash, self.config.validators.quorum())?;
        Some((block.clone(), certificate))
    }

    fn decided_up_to(&mut self, height: u64) {
        self.decided = height;
        self.slots.retain(|slot_height, _| *slot_height > height);
    }

    /// After a restart: the votes that follow from the records. Signatures are deterministic, so they are the same
    /// votes as before the crash.
    fn restore_own_votes(&mut self, height: u64) {
        let (me, primary, quorum) = (self.config.me, self.primary(), self.config.validators.quorum());
        let Some(block_hash) = self.slots.get(&height).and_then(Slot::accepted_hash) else { return };
        if me != primary {
            let prepare = self.sign(VoteKind::Prepare, height, block_hash);
            self.slots.entry(height).or_default().prepares.add(prepare);
        }
        if self.slots.get(&height).and_then(|slot| slot.prepared(quorum)).is_some() {
            let commit = self.sign(VoteKind::Commit, height, block_hash);
            self.slots.entry(height).or_default().commits.add(commit);
        }
    }
}
