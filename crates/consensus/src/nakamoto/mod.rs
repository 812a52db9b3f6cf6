//! A chain that proof of work extends (Nakamoto, "Bitcoin: A Peer-to-Peer Electronic Cash System", 2008), and that the
//! validators make final block by block.
//!
//! - Every validator mines on top of the chain with the most work that it knows (§4 and §5 of the paper). The race for a
//!   block begins with its parent: the parent's hash is the id of the race, the block's own hash what is worked for.
//! - **Upon** a block with its work on top of a known one, a replica keeps it. If its chain has more work than the one
//!   that the replica follows, the host executes it block by block, and the replica follows it: a *reorganization* if
//!   that leaves blocks behind. Among chains with equal work the first one stays.
//! - The work that a block must show follows from its parent's and from how long that took ([`Mining::next_work`]).
//! - A block is *confirmed* once [`Mining::confirmations`] blocks are on top of it.
//!
//! # Checkpoints
//!
//! That a block is buried convinces nobody who does not see the chain, a contract least of all. So the validators run
//! [`Pbft`] over the confirmed blocks: the primary proposes the confirmed block above the last final one, and a replica
//! accepts it **once it has the same block confirmed** on the chain that it follows. The commit votes are those of PBFT
//! and so are their certificates, which settle through the same registry.
//!
//! - A final block is never left, however much work another chain has: replicas follow the heaviest chain *above the
//!   last final block*. A chain that leaves a final block out is shown to the operator ([`Notice::BelowCheckpoint`]).
//! - If a view has to begin with a block that a quorum may have prepared, replicas follow the heaviest chain above that
//!   block, and accept it without further confirmations: a reorganization may not stand in the way of PBFT's liveness.
//!
//! # What an attacker with most of the work can do
//!
//! It decides which transactions get in and when: its chain is the heaviest. It can undo blocks that are not final, in
//! every replica, and it can keep blocks from being confirmed by ever new reorganizations, which stops finality for as
//! long as it goes on. It cannot undo a final block, make two of them final at a height, or spend from an account whose
//! key it does not hold; for that it would have to have a quorum of the validators, too. Less than a third of the
//! validators that lie without having most of the work can do what they can do to PBFT: cost it views.

mod host;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dtn_pow::PowError;
use dtn_primitives::{Address, B256, Block, Certificate, CheckpointCertificate, MAX_UNDECIDED, Mining, ValidatorIndex};
use serde::{Deserialize, Serialize};

use crate::{
    Pbft, PbftConfig, pbft,
    protocol::{Effect, Input, Protocol},
};
use tree::Tree;

pub use host::{Answer, Ask, Base, Notice, Output};

/// How often in a block interval replicas tell which block they follow and take in what transactions came since.
const TICKS: u32 = 2;

/// How many requests for chains a peer is answered between two ticks.
const ANSWERS: u32 = 4;

/// A block with its proof of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The block.
    pub block: Arc<Block>,
    /// Solves the puzzle of the block's hash for its proposer, in the race of its parent's hash.
    pub nonce: u64,
}

/// What replicas say to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// About making confirmed blocks final.
    Pbft(pbft::Message),
    /// A mined block.
    Block(Sealed),
    /// Which block the sender follows.
    Tip {
        /// Its height.
        height: u64,
        /// Its hash.
        hash: B256,
    },
    /// Asks for the blocks up to one, in ascending order.
    Ask {
        /// The last one.
        hash: B256,
        /// The height of the last final block of the asker, who needs nothing below.
        above: u64,
    },
}

impl Message {
    /// What it is, as counters name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pbft(message) => message.kind(),
            Self::Block(_) => "block",
            Self::Tip { .. } => "tip",
            Self::Ask { .. } => "ask",
        }
    }
}

/// What must survive a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// What PBFT must not forget.
    Pbft(pbft::Record),
    /// A mined block of the chain that is followed: if all replicas lost power, the work would be lost.
    Block(Sealed),
}

