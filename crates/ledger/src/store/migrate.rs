//! Stores of earlier versions, brought to this one step by step. A step keeps what is valid still; what is not comes from
//! the other peers, as for one that has lost its store.

use std::{collections::BTreeSet, fs, io, path::Path};

use dtn_primitives::{Address, B256, Header, Kind, Payload, Round, Rounds, U256, VERSION, WorkResult};
use redb::{Database, ReadableDatabase, ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{
    Memory, StoreError,
    backup::{copy, publish},
    error::{Label, corrupt},
    tables::*,
};
use crate::{OpenOrder, accounts::Account};

/// Brings a store from one version to the next.
struct Step {
    from: u32,
    run: fn(&WriteTransaction) -> Result<(), redb::Error>,
}

const STEPS: [Step; 2] = [Step { from: 6, run: from_6 }, Step { from: 7, run: from_7 }];

/// Brings the store of a stopped peer to this version, and gives the version that it had. The store as it was stays beside
/// it, under its name with that version.
pub(crate) fn migrate(store: &Path, network_id: B256) -> Result<u32, StoreError> {
    let label = Label::new(store.display());
    fs::metadata(store).map_err(|error| StoreError::io(store, error))?;
    let (have, network) = label.guard(|| {
        let mut database = Database::builder().open(store)?;
        if !database.check_integrity()? {
            return Err(corrupt("its pages fail their checksums"));
        }
        let meta = database.begin_read()?.open_table(META)?;
        let network: Option<B256> = get(&meta, META, NETWORK_KEY)?;
        Ok((version(&meta)?, network))
    })?;
    match network {
        Some(network) if network == network_id => {}
        Some(have) => return Err(StoreError::OtherNetwork { store: label.to_string(), have, need: network_id }),
        None => return Err(StoreError::corrupt(store, "it names no network")),
    }
    let steps: Vec<_> = STEPS.iter().skip_while(|step| step.from != have).collect();
    if have == VERSION {
        return Ok(have);
    }
    if steps.is_empty() {
        return Err(StoreError::OtherVersion { store: label.to_string(), have, need: VERSION });
    }
    let draft = store.with_file_name("migrated.redb");
    copy(store, &draft).map_err(|error| StoreError::io(&draft, error))?;
    label.guard(|| {
        let database = Database::builder().open(&draft)?;
        let transaction = database.begin_write()?;
        for step in steps {
            (step.run)(&transaction)?;
            put(&mut transaction.open_table(META)?, META, SCHEMA_KEY, &(step.from + 1))?;
        }
        Ok(transaction.commit()?)
    })?;
    let old = store.with_extension(format!("{have}.redb"));
    // The store is there at every moment. If it was put aside before, a crash came between.
    match fs::hard_link(store, &old) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(StoreError::io(&old, error)),
        _ => {}
    }
    publish(&draft, store).map_err(|error| StoreError::io(store, error))?;
    Ok(have)
}

/// What a store of version 6 had of an order that is open.
#[derive(Serialize, Deserialize)]
struct OpenOrder6 {
    requester: Address,
    payload: Payload,
    height: u64,
    race: B256,
}

