//! Practical Byzantine fault tolerance (Castro & Liskov, OSDI '99): the normal case of §4.2 and the view changes of §4.4.
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
//! When requests wait and nothing is decided for a while, the replicas move to the next view and its primary (§4.4):
//!
//! - **Upon** the timeout of its view, or `VIEW-CHANGE`s of f + 1 others for higher ones, a replica stops voting in its
//!   view, makes that durable, and multicasts `VIEW-CHANGE` with the certificate of its last decided block and the
//!   prepared certificate of the block above, if it has one.
//! - **Upon** `VIEW-CHANGE`s of a quorum for its view, the new primary multicasts `NEW-VIEW` with them, and with a
//!   `PRE-PREPARE` for the block that they require, if they require one.
//! - **Upon** a `NEW-VIEW` that holds, a replica enters the view. It accepts no other block there than the required one.
//!
//! # Deviations from the paper
//!
//! - A quorum is ⌈(n + f + 1) / 2⌉, so that every n ≥ 4 is safe; the paper fixes n = 3f + 1 and 2f + 1.
//! - Blocks form a chain, so a replica prepares the next height only once the one below is decided. Votes for heights
//!   ahead, within [`VOTE_WINDOW`], are kept.
//! - Votes are signatures, not MACs: a quorum of commits convinces anyone, a contract included, and deciding needs
//!   no more than it and the block. A view change carries such a certificate where the paper has a stable checkpoint,
//!   and a replica enters a view without its `NEW-VIEW` once it holds a certificate of that view.
//! - What a peer may have missed is said again when its channel opens and every [`RETRANSMIT`] while a height is
//!   undecided. What a replica missed altogether it fetches from its peers as certified blocks.

mod slot;
mod view_change;
mod votes;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dtn_primitives::{
    B256, Block, Certificate, Domain, KeyError, SecretKey, ValidatorIndex, ValidatorSet, Vote, VoteKind,
};
use serde::{Deserialize, Serialize};

use crate::protocol::{Decision, Effect, Evidence, Input, Protocol};
use slot::{Slot, Validity};
use votes::Added;

pub use view_change::{NewView, PreparedCertificate, ViewChange, ViewChangeError, required};

/// How far above the last decided height votes are kept, in heights.
pub const VOTE_WINDOW: u64 = 256;

/// How far above the last decided height a `PRE-PREPARE` with its block is kept, in heights.
pub const PRE_PREPARE_WINDOW: u64 = 4;

/// The height of records that belong to no block: each replaces the one before it, and none goes with a decision.
pub const STANDING: u64 = u64::MAX;

/// The timeout of a view doubles at most this many times while nothing is decided.
const MAX_DOUBLINGS: u32 = 10;

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
    /// A replica asks for a new view.
    ViewChange {
        /// What it has decided and prepared.
        change: ViewChange,
        /// The block that it has prepared.
        block: Option<Arc<Block>>,
    },
    /// A new view begins.
    NewView(NewView),
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
    /// The prepared certificate on which this replica's `COMMIT` rests. Its block is in the accepted record.
    Prepared(PreparedCertificate),
    /// The view that this replica is in; it votes in none below.
    View(View),
}

impl Record {
    /// The height that a record speaks of, or [`STANDING`]. Once it is decided the record is no longer needed.
    pub fn height(&self) -> u64 {
        match self {
            Self::Accepted { vote, .. } => vote.height,
            Self::Prepared(certificate) => certificate.pre_prepare.height,
            Self::View(_) => STANDING,
        }
    }
}

/// Where a replica stands among the views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// The view's number.
    pub number: u64,
    /// It has asked for the view, which has not begun for it.
    pub changing: bool,
    /// The highest height that was decided when it began. No vote of this view is for that height or below it: what
    /// is decided there may not be known to all who enter.
    pub floor: u64,
    /// The block that has to come first above the floor.
    pub required: Option<B256>,
}

impl View {
    /// Whether a block may be proposed in this view.
    fn allows(&self, height: u64, block_hash: B256) -> bool {
        height > self.floor && (height > self.floor + 1 || self.required.is_none_or(|required| required == block_hash))
    }
}

/// The timers that a replica sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// Says again what may have been lost.
    Retransmit,
    /// Gives up the view.
    ViewChange,
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
    /// The view has to begin with another block.
    #[error("the proposed block is not the one that the view has to begin with")]
    NotRequired,
    /// A view change or new view that does not hold.
    #[error("a view change that does not hold: {0}")]
    ViewChange(#[from] ViewChangeError),
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
    /// How long the first primary may take to decide something while requests wait. Doubles with each view in which
    /// nothing is decided.
    pub view_timeout: Duration,
}

