//! What surrounds a replica: its ledger, its disk and the order in which things reach them.

use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use dtn_consensus::{Decision, Effect, Evidence, Input, Protocol};
use dtn_pow::Puzzle;
use dtn_primitives::{B256, Block, CheckpointCertificate, ValidatorIndex, keccak256};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::{
    DiskAfter, Members, Notice, Progress, Reply, Request, Source, Subject, Survival, When,
    books::{Books, OpenRaces},
    disk::{Disk, Write},
    following::Following,
    packet::{Packet, Sent},
    pool::Pool,
};

/// Decided blocks in one answer to a peer that fell behind.
const BLOCKS_AT_ONCE: usize = 16;

/// When a host makes durable what its replica asks it to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Everything that a batch of inputs leads to in one write, before anything of it is sent.
    Together,
    /// Each effect by itself, in order; what stands before a write is sent before it.
    Each,
}

/// What reaches a host.
pub(crate) enum Arrival<P: Protocol> {
    Input(Box<Input<P>>),
    /// What its replica is told of what the host has found.
    Reply(Reply),
    Packet {
        from: ValidatorIndex,
        sent: Rc<Sent<P::Message>>,
    },
    /// The host looks after itself; where there is no client, it finds so many new requests to propose.
    Housekeeping {
        requests: Option<u64>,
    },
}

impl<P: Protocol> Arrival<P> {
    pub(crate) fn input(input: Input<P>) -> Self {
        Self::Input(Box::new(input))
    }
}

/// What a host's batch of work led to inside of it.
pub(crate) enum Outcome<P: Protocol> {
    Decided {
        decision: Decision,
        /// The state after it.
        state: B256,
        /// The hashes of what it holds, where each request is a transaction of its own; of orders those that have their
        /// winners.
        requests: Vec<B256>,
        /// The races that are open after it.
        open: Option<OpenRaces>,
        /// The round of the message that led to it.
        round: u32,
    },
    /// A decision that does not follow the last one.
    Misordered(Decision),
    Stable(CheckpointCertificate),
    Timer {
        timer: P::Timer,
        after: Duration,
        generation: u64,
    },
    Evidence(Box<Evidence>),
    Fault {
        from: ValidatorIndex,
        fault: P::Fault,
    },
    /// The replica searches for the proof of work of its block of this height, and for none that it searched for before.
    Mine {
        puzzle: Puzzle,
        height: u64,
    },
    /// It keeps a mined block, with the nonce that shows its work.
    Sealed {
        block: Block,
        nonce: u64,
    },
    /// It would build a block of this height on top of one that is not above its last decided one.
    Astray(u64),
    Notice(Notice),
}

/// What a batch of work leads to outside, in the order in which the replica asked for it.
enum Action<P: Protocol> {
    Write(Write<P::Record>),
    /// In a round: one more than that of what led to it.
    Send(To, Packet<P::Message>, u32),
}

/// To whom a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    One(ValidatorIndex),
    /// All other replicas.
    Others,
    Client,
}

/// What a replica would propose on.
#[derive(Debug, Clone, Copy)]
struct Wish {
    height: u64,
    parent: B256,
    /// Even if there is nothing to propose.
    empty: bool,
}

/// Packets to be sent, to whom, and in which round.
pub(crate) type Sends<P> = Vec<(To, Packet<<P as Protocol>::Message>, u32)>;

/// A power cut at a write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// After the write is durable; before it otherwise.
    pub(crate) durable: bool,
    /// After how long the replica starts again, if it does.
    pub(crate) down: Option<Duration>,
    /// Which disk it finds then.
    pub(crate) disk: DiskAfter,
}

/// What a host has to propose from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proposing {
    pub(crate) source: Source,
    /// The most requests in a block, where each is a transaction of its own.
    pub(crate) most: usize,
    /// The length of the replies that a client waits for.
    pub(crate) reply_bytes: Option<usize>,
}

