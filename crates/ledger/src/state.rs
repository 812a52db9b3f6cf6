//! What executing blocks leads to.

use std::collections::BTreeMap;

use dtn_primitives::{Address, B256, Order};
use serde::{Deserialize, Serialize};

/// An order that takes the first claim that shows its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenOrder {
    /// The order, which asks for work.
    pub order: Order,
    /// The height of its block.
    pub height: u64,
}

/// What the next block depends on and nothing else: the accounts' nonces and the orders that are open. It grows with
/// accounts and work under way, never with the length of the chain; what is done is on disk.
///
/// The store keeps the same, updated in the transaction that adds a block, so that a peer starts in the time that it
/// takes to read the state and not to execute the chain again. The maps are sorted, so that the state has one encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) orders: BTreeMap<B256, OpenOrder>,
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
    }
}

/// What one block changes, by account and by order. An order that is `None` is open no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) orders: BTreeMap<B256, Option<OpenOrder>>,
}

impl Changes {
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
}