type Effects = Vec<Effect<Message, Record, Timer, Fault>>;

/// What a replica has prepared at the height above its last decided one.
#[derive(Debug, Clone)]
struct Prepared {
    certificate: PreparedCertificate,
    block: Arc<Block>,
}

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
    /// In the highest view in which it did.
    prepared: Option<Prepared>,
    /// Each replica's request for the highest view, and the block that it has prepared.
    view_changes: BTreeMap<ValidatorIndex, (ViewChange, Option<Arc<Block>>)>,
    /// What began the view, until something is decided in it: others may have missed it.
    new_view: Option<NewView>,
    /// The host has requests that wait.
    waiting: bool,
    /// The view's timer runs.
    armed: bool,
    /// Views given up since the last decision.
    doublings: u32,
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
                if self.view.changing {
                    self.view_changes.insert(self.config.me, self.own_view_change());
                }
                effects.extend(self.said().into_iter().map(Effect::Broadcast));
                self.advance(&mut effects);
            }
            Input::Message { from, message } => {
                if let Err(fault) = self.receive(from, message, &mut effects) {
                    effects.push(Effect::Fault { from, fault });
                }
            }
            Input::Connected(to) => {
                effects.extend(self.said().into_iter().map(|message| Effect::Send { to, message }));
            }
            Input::Timer(Timer::Retransmit) => {
                effects.extend(self.said().into_iter().map(Effect::Broadcast));
                effects.push(Effect::SetTimer { timer: Timer::Retransmit, after: RETRANSMIT });
            }
            Input::Timer(Timer::ViewChange) => {
                if std::mem::take(&mut self.armed) {
                    self.change_view(self.view.number + 1, &mut effects);
                }
            }
            Input::Proposal(block) => self.propose(block, &mut effects),
            Input::Validated { block_hash, valid } => self.validated(block_hash, valid, &mut effects),
            Input::CaughtUp(certificate) => self.caught_up(certificate, &mut effects),
            Input::Waiting(waiting) => self.waiting = waiting,
        }
        self.watch(&mut effects);
        effects
    }
}

impl Pbft {
    /// A replica whose last decided block has this certificate, with the records that it made durable before it
    /// stopped. They are its own words and are taken as they are; those of decided heights are ignored.
    pub fn new(
        config: PbftConfig,
        certificate: Option<Certificate>,
        records: impl IntoIterator<Item = Record>,
    ) -> Self {
        let decided = certificate.as_ref().map_or(0, |certificate| certificate.height);
        let certified_view = certificate.as_ref().map_or(0, |certificate| certificate.view);
        let mut replica = Self {
            config,
            view: View { number: certified_view, floor: decided, ..View::default() },
            decided,
            certificate,
            slots: BTreeMap::new(),
            prepared: None,
            view_changes: BTreeMap::new(),
            new_view: None,
            waiting: false,
            armed: false,
            doublings: 0,
        };
        let (mut accepted, mut prepared) = (Vec::new(), Vec::new());
        for record in records.into_iter().filter(|record| record.height() > decided) {
            match record {
                Record::Accepted { vote, block } => accepted.push((vote, block)),
                Record::Prepared(certificate) => prepared.push(certificate),
                // A certificate of a higher view has let it in there; one of the same view has ended the change to it.
                Record::View(view) if view.number > certified_view => replica.view = view,
                Record::View(view) if view.number == certified_view && !view.changing => replica.view = view,
                Record::View(_) => {}
            }
        }
        replica.restore(accepted, prepared);
        replica
    }

