//! Practical Byzantine fault tolerance (Castro & Liskov, OSDI '99): the normal case of §4.2, the checkpoints of §4.3 and
//! the view changes of §4.4.
//!
//! One sequence number is one block, and a block's height is its sequence number. In each view one replica is the
//! primary.
//!
//! - The primary assigns the next height to a block of requests and multicasts `PRE-PREPARE` with the block. It does not
//!   wait for a decision: up to [`PIPELINE`] blocks, each on top of the other, are under way.
//! - **Upon** a `PRE-PREPARE` of the primary of its view, whose block its host finds valid on top of the one below and
//!   for whose height it has accepted no other, a replica makes the acceptance durable and multicasts `PREPARE`.
//! - **Upon** a quorum of `PREPARE`s that match, the primary's `PRE-PREPARE` counted as its own, the block is
//!   *prepared* if the one below is: the replica makes the prepared certificate durable and multicasts `COMMIT`.
//! - **Upon** a quorum of `COMMIT`s that match, the block is final once the one below is, and these votes are its
//!   certificate.
//!
//! Every [`CHECKPOINT_INTERVAL`] heights the replicas agree on the state itself (§4.3):
//!
//! - **Upon** the execution of a block at such a height, a replica multicasts `CHECKPOINT` with the root of the state.
//! - **Upon** a quorum of `CHECKPOINT`s that match, the checkpoint is *stable*: what led to it may be forgotten, and
//!   heights up to [`LOG_WINDOW`] above it may be voted on.
//!
//! The validators take turns as primaries, [`dtn_primitives::TURN`] heights each. When the request that has waited longest
//! is not decided for a while, whatever else is, the replicas move to the next view, which passes over the primary (§4.4):
//!
//! - **Upon** the timeout of its view, or `VIEW-CHANGE`s of f + 1 others for higher ones, a replica stops voting in its
//!   view, makes that durable, and multicasts `VIEW-CHANGE` with the certificate of its last decided block and the
//!   prepared certificates of the blocks above, if it has any.
//! - **Upon** `VIEW-CHANGE`s of a quorum for its view, none of them far behind the others, the new primary multicasts
//!   `NEW-VIEW` with them, and with `PRE-PREPARE`s for the blocks that they require.
//! - **Upon** a `NEW-VIEW` that holds, a replica enters the view. It accepts no other blocks there before the required
//!   ones.
//!
//! A replica that may have forgotten what it said asks the others before it says anything new: `recall.rs` has the rule
//! and why it is safe.
//!
//! # Deviations from the paper
//!
//! - A quorum is ⌈(n + f + 1) / 2⌉, so that every n ≥ 4 is safe; the paper fixes n = 3f + 1 and 2f + 1.
//! - Primaries take turns within a view. Who begins a view proposes what it requires, also at heights of another's turn. A
//!   primary that failed is given less time in its next turns, until it succeeds again, so that one that is down costs
//!   little; how much time is each replica's own affair.
//! - Blocks form a chain, so replicas prepare and commit in order, and a new view has no gaps to fill.
//! - Votes are signatures, not MACs: a quorum of commits convinces anyone, a contract included, and deciding needs
//!   no more than it and the block. A view change carries such a certificate where the paper has a stable checkpoint,
//!   and a replica enters a view without its `NEW-VIEW` once it holds a certificate of that view: a quorum entered it
//!   through the `NEW-VIEW`, so no block but a required one can be prepared there.
//! - What a peer may have missed is said again when its channel opens and, less and less often, while a height is
//!   undecided. Blocks are named then: who lacks one asks for it. What a replica missed altogether it fetches from its
//!   peers as certified blocks, or as the state of a stable checkpoint.

mod bodies;
mod checkpoints;
mod host;
mod message;
mod normal;
mod patience;
mod recall;
mod slot;
mod view_change;
mod views;
mod votes;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dtn_primitives::{
    B256, Block, Certificate, CheckpointCertificate, Domain, SecretKey, ValidatorIndex, ValidatorSet, Vote, VoteKind,
};

use crate::{
    checkpoints::Checkpoints,
    protocol::{Effect, Input, Protocol},
};
use bodies::Served;
use patience::{Awaited, Patience};
use recall::Recall;
use slot::{Slot, Validity};

pub use host::{Answer, Ask, Notice, Output};
pub use message::{Fault, Message, Record, Timer, View};
pub use recall::{Greeting, SILENCE, STALE_WINDOW};
pub use view_change::{NewView, PreparedCertificate, ViewChange, ViewChangeError, required};

