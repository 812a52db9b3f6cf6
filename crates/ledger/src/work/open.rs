//! What is open until its time is up: found by its hash, by when it ends, and by who has asked for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

use dtn_primitives::{Address, B256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most that a block ends of one sort, the longest overdue first: what is left is ended by those after it.
const MAX_ENDED: usize = 1_024;

/// What ends by itself, and is somebody's.
pub(crate) trait Ends {
    /// The last moment, by the blocks' timestamps, before it ends: the first later block ends it.
    fn ends_ms(&self) -> u64;

    /// Who has asked for it.
    fn requester(&self) -> Address;
}

/// What a block changes of something open, by hash; `None` is open no longer.
pub(crate) type OpenChanges<T> = BTreeMap<B256, Option<T>>;

/// The open ones by their hashes. Only these are part of the encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open<T> {
    by_hash: BTreeMap<B256, T>,
    by_end: BTreeSet<(u64, B256)>,
    by_requester: BTreeMap<Address, usize>,
}

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self { by_hash: BTreeMap::new(), by_end: BTreeSet::new(), by_requester: BTreeMap::new() }
    }
}

impl<T: Ends> Open<T> {
    pub(crate) fn insert(&mut self, hash: B256, open: T) {
        self.remove(&hash);
        self.by_end.insert((open.ends_ms(), hash));
        *self.by_requester.entry(open.requester()).or_default() += 1;
        self.by_hash.insert(hash, open);
    }

    pub(crate) fn remove(&mut self, hash: &B256) {
        let Some(open) = self.by_hash.remove(hash) else { return };
        self.by_end.remove(&(open.ends_ms(), *hash));
        if let Some(count) = self.by_requester.get_mut(&open.requester()) {
            *count -= 1;
            if *count == 0 {
                self.by_requester.remove(&open.requester());
            }
        }
    }

    pub(crate) fn apply(&mut self, changes: OpenChanges<T>) {
        for (hash, open) in changes {
            match open {
                Some(open) => self.insert(hash, open),
                None => self.remove(&hash),
            }
        }
    }

    /// Those that a block with this timestamp would end, the longest overdue first.
    pub(crate) fn over(&self, timestamp_ms: u64) -> impl Iterator<Item = B256> {
        self.by_end.range(..(timestamp_ms, B256::ZERO)).map(|(_, hash)| *hash)
    }

    /// How many are of one account.
    pub(crate) fn of(&self, requester: Address) -> usize {
        self.by_requester.get(&requester).copied().unwrap_or_default()
    }
}

/// Of those given, what a block with this timestamp ends, the longest overdue first.
pub(crate) fn over<'a, T: Ends + 'a>(open: impl IntoIterator<Item = (B256, &'a T)>, timestamp_ms: u64) -> Vec<B256> {
    let over =
        open.into_iter().map(|(hash, open)| (open.ends_ms(), hash)).filter(|(ends_ms, _)| *ends_ms < timestamp_ms);
    let mut over: Vec<_> = over.collect();
    over.sort_unstable();
    over.truncate(MAX_ENDED);
    over.into_iter().map(|(_, hash)| hash).collect()
}

/// What is open at the tip with what blocks on top of it change, the lowest block's changes first.
#[derive(Debug)]
pub(crate) struct Layered<'a, T> {
    pub(crate) tip: &'a Open<T>,
    pub(crate) layers: Vec<&'a OpenChanges<T>>,
}

impl<'a, T: Ends> Layered<'a, T> {
    pub(crate) fn get(&self, hash: B256) -> Option<&'a T> {
        match self.layers.iter().rev().find_map(|changes| changes.get(&hash)) {
            Some(changed) => changed.as_ref(),
            None => self.tip.get(&hash),
        }
    }

    /// Those that a block with this timestamp ends, the longest overdue first.
    pub(crate) fn over(&self, timestamp_ms: u64) -> Vec<B256> {
        let changed = self.changed();
        let unchanged = self.tip.over(timestamp_ms).filter(|hash| !changed.contains(hash)).take(MAX_ENDED);
        let known = unchanged.chain(changed.iter().copied());
        over(known.filter_map(|hash| Some((hash, self.get(hash)?))), timestamp_ms)
    }

    /// How many of an account are open. Costs as much as the layers have changed.
    pub(crate) fn of(&self, requester: Address) -> usize {
        let is_its = |open: Option<&T>| open.is_some_and(|open| open.requester() == requester);
        let changed = self.changed();
        let before = changed.iter().filter(|hash| is_its(self.tip.get(*hash))).count();
        let after = changed.iter().filter(|hash| is_its(self.get(**hash))).count();
        self.tip.of(requester) + after - before
    }

    /// The hashes of all.
    pub(crate) fn ids(&self) -> BTreeSet<B256> {
        let mut ids: BTreeSet<_> = self.tip.keys().copied().collect();
        for (hash, open) in self.layers.iter().flat_map(|changes| changes.iter()) {
            let _: bool = if open.is_some() { ids.insert(*hash) } else { ids.remove(hash) };
        }
        ids
    }

    fn changed(&self) -> BTreeSet<B256> {
        self.layers.iter().flat_map(|changes| changes.keys()).copied().collect()
    }
}

impl<T> Deref for Open<T> {
    type Target = BTreeMap<B256, T>;

    fn deref(&self) -> &Self::Target {
        &self.by_hash
    }
}

impl<'a, T> IntoIterator for &'a Open<T> {
    type Item = (&'a B256, &'a T);
    type IntoIter = std::collections::btree_map::Iter<'a, B256, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.by_hash.iter()
    }
}

impl<T: Ends> FromIterator<(B256, T)> for Open<T> {
    fn from_iter<I: IntoIterator<Item = (B256, T)>>(all: I) -> Self {
        let mut open = Self::default();
        all.into_iter().for_each(|(hash, one)| open.insert(hash, one));
        open
    }
}

impl<T: Serialize> Serialize for Open<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.by_hash.serialize(serializer)
    }
}

impl<'de, T: Ends + Deserialize<'de>> Deserialize<'de> for Open<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}
