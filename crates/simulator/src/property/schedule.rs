//! Binary agreement under somebody who plans when each message arrives, and lies as one replica or two.
//!
//! A network by chance hardly ever finds the few orders of messages on which a theorem rests. Here a scheduler knows the
//! protocol, delivers what it likes when it likes, and in each round delivers everything in the end. It sees whatever
//! correct replicas know.

use std::collections::BTreeMap;

use dtn_consensus::{
    Agreement, Coin, Effect, Input, Party, Protocol,
    agreement::{Decided, Message, Word},
};
use dtn_primitives::ValidatorIndex;
use serde::Serialize;

use super::{Case, Ideal, Mutant, Property, case::Scheduled};
use crate::Members;

/// What somebody who schedules messages among four replicas plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// Two come to neither value and reveal the coin; then the third is to come to the value that is not the coin. Roles
    /// rotate (Tholoniat & Gramoli, "Formal Verification of Blockchain Byzantine Fault Tolerance", 2019).
    CoinReader,
    /// One is to come to what the coin will not be, and two to neither: for whoever knows the coin before it is tossed.
    Clairvoyant,
    /// One is to decide, and then the others the other value, by a coin made of false shares.
    ShareForger,
    /// As the first, by two liars.
    TwoLiars,
}

impl Course {
    /// How many of the four replicas lie.
    pub fn liars(self) -> usize {
        if self == Self::TwoLiars { 2 } else { 1 }
    }
}

type Said<C> = Message<<C as Coin>::Share>;

/// Replicas, and what they have said to each other that has not arrived.
#[derive(Debug, Clone)]
struct Board<C: Coin> {
    replicas: Vec<Agreement<C>>,
    /// Those of all four.
    coins: Vec<C>,
    flight: Vec<(usize, usize, Said<C>)>,
    decided: Vec<Option<Decided>>,
    accused: Option<String>,
}

impl<C: Coin + Clone> Board<C> {
    fn new(case: &Case, correct: usize, coin: impl Fn(&Party) -> C) -> Self {
        let members = Members::new(case.n(), std::time::Duration::ZERO);
        let parties: Vec<_> = (0..case.n()).map(|me| case.party(&members, ValidatorIndex(me as u16))).collect();
        let coins: Vec<_> = parties.iter().map(&coin).collect();
        let create =
            |(party, coin): (_, &C)| Agreement::new(party, coin.clone(), Vec::new()).with_rules(case.agreement_rules());
        let replicas = parties.into_iter().zip(&coins).take(correct).map(create).collect();
        let mut board = Self { replicas, coins, flight: Vec::new(), decided: vec![None; correct], accused: None };
        for who in 0..correct {
            board.give(who, Input::Answer(case.values[who]));
        }
        board
    }

    fn correct(&self) -> usize {
        self.replicas.len()
    }

