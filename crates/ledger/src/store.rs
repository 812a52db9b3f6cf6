//! What is on disk: one `redb` file.
//!
//! A damaged file is a typed error and never a wrong answer. Opening it has redb verify the checksums of all its pages,
//! which takes as long as reading the file. What is damaged later fails the checksum that every record carries over
//! its table, key and value. And since redb panics on some broken structures, its panics become the same error.

use std::{
    cell::Cell,
    fmt, io,
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Once},
};

use dtn_primitives::{Address, B256, Block, Certificate, WorkResult, codec};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableHandle, backends::InMemoryBackend};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    CheckedBlock,
    state::{OrderStatus, State},
};

/// The layout of the tables; raised when it changes.
const SCHEMA: u32 = 1;

/// Pages that redb keeps in memory; its default is 1 GiB, and several peers may share a machine.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

const CHECKSUM_BYTES: usize = 8;

type Table = redb::TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: Table = Table::new("meta");
const BLOCKS: Table = Table::new("blocks");
const CERTIFICATES: Table = Table::new("certificates");
const RESULTS: Table = Table::new("results");
const TRANSACTIONS: Table = Table::new("transactions");
const NONCES: Table = Table::new("nonces");
const ORDERS: Table = Table::new("orders");
const JOURNAL: Table = Table::new("journal");

const TABLES: [Table; 8] = [META, BLOCKS, CERTIFICATES, RESULTS, TRANSACTIONS, NONCES, ORDERS, JOURNAL];

/// Keys of the table of the store's own facts.
const SCHEMA_KEY: &[u8] = b"schema";
const NETWORK_KEY: &[u8] = b"network";
const TIP_KEY: &[u8] = b"tip";

/// Why the store failed. Every message names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store {store} is in use by another process: stop that peer, or give this one another directory")]
    Locked {
        /// The file.
        store: String,
    },
    /// It belongs to another network.
    #[error("the store {store} is of network {have}, not {need}: use another directory for this network")]
    OtherNetwork {
        /// The file.
        store: String,
        /// Its network id.
        have: B256,
        /// The genesis's.
        need: B256,
    },
    /// It was written by another version of this program.
    #[error("the store {store} has schema {have}, this program needs {need}: move it away; the peer will catch up")]
    OtherSchema {
        /// The file.
        store: String,
        /// Its schema.
        have: u32,
        /// This program's.
        need: u32,
    },
    /// It is damaged, or no store at all.
    #[error("the store {store} is corrupt ({reason}): move it away and start again; the peer will catch up")]
    Corrupt {
        /// The file.
        store: String,
        /// What was found.
        reason: String,
    },
    /// The system refused to read or write it.
    #[error("the store {store}: {reason}")]
    Io {
        /// The file.
        store: String,
        /// What the system says.
        reason: String,
    },
}

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
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.name)
    }
}