/// From 7 on, a block's root binds the order of its transactions, the state's root is that of another tree, and peers
/// speak otherwise. So the blocks, the checkpoint and the journal go.
fn from_6(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let tip = forget(transaction, &["blocks", "transactions", "snapshots", "chunks", "journal"])?;
    let header: Option<Header> = get(&transaction.open_table(HEADERS)?, HEADERS, &tip.to_be_bytes())?;
    // Orders had no end, and accounts were used at any time: both count from the tip on, which all peers have in common.
    let opened_at_ms = header.map_or(0, |header| header.timestamp);
    let mut nonces = transaction.open_table(NONCES)?;
    let old = nonces.iter()?.map(|record| {
        let (key, value) = record?;
        let next: u64 = unseal(NONCES, key.value(), value.value())?;
        Ok((key.value().to_vec(), next))
    });
    for (key, next) in old.collect::<Result<Vec<_>, redb::Error>>()? {
        put(&mut nonces, NONCES, &key, &Account { next, used: tip })?;
    }
    let mut orders = transaction.open_table(ORDERS)?;
    let old = orders.iter()?.map(|record| {
        let (key, value) = record?;
        let order: OpenOrder6 = unseal(ORDERS, key.value(), value.value())?;
        Ok((key.value().to_vec(), order))
    });
    for (key, OpenOrder6 { requester, payload, height, race }) in old.collect::<Result<Vec<_>, redb::Error>>()? {
        put(&mut orders, ORDERS, &key, &OpenOrder { requester, payload, height, opened_at_ms, race, lead: None })?;
    }
    transaction.open_table(META)?.remove(b"fresh".as_slice())?;
    keep_headers(transaction, tip)
}

/// What a store of version 7 had of a result.
#[derive(Serialize, Deserialize)]
struct WorkResult7 {
    id: B256,
    worker: Address,
    payee: Address,
    amount: U256,
    digest: B256,
}

/// From 8 on, a result names its kind, which is part of the leaf that a block's header commits to. No peer executes the blocks of
/// before to what their headers say, so they go. Their results stay, and are proven by the leaves that they had.
fn from_7(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    let tip = forget(transaction, &["blocks", "transactions", "journal"])?;
    let mut results = transaction.open_table(RESULTS)?;
    let old = results.iter()?.map(|record| {
        let (key, value) = record?;
        let old: Vec<WorkResult7> = unseal(RESULTS, key.value(), value.value())?;
        Ok((key.value().to_vec(), old))
    });
    for (key, old) in old.collect::<Result<Vec<_>, redb::Error>>()? {
        let named = old.into_iter().map(|WorkResult7 { id, worker, payee, amount, digest }| {
            let kind = if Round::of_id(id).is_some() { Kind::ROUND } else { Kind::RACE };
            WorkResult { kind, id, worker, payee, amount, digest }
        });
        put(&mut results, RESULTS, &key, &named.collect::<Vec<_>>())?;
    }
    drop(results);
    keep_headers(transaction, tip)
}

/// Empties tables and forgets the checkpoint, what was said, and that there were blocks below the tip. Gives the tip's height.
fn forget(transaction: &WriteTransaction, gone: &[&'static str]) -> Result<u64, redb::Error> {
    for table in gone {
        transaction.delete_table(Table::new(table))?;
    }
    for table in TABLES {
        transaction.open_table(table)?;
    }
    let mut meta = transaction.open_table(META)?;
    let tip: Option<(u64, B256)> = get(&meta, META, TIP_KEY)?;
    let tip = tip.map_or(0, |(height, _)| height);
    meta.remove(STABLE_KEY)?;
    put(&mut meta, META, LOWEST_KEY, &tip.saturating_add(1))?;
    put(&mut meta, META, MEMORY_KEY, &Memory::Lost)?;
    Ok(tip)
}

/// Keeps headers and certificates where they prove payouts, and those of the tip.
fn keep_headers(transaction: &WriteTransaction, tip: u64) -> Result<(), redb::Error> {
    let meta = transaction.open_table(META)?;
    let mut kept = BTreeSet::from([tip]);
    let rounds: Rounds = get(&meta, META, ROUNDS_KEY)?.unwrap_or_default();
    kept.extend(rounds.open.map(|round| round.height));
    for record in transaction.open_table(ROUNDS)?.iter()? {
        let (key, value) = record?;
        let round: Round = unseal(ROUNDS, key.value(), value.value())?;
        kept.insert(round.height);
    }
    for record in transaction.open_table(RESULTS)?.iter()? {
        kept.insert(height(record?.0.value())?);
    }
    for table in [HEADERS, CERTIFICATES] {
        transaction.open_table(table)?.retain(|key, _| height(key).is_ok_and(|height| kept.contains(&height)))?;
    }
    Ok(())
}