/// How many heights above the last decided one may be under way at a time.
pub const PIPELINE: u64 = 4;

/// K: every so many heights the replicas agree on the state (§4.3).
pub const CHECKPOINT_INTERVAL: u64 = 128;

/// L: how far above the last stable checkpoint votes count, in heights (§4.3).
pub const LOG_WINDOW: u64 = 256;

/// How far above the last decided height a `PRE-PREPARE` with its block is kept, in heights: the primary may have decided
/// what is still under way here.
pub const PRE_PREPARE_WINDOW: u64 = 2 * PIPELINE;

/// The height of records that belong to no block: each replaces the one before it, and none goes with a decision.
pub const STANDING: u64 = u64::MAX;

/// How often a replica looks at the clock while a view lasts: whether to say something again, and to ask for what it lacks.
const LOOKS: u32 = 4;

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
    /// How long the first primary may take to decide something while requests wait. Doubles with each view in which
    /// nothing is decided.
    pub view_timeout: Duration,
}

impl PbftConfig {
    /// After how long a replica says again what may have been lost.
    pub fn retransmit_after(&self) -> Duration {
        self.view_timeout / LOOKS
    }
}

type Effects = Vec<Effect<Pbft>>;

/// One replica.
#[derive(Debug, Clone)]
pub struct Pbft {
    config: PbftConfig,
    view: View,
    /// The height of the last decided block.
    decided: u64,
    /// Its certificate; none for the genesis.
    certificate: Option<Certificate>,
    /// Undecided heights of the current view that something is known about.
    slots: BTreeMap<u64, Slot>,
    /// What it has prepared above the last decided block: a chain without gaps, of each height in the highest view in
    /// which it did.
    prepared: BTreeMap<u64, PreparedCertificate>,
    /// Those of the blocks above the last decided one that this replica proposed or found valid, by hash.
    bodies: BTreeMap<B256, Arc<Block>>,
    checkpoints: Checkpoints,
    /// Each replica's request for the highest view.
    view_changes: BTreeMap<ValidatorIndex, ViewChange>,
    /// What began the view, until something is decided in it: others may have missed it.
    new_view: Option<NewView>,
    recall: Recall,
    patience: Patience,
    /// The host's request that waits longest.
    waiting: Option<B256>,
    /// What the view's timer runs for, if it runs.
    awaited: Option<Awaited>,
    /// Views given up since the last decision.
    doublings: u32,
    /// How many heights above the last decided one this replica has under way at a time, if it is the primary.
    window: u64,
    /// Looks at the clock since the start, and since something changed.
    looks: u64,
    quiet: u32,
    served: Served,
    /// Who was told since the last look at the clock that a view has begun.
    told: BTreeSet<ValidatorIndex>,
}

impl Protocol for Pbft {
    type Message = Message;
    type Record = Record;
    type Timer = Timer;
    type Fault = Fault;
    type Ask = Ask;
    type Answer = Answer;
    type Output = Output;

    fn handle(&mut self, input: Input<Self>) -> Effects {
        let mut effects = Vec::new();
        match input {
            Input::Start { memory, boot } => {
                effects.push(Effect::SetTimer { timer: Timer::Retransmit, after: self.config.retransmit_after() });
                self.recollect(memory, boot, &mut effects);
                self.keep_asking(&mut effects);
                effects.extend(self.said().into_iter().map(Effect::Broadcast));
                self.advance(&mut effects);
            }
            Input::Message { from, message } => {
                self.patience.hears(from, self.decided);
                if let Err(fault) = self.receive(from, message, &mut effects) {
                    effects.push(Effect::Fault { from, fault });
                }
            }
            Input::Connected(to) => {
                let said = self.question().into_iter().chain(self.reminder(to)).chain(self.said());
                effects.extend(said.map(|message| Effect::Send { to, message }));
            }
            Input::Timer(Timer::Retransmit) => self.look_at_clock(&mut effects),
            Input::Timer(Timer::ViewChange) => {
                if self.awaited.take().is_some() {
                    self.change_view(self.view.number.saturating_add(1), &mut effects);
                }
            }
            Input::Answer(Answer::Proposal(block)) => self.propose(block, &mut effects),
            Input::Answer(Answer::Validated { block_hash, valid }) => self.validated(block_hash, valid, &mut effects),
            Input::Answer(Answer::CaughtUp(certificate)) => self.caught_up(certificate, &mut effects),
            Input::Answer(Answer::Checkpoint { height, state_root }) => self.executed(height, state_root, &mut effects),
            Input::Answer(Answer::Waiting(waiting)) => self.waiting = waiting,
        }
        self.watch(&mut effects);
        effects
    }
}

