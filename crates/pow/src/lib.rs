//! Proof of work by SHA-256: a puzzle that names its race and its miner, the search for a solution on several threads,
//! and its verification.
//!
//! - [`Puzzle`]: what is hashed ([`Puzzle::preimage`]) and which hashes win ([`Target`]).
//! - [`mine`]: the search, which a [`Cancel`] stops within a millisecond.
//! - The hashing itself is in `midstate.rs`: one compression a nonce.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod backend;
mod lanes;
mod midstate;
mod puzzle;
mod search;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
mod tail;
mod target;

pub use backend::{Backend, UnknownBackend};
pub use puzzle::{DOMAIN_TAG, PREIMAGE_BYTES, PowError, Puzzle};
pub use search::{Cancel, Progress, Search, SearchOptions, Solution, mine, search};
pub use target::Target;
