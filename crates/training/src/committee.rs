//! The committee: how it is drawn, and what its members state.

use dtn_primitives::{Address, B256, keccak256};
use dtn_train::shuffle;

use crate::{
    call::statements_root,
    grade::{Grade, Grades},
    money::Moves,
    refusal::Refusal,
    state::{Caller, Claim, Ending, Member, Opinion, Order, Phase, Stage, Void},
};

impl Order {
    /// Draws, from a beacon that nobody knew when the last claim was made: what it comes from was begun at `begun_ms`,
    /// after it. Candidates are the validators in the order of the genesis, each with what it has free.
    pub fn draw(
        &mut self,
        now_ms: u64,
        beacon: B256,
        begun_ms: u64,
        candidates: &[(Address, u128)],
    ) -> Result<Moves, Refusal> {
        let mut next = self.clone();
        let mut moves = next.advance(now_ms);
        let Phase::Drawing { claims_ms } = next.phase else {
            return Err(Refusal::NotNow { call: "draw", phase: next.phase });
        };
        if begun_ms <= claims_ms {
            return Err(Refusal::EarlyBeacon { begun_ms, claims_ms });
        }
        next.beacon = beacon;
        next.seat(candidates, &mut moves)?;
        if next.committee.len() < usize::from(next.deal.redundancy) {
            next.committee.clear();
            moves.locked.clear();
            next.end(Ending::Void(Void::FewMembers), &mut moves);
        } else {
            next.enter(Phase::Opening, now_ms);
        }
        *self = next;
        Ok(moves)
    }

    /// Seats the first of a shuffle: nobody who claims or pays, and nobody without the stake.
    fn seat(&mut self, candidates: &[(Address, u128)], moves: &mut Moves) -> Result<(), Refusal> {
        let stake = self.deal.money.member;
        let takes_part = |account| account == self.requester || self.claims.iter().any(|claim| claim.worker == account);
        let able: Vec<_> =
            candidates.iter().filter(|(account, free)| *free >= stake && !takes_part(*account)).collect();
        let order = shuffle(self.draw_seed(b"DTN/train/committee"), able.len() as u32);
        for place in order.into_iter().take(self.deal.committee.into()) {
            let (account, free) = *able[place as usize];
            moves.lock(account, free, stake)?;
            self.committee.push(Member { account, scores: None, audit: None, macs: 0, late: 0, out: None });
        }
        Ok(())
    }

    fn draw_seed(&self, tag: &[u8]) -> B256 {
        keccak256([tag, &self.id[..], &self.beacon[..]].concat())
    }

    /// The numbers of the rows that the beacon draws, in the order in which they are evaluated.
    pub fn drawn_rows(&self) -> Vec<u32> {
        let mut rows = shuffle(self.draw_seed(b"DTN/train/rows"), self.deal.holdout.rows);
        rows.truncate(self.deal.draw as usize);
        rows.sort_unstable();
        rows
    }

    /// The segments of the leader that a member audits: segment k is audited by so many members as there have to be, from
    /// member k modulo their number on.
    pub fn segments_of(&self, member: usize) -> Vec<u16> {
        (0..self.work.segments).filter(|segment| self.audits(member, *segment)).collect()
    }

    /// Whether a member audits a segment.
    pub fn audits(&self, member: usize, segment: u16) -> bool {
        let members = self.committee.len();
        (member + members - usize::from(segment) % members) % members < usize::from(self.deal.redundancy)
    }

    /// The claims that are to be scored.
    pub fn scored_claims(&self) -> Vec<u16> {
        let claims = (0..).zip(&self.claims);
        claims.filter(|(_, claim)| matches!(claim.stage, Stage::Revealed(_))).map(|(number, _)| number).collect()
    }

    /// A member that has not lost its stake.
    fn member_of(&self, caller: &Caller) -> Result<usize, Refusal> {
        let standing = |member: &Member| member.account == caller.account && member.out.is_none();
        let account = caller.account;
        self.committee.iter().position(standing).ok_or(Refusal::NotYours { account, role: "committee" })
    }

    /// No two members come to the same root, since each is in all of its statements.
    fn check_own(&self, root: B256, stated: impl Fn(&Member) -> Option<B256>) -> Result<(), Refusal> {
        let of = self.committee.iter().find(|member| stated(member) == Some(root));
        of.map_or(Ok(()), |member| Err(Refusal::Copied(member.account)))
    }

    pub(crate) fn score(&mut self, caller: &Caller, grades: &[Grades], statements: &[B256]) -> Result<(), Refusal> {
        self.require("scores", &[Phase::Scoring])?;
        let member = self.member_of(caller)?;
        if self.committee[member].scores.is_some() {
            return Err(Refusal::Repeated { account: caller.account });
        }
        let claims = self.scored_claims();
        let expected = claims.len();
        for (what, is) in [("scores", grades.len()), ("statements", statements.len())] {
            if is != expected {
                return Err(Refusal::Count { what, is, expected });
            }
        }
        for (claim, grades) in claims.iter().zip(grades) {
            self.check_grades(*claim as u8, grades)?;
        }
        let root = statements_root(&claims, statements);
        self.check_own(root, |member| member.scores)?;
        self.committee[member].scores = Some(root);
        for (claim, grades) in claims.iter().zip(grades) {
            let opinions = &mut self.claims[usize::from(*claim)].opinions;
            match opinions.iter_mut().find(|opinion| opinion.grades == *grades) {
                Some(opinion) => opinion.members |= 1 << member,
                None => opinions.push(Opinion { grades: *grades, members: 1 << member }),
            }
        }
        Ok(())
    }

