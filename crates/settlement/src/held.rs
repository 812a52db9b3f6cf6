//! What holds back a payment that the owners could make: limits, allowances, pauses, the end of a distributor.

use std::fmt;

use alloy::primitives::{Address, U256};
use dtn_bindings::{ContractAddresses, ResultRegistry, RewardDistributor};
use dtn_chain::{
    amount::format_amount,
    connection::{Chain, ReadError},
};
use dtn_primitives::{FinalizedResult, Kind};
use serde::Serialize;

use crate::payment::{Payment, Stage};

/// Why a payment waits. Amounts are in wei, times in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Held {
    /// The distributor pays no block above this height any more.
    Closed {
        /// The last one.
        last_height: u64,
    },
    /// The validators have paused the owners' lock.
    OwnersPaused {
        /// Until then.
        until: u64,
    },
    /// The owners have paused the validators' lock, and the block is not posted.
    ValidatorsPaused {
        /// Until then.
        until: u64,
    },
    /// The stakes that the registry requires are not all there, or nobody has said so, and the block is not posted.
    NotOpen,
    /// There is less money that is owed to nobody.
    Funds {
        /// What there is.
        free: U256,
        /// What it takes.
        need: U256,
    },
    /// More than is left of an allowance.
    Allowance {
        /// Whose: a requester, or the kind of work whose number the account is.
        requester: Address,
        /// What is left.
        left: U256,
        /// What it takes.
        need: U256,
        /// What it is when nothing of it is used.
        cap: U256,
    },
    /// More than may leave now.
    Limit {
        /// What may.
        available: U256,
        /// What it takes.
        need: U256,
        /// What may when nothing has left for a period.
        cap: U256,
    },
}

impl Held {
    /// Whether it does not pass by waiting: it takes more than there ever may be at once, or the distributor is closed.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Allowance { need, cap, .. } | Self::Limit { need, cap, .. } => need > cap,
            _ => false,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { last_height } => write!(f, "the distributor pays no block above {last_height}"),
            Self::OwnersPaused { until } => write!(f, "the owners' lock is paused until second {until} of Unix time"),
            Self::ValidatorsPaused { until } => {
                write!(f, "the validators' lock is paused until second {until} of Unix time")
            }
            Self::NotOpen => f.write_str("the registry is not open: validators have no stake there"),
            Self::Funds { free, need } => {
                write!(f, "{} are free, and it takes {}", format_amount(*free), format_amount(*need))
            }
            Self::Allowance { requester, left, need, cap } => {
                let whose = match kind_of(*requester) {
                    Some(kind) => format!("the allowance of work of kind {kind}"),
                    None => format!("the allowance of requester {requester}"),
                };
                let [left, need, cap] = [left, need, cap].map(|amount| format_amount(*amount));
                write!(f, "{left} of {cap} are left of {whose}, and it takes {need}")
            }
            Self::Limit { available, need, cap } => {
                let [available, need, cap] = [available, need, cap].map(|amount| format_amount(*amount));
                write!(f, "{available} of {cap} may leave now, and it takes {need}")
            }
        }
    }
}

/// The account whose allowance the work of a kind shares.
pub fn account_of(kind: Kind) -> Address {
    Address::left_padding_from(&kind.number().to_be_bytes())
}

/// The kind of work whose allowance is an account's, if it is no requester's.
pub fn kind_of(account: Address) -> Option<Kind> {
    let (zeros, number) = account.split_at(16);
    let number = u32::from_be_bytes(number.try_into().unwrap_or_default());
    let kind: Kind = format!("{number:#010x}").parse().ok()?;
    // No other kind has an allowance: of a race it is the requester's, and a batch is bound by the limit alone.
    (zeros.iter().all(|byte| *byte == 0) && (kind == Kind::ROUND || kind.is_custom())).then_some(kind)
}

/// The limits of a network's contracts, for reading.
#[derive(Debug, Clone)]
pub struct Limits {
    chain: Chain,
    contracts: ContractAddresses,
}

