//! What a peer answers.

use dtn_primitives::{Address, B256, Block, Bytes, Certificate, Header, Signature, U256};
use serde::{Deserialize, Serialize};

use crate::NotAdmitted;

/// How a peer is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The network's name.
    pub network: String,
    /// The Keccak-256 of its genesis.
    pub network_id: B256,
    /// The chain id of the settlement chain.
    pub chain_id: u64,
    /// This peer's index among the validators; an observer has none.
    pub validator: Option<u16>,
    /// This peer's address.
    pub address: Address,
    /// The number of validators.
    pub nodes: usize,
    /// The votes that make a certificate.
    pub quorum: usize,
    /// The view.
    pub view: u64,
    /// The index of the view's primary.
    pub primary: u16,
    /// The height of the last final block.
    pub height: u64,
    /// Its hash; the network id at height 0.
    pub block_hash: B256,
    /// The height of the last stable checkpoint; 0 if there is none.
    pub checkpoint: u64,
    /// It does not vote yet: it asks the others what it may have said, catches up, or has lost its store and lets heights pass.
    pub silent: bool,
    /// The chain that is mined, where blocks are.
    pub mining: Option<MiningStatus>,
    /// The validators that this peer has a link to.
    pub connected: Vec<u16>,
    /// Transactions that wait for a block.
    pub pending_transactions: usize,
    /// Orders whose work is not done.
    pub open_orders: usize,
    /// The order that this peer is working on.
    pub working_on: Option<B256>,
    /// Validators that are proven to have contradicted themselves.
    pub evidence: Vec<u16>,
    /// Messages since this peer started that no correct peer sends, by validator.
    pub faults: Vec<u64>,
    /// How its process is doing.
    #[serde(flatten)]
    pub vitals: Vitals,
}

/// The chain that a peer mines on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MiningStatus {
    /// The height of its last block, final or not.
    pub height: u64,
    /// The hash of that block.
    pub block_hash: B256,
    /// How many blocks have to be on top of one before it is made final.
    pub confirmations: u64,
    /// The expected hashes for the next block, where this peer mines one.
    pub next_work: Option<u64>,
    /// Blocks that this peer mined since it started.
    pub mined_blocks: u64,
    /// Reorganizations since this peer started.
    pub reorganizations: u64,
    /// The most blocks that one of them has left.
    pub deepest_reorganization: u64,
    /// How often a peer showed a chain that leaves out a final block.
    pub chains_below_checkpoint: u64,
}

/// How a peer's process is doing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Vitals {
    /// The version of the program.
    pub version: String,
    /// Its clock, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// How long it has been running, in seconds.
    pub uptime_s: u64,
    /// Its memory in RAM, in bytes; 0 where the system does not tell.
    pub memory_bytes: u64,
    /// The size of its store, in bytes.
    pub store_bytes: u64,
    /// Views that it asked for since it started.
    pub view_changes: u64,
    /// Its process id, as its own machine counts; 0 of a peer that does not tell.
    #[serde(default)]
    pub pid: u32,
    /// How long it gives the first primary to decide something, in milliseconds; 0 of a peer that does not tell.
    #[serde(default)]
    pub view_timeout_ms: u64,
    /// Links that ended since it started, by validator.
    #[serde(default)]
    pub lost_links: Vec<u64>,
    /// The versions of the validators' programs, by index, as they told when they were last linked to.
    #[serde(default)]
    pub peer_versions: Vec<Option<String>>,
    /// Connections to its peer port that made room for others before they had said who they are: with strangers that
    /// crowd the port this grows by thousands.
    #[serde(default)]
    pub crowded_out: u64,
    /// Whether another process was seen that runs with its key.
    #[serde(default)]
    pub twin_seen: bool,
}

/// A final block with the hashes that identify it and its transactions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BlockView {
    /// The block's hash.
    pub hash: B256,
    /// The hashes of its transactions, in order.
    pub transaction_hashes: Vec<B256>,
    /// The block.
    #[serde(flatten)]
    pub block: Block,
}

/// A header and the quorum that made it final; verifiable by anyone who knows the genesis.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertifiedHeader {
    /// The header.
    pub header: Header,
    /// Its commit certificate.
    pub certificate: Certificate,
    /// How many transactions the block holds.
    pub transactions: usize,
    /// How long it took at this peer from the proposal to finality, in microseconds, where this peer took part and
    /// remembers it.
    pub latency_us: Option<u64>,
}

/// What a peer found when it verified the proof of another's completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The round.
    pub round: u64,
    /// Who states that it has completed it.
    pub node: Address,
    /// Its index among the validators.
    pub validator: Option<u16>,
    /// Whether the proof holds.
    pub valid: bool,
    /// Why it does not.
    pub reason: Option<String>,
    /// The size of the proof.
    pub bytes: u64,
    /// How long it took to get the proof, from the first word of it, in microseconds.
    pub fetch_us: u64,
    /// How long it took to verify it, in microseconds.
    pub verify_us: u64,
}

/// What became of one of several transactions that were handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubmitOutcome {
    /// It was admitted and has this hash.
    Hash(B256),
    /// It was not admitted, for this reason.
    Refused(NotAdmitted),
}

/// A final block as a subscriber needs it to convince itself: the header's hash is what the certificate signs, and the
/// root of the transactions is in the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizedBlock {
    /// The header.
    pub header: Header,
    /// Its commit certificate.
    pub certificate: Certificate,
    /// The hash and the signature of each transaction, in order.
    pub transactions: Vec<(B256, Signature)>,
}

impl FinalizedBlock {
    /// From a block whose transactions' hashes are known.
    pub fn new(block: &Block, certificate: &Certificate, hashes: &[B256]) -> Self {
        let signatures = block.transactions.iter().map(|transaction| transaction.signature);
        let transactions = hashes.iter().copied().zip(signatures).collect();
        Self { header: block.header.clone(), certificate: certificate.clone(), transactions }
    }

    /// The root that the header has to name.
    pub fn transactions_root(&self) -> B256 {
        Block::root_of_signed_hashes(self.transactions.iter().copied())
    }
}

/// Where an order for a trained model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// Its hash.
    pub order: B256,
    /// Who pays.
    pub requester: Address,
    /// What is paid in all, in wei.
    pub reward: U256,
    /// The height of the block that opened it.
    pub height: u64,
    /// The phase, in words.
    pub phase: String,
    /// The last moment of the phase, in milliseconds since the Unix epoch.
    pub deadline_ms: u64,
    /// How many have claimed.
    pub claims: usize,
    /// The account that has won, if one has.
    pub winner: Option<Address>,
    /// The Keccak-256 of the order as it is encoded: whoever has seen it before has missed nothing.
    pub state: B256,
}

/// A part of something that an order for a trained model is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobPart {
    /// The length of the whole, in bytes.
    pub length: u64,
    /// The part.
    pub bytes: Bytes,
}
