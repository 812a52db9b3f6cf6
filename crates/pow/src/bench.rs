//! Measures this machine. All figures come from one run, in which the items take turns, so that their ratios hold even
//! where the clock or the neighbours change: each is the best of its turns.

use std::{
    hint::black_box,
    num::NonZeroUsize,
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use sha2::{Digest, Sha256};

use crate::{Backend, Cancel, PowError, Puzzle, SearchOptions, SeedPuzzle, search};

/// How often each item has its turn.
const TURNS: u32 = 10;

/// How many nonces are tried between two looks at the clock.
const PROBE: u64 = 1024;

/// How fast something hashes.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What hashes.
    pub name: String,
    /// How many nonces it tries in a second.
    pub hashes_per_second: f64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurements {
    /// An estimate of the processor's clock, in cycles a second.
    pub clock_hz: f64,
    /// One thread, with: the digest of the whole preimage and the compression of its last block, both by `sha2`; every
    /// back end that the processor has; the seed's form.
    pub one_thread: Vec<Measurement>,
    /// Whole searches with the fastest back end: on one thread, then on as many as the processor has cores.
    pub searches: Vec<Measurement>,
    /// How long it takes to verify a solution.
    pub verification: Duration,
    /// How long it takes from the call of [`Cancel::cancel`] until a search on all cores has ended.
    pub cancellation: Duration,
}

/// Measures each item for about so long.
pub fn measure(each: Duration) -> Result<Measurements, PowError> {
    let puzzle = Puzzle::new(B256::ZERO, B256::ZERO, B256::ZERO, Address::ZERO, u64::MAX)?;
    let seed = SeedPuzzle::new("data", 32)?;
    let one = NonZeroUsize::MIN;
    let all = thread::available_parallelism().unwrap_or(one);
    let turn = each / TURNS;

    let midstate = &mut puzzle.midstate();
    let mut items: Vec<Item<'_>> = vec![
        ("sha2 digest of the whole preimage".into(), Box::new(|| rate(turn, |nonce| {
            Sha256::digest(puzzle.preimage(nonce))
        }))),
        ("sha2 compress256 with midstate".into(), Box::new(|| rate(turn, |nonce| midstate.words(nonce)))),
    ];
    todo!()
}
