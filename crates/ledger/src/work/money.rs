//! What a block does to balances: deposits that a quorum has stated, withdrawals, what orders move, and what it states of
//! earnings.

use dtn_primitives::{Address, Deposit, Earning, Earnings, Statement, U256, Withdrawal};

use super::Execution;
use crate::{
    bank::{Balance, Earned, Vault},
    rules::Refusal,
};

/// How many vaults that have brought nothing yet a validator may be the first to name.
const MAX_NEW_VAULTS: usize = 4;

impl Execution<'_> {
    /// What an account has, with what this block has changed so far.
    pub(super) fn balance(&self, account: Address) -> Balance {
        self.changes.bank.get(&account).copied().unwrap_or_else(|| self.parent.balance(account))
    }

    /// Gives an account money.
    pub(super) fn credit(&mut self, account: Address, amount: u128) {
        let mut balance = self.balance(account);
        balance.free = balance.free.saturating_add(amount);
        self.changes.bank.insert(account, balance);
    }

    /// Adds to what an account has earned.
    pub(super) fn earn(&mut self, account: Address, amount: u128) {
        let mut balance = self.balance(account);
        balance.earned = balance.earned.saturating_add(amount);
        self.changes.bank.insert(account, balance);
        self.changes.earned.total = self.changes.earned.total.saturating_add(amount);
    }

    /// States what all accounts have earned since the beginning, if it is time and anything has changed since it was stated.
    pub(super) fn state_earnings(&mut self) {
        let Some(terms) = self.rules.training.filter(|it| self.changes.earned.is_due(self.timestamp_ms, it.epoch_ms))
        else {
            return;
        };
        let of = |(account, earned)| Earning { account, token: terms.token, cumulative: U256::from(earned) };
        // Each account once, so it is never refused.
        let Ok(earnings) = Earnings::new(self.parent.earnings(&self.changes).into_iter().map(of)) else { return };
        let Earned { total, number, .. } = self.changes.earned;
        let number = number.saturating_add(1);
        let statement = Statement { number, token: terms.token, total, root: earnings.root() };
        self.results.push(statement.result());
        self.changes.earned = Earned { total, stated: total, number, timestamp_ms: self.timestamp_ms };
        self.changes.stated = Some((statement, earnings.as_slice().to_vec()));
    }

    /// Takes money from an account that has it.
    pub(super) fn debit(&mut self, account: Address, amount: u128) -> Result<(), Refusal> {
        let mut balance = self.balance(account);
        let short = Refusal::Short { account, free: balance.free, needed: amount };
        balance.free = balance.free.checked_sub(amount).ok_or(short)?;
        self.changes.bank.insert(account, balance);
        Ok(())
    }

    pub(super) fn apply_deposit(&mut self, sender: Address, deposit: &Deposit) -> Result<(), Refusal> {
        let address = deposit.vault;
        let known = self.changes.vaults.get(&address).or_else(|| self.parent.vault(address)).cloned();
        self.rules.allow_deposit(sender, deposit, known.as_ref())?;
        let mut vault = match known {
            Some(vault) => vault,
            None => {
                let named = self.vaults_named_by(sender);
                if named >= MAX_NEW_VAULTS {
                    return Err(Refusal::TooManyVaults { validator: sender, named });
                }
                Vault::new(sender)
            }
        };
        for (account, amount) in vault.take(deposit, sender, self.rules.validators().quorum()) {
            self.credit(account, amount);
        }
        self.changes.vaults.insert(address, vault);
        Ok(())
    }

    /// How many vaults that have brought nothing a validator was the first to name.
    fn vaults_named_by(&self, validator: Address) -> usize {
        let is_its = |vault: &&Vault| vault.next == 0 && vault.opened_by == validator;
        let changed = |address: &Address| self.changes.vaults.contains_key(address);
        let before = self.parent.vaults().into_iter().filter(|(address, _)| !changed(address)).map(|(_, vault)| vault);
        before.chain(self.changes.vaults.values()).filter(is_its).count()
    }

    pub(super) fn apply_withdrawal(&mut self, sender: Address, withdrawal: &Withdrawal) -> Result<(), Refusal> {
        if self.rules.training.is_none() {
            return Err(Refusal::NoTraining);
        }
        self.debit(sender, withdrawal.amount)?;
        self.earn(sender, withdrawal.amount);
        Ok(())
    }
}
