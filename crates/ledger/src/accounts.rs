//! Accounts: the nonces that they have used, of those that are remembered.
//!
//! Anybody may have an account, so their number is bounded, and who was idle longest is forgotten. What a forgotten account
//! has signed must not be executed again: whoever is not remembered begins with a nonce that is above all that anybody
//! forgotten has used.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

use dtn_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most accounts that are remembered: less than 10 MB of state. Those of requesters and validators are never forgotten.
pub(crate) const MAX_ACCOUNTS: usize = 1 << 18;

/// What is remembered of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    /// The nonce of its next transaction.
    pub(crate) next: u64,
    /// The height of the block with its last one.
    pub(crate) used: u64,
}

/// The accounts by address, and by when they were used last. Only the former is part of their encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    known: BTreeMap<Address, Account>,
    by_use: BTreeSet<(u64, Address)>,
    /// The first nonce of whoever is not remembered. It never falls.
    pub(crate) floor: u64,
}

impl Accounts {
    pub(crate) fn insert(&mut self, address: Address, account: Account) {
        self.remove(&address);
        self.by_use.insert((account.used, address));
        self.known.insert(address, account);
    }

    pub(crate) fn remove(&mut self, address: &Address) {
        if let Some(account) = self.known.remove(address) {
            self.by_use.remove(&(account.used, *address));
        }
    }

    /// All of them, the longest idle first.
    pub(crate) fn least_used(&self) -> impl Iterator<Item = Address> {
        self.by_use.iter().map(|(_, address)| *address)
    }
}

impl Deref for Accounts {
    type Target = BTreeMap<Address, Account>;

    fn deref(&self) -> &Self::Target {
        &self.known
    }
}

impl<'a> IntoIterator for &'a Accounts {
    type Item = (&'a Address, &'a Account);
    type IntoIter = std::collections::btree_map::Iter<'a, Address, Account>;

    fn into_iter(self) -> Self::IntoIter {
        self.known.iter()
    }
}

impl Serialize for Accounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.known, self.floor).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Accounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (known, floor): (BTreeMap<_, _>, _) = Deserialize::deserialize(deserializer)?;
        let mut accounts = Self { floor, ..Self::default() };
        known.into_iter().for_each(|(address, account)| accounts.insert(address, account));
        Ok(accounts)
    }
}
