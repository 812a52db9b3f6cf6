//! The JSON-RPC interface of a peer, for clients, operators and the relayer.

mod calls;
mod connection;
mod gate;
mod ids;
mod refusal;
mod server;

use std::{convert::Infallible, sync::Arc};

use dtn_ledger::Rounds;
use dtn_primitives::{
    Address, B256, Block, Bytes, Certificate, Evidence, FinalizedResult, Genesis, Header, MAX_TRANSACTION_BYTES,
    Question, Reply, Round, SignedAnswer, Transaction, codec,
};
use jsonrpsee::{
    Extensions, PendingSubscriptionSink,
    core::{RpcResult, SubscriptionResult},
    proc_macros::rpc,
    types::{ErrorObjectOwned, error::INVALID_PARAMS_CODE},
};
use serde::{Deserialize, Serialize};

use crate::{
    NodeError, NodeHandle,
    feed::{self, FinalizedBlock},
};
use connection::Connection;
pub use refusal::{NotAdmitted, RefusalKind};
pub(crate) use server::{ApiListener, Serving};

/// The longest request, in bytes: a batch of transactions. One transaction is at most some 33 KiB of JSON.
const MAX_REQUEST: usize = 1024 * 1024;

/// The most transactions that are handed in at once.
pub const MAX_SUBMITTED: usize = 4096;

/// Transactions that are admitted in one step of the core, so that consensus waits for milliseconds at most.
const ADMITTED_AT_ONCE: usize = 32;

/// The longest time that a call may wait for something to happen, in milliseconds.
pub const MAX_WAIT_MS: u64 = 60_000;

/// The most results in one answer; fewer if they are long.
pub const MAX_RESULTS: usize = 256;

/// JSON-RPC error code: the transaction was not admitted. The message says why, and the data has a [`RefusalKind`].
pub const NOT_ADMITTED: i32 = -32001;

/// JSON-RPC error code: the node is stopping or its store failed.
pub const UNAVAILABLE: i32 = -32002;

/// JSON-RPC error code: the node, or the connection, has as much to do as it takes on; the same call may be made later.
pub const BUSY: i32 = -32003;

/// JSON-RPC error code: the node has not reached the height from which it is to answer; the data has its `height`.
pub const BEHIND: i32 = -32004;

/// JSON-RPC error code: the call is a subscription, and came over HTTP; it has to come over a WebSocket.
pub const NEEDS_WEBSOCKET: i32 = -32005;

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

/// The calls that a peer answers.
#[rpc(server, client, namespace = "dtn")]
pub trait Api {
    /// How this peer is doing.
    #[method(name = "status")]
    async fn status(&self) -> RpcResult<Status>;

    /// The genesis of its network.
    #[method(name = "genesis")]
    async fn genesis(&self) -> RpcResult<Genesis>;

    /// Hands in a signed transaction; gives its hash.
    #[method(name = "submit")]
    async fn submit(&self, transaction: Transaction) -> RpcResult<B256>;

    /// Hands in up to [`MAX_SUBMITTED`] signed transactions; says what became of each.
    #[method(name = "submitMany")]
    async fn submit_many(&self, transactions: Vec<Transaction>) -> RpcResult<Vec<SubmitOutcome>>;

    /// The same for transactions in their wire encoding, which takes less time to read.
    #[method(name = "submitEncoded")]
    async fn submit_encoded(&self, transactions: Bytes) -> RpcResult<Vec<SubmitOutcome>>;

    /// Every final block from a height on, by default the next one, in order and without a gap. Who takes nothing for
    /// too long is cut off.
    #[subscription(name = "subscribeFinalized" => "finalized", unsubscribe = "unsubscribeFinalized", item = FinalizedBlock, with_extensions)]
    async fn subscribe_finalized(&self, from_height: Option<u64>) -> SubscriptionResult;

    /// The signed reply to a transaction, once its block is final; waits up to `wait_ms` (at most a minute) for it.
    #[method(name = "reply")]
    async fn reply(&self, transaction: B256, wait_ms: u64) -> RpcResult<Option<Reply>>;

    /// A final block.
    #[method(name = "block")]
    async fn block(&self, height: u64) -> RpcResult<Option<BlockView>>;

    /// The certificate of a final block.
    #[method(name = "certificate")]
    async fn certificate(&self, height: u64) -> RpcResult<Option<CertifiedHeader>>;

    /// The nonce that an account's next order must have.
    #[method(name = "nonce")]
    async fn nonce(&self, account: Address) -> RpcResult<u64>;

    /// A signed answer from the final state of this peer, once that has reached a height, if one is given; believed if a
    /// quorum answers alike.
    #[method(name = "read")]
    async fn read(&self, question: Question, at_least: Option<u64>) -> RpcResult<SignedAnswer>;

    /// A page of the results of final blocks from a height on, in order, each with certificate and proof: at most
    /// [`MAX_RESULTS`], fewer if they are long. The next page begins at the last one's height and skips as many of that
    /// block as are there already.
    #[method(name = "results")]
    async fn results(&self, from_height: u64, skip: Option<usize>) -> RpcResult<Vec<FinalizedResult>>;

    /// The rounds of sequential work: the open one, the last number, and the randomness after the last that was closed.
    #[method(name = "rounds")]
    async fn rounds(&self) -> RpcResult<Rounds>;

