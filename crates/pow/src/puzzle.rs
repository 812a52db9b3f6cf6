//! The puzzle's canonical form.

use alloy_primitives::{Address, B256};

use crate::{Backend, Target, midstate::Midstate};

/// What begins every preimage, so that its hashes are of use for nothing else.
pub const DOMAIN_TAG: &[u8; 10] = b"DTN/pow/v2";

/// The length of every preimage.
pub const PREIMAGE_BYTES: usize = 1 + DOMAIN_TAG.len() + 3 * (1 + 32) + (1 + 20) + (1 + 8);

/// Where the nonce begins: it is what ends the preimage.
pub(crate) const NONCE_AT: usize = PREIMAGE_BYTES - 8;

/// Why a solution or a puzzle was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PowError {
    /// Work of zero hashes has no target.
    #[error("work must expect at least 1 hash")]
    NoWork,
    /// The nonce hashes to something else, for instance because another miner found it.
    #[error("the nonce hashes to {actual}, not to {claimed}")]
    WrongHash {
        /// What was claimed.
        claimed: B256,
        /// What it hashes to.
        actual: B256,
    },
    /// The hash is right but does not win.
    #[error("the hash {hash} is not below 2^256 / {expected_hashes}")]
    AboveTarget {
        /// The hash.
        hash: B256,
        /// What was asked for.
        expected_hashes: u64,
    },
    /// The hash of a [`SeedPuzzle`](crate::SeedPuzzle) is right but does not win.
    #[error("the hash {hash} does not begin with {difficulty} bytes of zero")]
    TooFewZeros {
        /// The hash.
        hash: B256,
        /// What was asked for.
        difficulty: u8,
    },
    /// No hash can win.
    #[error("difficulty {0} is impossible: a hash has 32 bytes")]
    Impossible(u8),
    /// This processor cannot hash that way.
    #[error("this processor does not have {0}")]
    NoBackend(Backend),
}

/// One miner's part in one race.
///
/// The preimage is a sequence of fields, each behind one byte with its length: the tag [`DOMAIN_TAG`], the network id,
/// the id of the race, the hash of the transaction that is worked for, the miner's address, the nonce as 8 bytes
/// big-endian. The id of the race is something that nobody knows before the race begins, so that nobody begins before
/// it. The miner is in it, so that peers search different spaces and nobody can claim what another found. What changes
/// with the nonce is in the last of three SHA-256 blocks together with all of the padding (140 − 128 + 9 ≤ 64), so that
/// a search compresses one block a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Puzzle {
    network_id: B256,
    race: B256,
    transaction: B256,
    miner: Address,
    target: Target,
}

impl Puzzle {
    /// The puzzle of a miner for a transaction in a race; it is an error to ask for no work.
    pub fn new(
        network_id: B256,
        race: B256,
        transaction: B256,
        miner: Address,
        expected_hashes: u64,
    ) -> Result<Self, PowError> {
        Ok(Self { network_id, race, transaction, miner, target: Target::new(expected_hashes)? })
    }

    /// The network.
    pub fn network_id(&self) -> B256 {
        self.network_id
    }

    /// The id of the race.
    pub fn race(&self) -> B256 {
        self.race
    }

    /// The hash of the transaction that is worked for.
    pub fn transaction(&self) -> B256 {
        self.transaction
    }

    /// Who searches.
    pub fn miner(&self) -> Address {
        self.miner
    }

    /// Which hashes win.
    pub fn target(&self) -> Target {
        self.target
    }

    /// What is hashed.
    pub fn preimage(&self, nonce: u64) -> [u8; PREIMAGE_BYTES] {
        let nonce = nonce.to_be_bytes();
        let Self { network_id, race, transaction, miner, .. } = self;
        let fields: [&[u8]; 6] = [DOMAIN_TAG, &network_id[..], &race[..], &transaction[..], &miner[..], &nonce];
        let mut preimage = [0; PREIMAGE_BYTES];
        let mut at = 0;
        for field in fields {
            preimage[at] = field.len() as u8;
            preimage[at + 1..at + 1 + field.len()].copy_from_slice(field);
            at += 1 + field.len();
        }
        preimage
    }

    /// The SHA-256 of the preimage.
    pub fn hash(&self, nonce: u64) -> B256 {
        self.midstate().hash(nonce)
    }

    /// Succeeds only if the nonce hashes to `hash` and that wins.
    pub fn check(&self, nonce: u64, hash: B256) -> Result<(), PowError> {
        let actual = self.hash(nonce);
        if actual != hash {
            return Err(PowError::WrongHash { claimed: hash, actual });
        }
        if !self.target.is_met_by(hash) {
            return Err(PowError::AboveTarget { hash, expected_hashes: self.target.expected_hashes() });
        }
        Ok(())
    }

    pub(crate) fn midstate(&self) -> Midstate {
        Midstate::new(&self.preimage(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    fn puzzle([network, race, transaction, miner]: [u8; 4], expected_hashes: u64) -> Puzzle {
        let [network, race, transaction] = [network, race, transaction].map(B256::repeat_byte);
        Puzzle::new(network, race, transaction, Address::repeat_byte(miner), expected_hashes).expect("work")
    }

    #[test]
    fn work_of_zero_hashes_is_an_error() {
        assert_eq!(Puzzle::new(B256::ZERO, B256::ZERO, B256::ZERO, Address::ZERO, 0), Err(PowError::NoWork));
    }

    #[test]
    fn the_nonce_ends_a_preimage_of_140_bytes() {
        let preimage = puzzle([1, 2, 3, 4], 1).preimage(0x0102_0304_0506_0708);
        assert_eq!(preimage.len(), 140);
        assert_eq!(preimage[NONCE_AT - 1..], [8, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_hash_that_is_right_but_too_high_is_refused() {
        let puzzle = puzzle([1, 2, 3, 4], u64::MAX);
        let hash = puzzle.hash(0);
        assert_eq!(puzzle.check(0, hash), Err(PowError::AboveTarget { hash, expected_hashes: u64::MAX }));
    }

    #[test]
    fn a_hash_that_wins_but_is_not_the_nonces_is_refused() {
        let puzzle = puzzle([1, 2, 3, 4], 1);
        let error = puzzle.check(0, B256::ZERO).expect_err("not its hash");
        assert_eq!(error, PowError::WrongHash { claimed: B256::ZERO, actual: puzzle.hash(0) });
    }

    proptest! {
        #[test]
        fn the_hash_is_the_sha_256_of_the_preimage(
            network: [u8; 32], race: [u8; 32], transaction: [u8; 32], miner: [u8; 20],
            nonce in prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)],
        ) {
            let puzzle = Puzzle::new(network.into(), race.into(), transaction.into(), miner.into(), 1).expect("work");
            prop_assert_eq!(puzzle.hash(nonce).0, <[u8; 32]>::from(Sha256::digest(puzzle.preimage(nonce))));
        }

        #[test]
        fn a_solution_of_one_puzzle_solves_no_other(nonce: u64, other: u64) {
            let mine = puzzle([1, 2, 3, 4], 1);
            let hash = mine.hash(nonce);
            prop_assert_eq!(mine.check(nonce, hash), Ok(()));
            for another in [[9, 2, 3, 4], [1, 9, 3, 4], [1, 2, 9, 4], [1, 2, 3, 9]].map(|other| puzzle(other, 1)) {
                prop_assert!(another.check(nonce, hash).is_err());
            }
            prop_assert_eq!(mine.check(other, hash).is_ok(), other == nonce);
        }
    }
}
