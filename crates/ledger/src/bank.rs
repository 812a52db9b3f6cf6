//! Money in the ledger: balances, and the vaults on the settlement chain from which they come.
//!
//! Money comes in by what a quorum of validators states of a vault, in the order of the vault's numbers, so that each deposit
//! counts once. It leaves as earnings, which distributions pay on the settlement chain.

use std::collections::BTreeMap;

use dtn_primitives::{Address, Deposit};
use serde::{Deserialize, Serialize};

use crate::rules::{Refusal, Rules};

/// How far above a vault's next deposit one may be stated.
const DEPOSIT_WINDOW: u64 = 64;

/// What an account has in the ledger, in wei.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// What it may stake, pay or take out.
    pub free: u128,
    /// What it has earned since the beginning, or taken out. It never falls: distributions state it, and the contract knows what
    /// it has paid of it.
    pub earned: u128,
}

/// What all accounts have earned, and how much of it was stated for distributions to pay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earned {
    /// Since the beginning, in wei.
    pub total: u128,
    /// What the last statement stated of it.
    pub stated: u128,
    /// Its number; 0 before the first.
    pub number: u32,
    /// When its block was made, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
}

impl Earned {
    /// Whether a block with this timestamp states what was earned, so long after the last statement.
    pub(crate) fn is_due(&self, timestamp_ms: u64, epoch_ms: u64) -> bool {
        self.total != self.stated && timestamp_ms >= self.timestamp_ms.saturating_add(epoch_ms)
    }
}

/// What a validator has stated of a deposit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stated {
    account: Address,
    amount: u128,
    by: Address,
}

/// What is known of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vault {
    /// The validator that was the first to name it.
    pub(crate) opened_by: Address,
    /// The number of the deposit that comes next.
    pub(crate) next: u64,
    /// What is stated of deposits that no quorum has stated yet.
    stated: BTreeMap<u64, Vec<Stated>>,
}

impl Vault {
    pub(crate) fn new(opened_by: Address) -> Self {
        Self { opened_by, next: 0, stated: BTreeMap::new() }
    }

    /// Whether a validator's statement of a deposit would count.
    pub(crate) fn takes(&self, number: u64, by: Address) -> Result<(), Refusal> {
        let (next, end) = (self.next, self.next.saturating_add(DEPOSIT_WINDOW));
        if number < next || self.stated.get(&number).is_some_and(|all| all.iter().any(|stated| stated.by == by)) {
            return Err(Refusal::DepositStated { number });
        }
        if number < end { Ok(()) } else { Err(Refusal::DepositAhead { number, next }) }
    }

    /// Takes a statement, and gives the deposits that are certain now.
    pub(crate) fn take(&mut self, deposit: &Deposit, by: Address, quorum: usize) -> Vec<(Address, u128)> {
        let Deposit { number, account, amount, .. } = *deposit;
        self.stated.entry(number).or_default().push(Stated { account, amount, by });
        let mut certain = Vec::new();
        while let Some((account, amount)) = self.stated.get(&self.next).and_then(|stated| agreed(stated, quorum)) {
            certain.push((account, amount));
            self.stated.remove(&self.next);
            self.next += 1;
        }
        certain
    }
}

/// What a quorum has stated alike.
fn agreed(stated: &[Stated], quorum: usize) -> Option<(Address, u128)> {
    let same = |one: &Stated| stated.iter().filter(|it| (it.account, it.amount) == (one.account, one.amount)).count();
    stated.iter().find(|one| same(one) >= quorum).map(|one| (one.account, one.amount))
}

impl Rules {
    /// Whether the sender may state a deposit of a vault of which this is known.
    pub(crate) fn allow_deposit(
        &self,
        sender: Address,
        deposit: &Deposit,
        vault: Option<&Vault>,
    ) -> Result<(), Refusal> {
        if self.training.is_none() {
            return Err(Refusal::NoTraining);
        }
        if self.validators().index_of(sender).is_none() {
            return Err(Refusal::NotValidator(sender));
        }
        vault.map_or(Ok(()), |vault| vault.takes(deposit.number, sender))
    }
}
