//! An entry of the ledger: a race that is over, with all that it takes to check it alone.

use dtn_pow::{PowError, Puzzle};
use dtn_primitives::{
    Address, B256, Bytes, Claim, Domain, Genesis, Payload, Signature, Transaction, TransactionError, ValidatorIndex,
    ValidatorSet, keccak256,
};
use serde::{Deserialize, Serialize};

use super::winner_name;
use crate::l1::races::{Part, Race};

/// What an entry's hash covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// 1 for the first.
    pub(super) number: u64,
    /// The network.
    pub(super) network_id: B256,
    /// The chain that it settles on.
    pub(super) chain_id: u64,
    /// The height of the block that closed the race, and its hash.
    pub(super) height: u64,
    pub(super) block: B256,
    /// Who won, by name and by address.
    pub(super) node: String,
    pub(super) worker: Address,
    /// The hash of the transaction that was worked for.
    pub(super) transaction: B256,
    /// Who signed it: the validator that took in the line, or the order's requester.
    pub(super) requester: Address,
    /// What was signed.
    pub(super) payload: Payload,
    pub(super) requester_signature: Signature,
    /// The race: the hash of the block that opened it.
    pub(super) race: B256,
    /// What the winner claims, and signs.
    pub(super) payee: Address,
    pub(super) nonce: u64,
    pub(super) hash: B256,
    pub(super) started_at_us: u64,
    pub(super) ended_at_us: u64,
    pub(super) duration_us: u64,
    pub(super) signature: Signature,
    /// The hash of the entry before; zeros for the first.
    pub(super) previous: B256,
}

/// An entry with its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) record: Record,
    pub(super) entry_hash: B256,
}

/// What is wrong with an entry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EntryError {
    #[error("it has the number {0}")]
    Number(u64),
    #[error("it follows entry {have}, and the entry before it is {need}")]
    Link { have: B256, need: B256 },
    #[error("its content hashes to {actual}, not to {stated}")]
    Hash { stated: B256, actual: B256 },
    #[error("it is of network {0}, and the others are not")]
    OtherNetwork(B256),
    #[error("it is of network {have}, and the genesis is that of {need}")]
    NotOfGenesis { have: B256, need: B256 },
    #[error("{worker} is not {node} of the genesis")]
    NotTheNode { worker: Address, node: String },
    #[error("{0} is not a validator of the genesis and takes in no lines")]
    NotAValidator(Address),
    #[error("what was signed is transaction {actual}, not {stated}")]
    Transaction { stated: B256, actual: B256 },
    #[error("the transaction: {0}")]
    Order(TransactionError),
    #[error("the claim: {0}")]
    Claim(TransactionError),
    #[error("the transaction asks for no work")]
    NoWork,
    #[error("the work: {0}")]
    Work(PowError),
}

impl Record {
    /// The Keccak-256 of the record as JSON, as [`serde_json::to_string`] writes it.
    fn entry_hash(&self) -> B256 {
        // A record has neither maps nor numbers that JSON cannot express.
        keccak256(serde_json::to_vec(self).unwrap_or_default())
    }

    fn domain(&self) -> Domain {
        Domain::new(self.network_id, self.chain_id)
    }

    /// The transaction that was worked for.
    fn order(&self) -> Transaction {
        Transaction { sender: self.requester, payload: self.payload.clone(), signature: self.requester_signature }
    }

    /// The winner's claim.
    fn claim(&self) -> Transaction {
        let Self { transaction: order, race, payee, nonce, hash, started_at_us, ended_at_us, duration_us, .. } = *self;
        let claim = Claim { order, race, payee, nonce, hash, started_at_us, ended_at_us, duration_us };
        Transaction { sender: self.worker, payload: Payload::Claim(claim), signature: self.signature }
    }

    /// What was sent: the bytes of a line, or an order as JSON.
    pub(super) fn data(&self) -> Bytes {
        match &self.payload {
            Payload::Line(line) => line.data.clone(),
            other => serde_json::to_vec(other).unwrap_or_default().into(),
        }
    }

    /// The same as text; what is not UTF-8 is replaced by U+FFFD.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.data()).into_owned()
    }
}

