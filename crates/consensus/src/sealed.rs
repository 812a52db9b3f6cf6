//! Commit and reveal: something is chosen now and shown later, and in between nobody knows it and nobody can change it.
//!
//! A *seal* is H(salt ‖ items ‖ group ‖ round ‖ peer). It hides what is in it, because the salt is as good as random and
//! nobody else knows it; it binds, because nobody finds two openings of one hash; and it is of use nowhere but in its place:
//! whoever says another's seal again, or an own one of another round, has sealed something that it cannot open. That is what
//! Baughman & Levine ("Cheat-proof playout for centralized and distributed online games", INFOCOM 2001) rest on.
//!
//! Rounds of events use it ([`crate::lockstep`]); sealed orders of a market are the same.

use dtn_primitives::{B256, Bytes, ValidatorIndex, codec, keccak256};
use serde::{Deserialize, Serialize};

use crate::Party;

/// Where a seal is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Those among whom it is.
    pub group: B256,
    /// The round.
    pub round: u64,
    /// Whose it is.
    pub by: ValidatorIndex,
}

/// What is in a seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// What keeps others from trying out items until one fits.
    pub salt: B256,
    /// What was chosen.
    pub items: Vec<Bytes>,
}

impl Opening {
    /// Its seal in a place.
    pub fn seal(&self, place: &Place) -> B256 {
        keccak256(codec::encode(&("sealed/1", self, place)))
    }
}

/// The salts of one peer: the same after a restart, and unknown to everybody else.
#[derive(Debug, Clone)]
pub struct Salts(B256);

impl Salts {
    /// Those of a peer for this purpose: all hashes of a signature that it makes and shows to nobody.
    pub fn new(party: &Party, purpose: &str) -> Self {
        Self(keccak256(party.key.sign(party.digest(purpose, &"salts")).0))
    }

    /// The salt of a round. One that is used twice is known the second time.
    pub fn of(&self, round: u64) -> B256 {
        keccak256(codec::encode(&(self.0, round)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::tests::parties;

    const PLACE: Place = Place { group: B256::ZERO, round: 3, by: ValidatorIndex(1) };

    #[test]
    fn a_seal_is_that_of_its_items_its_salt_and_its_place_and_of_no_others() {
        let opening = Opening { salt: B256::repeat_byte(1), items: vec!["ab".into(), "c".into()] };
        let seals = [
            opening.seal(&PLACE),
            Opening { items: vec!["a".into(), "bc".into()], ..opening.clone() }.seal(&PLACE),
            Opening { items: vec!["abc".into()], ..opening.clone() }.seal(&PLACE),
            Opening { salt: B256::repeat_byte(2), ..opening.clone() }.seal(&PLACE),
            opening.seal(&Place { round: 4, ..PLACE }),
            opening.seal(&Place { by: ValidatorIndex(2), ..PLACE }),
            opening.seal(&Place { group: B256::repeat_byte(1), ..PLACE }),
        ];
        assert!((0..seals.len()).all(|i| (0..i).all(|j| seals[i] != seals[j])), "{seals:?}");
        assert_eq!(opening.seal(&PLACE), opening.clone().seal(&PLACE));
    }

    #[test]
    fn salts_differ_by_peer_purpose_and_round_and_are_the_same_after_a_restart() {
        let parties = parties(2);
        let salt = |party: usize, purpose, round| Salts::new(&parties[party], purpose).of(round);
        let salts = [salt(0, "a", 1), salt(0, "a", 2), salt(0, "b", 1), salt(1, "a", 1)];
        assert!((0..4).all(|i| (0..i).all(|j| salts[i] != salts[j])), "{salts:?}");
        assert_eq!(salts[0], salt(0, "a", 1));
    }
}
