//! The puzzle in the form of the Python prototype, for whoever has work in that form.

use std::ops::{Range, RangeInclusive};

use alloy_primitives::B256;
use sha2::{compress256, digest::generic_array::GenericArray};

use crate::{
    Cancel, PowError, Search, SearchOptions, Solution,
    midstate::{self, BLOCK_BYTES, INITIAL},
    search::{Trial, run},
};

/// Data to which a nonce is to be found, so that the SHA-256 of the two begins with some bytes of zero.
///
/// The preimage is the data, then the nonce in decimal digits: `hashlib.sha256(f"{data}{nonce}".encode())` in Python,
/// with nonces from 0 on. The seed counts the zeros in pairs of hexadecimal digits, which is in bytes.
///
/// Nothing separates the two parts, so different work can have the same preimages: "a1" with nonce 2 is "a" with nonce
/// 12. It says neither who searches nor since when. [`Puzzle`](crate::Puzzle) has neither weakness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedPuzzle {
    data: Vec<u8>,
    difficulty: u8,
}

impl SeedPuzzle {
    /// The difficulty that the seed has if nothing is said.
    pub const DEFAULT_DIFFICULTY: u8 = 2;

    /// The work for this data, of any bytes. It is an error to ask for no zeros, which is no work, or for more than a
    /// hash has bytes.
    pub fn new(data: impl Into<Vec<u8>>, difficulty: u8) -> Result<Self, PowError> {
        match difficulty {
            0 => Err(PowError::NoWork),
            1..=32 => Ok(Self { data: data.into(), difficulty }),
            33.. => Err(PowError::Impossible(difficulty)),
        }
    }

    /// What the nonce is found for.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// With how many bytes of zero a hash begins that wins.
    pub fn difficulty(&self) -> u8 {
        self.difficulty
    }

    /// How many hashes a solution is expected to take: 256 to the power of the difficulty.
    pub fn expected_hashes(&self) -> f64 {
        256f64.powi(self.difficulty.into())
    }

    /// What is hashed.
    pub fn preimage(&self, nonce: u64) -> Vec<u8> {
        [&self.data, nonce.to_string().as_bytes()].concat()
    }

    /// The SHA-256 of the preimage.
    pub fn hash(&self, nonce: u64) -> B256 {
        midstate::bytes(Message::new(&self.data, nonce).words())
    }

    /// Whether a hash wins.
    pub fn is_met_by(&self, hash: B256) -> bool {
        hash[..self.difficulty.into()].iter().all(|byte| *byte == 0)
    }

    /// Succeeds only if the nonce hashes to `hash` and that wins.
    pub fn check(&self, nonce: u64, hash: B256) -> Result<(), PowError> {
        let actual = self.hash(nonce);
        if actual != hash {
            return Err(PowError::WrongHash { claimed: hash, actual });
        }
        if !self.is_met_by(hash) {
            return Err(PowError::TooFewZeros { hash, difficulty: self.difficulty });
        }
        Ok(())
    }

    /// Searches as [`search`](crate::search()) does: the solution is the lowest nonce that wins, as in the seed. The
    /// back end does not matter here: `sha2` hashes one nonce after the other.
    pub fn search(&self, nonces: RangeInclusive<u64>, options: &SearchOptions<'_>, cancel: &Cancel) -> Search {
        run(self, nonces, options, cancel)
    }
}

impl Trial for SeedPuzzle {
    fn first_winner(&self, nonces: RangeInclusive<u64>) -> Option<Solution> {
        let mut message = Message::new(&self.data, *nonces.start());
        for nonce in nonces {
            let words = message.words();
            // A hash has at least one byte of zero to begin with, which most have not.
            if words[0] >> 24 == 0 {
                let hash = midstate::bytes(words);
                if self.is_met_by(hash) {
                    return Some(Solution { nonce, hash });
                }
            }
            message.count_up();
        }
        None
    }
}

