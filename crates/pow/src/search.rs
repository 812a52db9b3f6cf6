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

use crate::{Backend, PowError, Puzzle, Target, midstate::Midstate};

/// How many nonces a thread takes at a time. Between two batches it looks whether to stop, so this is a fraction of a
/// millisecond even where a nonce takes a tenth of a microsecond, and long enough for the counter to cost nothing.
const BATCH: u64 = 4096;

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

/// How many hashes searches have tried so far, for whoever watches them. Several may add to the same one.
#[derive(Debug, Default)]
pub struct Progress(AtomicU64);

impl Progress {
    /// None yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The hashes tried: every thread adds its own several thousand at a time.
    pub fn hashes_tried(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How to search.
#[derive(Debug, Clone, Copy)]
pub struct SearchOptions<'a> {
    /// On how many threads, of which the caller's is one.
    pub threads: NonZeroUsize,
    /// How to hash; [`Backend::fastest`] if that is left open.
    pub backend: Option<Backend>,
    /// What to add the hashes to.
    pub progress: Option<&'a Progress>,
}

impl SearchOptions<'_> {
    /// On so many threads, with the fastest back end.
    pub fn new(threads: NonZeroUsize) -> Self {
        Self { threads, backend: None, progress: None }
    }
}

/// Searches with the fastest back end; see [`search`].
pub fn mine(puzzle: &Puzzle, nonces: RangeInclusive<u64>, threads: NonZeroUsize, cancel: &Cancel) -> Search {
    run(&Attempt::new(puzzle, Backend::fastest()), nonces, &SearchOptions::new(threads), cancel)
}

/// Tries the nonces in ascending order on some threads, of which the caller's is one, until one wins, `cancel` is called
/// or none is left. It is an error to ask for a back end that this processor does not have.
///
/// The threads draw small batches from one counter: each gets as many as it can do, however fast its core is, and what
/// was tried is always a prefix of the nonces. A batch that was drawn is finished, so the solution is the lowest nonce
/// that wins, whatever the number of threads and the back end. If the system refuses a thread, the others do its share.
pub fn search(
    puzzle: &Puzzle,
    nonces: RangeInclusive<u64>,
    options: &SearchOptions<'_>,
    cancel: &Cancel,
) -> Result<Search, PowError> {
    let backend = options.backend.unwrap_or_else(Backend::fastest);
    if !backend.is_available() {
        return Err(PowError::NoBackend(backend));
    }
    Ok(run(&Attempt::new(puzzle, backend), nonces, options, cancel))
}

/// What a search tries nonces on.
pub(crate) trait Trial: Sync {
    /// The lowest of these nonces that wins.
    fn first_winner(&self, nonces: RangeInclusive<u64>) -> Option<Solution>;
}

/// The trial of a puzzle.
struct Attempt {
    midstate: Midstate,
    target: Target,
    backend: Backend,
}

impl Attempt {
    fn new(puzzle: &Puzzle, backend: Backend) -> Self {
        Self { midstate: puzzle.midstate(), target: puzzle.target(), backend }
    }
}

impl Trial for Attempt {
    fn first_winner(&self, nonces: RangeInclusive<u64>) -> Option<Solution> {
        let (mut first, last) = nonces.into_inner();
        while first <= last {
            // As far as the upper half stays the same, and the count fits.
            let end = last.min(first | u64::from(u32::MAX)).min(first.saturating_add(u64::from(u32::MAX) - 1));
            let tail = self.midstate.tail((first >> 32) as u32, self.target.greatest_first_word());
            let count = (end - first) as u32 + 1;
            // A hash whose first word is the target's may still be above it.
            let next = match self.backend.first_candidate(&tail, first as u32, count) {
                Some(offset) => {
                    let nonce = first + u64::from(offset);
                    let hash = self.midstate.clone().hash(nonce);
                    if self.target.is_met_by(hash) {
                        return Some(Solution { nonce, hash });
                    }
                    nonce
                }
                None => end,
            };
            first = next.checked_add(1)?;
        }
        None
    }
}

