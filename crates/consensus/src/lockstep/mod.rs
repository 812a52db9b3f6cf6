//! Rounds of events in lock step: what each peer causes in a round is one list, which all commit to before anybody shows one.
//!
//! In each round a peer signs `Commit(group, r, H(salt ‖ events ‖ group ‖ r ‖ peer), H(state after r − 1))`. Once it holds
//! the commitments of all it signs `Reveal(salt, events)`. The round is over when all have revealed. Its events happen in the
//! order of keccak(beacon ‖ peer ‖ index), where the beacon is the hash of all reveals: nobody chooses its place. The state in
//! a commitment names whoever has another one. (Baughman & Levine, "Cheat-proof playout for centralized and distributed
//! online games", INFOCOM 2001; with Liberatore, IEEE/ACM ToN 15(1), 2007.)
//!
//! | mode | a round waits | a round takes | who stops it |
//! |---|---|---|---|
//! | [`strict`](Mode::Strict) | for all | 2 one-way times and what its events take | anybody |
//! | [`timed`](Mode::Timed) | for all until a deadline | the same; after a deadline f + 2 more | nobody: who is silent is excluded |
//! | [`bucket`](Mode::Bucket) | for nobody | a fixed delay | nobody; what is late is dropped, and its peer is told |
//! | [`async`](Mode::Async) | for those whom a peer depends on | as strict, for these | those whom it depends on |
//!
//! With [`Config::pipeline`] p, round r begins when round r − p is over, so p rounds take the time of one (Lee, Kozlowski,
//! Lenaker & Jamin, "Synchronization and Cheat-Proofing Protocol for Real-Time Multiplayer Games", 2002). Rounds are revealed
//! in their order.
//!
//! In strict mode with any f < n, and in timed mode with n > 2f, if messages take less than an eighth of a deadline:
//!
//! - **agreement**: no two correct peers come to different events, or another order, in a round;
//! - **validity**: the events of correct peers are in every round, unchanged; those of the excluded are in none from then on;
//! - **secrecy**: nobody knows anything of a correct peer's events before it has committed to its own of that round;
//! - **termination**: strict if nobody is faulty, timed in any case: every round comes to an end.
//!
//! Agreement holds although a liar commits to two things, since each reveal names, by a hash, all commitments that its peer
//! holds: with two correct peers that hold different ones a round does not end.
//!
//! # Exclusion
//!
//! In timed mode who has waited in vain signs a timeout. Such words also ask for what is missing, and whoever has it says
//! it. When f + 1 have waited for the same peer, all broadcast what they know (Dolev & Strong 1983) and conclude the same:
//! see `exclusion.rs`. NEO (GauthierDickey, Zappala, Lo & Marr, NOSSDAV 2004) has a majority say who was in time; a majority that
//! does not agree on when it says so splits, which is why there is a broadcast here.
//!
//! # Evidence
//!
//! [`Evidence`] can be shown to anybody who knows the group: two commitments of a round; a reveal that does not open its
//! commitment; a state that more than half have otherwise.
//!
//! # Deviations
//!
//! - The papers' channels lose nothing. Here a peer that gets no further says again what it said last, asks for what it
//!   misses, and does both for every channel that opens. What it said is durable before it leaves.
//! - In timed mode a peer that was down is faulty, as in any synchronous protocol, and says nothing more.
//! - In async mode peers that do not depend on each other come to different things, so there are no state hashes and no
//!   hashes of commitments; two commitments are found when they meet. Nobody runs more than [`AHEAD`] rounds ahead.
//! - Buckets (Gautier & Diot, "Design and Evaluation of MiMaze, a Multi-Player Game on the Internet", 1998) have no
//!   commitments and promise no agreement.

mod config;
mod exclusion;
mod peer;
mod round;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dtn_primitives::{B256, Bytes, ValidatorIndex};
use serde::{Deserialize, Serialize};

pub use config::{AHEAD, Config, History, Limits, MAX_PIPELINE, Mode, State};
pub use round::{Event, Outcome, place, view};
pub use words::{Commit, Evidence, Fault, Message, Reveal, Timeout, group};

use self::{exclusion::Exclusion, round::Round, words::NAME};
use crate::{
    Effect, Input, Party, Protocol, Standalone,
    party::Resend,
    sealed::{Opening, Salts},
};

