//! What a peer answers about money.

use dtn_primitives::{Earning, Statement, U256};
use serde::{Deserialize, Serialize};

/// The most earnings in one answer.
pub const MAX_EARNINGS: usize = 1024;

/// What an account has in the ledger, in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBalance {
    /// What it may stake, pay or take out.
    pub free: U256,
    /// What it has earned or taken out since the beginning, claimed on the settlement chain or not.
    pub earned: U256,
}

/// A page of what the ledger has stated of earnings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarningsPage {
    /// The statement.
    pub statement: Statement,
    /// How many accounts it states.
    pub count: usize,
    /// Some of them, in ascending order.
    pub earnings: Vec<Earning>,
}
