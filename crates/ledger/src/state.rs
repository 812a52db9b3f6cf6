//! What executing blocks leads to.

use std::collections::{BTreeMap, BTreeSet};

use dtn_primitives::{Address, B256, Deposit, Earning, Payload, Round, Rounds, Statement, Transaction};
use dtn_training::{Beacon, Phase, TrainingOrder};
use serde::{Deserialize, Serialize};

use crate::{
    Lead, OpenOrder,
    accounts::{Account, Accounts},
    bank::{Balance, Earned, Vault},
    work::{
        Record,
        line::Copies,
        open::{Layered, Open, OpenChanges},
    },
};

/// What of the state a transaction without a nonce uses up: each takes one such transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// A worker's claim for an order.
    Claim(B256, Address),
    /// A validator's completion of a round.
    Completion(u64, Address),
    /// The end of a round.
    Close(u64),
    /// A validator's statement of a vault's deposit.
    Deposit(Address, u64, Address),
}

impl Slot {
    /// That of a transaction; one with a nonce has none.
    pub(crate) fn of(transaction: &Transaction) -> Option<Self> {
        match &transaction.payload {
            Payload::Claim(claim) => Some(Self::Claim(claim.order, transaction.sender)),
            Payload::Completion(completion) => Some(Self::Completion(completion.round, transaction.sender)),
            Payload::CloseRound { round } => Some(Self::Close(*round)),
            Payload::Deposit(Deposit { vault, number, .. }) => Some(Self::Deposit(*vault, *number, transaction.sender)),
            Payload::Order(_) | Payload::Data { .. } | Payload::Round(_) | Payload::Line(_) | Payload::Custom(_) => {
                None
            }
            Payload::Training(_) | Payload::Withdrawal(_) => None,
        }
    }
}

/// What the next block depends on and nothing else: the accounts' nonces, the orders that are open, the lines of the last
/// minute and the open round. It grows with accounts and work under way, never with the length of the chain; what is done
/// is on disk.
///
/// The store keeps the same, updated in the transaction that adds a block, so that a peer starts in the time that it
/// takes to read the state and not to execute the chain again. The maps are sorted, so that the state has one encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) nonces: Accounts,
    pub(crate) orders: Open<OpenOrder>,
    pub(crate) rounds: Rounds,
    /// The expected hashes for the next block; 0 where blocks are not mined.
    pub(crate) next_work: u64,
    /// The lines that copies may still come of, by content.
    pub(crate) lines: BTreeMap<B256, Copies>,
    /// What custom kinds of work remember.
    pub(crate) records: Open<Record>,
    /// What accounts have.
    pub(crate) bank: BTreeMap<Address, Balance>,
    /// What money nobody has: it was lost, and stays for later rewards.
    pub(crate) pot: u128,
    /// What has been earned in all, and what was stated of it.
    pub(crate) earned: Earned,
    /// Where money comes from.
    pub(crate) vaults: BTreeMap<Address, Vault>,
    /// The orders for trained models.
    pub(crate) training: Open<TrainingOrder>,
}

impl State {
    pub(crate) fn next_nonce(&self, account: Address) -> u64 {
        self.nonces.get(&account).map_or(self.nonces.floor, |account| account.next)
    }

    pub(crate) fn apply(&mut self, changes: Changes) {
        for (address, account) in changes.nonces {
            match account {
                Some(account) => self.nonces.insert(address, account),
                None => self.nonces.remove(&address),
            }
        }
        self.nonces.floor = changes.floor;
        self.orders.apply(changes.orders);
        self.records.apply(changes.records);
        self.bank.extend(changes.bank);
        self.pot = changes.pot;
        self.earned = changes.earned;
        self.vaults.extend(changes.vaults);
        self.training.apply(changes.training);
        if let Some(rounds) = changes.rounds {
            self.rounds = rounds;
        }
        self.next_work = changes.next_work;
        for (content, copies) in changes.lines {
            match copies {
                Some(copies) => _ = self.lines.insert(content, copies),
                None => _ = self.lines.remove(&content),
            }
        }
    }
}

