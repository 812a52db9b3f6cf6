//! The record of every transaction that is sent: an append-only file of JSON lines.
//!
//! A transaction is written down, durably, before it is broadcast, and again with what its receipt says. So whatever
//! ends a process, each unit of gas that it spent can be accounted for: a line without a receipt names a transaction
//! that the chain can be asked about.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::Provider,
    transports::TransportError,
};
use dtn_files::FileError;
use serde::{Deserialize, Serialize};

use crate::connection::{Chain, retrying};

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransactionStatus {
    /// Signed and perhaps broadcast; no receipt is known.
    Pending,
    /// In a block, and it did what it should.
    Success,
    /// In a block, reverted: paid for in vain.
    Reverted,
    /// Another transaction took its nonce, so it never cost anything.
    Dropped,
}

/// One transaction. `gas_used`, `effective_gas_price` and `block` come with the receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GasRecord {
    /// The contract called, by name; empty for a plain transfer.
    pub contract: String,
    /// The function called, `constructor` for a deployment, or what a plain transfer is for.
    pub function: String,
    /// Who sent it and paid for it.
    pub from: Address,
    /// Where it went.
    pub to: Address,
    /// The sender's nonce.
    pub nonce: u64,
    /// The transaction's hash.
    pub tx: B256,
    /// What became of it.
    pub status: TransactionStatus,
    /// From the receipt.
    pub gas_used: Option<u64>,
    /// From the receipt, in wei.
    pub effective_gas_price: Option<u128>,
    /// From the receipt.
    pub block: Option<u64>,
    /// What it can cost at most, in wei.
    #[serde(default)]
    pub max_fee: U256,
    /// The network's name.
    pub network: String,
    /// The chain.
    pub chain_id: u64,
    /// When it was signed, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Wei that it carries.
    #[serde(default)]
    pub value: U256,
    /// What was signed, until its receipt is known, so that it can be sent again.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub raw: Bytes,
}

fn is_nothing(bytes: &Bytes) -> bool {
    bytes.is_empty()
}

/// What a call does, in short.
fn call(contract: &str, function: &str) -> String {
    if contract.is_empty() { function.into() } else { format!("{contract}.{function}") }
}

impl GasRecord {
    /// What it does, in short.
    pub fn what(&self) -> String {
        call(&self.contract, &self.function)
    }

    /// What the transaction cost, in wei; zero while no receipt is known.
    pub fn fee(&self) -> U256 {
        U256::from(self.gas_used.unwrap_or(0)) * U256::from(self.effective_gas_price.unwrap_or(0))
    }
}

/// For so long a transaction whose nonce is used may still be the one that used it, in milliseconds, although no node shows it.
const IN_DOUBT_MS: u64 = 10 * 60 * 1_000;

/// A day, in milliseconds.
const DAY_MS: u64 = 24 * 3600 * 1_000;

/// What the transactions on a chain that were signed in the 24 hours before a time, in milliseconds since the Unix epoch,
/// have cost in wei, and what those without a receipt can still cost.
pub fn spent_in_a_day<'a>(records: impl IntoIterator<Item = &'a GasRecord>, chain_id: u64, now: u64) -> U256 {
    let recent = records.into_iter().filter(|record| record.chain_id == chain_id && record.at + DAY_MS > now);
    let cost = |record: &GasRecord| match record.status {
        TransactionStatus::Pending => record.max_fee,
        _ => record.fee(),
    };
    recent.map(cost).fold(U256::ZERO, U256::saturating_add)
}

/// Why the gas ledger could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the gas ledger {path}: {source}")]
pub struct GasLedgerError {
    path: String,
    source: io::Error,
}

/// The transactions in a gas ledger, each with the last that is known of it, in the order in which they were sent.
#[derive(Debug, Clone, Default)]
pub struct GasRecords {
    /// One a transaction.
    pub records: Vec<GasRecord>,
    /// Lines that are not records: what a process was writing when it was ended.
    pub torn_lines: usize,
}

impl GasRecords {
    /// Those of several ledgers, one ledger after the other.
    pub fn of(ledgers: &[GasLedger]) -> Result<Self, GasLedgerError> {
        let mut all = Self::default();
        for ledger in ledgers {
            let read = ledger.read()?;
            all.records.extend(read.records);
            all.torn_lines += read.torn_lines;
        }
        Ok(all)
    }
}

/// An append-only file of [`GasRecord`]s, shared by the processes that use the same folder.
#[derive(Debug, Clone)]
pub struct GasLedger {
    path: PathBuf,
}

