//! Kinds of work: what each lets transactions do, what its results are, and what time ends.
//!
//! Each kind has a module, which extends [`Rules`] by what it allows and [`Execution`] by what it does. This module is the
//! one place that tells them apart. [`custom`] runs kinds that this project does not ship.

mod custom;
pub(crate) mod line;
mod money;
pub(crate) mod open;
pub(crate) mod race;
pub(crate) mod round;
pub(crate) mod training;

use std::collections::BTreeMap;

use dtn_primitives::{Address, B256, Payload, Solution, Transaction, WorkResult};

pub use self::custom::*;
use crate::{
    Tip,
    accounts::Account,
    rules::{Refusal, Rules, Standing, check_nonce},
    state::{Changes, View},
};

/// A block being executed on top of what its parent leads to.
///
/// Signatures are not checked here, because the caller knows which of them were checked before.
pub(crate) struct Execution<'a> {
    rules: &'a Rules,
    parent: View<'a>,
    /// The block below.
    below: Tip,
    height: u64,
    timestamp_ms: u64,
    /// How many races are open of who has asked for one in this block.
    open: BTreeMap<Address, usize>,
    pub(crate) changes: Changes,
    pub(crate) results: Vec<WorkResult>,
    /// What shows the work of those that are of races, by their ids.
    pub(crate) solutions: BTreeMap<B256, Solution>,
    /// The orders, not lines, that it ends without a winner.
    pub(crate) expired: Vec<B256>,
}

impl<'a> Execution<'a> {
    /// The execution of a block on top of another, with this timestamp in milliseconds.
    pub(crate) fn new(rules: &'a Rules, parent: View<'a>, below: Tip, timestamp_ms: u64) -> Self {
        let height = below.height + 1;
        let open = BTreeMap::new();
        let changes = Changes {
            floor: parent.floor(),
            accounts: parent.accounts(),
            pot: parent.pot(),
            earned: parent.earned(),
            ..Changes::default()
        };
        let (results, solutions, expired) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { rules, parent, below, height, timestamp_ms, open, changes, results, solutions, expired }
    }

    /// Executes a transaction, or changes nothing.
    pub(crate) fn apply(&mut self, transaction: &Transaction, hash: B256) -> Result<(), Refusal> {
        let sender = transaction.sender;
        let mut following = None;
        if let Some(nonce) = transaction.payload.nonce() {
            let account = self.changes.nonces.get(&sender).copied().unwrap_or_else(|| self.parent.account(sender));
            let next = account.map_or(self.changes.floor, |account| account.next);
            check_nonce(nonce, next..=next)?;
            following = Some((next.saturating_add(1), account.is_none()));
        }
        match &transaction.payload {
            Payload::Order(order) => self.apply_order(sender, order, hash)?,
            Payload::Data { .. } => {}
            Payload::Claim(claim) => self.apply_claim(sender, claim, hash)?,
            Payload::Round(round) => self.open_round(sender, round)?,
            Payload::Completion(completion) => self.complete_round(sender, completion)?,
            Payload::CloseRound { round } => self.end_round(sender, *round)?,
            Payload::Line(line) => self.apply_line(sender, line, hash)?,
            Payload::Custom(custom) => self.apply_custom(sender, custom, hash)?,
            Payload::Training(call) => self.apply_training(sender, call, hash)?,
            Payload::Deposit(deposit) => self.apply_deposit(sender, deposit)?,
            Payload::Withdrawal(withdrawal) => self.apply_withdrawal(sender, withdrawal)?,
        }
        if let Some((next, is_new)) = following {
            self.changes.nonces.insert(sender, Some(Account { next, used: self.height }));
            self.changes.accounts += usize::from(is_new);
        }
        Ok(())
    }

    /// Does what is due when all transactions are executed.
    pub(crate) fn finish(&mut self) {
        self.end_races();
        self.end_records();
        self.pass_training();
        self.state_earnings();
        self.forget_accounts();
    }

    /// Forgets the strangers that were idle longest, if there are too many accounts.
    fn forget_accounts(&mut self) {
        let Changes { nonces, floor, accounts, .. } = &mut self.changes;
        let is_stranger = |address: &Address| self.rules.standing(*address) == Standing::Stranger;
        let idle = self.parent.least_used().filter(|address| is_stranger(address));
        let excess = accounts.saturating_sub(self.rules.max_accounts);
        let idle: Vec<_> = if excess == 0 {
            Vec::new()
        } else {
            idle.filter(|address| !nonces.contains_key(address)).take(excess).collect()
        };
        for address in idle {
            *floor = self.parent.next_nonce(address).max(*floor);
            *accounts -= 1;
            nonces.insert(address, None);
        }
    }
}