/// One replica and its machine.
pub(crate) struct Host<P: Subject> {
    pub(crate) me: ValidatorIndex,
    pub(crate) protocol: P,
    pub(crate) disk: Disk<P::Record>,
    pub(crate) chain: crate::Chain,
    pub(crate) up: bool,
    /// Its links are there.
    pub(crate) linked: bool,
    /// A batch is being worked on; what arrives waits.
    pub(crate) busy: bool,
    /// Counts restarts, so that what was scheduled before a crash is recognized.
    pub(crate) incarnation: u32,
    pub(crate) inbox: VecDeque<Arrival<P>>,
    /// Writes so far.
    pub(crate) steps: u64,
    /// The writes at which the power fails.
    pub(crate) cuts: BTreeMap<u64, Cut>,
    /// Copies of its disk that it finds later, by when they are made.
    images: BTreeMap<When, Option<Disk<P::Record>>>,
    /// What it finds when its disk was replaced by an empty one.
    empty: Disk<P::Record>,
    pub(crate) pool: Pool,
    /// The real ledger, where the scenario has one.
    pub(crate) books: Option<Books>,
    proposing: Proposing,
    /// The request that waits longest, as its replica was told.
    waiting: Option<B256>,
    actions: Vec<Action<P>>,
    timers: BTreeMap<P::Timer, u64>,
    generation: u64,
    /// What the replica may propose on, and how many blocks there is something for.
    wish: Option<Wish>,
    requests: u64,
    /// The height up to which a client has handed in what fills blocks.
    ordered: u64,
    /// Every proposal is another block, also after a restart.
    proposals: u64,
    /// The round of what it works on: that of a message, or 0.
    round: u32,
    /// The round of the last order.
    ordered_in: u32,
    following: Following,
    /// The height at the last look.
    last_height: Option<u64>,
    /// Its clock.
    now: Duration,
    /// The height of its last proposal.
    proposed: u64,
}

impl<P: Subject> Host<P> {
    pub(crate) fn new(members: &Members, me: ValidatorIndex, disk: Disk<P::Record>, proposing: Proposing) -> Self {
        let protocol = P::create(members, me, &disk.chain, disk.stable.clone(), Vec::new());
        Self {
            me,
            protocol,
            chain: disk.chain.clone(),
            last_height: None,
            empty: disk.replacement(),
            disk,
            up: true,
            linked: true,
            busy: false,
            incarnation: 0,
            inbox: VecDeque::new(),
            steps: 0,
            cuts: BTreeMap::new(),
            images: BTreeMap::new(),
            pool: Pool::new(*members.domain()),
            books: Books::open(members, me),
            proposing,
            waiting: None,
            actions: Vec::new(),
            timers: BTreeMap::new(),
            generation: 0,
            wish: None,
            requests: 0,
            ordered: 0,
            proposals: 0,
            round: 0,
            ordered_in: 0,
            following: Following::default(),
            now: Duration::ZERO,
            proposed: 0,
        }
    }

    /// Power is cut: what was not synced is gone, or some of it is not.
    pub(crate) fn crash(&mut self, survival: Survival, rng: &mut StdRng) {
        for action in std::mem::take(&mut self.actions) {
            if let Action::Write(write) = action {
                self.disk.write(write);
            }
        }
        self.disk.cut(survival, rng);
        self.up = false;
        self.incarnation += 1;
    }

    /// Another disk takes the place of this one, which is not cut before it was written to. What it had said may be
    /// forgotten then.
    pub(crate) fn replace(&mut self, disk: DiskAfter) {
        match disk {
            DiskAfter::Kept => {}
            DiskAfter::Lost => self.disk = self.empty.image(),
            DiskAfter::AsOf(when) => {
                if let Some(image) = self.images.get(&done(when)).and_then(Option::as_ref) {
                    self.disk = image.image();
                }
            }
        }
    }

    /// It starts later.
    pub(crate) fn wait(&mut self) {
        self.up = false;
    }

    /// A copy of its disk of that moment will be wanted.
    pub(crate) fn expect_image(&mut self, when: When) {
        self.images.insert(done(when), None);
    }

    /// Keeps a copy of its disk for later, if that is wanted now.
    pub(crate) fn keep_image(&mut self, when: When) {
        if let Some(image) = self.images.get_mut(&when) {
            *image = Some(self.disk.image());
        }
    }

