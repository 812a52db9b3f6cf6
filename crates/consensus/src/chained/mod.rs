//! What protocols that chain blocks have in common, and the socket for what they do not: [`Rules`].
//!
//! Time is cut into views, and each has a leader. A leader proposes something on top of a chain of proposals, the others
//! vote, and a *notarization*, the votes of a quorum, makes the chain longer by one. What is final, and when a view ends,
//! is what these protocols differ in: [`crate::streamlet`], [`crate::simplex`] and [`crate::hotstuff2`].
//!
//! - A [`Proposal`] is what the papers call a block. It adds a block of the ledger to its chain, or none. So a chain may grow
//!   until what is in it is final although there is nothing to put into blocks, and no more than
//!   [`Rules::WINDOW`] blocks of the ledger are undecided in it: a leader adds none then.
//! - A replica votes (`Notarize`) once a view, for a proposal of the view's leader that extends a notarized one, whose
//!   notarization it carries, and whose blocks its host finds valid.
//! - What a protocol finds final, or is about to, a replica says with a `Commit` for the block **and for each block below that
//!   it does not know to be final**, all in one view. A quorum of `Commit`s for a block is its certificate, whatever
//!   the protocol: it settles on chain as PBFT's does.
//! - What is said is durable before: the vote of a view, the `Commit`s that were cast last, and the best notarized proposal
//!   that is known, with the blocks for which it voted.
//!
//! A view lasts while there is something to decide; a quiet network says nothing. What may have been lost is said again, less
//! and less often, with the view and the best notarized proposal of who says it: who knows better answers with the proof.
//!
//! # A replica that has lost its memory
//!
//! It votes for nothing, asks the others where they stand, and waits for a quorum of others who have not lost theirs. With V
//! the highest view among theirs it votes in no view below V + 2: it can have been in none above V + 1, for a
//! quorum was in the view below its own, or had asked for its own, and that has a correct replica in common with those that
//! answered. With what they answer comes the best notarized proposal that they know, so what it was bound by before
//! binds it again. While it is silent the others have views pass.
//!
//! That a replica remembers less than it should without knowing it, because its disk is an old copy, is not found out here as
//! PBFT finds it out: it is one of those that may be faulty.

mod blocks;
mod message;
mod pace;
mod propose;
#[cfg(test)]
mod tests;
mod votes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::Duration,
};

use dtn_primitives::{B256, Block, Certificate, CheckpointCertificate, U256, ValidatorIndex, Vote, keccak256};

use serde::Serialize;

use crate::{
    checkpoints::{CheckpointFault, Checkpoints, Heard},
    pbft::{Answer, Ask, Output, PbftConfig},
    protocol::{Effect, Input, Protocol},
    quorum::Tally,
};
use blocks::Blocks;
use pace::Pace;

pub use message::{
    Fault, Message, Notarization, Nullification, Offer, Proposal, Record, Signatures, Standing, Status, Timer,
};

/// How many views above its own a replica keeps proposals and votes of.
pub const VIEWS_AHEAD: u64 = 8;

/// How many below.
pub const VIEWS_BELOW: u64 = 4;

/// Notarizations that are remembered.
const NOTARIZATIONS: usize = 16;

/// Nullifications that are remembered. Each was signed by a correct replica whose patience had come to an end.
const NULLIFICATIONS: usize = 4096;

/// A replica's identity and network, and an option of its protocol.
#[derive(Debug, Clone)]
pub struct ChainedConfig {
    /// As for PBFT.
    pub replica: PbftConfig,
    /// Whether a replica passes on what it hears: every message in Streamlet, certificates in Simplex. It is not needed where
    /// what was lost is said again.
    pub relays: bool,
    /// Whether the leader of each view is drawn by lot instead of leading in turn.
    pub lots: bool,
    /// A rule that is left out, to see that the checker misses it; none where anything depends on it.
    pub lapse: Option<Lapse>,
}

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lapse {
    /// A quorum is two thirds, rounded down.
    SmallQuorum,
    /// A quorum is everybody.
    WaitsForAll,
    /// A replica votes for a second proposal of a view.
    VotesTwice,
    /// It commits to what it must not: after two proposals in a row in Streamlet, in a view that it has given up in Simplex,
    /// without a certificate in HotStuff-2.
    CommitsEarly,
    /// It votes for what is proposed in the place of what it is bound by: a shorter chain in Streamlet, over a view that was
    /// not given up in Simplex, below its lock in HotStuff-2.
    VotesBelow,
    /// After a restart it knows no notarized proposal.
    ForgetsTip,
    /// Of what it hears it keeps only what makes blocks final, which is its host's affair.
    KeepsCertificates,
    /// Who is behind gets no certificates.
    HelpsNobody,
}

