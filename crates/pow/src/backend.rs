//! Ways to hash, of which each processor has some.

use std::{
    fmt,
    hint::black_box,
    str::FromStr,
    sync::OnceLock,
    time::{Duration, Instant},
};

#[cfg(target_arch = "x86_64")]
use crate::{avx512, lanes::avx2, sha_ni};
use crate::{lanes, midstate, tail::Tail};

/// How many nonces are tried between two looks at the clock when the rate is measured.
const PROBE: u32 = 1024;

/// How to hash many nonces. All of them find the same winners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Sixteen nonces at once, in vectors of 512 bits (x86-64 with AVX-512).
    Avx512,
    /// Eight nonces at once, in vectors of 256 bits (x86-64 with AVX2).
    Avx2,
    /// The processor's own instructions for SHA-256 (x86-64 with the SHA extensions).
    ShaNi,
    /// Four nonces at once, in whatever vectors every processor of the family has.
    Portable,
}

impl Backend {
    /// Every back end, whether this processor has it or not.
    pub const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::ShaNi, Self::Portable];

    /// Those that this processor has. The portable one is always among them.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|backend| backend.is_available())
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi => sha_ni::is_available(),
            Self::Portable => true,
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The fastest of this processor, found by trying each for a millisecond when this is first called.
    ///
    /// It is measured because what a processor can do does not say how fast: vectors of 512 bits take twice as long
    /// where the units are half as wide, and the instructions for SHA-256 are faster than vectors on some processors
    /// and slower on others.
    pub fn fastest() -> Self {
        static FASTEST: OnceLock<Backend> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let rates = Self::available().map(|backend| (backend, backend.rate(Duration::from_millis(1))));
            rates.max_by(|(_, rate), (_, other)| rate.total_cmp(other)).map_or(Self::Portable, |(backend, _)| backend)
        })
    }

    /// How many nonces a second one thread tries, measured for about as long as `duration`.
    pub fn rate(self, duration: Duration) -> f64 {
        let tail = Tail::new(midstate::INITIAL, [0; 16], 0);
        let began = Instant::now();
        let mut hashes = 0.0;
        loop {
            black_box(self.first_candidate(black_box(&tail), 0, PROBE));
            hashes += f64::from(PROBE);
            let elapsed = began.elapsed();
            if elapsed >= duration {
                return hashes / elapsed.as_secs_f64();
            }
        }
    }

    /// The offset from `first` of the first of `count` lower halves whose hash begins with a word that may win. Panics
    /// if the processor does not have this back end.
    pub(crate) fn first_candidate(self, tail: &Tail, first: u32, count: u32) -> Option<u32> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::search(tail, first, count),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::search(tail, first, count),
            #[cfg(target_arch = "x86_64")]
            Self::ShaNi => sha_ni::search(tail, first, count),
            Self::Portable => lanes::search(tail, first, count),
            #[cfg(not(target_arch = "x86_64"))]
            _ => panic!("{self} is not available"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::ShaNi => "sha-ni",
            Self::Portable => "portable",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No back end has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no back end \"{0}\": it is one of avx512, avx2, sha-ni, portable")]