impl Record {
    /// The height that a record speaks of, or [`crate::STANDING`]. Once it is decided the record is no longer needed.
    pub fn height(&self) -> u64 {
        match self {
            Self::Pbft(record) => record.height(),
            Self::Block(sealed) => sealed.block.header.height,
        }
    }
}

/// The timers that a replica sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timer {
    /// One of PBFT's.
    Pbft(pbft::Timer),
    /// Tells which block is followed, and mines one with what came since.
    Tick,
}

/// What can be wrong with a message; none of it comes from a correct replica.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// PBFT finds it.
    #[error(transparent)]
    Pbft(#[from] pbft::Fault),
    /// The block's transactions are not those that were mined.
    #[error("the block does not hold the transactions that its header names")]
    WrongBlock,
    /// The block is not above its parent.
    #[error("the block has height {have}; above its parent is {need}")]
    WrongHeight {
        /// The block's.
        have: u64,
        /// One above its parent's.
        need: u64,
    },
    /// The block is no later than its parent.
    #[error("the block is no later than its parent")]
    NotAfterParent,
    /// Only validators mine.
    #[error("the block was mined by {0}, who is not a validator")]
    NotValidator(Address),
    /// The parent is unknown.
    #[error("the block's parent is unknown")]
    UnknownParent,
    /// The block does not show its work.
    #[error("the block's work: {0}")]
    Work(PowError),
}

impl Fault {
    /// What it is, as counters name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pbft(fault) => fault.kind(),
            Self::WrongBlock => "wrong_block",
            Self::WrongHeight { .. } => "wrong_height",
            Self::NotAfterParent => "not_after_parent",
            Self::NotValidator(_) => "not_validator",
            Self::UnknownParent => "unknown_parent",
            Self::Work(_) => "no_work",
        }
    }
}

/// A replica's identity and network, and how its blocks are mined.
#[derive(Debug, Clone)]
pub struct NakamotoConfig {
    /// As for PBFT.
    pub pbft: PbftConfig,
    /// How blocks are mined.
    pub mining: Mining,
}

type Effects = Vec<Effect<Nakamoto>>;

/// One replica.
#[derive(Debug, Clone)]
pub struct Nakamoto {
    config: NakamotoConfig,
    pbft: Pbft,
    tree: Tree,
    /// The blocks above the base that the host has executed, each on top of the other, its latest proposal left out: the
    /// chain that is followed, once all of it is executed.
    executed: Vec<B256>,
    /// The block that the host is judging.
    judged: Option<B256>,
    /// What is being mined; always on top of the last executed block.
    template: Option<Arc<Block>>,
    /// The host was asked for something to mine on top of this block.
    proposing: Option<B256>,
    /// What PBFT wants a proposal for: the height and the parent.
    wanted: Option<(u64, B256)>,
    /// The blocks that PBFT wants to be judged, by height.
    questions: BTreeMap<u64, Arc<Block>>,
    /// The confirmed block that waits longest, as PBFT knows.
    waiting: Option<B256>,
    /// How many chains each peer was given since the last tick.
    answered: BTreeMap<ValidatorIndex, u32>,
    /// Who was asked for a chain since the last tick.
    asked: BTreeSet<ValidatorIndex>,
    /// Of whom the operator was told since the last tick that it leaves out a final block.
    noticed: BTreeSet<ValidatorIndex>,
}

