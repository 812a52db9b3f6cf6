//! The state at the tip, record by record, so that a block writes what it changes and nothing else.

use std::ops::RangeInclusive;

use dtn_primitives::{Address, B256, CheckpointCertificate};
use redb::{ReadTransaction, ReadableDatabase, TableHandle, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

use super::{Store, StoreError, error::corrupt, tables::*};
use crate::{
    Tip,
    buckets::keys,
    state::{Changes, State},
};

/// What a store holds of the present.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) tip: Option<Tip>,
    pub(crate) stable: Option<CheckpointCertificate>,
}

impl Store {
    /// The state at the tip, the tip if there is a block, and the last stable checkpoint.
    pub(crate) fn load(&self) -> Result<Loaded, StoreError> {
        let (state, tip, stable) = self.label.guard(|| {
            let reading = self.database.begin_read()?;
            let meta = reading.open_table(META)?;
            let tip: Option<(u64, B256)> = get(&meta, META, TIP_KEY)?;
            let stable = get(&meta, META, STABLE_KEY)?;
            Ok((read_state(&reading, &(0..=u16::MAX))?, tip, stable))
        })?;
        let tip = match tip {
            None => None,
            Some((height, hash)) => {
                let header = self.header(height)?.filter(|header| header.hash() == hash);
                let header = header.ok_or_else(|| self.contradiction("its last block is not the one that it names"))?;
                Some(Tip { height, hash, timestamp: header.timestamp })
            }
        };
        Ok(Loaded { state, tip, stable })
    }
}

/// What a transaction sees of the state: all that is in no bucket, and these buckets.
pub(super) fn read_state(reading: &ReadTransaction, buckets: &RangeInclusive<u16>) -> Result<State, redb::Error> {
    let meta = reading.open_table(META)?;
    let mut state = State {
        rounds: get(&meta, META, ROUNDS_KEY)?.unwrap_or_default(),
        next_work: get(&meta, META, WORK_KEY)?.unwrap_or_default(),
        ..State::default()
    };
    state.pot = get(&meta, META, POT_KEY)?.unwrap_or_default();
    state.earned = get(&meta, META, EARNED_KEY)?.unwrap_or_default();
    state.nonces.floor = get(&meta, META, FLOOR_KEY)?.unwrap_or_default();
    read_records(reading, NONCES, buckets, |key: [u8; 20], account| state.nonces.insert(Address::from(key), account))?;
    read_records(reading, ORDERS, buckets, |key: [u8; 32], open| state.orders.insert(B256::from(key), open))?;
    read_records(reading, LINES, buckets, |key: [u8; 32], copies| _ = state.lines.insert(B256::from(key), copies))?;
    read_records(reading, RECORDS, buckets, |key: [u8; 32], it| state.records.insert(B256::from(key), it))?;
    read_records(reading, BANK, buckets, |key: [u8; 20], it| _ = state.bank.insert(Address::from(key), it))?;
    read_records(reading, VAULTS, buckets, |key: [u8; 20], it| _ = state.vaults.insert(Address::from(key), it))?;
    read_records(reading, TRAINING, buckets, |key: [u8; 32], it| state.training.insert(B256::from(key), it))?;
    Ok(state)
}

fn read_records<V: DeserializeOwned, const N: usize>(
    reading: &ReadTransaction,
    table: Table,
    buckets: &RangeInclusive<u16>,
    mut take: impl FnMut([u8; N], V),
) -> Result<(), redb::Error> {
    let keys = keys::<[u8; N], N>(buckets);
    for record in reading.open_table(table)?.range::<&[u8]>(keys.start().as_slice()..=keys.end().as_slice())? {
        let (key, value) = record?;
        let wrong = |_| corrupt(&format!("a key of table {} has no {N} bytes", table.name()));
        take(key.value().try_into().map_err(wrong)?, unseal(table, key.value(), value.value())?);
    }
    Ok(())
}

