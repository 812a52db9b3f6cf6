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
//! When requests wait and nothing is decided for a while, the replicas move to the next view and its primary (§4.4):
//!
//! - **Upon** the timeout of its view, or `VIEW-CHANGE`s of f + 1 others for higher ones, a replica stops voting in its
//!   view, makes that durable, and multicasts `VIEW-CHANGE` with the certificate of its last decided block and the
//!   prepared certificates of the blocks above, if it has any.
//! - **Upon** `VIEW-CHANGE`s of a quorum for its view, the new primary multicasts `NEW-VIEW` with them, and with
//!   `PRE-PREPARE`s for the blocks that they require.
//! - **Upon** a `NEW-VIEW` that holds, a replica enters the view. It accepts no other blocks there before the required
//!   ones.
//!
//! # Deviations from the paper
//!
//! - A quorum is ⌈(n + f + 1) / 2⌉, so that every n ≥ 4 is safe; the paper fixes n = 3f + 1 and 2f + 1.
//! - Blocks form a chain, so replicas prepare and commit in order, and a new view has no gaps to fill.
//! - Votes are signatures, not MACs: a quorum of commits convinces anyone, a contract included, and deciding needs
//!   no more than it and the block. A view change carries such a certificate where the paper has a stable checkpoint,
//!   and a replica enters a view without its `NEW-VIEW` once it holds a certificate of that view: a quorum entered it
//!   through the `NEW-VIEW`, so no block but a required one can be prepared there.
//! - What a peer may have missed is said again when its channel opens and four times a view timeout while a height is
//!   undecided. What a replica missed altogether it fetches from its peers as certified blocks, or as the state of a
//!   stable checkpoint.

mod checkpoints;
mod normal;
mod slot;
mod view_change;
mod views;
mod votes;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dtn_primitives::{
    B256, Block, Certificate, CertificateError, CheckpointCertificate, Domain, KeyError, SecretKey, ValidatorIndex,
    ValidatorSet, Vote, VoteKind,
};
use serde::{Deserialize, Serialize};

use crate::protocol::{Effect, Input, Protocol};
use checkpoints::Checkpoints;
use slot::{Slot, Validity};

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

/// The timeout of a view doubles at most this many times while nothing is decided.
const MAX_DOUBLINGS: u32 = 10;

/// A replica says again what it said about an undecided height this often while a view lasts: seldom enough that links
/// which are slow, as the view timeout then says, are not filled with repetitions.
const RETRANSMISSIONS: u32 = 4;

/// What replicas say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The primary's assignment of a height to a block.
    PrePrepare {
        /// Signed by the primary of its view.
        vote: Arc<Vote>,
        /// The block that it names.
        block: Arc<Block>,
    },
    /// A `PREPARE` or `COMMIT`.
    Vote(Arc<Vote>),
    /// A replica asks for a new view.
    ViewChange {
        /// What it has decided and prepared.
        change: ViewChange,
        /// The blocks that it has prepared, in the same order.
        blocks: Vec<Arc<Block>>,
    },
    /// A new view begins.
    NewView(NewView),
    /// A `CHECKPOINT`.
    Checkpoint(Arc<Vote>),
    /// Tells a replica that still asks for an old checkpoint which one is stable.
    Stable(CheckpointCertificate),
}

impl Message {
    /// What it is, as counters name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PrePrepare { .. } => "pre_prepare",
            Self::Vote(vote) => vote.kind.name(),
            Self::ViewChange { .. } => "view_change",
            Self::NewView(_) => "new_view",
            Self::Checkpoint(_) => "checkpoint",
            Self::Stable(_) => "stable_checkpoint",
        }
    }
}

/// What must survive a crash, so that a replica never contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The `PRE-PREPARE` that this replica sent or accepted; it sends or accepts no other for that view and height.
    Accepted {
        /// Signed by the primary.
        vote: Arc<Vote>,
        /// The block that it names.
        block: Arc<Block>,
    },
    /// The prepared certificate on which this replica's `COMMIT` rests. Its block is in the accepted record.
    Prepared(PreparedCertificate),
    /// The view that this replica is in; it votes in none below.
    View(View),
    /// The `CHECKPOINT` that this replica sent.
    Checkpoint(Arc<Vote>),
}

