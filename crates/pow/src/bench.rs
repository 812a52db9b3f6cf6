//! Measures this machine. All figures come from one run, in which the items take turns, so that their ratios hold even
//! where the clock or the neighbours change: a rate is the best of its turns.

use std::{
    collections::BTreeSet,
    hint::black_box,
    num::NonZeroUsize,
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::{Address, B256};
use sha2::{Digest, Sha256};

use crate::{Backend, Cancel, PowError, Puzzle, Search, SearchOptions, SeedPuzzle, mine};

/// What everything is compared with: one compression a nonce by the `sha2` crate.
const REFERENCE: &str = "sha2 compress256 with midstate";

/// How often each item has its turn.
const TURNS: u32 = 10;

/// How many nonces are tried between two looks at the clock.
const PROBE: u64 = 1024;

/// How many pairs of operations wait for one another when the clock is estimated.
const CHAIN: u64 = 100;

/// How fast something hashes.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What hashes.
    pub name: String,
    /// On how many threads.
    pub threads: NonZeroUsize,
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
    /// Whole searches with the fastest back end: on one thread, then on as many as there are cores.
    pub searches: Vec<Measurement>,
    /// How long it takes to verify a solution.
    pub verification: Duration,
    /// How long it takes from the call of [`Cancel::cancel`] until a search on all cores has ended: the median.
    pub cancellation: Duration,
}

impl Measurements {
    /// The rate that the others are compared with: one compression a nonce by `sha2`.
    pub fn reference(&self) -> f64 {
        let reference = self.one_thread.iter().find(|measured| measured.name == REFERENCE);
        reference.map_or(f64::NAN, |measured| measured.hashes_per_second)
    }
}

/// Measures each item for about so long.
pub fn measure(each: Duration) -> Result<Measurements, PowError> {
    let puzzle = Puzzle::new(B256::ZERO, B256::ZERO, B256::ZERO, Address::ZERO, u64::MAX)?;
    let seed = SeedPuzzle::new("data", 32)?;
    let hash = puzzle.hash(0);
    let mut midstate = puzzle.midstate();
    let all = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let turn = each / TURNS;

    let (mut clock_hz, mut verifications, mut cancellations) = (0f64, 0f64, Vec::new());
    let (mut one_thread, mut searches) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        clock_hz = clock_hz.max(clock(turn));
        verifications = verifications.max(rate(turn, |_| puzzle.check(black_box(0), hash)));
        let digests = rate(turn, |nonce| Sha256::digest(puzzle.preimage(nonce)));
        keep_best(&mut one_thread, "sha2 digest of the whole preimage", NonZeroUsize::MIN, digests);
        let compressions = rate(turn, |nonce| midstate.words(nonce));
        keep_best(&mut one_thread, REFERENCE, NonZeroUsize::MIN, compressions);
        let one = SearchOptions::new(NonZeroUsize::MIN);
        let seeds = rate_of_search(turn, |nonces, cancel| seed.search(nonces, &one, cancel));
        keep_best(&mut one_thread, "seed form", NonZeroUsize::MIN, seeds);
        for backend in Backend::available() {
            keep_best(&mut one_thread, &backend.to_string(), NonZeroUsize::MIN, backend.rate(turn));
        }
        for threads in BTreeSet::from([NonZeroUsize::MIN, all]) {
            let rate = rate_of_search(turn, |nonces, cancel| mine(&puzzle, nonces, threads, cancel));
            keep_best(&mut searches, &format!("search, {}", Backend::fastest()), threads, rate);
        }
        cancellations.push(cancellation(&puzzle, all));
    }
    cancellations.sort();
    Ok(Measurements {
        clock_hz,
        one_thread,
        searches,
        verification: Duration::from_secs_f64(1.0 / verifications),
        cancellation: cancellations[cancellations.len() / 2],
    })
}

fn keep_best(measurements: &mut Vec<Measurement>, name: &str, threads: NonZeroUsize, hashes_per_second: f64) {
    match measurements.iter_mut().find(|measured| (measured.name.as_str(), measured.threads) == (name, threads)) {
        Some(measured) => measured.hashes_per_second = measured.hashes_per_second.max(hashes_per_second),
        None => measurements.push(Measurement { name: name.into(), threads, hashes_per_second }),
    }
}

/// How often a function of a nonce is called in a second.
fn rate<R>(turn: Duration, mut function: impl FnMut(u64) -> R) -> f64 {
    let began = Instant::now();
    let mut nonce = 0;
    loop {
        for _ in 0..PROBE {
            black_box(function(black_box(nonce)));
            nonce += 1;
        }
        let elapsed = began.elapsed();
        if elapsed >= turn {
            return nonce as f64 / elapsed.as_secs_f64();
        }
    }
}

/// How many nonces a search tries in a second until it is cancelled.
fn rate_of_search(turn: Duration, search: impl FnOnce(RangeInclusive<u64>, &Cancel) -> Search) -> f64 {
    let cancel = Cancel::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(turn);
            cancel.cancel();
        });
        let search = search(0..=u64::MAX, &cancel);
        search.hashes_tried as f64 * 1e6 / search.duration_us.max(1) as f64
    })
}

/// How long a search goes on after it was cancelled.
fn cancellation(puzzle: &Puzzle, threads: NonZeroUsize) -> Duration {
    let cancel = Cancel::new();
    thread::scope(|scope| {
        let cancelled = scope.spawn(|| {
            thread::sleep(Duration::from_millis(2));
            let now = Instant::now();
            cancel.cancel();
            now
        });
        mine(puzzle, 0..=u64::MAX, threads, &cancel);
        let ended = Instant::now();
        cancelled.join().map_or(Duration::ZERO, |cancelled| ended.saturating_duration_since(cancelled))
    })
}

/// The clock, from operations of one cycle of which each waits for the one before.
fn clock(turn: Duration) -> f64 {
    let key = black_box(0x9e37_79b9_7f4a_7c15u64);
    let mut x = 0;
    let chains = rate(turn, |_| {
        for _ in 0..CHAIN {
            // Of two kinds in turn, because the compiler makes one of many of the same kind.
            x = (x ^ key).wrapping_add(key);
        }
        x
    });
    2.0 * CHAIN as f64 * chains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_measured_has_a_figure() {
        let measurements = measure(Duration::from_millis(1)).expect("the puzzles are well formed");
        assert_eq!(measurements.one_thread.len(), 3 + Backend::available().count());
        assert!(measurements.one_thread.iter().chain(&measurements.searches).all(|item| item.hashes_per_second > 0.0));
        assert!(measurements.clock_hz > 0.0 && measurements.reference() > 0.0 && !measurements.verification.is_zero());
    }
}