/// Writes what a block has changed.
pub(super) fn put_changes(transaction: &WriteTransaction, changes: &Changes) -> Result<(), redb::Error> {
    put_records(transaction, NONCES, changes.nonces.iter().map(|(address, it)| (address.as_slice(), it.as_ref())))?;
    put_records(transaction, ORDERS, changes.orders.iter().map(|(order, open)| (order.as_slice(), open.as_ref())))?;
    put_records(transaction, LINES, changes.lines.iter().map(|(line, copies)| (line.as_slice(), copies.as_ref())))?;
    put_records(transaction, RECORDS, changes.records.iter().map(|(order, it)| (order.as_slice(), it.as_ref())))?;
    put_records(transaction, BANK, changes.bank.iter().map(|(account, it)| (account.as_slice(), Some(it))))?;
    put_records(transaction, VAULTS, changes.vaults.iter().map(|(vault, it)| (vault.as_slice(), Some(it))))?;
    put_records(transaction, TRAINING, changes.training.iter().map(|(order, it)| (order.as_slice(), it.as_ref())))?;
    let mut meta = transaction.open_table(META)?;
    if let Some(rounds) = &changes.rounds {
        put(&mut meta, META, ROUNDS_KEY, rounds)?;
    }
    put(&mut meta, META, FLOOR_KEY, &changes.floor)?;
    if changes.pot > 0 {
        put(&mut meta, META, POT_KEY, &changes.pot)?;
    }
    if changes.earned.total > 0 {
        put(&mut meta, META, EARNED_KEY, &changes.earned)?;
    }
    if changes.next_work > 0 {
        put(&mut meta, META, WORK_KEY, &changes.next_work)?;
    }
    Ok(())
}

/// Writes a state in place of the one that is there.
pub(super) fn replace_state(transaction: &WriteTransaction, state: &State) -> Result<(), redb::Error> {
    for table in [NONCES, ORDERS, LINES, RECORDS, BANK, VAULTS, TRAINING] {
        transaction.open_table(table)?.retain(|_, _| false)?;
    }
    put_records(transaction, NONCES, state.nonces.iter().map(|(account, nonce)| (account.as_slice(), Some(nonce))))?;
    put_records(transaction, ORDERS, state.orders.iter().map(|(order, open)| (order.as_slice(), Some(open))))?;
    put_records(transaction, LINES, state.lines.iter().map(|(line, copies)| (line.as_slice(), Some(copies))))?;
    put_records(transaction, RECORDS, state.records.iter().map(|(order, it)| (order.as_slice(), Some(it))))?;
    put_records(transaction, BANK, state.bank.iter().map(|(account, it)| (account.as_slice(), Some(it))))?;
    put_records(transaction, VAULTS, state.vaults.iter().map(|(vault, it)| (vault.as_slice(), Some(it))))?;
    put_records(transaction, TRAINING, state.training.iter().map(|(order, it)| (order.as_slice(), Some(it))))?;
    let mut meta = transaction.open_table(META)?;
    put(&mut meta, META, ROUNDS_KEY, &state.rounds)?;
    put(&mut meta, META, FLOOR_KEY, &state.nonces.floor)?;
    put(&mut meta, META, POT_KEY, &state.pot)?;
    put(&mut meta, META, EARNED_KEY, &state.earned)?;
    put(&mut meta, META, WORK_KEY, &state.next_work)
}

/// Writes records, and removes those that are `None`.
fn put_records<'a, V: Serialize + 'a>(
    transaction: &WriteTransaction,
    table: Table,
    records: impl Iterator<Item = (&'a [u8], Option<&'a V>)>,
) -> Result<(), redb::Error> {
    let mut opened = transaction.open_table(table)?;
    for (key, value) in records {
        match value {
            Some(value) => put(&mut opened, table, key, value)?,
            None => _ = opened.remove(key)?,
        }
    }
    Ok(())
}
