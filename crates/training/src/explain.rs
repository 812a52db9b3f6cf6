//! Why an account was paid, or was not: rule by rule, from what the order knows.

use std::fmt;

use dtn_primitives::Address;

use crate::{
    grade::Grade,
    money::Payment,
    state::{Ending, Fault, Forfeit, Order, Phase, Stage, Void},
};

/// A rule, and what it was applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The drawn rows are opened in time.
    Opened,
    /// A model whose trace holds is about as good on them as on those that everybody knows.
    Fair,
    /// A claim is revealed in time.
    Revealed(u8),
    /// It reaches the baseline on the rows that decide.
    Good(u8, Grade),
    /// No claim that stands is better, or as good and earlier.
    Best {
        /// The claim.
        claim: u8,
        /// The one that leads.
        leader: u8,
    },
    /// The trace of a claim is shown in time.
    Traced(u8),
    /// Its segments lead where it says.
    True(u8, Option<Fault>),
    /// A member states in time what it was drawn for; so often it did not.
    InTime(u8),
    /// What a member states is so, and took the work.
    Honest(Option<Fault>),
    /// A challenge is of what is false.
    Challenge,
    /// The order ends with a winner.
    Won(Option<Void>),
}

/// A rule, and whether it was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Whether it was kept; nothing as long as that is open.
    pub kept: Option<bool>,
}

/// Why an account was paid, or was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The rules that concern it, in the order in which they were applied. None if it never took part.
    pub findings: Vec<Finding>,
    /// What it was paid at the end. Bonds came back when their challenges were ruled on.
    pub paid: Vec<Payment>,
}

impl Order {
    /// Why an account was paid, or was not.
    pub fn explain(&self, account: Address) -> Explanation {
        let mut findings = Vec::new();
        let mut found = |rule, kept| findings.push(Finding { rule, kept });
        if account == self.requester {
            self.explain_requester(&mut found);
        }
        for (number, claim) in (0..).zip(&self.claims) {
            if claim.worker == account {
                self.explain_claim(number, &mut found);
            }
        }
        for member in self.committee.iter().filter(|member| member.account == account) {
            found(Rule::InTime(member.late), (self.is_over() || member.late > 0).then_some(member.late == 0));
            let fault = member.out.map(|out| out.fault);
            found(Rule::Honest(fault), (self.is_over() || fault.is_some()).then_some(fault.is_none()));
        }
        let of = |accounts: &[Address]| accounts.iter().filter(|one| **one == account).count();
        let open = self.challenges.iter().filter(|challenge| challenge.by == account).count();
        for (count, kept) in [(of(&self.right), Some(true)), (of(&self.wrong), Some(false)), (open, None)] {
            (0..count).for_each(|_| found(Rule::Challenge, kept));
        }
        let paid: Vec<_> = self.settlement().into_iter().filter(|payment| payment.to == Some(account)).collect();
        if let (Phase::Ended(ending), false) = (self.phase, findings.is_empty() && paid.is_empty()) {
            // What it has not come to was never asked.
            findings.retain(|finding| finding.kept.is_some());
            let void = if let Ending::Void(void) = ending { Some(void) } else { None };
            findings.push(Finding { rule: Rule::Won(void), kept: Some(void.is_none()) });
        }
        Explanation { findings, paid }
    }

    fn explain_requester(&self, found: &mut impl FnMut(Rule, Option<bool>)) {
        let withheld = self.forfeit == Some(Forfeit::Withheld);
        found(Rule::Opened, (self.rows.is_some() || withheld).then_some(!withheld));
        if self.rows.is_some() && self.work.fold.is_some() {
            let poisoned = self.forfeit == Some(Forfeit::Poisoned);
            found(Rule::Fair, (self.is_over() || poisoned).then_some(!poisoned));
        }
    }