/// A preimage whose nonce counts up, from the block on that has its first digit.
struct Message {
    /// The state before that block.
    before: [u32; 8],
    /// How many bytes are before that block.
    bytes_before: usize,
    /// The rest of the data, the digits, the padding: at most 63 + 20 + 9 bytes.
    buffer: [u8; 2 * BLOCK_BYTES],
    digits: Range<usize>,
}

impl Message {
    fn new(data: &[u8], nonce: u64) -> Self {
        let mut before = INITIAL;
        let (blocks, rest) = data.as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            compress256(&mut before, &[(*block).into()]);
        }
        let mut buffer = [0; _];
        buffer[..rest.len()].copy_from_slice(rest);
        let mut message =
            Self { before, bytes_before: data.len() - rest.len(), buffer, digits: rest.len()..rest.len() };
        message.set(&nonce.to_string());
        message
    }

    /// Puts these digits behind the data, and the padding behind them (FIPS 180-4, section 5.1.1).
    fn set(&mut self, digits: &str) {
        self.digits.end = self.digits.start + digits.len();
        self.buffer[self.digits.start..].fill(0);
        self.buffer[self.digits.clone()].copy_from_slice(digits.as_bytes());
        self.buffer[self.digits.end] = 0x80;
        let bits = 8 * (self.bytes_before + self.digits.end) as u64;
        let end = self.blocks() * BLOCK_BYTES;
        self.buffer[end - 8..end].copy_from_slice(&bits.to_be_bytes());
    }

    /// In how many blocks the digits and the padding fit.
    fn blocks(&self) -> usize {
        (self.digits.end + 9).div_ceil(BLOCK_BYTES)
    }

    /// The next nonce.
    fn count_up(&mut self) {
        for digit in self.buffer[self.digits.clone()].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
        self.set(&format!("1{}", "0".repeat(self.digits.len())));
    }

    /// The eight words of the hash, most significant first.
    fn words(&self) -> [u32; 8] {
        let mut state = self.before;
        for block in self.buffer.chunks_exact(BLOCK_BYTES).take(self.blocks()) {
            compress256(&mut state, std::slice::from_ref(GenericArray::from_slice(block)));
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, process::Command};

    use alloy_primitives::Address;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{Progress, Puzzle};

    fn puzzle(data: &str, difficulty: u8) -> SeedPuzzle {
        SeedPuzzle::new(data, difficulty).expect("possible")
    }

    fn options(threads: usize) -> SearchOptions<'static> {
        SearchOptions::new(NonZeroUsize::new(threads).expect("at least one"))
    }

    #[test]
    fn no_difficulty_and_more_than_a_hash_has_are_refused() {
        assert_eq!(SeedPuzzle::new("data", 0), Err(PowError::NoWork));
        assert_eq!(SeedPuzzle::new("data", 33), Err(PowError::Impossible(33)));
        assert_eq!(SeedPuzzle::new("data", 32).expect("possible").expected_hashes(), 2f64.powi(256));
        assert_eq!(puzzle("data", SeedPuzzle::DEFAULT_DIFFICULTY).expected_hashes(), 65_536.0);
    }

    #[test]
    fn different_work_can_have_the_same_preimages_in_this_form_but_not_in_the_canonical_one() {
        let (long, short) = (puzzle("a1", 1), puzzle("a", 1));
        assert_eq!(long.preimage(2), short.preimage(12));
        let hash = long.hash(2);
        assert_eq!(short.hash(12), hash);

        // Each field behind its length: no byte can change sides, so other work has another preimage at every nonce.
        let canonical = |transaction| {
            Puzzle::new(B256::ZERO, B256::ZERO, B256::left_padding_from(transaction), Address::ZERO, 1).expect("work")
        };
        let (long, short) = (canonical(b"a1"), canonical(b"a"));
        assert_ne!(long.preimage(2), short.preimage(12));
        assert_ne!(long.preimage(0)[..long.preimage(0).len() - 8], short.preimage(0)[..short.preimage(0).len() - 8]);
    }

    #[test]
    fn a_solution_passes_its_check_and_nothing_else_does() {
        let puzzle = puzzle("some work", 1);
        let solution = puzzle.search(0..=u64::MAX, &options(2), &Cancel::new()).solution.expect("found");
        assert_eq!(puzzle.check(solution.nonce, solution.hash), Ok(()));
        let wrong = PowError::WrongHash { claimed: B256::ZERO, actual: solution.hash };
        assert_eq!(puzzle.check(solution.nonce, B256::ZERO), Err(wrong));
        let hash = puzzle.hash(solution.nonce + 1);
        assert_eq!(puzzle.check(solution.nonce + 1, hash), Err(PowError::TooFewZeros { hash, difficulty: 1 }));
    }

    #[test]
    fn a_search_is_resumed_counted_and_cancelled_like_any_other() {
        let puzzle = puzzle("resumed", 32);
        let progress = Progress::new();
        let options = SearchOptions { progress: Some(&progress), ..options(2) };
        let search = puzzle.search(u64::MAX - 9_999..=u64::MAX, &options, &Cancel::new());
        assert_eq!((search.solution, search.hashes_tried, search.next_nonce), (None, 10_000, None));
        assert_eq!(progress.hashes_tried(), 10_000);
        let cancel = Cancel::new();
        cancel.cancel();
        let search = puzzle.search(5..=u64::MAX, &options, &cancel);
        assert_eq!((search.hashes_tried, search.next_nonce), (0, Some(5)));
    }

    #[test]
    fn python_finds_the_same_nonces_and_hashes() {
        let seed = "import hashlib, sys\nnonce = 0\nwhile not (hash := hashlib.sha256(f'{sys.argv[1]}{nonce}'.encode())\
                    .hexdigest()).startswith('00' * int(sys.argv[2])): nonce += 1\nprint(nonce, hash)";
        for (data, difficulty) in [("", 1), ("hello", 1), ("Größe: 10 µm", 1), (&"x".repeat(60), 1), ("transfer", 2)]
        {
            let Ok(python) = Command::new("python3").args(["-c", seed, data, &difficulty.to_string()]).output() else {
                eprintln!("skipped: there is no python3");
                return;
            };
            let solution = puzzle(data, difficulty).search(0..=u64::MAX, &options(2), &Cancel::new()).solution;
            let found =
                solution.map(|Solution { nonce, hash }| format!("{nonce} {}\n", alloy_primitives::hex::encode(hash)));
            assert_eq!(found.as_deref(), std::str::from_utf8(&python.stdout).ok(), "{data}");
        }
    }

    proptest! {
        #[test]
        fn counting_up_gives_the_hashes_of_the_preimages(
            data in prop::collection::vec(any::<u8>(), 0..200),
            start in prop_oneof![any::<u64>(), 0..30u64, (1..20u32).prop_map(|digits| 10u64.pow(digits) - 5)],
        ) {
            let puzzle = SeedPuzzle::new(data, 1).expect("possible");
            let mut message = Message::new(puzzle.data(), start);
            for nonce in start..start.saturating_add(20) {
                let preimage = [puzzle.data(), nonce.to_string().as_bytes()].concat();
                prop_assert_eq!(&puzzle.preimage(nonce), &preimage);
                prop_assert_eq!(midstate::bytes(message.words()).0, <[u8; 32]>::from(Sha256::digest(preimage)));
                message.count_up();
            }
        }

        #[test]
        fn the_solution_is_the_lowest_nonce_whatever_the_number_of_threads(
            data: Vec<u8>, count in 1usize..5, start in 0u64..1_000_000,
        ) {
            let puzzle = SeedPuzzle::new(data, 1).expect("possible");
            let first = (start..).find(|nonce| puzzle.is_met_by(puzzle.hash(*nonce)));
            let search = puzzle.search(start..=u64::MAX, &options(count), &Cancel::new());
            prop_assert_eq!(search.solution.map(|solution| solution.nonce), first);
        }
    }
}