    /// Starts from what the disk holds, again or for the first time.
    pub(crate) fn restart(&mut self, members: &Members) {
        let records = self.disk.records.iter().map(|(_, record)| record.clone()).collect();
        self.protocol = P::create(members, self.me, &self.disk.chain, self.disk.stable.clone(), records);
        self.chain = self.disk.chain.clone();
        self.chain.forget_valid();
        self.inbox.clear();
        self.timers.clear();
        (self.up, self.busy, self.wish, self.waiting) = (true, false, None, None);
        self.following = Following::default();
        self.pool.restart(self.chain.above(0, usize::MAX).iter().map(|decision| &decision.block));
        self.books = Books::open(members, self.me);
        if let Some(books) = &mut self.books {
            // They are certified.
            self.chain.above(0, usize::MAX).iter().for_each(|decision| _ = books.commit(decision));
        }
        self.begin();
        // The block of a checkpoint may have become durable and the vote for it not.
        let stable = self.disk.stable.as_ref().map_or(0, |stable| stable.height);
        let checkpoint = |decision: &Decision| self.at_checkpoint(decision.certificate.height);
        let checkpoints: Vec<_> = self.chain.above(stable, usize::MAX).iter().filter_map(checkpoint).collect();
        self.inbox.extend(checkpoints.into_iter().map(Arrival::Reply));
    }

    /// Its replica begins.
    pub(crate) fn begin(&mut self) {
        let (memory, boot) = (self.disk.memory, u64::from(self.incarnation));
        self.inbox.push_back(Arrival::input(Input::Start { memory, boot }));
    }

    /// Whether this timer, set at that time, still runs; it does not any more then.
    pub(crate) fn expires(&mut self, timer: P::Timer, generation: u64) -> bool {
        let runs = self.timers.get(&timer) == Some(&generation);
        if runs {
            self.timers.remove(&timer);
        }
        runs
    }

    /// Works off everything that has arrived, and proposes what there is to propose.
    pub(crate) fn work(&mut self, members: &Members, now: Duration) -> Vec<Outcome<P>> {
        self.now = now;
        self.books.iter_mut().for_each(|books| books.tell_time(now));
        let mut outcomes = Vec::new();
        while let Some(arrival) = self.inbox.pop_front() {
            self.round = 0;
            match arrival {
                Arrival::Input(input) => {
                    if let Input::Connected(peer) = *input {
                        self.send(To::One(peer), Packet::Height(self.chain.height()));
                    }
                    self.input(*input, members, &mut outcomes);
                }
                Arrival::Reply(reply) => self.reply(reply, members, &mut outcomes),
                Arrival::Packet { from, sent } => {
                    self.round = sent.round;
                    if let Packet::Order { .. } = sent.packet {
                        self.ordered_in = sent.round;
                    }
                    self.packet(from, &sent.packet, members, &mut outcomes);
                }
                Arrival::Housekeeping { requests } => self.look_after_itself(requests, members, &mut outcomes),
            }
        }
        self.propose(members, &mut outcomes);
        if self.waits() != self.waiting {
            self.tell_waiting(members, &mut outcomes);
        }
        outcomes
    }

    /// Proposes for as long as its replica wishes to and there is something.
    fn propose(&mut self, members: &Members, outcomes: &mut Vec<Outcome<P>>) {
        while let Some(Wish { height, parent, empty }) = self.wish {
            let number = self.proposals + 1;
            let block = match self.proposing.source {
                Source::Requests => {
                    let requests = self.pool.propose(parent, self.proposing.most);
                    if requests.is_empty() && !empty {
                        return;
                    }
                    members.block_of(requests, (height, parent), self.me, number)
                }
                Source::Orders => {
                    let block = self.books.as_mut().and_then(|books| books.propose(parent, empty));
                    let Some(block) = block else { return };
                    block
                }
                Source::Client | Source::Random if empty || self.requests > 0 || height <= self.ordered => {
                    self.requests = self.requests.saturating_sub(1);
                    members.block(height, parent, self.me, number)
                }
                Source::Client | Source::Random => return,
            };
            (self.wish, self.proposals, self.round) = (None, number, self.ordered_in);
            if self.judge(&block) {
                self.reply(Reply::Proposal(block), members, outcomes);
            }
        }
    }

