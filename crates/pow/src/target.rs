//! Which hashes win.

use alloy_primitives::{B256, U256};

use crate::PowError;

/// The rule by which a hash wins: below 2^256 / `expected_hashes`.
///
/// The quotient is exact: a hash h wins iff h · `expected_hashes` < 2^256, which is h ≤ ⌊(2^256 − 1) / `expected_hashes`⌋
/// (in Solidity `uint256(h) <= type(uint256).max / expectedHashes`). With 1 every hash wins, and with E the chance of a
/// hash is 1/E but for a rounding of less than 2^-192.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    expected_hashes: u64,
    greatest: U256,
}

impl Target {
    /// The target of work that is expected to take so many hashes; 0 is an error.
    pub fn new(expected_hashes: u64) -> Result<Self, PowError> {
        if expected_hashes == 0 {
            return Err(PowError::NoWork);
        }
        Ok(Self { expected_hashes, greatest: U256::MAX / U256::from(expected_hashes) })
    }

    /// How many hashes a solution is expected to take.
    pub fn expected_hashes(&self) -> u64 {
        self.expected_hashes
    }

    /// The greatest hash that wins, as a big-endian number.
    pub fn greatest_winner(&self) -> U256 {
        self.greatest
    }

    /// Whether a hash wins.
    pub fn is_met_by(&self, hash: B256) -> bool {
        U256::from_be_bytes(hash.0) <= self.greatest
    }

    /// The greatest first word of a hash that can win: what a search asks before it looks at the whole hash.
    pub(crate) fn greatest_first_word(&self) -> u32 {
        (self.greatest.as_limbs()[3] >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U512;
    use proptest::prelude::*;

    use super::*;

    fn hash(number: U256) -> B256 {
        B256::from(number.to_be_bytes())
    }

    #[test]
    fn one_expected_hash_lets_every_hash_win_and_none_is_an_error() {
        let target = Target::new(1).expect("work");
        assert!(target.is_met_by(hash(U256::MAX)) && target.is_met_by(B256::ZERO));
        assert_eq!(Target::new(0), Err(PowError::NoWork));
    }

    #[test]
    fn the_hardest_work_still_has_winners() {
        let target = Target::new(u64::MAX).expect("work");
        assert!(target.is_met_by(hash(U256::from(1) << 192)));
        assert!(!target.is_met_by(hash((U256::from(1) << 192) + (U256::from(1) << 129))));
    }

    proptest! {
        #[test]
        fn a_hash_wins_exactly_if_it_times_the_expected_hashes_is_below_2_to_the_256(
            expected in prop_oneof![1u64..100, any::<u64>().prop_map(|e| e.max(1)), u64::MAX - 5..=u64::MAX],
            offset in -3i8..=3,
        ) {
            let target = Target::new(expected).expect("work");
            let near = if offset < 0 {
                target.greatest_winner().saturating_sub(U256::from(offset.unsigned_abs()))
            } else {
                target.greatest_winner().saturating_add(U256::from(offset.unsigned_abs()))
            };
            let below = U512::from(near) * U512::from(expected) < U512::from(1) << 256;
            prop_assert_eq!(target.is_met_by(hash(near)), below);
            let first_word = (near >> 224usize).as_limbs()[0] as u32;
            prop_assert!(!below || first_word <= target.greatest_first_word());
            prop_assert!(first_word.saturating_add(1) >= target.greatest_first_word());
        }
    }
}
