//! Signed transactions: orders for work, the claims of those who did it, and data that is only put in order.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    Completion, Deposit, Domain, Items, KeyError, Kind, MAX_ROUND_MS, MAX_ROUND_STEPS, MAX_SEGMENT_STEPS, RoundOrder,
    SecretKey, Signature, Withdrawal, codec,
};

mod typed {
    alloy_sol_types::sol! {
        struct Transaction { address sender; bytes payload; }
    }
}

/// The longest encoded transaction that a peer takes.
pub const MAX_TRANSACTION_BYTES: usize = 16 * 1024;

/// The longest text field of an order, in bytes.
pub const MAX_TEXT_BYTES: usize = 256;

/// The most items in one transaction of data.
pub const MAX_DATA_ITEMS: usize = 1024;

/// The most work that an order may ask for: what a machine of 100 million hashes a second does in the thirty days that an
/// order is open.
pub const MAX_ORDER_HASHES: u64 = 1 << 48;

/// The most work that a line may ask for: what 300 million hashes a second do in the hour that a line is open.
pub const MAX_LINE_HASHES: u64 = 1 << 40;

/// A training order: which model to train on which data, how it is measured and what it earns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The sender's account nonce: 0 for its first order or data, then one more each. Replays and gaps are refused.
    pub nonce: u64,
    /// The public data set, by name.
    pub dataset: String,
    /// The model family.
    pub model: String,
    /// How a result is measured, with its goal.
    pub metric: String,
    /// What the work earns, in wei. Only the genesis's requesters may offer one.
    pub reward: U256,
    /// The proof of work that decides who earns it.
    pub work: Option<Work>,
}

/// How much SHA-256 work a claim must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The expected number of hashes; 1 to [`MAX_ORDER_HASHES`]. A hash wins if it is below 2^256 / `expected_hashes`.
    pub expected_hashes: u64,
}

impl Work {
    /// Checks that somebody could do it, and that it is any.
    fn validate(expected_hashes: u64, max: u64) -> Result<(), TransactionError> {
        match expected_hashes {
            0 => Err(TransactionError::NoWork),
            actual if actual > max => Err(TransactionError::TooMuchWork { actual, max }),
            _ => Ok(()),
        }
    }
}

/// The longest line, in bytes.
pub const MAX_LINE_BYTES: usize = 8 * 1024;

/// A line that came in by a validator's line port, which asks for work without a reward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The validator's account nonce.
    pub nonce: u64,
    /// The line without its end: any 1 to [`MAX_LINE_BYTES`] bytes.
    pub data: Bytes,
    /// The expected number of hashes that a claim must show; 1 to [`MAX_LINE_HASHES`].
    pub expected_hashes: u64,
}

impl Line {
    /// What copies of one line share, by whichever ports they come in: the Keccak-256 of the expected hashes in 8
    /// big-endian bytes and the data.
    pub fn content(&self) -> B256 {
        keccak256([&self.expected_hashes.to_be_bytes()[..], &self.data].concat())
    }

    fn validate(&self) -> Result<(), TransactionError> {
        match self.data.len() {
            1..=MAX_LINE_BYTES => Work::validate(self.expected_hashes, MAX_LINE_HASHES),
            actual => Err(TransactionError::LineLength(actual)),
        }
    }
}

/// A solution to an order's work. The signature makes it the worker's own statement, times included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The order's transaction hash.
    pub order: B256,
    /// The id of the race: the hash of the block that opened it.
    pub race: B256,
    /// Who receives the reward.
    pub payee: Address,
    /// The nonce that solves the puzzle for this worker.
    pub nonce: u64,
    /// The SHA-256 that results.
    pub hash: B256,
    /// When the search began, in microseconds since the Unix epoch, by the worker's clock.
    pub started_at_us: u64,
    /// When it ended, by the same clock.
    pub ended_at_us: u64,
    /// How long it took in microseconds, by a monotonic clock.
    pub duration_us: u64,
}

/// A call of a custom kind of work: an order, a claim, whatever its rules make of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custom {
    /// The sender's account nonce.
    pub nonce: u64,
    /// Which kind of work. The genesis names those that a network knows.
    pub kind: Kind,
    /// What it says, in the encoding of that kind; bounded by [`MAX_TRANSACTION_BYTES`].
    pub body: Bytes,
}

/// A call about an order for a trained model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingCall {
    /// The sender's account nonce.
    pub nonce: u64,
    /// The order, by the hash of the transaction that opened it; none for a new one.
    pub order: Option<B256>,
    /// The terms of a new order, or what is asked of an open one, in the encodings of `dtn-training`.
    pub body: Bytes,
}

