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

mod reading;

use std::{
    cell::Cell,
    fmt, io,
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering},
    },
};

use dtn_primitives::{
    Address, B256, Block, Certificate, CheckpointCertificate, Domain, Evidence, Header, Payload, Round, Transaction,
    WorkResult, codec,
};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableHandle, backends::InMemoryBackend};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    Manifest, Tip,
    block::CheckedBlock,
    proofs::Proven,
    snapshot::CHUNK_BYTES,
    state::{OpenOrder, State},
};

pub use reading::Reading;

/// The layout of the tables; raised when it changes.
const SCHEMA: u32 = 6;

/// Pages that redb keeps in memory; its default is 1 GiB, and several peers may share a machine.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

const CHECKSUM_BYTES: usize = 8;

/// Writes that do not wait for the disk before one does: it bounds what a failing machine loses, and what redb holds
/// back from reuse until then.
const MAX_UNSYNCED: u64 = 64;

/// Blocks that a commit removes at most, more than it adds, so that the store shrinks to what is to be kept.
const PRUNED_PER_COMMIT: usize = 2;

type Table = redb::TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: Table = Table::new("meta");
const HEADERS: Table = Table::new("headers");
const BLOCKS: Table = Table::new("blocks");
const CERTIFICATES: Table = Table::new("certificates");
const RESULTS: Table = Table::new("results");
/// What shows the work of the results of races, by the height of their block.
const SOLUTIONS: Table = Table::new("solutions");
/// Where the result of an order is: its block's height, and its place among that block's results.
const RESULT_OF: Table = Table::new("result-of");
const TRANSACTIONS: Table = Table::new("transactions");
const NONCES: Table = Table::new("nonces");
/// The open orders.
const ORDERS: Table = Table::new("orders");
/// The lines that copies may come of, by content.
const LINES: Table = Table::new("lines");
const JOURNAL: Table = Table::new("journal");
/// The chunks' hashes of snapshots, by height.
const SNAPSHOTS: Table = Table::new("snapshots");
/// The chunks of snapshots, by height and index.
const CHUNKS: Table = Table::new("chunks");
/// Proofs that validators contradicted themselves, by id.
const EVIDENCE: Table = Table::new("evidence");

/// The rounds that are closed, by number.
const ROUNDS: Table = Table::new("rounds");
/// What the proofs of completions show: the keys.
const PROVEN: Table = Table::new("proven");
/// The proofs themselves, by digest.
const PROOFS: Table = Table::new("proofs");

const TABLES: [Table; 18] = [
    META,
    HEADERS,
    BLOCKS,
    CERTIFICATES,
    RESULTS,
    SOLUTIONS,
    RESULT_OF,
    TRANSACTIONS,
    NONCES,
    ORDERS,
    LINES,
    JOURNAL,
    SNAPSHOTS,
    CHUNKS,
    EVIDENCE,
    ROUNDS,
    PROVEN,
    PROOFS,
];

