//! Binary agreement without clocks (Abraham, Ben-David & Yandamuri, "Efficient and Adaptively Secure Asynchronous Binary
//! Agreement via Binding Crusader Agreement", PODC 2022, eprint 2022/711): all correct replicas come to the same of two
//! values, whatever messages take and whatever f of them do.
//!
//! It goes in rounds. In each, replicas first agree half, by *binding crusader agreement*:
//!
//! 1. say *echo1* of the own value, and of the other one too after f + 1 have said it;
//! 2. a value is *approved* after n − f echo1: say *echo2* of the first one;
//! 3. say *echo3* of a value after n − f echo2 of it, or of neither once both are approved;
//! 4. come to a value after n − f echo3 of it, or to neither after any n − f echo3, once both are approved.
//!
//! Then they toss a [`Coin`]. Who came to a value keeps it, and decides it if it is the coin; who came to neither goes on with
//! the coin. Who decides says so; f + 1 who say so decide for everybody, and after n − f a replica stops.
//!
//! With n > 3f and a common coin:
//!
//! - **agreement**: no two correct replicas decide differently;
//! - **validity**: if all correct replicas begin with a value, they decide it;
//! - **binding**: when the first correct replica has come to something in a round, only one value can still be come to, so
//!   whoever then sees the coin sees it too late;
//! - **termination**: all decide, after 4 rounds on average at the worst and 2 if they begin alike.
//!
//! Of 2n − 2f > n + f echo2, two quorums share a correct replica, so no two values are said by correct replicas in echo3. Of
//! the n − f echo3 of whoever is first, f + 1 are of correct replicas: either one of them is of a value, which is the only
//! one then, or all are of neither, and no value gets n − f any more. That is why it binds. Plain crusader agreement, which
//! stops at 2, does not: who schedules messages and sees the coin keeps it undecided for ever (Tholoniat & Gramoli 2019).
//!
//! A round takes at most 4n(n − 1) messages and n(n − 1) for the coin; 3n(n − 1) and that if all begin alike.
//!
//! # Deviations
//!
//! - The paper's channels lose nothing. Here what was said in the last [`WINDOW`] rounds is said again, by a timer whose
//!   pauses double and to every channel that opens, and is durable before it leaves. A replica whose disk was lost says nothing.
//! - What is said of rounds more than [`WINDOW`] from one's own is not kept. That so many pass has a chance of 2⁻⁶⁴ with a
//!   common coin; who is so far behind waits for the others to say what they have decided.
//! - A replica whose power failed may come to something else of the same crusader agreement afterwards. It has told nobody
//!   what it came to before, so it is as if it had come to that first.

mod crusader;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use dtn_primitives::ValidatorIndex;
use serde::{Deserialize, Serialize};

use self::crusader::Crusader;
pub use self::crusader::Word;
use crate::{
    Effect, Input, Memory, Party, Protocol, Standalone, Unmet,
    coin::Coin,
    party::Resend,
    quorum::{Added, Cast, Tally},
};

/// Rounds before and after its own of which a replica keeps what it hears.
pub const WINDOW: u64 = 64;

/// The place of a share in its round.
const SHARE: u64 = 4;

/// That of a decision, and how many places a round has.
const DECIDE: u64 = 5;

/// What replicas say to each other, and what each keeps of what it has said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message<S> {
    /// In the crusader agreement of a round.
    Crusader(u64, Word),
    /// For the coin of a round.
    Share(u64, S),
    /// It has decided.
    Decide(bool),
}

impl<S> Message<S> {
    fn round(&self) -> Option<u64> {
        match self {
            Self::Crusader(round, _) | Self::Share(round, _) => Some(*round),
            Self::Decide(_) => None,
        }
    }

