//! The JSON-RPC interface of a peer: its calls, what they answer, and its error codes. A client needs this and nothing of
//! the peer; a server implements [`ApiServer`].

mod money;
mod refusal;
mod views;

use dtn_primitives::{
    Address, B256, Bytes, Evidence, FinalizedResult, Genesis, Question, Reply, Round, Rounds, SignedAnswer, Transaction,
};
use jsonrpsee::{
    core::{RpcResult, SubscriptionResult},
    proc_macros::rpc,
};

pub use money::{AccountBalance, EarningsPage, MAX_EARNINGS};
pub use refusal::{NotAdmitted, RefusalKind};
pub use views::{
    BlobPart, BlockView, CertifiedHeader, FinalizedBlock, MiningStatus, Status, SubmitOutcome, TrainingSummary,
    Verification, Vitals,
};

/// The most transactions that are handed in at once.
pub const MAX_SUBMITTED: usize = 4096;

/// The longest time that a call may wait for something to happen, in milliseconds.
pub const MAX_WAIT_MS: u64 = 60_000;

/// The most results in one answer; fewer if they are long.
pub const MAX_RESULTS: usize = 256;

/// The most orders for trained models in one answer.
pub const MAX_TRAINING_ORDERS: usize = 256;

/// The longest part of a blob, in bytes.
pub const MAX_BLOB_PART: usize = 256 * 1024;

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

/// JSON-RPC error code: the validator may have forgotten what it said, and answers again once it votes again.
pub const SILENT: i32 = -32006;

/// JSON-RPC error code: nothing that was handed in waits for this blob, or too many are under way.
pub const NOT_WANTED: i32 = -32007;

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

    /// What an account has in the ledger.
    #[method(name = "balance")]
    async fn balance(&self, account: Address) -> RpcResult<AccountBalance>;

    /// What a statement of the ledger says that accounts have earned, by default the last one: at most [`MAX_EARNINGS`] of them,
    /// after the first `skip`. None if it is not one of the last few, or this peer has skipped its block.
    #[method(name = "earnings")]
    async fn earnings(&self, number: Option<u32>, skip: Option<usize>) -> RpcResult<Option<EarningsPage>>;

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

    /// Orders for trained models by their hashes, those that are open or those that are over, at most
    /// [`MAX_TRAINING_ORDERS`] above one of them.
    #[method(name = "trainingOrders")]
    async fn training_orders(&self, over: bool, above: Option<B256>) -> RpcResult<Vec<TrainingSummary>>;

    /// Everything that is known of an order for a trained model, in its wire encoding; none if there is no such order, or
    /// it ended in blocks that this peer has skipped.
    #[method(name = "trainingOrder")]
    async fn training_order(&self, order: B256) -> RpcResult<Option<Bytes>>;

    /// A part of something that an order for a trained model is about, from an offset on: `kind` is `data`, `rows`,
    /// `model`, `trace` or `state`. None if this peer does not have it; it then asks the others, so that it may later.
    #[method(name = "blob")]
    async fn blob(&self, order: B256, kind: String, hash: B256, offset: u64) -> RpcResult<Option<BlobPart>>;

    /// Hands in a part of something that a transaction takes which was handed in to this peer before and refused for lack of
    /// it. Parts come in order, each at most [`MAX_BLOB_PART`] bytes. Gives how many bytes this peer has of it.
    #[method(name = "putBlob")]
    async fn put_blob(
        &self,
        order: B256,
        kind: String,
        hash: B256,
        length: u64,
        offset: u64,
        bytes: Bytes,
    ) -> RpcResult<u64>;

    /// Proofs that validators contradicted themselves, at most one for each validator and kind of vote.
    #[method(name = "evidence")]
    async fn evidence(&self) -> RpcResult<Vec<Evidence>>;
}
