//! What others read of the store while the ledger goes on: one state, as of one final block.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use dtn_primitives::{
    Address, Answer, B256, Certificate, Earning, FinalizedResult, Header, Kind, Question, Round, Rounds, Solution,
    Statement, WorkResult, codec, merkle,
};
use redb::{ReadTransaction, ReadableDatabase};
use serde::de::DeserializeOwned;

use super::{
    EXPIRED, Location, Store, StoreError,
    error::Label,
    tables::{
        BANK, CERTIFICATES, EARNED_KEY, EARNINGS, FLOOR_KEY, HEADERS, META, NONCES, ORDERS, RECORDS, RESULT_OF,
        RESULTS, ROUNDS, ROUNDS_KEY, SOLUTIONS, TIP_KEY, TRAINED, TRAINING, TRANSACTIONS, Table, VAULTS, get, height,
        unseal,
    },
};
use crate::{
    OpenOrder, Record, TrainingOrder,
    accounts::Account,
    bank::{Balance, Earned, Vault},
};

/// Everything that is final at one moment. It stays as it is while blocks are committed, and holds nobody up.
pub struct Reading {
    transaction: ReadTransaction,
    label: Arc<Label>,
}

impl Store {
    /// Begins to read.
    pub fn reading(&self) -> Result<Reading, StoreError> {
        let transaction = self.label.guard(|| Ok(self.database.begin_read()?))?;
        Ok(Reading { transaction, label: self.label.clone() })
    }
}

