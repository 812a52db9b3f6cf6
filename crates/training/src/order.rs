//! The phases of an order: what each takes, what ends it, and what comes next.

use std::cmp::Reverse;

use dtn_primitives::B256;

use crate::{
    call::{Call, Need, Reveal},
    grade::{Grade, Grades},
    money::Moves,
    refusal::Refusal,
    state::{Caller, Claim, Ending, Forfeit, Order, Phase, Stage, Void},
    terms::{Deal, MAX_CHALLENGES, Network, Terms},
};

/// The longest encodings of parts of a state, in bytes.
const FIXED: usize = 540;
const CLAIM: usize = 180;
const OPINION: usize = 31;
const MEMBER: usize = 128;
const CHALLENGE: usize = 60;
const ACCOUNT: usize = 21;

impl Order {
    /// Opens an order that a network admits: its reward and deposit are locked.
    pub fn open(
        id: B256,
        caller: &Caller,
        terms: &Terms,
        network: &Network,
        now_ms: u64,
    ) -> Result<(Self, Moves), Refusal> {
        let work = terms.check(network)?;
        let mut order = Self {
            id,
            requester: caller.account,
            deal: terms.deal,
            work,
            phase: Phase::Claiming,
            deadline_ms: 0,
            claims: Vec::new(),
            beacon: B256::ZERO,
            committee: Vec::new(),
            rows: None,
            forfeit: None,
            leader: None,
            held: Vec::new(),
            challenges: Vec::new(),
            wrong: Vec::new(),
            right: Vec::new(),
        };
        let mut moves = Moves::default();
        moves.lock(caller.account, caller.free, order.deal.money.reward + order.deal.money.deposit)?;
        order.enter(Phase::Claiming, now_ms);
        Ok((order, moves))
    }

    /// No encoding of such an order is longer.
    pub(crate) fn most_bytes(deal: &Deal) -> usize {
        let (claims, members) = (usize::from(deal.claims), usize::from(deal.committee));
        let bonds = usize::from(MAX_CHALLENGES) * CHALLENGE + (claims + members) * ACCOUNT;
        FIXED + claims * (CLAIM + members * OPINION) + members * MEMBER + bonds
    }

    /// Does what an account asks for at a block's time, after what is due by then. After a refusal nothing has changed.
    pub fn apply(&mut self, now_ms: u64, caller: &Caller, call: &Call) -> Result<Moves, Refusal> {
        let mut next = self.clone();
        let mut moves = next.advance(now_ms);
        match call {
            Call::Claim { commitment } => next.claim(caller, *commitment, &mut moves),
            Call::Open { rows } => next.open_rows(caller, *rows),
            Call::Reveal { claim, reveal } => next.reveal(caller, *claim, reveal),
            Call::Scores { grades, statements } => next.score(caller, grades, statements),
            Call::Trace { claim } => next.trace(caller, *claim, now_ms),
            Call::Audit { claim, statements } => next.audit(caller, *claim, statements),
            Call::Challenge { subject, path } => next.challenge(caller, *subject, path, &mut moves),
            Call::Ruling { subject, verdict } => next.rule(caller, *subject, *verdict, now_ms, &mut moves),
        }?;
        moves.extend(next.advance(now_ms));
        *self = next;
        Ok(moves)
    }

    /// Does what is due at a block's time. The host calls it for every order whose [deadline](Self::deadline_ms) is
    /// before the block's time.
    pub fn advance(&mut self, now_ms: u64) -> Moves {
        let mut moves = Moves::default();
        while !self.is_over() && (now_ms > self.deadline_ms || self.is_complete()) {
            self.pass(now_ms, &mut moves);
        }
        moves
    }

    /// What a peer has to hold, or to have computed, before it votes for a block with this call.
    pub fn needs(&self, call: &Call) -> Option<Need> {
        match call {
            Call::Open { rows } => {
                let (of, numbers) = (self.deal.holdout, self.drawn_rows());
                Some(Need::Rows { of, numbers, hash: *rows })
            }
            Call::Reveal { reveal, .. } => Some(Need::Model(reveal.model)),
            Call::Trace { claim } => self.revealed(*claim).map(Need::Trace),
            Call::Ruling { subject, verdict } => Some(Need::Ruling(*subject, *verdict)),
            Call::Claim { .. } | Call::Scores { .. } | Call::Audit { .. } | Call::Challenge { .. } => None,
        }
    }

