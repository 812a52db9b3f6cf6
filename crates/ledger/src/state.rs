//! What executing blocks leads to.

use std::collections::BTreeMap;

use dtn_primitives::{Address, B256, Order, Payload, Round, Transaction, U256};
use serde::{Deserialize, Serialize};

/// An order that takes the claims of the first block that shows its work, of which that with the lowest hash wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// Who asks for the work.
    pub requester: Address,
    /// What was signed for it.
    pub payload: Payload,
    /// The height of its block.
    pub height: u64,
    /// The hash of its block, which is the id of the race: before the block is there, nobody can begin.
    pub race: B256,
}

impl OpenOrder {
    /// The expected number of hashes that a claim must show.
    pub fn expected_hashes(&self) -> Option<u64> {
        match &self.payload {
            Payload::Order(Order { work: Some(work), .. }) => Some(work.expected_hashes),
            _ => None,
        }
    }

    /// What the winner earns, in wei.
    pub fn reward(&self) -> U256 {
        match &self.payload {
            Payload::Order(order) => order.reward,
            _ => U256::ZERO,
        }
    }
}

/// What of the state a transaction without a nonce uses up: each takes one such transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// A worker's claim for an order.
    Claim(B256, Address),
    /// A validator's completion of a round.
    Completion(u64, Address),
    /// The end of a round.
    Close(u64),
}

impl Slot {
    /// That of a transaction; one with a nonce has none.
    pub(crate) fn of(transaction: &Transaction) -> Option<Self> {
        match &transaction.payload {
            Payload::Claim(claim) => Some(Self::Claim(claim.order, transaction.sender)),
            Payload::Completion(completion) => Some(Self::Completion(completion.round, transaction.sender)),
            Payload::CloseRound { round } => Some(Self::Close(*round)),
            Payload::Order(_) | Payload::Data { .. } | Payload::Round(_) => None,
        }
    }
}

/// The rounds of sequential work, one at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    /// The number of the last round that was opened; 0 for none.
    pub last: u64,
    /// The randomness after the last round that was closed; zeros before the first.
    pub beacon: B256,
    /// The round that takes completions.
    pub open: Option<Round>,
}

impl Rounds {
    /// The open round, if it has this number.
    pub(crate) fn open(&self, number: u64) -> Option<&Round> {
        self.open.as_ref().filter(|round| round.number == number)
    }
}

/// What the next block depends on and nothing else: the accounts' nonces, the orders that are open and the open round. It
/// grows with accounts and work under way, never with the length of the chain; what is done is on disk.
///
/// The store keeps the same, updated in the transaction that adds a block, so that a peer starts in the time that it
/// takes to read the state and not to execute the chain again. The maps are sorted, so that the state has one encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) orders: BTreeMap<B256, OpenOrder>,
    pub(crate) rounds: Rounds,
    /// The expected hashes for the next block; 0 where blocks are not mined.
    pub(crate) next_work: u64,
}

impl State {
    pub(crate) fn next_nonce(&self, account: Address) -> u64 {
        self.nonces.get(&account).copied().unwrap_or(0)
    }

    pub(crate) fn apply(&mut self, changes: Changes) {
        self.nonces.extend(changes.nonces);
        for (hash, order) in changes.orders {
            match order {
                Some(order) => _ = self.orders.insert(hash, order),
                None => _ = self.orders.remove(&hash),
            }
        }
        if let Some(rounds) = changes.rounds {
            self.rounds = rounds;
        }
        self.next_work = changes.next_work;
    }
}

/// What one block changes, by account and by order. An order that is `None` is open no longer, and rounds that are `None`
/// are as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) orders: BTreeMap<B256, Option<OpenOrder>>,
    pub(crate) rounds: Option<Rounds>,
    /// The rounds that it closes, which are history from then on.
    pub(crate) closed_rounds: Vec<Round>,
    /// The expected hashes for the block after it; 0 where blocks are not mined.
    pub(crate) next_work: u64,
}

impl Changes {
    /// Tells what the block opens, races and a round, where its work starts: the block's hash, which follows from
    /// everything else.
    pub(crate) fn sealed(mut self, height: u64, block_hash: B256) -> Self {
        for open in self.orders.values_mut().flatten() {
            open.race = block_hash;
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

    /// The orders that it leaves open.
    pub(crate) fn opened(&self) -> impl Iterator<Item = B256> {
        self.orders.iter().filter(|(_, open)| open.is_some()).map(|(hash, _)| *hash)
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

    pub(crate) fn next_nonce(&self, account: Address) -> u64 {
        let changed = self.layers.iter().rev().find_map(|changes| changes.nonces.get(&account));
        changed.copied().unwrap_or_else(|| self.state.next_nonce(account))
    }

    pub(crate) fn order(&self, hash: B256) -> Option<&'a OpenOrder> {
        match self.layers.iter().rev().find_map(|changes| changes.orders.get(&hash)) {
            Some(changed) => changed.as_ref(),
            None => self.state.orders.get(&hash),
        }
    }

    pub(crate) fn rounds(&self) -> &'a Rounds {
        self.layers.iter().rev().find_map(|changes| changes.rounds.as_ref()).unwrap_or(&self.state.rounds)
    }

    pub(crate) fn next_work(&self) -> u64 {
        self.layers.last().map_or(self.state.next_work, |changes| changes.next_work)
    }

    /// Whether a transaction that uses this up could be executed.
    pub(crate) fn takes(&self, slot: Slot) -> bool {
        match slot {
            Slot::Claim(order, _) => self.order(order).is_some(),
            Slot::Completion(round, node) => self.rounds().open(round).is_some_and(|round| round.takes(node)),
            Slot::Close(round) => self.rounds().open(round).is_some(),
        }
    }
}