impl Protocol for Nakamoto {
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
                effects.push(Effect::SetTimer { timer: Timer::Tick, after: self.tick() });
                self.pbft(Input::Start { memory, boot }, &mut effects);
            }
            Input::Message { from, message } => {
                if let Err(fault) = self.receive(from, message, &mut effects) {
                    effects.push(Effect::Fault { from, fault });
                }
            }
            Input::Connected(peer) => {
                self.pbft(Input::Connected(peer), &mut effects);
                effects.push(Effect::Send { to: peer, message: self.tip() });
            }
            Input::Timer(Timer::Pbft(timer)) => self.pbft(Input::Timer(timer), &mut effects),
            Input::Timer(Timer::Tick) => {
                self.answered.clear();
                self.asked.clear();
                self.noticed.clear();
                effects.push(Effect::Broadcast(self.tip()));
                effects.push(Effect::SetTimer { timer: Timer::Tick, after: self.tick() });
                // What is being mined may lack the latest transactions. A search has no memory, so nothing is lost.
                self.proposing = None;
                self.judged = None;
            }
            Input::Answer(Answer::Proposal(block)) => self.proposed(block, &mut effects),
            Input::Answer(Answer::Mined { block_hash, nonce }) => self.mined(block_hash, nonce, &mut effects),
            Input::Answer(Answer::Validated { block_hash, valid }) => self.judged(block_hash, valid, &mut effects),
            Input::Answer(Answer::CaughtUp { certificate, base, decided }) => {
                if base.height > self.tree.base().height {
                    // PBFT may decide what it has waited with at once, which is above the new base.
                    self.rebase(base, &decided, &mut effects);
                    self.pbft(Input::Answer(pbft::Answer::CaughtUp(certificate)), &mut effects);
                }
            }
            Input::Answer(Answer::Checkpoint { height, state_root }) => {
                self.pbft(Input::Answer(pbft::Answer::Checkpoint { height, state_root }), &mut effects);
            }
        }
        self.follow(&mut effects);
        self.confirm(&mut effects);
        effects
    }
}