    /// The round, and which of the things that a replica says once in it; what it says once at all is in the last round.
    fn place(&self) -> (u64, u64) {
        match self {
            Self::Crusader(round, Word::Echo1(value)) => (*round, u64::from(*value)),
            Self::Crusader(round, Word::Echo2(_)) => (*round, 2),
            Self::Crusader(round, Word::Echo3(_)) => (*round, 3),
            Self::Share(round, _) => (*round, SHARE),
            Self::Decide(_) => (u64::MAX, DECIDE),
        }
    }
}

/// What no correct replica says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It said something else before.
    #[error("it said two things of which a correct replica says one")]
    Contradiction,
    /// Its share of a coin is none.
    #[error("its share of the coin of round {0} is none")]
    FalseShare(u64),
}

/// The rules that can be left out, to see who notices. By default none is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Crusader agreement binds; otherwise it stops at echo2.
    pub binding: bool,
    /// What is echoed was said by somebody correct.
    pub echoes_correct: bool,
    /// Both values may be echoed.
    pub forgives_echoes: bool,
    /// Who has decided goes on for the others until n − f have; otherwise it stops at once.
    pub goes_on: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { binding: true, echoes_correct: true, forgives_echoes: true, goes_on: true }
    }
}

/// What a replica has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Which of two.
    pub value: bool,
    /// The round, from 1, that it was in.
    pub round: u64,
}

/// What happened in a round.
#[derive(Debug, Clone)]
struct Round<S> {
    crusader: Crusader,
    /// What crusader agreement has come to.
    came: Option<Option<bool>>,
    shares: BTreeMap<ValidatorIndex, S>,
    /// Whose share was none.
    barred: BTreeSet<ValidatorIndex>,
    coin: Option<bool>,
}

impl<S> Default for Round<S> {
    fn default() -> Self {
        Self { crusader: Crusader::default(), came: None, shares: BTreeMap::new(), barred: BTreeSet::new(), coin: None }
    }
}

/// A replica. It is told its value by [`Input::Answer`], and decides once.
#[derive(Debug, Clone)]
pub struct Agreement<C: Coin> {
    party: Party,
    coin: C,
    rules: Rules,
    /// The round that it is in, from 1; 0 before it has a value.
    round: u64,
    rounds: BTreeMap<u64, Round<C::Share>>,
    /// What it has said, by round and place.
    said: BTreeMap<(u64, u64), Message<C::Share>>,
    decisions: Tally<Cast<bool>>,
    decided: Option<bool>,
    has_stopped: bool,
    /// Its disk was lost: it may have said anything.
    is_silent: bool,
    resend: Resend,
}

type Effects<C> = Vec<Effect<Agreement<C>>>;

impl<C: Coin> Agreement<C> {
    /// A replica with its coin, and what it made durable before.
    pub fn new(party: Party, coin: C, records: Vec<Message<C::Share>>) -> Self {
        let round = records.iter().filter_map(Message::round).max().unwrap_or(0);
        let mut new = Self {
            party,
            coin,
            rules: Rules::default(),
            round,
            rounds: BTreeMap::new(),
            said: BTreeMap::new(),
            decisions: Tally::default(),
            decided: None,
            has_stopped: false,
            is_silent: false,
            resend: Resend::default(),
        };
        let is_recent = |record: &Message<C::Share>| record.round().is_none_or(|it| round - it <= WINDOW);
        for record in records.into_iter().filter(is_recent) {
            if new.count(new.party.me, record.clone()).is_ok() {
                new.keep(record);
            }
        }
        new
    }

    /// The same with other rules, which promise nothing.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Whether the theorem is about so many replicas and faulty ones.
    pub fn assumes(n: usize, faulty: usize) -> Result<(), Unmet> {
        let theorem = "Abraham, Ben-David & Yandamuri 2022";
        let condition = "more than three times as many replicas as faulty ones";
        let unmet = Unmet { protocol: "agreement", n, faulty, theorem, condition };
        if n > 3 * faulty { Ok(()) } else { Err(unmet) }
    }

    /// What the crusader agreement of a round has come to here, if it has: for those who check that it binds.
    pub fn came_to(&self, round: u64) -> Option<Option<bool>> {
        self.rounds.get(&round)?.came
    }

