//! Disputes: what opens a subject, and what follows from what all peers have found out about it.

use dtn_primitives::{Address, B256};

use crate::{
    call::{Subject, Verdict, is_stated},
    grade::Grades,
    money::{Moves, Why},
    refusal::Refusal,
    state::{Caller, Challenge, Fault, Order, Out, Phase},
    terms::MAX_CHALLENGES,
};

/// What a ruling means for who has challenged.
enum Found {
    /// Somebody has lost a stake.
    False,
    /// It is as it was stated.
    True,
    /// Whoever stated it had lost its stake already.
    Nothing,
}

impl Subject {
    fn member(&self) -> Option<u8> {
        match self {
            Self::Evaluated { member, .. } | Self::Audited { member, .. } => Some(*member),
            Self::Score { .. } | Self::Segment { .. } => None,
        }
    }
}

impl Order {
    /// What waits for a ruling: what somebody challenges; and when all have spoken, what members contradict each other
    /// about or too few have stated.
    pub fn open_subjects(&self) -> impl Iterator<Item = Subject> + '_ {
        let challenged = self.challenges.iter().map(|challenge| challenge.subject);
        let all_spoke = matches!(self.phase, Phase::Challenging | Phase::Ruling);
        let scores = self.scored_claims().into_iter().filter(move |_| all_spoke && self.leader.is_none());
        let unclear = scores.filter(|claim| self.settled(&self.claims[usize::from(*claim)]).is_none());
        let unclear = unclear.map(|claim| Subject::Score { claim: claim as u8 });
        let leader = self.leader.filter(|_| all_spoke);
        let segments = leader.into_iter().flat_map(|claim| {
            let open = (0..self.work.segments).filter(|segment| !self.is_covered(*segment) && !self.is_held(*segment));
            open.map(move |segment| Subject::Segment { claim, segment })
        });
        let unstaked = |subject: &Subject| self.challenges.iter().all(|challenge| challenge.subject != *subject);
        challenged.chain(unclear.chain(segments).filter(unstaked))
    }

    fn is_held(&self, segment: u16) -> bool {
        let byte = self.held.get(usize::from(segment / 8));
        byte.is_some_and(|byte| byte >> (segment % 8) & 1 == 1)
    }

    pub(crate) fn challenge(
        &mut self,
        caller: &Caller,
        subject: Subject,
        path: &[B256],
        moves: &mut Moves,
    ) -> Result<(), Refusal> {
        match self.leader {
            None => self.require("challenge", &[Phase::Challenging])?,
            Some(_) => self.require("challenge", &[Phase::Auditing, Phase::Challenging])?,
        }
        self.check_subject(subject, path)?;
        if self.open_subjects().any(|open| open == subject) {
            return Err(Refusal::AlreadyOpen(subject));
        }
        if self.challenges.len() + self.wrong.len() >= usize::from(MAX_CHALLENGES) {
            return Err(Refusal::TooManyChallenges);
        }
        moves.lock(caller.account, caller.free, self.deal.money.bond)?;
        self.challenges.push(Challenge { subject, by: caller.account });
        Ok(())
    }

    /// Whether there is such a thing, and it is not settled.
    fn check_subject(&self, subject: Subject, path: &[B256]) -> Result<(), Refusal> {
        let unknown = |what, number| Refusal::Unknown { what, number };
        match subject {
            Subject::Score { claim } | Subject::Evaluated { claim, .. } => {
                if self.leader.is_some() || self.revealed(claim).is_none() {
                    return Err(unknown("claim", claim.into()));
                }
                let is_ruled = self.claims[usize::from(claim)].grades.is_some() && subject.member().is_none();
                if is_ruled {
                    return Err(Refusal::Settled(subject));
                }
            }
            Subject::Segment { claim, segment } | Subject::Audited { claim, segment, .. } => {
                if self.leader != Some(claim) {
                    return Err(unknown("claim", claim.into()));
                }
                if segment >= self.work.segments {
                    return Err(unknown("segment", segment));
                }
                if self.is_held(segment) && subject.member().is_none() {
                    return Err(Refusal::Settled(subject));
                }
            }
        }
        let (member, number, statement, is_audit) = match subject {
            Subject::Evaluated { claim, member, statement } => (member, claim.into(), statement, false),
            Subject::Audited { segment, member, statement, .. } => (member, segment, statement, true),
            Subject::Score { .. } | Subject::Segment { .. } => return Ok(()),
        };
        let standing = self.committee.get(usize::from(member)).filter(|member| member.out.is_none());
        let standing = standing.ok_or_else(|| unknown("member", member.into()))?;
        let root = if is_audit { standing.audit } else { standing.scores };
        let stated = root.is_some_and(|root| is_stated(root, number, statement, path));
        if stated { Ok(()) } else { Err(Refusal::NotStated { member }) }
    }

    pub(crate) fn rule(
        &mut self,
        caller: &Caller,
        subject: Subject,
        verdict: Verdict,
        now_ms: u64,
        moves: &mut Moves,
    ) -> Result<(), Refusal> {
        self.require("ruling", &[Phase::Auditing, Phase::Challenging, Phase::Ruling])?;
        if !caller.validator {
            return Err(Refusal::NotYours { account: caller.account, role: "validators" });
        }
        if !self.open_subjects().any(|open| open == subject) {
            return Err(Refusal::NotOpen(subject));
        }
        let place = self.challenges.iter().position(|challenge| challenge.subject == subject);
        let by = place.map(|place| self.challenges.remove(place).by);
        let found = match (subject, verdict) {
            (Subject::Score { claim }, Verdict::Grades(grades)) => {
                self.check_grades(claim, &grades)?;
                self.rule_on_score(claim, grades, by)
            }
            (Subject::Segment { claim, segment }, Verdict::Holds(holds)) => {
                self.rule_on_segment(claim, segment, holds, by)
            }
            (Subject::Evaluated { claim, member, .. }, Verdict::Holds(holds)) => {
                self.rule_on_member(member, Fault::NoWork { claim, segment: None }, holds, by)
            }
            (Subject::Audited { claim, segment, member, .. }, Verdict::Holds(holds)) => {
                self.rule_on_member(member, Fault::NoWork { claim, segment: Some(segment) }, holds, by)
            }
            _ => return Err(Refusal::OtherVerdict(subject)),
        };
        if let Some(by) = by {
            self.settle_bond(by, &found, moves);
        }
        self.drop_pointless(moves);
        // Where a member has lost its voice, something may be open that was not before.
        if self.phase == Phase::Ruling && matches!(found, Found::False) {
            self.enter(Phase::Ruling, now_ms);
        }
        if self.leader.is_some_and(|leader| self.claims[usize::from(leader)].out.is_some()) {
            self.next_leader(now_ms, moves);
        }
        Ok(())
    }

    fn settle_bond(&mut self, by: Address, found: &Found, moves: &mut Moves) {
        let bond = self.deal.money.bond;
        match found {
            Found::False => {
                self.right.push(by);
                moves.pay(Some(by), bond, Why::Bond);
            }
            Found::True => {
                self.wrong.push(by);
                moves.pay(None, bond, Why::LostBond { by });
            }
            Found::Nothing => moves.pay(Some(by), bond, Why::Bond),
        }
    }

    fn rule_on_score(&mut self, claim: u8, grades: Grades, by: Option<Address>) -> Found {
        let was_settled = self.settled(&self.claims[usize::from(claim)]).is_some();
        let claimed = &mut self.claims[usize::from(claim)];
        claimed.grades = Some(grades);
        let wrong = claimed.opinions.iter().filter(|opinion| opinion.grades != grades);
        let liars = wrong.fold(0, |liars, opinion| liars | opinion.members);
        let fault = Fault::FalseScore { claim };
        if self.take_stakes(|place| liars >> place & 1 == 1, Out { fault, by }) {
            Found::False
        } else if was_settled {
            Found::True
        } else {
            Found::Nothing
        }
    }

    fn rule_on_segment(&mut self, claim: u8, segment: u16, holds: bool, by: Option<Address>) -> Found {
        if holds {
            if let Some(byte) = self.held.get_mut(usize::from(segment / 8)) {
                *byte |= 1 << (segment % 8);
            }
            return Found::True;
        }
        self.claims[usize::from(claim)].out = Some(Out { fault: Fault::Forged { segment }, by });
        let stated: Vec<_> = (0..self.committee.len())
            .map(|place| self.audits(place, segment) && self.committee[place].audit.is_some())
            .collect();
        self.take_stakes(|place| stated[place], Out { fault: Fault::FalseAudit { claim, segment }, by });
        Found::False
    }

    fn rule_on_member(&mut self, member: u8, fault: Fault, holds: bool, by: Option<Address>) -> Found {
        if holds {
            return Found::True;
        }
        self.take_stakes(|place| place == usize::from(member), Out { fault, by });
        Found::False
    }

    /// Takes the stakes of members that have one left. Whether there were any.
    fn take_stakes(&mut self, whose: impl Fn(usize) -> bool, out: Out) -> bool {
        let mut any = false;
        for (place, member) in self.committee.iter_mut().enumerate() {
            if whose(place) && member.out.is_none() {
                member.out = Some(out);
                any = true;
            }
        }
        any
    }

    /// Gives bonds back that were staked on what members have stated who have lost their stake since.
    fn drop_pointless(&mut self, moves: &mut Moves) {
        let (committee, bond) = (&self.committee, self.deal.money.bond);
        self.challenges.retain(|challenge| {
            let member = challenge.subject.member().and_then(|member| committee.get(usize::from(member)));
            let is_pointless = member.is_some_and(|member| member.out.is_some());
            if is_pointless {
                moves.pay(Some(challenge.by), bond, Why::Bond);
            }
            !is_pointless
        });
    }

    /// Gives all bonds back that are still staked.
    pub(crate) fn release_challenges(&mut self, moves: &mut Moves) {
        for challenge in std::mem::take(&mut self.challenges) {
            moves.pay(Some(challenge.by), self.deal.money.bond, Why::Bond);
        }
    }
}
