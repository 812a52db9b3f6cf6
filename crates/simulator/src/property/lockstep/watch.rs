//! Sees what correct peers come to in each round, and says which property that breaks.

use std::collections::{BTreeMap, BTreeSet};

use dtn_consensus::{
    Lockstep, Party,
    lockstep::{Event, History, Mode, Outcome, Output, place},
};
use dtn_primitives::ValidatorIndex;

use super::{Property, Table, choice, event};
use crate::standalone::{Oracle, Report, Verdict};

/// Choices of the victim that a liar must have known to be accused: of 24 rounds with 64 choices, chance has 8 right once in
/// 10⁸ cases.
const TOO_LUCKY: u32 = 8;

pub(super) struct Watch {
    correct: Vec<ValidatorIndex>,
    table: Table,
    observer: Party,
    /// Whether all rounds have to come to an end.
    all_come: bool,
    outcomes: BTreeMap<u64, (ValidatorIndex, Outcome)>,
    over: BTreeMap<ValidatorIndex, u64>,
    /// From which round on each has left out whom.
    excluded: BTreeMap<ValidatorIndex, BTreeMap<ValidatorIndex, u64>>,
    /// How often each liar had the victim's choice.
    wins: BTreeMap<ValidatorIndex, u32>,
    broken: BTreeMap<Property, String>,
}

impl Watch {
    pub(super) fn new(correct: Vec<ValidatorIndex>, table: Table, observer: Party, all_come: bool) -> Self {
        Self {
            correct,
            table,
            observer,
            all_come,
            outcomes: BTreeMap::new(),
            over: BTreeMap::new(),
            excluded: BTreeMap::new(),
            wins: BTreeMap::new(),
            broken: BTreeMap::new(),
        }
    }

    /// The last round that is over everywhere.
    pub(super) fn reached(&self) -> u64 {
        self.correct.iter().map(|it| self.over.get(it).copied().unwrap_or_default()).min().unwrap_or_default()
    }

    fn breaks(&mut self, property: Property, how: String) {
        self.broken.entry(property).or_insert(how);
    }

    fn see(&mut self, replica: ValidatorIndex, outcome: &Outcome) {
        let number = outcome.round;
        let over = self.over.entry(replica).or_default();
        *over = number.max(*over);
        if let Some(how) = self.is_wrong(replica, outcome) {
            self.breaks(Property::Validity, format!("{replica} in round {number}: {how}"));
        }
        match self.outcomes.get(&number) {
            Some((_, known)) if known == outcome => {}
            Some((other, _)) => {
                let how = format!("round {number} is not the same to {replica} and to {other}");
                self.breaks(Property::Agreement, how);
            }
            None => {
                self.guesses(outcome);
                self.outcomes.insert(number, (replica, outcome.clone()));
            }
        }
    }

    /// What is wrong with what a replica has come to, if anything is.
    fn is_wrong(&self, replica: ValidatorIndex, outcome: &Outcome) -> Option<String> {
        let (number, seed) = (outcome.round, self.table.seed);
        let is_bucket = matches!(self.table.config.mode, Mode::Bucket { .. });
        for peer in self.correct.iter().filter(|_| !is_bucket) {
            let own: Vec<_> = outcome.events.iter().filter(|it| it.by == *peer).map(|it| &it.data).collect();
            if own != [&event(seed, *peer, number)] {
                return Some(format!("the events of {peer} are not what it chose"));
            }
        }
        let places: Vec<_> = outcome.events.iter().map(|it| place(outcome.beacon, it.by, it.index)).collect();
        if !places.is_sorted() {
            return Some("the events are not in the order of the beacon".into());
        }
        let left_out = self.excluded.get(&replica)?;
        let kept = outcome.events.iter().find(|it| left_out.get(&it.by).is_some_and(|from| *from <= number))?;
        Some(format!("{} is excluded, and its event happens", kept.by))
    }

    /// Whether liars have the victim's choice more often than chance would have it.
    fn guesses(&mut self, outcome: &Outcome) {
        let right = choice(self.table.seed, self.table.victim, outcome.round);
        let correct: BTreeSet<_> = self.correct.iter().copied().collect();
        let wins = |it: &&Event| !correct.contains(&it.by) && it.data.get(1) == Some(&right);
        let winners: BTreeSet<_> = outcome.events.iter().filter(wins).map(|it| it.by).collect();
        for by in winners {
            let wins = self.wins.entry(by).or_default();
            *wins += 1;
            if *wins == TOO_LUCKY {
                let how = format!("by round {} {by} had known {TOO_LUCKY} choices of another", outcome.round);
                self.breaks(Property::Secrecy, how);
            }
        }
    }

    /// What was broken, now that the run is over.
    pub(super) fn end(mut self, report: &Report) -> BTreeMap<Property, String> {
        if let Verdict::Broken(how) = &report.verdict {
            self.breaks(Property::Innocence, how.clone());
        } else if self.all_come && self.reached() < self.table.config.rounds {
            self.breaks(Property::Termination, format!("round {} does not end", self.reached() + 1));
        }
        self.broken
    }
}

impl Oracle<Lockstep<History>> for Watch {
    fn comes(&mut self, replica: ValidatorIndex, output: &Output) -> Result<(), String> {
        match output {
            Output::Round(outcome) => self.see(replica, outcome),
            Output::Excluded(peer, round) => {
                self.excluded.entry(replica).or_default().insert(*peer, *round);
                if self.correct.contains(peer) {
                    self.breaks(Property::Validity, format!("{replica} excludes {peer}, which is correct"));
                }
            }
            Output::Evidence(evidence) => {
                let accused = evidence.accused();
                if self.correct.contains(&accused) || !evidence.verify(&self.observer) {
                    self.breaks(Property::Innocence, format!("{replica} has evidence against {accused}"));
                }
            }
            Output::Late(..) | Output::Dropped(..) | Output::LeftOut(..) => {}
        }
        Ok(())
    }

    fn is_content(&self) -> bool {
        self.reached() >= self.table.config.rounds
    }
}