/// Searches as [`search`] does.
pub(crate) fn run(
    trial: &impl Trial,
    nonces: RangeInclusive<u64>,
    options: &SearchOptions<'_>,
    cancel: &Cancel,
) -> Search {
    let began = Instant::now();
    let started_at_us = unix_us();
    let shared = Shared {
        trial,
        nonces,
        cancel,
        progress: options.progress,
        batches_drawn: AtomicU64::new(0),
        hashes_tried: AtomicU64::new(0),
        found: AtomicBool::new(false),
        solution: Mutex::new(None),
    };
    thread::scope(|scope| {
        for _ in 1..options.threads.get() {
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

struct Shared<'a, T> {
    trial: &'a T,
    nonces: RangeInclusive<u64>,
    cancel: &'a Cancel,
    progress: Option<&'a Progress>,
    batches_drawn: AtomicU64,
    hashes_tried: AtomicU64,
    found: AtomicBool,
    solution: Mutex<Option<Solution>>,
}

impl<T: Trial> Shared<'_, T> {
    fn work(&self) {
        while !self.found.load(Relaxed) && !self.cancel.is_cancelled() {
            let Some(batch) = self.batch(self.batches_drawn.fetch_add(1, Relaxed)) else {
                return;
            };
            let first = *batch.start();
            let end = *batch.end();
            let solution = self.trial.first_winner(batch);
            let last = solution.map_or(end, |solution| solution.nonce);
            self.hashes_tried.fetch_add(last - first + 1, Relaxed);
            if let Some(Progress(hashes_tried)) = self.progress {
                hashes_tried.fetch_add(last - first + 1, Relaxed);
            }
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
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alloy_primitives::{Address, U256};
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
    fn a_search_that_is_cancelled_before_it_starts_tries_nothing() {
        let cancel = Cancel::new();
        cancel.clone().cancel();
        assert_eq!(mine(&puzzle(1), 0..=u64::MAX, threads(2), &cancel).hashes_tried, 0);
    }

    /// The options of so many threads and this back end.
    fn with(count: usize, backend: Backend) -> SearchOptions<'static> {
        SearchOptions { backend: Some(backend), ..SearchOptions::new(threads(count)) }
    }

    #[test]
    fn a_back_end_that_the_processor_does_not_have_is_refused() {
        for backend in Backend::ALL {
            let search = search(&puzzle(1), 0..=0, &with(1, backend), &Cancel::new());
            assert_eq!(search.err(), (!backend.is_available()).then_some(PowError::NoBackend(backend)));
        }
    }

    #[test]
    fn easy_work_is_won_by_the_first_nonce_that_wins_not_the_first_candidate() {
        // With an expectation of 1 every hash wins; with 3 a first word that equals the target's does not decide.
        for backend in Backend::available() {
            for expected_hashes in [1, 2, 3, 4, 7] {
                let puzzle = puzzle(expected_hashes);
                for start in 0..200 {
                    let search =
                        search(&puzzle, start..=u64::MAX, &with(2, backend), &Cancel::new()).expect("available");
                    let first = (start..).find(|nonce| puzzle.target().is_met_by(puzzle.hash(*nonce)));
                    assert_eq!(search.solution.map(|solution| solution.nonce), first, "{backend}");
                }
            }
        }
    }

    #[test]
    fn a_candidate_above_the_target_is_passed_over() {
        // Of each low hash, the target just below it: one that begins with the same word.
        let first_word = |hash: B256| u32::from_be_bytes(hash[..4].try_into().expect("four bytes"));
        let midstate = puzzle(1).midstate();
        let (nonce, target) = (0..)
            .map(|nonce| (nonce, midstate.clone().hash(nonce)))
            .filter(|(_, hash)| first_word(*hash) < 1 << 15)
            .find_map(|(nonce, hash)| {
                let expected_hashes = U256::MAX / U256::from_be_bytes(hash.0) + U256::from(1);
                let target = Target::new(expected_hashes.try_into().ok()?).expect("work");
                (target.greatest_first_word() == first_word(hash)).then_some((nonce, target))
            })
            .expect("found");
        let winner = (nonce..).find(|nonce| target.is_met_by(midstate.clone().hash(*nonce))).expect("found");
        assert!(winner > nonce);
        for backend in Backend::available() {
            let attempt = Attempt { midstate: midstate.clone(), target, backend };
            assert_eq!(attempt.first_winner(nonce..=nonce), None, "{backend}");
            let found = attempt.first_winner(nonce..=u64::MAX).map(|solution| solution.nonce);
            assert_eq!(found, Some(winner), "{backend}");
        }
    }

    #[test]
    fn a_range_across_the_halves_of_the_nonce_is_searched_to_its_end() {
        for backend in Backend::available() {
            for upper in [1, 2, 1 << 31, u64::from(u32::MAX)] {
                let puzzle = puzzle(2_000);
                let (start, end) = ((upper << 32) - 9_000, (upper << 32) + 9_000);
                let winners: Vec<_> =
                    (start..=end).filter(|nonce| puzzle.target().is_met_by(puzzle.hash(*nonce))).collect();
                let mut found = Vec::new();
                let mut next = Some(start);
                while let Some(first) = next.filter(|first| *first <= end) {
                    let search = search(&puzzle, first..=end, &with(2, backend), &Cancel::new()).expect("available");
                    found.extend(search.solution.map(|solution| solution.nonce));
                    next = search.solution.map(|solution| solution.nonce + 1);
                }
                assert_eq!(found, winners, "{backend}");
            }
        }
    }

    #[test]
    fn progress_counts_the_hashes_of_every_search_that_shares_it() {
        let progress = Progress::new();
        let options = SearchOptions { progress: Some(&progress), ..SearchOptions::new(threads(3)) };
        for searches in 1..=3 {
            let search = search(&puzzle(u64::MAX), 0..=99_999, &options, &Cancel::new()).expect("available");
            assert_eq!((search.hashes_tried, progress.hashes_tried()), (100_000, searches * 100_000));
        }
    }

    /// Remembers what it was asked to try, and cancels the search meanwhile.
    struct Recorder(Mutex<Vec<RangeInclusive<u64>>>, Option<Cancel>);

    impl Trial for Recorder {
        fn first_winner(&self, nonces: RangeInclusive<u64>) -> Option<Solution> {
            self.0.lock().expect("no panic").push(nonces);
            self.1.as_ref().inspect(|cancel| cancel.cancel());
            None
        }
    }

    #[test]
    fn a_thread_tries_at_most_a_batch_between_two_looks_at_the_flag() {
        let cancel = Cancel::new();
        let recorder = Recorder(Mutex::default(), Some(cancel.clone()));
        let search = run(&recorder, 7..=u64::MAX, &SearchOptions::new(threads(1)), &cancel);
        let batches = recorder.0.into_inner().expect("no panic");
        assert_eq!(batches, [7..=7 + BATCH - 1]);
        assert_eq!((search.hashes_tried, search.next_nonce), (BATCH, Some(7 + BATCH)));
    }

    #[test]
    fn the_threads_share_the_nonces_in_batches_that_leave_none_out() {
        for count in [1, 2, 5] {
            let recorder = Recorder(Mutex::default(), None);
            let end = 50 * BATCH + 3;
            run(&recorder, 11..=end, &SearchOptions::new(threads(count)), &Cancel::new());
            let mut batches = recorder.0.into_inner().expect("no panic");
            batches.sort_by_key(|batch| *batch.start());
            assert!(batches.iter().all(|batch| batch.end() - batch.start() < BATCH));
            assert_eq!((batches[0].start(), batches[batches.len() - 1].end()), (&11, &end));
            assert!(batches.windows(2).all(|pair| pair[0].end() + 1 == *pair[1].start()));
        }
    }

    /// Lets the search of an early batch end only after a later one has found its winner.
    struct Late(AtomicBool);

    impl Trial for Late {
        fn first_winner(&self, nonces: RangeInclusive<u64>) -> Option<Solution> {
            if *nonces.start() == 0 {
                while !self.0.load(Relaxed) {
                    thread::yield_now();
                }
                thread::sleep(Duration::from_millis(20));
            } else {
                self.0.store(true, Relaxed);
            }
            Some(Solution { nonce: *nonces.end(), hash: B256::ZERO })
        }
    }

    #[test]
    fn the_lowest_winner_is_the_solution_even_if_a_higher_one_is_found_before_it() {
        let search = run(&Late(AtomicBool::new(false)), 0..=u64::MAX, &SearchOptions::new(threads(2)), &Cancel::new());
        assert_eq!(search.solution.map(|solution| solution.nonce), Some(BATCH - 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_back_end_and_number_of_threads_finds_the_same_lowest_nonce(
            count in 1usize..5, expected in 1u64..5_000, start in prop_oneof![any::<u64>(), Just(u64::MAX), Just(0)],
            length in 0u64..20_000,
        ) {
            let puzzle = puzzle(expected);
            let end = start.saturating_add(length);
            let first = (start..=end).find(|nonce| puzzle.target().is_met_by(puzzle.hash(*nonce)));
            for backend in Backend::available() {
                let search = search(&puzzle, start..=end, &with(count, backend), &Cancel::new()).expect("available");
                prop_assert_eq!(search.solution.map(|solution| solution.nonce), first);
                prop_assert!(first.is_some() || search.hashes_tried == end - start + 1 && search.next_nonce.is_none());
            }
        }

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