pub struct UnknownBackend(String);

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        Self::ALL.into_iter().find(|backend| backend.name() == name).ok_or_else(|| UnknownBackend(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{Puzzle, puzzle::NONCE_AT};

    fn puzzle(bytes: [u8; 116]) -> Puzzle {
        let [network, race, transaction] = [0, 32, 64].map(|at| bytes[at..at + 32].try_into().expect("32 bytes"));
        let miner = bytes[96..].try_into().expect("20 bytes");
        Puzzle::new(network, race, transaction, miner, 1).expect("work")
    }

    /// The first word of a nonce's hash, by `sha2` and from the whole preimage.
    fn first_word(puzzle: &Puzzle, nonce: u64) -> u32 {
        let mut preimage = puzzle.preimage(0);
        preimage[NONCE_AT..].copy_from_slice(&nonce.to_be_bytes());
        let hash = Sha256::digest(preimage);
        u32::from_be_bytes(hash[..4].try_into().expect("four bytes"))
    }

    /// What [`Backend::first_candidate`] is to give.
    fn expected(puzzle: &Puzzle, first: u64, count: u32, limit: u32) -> Option<u32> {
        (0..count).find(|offset| first_word(puzzle, first + u64::from(*offset)) <= limit)
    }

    #[test]
    fn every_processor_has_the_portable_back_end_and_the_fastest_is_one_that_it_has() {
        assert!(Backend::available().any(|backend| backend == Backend::Portable));
        assert!(Backend::fastest().is_available());
        assert_eq!(Backend::fastest(), Backend::fastest());
    }

    #[test]
    fn a_back_end_is_found_by_its_name_and_an_unknown_name_is_refused() {
        for backend in Backend::ALL {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        let error = "gpu".parse::<Backend>().expect_err("unknown");
        assert_eq!(error.to_string(), "there is no back end \"gpu\": it is one of avx512, avx2, sha-ni, portable");
    }

    #[test]
    fn a_winner_is_reported_from_every_lane() {
        // Twice as many places as the most lanes of any back end, each in turn that of the only candidate.
        let puzzle = puzzle([7; 116]);
        let first = 1 << 40 | 5;
        let (limit, winner) =
            (first..first + 100_000).map(|nonce| (first_word(&puzzle, nonce), nonce)).min().expect("some");
        let tail = puzzle.midstate().tail((winner >> 32) as u32, limit);
        for backend in Backend::available() {
            for place in 0..64 {
                let found = backend.first_candidate(&tail, winner as u32 - place, 100);
                assert_eq!(found, Some(place), "{backend}");
            }
        }
    }

    #[test]
    fn of_several_candidates_the_lowest_is_reported() {
        let puzzle = puzzle([8; 116]);
        for backend in Backend::available() {
            for limit in [u32::MAX, u32::MAX / 2, u32::MAX / 10] {
                let tail = puzzle.midstate().tail(3, limit);
                for lower in 0..100 {
                    let found = backend.first_candidate(&tail, lower, 100);
                    assert_eq!(found, expected(&puzzle, 3 << 32 | u64::from(lower), 100, limit), "{backend}");
                }
            }
        }
    }

    #[test]
    fn a_candidate_beyond_the_last_nonce_is_not_reported() {
        let puzzle = puzzle([9; 116]);
        for backend in Backend::available() {
            for count in 1..70 {
                let tail = puzzle.midstate().tail(0, first_word(&puzzle, 1000 + u64::from(count)));
                let found = backend.first_candidate(&tail, 1000, count);
                assert_eq!(found, expected(&puzzle, 1000, count, tail.limit), "{backend}");
            }
            let tail = puzzle.midstate().tail(0, u32::MAX);
            assert_eq!(backend.first_candidate(&tail, 1000, 0), None);
            assert_eq!(backend.first_candidate(&tail, u32::MAX, 1), Some(0));
        }
    }

    #[test]
    fn hashes_equal_to_the_limit_are_candidates_and_those_above_it_are_not() {
        let puzzle = puzzle([10; 116]);
        for backend in Backend::available() {
            for nonce in 0..200 {
                let word = first_word(&puzzle, nonce);
                let found = |limit| backend.first_candidate(&puzzle.midstate().tail(0, limit), nonce as u32, 1);
                assert_eq!((found(word), found(word - 1)), (Some(0), None), "{backend}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_back_end_agrees_with_sha2(
            bytes in prop::collection::vec(any::<u8>(), 116),
            upper: u32, lower in prop_oneof![any::<u32>(), Just(0), u32::MAX - 200..=u32::MAX], count in 0u32..200,
            limit in prop_oneof![any::<u32>(), Just(u32::MAX / 100), Just(0)],
        ) {
            let puzzle = puzzle(bytes.try_into().expect("116 bytes"));
            let count = count.min(u32::MAX - lower);
            let first = u64::from(upper) << 32 | u64::from(lower);
            let expected = expected(&puzzle, first, count, limit);
            let tail = puzzle.midstate().tail(upper, limit);
            for backend in Backend::available() {
                prop_assert_eq!(backend.first_candidate(&tail, lower, count), expected, "{}", backend);
            }
        }
    }
}