    pub(crate) fn require(&self, call: &'static str, phases: &[Phase]) -> Result<(), Refusal> {
        let phase = self.phase;
        if phases.contains(&phase) { Ok(()) } else { Err(Refusal::NotNow { call, phase }) }
    }

    fn claim(&mut self, caller: &Caller, commitment: B256, moves: &mut Moves) -> Result<(), Refusal> {
        self.require("claim", &[Phase::Claiming])?;
        let worker = caller.account;
        if worker == self.requester {
            return Err(Refusal::OwnOrder);
        }
        // Another's commitment may be the same: whoever copies one cannot open it, and must not keep its owner out.
        let stage = Stage::Committed(commitment);
        if self.claims.iter().any(|claim| claim.worker == worker && claim.stage == stage) {
            return Err(Refusal::CommittedBefore(commitment));
        }
        moves.lock(worker, caller.free, self.deal.money.worker)?;
        let (opinions, grades, out) = (Vec::new(), None, None);
        self.claims.push(Claim { worker, stage, opinions, grades, audited: false, late: false, out });
        Ok(())
    }

    fn open_rows(&mut self, caller: &Caller, rows: B256) -> Result<(), Refusal> {
        self.require("open", &[Phase::Opening])?;
        if caller.account != self.requester {
            return Err(Refusal::NotYours { account: caller.account, role: "requester" });
        }
        self.rows = Some(rows);
        Ok(())
    }

    fn reveal(&mut self, caller: &Caller, number: u8, reveal: &Reveal) -> Result<(), Refusal> {
        self.require("reveal", &[Phase::Revealing])?;
        let (id, points, worker) = (self.id, self.work.points.max(1), caller.account);
        let unknown = Refusal::Unknown { what: "claim", number: number.into() };
        let claim = self.claims.get_mut(usize::from(number)).ok_or(unknown)?;
        if claim.worker != worker {
            return Err(Refusal::NotYours { account: worker, role: "worker of this claim" });
        }
        let Stage::Committed(committed) = claim.stage else { return Err(Refusal::Repeated { account: worker }) };
        let is = reveal.commitment(id, worker);
        if is != committed {
            return Err(Refusal::OtherCommitment { claim: number, is, committed });
        }
        if reveal.payee.is_zero() {
            return Err(Refusal::NoPayee);
        }
        if reveal.point >= points {
            return Err(Refusal::Unknown { what: "point", number: reveal.point });
        }
        claim.stage = Stage::Revealed(*reveal);
        Ok(())
    }

    fn trace(&mut self, caller: &Caller, number: u8, now_ms: u64) -> Result<(), Refusal> {
        self.require("trace", &[Phase::Tracing])?;
        let leads = self.leader == Some(number) && self.claims[usize::from(number)].worker == caller.account;
        if !leads {
            return Err(Refusal::NotYours { account: caller.account, role: "leader" });
        }
        self.enter(Phase::Auditing, now_ms);
        Ok(())
    }

    /// Begins a phase, whose time runs from now on and not from the last deadline: blocks that come late cost nobody a
    /// window.
    pub(crate) fn enter(&mut self, phase: Phase, now_ms: u64) {
        let windows = &self.deal.windows;
        let window = match phase {
            Phase::Claiming => windows.claim,
            Phase::Drawing { .. } => windows.draw,
            Phase::Opening => windows.open,
            Phase::Revealing => windows.reveal,
            Phase::Scoring => windows.score,
            Phase::Challenging => windows.challenge,
            Phase::Ruling => windows.ruling,
            Phase::Tracing => windows.trace,
            Phase::Auditing => windows.audit,
            Phase::Ended(_) => 0,
        };
        (self.phase, self.deadline_ms) = (phase, now_ms.saturating_add(window));
    }

    fn is_undisputed(&self) -> bool {
        self.open_subjects().next().is_none()
    }

    /// Whether nothing more is waited for.
    fn is_complete(&self) -> bool {
        match self.phase {
            Phase::Claiming => self.claims.len() == usize::from(self.deal.claims),
            Phase::Opening => self.rows.is_some(),
            Phase::Revealing => self.claims.iter().all(|claim| matches!(claim.stage, Stage::Revealed(_))),
            Phase::Scoring => self.committee.iter().all(|member| member.scores.is_some()),
            Phase::Auditing => self.has_all_audits(),
            Phase::Ruling => self.is_undisputed(),
            Phase::Drawing { .. } | Phase::Challenging | Phase::Tracing | Phase::Ended(_) => false,
        }
    }

