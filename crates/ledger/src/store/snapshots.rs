//! Snapshots of the state, and the checkpoints that sign them.

use dtn_primitives::{B256, CheckpointCertificate};
use redb::{Durability, ReadableDatabase};

use super::{Store, StoreError, blocks::put_final_header, error::guard, tables::*};
use crate::{Manifest, snapshot::CHUNK_BYTES, state::State};

impl Store {
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
            put(&mut meta, META, FLOOR_KEY, &state.nonces.floor)?;
            put(&mut meta, META, STABLE_KEY, checkpoint)?;
            put(&mut meta, META, LOWEST_KEY, &header.height.saturating_add(1))?;
            drop_snapshots(transaction, header.height)?;
            put_snapshot(transaction, header.height, encoded, chunks)
        })
    }
}

pub(super) fn put_snapshot(
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

pub(super) fn drop_snapshots(transaction: &redb::WriteTransaction, below: u64) -> Result<(), redb::Error> {
    let (height, first) = (below.to_be_bytes(), sequence_key(below, 0));
    transaction.open_table(SNAPSHOTS)?.retain_in::<&[u8], _>(..height.as_slice(), |_, _| false)?;
    transaction.open_table(CHUNKS)?.retain_in::<&[u8], _>(..first.as_slice(), |_, _| false)?;
    Ok(())
}