impl GasLedger {
    /// What it is called in the folder of whoever sends.
    pub const FILE_NAME: &str = "gas.jsonl";

    /// The ledger in a file, which the first record creates.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// All files of the name in a folder and so many levels below it; none if there is no such folder.
    pub fn below(folder: &Path, levels: usize) -> Result<Vec<Self>, FileError> {
        let cannot = |source| FileError::Read { file: folder.into(), source };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(cannot)?,
        };
        let entries: Result<Vec<_>, _> = entries.map(|entry| Ok(entry.map_err(cannot)?.path())).collect();
        let (mut found, mut entries) = (Vec::new(), entries?);
        entries.sort();
        for path in entries {
            // What has the name and cannot be read is an error, and not an empty one.
            if path.file_name().is_some_and(|name| name == Self::FILE_NAME) {
                found.push(Self::new(path));
            } else if path.is_dir() && levels > 0 {
                found.extend(Self::below(&path, levels - 1)?);
            }
        }
        Ok(found)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, source: io::Error) -> GasLedgerError {
        GasLedgerError { path: self.path.display().to_string(), source }
    }

    /// Adds a record; `durable` returns only when it would survive a power failure.
    pub async fn append(&self, record: &GasRecord, durable: bool) -> Result<(), GasLedgerError> {
        let (ledger, mut record) = (self.clone(), record.clone());
        if record.status != TransactionStatus::Pending {
            record.raw = Bytes::new();
        }
        let written = tokio::task::spawn_blocking(move || ledger.append_now(&record, durable)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| self.error(error))
    }

    fn append_now(&self, record: &GasRecord, durable: bool) -> io::Result<()> {
        if let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        file.lock()?; // released when the file is closed
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        if ends_torn(&mut file)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        if durable { file.sync_data() } else { Ok(()) }
    }

    /// Reads all records. A line that is no record is counted and skipped, an absent file is an empty one.
    pub fn read(&self) -> Result<GasRecords, GasLedgerError> {
        let mut text = Vec::new();
        match File::open(&self.path) {
            Ok(mut file) => file.read_to_end(&mut text).map_err(|error| self.error(error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(self.error(error)),
        };
        let mut read = GasRecords::default();
        let mut position = HashMap::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<GasRecord>(line) {
                Ok(record) => match position.get(&record.tx) {
                    // What a receipt says is final. A guess from a nonce, made where the receipt was not seen, is not.
                    Some(&index) => {
                        let known: &mut GasRecord = &mut read.records[index];
                        if record.gas_used.is_some() || known.gas_used.is_none() {
                            *known = record;
                        }
                    }
                    None => {
                        position.insert(record.tx, read.records.len());
                        read.records.push(record);
                    }
                },
                Err(_) => read.torn_lines += 1,
            }
        }
        Ok(read)
    }

    /// [`GasLedger::read`] where nothing may block.
    pub async fn records(&self) -> Result<GasRecords, GasLedgerError> {
        let ledger = self.clone();
        let read = tokio::task::spawn_blocking(move || ledger.read()).await;
        read.unwrap_or_else(|error| Err(self.error(io::Error::other(error))))
    }

    /// Asks the chain about the transactions whose receipt is not known, and records what it says. Returns how many
    /// are still open.
    pub async fn reconcile(&self, chain: &Chain) -> Result<usize, ReconcileError> {
        let mut records = self.read()?.records;
        records.retain(|record| record.chain_id == chain.chain_id());
        let is_open = |record: &GasRecord| record.status == TransactionStatus::Pending;
        for record in records.iter_mut().filter(|record| is_open(record)) {
            let receipt = retrying(|| chain.provider().get_transaction_receipt(record.tx)).await?;
            if let Some(receipt) = receipt {
                record.apply(&receipt);
                self.append(record, false).await?;
            }
        }
        let (open, ended): (Vec<_>, Vec<_>) = records.into_iter().partition(is_open);
        let mut still_open = 0;
        for record in open {
            if was_replaced(&record, &ended, chain).await? {
                let dropped = GasRecord { status: TransactionStatus::Dropped, ..record };
                self.append(&dropped, false).await?;
            } else {
                still_open += 1;
            }
        }
        Ok(still_open)
    }

    /// Writes down that a transaction was never mined, because somebody says so who knows.
    ///
    /// # Errors
    ///
    /// [`ForgetError::Known`] if the chain's node has it, [`ForgetError::NotOpen`] if it is not under way here.
    pub async fn forget(&self, tx: B256, chain: &Chain) -> Result<GasRecord, ForgetError> {
        let open = self.records().await?.records.into_iter();
        let mut open = open.filter(|it| it.status == TransactionStatus::Pending && it.chain_id == chain.chain_id());
        let record = open.find(|record| record.tx == tx).ok_or(ForgetError::NotOpen(tx))?;
        if is_known(tx, chain).await? {
            return Err(ForgetError::Known(tx));
        }
        let dropped = GasRecord { status: TransactionStatus::Dropped, ..record };
        self.append(&dropped, true).await?;
        Ok(dropped)
    }
}