    /// Ends a phase that is complete or whose time is up.
    fn pass(&mut self, now_ms: u64, moves: &mut Moves) {
        match self.phase {
            Phase::Claiming if self.claims.is_empty() => self.end(Ending::Void(Void::NoClaim), moves),
            Phase::Claiming => {
                let claims_ms = now_ms.min(self.deadline_ms);
                self.enter(Phase::Drawing { claims_ms }, now_ms);
            }
            Phase::Drawing { .. } => self.end(Ending::Void(Void::NoBeacon), moves),
            Phase::Opening => {
                self.forfeit = self.rows.is_none().then_some(Forfeit::Withheld);
                if self.rows.is_none() && self.work.fold.is_none() {
                    return self.end(Ending::Void(Void::NoRows), moves);
                }
                self.enter(Phase::Revealing, now_ms);
            }
            Phase::Revealing => {
                for claim in &mut self.claims {
                    claim.late = matches!(claim.stage, Stage::Committed(_));
                }
                if self.claims.iter().all(|claim| claim.late) {
                    return self.end(Ending::Void(Void::NoReveal), moves);
                }
                self.enter(Phase::Scoring, now_ms);
            }
            Phase::Scoring => {
                self.note_missing_scores();
                self.enter(Phase::Challenging, now_ms);
            }
            Phase::Auditing => self.enter(Phase::Challenging, now_ms),
            Phase::Tracing => {
                if let Some(claim) = self.leader.and_then(|leader| self.claims.get_mut(usize::from(leader))) {
                    claim.late = true;
                }
                self.next_leader(now_ms, moves);
            }
            Phase::Challenging | Phase::Ruling if self.is_undisputed() => self.conclude(now_ms, moves),
            Phase::Challenging => self.enter(Phase::Ruling, now_ms),
            Phase::Ruling => self.end(Ending::Void(Void::NoRuling), moves),
            Phase::Ended(_) => {}
        }
    }

    /// Goes on when no score, or no segment of the leader, is in dispute any more.
    fn conclude(&mut self, now_ms: u64, moves: &mut Moves) {
        let Some(leader) = self.leader else {
            self.settle_scores();
            return self.next_leader(now_ms, moves);
        };
        self.settle_audits(leader);
        if self.forfeit.is_none() && self.is_poisoned(&self.claims[usize::from(leader)]) {
            self.forfeit = Some(Forfeit::Poisoned);
            return self.next_leader(now_ms, moves);
        }
        self.end(Ending::Final { claim: leader }, moves);
    }

    /// Goes on with the best claim that is left, or ends.
    pub(crate) fn next_leader(&mut self, now_ms: u64, moves: &mut Moves) {
        self.forget_audits(moves);
        self.leader = self.best();
        match self.leader {
            None => self.end(Ending::Void(Void::NoneGood), moves),
            Some(claim) if self.work.segments == 0 || self.claims[usize::from(claim)].audited => {
                self.end(Ending::Final { claim }, moves);
            }
            Some(_) => self.enter(Phase::Tracing, now_ms),
        }
    }

    /// The claim that leads, if any does: the best that reaches the baseline by the rows that decide. If none does by the
    /// rows that were held out, one that does by those that everybody knows may show that the requester has poisoned the
    /// others.
    fn best(&self) -> Option<u8> {
        let hidden = |claim: &Claim| claim.grades.and_then(|grades| grades.hidden).map(|grade| (grade, self.deal.draw));
        let folds =
            |claim: &Claim| claim.grades.and_then(|grades| grades.fold).zip(self.work.fold.map(|fold| fold.rows));
        if self.forfeit.is_some() {
            return self.best_by(folds);
        }
        self.best_by(hidden).or_else(|| self.best_by(|claim| folds(claim).filter(|_| self.is_poisoned(claim))))
    }

    /// Of several, the earliest: whoever copies a model has committed to it later.
    fn best_by(&self, grade: impl Fn(&Claim) -> Option<(Grade, u32)>) -> Option<u8> {
        let Deal { baseline, classes, .. } = self.deal;
        let standing = (0u8..).zip(&self.claims).filter(|(_, claim)| !claim.late && claim.out.is_none());
        let graded = standing.filter_map(|(number, claim)| Some((number, grade(claim)?)));
        let good = graded.filter(|(_, (grade, rows))| grade.reaches(baseline, classes, *rows));
        good.max_by_key(|(number, (grade, _))| (grade.rank(), Reverse(*number))).map(|(number, _)| number)
    }

