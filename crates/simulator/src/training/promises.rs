//! What the design promises of every order, checked when it is over. An error says which promise was broken, and how.

use dtn_training::{Claim, Ending, Payment, Phase, Stage, Why};

use super::{
    bank::address,
    game::Game,
    strategy::{Role, Strategy},
    truth::Run,
};

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Game<'_> {
    /// All of them.
    pub(super) fn check(&self, pot_before: u128) -> Result<(), String> {
        self.bank.is_whole(pot_before).map_err(|how| format!("P1, money is conserved: {how}"))?;
        self.check_winner()?;
        self.check_honest()?;
        self.check_scores_are_true()?;
        self.check_statements_are_own()?;
        let (life_ms, interval_ms) = (self.order.deal().life_ms(self.order.work()), self.interval_ms());
        ensure(self.now_ms <= life_ms + (self.lapses + 1) * interval_ms, || {
            format!("P5, an order ends: it has lasted {} ms of {life_ms}", self.now_ms)
        })
    }

    /// P2 and P4: one winner at most, and none that is false if an auditor of each false segment is honest, or somebody is who
    /// looks on.
    fn check_winner(&self) -> Result<(), String> {
        let prizes = self.bank.paid().iter().filter(|payment| matches!(payment.why, Why::Prize { .. })).count();
        let winner = self.winner();
        ensure(prizes == usize::from(winner.is_some()), || format!("P2, one winner at most: {prizes} prizes"))?;
        let Some(claim) = winner else { return Ok(()) };
        let seen =
            self.setup.watched || self.runs[claim].falsehoods.clone().any(|segment| self.has_honest_auditor(segment));
        ensure(!self.runs[claim].is_false() || !seen, || {
            format!("P4, no forgery wins: claim {claim} of a {} has", self.runs[claim].strategy)
        })
    }

    /// The claim that has won.
    pub(super) fn winner(&self) -> Option<usize> {
        match self.order.phase() {
            Phase::Ended(Ending::Final { claim }) => Some(claim.into()),
            _ => None,
        }
    }

    fn is_honest(&self, account: usize) -> bool {
        self.accounts.get(account).is_none_or(|account| account.is_honest())
    }

    fn has_honest_auditor(&self, segment: u16) -> bool {
        let mut auditors =
            (0..self.order.committee().len()).filter(|place| self.order.segments_of(*place).contains(&segment));
        auditors.any(|place| self.member(place).is_some_and(|member| self.is_honest(member)))
    }

    /// P3: whoever is honest loses nothing of its own.
    fn check_honest(&self) -> Result<(), String> {
        let lost = |account: usize| (self.is_honest(account) && self.bank.gain(account) < 0).then_some(account);
        let workers = self.cast.workers.iter().copied();
        let members = (0..self.order.committee().len()).filter_map(|place| self.member(place));
        let losers: Vec<_> = workers.chain(members).chain([self.accounts.len()]).filter_map(lost).collect();
        ensure(losers.is_empty(), || format!("P3, no honest account loses: accounts {losers:?} have"))?;
        let requester = self.cast.requester;
        let reward = self.order.deal().money.reward as i128;
        // A forgery that nobody has seen can make a requester look like a poisoner.
        let passed = |(claim, run): (&Claim, &Run)| claim.audited && run.is_false();
        let secured = self.setup.watched || !self.order.claims().iter().zip(&self.runs).any(passed);
        ensure(!self.is_honest(requester) || !secured || self.bank.gain(requester) >= -reward, || {
            format!("P3, no honest account loses: the requester has its deposit of order {}", self.order.id())
        })
    }

    /// P6: what a claim is worth is what its model is worth, if anybody honest has looked.
    fn check_scores_are_true(&self) -> Result<(), String> {
        let heard = |place: usize| {
            let stated = self.order.committee()[place].scores.is_some();
            stated && self.member(place).is_some_and(|member| self.strategy(member, Role::Member) == Strategy::Honest)
        };
        if !self.setup.watched && !(0..self.order.committee().len()).any(heard) {
            return Ok(());
        }
        for (number, claim) in self.order.claims().iter().enumerate() {
            let is_so = match claim.stage {
                Stage::Revealed(_) => claim.grades.is_none_or(|grades| grades == self.runs[number].grades(&self.order)),
                Stage::Committed(_) => true,
            };
            ensure(is_so, || format!("P6, scores are those of models: claim {number}, {:?}", claim.grades))?;
        }
        Ok(())
    }

    /// P8: nobody is paid for statements that it has copied or invented, if somebody looks.
    fn check_statements_are_own(&self) -> Result<(), String> {
        if !self.setup.watched {
            return Ok(());
        }
        for ((place, about_segments), _) in self.said.iter().filter(|(_, said)| !said.worked) {
            let member = &self.order.committee()[*place];
            let stated = if *about_segments { member.audit } else { member.scores };
            let of_winner = !about_segments || self.winner().is_some();
            let pays =
                |payment: &Payment| payment.to == Some(member.account) && matches!(payment.why, Why::Statements { .. });
            let paid = self.bank.paid().iter().any(pays);
            ensure(stated.is_none() || !of_winner || !paid, || {
                format!("P8, what is copied is not paid: member {place}, {}", member.account)
            })?;
        }
        Ok(())
    }

    /// Whether an account has lost anything for what it did.
    pub(super) fn is_caught(&self, account: usize) -> bool {
        let by = address(account);
        let lost = |payment: &Payment| match payment.why {
            Why::Slashed { from } | Why::Late { from } => from == by,
            Why::LostBond { by: who } => who == by,
            Why::Forfeited => account == self.cast.requester,
            _ => false,
        };
        self.bank.paid().iter().any(lost)
    }
}
