//! What a peer does.

use std::collections::BTreeSet;

use dtn_primitives::{B256, Bytes, ValidatorIndex};

use super::{
    AHEAD, Commit, Effects, Evidence, Fault, Gather, Lockstep, Message, Mode, Outcome, Output, Record, Reveal, State,
    Timer, exclusion::Step, round, words::group,
};
use crate::{
    Effect, Memory,
    sealed::{Opening, Place},
};

/// How often a peer is told what it asks for in a round: an answer is longer than the question.
const ANSWERS: u8 = 16;

impl<S: State> Lockstep<S> {
    pub(super) fn start(&mut self, memory: Memory, effects: &mut Effects<S>) {
        let survives = !matches!(self.config.mode, Mode::Timed { .. });
        self.is_silent = memory == Memory::Lost || (memory == Memory::Kept && !survives);
        let outcomes = std::mem::take(&mut self.outcomes).into_iter();
        effects.extend(outcomes.map(|outcome| Effect::Output(Output::Round(outcome))));
        effects.push(Effect::SetTimer { timer: Timer::Resend, after: self.resend.pause() });
        if let Mode::Bucket { tick, .. } = self.config.mode {
            effects.push(Effect::SetTimer { timer: Timer::Tick, after: tick });
        }
    }

    /// What it has said in the rounds that are kept, up to this one.
    pub(super) fn own(&self, last: u64) -> Vec<Message> {
        let me = self.party.me;
        let words = |round: &super::Round| {
            let reveal = round.view.and_then(|view| round.of(me, |it| it.view == view)).cloned();
            let commit = round.commits.get(&me).copied().map(Message::Commit);
            commit.into_iter().chain(reveal.map(|reveal| Message::Reveal(reveal.into())))
        };
        let rounds = self.rounds.range(..=last).filter(|_| !self.is_silent);
        rounds.flat_map(|(_, round)| words(round)).collect()
    }

    pub(super) fn timer(&mut self, timer: Timer, effects: &mut Effects<S>) {
        match timer {
            Timer::Resend => {
                self.say_again(effects);
                effects.push(Effect::SetTimer { timer, after: self.resend.pause() });
            }
            Timer::Deadline { round, attempt, reveals } => self.deadline((round, attempt), reveals, effects),
            Timer::Step { round, attempt, step } => {
                let steps = self.exclusions.get_mut(&(round, attempt)).map(|it| it.tick(step));
                self.pass((round, attempt), steps.unwrap_or_default(), effects);
            }
            Timer::Tick => {
                let Mode::Bucket { tick, delay } = self.config.mode else { return };
                if self.asked < self.config.rounds {
                    self.asked += 1;
                    effects.push(Effect::Ask(Gather(self.asked)));
                    effects.push(Effect::SetTimer { timer: Timer::Close(self.asked), after: delay });
                    effects.push(Effect::SetTimer { timer, after: tick });
                }
            }
            Timer::Close(round) if round == self.over + 1 => {
                let all = self.members.iter().filter_map(|by| self.rounds.get(&round)?.of(*by, |_| true));
                let all: Vec<_> = all.cloned().collect();
                self.finish(round, &all, effects);
            }
            Timer::Close(_) => {}
        }
    }

    /// If it gets no further, says again what it said in the round that does not end, and asks for what it misses: first those
    /// whose words these are, and then everybody. Links that are full are not filled with more than that.
    fn say_again(&mut self, effects: &mut Effects<S>) {
        let before = self.looked.replace(self.over);
        if before != Some(self.over) {
            self.resend = Default::default();
            self.is_stuck = false;
            return;
        }
        let next = self.over + 1;
        let own = self.own(next).into_iter().filter(|it| it.round() == next);
        effects.extend(own.map(Effect::Broadcast));
        let missing = self.missing();
        if let Some(Message::Missing { round, whom }) = missing.as_ref().filter(|_| !self.is_stuck) {
            let ask = |to: &ValidatorIndex| Effect::Send {
                to: *to,
                message: Message::Missing { round: *round, whom: vec![*to] },
            };
            effects.extend(whom.iter().map(ask));
        } else {
            effects.extend(missing.map(Effect::Broadcast));
        }
        self.is_stuck = true;
    }

