//! The validator set of an epoch and the sizes of its quorums.

use std::{fmt, sync::Arc};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

use crate::PublicKey;

/// The largest number of Byzantine validators that `n` tolerate: ⌊(n − 1) / 3⌋.
pub const fn max_faulty(n: usize) -> usize {
    n.saturating_sub(1) / 3
}

/// The votes that make a certificate: ⌈(n + f + 1) / 2⌉.
///
/// Two quorums share at least f + 1 validators, hence one correct one, for every n; and n − f correct validators are
/// always a quorum. For n = 3f + 1 it is the 2f + 1 of Castro & Liskov (OSDI '99, §4.2).
pub const fn quorum(n: usize) -> usize {
    (n + max_faulty(n)) / 2 + 1
}

/// How many heights a primary proposes before the next one has its turn.
pub const TURN: u64 = 16;

/// A validator's place in its set, in ascending order of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ValidatorIndex(pub u16);

impl ValidatorIndex {
    /// As an index into slices.
    pub fn as_usize(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ValidatorIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One validator's public identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validator {
    /// Derived from the public key; its index in the set follows from it.
    pub address: Address,
    /// From which its libp2p peer id is derived too.
    pub public_key: PublicKey,
}

impl From<PublicKey> for Validator {
    fn from(public_key: PublicKey) -> Self {
        Self { address: public_key.address(), public_key }
    }
}

/// The validators of one epoch, in ascending order of address. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ValidatorSet {
    epoch: u64,
    validators: Arc<[Validator]>,
}

impl ValidatorSet {
    /// Orders the validators of an epoch; duplicates are merged.
    pub fn new(epoch: u64, public_keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let mut validators: Vec<_> = public_keys.into_iter().map(Validator::from).collect();
        validators.sort_by_key(|validator| validator.address);
        validators.dedup();
        Self { epoch, validators: validators.into() }
    }

    /// The epoch in which these validators sign.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number of validators, n.
    pub fn len(&self) -> usize {
        self.validators.len()
    }

    /// Whether there is no validator.
    pub fn is_empty(&self) -> bool {
        self.validators.is_empty()
    }

    /// The votes that make a certificate in this set.
    pub fn quorum(&self) -> usize {
        quorum(self.len())
    }

    /// The Byzantine validators that this set tolerates, f.
    pub fn max_faulty(&self) -> usize {
        max_faulty(self.len())
    }

    /// The primary of a view at a height. A view passes over those who fail (OSDI '99, §4.1: p = v mod n); within a view
    /// the validators take turns of [`TURN`] heights, so that none decides for long what gets into blocks.
    pub fn primary(&self, view: u64, height: u64) -> ValidatorIndex {
        let turn = height.saturating_sub(1) / TURN;
        ValidatorIndex((view.wrapping_add(turn) % self.len() as u64) as u16)
    }

    /// All validators, by index.
    pub fn iter(&self) -> impl Iterator<Item = (ValidatorIndex, &Validator)> {
        self.validators.iter().enumerate().map(|(index, validator)| (ValidatorIndex(index as u16), validator))
    }

    /// Every validator but one.
    pub fn others(&self, one: ValidatorIndex) -> impl Iterator<Item = ValidatorIndex> + use<> {
        (0..self.len()).map(|index| ValidatorIndex(index as u16)).filter(move |index| *index != one)
    }

    /// The validator at an index, if there is one.
    pub fn get(&self, index: ValidatorIndex) -> Option<&Validator> {
        self.validators.get(index.as_usize())
    }

    /// The index of an address, if it belongs to a validator.
    pub fn index_of(&self, address: Address) -> Option<ValidatorIndex> {
        let found = self.validators.binary_search_by_key(&address, |validator| validator.address);
        found.ok().map(|index| ValidatorIndex(index as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_have_the_sizes_of_the_literature() {
        let sizes = [(4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (10, 7), (50, 34), (90, 60), (100, 67), (1000, 667)];
        for (n, q) in sizes {
            assert_eq!(quorum(n), q, "n = {n}");
        }
    }

    #[test]
    fn validators_take_turns_and_a_view_passes_over_one_of_them() {
        let keys = (1..=4).map(|seed| crate::SecretKey::from_bytes(&[seed; 32]).expect("a key").public_key());
        let validators = ValidatorSet::new(0, keys);
        let primaries = |view, heights: [u64; 5]| heights.map(|height| validators.primary(view, height).0);
        assert_eq!(primaries(0, [1, TURN, TURN + 1, 2 * TURN + 1, 4 * TURN + 1]), [0, 0, 1, 2, 0]);
        assert_eq!(primaries(3, [0, 1, TURN + 1, 2 * TURN, u64::MAX]), [3, 3, 0, 0, 2]);
    }

    #[test]
    fn any_two_quorums_share_a_correct_validator_and_the_correct_ones_are_a_quorum() {
        for n in 1..=2_000 {
            let (f, q) = (max_faulty(n), quorum(n));
            assert!(2 * q - n > f, "n = {n}: two quorums of {q} may share only faulty validators");
            assert!(n - f >= q, "n = {n}: {f} silent validators stop it");
        }
    }
}