    /// Whether a block may follow its parent; if so, others may follow it.
    fn judge(&mut self, block: &Arc<Block>) -> bool {
        let fresh = match self.proposing.source {
            Source::Requests => self.pool.judge(block),
            Source::Orders => self.books.as_mut().is_some_and(|books| books.judge(block)),
            Source::Client | Source::Random => true,
        };
        fresh && self.chain.judge(block)
    }

    /// What has waited longest to be decided, if there is anything.
    fn waits(&self) -> Option<B256> {
        let next = self.chain.height() + 1;
        match self.proposing.source {
            Source::Requests => self.pool.oldest(),
            Source::Orders => self.books.as_ref().and_then(Books::oldest),
            // One request is as good as another.
            Source::Random => Some(keccak256(next.to_be_bytes())),
            Source::Client => (self.ordered >= next).then(|| keccak256(next.to_be_bytes())),
        }
    }

    fn tell_waiting(&mut self, members: &Members, outcomes: &mut Vec<Outcome<P>>) {
        self.waiting = self.waits();
        self.reply(Reply::Waiting(self.waiting), members, outcomes);
    }

    /// Tells its replica something, if that has any use for it.
    fn reply(&mut self, reply: Reply, members: &Members, outcomes: &mut Vec<Outcome<P>>) {
        if let Some(answer) = P::answer(reply) {
            self.input(Input::Answer(answer), members, outcomes);
        }
    }

    fn input(&mut self, input: Input<P>, members: &Members, outcomes: &mut Vec<Outcome<P>>) {
        let (mut next, mut more) = (Some(input), VecDeque::new());
        while let Some(input) = next {
            let before = self.protocol.view();
            let effects = self.protocol.handle(input);
            if self.books.is_some() && self.protocol.view() != before {
                // What it wished to propose on may not be what it builds on now; it wishes again for what it still wants.
                self.wish = None;
            }
            for effect in effects {
                more.extend(self.carry_out(effect, members, outcomes).and_then(P::answer));
            }
            next = more.pop_front().map(Input::Answer);
        }
    }

    /// Carries out one effect and gives the answer that it asks for, if any.
    fn carry_out(&mut self, effect: Effect<P>, members: &Members, outcomes: &mut Vec<Outcome<P>>) -> Option<Reply> {
        match effect {
            Effect::Send { to, message } => self.send(To::One(to), Packet::Consensus(message)),
            Effect::Broadcast(message) => self.send(To::Others, Packet::Consensus(message)),
            Effect::SetTimer { timer, after } => {
                self.generation += 1;
                self.timers.insert(timer, self.generation);
                outcomes.push(Outcome::Timer { timer, after, generation: self.generation });
            }
            Effect::CancelTimer(timer) => _ = self.timers.remove(&timer),
            Effect::Persist(record) => {
                let height = P::record_height(&record);
                if let Some((block, nonce)) = P::sealed(&record) {
                    outcomes.push(Outcome::Sealed { block: block.clone(), nonce });
                }
                self.actions.push(Action::Write(Write::Record { height, record }));
            }
            Effect::Ask(ask) => return self.asked(P::asks(ask), members, outcomes),
            Effect::Output(output) => match P::output(output) {
                Progress::Decide(decision) => return self.commit(decision, outcomes),
                Progress::Stable(certificate) => {
                    self.actions.push(Action::Write(Write::Stable(certificate.clone())));
                    outcomes.push(Outcome::Stable(certificate));
                }
                Progress::Notice(notice) => outcomes.push(Outcome::Notice(notice)),
                Progress::Evidence(evidence) => outcomes.push(Outcome::Evidence(evidence)),
            },
            Effect::Fault { from, fault } => outcomes.push(Outcome::Fault { from, fault }),
        }
        None
    }