/// Keys of the table of the store's own facts.
const SCHEMA_KEY: &[u8] = b"schema";
const NETWORK_KEY: &[u8] = b"network";
const TIP_KEY: &[u8] = b"tip";
const FRESH_KEY: &[u8] = b"fresh";
const STABLE_KEY: &[u8] = b"stable";
const LOWEST_KEY: &[u8] = b"lowest";
/// The state of the rounds: the open one, and what goes on from one to the next.
const ROUNDS_KEY: &[u8] = b"rounds";
/// The expected hashes for the next block.
const WORK_KEY: &[u8] = b"work";

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
    /// Its disk is full.
    #[error(
        "there is no room for the store {store} ({reason}): free space on its disk and start the peer again; it goes on \
         where it stopped"
    )]
    Full {
        /// The file.
        store: String,
        /// What the system says.
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
    durable_writes: Arc<AtomicU64>,
    unsynced: Arc<AtomicU64>,
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
        let store = Self {
            database: Arc::new(database),
            name: name.into(),
            durable_writes: Arc::default(),
            unsynced: Arc::default(),
        };
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
            None => store.write(Durability::Immediate, |transaction| {
                for table in TABLES {
                    transaction.open_table(table)?;
                }
                let mut meta = transaction.open_table(META)?;
                put(&mut meta, META, SCHEMA_KEY, &SCHEMA)?;
                put(&mut meta, META, NETWORK_KEY, &network_id)?;
                put(&mut meta, META, FRESH_KEY, &true)
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

    /// The header of the block at a height.
    pub fn header(&self, height: u64) -> Result<Option<Header>, StoreError> {
        self.read(HEADERS, &height.to_be_bytes())
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

    /// Where the result of an order is: the height of its block, and its place among that block's results.
    pub(crate) fn result_of(&self, order: B256) -> Result<Option<Location>, StoreError> {
        self.read(RESULT_OF, order.as_slice())
    }

    /// The height from which on no block is missing.
    pub fn lowest_block(&self) -> Result<u64, StoreError> {
        Ok(self.read(META, LOWEST_KEY)?.unwrap_or(1))
    }

    pub(crate) fn is_fresh(&self) -> Result<bool, StoreError> {
        Ok(self.read(META, FRESH_KEY)?.unwrap_or(false))
    }

    pub(crate) fn end_fresh(&self) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |transaction| {
            put(&mut transaction.open_table(META)?, META, FRESH_KEY, &false)
        })
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

    /// Writes a block with everything that follows from it, drops what the journal holds up to its height, and removes
    /// some of the blocks below `keep_from`, in one transaction that does not wait for the disk.
    pub(crate) fn commit(
        &self,
        checked: &CheckedBlock,
        certificate: &Certificate,
        keep_from: u64,
        domain: &Domain,
    ) -> Result<(), StoreError> {
        let height = checked.block.header.height;
        let height_key = height.to_be_bytes();
        self.write(Durability::None, |transaction| {
            put_final_header(transaction, &checked.block.header, checked.hash, certificate)?;
            let encoded = seal(BLOCKS, &height_key, &checked.encoded);
            transaction.open_table(BLOCKS)?.insert(height_key.as_slice(), encoded.as_slice())?;
            if !checked.results.is_empty() {
                put(&mut transaction.open_table(RESULTS)?, RESULTS, &height_key, &checked.results)?;
            }
            if !checked.solutions.is_empty() {
                put(&mut transaction.open_table(SOLUTIONS)?, SOLUTIONS, &height_key, &checked.solutions)?;
            }
            let mut result_of = transaction.open_table(RESULT_OF)?;
            for (index, result) in (0u32..).zip(&checked.results) {
                put(&mut result_of, RESULT_OF, result.id.as_slice(), &Location { height, index })?;
            }
            let mut transactions = transaction.open_table(TRANSACTIONS)?;
            for (index, hash) in (0u32..).zip(checked.transaction_hashes.iter()) {
                put(&mut transactions, TRANSACTIONS, hash.as_slice(), &Location { height, index })?;
            }
            drop(transactions);
            let mut nonces = transaction.open_table(NONCES)?;
            for (account, nonce) in &checked.changes.nonces {
                put(&mut nonces, NONCES, account.as_slice(), nonce)?;
            }
            let mut orders = transaction.open_table(ORDERS)?;
            for (order, open) in &checked.changes.orders {
                match open {
                    Some(open) => put(&mut orders, ORDERS, order.as_slice(), open)?,
                    None => _ = orders.remove(order.as_slice())?,
                }
            }
            let mut meta = transaction.open_table(META)?;
            let mut lines = transaction.open_table(LINES)?;
            for (content, copies) in &checked.changes.lines {
                match copies {
                    Some(copies) => put(&mut lines, LINES, content.as_slice(), copies)?,
                    None => _ = lines.remove(content.as_slice())?,
                }
            }
            if let Some(rounds) = &checked.changes.rounds {
                put(&mut meta, META, ROUNDS_KEY, rounds)?;
            }
            if checked.changes.next_work > 0 {
                put(&mut meta, META, WORK_KEY, &checked.changes.next_work)?;
            }
            drop(meta);
            for round in &checked.changes.closed_rounds {
                put(&mut transaction.open_table(ROUNDS)?, ROUNDS, &round.number.to_be_bytes(), round)?;
            }
            prune(transaction, keep_from, domain)
        })
    }

    /// Writes the encoding of the state at a height in chunks, whose hashes are given.
    pub(crate) fn put_snapshot(&self, height: u64, encoded: &[u8], hashes: &[B256]) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| put_snapshot(transaction, height, encoded, hashes))
    }

    /// The hashes of a snapshot's chunks.
    pub(crate) fn snapshot(&self, height: u64) -> Result<Option<Vec<B256>>, StoreError> {
        self.read(SNAPSHOTS, &height.to_be_bytes())
    }

    /// A chunk of a snapshot.
    pub fn snapshot_chunk(&self, height: u64, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        guard(&self.name, || {
            let key = sequence_key(height, u64::from(index));
            let table = self.database.begin_read()?.open_table(CHUNKS)?;
            let chunk = table.get(key.as_slice())?;
            chunk.map(|chunk| Ok(unsealed(CHUNKS, &key, chunk.value())?.to_vec())).transpose()
        })
    }

    /// Writes the stable checkpoint and drops the snapshots below `keep_from`.
    pub(crate) fn stabilize(&self, checkpoint: &CheckpointCertificate, keep_from: u64) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            put(&mut transaction.open_table(META)?, META, STABLE_KEY, checkpoint)?;
            drop_snapshots(transaction, keep_from)
        })
    }

    /// Replaces the state and the tip by those of a snapshot in one durable transaction.
    pub(crate) fn install(&self, manifest: &Manifest, encoded: &[u8], state: &State) -> Result<(), StoreError> {
        let Manifest { checkpoint, header, certificate, chunks } = manifest;
        self.write(Durability::Immediate, |transaction| {
            put_final_header(transaction, header, certificate.block_hash, certificate)?;
            let mut nonces = transaction.open_table(NONCES)?;
            nonces.retain(|_, _| false)?;
            for (account, nonce) in &state.nonces {
                put(&mut nonces, NONCES, account.as_slice(), nonce)?;
            }
            let mut orders = transaction.open_table(ORDERS)?;
            orders.retain(|_, _| false)?;
            for (order, open) in &state.orders {
                put(&mut orders, ORDERS, order.as_slice(), open)?;
            }
            let mut lines = transaction.open_table(LINES)?;
            lines.retain(|_, _| false)?;
            for (content, copies) in &state.lines {
                put(&mut lines, LINES, content.as_slice(), copies)?;
            }
            let mut meta = transaction.open_table(META)?;
            put(&mut meta, META, ROUNDS_KEY, &state.rounds)?;
            put(&mut meta, META, WORK_KEY, &state.next_work)?;
            put(&mut meta, META, STABLE_KEY, checkpoint)?;
            put(&mut meta, META, LOWEST_KEY, &header.height.saturating_add(1))?;
            drop_snapshots(transaction, header.height)?;
            put_snapshot(transaction, header.height, encoded, chunks)
        })
    }

    /// Appends records to the journal, in their order, in one durable transaction: what a replica must remember before
    /// others may see what it said. It makes durable what was written before, too. A record belongs to a height and goes when the block of that height is committed.
    /// Records of height `u64::MAX` belong to none: each replaces the one before it.
    pub fn append_journal<'a>(&self, records: impl IntoIterator<Item = (u64, &'a [u8])>) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |transaction| {
            let mut journal = transaction.open_table(JOURNAL)?;
            for (height, record) in records {
                let (first, last) = (sequence_key(height, 0), sequence_key(height, u64::MAX));
                if height == u64::MAX {
                    journal.retain(|key, _| key < first.as_slice())?;
                }
                let before = match journal.range(first.as_slice()..=last.as_slice())?.next_back() {
                    Some(record) => Some(sequence(record?.0.value())?),
                    None => None,
                };
                let key = sequence_key(height, before.map_or(0, |sequence| sequence + 1));
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

    /// A round that is closed; `None` also for one in blocks that this peer has skipped.
    pub fn closed_round(&self, number: u64) -> Result<Option<Round>, StoreError> {
        self.read(ROUNDS, &number.to_be_bytes())
    }

    /// A proof of a completion, by its digest.
    pub fn proof(&self, digest: B256) -> Result<Option<Vec<u8>>, StoreError> {
        guard(&self.name, || {
            let table = self.database.begin_read()?.open_table(PROOFS)?;
            let proof = table.get(digest.as_slice())?;
            proof.map(|proof| Ok(unsealed(PROOFS, digest.as_slice(), proof.value())?.to_vec())).transpose()
        })
    }

    /// What the proofs show.
    pub(crate) fn proven(&self) -> Result<Vec<Proven>, StoreError> {
        guard(&self.name, || {
            let table = self.database.begin_read()?.open_table(PROVEN)?;
            let records = table.iter()?.map(|record| {
                let (key, value) = record?;
                let () = unseal(PROVEN, key.value(), value.value())?;
                Proven::from_bytes(key.value()).ok_or_else(|| corrupt("the key of a proof is too short"))
            });
            records.collect()
        })
    }

    pub(crate) fn put_proof(&self, proven: &Proven, proof: &[u8]) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            put(&mut transaction.open_table(PROVEN)?, PROVEN, &proven.to_bytes(), &())?;
            let sealed = seal(PROOFS, proven.digest.as_slice(), proof);
            transaction.open_table(PROOFS)?.insert(proven.digest.as_slice(), sealed.as_slice())?;
            Ok(())
        })
    }

    /// Forgets what some proofs show, and the proofs unless they are used otherwise.
    pub(crate) fn remove_proofs(&self, old: &[Proven], is_used: impl Fn(B256) -> bool) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            let (mut known, mut proofs) = (transaction.open_table(PROVEN)?, transaction.open_table(PROOFS)?);
            for proven in old {
                known.remove(proven.to_bytes().as_slice())?;
                if !is_used(proven.digest) {
                    proofs.remove(proven.digest.as_slice())?;
                }
            }
            Ok(())
        })
    }

    /// Makes evidence durable.
    pub fn add_evidence(&self, evidence: &Evidence) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |transaction| {
            put(&mut transaction.open_table(EVIDENCE)?, EVIDENCE, evidence.id().as_slice(), evidence)
        })
    }

    /// All evidence, in the order of its ids.
    pub fn evidence(&self) -> Result<Vec<Evidence>, StoreError> {
        guard(&self.name, || {
            let table = self.database.begin_read()?.open_table(EVIDENCE)?;
            let records = table.iter()?.map(|record| {
                let (key, value) = record?;
                unseal(EVIDENCE, key.value(), value.value())
            });
            records.collect()
        })
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
        guard(&self.name, || {
            let mut transaction = self.database.begin_write()?;
            let late = self.unsynced.load(Ordering::Relaxed) >= MAX_UNSYNCED;
            let durable = late || matches!(durability, Durability::Immediate);
            transaction.set_durability(if durable { Durability::Immediate } else { durability })?;
            work(&transaction)?;
            transaction.commit()?;
            if durable {
                self.durable_writes.fetch_add(1, Ordering::Relaxed);
                self.unsynced.store(0, Ordering::Relaxed);
            } else {
                self.unsynced.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    }
}

/// What a store holds of the present.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) tip: Option<Tip>,
    pub(crate) stable: Option<CheckpointCertificate>,
}

/// Makes a block the tip: its header and certificate, and the end of what the journal holds up to its height.
fn put_final_header(
    transaction: &redb::WriteTransaction,
    header: &Header,
    hash: B256,
    certificate: &Certificate,
) -> Result<(), redb::Error> {
    let key = header.height.to_be_bytes();
    put(&mut transaction.open_table(HEADERS)?, HEADERS, &key, header)?;
    put(&mut transaction.open_table(CERTIFICATES)?, CERTIFICATES, &key, certificate)?;
    put(&mut transaction.open_table(META)?, META, TIP_KEY, &(header.height, hash))?;
    let above = sequence_key(header.height.saturating_add(1), 0);
    transaction.open_table(JOURNAL)?.retain_in::<&[u8], _>(..above.as_slice(), |_, _| false)?;
    Ok(())
}

/// Removes some of the blocks below a height and what leads to their transactions. Headers and certificates stay where
/// there are results, and where a round began that earns something: they prove payouts.
fn prune(transaction: &redb::WriteTransaction, keep_from: u64, domain: &Domain) -> Result<(), redb::Error> {
    let mut blocks = transaction.open_table(BLOCKS)?;
    for _ in 0..PRUNED_PER_COMMIT {
        let Some((key, block)) = blocks.first()?.map(|(key, value)| {
            let block: Result<Block, _> = unseal(BLOCKS, key.value(), value.value());
            (key.value().to_vec(), block)
        }) else {
            break;
        };
        if height(&key)? >= keep_from {
            break;
        }
        blocks.remove(key.as_slice())?;
        let mut transactions = transaction.open_table(TRANSACTIONS)?;
        let block = block?;
        let is_settled_on_chain =
            |it: &Transaction| matches!(&it.payload, Payload::Round(round) if !round.reward.is_zero());
        let opens_round = block.transactions.iter().any(is_settled_on_chain);
        for pruned in block.transactions {
            transactions.remove(pruned.hash(domain).as_slice())?;
        }
        if !opens_round && transaction.open_table(RESULTS)?.get(key.as_slice())?.is_none() {
            transaction.open_table(HEADERS)?.remove(key.as_slice())?;
            transaction.open_table(CERTIFICATES)?.remove(key.as_slice())?;
        }
        let mut meta = transaction.open_table(META)?;
        let lowest = get(&meta, META, LOWEST_KEY)?.unwrap_or(1).max(height(&key)?.saturating_add(1));
        put(&mut meta, META, LOWEST_KEY, &lowest)?;
    }
    Ok(())
}

fn put_snapshot(
    transaction: &redb::WriteTransaction,
    height: u64,
    encoded: &[u8],
    hashes: &[B256],
) -> Result<(), redb::Error> {
    put(&mut transaction.open_table(SNAPSHOTS)?, SNAPSHOTS, &height.to_be_bytes(), &hashes)?;
    let mut chunks = transaction.open_table(CHUNKS)?;
    for (index, chunk) in (0u64..).zip(encoded.chunks(CHUNK_BYTES)) {
        let key = sequence_key(height, index);
        chunks.insert(key.as_slice(), seal(CHUNKS, &key, chunk).as_slice())?;
    }
    Ok(())
}

fn drop_snapshots(transaction: &redb::WriteTransaction, below: u64) -> Result<(), redb::Error> {
    let (height, first) = (below.to_be_bytes(), sequence_key(below, 0));
    transaction.open_table(SNAPSHOTS)?.retain_in::<&[u8], _>(..height.as_slice(), |_, _| false)?;
    transaction.open_table(CHUNKS)?.retain_in::<&[u8], _>(..first.as_slice(), |_, _| false)?;
    Ok(())
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
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { store, reason: error.to_string() }
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

/// Against a failing disk, not against an attacker: whoever writes the file can write the checksum.
fn checksum(table: Table, key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = Xxh3::new();
    for part in [table.name().as_bytes(), key] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(value);
    hasher.digest().to_be_bytes()
}

/// Orders by height, then by sequence.
fn sequence_key(height: u64, sequence: u64) -> [u8; 16] {
    (u128::from(height) << 64 | u128::from(sequence)).to_be_bytes()
}

fn height(key: &[u8]) -> Result<u64, redb::Error> {
    let bytes = key.first_chunk().ok_or_else(|| corrupt("a key is too short"))?;
    Ok(u64::from_be_bytes(*bytes))
}

fn sequence(key: &[u8]) -> Result<u64, redb::Error> {
    height(key.get(8..).unwrap_or_default())
}
