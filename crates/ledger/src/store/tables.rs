//! The tables of a store, and how a record lies in one: encoded, behind a checksum.

use dtn_primitives::codec;
use redb::{ReadableTable, TableHandle};
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh3::Xxh3;

use super::error::corrupt;

pub(super) const CHECKSUM_BYTES: usize = 8;

pub(super) type Table = redb::TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(super) const META: Table = Table::new("meta");
pub(super) const HEADERS: Table = Table::new("headers");
pub(super) const BLOCKS: Table = Table::new("blocks");
pub(super) const CERTIFICATES: Table = Table::new("certificates");
pub(super) const RESULTS: Table = Table::new("results");
/// What shows the work of the results of races, by the height of their block.
pub(super) const SOLUTIONS: Table = Table::new("solutions");
/// Where the result of an order is: its block's height, and its place among that block's results.
pub(super) const RESULT_OF: Table = Table::new("result-of");
pub(super) const TRANSACTIONS: Table = Table::new("transactions");
pub(super) const NONCES: Table = Table::new("nonces");
/// The open orders.
pub(super) const ORDERS: Table = Table::new("orders");
/// The lines that copies may come of, by content.
pub(super) const LINES: Table = Table::new("lines");
/// What custom kinds of work remember, by the hash of the order.
pub(super) const RECORDS: Table = Table::new("records");
/// What accounts have.
pub(super) const BANK: Table = Table::new("bank");
/// Where money comes from, by the vaults' addresses.
pub(super) const VAULTS: Table = Table::new("vaults");
/// The open orders for trained models.
pub(super) const TRAINING: Table = Table::new("training");
/// Those that are over, by their hashes.
pub(super) const TRAINED: Table = Table::new("trained");
/// What was stated of earnings last, by the statements' numbers.
pub(super) const EARNINGS: Table = Table::new("earnings");
/// What this peer holds or has computed for orders of trained models: the order, and what it is.
pub(super) const HELD: Table = Table::new("held");
pub(super) const JOURNAL: Table = Table::new("journal");
/// The roots of the state at checkpoints, by height.
pub(super) const ROOTS: Table = Table::new("roots");
/// The checkpoints that a quorum signed, by height.
pub(super) const CHECKPOINTS: Table = Table::new("checkpoints");
/// Proofs that validators contradicted themselves, by id.
pub(super) const EVIDENCE: Table = Table::new("evidence");

/// The rounds that are closed, by number.
pub(super) const ROUNDS: Table = Table::new("rounds");
/// What the proofs of completions show: the keys.
pub(super) const PROVEN: Table = Table::new("proven");
/// The proofs themselves, by digest.
pub(super) const PROOFS: Table = Table::new("proofs");

pub(super) const TABLES: [Table; 25] = [
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
    RECORDS,
    BANK,
    VAULTS,
    TRAINING,
    TRAINED,
    EARNINGS,
    HELD,
    JOURNAL,
    ROOTS,
    CHECKPOINTS,
    EVIDENCE,
    ROUNDS,
    PROVEN,
    PROOFS,
];

/// Keys of the table of the store's own facts. First, the store's version.
pub(super) const SCHEMA_KEY: &[u8] = b"schema";
pub(super) const NETWORK_KEY: &[u8] = b"network";
/// The peer whose words it keeps, once that has run.
pub(super) const PEER_KEY: &[u8] = b"peer";
pub(super) const TIP_KEY: &[u8] = b"tip";
/// What the store knows of what its peer has said.
pub(super) const MEMORY_KEY: &[u8] = b"memory";
/// How often the peer was started.
pub(super) const RUN_KEY: &[u8] = b"run";
/// How often the store was written durably.
pub(super) const WRITES_KEY: &[u8] = b"writes";
pub(super) const STABLE_KEY: &[u8] = b"stable";
pub(super) const LOWEST_KEY: &[u8] = b"lowest";
/// The heights whose results may be missing.
pub(super) const MISSING_KEY: &[u8] = b"missing";
/// The state of the rounds: the open one, and what goes on from one to the next.
pub(super) const ROUNDS_KEY: &[u8] = b"rounds";
/// The expected hashes for the next block.
pub(super) const WORK_KEY: &[u8] = b"work";
/// What nobody has.
pub(super) const POT_KEY: &[u8] = b"pot";
/// What has been earned, and what was stated of it.
pub(super) const EARNED_KEY: &[u8] = b"earned";
/// The first nonce of accounts that are not remembered.
pub(super) const FLOOR_KEY: &[u8] = b"floor";

pub(super) fn get<T: DeserializeOwned>(
    opened: &impl ReadableTable<&'static [u8], &'static [u8]>,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, redb::Error> {
    opened.get(key)?.map(|value| unseal(table, key, value.value())).transpose()
}

pub(super) fn put<T: Serialize>(
    opened: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    table: Table,
    key: &[u8],
    value: &T,
) -> Result<(), redb::Error> {
    opened.insert(key, seal(table, key, &codec::encode(value)).as_slice())?;
    Ok(())
}

/// A value behind its checksum.
pub(super) fn seal(table: Table, key: &[u8], value: &[u8]) -> Vec<u8> {
    [&checksum(table, key, value), value].concat()
}

pub(super) fn unsealed<'a>(table: Table, key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], redb::Error> {
    match sealed.split_at_checked(CHECKSUM_BYTES) {
        Some((sum, value)) if sum == checksum(table, key, value) => Ok(value),
        _ => Err(corrupt(&format!("a record of table {} fails its checksum", table.name()))),
    }
}

pub(super) fn unseal<T: DeserializeOwned>(table: Table, key: &[u8], sealed: &[u8]) -> Result<T, redb::Error> {
    let value = unsealed(table, key, sealed)?;
    codec::decode(value, value.len())
        .map_err(|error| corrupt(&format!("a record of table {} does not decode: {error}", table.name())))
}

/// Against a failing disk, not against an attacker: whoever writes the file can write the checksum.
pub(super) fn checksum(table: Table, key: &[u8], value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = Xxh3::new();
    for part in [table.name().as_bytes(), key] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.update(value);
    hasher.digest().to_be_bytes()
}

/// The version of a store. This record is at the same place and in the same form in every version.
pub(super) fn version(meta: &impl ReadableTable<&'static [u8], &'static [u8]>) -> Result<u32, redb::Error> {
    get(meta, META, SCHEMA_KEY)?.ok_or_else(|| corrupt("it names no version"))
}

/// Orders by height, then by sequence.
pub(super) fn sequence_key(height: u64, sequence: u64) -> [u8; 16] {
    (u128::from(height) << 64 | u128::from(sequence)).to_be_bytes()
}

pub(super) fn height(key: &[u8]) -> Result<u64, redb::Error> {
    let bytes = key.first_chunk().ok_or_else(|| corrupt("a key is too short"))?;
    Ok(u64::from_be_bytes(*bytes))
}

pub(super) fn sequence(key: &[u8]) -> Result<u64, redb::Error> {
    height(key.get(8..).unwrap_or_default())
}
