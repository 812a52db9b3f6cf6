//! What the design promises of every order, however it went.

use dtn_primitives::Address;
use dtn_training::*;

use crate::{
    strategies::{Play, Requester, SPAMMER, Validator, Worker},
    world::{PURSE, REQUESTER, WATCHER, account, worker},
};

impl Play {
    fn is_honest_member(&self, place: usize) -> bool {
        self.kind(self.world.order.committee()[place].account) == Validator::Honest
    }

    /// What P4 asks for: somebody honest looks on, or has scored and is among the auditors of each segment.
    fn is_secured(&self) -> bool {
        let order = &self.world.order;
        let honest: Vec<_> = (0..order.committee().len()).filter(|place| self.is_honest_member(*place)).collect();
        let audited = |segment| honest.iter().any(|place| order.segments_of(*place).contains(&segment));
        self.plan.watched || !honest.is_empty() && (0..order.work().segments).all(audited)
    }

    /// P3: no honest account loses anything of its own.
    fn check_honest(&self) {
        let (plan, world) = (&self.plan, &self.world);
        for (number, kind) in (0..).zip(&plan.workers) {
            assert!(
                *kind != Worker::Honest || world.gain(worker(number)) >= 0,
                "worker {number} is honest and has lost"
            );
        }
        for (number, kind) in (1..).zip(&plan.validators) {
            assert!(
                *kind != Validator::Honest || world.gain(account(number)) >= 0,
                "validator {number} is honest and has lost"
            );
        }
        assert!(world.gain(WATCHER) >= 0, "who looks on is honest and has lost");
        let bond = world.order.deal().money.bond as i128;
        let spent = bond * i128::from(plan.spam - self.spam_left);
        assert_eq!(world.gain(SPAMMER), self.returned(SPAMMER) - spent, "who is wrong gets nothing");
        // A forgery that nobody has seen can make the requester look like a poisoner.
        if plan.requester == Requester::Honest && self.is_secured() {
            assert_eq!(world.order.forfeit(), None);
            assert!(world.gain(REQUESTER) >= -(world.order.deal().money.reward as i128));
        }
    }

    /// Bonds of challenges that became pointless.
    fn returned(&self, to: Address) -> i128 {
        let bonds = self.world.paid.iter().filter(|payment| payment.to == Some(to) && payment.why == Why::Bond);
        bonds.map(|payment| payment.amount as i128).sum()
    }

    /// P2 and P4: what wins has a trace that holds; and it is the best of those that do.
    fn check_winner(&self) {
        let (plan, world) = (&self.plan, &self.world);
        let order = &world.order;
        if order.committee().is_empty() || !order.claims().iter().any(|claim| matches!(claim.stage, Stage::Revealed(_)))
        {
            return;
        }
        if !self.is_secured() {
            return;
        }
        let decides = |grades: Grades| if order.forfeit().is_some() { grades.fold } else { grades.hidden };
        let stands = |(number, claim): &(usize, &Claim)| {
            let kind = plan.workers[*number];
            let good = decides(world.truth[*number].grades).is_some_and(|grade| grade.correct >= 162);
            let traced = !plan.trace || (world.truth[*number].forged.is_none() && kind != Worker::NoTrace);
            good && traced && matches!(claim.stage, Stage::Revealed(_))
        };
        let best = order.claims().iter().enumerate().filter(stands).max_by_key(|(number, _)| {
            let grade = decides(world.truth[*number].grades).unwrap();
            (grade.correct, std::cmp::Reverse((grade.loss, *number)))
        });
        match (world.ending().unwrap(), best) {
            (Ending::Final { claim }, Some((best, _))) => assert_eq!(usize::from(claim), best),
            (Ending::Void(Void::NoneGood), None) => {}
            // Withheld rows end an order that has no others.
            (Ending::Void(Void::NoRows), _) if plan.requester == Requester::Withholder && !plan.trace => {}
            other => panic!("it has ended otherwise than it should: {other:?}"),
        }
    }

    /// P6: what a claim is worth is what its model is worth, whoever says what.
    fn check_scores(&self) {
        let order = &self.world.order;
        let heard = (0..order.committee().len()).any(|place| self.is_honest_member(place));
        if self.plan.watched || heard {
            for claim in order.scored_claims() {
                let settled = order.claims()[usize::from(claim)].grades;
                assert!(settled.is_none_or(|grades| grades == self.world.grades(claim as u8)), "claim {claim}");
            }
        }
    }

    /// P8: what was copied or invented is not paid, where somebody looks.
    fn check_statements(&self) {
        let (world, order) = (&self.world, &self.world.order);
        if !self.plan.watched {
            return;
        }
        for ((place, claim, segment), said) in &world.said {
            let member = &order.committee()[*place];
            let counted = segment.is_none() || order.claims()[usize::from(*claim)].audited;
            if counted && world.statement(*place, *claim, *segment) != *said {
                let paid = |payment: &&Payment| {
                    payment.to == Some(member.account) && matches!(payment.why, Why::Statements { .. })
                };
                assert_eq!(world.paid.iter().find(paid), None, "{claim} {segment:?}");
            }
        }
    }

    pub(crate) fn check(&self) {
        let life_ms = self.world.order.deal().life_ms(self.world.order.work());
        assert!(self.world.now_ms <= 1_000 + life_ms + self.delays_ms, "P5");
        let all: u128 = self.world.free.values().sum::<u128>() + self.world.pot;
        assert_eq!(all, PURSE * self.world.free.len() as u128, "P1");
        self.check_honest();
        self.check_winner();
        self.check_scores();
        self.check_statements();
        for account in self.world.free.keys() {
            let told = self.world.order.explain(*account);
            let at_the_end = told.paid.iter().all(|payment| self.world.paid.contains(payment));
            assert!(at_the_end && told.findings.iter().all(|finding| finding.kept.is_some()), "{account}: {told:?}");
        }
    }
}