    /// As far as a claim came.
    fn explain_claim(&self, number: u8, found: &mut impl FnMut(Rule, Option<bool>)) {
        let claim = &self.claims[usize::from(number)];
        let is_revealed = matches!(claim.stage, Stage::Revealed(_));
        found(Rule::Revealed(number), (is_revealed || claim.late).then_some(is_revealed));
        let Some(grades) = claim.grades.filter(|_| is_revealed) else { return };
        let (grade, rows) = match (self.forfeit, grades.hidden, self.work.fold) {
            (None, Some(grade), _) => (grade, self.deal.draw),
            (_, _, Some(fold)) => (grades.fold.unwrap_or_default(), fold.rows),
            _ => return,
        };
        found(Rule::Good(number, grade), Some(grade.reaches(self.deal.baseline, self.deal.classes, rows)));
        let leads = self.leader == Some(number);
        let has_led = leads || claim.late || claim.audited || claim.out.is_some();
        if has_led && self.work.segments > 0 {
            let is_traced = claim.audited || claim.out.is_some() || (leads && self.phase != Phase::Tracing);
            found(Rule::Traced(number), (claim.late || is_traced).then_some(!claim.late));
            if claim.late {
                return;
            }
            let fault = claim.out.map(|out| out.fault);
            found(Rule::True(number, fault), (claim.audited || fault.is_some()).then_some(fault.is_none()));
            if fault.is_some() {
                return;
            }
        }
        if let Some(leader) = self.leader {
            found(Rule::Best { claim: number, leader }, Some(leads));
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => f.write_str("the drawn rows are opened in time"),
            Self::Fair => {
                f.write_str("a true model is about as good on the drawn rows as on those that everybody knows")
            }
            Self::Revealed(claim) => write!(f, "claim {claim} is revealed in time"),
            Self::Good(claim, Grade { correct, loss }) => {
                write!(f, "claim {claim} reaches the baseline: {correct} rows are right, with a loss of {loss}")
            }
            Self::Best { claim, leader } => write!(f, "claim {claim} is the best that stands, which is claim {leader}"),
            Self::Traced(claim) => write!(f, "the trace of claim {claim} is shown in time"),
            Self::True(claim, None) => write!(f, "all segments of claim {claim} hold"),
            Self::True(claim, Some(fault)) => write!(f, "all segments of claim {claim} hold: {fault}"),
            Self::InTime(late) => write!(f, "a member states in time what it was drawn for: {late} times it did not"),
            Self::Honest(None) => f.write_str("what a member states is so, and took the work"),
            Self::Honest(Some(fault)) => write!(f, "what a member states is so, and took the work: {fault}"),
            Self::Challenge => f.write_str("a challenge is of what is false"),
            Self::Won(None) => f.write_str("the order ends with a winner"),
            Self::Won(Some(void)) => write!(f, "the order ends with a winner: {void}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forged { segment } => write!(f, "segment {segment} does not lead where its trace says"),
            Self::FalseScore { claim } => write!(f, "claim {claim} is not worth what was stated"),
            Self::FalseAudit { claim, segment } => write!(f, "segment {segment} of claim {claim} does not hold"),
            Self::NoWork { claim, segment: None } => write!(f, "the statement shows no evaluation of claim {claim}"),
            Self::NoWork { claim, segment: Some(segment) } => {
                write!(f, "the statement shows no training of segment {segment} of claim {claim}")
            }
        }
    }
}

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoClaim => "nobody has claimed",
            Self::NoBeacon => "no beacon came",
            Self::FewMembers => "too few validators could be drawn",
            Self::NoRows => "the requester has withheld the drawn rows",
            Self::NoReveal => "nobody has revealed",
            Self::NoneGood => "no claim that stands reaches the baseline",
            Self::NoRuling => "what was in dispute was not ruled on",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = match self.kept {
            Some(true) => "yes",
            Some(false) => "no",
            None => "open",
        };
        write!(f, "{kept:<4} {}", self.rule)
    }
}
