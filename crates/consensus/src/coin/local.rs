//! Each replica's own coin.

use std::collections::BTreeMap;

use dtn_primitives::{ValidatorIndex, keccak256};
use serde::{Deserialize, Serialize};

use super::Coin;
use crate::Party;

/// A coin of one's own (Ben-Or, "Another Advantage of Free Choice", PODC 1983): nothing is said for it, and no two replicas
/// need have the same. It costs a protocol rounds that grow exponentially with the faulty replicas, and shows what a common
/// coin is worth.
///
/// It is a bit of the hash of a signature that the replica makes of the round and shows to nobody, so that only the
/// replica itself knows it, and it is the same after a restart.
#[derive(Debug, Clone)]
pub struct Local(Party);

impl Local {
    /// The coin of this replica.
    pub fn new(party: Party) -> Self {
        Self(party)
    }
}

/// Nothing that is ever said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoShare {}

impl Coin for Local {
    type Share = NoShare;

    fn share(&self, _round: u64) -> Option<NoShare> {
        None
    }

    fn combine(&self, round: u64, _: &BTreeMap<ValidatorIndex, NoShare>) -> Result<Option<bool>, Vec<ValidatorIndex>> {
        let secret = self.0.key.sign(self.0.digest("local-coin/1", &round));
        Ok(Some(keccak256(secret.0)[31] & 1 == 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::tests::parties;

    #[test]
    fn everyone_has_a_fair_coin_of_its_own() {
        let coins: Vec<_> = parties(4).into_iter().map(Local::new).collect();
        let toss = |coin: &Local| -> Vec<bool> {
            (0..400)
                .map(|round| coin.combine(round, &BTreeMap::new()).expect("no share is wrong").expect("it comes"))
                .collect()
        };
        let tosses: Vec<_> = coins.iter().map(toss).collect();
        for (toss, coin) in tosses.iter().zip(&coins) {
            let heads = toss.iter().filter(|heads| **heads).count();
            assert!((150..=250).contains(&heads), "{heads} of 400");
            assert_eq!(coin.share(1), None);
        }
        assert!((0..4).all(|i| (0..i).all(|j| tosses[i] != tosses[j])), "two have the same");
    }
}
