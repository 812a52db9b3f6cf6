//! The search for a solution on several threads.

use std::{
    num::NonZeroUsize,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::B256;

use crate::{Puzzle, midstate};

/// How many nonces a thread takes at a time. Between two batches it looks whether to stop: tens of microseconds.
const BATCH: u64 = 1024;

/// Stops searches. Clones stop the same searches.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Not yet cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops every search that holds a clone, now or when it starts.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether it was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A nonce that wins, and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solution {
    /// The nonce.
    pub nonce: u64,
    /// The SHA-256 that it gives.
    pub hash: B256,
}

/// What a search did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// What it found; nothing if it was cancelled or has tried all its nonces.
    pub solution: Option<Solution>,
    /// How many nonces were tried, on all threads.
    pub hashes_tried: u64,
    /// Where to resume: every nonce below it was tried, unless the search has a solution. `None` if no nonce is left.
    pub next_nonce: Option<u64>,
    /// When it began, in microseconds since the Unix epoch.
    pub started_at_us: u64,
    /// When it ended, by the same clock, or when it began if that clock was set back meanwhile.
    pub ended_at_us: u64,
    /// How long it took in microseconds, by a monotonic clock.
    pub duration_us: u64,
}

/// Tries the nonces in ascending order on `threads` threads, of which the caller's is one, until one wins, `cancel` is
/// called or none is left.
///
/// The threads draw small batches from one counter: each gets as many as it can do, however fast its core is, and what
/// was tried is always a prefix of the nonces. If the system refuses a thread, the others do its share.
pub fn mine(puzzle: &Puzzle, nonces: RangeInclusive<u64>, threads: NonZeroUsize, cancel: &Cancel) -> Search {
    let began = Instant::now();
    let started_at_us = unix_us();
    let shared = Shared {
        puzzle,
        nonces,
        cancel,
        batches_drawn: AtomicU64::new(0),
        hashes_tried: AtomicU64::new(0),
        found: AtomicBool::new(false),
        solution: Mutex::new(None),
    };
    thread::scope(|scope| {
        for _ in 1..threads.get() {
            if thread::Builder::new().name("pow".into()).spawn_scoped(scope, || shared.work()).is_err() {
                break;
            }
        }
        shared.work();
    });
    let next_nonce = shared.batch(shared.batches_drawn.load(Relaxed)).map(|batch| *batch.start());
    Search {
        solution: shared.solution.into_inner().unwrap_or_else(PoisonError::into_inner),
        hashes_tried: shared.hashes_tried.into_inner(),
        next_nonce,
        started_at_us,
        ended_at_us: unix_us().max(started_at_us),
        duration_us: began.elapsed().as_micros() as u64,
    }
}

fn unix_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_micros() as u64)
}

struct Shared<'a> {
    puzzle: &'a Puzzle,
    nonces: RangeInclusive<u64>,
    cancel: &'a Cancel,
    batches_drawn: AtomicU64,
    hashes_tried: AtomicU64,
    found: AtomicBool,
    solution: Mutex<Option<Solution>>,
}