    /// A round, open or closed; none if this peer has skipped its blocks.
    #[method(name = "round")]
    async fn round(&self, number: u64) -> RpcResult<Option<Round>>;

    /// What this peer found when it verified the proofs of a round, as far as it remembers.
    #[method(name = "verifications")]
    async fn verifications(&self, round: u64) -> RpcResult<Vec<Verification>>;

    /// Proofs that validators contradicted themselves, at most one for each validator and kind of vote.
    #[method(name = "evidence")]
    async fn evidence(&self) -> RpcResult<Vec<Evidence>>;
}

pub(crate) fn unavailable(error: NodeError) -> ErrorObjectOwned {
    match error {
        NodeError::Busy(_) => ErrorObjectOwned::owned(BUSY, error.to_string(), None::<()>),
        NodeError::Behind(height) => {
            ErrorObjectOwned::owned(BEHIND, error.to_string(), Some(serde_json::json!({ "height": height })))
        }
        error => ErrorObjectOwned::owned(UNAVAILABLE, error.to_string(), None::<()>),
    }
}

fn invalid(reason: impl std::fmt::Display) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INVALID_PARAMS_CODE, reason.to_string(), None::<()>)
}

#[jsonrpsee::core::async_trait]
impl ApiServer for NodeHandle {
    async fn status(&self) -> RpcResult<Status> {
        NodeHandle::status(self).await.map_err(unavailable)
    }

    async fn genesis(&self) -> RpcResult<Genesis> {
        Ok(self.reader().genesis().clone())
    }

    async fn submit(&self, transaction: Transaction) -> RpcResult<B256> {
        let admitted = self.ask(|host| host.submit(transaction)).await.map_err(unavailable)?;
        admitted.map_err(|error| NotAdmitted::from(error).into())
    }

    async fn submit_many(&self, transactions: Vec<Transaction>) -> RpcResult<Vec<SubmitOutcome>> {
        self.admit_all(transactions.into_iter().map(Ok::<_, Infallible>)).await
    }

    async fn submit_encoded(&self, transactions: Bytes) -> RpcResult<Vec<SubmitOutcome>> {
        let transactions = codec::sequence(&transactions, MAX_TRANSACTION_BYTES).map_err(invalid)?;
        self.admit_all(transactions).await
    }

    async fn subscribe_finalized(
        &self,
        pending: PendingSubscriptionSink,
        extensions: &Extensions,
        from_height: Option<u64>,
    ) -> SubscriptionResult {
        // A connection with a subscriber is not idle, however quiet the network is.
        let _busy = extensions.get::<Arc<Connection>>().map(Connection::busy);
        feed::serve(self.clone(), pending, from_height).await
    }

    async fn reply(&self, transaction: B256, wait_ms: u64) -> RpcResult<Option<Reply>> {
        NodeHandle::reply(self, transaction, wait_ms).await.map_err(unavailable)
    }

    async fn block(&self, height: u64) -> RpcResult<Option<BlockView>> {
        self.reader().block(height).await.map_err(unavailable)
    }

    async fn certificate(&self, height: u64) -> RpcResult<Option<CertifiedHeader>> {
        self.reader().certificate(height).await.map_err(unavailable)
    }

    async fn nonce(&self, account: Address) -> RpcResult<u64> {
        self.reader().nonce(account).await.map_err(unavailable)
    }

    async fn read(&self, question: Question, at_least: Option<u64>) -> RpcResult<SignedAnswer> {
        self.reader().read(question, at_least.unwrap_or_default()).await.map_err(unavailable)
    }

    async fn results(&self, from_height: u64, skip: Option<usize>) -> RpcResult<Vec<FinalizedResult>> {
        self.reader().results(from_height, skip.unwrap_or_default()).await.map_err(unavailable)
    }

    async fn rounds(&self) -> RpcResult<Rounds> {
        self.reader().rounds().await.map_err(unavailable)
    }

    async fn round(&self, number: u64) -> RpcResult<Option<Round>> {
        self.reader().round(number).await.map_err(unavailable)
    }

    async fn verifications(&self, round: u64) -> RpcResult<Vec<Verification>> {
        Ok(self.reader().board().verifications(round))
    }

    async fn evidence(&self) -> RpcResult<Vec<Evidence>> {
        self.reader().evidence().await.map_err(unavailable)
    }
}

impl NodeHandle {
    /// Hands transactions to the core, some at a time, as they are decoded.
    async fn admit_all<E: std::fmt::Display>(
        &self,
        transactions: impl ExactSizeIterator<Item = Result<Transaction, E>> + Send,
    ) -> RpcResult<Vec<SubmitOutcome>> {
        let count = transactions.len();
        if count > MAX_SUBMITTED {
            return Err(invalid(format_args!("{count} transactions; at most {MAX_SUBMITTED} at once")));
        }
        let (mut outcomes, mut left) = (Vec::with_capacity(count), transactions);
        while outcomes.len() < count {
            let piece: Vec<_> = left.by_ref().take(ADMITTED_AT_ONCE).collect::<Result<_, _>>().map_err(invalid)?;
            if piece.is_empty() {
                break;
            }
            outcomes.extend(self.ask(|host| host.submit_many(piece)).await.map_err(unavailable)?);
        }
        Ok(outcomes)
    }
}