    /// The coin of a round, if it has come here.
    pub fn coin_of(&self, round: u64) -> Option<bool> {
        self.rounds.get(&round)?.coin
    }

    /// The round that it is in, from 1; 0 before it has a value.
    pub fn round(&self) -> u64 {
        self.round
    }

    fn is_kept(&self, round: u64) -> bool {
        round > 0 && round.abs_diff(self.round.max(1)) <= WINDOW
    }

    fn keep(&mut self, message: Message<C::Share>) {
        self.said.insert(message.place(), message);
    }

    /// Says something to all, itself included.
    fn say(&mut self, message: Message<C::Share>, effects: &mut Effects<C>) {
        if self.is_silent {
            return;
        }
        self.keep(message.clone());
        effects.extend([Effect::Persist(message.clone()), Effect::Broadcast(message.clone())]);
        // It says each thing once, so this contradicts nothing.
        _ = self.count(self.party.me, message);
    }

    /// Counts what somebody has said, and gives the round that it is about, unless nothing follows from it.
    fn count(&mut self, by: ValidatorIndex, message: Message<C::Share>) -> Result<Option<u64>, Fault> {
        if message.round().is_some_and(|round| !self.is_kept(round)) {
            return Ok(None);
        }
        match message {
            Message::Crusader(round, word) => {
                self.rounds.entry(round).or_default().crusader.hear(by, word, self.rules)?;
                Ok(Some(round))
            }
            Message::Share(round, share) => {
                let state = self.rounds.entry(round).or_default();
                if !state.barred.contains(&by) && *state.shares.entry(by).or_insert_with(|| share.clone()) != share {
                    return Err(Fault::Contradiction);
                }
                Ok(Some(round))
            }
            Message::Decide(choice) => match self.decisions.add(Cast { by, choice }) {
                Added::Conflicting(_) => Err(Fault::Contradiction),
                _ => Ok(None),
            },
        }
    }

    /// Says what is to be said in a round that was heard of and in its own, and goes on as long as its own is over.
    fn advance(&mut self, touched: Option<u64>, effects: &mut Effects<C>) {
        let own = self.round;
        for round in touched.into_iter().chain([own]).filter(|round| (1..=own).contains(round)) {
            self.echo(round, effects);
        }
        self.follow(effects);
        while self.round > 0 && !self.has_stopped && self.end_round(effects) {
            self.follow(effects);
        }
    }

    fn echo(&mut self, round: u64, effects: &mut Effects<C>) {
        while !self.is_silent
            && let Some(word) = self.rounds.entry(round).or_default().crusader.next(&self.party, self.rules)
        {
            self.say(Message::Crusader(round, word), effects);
        }
    }

    /// Whether its round is over: crusader agreement has come to something, and then the coin has come. The next one has
    /// begun then.
    fn end_round(&mut self, effects: &mut Effects<C>) -> bool {
        let state = self.rounds.entry(self.round).or_default();
        state.came = state.came.or_else(|| state.crusader.output(&self.party, self.rules));
        let Some(came) = state.came else { return false };
        let Some(coin) = self.toss(effects) else { return false };
        if came == Some(coin) {
            self.decide(coin, effects);
        }
        if self.has_stopped {
            return false;
        }
        self.round += 1;
        let oldest = self.round.saturating_sub(WINDOW);
        self.rounds = self.rounds.split_off(&oldest);
        self.said = self.said.split_off(&(oldest, 0));
        self.say(Message::Crusader(self.round, Word::Echo1(came.unwrap_or(coin))), effects);
        self.echo(self.round, effects);
        true
    }