/// What one block changes, by account, by order and by line. An order that is `None` is open no longer, an account or a
/// line that is `None` is forgotten, and rounds that are `None` are as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) nonces: BTreeMap<Address, Option<Account>>,
    /// The first nonce of whoever is not remembered after it.
    pub(crate) floor: u64,
    /// How many accounts are remembered after it.
    pub(crate) accounts: usize,
    pub(crate) orders: OpenChanges<OpenOrder>,
    pub(crate) rounds: Option<Rounds>,
    pub(crate) lines: BTreeMap<B256, Option<Copies>>,
    pub(crate) records: OpenChanges<Record>,
    pub(crate) bank: BTreeMap<Address, Balance>,
    /// What nobody has after it.
    pub(crate) pot: u128,
    /// What has been earned after it.
    pub(crate) earned: Earned,
    /// What it states of earnings, if it does.
    pub(crate) stated: Option<(Statement, Vec<Earning>)>,
    pub(crate) vaults: BTreeMap<Address, Vault>,
    pub(crate) training: OpenChanges<TrainingOrder>,
    /// The orders for trained models that it ends, which are history from then on.
    pub(crate) ended_training: Vec<TrainingOrder>,
    /// The rounds that it closes, which are history from then on.
    pub(crate) closed_rounds: Vec<Round>,
    /// The expected hashes for the block after it; 0 where blocks are not mined.
    pub(crate) next_work: u64,
}

impl Changes {
    /// Tells what the block opens, races, orders for trained models and a round, where its work starts: the block's hash, which follows from
    /// everything else.
    pub(crate) fn sealed(mut self, height: u64, block_hash: B256) -> Self {
        for open in self.orders.values_mut().flatten().filter(|open| open.height == height) {
            open.race = block_hash;
        }
        for open in self.training.values_mut().flatten().filter(|open| open.height == height) {
            open.block = block_hash;
        }
        let opened = self.rounds.as_mut().and_then(|rounds| rounds.open.as_mut());
        if let Some(round) = opened.filter(|round| round.height == height) {
            round.block_hash = block_hash;
        }
        self
    }

    /// The orders that it closes.
    pub(crate) fn closed(&self) -> impl Iterator<Item = B256> {
        self.orders.iter().filter(|(_, open)| open.is_none()).map(|(hash, _)| *hash)
    }

    /// The orders that it opens, being at this height.
    pub(crate) fn opened(&self, height: u64) -> impl Iterator<Item = B256> {
        let opened = move |open: &Option<OpenOrder>| open.as_ref().is_some_and(|open| open.height == height);
        self.orders.iter().filter(move |(_, open)| opened(open)).map(|(hash, _)| *hash)
    }
}

/// The state as it would be after some blocks that are not final.
#[derive(Debug, Clone)]
pub(crate) struct View<'a> {
    state: &'a State,
    /// The lowest block's first.
    layers: Vec<&'a Changes>,
}

impl<'a> View<'a> {
    pub(crate) fn new(state: &'a State, layers: impl Iterator<Item = &'a Changes>) -> Self {
        Self { state, layers: layers.collect() }
    }

    pub(crate) fn account(&self, address: Address) -> Option<Account> {
        let changed = self.layers.iter().rev().find_map(|changes| changes.nonces.get(&address));
        changed.copied().unwrap_or_else(|| self.state.nonces.get(&address).copied())
    }

    pub(crate) fn next_nonce(&self, address: Address) -> u64 {
        self.account(address).map_or_else(|| self.floor(), |account| account.next)
    }

    /// The first nonce of whoever is not remembered.
    pub(crate) fn floor(&self) -> u64 {
        self.layers.last().map_or(self.state.nonces.floor, |changes| changes.floor)
    }

    /// How many accounts are remembered.
    pub(crate) fn accounts(&self) -> usize {
        self.layers.last().map_or(self.state.nonces.len(), |changes| changes.accounts)
    }