    /// What it asks others for: whose words of its next round it has not heard.
    fn missing(&self) -> Option<Message> {
        let next = self.over + 1;
        let round = self.rounds.get(&next).filter(|round| round.opening.is_some())?;
        let lacks = |by: &ValidatorIndex| round.of(*by, |reveal| Some(reveal.view) == round.view).is_none();
        let whom: Vec<_> = self.waits_for().into_iter().filter(lacks).collect();
        (!self.is_silent && !whom.is_empty()).then_some(Message::Missing { round: next, whom })
    }

    pub(super) fn waits_for(&self) -> BTreeSet<ValidatorIndex> {
        if self.config.mode == Mode::Async { self.depends_on.clone() } else { self.members.clone() }
    }

    pub(super) fn attempt(&self) -> u64 {
        (self.party.n() - self.members.len()) as u64
    }

    fn place(&self, round: u64, by: ValidatorIndex) -> Place {
        let (round, by) = if self.rules.seals_place { (round, by) } else { (0, ValidatorIndex(0)) };
        Place { group: group(&self.party), round, by }
    }

    /// Takes the events that its host gives it, and commits to those of the next rounds.
    pub(super) fn gather(&mut self, number: u64, events: Vec<Bytes>, effects: &mut Effects<S>) {
        if !(self.committed + 1..=self.asked).contains(&number) || self.is_silent {
            return;
        }
        self.gathered.entry(number).or_insert(events);
        while let Some(events) = self.gathered.remove(&(self.committed + 1)) {
            self.commit(self.committed + 1, events, effects);
        }
    }

    fn commit(&mut self, number: u64, mut events: Vec<Bytes>, effects: &mut Effects<S>) {
        let (limits, given) = (self.config.limits, events.len());
        events.retain(|event| event.len() <= limits.bytes);
        events.truncate(limits.events);
        if events.len() < given {
            effects.push(Effect::Output(Output::LeftOut(number, given - events.len())));
        }
        let salt = self.salts.of(if self.rules.fresh_salts { number } else { 0 });
        let opening = Opening { salt, items: events };
        self.committed = number;
        if self.config.mode.is_bucket() {
            let reveal = Reveal::sign(&self.party, number, opening, B256::ZERO);
            effects.push(Effect::Broadcast(Message::Reveal(reveal.clone().into())));
            self.rounds.entry(number).or_default().keep(reveal);
            return;
        }
        let state = self.digests.get(&number.saturating_sub(self.config.pipeline)).copied();
        let seal = opening.seal(&self.place(number, self.party.me));
        let commit = Commit::sign(&self.party, number, seal, state.unwrap_or_default());
        let round = self.rounds.entry(number).or_default();
        round.opening = Some(opening.clone());
        round.commits.insert(self.party.me, commit);
        let outcomes = std::mem::take(&mut self.outcomes);
        if !outcomes.is_empty() {
            effects.push(Effect::Persist(Record::Over(outcomes, self.state.clone(), self.digests.clone())));
        }
        effects.push(Effect::Persist(Record::Own(commit, opening, None)));
        effects.push(Effect::Broadcast(Message::Commit(commit)));
    }

    pub(super) fn hear(
        &mut self,
        from: ValidatorIndex,
        message: Message,
        effects: &mut Effects<S>,
    ) -> Result<(), Fault> {
        if self.is_silent {
            return Ok(());
        }
        match message {
            Message::Commit(commit) => self.hear_commit(from, commit, effects),
            Message::Reveal(reveal) => self.hear_reveal(from, *reveal, effects),
            Message::Missing { round, whom } => {
                let answers = self.rounds.get_mut(&round).map(|round| round.answers.entry(from).or_default());
                if answers.is_some_and(|answers| std::mem::replace(answers, answers.saturating_add(1)) < ANSWERS) {
                    let whom: BTreeSet<_> = whom.into_iter().take(self.party.n()).collect();
                    whom.into_iter().for_each(|it| self.tell(from, round, it, effects));
                }
                Ok(())
            }
            Message::Timeout(timeout) => self.hear_timeout(timeout, effects),
            Message::Report { round, attempt, chain } => {
                if self.is_timed_in(round, attempt) {
                    let steps = self.exclusion(round, attempt).hear(from, chain);
                    let accused =
                        steps.iter().find_map(|it| if let Step::Fault(fault) = it { Some(*fault) } else { None });
                    self.pass((round, attempt), steps, effects);
                    return accused.map_or(Ok(()), Err);
                }
                Ok(())
            }
            Message::Late(round) => {
                if self.config.mode.is_bucket() && (1..=self.committed).contains(&round) {
                    effects.push(Effect::Output(Output::Dropped(from, round)));
                }
                Ok(())
            }
        }
    }