    /// The coin of its round, for which it says its share, and once that is enough.
    fn toss(&mut self, effects: &mut Effects<C>) -> Option<bool> {
        let round = self.round;
        let share = if self.said.contains_key(&(round, SHARE)) { None } else { self.coin.share(round) };
        share.into_iter().for_each(|share| self.say(Message::Share(round, share), effects));
        let state = self.rounds.entry(round).or_default();
        while state.coin.is_none() {
            match self.coin.combine(round, &state.shares) {
                Ok(None) => break,
                Ok(coin) => state.coin = coin,
                Err(who) if who.is_empty() => break,
                Err(who) => {
                    state.shares.retain(|by, _| !who.contains(by));
                    effects.extend(who.iter().map(|by| Effect::Fault { from: *by, fault: Fault::FalseShare(round) }));
                    state.barred.extend(who);
                }
            }
        }
        state.coin
    }

    fn decide(&mut self, value: bool, effects: &mut Effects<C>) {
        if self.decided.is_none() {
            self.decided = Some(value);
            effects.push(Effect::Output(Decided { value, round: self.round }));
            if self.rules.goes_on {
                self.say(Message::Decide(value), effects);
            } else {
                self.has_stopped = true;
            }
        }
    }

    /// Does as those who have decided, and stops once no one needs it.
    fn follow(&mut self, effects: &mut Effects<C>) {
        for value in [false, true] {
            if self.party.has_correct(self.decisions.count(value)) {
                self.decide(value, effects);
            }
            if self.party.is_quorum(self.decisions.count(value)) {
                self.has_stopped = true;
                self.rounds.clear();
                self.said.retain(|(round, _), _| *round == u64::MAX);
            }
        }
    }

    fn start(&mut self, memory: Memory) -> Effects<C> {
        self.is_silent = memory == Memory::Lost;
        let timer = Effect::SetTimer { timer: (), after: self.resend.pause() };
        let mut effects = vec![timer];
        if let Some(Message::Decide(value)) = self.said.get(&(u64::MAX, DECIDE)) {
            self.decided = Some(*value);
            effects.push(Effect::Output(Decided { value: *value, round: self.round }));
        }
        self.advance(None, &mut effects);
        effects
    }
}

impl<C: Coin> Protocol for Agreement<C> {
    type Message = Message<C::Share>;
    type Record = Message<C::Share>;
    type Timer = ();
    type Fault = Fault;
    type Ask = Infallible;
    type Answer = bool;
    type Output = Decided;

    fn handle(&mut self, input: Input<Self>) -> Vec<Effect<Self>> {
        let mut effects = Vec::new();
        match input {
            Input::Start { memory, .. } => effects = self.start(memory),
            Input::Timer(()) => {
                effects.extend(self.said.values().cloned().map(Effect::Broadcast));
                effects.push(Effect::SetTimer { timer: (), after: self.resend.pause() });
            }
            Input::Connected(to) => {
                effects.extend(self.said.values().cloned().map(|message| Effect::Send { to, message }));
            }
            Input::Answer(value) if self.round == 0 && !self.has_stopped => {
                self.round = 1;
                self.say(Message::Crusader(1, Word::Echo1(value)), &mut effects);
                self.advance(None, &mut effects);
            }
            Input::Message { from, message } if !self.has_stopped => match self.count(from, message) {
                Ok(touched) => self.advance(touched, &mut effects),
                Err(fault) => effects.push(Effect::Fault { from, fault }),
            },
            Input::Answer(_) | Input::Message { .. } => {}
        }
        effects
    }
}

impl<C: Coin> Standalone for Agreement<C> {
    const NAME: &'static str = "agreement/1";

    fn kind(message: &Self::Message) -> &'static str {
        match message {
            Message::Crusader(_, Word::Echo1(_)) => "echo1",
            Message::Crusader(_, Word::Echo2(_)) => "echo2",
            Message::Crusader(_, Word::Echo3(_)) => "echo3",
            Message::Share(..) => "share",
            Message::Decide(_) => "decide",
        }
    }

    fn slot(record: &Self::Record) -> u64 {
        let (round, place) = record.place();
        if round == u64::MAX { u64::MAX } else { round % (2 * WINDOW + 1) * DECIDE + place }
    }
}

#[cfg(test)]
mod tests;
