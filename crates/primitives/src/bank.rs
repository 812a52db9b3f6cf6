//! Money inside the ledger: how it comes in from the settlement chain, and how it leaves.

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::quantity;

/// A validator's statement that money has come into a vault on the settlement chain. A quorum of such statements gives it to
/// the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// The vault's contract.
    pub vault: Address,
    /// The deposit's number there, from 0 on. A vault's deposits are taken in their order.
    pub number: u64,
    /// Whose the money is.
    pub account: Address,
    /// How much, in wei.
    #[serde(with = "quantity")]
    pub amount: u128,
}

/// Takes money of its sender out of the ledger: the next distribution pays it on the settlement chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The sender's account nonce.
    pub nonce: u64,
    /// How much, in wei.
    #[serde(with = "quantity")]
    pub amount: u128,
}