impl Pbft {
    /// A replica whose last decided block and last stable checkpoint have these certificates, with the records that it
    /// made durable before it stopped. They are its own words and are taken as they are; those of decided heights are
    /// ignored.
    pub fn new(
        config: PbftConfig,
        certificate: Option<Certificate>,
        stable: Option<CheckpointCertificate>,
        records: impl IntoIterator<Item = Record>,
    ) -> Self {
        let decided = certificate.as_ref().map_or(0, |certificate| certificate.height);
        let certified_view = certificate.as_ref().map_or(0, |certificate| certificate.view);
        let mut patience = Patience::new(config.validators.len());
        patience.skips_to(decided);
        let mut replica = Self {
            config,
            view: View { number: certified_view, floor: decided, joined: decided > 0, ..View::default() },
            decided,
            certificate,
            slots: BTreeMap::new(),
            prepared: BTreeMap::new(),
            bodies: BTreeMap::new(),
            checkpoints: Checkpoints::new(stable),
            view_changes: BTreeMap::new(),
            new_view: None,
            recall: Recall::default(),
            patience,
            waiting: None,
            awaited: None,
            doublings: 0,
            window: PIPELINE,
            looks: 0,
            quiet: 0,
            served: Served::new(),
            told: BTreeSet::new(),
        };
        let (mut accepted, mut prepared) = (Vec::new(), Vec::new());
        for record in records.into_iter().filter(|record| record.height() > decided) {
            match record {
                Record::Accepted { vote, block } => accepted.push((vote, block)),
                Record::Prepared(certificate) => prepared.push(certificate),
                Record::Checkpoint(vote) => replica.checkpoints.keep(vote),
                Record::View(view) => {
                    replica.view.vote_from = view.vote_from;
                    // A certificate of a higher view has let it in there; one of the same view has ended the change to it.
                    if view.number > certified_view || (view.number == certified_view && !view.changing) {
                        replica.view = view;
                    }
                }
            }
        }
        replica.restore(accepted, prepared);
        replica
    }

    /// After a restart: what it had accepted and prepared, and the votes that follow from that. Signatures are
    /// deterministic, so they are the same votes as before the crash.
    fn restore(&mut self, accepted: Vec<(Arc<Vote>, Arc<Block>)>, mut prepared: Vec<PreparedCertificate>) {
        let (me, view) = (self.config.me, self.view.number);
        if !self.view.changing {
            for (vote, block) in accepted.iter().filter(|(vote, _)| vote.view == view) {
                let proposed = me == vote.validator;
                let prepare = (!proposed).then(|| self.sign(VoteKind::Prepare, vote.height, vote.block_hash));
                let slot = self.slots.entry(vote.height).or_default();
                slot.accept(vote.clone(), Some(block.clone()), 0);
                slot.voted = true;
                slot.prepares.extend(prepare);
            }
        }
        prepared.sort_by_key(|certificate| (certificate.header.height, certificate.pre_prepare.view));
        for certificate in prepared {
            let block_hash = certificate.pre_prepare.block_hash;
            let accepted = accepted.iter().find(|(vote, _)| vote.block_hash == block_hash);
            let Some(block) = accepted.map(|(_, block)| block.clone()) else { continue };
            self.bodies.insert(block_hash, block);
            self.prepared.insert(certificate.header.height, certificate);
        }
        self.unchain();
        if self.view.changing {
            return;
        }
        // Only what a view change would show: a certificate whose write the crash cut short, the block below lost, was
        // never spoken for.
        for (height, certificate) in &self.prepared {
            let (prepared_view, _, block_hash) = certificate.prepared();
            if prepared_view == view {
                let commit = self.sign(VoteKind::Commit, *height, block_hash);
                let slot = self.slots.entry(*height).or_default();
                slot.prepares.extend(certificate.prepares.iter().cloned());
                slot.commits.extend([commit]);
            }
        }
    }

    /// Drops what is prepared on top of nothing: a block that was prepared in a higher view took the place of its parent.
    fn unchain(&mut self) {
        let (mut height, mut parent) = (self.decided, self.decided_hash());
        while let Some(next) = self.prepared.get(&(height + 1)).filter(|next| next.header.parent_hash == parent) {
            (height, parent) = (height + 1, next.pre_prepare.block_hash);
        }
        self.prepared.split_off(&(height + 1));
    }