    /// Whether what is said of a round is kept.
    fn is_kept(&self, round: u64) -> bool {
        (self.oldest()..=self.over.saturating_add(AHEAD)).contains(&round) && round <= self.config.rounds
    }

    fn hear_commit(&mut self, from: ValidatorIndex, commit: Commit, effects: &mut Effects<S>) -> Result<(), Fault> {
        let Commit { round: number, by, .. } = commit;
        let known = self.rounds.get(&number).and_then(|round| round.commits.get(&by)).copied();
        if known == Some(commit) || !self.is_kept(number) || !self.members.contains(&by) {
            return Ok(());
        }
        if !commit.is_genuine(&self.party) {
            return Err(Fault::Forged(by));
        }
        let heard = self.heard.entry(by).or_default();
        *heard = number.max(*heard);
        if let Some(known) = known {
            self.prove(Evidence::TwoCommits(known, commit), number, effects);
            return if from == by { Err(Fault::TwoCommits(number)) } else { Ok(()) };
        }
        let round = self.rounds.entry(number).or_default();
        round.commits.insert(by, commit);
        // Who commits to this has seen the end of a round that has none yet here.
        let next = self.over + 1;
        let is_ahead = number > self.over + self.config.pipeline && self.config.mode != Mode::Async;
        if is_ahead && self.rounds.entry(next).or_default().asked.insert(by) {
            effects.extend(self.missing().map(|message| Effect::Send { to: by, message }));
        }
        let reveals = self.rounds.get(&number).and_then(|round| round.reveals.get(&by)).cloned();
        reveals.into_iter().flatten().for_each(|reveal| _ = self.holds(&reveal, effects));
        Ok(())
    }

    fn hear_reveal(&mut self, from: ValidatorIndex, reveal: Reveal, effects: &mut Effects<S>) -> Result<(), Fault> {
        let Reveal { round: number, by, .. } = reveal;
        if self.config.mode.is_bucket() && (number..number.saturating_add(AHEAD)).contains(&self.over) && by == from {
            effects.push(Effect::Output(Output::Late(by, number)));
            effects.push(Effect::Send { to: by, message: Message::Late(number) });
            return Ok(());
        }
        let is_known = self.rounds.get(&number).is_some_and(|round| round.has(&reveal));
        if is_known || !self.is_kept(number) || !self.members.contains(&by) {
            return Ok(());
        }
        if !reveal.fits(self.config.limits) {
            return if from == by { Err(Fault::TooLarge) } else { Ok(()) };
        }
        // Over its own channel, nobody but a peer itself shows what opens its commitment. A report needs the signature.
        let is_its_own = from == by && self.config.mode == Mode::Strict && self.opens(&reveal);
        if !is_its_own && !reveal.is_genuine(&self.party) {
            return Err(Fault::Forged(by));
        }
        let holds = self.holds(&reveal, effects);
        let round = self.rounds.entry(number).or_default();
        if from == by && !self.rules.forgives_views && round.view.is_some_and(|view| view != reveal.view) {
            return Err(Fault::FalseReveal(number));
        }
        if holds {
            round.keep(reveal);
        }
        if holds || from != by { Ok(()) } else { Err(Fault::FalseReveal(number)) }
    }

