//! The distributor's terms, and what it holds for whom.

use alloy::primitives::{Address, U256};
use serde::{Deserialize, Serialize};

use crate::networks::LOCAL_CHAIN_ID;

const ETHER: u128 = 1_000_000_000_000_000_000;

/// The most that one distribution may allot of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// The token; zero for the native currency.
    pub token: Address,
    /// In the token's unit.
    pub amount: u128,
}

/// On which terms distributions of rewards take effect. They are fixed at deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardTerms {
    /// Seconds from scheduling a distribution until it can take effect, in which people may look at it and the owners
    /// may cancel it.
    pub delay: u64,
    /// Seconds without a further distribution after which the unclaimed may be swept.
    pub claim_period: u64,
    /// What one distribution may allot of each token. Others cannot be distributed.
    pub caps: Vec<Cap>,
}

impl RewardTerms {
    /// What suits a chain: seconds on a development chain, two days where people have to look; a year to claim; ten
    /// ether at once, and no tokens.
    pub fn for_chain(chain_id: u64) -> Self {
        let delay = if chain_id == LOCAL_CHAIN_ID { 4 } else { 2 * 24 * 3600 };
        let caps = vec![Cap { token: Address::ZERO, amount: 10 * ETHER }];
        Self { delay, claim_period: 365 * 24 * 3600, caps }
    }

    /// The same with another cap for a token.
    pub fn with_cap(mut self, token: Address, amount: u128) -> Self {
        self.caps.retain(|cap| cap.token != token);
        self.caps.push(Cap { token, amount });
        self.caps.sort_by_key(|cap| cap.token);
        self
    }

    /// The most that one distribution may allot of a token.
    pub fn cap_of(&self, token: Address) -> U256 {
        self.caps.iter().find(|cap| cap.token == token).map_or(U256::ZERO, |cap| U256::from(cap.amount))
    }
}