impl Nakamoto {
    /// A replica whose last decided block left this base and has this certificate, with the records that it made durable
    /// before it stopped.
    pub fn new(
        config: NakamotoConfig,
        base: Base,
        certificate: Option<Certificate>,
        stable: Option<CheckpointCertificate>,
        records: impl IntoIterator<Item = Record>,
    ) -> Self {
        let (mut votes, mut blocks) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Pbft(record) => votes.push(record),
                Record::Block(sealed) => blocks.push(sealed),
            }
        }
        blocks.sort_by_key(|sealed| sealed.block.header.height);
        let mut tree = Tree::new(config.mining, base);
        for sealed in blocks {
            if tree.extends(sealed.block.header.parent_hash) {
                // What does not hold any more is of a chain that was left.
                let hash = sealed.block.header.hash();
                _ = tree.insert(sealed, &config.pbft.validators);
                tree.keep(hash);
            }
        }
        Self {
            pbft: Pbft::new(config.pbft.clone(), certificate, stable, votes),
            config,
            tree,
            executed: Vec::new(),
            judged: None,
            template: None,
            proposing: None,
            wanted: None,
            questions: BTreeMap::new(),
            waiting: None,
            answered: BTreeMap::new(),
            asked: BTreeSet::new(),
            noticed: BTreeSet::new(),
        }
    }

    /// The part that makes confirmed blocks final.
    pub fn finality(&self) -> &Pbft {
        &self.pbft
    }

    /// The last block of the chain that is followed, as far as it is executed: its height and hash.
    pub fn head(&self) -> (u64, B256) {
        let base = self.tree.base();
        (base.height + self.executed.len() as u64, self.head_hash())
    }

    /// The expected hashes for the block that is being mined.
    pub fn next_work(&self) -> Option<u64> {
        let template = self.template.as_ref()?;
        Some(self.tree.puzzle(template)?.target().expected_hashes())
    }

    fn head_hash(&self) -> B256 {
        self.executed.last().copied().unwrap_or(self.tree.base().hash)
    }

    fn tick(&self) -> Duration {
        Duration::from_millis(self.config.mining.block_interval_ms) / TICKS
    }

    fn tip(&self) -> Message {
        let (height, hash) = self.head();
        Message::Tip { height, hash }
    }

    /// Hands PBFT an input. What it asks of a host, this chain answers.
    fn pbft(&mut self, input: Input<Pbft>, effects: &mut Effects) {
        for effect in self.pbft.handle(input) {
            let effect = match effect {
                Effect::Ask(pbft::Ask::Propose { height, parent, .. }) => {
                    self.wanted = Some((height, parent));
                    continue;
                }
                Effect::Ask(pbft::Ask::Validate { block, .. }) => {
                    self.questions.insert(block.header.height, block);
                    continue;
                }
                Effect::Output(output) => {
                    if let pbft::Output::Decide(decision) = &output {
                        let base = self.tree.base_after(&decision.block);
                        self.rebase(base, &[base.hash], effects);
                    }
                    Effect::Output(Output::Finality(output))
                }
                Effect::Send { to, message } => Effect::Send { to, message: Message::Pbft(message) },
                Effect::Broadcast(message) => Effect::Broadcast(Message::Pbft(message)),
                Effect::SetTimer { timer, after } => Effect::SetTimer { timer: Timer::Pbft(timer), after },
                Effect::CancelTimer(timer) => Effect::CancelTimer(Timer::Pbft(timer)),
                Effect::Persist(record) => Effect::Persist(Record::Pbft(record)),
                Effect::Fault { from, fault } => Effect::Fault { from, fault: Fault::Pbft(fault) },
            };
            effects.push(effect);
        }
    }

    fn receive(&mut self, from: ValidatorIndex, message: Message, effects: &mut Effects) -> Result<(), Fault> {
        match message {
            Message::Pbft(message) => self.pbft(Input::Message { from, message }, effects),
            Message::Block(sealed) => self.receive_block(from, sealed, effects)?,
            Message::Tip { height, hash } => self.hear_of(from, height, hash, effects),
            Message::Ask { hash, above } => self.answer(from, hash, above, effects),
        }
        Ok(())
    }

    fn receive_block(&mut self, from: ValidatorIndex, sealed: Sealed, effects: &mut Effects) -> Result<(), Fault> {
        let header = &sealed.block.header;
        let (height, hash, base) = (header.height, header.hash(), self.tree.base());
        if self.tree.contains(hash) || height <= base.height || height > self.ceiling() {
            return Ok(());
        }
        if !self.tree.extends(header.parent_hash) {
            if height == base.height + 1 && self.noticed.insert(from) {
                effects.push(Effect::Output(Output::Notice(Notice::BelowCheckpoint {
                    from,
                    height,
                    block_hash: hash,
                })));
            } else {
                self.hear_of(from, height, hash, effects);
            }
            return Ok(());
        }
        let root = Block::transactions_root(&sealed.block.transactions, &self.config.pbft.domain);
        if root != header.transactions_root {
            return Err(Fault::WrongBlock);
        }
        self.tree.insert(sealed, &self.config.pbft.validators)
    }

    /// The highest block that is taken: above it the host has to catch up with what is final first.
    fn ceiling(&self) -> u64 {
        self.tree.base().height.saturating_add(self.config.mining.max_mined_ahead())
    }

    /// A peer has a block: if it is unknown here, the peer is asked for the chain that leads to it.
    fn hear_of(&mut self, from: ValidatorIndex, height: u64, hash: B256, effects: &mut Effects) {
        let base = self.tree.base();
        let news = height > base.height && height <= self.ceiling() && !self.tree.contains(hash);
        if news && self.asked.insert(from) {
            effects.push(Effect::Send { to: from, message: Message::Ask { hash, above: base.height } });
        }
    }

    fn answer(&mut self, to: ValidatorIndex, hash: B256, above: u64, effects: &mut Effects) {
        let answered = self.answered.entry(to).or_default();
        if *answered < ANSWERS {
            *answered += 1;
            let path = self.tree.path(hash).into_iter().filter(|sealed| sealed.block.header.height > above);
            effects.extend(path.map(|sealed| Effect::Send { to, message: Message::Block(sealed) }));
        }
    }

    /// Moves to the chain with the most work above what has to be final next, one block at a time, and mines on top of it.
    fn follow(&mut self, effects: &mut Effects) {
        let (base, head) = (self.tree.base(), self.head_hash());
        let required = self.pbft.last_required().map(|(_, hash)| hash).filter(|hash| self.tree.contains(*hash));
        let anchor = required.unwrap_or(base.hash);
        let heaviest = self.tree.heaviest_above(anchor);
        let stays = self.tree.descends(head, anchor) && self.tree.total_work(heaviest) <= self.tree.total_work(head);
        if !stays && heaviest != head {
            (self.template, self.proposing) = (None, None);
            let path = self.tree.path(heaviest);
            let next = path.iter().map(|sealed| &sealed.block).enumerate();
            let next = next.map(|(at, block)| (at, block, block.header.hash()));
            let next = next.into_iter().find(|(at, _, hash)| self.executed.get(*at) != Some(hash));
            // One at a time, since each decides on top of what the next one is.
            if let Some((_, block, hash)) = next.filter(|_| self.judged.is_none()) {
                self.judged = Some(hash);
                effects.push(Effect::Ask(Ask::Validate(block.clone())));
            }
            return;
        }
        let (height, _) = self.head();
        let room = height < base.height + self.config.mining.confirmations + MAX_UNDECIDED;
        if room && self.proposing != Some(head) {
            self.proposing = Some(head);
            // Whether or not transactions wait, lest a longer chain be prepared in quiet times.
            effects.push(Effect::Ask(Ask::Propose { height: height + 1, parent: head }));
        }
    }

    /// The host has executed a block of the chain with the most work, or cannot.
    fn judged(&mut self, hash: B256, valid: bool, effects: &mut Effects) {
        self.judged.take_if(|judged| *judged == hash);
        let Some(block) = self.tree.block(hash) else { return };
        if !valid {
            // It may only be ahead of this host's clock: it is asked for again if its chain is still followed then.
            let height = block.header.height;
            effects.push(Effect::Output(Output::Notice(Notice::InvalidBlock { height, block_hash: hash })));
            self.tree.remove(hash);
            // Where the host stands is not certain any more; what it has executed it says again at once.
            return self.executed.clear();
        }
        let Some(kept) = self.executed_up_to(block.header.parent_hash) else { return };
        let from = self.head_hash();
        let depth = (self.executed.len() - kept) as u64;
        if depth > 0 {
            let to = self.tree.heaviest_above(hash);
            effects.push(Effect::Output(Output::Notice(Notice::Reorganized { depth, from, to })));
        }
        self.executed.truncate(kept);
        self.executed.push(hash);
        // Only what is followed is worth the disk: anybody who mines could fill it otherwise.
        let followed = self.tree.keep(hash).map(|sealed| Effect::Persist(Record::Block(sealed)));
        effects.extend(followed);
    }

    /// How many blocks are executed up to one of them, or to the base.
    fn executed_up_to(&self, hash: B256) -> Option<usize> {
        let place = self.executed.iter().position(|executed| *executed == hash);
        place.map(|place| place + 1).or_else(|| (hash == self.tree.base().hash).then_some(0))
    }

    /// The host has built a block to mine.
    fn proposed(&mut self, block: Arc<Block>, effects: &mut Effects) {
        let Some(kept) = self.executed_up_to(block.header.parent_hash) else { return };
        // The host dropped what it had on top of the parent.
        self.executed.truncate(kept);
        if let Some(puzzle) = self.tree.puzzle(&block) {
            self.template = Some(block);
            effects.push(Effect::Ask(Ask::Mine(puzzle)));
        }
    }

    /// The block that is being mined has its proof of work.
    fn mined(&mut self, block_hash: B256, nonce: u64, effects: &mut Effects) {
        let current = self.template.take_if(|block| block.header.hash() == block_hash);
        let Some(block) = current.filter(|block| block.header.parent_hash == self.head_hash()) else { return };
        let sealed = Sealed { block, nonce };
        match self.tree.insert(sealed.clone(), &self.config.pbft.validators) {
            Ok(()) => {
                self.executed.push(block_hash);
                self.tree.keep(block_hash);
                effects.push(Effect::Persist(Record::Block(sealed.clone())));
                effects.push(Effect::Broadcast(Message::Block(sealed)));
            }
            Err(fault) => effects.push(Effect::Fault { from: self.config.pbft.me, fault }),
        }
    }

    /// A block is final: everything that does not descend from it is dropped. `decided` are the hashes of the blocks that
    /// are final since then, as far as they are known.
    fn rebase(&mut self, base: Base, decided: &[B256], effects: &mut Effects) {
        let depth = self.left_by(&base, decided);
        if depth > 0 {
            effects.push(Effect::Output(Output::Notice(Notice::Reorganized {
                depth,
                from: self.head_hash(),
                to: base.hash,
            })));
        }
        let kept = self.executed.iter().position(|hash| *hash == base.hash).map(|place| place + 1);
        match kept {
            Some(kept) => _ = self.executed.drain(..kept),
            // The host is at the final block then, and executes what it had on top of it again.
            None => self.executed.clear(),
        }
        self.tree.rebase(base);
        self.judged.take_if(|hash| !self.tree.contains(*hash));
        if kept.is_none() {
            (self.template, self.proposing) = (None, None);
        }
        self.questions.retain(|height, _| *height > base.height);
        self.wanted.take_if(|(height, _)| *height <= base.height);
    }

    /// How many of the executed blocks are not on the chain of these final ones.
    fn left_by(&self, base: &Base, decided: &[B256]) -> u64 {
        let decided = if decided.is_empty() { std::slice::from_ref(&base.hash) } else { decided };
        let blocks = (base.height - self.tree.base().height) as usize;
        let decided = &decided[decided.len().saturating_sub(blocks)..];
        let known = self.executed.iter().enumerate().skip(blocks - decided.len()).zip(decided);
        let mut other = known.filter(|((_, executed), decided)| executed != decided);
        other.next().map_or(0, |((place, _), _)| (self.executed.len() - place) as u64)
    }

    /// Lets PBFT know what is confirmed.
    fn confirm(&mut self, effects: &mut Effects) {
        loop {
            let confirmed = self.executed.len() as u64 > self.config.mining.confirmations;
            let waiting = self.executed.first().copied().filter(|_| confirmed);
            if waiting != self.waiting {
                self.waiting = waiting;
                self.pbft(Input::Answer(pbft::Answer::Waiting(waiting)), effects);
            } else if let Some((block_hash, valid)) = self.confirmed_question() {
                self.questions.retain(|_, block| block.header.hash() != block_hash);
                self.pbft(Input::Answer(pbft::Answer::Validated { block_hash, valid }), effects);
            } else if let Some(block) = self.confirmed_proposal() {
                self.wanted = None;
                self.pbft(Input::Answer(pbft::Answer::Proposal(block)), effects);
            } else {
                break;
            }
        }
        let unknown = |block: &&Arc<Block>| !self.tree.contains(block.header.hash());
        let unknown = self.questions.values().find(unknown).map(|block| (block.header.height, block.header.hash()));
        if let Some((height, hash)) = unknown {
            let primary = self.pbft.primary();
            self.hear_of(primary, height, hash, effects);
        }
        // Decisions may have moved the base.
        self.follow(effects);
    }

    /// The executed block at a height, if so many blocks are on top of it that it is confirmed.
    fn confirmed(&self, height: u64) -> Option<B256> {
        let place = height.checked_sub(self.tree.base().height + 1)?;
        let above = (self.executed.len() as u64).checked_sub(place + 1)?;
        let hash = self.executed.get(usize::try_from(place).ok()?).copied();
        hash.filter(|_| above >= self.config.mining.confirmations)
    }

    /// A block that PBFT wants to be judged and that is confirmed here, and whether it holds what was mined: a primary may
    /// put other transactions under the same header.
    fn confirmed_question(&self) -> Option<(B256, bool)> {
        let required = self.pbft.last_required().map(|(height, _)| height);
        let holds = |(height, block): (&u64, &Arc<Block>)| {
            let hash = block.header.hash();
            // The view's required blocks form one chain, and the followed one goes through them.
            let is_required = required.is_some_and(|last| *height <= last) && self.executed.contains(&hash);
            let is_confirmed = is_required || self.confirmed(*height) == Some(hash);
            is_confirmed.then(|| (hash, self.tree.block(hash) == Some(block)))
        };
        self.questions.iter().find_map(holds)
    }

    fn confirmed_proposal(&self) -> Option<Arc<Block>> {
        let (height, parent) = self.wanted?;
        let block = self.tree.block(self.confirmed(height)?)?;
        (block.header.parent_hash == parent).then(|| block.clone())
    }
}
