//! What validators resolve and another contract asks for by name. `docs/reference/formats.md` has the table.

use std::fmt;

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolValue,
};
use serde::{Deserialize, Serialize};

use dtn_bindings::ContractAddresses;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// The distributor does not do what its owners agree to, for a while.
    PauseOwners,
    /// Another wallet takes the place of one whose owners have lost their keys.
    HandOver,
    /// What is free in a closed distributor goes to the next one.
    MoveOn,
    /// Another wallet is the registry's guardian.
    ReplaceGuardian,
    /// A block that thieves have made up is not final any more.
    Retract,
    /// A distributor pays no block above a height, which is below the greatest that the registry knows.
    Close,
}

impl Deed {
    /// As the contracts name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PauseOwners => "pause owners",
            Self::HandOver => "hand over",
            Self::MoveOn => "move on",
            Self::ReplaceGuardian => "replace guardian",
            Self::Retract => "retract",
            Self::Close => "close",
        }
    }
}

/// What validators agree to: what is done, by which contract, and with which number or account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Action {
    /// What is done.
    pub deed: Deed,
    /// The contract that does it.
    #[serde(deserialize_with = "dtn_primitives::deserialize_address")]
    pub target: Address,
    /// With what: an account, a height, or how many pauses there were before.
    pub value: U256,
}

impl Action {
    /// That of these contracts.
    pub fn new(deed: Deed, contracts: &ContractAddresses, value: U256) -> Self {
        let target = match deed {
            Deed::PauseOwners | Deed::HandOver | Deed::MoveOn | Deed::Close => contracts.distributor,
            Deed::ReplaceGuardian | Deed::Retract => contracts.registry,
        };
        Self { deed, target, value }
    }

    /// What is signed, and what the registry knows it by.
    pub fn hash(&self) -> B256 {
        keccak256((self.deed.name(), self.target, self.value).abi_encode_params())
    }

    /// The account that it is about, if it is about one.
    pub fn account(&self) -> Option<Address> {
        let is_account = matches!(self.deed, Deed::HandOver | Deed::MoveOn | Deed::ReplaceGuardian);
        is_account.then(|| Address::from_word(self.value.into()))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deed, target, value } = self;
        match self.account() {
            Some(account) => write!(f, "{} of {target}: {account}", deed.name()),
            None => write!(f, "{} of {target}: {value}", deed.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_hashed_as_the_contracts_do() {
        let vectors = include_str!("../../primitives/tests/vectors.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).expect("JSON");
        let golden = |key: &str| vectors["resolution"][key].as_str().expect("a text").to_string();
        assert_eq!(golden("what"), Deed::Retract.name());
        let (target, value) =
            (golden("target").parse().expect("an account"), golden("value").parse().expect("a number"));
        let action = Action { deed: Deed::Retract, target, value };
        assert_eq!(action.hash().to_string(), golden("action"));
    }

    #[test]
    fn deeds_have_the_names_that_the_contracts_ask_for() {
        let sources = [
            include_str!("../../../contracts/src/rewards/Locks.sol"),
            include_str!("../../../contracts/src/registry/Guard.sol"),
            include_str!("../../../contracts/src/registry/ResultRegistry.sol"),
        ];
        let deeds =
            [Deed::PauseOwners, Deed::HandOver, Deed::MoveOn, Deed::ReplaceGuardian, Deed::Retract, Deed::Close];
        for deed in deeds {
            let asked = format!("Formats.action(\"{}\", address(this)", deed.name());
            assert!(sources.iter().any(|source| source.contains(&asked)), "{asked}");
        }
    }
}