    /// The current view's number.
    pub fn view(&self) -> u64 {
        self.view.number
    }

    /// The height of the last decided block.
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// The last stable checkpoint.
    pub fn stable(&self) -> Option<&CheckpointCertificate> {
        self.checkpoints.stable()
    }

    /// Whether it has asked for its view, which has not begun for it.
    pub fn is_changing_view(&self) -> bool {
        self.view.changing
    }

    /// The last block that has to be decided before the current view is free to choose, by height and hash.
    pub(crate) fn last_required(&self) -> Option<(u64, B256)> {
        let height = self.view.floor + self.view.required.len() as u64;
        self.view.required.last().filter(|_| height > self.decided && !self.view.changing).map(|hash| (height, *hash))
    }

    fn decided_hash(&self) -> B256 {
        self.certificate.as_ref().map_or(self.config.domain.network_id, |certificate| certificate.block_hash)
    }

    /// The primary of the current view at the next height.
    pub fn primary(&self) -> ValidatorIndex {
        self.config.validators.primary(self.view.number, self.decided.saturating_add(1))
    }

    fn sign(&self, kind: VoteKind, height: u64, block_hash: B256) -> Arc<Vote> {
        let PbftConfig { me, key, domain, validators, .. } = &self.config;
        Arc::new(Vote::sign(kind, (validators.epoch(), self.view.number, height), block_hash, *me, key, domain))
    }

    /// Everything this replica has said about undecided heights, and what it accepted, which a peer may have missed
    /// though its sender is gone. Blocks are named, and sent to who asks for them.
    fn said(&self) -> Vec<Message> {
        let me = self.config.me;
        let mut said: Vec<_> = self.checkpoints.own(me).map(Message::Checkpoint).collect();
        if self.view.changing {
            said.extend(self.view_changes.get(&me).cloned().map(Message::ViewChange));
            return said;
        }
        said.extend(self.new_view.clone().map(Message::NewView));
        for slot in self.slots.values() {
            let accepted = slot.accepted.as_ref().filter(|_| slot.validity == Validity::Valid);
            let votes = [slot.prepares.of(me), slot.commits.of(me)].into_iter().flatten();
            said.extend(accepted.cloned().map(Message::Announce).into_iter().chain(votes.cloned().map(Message::Vote)));
        }
        said
    }

    /// A look at the clock: says again what may have been lost, and asks for what is lacking.
    fn look_at_clock(&mut self, effects: &mut Effects) {
        self.looks += 1;
        self.quiet = self.quiet.saturating_add(1);
        self.served.clear();
        self.told.clear();
        self.recall.looks_at_clock(self.looks, self.decided);
        self.keep_asking(effects);
        if self.repeats() {
            effects.extend(self.said().into_iter().map(Effect::Broadcast));
        }
        self.ask(effects);
        self.want_bodies(effects);
        effects.push(Effect::SetTimer { timer: Timer::Retransmit, after: self.config.retransmit_after() });
        self.advance(effects);
    }

    /// Whether a block holds the transactions that its header names. Nothing else of it is checked here.
    fn is_whole(&self, block: &Block) -> bool {
        block.header.transactions_root == Block::transactions_root(&block.transactions, &self.config.domain)
    }

    /// The highest height that may be voted on (the paper's high-water mark).
    fn high_water_mark(&self) -> u64 {
        self.checkpoints.height().saturating_add(LOG_WINDOW)
    }

    fn receive(&mut self, from: ValidatorIndex, message: Message, effects: &mut Effects) -> Result<(), Fault> {
        match message {
            Message::PrePrepare { vote, block } => self.receive_pre_prepare(from, vote, Some(block), effects),
            Message::Announce(vote) => self.receive_pre_prepare(from, vote, None, effects),
            Message::Want(block_hash) => {
                self.receive_want(from, block_hash, effects);
                Ok(())
            }
            Message::Body(block) => self.receive_body(block, effects),
            Message::Vote(vote) => self.receive_vote(vote, effects),
            Message::ViewChange(change) => self.receive_view_change(from, change, effects),
            Message::NewView(new_view) => self.receive_new_view(from, new_view, effects),
            Message::Checkpoint(vote) => self.receive_checkpoint(from, vote, effects),
            Message::Stable(certificate) => self.receive_stable(certificate, effects),
            Message::Recall { boot, lost } => {
                self.receive_recall(from, boot, lost, effects);
                Ok(())
            }
            Message::Greeting(greeting) => self.receive_greeting(from, *greeting, effects),
        }
    }
}
