//! What executing blocks leads to.

use std::collections::{BTreeMap, HashMap};

use dtn_primitives::{Address, B256, Order};
use serde::{Deserialize, Serialize};

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderStatus {
    /// It asks for no proof of work, so there is nothing to claim.
    Recorded {
        /// The height of its block.
        height: u64,
    },
    /// It takes the first claim that shows its work.
    Open {
        /// The order.
        order: Order,
        /// The height of its block.
        height: u64,
    },
    /// It has its one winner and takes no further claim.
    Closed {
        /// The winning claim's transaction hash.
        claim: B256,
        /// Who signed that claim.
        winner: Address,
        /// The height of the claim's block.
        height: u64,
        /// The place of the result among that block's results.
        index: u32,
    },
}

/// The accounts and orders of all blocks up to the tip, in memory.
///
/// The store keeps the same, updated in the transaction that adds a block, so that a peer starts in the time that it
/// takes to read the state and not to execute the chain again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) nonces: HashMap<Address, u64>,
    pub(crate) orders: HashMap<B256, OrderStatus>,
}

impl State {
    pub(crate) fn next_nonce(&self, account: Address) -> u64 {
        self.nonces.get(&account).copied().unwrap_or(0)
    }

    pub(crate) fn order(&self, hash: B256) -> Option<&OrderStatus> {
        self.orders.get(&hash)
    }

    pub(crate) fn apply(&mut self, changes: Changes) {
        self.nonces.extend(changes.nonces);
        self.orders.extend(changes.orders);
    }
}

/// What one block changes, by account and by order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) orders: BTreeMap<B256, OrderStatus>,
}