impl Shared<'_> {
    fn work(&self) {
        while !self.found.load(Relaxed) && !self.cancel.is_cancelled() {
            let Some(batch) = self.batch(self.batches_drawn.fetch_add(1, Relaxed)) else {
                return;
            };
            let first = *batch.start();
            let end = *batch.end();
            let solution = self.try_batch(batch);
            let last = solution.map_or(end, |solution| solution.nonce);
            self.hashes_tried.fetch_add(last - first + 1, Relaxed);
            if let Some(solution) = solution {
                self.found.store(true, Relaxed);
                let mut best = self.solution.lock().unwrap_or_else(PoisonError::into_inner);
                if best.is_none_or(|other| solution.nonce < other.nonce) {
                    *best = Some(solution);
                }
            }
        }
    }

    /// The nonces of a batch, or `None` after the last one.
    fn batch(&self, index: u64) -> Option<RangeInclusive<u64>> {
        let first = self.nonces.start().checked_add(index.checked_mul(BATCH)?)?;
        let last = first.saturating_add(BATCH - 1).min(*self.nonces.end());
        (first <= *self.nonces.end()).then_some(first..=last)
    }

    fn try_batch(&self, batch: RangeInclusive<u64>) -> Option<Solution> {
        let mut midstate = self.puzzle.midstate();
        let target = self.puzzle.target();
        for nonce in batch {
            let words = midstate.words(nonce);
            if target.may_be_met_by(words[0]) {
                let hash = midstate::bytes(words);
                if target.is_met_by(hash) {
                    return Some(Solution { nonce, hash });
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy_primitives::Address;
    use proptest::prelude::*;

    use super::*;

    fn puzzle(expected_hashes: u64) -> Puzzle {
        let order = B256::repeat_byte(2);
        Puzzle::new(B256::repeat_byte(1), B256::repeat_byte(4), order, Address::repeat_byte(3), expected_hashes)
            .expect("work")
    }

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).expect("at least one")
    }

    #[test]
    fn one_thread_finds_the_first_nonce_that_wins_and_counts_every_hash() {
        let puzzle = puzzle(5_000);
        let search = mine(&puzzle, 0..=u64::MAX, threads(1), &Cancel::new());
        let solution = search.solution.expect("found");
        let first = (0..).find(|nonce| puzzle.target().is_met_by(puzzle.hash(*nonce)));
        assert_eq!(Some(solution.nonce), first);
        assert_eq!(search.hashes_tried, solution.nonce + 1);
        assert_eq!(puzzle.check(solution.nonce, solution.hash), Ok(()));
    }

    #[test]
    fn a_search_states_when_it_ran() {
        let before = unix_us();
        let search = mine(&puzzle(100_000), 0..=u64::MAX, threads(2), &Cancel::new());
        assert!(before <= search.started_at_us && search.started_at_us <= search.ended_at_us);
        assert!(search.ended_at_us <= unix_us());
        assert!(search.duration_us > 0);
    }

    #[test]
    fn every_nonce_of_a_range_without_winners_is_tried_once() {
        for count in [1, 2, 3, 7] {
            let search = mine(&puzzle(u64::MAX), 10..=10_009, threads(count), &Cancel::new());
            assert_eq!((search.solution, search.hashes_tried, search.next_nonce), (None, 10_000, None));
        }
    }

    #[test]
    fn the_last_nonces_do_not_overflow() {
        let search = mine(&puzzle(u64::MAX), u64::MAX - 5_000..=u64::MAX, threads(2), &Cancel::new());
        assert_eq!((search.solution, search.hashes_tried, search.next_nonce), (None, 5_001, None));
        let search = mine(&puzzle(1), u64::MAX..=u64::MAX, threads(2), &Cancel::new());
        assert_eq!(search.solution.map(|solution| solution.nonce), Some(u64::MAX));
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges)]
    fn an_empty_range_is_searched_at_once() {
        let search = mine(&puzzle(1), 5..=4, threads(2), &Cancel::new());
        assert_eq!((search.solution, search.hashes_tried, search.next_nonce), (None, 0, None));
    }

    #[test]
    fn a_cancelled_search_can_be_resumed_where_it_stopped() {
        let cancel = Cancel::new();
        let search = thread::scope(|scope| {
            let running = scope.spawn(|| mine(&puzzle(u64::MAX), 0..=u64::MAX, threads(2), &cancel));
            thread::sleep(Duration::from_millis(30));
            cancel.cancel();
            running.join().expect("does not panic")
        });
        assert_eq!(search.solution, None);
        // A thread that draws a batch always finishes it, so nothing below is left out.
        assert_eq!(search.next_nonce, Some(search.hashes_tried));
    }

    #[test]
    fn a_search_stops_soon_after_it_is_cancelled() {
        // The promise is a millisecond of a processor's time. A busy machine's scheduler may add to each try, not to all.
        let delay = || {
            let cancel = Cancel::new();
            thread::scope(|scope| {
                let running = scope.spawn(|| {
                    mine(&puzzle(u64::MAX), 0..=u64::MAX, threads(1), &cancel);
                    Instant::now()
                });
                thread::sleep(Duration::from_millis(2));
                let cancelled = Instant::now();
                cancel.cancel();
                running.join().expect("does not panic").saturating_duration_since(cancelled)
            })
        };
        assert!((0..100).any(|_| delay() < Duration::from_millis(1)));
    }

    #[test]
    fn a_search_that_is_cancelled_before_it_starts_tries_nothing() {
        let cancel = Cancel::new();
        cancel.clone().cancel();
        assert_eq!(mine(&puzzle(1), 0..=u64::MAX, threads(2), &cancel).hashes_tried, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn whatever_the_number_of_threads_the_solution_passes_its_check(
            count in 1usize..6, expected in 1u64..20_000, start: u64,
        ) {
            let puzzle = puzzle(expected);
            let start = start.min(u64::MAX - 10_000_000);
            let search = mine(&puzzle, start..=u64::MAX, threads(count), &Cancel::new());
            let solution = search.solution.expect("found");
            prop_assert!(solution.nonce >= start);
            prop_assert_eq!(puzzle.check(solution.nonce, solution.hash), Ok(()));
        }
    }
}
