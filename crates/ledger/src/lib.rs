//! What blocks lead to: the mempool, the execution of blocks, their results and the durable store.
//!
//! - [`Ledger`] is all of it behind one type, which a peer, the simulator and the tests own alike.
//! - `rules.rs` says what a transaction may do; `state.rs` holds what transactions have done.
//! - `work/` has a module a kind of work: what it lets transactions do, and what comes of it; [`WorkKind`] is for those of others.
//! - `bank.rs` holds money, `work/training.rs` what is ordered for it.
//! - `accounts.rs` says which accounts are remembered.
//! - `mempool.rs` holds what waits, `block.rs` what a block must satisfy, `store/` what is on disk.
//! - `fairness.rs` says what a validator demands of a block beside that before it votes.
//! - `proofs.rs` holds the proofs of rounds that were verified.
//! - `solution.rs` checks what a peer shows for a result, as the distributor contract does.
//! - `root.rs` keeps the root of the state over the buckets of `buckets.rs`, `snapshot.rs` says how the state is handed to
//!   peers that lag.
//!
//! Execution is deterministic: it reads no clock and no randomness, and every transaction of a valid block succeeds.

mod accounts;
mod bank;
mod block;
mod buckets;
mod codes;
mod fairness;
mod held;
mod ledger;
mod leniency;
mod mempool;
mod proofs;
mod results;
mod root;
mod rules;
mod snapshot;
mod solution;
mod state;
mod store;
mod verified;
mod work;

pub use dtn_training::TrainingOrder;

pub use bank::{Balance, Earned};
pub use block::{BlockError, MAX_AHEAD_MS, MAX_BEHIND_MS, MAX_BLOCK_TRANSACTIONS, MAX_SPECULATIVE};
pub use fairness::{PATIENCE_MS, Unfairness};
pub use ledger::{Committed, Ledger, LedgerError, RETAIN_BLOCKS, Rulebook, Tip};
pub use mempool::{AdmissionError, MempoolLimits, NONCE_WINDOW, Ready};
pub use results::{BlockResults, ImportError, Importer};
pub use root::Rest;
pub use rules::Refusal;
pub use snapshot::{CHUNK_BYTES, MAX_CHUNKS, Manifest, SnapshotError};
pub use solution::{ResultError, SolutionError, check_solution, verify_result};
pub use store::{
    KEPT_STATEMENTS, Location, Memory, NEVER_VOTED, Reading, Store, StoreError, WeakStore, mark_never_voted,
};
pub use work::{
    Call, Kinds, MAX_RECORD_BYTES, MAX_RECORD_MS, MAX_SHARES, Record, RecordError, Records, Share, WorkError, WorkKind,
    line::{Copies, LINE_WINDOW_MS},
    race::{
        CLAIM_WINDOW_MS, DELIVERY_MS, LINE_LIFETIME_MS, Lead, ORDER_LIFETIME_MS, OpenOrder, TOLERANCE_MS, races_over,
    },
    training::Missing,
};
