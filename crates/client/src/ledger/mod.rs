//! The ledger of races: an entry for each race that is over, with all that it takes to check it alone.

mod check;
pub mod seed;

pub use check::{CheckError, LineError, check};
use dtn_pow::{PowError, Puzzle};
use dtn_primitives::{
    Address, B256, Bytes, Claim, Domain, Epochs, Genesis, GenesisError, Membership, Payload, Signature, Transaction,
    TransactionError, ValidatorIndex, ValidatorSet, keccak256,
};
use futures::{StreamExt, pin_mut};
use serde::{Deserialize, Serialize};

use crate::{Blocks, ClientError, FinalBlock, Part, Race, RaceError, Races};

/// What an entry's hash covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// 1 for the first.
    pub number: u64,
    /// The network.
    pub network_id: B256,
    /// The chain that it settles on.
    pub chain_id: u64,
    /// The height of the block that closed the race.
    pub height: u64,
    /// The hash of that block.
    pub block: B256,
    /// Who won, by name.
    pub node: String,
    /// Who won.
    pub worker: Address,
    /// The hash of the transaction that was worked for.
    pub transaction: B256,
    /// Who signed it: the validator that took in the line, or the order's requester.
    pub requester: Address,
    /// What was signed.
    pub payload: Payload,
    /// The signature of that.
    pub requester_signature: Signature,
    /// The race: the hash of the block that opened it.
    pub race: B256,
    /// Whom the winner has paid.
    pub payee: Address,
    /// The winner's solution.
    pub nonce: u64,
    /// The solution's hash.
    pub hash: B256,
    /// When the winner's search began, in microseconds since the Unix epoch by its own clock.
    pub started_at_us: u64,
    /// When it ended.
    pub ended_at_us: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The winner's signature of the claim.
    pub signature: Signature,
    /// The hash of the entry before; zeros for the first.
    pub previous: B256,
}

/// Why a ledger is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The blocks.
    #[error("{0}")]
    Blocks(#[from] ClientError),
    /// A race in them.
    #[error("{0}")]
    Race(#[from] RaceError),
    /// The genesis.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
}

/// The whole ledger of a network, from its blocks up to a height; `read` is told of each block.
pub async fn read(blocks: &Blocks, tip: u64, read: impl Fn()) -> Result<Vec<Entry>, LedgerError> {
    let mut writer = Writer::new(blocks.genesis().clone())?;
    let mut entries = Vec::new();
    let all = blocks.up_to(tip);
    pin_mut!(all);
    while let Some(block) = all.next().await {
        entries.extend(writer.next(block?)?);
        read();
    }
    Ok(entries)
}

/// An entry with its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What the hash covers.
    #[serde(flatten)]
    pub record: Record,
    /// The hash.
    pub entry_hash: B256,
}

/// What is wrong with an entry.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It has another number than the next.
    #[error("it has the number {0}")]
    Number(u64),
    /// It does not follow the one before.
    #[error("it follows entry {have}, and the entry before it is {need}")]
    Link {
        /// What it has.
        have: B256,
        /// What it should have.
        need: B256,
    },
    /// Its hash is not that of its content.
    #[error("its content hashes to {actual}, not to {stated}")]
    Hash {
        /// What it states.
        stated: B256,
        /// What it is.
        actual: B256,
    },
    /// It is of another network than those before.
    #[error("it is of network {0}, and the others are not")]
    OtherNetwork(B256),
    /// It is of another network than the genesis.
    #[error("it is of network {have}, and the genesis is that of {need}")]
    NotOfGenesis {
        /// What it has.
        have: B256,
        /// What it should have.
        need: B256,
    },
    /// The winner is not who it is called.
    #[error("{worker} is not {node} of the genesis")]
    NotTheNode {
        /// The winner.
        worker: Address,
        /// Its name.
        node: String,
    },
    /// A line that no validator took in.
    #[error("{0} is not a validator of the genesis and takes in no lines")]
    NotAValidator(Address),
    /// The transaction is another one.
    #[error("what was signed is transaction {actual}, not {stated}")]
    Transaction {
        /// What it states.
        stated: B256,
        /// What it is.
        actual: B256,
    },
    /// The transaction does not hold.
    #[error("the transaction: {0}")]
    Order(TransactionError),
    /// The claim does not hold.
    #[error("the claim: {0}")]
    Claim(TransactionError),
    /// Nothing was asked for.
    #[error("the transaction asks for no work")]
    NoWork,
    /// The work is not there.
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
    pub fn data(&self) -> Bytes {
        match &self.payload {
            Payload::Line(line) => line.data.clone(),
            other => serde_json::to_vec(other).unwrap_or_default().into(),
        }
    }

    /// The same as text; what is not UTF-8 is replaced by U+FFFD.
    pub fn text(&self) -> String {
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

/// Makes entries of blocks, from the first of the network on.
#[derive(Debug)]
pub struct Writer {
    genesis: Genesis,
    races: Races,
    membership: Membership,
    /// The end of what was written.
    pub head: Head,
}

impl Writer {
    /// The ledger of a network before its first block.
    pub fn new(genesis: Genesis) -> Result<Self, GenesisError> {
        let membership = genesis.membership()?;
        Ok(Self { genesis, races: Races::default(), membership, head: Head::default() })
    }

    /// The entries of the races that the next block closes.
    pub fn next(&mut self, block: FinalBlock) -> Result<Vec<Entry>, RaceError> {
        let mut entries = Vec::new();
        for race in self.races.next(block)? {
            let won = race.winner()?;
            // Whoever shows the work may claim, so the winner may be nobody of the genesis.
            let index = self.membership.now().index_of(won.worker).map(|index| index.as_usize());
            let node = winner_name(won.worker, index);
            entries.push(self.head.enter(&race, won, &self.genesis, node));
        }
        Ok(entries)
    }
}

/// What the validator with this index is called: they count from 1, in the order of their addresses.
pub fn node_name(index: usize) -> String {
    format!("Node{}", index + 1)
}

/// What whoever wins is called: a validator by its index, anybody else by address.
pub fn winner_name(worker: Address, index: Option<usize>) -> String {
    index.map_or_else(|| worker.to_string(), node_name)
}

/// The end of a ledger: what the next entry follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub entries: u64,
    /// The hash of the last; zeros if there is none.
    pub entry_hash: B256,
    network_id: Option<B256>,
}

impl Head {
    /// The entry of the next race that is over.
    pub fn enter(&mut self, race: &Race, won: &Part, genesis: &Genesis, node: String) -> Entry {
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
    pub fn check(&mut self, entry: &Entry, genesis: Option<&Genesis>) -> Result<(), EntryError> {
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