    /// Whether grades are on the tables that there are, and possible.
    pub(crate) fn check_grades(&self, claim: u8, grades: &Grades) -> Result<(), Refusal> {
        let tables =
            [(grades.hidden, self.rows.map(|_| self.deal.draw)), (grades.fold, self.work.fold.map(|fold| fold.rows))];
        let fits = |(grade, rows): (Option<Grade>, Option<u32>)| match (grade, rows) {
            (Some(grade), Some(rows)) => grade.is_of(self.deal.classes, rows),
            (None, None) => true,
            _ => false,
        };
        if tables.into_iter().all(fits) { Ok(()) } else { Err(Refusal::Grades(claim)) }
    }

    pub(crate) fn audit(&mut self, caller: &Caller, claim: u8, statements: &[B256]) -> Result<(), Refusal> {
        self.require("audit", &[Phase::Auditing])?;
        let member = self.member_of(caller)?;
        let segments = self.segments_of(member);
        if self.leader != Some(claim) || segments.is_empty() {
            return Err(Refusal::Unknown { what: "claim", number: claim.into() });
        }
        if self.committee[member].audit.is_some() {
            return Err(Refusal::Repeated { account: caller.account });
        }
        if statements.len() != segments.len() {
            return Err(Refusal::Count { what: "statements", is: statements.len(), expected: segments.len() });
        }
        let root = statements_root(&segments, statements);
        self.check_own(root, |member| member.audit)?;
        self.committee[member].audit = Some(root);
        Ok(())
    }

    /// What a claim is worth: what a ruling has found, or what enough members say who stand and none has denied. What was
    /// denied by who has lost its stake since is ruled on, too: nobody could challenge it as long as it was open.
    pub fn settled(&self, claim: &Claim) -> Option<Grades> {
        let heard = |opinion: &Opinion| {
            let members = (0..self.committee.len()).filter(|member| opinion.members >> member & 1 == 1);
            members.filter(|member| self.committee[*member].out.is_none()).count()
        };
        let enough = (self.committee.len() - 1) / 3 + 1;
        let unanimous = match &claim.opinions[..] {
            [opinion] if heard(opinion) >= enough => Some(opinion.grades),
            _ => None,
        };
        claim.grades.or(unanimous)
    }

    pub(crate) fn settle_scores(&mut self) {
        let settled: Vec<_> = self.claims.iter().map(|claim| self.settled(claim)).collect();
        for (claim, grades) in self.claims.iter_mut().zip(settled) {
            (claim.grades, claim.opinions) = (grades, Vec::new());
        }
        let macs = self.work.evaluation * self.scored_claims().len() as u64;
        for member in self.committee.iter_mut().filter(|member| member.scores.is_some()) {
            member.macs += macs;
        }
    }

    /// Counts the audits of a leader that stands, and those that are missing: an auditor who has seen a false segment has
    /// nothing to state, so silence about a claim that falls is not held against anybody.
    pub(crate) fn settle_audits(&mut self, leader: u8) {
        self.claims[usize::from(leader)].audited = true;
        for place in 0..self.committee.len() {
            let (owes, segments) = (self.owes_audit(place), self.segments_of(place).len() as u64);
            let member = &mut self.committee[place];
            member.late = member.late.saturating_add(owes.into());
            if member.audit.is_some() {
                member.macs += self.work.segment * segments;
            }
        }
    }

    /// Makes room for another leader. What was stated about one that does not stand is not paid.
    pub(crate) fn forget_audits(&mut self, moves: &mut Moves) {
        self.release_challenges(moves);
        self.committee.iter_mut().for_each(|member| member.audit = None);
        self.held = vec![0; usize::from(self.work.segments).div_ceil(8)];
    }

    fn owes_audit(&self, place: usize) -> bool {
        let member = &self.committee[place];
        member.out.is_none() && member.audit.is_none() && !self.segments_of(place).is_empty()
    }

    pub(crate) fn has_all_audits(&self) -> bool {
        (0..self.committee.len()).all(|place| !self.owes_audit(place))
    }

    pub(crate) fn note_missing_scores(&mut self) {
        for member in self.committee.iter_mut().filter(|member| member.scores.is_none()) {
            member.late = member.late.saturating_add(1);
        }
    }

    /// Whether a member that stands has stated that a segment of the leader holds.
    pub(crate) fn is_covered(&self, segment: u16) -> bool {
        let stands = |member: &Member| member.audit.is_some() && member.out.is_none();
        (0..self.committee.len()).any(|place| self.audits(place, segment) && stands(&self.committee[place]))
    }
}
