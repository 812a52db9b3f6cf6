//! Final blocks and what follows from them.

use dtn_primitives::{
    B256, Block, Certificate, Domain, Earning, Header, Payload, Round, Statement, Transaction, WorkResult,
};
use redb::{Durability, ReadableTable};

use super::{EXPIRED, Location, Store, StoreError, proofs::forget_held, state::put_changes, tables::*};
use crate::{TrainingOrder, block::CheckedBlock};

/// Blocks that a commit removes at most, more than it adds, so that the store shrinks to what is to be kept.
const PRUNED_PER_COMMIT: usize = 2;

/// How many statements of earnings are kept for claims.
pub const KEPT_STATEMENTS: u32 = 8;

impl Store {
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
            for order in &checked.expired {
                put(&mut result_of, RESULT_OF, order.as_slice(), &Location { height, index: EXPIRED })?;
            }
            let mut transactions = transaction.open_table(TRANSACTIONS)?;
            for (index, hash) in (0u32..).zip(checked.transaction_hashes.iter()) {
                put(&mut transactions, TRANSACTIONS, hash.as_slice(), &Location { height, index })?;
            }
            drop(transactions);
            put_changes(transaction, &checked.changes)?;
            for round in &checked.changes.closed_rounds {
                put(&mut transaction.open_table(ROUNDS)?, ROUNDS, &round.number.to_be_bytes(), round)?;
            }
            for open in &checked.changes.ended_training {
                let id = open.order.id();
                put(&mut transaction.open_table(TRAINED)?, TRAINED, id.as_slice(), open)?;
                forget_held(transaction, id)?;
            }
            if let Some((statement, earnings)) = &checked.changes.stated {
                let mut table = transaction.open_table(EARNINGS)?;
                put(&mut table, EARNINGS, &statement.number.to_be_bytes(), &(statement, earnings))?;
                let kept = statement.number.saturating_sub(KEPT_STATEMENTS - 1).to_be_bytes();
                table.retain_in::<&[u8], _>(..kept.as_slice(), |_, _| false)?;
            }
            prune(transaction, keep_from, domain)
        })
    }

    /// An order for a trained model that is over; `None` also for one in blocks that this peer has skipped.
    pub fn trained(&self, id: B256) -> Result<Option<TrainingOrder>, StoreError> {
        self.read(TRAINED, id.as_slice())
    }

    /// What a statement of earnings has stated, if it is one of the last [`KEPT_STATEMENTS`] and this peer has executed its block.
    pub fn earnings(&self, number: u32) -> Result<Option<(Statement, Vec<Earning>)>, StoreError> {
        self.read(EARNINGS, &number.to_be_bytes())
    }

    /// A round that is closed; `None` also for one in blocks that this peer has skipped.
    pub fn closed_round(&self, number: u64) -> Result<Option<Round>, StoreError> {
        self.read(ROUNDS, &number.to_be_bytes())
    }
}

/// Makes a block the tip: its header and certificate, and the end of what the journal holds up to its height.
pub(super) fn put_final_header(
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
pub(super) fn prune(transaction: &redb::WriteTransaction, keep_from: u64, domain: &Domain) -> Result<(), redb::Error> {
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
