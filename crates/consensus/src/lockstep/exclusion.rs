//! Who is left out of a round that does not end, agreed by broadcasts in lock step.
//!
//! Whoever has waited for a peer until the deadline says so and signs it. With f + 1 who have, one of whom is correct, each
//! peer broadcasts a *report* by [`DolevStrong`]: the reveals with which the round is over, if it has them, and the timeouts
//! that it has heard of. All correct peers come to the same reports, so they come to the same conclusion: the round is
//! over if one of them shows it, and otherwise everybody is excluded whom f + 1 in one of them accuse.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dtn_primitives::{Bytes, ValidatorIndex, codec};
use serde::{Deserialize, Serialize};

use super::{
    Effects, Fault, Lockstep, Message, Mode, Output, State, Timer, deadlines,
    round::view,
    words::{Reveal, Timeout},
};
use crate::{
    DolevStrong, Effect, Input, Party, Protocol, SignatureChain,
    dolev_strong::Begin,
    signature_chain::{ChainError, MAX_VALUE},
};

/// What a peer knows of a round.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Report {
    /// Those of all, if it has them: then the round is over.
    pub(super) reveals: Vec<Reveal>,
    /// The timeouts that it has heard of.
    pub(super) timeouts: Vec<Timeout>,
}

/// What reports come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The round is over, with these.
    Over(Vec<Reveal>),
    /// These are left out.
    Without(BTreeSet<ValidatorIndex>),
}

/// One attempt at ending a round.
#[derive(Debug)]
pub(super) struct Exclusion {
    timeouts: BTreeMap<(ValidatorIndex, ValidatorIndex), Timeout>,
    /// By sender.
    broadcasts: Vec<DolevStrong>,
    reports: BTreeMap<ValidatorIndex, Option<Bytes>>,
    pub(super) has_begun: bool,
    has_ended: bool,
}

/// What a broadcast has its host do.
pub(super) enum Step {
    Send(ValidatorIndex, SignatureChain),
    Timer(usize, Duration),
    Fault(Fault),
}

