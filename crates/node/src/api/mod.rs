//! The JSON-RPC interface of a peer, for clients, operators and the relayer.

use std::net::SocketAddr;

use dtn_ledger::Rounds;
use dtn_primitives::{
    Address, B256, Block, Bytes, Certificate, Evidence, FinalizedResult, Genesis, Header, Question, Reply, Round,
    SignedAnswer, Transaction, codec,
};
use jsonrpsee::{
    PendingSubscriptionSink,
    core::{RpcResult, SubscriptionResult},
    proc_macros::rpc,
    server::{Server, ServerConfig, ServerHandle},
    types::{ErrorObjectOwned, error::INVALID_PARAMS_CODE},
};
use serde::{Deserialize, Serialize};

use crate::{
    NodeError, NodeHandle,
    feed::{self, FinalizedBlock},
    monitoring::MonitoringLayer,
};

/// The longest request body, in bytes.
const MAX_REQUEST: u32 = 8 * 1024 * 1024;

/// The most transactions that are handed in at once.
pub const MAX_SUBMITTED: usize = 4096;

/// Transactions that are admitted in one step of the core, so that consensus waits for milliseconds at most.
const ADMITTED_AT_ONCE: usize = 64;

/// Messages that may wait for a slow client of one connection.
const MAX_BUFFERED: u32 = 16;

/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: u32 = 4;

/// Connections at a time. A call that waits for a reply holds one.
const MAX_CONNECTIONS: u32 = 1024;

/// The longest time that a call may wait for something to happen, in milliseconds.
pub const MAX_WAIT_MS: u64 = 60_000;

/// The most results in one answer.
pub const MAX_RESULTS: usize = 256;

/// JSON-RPC error code: the transaction was not admitted; the message says why.
pub const NOT_ADMITTED: i32 = -32001;

/// JSON-RPC error code: the node is stopping or its store failed.
pub const UNAVAILABLE: i32 = -32002;

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
    /// It does not vote yet: it has lost its store, and does not know what it has voted for.
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
    Error(String),
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
    #[subscription(name = "subscribeFinalized" => "finalized", unsubscribe = "unsubscribeFinalized", item = FinalizedBlock)]
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

    /// A signed answer from the final state of this peer; believed if a quorum answers alike.
    #[method(name = "read")]
    async fn read(&self, question: Question) -> RpcResult<SignedAnswer>;

    /// Results of final blocks from a height on, in order, each with certificate and proof; whole blocks only, and
    /// no further block once there are [`MAX_RESULTS`].
    #[method(name = "results")]
    async fn results(&self, from_height: u64) -> RpcResult<Vec<FinalizedResult>>;

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

/// Serves the API until the handle is dropped or stopped.
pub(crate) async fn serve(address: SocketAddr, node: NodeHandle) -> Result<(ServerHandle, SocketAddr), NodeError> {
    let failed = |error: std::io::Error| NodeError::Api { address, error: error.to_string() };
    let config = ServerConfig::builder()
        .max_request_body_size(MAX_REQUEST)
        .max_connections(MAX_CONNECTIONS)
        .set_message_buffer_capacity(MAX_BUFFERED)
        .max_subscriptions_per_connection(MAX_SUBSCRIPTIONS)
        .build();
    let pages = tower::ServiceBuilder::new().layer(MonitoringLayer { node: node.clone() });
    let server =
        Server::builder().set_config(config).set_http_middleware(pages).build(address).await.map_err(failed)?;
    let bound = server.local_addr().map_err(failed)?;
    Ok((server.start(node.into_rpc()), bound))
}

fn unavailable(error: NodeError) -> ErrorObjectOwned {
    unavailable_because(&error.to_string())
}

pub(crate) fn unavailable_because(reason: &str) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(UNAVAILABLE, reason, None::<()>)
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
        self.ask(|core| core.genesis().clone()).await.map_err(unavailable)
    }

    async fn submit(&self, transaction: Transaction) -> RpcResult<B256> {
        let admitted = self.ask(|core| core.submit(transaction)).await.map_err(unavailable)?;
        admitted.map_err(|error| ErrorObjectOwned::owned(NOT_ADMITTED, error.to_string(), None::<()>))
    }

    async fn submit_many(&self, transactions: Vec<Transaction>) -> RpcResult<Vec<SubmitOutcome>> {
        if transactions.len() > MAX_SUBMITTED {
            return Err(invalid(format_args!("{} transactions; at most {MAX_SUBMITTED} at once", transactions.len())));
        }
        let (mut outcomes, mut left) = (Vec::with_capacity(transactions.len()), transactions);
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(ADMITTED_AT_ONCE));
            outcomes.extend(self.ask(|host| host.submit_many(left)).await.map_err(unavailable)?);
            left = rest;
        }
        Ok(outcomes)
    }

    async fn submit_encoded(&self, transactions: Bytes) -> RpcResult<Vec<SubmitOutcome>> {
        let transactions = codec::decode(&transactions, MAX_REQUEST as usize).map_err(invalid)?;
        self.submit_many(transactions).await
    }

    async fn subscribe_finalized(
        &self,
        pending: PendingSubscriptionSink,
        from_height: Option<u64>,
    ) -> SubscriptionResult {
        feed::serve(self.clone(), pending, from_height).await
    }

    async fn reply(&self, transaction: B256, wait_ms: u64) -> RpcResult<Option<Reply>> {
        NodeHandle::reply(self, transaction, wait_ms).await.map_err(unavailable)
    }

    async fn block(&self, height: u64) -> RpcResult<Option<BlockView>> {
        self.ask(move |core| core.block(height)).await.map_err(unavailable)?.map_err(unavailable)
    }

    async fn certificate(&self, height: u64) -> RpcResult<Option<CertifiedHeader>> {
        self.ask(move |core| core.certificate(height)).await.map_err(unavailable)?.map_err(unavailable)
    }

    async fn nonce(&self, account: Address) -> RpcResult<u64> {
        self.ask(move |core| core.nonce(account)).await.map_err(unavailable)
    }

    async fn read(&self, question: Question) -> RpcResult<SignedAnswer> {
        self.ask(move |core| core.read(&question)).await.map_err(unavailable)?.map_err(unavailable)
    }

    async fn results(&self, from_height: u64) -> RpcResult<Vec<FinalizedResult>> {
        NodeHandle::results(self, from_height).await.map_err(unavailable)
    }

    async fn rounds(&self) -> RpcResult<Rounds> {
        self.ask(|core| core.rounds()).await.map_err(unavailable)
    }

    async fn round(&self, number: u64) -> RpcResult<Option<Round>> {
        NodeHandle::round(self, number).await.map_err(unavailable)
    }

    async fn verifications(&self, round: u64) -> RpcResult<Vec<Verification>> {
        self.ask(move |core| core.verifications(round)).await.map_err(unavailable)
    }

    async fn evidence(&self) -> RpcResult<Vec<Evidence>> {
        self.ask(|core| core.evidence()).await.map_err(unavailable)
    }
}