impl Limits {
    /// Those at these addresses.
    pub fn new(chain: Chain, contracts: ContractAddresses) -> Self {
        Self { chain, contracts }
    }

    async fn distributor<C: alloy::sol_types::SolCall>(&self, call: &C) -> Result<C::Return, ReadError> {
        self.chain.read_at(self.contracts.distributor, call, self.chain.clock_block()).await
    }

    async fn registry<C: alloy::sol_types::SolCall>(&self, call: &C) -> Result<C::Return, ReadError> {
        self.chain.read_at(self.contracts.registry, call, self.chain.clock_block()).await
    }

    /// What holds a payment back at this stage; `None` if nothing does, or if some of its results can be paid.
    pub async fn held(&self, payment: &Payment, stage: Stage) -> Result<Option<Held>, ReadError> {
        let now = self.chain.clock().await?;
        let is_posted = match stage {
            Stage::Unproven | Stage::Divided | Stage::Settled { .. } => return Ok(None),
            Stage::Unposted => false,
            Stage::Unproposed | Stage::Confirming { .. } | Stage::Executable { .. } => true,
        };
        let last_height = self.distributor(&RewardDistributor::lastHeightCall {}).await?;
        if payment.block().header.height > last_height {
            return Ok(Some(Held::Closed { last_height }));
        }
        if !is_posted {
            let until = self.registry(&ResultRegistry::pausedUntilCall {}).await?;
            if now < until {
                return Ok(Some(Held::ValidatorsPaused { until }));
            }
            if !self.registry(&ResultRegistry::isOpenCall {}).await? {
                return Ok(Some(Held::NotOpen));
            }
        }
        let until = u64::from(self.distributor(&RewardDistributor::pausedUntilCall {}).await?);
        if now < until {
            return Ok(Some(Held::OwnersPaused { until }));
        }
        let mut held = None;
        for result in payment.results() {
            held = self.held_alone(result).await?;
            if held.is_none() {
                break;
            }
        }
        Ok(held)
    }

    /// The same for one result, as the distributor explains it.
    async fn held_alone(&self, result: &FinalizedResult) -> Result<Option<Held>, ReadError> {
        let (need, token) = (result.result.amount, Address::ZERO);
        let requester = match (result.result.kind, &result.solution) {
            (Kind::BATCH, _) => return Ok(None),
            (Kind::RACE, Some(solution)) => solution.requester,
            (kind, _) => account_of(kind),
        };
        let free = self.distributor(&RewardDistributor::freeCall { token }).await?;
        if need > free {
            return Ok(Some(Held::Funds { free, need }));
        }
        let of = self.distributor(&RewardDistributor::allowanceOfCall { requester }).await?;
        if need > of.left {
            return Ok(Some(Held::Allowance { requester, left: of.left, need, cap: U256::from(of.cap) }));
        }
        let available = self.distributor(&RewardDistributor::availableCall { token }).await?;
        if need > available {
            let cap = U256::from(self.distributor(&RewardDistributor::capOfCall { token }).await?);
            return Ok(Some(Held::Limit { available, need, cap }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_of_a_kind_of_work_is_told_from_that_of_a_requester() {
        let custom = Kind::of_name("render").expect("a name");
        for kind in [Kind::ROUND, custom] {
            assert_eq!(kind_of(account_of(kind)), Some(kind));
        }
        assert_eq!(kind_of(Address::ZERO), None);
        assert_eq!(kind_of(Address::with_last_byte(0xe1)), None);
        assert_eq!(kind_of(Address::repeat_byte(1)), None);
        let [left, need, cap] = [1u64, 5, 9].map(|amount| U256::from(amount) * U256::from(10).pow(U256::from(18)));
        let held = Held::Allowance { requester: account_of(Kind::ROUND), left, need, cap };
        assert_eq!(
            held.to_string(),
            "1ether of 9ether are left of the allowance of work of kind round, and it takes 5ether"
        );
        assert!(!held.is_lasting());
        assert!(Held::Limit { available: left, need: cap, cap: need }.is_lasting());
    }
}