/// Whether a transaction without a receipt was not mined for certain: another one of ours with its nonce was. That its nonce is
/// used proves nothing: the node that says so may not be the one that was asked for the receipt. After a long time in which no
/// node shows it, somebody else's has taken its place.
async fn was_replaced(record: &GasRecord, ended: &[GasRecord], chain: &Chain) -> Result<bool, TransportError> {
    let is_same_slot = |other: &&GasRecord| (other.from, other.nonce) == (record.from, record.nonce);
    if ended.iter().filter(is_same_slot).any(|other| other.gas_used.is_some()) {
        return Ok(true);
    }
    let next = retrying(|| async { chain.provider().get_transaction_count(record.from).await }).await?;
    if next <= record.nonce || now_ms() < record.at.saturating_add(IN_DOUBT_MS) {
        return Ok(false);
    }
    Ok(!is_known(record.tx, chain).await?)
}

/// Whether the node has a transaction, in a block or waiting for one.
pub(crate) async fn is_known(tx: B256, chain: &Chain) -> Result<bool, TransportError> {
    let provider = chain.provider();
    Ok(retrying(|| provider.get_transaction_by_hash(tx)).await?.is_some()
        || retrying(|| provider.get_transaction_receipt(tx)).await?.is_some())
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

/// Why a transaction is not written down as never mined.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The file.
    #[error(transparent)]
    Ledger(#[from] GasLedgerError),
    /// The node.
    #[error("asking for a transaction: {0}")]
    Rpc(#[from] TransportError),
    /// It is not under way.
    #[error("{0} is not under way here; `dtn-cli tx list` shows what is")]
    NotOpen(B256),
    /// It may be mined, or is.
    #[error("the node has {0}, in a block or waiting for one: wait for it, or take its place with `dtn-cli tx cancel`")]
    Known(B256),
}

/// Why open transactions could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The file.
    #[error(transparent)]
    Ledger(#[from] GasLedgerError),
    /// The node.
    #[error("asking for receipts: {0}")]
    Rpc(#[from] TransportError),
}

impl GasRecord {
    pub(crate) fn apply(&mut self, receipt: &alloy::rpc::types::TransactionReceipt) {
        self.status = if receipt.status() { TransactionStatus::Success } else { TransactionStatus::Reverted };
        self.gas_used = Some(receipt.gas_used);
        self.effective_gas_price = Some(receipt.effective_gas_price);
        self.block = receipt.block_number;
    }
}

fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last[0] != b'\n')
}

/// The gas of all calls of one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GasSummary {
    /// The contract.
    pub contract: String,
    /// The function.
    pub function: String,
    /// Calls with a receipt.
    pub count: u64,
    /// Of these, how many reverted.
    pub reverted: u64,
    /// The cheapest call.
    pub min: u64,
    /// The mean, rounded down.
    pub mean: u64,
    /// The dearest call.
    pub max: u64,
    /// All of them.
    pub total: u64,
    /// What they cost, in wei.
    pub fee: U256,
}

impl GasSummary {
    /// What is called, in short.
    pub fn what(&self) -> String {
        call(&self.contract, &self.function)
    }
}