/// The rules that can be left out, to see who notices. By default none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A peer reveals when it holds all commitments; otherwise when it holds all but one.
    pub waits_for_last: bool,
    /// Each round has a salt of its own.
    pub fresh_salts: bool,
    /// A seal names its round and its peer.
    pub seals_place: bool,
    /// Events happen in the order of the beacon; otherwise in that of their peers.
    pub by_beacon: bool,
    /// The events of the excluded do not happen.
    pub drops_excluded: bool,
    /// Rounds are revealed in their order.
    pub in_order: bool,
    /// A reveal names the commitments that its peer holds, and a round is over if all name the same.
    pub compares_views: bool,
    /// Who was told other commitments is no liar: somebody may have made two.
    pub forgives_views: bool,
    /// Who is waited for in vain is excluded.
    pub excludes: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            waits_for_last: true,
            fresh_salts: true,
            seals_place: true,
            by_beacon: true,
            drops_excluded: true,
            in_order: true,
            compares_views: true,
            forgives_views: true,
            excludes: true,
        }
    }
}

/// What a peer keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Record<S> {
    /// What it has said in a round: its events, its commitment, and what it has revealed with.
    Own(Commit, Opening, Option<B256>),
    /// What came of the last rounds, the state after them, and the digests of the states after each. It is kept with the
    /// commitment that rests on it: the others still have whatever came after.
    Over(Vec<Outcome>, S, BTreeMap<u64, B256>),
}

/// The timers of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// It says again what it said, if it gets no further.
    Resend,
    /// A deadline of a round: for commitments, or for reveals.
    Deadline {
        /// The round.
        round: u64,
        /// How many were excluded before.
        attempt: u64,
        /// The second one.
        reveals: bool,
    },
    /// A step of the broadcast by which an exclusion is agreed.
    Step {
        /// The round.
        round: u64,
        /// How many were excluded before.
        attempt: u64,
        /// Which one.
        step: usize,
    },
    /// The next bucket begins.
    Tick,
    /// A bucket is over.
    Close(u64),
}

/// Its host is to give the peer's own events of a round, when it likes: until then the others wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gather(pub u64);

/// What a host says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its own events of a round.
    Events(u64, Vec<Bytes>),
    /// From the next round on it depends on these only, in async mode.
    DependsOn(BTreeSet<ValidatorIndex>),
}

/// What a peer comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A round is over.
    Round(Outcome),
    /// A peer is left out, from this round on.
    Excluded(ValidatorIndex, u64),
    /// Somebody lies, or has lost its state.
    Evidence(Box<Evidence>),
    /// Events of this peer and round came too late, and were dropped.
    Late(ValidatorIndex, u64),
    /// That peer has dropped this one's events of a round, which came too late.
    Dropped(ValidatorIndex, u64),
    /// The host gave more events of a round, or longer ones, than there may be: so many were left out.
    LeftOut(u64, usize),
}

/// A peer.
#[derive(Debug)]
pub struct Lockstep<S> {
    party: Party,
    config: Config,
    rules: Rules,
    salts: Salts,
    state: S,
    /// Those of the states after the last rounds.
    digests: BTreeMap<u64, B256>,
    /// The last round that is over.
    over: u64,
    /// What came of rounds since a record of it was kept.
    outcomes: Vec<Outcome>,
    /// The last round whose events its host was asked for.
    asked: u64,
    /// Events of rounds that it cannot commit to before it has those of an earlier one.
    gathered: BTreeMap<u64, Vec<Bytes>>,
    /// The last round that it has committed to.
    committed: u64,
    /// The last round that each has committed to.
    heard: BTreeMap<ValidatorIndex, u64>,
    members: BTreeSet<ValidatorIndex>,
    depends_on: BTreeSet<ValidatorIndex>,
    rounds: BTreeMap<u64, Round>,
    exclusions: BTreeMap<(u64, u64), Exclusion>,
    /// It was down where it may not be, or its disk was lost.
    is_silent: bool,
    /// The last round that was over when it last looked whether it gets further.
    looked: Option<u64>,
    /// It got no further then.
    is_stuck: bool,
    resend: Resend,
}

type Effects<S> = Vec<Effect<Lockstep<S>>>;

