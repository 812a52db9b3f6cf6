//! A puzzle in whichever form.

use std::{num::NonZeroUsize, time::Duration};

use alloy_primitives::B256;

use crate::{Backend, Cancel, PowError, Puzzle, Search, SearchOptions, SeedPuzzle};

/// How many nonces are tried to measure the form of the prototype.
const MEASURED_NONCES: u64 = 200_000;

/// A puzzle of a race, or one in the form of the prototype.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Either {
    /// Of a race.
    Race(Puzzle),
    /// In the form of the prototype.
    Seed(SeedPuzzle),
}

impl Either {
    /// How many hashes a solution is expected to take.
    pub fn expected_hashes(&self) -> f64 {
        match self {
            Self::Race(puzzle) => puzzle.target().expected_hashes() as f64,
            Self::Seed(puzzle) => puzzle.expected_hashes(),
        }
    }

    /// The hash of a nonce.
    pub fn hash(&self, nonce: u64) -> B256 {
        match self {
            Self::Race(puzzle) => puzzle.hash(nonce),
            Self::Seed(puzzle) => puzzle.hash(nonce),
        }
    }

    /// Succeeds only if the nonce hashes to `hash` and that wins.
    pub fn check(&self, nonce: u64, hash: B256) -> Result<(), PowError> {
        match self {
            Self::Race(puzzle) => puzzle.check(nonce, hash),
            Self::Seed(puzzle) => puzzle.check(nonce, hash),
        }
    }

    /// Searches all nonces from one on.
    pub fn search(&self, from: u64, options: &SearchOptions<'_>, cancel: &Cancel) -> Result<Search, PowError> {
        match self {
            Self::Race(puzzle) => crate::search(puzzle, from..=u64::MAX, options, cancel),
            Self::Seed(puzzle) => Ok(puzzle.search(from..=u64::MAX, options, cancel)),
        }
    }

    /// How many hashes a second one thread tries here; of a race, measured for so long.
    pub fn rate(&self, backend: Option<Backend>, time: Duration) -> Result<f64, PowError> {
        match self {
            Self::Race(_) => Ok(backend.unwrap_or_else(Backend::fastest).rate(time)),
            Self::Seed(_) => {
                let (cancel, options) = (Cancel::new(), SearchOptions::new(NonZeroUsize::MIN));
                let search = SeedPuzzle::new("rate", 32)?.search(0..=MEASURED_NONCES, &options, &cancel);
                Ok(search.hashes_tried as f64 / (search.duration_us.max(1) as f64 / 1e6))
            }
        }
    }
}