impl Exclusion {
    pub(super) fn new(party: &Party, (round, attempt): (u64, u64), delta: Duration) -> Self {
        let digest = party.digest(super::NAME, &("report", round, attempt));
        let instance = digest.as_slice()[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let sub = Party { instance, ..party.clone() };
        let broadcast = |(sender, _)| DolevStrong::new(sub.clone(), sender, delta);
        let broadcasts = party.validators.iter().map(broadcast).collect();
        Self { timeouts: BTreeMap::new(), broadcasts, reports: BTreeMap::new(), has_begun: false, has_ended: false }
    }

    pub(super) fn has(&self, timeout: &Timeout) -> bool {
        self.timeouts.contains_key(&(timeout.accused, timeout.by))
    }

    /// Keeps a timeout; gives those that are enough, if this is the one that makes them so.
    pub(super) fn accuse(&mut self, timeout: Timeout, party: &Party) -> Option<Vec<Timeout>> {
        self.timeouts.insert((timeout.accused, timeout.by), timeout);
        let enough = self.enough(party);
        (!self.has_begun && !enough.is_empty()).then_some(enough)
    }

    /// Of each whom f + 1 accuse, so many timeouts.
    fn enough(&self, party: &Party) -> Vec<Timeout> {
        let against = |accused: ValidatorIndex| self.timeouts.values().filter(move |it| it.accused == accused);
        let accused: BTreeSet<_> = self.timeouts.keys().map(|(accused, _)| *accused).collect();
        let enough = accused.into_iter().filter(|it| party.has_correct(against(*it).count()));
        enough.flat_map(|it| against(it).take(party.faulty + 1).copied()).collect()
    }

    /// Whether peers broadcast what they know now.
    pub(super) fn is_under_way(&self) -> bool {
        self.has_begun && !self.has_ended
    }

    /// Whether all reports are there, which it says once.
    pub(super) fn is_ending(&mut self) -> bool {
        let is_over = self.reports.len() == self.broadcasts.len();
        is_over && !std::mem::replace(&mut self.has_ended, true)
    }

    /// Begins to broadcast what this peer knows.
    pub(super) fn begin(&mut self, party: &Party, reveals: Vec<Reveal>) -> Vec<Step> {
        self.has_begun = true;
        let timeouts = if reveals.is_empty() { self.enough(party) } else { Vec::new() };
        let report = codec::encode(&Report { reveals, timeouts });
        let mut steps = Vec::new();
        for sender in 0..self.broadcasts.len() {
            let value = (sender == party.me.as_usize()).then(|| report.clone().into());
            steps.extend(self.pass(sender, Input::Answer(Begin(value))));
        }
        steps
    }

    /// Takes what somebody says in one of the broadcasts.
    pub(super) fn hear(&mut self, from: ValidatorIndex, message: SignatureChain) -> Vec<Step> {
        let sender = message.links.first().map(|(sender, _)| sender.as_usize());
        match sender.filter(|sender| *sender < self.broadcasts.len()) {
            Some(sender) => self.pass(sender, Input::Message { from, message }),
            None => vec![Step::Fault(ChainError::NotOfTheSender.into())],
        }
    }

    /// A step of the broadcasts is over.
    pub(super) fn tick(&mut self, step: usize) -> Vec<Step> {
        (0..self.broadcasts.len()).flat_map(|sender| self.pass(sender, Input::Timer(step))).collect()
    }

    fn pass(&mut self, sender: usize, input: Input<DolevStrong>) -> Vec<Step> {
        let mut steps = Vec::new();
        for effect in self.broadcasts[sender].handle(input) {
            match effect {
                Effect::Send { to, message } => steps.push(Step::Send(to, message)),
                // All begin together, so one clock is enough.
                Effect::SetTimer { timer, after } if sender == 0 => steps.push(Step::Timer(timer, after)),
                Effect::Fault { fault, .. } => steps.push(Step::Fault(fault.into())),
                Effect::Output(report) => _ = self.reports.insert(ValidatorIndex(sender as u16), report),
                _ => {}
            }
        }
        steps
    }

    /// What the reports come to.
    pub(super) fn verdict(
        &self,
        round: u64,
        attempt: u64,
        party: &Party,
        members: &BTreeSet<ValidatorIndex>,
    ) -> Verdict {
        let decoded = |value: &Bytes| codec::decode::<Report>(value, MAX_VALUE).ok();
        let reports: Vec<_> = self.reports.values().flatten().filter_map(decoded).collect();
        if let Some(report) = reports.iter().find(|report| shows_the_end(&report.reveals, round, party, members)) {
            return Verdict::Over(report.reveals.clone());
        }
        let is_valid = |it: &&Timeout| (it.round, it.attempt) == (round, attempt) && it.is_genuine(party);
        let accused = |report: &Report| -> Vec<_> {
            let timeouts: BTreeMap<_, _> =
                report.timeouts.iter().filter(is_valid).map(|it| ((it.accused, it.by), ())).collect();
            let against = |accused: &ValidatorIndex| timeouts.keys().filter(|(whom, _)| whom == accused).count();
            members.iter().copied().filter(|member| party.has_correct(against(member))).collect()
        };
        Verdict::Without(reports.iter().flat_map(accused).collect())
    }
}

impl<S: State> Lockstep<S> {
    /// Begins to wait for a round, with those who are left.
    pub(super) fn set_deadlines(&self, round: u64, effects: &mut Effects<S>) {
        let Mode::Timed { deadline } = self.config.mode else { return };
        let attempt = self.attempt();
        effects.extend(deadlines(deadline).map(|(reveals, after)| {
            let timer = Timer::Deadline { round, attempt, reveals };
            Effect::SetTimer { timer, after }
        }));
    }

    pub(super) fn is_timed_in(&self, round: u64, attempt: u64) -> bool {
        let is_under_way = (self.oldest()..=self.over + 1).contains(&round) && attempt >= self.attempt();
        matches!(self.config.mode, Mode::Timed { .. }) && is_under_way && attempt <= self.party.faulty as u64
    }

    pub(super) fn exclusion(&mut self, round: u64, attempt: u64) -> &mut Exclusion {
        let (party, step) = (&self.party, self.config.mode.step());
        self.exclusions.entry((round, attempt)).or_insert_with(|| Exclusion::new(party, (round, attempt), step))
    }

    /// Accuses those who keep the next round from its end.
    pub(super) fn deadline(&mut self, (number, attempt): (u64, u64), reveals: bool, effects: &mut Effects<S>) {
        let is_agreeing = self.exclusions.values().any(Exclusion::is_under_way);
        if self.is_silent || number != self.over + 1 || attempt != self.attempt() || is_agreeing {
            return;
        }
        let round = self.rounds.entry(number).or_default();
        let lie = |by: &&ValidatorIndex| !round.commits.contains_key(by) || round.proven.contains(by);
        let mut accused: Vec<_> = self.members.iter().filter(lie).copied().collect();
        if accused.is_empty() && reveals {
            let lacks = |by: &&ValidatorIndex| round.of(**by, |it| Some(it.view) == round.view).is_none();
            accused = self.members.iter().filter(lacks).copied().collect();
        }
        accused.retain(|it| *it != self.party.me);
        for accused in accused {
            let timeout = Timeout::sign(&self.party, number, attempt, accused);
            effects.push(Effect::Broadcast(Message::Timeout(timeout)));
            self.accuse(timeout, effects);
        }
        if let (true, Mode::Timed { deadline }) = (reveals, self.config.mode) {
            let timer = Timer::Deadline { round: number, attempt, reveals };
            effects.push(Effect::SetTimer { timer, after: deadline });
        }
    }