impl Reading {
    fn get<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.label.guard(|| get(&self.transaction.open_table(table)?, table, key))
    }

    fn contradiction(&self, reason: &str) -> StoreError {
        StoreError::Corrupt { store: self.label.to_string(), reason: reason.into() }
    }

    /// The height of the last final block; 0 before the first.
    pub fn height(&self) -> Result<u64, StoreError> {
        let tip: Option<(u64, B256)> = self.get(META, TIP_KEY)?;
        Ok(tip.map_or(0, |(height, _)| height))
    }

    /// The header of the block at a height, with its certificate; below [`Store::lowest_block`] only of blocks that prove
    /// payouts.
    pub fn certified(&self, height: u64) -> Result<Option<(Header, Certificate)>, StoreError> {
        let key = height.to_be_bytes();
        Ok(self.get(HEADERS, &key)?.zip(self.get(CERTIFICATES, &key)?))
    }

    /// The nonce that an account's next transaction must have.
    pub fn next_nonce(&self, account: Address) -> Result<u64, StoreError> {
        let known: Option<Account> = self.get(NONCES, account.as_slice())?;
        match known {
            Some(account) => Ok(account.next),
            None => Ok(self.get(META, FLOOR_KEY)?.unwrap_or_default()),
        }
    }

    /// What an account has.
    pub fn balance(&self, account: Address) -> Result<Balance, StoreError> {
        Ok(self.get(BANK, account.as_slice())?.unwrap_or_default())
    }

    /// What has been earned in all, and what was stated of it.
    pub fn earned(&self) -> Result<Earned, StoreError> {
        Ok(self.get(META, EARNED_KEY)?.unwrap_or_default())
    }

    /// What a statement of earnings has stated, see [`Store::earnings`].
    pub fn earnings(&self, number: u32) -> Result<Option<(Statement, Vec<Earning>)>, StoreError> {
        self.get(EARNINGS, &number.to_be_bytes())
    }

    /// The number of the deposit that a vault is to be credited with next.
    pub fn next_deposit(&self, vault: Address) -> Result<u64, StoreError> {
        let known: Option<Vault> = self.get(VAULTS, vault.as_slice())?;
        Ok(known.map_or(0, |vault| vault.next))
    }

    /// Where a final transaction is.
    pub fn transaction(&self, hash: B256) -> Result<Option<Location>, StoreError> {
        self.get(TRANSACTIONS, hash.as_slice())
    }

    /// The rounds of sequential work.
    pub fn rounds(&self) -> Result<Rounds, StoreError> {
        Ok(self.get(META, ROUNDS_KEY)?.unwrap_or_default())
    }

    /// A round, open or closed; none if it was in blocks that this peer has skipped.
    pub fn round(&self, number: u64) -> Result<Option<Round>, StoreError> {
        match self.rounds()?.open {
            Some(open) if open.number == number => Ok(Some(open)),
            _ => self.get(ROUNDS, &number.to_be_bytes()),
        }
    }

    /// An order for a trained model, open or over; none also if it ended in blocks that this peer has skipped.
    pub fn training_order(&self, id: B256) -> Result<Option<TrainingOrder>, StoreError> {
        let open = self.get(TRAINING, id.as_slice())?;
        open.map_or_else(|| self.get(TRAINED, id.as_slice()), |open| Ok(Some(open)))
    }

    /// The orders for trained models that are open, or that are over, by their hashes: at most `limit` above one of them.
    pub fn training_orders(&self, over: bool, above: B256, limit: usize) -> Result<Vec<TrainingOrder>, StoreError> {
        let table = if over { TRAINED } else { TRAINING };
        self.label.guard(|| {
            let opened = self.transaction.open_table(table)?;
            let records = opened.range::<&[u8]>((Bound::Excluded(above.as_slice()), Bound::Unbounded))?.take(limit);
            let mut found = Vec::new();
            for record in records {
                let (key, value) = record?;
                found.push(unseal(table, key.value(), value.value())?);
            }
            Ok(found)
        })
    }

    /// What is known of what is asked.
    pub fn answer(&self, question: &Question) -> Result<Answer, StoreError> {
        match question {
            Question::Nonce(account) => Ok(Answer::Nonce(self.next_nonce(*account)?)),
            Question::Order(order) => self.order(*order),
        }
    }

    fn order(&self, order: B256) -> Result<Answer, StoreError> {
        let open: Option<OpenOrder> = self.get(ORDERS, order.as_slice())?;
        if let Some(open) = open {
            return Ok(Answer::OpenOrder { height: open.height });
        }
        let record: Option<Record> = self.get(RECORDS, order.as_slice())?;
        if let Some(record) = record {
            return Ok(Answer::OpenOrder { height: record.height });
        }
        let closed: Option<Location> = self.get(RESULT_OF, order.as_slice())?;
        if let Some(Location { height, index }) = closed {
            if index == EXPIRED {
                return Ok(Answer::ExpiredOrder { height });
            }
            let results: Vec<WorkResult> = self.get(RESULTS, &height.to_be_bytes())?.unwrap_or_default();
            let result = results.into_iter().nth(index as usize).filter(|result| result.id == order);
            let result = result.ok_or_else(|| self.contradiction("a closed order has no result"))?;
            return Ok(Answer::ClosedOrder { height, claim: result.digest });
        }
        let location = self.transaction(order)?;
        Ok(location.map_or(Answer::UnknownOrder, |location| Answer::RecordedOrder { height: location.height }))
    }

    /// A result with its proof, by its id.
    pub fn result(&self, id: B256) -> Result<Option<FinalizedResult>, StoreError> {
        let ended: Option<Location> = self.get(RESULT_OF, id.as_slice())?;
        let Some(Location { height, index }) = ended.filter(|location| location.index != EXPIRED) else {
            return Ok(None);
        };
        let proven = self.results_in(height, index as usize)?.next().transpose()?;
        let proven = proven.filter(|proven| proven.result.id == id);
        proven.map(Some).ok_or_else(|| self.contradiction("a closed order has no result"))
    }

    /// The results of a height's block, after the first `skip`, and of those above it, in order, each with its proof;
    /// no further one once there are `limit` or their encodings have reached `bytes`.
    pub fn results(
        &self,
        from_height: u64,
        skip: usize,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<FinalizedResult>, StoreError> {
        let (mut found, mut size) = (Vec::new(), 0);
        for at in self.heights_with_results(from_height, limit.saturating_add(1))? {
            let skip = if at == from_height { skip } else { 0 };
            for result in self.results_in(at, skip)? {
                if found.len() >= limit || size >= bytes {
                    return Ok(found);
                }
                let result = result?;
                size += codec::encode(&result).len();
                found.push(result);
            }
        }
        Ok(found)
    }

    fn heights_with_results(&self, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        self.label.guard(|| {
            let table = self.transaction.open_table(RESULTS)?;
            let records = table.range::<&[u8]>(from.to_be_bytes().as_slice()..)?.take(limit);
            records.map(|record| height(record?.0.value())).collect()
        })
    }

    /// The results of a block after the first `skip`, with their proofs.
    pub fn results_in(
        &self,
        height: u64,
        skip: usize,
    ) -> Result<impl Iterator<Item = Result<FinalizedResult, StoreError>> + use<'_>, StoreError> {
        let missing = || self.contradiction("a block with results is missing, or its certificate");
        let (header, certificate) = self.certified(height)?.ok_or_else(missing)?;
        let key = height.to_be_bytes();
        let results: Vec<WorkResult> = self.get(RESULTS, &key)?.unwrap_or_default();
        let mut solutions: BTreeMap<B256, Solution> = self.get(SOLUTIONS, &key)?.unwrap_or_default();
        let others = || self.contradiction("the results of a block are others than its header names");
        let leaves = WorkResult::leaves_under(header.results_root, &results).ok_or_else(others)?;
        Ok(results.into_iter().enumerate().skip(skip).map(move |(index, result)| {
            let proof = merkle::proof(&leaves, index).unwrap_or_default();
            let solution = solutions.remove(&result.id);
            if solution.is_none() && result.kind == Kind::RACE {
                return Err(self.contradiction("the result of a race has no solution"));
            }
            let (header, certificate) = (header.clone(), certificate.clone());
            Ok(FinalizedResult { header, certificate, result, proof, solution })
        }))
    }
}