impl Record {
    /// The height that a record speaks of, or [`STANDING`]. Once it is decided the record is no longer needed.
    pub fn height(&self) -> u64 {
        match self {
            Self::Accepted { vote, .. } => vote.height,
            Self::Prepared(certificate) => certificate.pre_prepare.height,
            Self::View(_) => STANDING,
            // Outlives the blocks that are decided until the checkpoint is stable, which is not later.
            Self::Checkpoint(vote) => vote.height.saturating_add(LOG_WINDOW),
        }
    }
}

/// Where a replica stands among the views.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct View {
    /// The view's number.
    pub number: u64,
    /// It has asked for the view, which has not begun for it.
    pub changing: bool,
    /// The highest height that was decided when it began. No vote of this view is for that height or below it: what
    /// is decided there may not be known to all who enter.
    pub floor: u64,
    /// The blocks that have to come first above the floor, in ascending order.
    pub required: Vec<B256>,
}

impl View {
    /// Whether a block may be proposed in this view.
    fn allows(&self, height: u64, block_hash: B256) -> bool {
        let Some(above) = height.checked_sub(self.floor + 1) else { return false };
        self.required.get(above as usize).is_none_or(|required| *required == block_hash)
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
    /// The block cannot follow its parent.
    #[error("the proposed block is invalid")]
    InvalidBlock,
    /// The primary's blocks do not form a chain.
    #[error("the proposed block is not on top of the one below")]
    NotChained,
    /// A `CHECKPOINT` at a height that is not a multiple of the interval.
    #[error("a checkpoint at height {0}")]
    NotCheckpoint(u64),
    /// A stable checkpoint that is not a quorum's.
    #[error("a stable checkpoint that does not hold: {0}")]
    Stable(#[from] CertificateError),
    /// The view has to begin with another block.
    #[error("the proposed block is not the one that the view has to begin with")]
    NotRequired,
    /// A view change or new view that does not hold.
    #[error("a view change that does not hold: {0}")]
    ViewChange(#[from] ViewChangeError),
}

impl Fault {
    /// What it is, as counters name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Signature(_) => "bad_signature",
            Self::NotPrimary(_) => "not_primary",
            Self::PrimaryPrepared => "primary_prepared",
            Self::WrongKind => "wrong_kind",
            Self::WrongBlock => "wrong_block",
            Self::InvalidBlock => "invalid_block",
            Self::NotChained => "not_chained",
            Self::NotCheckpoint(_) => "not_checkpoint",
            Self::Stable(_) => "bad_checkpoint",
            Self::NotRequired => "not_required",
            Self::ViewChange(_) => "bad_view_change",
        }
    }
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

impl PbftConfig {
    /// After how long a replica says again what may have been lost.
    pub fn retransmit_after(&self) -> Duration {
        self.view_timeout / RETRANSMISSIONS
    }
}

type Effects = Vec<Effect<Message, Record, Timer, Fault>>;

/// What a replica has prepared at a height.
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
    /// What it has prepared above the last decided block: a chain without gaps, of each height in the highest view in
    /// which it did.
    prepared: BTreeMap<u64, Prepared>,
    checkpoints: Checkpoints,
    /// It votes for no height below.
    vote_from: u64,
    /// Each replica's request for the highest view, and the blocks that it has prepared.
    view_changes: BTreeMap<ValidatorIndex, (ViewChange, Vec<Arc<Block>>)>,
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
                effects.push(Effect::SetTimer { timer: Timer::Retransmit, after: self.config.retransmit_after() });
                if self.view.changing && !self.is_silent() {
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
                effects.push(Effect::SetTimer { timer: Timer::Retransmit, after: self.config.retransmit_after() });
                self.advance(&mut effects);
            }
            Input::Timer(Timer::ViewChange) => {
                if std::mem::take(&mut self.armed) {
                    self.change_view(self.view.number.saturating_add(1), &mut effects);
                }
            }
            Input::Proposal(block) => self.propose(block, &mut effects),
            Input::Validated { block_hash, valid } => self.validated(block_hash, valid, &mut effects),
            Input::CaughtUp { certificate, .. } => self.caught_up(certificate, &mut effects),
            // Blocks need no work here, so none is asked for.
            Input::Mined { .. } => {}
            Input::Checkpoint { height, state_root } => self.executed(height, state_root, &mut effects),
            Input::VoteFrom(height) => {
                self.vote_from = height;
                self.advance(&mut effects);
            }
            Input::Waiting(waiting) => self.waiting = waiting,
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
        let mut replica = Self {
            config,
            view: View { number: certified_view, floor: decided, ..View::default() },
            decided,
            certificate,
            slots: BTreeMap::new(),
            prepared: BTreeMap::new(),
            checkpoints: Checkpoints::new(stable),
            vote_from: 0,
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
                Record::Checkpoint(vote) => replica.checkpoints.restore(vote),
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
    fn restore(&mut self, accepted: Vec<(Arc<Vote>, Arc<Block>)>, mut prepared: Vec<PreparedCertificate>) {
        let (me, primary, view) = (self.config.me, self.primary(), self.view.number);
        if !self.view.changing {
            for (vote, block) in accepted.iter().filter(|(vote, _)| vote.view == view) {
                let prepare = (me != primary).then(|| self.sign(VoteKind::Prepare, vote.height, vote.block_hash));
                let slot = self.slots.entry(vote.height).or_default();
                slot.accept(vote.clone(), block.clone());
                slot.voted = true;
                slot.prepares.extend(prepare);
            }
        }
        prepared.sort_by_key(|certificate| (certificate.header.height, certificate.pre_prepare.view));
        for certificate in prepared {
            let block_hash = certificate.pre_prepare.block_hash;
            let accepted = accepted.iter().find(|(vote, _)| vote.block_hash == block_hash);
            let Some(block) = accepted.map(|(_, block)| block.clone()) else { continue };
            self.prepared.insert(certificate.header.height, Prepared { certificate, block });
        }
        self.unchain();
        if self.view.changing {
            return;
        }
        // Only what a view change would show: a certificate whose write the crash cut short, the block below lost, was
        // never spoken for.
        for (height, Prepared { certificate, .. }) in &self.prepared {
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
        while let Some(next) = self.prepared.get(&(height + 1)).filter(|next| next.block.header.parent_hash == parent) {
            (height, parent) = (height + 1, next.certificate.pre_prepare.block_hash);
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

    /// Whether it does not vote on the next height, because it may have said something else about it and forgotten.
    pub fn is_silent(&self) -> bool {
        self.decided + 1 < self.vote_from
    }

    /// The last block that has to be decided before the current view is free to choose, by height and hash.
    pub(crate) fn last_required(&self) -> Option<(u64, B256)> {
        let height = self.view.floor + self.view.required.len() as u64;
        self.view.required.last().filter(|_| height > self.decided && !self.view.changing).map(|hash| (height, *hash))
    }

    fn decided_hash(&self) -> B256 {
        self.certificate.as_ref().map_or(self.config.domain.network_id, |certificate| certificate.block_hash)
    }

    /// The primary of the current view.
    pub fn primary(&self) -> ValidatorIndex {
        self.config.validators.primary(self.view.number)
    }

    fn is_primary(&self) -> bool {
        self.primary() == self.config.me
    }

    fn sign(&self, kind: VoteKind, height: u64, block_hash: B256) -> Arc<Vote> {
        let PbftConfig { me, key, domain, validators, .. } = &self.config;
        Arc::new(Vote::sign(kind, (validators.epoch(), self.view.number, height), block_hash, *me, key, domain))
    }

    /// Everything this replica has said about undecided heights, and what it accepted, which a peer may have missed
    /// though its sender is gone.
    fn said(&self) -> Vec<Message> {
        let me = self.config.me;
        let mut said: Vec<_> = self.checkpoints.own(me).map(Message::Checkpoint).collect();
        if self.view.changing {
            let own = self.view_changes.get(&me).cloned();
            said.extend(own.map(|(change, blocks)| Message::ViewChange { change, blocks }));
            return said;
        }
        said.extend(self.new_view.clone().map(Message::NewView));
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

    /// The highest height that may be voted on (the paper's high-water mark).
    fn high_water_mark(&self) -> u64 {
        self.checkpoints.height().saturating_add(LOG_WINDOW)
    }

    fn receive(&mut self, from: ValidatorIndex, message: Message, effects: &mut Effects) -> Result<(), Fault> {
        match message {
            Message::PrePrepare { vote, block } => self.receive_pre_prepare(from, vote, block, effects),
            Message::Vote(vote) => self.receive_vote(vote, effects),
            Message::ViewChange { change, blocks } => self.receive_view_change(from, change, blocks, effects),
            Message::NewView(new_view) => self.receive_new_view(new_view, effects),
            Message::Checkpoint(vote) => self.receive_checkpoint(from, vote, effects),
            Message::Stable(certificate) => self.receive_stable(certificate, effects),
        }
    }
}
