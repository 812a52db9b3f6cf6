//! What is on disk: one `redb` file.
//!
//! A damaged file is a typed error and never a wrong answer. Opening it has redb verify the checksums of all its pages,
//! which takes as long as reading the file. What is damaged later fails the checksum that every record carries over
//! its table, key and value. And since redb panics on some broken structures, its panics become the same error.
//!
//! What must be durable is what others rely on: what this replica has said, which is the journal. Appending to it is
//! the one write that waits for the disk, and it makes everything written before durable too. A block is written
//! without waiting. If the machine fails before the next append, the store is as it was at the last one: the block is
//! gone, but so is, being part of the same transaction, the removal of its journal, so the replica knows again what it
//! prepared at that height and cannot contradict itself. The block is final all the same, because a quorum has it
//! prepared durably, and comes again from the others or, if all have failed, from the next view's primary.

mod blocks;
mod error;
mod journal;
mod memory;
mod open;
mod proofs;
mod snapshots;
mod tables;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dtn_primitives::{Address, B256, CheckpointCertificate};
use redb::{Database, Durability, ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    error::StoreError,
    memory::{Memory, NEVER_VOTED, mark_never_voted},
};
use self::{
    error::{corrupt, guard},
    memory::AgeFile,
    tables::*,
};
use crate::{OpenOrder, Tip, state::State};

/// Writes that do not wait for the disk before one does: it bounds what a failing machine loses, and what redb holds
/// back from reuse until then.
const MAX_UNSYNCED: u64 = 64;

/// In place of the place of a result: the order's race ended without one.
pub(crate) const EXPIRED: u32 = u32::MAX;

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The height of its block.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
}

/// The durable part of a ledger. Clones read the same store, also while a block is being committed.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    name: Arc<str>,
    durable_writes: Arc<AtomicU64>,
    unsynced: Arc<AtomicU64>,
    beside: Option<Arc<AgeFile>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.name)
    }
}

impl Store {
    /// How often this process waited for the disk.
    pub fn durable_writes(&self) -> u64 {
        self.durable_writes.load(Ordering::Relaxed)
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        if self.unsynced.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        self.write(Durability::Immediate, |_| Ok(()))
    }

    /// The state at the tip, the tip if there is a block, and the last stable checkpoint.
    pub(crate) fn load(&self) -> Result<Loaded, StoreError> {
        let (state, tip, stable) = guard(&self.name, || {
            let reading = self.database.begin_read()?;
            let meta = reading.open_table(META)?;
            let tip: Option<(u64, B256)> = get(&meta, META, TIP_KEY)?;
            let stable = get(&meta, META, STABLE_KEY)?;
            let mut state = State::default();
            for record in reading.open_table(NONCES)?.iter()? {
                let (key, value) = record?;
                let account =
                    Address::try_from(key.value()).map_err(|_| corrupt("an account's key has no 20 bytes"))?;
                state.nonces.insert(account, unseal(NONCES, key.value(), value.value())?);
            }
            for record in reading.open_table(ORDERS)?.iter()? {
                let (key, value) = record?;
                let order = B256::try_from(key.value()).map_err(|_| corrupt("an order's key has no 32 bytes"))?;
                let open: OpenOrder = unseal(ORDERS, key.value(), value.value())?;
                state.orders.insert(order, open);
            }
            for record in reading.open_table(LINES)?.iter()? {
                let (key, value) = record?;
                let content = B256::try_from(key.value()).map_err(|_| corrupt("a line's key has no 32 bytes"))?;
                state.lines.insert(content, unseal(LINES, key.value(), value.value())?);
            }
            state.rounds = get(&meta, META, ROUNDS_KEY)?.unwrap_or_default();
            state.next_work = get(&meta, META, WORK_KEY)?.unwrap_or_default();
            state.nonces.floor = get(&meta, META, FLOOR_KEY)?.unwrap_or_default();
            Ok((state, tip, stable))
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

    /// The error of a record that contradicts another.
    pub(crate) fn contradiction(&self, reason: &str) -> StoreError {
        StoreError::Corrupt { store: self.name.to_string(), reason: reason.into() }
    }

    fn read<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        guard(&self.name, || get(&self.database.begin_read()?.open_table(table)?, table, key))
    }

    fn write(
        &self,
        durability: Durability,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let written = guard(&self.name, || {
            let mut transaction = self.database.begin_write()?;
            let late = self.unsynced.load(Ordering::Relaxed) >= MAX_UNSYNCED;
            let durable = late || matches!(durability, Durability::Immediate);
            transaction.set_durability(if durable { Durability::Immediate } else { durability })?;
            work(&transaction)?;
            if !durable {
                transaction.commit()?;
                self.unsynced.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
            let mut meta = transaction.open_table(META)?;
            let writes = get(&meta, META, WRITES_KEY)?.unwrap_or(0u64).saturating_add(1);
            put(&mut meta, META, WRITES_KEY, &writes)?;
            drop(meta);
            transaction.commit()?;
            self.durable_writes.fetch_add(1, Ordering::Relaxed);
            self.unsynced.store(0, Ordering::Relaxed);
            Ok(Some(writes))
        })?;
        match (&self.beside, written) {
            (Some(beside), Some(writes)) => beside.wrote(writes),
            _ => Ok(()),
        }
    }
}

/// What a store holds of the present.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) tip: Option<Tip>,
    pub(crate) stable: Option<CheckpointCertificate>,
}