    /// All accounts that are remembered, the longest idle first: those that blocks which are not final have used come after
    /// all others.
    pub(crate) fn least_used(&self) -> impl Iterator<Item = Address> {
        let changed = |address: &Address| self.layers.iter().any(|changes| changes.nonces.contains_key(address));
        let unchanged = self.state.nonces.least_used().filter(move |address| !changed(address));
        let in_layers = move || {
            let keys: BTreeSet<_> = self.layers.iter().flat_map(|changes| changes.nonces.keys()).copied().collect();
            let used = keys.into_iter().filter_map(|address| Some((self.account(address)?.used, address)));
            used.collect::<BTreeSet<_>>().into_iter().map(|(_, address)| address)
        };
        unchanged.chain(std::iter::once_with(in_layers).flatten())
    }

    fn orders(&self) -> Layered<'a, OpenOrder> {
        Layered { tip: &self.state.orders, layers: self.layers.iter().map(|changes| &changes.orders).collect() }
    }

    fn records(&self) -> Layered<'a, Record> {
        Layered { tip: &self.state.records, layers: self.layers.iter().map(|changes| &changes.records).collect() }
    }

    fn training(&self) -> Layered<'a, TrainingOrder> {
        Layered { tip: &self.state.training, layers: self.layers.iter().map(|changes| &changes.training).collect() }
    }

    /// What an account has.
    pub(crate) fn balance(&self, account: Address) -> Balance {
        let changed = self.layers.iter().rev().find_map(|changes| changes.bank.get(&account));
        changed.or_else(|| self.state.bank.get(&account)).copied().unwrap_or_default()
    }

    /// What nobody has.
    pub(crate) fn pot(&self) -> u128 {
        self.layers.last().map_or(self.state.pot, |changes| changes.pot)
    }

    /// What has been earned in all, and what was stated of it.
    pub(crate) fn earned(&self) -> Earned {
        self.layers.last().map_or(self.state.earned, |changes| changes.earned)
    }

    /// What each account has earned that has earned anything, with what the block on top has changed so far. Costs as much as
    /// there are accounts with money.
    pub(crate) fn earnings(&self, changes: &Changes) -> BTreeMap<Address, u128> {
        let changed = self.layers.iter().flat_map(|changes| &changes.bank).chain(&changes.bank);
        let earned = self.state.bank.iter().chain(changed).map(|(account, balance)| (*account, balance.earned));
        let mut earnings: BTreeMap<_, _> = earned.collect();
        earnings.retain(|_, earned| *earned > 0);
        earnings
    }

    /// What is known of a vault.
    pub(crate) fn vault(&self, address: Address) -> Option<&'a Vault> {
        let changed = self.layers.iter().rev().find_map(|changes| changes.vaults.get(&address));
        changed.or_else(|| self.state.vaults.get(&address))
    }

    /// All vaults, by their addresses.
    pub(crate) fn vaults(&self) -> BTreeMap<Address, &'a Vault> {
        let changed = self.layers.iter().flat_map(|changes| &changes.vaults);
        self.state.vaults.iter().chain(changed).map(|(address, vault)| (*address, vault)).collect()
    }

    /// An order for a trained model.
    pub(crate) fn training_order(&self, id: B256) -> Option<&'a TrainingOrder> {
        self.training().get(id)
    }

    /// Those of which a phase is over by a block with this timestamp, the longest overdue first.
    pub(crate) fn training_over(&self, timestamp_ms: u64) -> Vec<B256> {
        self.training().over(timestamp_ms)
    }

    /// Whether an order for a trained model waits for a block to draw by, or to open the round that it waits for.
    pub(crate) fn waits_for_block(&self) -> bool {
        let training = self.training();
        let waits = |id: B256| {
            let order = training.get(id).map(|open| &open.order);
            let order = order.filter(|order| matches!(order.phase(), Phase::Drawing { .. }));
            order.is_some_and(|order| order.deal().beacon == Beacon::Block || self.rounds().open.is_none())
        };
        training.ids().into_iter().any(waits)
    }

    /// How many are open, in all and of an account, with what the block on top has changed so far.
    pub(crate) fn open_training(&self, account: Address, changes: &'a OpenChanges<TrainingOrder>) -> (usize, usize) {
        let mut training = self.training();
        training.layers.push(changes);
        (training.ids().len(), training.of(account))
    }

    /// Those that are open, with what the block on top has changed so far.
    pub(crate) fn training_ids(&self, changes: &'a OpenChanges<TrainingOrder>) -> BTreeSet<B256> {
        let mut training = self.training();
        training.layers.push(changes);
        training.ids()
    }

    pub(crate) fn order(&self, hash: B256) -> Option<&'a OpenOrder> {
        match self.layers.iter().rev().find_map(|changes| changes.orders.get(&hash)) {
            Some(changed) => changed.as_ref(),
            None => self.state.orders.get(&hash),
        }
    }

    /// What a custom kind of work remembers under a hash.
    pub(crate) fn record(&self, hash: B256) -> Option<&'a Record> {
        match self.layers.iter().rev().find_map(|changes| changes.records.get(&hash)) {
            Some(changed) => changed.as_ref(),
            None => self.state.records.get(&hash),
        }
    }

    /// The claim that leads the race for an order.
    pub(crate) fn lead(&self, order: B256) -> Option<&'a Lead> {
        self.order(order).and_then(|open| open.lead.as_ref())
    }

    /// The races that a block with this timestamp ends, the longest overdue first.
    pub(crate) fn races_over(&self, timestamp_ms: u64) -> Vec<B256> {
        self.orders().over(timestamp_ms)
    }

    /// The records that a block with this timestamp ends, the longest overdue first.
    pub(crate) fn records_over(&self, timestamp_ms: u64) -> Vec<B256> {
        self.records().over(timestamp_ms)
    }

    /// How many orders of an account are open.
    pub(crate) fn open_of(&self, requester: Address) -> usize {
        self.orders().of(requester)
    }

    /// How many records of an account are open, with what the block on top has changed so far.
    pub(crate) fn records_of(&self, requester: Address, changes: &'a OpenChanges<Record>) -> usize {
        let mut records = self.records();
        records.layers.push(changes);
        records.of(requester)
    }

    pub(crate) fn rounds(&self) -> &'a Rounds {
        self.layers.iter().rev().find_map(|changes| changes.rounds.as_ref()).unwrap_or(&self.state.rounds)
    }

    pub(crate) fn next_work(&self) -> u64 {
        self.layers.last().map_or(self.state.next_work, |changes| changes.next_work)
    }

    /// The copies of a line, by its content.
    pub(crate) fn line(&self, content: B256) -> Option<&'a Copies> {
        match self.layers.iter().rev().find_map(|changes| changes.lines.get(&content)) {
            Some(changed) => changed.as_ref(),
            None => self.state.lines.get(&content),
        }
    }

    /// The lines that are forgotten when a block with this timestamp takes one. Costs as much as a minute's lines.
    pub(crate) fn lines_over(&self, timestamp_ms: u64) -> Vec<B256> {
        let known = self.layers.iter().flat_map(|changes| changes.lines.keys()).chain(self.state.lines.keys());
        let over = |content: &B256| self.line(*content).is_some_and(|copies| copies.is_over(timestamp_ms));
        known.copied().filter(over).collect()
    }

    /// Whether a transaction that uses this up could be executed.
    pub(crate) fn takes(&self, slot: Slot) -> bool {
        match slot {
            Slot::Claim(order, _) => self.order(order).is_some(),
            Slot::Completion(round, node) => self.rounds().open(round).is_some_and(|round| round.takes(node)),
            Slot::Close(round) => self.rounds().open(round).is_some(),
            Slot::Deposit(vault, number, by) => self.vault(vault).is_none_or(|vault| vault.takes(number, by).is_ok()),
        }
    }
}
