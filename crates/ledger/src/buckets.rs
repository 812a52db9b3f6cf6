//! The records of the state, laid out in buckets by the first two bytes of their keys: what the state's root is made of,
//! and what a part of a snapshot holds. Keys are hashes, so buckets are about equally full.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use dtn_primitives::{Address, B256, codec};
use dtn_training::TrainingOrder;
use serde::{Deserialize, Serialize};

use crate::{
    OpenOrder,
    accounts::Account,
    bank::{Balance, Vault},
    state::{Changes, State},
    work::{Record, line::Copies},
};

/// How many bits of a key name its bucket.
pub(crate) const BUCKET_BITS: u32 = 16;

/// How many buckets there are.
pub(crate) const BUCKETS: usize = 1 << BUCKET_BITS;

/// The records of a bucket, of each kind in ascending order of their keys.
#[derive(Serialize)]
struct Records<'a> {
    nonces: Vec<(&'a Address, &'a Account)>,
    orders: Vec<(&'a B256, &'a OpenOrder)>,
    lines: Vec<(&'a B256, &'a Copies)>,
    records: Vec<(&'a B256, &'a Record)>,
    bank: Vec<(&'a Address, &'a Balance)>,
    vaults: Vec<(&'a Address, &'a Vault)>,
    training: Vec<(&'a B256, &'a TrainingOrder)>,
}

/// The same, as it is read.
#[derive(Deserialize)]
struct OwnedRecords {
    nonces: Vec<(Address, Account)>,
    orders: Vec<(B256, OpenOrder)>,
    lines: Vec<(B256, Copies)>,
    records: Vec<(B256, Record)>,
    bank: Vec<(Address, Balance)>,
    vaults: Vec<(Address, Vault)>,
    training: Vec<(B256, TrainingOrder)>,
}

/// The bucket of a key.
fn bucket_of<const N: usize>(key: [u8; N]) -> u16 {
    let [first, second] = [key[0], key[1]];
    u16::from_be_bytes([first, second])
}

/// The keys of a range of buckets.
pub(crate) fn keys<K: From<[u8; N]>, const N: usize>(buckets: &RangeInclusive<u16>) -> RangeInclusive<K> {
    let key = |number: u16, rest: u8| {
        let mut key = [rest; N];
        key[..2].copy_from_slice(&number.to_be_bytes());
        K::from(key)
    };
    key(*buckets.start(), 0)..=key(*buckets.end(), u8::MAX)
}

fn part<K: Ord + From<[u8; N]>, V, const N: usize>(map: &BTreeMap<K, V>, number: u16) -> Vec<(&K, &V)> {
    map.range(keys::<K, N>(&(number..=number))).collect()
}

impl State {
    /// The records of a bucket, encoded; `None` if it has none.
    pub(crate) fn bucket(&self, number: u16) -> Option<Vec<u8>> {
        let records = Records {
            nonces: part::<_, _, 20>(&*self.nonces, number),
            orders: part::<_, _, 32>(&*self.orders, number),
            lines: part::<_, _, 32>(&self.lines, number),
            records: part::<_, _, 32>(&*self.records, number),
            bank: part::<_, _, 20>(&self.bank, number),
            vaults: part::<_, _, 20>(&self.vaults, number),
            training: part::<_, _, 32>(&*self.training, number),
        };
        let Records { nonces, orders, lines, records: others, bank, vaults, training } = &records;
        let of_work = orders.is_empty() && lines.is_empty() && others.is_empty() && training.is_empty();
        let is_empty = of_work && nonces.is_empty() && bank.is_empty() && vaults.is_empty();
        (!is_empty).then(|| codec::encode(&records))
    }

    /// Takes in the records of a bucket, which is part of a state that a quorum signed.
    pub(crate) fn add_bucket(&mut self, encoded: &[u8]) -> Result<(), codec::CodecError> {
        let OwnedRecords { nonces, orders, lines, records, bank, vaults, training } =
            codec::decode(encoded, encoded.len())?;
        nonces.into_iter().for_each(|(address, account)| self.nonces.insert(address, account));
        orders.into_iter().for_each(|(hash, open)| self.orders.insert(hash, open));
        self.lines.extend(lines);
        records.into_iter().for_each(|(hash, record)| self.records.insert(hash, record));
        self.bank.extend(bank);
        self.vaults.extend(vaults);
        training.into_iter().for_each(|(id, order)| self.training.insert(id, order));
        Ok(())
    }

    /// The buckets that hold something, in their order.
    pub(crate) fn buckets(&self) -> BTreeSet<u16> {
        let hashes = self.orders.keys().chain(self.lines.keys()).chain(self.records.keys()).chain(self.training.keys());
        buckets(self.nonces.keys().chain(self.bank.keys()).chain(self.vaults.keys()), hashes)
    }
}

impl Changes {
    /// The buckets that it changes, in their order.
    pub(crate) fn buckets(&self) -> BTreeSet<u16> {
        let hashes = self.orders.keys().chain(self.lines.keys()).chain(self.records.keys()).chain(self.training.keys());
        buckets(self.nonces.keys().chain(self.bank.keys()).chain(self.vaults.keys()), hashes)
    }
}

fn buckets<'a>(accounts: impl Iterator<Item = &'a Address>, hashes: impl Iterator<Item = &'a B256>) -> BTreeSet<u16> {
    let accounts = accounts.map(|account| bucket_of(account.into_array()));
    accounts.chain(hashes.map(|hash| bucket_of(hash.0))).collect()
}
