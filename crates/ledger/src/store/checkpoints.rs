//! Checkpoints: what the state's root was, which of them a quorum signed, and the snapshots that they vouch for.

use dtn_primitives::{B256, CheckpointCertificate};
use redb::{Durability, ReadableDatabase, ReadableTable};

use super::{
    Store, StoreError, blocks::put_final_header, results::skip_results, shelf::Cover, state::replace_state, tables::*,
};
use crate::{Manifest, state::State};

impl Store {
    /// The root of the state at a checkpoint, as this peer has it.
    pub(crate) fn state_root(&self, height: u64) -> Result<Option<B256>, StoreError> {
        self.read(ROOTS, &height.to_be_bytes())
    }

    /// Remembers the root of the state at the tip, whose height this is, and has its snapshot written.
    pub(crate) fn checkpoint(&self, height: u64, root: B256, cover: Cover) -> Result<(), StoreError> {
        if self.state_root(height)?.is_none() {
            self.write(Durability::None, |transaction| {
                put(&mut transaction.open_table(ROOTS)?, ROOTS, &height.to_be_bytes(), &root)
            })?;
        }
        let reading = self.label.guard(|| Ok(self.database.begin_read()?))?;
        self.shelf.write(&self.label, height, reading, cover)
    }

    /// Writes a stable checkpoint, and drops the snapshots that nobody should need any more.
    pub(crate) fn stabilize(&self, checkpoint: &CheckpointCertificate) -> Result<(), StoreError> {
        self.shelf.turn()?;
        let lowest = self.shelf.lowest().unwrap_or(checkpoint.height).min(checkpoint.height);
        self.write(Durability::None, |transaction| put_checkpoint(transaction, checkpoint, lowest))
    }

    /// What a peer that lags must know about the newest snapshot that a quorum vouches for, if there is one.
    pub fn snapshot_manifest(&self) -> Result<Option<Manifest>, StoreError> {
        let checkpoints = self.label.guard(|| {
            let table = self.database.begin_read()?.open_table(CHECKPOINTS)?;
            let heights = table.iter()?.map(|record| height(record?.0.value()));
            heights.collect::<Result<Vec<_>, _>>()
        })?;
        let Some((height, cover)) = self.shelf.cover(checkpoints.into_iter()) else { return Ok(None) };
        let Some(checkpoint) = self.read(CHECKPOINTS, &height.to_be_bytes())? else { return Ok(None) };
        let certified = self.header(height)?.zip(self.certificate(height)?);
        let Cover { rest, chunks } = cover;
        Ok(certified.map(|(header, certificate)| Manifest { checkpoint, header, certificate, rest, chunks }))
    }

    /// A part of the snapshot at a height. It is the same at every peer.
    pub fn snapshot_chunk(&self, height: u64, index: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.shelf.chunk(height, index)
    }

    /// The lowest height at which somebody is fetching a snapshot.
    pub(crate) fn lowest_lent(&self) -> Option<u64> {
        self.shelf.lowest_lent()
    }

    /// Waits until the snapshot of the last checkpoint is written.
    pub fn finish_snapshot(&self) -> Result<(), StoreError> {
        self.shelf.wait()
    }

    /// Replaces the state and the tip by those of a snapshot in one durable transaction, and keeps the snapshot.
    pub(crate) fn install(
        &self,
        manifest: &Manifest,
        chunks: &[impl AsRef<[u8]>],
        state: &State,
    ) -> Result<(), StoreError> {
        let Manifest { checkpoint, header, certificate, .. } = manifest;
        self.write(Durability::Immediate, |transaction| {
            skip_results(transaction, header.height)?;
            put_final_header(transaction, header, certificate.block_hash, certificate)?;
            replace_state(transaction, state)?;
            put(&mut transaction.open_table(ROOTS)?, ROOTS, &header.height.to_be_bytes(), &checkpoint.state_root)?;
            put_checkpoint(transaction, checkpoint, header.height)?;
            put(&mut transaction.open_table(META)?, META, LOWEST_KEY, &header.height.saturating_add(1))
        })?;
        let cover = Cover { rest: manifest.rest.clone(), chunks: manifest.chunks.clone() };
        self.shelf.take_over(header.height, cover, chunks)
    }
}

/// Writes a stable checkpoint, and forgets those below a height and the roots below it.
fn put_checkpoint(
    transaction: &redb::WriteTransaction,
    checkpoint: &CheckpointCertificate,
    lowest: u64,
) -> Result<(), redb::Error> {
    put(&mut transaction.open_table(META)?, META, STABLE_KEY, checkpoint)?;
    let (key, lowest) = (checkpoint.height.to_be_bytes(), lowest.to_be_bytes());
    let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
    checkpoints.retain_in::<&[u8], _>(..lowest.as_slice(), |_, _| false)?;
    put(&mut checkpoints, CHECKPOINTS, &key, checkpoint)?;
    transaction.open_table(ROOTS)?.retain_in::<&[u8], _>(..key.as_slice(), |_, _| false)?;
    Ok(())
}
