//! Everything that measures: networks of peers under load, steps on chain by their receipts, proofs, hashing, and the
//! simulator.
//!
//! A measurement takes a plan, tells a [`Progress`](dtn_report::Progress) while it goes on, and gives a document: figures that are serialized as
//! they are, and that know their tables. Nothing here prints.

mod error;
pub mod forging;
pub mod gas;
pub mod hashing;
pub mod l1;
mod machine;
pub mod primitives;
pub mod proofs;
pub mod rounds;
pub mod sim;
pub mod tampering;
pub mod training;
mod workload;

pub use error::BenchError;
pub use machine::{Machine, peak_memory, threads};

/// What may fail with a [`BenchError`].
pub type Result<T, E = BenchError> = std::result::Result<T, E>;