/// Sums up records with a receipt by contract and function, in alphabetical order.
pub fn summarize<'a>(records: impl IntoIterator<Item = &'a GasRecord>) -> Vec<GasSummary> {
    let mut groups = BTreeMap::<_, Vec<&GasRecord>>::new();
    for record in records.into_iter().filter(|record| record.gas_used.is_some()) {
        groups.entry((&record.contract, &record.function)).or_default().push(record);
    }
    let summary = |((contract, function), records): ((&String, &String), Vec<&GasRecord>)| {
        let gas = || records.iter().filter_map(|record| record.gas_used);
        let (count, total) = (records.len() as u64, gas().sum::<u64>());
        GasSummary {
            contract: contract.clone(),
            function: function.clone(),
            count,
            reverted: records.iter().filter(|record| record.status == TransactionStatus::Reverted).count() as u64,
            min: gas().min().unwrap_or(0),
            mean: total / count.max(1),
            max: gas().max().unwrap_or(0),
            total,
            fee: records.iter().map(|record| record.fee()).sum(),
        }
    };
    groups.into_iter().map(summary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tx: u8, function: &str, gas_used: Option<u64>) -> GasRecord {
        GasRecord {
            contract: "MultiSigWallet".into(),
            function: function.into(),
            from: Address::ZERO,
            to: Address::ZERO,
            nonce: u64::from(tx),
            tx: B256::repeat_byte(tx),
            status: if gas_used.is_some() { TransactionStatus::Success } else { TransactionStatus::Pending },
            gas_used,
            effective_gas_price: gas_used.map(|_| 2),
            block: gas_used.map(|_| 1),
            max_fee: U256::from(1_000),
            network: "local".into(),
            chain_id: 31337,
            at: 0,
            value: U256::ZERO,
            raw: Bytes::new(),
        }
    }

    #[tokio::test]
    async fn the_receipt_completes_the_intent() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ledger = GasLedger::new(dir.path().join("nested/gas.jsonl"));
        assert!(ledger.read().expect("absent is empty").records.is_empty());
        ledger.append(&record(1, "pay", None), true).await.expect("writable");
        ledger.append(&record(2, "pay", None), true).await.expect("writable");
        ledger.append(&record(1, "pay", Some(50)), false).await.expect("writable");
        let read = ledger.read().expect("readable");
        assert_eq!(read.records, [record(1, "pay", Some(50)), record(2, "pay", None)]);
    }

    #[tokio::test]
    async fn a_torn_line_costs_only_itself() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ledger = GasLedger::new(dir.path().join("gas.jsonl"));
        ledger.append(&record(1, "pay", Some(50)), true).await.expect("writable");
        let mut text = std::fs::read(ledger.path()).expect("readable");
        text.extend_from_slice(b"{\"contract\":\"Mul");
        std::fs::write(ledger.path(), text).expect("writable");
        assert_eq!(ledger.read().expect("readable").torn_lines, 1);
        ledger.append(&record(2, "pay", Some(70)), true).await.expect("writable");
        let read = ledger.read().expect("readable");
        assert_eq!(read.records, [record(1, "pay", Some(50)), record(2, "pay", Some(70))]);
    }

    #[tokio::test]
    async fn nothing_replaces_a_receipt_but_a_receipt() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ledger = GasLedger::new(dir.path().join("gas.jsonl"));
        let dropped = GasRecord { status: TransactionStatus::Dropped, ..record(1, "pay", None) };
        for record in [record(1, "pay", None), dropped.clone(), record(1, "pay", Some(50)), dropped] {
            ledger.append(&record, false).await.expect("writable");
        }
        assert_eq!(ledger.read().expect("readable").records, [record(1, "pay", Some(50))]);
        ledger.append(&record(1, "pay", Some(60)), false).await.expect("writable");
        assert_eq!(ledger.read().expect("readable").records, [record(1, "pay", Some(60))]);
    }

    #[test]
    fn a_day_counts_what_was_paid_and_what_may_yet_be() {
        let late = |record| GasRecord { at: DAY_MS, ..record };
        let dropped = GasRecord { status: TransactionStatus::Dropped, ..late(record(4, "pay", None)) };
        let elsewhere = GasRecord { chain_id: 56, ..late(record(5, "pay", Some(9))) };
        let records = [
            record(1, "pay", Some(50)),
            late(record(2, "pay", Some(70))),
            late(record(3, "pay", None)),
            dropped,
            elsewhere,
        ];
        assert_eq!(spent_in_a_day(&records, 31337, DAY_MS - 1), U256::from(100 + 140 + 1_000));
        assert_eq!(spent_in_a_day(&records, 31337, DAY_MS), U256::from(140 + 1_000), "the first is a day old");
        assert_eq!(spent_in_a_day(&records, 31337, 2 * DAY_MS), U256::ZERO);
    }

    #[test]
    fn sums_are_by_function() {
        let mut failed = record(4, "pay", Some(10));
        failed.status = TransactionStatus::Reverted;
        let records = [record(1, "pay", Some(50)), record(2, "add", Some(7)), record(3, "pay", None), failed];
        let sums = summarize(&records);
        assert_eq!(sums.len(), 2);
        assert_eq!((sums[0].function.as_str(), sums[0].total), ("add", 7));
        let pay = &sums[1];
        assert_eq!((pay.count, pay.reverted, pay.min, pay.mean, pay.max, pay.total), (2, 1, 10, 30, 50, 60));
        assert_eq!(pay.fee, U256::from(120));
    }
}
