//! What accounts do at the beginning of each phase, each by its strategy.

use dtn_training::{Call, Grade, Grades, Phase, Stage, Subject, statement_path};
use rand::Rng;

use super::{
    game::{Deed, Game, Said},
    strategy::{Role, Strategy, Tactic},
    truth::{invented, shown},
};

/// So many views' time takes what is only said, what takes an evaluation, and what takes a training.
const SAID: [u64; 2] = [0, 0];
const EVALUATED: [u64; 2] = [0, 1];
const TRAINED: [u64; 2] = [1, 2];

impl Game<'_> {
    /// A phase begins.
    pub(super) fn react(&mut self) {
        match self.order.phase() {
            Phase::Claiming => self.claim_all(),
            Phase::Opening => {
                let requester = self.cast.requester;
                if self.strategy(requester, Role::Requester) != Strategy::RowWithholder {
                    let rows = dtn_primitives::keccak256(self.order.id());
                    self.plan(requester, SAID, Deed::Call(Call::Open { rows }));
                }
            }
            Phase::Revealing => self.reveal_all(),
            Phase::Scoring => (0..self.order.committee().len()).for_each(|place| self.score(place)),
            Phase::Tracing => {
                let leader = self.order.leader().unwrap_or_default();
                let run = &self.runs[usize::from(leader)];
                if run.strategy != Strategy::Withholder {
                    self.plan(run.worker, SAID, Deed::Call(Call::Trace { claim: leader }));
                }
            }
            Phase::Auditing => self.audit_all(),
            Phase::Challenging => self.check_statements(),
            Phase::Drawing { .. } | Phase::Ruling | Phase::Ended(_) => {}
        }
    }

    fn claim_all(&mut self) {
        let (id, workers) = (self.order.id(), self.cast.workers.len());
        for claim in 0..workers {
            let worker = self.runs[claim].worker;
            let commitment = self.reveal_of(claim).commitment(id, super::bank::address(worker));
            self.plan(worker, TRAINED, Deed::Call(Call::Claim { commitment }));
        }
    }

    /// Claims have the numbers in which they came into blocks: from here on, so have runs.
    fn reveal_all(&mut self) {
        let id = self.order.id();
        let claims = self.order.claims();
        let runs = claims.iter().filter_map(|claim| {
            let Stage::Committed(commitment) = claim.stage else { return None };
            let is = |run: &&super::truth::Run| run.reveal.commitment(id, claim.worker) == commitment;
            self.runs.iter().find(is).cloned()
        });
        self.runs = runs.collect();
        for claim in 0..self.runs.len() {
            let run = &self.runs[claim];
            let quits = run.colludes && self.setup.tactic == Tactic::Quit && !self.is_safe(claim);
            if run.strategy != Strategy::ClaimSpammer && !quits {
                let (worker, reveal) = (run.worker, run.reveal);
                self.plan(worker, SAID, Deed::Call(Call::Reveal { claim: claim as u8, reveal }));
            }
        }
    }

    /// What a member has to say about the claims: all that is true.
    fn scores(&self, place: usize) -> (Vec<Grades>, Said) {
        let numbers = self.order.scored_claims();
        let grades = numbers.iter().map(|claim| self.runs[usize::from(*claim)].grades(&self.order)).collect();
        let statements = numbers.iter().map(|claim| shown(&self.order, place, *claim as u8, None)).collect();
        (grades, Said { numbers, statements, worked: true })
    }

    fn score(&mut self, place: usize) {
        let Some(member) = self.member(place) else { return };
        let (mut grades, said) = self.scores(place);
        match self.strategy(member, Role::Member) {
            Strategy::Idle => return,
            Strategy::ScoreCopier => return self.put(member, self.market.view_ms, Deed::Copy),
            Strategy::Liar => {
                let best = |grade: Grade| Grade { correct: grade.correct.max(self.market.terms.deal.draw), loss: 0 };
                if let Some(last) = grades.last_mut() {
                    *last = Grades { hidden: last.hidden.map(best), fold: last.fold.map(best) };
                }
            }
            _ => {}
        }
        let macs = self.market.work.evaluation * grades.len() as u64;
        self.works(member, macs);
        self.plan(member, EVALUATED, Deed::Call(Call::Scores { grades, statements: said.statements.clone() }));
        self.said.insert((place, false), said);
    }

    /// Who does no work waits for who does, and says the same; what only the work shows it has to invent.
    pub(super) fn copy(&mut self, copier: usize) -> Result<(), String> {
        if self.order.phase() != Phase::Scoring {
            return Ok(());
        }
        let committee = self.order.committee();
        let Some(place) = (0..committee.len()).find(|place| self.member(*place) == Some(copier)) else { return Ok(()) };
        let stated = |place: &usize| committee[*place].scores.is_some();
        let Some(other) = (0..committee.len()).find(stated) else {
            self.put(copier, self.interval_ms(), Deed::Copy);
            return Ok(());
        };
        let numbers = self.order.scored_claims();
        let copied = |claim: &u16| {
            let mut opinions = self.order.claims()[usize::from(*claim)].opinions.iter();
            opinions.find(|opinion| opinion.members >> other & 1 == 1).map(|opinion| opinion.grades)
        };
        let grades: Vec<_> = numbers.iter().filter_map(copied).collect();
        let statements = self.said.get(&(other, false)).map(|said| said.statements.clone()).unwrap_or_default();
        if self.call(copier, Call::Scores { grades: grades.clone(), statements })? {
            return Err("P8: statements that were copied are taken".into());
        }
        let statements: Vec<_> = numbers.iter().map(|claim| invented(&self.order, place, *claim)).collect();
        self.said.insert((place, false), Said { numbers, statements: statements.clone(), worked: false });
        self.call(copier, Call::Scores { grades, statements })?;
        Ok(())
    }

    fn audit_all(&mut self) {
        let Some(leader) = self.order.leader() else { return };
        let claim = usize::from(leader);
        self.said.retain(|(_, about_segments), _| !about_segments);
        (0..self.order.committee().len()).for_each(|place| self.audit(place, leader));
        let false_segment = self.runs[claim].falsehoods.clone().next();
        let challenge = |segment| {
            Deed::Call(Call::Challenge { subject: Subject::Segment { claim: leader, segment }, path: Vec::new() })
        };
        if let Some(segment) = false_segment {
            if self.setup.watched {
                self.plan(self.accounts.len(), TRAINED, challenge(segment));
            }
            let run = &self.runs[claim];
            if run.colludes && self.setup.tactic == Tactic::Denounce && !self.is_safe(claim) {
                self.put(run.worker, 0, challenge(segment));
            }
        }
        if self.setup.watched {
            self.bank.compute(self.accounts.len(), self.market.work.training);
        }
        let is_member = |one: &usize| (0..self.order.committee().len()).any(|place| self.member(place) == Some(*one));
        if let Some(spammer) = self.cast.spammer.filter(|spammer| !is_member(spammer)) {
            let segment = self.rng.random_range(0..self.market.work.segments);
            if !self.runs[claim].falsehoods.contains(&segment) && self.bank.gain(spammer) == 0 {
                self.plan(spammer, SAID, challenge(segment));
            }
        }
    }

    fn audit(&mut self, place: usize, leader: u8) {
        let segments = self.order.segments_of(place);
        let (Some(member), member_state) = (self.member(place), &self.order.committee()[place]) else { return };
        if member_state.out.is_some() || segments.is_empty() {
            return;
        }
        let run = &self.runs[usize::from(leader)];
        let macs = self.market.work.segment * segments.len() as u64;
        let false_segment = segments.iter().copied().find(|segment| run.falsehoods.contains(segment));
        let accomplice = run.colludes && self.colludes(member);
        let strategy = self.strategy(member, Role::Member);
        let said = |worked: bool| {
            let state = |segment: &u16| match worked {
                true => shown(&self.order, place, leader, Some(*segment)),
                false => invented(&self.order, place, *segment),
            };
            Said { statements: segments.iter().map(state).collect(), numbers: segments.clone(), worked }
        };
        let said = match strategy {
            Strategy::Idle => return,
            Strategy::Lazy | Strategy::ScoreCopier => said(false),
            // What is said of a claim that falls costs a stake, and silence about it nothing.
            _ if accomplice && !self.is_safe(leader.into()) => return,
            _ => said(true),
        };
        if said.worked {
            self.works(member, macs);
            if let Some(segment) = false_segment.filter(|_| !accomplice) {
                let subject = Subject::Segment { claim: leader, segment };
                return self.plan(member, TRAINED, Deed::Call(Call::Challenge { subject, path: Vec::new() }));
            }
        }
        let statements = said.statements.clone();
        self.said.insert((place, true), said);
        self.plan(member, TRAINED, Deed::Call(Call::Audit { claim: leader, statements }));
    }

    /// All have spoken. Who has done the same work knows what it shows, and challenges what somebody has invented; who looks
    /// on has done all of it.
    fn check_statements(&mut self) {
        let about_segments = self.order.leader().is_some();
        let watcher = self.accounts.len();
        if self.setup.watched && !about_segments {
            let claims = self.order.scored_claims();
            self.bank.compute(watcher, self.market.work.evaluation * claims.len() as u64);
            self.check_scores(watcher);
        }
        for place in 0..self.order.committee().len() {
            let member = &self.order.committee()[place];
            let stated = if about_segments { member.audit } else { member.scores };
            let said = self.said.get(&(place, about_segments));
            let is_lie = |said: &&Said| !said.worked && stated.is_some() && member.out.is_none();
            let Some(said) = said.filter(is_lie) else { continue };
            let seen = |number: &u16| Some((*number, self.witness(place, about_segments, *number)?));
            let Some((number, by)) = said.numbers.iter().find_map(seen) else { continue };
            let Some(path) = statement_path(&said.numbers, &said.statements, number) else { continue };
            let at = said.numbers.iter().position(|one| *one == number).unwrap_or_default();
            let (member, statement) = (place as u8, said.statements[at]);
            let subject = match self.order.leader() {
                Some(claim) => Subject::Audited { claim, segment: number, member, statement },
                None => Subject::Evaluated { claim: number as u8, member, statement },
            };
            self.plan(by, SAID, Deed::Call(Call::Challenge { subject, path }));
        }
    }

    /// Who knows what the work shows that a member has to have done: another honest one that has done it, or who looks on.
    fn witness(&self, place: usize, about_segments: bool, number: u16) -> Option<usize> {
        let knows = |other: &usize| {
            let said = self.said.get(&(*other, about_segments));
            *other != place && said.is_some_and(|said| said.worked && said.numbers.contains(&number))
        };
        let members = (0..self.order.committee().len()).filter(knows).filter_map(|other| self.member(other));
        let mut honest = members.filter(|member| self.strategy(*member, Role::Member) == Strategy::Honest);
        honest.next().or_else(|| self.setup.watched.then_some(self.accounts.len()))
    }

    /// Scores that nobody denies, and that are not so. What members deny by themselves is open without a bond.
    fn check_scores(&mut self, by: usize) {
        for claim in self.order.scored_claims() {
            let claim = claim as u8;
            let is = self.runs[usize::from(claim)].grades(&self.order);
            let wrong = self.order.claims()[usize::from(claim)].opinions.iter().any(|opinion| opinion.grades != is);
            let subject = Subject::Score { claim };
            if wrong && self.order.open_subjects().all(|open| open != subject) {
                self.plan(by, SAID, Deed::Call(Call::Challenge { subject, path: Vec::new() }));
            }
        }
    }

    fn works(&mut self, member: usize, macs: u64) {
        self.effort.checking += macs;
        self.bank.compute(member, macs);
    }
}
