//! A coin for simulations.

use std::collections::BTreeMap;

use dtn_consensus::Coin;
use dtn_primitives::{B256, ValidatorIndex, codec, keccak256};

/// What a common coin promises, without arithmetic: the simulator itself vouches for it. Shares and coins are hashes of a
/// secret that every replica is given, and none looks at but for its own share. A hundred replicas toss it in the time
/// that one takes for a threshold signature; nobody may use it where somebody could look.
#[derive(Debug, Clone)]
pub struct Ideal {
    secret: B256,
    me: ValidatorIndex,
    threshold: usize,
}

impl Ideal {
    /// The coin of a replica, which so many toss.
    pub fn new(secret: B256, me: ValidatorIndex, threshold: usize) -> Self {
        Self { secret, me, threshold }
    }

    /// The coin of a round, for a scheduler that sees it before it should.
    pub fn ahead(&self, round: u64) -> bool {
        keccak256(codec::encode(&("coin", self.secret, round)))[31] & 1 == 1
    }

    fn share_of(&self, by: ValidatorIndex, round: u64) -> B256 {
        keccak256(codec::encode(&("share", self.secret, by, round)))
    }
}

impl Coin for Ideal {
    type Share = B256;

    fn share(&self, round: u64) -> Option<B256> {
        Some(self.share_of(self.me, round))
    }

    fn combine(
        &self,
        round: u64,
        shares: &BTreeMap<ValidatorIndex, B256>,
    ) -> Result<Option<bool>, Vec<ValidatorIndex>> {
        if shares.len() < self.threshold {
            return Ok(None);
        }
        let is_wrong = |(by, share): &(&ValidatorIndex, &B256)| self.share_of(**by, round) != **share;
        let wrong: Vec<_> = shares.iter().filter(is_wrong).map(|(by, _)| *by).collect();
        if wrong.is_empty() { Ok(Some(self.ahead(round))) } else { Err(wrong) }
    }
}