    /// Whether a reveal opens a commitment that is known.
    fn opens(&self, reveal: &Reveal) -> bool {
        let commit = self.rounds.get(&reveal.round).and_then(|round| round.commits.get(&reveal.by));
        commit.is_some_and(|it| it.seal == reveal.opening.seal(&self.place(reveal.round, reveal.by)))
    }

    /// Whether a reveal opens the commitment of its peer, as far as that is known. It is proof if it does not.
    fn holds(&mut self, reveal: &Reveal, effects: &mut Effects<S>) -> bool {
        let commit = self.rounds.get(&reveal.round).and_then(|round| round.commits.get(&reveal.by)).copied();
        let seal = reveal.opening.seal(&self.place(reveal.round, reveal.by));
        let Some(commit) = commit.filter(|commit| commit.seal != seal) else { return true };
        self.prove(Evidence::FalseReveal(commit, reveal.clone().into()), reveal.round, effects);
        false
    }

    /// Tells its host once a round that a peer lies, and its peers what shows it.
    fn prove(&mut self, evidence: Evidence, round: u64, effects: &mut Effects<S>) {
        if !self.rounds.entry(round).or_default().proven.insert(evidence.accused()) {
            return;
        }
        if let Evidence::TwoCommits(one, other) = &evidence {
            effects.extend([one, other].map(|commit| Effect::Broadcast(Message::Commit(*commit))));
        }
        effects.push(Effect::Output(Output::Evidence(evidence.into())));
    }

    /// Tells somebody what it has heard of a peer in a round.
    pub(super) fn tell(&self, to: ValidatorIndex, round: u64, whom: ValidatorIndex, effects: &mut Effects<S>) {
        let Some(round) = self.rounds.get(&round) else { return };
        let commit = round.commits.get(&whom).copied().map(Message::Commit);
        // What was not checked because it came from its own peer may be signed by nobody.
        let reveals = round.reveals.get(&whom).into_iter().flatten().filter(|it| it.is_genuine(&self.party)).cloned();
        let reveals = reveals.map(|reveal| Message::Reveal(reveal.into()));
        effects.extend(commit.into_iter().chain(reveals).map(|message| Effect::Send { to, message }));
    }

    /// Goes on as far as it gets.
    pub(super) fn advance(&mut self, effects: &mut Effects<S>) {
        if self.is_silent || self.config.mode.is_bucket() {
            return;
        }
        loop {
            self.begin(effects);
            let open: Vec<_> = self.rounds.range(self.over + 1..).map(|(round, _)| *round).collect();
            open.into_iter().for_each(|round| self.reveal(round, effects));
            if !self.end(effects) {
                return;
            }
        }
    }

    /// Asks its host for the events of the rounds that it may begin.
    fn begin(&mut self, effects: &mut Effects<S>) {
        // Whoever waits for nobody else would run away from the slowest, who may depend on it.
        let slowest = self.members.iter().filter(|it| **it != self.party.me).map(|it| self.heard.get(it).copied());
        let slowest = slowest.map(Option::unwrap_or_default).min().unwrap_or(u64::MAX);
        let ahead = if self.config.mode == Mode::Async { slowest.saturating_add(AHEAD) } else { u64::MAX };
        let last = self.over.saturating_add(self.config.pipeline).min(self.config.rounds).min(ahead);
        while self.asked < last {
            self.asked += 1;
            effects.push(Effect::Ask(Gather(self.asked)));
            self.set_deadlines(self.asked, effects);
        }
    }

    /// Whether it has revealed a round.
    fn has_revealed(&self, round: u64) -> bool {
        round <= self.over || self.rounds.get(&round).is_some_and(|round| round.view.is_some())
    }

