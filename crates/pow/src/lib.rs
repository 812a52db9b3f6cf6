//! Proof of work by SHA-256: a puzzle that names its race and its miner, the search for a solution on several threads,
//! and its verification.
//!
//! - [`Puzzle`]: what is hashed ([`Puzzle::preimage`]) and which hashes win ([`Target`]).
//! - [`mine`] and [`search()`]: the search, which a [`Cancel`] stops within a millisecond.
//! - [`Races`]: which of several a miner works on, and for how long.
//! - [`Backend`]: how it hashes, as many nonces at once as the processor can.
//! - [`SeedPuzzle`]: the same in the form of the Python prototype.
//! - [`check_practical`]: refuses work that takes years.
//! - [`bench`]: how fast this machine is.
//!
//! A search goes from the preimage to its `midstate`, the state before the last block, which is one compression a nonce;
//! to the `tail`, what is left of that block when only the lower half of the nonce changes; to a back end, which looks
//! for first words that may win. Winners among them are told by the plain hash and the plain target.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod backend;
pub mod bench;
mod either;
mod lanes;
mod midstate;
mod practical;
mod puzzle;
mod races;
mod search;
mod seed;
#[cfg(target_arch = "x86_64")]
mod sha_ni;
mod tail;
mod target;

pub use backend::{Backend, UnknownBackend};
pub use either::Either;
pub use practical::{ExpectedTime, Impractical, check_practical, expected_time};
pub use puzzle::{DOMAIN_TAG, PREIMAGE_BYTES, PowError, Puzzle};
pub use races::{Ended, Races, Turn, TurnLengths};
pub use search::{Cancel, Progress, Search, SearchOptions, Solution, mine, search};
pub use seed::SeedPuzzle;
pub use target::Target;