/// What a transaction does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// Asks for work. Replays are refused by its account nonce.
    Order(Order),
    /// Claims the reward of an open order. Needs no nonce: a race closes once, and a closed race takes no claim.
    Claim(Claim),
    /// Opaque items that the network puts in order and does not look into. One signature covers all of them.
    Data {
        /// The sender's account nonce, which counts together with that of its orders.
        nonce: u64,
        /// The items, none of them empty; bounded together by [`MAX_TRANSACTION_BYTES`].
        items: Items,
    },
    /// Opens a round of sequential work. Only the genesis's requesters may ask for one.
    Round(RoundOrder),
    /// States that a validator has done its work of the open round. Needs no nonce: it counts once a round.
    Completion(Completion),
    /// Closes the open round after its deadline. Any validator may say so, and it needs no nonce: a round closes once.
    CloseRound {
        /// The number of the round.
        round: u64,
    },
    /// A line that a validator took in. Copies of one that came in by several validators' ports open one race.
    Line(Line),
    /// A call of a custom kind of work.
    Custom(Custom),
    /// Orders a trained model, or answers such an order.
    Training(TrainingCall),
    /// A validator's statement about money that came in. Needs no nonce: each validator states each deposit once.
    Deposit(Deposit),
    /// Takes money out.
    Withdrawal(Withdrawal),
}

impl Payload {
    /// The account nonce that this uses up; a claim uses none.
    pub fn nonce(&self) -> Option<u64> {
        match self {
            Self::Order(Order { nonce, .. })
            | Self::Data { nonce, .. }
            | Self::Round(RoundOrder { nonce, .. })
            | Self::Line(Line { nonce, .. })
            | Self::Custom(Custom { nonce, .. })
            | Self::Training(TrainingCall { nonce, .. })
            | Self::Withdrawal(Withdrawal { nonce, .. }) => Some(*nonce),
            Self::Claim(_) | Self::Completion(_) | Self::CloseRound { .. } | Self::Deposit(_) => None,
        }
    }

    /// The expected number of hashes that a claim for it must show, if it asks for work.
    pub fn expected_hashes(&self) -> Option<u64> {
        match self {
            Self::Order(Order { work: Some(work), .. }) => Some(work.expected_hashes),
            Self::Line(line) => Some(line.expected_hashes),
            _ => None,
        }
    }

    /// Checks the fields.
    pub fn validate(&self) -> Result<(), TransactionError> {
        match self {
            Self::Order(order) => order.validate(),
            Self::Claim(claim) => claim.validate(),
            Self::Data { items, .. } if !(1..=MAX_DATA_ITEMS).contains(&items.len()) => {
                Err(TransactionError::ItemCount(items.len()))
            }
            Self::Data { items, .. } if items.iter().any(|item| item.is_empty()) => Err(TransactionError::EmptyItem),
            Self::Round(round) => round.validate(),
            Self::Line(line) => line.validate(),
            Self::Completion(completion) if completion.payee.is_zero() => Err(TransactionError::NoPayee),
            Self::Custom(custom) if !custom.kind.is_custom() => Err(TransactionError::NotCustom(custom.kind)),
            Self::Deposit(Deposit { amount: 0, .. }) | Self::Withdrawal(Withdrawal { amount: 0, .. }) => {
                Err(TransactionError::NoAmount)
            }
            Self::Data { .. } | Self::Completion(_) | Self::CloseRound { .. } | Self::Custom(_) => Ok(()),
            Self::Training(_) | Self::Deposit(_) | Self::Withdrawal(_) => Ok(()),
        }
    }
}

/// A payload with its sender's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The account that signs.
    pub sender: Address,
    /// What it asks for.
    pub payload: Payload,
    /// Over the EIP-712 struct `Transaction(address sender,bytes payload)`, the payload in its wire encoding.
    pub signature: Signature,
}

