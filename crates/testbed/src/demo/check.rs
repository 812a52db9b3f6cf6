//! What has to be paid, and whether it was: the report against the orders, the payees' balances against the report.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy_primitives::{Address, B256, U256};
use dtn_client::{Client, Race};
use dtn_primitives::{Payload, Round, Transaction};
use dtn_report::RunReport;

use super::DemoError;

/// The orders whose work is to be done and paid.
#[derive(Debug)]
pub(super) struct Awaited {
    /// The reward by order.
    pub(super) rewards: HashMap<B256, U256>,
    /// All orders that ask for work.
    pub(super) races: HashSet<B256>,
    pub(super) subjects: HashMap<B256, String>,
    /// The claim on chain that is false and must be slashed.
    pub(super) false_claim: B256,
    cheat: Address,
}

impl Awaited {
    /// The orders, and what each completion of the round earns; `cheat` has not done its work.
    pub(super) fn new(transactions: &[Transaction], round: &Round, cheat: Address, client: &Client) -> Self {
        let (mut rewards, mut races, mut subjects) = (HashMap::new(), HashSet::new(), HashMap::new());
        for transaction in transactions {
            let Payload::Order(order) = &transaction.payload else { continue };
            let hash = transaction.hash(&client.domain);
            subjects.insert(hash, format!("{}, {}", order.dataset, order.model));
            if order.work.is_some() {
                races.insert(hash);
            }
            if !order.reward.is_zero() {
                rewards.insert(hash, order.reward);
            }
        }
        let completions = round.completed.iter().map(|completed| Round::id(round.number, completed.node));
        rewards.extend(completions.map(|id| (id, round.reward)));
        Self { rewards, races, subjects, false_claim: Round::id(round.number, cheat), cheat }
    }

    /// Succeeds if everything was judged right and paid once, to whom it belongs.
    pub(super) fn check(
        &self,
        report: &RunReport,
        races: &[Race],
        before: &BTreeMap<Address, U256>,
        after: &BTreeMap<Address, U256>,
    ) -> Result<(), DemoError> {
        self.check_payouts(report, races)?;
        self.check_judgements(report)?;
        let mut owed: BTreeMap<Address, U256> = BTreeMap::new();
        for payout in &report.settlement.payouts {
            *owed.entry(payout.payee).or_default() += payout.amount_wei;
        }
        for (payee, old) in before {
            let (new, owed) = (after.get(payee).copied().unwrap_or_default(), owed.remove(payee).unwrap_or_default());
            if new != *old + owed {
                return Err(DemoError::Balance { payee: *payee, old: *old, new, owed });
            }
        }
        if owed.is_empty() { Ok(()) } else { Err(DemoError::Others(format!("{owed:?}"))) }
    }

    fn check_payouts(&self, report: &RunReport, races: &[Race]) -> Result<(), DemoError> {
        let payouts = &report.settlement.payouts;
        let mut paid = HashMap::new();
        for payout in payouts {
            if paid.insert(payout.result, payout.amount_wei).is_some() {
                return Err(DemoError::PaidTwice(payout.result));
            }
        }
        if paid != self.rewards {
            return Err(DemoError::OtherRewards);
        }
        let won: HashSet<_> = races.iter().map(|race| race.transaction).collect();
        if won != self.races || won.len() != races.len() {
            return Err(DemoError::OtherRaces);
        }
        for race in races {
            let (payee, race) = (race.winner()?.claim.payee, race.transaction);
            if payouts.iter().any(|payout| payout.result == race && payout.payee != payee) {
                return Err(DemoError::Astray { race, payee });
            }
        }
        Ok(())
    }

    fn check_judgements(&self, report: &RunReport) -> Result<(), DemoError> {
        for claim in &report.claims {
            let (is_false, was_slashed) = (claim.node == self.cheat, claim.slashed.is_some());
            if is_false != was_slashed {
                return Err(DemoError::MisjudgedClaim(claim.node));
            }
        }
        let verifications = report.rounds.iter().flat_map(|round| &round.verifications);
        match verifications.into_iter().find(|it| it.valid == (it.node == self.cheat)) {
            Some(wrong) => Err(DemoError::MisjudgedCompletion(wrong.clone())),
            None => Ok(()),
        }
    }
}
