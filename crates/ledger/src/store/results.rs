//! The results of blocks that were skipped.

use dtn_primitives::Certificate;
use redb::{Durability, ReadableDatabase, WriteTransaction};

use super::{Location, Store, StoreError, tables::*};
use crate::BlockResults;

impl Store {
    /// The first and the last height of the blocks whose results may be missing, because they were skipped.
    pub fn results_missing(&self) -> Result<Option<(u64, u64)>, StoreError> {
        self.read(META, MISSING_KEY)
    }

    /// The results of the blocks from a height on that have any, in order, until they are so many bytes long or more.
    pub fn block_results(&self, from: u64, bytes: usize) -> Result<Vec<BlockResults>, StoreError> {
        self.label.guard(|| {
            let reading = self.database.begin_read()?;
            let (headers, certificates) = (reading.open_table(HEADERS)?, reading.open_table(CERTIFICATES)?);
            let (all, solutions) = (reading.open_table(RESULTS)?, reading.open_table(SOLUTIONS)?);
            let (mut blocks, mut taken) = (Vec::new(), 0);
            for record in all.range::<&[u8]>(from.to_be_bytes().as_slice()..)? {
                let (key, value) = record?;
                let key = key.value();
                let header = get(&headers, HEADERS, key)?;
                let certificate: Option<Certificate> = get(&certificates, CERTIFICATES, key)?;
                let Some((header, certificate)) = header.zip(certificate) else { continue };
                let shown = solutions.get(key)?;
                taken += value.value().len() + shown.as_ref().map_or(0, |shown| shown.value().len());
                let solutions = shown.map(|shown| unseal(SOLUTIONS, key, shown.value())).transpose()?;
                let results = unseal(RESULTS, key, value.value())?;
                blocks.push(BlockResults { header, certificate, results, solutions: solutions.unwrap_or_default() });
                if taken >= bytes {
                    break;
                }
            }
            Ok(blocks)
        })
    }

    /// The heights from `from` to `to` whose blocks have results, at most `limit` of them, and up to which height these
    /// are all: below `from` if this store has skipped the block there itself, or knows of none.
    pub fn result_heights(&self, from: u64, to: u64, limit: usize) -> Result<(Vec<u64>, u64), StoreError> {
        self.label.guard(|| {
            let reading = self.database.begin_read()?;
            let meta = reading.open_table(META)?;
            let missing: Option<(u64, u64)> = get(&meta, META, MISSING_KEY)?;
            let tip: Option<(u64, dtn_primitives::B256)> = get(&meta, META, TIP_KEY)?;
            let mut known_to = to.min(tip.map_or(0, |(tip, _)| tip));
            if let Some((first, _)) = missing.filter(|(_, last)| *last >= from) {
                known_to = known_to.min(first.saturating_sub(1));
            }
            let end = known_to.saturating_add(1).to_be_bytes();
            let table = reading.open_table(RESULTS)?;
            let mut heights = Vec::new();
            if from <= known_to {
                for record in table.range::<&[u8]>(from.to_be_bytes().as_slice()..end.as_slice())? {
                    let next = height(record?.0.value())?;
                    if heights.len() >= limit {
                        return Ok((heights, next.saturating_sub(1)));
                    }
                    heights.push(next);
                }
            }
            Ok((heights, known_to))
        })
    }

    /// Keeps the results of blocks that were skipped, which the caller has verified.
    pub(crate) fn put_results<'a>(&self, blocks: impl IntoIterator<Item = &'a BlockResults>) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            for BlockResults { header, certificate, results, solutions } in blocks {
                let (height, key) = (header.height, header.height.to_be_bytes());
                put(&mut transaction.open_table(HEADERS)?, HEADERS, &key, header)?;
                put(&mut transaction.open_table(CERTIFICATES)?, CERTIFICATES, &key, certificate)?;
                put(&mut transaction.open_table(RESULTS)?, RESULTS, &key, results)?;
                if !solutions.is_empty() {
                    put(&mut transaction.open_table(SOLUTIONS)?, SOLUTIONS, &key, solutions)?;
                }
                let mut result_of = transaction.open_table(RESULT_OF)?;
                for (index, result) in (0u32..).zip(results) {
                    put(&mut result_of, RESULT_OF, result.id.as_slice(), &Location { height, index })?;
                }
            }
            Ok(())
        })
    }

    /// Remembers that no result is missing up to a height.
    pub(crate) fn results_complete_to(&self, height: u64) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            let mut meta = transaction.open_table(META)?;
            // Read here: another snapshot may be taken over at any time.
            let missing: Option<(u64, u64)> = get(&meta, META, MISSING_KEY)?;
            match missing {
                Some((_, last)) if height >= last => _ = meta.remove(MISSING_KEY)?,
                Some((first, last)) => {
                    put(&mut meta, META, MISSING_KEY, &(first.max(height.saturating_add(1)), last))?;
                }
                None => {}
            }
            Ok(())
        })
    }
}

/// Remembers that the blocks above the tip, up to a height, are being skipped.
pub(super) fn skip_results(transaction: &WriteTransaction, height: u64) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    let missing: Option<(u64, u64)> = get(&meta, META, MISSING_KEY)?;
    let tip: Option<(u64, dtn_primitives::B256)> = get(&meta, META, TIP_KEY)?;
    let first = missing.map_or(tip.map_or(0, |(tip, _)| tip).saturating_add(1), |(first, _)| first);
    put(&mut meta, META, MISSING_KEY, &(first, height))
}