impl Store {
    /// Opens the file, or makes a new one.
    pub(crate) fn open(path: &Path, network_id: B256) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let database = guard(&name, || {
            let mut database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
            // "Repaired" may mean that the last commit was undone, and with it votes that others have seen.
            if database.check_integrity()? { Ok(database) } else { Err(corrupt("its pages fail their checksums")) }
        })?;
        Self::check(database, name, network_id)
    }

    /// A store that is gone when it is dropped.
    pub(crate) fn in_memory(network_id: B256) -> Result<Self, StoreError> {
        let name = "in memory".to_string();
        let backend = InMemoryBackend::new();
        let builder = || Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?);
        Self::check(guard(&name, builder)?, name, network_id)
    }

    /// Makes the tables of a new store; an old one must be of this schema and network.
    fn check(database: Database, name: String, network_id: B256) -> Result<Self, StoreError> {
        let store = Self { database: Arc::new(database), name: name.into() };
        let known = guard(&store.name, || {
            let reading = store.database.begin_read()?;
            let tables = reading.list_tables()?.count();
            if tables == 0 {
                return Ok(None);
            }
            let schema: Option<u32> = get(&reading.open_table(META)?, META, SCHEMA_KEY)?;
            let network: Option<B256> = get(&reading.open_table(META)?, META, NETWORK_KEY)?;
            schema.zip(network).map(Some).ok_or_else(|| corrupt("it names no schema or network"))
        })?;
        let store_name = || store.name.to_string();
        match known {
            None => store.write(|transaction| {
                for table in TABLES {
                    transaction.open_table(table)?;
                }
                let mut meta = transaction.open_table(META)?;
                put(&mut meta, META, SCHEMA_KEY, &SCHEMA)?;
                put(&mut meta, META, NETWORK_KEY, &network_id)
            })?,
            Some((schema, _)) if schema != SCHEMA => {
                return Err(StoreError::OtherSchema { store: store_name(), have: schema, need: SCHEMA });
            }
            Some((_, network)) if network != network_id => {
                return Err(StoreError::OtherNetwork { store: store_name(), have: network, need: network_id });
            }
            Some(_) => {}
        }
        Ok(store)
    }

    /// The block at a height.
    pub fn block(&self, height: u64) -> Result<Option<Block>, StoreError> {
        self.read(BLOCKS, &height.to_be_bytes())
    }

    /// The certificate of the block at a height.
    pub fn certificate(&self, height: u64) -> Result<Option<Certificate>, StoreError> {
        self.read(CERTIFICATES, &height.to_be_bytes())
    }

    /// The results of the block at a height; none if there is no such block.
    pub fn results_in(&self, height: u64) -> Result<Vec<WorkResult>, StoreError> {
        Ok(self.read(RESULTS, &height.to_be_bytes())?.unwrap_or_default())
    }

    /// Where a finalized transaction is.
    pub fn transaction(&self, hash: B256) -> Result<Option<Location>, StoreError> {
        self.read(TRANSACTIONS, hash.as_slice())
    }

    /// The heights from `from` on whose blocks have results, ascending.
    pub(crate) fn heights_with_results(&self, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        guard(&self.name, || {
            let table = self.database.begin_read()?.open_table(RESULTS)?;
            let mut heights = Vec::new();
            for record in table.range::<&[u8]>(from.to_be_bytes().as_slice()..)?.take(limit) {
                heights.push(height(record?.0.value())?);
            }
            Ok(heights)
        })
    }

    /// The state at the tip, with the tip's height and hash if there is a block.
    pub(crate) fn load(&self) -> Result<(State, Option<(u64, B256)>), StoreError> {
        guard(&self.name, || {
            let reading = self.database.begin_read()?;
            let tip = get(&reading.open_table(META)?, META, TIP_KEY)?;
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
                let status: OrderStatus = unseal(ORDERS, key.value(), value.value())?;
                state.orders.insert(order, status);
            }
            Ok((state, tip))
        })
    }

    /// Writes a block with everything that follows from it, and drops what the journal holds up to its height, in one
    /// durable transaction.
    pub(crate) fn commit(&self, checked: &CheckedBlock, certificate: &Certificate) -> Result<(), StoreError> {
        let height = checked.block.header.height;
        let height_key = height.to_be_bytes();
        self.write(|transaction| {
            let encoded = seal(BLOCKS, &height_key, &checked.encoded);
            transaction.open_table(BLOCKS)?.insert(height_key.as_slice(), encoded.as_slice())?;
            put(&mut transaction.open_table(CERTIFICATES)?, CERTIFICATES, &height_key, certificate)?;
            if !checked.results.is_empty() {
                put(&mut transaction.open_table(RESULTS)?, RESULTS, &height_key, &checked.results)?;
            }
            let mut transactions = transaction.open_table(TRANSACTIONS)?;
            for (index, hash) in (0u32..).zip(&checked.transaction_hashes) {
                put(&mut transactions, TRANSACTIONS, hash.as_slice(), &Location { height, index })?;
            }
            let mut nonces = transaction.open_table(NONCES)?;
            for (account, nonce) in &checked.changes.nonces {
                put(&mut nonces, NONCES, account.as_slice(), nonce)?;
            }
            let mut orders = transaction.open_table(ORDERS)?;
            for (order, status) in &checked.changes.orders {
                put(&mut orders, ORDERS, order.as_slice(), status)?;
            }
            put(&mut transaction.open_table(META)?, META, TIP_KEY, &(height, checked.hash))?;
            let above = journal_key(height.saturating_add(1), 0);
            transaction.open_table(JOURNAL)?.retain(|key, _| key >= above.as_slice())?;
            Ok(())
        })
    }

    /// Appends records to the journal, in their order, in one durable transaction: what a replica must remember before
    /// others may see what it said. A record belongs to a height and goes when the block of that height is committed.
    /// Records of height `u64::MAX` belong to none: each replaces the one before it.
    pub fn append_journal<'a>(&self, records: impl IntoIterator<Item = (u64, &'a [u8])>) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut journal = transaction.open_table(JOURNAL)?;
            for (height, record) in records {
                let (first, last) = (journal_key(height, 0), journal_key(height, u64::MAX));
                if height == u64::MAX {
                    journal.retain(|key, _| key < first.as_slice())?;
                }
                let before = match journal.range(first.as_slice()..=last.as_slice())?.next_back() {
                    Some(record) => Some(sequence(record?.0.value())?),
                    None => None,
                };
                let key = journal_key(height, before.map_or(0, |sequence| sequence + 1));
                journal.insert(key.as_slice(), seal(JOURNAL, &key, record).as_slice())?;
            }
            Ok(())
        })
    }

    /// The journal: by height, and of one height in the order in which it was appended.
    pub fn journal(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        guard(&self.name, || {
            let table = self.database.begin_read()?.open_table(JOURNAL)?;
            let mut records = Vec::new();
            for record in table.iter()? {
                let (key, value) = record?;
                let bytes = unsealed(JOURNAL, key.value(), value.value())?;
                records.push((height(key.value())?, bytes.to_vec()));
            }
            Ok(records)
        })
    }

    /// The error of a record that contradicts another.
    pub(crate) fn contradiction(&self, reason: &str) -> StoreError {
        StoreError::Corrupt { store: self.name.to_string(), reason: reason.into() }
    }

    fn read<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        guard(&self.name, || get(&self.database.begin_read()?.open_table(table)?, table, key))
    }

    fn write(&self, work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>) -> Result<(), StoreError> {
        guard(&self.name, || {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        })
    }
}