impl Entry {
    /// Checks everything that the entry shows by itself and against its genesis, if that is given.
    fn check_alone(&self, genesis: Option<&Genesis>) -> Result<(), EntryError> {
        let record = &self.record;
        let (stated, actual) = (self.entry_hash, record.entry_hash());
        if stated != actual {
            return Err(EntryError::Hash { stated, actual });
        }
        let (order, domain) = (record.order(), record.domain());
        let (stated, actual) = (record.transaction, order.hash(&domain));
        if stated != actual {
            return Err(EntryError::Transaction { stated, actual });
        }
        order.validate(&domain).map_err(EntryError::Order)?;
        record.claim().validate(&domain).map_err(EntryError::Claim)?;
        let expected_hashes = record.payload.expected_hashes().ok_or(EntryError::NoWork)?;
        Puzzle::new(record.network_id, record.race, record.transaction, record.worker, expected_hashes)
            .and_then(|puzzle| puzzle.check(record.nonce, record.hash))
            .map_err(EntryError::Work)?;
        genesis.map_or(Ok(()), |genesis| self.check_nodes(genesis))
    }

    fn check_nodes(&self, genesis: &Genesis) -> Result<(), EntryError> {
        let record = &self.record;
        let (have, need) = (record.network_id, genesis.network_id());
        if (have, record.chain_id) != (need, genesis.chain_id) {
            return Err(EntryError::NotOfGenesis { have, need });
        }
        let validators = ValidatorSet::new(0, genesis.validators.iter().copied());
        let (worker, node) = (record.worker, record.node.clone());
        if winner_name(worker, validators.index_of(worker).map(ValidatorIndex::as_usize)) != node {
            return Err(EntryError::NotTheNode { worker, node });
        }
        match record.payload {
            Payload::Line(_) if validators.index_of(record.requester).is_none() => {
                Err(EntryError::NotAValidator(record.requester))
            }
            _ => Ok(()),
        }
    }
}

/// The end of a ledger: what the next entry follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// How many entries there are.
    pub(super) entries: u64,
    /// The hash of the last; zeros if there is none.
    pub(super) entry_hash: B256,
    network_id: Option<B256>,
}

impl Head {
    /// The entry of the next race that is over.
    pub(super) fn enter(&mut self, race: &Race, won: &Part, genesis: &Genesis, node: String) -> Entry {
        let Race { order, transaction, height, block, .. } = race;
        let Part { worker, claim, signature } = won;
        let record = Record {
            number: self.entries + 1,
            network_id: genesis.network_id(),
            chain_id: genesis.chain_id,
            height: *height,
            block: *block,
            node,
            worker: *worker,
            transaction: *transaction,
            requester: order.sender,
            payload: order.payload.clone(),
            requester_signature: order.signature,
            race: claim.race,
            payee: claim.payee,
            nonce: claim.nonce,
            hash: claim.hash,
            started_at_us: claim.started_at_us,
            ended_at_us: claim.ended_at_us,
            duration_us: claim.duration_us,
            signature: *signature,
            previous: self.entry_hash,
        };
        let entry = Entry { entry_hash: record.entry_hash(), record };
        self.move_to(&entry);
        entry
    }

    /// Takes an entry that somebody else made, if it is right.
    pub(super) fn check(&mut self, entry: &Entry, genesis: Option<&Genesis>) -> Result<(), EntryError> {
        let record = &entry.record;
        entry.check_alone(genesis)?;
        if self.network_id.is_some_and(|others| others != record.network_id) {
            return Err(EntryError::OtherNetwork(record.network_id));
        }
        if record.number != self.entries + 1 {
            return Err(EntryError::Number(record.number));
        }
        if record.previous != self.entry_hash {
            return Err(EntryError::Link { have: record.previous, need: self.entry_hash });
        }
        self.move_to(entry);
        Ok(())
    }

    fn move_to(&mut self, entry: &Entry) {
        let Record { number, network_id, .. } = entry.record;
        *self = Self { entries: number, entry_hash: entry.entry_hash, network_id: Some(network_id) };
    }
}