    fn give(&mut self, to: usize, input: Input<Agreement<C>>) {
        for effect in self.replicas[to].handle(input) {
            match effect {
                Effect::Broadcast(message) => {
                    let others = (0..self.correct()).filter(|other| *other != to);
                    self.flight.extend(others.map(|other| (to, other, message.clone())));
                }
                Effect::Output(decided) => _ = self.decided[to].get_or_insert(decided),
                Effect::Fault { from, fault } if from.as_usize() < self.correct() => {
                    self.accused = Some(format!("{to} accuses {from}, which is correct: {fault}"));
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self, from: usize, to: usize, message: Said<C>) {
        self.give(to, Input::Message { from: ValidatorIndex(from as u16), message });
    }

    /// Delivers what is under way to a replica and wanted, and what follows from it.
    fn deliver(&mut self, to: usize, wants: impl Fn(usize, &Said<C>) -> bool) {
        let mut index = 0;
        while index < self.flight.len() {
            let (from, receiver, message) = &self.flight[index];
            if *receiver == to && wants(*from, message) {
                let (from, _, message) = self.flight.remove(index);
                self.hear(from, to, message);
            } else {
                index += 1;
            }
        }
    }

    /// These say this to one of the others: the correct ones if they have said it, the liars in any case.
    fn say(&mut self, round: u64, from: &[usize], to: usize, word: Word) {
        for from in from {
            let message = Message::Crusader(round, word);
            if *from < self.correct() {
                self.deliver(to, |by, said| by == *from && *said == message);
            } else {
                self.hear(*from, to, message);
            }
        }
    }

    /// The shares of these of a round's coin come to one of the others.
    fn toss(&mut self, round: u64, from: &[usize], to: usize) {
        for from in from {
            if *from < self.correct() {
                self.deliver(to, |by, said| by == *from && matches!(said, Message::Share(of, _) if *of == round));
            } else if let Some(share) = self.coins[*from].share(round) {
                self.hear(*from, to, Message::Share(round, share));
            }
        }
    }

    /// Everything that was said up to a round arrives.
    fn flush(&mut self, round: u64) {
        let is_due = |said: &Said<C>| match said {
            Message::Crusader(of, _) | Message::Share(of, _) => *of <= round,
            Message::Decide(_) => true,
        };
        while self.flight.iter().any(|(.., said)| is_due(said)) {
            (0..self.correct()).for_each(|to| self.deliver(to, |_, said| is_due(said)));
        }
    }

    /// What a replica goes into a round with.
    fn value(&self, who: usize, round: u64, case: &Case) -> bool {
        let before = round - 1;
        let (came, coin) = (self.replicas[who].came_to(before), self.replicas[who].coin_of(before));
        came.flatten().or(coin).unwrap_or(case.values[who])
    }

    /// What a replica has come to in a round, apart from the coin.
    fn came(&self, who: usize, round: u64) -> Option<Option<bool>> {
        self.replicas[who].came_to(round)
    }
}

/// In which parts the three correct replicas are: one whose value another has too, the one that has the other value, and
/// the third. `None` if all have one value.
fn parts<C: Coin + Clone>(board: &Board<C>, round: u64, case: &Case) -> Option<([usize; 3], bool)> {
    let values: Vec<_> = (0..3).map(|who| board.value(who, round, case)).collect();
    let heads = values.iter().filter(|value| **value).count();
    let many = heads >= 2;
    let odd = (0..3).find(|who| values[*who] != many)?;
    let mut pair = (0..3).filter(|who| *who != odd);
    Some(([pair.next()?, odd, pair.next()?], many))
}

/// The liar.
const B: usize = 3;

/// Two replicas, x and y, come to neither, and reveal the coin; s, whose value is x's, has heard nothing.
fn reveal<C: Coin + Clone>(board: &mut Board<C>, round: u64, [x, y, s]: [usize; 3], many: bool) {
    let (a, b) = (Word::Echo1(many), Word::Echo1(!many));
    board.say(round, &[s, B], x, a);
    board.say(round, &[y, B], x, b);
    board.say(round, &[x, B], y, b);
    board.say(round, &[x, s, B], y, a);
    for (from, to) in [(x, y), (y, x)] {
        board.say(round, &[from, B], to, Word::Echo3(None));
    }
    for (from, to) in [(x, y), (y, x)] {
        board.toss(round, &[from, B], to);
    }
}

/// The third one is to come to this.
fn lead<C: Coin + Clone>(board: &mut Board<C>, round: u64, [x, y, s]: [usize; 3], target: bool) {
    board.say(round, &[x, y, B], s, Word::Echo1(target));
    board.say(round, &[x, y, B], s, Word::Echo2(target));
    board.say(round, &[x, y, B], s, Word::Echo3(Some(target)));
}

/// What the third one comes to, if the scheduler would have it come to this.
fn led<C: Coin + Clone>(board: &Board<C>, round: u64, parts: [usize; 3], target: bool) -> Option<Option<bool>> {
    let mut fork = board.clone();
    lead(&mut fork, round, parts, target);
    fork.flush(round);
    fork.came(parts[2], round)
}

/// Whether both values can still be come to, although somebody has come to something.
fn is_open<C: Coin + Clone>(board: &Board<C>, round: u64, parts: [usize; 3]) -> bool {
    let open = |target| led(board, round, parts, target) == Some(Some(target));
    board.came(parts[0], round).is_some() && open(false) && open(true)
}

fn read_coin<C: Coin + Clone>(board: &mut Board<C>, round: u64, (parts, many): ([usize; 3], bool)) -> bool {
    reveal(board, round, parts, many);
    let is_open = is_open(board, round, parts);
    let target = !board.replicas[parts[0]].coin_of(round).unwrap_or(many);
    lead(board, round, parts, target);
    board.toss(round, &[parts[0], parts[1], B], parts[2]);
    is_open
}

/// One replica comes to this, and the others to neither: which one is the first of those that are given.
fn divide<C: Coin + Clone>(
    board: &mut Board<C>,
    round: u64,
    ([x, y, s], many): ([usize; 3], bool),
    target: bool,
) -> [usize; 3] {
    // p has the target from the beginning, and q echoes it, because the liar does too.
    let [p, q, r] = if many == target { [x, s, y] } else { [y, x, s] };
    let (t, u) = (Word::Echo1(target), Word::Echo1(!target));
    board.say(round, &[p, B], q, t);
    board.say(round, &[q, B], p, t);
    for (from, to) in [(p, q), (q, p)] {
        board.say(round, &[from, B], to, Word::Echo2(target));
    }
    for to in [p, q] {
        board.say(round, &[q, p, r, B], to, u);
    }
    board.say(round, &[p, q, B], r, t);
    board.say(round, &[p, q, B], r, u);
    board.say(round, &[p, r, B], q, u);
    board.say(round, &[q, B], p, Word::Echo3(Some(target)));
    board.say(round, &[r, B], q, Word::Echo3(None));
    board.say(round, &[q, B], r, Word::Echo3(Some(target)));
    board.say(round, &[B], r, Word::Echo3(None));
    [p, q, r]
}

/// The liar's false share of a round's coin, the share of a later one, with which those that these two have make this
/// coin. None, where shares are verified.
fn false_share<C: Coin + Clone>(board: &Board<C>, round: u64, of: [usize; 2], wanted: bool) -> Option<C::Share> {
    let own = |who: usize| Some((ValidatorIndex(who as u16), board.coins[who].share(round)?));
    let honest: BTreeMap<_, _> = of.into_iter().filter_map(own).collect();
    let candidates = (round + 1..round + 9).filter_map(|other| board.coins[B].share(other));
    candidates.into_iter().find(|share| {
        let mut shares = honest.clone();
        shares.insert(ValidatorIndex(B as u16), share.clone());
        board.coins[B].combine(round, &shares) == Ok(Some(wanted))
    })
}

/// Two come to a coin that the liar chooses with a false share, if it has one.
fn forge<C: Coin + Clone>(board: &mut Board<C>, round: u64, [q, r]: [usize; 2], wanted: bool) {
    let share = false_share(board, round, [q, r], wanted);
    for (from, to) in [(q, r), (r, q)] {
        board.toss(round, &[from], to);
        if let Some(share) = share.clone() {
            board.hear(B, to, Message::Share(round, share));
        }
    }
}

/// One comes to a value and sees the true coin; the others come to neither, and to the coin that is the other value. If that
/// one has decided, the others decide what they have, by themselves.
fn betray<C: Coin + Clone>(board: &mut Board<C>, round: u64, parts: ([usize; 3], bool), target: bool) {
    let [p, q, r] = divide(board, round, parts, target);
    forge(board, round, [q, r], !target);
    board.toss(round, &[q, r, B], p);
    let next = round + 1;
    if board.decided[p].is_none() || [q, r].iter().any(|who| board.replicas[*who].round() < next) {
        return;
    }
    for word in [Word::Echo1(!target), Word::Echo2(!target), Word::Echo3(Some(!target))] {
        board.say(next, &[r, B], q, word);
        board.say(next, &[q, B], r, word);
    }
    forge(board, next, [q, r], !target);
}

/// Two liars have one come to neither, and then the other to either value.
fn outnumber<C: Coin + Clone>(board: &mut Board<C>) -> bool {
    let liars = [2, 3];
    for value in [false, true] {
        board.say(1, &liars, 0, Word::Echo1(value));
    }
    board.say(1, &liars, 0, Word::Echo3(None));
    let open = |target: bool| {
        let mut fork = board.clone();
        for word in [Word::Echo1(target), Word::Echo2(target), Word::Echo3(Some(target))] {
            fork.say(1, &liars, 1, word);
        }
        fork.came(1, 1) == Some(Some(target))
    };
    board.came(0, 1) == Some(None) && open(false) && open(true)
}

/// Plays what is planned, and says what was broken, and in which round the first decided.
pub(super) fn play(case: &Case, scheduled: Scheduled) -> (BTreeMap<Property, String>, u64) {
    let guess = case.setting.seed;
    if scheduled.course == Course::ShareForger {
        return play_with(case, scheduled, case.threshold_coin(), |round| guess >> (round % 64) & 1 == 1);
    }
    let (coin, knows) = (case.ideal_coin(), case.mutant == Some(Mutant::AgreementCoinKnown));
    let any = Ideal::new(case.secret(), ValidatorIndex(B as u16), case.n());
    let target = |round| if knows { !any.ahead(round) } else { guess >> (round % 64) & 1 == 1 };
    play_with(case, scheduled, coin, target)
}

/// The same with a coin, and what the scheduler would have come to in a round, before it has seen anything of it.
fn play_with<C: Coin + Clone>(
    case: &Case,
    scheduled: Scheduled,
    coin: impl Fn(&Party) -> C,
    target: impl Fn(u64) -> bool,
) -> (BTreeMap<Property, String>, u64) {
    let mut board = Board::new(case, case.n() - scheduled.course.liars(), coin);
    let mut broken = BTreeMap::new();
    let open = |round: u64| format!("in round {round} both values can be come to after the first output");
    if scheduled.course == Course::TwoLiars {
        if outnumber(&mut board) {
            broken.insert(Property::Binding, open(1));
        }
        return (broken, 0);
    }
    let mut round = 0;
    while round < scheduled.rounds && board.decided.iter().any(Option::is_none) {
        round += 1;
        if let Some(parts) = parts(&board, round, case) {
            match scheduled.course {
                Course::ShareForger => betray(&mut board, round, parts, target(round)),
                Course::Clairvoyant => {
                    let all = divide(&mut board, round, parts, target(round));
                    all.into_iter().for_each(|to| board.toss(round, &[0, 1, 2, B], to));
                }
                Course::CoinReader | Course::TwoLiars => {
                    if read_coin(&mut board, round, parts) {
                        broken.entry(Property::Binding).or_insert_with(|| open(round));
                    }
                }
            }
        }
        board.flush(round);
    }
    judge(case, &board, &mut broken);
    (broken, board.decided.iter().flatten().map(|decided| decided.round).min().unwrap_or(0))
}

/// A round at whose beginning nothing is decided, and everything can still happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bivalent {
    /// The round, from 1.
    pub round: u64,
    /// What each correct replica goes into it with.
    pub values: Vec<bool>,
    /// In which round all have decided false if messages fall one way from here on, and true if they fall another.
    pub decides: [u64; 2],
}

/// From here on messages for a value arrive first, and everything else after them. The round in which all have decided it.
fn favour<C: Coin + Clone>(board: &Board<C>, round: u64, value: bool) -> Option<u64> {
    let mut fork = board.clone();
    let all: Vec<_> = (0..fork.correct()).collect();
    for word in [Word::Echo1(value), Word::Echo2(value), Word::Echo3(Some(value))] {
        // What is heard first has others say it.
        for to in all.iter().chain(&all) {
            let from: Vec<_> = all.iter().copied().filter(|from| from != to).chain([B]).collect();
            fork.say(round, &from, *to, word);
        }
    }
    let last = (round..round + UNLIKELY).find(|now| {
        fork.flush(*now);
        fork.decided.iter().all(Option::is_some)
    })?;
    fork.decided.iter().flatten().all(|decided| decided.value == value).then_some(last)
}

/// Rounds in which a coin shows both sides, but for one time in 2⁶⁴.
const UNLIKELY: u64 = 64;

/// What no deterministic agreement can escape, and no other that does not bind: from each round that begins undecided messages may
/// fall so that all decide false, or true, or so that the next one begins undecided (Fischer, Lynch & Paterson, JACM 32, 1985).
/// The rounds in which it was so, of so many.
pub fn bivalent(rounds: u64) -> Vec<Bivalent> {
    let mut case = Case::calm(super::Textbook::Agreement, 4, 0);
    (case.values, case.mutant) = (vec![true, false, true, true], Some(Mutant::AgreementNotBinding));
    let mut board = Board::new(&case, 3, case.ideal_coin());
    let mut found = Vec::new();
    for round in 1..=rounds {
        let Some(parts) = parts(&board, round, &case) else { break };
        let values = (0..3).map(|who| board.value(who, round, &case)).collect();
        let (Some(no), Some(yes)) = (favour(&board, round, false), favour(&board, round, true)) else { break };
        found.push(Bivalent { round, values, decides: [no, yes] });
        read_coin(&mut board, round, parts);
        board.flush(round);
    }
    found
}

fn judge<C: Coin + Clone>(case: &Case, board: &Board<C>, broken: &mut BTreeMap<Property, String>) {
    let values: Vec<_> = board.decided.iter().flatten().map(|decided| decided.value).collect();
    if values.len() < board.correct() {
        broken.insert(Property::Termination, format!("undecided in round {}", board.replicas[0].round()));
    }
    if values.windows(2).any(|pair| pair[0] != pair[1]) {
        broken.insert(Property::Agreement, format!("they decide {values:?}"));
    }
    let begun = &case.values[..board.correct()];
    if begun.iter().all(|value| *value == begun[0]) && values.iter().any(|value| *value != begun[0]) {
        broken.insert(Property::Validity, format!("all begin with {}, and one decides the other", begun[0]));
    }
    if let Some(accused) = &board.accused {
        broken.insert(Property::Innocence, accused.clone());
    }
}