/// What effects an input has.
pub type Effects<R> = Vec<Effect<Chained<R>>>;

/// What a protocol that chains blocks does in its own way: the four rules of Gai et al. ("Dissecting the Performance of
/// Chained-BFT", ICDCS 2021), which are how to propose, to vote, to update what is known and to commit.
pub trait Rules: Clone + fmt::Debug + Default {
    /// As operators know it.
    const NAME: &'static str;

    /// How many blocks of the ledger a leader lets be undecided in a chain.
    const WINDOW: u64;

    /// For how many views in a row a replica leads.
    const TURN: u64;

    /// Whether votes go to the leader alone, who tells all what they come to.
    const LINEAR: bool;

    /// Whether a view that fails has to be given up by a quorum, which is proven: otherwise, that a quorum asks for the next
    /// one is enough, and is not.
    const NULLIFIES: bool;

    /// Whether a `Commit` is for a block that is final, and is cast in no view (view 0): one a height. Otherwise it is cast in
    /// a view, and makes its block final with those of others.
    const BY_HEIGHT: bool;

    /// Whether proposals and votes are passed on where [`ChainedConfig::relays`] says so.
    const ECHOES: bool;

    /// Whether who has committed in a view votes for nothing later whose parent is of an older one.
    const LOCKS: bool;

    /// How long a view lasts that brings nothing, at first.
    fn patience(config: &PbftConfig) -> Duration;

    /// Whether one notarized proposal is better than another one to extend, or as good.
    fn is_as_good(one: &Proposal, other: &Proposal) -> bool;

    /// Whether the leader may extend the best notarized proposal that it knows, or has to wait.
    fn may_propose(chain: &Chained<Self>) -> bool;

    /// Whether a replica that may vote in its view votes for a proposal, beside what all these protocols ask of one.
    fn may_vote(chain: &Chained<Self>, proposal: &Proposal) -> bool;

    /// A proposal is notarized.
    fn notarized(chain: &mut Chained<Self>, notarization: &Arc<Notarization>, effects: &mut Effects<Self>);

    /// The view's time is over.
    fn expired(chain: &mut Chained<Self>, effects: &mut Effects<Self>);

    /// A block is final.
    fn decided(_chain: &mut Chained<Self>, _view: u64, _effects: &mut Effects<Self>) {}
}

/// What is known of a view.
#[derive(Debug, Clone, Default)]
struct Slot {
    /// Its leader's first proposal.
    offer: Option<Offer>,
    notarizes: Tally<Arc<Vote>>,
    nullifies: Tally<Arc<Vote>>,
}

/// One replica of a protocol that chains blocks.
#[derive(Debug, Clone)]
pub struct Chained<R> {
    config: ChainedConfig,
    rules: PhantomData<R>,
    standing: Standing,
    /// The height of the last decided block.
    decided: u64,
    /// Its certificate; none for the genesis.
    certificate: Option<Certificate>,
    /// By view.
    slots: BTreeMap<u64, Slot>,
    notarized: BTreeMap<u64, Arc<Notarization>>,
    nullified: BTreeMap<u64, Arc<Nullification>>,
    /// By height and view.
    commits: BTreeMap<(u64, u64), Tally<Arc<Vote>>>,
    /// Certificates of blocks that are not decided here yet, by height.
    finals: BTreeMap<u64, Certificate>,
    /// What to commit to once its blocks are here and found valid.
    committing: Option<Arc<Notarization>>,
    blocks: Blocks,
    checkpoints: Checkpoints,
    pace: Pace,
    /// The host's request that waits longest.
    waiting: Option<B256>,
    /// What was passed on, by view.
    relayed: BTreeSet<(u64, ValidatorIndex, bool)>,
}

impl<R: Rules> Protocol for Chained<R> {
    type Message = Message;
    type Record = Record;
    type Timer = Timer;
    type Fault = Fault;
    type Ask = Ask;
    type Answer = Answer;
    type Output = Output;