    fn is_poisoned(&self, claim: &Claim) -> bool {
        let Some((Grades { hidden: Some(hidden), fold: Some(fold) }, table)) = claim.grades.zip(self.work.fold) else {
            return false;
        };
        hidden.is_far_below(self.deal.draw, fold, table.rows, self.deal.classes)
    }

    pub(crate) fn end(&mut self, ending: Ending, moves: &mut Moves) {
        self.phase = Phase::Ended(ending);
        self.release_challenges(moves);
        moves.paid.extend(self.settlement());
    }
}

#[cfg(test)]
mod tests {
    use dtn_primitives::{Address, codec};

    use super::*;
    use crate::{
        Beacon, Challenge, Fault, MAX_AMOUNT, MAX_CLAIMS, MAX_COMMITTEE, MAX_SEGMENTS, Member, Money, Opinion, Out,
        Subject, Table, Windows, Work,
    };

    const TIME: u64 = u64::MAX;

    fn deal(claims: u8, committee: u8) -> Deal {
        let table = Table { root: B256::ZERO, rows: 1_000_000 };
        let [reward, deposit, worker, member, bond] = [MAX_AMOUNT; 5];
        let [claim, draw, open, reveal, score, challenge, ruling, trace, audit] = [TIME; 9];
        Deal {
            classes: u16::MAX,
            holdout: table,
            draw: 1_000_000,
            baseline: dtn_train::Fraction(u32::MAX),
            money: Money { reward, deposit, worker, member, bond },
            windows: Windows { claim, draw, open, reveal, score, challenge, ruling, trace, audit },
            claims,
            committee,
            redundancy: committee,
            beacon: Beacon::Block,
        }
    }

    /// With everything in it that may be, as long as it may be.
    fn largest(claims: u8, committee: u8) -> Order {
        let table = Table { root: B256::ZERO, rows: 1_000_000 };
        let account = Address::ZERO;
        let grade = Some(Grade { correct: 1_000_000, loss: u64::MAX });
        let grades = Grades { hidden: grade, fold: grade };
        let fault = Fault::NoWork { claim: MAX_CLAIMS, segment: Some(MAX_SEGMENTS) };
        let out = Some(Out { fault, by: Some(account) });
        let (model, trace, point, attempt) = (B256::ZERO, B256::ZERO, 255, u16::MAX);
        let reveal = Reveal { model, trace, point, attempt, payee: account };
        let claim = Claim {
            worker: account,
            stage: Stage::Revealed(reveal),
            opinions: vec![Opinion { grades, members: u16::MAX }; committee.into()],
            grades: Some(grades),
            audited: true,
            late: true,
            out,
        };
        let (scores, audit) = (Some(B256::ZERO), Some(B256::ZERO));
        let member = Member { account, scores, audit, macs: u64::MAX, late: u8::MAX, out };
        let (segment, number) = (MAX_SEGMENTS, MAX_COMMITTEE);
        let subject = Subject::Audited { claim: MAX_CLAIMS, segment, member: number, statement: B256::ZERO };
        let work = Work {
            fold: Some(table),
            points: 256,
            segments: MAX_SEGMENTS,
            training: u64::MAX,
            segment: u64::MAX,
            evaluation: u64::MAX,
        };
        Order {
            id: B256::ZERO,
            requester: account,
            deal: deal(claims, committee),
            work,
            phase: Phase::Drawing { claims_ms: TIME },
            deadline_ms: TIME,
            claims: vec![claim; claims.into()],
            beacon: B256::ZERO,
            committee: vec![member; committee.into()],
            rows: Some(B256::ZERO),
            forfeit: Some(Forfeit::Poisoned),
            leader: Some(MAX_CLAIMS),
            held: vec![u8::MAX; usize::from(MAX_SEGMENTS) / 8],
            challenges: vec![Challenge { subject, by: account }; MAX_CHALLENGES.into()],
            wrong: Vec::new(),
            right: vec![account; usize::from(claims) + usize::from(committee)],
        }
    }

    #[test]
    fn the_longest_state_is_hardly_shorter_than_what_an_order_is_admitted_for() {
        for (claims, committee) in [(1, 1), (16, 7), (MAX_CLAIMS, MAX_COMMITTEE)] {
            let (is, most) =
                (codec::encoded_len(&largest(claims, committee)), Order::most_bytes(&deal(claims, committee)));
            assert!(is <= most && is * 100 >= most * 97, "{claims} claims, {committee} members: {is} of {most}");
        }
    }
}
