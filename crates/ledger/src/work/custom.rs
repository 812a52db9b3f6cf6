//! Kinds of work that a program brings along: the rules are its own, the bounds and the money are the ledger's.
//!
//! A requester's call may open a record, under its transaction hash and with a reward that it offers. Later calls read and
//! change the record, until one closes it and says who has earned the reward, or its time is up. The record is all that such
//! a kind remembers, and what is paid is never more than what was offered.

use std::{collections::BTreeMap, fmt, sync::Arc};

use dtn_primitives::{Address, B256, Bytes, Custom, Genesis, Kind, KindError, U256, WorkResult};
use serde::{Deserialize, Serialize};

use super::{Execution, open::Ends};
use crate::{
    rules::{Refusal, Rules},
    state::View,
};

/// The most records that are open, shared by the requesters.
const MAX_OPEN_RECORDS: usize = 4_096;

/// The longest content of a record, in bytes. What is longer is kept elsewhere, and its hash here.
pub const MAX_RECORD_BYTES: usize = 4 * 1024;

/// The longest time for which a record is open, in milliseconds: thirty days.
pub const MAX_RECORD_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// The most accounts that share the reward of one record.
pub const MAX_SHARES: usize = 64;

/// The rules of a kind of work. All peers of a network must have the same, so the genesis names it.
///
/// The rules read no clock and no randomness, and keep nothing of their own: the same calls on the same records give the same
/// on every peer, today and when a peer that was away executes the blocks again.
pub trait WorkKind: fmt::Debug + Send + Sync {
    /// Its name, as the genesis has it.
    fn name(&self) -> &str;

    /// Judges a call by itself, once on each peer, before it waits or is voted for. Must be quick for any bytes, since
    /// anybody may send them: some milliseconds at most.
    fn check(&self, body: &[u8]) -> Result<(), WorkError>;

    /// Does what a call asks for. It was [checked](Self::check) before. After an error nothing has changed.
    fn apply(&self, call: &Call<'_>, records: &mut Records<'_>) -> Result<(), WorkError>;

    /// Who has earned what of the reward of a record whose time is up: by default nobody.
    fn expire(&self, record: &Record) -> Vec<Share> {
        _ = record;
        Vec::new()
    }
}

/// Why a kind of work does not take a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WorkError(String);

impl WorkError {
    /// For a reason that whoever sent the call can do something about.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

/// What an account asks of a kind of work.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Who has signed it.
    pub sender: Address,
    /// Its transaction hash, the key of the record that it may open.
    pub hash: B256,
    /// What it says, in the encoding of its kind.
    pub body: &'a [u8],
}

/// What a kind of work remembers of an open order of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which kind.
    pub kind: Kind,
    /// Who asked for the work.
    pub requester: Address,
    /// What it offers, in wei.
    pub reward: U256,
    /// The height of the block that opened it.
    pub height: u64,
    /// The last moment at which it is open, in milliseconds since the Unix epoch, by the timestamps of blocks.
    pub until_ms: u64,
    /// What the kind keeps, in its own encoding.
    pub value: Bytes,
}

impl Ends for Record {
    fn ends_ms(&self) -> u64 {
        self.until_ms
    }

    fn requester(&self) -> Address {
        self.requester
    }
}

/// A part of a reward, and who gets it for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Who did the work. Not paid while the registry bars it.
    pub worker: Address,
    /// The only account that can receive it.
    pub payee: Address,
    /// In wei.
    pub amount: U256,
    /// What came of the work, by a hash.
    pub digest: B256,
}