/// Does something with redb; errors and panics name the store and say what to do.
fn guard<T>(name: &str, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StoreError> {
    let store = name.to_string();
    let outcome = quietly(|| catch_unwind(AssertUnwindSafe(work)));
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(redb::Error::DatabaseAlreadyOpen)) => Err(StoreError::Locked { store }),
        Ok(Err(redb::Error::Io(error))) => Err(match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                StoreError::Corrupt { store, reason: error.to_string() }
            }
            _ => StoreError::Io { store, reason: error.to_string() },
        }),
        Ok(Err(error @ (redb::Error::PreviousIo | redb::Error::DatabaseClosed))) => {
            Err(StoreError::Io { store, reason: error.to_string() })
        }
        Ok(Err(error)) => Err(StoreError::Corrupt { store, reason: error.to_string() }),
        Err(_) => Err(StoreError::Corrupt { store, reason: "its structure is broken".into() }),
    }
}

thread_local! {
    /// Whether a panic of this thread is about to become an error.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the panics of `work`, which are caught, from being printed as if the program had failed.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let value = work();
    QUIET.set(outer);
    value
}

fn corrupt(reason: &str) -> redb::Error {
    redb::Error::Corrupted(reason.into())
}

fn get<T: DeserializeOwned>(
    opened: &impl ReadableTable<&'static [u8], &'static [u8]>,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, redb::Error> {
    opened.get(key)?.map(|value| unseal(table, key, value.value())).transpose()
}

fn put<T: Serialize>(
    opened: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    table: Table,
    key: &[u8],
    value: &T,
) -> Result<(), redb::Error> {
    opened.insert(key, seal(table, key, &codec::encode(value)).as_slice())?;
    Ok(())
}

/// A value behind its checksum.
fn seal(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    [&checksum(table, key, value), value].concat()
}

fn unsealed<'a>(table: Table, key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], redb::Error> {
    match sealed.split_at_checked(CHECKSUM_BYTES) {
        Some((sum, value)) if sum == checksum(table, key, value) => Ok(value),
        _ => Err(corrupt(&format!("a record of table {} fails its checksum", table.name()))),
    }
}

fn unseal<T: DeserializeOwned>(table: Table, key: &[u8], sealed: &[u8]) -> Result<T, redb::Error> {
    let value = unsealed(table, key, sealed)?;
    codec::decode(value, value.len())
        .map_err(|error| corrupt(&format!("a record of table {} does not decode: {error}", table.name())))
}

fn checksum(table: Table, key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = alloy_primitives::Keccak256::new();
    for part in [table.name().as_bytes(), key] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(value);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hasher.finalize()[..CHECKSUM_BYTES]);
    sum
}

/// Orders the journal by height, then by sequence.
fn journal_key(height: u64, sequence: u64) -> [u8; 16] {
    (u128::from(height) << 64 | u128::from(sequence)).to_be_bytes()
}

fn height(key: &[u8]) -> Result<u64, redb::Error> {
    let bytes = key.first_chunk().ok_or_else(|| corrupt("a key is too short"))?;
    Ok(u64::from_be_bytes(*bytes))
}

fn sequence(key: &[u8]) -> Result<u64, redb::Error> {
    height(key.get(8..).unwrap_or_default())
}
