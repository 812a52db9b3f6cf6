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
//!
//! These writes are redb's in one phase, which waits for the disk once and tells by checksums whether a write arrived. So a
//! file that was not closed and whose last write is damaged opens as it was before that write, as if the machine had failed
//! in the middle of it. Two phases would tell the two apart, and wait twice for the disk before every vote. Instead every
//! durable write is counted, in the file and in another beside it that is written after it: a store that has fewer writes
//! than were counted is known for an older one, see `memory.rs`.

mod backup;
mod blocks;
mod checkpoints;
mod error;
mod journal;
mod memory;
mod migrate;
mod open;
mod proofs;
mod reading;
mod results;
mod shelf;
mod state;
mod tables;

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use redb::{Database, Durability, ReadableDatabase};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    blocks::KEPT_STATEMENTS,
    error::StoreError,
    memory::{Memory, NEVER_VOTED, mark_never_voted},
    reading::Reading,
};
use self::{error::Label, memory::AgeFile, shelf::Shelf, tables::*};
pub(crate) use self::{migrate::migrate, shelf::Cover, state::Loaded};

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
    /// Before the database, which is closed when nobody reads it any more.
    shelf: Arc<Shelf>,
    database: Arc<Database>,
    label: Arc<Label>,
    durable_writes: Arc<AtomicU64>,
    unsynced: Arc<AtomicU64>,
    beside: Option<Arc<AgeFile>>,
    /// After the database: closing that takes a moment, which is over when nobody has this any more.
    open: Arc<()>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.label)
    }
}

/// A store for whoever may read it until its owner closes it.
#[derive(Clone)]
pub struct WeakStore {
    shelf: Weak<Shelf>,
    database: Weak<Database>,
    label: Arc<Label>,
    durable_writes: Arc<AtomicU64>,
    unsynced: Arc<AtomicU64>,
    beside: Option<Arc<AgeFile>>,
    open: Weak<()>,
}

impl WeakStore {
    /// The store, unless it is closed; it stays open for as long as what is given lives.
    pub fn upgrade(&self) -> Option<Store> {
        Some(Store {
            shelf: self.shelf.upgrade()?,
            database: self.database.upgrade()?,
            label: self.label.clone(),
            durable_writes: self.durable_writes.clone(),
            unsynced: self.unsynced.clone(),
            beside: self.beside.clone(),
            open: self.open.upgrade()?,
        })
    }

    /// Whether somebody still has it open.
    pub fn is_open(&self) -> bool {
        self.open.strong_count() > 0
    }
}

impl fmt::Debug for WeakStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeakStore({})", self.label)
    }
}

impl Store {
    /// For whoever is not to keep it open.
    pub fn downgrade(&self) -> WeakStore {
        WeakStore {
            shelf: Arc::downgrade(&self.shelf),
            database: Arc::downgrade(&self.database),
            label: self.label.clone(),
            durable_writes: self.durable_writes.clone(),
            unsynced: self.unsynced.clone(),
            beside: self.beside.clone(),
            open: Arc::downgrade(&self.open),
        }
    }

    /// How often this process waited for the disk.
    pub fn durable_writes(&self) -> u64 {
        self.durable_writes.load(Ordering::Relaxed)
    }

    /// Makes everything that can be read so far durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        if self.unsynced.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        self.write(Durability::Immediate, |_| Ok(()))
    }

    /// The error of a record that contradicts another.
    pub(crate) fn contradiction(&self, reason: &str) -> StoreError {
        StoreError::Corrupt { store: self.label.to_string(), reason: reason.into() }
    }

    fn read<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.label.guard(|| get(&self.database.begin_read()?.open_table(table)?, table, key))
    }

    fn write(
        &self,
        durability: Durability,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let written = self.label.guard(|| {
            let mut transaction = self.database.begin_write()?;
            // Only who holds the transaction changes it, and before others see what it wrote.
            let unsynced = self.unsynced.load(Ordering::SeqCst);
            let late = unsynced >= MAX_UNSYNCED;
            let durable = late || matches!(durability, Durability::Immediate);
            transaction.set_durability(if durable { Durability::Immediate } else { durability })?;
            work(&transaction)?;
            if !durable {
                self.unsynced.fetch_add(1, Ordering::SeqCst);
                transaction.commit()?;
                return Ok(None);
            }
            let mut meta = transaction.open_table(META)?;
            let writes = get(&meta, META, WRITES_KEY)?.unwrap_or(0u64).saturating_add(1);
            put(&mut meta, META, WRITES_KEY, &writes)?;
            drop(meta);
            transaction.commit()?;
            self.durable_writes.fetch_add(1, Ordering::Relaxed);
            self.unsynced.fetch_sub(unsynced, Ordering::SeqCst);
            Ok(Some(writes))
        })?;
        match (&self.beside, written) {
            (Some(beside), Some(writes)) => beside.wrote(writes),
            _ => Ok(()),
        }
    }
}