/// Why a transaction is not acceptable by itself, whatever the state of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// The signature is not the sender's.
    #[error("signature: {0}")]
    Signature(#[from] KeyError),
    /// A text field is empty.
    #[error("{0} is empty")]
    EmptyText(&'static str),
    /// A text field is too long.
    #[error("{field} has {actual} bytes, more than {MAX_TEXT_BYTES}")]
    TextTooLong {
        /// Which field.
        field: &'static str,
        /// Its length.
        actual: usize,
    },
    /// Nobody could ever earn the reward.
    #[error("a reward needs work that decides who earns it")]
    RewardWithoutWork,
    /// Work of zero hashes has no target.
    #[error("work must expect at least 1 hash")]
    NoWork,
    /// Nobody could do the work while the order or the line is open.
    #[error("work of {actual} hashes; there may be at most {max}")]
    TooMuchWork {
        /// The expected hashes.
        actual: u64,
        /// The most.
        max: u64,
    },
    /// A claim would pay the zero address.
    #[error("the payee is the zero address")]
    NoPayee,
    /// A claim's search ends before it begins.
    #[error("the claim's search ends before it begins")]
    EndsBeforeStart,
    /// Data without an item, or with too many.
    #[error("{0} items of data; there must be 1 to {MAX_DATA_ITEMS}")]
    ItemCount(usize),
    /// An item without a byte.
    #[error("an item of data is empty")]
    EmptyItem,
    /// A line without a byte, or with too many.
    #[error("a line of {0} bytes; there must be 1 to {MAX_LINE_BYTES}")]
    LineLength(usize),
    /// A call of one of the kinds that every network has.
    #[error("{0} is no custom kind of work: it has payloads of its own")]
    NotCustom(Kind),
    /// Nothing comes in, or goes out.
    #[error("an amount of 0 wei")]
    NoAmount,
    /// A round without work, or with too much.
    #[error("a round of {0} steps; there must be 1 to {MAX_ROUND_STEPS}")]
    RoundSteps(u64),
    /// The contract could not replay a segment of such work.
    #[error(
        "{0} steps cannot settle: a round with a reward has at most {MAX_SEGMENT_STEPS} steps, or a multiple of that"
    )]
    UnevenSteps(u64),
    /// A round that nobody could complete, or that would never end.
    #[error("a round of {0} ms; there must be 1 to {MAX_ROUND_MS}")]
    RoundDuration(u64),
    /// A round that closes before anybody completes it.
    #[error("a round closes at 1 completion at least")]
    NoRoundQuorum,
}

impl Transaction {
    /// Signs a payload.
    pub fn sign(payload: Payload, key: &SecretKey, domain: &Domain) -> Self {
        let sender = key.address();
        let signature = key.sign(Self::hash_of(sender, codec::encode(&payload), domain));
        Self { sender, payload, signature }
    }

    /// The hash of an account's transaction with a payload that is encoded already.
    pub fn hash_of(sender: Address, payload: impl Into<Bytes>, domain: &Domain) -> B256 {
        domain.digest(&typed::Transaction { sender, payload: payload.into() })
    }

    /// The transaction's hash, which is the digest that its sender signs: it identifies the content in this network,
    /// whichever of its valid signatures comes along.
    pub fn hash(&self, domain: &Domain) -> B256 {
        Self::hash_of(self.sender, codec::encode(&self.payload), domain)
    }

    /// Checks everything that needs no ledger: fields and signature.
    pub fn validate(&self, domain: &Domain) -> Result<(), TransactionError> {
        self.payload.validate()?;
        Ok(self.signature.verify(self.hash(domain), self.sender)?)
    }
}

impl Order {
    /// Checks the fields of an order.
    pub fn validate(&self) -> Result<(), TransactionError> {
        for (field, text) in [("dataset", &self.dataset), ("model", &self.model), ("metric", &self.metric)] {
            match text.len() {
                0 => return Err(TransactionError::EmptyText(field)),
                actual if actual > MAX_TEXT_BYTES => return Err(TransactionError::TextTooLong { field, actual }),
                _ => {}
            }
        }
        match self.work {
            None if !self.reward.is_zero() => Err(TransactionError::RewardWithoutWork),
            None => Ok(()),
            Some(work) => Work::validate(work.expected_hashes, MAX_ORDER_HASHES),
        }
    }
}

impl RoundOrder {
    fn validate(&self) -> Result<(), TransactionError> {
        let Self { steps, quorum, duration_ms, reward, .. } = *self;
        if !(1..=MAX_ROUND_STEPS).contains(&steps) {
            return Err(TransactionError::RoundSteps(steps));
        }
        if !reward.is_zero() && steps > MAX_SEGMENT_STEPS && !steps.is_multiple_of(MAX_SEGMENT_STEPS) {
            return Err(TransactionError::UnevenSteps(steps));
        }
        if !(1..=MAX_ROUND_MS).contains(&duration_ms) {
            return Err(TransactionError::RoundDuration(duration_ms));
        }
        if quorum == 0 { Err(TransactionError::NoRoundQuorum) } else { Ok(()) }
    }
}

impl Claim {
    fn validate(&self) -> Result<(), TransactionError> {
        if self.payee.is_zero() {
            return Err(TransactionError::NoPayee);
        }
        if self.ended_at_us < self.started_at_us {
            return Err(TransactionError::EndsBeforeStart);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::SecretKey;

    #[test]
    fn transactions_take_no_more_than_eight_times_their_encoded_bytes_however_many_there_are() {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let shortest = Transaction::sign(Payload::CloseRound { round: 0 }, &key, &Domain::new(B256::ZERO, 1));
        let bytes = codec::encode(&vec![shortest; 10_000]);
        let transactions: Vec<Transaction> = codec::decode(&bytes, bytes.len()).unwrap();
        // While a vector grows, the old and the new one are there.
        let taken = transactions.capacity() * size_of::<Transaction>() * 3 / 2;
        assert!(taken <= 8 * bytes.len(), "{} bytes take {taken}", bytes.len());
    }
}