    fn handle(&mut self, input: Input<Self>) -> Effects<R> {
        let mut effects = Vec::new();
        match input {
            Input::Start { memory, boot } => self.start(memory, boot, &mut effects),
            Input::Message { from, message } => {
                if let Err(fault) = self.receive(from, message, &mut effects) {
                    effects.push(Effect::Fault { from, fault });
                }
            }
            Input::Connected(to) => {
                let said = self.said().into_iter().chain([self.status()]);
                effects.extend(said.map(|message| Effect::Send { to, message }));
            }
            Input::Timer(Timer::Retransmit) => self.look_at_clock(&mut effects),
            Input::Timer(Timer::View) => {
                if self.pace.armed.take().is_some() {
                    R::expired(self, &mut effects);
                }
            }
            Input::Timer(Timer::Propose) => {
                self.pace.has_waited = true;
                self.propose_again(&mut effects);
            }
            Input::Answer(Answer::Proposal(block)) => self.proposed(block, &mut effects),
            Input::Answer(Answer::Validated { block_hash, valid }) => self.judged(block_hash, valid, &mut effects),
            Input::Answer(Answer::CaughtUp(certificate)) => self.caught_up(certificate, &mut effects),
            Input::Answer(Answer::Checkpoint { height, state_root }) => self.executed(height, state_root, &mut effects),
            Input::Answer(Answer::Waiting(waiting)) => self.waiting = waiting,
        }
        self.advance(&mut effects);
        self.watch(&mut effects);
        effects
    }
}

impl<R: Rules> Chained<R> {
    /// A replica whose last decided block and last stable checkpoint have these certificates, with the records that it
    /// made durable before it stopped. They are its own words and are taken as they are.
    pub fn new(
        config: ChainedConfig,
        certificate: Option<Certificate>,
        stable: Option<CheckpointCertificate>,
        records: impl IntoIterator<Item = Record>,
    ) -> Self {
        let decided = certificate.as_ref().map_or(0, |certificate| certificate.height);
        let mut chain = Self {
            config,
            rules: PhantomData,
            standing: Standing { view: 1, ..Standing::default() },
            decided,
            certificate,
            slots: BTreeMap::new(),
            notarized: BTreeMap::new(),
            nullified: BTreeMap::new(),
            commits: BTreeMap::new(),
            finals: BTreeMap::new(),
            committing: None,
            blocks: Blocks::default(),
            checkpoints: Checkpoints::new(stable),
            pace: Pace::default(),
            waiting: None,
            relayed: BTreeSet::new(),
        };
        for record in records {
            match record {
                Record::Standing(standing) => chain.standing = *standing,
                Record::Block(block) if block.header.height > decided => chain.blocks.keep(block, true),
                Record::Nullified { nullification, .. } => {
                    chain.nullified.insert(nullification.view, nullification);
                }
                Record::Checkpoint(vote) => chain.checkpoints.keep(vote),
                Record::Block(_) => {}
            }
        }
        chain.restore();
        chain
    }

    /// After a restart: what it has said counts as before.
    fn restore(&mut self) {
        let Standing { view, voted, nullified, commits, tip, .. } = self.standing.clone();
        let slot = self.slots.entry(view).or_default();
        slot.notarizes.extend(voted);
        slot.nullifies.extend(nullified);
        for vote in commits.into_iter().filter(|vote| vote.height > self.decided) {
            self.commits.entry((vote.height, vote.view)).or_default().extend([vote]);
        }
        self.notarized.extend(tip.map(|tip| (tip.proposal.view, tip)));
        self.pace.wish = view;
    }

    /// The current view's number.
    pub fn view(&self) -> u64 {
        self.standing.view
    }

    /// The height of the last decided block.
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// The last stable checkpoint.
    pub fn stable(&self) -> Option<&CheckpointCertificate> {
        self.checkpoints.stable()
    }

    /// Who leads the current view.
    pub fn primary(&self) -> ValidatorIndex {
        self.leader(self.standing.view)
    }

    /// Who leads a view.
    pub fn leader(&self, view: u64) -> ValidatorIndex {
        let PbftConfig { validators, domain, .. } = &self.config.replica;
        if self.config.lots {
            let lot = keccak256([&domain.network_id[..], &view.to_be_bytes()].concat());
            return validators.primary(U256::from_be_bytes(lot.0).wrapping_rem(U256::from(validators.len())).to(), 0);
        }
        validators.primary(view / R::TURN, 0)
    }

    /// Whether it votes in no view up to its own, because it may have voted there and forgotten.
    pub fn is_silent(&self) -> bool {
        self.standing.vote_from > self.standing.view
    }

    /// Whether this rule is left out.
    pub fn lapses(&self, lapse: Lapse) -> bool {
        self.config.lapse == Some(lapse)
    }

    /// The votes that make a certificate.
    fn quorum(&self) -> usize {
        let validators = &self.config.replica.validators;
        match self.config.lapse {
            Some(Lapse::SmallQuorum) => validators.len() * 2 / 3,
            Some(Lapse::WaitsForAll) => validators.len(),
            _ => validators.quorum(),
        }
    }

    /// Whether it asks for a higher view than its own.
    pub fn is_changing_view(&self) -> bool {
        self.pace.wish > self.standing.view || self.standing.nullified.is_some()
    }