    /// Reveals its events of a round, once it holds all commitments.
    fn reveal(&mut self, number: u64, effects: &mut Effects<S>) {
        if self.has_revealed(number) || (self.rules.in_order && !self.has_revealed(number - 1)) {
            return;
        }
        let (waits_for, is_async) = (self.waits_for(), self.config.mode == Mode::Async);
        let Some(round) = self.rounds.get(&number) else { return };
        let held = waits_for.iter().filter(|by| round.commits.contains_key(by)).count();
        let lacking = waits_for.len() - held;
        let view = match round.seals(&waits_for) {
            _ if !self.rules.waits_for_last && lacking <= 1 => B256::ZERO,
            Some(_) if is_async || !self.rules.compares_views => B256::ZERO,
            Some(view) => view,
            None => return,
        };
        let (Some(opening), Some(commit)) = (round.opening.clone(), round.commits.get(&self.party.me).copied()) else {
            return;
        };
        self.name_other_states(number, effects);
        let reveal = Reveal::sign(&self.party, number, opening.clone(), view);
        let round = self.rounds.entry(number).or_default();
        round.view = Some(view);
        round.keep(reveal.clone());
        effects.push(Effect::Persist(Record::Own(commit, opening, Some(view))));
        effects.push(Effect::Broadcast(Message::Reveal(reveal.into())));
    }

    /// Names those who have another state than more than half.
    fn name_other_states(&mut self, number: u64, effects: &mut Effects<S>) {
        if self.config.mode == Mode::Async {
            return;
        }
        let Some(round) = self.rounds.get(&number) else { return };
        let commits: Vec<_> = round.commits.values().copied().collect();
        let with = |state: B256| commits.iter().filter(move |commit| commit.state == state).copied();
        let majority =
            commits.iter().map(|commit| commit.state).find(|state| 2 * with(*state).count() > self.party.n());
        let Some(majority) = majority else { return };
        let others: Vec<_> = commits.iter().filter(|commit| commit.state != majority).copied().collect();
        for other in others {
            let evidence = Evidence::FalseState(other, with(majority).collect());
            self.prove(evidence, number, effects);
        }
    }

    /// Whether the next round is over, which it is once all that it waits for have revealed with its own view.
    fn end(&mut self, effects: &mut Effects<S>) -> bool {
        let (number, waits_for) = (self.over + 1, self.waits_for());
        let is_agreed = self.exclusions.get(&(number, self.attempt())).is_some_and(|it| it.has_begun);
        let Some(round) = self.rounds.get(&number).filter(|_| !is_agreed) else { return false };
        let Some(view) = round.view else { return false };
        let all = waits_for.iter().map(|by| round.of(*by, |reveal| reveal.view == view && self.opens(reveal)));
        if let Some(all) = all.collect::<Option<Vec<_>>>() {
            let all: Vec<_> = all.into_iter().cloned().collect();
            self.finish(number, &all, effects);
            return true;
        }
        let has_other = waits_for.iter().any(|by| round.of(*by, |reveal| reveal.view != view).is_some());
        if has_other && !round.has_shown && self.config.mode != Mode::Async {
            // Somebody was told another commitment than this peer: whoever made two of them is to be found.
            let shown: Vec<_> = round.commits.values().map(|it| Effect::Broadcast(Message::Commit(*it))).collect();
            effects.extend(shown);
            self.rounds.entry(number).or_default().has_shown = true;
        }
        false
    }

    /// A round is over with these reveals.
    pub(super) fn finish(&mut self, number: u64, all: &[Reveal], effects: &mut Effects<S>) {
        let mut all: Vec<_> = all.iter().collect();
        let excluded = self.party.validators.iter().map(|(by, _)| by).filter(|by| !self.members.contains(by));
        let kept = self.rounds.get(&number).cloned().unwrap_or_default();
        if !self.rules.drops_excluded {
            all.extend(excluded.filter_map(|by| kept.of(by, |_| true)));
            all.sort_by_key(|reveal| reveal.by);
        }
        let (beacon, events) = round::ordered(&all, self.rules.by_beacon);
        self.state.apply(number, &events);
        let outcome = Outcome { round: number, beacon, events, state: self.state.digest() };
        self.over = number;
        self.digests.insert(number, outcome.state);
        self.digests = self.digests.split_off(&number.saturating_sub(self.config.pipeline));
        let oldest = self.oldest();
        self.rounds = self.rounds.split_off(&oldest);
        self.exclusions = self.exclusions.split_off(&(oldest, 0));
        if !self.config.mode.is_bucket() {
            self.outcomes.push(outcome.clone());
        }
        effects.push(Effect::Output(Output::Round(outcome)));
    }
}