impl<S: State> Lockstep<S> {
    /// A peer whose events change this state from the first round on, with what it made durable before.
    pub fn new(party: Party, config: Config, state: S, records: Vec<Record<S>>) -> Self {
        let members: BTreeSet<_> = party.validators.iter().map(|(index, _)| index).collect();
        let mut new = Self {
            salts: Salts::new(&party, NAME),
            digests: BTreeMap::from([(0, state.digest())]),
            depends_on: members.clone(),
            party,
            config,
            rules: Rules::default(),
            state,
            over: 0,
            outcomes: Vec::new(),
            asked: 0,
            gathered: BTreeMap::new(),
            committed: 0,
            heard: BTreeMap::new(),
            members,
            rounds: BTreeMap::new(),
            exclusions: BTreeMap::new(),
            is_silent: false,
            looked: None,
            is_stuck: false,
            resend: Resend::default(),
        };
        new.recall(records);
        new
    }

    /// The same with other rules, which promise nothing.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    fn recall(&mut self, records: Vec<Record<S>>) {
        let mut own = Vec::new();
        for record in records {
            match record {
                Record::Own(commit, opening, view) => own.push((commit, opening, view)),
                Record::Over(outcomes, state, digests) => {
                    self.over = outcomes.last().map_or(0, |outcome| outcome.round);
                    (self.outcomes, self.state, self.digests) = (outcomes, state, digests);
                }
            }
        }
        let oldest = self.oldest();
        for (commit, opening, view) in own.into_iter().filter(|(commit, ..)| commit.round >= oldest) {
            let round = self.rounds.entry(commit.round).or_default();
            if let Some(view) = view {
                round.keep(Reveal::sign(&self.party, commit.round, opening.clone(), view));
            }
            round.commits.insert(self.party.me, commit);
            (round.opening, round.view) = (Some(opening), view);
            self.committed = self.committed.max(commit.round);
        }
        self.committed = self.committed.max(self.over);
        self.asked = self.committed;
    }

    /// The oldest round of which anything is kept.
    fn oldest(&self) -> u64 {
        let kept = if self.config.mode == Mode::Async { AHEAD } else { self.config.pipeline };
        (self.over + 1).saturating_sub(kept).max(1)
    }

    /// The last round that is over.
    pub fn over(&self) -> u64 {
        self.over
    }

    /// The state after it.
    pub fn state(&self) -> &S {
        &self.state
    }
}

impl<S: State> Protocol for Lockstep<S> {
    type Message = Message;
    type Record = Record<S>;
    type Timer = Timer;
    type Fault = Fault;
    type Ask = Gather;
    type Answer = Answer;
    type Output = Output;

    fn handle(&mut self, input: Input<Self>) -> Effects<S> {
        let mut effects = Vec::new();
        match input {
            Input::Start { memory, .. } => self.start(memory, &mut effects),
            Input::Connected(to) => {
                self.rounds.values_mut().for_each(|round| _ = round.answers.remove(&to));
                effects.extend(self.own(u64::MAX).into_iter().map(|message| Effect::Send { to, message }));
            }
            Input::Timer(timer) => self.timer(timer, &mut effects),
            Input::Answer(Answer::Events(round, events)) => self.gather(round, events, &mut effects),
            Input::Answer(Answer::DependsOn(whom)) => {
                self.depends_on = whom.into_iter().filter(|it| self.members.contains(it)).collect();
                self.depends_on.insert(self.party.me);
            }
            Input::Message { from, message } => {
                if let Err(fault) = self.hear(from, message, &mut effects) {
                    effects.push(Effect::Fault { from, fault });
                }
            }
        }
        self.advance(&mut effects);
        effects
    }
}

impl<S: State> Standalone for Lockstep<S> {
    const NAME: &'static str = NAME;

    fn kind(message: &Message) -> &'static str {
        match message {
            Message::Commit(_) => "commit",
            Message::Reveal(_) => "reveal",
            Message::Missing { .. } => "missing",
            Message::Timeout(_) => "timeout",
            Message::Report { .. } => "report",
            Message::Late(_) => "late",
        }
    }

    fn slot(record: &Record<S>) -> u64 {
        match record {
            Record::Own(commit, ..) => commit.round % (AHEAD + 2 * MAX_PIPELINE),
            Record::Over(..) => u64::MAX,
        }
    }
}

/// How long until the deadlines of a round.
fn deadlines(deadline: Duration) -> [(bool, Duration); 2] {
    [(false, deadline), (true, deadline.saturating_mul(2))]
}

#[cfg(test)]
mod tests;