    /// After a restart: what it had accepted and prepared, and the votes that follow from that. Signatures are
    /// deterministic, so they are the same votes as before the crash.
    fn restore(&mut self, accepted: Vec<(Vote, Arc<Block>)>, prepared: Vec<PreparedCertificate>) {
        for certificate in prepared {
            let (view, height, block_hash) = certificate.prepared();
            let block = accepted.iter().find(|(vote, _)| vote.block_hash == block_hash).map(|(_, block)| block.clone());
            let higher = self.prepared.as_ref().is_none_or(|known| known.certificate.prepared().0 < view);
            let Some(block) = block.filter(|_| higher && height == self.decided + 1) else { continue };
            if view == self.view.number && !self.view.changing {
                let slot = self.slots.entry(height).or_default();
                for vote in &certificate.prepares {
                    slot.prepares.add(vote.clone());
                }
            }
            self.prepared = Some(Prepared { certificate, block });
        }
        if self.view.changing {
            return;
        }
        let (me, primary, quorum) = (self.config.me, self.primary(), self.config.validators.quorum());
        for (vote, block) in accepted.into_iter().filter(|(vote, _)| vote.view == self.view.number) {
            let (height, block_hash) = (vote.height, vote.block_hash);
            let prepare = (me != primary).then(|| self.sign(VoteKind::Prepare, height, block_hash));
            let commit = self.sign(VoteKind::Commit, height, block_hash);
            let slot = self.slots.entry(height).or_default();
            slot.accept(vote, block);
            slot.validity = Validity::Valid;
            if let Some(prepare) = prepare {
                slot.prepares.add(prepare);
            }
            if slot.prepared(quorum).is_some() {
                slot.commits.add(commit);
            }
        }
    }

    /// The current view's number.
    pub fn view(&self) -> u64 {
        self.view.number
    }

    /// The height of the last decided block.
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// The primary of the current view.
    pub fn primary(&self) -> ValidatorIndex {
        self.config.validators.primary(self.view.number)
    }

    fn is_primary(&self) -> bool {
        self.primary() == self.config.me
    }

    fn sign(&self, kind: VoteKind, height: u64, block_hash: B256) -> Vote {
        let PbftConfig { me, key, domain, validators, .. } = &self.config;
        Vote::sign(kind, (validators.epoch(), self.view.number, height), block_hash, *me, key, domain)
    }

    /// Everything this replica has said about undecided heights, and what it accepted, which a peer may have missed
    /// though its sender is gone.
    fn said(&self) -> Vec<Message> {
        let me = self.config.me;
        if self.view.changing {
            let own = self.view_changes.get(&me).cloned();
            let (change, block) = own.unwrap_or_else(|| self.own_view_change());
            return vec![Message::ViewChange { change, block }];
        }
        let mut said: Vec<_> = self.new_view.clone().map(Message::NewView).into_iter().collect();
        for slot in self.slots.values() {
            let accepted = slot.accepted.as_ref().filter(|_| slot.validity == Validity::Valid);
            let pre_prepare =
                accepted.map(|(vote, block)| Message::PrePrepare { vote: vote.clone(), block: block.clone() });
            let votes = [slot.prepares.of(me), slot.commits.of(me)].into_iter().flatten();
            said.extend(pre_prepare.into_iter().chain(votes.cloned().map(Message::Vote)));
        }
        said
    }

    /// Whether a block holds the transactions that its header names. Nothing else of it is checked here.
    fn is_whole(&self, block: &Block) -> bool {
        block.header.transactions_root == Block::transactions_root(&block.transactions, &self.config.domain)
    }

    fn in_window(&self, height: u64, window: u64) -> bool {
        height > self.decided && height - self.decided <= window
    }

    fn receive(&mut self, from: ValidatorIndex, message: Message, effects: &mut Effects) -> Result<(), Fault> {
        match message {
            Message::PrePrepare { vote, block } => self.receive_pre_prepare(vote, block, effects),
            Message::Vote(vote) => self.receive_vote(vote, effects),
            Message::ViewChange { change, block } => self.receive_view_change(from, change, block, effects),
            Message::NewView(new_view) => self.receive_new_view(new_view, effects),
        }
    }