    /// What it answers its replica at once, if anything.
    fn asked(&mut self, request: Request, members: &Members, outcomes: &mut Vec<Outcome<P>>) -> Option<Reply> {
        match request {
            Request::Template { height, parent } => {
                let template = self.template(height, parent, members);
                if template.is_none() {
                    outcomes.push(Outcome::Astray(height));
                }
                return template.map(Reply::Proposal);
            }
            Request::Propose { height, parent, empty } => self.wish = Some(Wish { height, parent, empty }),
            Request::Validate(block) => {
                let timely = !P::MINES || self.chain.is_timely(&block.header, self.now.as_millis() as u64);
                let valid = timely && self.judge(&block);
                return Some(Reply::Validated { block_hash: block.header.hash(), valid });
            }
            Request::Mine(puzzle) => outcomes.push(Outcome::Mine { puzzle, height: self.proposed }),
        }
        None
    }

    /// A block to mine on top of one that is above the last decided one, or is that.
    fn template(&mut self, height: u64, parent: B256, members: &Members) -> Option<Arc<Block>> {
        let timestamp = (self.now.as_millis() as u64).max(self.chain.timestamp(parent)? + 1);
        (self.proposals, self.proposed) = (self.proposals + 1, height);
        let block = members.block_at(timestamp, (height, parent), self.me, self.proposals);
        self.judge(&block).then_some(block)
    }

    /// Appends a decided block; at a checkpoint the replica is told the state.
    fn commit(&mut self, decision: Decision, outcomes: &mut Vec<Outcome<P>>) -> Option<Reply> {
        if !self.chain.append(decision.clone()) {
            outcomes.push(Outcome::Misordered(decision));
            return None;
        }
        let height = decision.certificate.height;
        let answer = self.at_checkpoint(height);
        self.actions.push(Action::Write(Write::Block(decision.clone())));
        let requests = match (&mut self.books, self.proposing.source) {
            (Some(books), _) => match books.commit(&decision) {
                Ok(won) => won,
                Err(_) => {
                    outcomes.push(Outcome::Misordered(decision));
                    return None;
                }
            },
            (None, Source::Requests) => self.pool.decide(&decision.block),
            (None, _) => Vec::new(),
        };
        let (state, round) = (self.chain.state(), self.round);
        let open = self.books.as_ref().map(Books::races_open);
        outcomes.push(Outcome::Decided { decision, state, requests, open, round });
        if let Some(bytes) = self.proposing.reply_bytes {
            self.send(To::Client, Packet::Reply { height, bytes });
        }
        answer
    }

    /// What a replica is told of the state after a block, if it is a checkpoint.
    fn at_checkpoint(&self, height: u64) -> Option<Reply> {
        let at_checkpoint = height.is_multiple_of(dtn_consensus::CHECKPOINT_INTERVAL);
        let state_root = self.chain.state_at(height).filter(|_| at_checkpoint)?;
        Some(Reply::Checkpoint { height, state_root })
    }

    fn send(&mut self, to: To, packet: Packet<P::Message>) {
        self.actions.push(Action::Send(to, packet, self.round + 1));
    }

    fn packet(
        &mut self,
        from: ValidatorIndex,
        packet: &Packet<P::Message>,
        members: &Members,
        outcomes: &mut Vec<Outcome<P>>,
    ) {
        match packet {
            Packet::Consensus(message) => {
                self.input(Input::Message { from, message: message.clone() }, members, outcomes);
            }
            Packet::Height(theirs) => {
                self.following.heard(from, *theirs);
                if *theirs < self.chain.height() {
                    self.send(To::One(from), Packet::Height(self.chain.height()));
                }
            }
            Packet::Request(height) => {
                let blocks = self.chain.above(*height, BLOCKS_AT_ONCE).to_vec();
                if !blocks.is_empty() {
                    self.send(To::One(from), Packet::Blocks(blocks));
                }
            }
            Packet::Blocks(blocks) => self.take(from, blocks, members, outcomes),
            Packet::Transaction(request) => match &mut self.books {
                Some(books) => books.admit(request),
                None => self.pool.admit(request),
            },
            Packet::Order { above, up_to, .. } => {
                self.ordered = self.ordered.max(*up_to);
                // §4.1: who has executed a request that comes again sends its reply again.
                if let Some(bytes) = self.proposing.reply_bytes {
                    for height in *above + 1..=self.chain.height().min(*up_to) {
                        self.send(To::Client, Packet::Reply { height, bytes });
                    }
                }
                self.tell_waiting(members, outcomes);
            }
            Packet::Reply { .. } => {}
        }
    }