    /// The best notarized proposal that it knows.
    pub fn tip(&self) -> Option<&Proposal> {
        self.standing.tip.as_ref().map(|tip| &tip.proposal)
    }

    /// The proposal that is notarized in a view, as far as that is remembered.
    pub fn notarized_in(&self, view: u64) -> Option<&Arc<Notarization>> {
        self.notarized.get(&view)
    }

    /// Whether all views between two were given up, as far as it can prove that.
    pub fn nullified_between(&self, from: u64, to: u64) -> bool {
        let between = to.saturating_sub(from).saturating_sub(1);
        between == 0 || self.nullified.range(from + 1..to).count() as u64 == between
    }

    /// Whether it has given up a view in which it still is.
    pub fn has_given_up(&self, view: u64) -> bool {
        self.standing.view == view && self.standing.nullified.is_some()
    }

    /// Whether its leader's patience is over: it knows what others know by now.
    pub fn has_waited(&self) -> bool {
        self.pace.has_waited
    }

    /// Whether its present view has lasted too long.
    pub fn is_overdue(&self) -> bool {
        self.pace.wish > self.standing.view
    }

    fn decided_hash(&self) -> B256 {
        let genesis = self.config.replica.domain.network_id;
        self.certificate.as_ref().map_or(genesis, |certificate| certificate.block_hash)
    }

    /// What a leader extends: the best notarized proposal, or what was decided before there were any.
    fn best(&self) -> Proposal {
        let root = Proposal { view: 0, parent: 0, length: 0, height: self.decided, block: self.decided_hash() };
        self.tip().copied().unwrap_or(root)
    }

    /// Whether a block holds the transactions that its header names. Nothing else of it is checked here.
    fn is_whole(&self, block: &Block) -> bool {
        let domain = &self.config.replica.domain;
        block.header.transactions_root == Block::transactions_root(&block.transactions, domain)
    }

    fn receive(&mut self, from: ValidatorIndex, message: Message, effects: &mut Effects<R>) -> Result<(), Fault> {
        match message {
            Message::Propose(offer) => self.receive_offer(*offer, effects),
            Message::Vote(vote) => self.receive_vote(vote, effects),
            Message::Commit(votes) => self.receive_commits(votes, effects),
            Message::Notarized(notarization) => self.receive_notarization(notarization, effects),
            Message::Nullified(nullification) => self.receive_nullification(nullification, effects),
            Message::Final(certificate) => self.receive_final(*certificate),
            Message::Status(status) => self.receive_status(from, *status, effects),
            Message::Want(block_hash) => {
                self.receive_want(from, block_hash, effects);
                Ok(())
            }
            Message::Body(block) => self.receive_body(block),
            Message::Checkpoint(vote) => self.receive_checkpoint(from, vote, effects),
            Message::Stable(certificate) => {
                let stable = self.checkpoints.prove(certificate, &self.config.replica)?;
                effects.extend(stable.map(|stable| Effect::Output(Output::Stable(stable))));
                Ok(())
            }
        }
    }

    /// The host has executed everything up to this height.
    fn executed(&mut self, height: u64, state_root: B256, effects: &mut Effects<R>) {
        let Some(vote) = self.checkpoints.executed(height, state_root, &self.config.replica) else { return };
        effects.push(Effect::Persist(Record::Checkpoint(vote.clone())));
        effects.push(Effect::Broadcast(Message::Checkpoint(vote)));
        let stable = self.checkpoints.stabilize(height, state_root, &self.config.replica);
        effects.extend(stable.map(|stable| Effect::Output(Output::Stable(stable))));
    }

    fn receive_checkpoint(
        &mut self,
        from: ValidatorIndex,
        vote: Arc<Vote>,
        effects: &mut Effects<R>,
    ) -> Result<(), Fault> {
        let validator = vote.validator;
        effects.extend(match self.checkpoints.hear(vote, &self.config.replica)? {
            Heard::Old(stable) if validator == from => {
                Some(Effect::Send { to: from, message: Message::Stable(stable) })
            }
            Heard::Nothing | Heard::Old(_) => None,
            Heard::Stable(stable) => Some(Effect::Output(Output::Stable(stable))),
            Heard::Contradicts(evidence) => Some(Effect::Output(Output::Evidence(evidence))),
        });
        Ok(())
    }
}

impl From<CheckpointFault> for Fault {
    fn from(fault: CheckpointFault) -> Self {
        match fault {
            CheckpointFault::WrongKind => Self::WrongKind,
            CheckpointFault::NotCheckpoint(height) => Self::NotCheckpoint(height),
            CheckpointFault::Signature(error) => Self::Signature(error),
            CheckpointFault::Certificate(error) => Self::Certificate(error),
        }
    }
}