    /// §4.2: a backup accepts a pre-prepare that is signed by the primary of its view, within the window, and for
    /// which it has accepted no other block at that view and height.
    fn receive_pre_prepare(&mut self, vote: Vote, block: Arc<Block>, effects: &mut Effects) -> Result<(), Fault> {
        if vote.kind != VoteKind::PrePrepare {
            return Err(Fault::WrongKind);
        }
        if vote.view != self.view.number || self.view.changing || !self.in_window(vote.height, PRE_PREPARE_WINDOW) {
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
        if block.header.height != vote.height || block.header.hash() != vote.block_hash || !self.is_whole(&block) {
            return Err(Fault::WrongBlock);
        }
        if !self.view.allows(vote.height, vote.block_hash) {
            return Err(Fault::NotRequired);
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
        if vote.view != self.view.number || !self.in_window(vote.height, VOTE_WINDOW) {
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
        let allowed = self.view.allows(height, block.header.hash()) && block.header.height == height;
        if !self.is_primary() || self.view.changing || proposed || !allowed {
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
            // Not for good: it may only be ahead of this host's clock. It is judged again when it is said again.
            slot.accepted = None;
            slot.validity = Validity::Unknown;
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
        while !self.view.changing {
            let height = self.decided + 1;
            let Some(slot) = self.slots.get_mut(&height).filter(|slot| slot.accepted.is_some()) else {
                if self.is_primary() && self.decided >= self.view.floor {
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
            self.decide(certificate.clone());
            effects.push(Effect::Decide(Decision { block, certificate }));
        }
    }

    /// §4.2: *prepared* is the pre-prepare and matching prepares of a quorum; then the replica commits.
    fn commit_if_prepared(&mut self, height: u64, effects: &mut Effects) {
        let quorum = self.config.validators.quorum();
        let Some(slot) = self.slots.get(&height) else { return };
        let (Some(block_hash), Some((pre_prepare, block))) = (slot.prepared(quorum), slot.accepted.clone()) else {
            return;
        };
        if slot.commits.of(self.config.me).is_some() {
            return;
        }
        let prepares = slot.prepares.votes_for(block_hash).cloned().collect();
        let certificate = PreparedCertificate { pre_prepare, prepares };
        let commit = self.sign(VoteKind::Commit, height, block_hash);
        effects.push(Effect::Persist(Record::Prepared(certificate.clone())));
        effects.push(Effect::Broadcast(Message::Vote(commit.clone())));
        self.prepared = Some(Prepared { certificate, block });
        self.slots.entry(height).or_default().commits.add(commit);
    }

    /// §4.2: *committed*: a quorum of matching commits for the block at this height.
    fn certified(&self, height: u64) -> Option<(Arc<Block>, Certificate)> {
        let slot = self.slots.get(&height)?;
        let (vote, block) = slot.accepted.as_ref().filter(|_| slot.validity == Validity::Valid)?;
        let certificate = slot.commits.certificate(vote.block_hash, self.config.validators.quorum())?;
        Some((block.clone(), certificate))
    }

    fn decide(&mut self, certificate: Certificate) {
        self.decided = certificate.height;
        self.slots.retain(|height, _| *height > certificate.height);
        self.prepared = None;
        self.doublings = 0;
        // The view's timer starts anew for what comes next.
        self.armed = false;
        if certificate.view == self.view.number {
            self.new_view = None;
        }
        self.certificate = Some(certificate);
    }

    /// Others decided up to here. If they did so in a higher view than this replica's, that view has begun.
    fn caught_up(&mut self, certificate: Certificate, effects: &mut Effects) {
        if certificate.height <= self.decided {
            return;
        }
        let View { number, changing, .. } = self.view;
        let begun = certificate.view > number || (certificate.view == number && changing);
        let view = certificate.view;
        self.decide(certificate);
        if begun {
            self.enter(View { number: view, changing: false, floor: self.decided, required: None }, effects);
        }
        self.advance(effects);
        self.begin_view(effects);
    }

    // View changes, §4.4.

    /// Keeps the view's timer running exactly while something waits to be decided and a view is there to be given up.
    fn watch(&mut self, effects: &mut Effects) {
        let asking = self.view_changes.values().filter(|(change, _)| change.view >= self.view.number).count();
        let wanted = match self.view.changing {
            // A replica alone would run away from the others: the timer waits for a quorum to ask for the view.
            true => asking >= self.config.validators.quorum(),
            false => self.waiting || self.slots.get(&(self.decided + 1)).is_some_and(Slot::is_begun),
        };
        if wanted && !self.armed {
            let after = self.config.view_timeout * 2u32.pow(self.doublings.min(MAX_DOUBLINGS));
            effects.push(Effect::SetTimer { timer: Timer::ViewChange, after });
        } else if !wanted && self.armed {
            effects.push(Effect::CancelTimer(Timer::ViewChange));
        }
        self.armed = wanted;
    }

    fn enter(&mut self, view: View, effects: &mut Effects) {
        if view.number != self.view.number {
            self.slots.clear();
        }
        self.view = view;
        self.armed = false;
        self.new_view = None;
        self.view_changes.retain(|_, (change, _)| change.view >= view.number);
        effects.push(Effect::Persist(Record::View(view)));
    }

    fn own_view_change(&self) -> (ViewChange, Option<Arc<Block>>) {
        let PbftConfig { me, key, domain, validators, .. } = &self.config;
        let prepared = self.prepared.as_ref().map(|prepared| prepared.certificate.clone());
        let block = self.prepared.as_ref().map(|prepared| prepared.block.clone());
        let signer = (key, domain, validators.epoch());
        (ViewChange::sign(self.view.number, *me, self.certificate.clone(), prepared, signer), block)
    }

    /// Stops voting in the current view and asks for a higher one.
    fn change_view(&mut self, number: u64, effects: &mut Effects) {
        self.doublings += 1;
        self.enter(View { number, changing: true, floor: self.decided, required: None }, effects);
        let (change, block) = self.own_view_change();
        self.view_changes.insert(self.config.me, (change.clone(), block.clone()));
        effects.push(Effect::Broadcast(Message::ViewChange { change, block }));
        self.begin_view(effects);
    }

    fn receive_view_change(
        &mut self,
        from: ValidatorIndex,
        change: ViewChange,
        block: Option<Arc<Block>>,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let View { number, changing, .. } = self.view;
        if change.view < number || (change.view == number && !changing) {
            // The view that it asks for, or a higher one, has begun.
            if let Some(new_view) = &self.new_view {
                effects.push(Effect::Send { to: from, message: Message::NewView(new_view.clone()) });
            }
            return Ok(());
        }
        let known = self.view_changes.get(&change.validator);
        if known.is_some_and(|(known, _)| known.view >= change.view) {
            return Ok(());
        }
        change.verify(&self.config.domain, &self.config.validators, self.certificate.as_ref())?;
        let prepared = change.prepared.as_ref().map(|prepared| prepared.pre_prepare.block_hash);
        let whole = block.as_ref().is_none_or(|block| self.is_whole(block));
        if block.as_ref().map(|block| block.header.hash()) != prepared || !whole {
            return Err(Fault::WrongBlock);
        }
        self.view_changes.insert(change.validator, (change, block));

        // f + 1 ask for higher views: one of them is correct, so it is time.
        let mut higher: Vec<_> = self.view_changes.values().map(|(change, _)| change.view).collect();
        higher.retain(|view| *view > self.view.number);
        if higher.len() > self.config.validators.max_faulty() {
            let smallest = higher.into_iter().min().unwrap_or(self.view.number);
            self.change_view(smallest, effects);
        } else {
            self.begin_view(effects);
        }
        Ok(())
    }

    /// The new primary begins the view once a quorum asks for it. The required block is at hand, since each view change
    /// brings the block that it says is prepared.
    fn begin_view(&mut self, effects: &mut Effects) {
        if !self.view.changing || !self.is_primary() {
            return;
        }
        let view = self.view.number;
        let asking = self.view_changes.values().filter(|(change, _)| change.view == view);
        let changes: Vec<_> = asking.map(|(change, _)| change.clone()).collect();
        if changes.len() < self.config.validators.quorum() {
            return;
        }
        let (base, block_hash) = required(&changes);
        let proposal = block_hash.and_then(|block_hash| {
            let blocks = self.view_changes.values().filter_map(|(_, block)| block.as_ref());
            let block = blocks.into_iter().find(|block| block.header.hash() == block_hash)?.clone();
            Some((self.sign(VoteKind::PrePrepare, base + 1, block_hash), block))
        });
        let PbftConfig { key, domain, validators, .. } = &self.config;
        let new_view = NewView::sign(view, changes, proposal, (key, domain, validators.epoch()));
        self.enter_new_view(new_view, true, effects);
    }

    fn receive_new_view(&mut self, new_view: NewView, effects: &mut Effects) -> Result<(), Fault> {
        let View { number, changing, .. } = self.view;
        if new_view.view < number || (new_view.view == number && !changing) {
            return Ok(());
        }
        let known =
            |change: &ViewChange| self.view_changes.get(&change.validator).is_some_and(|(known, _)| known == change);
        new_view.verify(&self.config.domain, &self.config.validators, known, self.certificate.as_ref())?;
        self.enter_new_view(new_view, false, effects);
        Ok(())
    }

    /// Enters a view that has begun; `own` if this replica begins it.
    fn enter_new_view(&mut self, new_view: NewView, own: bool, effects: &mut Effects) {
        let (base, block_hash) = required(&new_view.view_changes);
        self.enter(View { number: new_view.view, changing: false, floor: base, required: block_hash }, effects);
        if let Some((vote, block)) = new_view.proposal.clone().filter(|(vote, _)| vote.height > self.decided) {
            self.slots.entry(vote.height).or_default().accept(vote, block);
        }
        if own {
            effects.push(Effect::Broadcast(Message::NewView(new_view.clone())));
        }
        self.new_view = Some(new_view);
        self.advance(effects);
    }
}
