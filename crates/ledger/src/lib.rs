//! What blocks lead to: the mempool, the execution of blocks, their results and the durable store.
//!
//! - [`Ledger`] is all of it behind one type, which a peer, the simulator and the tests own alike.
//! - `rules.rs` says what a transaction may do; `state.rs` holds what transactions have done.
//! - `race.rs` says how long races take claims and who wins; `accounts.rs` which accounts are remembered.
//! - `mempool.rs` holds what waits, `block.rs` what a block must satisfy, `store/` what is on disk.
//! - `fairness.rs` says what a validator demands of a block beside that before it votes.
//! - `proofs.rs` holds the proofs of rounds that were verified.
//! - `solution.rs` checks what a peer shows for a result, as the distributor contract does.
//! - `root.rs` keeps the root of the state over the buckets of `buckets.rs`, `snapshot.rs` says how the state is handed to
//!   peers that lag.
//!
//! Execution is deterministic: it reads no clock and no randomness, and every transaction of a valid block succeeds.

mod accounts;
mod block;
mod buckets;
mod fairness;
mod ledger;
mod leniency;
mod lines;
mod mempool;
mod proofs;
mod race;
mod results;
mod root;
mod rules;
mod snapshot;
mod solution;
mod state;
mod store;
mod verified;

pub use block::{BlockError, MAX_AHEAD_MS, MAX_BEHIND_MS, MAX_BLOCK_TRANSACTIONS, MAX_SPECULATIVE};
pub use fairness::{PATIENCE_MS, Unfairness};
pub use ledger::{Committed, Ledger, LedgerError, RETAIN_BLOCKS, Tip};
pub use lines::{Copies, LINE_WINDOW_MS};
pub use mempool::{AdmissionError, MempoolLimits, NONCE_WINDOW, Ready};
pub use race::{
    CLAIM_WINDOW_MS, DELIVERY_MS, LINE_LIFETIME_MS, Lead, ORDER_LIFETIME_MS, OpenOrder, TOLERANCE_MS, races_over,
};
pub use results::{BlockResults, ImportError, Importer};
pub use root::Rest;
pub use rules::Refusal;
pub use snapshot::{CHUNK_BYTES, MAX_CHUNKS, Manifest, SnapshotError};
pub use solution::{ResultError, SolutionError, check_solution, verify_result};

pub use store::{Location, Memory, NEVER_VOTED, Reading, Store, StoreError, WeakStore, mark_never_voted};