/// Why a record is not opened, changed or closed: the bounds that hold for every kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is not open.
    #[error("record {0} is not open")]
    NotOpen(B256),
    /// This call has opened it.
    #[error("the call has opened its record already")]
    Opened,
    /// It would be longer than any may be.
    #[error("a record of {0} bytes; there may be {MAX_RECORD_BYTES}")]
    TooLong(usize),
    /// It would be over at once, or would never end.
    #[error("a record that is open for {0} ms; there must be 1 to {MAX_RECORD_MS}")]
    Lifetime(u64),
    /// More would be paid than was offered.
    #[error("{shared} wei are shared of the {reward} that were offered")]
    TooMuch {
        /// What is shared.
        shared: U256,
        /// What there is.
        reward: U256,
    },
    /// Too many would share.
    #[error("{0} accounts share a reward; there may be {MAX_SHARES}")]
    TooManyShares(usize),
    /// A share is nobody's.
    #[error("a share has the zero address as its payee")]
    NoPayee,
}

impl From<RecordError> for WorkError {
    fn from(error: RecordError) -> Self {
        Self::new(error)
    }
}

/// The open records of a kind of work, as a call sees and changes them.
#[derive(Debug)]
pub struct Records<'a> {
    kind: Kind,
    before: &'a View<'a>,
    in_block: &'a BTreeMap<B256, Option<Record>>,
    call: Call<'a>,
    height: u64,
    timestamp_ms: u64,
    written: BTreeMap<B256, Option<Record>>,
    closed: Vec<(B256, Vec<Share>)>,
}

impl Records<'_> {
    /// The height of the block.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The block's timestamp, in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> u64 {
        self.timestamp_ms
    }

    /// An open record by its key, the hash of the call that has opened it.
    pub fn get(&self, key: B256) -> Result<&Record, RecordError> {
        let changed = self.written.get(&key).or_else(|| self.in_block.get(&key));
        let record = changed.map_or_else(|| self.before.record(key), Option::as_ref);
        record.filter(|record| record.kind == self.kind).ok_or(RecordError::NotOpen(key))
    }

    /// Opens a record under the hash of this call. Only a requester of the genesis can; the call is refused else.
    pub fn open(&mut self, reward: U256, lifetime_ms: u64, value: impl Into<Bytes>) -> Result<(), RecordError> {
        let (Call { sender: requester, hash, .. }, value) = (self.call, value.into());
        if self.written.contains_key(&hash) {
            return Err(RecordError::Opened);
        }
        if !(1..=MAX_RECORD_MS).contains(&lifetime_ms) {
            return Err(RecordError::Lifetime(lifetime_ms));
        }
        let until_ms = self.timestamp_ms.saturating_add(lifetime_ms);
        let record = Record { kind: self.kind, requester, reward, height: self.height, until_ms, value };
        self.write(hash, record)
    }

    /// Replaces what is kept in a record.
    pub fn update(&mut self, key: B256, value: impl Into<Bytes>) -> Result<(), RecordError> {
        let record = Record { value: value.into(), ..self.get(key)?.clone() };
        self.write(key, record)
    }

    fn write(&mut self, key: B256, record: Record) -> Result<(), RecordError> {
        if record.value.len() > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong(record.value.len()));
        }
        self.written.insert(key, Some(record));
        Ok(())
    }

    /// Closes a record. What nobody shares of the reward stays with whom it belongs to: nothing was moved yet.
    pub fn close(&mut self, key: B256, shares: Vec<Share>) -> Result<(), RecordError> {
        check_shares(self.get(key)?.reward, &shares)?;
        self.written.insert(key, None);
        self.closed.push((key, shares));
        Ok(())
    }
}

fn check_shares(reward: U256, shares: &[Share]) -> Result<(), RecordError> {
    if shares.len() > MAX_SHARES {
        return Err(RecordError::TooManyShares(shares.len()));
    }
    if shares.iter().any(|share| share.payee.is_zero()) {
        return Err(RecordError::NoPayee);
    }
    let shared = shares.iter().fold(U256::ZERO, |sum, share| sum.saturating_add(share.amount));
    if shared > reward { Err(RecordError::TooMuch { shared, reward }) } else { Ok(()) }
}