    pub(super) fn hear_timeout(&mut self, timeout: Timeout, effects: &mut Effects<S>) -> Result<(), Fault> {
        let Timeout { round, attempt, accused, by, .. } = timeout;
        if !self.is_timed_in(round, attempt) || self.party.validators.get(accused).is_none() {
            return Ok(());
        }
        if self.exclusion(round, attempt).has(&timeout) {
            return Ok(());
        }
        if !timeout.is_genuine(&self.party) {
            return Err(Fault::Forged(by));
        }
        self.tell(by, round, accused, effects);
        self.accuse(timeout, effects);
        Ok(())
    }

    fn accuse(&mut self, timeout: Timeout, effects: &mut Effects<S>) {
        let Timeout { round: number, attempt, .. } = timeout;
        let party = self.party.clone();
        let enough = self.exclusion(number, attempt).accuse(timeout, &party);
        let Some(enough) = enough.filter(|_| self.rules.excludes) else { return };
        effects.extend(enough.into_iter().map(|it| Effect::Broadcast(Message::Timeout(it))));
        let mut reveals = Vec::new();
        if number <= self.over
            && let Some(round) = self.rounds.get(&number)
        {
            let all = self.members.iter().map(|by| round.of(*by, |it| Some(it.view) == round.view).cloned());
            reveals = all.collect::<Option<Vec<_>>>().unwrap_or_default();
        }
        let steps = self.exclusion(number, attempt).begin(&party, reveals);
        self.pass((number, attempt), steps, effects);
    }

    /// Does what the broadcasts of reports have it do, and what they come to.
    pub(super) fn pass(&mut self, (round, attempt): (u64, u64), steps: Vec<Step>, effects: &mut Effects<S>) {
        for step in steps {
            match step {
                Step::Send(to, chain) => {
                    effects.push(Effect::Send { to, message: Message::Report { round, attempt, chain } });
                }
                Step::Timer(step, after) => {
                    let timer = Timer::Step { round, attempt, step };
                    effects.push(Effect::SetTimer { timer, after });
                }
                Step::Fault(_) => {}
            }
        }
        if !self.exclusions.get_mut(&(round, attempt)).is_some_and(Exclusion::is_ending) {
            return;
        }
        if round != self.over + 1 || attempt != self.attempt() {
            // Who was in that round until now begins the next one only now.
            self.set_deadlines(self.over + 1, effects);
            return;
        }
        let Some(exclusion) = self.exclusions.get(&(round, attempt)) else { return };
        match exclusion.verdict(round, attempt, &self.party, &self.members) {
            Verdict::Over(all) => {
                all.iter().for_each(|reveal| self.rounds.entry(round).or_default().keep(reveal.clone()));
                self.finish(round, &all, effects);
            }
            Verdict::Without(accused) => self.exclude(round, &accused, effects),
        }
    }

    /// Goes on without these, from this round on.
    fn exclude(&mut self, number: u64, accused: &BTreeSet<ValidatorIndex>, effects: &mut Effects<S>) {
        if accused.is_empty() {
            self.exclusions.remove(&(number, self.attempt()));
        }
        self.members.retain(|member| !accused.contains(member));
        effects.extend(accused.iter().map(|it| Effect::Output(Output::Excluded(*it, number))));
        self.is_silent |= !self.members.contains(&self.party.me);
        for round in self.rounds.range_mut(number..).map(|(_, round)| round) {
            round.view = None;
        }
        self.set_deadlines(number, effects);
    }
}

/// Whether these are the reveals of all members, with one view, which is that of their own seals.
fn shows_the_end(reveals: &[Reveal], round: u64, party: &Party, members: &BTreeSet<ValidatorIndex>) -> bool {
    let seals: Vec<_> = reveals.iter().map(|reveal| (reveal.by, reveal.seal(party))).collect();
    let view = view(&seals);
    reveals.iter().map(|reveal| reveal.by).eq(members.iter().copied())
        && reveals.iter().all(|it| (it.round, it.view) == (round, view) && it.is_genuine(party))
}
