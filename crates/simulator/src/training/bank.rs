//! The balances of accounts, to the wei, and what they spend on computing.

use dtn_primitives::Address;
use dtn_training::{Moves, Payment};

use super::setup::PURSE;

/// Accounts by their numbers, the pot, and what an order holds.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    free: Vec<u128>,
    pot: u128,
    held: u128,
    /// Multiplications of each account.
    spent: Vec<u64>,
    /// What was paid since [`Self::begin`].
    paid: Vec<Payment>,
}

/// The address of an account: its number, from 1.
pub(super) fn address(account: usize) -> Address {
    Address::left_padding_from(&(account as u64 + 1).to_be_bytes())
}

/// The account of an address.
pub(super) fn account(address: Address) -> Option<usize> {
    let number = address.0.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))?;
    number.checked_sub(1).map(|account| account as usize)
}

impl Bank {
    pub(super) fn new(accounts: usize) -> Self {
        Self { free: vec![PURSE; accounts], pot: 0, held: 0, spent: vec![0; accounts], paid: Vec::new() }
    }

    /// An order begins: all have a full purse again, and the pot stays.
    pub(super) fn begin(&mut self) {
        self.free.fill(PURSE);
        self.spent.fill(0);
        self.paid.clear();
    }

    pub(super) fn free(&self, account: usize) -> u128 {
        self.free.get(account).copied().unwrap_or_default()
    }

    /// What an account has more than when the order began, or less, in wei.
    pub(super) fn gain(&self, account: usize) -> i128 {
        self.free(account) as i128 - PURSE as i128
    }

    /// The multiplications of an account since the order began.
    pub(super) fn spent(&self, account: usize) -> u64 {
        self.spent.get(account).copied().unwrap_or_default()
    }

    pub(super) fn paid(&self) -> &[Payment] {
        &self.paid
    }

    pub(super) fn compute(&mut self, account: usize, macs: u64) {
        if let Some(spent) = self.spent.get_mut(account) {
            *spent += macs;
        }
    }

    /// Moves what an order says. An error is money that is nobody's.
    pub(super) fn moved(&mut self, moves: Moves) -> Result<(), String> {
        for (from, amount) in moves.locked {
            let free = account(from).and_then(|account| self.free.get_mut(account));
            let free = free.ok_or_else(|| format!("{from} is nobody"))?;
            *free = free.checked_sub(amount).ok_or_else(|| format!("{from} stakes {amount} wei that it has not"))?;
            self.held += amount;
        }
        for payment in moves.paid {
            let left = self.held.checked_sub(payment.amount);
            self.held = left.ok_or_else(|| format!("{payment:?} is more than the order holds"))?;
            match payment.to {
                Some(to) => {
                    let free = account(to).and_then(|account| self.free.get_mut(account));
                    *free.ok_or_else(|| format!("{to} is nobody"))? += payment.amount;
                }
                None => self.pot += payment.amount,
            }
            self.paid.push(payment);
        }
        Ok(())
    }

    /// Whether nothing has been made or lost since the order began with so much in the pot, and the order holds nothing.
    pub(super) fn is_whole(&self, pot_before: u128) -> Result<(), String> {
        let is = self.free.iter().sum::<u128>() + self.pot - pot_before;
        let was = PURSE * self.free.len() as u128;
        if is == was && self.held == 0 {
            return Ok(());
        }
        Err(format!("there are {is} wei where there were {was}, and {} are held", self.held))
    }

    pub(super) fn pot(&self) -> u128 {
        self.pot
    }
}