/// The custom kinds of work that a program knows.
#[derive(Debug, Clone, Default)]
pub struct Kinds(BTreeMap<Kind, Arc<dyn WorkKind>>);

impl Kinds {
    /// The same with another one.
    pub fn with(mut self, rules: impl WorkKind + 'static) -> Result<Self, KindError> {
        self.0.insert(Kind::of_name(rules.name())?, Arc::new(rules));
        Ok(self)
    }

    /// Those that a genesis names; the name of one that is not here otherwise.
    pub(crate) fn of(&self, genesis: &Genesis) -> Result<Self, String> {
        let known = |name: &String| {
            let found = Kind::of_name(name).ok().and_then(|kind| Some((kind, self.0.get(&kind)?.clone())));
            found.ok_or_else(|| name.clone())
        };
        genesis.kinds.iter().map(known).collect::<Result<_, _>>().map(Self)
    }

    fn get(&self, kind: Kind) -> Result<&Arc<dyn WorkKind>, Refusal> {
        self.0.get(&kind).ok_or(Refusal::UnknownKind(kind))
    }
}

impl Rules {
    /// Whether a call is one of a kind of this network, and good by itself.
    pub(crate) fn allow_custom(&self, custom: &Custom) -> Result<(), Refusal> {
        let refused = |error| Refusal::Work { kind: custom.kind, error };
        self.kinds.get(custom.kind)?.check(&custom.body).map_err(refused)
    }

    fn allow_record(&self, requester: Address, open: usize) -> Result<(), Refusal> {
        if !self.requesters.contains(&requester) {
            return Err(Refusal::NotRequester(requester));
        }
        let quota = MAX_OPEN_RECORDS / self.requesters.len().max(1);
        if open < quota { Ok(()) } else { Err(Refusal::TooManyOpen { requester, open }) }
    }
}

impl Execution<'_> {
    pub(super) fn apply_custom(&mut self, sender: Address, custom: &Custom, hash: B256) -> Result<(), Refusal> {
        let Custom { kind, body, .. } = custom;
        let rules = self.rules.kinds.get(*kind)?.clone();
        let call = Call { sender, hash, body };
        let mut records = Records {
            kind: *kind,
            before: &self.parent,
            in_block: &self.changes.records,
            call,
            height: self.height,
            timestamp_ms: self.timestamp_ms,
            written: BTreeMap::new(),
            closed: Vec::new(),
        };
        rules.apply(&call, &mut records).map_err(|error| Refusal::Work { kind: *kind, error })?;
        let Records { written, closed, .. } = records;
        if written.get(&hash).is_some_and(Option::is_some) {
            let open = self.parent.records_of(sender, &self.changes.records);
            self.rules.allow_record(sender, open)?;
        }
        for (key, shares) in closed {
            self.settle(*kind, key, shares);
        }
        self.changes.records.extend(written);
        Ok(())
    }

    /// Ends the records whose time is up, the longest overdue first, as many as a block may.
    pub(super) fn end_records(&mut self) {
        for key in self.parent.records_over(self.timestamp_ms) {
            let changed = self.changes.records.get(&key);
            let Some(record) = changed.map_or_else(|| self.parent.record(key), Option::as_ref).cloned() else {
                continue;
            };
            let rules = self.rules.kinds.get(record.kind);
            let shares = rules.map(|rules| rules.expire(&record)).unwrap_or_default();
            match check_shares(record.reward, &shares) {
                Ok(()) if !shares.is_empty() => self.settle(record.kind, key, shares),
                _ => self.expired.push(key),
            }
            self.changes.records.insert(key, None);
        }
    }

    fn settle(&mut self, kind: Kind, key: B256, shares: Vec<Share>) {
        let result = |(index, share): (u32, Share)| {
            let Share { worker, payee, amount, digest } = share;
            WorkResult { kind, id: WorkResult::share_id(key, index), worker, payee, amount, digest }
        };
        self.results.extend((0..).zip(shares).map(result));
    }
}