    /// Takes over what a peer says was decided, as far as it is certified and whole.
    fn take(&mut self, from: ValidatorIndex, blocks: &[Decision], members: &Members, outcomes: &mut Vec<Outcome<P>>) {
        let mut replies = Vec::new();
        let (mut last, mut decided) = (None, Vec::new());
        for decision in blocks {
            let header = &decision.block.header;
            if header.height <= self.chain.height() {
                continue;
            }
            let certificate = decision.certificate.clone();
            let certified = (certificate.height, certificate.block_hash) == (header.height, header.hash())
                && certificate.verify(members.domain(), members.validators()).is_ok();
            if !certified || header.height != self.chain.height() + 1 || !members.is_whole(&decision.block) {
                break;
            }
            replies.extend(self.commit(decision.clone(), outcomes));
            decided.push(certificate.block_hash);
            last = Some(certificate);
        }
        if last.is_some() {
            self.following.helped(from);
        }
        let base = self.chain.foundation();
        let caught_up = last.map(|certificate| Reply::CaughtUp { certificate, base, decided });
        for reply in caught_up.into_iter().chain(replies) {
            self.reply(reply, members, outcomes);
        }
    }

    /// A host that stands still tells its height, and who is further answers; then it asks for what it lacks.
    fn look_after_itself(&mut self, requests: Option<u64>, members: &Members, outcomes: &mut Vec<Outcome<P>>) {
        let height = self.chain.height();
        let stalled = self.last_height.replace(height) == Some(height);
        if stalled {
            self.send(To::Others, Packet::Height(height));
        }
        if let Some(peer) = stalled.then(|| self.following.ask(height)).flatten() {
            self.send(To::One(peer), Packet::Request(height));
        }
        self.requests = requests.unwrap_or_default();
        let primary = self.protocol.proposer(members, self.protocol.view(), height + 1);
        for request in self.books.as_mut().map(Books::overdue).unwrap_or_default() {
            if primary != self.me {
                self.send(To::One(primary), Packet::Transaction(request));
            }
        }
        self.tell_waiting(members, outcomes);
    }

    /// Whether the work that was done asks for a write.
    pub(crate) fn writes(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Write(_)))
    }

    /// Whether the work that was done leads to anything.
    pub(crate) fn acts(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Makes durable what is to be, and gives what may be sent then. If the power fails at one of these writes, what
    /// comes after it is never sent, and the second value is that cut.
    pub(crate) fn release(
        &mut self,
        durability: Durability,
        survival: Survival,
        rng: &mut StdRng,
    ) -> (Sends<P>, Option<Cut>) {
        let mut actions = std::mem::take(&mut self.actions);
        if durability == Durability::Together {
            actions.sort_by_key(|action| matches!(action, Action::Send(..)));
        }
        let mut sends = Vec::new();
        let mut actions = actions.into_iter().peekable();
        while let Some(action) = actions.next() {
            match action {
                Action::Send(to, packet, round) => sends.push((to, packet, round)),
                Action::Write(write) => {
                    self.disk.write(write);
                    let more = matches!(actions.peek(), Some(Action::Write(_)));
                    if durability == Durability::Together && more {
                        continue;
                    }
                    self.steps += 1;
                    let cut = self.cuts.remove(&self.steps);
                    if cut.is_none_or(|cut| cut.durable) {
                        self.disk.sync();
                    }
                    self.keep_image(When::Write { number: self.steps, durable: true });
                    if let Some(cut) = cut {
                        self.crash(survival, rng);
                        self.replace(cut.disk);
                        return (sends, Some(cut));
                    }
                }
            }
        }
        (sends, None)
    }
}

/// A write is copied once it is durable.
fn done(when: When) -> When {
    match when {
        When::At(_) => when,
        When::Write { number, .. } => When::Write { number, durable: true },
    }
}
